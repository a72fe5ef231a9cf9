//! FNV-1a with 64 bits: short names that are the same on every machine and in every version.

/// The hash of nothing, to go on from.
pub const EMPTY: u64 = 0xcbf2_9ce4_8422_2325;

/// The hash after more bytes.
pub fn extend(hash: u64, bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes.into_iter().fold(hash, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_that_are_published() {
        // From the test vectors of Fowler, Noll and Vo.
        assert_eq!(extend(EMPTY, *b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(extend(extend(EMPTY, *b"foo"), *b"bar"), 0x8594_4171_f739_67e8);
    }
}
