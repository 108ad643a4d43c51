//! Block formats of GGUF: dequantization of every stored type, quantization to some.
