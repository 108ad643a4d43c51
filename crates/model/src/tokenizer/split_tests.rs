use super::*;
use fancy_regex::Regex;
use proptest::prelude::*;
use std::sync::LazyLock;

/// llama.cpp's and Hugging Face's expressions for each scheme, applied one to the pieces of the other.
fn expressions(scheme: Scheme) -> Vec<Regex> {
    let list: &[&str] = match scheme {
        Scheme::Whole => &[],
        Scheme::Gpt2 => &[GPT2],
        Scheme::Llama3 => &[LLAMA3],
        Scheme::Qwen2 => &[QWEN2],
        Scheme::Smollm => &[r"\p{N}", GPT2],
        Scheme::Default => &[
            r"[\p{P}\$\+<=>\^~\|]+",
            r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)",
            r"\p{N}+",
            r"[0-9][0-9][0-9]",
        ],
    };
    list.iter().map(|pattern| Regex::new(pattern).unwrap()).collect()
}

fn by_expressions<'t>(text: &'t str, expressions: &[Regex]) -> Vec<&'t str> {
    let mut pieces = if text.is_empty() { vec![] } else { vec![text] };
    for expression in expressions {
        let mut next = Vec::new();
        for piece in pieces {
            let mut done = 0;
            for found in expression.find_iter(piece).map(Result::unwrap) {
                next.extend((done < found.start()).then(|| &piece[done..found.start()]));
                next.push(found.as_str());
                done = found.end();
            }
            next.extend((done < piece.len()).then(|| &piece[done..]));
        }
        pieces = next;
    }
    pieces
}

fn by_scanner(text: &str, scheme: Scheme) -> Vec<&str> {
    let mut pieces = Vec::new();
    scheme.split(text, &mut |piece| pieces.push(piece));
    pieces
}

const SCHEMES: [Scheme; 6] =
    [Scheme::Whole, Scheme::Gpt2, Scheme::Smollm, Scheme::Llama3, Scheme::Qwen2, Scheme::Default];

/// Characters on both sides of every class boundary that the expressions draw.
const TELLING: &[char] = &[
    'a', 'Z', 'é', 'ß', 'ſ', 'Ω', '中', 'ห', 'ª', 'ǅ', '0', '7', '٣', '½', 'Ⅷ', '²', '一', ' ', '\t', '\n', '\r',
    '\u{85}', '\u{a0}', '\u{2003}', '\u{3000}', '\'', '’', 's', 'S', 't', 'r', 'e', 'E', 'v', 'm', 'l', 'L', 'd', '.',
    ',', '!', '$', '+', '<', '=', '>', '^', '~', '|', '`', '_', '-', '😀', '\u{200d}', '\u{301}', '\u{0}', '\u{1f}',
    '\u{feff}', '\u{903}',
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn scanners_cut_as_the_expressions_do(text in proptest::collection::vec(proptest::sample::select(TELLING), 0..24)) {
        static EXPRESSIONS: LazyLock<Vec<Vec<Regex>>> = LazyLock::new(|| SCHEMES.map(expressions).into());
        let text: String = text.into_iter().collect();
        for (scheme, expressions) in SCHEMES.into_iter().zip(EXPRESSIONS.iter()) {
            prop_assert_eq!(by_scanner(&text, scheme), by_expressions(&text, expressions), "{:?}", scheme);
        }
    }

    #[test]
    fn scanners_keep_every_byte(text in any::<String>()) {
        for scheme in SCHEMES {
            prop_assert_eq!(by_scanner(&text, scheme).concat(), text.as_str());
            prop_assert!(by_scanner(&text, scheme).iter().all(|piece| !piece.is_empty()));
        }
    }
}

#[test]
fn unknown_names_list_the_known() {
    let error = Scheme::by_name("gpt-9").unwrap_err().to_string();
    assert_eq!(
        error,
        "pre-tokenizer `gpt-9` is not known; known: default, gpt-2, smollm, llama-bpe, llama3, llama-v3, qwen2, \
         deepseek-r1-qwen"
    );
}

#[test]
fn every_character_has_the_class_that_the_expressions_give_it() {
    let expression = |pattern| Regex::new(pattern).unwrap();
    let classes = [
        (expression(r"\A\p{L}\z"), Class::Letter),
        (expression(r"\A\p{N}\z"), Class::Number),
        (expression(r"\A\s\z"), Class::Space),
    ];
    // The expressions know an older Unicode, to which newer characters are unassigned.
    let unassigned = expression(r"\A\p{Cn}\z");
    for c in '\0'..='\u{3ffff}' {
        let text = c.to_string();
        let wanted = classes.iter().find(|(expression, _)| expression.is_match(&text).unwrap());
        let wanted = wanted.map_or(Class::Other, |found| found.1);
        assert!(class(c) == wanted || unassigned.is_match(&text).unwrap(), "{c:?} is {:?}, not {wanted:?}", class(c));
    }
}
