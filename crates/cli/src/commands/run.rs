//! `run`: a prompt in, text out.

use super::{open, text};
use crate::args::{OutputFormat, RunArgs};
use crate::interrupt::{Cancel, Interrupted};
use crate::output;
use crate::session::{self, Outcome, Session};
use crate::shipped;
use metallic_engine::{FinishReason, Request, TextEnd};
use metallic_model::chat::{ChatTemplate, Conversation, Message};
use metallic_model::tokenizer::Special;
use serde::Serialize;
use std::io::Write;

/// What `--output-format json` prints.
#[derive(Serialize)]
struct Report<'a> {
    model: String,
    prompt: &'a str,
    text: &'a str,
    prompt_tokens: &'a [u32],
    tokens: &'a [u32],
    prompt_count: usize,
    token_count: usize,
    finish_reason: &'a str,
    seed: u64,
    load_s: f64,
    ttft_s: f64,
    prefill_tps: f64,
    decode_tps: f64,
    total_tps: f64,
    peak_rss_bytes: Option<usize>,
}

/// Writes the text, and the figures.
pub fn run(args: &RunArgs, cancel: Cancel) -> anyhow::Result<()> {
    let bare = args.model.is_none() && args.prompt.is_none();
    let path = shipped::or_shipped(args.model.as_deref())?;
    let prompt = match &args.prompt {
        Some(prompt) => text(prompt)?,
        None if bare => shipped::PROMPT.to_owned(),
        None => {
            // A misspelt command looks like a model without a prompt; that there is no such file is the better answer.
            open(&path)?;
            anyhow::bail!("no prompt; give one (`-` reads standard input), or talk: metallic chat {}", path.display())
        }
    };
    let options = session::options(&args.context, args.device.threads, &args.device.choice);
    let mut session = Session::load(&path, &options, cancel)?;
    if bare {
        output::note(shipped::describe(&path, &session.file));
        output::note("");
    }
    let mut args = args.clone();
    if bare {
        args.chat = session.file.chat_template().is_some();
        args.sampling.temperature.get_or_insert(0.0);
    }
    let args = &args;
    let ids = encode(&session, args, &prompt)?;
    let seed = session::seed(&args.sampling);
    let stop_tokens = if args.sampling.ignore_eos { Vec::new() } else { session.ends() };
    let request = Request {
        max_tokens: args.max_tokens,
        sampling: session::sampling(&args.sampling, session.file.config(), seed),
        stop_tokens,
        ..Request::new(ids.clone())
    };
    let stops = &args.sampling.stop;
    let stream = if args.chat { session.answering(stops) } else { session.continuing(stops) };
    let shown = args.output_format == OutputFormat::Text;
    let mut out = output::stdout();
    let mut written = String::new();
    if bare && shown {
        write!(out, "{prompt}{}", if args.chat { "\n\n" } else { "" })?;
    }
    let outcome = session.generate(request, stream, cancel, &mut |piece| {
        written.push_str(piece);
        if shown && !piece.is_empty() {
            out.write_all(piece.as_bytes())?;
            out.flush()?;
        }
        Ok(())
    })?;
    match args.output_format {
        OutputFormat::Json => {
            drop(out);
            output::json_line(&report(&session, &prompt, &ids, &written, &outcome, seed))?;
        }
        OutputFormat::Text => {
            writeln!(out)?;
            out.flush()?;
            drop(out);
            output::note(summary(&session, &outcome, seed));
        }
        OutputFormat::None => output::note(summary(&session, &outcome, seed)),
    }
    match outcome.end {
        TextEnd::Sequence(FinishReason::Cancelled) => Err(Interrupted.into()),
        _ => Ok(()),
    }
}

fn encode(session: &Session, args: &RunArgs, prompt: &str) -> anyhow::Result<Vec<u32>> {
    if !args.chat {
        return Ok(session.tokenizer.encode_prompt(prompt, Special::Parse));
    }
    let template = ChatTemplate::for_tokenizer(session.file.chat_template(), &session.tokenizer)?;
    let system = args.system.as_deref().map(text).transpose()?;
    let messages: Vec<Message> =
        system.map(|s| Message::new("system", s)).into_iter().chain([Message::new("user", prompt)]).collect();
    let text = template.render(&Conversation { messages: &messages, ..Default::default() })?;
    Ok(session.tokenizer.encode_prompt(&text, Special::Parse))
}

fn report<'a>(
    session: &Session,
    prompt: &'a str,
    prompt_tokens: &'a [u32],
    text: &'a str,
    outcome: &'a Outcome,
    seed: u64,
) -> Report<'a> {
    Report {
        model: session.path.display().to_string(),
        prompt,
        text,
        prompt_tokens,
        tokens: &outcome.tokens,
        prompt_count: outcome.usage.prompt,
        token_count: outcome.tokens.len(),
        finish_reason: outcome.end_name(),
        seed,
        load_s: session.load.as_secs_f64(),
        ttft_s: outcome.usage.first_token.as_secs_f64(),
        prefill_tps: outcome.prefill_tps(),
        decode_tps: outcome.decode_tps(),
        total_tps: outcome.total_tps(),
        peak_rss_bytes: session.engine.stats().peak_rss,
    }
}

/// One line of figures. tools/run_throughput.sh reads "TPS Total" and "TPS Decode" from it.
pub fn summary(session: &Session, outcome: &Outcome, seed: u64) -> String {
    format!(
        "[TPS Total: {:.2} | TPS Decode: {:.2} | TPS Prefill: {:.2} | {} + {} tokens, {} | first token {:.1} ms | load \
         {:.2} s | seed {seed}]",
        outcome.total_tps(),
        outcome.decode_tps(),
        outcome.prefill_tps(),
        outcome.usage.prompt,
        outcome.tokens.len(),
        outcome.end_name(),
        outcome.usage.first_token.as_secs_f64() * 1e3,
        session.load.as_secs_f64(),
    )
}
