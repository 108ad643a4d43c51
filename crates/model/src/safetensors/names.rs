//! Names of tensors: Hugging Face's to GGUF's.

/// Parts of a block: name there, name here.
const LAYER: [(&str, &str); 11] = [
    ("input_layernorm", "attn_norm"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.o_proj", "attn_output"),
    ("self_attn.q_norm", "attn_q_norm"),
    ("self_attn.k_norm", "attn_k_norm"),
    ("post_attention_layernorm", "ffn_norm"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
];

/// What a tensor of a safetensors file is to us.
#[derive(Debug, PartialEq)]
pub enum Name {
    /// A weight, by its canonical name.
    Canonical(String),
    /// A buffer that is computed from the configuration instead.
    Skipped,
    /// Nothing that we know.
    Unknown,
}

/// The meaning of a tensor called `hf`.
pub fn canonical(hf: &str) -> Name {
    if hf.ends_with("rotary_emb.inv_freq") {
        return Name::Skipped;
    }
    let known = |name: &str| Name::Canonical(name.to_owned());
    match hf.strip_prefix("model.").unwrap_or(hf) {
        "embed_tokens.weight" => known("token_embd.weight"),
        "norm.weight" => known("output_norm.weight"),
        "lm_head.weight" => known("output.weight"),
        inner => layer(inner).map_or(Name::Unknown, Name::Canonical),
    }
}

fn layer(inner: &str) -> Option<String> {
    let (number, part) = inner.strip_prefix("layers.")?.split_once('.')?;
    let number: u32 = number.parse().ok()?;
    let (part, suffix) = part.rsplit_once('.')?;
    let (_, ours) = LAYER.iter().find(|(theirs, _)| *theirs == part)?;
    matches!(suffix, "weight" | "bias").then(|| format!("blk.{number}.{ours}.{suffix}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_names() {
        let is = |hf: &str, ours: &str| assert_eq!(canonical(hf), Name::Canonical(ours.to_owned()));
        is("model.layers.12.self_attn.q_proj.bias", "blk.12.attn_q.bias");
        is("model.layers.0.post_attention_layernorm.weight", "blk.0.ffn_norm.weight");
        is("lm_head.weight", "output.weight");
        is("embed_tokens.weight", "token_embd.weight");
        assert_eq!(canonical("model.layers.3.self_attn.rotary_emb.inv_freq"), Name::Skipped);
        for unknown in ["model.layers.-1.mlp.up_proj.weight", "model.layers.1.mlp.experts.weight", "layers.1"] {
            assert_eq!(canonical(unknown), Name::Unknown, "{unknown}");
        }
    }
}
