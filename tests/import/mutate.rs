//! Files that are almost sound: bytes of good ones changed at random.

/// SplitMix64 (Steele, Lea & Flood 2014): the same numbers from the same seed.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    /// A number below `limit`, which is not 0.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}

/// Numbers at which arithmetic goes wrong.
const EDGES: [u64; 12] =
    [0, 1, 2, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff, 1 << 33, i64::MAX as u64, u64::MAX];

/// One of the good files with up to eight changes.
pub fn mutated(good: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut bytes = good[random.below(good.len())].clone();
    for _ in 0..=random.below(8) {
        change(&mut bytes, good, random);
    }
    bytes
}

fn change(bytes: &mut Vec<u8>, good: &[Vec<u8>], random: &mut Random) {
    if bytes.is_empty() {
        return;
    }
    // Descriptions stand at the start and the end of files more often than in their middle.
    let at = match random.below(4) {
        0 => random.below(bytes.len().min(512)),
        1 => bytes.len() - 1 - random.below(bytes.len().min(512)),
        _ => random.below(bytes.len()),
    };
    match random.below(10) {
        0 => bytes[at] ^= 1 << random.below(8),
        1 => bytes[at] = random.next() as u8,
        2 | 3 => {
            let edge = EDGES[random.below(EDGES.len())].to_le_bytes();
            let width = [1, 2, 4, 8][random.below(4)].min(bytes.len() - at);
            bytes[at..at + width].copy_from_slice(&edge[..width]);
        }
        4 => bytes[at] = bytes[at].wrapping_add([1, 255][random.below(2)]),
        5 => bytes.truncate(at),
        6 => {
            let length = random.below((bytes.len() - at).min(64) + 1);
            bytes.drain(at..at + length);
        }
        7 => {
            // A piece of itself, again.
            let length = random.below((bytes.len() - at).min(256) + 1);
            let piece = bytes[at..at + length].to_vec();
            let to = random.below(bytes.len() + 1);
            bytes.splice(to..to, piece);
        }
        8 => {
            let other = &good[random.below(good.len())];
            let from = random.below(other.len());
            let length = random.below((other.len() - from).min(256) + 1);
            let end = (at + length).min(bytes.len());
            bytes.splice(at..end, other[from..from + length].iter().copied());
        }
        _ => {
            let (other, length) = (random.below(bytes.len()), random.below(16));
            let length = length.min(bytes.len() - at.max(other));
            bytes.copy_within(other..other + length, at);
        }
    }
}
