//! What a decoder gives piece by piece is what decoding at once gives.

use metallic_model::tokenizer::{StreamDecoder, Tokenizer};
use proptest::prelude::*;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

static TOKENIZERS: LazyLock<Vec<Arc<Tokenizer>>> = LazyLock::new(|| {
    let open = |vocabulary: &str| {
        let path = [env!("CARGO_MANIFEST_DIR"), "../../fixtures/tokenizers", vocabulary, "vocab.gguf"];
        Arc::new(Tokenizer::open(&path.iter().collect::<PathBuf>()).unwrap())
    };
    ["qwen2", "llama2", "llama2-noprefix"].map(open).into()
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn pieces_join_to_the_whole(ids in proptest::collection::vec(0..1400u32, 0..40)) {
        for tokenizer in TOKENIZERS.iter() {
            let mut decoder = tokenizer.decoder();
            let mut text = String::new();
            for &id in &ids {
                text.push_str(decoder.push(id));
            }
            text.push_str(decoder.flush());
            prop_assert_eq!(text, tokenizer.decode(&ids));
        }
    }

    #[test]
    fn whole_characters_come_as_soon_as_they_are_complete(text in "\\PC{0,20}") {
        let tokenizer = &TOKENIZERS[0];
        let mut decoder = StreamDecoder::continuing(Arc::clone(tokenizer));
        let (mut given, mut bytes) = (String::new(), Vec::new());
        for id in tokenizer.encode(&text, metallic_model::tokenizer::Special::AsText) {
            given.push_str(decoder.push(id));
            bytes.extend_from_slice(tokenizer.token_bytes(id).unwrap());
            let complete = std::str::from_utf8(&bytes).map_or_else(|error| error.valid_up_to(), str::len);
            prop_assert_eq!(given.as_bytes(), &bytes[..complete]);
        }
        prop_assert_eq!(decoder.flush(), "");
    }
}

#[test]
fn a_character_in_three_byte_tokens_comes_whole() {
    let tokenizer = &TOKENIZERS[1];
    let bytes = |text: &str| -> Vec<u32> {
        text.bytes().map(|byte| (0..256).find(|&id| tokenizer.token_bytes(id) == Some(&[byte])).unwrap()).collect()
    };
    let mut decoder = tokenizer.decoder();
    let pieces: Vec<String> = bytes("€é").into_iter().map(|id| decoder.push(id).to_owned()).collect();
    assert_eq!(pieces, ["", "", "€", "", "é"]);
    let cut = bytes("€")[0];
    assert_eq!(decoder.push(cut), "");
    assert_eq!(decoder.flush(), "\u{fffd}");
    assert_eq!(decoder.flush(), "");
}

#[test]
fn a_leading_space_is_dropped_only_at_the_start_of_a_text() {
    let tokenizer = &TOKENIZERS[1];
    let ids = tokenizer.encode("in in", metallic_model::tokenizer::Special::AsText);
    assert_eq!(tokenizer.decode(&ids), "in in");
    let mut decoder = StreamDecoder::continuing(&**tokenizer);
    let text: String = ids.iter().map(|&id| decoder.push(id).to_owned()).collect();
    assert_eq!(text, " in in");
}

#[test]
fn one_tokenizer_serves_many_threads() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<Tokenizer>();
    shared::<StreamDecoder<Arc<Tokenizer>>>();
}
