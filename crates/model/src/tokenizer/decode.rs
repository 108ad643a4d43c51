use std::ops::Deref;

use super::Tokenizer;

/// Turns ids into text one by one, holding back the bytes of a character that is not complete.
///
/// `T` is `&Tokenizer`, or `Arc<Tokenizer>` for a decoder that is kept.
#[derive(Debug, Clone)]
pub struct StreamDecoder<T> {
    tokenizer: T,
    pending: Vec<u8>,
    text: String,
    drop_space: bool,
}

impl<T: Deref<Target = Tokenizer>> StreamDecoder<T> {
    /// Decodes a text from its start: all it gives, joined, is [`Tokenizer::decode`] of the same ids.
    pub fn new(tokenizer: T) -> Self {
        let drop_space = tokenizer.leads_with_space();
        StreamDecoder { tokenizer, pending: Vec::new(), text: String::new(), drop_space }
    }

    /// Decodes what continues a text, keeping the space that may stand between the two.
    pub fn continuing(tokenizer: T) -> Self {
        StreamDecoder { drop_space: false, ..Self::new(tokenizer) }
    }

    /// The text that `id` completes, often empty. Bytes that can be no UTF-8 become U+FFFD; control tokens and ids
    /// outside the vocabulary give nothing.
    pub fn push(&mut self, id: u32) -> &str {
        self.text.clear();
        let mut bytes = self.tokenizer.shown_bytes(id);
        if self.drop_space && !bytes.is_empty() {
            self.drop_space = false;
            bytes = bytes.strip_prefix(b" ").unwrap_or(bytes);
        }
        self.pending.extend_from_slice(bytes);
        let kept = take_complete(&self.pending, &mut self.text);
        self.pending.drain(..self.pending.len() - kept);
        &self.text
    }

    /// What an unfinished character leaves at the end: U+FFFD, or nothing. The decoder can go on after it.
    pub fn flush(&mut self) -> &str {
        self.text.clear();
        if !self.pending.is_empty() {
            self.pending.clear();
            self.text.push(char::REPLACEMENT_CHARACTER);
        }
        &self.text
    }
}

/// Appends the characters of `bytes` to `text` and gives the length of an unfinished one at the end.
fn take_complete(bytes: &[u8], text: &mut String) -> usize {
    let mut rest = bytes;
    loop {
        match std::str::from_utf8(rest) {
            Ok(valid) => {
                text.push_str(valid);
                return 0;
            }
            Err(error) => {
                let (valid, tail) = rest.split_at(error.valid_up_to());
                text.push_str(&String::from_utf8_lossy(valid));
                let Some(length) = error.error_len() else { return tail.len() };
                text.push(char::REPLACEMENT_CHARACTER);
                rest = &tail[length..];
            }
        }
    }
}
