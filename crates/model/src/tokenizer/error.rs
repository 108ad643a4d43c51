/// Why a vocabulary cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// There is nothing to build a tokenizer from.
    #[error("the model has no tokenizer")]
    Missing,
    /// The file that holds it cannot be read.
    #[error(transparent)]
    File(#[from] crate::Error),
    /// The kind of tokenizer is not one that is built here.
    #[error("tokenizer model `{found}` is not supported; supported: {known}")]
    UnknownModel {
        /// What the file names.
        found: String,
        /// The names it could have.
        known: &'static str,
    },
    /// The pre-tokenizer has no scanner here.
    #[error("pre-tokenizer `{found}` is not known; known: {known}")]
    UnknownPre {
        /// The name or the pattern in the file.
        found: String,
        /// The names it could have.
        known: String,
    },
    /// A setting that would change the ids and is not implemented.
    #[error("tokenizer {what} `{found}` is not supported")]
    Unsupported {
        /// Which setting.
        what: &'static str,
        /// Its value.
        found: String,
    },
    /// Lists that must be parallel are not, or a list is empty.
    #[error("the tokenizer's {what}: expected {expected}, got {got}")]
    Count {
        /// Which list.
        what: &'static str,
        /// The length it must have.
        expected: String,
        /// The length it has.
        got: usize,
    },
    /// A token that cannot be what the file says it is.
    #[error("token {id} `{token}`: {reason}")]
    Token {
        /// Its id.
        id: u32,
        /// Its name, shortened.
        token: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A merge that does not join two tokens into a third.
    #[error("merge {index} `{merge}`: {reason}")]
    Merge {
        /// Its place in the list.
        index: usize,
        /// Its text, shortened.
        merge: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// An id that the vocabulary does not have.
    #[error("{what} is id {id}, but the vocabulary has {size} tokens")]
    Id {
        /// What the id is for.
        what: &'static str,
        /// The id.
        id: u64,
        /// One more than the largest id.
        size: usize,
    },
    /// A JSON file that is not JSON, or not of the form that is documented.
    #[error("{file}: {reason}")]
    Json {
        /// The file's name.
        file: &'static str,
        /// What the parser says, with line and column.
        reason: String,
    },
}

/// At most 60 characters of text from the file, safe to print.
pub(super) fn shorten(text: impl AsRef<[u8]>) -> String {
    let bytes = text.as_ref();
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(240)]);
    let mut out: String = head.chars().take(60).flat_map(char::escape_debug).collect();
    if head.chars().count() > 60 || bytes.len() > 240 {
        out.push('…');
    }
    out
}
