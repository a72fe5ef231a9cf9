//! Random numbers by their place: any of them at any time, in any order, the same on every machine.

/// SplitMix64's increment, the golden ratio in 64 bits.
const INCREMENT: u64 = 0x9e37_79b9_7f4a_7c15;

/// SplitMix64's output function (Steele, Lea & Flood 2014): a bijection that scatters counters over 64 bits.
pub(crate) fn scatter(mut state: u64) -> u64 {
    state = state.wrapping_add(INCREMENT);
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

/// Output `index`, counted from 0, of SplitMix64 seeded with `stream`.
pub(crate) fn draw(stream: u64, index: u64) -> u64 {
    scatter(stream.wrapping_add(index.wrapping_mul(INCREMENT)))
}

/// Standard normal number `index` of a stream (Box & Muller 1958): of its outputs 2 · `index` and the next.
pub(crate) fn normal(stream: u64, index: u64) -> f64 {
    // In (0, 1], so that the logarithm is finite.
    let uniform = |bits: u64| ((bits >> 11) + 1) as f64 * 2f64.powi(-53);
    let (one, other) = (draw(stream, 2 * index), draw(stream, 2 * index + 1));
    (-2.0 * uniform(one).ln()).sqrt() * (std::f64::consts::TAU * uniform(other)).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_numbers_are_standard_normal() {
        let count = 40_000;
        let moment = |power| (0..count).map(|index| normal(7, index).powi(power)).sum::<f64>() / count as f64;
        // Five standard errors: 1/√n, √(2/n), √(96/n).
        assert!(
            moment(1).abs() < 0.025 && (moment(2) - 1.0).abs() < 0.036 && (moment(4) - 3.0).abs() < 0.245
        );
        assert_ne!(normal(7, 1), normal(8, 1));
    }

    #[test]
    fn draws_are_the_published_generators() {
        // The first outputs for the seed 1234567, as listed with the reference implementation (Vigna,
        // prng.di.unimi.it/splitmix64.c) in Rosetta Code's "Pseudo-random numbers/Splitmix64".
        let published = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
            4_593_380_528_125_082_431,
            16_408_922_859_458_223_821,
        ];
        assert_eq!(std::array::from_fn(|index| draw(1_234_567, index as u64)), published);
    }
}
