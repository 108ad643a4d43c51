//! Sixteen bytes at a time: the few vector steps that decoding is made of, for AVX2 and for any machine.
//!
//! Every format is written once over [`Lanes`]. The compiler vectorizes such loops badly when they interleave halves of
//! bytes, hence the explicit AVX2.

use super::plain::F16;

/// Steps on sixteen quants, one a byte. All but `scaled` are exact integer steps.
pub trait Lanes: Copy {
    /// Sixteen bytes.
    type Bytes: Copy;

    /// The sixteen bytes as they lie in memory.
    fn load(self, bytes: &[u8; 16]) -> Self::Bytes;
    /// `v >> shift & mask`; the mask leaves no bit that a neighbour's bit could reach.
    fn bits(self, v: Self::Bytes, shift: u32, mask: u8) -> Self::Bytes;
    /// Byte i is bit i, as 0 or 1.
    fn spread(self, bits: u16) -> Self::Bytes;
    /// `low | high << shift`; `high` has no bit that leaves its byte.
    fn join(self, low: Self::Bytes, high: Self::Bytes, shift: u32) -> Self::Bytes;
    /// `v - offset`, signed.
    fn less(self, v: Self::Bytes, offset: u8) -> Self::Bytes;
    /// `table[v]`, v below 16.
    fn look_up(self, table: &[i8; 16], v: Self::Bytes) -> Self::Bytes;
    /// `scale * v` of signed bytes.
    fn scaled(self, v: Self::Bytes, scale: f32, out: &mut [f32; 16]);
    /// `scale * v + offset` of signed bytes, rounded twice.
    fn scaled_plus(self, v: Self::Bytes, scale: f32, offset: f32, out: &mut [f32; 16]);
    /// One half.
    fn half(self, h: F16) -> f32;
    /// Eight halves.
    fn halves(self, v: &[F16; 8], out: &mut [f32; 8]);
}

/// Plain loops.
#[derive(Clone, Copy)]
pub struct Portable;

impl Lanes for Portable {
    type Bytes = [u8; 16];

    #[inline(always)]
    fn load(self, bytes: &[u8; 16]) -> [u8; 16] {
        *bytes
    }

    #[inline(always)]
    fn bits(self, v: [u8; 16], shift: u32, mask: u8) -> [u8; 16] {
        v.map(|v| v >> shift & mask)
    }

    #[inline(always)]
    fn spread(self, bits: u16) -> [u8; 16] {
        std::array::from_fn(|i| (bits >> i & 1) as u8)
    }

    #[inline(always)]
    fn join(self, low: [u8; 16], high: [u8; 16], shift: u32) -> [u8; 16] {
        std::array::from_fn(|i| low[i] | high[i] << shift)
    }

    #[inline(always)]
    fn less(self, v: [u8; 16], offset: u8) -> [u8; 16] {
        v.map(|v| v.wrapping_sub(offset))
    }

    #[inline(always)]
    fn look_up(self, table: &[i8; 16], v: [u8; 16]) -> [u8; 16] {
        v.map(|v| table[usize::from(v & 15)] as u8)
    }

    #[inline(always)]
    fn scaled(self, v: [u8; 16], scale: f32, out: &mut [f32; 16]) {
        *out = v.map(|v| scale * f32::from(v as i8));
    }

    #[inline(always)]
    fn scaled_plus(self, v: [u8; 16], scale: f32, offset: f32, out: &mut [f32; 16]) {
        *out = v.map(|v| scale * f32::from(v as i8) + offset);
    }

    #[inline(always)]
    fn half(self, h: F16) -> f32 {
        h.get()
    }

    #[inline(always)]
    fn halves(self, v: &[F16; 8], out: &mut [f32; 8]) {
        *out = v.map(F16::get);
    }
}

#[cfg(target_arch = "x86_64")]
pub use x86::Avx2;

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use bytemuck::{cast, cast_ref};

    use super::{F16, Lanes};

    /// Proof that AVX2 and F16C are there. Its methods are inlined into functions compiled for both.
    #[derive(Clone, Copy)]
    pub struct Avx2(());

    impl Avx2 {
        /// The proof, where the machine has both.
        #[inline]
        pub fn detect() -> Option<Avx2> {
            (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("f16c")).then_some(Avx2(()))
        }

        /// The proof, for code that runs only after `detect` gave one.
        ///
        /// # Safety
        /// The machine has AVX2 and F16C.
        #[inline(always)]
        pub unsafe fn detected_before() -> Avx2 {
            Avx2(())
        }

        /// Sixteen signed bytes as two vectors of f32.
        #[inline(always)]
        fn widen(self, v: __m128i) -> [__m256; 2] {
            // SAFETY: `self` proves AVX2.
            unsafe {
                let high = _mm_unpackhi_epi64(v, v);
                [v, high].map(|v| _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(v)))
            }
        }
    }

    impl Lanes for Avx2 {
        type Bytes = __m128i;

        #[inline(always)]
        fn load(self, bytes: &[u8; 16]) -> __m128i {
            cast(*bytes)
        }

        #[inline(always)]
        fn bits(self, v: __m128i, shift: u32, mask: u8) -> __m128i {
            // SAFETY: `self` proves AVX2.
            unsafe { _mm_and_si128(_mm_srl_epi16(v, _mm_cvtsi32_si128(shift as i32)), _mm_set1_epi8(mask as i8)) }
        }

        #[inline(always)]
        fn spread(self, bits: u16) -> __m128i {
            // SAFETY: `self` proves AVX2.
            unsafe {
                let own_byte = _mm_shuffle_epi8(_mm_set1_epi16(bits as i16), _mm_set_epi64x(0x0101010101010101, 0));
                let own_bit = _mm_set1_epi64x(0x8040201008040201u64 as i64);
                _mm_and_si128(_mm_cmpeq_epi8(_mm_and_si128(own_byte, own_bit), own_bit), _mm_set1_epi8(1))
            }
        }

        #[inline(always)]
        fn join(self, low: __m128i, high: __m128i, shift: u32) -> __m128i {
            // SAFETY: `self` proves AVX2.
            unsafe { _mm_or_si128(low, _mm_sll_epi16(high, _mm_cvtsi32_si128(shift as i32))) }
        }

        #[inline(always)]
        fn less(self, v: __m128i, offset: u8) -> __m128i {
            // SAFETY: `self` proves AVX2.
            unsafe { _mm_sub_epi8(v, _mm_set1_epi8(offset as i8)) }
        }

        #[inline(always)]
        fn look_up(self, table: &[i8; 16], v: __m128i) -> __m128i {
            // SAFETY: `self` proves AVX2.
            unsafe { _mm_shuffle_epi8(cast(*table), v) }
        }

        #[inline(always)]
        fn scaled(self, v: __m128i, scale: f32, out: &mut [f32; 16]) {
            // SAFETY: `self` proves AVX2.
            *out = cast(self.widen(v).map(|v| unsafe { _mm256_mul_ps(_mm256_set1_ps(scale), v) }));
        }

        #[inline(always)]
        fn scaled_plus(self, v: __m128i, scale: f32, offset: f32, out: &mut [f32; 16]) {
            // SAFETY: `self` proves AVX2.
            *out =
                cast(self.widen(v).map(|v| unsafe {
                    _mm256_add_ps(_mm256_mul_ps(_mm256_set1_ps(scale), v), _mm256_set1_ps(offset))
                }));
        }

        #[inline(always)]
        fn half(self, h: F16) -> f32 {
            // SAFETY: `self` proves F16C.
            unsafe { _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(i32::from(h.bits())))) }
        }

        #[inline(always)]
        fn halves(self, v: &[F16; 8], out: &mut [f32; 8]) {
            // SAFETY: `self` proves F16C.
            *out = cast(unsafe { _mm256_cvtph_ps(cast(*cast_ref::<_, [u8; 16]>(v))) });
        }
    }
}
