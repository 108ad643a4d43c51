//! Chat templates: messages to the text of a prompt.
//!
//! A model's files carry its template in Jinja, written for the Python library transformers. It is rendered here as
//! that library does: trimmed blocks, Python's string methods, `raise_exception`, `strftime_now`, its `tojson`.

mod functions;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment, ErrorKind};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;

use crate::tokenizer::Tokenizer;

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user`, `assistant`, or what else the template knows.
    pub role: String,
    /// The text.
    pub content: String,
}

impl Message {
    /// A message of this role and text.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Message {
        Message { role: role.into(), content: content.into() }
    }
}

/// How a prompt ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ending {
    /// With what opens the assistant's reply.
    #[default]
    Reply,
    /// With the last message.
    Message,
}

/// What a template is rendered with.
#[derive(Debug, Clone, Default)]
pub struct Conversation<'a> {
    /// The messages, oldest first.
    pub messages: &'a [Message],
    /// How the prompt ends.
    pub ending: Ending,
    /// Further variables that the template may know, such as `tools` or `enable_thinking`.
    pub variables: BTreeMap<String, serde_json::Value>,
}

/// Why there is no prompt.
#[derive(Debug, thiserror::Error)]
pub enum ChatError {
    /// The files hold no template, and the vocabulary shows no format that is known.
    #[error(
        "the model has no chat template, and its vocabulary has the turn tokens of none of: ChatML, Llama 3, Llama 2"
    )]
    NoTemplate,
    /// The template is not Jinja.
    #[error("the chat template does not parse: {0}")]
    Syntax(#[source] minijinja::Error),
    /// The template itself refuses the messages.
    #[error("the chat template refuses these messages: {0}")]
    Refused(String),
    /// The template did more steps, or wrote more, than any real one.
    #[error("the chat template does not come to an end within {steps} steps and {bytes} bytes of text")]
    Endless {
        /// The steps it was given.
        steps: u64,
        /// The length that its text may have.
        bytes: usize,
    },
    /// The template fails on these messages.
    #[error("the chat template fails: {0}")]
    Render(#[source] minijinja::Error),
}

/// Real templates take some dozen steps for a message and, before the first, some hundred for each tool.
const STEPS: u64 = 200_000;
const STEPS_PER_MESSAGE: u64 = 5_000;

/// How much a prompt may be longer than its messages and variables.
const BYTES: usize = 1 << 20;
const TIMES_ITS_MESSAGES: usize = 8;

const RECURSION: usize = 100;
const NAME: &str = "chat template";

const CHATML: &str = include_str!("chat/chatml.jinja");
const LLAMA2: &str = include_str!("chat/llama2.jinja");
const LLAMA3: &str = include_str!("chat/llama3.jinja");

/// A model's chat template.
#[derive(Debug, Clone)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    bos: String,
    eos: String,
}

impl ChatTemplate {
    /// A template from its source. `bos` and `eos` are the names of those tokens, which it may write.
    ///
    /// # Errors
    /// If the source does not parse.
    pub fn new(source: &str, bos: impl Into<String>, eos: impl Into<String>) -> Result<ChatTemplate, ChatError> {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(ChatError::Syntax)?);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_recursion_limit(RECURSION);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        functions::add(&mut environment);
        let source = functions::without_generation_marks(source);
        environment.add_template_owned(NAME, source.into_owned()).map_err(ChatError::Syntax)?;
        Ok(ChatTemplate { environment, bos: bos.into(), eos: eos.into() })
    }

    /// The template of a model: `source` from its files, or else the format whose turn tokens its vocabulary has.
    ///
    /// # Errors
    /// If the source does not parse, or there is none and no format fits.
    pub fn for_tokenizer(source: Option<&str>, tokenizer: &Tokenizer) -> Result<ChatTemplate, ChatError> {
        let has = |tokens: &[&str]| tokens.iter().all(|token| tokenizer.id(token).is_some());
        let source = match source {
            Some(source) => source,
            None if has(&["<|im_start|>", "<|im_end|>"]) => CHATML,
            None if has(&["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]) => LLAMA3,
            None if tokenizer.is_sentencepiece() && has(&["<s>", "</s>"]) => LLAMA2,
            None => return Err(ChatError::NoTemplate),
        };
        let name = |id: Option<u32>| {
            let bytes = id.and_then(|id| tokenizer.token_bytes(id)).unwrap_or_default();
            String::from_utf8_lossy(bytes).into_owned()
        };
        ChatTemplate::new(source, name(tokenizer.bos()), name(tokenizer.eos()))
    }

    /// The text of a prompt. It names special tokens: encode it with [`Special::Parse`](crate::tokenizer::Special).
    ///
    /// # Errors
    /// If the template refuses the messages, fails on them, or does not come to an end. Steps and output are bounded;
    /// what a template holds in its variables meanwhile is not.
    pub fn render(&self, conversation: &Conversation<'_>) -> Result<String, ChatError> {
        let steps = STEPS + STEPS_PER_MESSAGE * conversation.messages.len() as u64;
        let given: usize = conversation.messages.iter().map(|message| message.role.len() + message.content.len()).sum();
        let variables: usize = conversation.variables.values().map(|value| value.to_string().len()).sum();
        let bytes = BYTES + TIMES_ITS_MESSAGES * (given + variables);
        let mut environment = self.environment.clone();
        environment.set_fuel(Some(steps));
        let template = environment.get_template(NAME).map_err(ChatError::Render)?;
        let mut out = Bounded { bytes: Vec::new(), room: bytes };
        match template.render_captured_to(self.context(conversation), &mut out) {
            Ok(_) => Ok(String::from_utf8_lossy(&out.bytes).into_owned()),
            Err(error) => Err(match error.kind() {
                ErrorKind::OutOfFuel | ErrorKind::WriteFailure => ChatError::Endless { steps, bytes },
                _ => match functions::refusal(&error) {
                    Some(reason) => ChatError::Refused(reason),
                    None => ChatError::Render(error),
                },
            }),
        }
    }

    fn context(&self, conversation: &Conversation<'_>) -> Value {
        // The reference passes these two always, so that templates may compare them with none.
        let mut context = BTreeMap::from([("tools", Value::from(())), ("documents", Value::from(()))]);
        context.extend(conversation.variables.iter().map(|(name, value)| (name.as_str(), Value::from(Serde(value)))));
        context.extend([
            ("messages", Value::from(Serde(conversation.messages))),
            ("add_generation_prompt", Value::from(conversation.ending == Ending::Reply)),
            ("bos_token", Value::from(self.bos.as_str())),
            ("eos_token", Value::from(self.eos.as_str())),
        ]);
        Value::from_pairs(context)
    }
}

/// Takes text until its room is used up.
struct Bounded {
    bytes: Vec<u8>,
    room: usize,
}

impl io::Write for Bounded {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        if text.len() > self.room {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.room -= text.len();
        self.bytes.extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
