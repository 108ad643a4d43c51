use std::path::PathBuf;

use super::*;

fn fixture(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/blocks").join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
}

#[test]
fn decodes_as_the_gguf_package() {
    for dtype in DType::all().filter(|d| !matches!(d, DType::F32 | DType::I32)) {
        let bytes = fixture(&format!("{dtype}.bin"));
        let want = floats(&fixture(&format!("{dtype}.f32")));
        let mut got = vec![f32::NAN; want.len()];
        dequantize(dtype, &bytes, &mut got).unwrap();
        for (i, (g, w)) in got.iter().zip(&want).enumerate() {
            assert_eq!(g.to_bits(), w.to_bits(), "{dtype} value {i}: got {g}, want {w}");
        }
    }
}

#[test]
fn encodes_as_the_gguf_package() {
    use DType::*;
    for dtype in [F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, MXFP4] {
        let values = floats(&fixture(&format!("quantized_{dtype}.f32")));
        let want = fixture(&format!("quantized_{dtype}.bin"));
        let mut got = vec![0xaa; want.len()];
        quantize(dtype, &values, &mut got).unwrap();
        for (i, (g, w)) in got.chunks(dtype.block_bytes()).zip(want.chunks(dtype.block_bytes())).enumerate() {
            assert_eq!(g, w, "{dtype} block {i}");
        }
    }
}
