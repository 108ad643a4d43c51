//! A tokenizer from `tokenizer.json`, the format of the Hugging Face tokenizers library.

mod file;

use serde_json::Value;

use super::bpe::{ByteLevel, Form, Model, Order, Pieces, Prefix, Words};
use super::error::{TokenizerError, shorten};
use super::gguf::{Merges, Spelling};
use super::source::HfFiles;
use super::special::{Edges, Specials};
use super::split::Scheme;
use super::vocab::{Kind, Vocab, byte_of_name};
use super::{Roles, Tokenizer};
use file::{Added, Bpe, Config, File};

const MODELS: &str = "BPE";

pub(super) fn build(files: &HfFiles<'_>) -> Result<Tokenizer, TokenizerError> {
    let file: File<'_> = parse("tokenizer.json", files.tokenizer_json)?;
    let config: Config = match files.tokenizer_config {
        Some(bytes) => parse("tokenizer_config.json", bytes)?,
        None => Config::default(),
    };
    check_model(&file.model)?;
    let steps = Steps::read(&file)?;
    let spelling = match steps {
        Steps::Bytes { .. } => Spelling::Bytes,
        Steps::Pieces { .. } => Spelling::Spaces,
    };
    let (vocab, edges) = read_vocab(&file, spelling)?;
    let mut merges = Merges::new(&vocab, spelling, file.model.merges.len());
    for (index, pair) in file.model.merges.iter().enumerate() {
        match &pair.right {
            Some(right) => merges.add(index, &pair.left, right)?,
            None => merges.add_line(index, &pair.left)?,
        }
    }
    let merges = merges.table;
    let specials = Specials::new(&vocab, |id| edges.iter().find(|e| e.0 == id).map_or(Edges::default(), |e| e.1))?;
    let by_name = |name: &str| specials.find(name).or_else(|| vocab.find(name.as_bytes()));
    let unknown = file.model.unk_token.as_deref().and_then(by_name);
    let model = match steps {
        Steps::Bytes { scheme, form } => Model::Bytes(ByteLevel {
            scheme,
            form,
            merges,
            byte_ids: vocab.byte_ids(Kind::Normal),
            unknown,
            whole_words: file.model.ignore_merges,
        }),
        Steps::Pieces { prefix, words } => Model::Pieces(Pieces {
            order: Order::Merges(merges),
            prefix,
            words,
            byte_ids: vocab.byte_ids(Kind::Byte),
            unknown,
        }),
    };
    let (mut before, mut after) = around(&file.post_processor, vocab.len())?;
    let bos = config.bos_token.as_ref().and_then(|token| by_name(token.text())).or(before.first().copied());
    let eos = config.eos_token.as_ref().and_then(|token| by_name(token.text()));
    settle(&mut before, config.add_bos_token, bos);
    settle(&mut after, config.add_eos_token, eos);
    let roles = Roles { bos, eos, ends: files.ends.clone(), before, after };
    Tokenizer::assemble(vocab, specials, model, roles)
}

fn parse<'a, T: serde::Deserialize<'a>>(file: &'static str, bytes: &'a [u8]) -> Result<T, TokenizerError> {
    serde_json::from_slice(bytes).map_err(|error| TokenizerError::Json { file, reason: shorten(error.to_string()) })
}

fn unsupported(what: &'static str, found: impl ToString) -> TokenizerError {
    TokenizerError::Unsupported { what, found: shorten(found.to_string()) }
}

fn check_model(model: &Bpe<'_>) -> Result<(), TokenizerError> {
    if let Some(found) = model.kind.as_deref().filter(|&kind| kind != "BPE") {
        return Err(TokenizerError::UnknownModel { found: shorten(found), known: MODELS });
    }
    if model.vocab.0.is_empty() {
        return Err(TokenizerError::Count { what: "tokens", expected: "a map of at least one".into(), got: 0 });
    }
    if let Some(dropout) = model.dropout.filter(|&dropout| dropout != 0.0) {
        return Err(unsupported("dropout", dropout));
    }
    for (what, affix) in [
        ("continuing_subword_prefix", &model.continuing_subword_prefix),
        ("end_of_word_suffix", &model.end_of_word_suffix),
    ] {
        if let Some(affix) = affix.as_deref().filter(|affix| !affix.is_empty()) {
            return Err(unsupported(what, affix));
        }
    }
    Ok(())
}

/// `asked` of `tokenizer_config.json` outweighs the template of `tokenizer.json`, as in the reference.
fn settle(ids: &mut Vec<u32>, asked: Option<bool>, id: Option<u32>) {
    match asked {
        Some(true) if ids.is_empty() => ids.extend(id),
        Some(false) => ids.clear(),
        _ => {}
    }
}

/// What the normalizer and the pre-tokenizer amount to.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Steps {
    Bytes { scheme: Scheme, form: Form },
    Pieces { prefix: Prefix, words: Words },
}

impl Steps {
    fn read(file: &File<'_>) -> Result<Steps, TokenizerError> {
        let normalizers = flatten(&file.normalizer, "normalizers");
        let cutters = flatten(&file.pre_tokenizer, "pretokenizers");
        match cutters.iter().map(|step| kind(step)).collect::<Vec<_>>()[..] {
            [.., "ByteLevel"] => {
                let form = match normalizers.iter().map(|step| kind(step)).collect::<Vec<_>>()[..] {
                    [] => Form::AsIs,
                    ["NFC"] => Form::Nfc,
                    _ => return Err(unsupported("normalizer", &file.normalizer)),
                };
                Ok(Steps::Bytes { scheme: scheme(&cutters, &file.pre_tokenizer)?, form })
            }
            [] => Ok(Steps::Pieces { prefix: sentencepiece(&normalizers, &file.normalizer)?, words: Words::Joined }),
            ["Metaspace"] if normalizers.is_empty() => metaspace(cutters[0]),
            _ => Err(unsupported("pre_tokenizer", &file.pre_tokenizer)),
        }
    }
}

/// The steps of a sequence, or the one step, or none.
fn flatten<'v>(value: &'v Value, list: &str) -> Vec<&'v Value> {
    match value {
        Value::Null => Vec::new(),
        _ if kind(value) == "Sequence" => {
            value[list].as_array().into_iter().flatten().flat_map(|step| flatten(step, list)).collect()
        }
        _ => vec![value],
    }
}

fn kind(step: &Value) -> &str {
    step["type"].as_str().unwrap_or_default()
}

fn scheme(steps: &[&Value], whole: &Value) -> Result<Scheme, TokenizerError> {
    let Some((bytes, before)) = steps.split_last() else { return Err(unsupported("pre_tokenizer", whole)) };
    if bytes["add_prefix_space"].as_bool() != Some(false) {
        return Err(unsupported("pre_tokenizer", whole));
    }
    let by_expression = bytes["use_regex"].as_bool().unwrap_or(true);
    match before {
        [] if by_expression => Ok(Scheme::Gpt2),
        [] => Ok(Scheme::Whole),
        [digits] if by_expression && kind(digits) == "Digits" && digits["individual_digits"] == true => {
            Ok(Scheme::Smollm)
        }
        [split]
            if !by_expression
                && kind(split) == "Split"
                && split["behavior"] == "Isolated"
                && split["invert"].as_bool() != Some(true) =>
        {
            match split["pattern"]["Regex"].as_str() {
                Some(pattern) => Scheme::by_pattern(pattern),
                None => Err(unsupported("pre_tokenizer", whole)),
            }
        }
        _ => Err(unsupported("pre_tokenizer", whole)),
    }
}

/// The normalizers by which Llama 2's conversion says what SentencePiece does.
fn sentencepiece(steps: &[&Value], whole: &Value) -> Result<Prefix, TokenizerError> {
    let replaces = |step: &Value| step["pattern"]["String"] == " " && step["content"] == "▁";
    match steps {
        [prepend, replace]
            if kind(prepend) == "Prepend"
                && prepend["prepend"] == "▁"
                && kind(replace) == "Replace"
                && replaces(replace) =>
        {
            Ok(Prefix::Stretch)
        }
        [replace] if kind(replace) == "Replace" && replaces(replace) => Ok(Prefix::Never),
        _ => Err(unsupported("normalizer", whole)),
    }
}

fn metaspace(step: &Value) -> Result<Steps, TokenizerError> {
    let scheme = step["prepend_scheme"].as_str();
    let prefix = match (scheme, step["add_prefix_space"].as_bool()) {
        (Some("never"), _) | (None, Some(false)) => Prefix::Never,
        (Some("first"), _) => Prefix::Start,
        (Some("always"), _) | (None, _) => Prefix::Stretch,
        _ => return Err(unsupported("pre_tokenizer", step)),
    };
    if step["replacement"].as_str().is_some_and(|replacement| replacement != "▁") {
        return Err(unsupported("pre_tokenizer", step));
    }
    let words = if step["split"].as_bool().unwrap_or(true) { Words::Apart } else { Words::Joined };
    Ok(Steps::Pieces { prefix, words })
}

fn read_vocab(file: &File<'_>, spelling: Spelling) -> Result<(Vocab, Vec<(u32, Edges)>), TokenizerError> {
    let mut names: Vec<(u32, &str, Option<&Added>)> =
        file.model.vocab.0.iter().map(|(name, id)| (*id, &**name, None)).collect();
    names.extend(file.added_tokens.iter().map(|added| (added.id, added.content.as_str(), Some(added))));
    // An added token outweighs the entry of the vocabulary that it repeats.
    names.sort_by_key(|&(id, _, added)| (id, added.is_none()));
    names.dedup_by_key(|&mut (id, ..)| id);
    let size = names.last().map_or(0, |last| last.0 as usize + 1);
    let most = 2 * names.len() + 1024;
    if size > most {
        return Err(TokenizerError::Count {
            what: "ids",
            expected: format!("at most {most} for so few tokens"),
            got: size,
        });
    }
    let unknown = file.model.unk_token.as_deref();
    let mut vocab = Vocab::with_capacity(size);
    let mut edges = Vec::new();
    for (id, name, added) in names {
        while vocab.len() < id as usize {
            vocab.push(Kind::Unused, |_| {})?;
        }
        match added {
            Some(added) => {
                let kind = match () {
                    () if unknown == Some(name) => Kind::Unknown,
                    () if added.special => Kind::Control,
                    () => Kind::User,
                };
                edges.push((id, added.edges()));
                vocab.push(kind, |out| out.extend_from_slice(name.as_bytes()))?;
            }
            None => match byte_of_name(name).filter(|_| file.model.byte_fallback) {
                Some(byte) => vocab.push(Kind::Byte, |out| out.push(byte))?,
                None => vocab.push(Kind::Normal, |out| spelling.decode(name, out))?,
            },
        }
    }
    edges.retain(|(_, edges)| *edges != Edges::default());
    vocab.shrink();
    vocab.index();
    Ok((vocab, edges))
}

/// The ids that the post-processor puts before and after a text.
fn around(post: &Value, size: usize) -> Result<(Vec<u32>, Vec<u32>), TokenizerError> {
    let (mut before, mut after) = (Vec::new(), Vec::new());
    for step in flatten(post, "processors") {
        match kind(step) {
            "ByteLevel" => {}
            "TemplateProcessing" => {
                let mut side = &mut before;
                for item in step["single"].as_array().into_iter().flatten() {
                    let Some(name) = item["SpecialToken"]["id"].as_str() else {
                        side = &mut after;
                        continue;
                    };
                    for id in step["special_tokens"][name]["ids"].as_array().into_iter().flatten() {
                        let id = id.as_u64().unwrap_or(u64::MAX);
                        let known = u32::try_from(id).ok().filter(|&id| (id as usize) < size);
                        side.push(known.ok_or(TokenizerError::Id { what: "a token of the template", id, size })?);
                    }
                }
            }
            _ => return Err(unsupported("post_processor", step)),
        }
    }
    Ok((before, after))
}
