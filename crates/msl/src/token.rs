//! Tokens, their places, and the table of their spellings.

use std::collections::HashMap;
use std::sync::Arc;

use crate::Place;

/// A spelling: an index into [`Spellings`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Sym(pub u32);

macro_rules! known {
    ($($name:ident = $text:literal,)*) => {
        /// Spellings that the front end knows, at fixed indices.
        pub(crate) mod sym {
            use super::Sym;
            #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
            enum Index { $($name,)* }
            $(pub(crate) const $name: Sym = Sym(Index::$name as u32);)*
        }
        const KNOWN: &[&str] = &[$($text,)*];
    };
}

known! {
    LPAREN = "(", RPAREN = ")", LBRACKET = "[", RBRACKET = "]", LBRACE = "{", RBRACE = "}",
    LESS = "<", GREATER = ">", COMMA = ",", SEMI = ";", COLON = ":", SCOPE = "::", ASSIGN = "=", STAR = "*", AMP = "&",
    AND = "&&", DOT = ".", ARROW = "->", HASH = "#", PASTE = "##", ELLIPSIS = "...", TILDE = "~",
    SHIFT_RIGHT = ">>",
    DEVICE = "device", CONSTANT = "constant", THREAD = "thread", THREADGROUP = "threadgroup", KERNEL = "kernel",
    VERTEX = "vertex", FRAGMENT = "fragment", CONST = "const", VOLATILE = "volatile", STATIC = "static",
    INLINE = "inline", CONSTEXPR = "constexpr", EXTERN = "extern", TYPENAME = "typename", CLASS = "class",
    STRUCT = "struct", UNION = "union", ENUM = "enum", NAMESPACE = "namespace", USING = "using", TYPEDEF = "typedef",
    TEMPLATE = "template", OPERATOR = "operator", STATIC_ASSERT = "static_assert", C_STATIC_ASSERT = "_Static_assert",
    DECLTYPE = "decltype", ALIGNAS = "alignas", GNU_ATTRIBUTE = "__attribute__", DECLSPEC = "__declspec",
    NOEXCEPT = "noexcept", EXPLICIT = "explicit", FRIEND = "friend", PUBLIC = "public", PRIVATE = "private",
    PROTECTED = "protected", RETURN = "return", CASE = "case", ELSE = "else", DO = "do", GOTO = "goto",
    FOR = "for", SIZEOF = "sizeof", ALIGNOF = "alignof",
    UNSIGNED = "unsigned", SIGNED = "signed", LONG = "long", SHORT = "short", INT = "int", CHAR = "char",
    VOID = "void", BOOL = "bool", FLOAT = "float", METAL = "metal", COHERENT = "coherent", EXTENSION = "__extension__",
    RAY_DATA = "ray_data", OBJECT_DATA = "object_data", THREADGROUP_IMAGEBLOCK = "threadgroup_imageblock",
    THREAD_ELEMENTS = "thread_elements", IS_CONSTANT_DEFINED = "is_function_constant_defined",
    DEFINED = "defined", VA_ARGS = "__VA_ARGS__", VA_OPT = "__VA_OPT__",
    PRAGMA_OPERATOR = "_Pragma", LINE = "__LINE__", FILE = "__FILE__", COUNTER = "__COUNTER__", ONCE = "once",
    TRUE = "true", FALSE = "false", CONCEPT = "concept",
}

/// Every spelling that occurs, once.
#[derive(Debug)]
pub(crate) struct Spellings {
    texts: Vec<Arc<str>>,
    index: HashMap<Arc<str>, Sym>,
}

impl Spellings {
    pub fn new() -> Spellings {
        let mut s = Spellings { texts: Vec::new(), index: HashMap::new() };
        for text in KNOWN {
            s.intern(text);
        }
        s
    }

    pub fn intern(&mut self, text: &str) -> Sym {
        if let Some(&sym) = self.index.get(text) {
            return sym;
        }
        let sym = Sym(self.texts.len() as u32);
        let text: Arc<str> = text.into();
        self.texts.push(text.clone());
        self.index.insert(text, sym);
        sym
    }

    /// The spelling of something that may not have occurred.
    pub fn find(&self, text: &str) -> Option<Sym> {
        self.index.get(text).copied()
    }

    pub fn text(&self, sym: Sym) -> &str {
        &self.texts[sym.0 as usize]
    }
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ident,
    Number,
    Str,
    Char,
    Punct,
    /// A `#pragma` or `_Pragma` that is kept; its spelling is what follows the word.
    Pragma,
    /// A character that no token starts with.
    Other,
}

/// A place, packed: the file is an index into the unit's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) struct Pos {
    pub file: u32,
    pub line: u32,
    pub column: u32,
}

impl Pos {
    pub fn place(self, files: &[Arc<str>]) -> Place {
        Place { file: files[self.file as usize].clone(), line: self.line, column: self.column }
    }
}

/// White space stands before the token.
pub(crate) const SPACE: u8 = 1;
/// The token is the first of its line.
pub(crate) const FIRST: u8 = 2;
/// A macro name that must not be expanded again.
pub(crate) const PAINTED: u8 = 4;
/// The second half of a `>>` that was split.
pub(crate) const GLUED: u8 = 8;

/// A token with its two places.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    pub kind: Kind,
    pub flags: u8,
    pub sym: Sym,
    /// Where it is spelled: in a macro's body, for a token that a macro gave.
    pub at: Pos,
    /// Where the user wrote what gave it: the macro's use.
    pub from: Pos,
}

impl Token {
    pub fn is(&self, sym: Sym) -> bool {
        self.sym == sym && matches!(self.kind, Kind::Punct | Kind::Ident)
    }

    pub fn ident(&self) -> bool {
        self.kind == Kind::Ident
    }

    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}
