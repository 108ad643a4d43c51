//! `tokenize`: text to ids and back.

use super::{open, text};
use crate::args::TokenizeArgs;
use crate::output::{self, Align, Table};
use metallic_model::tokenizer::{Special, Tokenizer};
use serde_json::json;
use std::io::Write;

/// Prints ids, tokens or text.
pub fn run(args: &TokenizeArgs) -> anyhow::Result<()> {
    let tokenizer = Tokenizer::from_model(&open(&args.model)?)?;
    if let Some(ids) = &args.decode {
        return decode(&tokenizer, ids, args);
    }
    let text = text(args.text.as_deref().unwrap_or("-"))?;
    let special = if args.special { Special::Parse } else { Special::AsText };
    let ids = if args.prompt { tokenizer.encode_prompt(&text, special) } else { tokenizer.encode(&text, special) };
    if args.json {
        return output::json(&json!({ "count": ids.len(), "ids": ids, "tokens": names(&tokenizer, &ids) }));
    }
    let mut out = output::stdout();
    if args.ids {
        writeln!(out, "{}", ids.iter().map(u32::to_string).collect::<Vec<_>>().join(" "))?;
    } else {
        let mut table = Table::new(&[("id", Align::Right), ("token", Align::Left)]);
        ids.iter().zip(names(&tokenizer, &ids)).for_each(|(id, name)| table.row([id.to_string(), format!("{name:?}")]));
        table.write(&mut out)?;
    }
    out.flush()?;
    Ok(())
}

fn names(tokenizer: &Tokenizer, ids: &[u32]) -> Vec<String> {
    let name = |&id: &u32| String::from_utf8_lossy(tokenizer.token_bytes(id).unwrap_or_default()).into_owned();
    ids.iter().map(name).collect()
}

fn decode(tokenizer: &Tokenizer, ids: &[u32], args: &TokenizeArgs) -> anyhow::Result<()> {
    if let Some(id) = ids.iter().find(|id| tokenizer.token_bytes(**id).is_none()) {
        anyhow::bail!("there is no token {id}; the vocabulary has {}", tokenizer.vocab_size());
    }
    let text = tokenizer.decode(ids);
    if args.json {
        return output::json(&json!({ "count": ids.len(), "ids": ids, "text": text }));
    }
    let mut out = output::stdout();
    writeln!(out, "{text}")?;
    out.flush()?;
    Ok(())
}
