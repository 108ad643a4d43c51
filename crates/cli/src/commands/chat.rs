//! `chat`: a conversation, with a line editor.

mod editor;

use super::text;
use crate::args::ChatArgs;
use crate::interrupt::{self, Cancel};
use crate::output;
use crate::session::{self, Outcome, Session};
use crate::shipped;
use anyhow::Context;
use editor::{Editor, Entry};
use metallic_engine::{FinishReason, Request, TextEnd};
use metallic_model::chat::{ChatError, ChatTemplate, Conversation, Message};
use metallic_model::tokenizer::Special;
use std::io::Write;

/// Commands of the prompt, and what they do: the one list for help, completion and parsing.
const COMMANDS: [(&str, &str); 9] = [
    ("/help", "list the commands"),
    ("/clear", "forget the conversation"),
    ("/system", "/system TEXT sets the system message and starts over; without a text it is removed"),
    ("/retry", "answer the last message again, with another seed"),
    ("/undo", "take the last message and its answer back"),
    ("/save", "/save FILE writes the conversation as JSON"),
    ("/load", "/load FILE reads one"),
    ("/stats", "the figures of the last answer"),
    ("/quit", "leave, as Ctrl-D does"),
];

/// Talks until the user leaves.
pub fn run(args: &ChatArgs, cancel: Cancel) -> anyhow::Result<()> {
    let path = shipped::or_shipped(args.model.as_deref())?;
    let options = session::options(&args.context, args.device.threads, &args.device.choice);
    let session = Session::load(&path, &options, cancel)?;
    output::note(shipped::describe(&path, &session.file));
    let mut chat = Chat::new(args, session, cancel)?;
    output::note("Ctrl-D leaves, Ctrl-C stops an answer, /help lists the commands.");
    let mut editor = Editor::new()?;
    loop {
        interrupt::reset(cancel);
        let more = match editor.read()? {
            Entry::End => false,
            Entry::Nothing => true,
            Entry::Text(text) => match text.strip_prefix('/') {
                Some(_) => chat.command(&text)?,
                None => chat.say(text).map(|()| true)?,
            },
        };
        if !more {
            editor.save();
            return Ok(());
        }
    }
}

struct Chat<'a> {
    args: &'a ChatArgs,
    session: Session,
    cancel: Cancel,
    /// None where the model continues a plain text.
    template: Option<ChatTemplate>,
    messages: Vec<Message>,
    seed: u64,
    last: Option<String>,
}

impl<'a> Chat<'a> {
    fn new(args: &'a ChatArgs, session: Session, cancel: Cancel) -> anyhow::Result<Chat<'a>> {
        let template = match ChatTemplate::for_tokenizer(session.file.chat_template(), &session.tokenizer) {
            _ if args.raw => None,
            Ok(template) => Some(template),
            Err(ChatError::NoTemplate) => {
                output::note("This model was not made for conversations: it continues what you write.");
                None
            }
            Err(e) => return Err(e).context("use --raw to go without the chat template"),
        };
        let seed = session::seed(&args.sampling);
        let mut chat = Chat { args, session, cancel, template, messages: Vec::new(), seed, last: None };
        if let Some(system) = &args.system {
            chat.messages.push(Message::new("system", text(system)?));
        }
        Ok(chat)
    }

    /// Answers a message. Where that fails, the conversation goes on without it.
    fn say(&mut self, text: String) -> anyhow::Result<()> {
        self.messages.push(Message::new("user", text));
        if !self.answer()? {
            self.messages.pop();
        }
        Ok(())
    }

    /// Answers the last message again; the answer that it has stays where that fails.
    fn retry(&mut self) -> anyhow::Result<()> {
        let before = self.messages.pop_if(|m| m.role == "assistant");
        let answered = match self.messages.last() {
            Some(m) if m.role == "user" => {
                self.seed = self.seed.wrapping_add(1);
                self.answer()?
            }
            _ => {
                output::note("nothing was said yet");
                false
            }
        };
        if !answered {
            self.messages.extend(before);
        }
        Ok(())
    }

    /// Answers the last message; false where something goes wrong with it, which is told.
    fn answer(&mut self) -> anyhow::Result<bool> {
        match self.generate() {
            Ok((text, outcome)) => {
                self.messages.push(Message::new("assistant", text));
                self.last = Some(super::run::summary(&self.session, &outcome, self.seed));
                if outcome.end == TextEnd::Sequence(FinishReason::Context) {
                    output::note("The context is full, so the answer ends here; /clear starts over.");
                }
                Ok(true)
            }
            Err(e) if e.is::<std::io::Error>() => Err(e),
            Err(e) => {
                output::note(format_args!("error: {}", crate::errors::sentence(&e)));
                if let Some(metallic_engine::Error::PromptTooLong { .. }) = e.downcast_ref() {
                    output::note("  help: /clear forgets the conversation, --context gives it more room");
                }
                Ok(false)
            }
        }
    }

    fn generate(&mut self) -> anyhow::Result<(String, Outcome)> {
        let prompt = self.prompt()?;
        let ids = self.session.tokenizer.encode_prompt(&prompt, Special::Parse);
        let request = Request {
            max_tokens: self.args.max_tokens.unwrap_or(usize::MAX),
            sampling: session::sampling(&self.args.sampling, self.session.file.config(), self.seed),
            stop_tokens: if self.args.sampling.ignore_eos { Vec::new() } else { self.session.ends() },
            reuse: true,
            ..Request::new(ids)
        };
        let stops = &self.args.sampling.stop;
        let stream = match self.template {
            Some(_) => self.session.answering(stops),
            None => self.session.continuing(stops),
        };
        let mut out = output::stdout();
        let mut text = String::new();
        let outcome = self.session.generate(request, stream, self.cancel, &mut |piece| {
            text.push_str(piece);
            out.write_all(piece.as_bytes())?;
            Ok(out.flush()?)
        })?;
        writeln!(out)?;
        out.flush()?;
        Ok((text, outcome))
    }

    fn prompt(&self) -> anyhow::Result<String> {
        let Some(template) = &self.template else {
            return Ok(self.messages.iter().map(|m| m.content.as_str()).collect());
        };
        Ok(template.render(&Conversation { messages: &self.messages, ..Default::default() })?)
    }

    /// Runs a command; false to leave.
    fn command(&mut self, line: &str) -> anyhow::Result<bool> {
        let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim();
        match name {
            "/quit" | "/exit" => return Ok(false),
            "/help" => COMMANDS.iter().for_each(|(name, what)| output::note(format_args!("{name:<8} {what}"))),
            "/clear" => self.messages.retain(|m| m.role == "system"),
            "/system" => {
                self.messages.clear();
                if !rest.is_empty() {
                    self.messages.push(Message::new("system", rest));
                }
            }
            "/retry" => self.retry()?,
            "/undo" => {
                self.messages.pop_if(|m| m.role == "assistant");
                self.messages.pop_if(|m| m.role == "user");
            }
            "/save" | "/load" if rest.is_empty() => output::note(format_args!("which file? {name} FILE")),
            "/save" => self.tell(self.save(rest)),
            "/load" => {
                let loaded = self.load(rest);
                self.tell(loaded);
            }
            "/stats" => output::note(self.last.as_deref().unwrap_or("nothing was said yet")),
            _ => output::note(format_args!("there is no {name}; /help lists the commands")),
        }
        Ok(true)
    }

    fn tell(&self, result: anyhow::Result<()>) {
        match result {
            Ok(()) => output::note(format_args!("{} messages", self.messages.len())),
            Err(e) => output::note(format_args!("error: {}", crate::errors::sentence(&e))),
        }
    }

    fn save(&self, path: &str) -> anyhow::Result<()> {
        let json = serde_json::to_string_pretty(&self.messages)?;
        std::fs::write(path, json + "\n").with_context(|| format!("cannot write {path}"))
    }

    fn load(&mut self, path: &str) -> anyhow::Result<()> {
        let json = std::fs::read(path).with_context(|| format!("cannot read {path}"))?;
        self.messages = serde_json::from_slice(&json).with_context(|| format!("{path} is no conversation"))?;
        Ok(())
    }
}
