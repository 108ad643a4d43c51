//! The smallest models that open, for tests that damage them.

use metallic_kernels::DType;
use metallic_model::Arch;
use metallic_model::gguf::Value;
use metallic_model::gguf_write::GgufWriter;
use std::path::Path;

/// Tensors of a model of one layer, width 32, one head, 259 tokens: canonical name, name in safetensors, shape.
pub const TENSORS: [(&str, &str, &[usize]); 11] = [
    ("token_embd.weight", "model.embed_tokens.weight", &[259, 32]),
    ("output_norm.weight", "model.norm.weight", &[32]),
    ("blk.0.attn_norm.weight", "model.layers.0.input_layernorm.weight", &[32]),
    ("blk.0.attn_q.weight", "model.layers.0.self_attn.q_proj.weight", &[32, 32]),
    ("blk.0.attn_k.weight", "model.layers.0.self_attn.k_proj.weight", &[32, 32]),
    ("blk.0.attn_v.weight", "model.layers.0.self_attn.v_proj.weight", &[32, 32]),
    ("blk.0.attn_output.weight", "model.layers.0.self_attn.o_proj.weight", &[32, 32]),
    ("blk.0.ffn_norm.weight", "model.layers.0.post_attention_layernorm.weight", &[32]),
    ("blk.0.ffn_gate.weight", "model.layers.0.mlp.gate_proj.weight", &[32, 32]),
    ("blk.0.ffn_up.weight", "model.layers.0.mlp.up_proj.weight", &[32, 32]),
    ("blk.0.ffn_down.weight", "model.layers.0.mlp.down_proj.weight", &[32, 32]),
];

fn extra(arch: Arch) -> &'static [(&'static str, &'static [usize])] {
    match arch {
        Arch::Llama => &[],
        Arch::Qwen2 => &[("blk.0.attn_q.bias", &[32]), ("blk.0.attn_k.bias", &[32]), ("blk.0.attn_v.bias", &[32])],
        Arch::Qwen3 => &[("blk.0.attn_q_norm.weight", &[32]), ("blk.0.attn_k_norm.weight", &[32])],
    }
}

/// Header of a GGUF model with a byte-level vocabulary, or for llama a SentencePiece one. Tests add their own keys.
pub fn keys(arch: Arch) -> GgufWriter {
    let mut w = GgufWriter::new();
    let a = arch.name();
    w.put("general.architecture", Value::Str(a)).unwrap();
    for (key, n) in [
        ("block_count", 1),
        ("embedding_length", 32),
        ("feed_forward_length", 32),
        ("attention.head_count", 1),
        ("context_length", 64),
    ] {
        w.put(&format!("{a}.{key}"), Value::U32(n)).unwrap();
    }
    w.put(&format!("{a}.attention.layer_norm_rms_epsilon"), Value::F32(1e-6)).unwrap();
    let pieces = arch == Arch::Llama;
    let mut tokens: Vec<Vec<u8>> = match pieces {
        true => (0..=255u8).map(|b| format!("<0x{b:02X}>").into_bytes()).collect(),
        false => (0u8..=255).map(|b| alphabet(b).to_string().into_bytes()).collect(),
    };
    tokens.extend([b"he".to_vec(), b"</s>".to_vec(), b"h".to_vec()]);
    let mut types = vec![if pieces { 6 } else { 1 }; 256];
    types.extend([1, 3, 1]);
    w.put("tokenizer.ggml.model", Value::Str(if pieces { "llama" } else { "gpt2" })).unwrap();
    w.put("tokenizer.ggml.pre", Value::Str(if arch == Arch::Qwen2 { "qwen2" } else { "llama-bpe" })).unwrap();
    w.put_strings("tokenizer.ggml.tokens", &tokens).unwrap();
    w.put_i32s("tokenizer.ggml.token_type", &types).unwrap();
    if pieces {
        w.put_f32s("tokenizer.ggml.scores", &vec![-1.0; 259]).unwrap();
    } else {
        w.put_strings("tokenizer.ggml.merges", &["h e"]).unwrap();
    }
    w.put("tokenizer.ggml.eos_token_id", Value::U32(257)).unwrap();
    w.put("tokenizer.ggml.add_bos_token", Value::Bool(false)).unwrap();
    w
}

/// Announces the tensors in `dtype` and writes them, all bytes zero.
pub fn finish(mut w: GgufWriter, arch: Arch, dtype: DType) -> Vec<u8> {
    let tensors = TENSORS.iter().map(|(name, _, shape)| (*name, *shape)).chain(extra(arch).iter().copied());
    for (name, shape) in tensors.clone() {
        w.tensor(name, if shape.len() > 1 { dtype } else { DType::F32 }, shape).unwrap();
    }
    let n = w.tensor_bytes();
    let mut body = w.write_to(Vec::new(), Path::new("memory")).unwrap();
    for (_, shape) in tensors {
        let dtype = if shape.len() > 1 { dtype } else { DType::F32 };
        body.write(&vec![0; dtype.bytes(shape.iter().product()).unwrap()]).unwrap();
    }
    let bytes = body.into_bytes().unwrap();
    assert!(bytes.len() as u64 > n);
    bytes
}

/// A whole GGUF model.
pub fn gguf(arch: Arch, dtype: DType) -> Vec<u8> {
    finish(keys(arch), arch, dtype)
}

/// `config.json` of the same model.
pub fn config_json() -> String {
    r#"{"model_type":"llama","hidden_size":32,"intermediate_size":32,"num_hidden_layers":1,"num_attention_heads":1,
"num_key_value_heads":1,"vocab_size":259,"max_position_embeddings":64,"rms_norm_eps":1e-6,"rope_theta":10000.0,
"rope_scaling":null,"bos_token_id":null,"eos_token_id":[257],"tie_word_embeddings":true,"hidden_act":"silu"}"#
        .to_owned()
}

/// `model.safetensors` of the same model in BF16.
pub fn safetensors() -> Vec<u8> {
    safetensors_for(259)
}

/// The same with `vocab` tokens.
pub fn safetensors_for(vocab: usize) -> Vec<u8> {
    let mut header = String::from("{");
    let mut at = 0;
    for (i, (_, name, shape)) in TENSORS.iter().enumerate() {
        let mut shape = shape.to_vec();
        if i == 0 {
            shape[0] = vocab;
        }
        let len = 2 * shape.iter().product::<usize>();
        let comma = if i > 0 { "," } else { "" };
        let end = at + len;
        header += &format!(r#"{comma}"{name}":{{"dtype":"BF16","shape":{shape:?},"data_offsets":[{at},{end}]}}"#);
        at = end;
    }
    header.push('}');
    with_header(&header, at)
}

/// A safetensors file of any header, with `data` zero bytes behind it.
pub fn with_header(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

/// A byte as byte-level vocabularies write it.
fn alphabet(byte: u8) -> char {
    let printable = |b: &u8| matches!(b, 33..=126 | 161..=172 | 174..=255);
    if printable(&byte) {
        return char::from(byte);
    }
    let before = (0..byte).filter(|b| !printable(b)).count() as u32;
    char::from_u32(256 + before).unwrap()
}
