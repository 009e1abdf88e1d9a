//! The Internet checksum (RFC 1071): one's-complement sums of 16-bit big-endian words.
//!
//! A sum here is a plain number: the words' value as read in network order, carries folded back in.
//! Sums of pieces that start at even offsets add up, in any order.

/// The folded sum over `data`, an odd last byte padded with zero
pub fn sum(data: &[u8]) -> u16 {
    // RFC 1071 section 2 (B): the sum does not depend on byte order, so words are added as the CPU
    // loads them and swapped once. Halves of 64-bit words go into 64-bit lanes, which cannot overflow
    // below 32 GiB and which the compiler turns into SIMD.
    let mut low = [0u64; LANES];
    let mut high = [0u64; LANES];
    let (blocks, rest) = data.as_chunks::<{ LANES * 8 }>();
    for block in blocks {
        let (words, _) = block.as_chunks::<8>();
        for ((word, low), high) in words.iter().zip(&mut low).zip(&mut high) {
            let word = u64::from_ne_bytes(*word);
            *low = low.wrapping_add(word & 0xffff_ffff);
            *high = high.wrapping_add(word >> 32);
        }
    }
    let mut total = low.iter().chain(&high).copied().fold(0, u64::wrapping_add);
    let (words, rest) = rest.as_chunks::<4>();
    for word in words {
        total = total.wrapping_add(u32::from_ne_bytes(*word).into());
    }
    let mut last = [0; 4];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    total = total.wrapping_add(u32::from_ne_bytes(last).into());
    u16::from_be(fold(total))
}

/// The value of `total` as a one's-complement 16-bit sum: carries added back until none is left
pub const fn fold(total: u64) -> u16 {
    // The sum of two halves has at least one bit more than either, and room for it.
    let total = (total >> 32).wrapping_add(total & 0xffff_ffff);
    let total = (total >> 16).wrapping_add(total & 0xffff);
    let total = (total >> 16).wrapping_add(total & 0xffff);
    let total = (total >> 16).wrapping_add(total & 0xffff);
    total as u16
}

/// The checksum field for data whose sum, with that field zero, is `total`
pub const fn complement(total: u64) -> u16 {
    !fold(total)
}

/// As [`complement`], but never zero, which in UDP means "no checksum"
pub const fn complement_nonzero(total: u64) -> u16 {
    match complement(total) {
        0 => 0xffff,
        sum => sum,
    }
}

/// 64-bit lanes summed at once: 64 bytes, a cache line
const LANES: usize = 8;

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition of RFC 1071 word for word: add, carry around, two bytes at a time
    pub(crate) fn simple(data: &[u8]) -> u16 {
        let mut total = 0u32;
        for pair in data.chunks(2) {
            total += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
            if total > 0xffff {
                total -= 0xffff;
            }
        }
        total as u16
    }

    proptest! {
        #[test]
        fn the_sum_is_that_of_the_definition(data in prop::collection::vec(any::<u8>(), 0..4000)) {
            prop_assert_eq!(sum(&data), simple(&data));
        }

        #[test]
        fn pieces_at_even_offsets_add_up(data in prop::collection::vec(any::<u8>(), 0..600), cut in 0..300usize) {
            let (a, b) = data.split_at((cut * 2).min(data.len() & !1));
            prop_assert_eq!(fold(u64::from(sum(a)) + u64::from(sum(b))), sum(&data));
        }
    }

    #[test]
    fn the_example_of_rfc_1071_sums_to_its_result() {
        assert_eq!(sum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), 0xddf2);
    }

    #[test]
    fn extremes_fold() {
        assert_eq!(fold(u64::MAX), 0xffff);
        assert_eq!(sum(&vec![0xff; 65_536]), 0xffff);
        assert_eq!(complement_nonzero(0xffff), 0xffff);
    }
}
