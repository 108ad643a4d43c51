use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

use super::error::{TokenizerError, shorten};

/// No real token comes near it; it bounds what one look-up can cost.
const MAX_TOKEN_BYTES: usize = 1 << 16;

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// Ordinary text.
    Normal,
    /// Stands for text that has no token.
    Unknown,
    /// Steers the model; never shown.
    Control,
    /// Text that is always one token.
    User,
    /// A gap or padding.
    Unused,
    /// One raw byte.
    Byte,
}

/// The bytes of every token in one arena, and the way back from bytes to id.
pub(super) struct Vocab {
    bytes: Vec<u8>,
    ends: Vec<u32>,
    kinds: Vec<Kind>,
    by_bytes: HashTable<u32>,
    hasher: RandomState,
}

impl Vocab {
    pub(super) fn with_capacity(tokens: usize) -> Vocab {
        Vocab {
            bytes: Vec::with_capacity(tokens * 7),
            ends: Vec::with_capacity(tokens),
            kinds: Vec::with_capacity(tokens),
            by_bytes: HashTable::new(),
            hasher: RandomState::default(),
        }
    }

    /// Gives the next id to the token whose bytes `write` appends.
    pub(super) fn push(&mut self, kind: Kind, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), TokenizerError> {
        let start = self.bytes.len();
        write(&mut self.bytes);
        let id = self.ends.len() as u32;
        let wrong = |reason| TokenizerError::Token { id, token: shorten(&self.bytes[start..]), reason };
        if self.bytes.len() - start > MAX_TOKEN_BYTES {
            return Err(wrong("longer than 65536 bytes"));
        }
        let end = u32::try_from(self.bytes.len()).map_err(|_| wrong("the vocabulary's text exceeds 4 GiB"))?;
        self.ends.push(end);
        self.kinds.push(kind);
        Ok(())
    }

    /// Makes tokens findable by their bytes. Of several with the same bytes the last wins, and an ordinary token
    /// wins over one the user defined. Control tokens are not text and cannot be found here.
    pub(super) fn index(&mut self) {
        let Vocab { bytes, ends, kinds, by_bytes, hasher } = self;
        by_bytes.clear();
        by_bytes.reserve(ends.len(), |&id| hasher.hash_one(slice(bytes, ends, id)));
        for wanted in [Kind::User, Kind::Normal] {
            for id in 0..ends.len() as u32 {
                if kinds[id as usize] != wanted {
                    continue;
                }
                let key = slice(bytes, ends, id);
                let same = |&other: &u32| slice(bytes, ends, other) == key;
                match by_bytes.entry(hasher.hash_one(key), same, |&id| hasher.hash_one(slice(bytes, ends, id))) {
                    hashbrown::hash_table::Entry::Occupied(mut entry) => *entry.get_mut() = id,
                    hashbrown::hash_table::Entry::Vacant(entry) => {
                        entry.insert(id);
                    }
                }
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn kind(&self, id: u32) -> Option<Kind> {
        self.kinds.get(id as usize).copied()
    }

    pub(super) fn bytes(&self, id: u32) -> Option<&[u8]> {
        ((id as usize) < self.ends.len()).then(|| slice(&self.bytes, &self.ends, id))
    }

    pub(super) fn find(&self, bytes: &[u8]) -> Option<u32> {
        let same = |&id: &u32| slice(&self.bytes, &self.ends, id) == bytes;
        self.by_bytes.find(self.hasher.hash_one(bytes), same).copied()
    }

    pub(super) fn ids_of(&self, wanted: &[Kind]) -> impl Iterator<Item = u32> {
        (0..self.len() as u32).filter(move |&id| wanted.contains(&self.kinds[id as usize]))
    }

    /// The id of each single byte, from the byte tokens, or from ordinary tokens of one byte.
    pub(super) fn byte_ids(&self, kind: Kind) -> [Option<u32>; 256] {
        let mut ids = [None; 256];
        for id in self.ids_of(&[kind]) {
            if let &[byte] = slice(&self.bytes, &self.ends, id) {
                ids[byte as usize] = Some(id);
            }
        }
        ids
    }

    /// The bytes of the longest token.
    pub(super) fn longest(&self) -> usize {
        (0..self.len() as u32).map(|id| slice(&self.bytes, &self.ends, id).len()).max().unwrap_or(0)
    }

    pub(super) fn shrink(&mut self) {
        self.bytes.shrink_to_fit();
        self.ends.shrink_to_fit();
        self.kinds.shrink_to_fit();
    }
}

fn slice<'a>(bytes: &'a [u8], ends: &[u32], id: u32) -> &'a [u8] {
    let id = id as usize;
    let start = if id == 0 { 0 } else { ends[id - 1] as usize };
    &bytes[start..ends[id] as usize]
}

/// The byte that a name such as `<0x0A>` stands for.
pub(super) fn byte_of_name(name: &str) -> Option<u8> {
    let digits = name.strip_prefix("<0x")?.strip_suffix('>')?;
    if digits.len() != 2 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    u8::from_str_radix(digits, 16).ok()
}
