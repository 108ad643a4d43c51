/// What a tokenizer is built from: plain data borrowed from the model's files.
#[derive(Debug, Clone)]
pub enum TokenizerSource<'a> {
    /// The keys of a GGUF file.
    Gguf(GgufVocab<'a>),
    /// The files of a Hugging Face model directory.
    HfJson(HfFiles<'a>),
}

/// The `tokenizer.ggml.*` keys of a GGUF file. A key the file lacks is `None`, or an empty list.
#[derive(Debug, Clone, Default)]
pub struct GgufVocab<'a> {
    /// `model`: `gpt2` for byte-level BPE, `llama` for SentencePiece.
    pub model: &'a str,
    /// `pre`: the pre-tokenizer of a byte-level model.
    pub pre: Option<&'a str>,
    /// `tokens`: the name of every id, in order.
    pub tokens: Vec<&'a [u8]>,
    /// `scores`: one for each token; what SentencePiece merges by.
    pub scores: Option<Vec<f32>>,
    /// `token_type`: one for each token; 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte.
    pub types: Option<Vec<i32>>,
    /// `merges`: "left right" by falling priority.
    pub merges: Vec<&'a [u8]>,
    /// `bos_token_id`.
    pub bos: Option<u32>,
    /// `eos_token_id`.
    pub eos: Option<u32>,
    /// `unknown_token_id`.
    pub unk: Option<u32>,
    /// Further ids that end a generation: `eot_token_id`, `eom_token_id`.
    pub ends: Vec<u32>,
    /// `add_bos_token`.
    pub add_bos: Option<bool>,
    /// `add_eos_token`.
    pub add_eos: Option<bool>,
    /// `add_space_prefix`.
    pub add_space_prefix: Option<bool>,
}

/// The tokenizer files of a Hugging Face model directory.
#[derive(Debug, Clone, Default)]
pub struct HfFiles<'a> {
    /// The whole of `tokenizer.json`.
    pub tokenizer_json: &'a [u8],
    /// The whole of `tokenizer_config.json`.
    pub tokenizer_config: Option<&'a [u8]>,
    /// The ids of `generation_config.json`'s (or else `config.json`'s) `eos_token_id`.
    pub ends: Vec<u32>,
}
