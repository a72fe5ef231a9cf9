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

#[cfg(test)]
mod tests {
    use super::*;

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
