//! Hugging Face folders that lie.

use crate::mini;
use metallic_model::ModelFile;
use std::path::PathBuf;

fn open(config: &str, weights: Vec<u8>) -> Result<ModelFile, String> {
    ModelFile::from_safetensors_bytes(config.as_bytes(), weights, Vec::new()).map_err(|e| e.to_string())
}

fn refused(config: &str, weights: Vec<u8>) -> String {
    open(config, weights).map(|_| ()).expect_err("opened")
}

#[test]
fn the_undamaged_model_opens() {
    let model = open(&mini::config_json(), mini::safetensors()).unwrap();
    assert_eq!(model.tensor("blk.0.ffn_down.weight").unwrap().info.shape, [32, 32]);
    assert!(model.config().tied);
}

#[test]
fn configurations_that_lie_are_refused_by_name() {
    let cases = [
        (
            r#""model_type":"llama""#,
            r#""model_type":"mamba""#,
            "unknown architecture `mamba`; known are llama, mistral",
        ),
        (r#""model_type":"llama","#, "", "`model_type`: expected the name of a model family, got nothing"),
        (r#""hidden_size":32"#, r#""hidden_size":64"#, "token_embd.weight`: expected shape [259, 64], got [259, 32]"),
        (r#""hidden_size":32"#, r#""hidden_size":"32""#, "`hidden_size`: expected a non-negative integer, got \"32\""),
        (r#""hidden_size":32"#, r#""hidden_size":-32"#, "expected a non-negative integer, got -32"),
        (r#""hidden_size":32"#, r#""hidden_size":18446744073709551615"#, "`hidden_size`: expected 1 to"),
        (r#""num_attention_heads":1"#, r#""num_attention_heads":0"#, "`num_attention_heads`: expected a divisor of 32"),
        (r#""num_key_value_heads":1"#, r#""num_key_value_heads":7"#, "a divisor of the 1 query heads, got 7"),
        (r#""num_hidden_layers":1"#, r#""num_hidden_layers":8192"#, "`blk.1.attn_norm.weight`: expected shape [32]"),
        (
            r#""rope_scaling":null"#,
            r#""rope_scaling":{"type":"dynamic"}"#,
            "default, linear, llama3 or yarn, got dynamic",
        ),
        (r#""rope_scaling":null"#, r#""rope_scaling":{"rope_type":"llama3"}"#, "`factor`: expected a number"),
        (r#""rope_scaling":null"#, r#""rope_scaling":[]"#, "`rope_scaling`: expected an object, got []"),
        (r#""rope_theta":10000.0"#, r#""rope_theta":0"#, "`rope_theta`: expected a finite number above 0"),
        (r#""rope_theta":10000.0"#, r#""rope_theta":1e39"#, "`rope_theta`: expected a finite number above 0"),
        (
            r#""eos_token_id":[257]"#,
            r#""eos_token_id":[257,259]"#,
            "`eos_token_id`: expected token ids below 259, got 259",
        ),
        (r#""eos_token_id":[257]"#, r#""eos_token_id":["x"]"#, "a token id or a short list of them"),
        (r#""hidden_act":"silu""#, r#""hidden_act":"gelu""#, "`hidden_act`: expected silu, got gelu"),
        (
            r#""tie_word_embeddings":true"#,
            r#""tie_word_embeddings":false"#,
            "output.weight`: expected one, as nothing is tied",
        ),
        ("{", "[", "config.json: expected JSON"),
        ("}", "", "config.json: expected JSON"),
    ];
    for (from, to, expected) in cases {
        let config = mini::config_json().replacen(from, to, 1);
        let e = refused(&config, mini::safetensors());
        assert!(e.contains(expected), "{from} -> {to}: {e}");
    }
    let deep = "[".repeat(100_000);
    assert!(refused(&deep, mini::safetensors()).contains("recursion limit"));
    let huge = format!("{}{}", mini::config_json(), " ".repeat(1 << 18));
    assert!(refused(&huge, mini::safetensors()).contains("config.json: expected at most 262144 bytes"));
}

#[test]
fn headers_that_lie_are_refused() {
    let norm = |info: &str| mini::with_header(&format!(r#"{{"model.norm.weight":{{{info}}}}}"#), 64);
    let cases = [
        (Vec::new(), "byte 0 expected the length of the header (8 bytes)"),
        (vec![0xff; 8], "length of the header: expected at most 33554432"),
        (1000u64.to_le_bytes().to_vec(), "byte 8 expected the header (1000 bytes), but the file ends at byte 8"),
        (mini::with_header("{", 0), "the header of a safetensors file: expected JSON"),
        (norm(r#""dtype":"BF16","shape":[32],"data_offsets":[0,32]"#), "tensors without gaps"),
        (norm(r#""dtype":"BF16","shape":[16],"data_offsets":[0,32]"#), "expected 32 bytes of tensors, got 64"),
        (norm(r#""dtype":"BF16","shape":[64],"data_offsets":[0,128]"#), "expected 128 bytes of tensors, got 64"),
        (
            norm(r#""dtype":"I64","shape":[8],"data_offsets":[0,64]"#),
            "model.norm.weight`: expected f32, f16 or bf16, got I64",
        ),
        (norm(r#""dtype":"BF16","shape":[],"data_offsets":[0,2]"#), "expected 2 bytes of tensors"),
        (norm(r#""dtype":"BF16","shape":[4294967296,4294967296,2],"data_offsets":[0,64]"#), "tensors without gaps"),
        (norm(r#""dtype":"BF16","shape":[32],"data_offsets":[64,0]"#), "tensors without gaps"),
        (
            mini::with_header(
                r#"{"norm.weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"norm.weight":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#,
                8,
            ),
            "every name once, got 2 names and 1 different ones",
        ),
        (
            mini::with_header(r#"{"a.weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, 4),
            "`a.weight`: expected a tensor of a known family",
        ),
        (
            mini::with_header(
                r#"{"norm.weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"model.norm.weight":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#,
                8,
            ),
            "`output_norm.weight`: expected every name once",
        ),
    ];
    for (weights, expected) in cases {
        let e = refused(&mini::config_json(), weights);
        assert!(e.contains(expected), "{expected}: {e}");
    }
}

#[test]
fn a_cut_file_is_an_error() {
    let whole = mini::safetensors();
    for n in 0..whole.len() {
        let e = refused(&mini::config_json(), whole[..n].to_vec());
        assert!(e.contains("the file ends at byte") || e.contains("bytes of tensors"), "cut at {n}: {e}");
    }
}

fn folder(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("metallic-hostile-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("config.json"), mini::config_json()).unwrap();
    std::fs::write(dir.join("model-00001-of-00001.safetensors"), mini::safetensors()).unwrap();
    dir
}

#[test]
fn an_index_cannot_leave_its_folder() {
    let dir = folder("index");
    let index = dir.join("model.safetensors.index.json");
    let with = |file: &str| {
        std::fs::write(&index, format!(r#"{{"weight_map":{{"model.norm.weight":{file:?}}}}}"#)).unwrap();
        ModelFile::open(&dir).map_err(|e| e.to_string())
    };
    for outside in
        ["../x.safetensors", "/etc/x.safetensors", "a/../x.safetensors", "..", "", "passwd", "a\\b.safetensors"]
    {
        let e = with(outside).map(|_| ()).expect_err(outside);
        assert!(e.contains("names of .safetensors files in the same folder"), "{outside}: {e}");
    }
    assert!(with("missing.safetensors").unwrap_err().contains("missing.safetensors"));
    with("model-00001-of-00001.safetensors").unwrap();
    std::fs::write(
        &index,
        r#"{"weight_map":{"model.layers.7.mlp.up_proj.weight":"model-00001-of-00001.safetensors"}}"#,
    )
    .unwrap();
    let e = ModelFile::open(&dir).unwrap_err().to_string();
    assert!(e.contains("as the index says"), "{e}");
    std::fs::remove_dir_all(dir).unwrap();
}
