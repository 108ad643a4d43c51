use std::path::PathBuf;

use proptest::prelude::*;

use super::*;

/// Types whose encoder is compared with the `gguf` package, byte for byte.
const AS_GGUF: [DType; 8] =
    [DType::F16, DType::BF16, DType::Q8_0, DType::Q4_0, DType::Q4_1, DType::Q5_0, DType::Q5_1, DType::MXFP4];

fn fixture(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/blocks").join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
}

fn encoded(dtype: DType, values: &[f32]) -> Vec<u8> {
    let mut bytes = vec![0xaa; dtype.bytes(values.len()).unwrap()];
    quantize(dtype, values, &mut bytes).unwrap();
    bytes
}

fn decoded(dtype: DType, bytes: &[u8]) -> Vec<f32> {
    let mut values = vec![f32::NAN; bytes.len() / dtype.block_bytes() * dtype.block()];
    dequantize(dtype, bytes, &mut values).unwrap();
    values
}

fn there_and_back(dtype: DType, values: &[f32]) -> Vec<f32> {
    decoded(dtype, &encoded(dtype, values))
}

fn assert_same_bits(got: &[f32], want: &[f32], what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert_eq!(g.to_bits(), w.to_bits(), "{what}, value {i}: got {g}, want {w}");
    }
}

/// Root of the mean squared difference.
fn rms(a: &[f32], b: &[f32]) -> f64 {
    let sum: f64 = a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
    (sum / a.len() as f64).sqrt()
}

/// Values of a normal distribution, by the Box-Muller transform of a 64-bit congruential generator.
fn gaussian(n: usize, size: f32) -> Vec<f32> {
    let mut state = 20260u64;
    let mut uniform = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((state >> 40) as f64 + 0.5) / (1u64 << 24) as f64
    };
    let mut normal = || (-2.0 * uniform().ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos();
    (0..n).map(|_| normal() as f32 * size).collect()
}

#[test]
fn decodes_as_the_gguf_package() {
    for dtype in DType::all().filter(|d| !matches!(d, DType::F32 | DType::I32)) {
        let bytes = fixture(&format!("{dtype}.bin"));
        let want = floats(&fixture(&format!("{dtype}.f32")));
        assert_same_bits(&decoded(dtype, &bytes), &want, dtype.name());
    }
}

#[test]
fn encodes_as_the_gguf_package() {
    for dtype in AS_GGUF {
        let values = floats(&fixture(&format!("quantized_{dtype}.f32")));
        let want = fixture(&format!("quantized_{dtype}.bin"));
        let got = encoded(dtype, &values);
        for (i, (g, w)) in got.chunks(dtype.block_bytes()).zip(want.chunks(dtype.block_bytes())).enumerate() {
            assert_eq!(g, w, "{dtype} block {i}");
        }
    }
}

#[test]
fn portable_loops_equal_the_detected_ones() {
    fn check<B: Encode>(values: &[f32]) {
        let bytes = encoded(B::DTYPE, values);
        let mut portable = vec![0; bytes.len()];
        encode_row::<B>(values, &mut portable).unwrap();
        assert!(bytes == portable, "{} encodes differently", B::DTYPE);
        let mut portable = vec![f32::NAN; values.len()];
        decode_portable::<B>(&bytes, &mut portable);
        assert_same_bits(&portable, &decoded(B::DTYPE, &bytes), B::DTYPE.name());
    }
    let values = gaussian(2048, 0.02);
    check::<F32>(&values);
    check::<F16>(&values[..2043]);
    check::<Bf16>(&values);
    check::<BlockQ8_0>(&values);
    check::<BlockQ4_0>(&values);
    check::<BlockQ4_1>(&values);
    check::<BlockQ5_0>(&values);
    check::<BlockQ5_1>(&values);
    check::<BlockQ2K>(&values);
    check::<BlockQ3K>(&values);
    check::<BlockQ4K>(&values);
    check::<BlockQ5K>(&values);
    check::<BlockQ6K>(&values);
    check::<BlockIq4Nl>(&values);
    check::<BlockMxfp4>(&values);
}

#[test]
fn halves_equal_the_half_crate() {
    for bits in 0..=u16::MAX {
        let (got, want) = (f16_to_f32(bits), half::f16::from_bits(bits).to_f32());
        assert!(got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan(), "{bits:#06x}: {got} and {want}");
    }
    // Every half, the midpoints between neighbours and one step to both sides of these, and a sample of all f32.
    let near = (0..=u16::MAX).flat_map(|bits| {
        let value = half::f16::from_bits(bits).to_f32().to_bits();
        [value, value ^ 0x1000, (value ^ 0x1000).wrapping_add(1), (value ^ 0x1000).wrapping_sub(1)]
    });
    for bits in near.chain((0..1 << 22).map(|i: u32| i.wrapping_mul(1021))) {
        let value = f32::from_bits(bits);
        let (got, want) = (f32_to_f16(value), half::f16::from_f32(value));
        assert!(got == want.to_bits() || value.is_nan() && half::f16::from_bits(got).is_nan(), "{value}");
        let (got, want) = (f32_to_bf16(value), half::bf16::from_f32(value));
        assert!(got == want.to_bits() || value.is_nan() && half::bf16::from_bits(got).is_nan(), "{value}");
    }
}

/// Error on normal values of size 1, and how much of it a second round adds; limits 2 % above what was measured.
#[test]
fn search_beats_plain_rounding_and_is_stable() {
    let values = gaussian(1 << 16, 1.0);
    let zeros = vec![0.0; values.len()];
    let q4_0 = rms(&values, &there_and_back(DType::Q4_0, &values));
    for (dtype, limit) in [
        (DType::Q2_K, 0.272),
        (DType::Q3_K, 0.147),
        (DType::Q4_K, 0.0713),
        (DType::Q5_K, 0.0352),
        (DType::Q6_K, 0.0173),
        (DType::IQ4_NL, 0.0752),
    ] {
        let once = there_and_back(dtype, &values);
        let twice = there_and_back(dtype, &once);
        let error = rms(&values, &once) / rms(&values, &zeros);
        let drift = rms(&once, &twice) / rms(&values, &once);
        println!("{dtype}: error {error:.4}, drift {drift:.3}");
        assert!(error < limit, "{dtype}: error {error}");
        assert!(drift < 0.15, "{dtype}: a second round adds {drift} of the first one's error");
    }
    let q4_k = rms(&values, &there_and_back(DType::Q4_K, &values));
    assert!(q4_k < 0.87 * q4_0, "q4_k {q4_k}, q4_0 {q4_0}");
}

#[test]
fn types_without_search_are_stable_to_the_byte() {
    let values = gaussian(1 << 14, 0.02);
    for dtype in AS_GGUF {
        let bytes = encoded(dtype, &values);
        assert!(bytes == encoded(dtype, &decoded(dtype, &bytes)), "{dtype}");
    }
}

#[test]
fn zeros_and_constants_come_back() {
    for dtype in DType::all().filter(|d| can_quantize(*d)) {
        assert!(there_and_back(dtype, &[0.0; 256]).iter().all(|v| *v == 0.0), "{dtype}");
        for constant in [2.0, -2.0] {
            let back = there_and_back(dtype, &[constant; 256]);
            assert!(back.iter().all(|v| (v - constant).abs() < 2e-3), "{dtype}: {constant} became {}", back[0]);
        }
    }
}

#[test]
fn refuses_what_cannot_be_stored() {
    for dtype in DType::all().filter(|d| can_quantize(*d)) {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut values = [1.0; 512];
            values[300] = bad;
            let mut out = vec![0; dtype.bytes(512).unwrap()];
            match quantize(dtype, &values, &mut out) {
                Err(QuantError::Value { index: 300, value, .. }) => assert_eq!(value.to_bits(), bad.to_bits()),
                other => panic!("{dtype} {bad}: {other:?}"),
            }
        }
    }
    let error = quantize(DType::F16, &[1.0, 65520.0], &mut [0; 4]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "value 65520 at index 1 cannot be stored as f16 (finite, magnitude at most 65519.996)"
    );
    let no_encoder = quantize(DType::I32, &[], &mut []);
    assert_eq!(no_encoder, Err(QuantError::NoEncoder { dtype: DType::I32 }));
}

#[test]
fn refuses_sizes_that_disagree() {
    let partial = dequantize(DType::Q4_K, &[0; 144], &mut [0.0; 255]);
    assert_eq!(partial, Err(QuantError::Partial { dtype: DType::Q4_K, values: 255 }));
    let error = quantize(DType::Q8_0, &[0.0; 64], &mut [0; 67]).unwrap_err();
    assert_eq!(error, QuantError::Size { dtype: DType::Q8_0, values: 64, expected: 68, got: 67 });
    assert_eq!(error.to_string(), "64 values of q8_0 take 68 bytes, got 67");
}

/// The largest value that each type stores comes back finite.
#[test]
fn the_limit_itself_fits() {
    for dtype in DType::all().filter(|d| can_quantize(*d) && *d != DType::MXFP4) {
        let Err(QuantError::Value { limit, .. }) =
            quantize(dtype, &[f32::INFINITY; 256], &mut vec![0; dtype.bytes(256).unwrap()])
        else {
            panic!("{dtype} takes infinity")
        };
        let values: Vec<f32> = (0..256).map(|i| if i % 3 == 0 { -limit } else { limit }).collect();
        assert!(there_and_back(dtype, &values).iter().all(|v| v.is_finite()), "{dtype} at {limit}");
    }
}

fn any_dtype() -> impl Strategy<Value = DType> {
    prop::sample::select(DType::all().collect::<Vec<_>>())
}

/// 256 values of one size, some of them zero, with sizes from far below the smallest half up to 1000.
fn weights() -> impl Strategy<Value = Vec<f32>> {
    (-40.0f32..10.0).prop_flat_map(|size| {
        let value = prop_oneof![4 => -1.0f32..1.0, 1 => Just(0.0), 1 => -0.01f32..0.01];
        prop::collection::vec(value.prop_map(move |v| v * size.exp2()), 256)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_decode(dtype in any_dtype(), bytes in prop::collection::vec(any::<u8>(), 0..2000), values in 0usize..1100) {
        let whole = bytes.len() / dtype.block_bytes();
        let fit = dequantize(dtype, &bytes[..whole * dtype.block_bytes()], &mut vec![0.0; whole * dtype.block()]);
        prop_assert_eq!(fit, Ok(()));
        let fits = dtype.bytes(values) == Some(bytes.len());
        prop_assert_eq!(dequantize(dtype, &bytes, &mut vec![0.0; values]).is_ok(), fits);
    }

    #[test]
    fn any_values_encode_or_are_refused(dtype in any_dtype(), bits in prop::collection::vec(any::<u32>(), 256)) {
        let values: Vec<f32> = bits.into_iter().map(f32::from_bits).collect();
        let mut out = vec![0; dtype.bytes(256).unwrap()];
        if let Err(QuantError::Value { index, limit, .. }) = quantize(dtype, &values, &mut out) {
            let fits = |v: &f32| v.abs() <= limit;
            prop_assert!(!fits(&values[index]) && values[..index].iter().all(fits));
        }
    }

    /// Half a step, where the scale survives as a half. The step that Q4_0 and Q5_0 lack on one side costs a whole one.
    #[test]
    fn blocks_of_32_err_by_half_a_step(values in weights()) {
        for (dtype, steps, symmetric) in [
            (DType::Q8_0, 254.0, true),
            (DType::Q4_0, 16.0, true),
            (DType::Q5_0, 32.0, true),
            (DType::Q4_1, 15.0, false),
            (DType::Q5_1, 31.0, false),
        ] {
            let back = there_and_back(dtype, &values);
            for (values, back) in values.chunks(32).zip(back.chunks(32)) {
                let low = values.iter().copied().fold(f32::INFINITY, f32::min);
                let high = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let far = low.abs().max(high.abs());
                let range = if symmetric { 2.0 * far } else { high - low };
                let step = range / steps;
                // Rounding scale and minimum to halves: 2^-11 of them, or half of the smallest half.
                let rounding = (far + range) * 2f32.powi(-11) + (steps + 1.0) * 2f32.powi(-25);
                for (v, b) in values.iter().zip(back) {
                    let missing = matches!(dtype, DType::Q4_0 | DType::Q5_0) && v.abs() > far - step;
                    let bound = if missing { step } else { 0.5 * step } * 1.0001 + rounding;
                    prop_assert!((v - b).abs() <= bound, "{}: {} became {}, step {}", dtype, v, b, step);
                }
            }
        }
    }

    /// The search gives single values up for the whole, so the bound holds in the mean, for the widest sub-block.
    #[test]
    fn super_blocks_err_by_half_a_step_in_the_mean(values in weights()) {
        for (dtype, sub, steps) in [
            (DType::Q2_K, 16, 3.0),
            (DType::Q3_K, 16, 7.0),
            (DType::Q4_K, 32, 15.0),
            (DType::Q5_K, 32, 31.0),
            (DType::Q6_K, 16, 63.0),
        ] {
            let back = there_and_back(dtype, &values);
            let symmetric = matches!(dtype, DType::Q3_K | DType::Q6_K);
            let widest = values.chunks(sub).fold(0.0f32, |widest, values| {
                let low = values.iter().copied().fold(0.0, f32::min);
                let high = values.iter().copied().fold(0.0, f32::max);
                widest.max(if symmetric { 2.0 * high.max(-low) } else { high - low })
            });
            // Where the scales are the smallest halves, each is off by up to half of one.
            let step = widest / steps + steps * 2f32.powi(-24);
            prop_assert!(rms(&values, &back) <= 0.5 * f64::from(step), "{}: {} > {} / 2", dtype, rms(&values, &back), step);
        }
    }
}
