//! Vocabularies that no honest converter writes: an error that names what is wrong, or safe behaviour.

use metallic_model::tokenizer::{GgufVocab, HfFiles, Special, Tokenizer, TokenizerError, TokenizerSource};
use proptest::prelude::*;

fn gguf(vocab: &GgufVocab<'_>) -> Result<Tokenizer, TokenizerError> {
    Tokenizer::new(&TokenizerSource::Gguf(vocab.clone()))
}

fn hf(json: &str) -> Result<Tokenizer, TokenizerError> {
    Tokenizer::new(&TokenizerSource::HfJson(HfFiles { tokenizer_json: json.as_bytes(), ..HfFiles::default() }))
}

fn refusal(result: Result<Tokenizer, TokenizerError>) -> String {
    result.expect_err("a refusal").to_string()
}

fn byte_level<'a>(tokens: &[&'a str], merges: &[&'a str]) -> GgufVocab<'a> {
    GgufVocab {
        model: "gpt2",
        pre: Some("gpt-2"),
        tokens: tokens.iter().map(|token| token.as_bytes()).collect(),
        merges: merges.iter().map(|merge| merge.as_bytes()).collect(),
        ..GgufVocab::default()
    }
}

fn sentencepiece<'a>(tokens: &[&'a str], types: &[i32]) -> GgufVocab<'a> {
    GgufVocab {
        model: "llama",
        tokens: tokens.iter().map(|token| token.as_bytes()).collect(),
        scores: Some((0..tokens.len()).map(|id| -(id as f32)).collect()),
        types: Some(types.to_vec()),
        ..GgufVocab::default()
    }
}

#[test]
fn what_is_not_supported_is_named_with_what_is() {
    let wordpiece = GgufVocab { model: "bert", ..byte_level(&["a"], &[]) };
    assert_eq!(
        refusal(gguf(&wordpiece)),
        "tokenizer model `bert` is not supported; supported: gpt2 (byte-level BPE), llama (SentencePiece BPE)"
    );
    let unknown = GgufVocab { pre: Some("nobody\u{7}"), ..byte_level(&["a"], &[]) };
    assert!(refusal(gguf(&unknown)).starts_with(r"pre-tokenizer `nobody\u{7}` is not known; known: default, gpt-2, "));
    let unigram = r#"{"model": {"type": "Unigram", "vocab": [["<unk>", 0.0], ["a", -1.5]]}}"#;
    assert_eq!(refusal(hf(unigram)), "tokenizer model `Unigram` is not supported; supported: BPE");
    let normalizer = r#"{"normalizer": {"type": "Lowercase"}, "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false},
        "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}"#;
    assert_eq!(refusal(hf(normalizer)), r#"tokenizer normalizer `{\"type\":\"Lowercase\"}` is not supported"#);
}

#[test]
fn lists_that_do_not_fit_each_other_are_refused() {
    assert!(refusal(gguf(&byte_level(&[], &[]))).contains("tokens: expected 1 to"));
    let short = GgufVocab { types: Some(vec![1]), ..byte_level(&["a", "b"], &[]) };
    assert_eq!(refusal(gguf(&short)), "the tokenizer's token types: expected 2, one for each token, got 1");
    let without = GgufVocab { scores: None, ..sentencepiece(&["a"], &[1]) };
    assert_eq!(refusal(gguf(&without)), "the tokenizer's scores: expected 1, one for each token, got 0");
    let bos = GgufVocab { bos: Some(2), ..byte_level(&["a", "b"], &[]) };
    assert_eq!(refusal(gguf(&bos)), "the bos token is id 2, but the vocabulary has 2 tokens");
    let unknown = GgufVocab { unk: Some(u32::MAX), ..sentencepiece(&["a"], &[1]) };
    assert!(refusal(gguf(&unknown)).starts_with("the unknown token is id 4294967295"));
}

#[test]
fn tokens_that_cannot_be_are_refused() {
    for name in ["<0x100>", "<0xG0>", "<0x+1>", "<0x>", "a", ""] {
        let error = refusal(gguf(&sentencepiece(&["a", name], &[1, 6])));
        assert!(error.contains("typed as a byte, but not one of <0x00> to <0xFF>"), "{error}");
    }
    let kind = refusal(gguf(&sentencepiece(&["a", "b"], &[1, 7])));
    assert_eq!(kind, "token 1 `b`: its type is none of 0 to 6");
    let raw = GgufVocab { tokens: vec![b"a", b"\xff"], ..byte_level(&[], &[]) };
    assert_eq!(refusal(gguf(&raw)), "token 1 `\u{fffd}`: not UTF-8");
    let huge = "x".repeat(1 << 20);
    let error = refusal(gguf(&byte_level(&[&huge], &[])));
    assert!(error.ends_with("…`: longer than 65536 bytes") && error.len() < 400, "{error}");
    let names: Vec<String> = (0..40_000).map(|i| format!("<|special {i:020}|>")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let many = GgufVocab { types: Some(vec![3; names.len()]), ..byte_level(&names, &[]) };
    assert!(refusal(gguf(&many)).contains("bytes of special tokens: expected at most"));
}

#[test]
fn merges_must_join_tokens_into_a_token() {
    for (merge, reason) in [
        ("a x", "the right part is no token"),
        ("x a", "the left part is no token"),
        ("b a", "the two joined are no token"),
        ("ab", "not two tokens with a space between"),
        ("", "not two tokens with a space between"),
        (" ", "not two tokens with a space between"),
        ("a ", "the right part is no token"),
    ] {
        let error = refusal(gguf(&byte_level(&["a", "b", "ab"], &["a b", merge])));
        assert_eq!(error, format!("merge 1 `{merge}`: {reason}"));
    }
}

#[test]
fn merges_that_feed_each_other_come_to_an_end() {
    // An empty token, merges of it with others, the same merge twice, and one that makes its own part again.
    let tokens = ["a", "b", "ab", "ba", "aba", "", "bab"];
    let merges = ["a b", "a b", "ab a", "b a", "a ba", "ba b", "b ab", "a ", "a b"];
    let tokenizer = gguf(&byte_level(&tokens, &merges)).unwrap();
    assert_eq!(tokenizer.encode("ababa", Special::AsText), [2, 4]);
    assert_eq!(tokenizer.decode(&[2, 4, 5, 99, u32::MAX]), "ababa");
}

#[test]
fn of_equal_tokens_the_last_is_found_and_all_decode() {
    let tokenizer = gguf(&byte_level(&["a", "b", "a"], &[])).unwrap();
    assert_eq!(tokenizer.encode("ab", Special::AsText), [2, 1]);
    assert_eq!(tokenizer.decode(&[0, 1, 2]), "aba");
}

#[test]
fn a_sparse_tokenizer_json_is_no_large_allocation() {
    let json = |id: u32| {
        format!(
            r#"{{"pre_tokenizer": {{"type": "ByteLevel", "add_prefix_space": false}},
                "model": {{"type": "BPE", "vocab": {{"a": 0, "b": {id}}}, "merges": []}}}}"#
        )
    };
    assert!(refusal(hf(&json(u32::MAX))).contains("ids: expected at most 1028"));
    let gap = hf(&json(5)).unwrap();
    assert_eq!((gap.vocab_size(), gap.decode(&[0, 3, 5])), (6, "ab".to_owned()));
    assert_eq!(gap.token_bytes(3), Some(&b""[..]));
    for broken in ["", "{", "[]", "{\"model\": 3}", &"[".repeat(100_000), r#"{"model": {"vocab": {"a": -1}}}"#] {
        assert!(refusal(hf(broken)).starts_with("tokenizer.json: "), "{broken:.40}");
    }
}

#[test]
fn long_runs_take_no_quadratic_time() {
    const LENGTH: usize = 1 << 18;
    let powers: Vec<String> = (0..12).map(|n| "a".repeat(1 << n)).collect();
    let mut tokens: Vec<&str> = powers.iter().map(String::as_str).collect();
    tokens.extend(["Ġ", "ĠĠ", "Ċ", "'", "1"]);
    let doubled: Vec<String> = powers[..11].iter().map(|power| format!("{power} {power}")).collect();
    let mut merges: Vec<&str> = doubled.iter().map(String::as_str).collect();
    merges.push("Ġ Ġ");
    for pre in ["default", "gpt-2", "smollm", "llama-bpe", "qwen2"] {
        let tokenizer = gguf(&GgufVocab { pre: Some(pre), ..byte_level(&tokens, &merges) }).unwrap();
        assert_eq!(tokenizer.encode(&"a".repeat(LENGTH), Special::AsText), vec![11; LENGTH >> 11]);
        for run in [" ", "\n", "'", "1", " \n", "' ", "1\n "] {
            let text = run.repeat(LENGTH / run.len());
            assert_eq!(tokenizer.decode(&tokenizer.encode(&text, Special::Parse)), text, "{pre} {run:?}");
        }
    }
    // Every length up to 299 is a token, so that each step of a merge has text to look up. Lengths double up to 256.
    let lengths: Vec<String> = (1..300).map(|n| "a".repeat(n)).collect();
    let tokens: Vec<&str> = lengths.iter().map(String::as_str).collect();
    let tokenizer = gguf(&sentencepiece(&tokens, &vec![1; tokens.len()])).unwrap();
    assert_eq!(tokenizer.encode(&"a".repeat(LENGTH), Special::AsText), vec![255; LENGTH >> 8]);
}

/// Names that mean something to some part of the reader.
const NAMES: &[&str] =
    &["a", "b", "ab", "", "Ġ", "Ġa", "▁", "▁a", "<0x00>", "<0xff>", "<0x100>", "<s>", "</s>", "<unk>", "é", "Ã"];
const MERGES: &[&str] = &["a b", "Ġ a", "▁ a", "", " ", "ab", "a  b", "<s> a", "Ã é"];

proptest! {
    #[test]
    fn no_vocabulary_panics(
        model in proptest::sample::select(&["gpt2", "llama", "x"][..]),
        pre in proptest::option::of(proptest::sample::select(&["default", "qwen2", "llama3", "x"][..])),
        tokens in proptest::collection::vec((proptest::sample::select(NAMES), -1..8i32, any::<f32>()), 0..12),
        merges in proptest::collection::vec(proptest::sample::select(MERGES), 0..4),
        ids in proptest::collection::vec(proptest::option::of(0..14u32), 3),
        flags in proptest::collection::vec(any::<Option<bool>>(), 3),
        text in "[ab <s>/▁é\n]{0,20}",
    ) {
        let vocab = GgufVocab {
            model,
            pre,
            tokens: tokens.iter().map(|token| token.0.as_bytes()).collect(),
            types: Some(tokens.iter().map(|token| token.1).collect()),
            scores: Some(tokens.iter().map(|token| token.2).collect()),
            merges: merges.iter().map(|merge| merge.as_bytes()).collect(),
            bos: ids[0],
            eos: ids[1],
            unk: ids[2],
            ends: vec![77],
            add_bos: flags[0],
            add_eos: flags[1],
            add_space_prefix: flags[2],
        };
        if let Ok(tokenizer) = gguf(&vocab) {
            for special in [Special::Parse, Special::AsText] {
                let ids = tokenizer.encode_prompt(&text, special);
                prop_assert!(ids.iter().all(|&id| (id as usize) < tokenizer.vocab_size()));
                tokenizer.decode(&ids);
            }
        }
    }
}

proptest! {
    #[test]
    fn no_damaged_tokenizer_json_panics(
        vocabulary in proptest::sample::select(&["qwen2", "llama2"][..]),
        // A place, how much is lost there, and what stands there instead.
        damage in proptest::collection::vec((any::<usize>(), 0..8usize, "[\\[\\]{}\",:0-9a-z\\\\<>Ġ▁]{0,4}"), 1..4),
    ) {
        let path = [env!("CARGO_MANIFEST_DIR"), "../../fixtures/tokenizers", vocabulary, "tokenizer.json"];
        let mut json = std::fs::read(path.iter().collect::<std::path::PathBuf>()).unwrap();
        for (place, lost, instead) in damage {
            let start = place % json.len();
            let end = json.len().min(start + lost);
            json.splice(start..end, instead.into_bytes());
        }
        if let Ok(tokenizer) = hf(&String::from_utf8_lossy(&json)) {
            let text = "Hello <|im_end|> 12 ▁é</s>";
            let ids = tokenizer.encode_prompt(text, Special::Parse);
            prop_assert!(ids.iter().all(|&id| (id as usize) < tokenizer.vocab_size()));
            tokenizer.decode(&ids);
        }
    }
}
