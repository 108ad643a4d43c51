//! Readers that do nothing but sum what they read, so that memory alone limits them.

use std::array::from_fn;

/// Numbers of one turn of the loop: eight vectors of 64 bytes, summed apart so that no sum waits for another.
const TURN: usize = 64;

/// How far ahead of the loads the prefetching reader asks, in bytes.
#[cfg(target_arch = "x86_64")]
const AHEAD: usize = 4096;

/// A way to read memory once, from the first byte to the last.
pub type Reader = fn(&[u64]) -> u64;

/// The readers that this processor runs. Which is fastest differs from machine to machine; the limit is the best of all.
pub fn readers() -> Vec<Reader> {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f") {
        return vec![x86::wide, x86::wide_prefetched, x86::narrow];
    } else if is_x86_feature_detected!("avx2") {
        return vec![x86::narrow];
    }
    vec![sum]
}

/// The sum of all numbers, wrapping.
#[inline(always)]
fn sum(data: &[u64]) -> u64 {
    let mut sums = [0u64; TURN];
    let (turns, rest) = data.as_chunks::<TURN>();
    for turn in turns {
        sums = from_fn(|i| sums[i].wrapping_add(turn[i]));
    }
    sums.iter().chain(rest).fold(0, |a, b| a.wrapping_add(*b))
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{AHEAD, TURN};
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    use std::array::from_fn;

    #[target_feature(enable = "avx512f")]
    fn sum_avx512(data: &[u64]) -> u64 {
        super::sum(data)
    }

    #[target_feature(enable = "avx2")]
    fn sum_avx2(data: &[u64]) -> u64 {
        super::sum(data)
    }

    #[target_feature(enable = "avx512f")]
    fn sum_prefetched(data: &[u64]) -> u64 {
        let mut sums = [0u64; TURN];
        let (turns, rest) = data.as_chunks::<TURN>();
        for turn in turns {
            for line in 0..TURN / 8 {
                let at = turn.as_ptr().wrapping_byte_add(AHEAD + line * 64);
                // Past the end it names an address outside of the data, which a prefetch may.
                _mm_prefetch::<_MM_HINT_T0>(at.cast());
            }
            sums = from_fn(|i| sums[i].wrapping_add(turn[i]));
        }
        sums.iter().chain(rest).fold(0, |a, b| a.wrapping_add(*b))
    }

    pub fn wide(data: &[u64]) -> u64 {
        // SAFETY: `readers` gives this out only where the processor has AVX-512.
        unsafe { sum_avx512(data) }
    }

    pub fn wide_prefetched(data: &[u64]) -> u64 {
        // SAFETY: as above.
        unsafe { sum_prefetched(data) }
    }

    pub fn narrow(data: &[u64]) -> u64 {
        // SAFETY: `readers` gives this out only where the processor has AVX2.
        unsafe { sum_avx2(data) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reader_reads_everything() {
        let data: Vec<u64> = (0..1000).map(|i| i * i).collect();
        let expected: u64 = data.iter().sum();
        for (i, reader) in readers().iter().enumerate() {
            assert_eq!(reader(&data), expected, "reader {i}");
        }
    }
}
