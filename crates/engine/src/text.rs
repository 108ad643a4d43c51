//! Tokens as text: whole characters only, and never any part of a stop string.

use std::sync::Arc;

use metallic_model::tokenizer::{StreamDecoder, Tokenizer};

use crate::{Engine, Error, Event, FinishReason, Request, SeqId, Usage};

/// Why a text ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextEnd {
    /// A stop string, by its number.
    StopString(usize),
    /// The sequence ended.
    Sequence(FinishReason),
}

/// Turns tokens into text that can be shown at once: text that may be the start of a stop string is held back until that is
/// clear.
pub struct TextStream {
    decoder: StreamDecoder<Arc<Tokenizer>>,
    stops: Vec<String>,
    held: String,
    out: String,
    stopped: Option<usize>,
}

impl TextStream {
    /// `decoder` says whether the text starts ([`StreamDecoder::new`]) or continues one that is shown already
    /// ([`StreamDecoder::continuing`]). Empty stop strings stop nothing.
    pub fn new(decoder: StreamDecoder<Arc<Tokenizer>>, stops: Vec<String>) -> TextStream {
        TextStream { decoder, stops, held: String::new(), out: String::new(), stopped: None }
    }

    /// Takes a token and gives the text that is now certain, often empty. After a stop string all further text is dropped.
    pub fn push(&mut self, id: u32) -> &str {
        if self.stopped.is_none() {
            self.held.push_str(self.decoder.push(id));
        }
        let kept = self.stops().map(|(_, s)| overlap(&self.held, s)).max().unwrap_or(0);
        self.release(kept)
    }

    /// The text that was held back, at the end of the tokens.
    pub fn finish(&mut self) -> &str {
        if self.stopped.is_none() {
            self.held.push_str(self.decoder.flush());
        }
        self.release(0)
    }

    /// The number of the stop string that ended the text.
    pub fn stopped(&self) -> Option<usize> {
        self.stopped
    }

    fn stops(&self) -> impl Iterator<Item = (usize, &String)> {
        self.stops.iter().enumerate().filter(|(_, s)| !s.is_empty())
    }

    /// Lets all go but the last `kept` bytes, up to a stop string.
    fn release(&mut self, kept: usize) -> &str {
        self.out.clear();
        if self.stopped.is_some() {
            return &self.out;
        }
        let found = |(i, stop): (usize, &String)| Some((self.held.find(stop.as_str())?, i));
        if let Some((at, i)) = self.stops().filter_map(found).min() {
            self.out.push_str(&self.held[..at]);
            self.held.clear();
            self.stopped = Some(i);
            return &self.out;
        }
        self.out.extend(self.held.drain(..self.held.len() - kept));
        &self.out
    }
}

/// Bytes of the longest end of `text` that is a beginning of `stop`, but not all of it.
fn overlap(text: &str, stop: &str) -> usize {
    let most = text.len().min(stop.len() - 1);
    let fits = |n: &usize| stop.is_char_boundary(*n) && text.ends_with(&stop[..*n]);
    (1..=most).rev().find(fits).unwrap_or(0)
}

/// What a [`Generation`] gives next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Piece<'a> {
    /// A part of the prompt was computed.
    Prefill {
        /// Tokens computed so far.
        done: usize,
        /// Tokens of the prompt.
        total: usize,
    },
    /// What one more token made certain of the text, often nothing; at last what was held back.
    Text(&'a str),
    /// The end; nothing comes after it.
    End {
        /// Why.
        end: TextEnd,
        /// What it took.
        usage: Usage,
    },
}

/// One text on an engine of its own, piece by piece. Dropped early, it cancels its sequence.
pub struct Generation<'a> {
    engine: &'a mut Engine,
    stream: TextStream,
    seq: SeqId,
    events: Vec<Event>,
    at: usize,
    tokens: Vec<u32>,
    end: Option<(TextEnd, Usage)>,
    over: bool,
}

impl<'a> Generation<'a> {
    /// Starts a text. Events of other sequences on the same engine would be lost: use [`Engine::step`] for those.
    ///
    /// # Errors
    /// As [`Engine::add`].
    pub fn start(engine: &'a mut Engine, request: Request, stream: TextStream) -> Result<Generation<'a>, Error> {
        let seq = engine.add(request)?;
        Ok(Generation { engine, stream, seq, events: Vec::new(), at: 0, tokens: Vec::new(), end: None, over: false })
    }

    /// The tokens generated so far, without a stop token.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Ends the text here. What was held back still comes, and the end.
    pub fn cancel(&mut self) {
        self.engine.cancel(self.seq);
    }

    /// The next piece, or `None` after the end.
    ///
    /// # Errors
    /// As [`Engine::step`]; the text is over then.
    pub fn next_piece(&mut self) -> Result<Option<Piece<'_>>, Error> {
        loop {
            if self.over {
                return Ok(None);
            }
            if let Some((end, usage)) = self.end {
                self.over = true;
                return Ok(Some(Piece::End { end, usage }));
            }
            let Some(&event) = self.events.get(self.at) else {
                self.at = 0;
                let result = self.engine.step(&mut self.events);
                self.over = result.is_err() || (self.events.is_empty() && self.engine.is_idle());
                result?;
                continue;
            };
            self.at += 1;
            if let Some(piece) = self.take(event) {
                return Ok(Some(match piece {
                    Taken::Prefill { done, total } => Piece::Prefill { done, total },
                    Taken::Text => Piece::Text(&self.stream.out),
                }));
            }
        }
    }

    fn take(&mut self, event: Event) -> Option<Taken> {
        match event {
            Event::Prefill { seq, done, total } if seq == self.seq => Some(Taken::Prefill { done, total }),
            Event::Token { seq, id, .. } if seq == self.seq => {
                self.tokens.push(id);
                self.stream.push(id);
                if self.stream.stopped().is_some() {
                    self.cancel();
                }
                Some(Taken::Text)
            }
            Event::Finished { seq, reason, usage } if seq == self.seq => {
                self.stream.finish();
                let end = self.stream.stopped().map_or(TextEnd::Sequence(reason), TextEnd::StopString);
                self.end = Some((end, usage));
                Some(Taken::Text)
            }
            _ => None,
        }
    }
}

/// A piece before its text is borrowed.
enum Taken {
    Prefill { done: usize, total: usize },
    Text,
}

impl Drop for Generation<'_> {
    fn drop(&mut self) {
        if self.end.is_none() {
            self.engine.cancel(self.seq);
        }
    }
}
