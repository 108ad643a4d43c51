//! Metadata values of a GGUF file, borrowed from its bytes.

use std::fmt;

/// Types of metadata values, with the numbers that the format fixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
#[repr(u32)]
pub enum Kind {
    U8 = 0,
    I8 = 1,
    U16 = 2,
    I16 = 3,
    U32 = 4,
    I32 = 5,
    F32 = 6,
    Bool = 7,
    Str = 8,
    Array = 9,
    U64 = 10,
    I64 = 11,
    F64 = 12,
}

impl Kind {
    /// The kind numbered `id`.
    pub fn from_id(id: u32) -> Option<Kind> {
        use Kind::*;
        [U8, I8, U16, I16, U32, I32, F32, Bool, Str, Array, U64, I64, F64].get(id as usize).copied()
    }

    /// Bytes of a scalar; `None` for strings and arrays.
    pub fn size(self) -> Option<usize> {
        match self {
            Kind::U8 | Kind::I8 | Kind::Bool => Some(1),
            Kind::U16 | Kind::I16 => Some(2),
            Kind::U32 | Kind::I32 | Kind::F32 => Some(4),
            Kind::U64 | Kind::I64 | Kind::F64 => Some(8),
            Kind::Str | Kind::Array => None,
        }
    }

    /// Lower-case name, e.g. `u32`.
    pub fn name(self) -> &'static str {
        ["u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "array", "u64", "i64", "f64"][self as usize]
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A metadata value.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Value<'a> {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    Str(&'a str),
    Array(Array<'a>),
    U64(u64),
    I64(i64),
    F64(f64),
}

impl<'a> Value<'a> {
    /// Decodes a value whose bytes were checked when the file was parsed.
    pub(crate) fn decode(kind: Kind, b: &'a [u8]) -> Option<Value<'a>> {
        Some(match kind {
            Kind::U8 => Value::U8(*b.first()?),
            Kind::I8 => Value::I8(*b.first()? as i8),
            Kind::Bool => Value::Bool(*b.first()? != 0),
            Kind::U16 => Value::U16(u16::from_le_bytes(*b.first_chunk()?)),
            Kind::I16 => Value::I16(i16::from_le_bytes(*b.first_chunk()?)),
            Kind::U32 => Value::U32(u32::from_le_bytes(*b.first_chunk()?)),
            Kind::I32 => Value::I32(i32::from_le_bytes(*b.first_chunk()?)),
            Kind::F32 => Value::F32(f32::from_le_bytes(*b.first_chunk()?)),
            Kind::U64 => Value::U64(u64::from_le_bytes(*b.first_chunk()?)),
            Kind::I64 => Value::I64(i64::from_le_bytes(*b.first_chunk()?)),
            Kind::F64 => Value::F64(f64::from_le_bytes(*b.first_chunk()?)),
            Kind::Str => Value::Str(std::str::from_utf8(b.get(8..)?).ok()?),
            Kind::Array => {
                let kind = Kind::from_id(u32::from_le_bytes(*b.first_chunk()?))?;
                let len = u64::from_le_bytes(*b.get(4..)?.first_chunk()?);
                Value::Array(Array { kind, len: usize::try_from(len).ok()?, bytes: b.get(12..)? })
            }
        })
    }

    /// Type of the value.
    pub fn kind(&self) -> Kind {
        match self {
            Value::U8(_) => Kind::U8,
            Value::I8(_) => Kind::I8,
            Value::U16(_) => Kind::U16,
            Value::I16(_) => Kind::I16,
            Value::U32(_) => Kind::U32,
            Value::I32(_) => Kind::I32,
            Value::F32(_) => Kind::F32,
            Value::Bool(_) => Kind::Bool,
            Value::Str(_) => Kind::Str,
            Value::Array(_) => Kind::Array,
            Value::U64(_) => Kind::U64,
            Value::I64(_) => Kind::I64,
            Value::F64(_) => Kind::F64,
        }
    }

    /// The value as a non-negative integer, whatever its width.
    pub fn as_u64(&self) -> Option<u64> {
        match *self {
            Value::U8(v) => Some(v.into()),
            Value::U16(v) => Some(v.into()),
            Value::U32(v) => Some(v.into()),
            Value::U64(v) => Some(v),
            Value::I8(v) => v.try_into().ok(),
            Value::I16(v) => v.try_into().ok(),
            Value::I32(v) => v.try_into().ok(),
            Value::I64(v) => v.try_into().ok(),
            _ => None,
        }
    }

    /// The value as a float.
    pub fn as_f64(&self) -> Option<f64> {
        match *self {
            Value::F32(v) => Some(v.into()),
            Value::F64(v) => Some(v),
            _ => None,
        }
    }

    /// The value as a string.
    pub fn as_str(&self) -> Option<&'a str> {
        match *self {
            Value::Str(s) => Some(s),
            _ => None,
        }
    }

    /// The value as a truth value.
    pub fn as_bool(&self) -> Option<bool> {
        match *self {
            Value::Bool(b) => Some(b),
            _ => None,
        }
    }

    /// The value as an array.
    pub fn as_array(&self) -> Option<Array<'a>> {
        match *self {
            Value::Array(a) => Some(a),
            _ => None,
        }
    }
}

impl fmt::Display for Value<'_> {
    /// Strings as they are, arrays with their first items only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::U8(v) => v.fmt(f),
            Value::I8(v) => v.fmt(f),
            Value::U16(v) => v.fmt(f),
            Value::I16(v) => v.fmt(f),
            Value::U32(v) => v.fmt(f),
            Value::I32(v) => v.fmt(f),
            Value::F32(v) => v.fmt(f),
            Value::Bool(v) => v.fmt(f),
            Value::Str(v) => f.write_str(v),
            Value::U64(v) => v.fmt(f),
            Value::I64(v) => v.fmt(f),
            Value::F64(v) => v.fmt(f),
            Value::Array(a) => a.fmt(f),
        }
    }
}

/// An array of metadata, a slice of the file. Items are decoded as they are asked for.
#[derive(Clone, Copy, PartialEq)]
pub struct Array<'a> {
    pub(crate) kind: Kind,
    pub(crate) len: usize,
    pub(crate) bytes: &'a [u8],
}

impl<'a> Array<'a> {
    /// Number of items.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True without items.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Type of the items.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The items as they are stored, without the array's own header.
    pub fn raw(&self) -> &'a [u8] {
        self.bytes
    }

    /// The strings of an array of strings (bytes: tokens need not be UTF-8); nothing for other arrays.
    pub fn strings(&self) -> Strings<'a> {
        let is = self.kind == Kind::Str;
        Strings { left: if is { self.len } else { 0 }, bytes: self.bytes }
    }

    /// The items of an array of scalars; nothing for arrays of strings or arrays.
    pub fn scalars(&self) -> impl Iterator<Item = Value<'a>> + use<'a> {
        let (kind, bytes) = (self.kind, self.bytes);
        let size = kind.size().unwrap_or(usize::MAX);
        let n = if kind.size().is_some() { self.len } else { 0 };
        (0..n).map_while(move |i| Value::decode(kind, bytes.get(i.checked_mul(size)?..)?))
    }

    /// The items as f32, of an array of f32; nothing for other arrays.
    pub fn f32s(&self) -> impl ExactSizeIterator<Item = f32> + use<'a> {
        let bytes = if self.kind == Kind::F32 { self.bytes } else { &[] };
        bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b))
    }

    /// The items as i32, of an array of i32 or u32; nothing for other arrays.
    pub fn i32s(&self) -> impl ExactSizeIterator<Item = i32> + use<'a> {
        let bytes = if matches!(self.kind, Kind::I32 | Kind::U32) { self.bytes } else { &[] };
        bytes.as_chunks::<4>().0.iter().map(|b| i32::from_le_bytes(*b))
    }
}

impl fmt::Display for Array<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 4;
        write!(f, "{} x {}", self.len, self.kind)?;
        if self.kind == Kind::Array {
            return Ok(());
        }
        f.write_str(" [")?;
        for (i, s) in self.strings().take(SHOWN).enumerate() {
            write!(f, "{}{:?}", if i > 0 { ", " } else { "" }, String::from_utf8_lossy(s))?;
        }
        for (i, v) in self.scalars().take(SHOWN).enumerate() {
            write!(f, "{}{v}", if i > 0 { ", " } else { "" })?;
        }
        f.write_str(if self.len > SHOWN { ", ...]" } else { "]" })
    }
}

impl fmt::Debug for Array<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Iterator over an array of strings.
#[derive(Clone, Debug)]
pub struct Strings<'a> {
    left: usize,
    bytes: &'a [u8],
}

impl<'a> Iterator for Strings<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.left = self.left.checked_sub(1)?;
        let (len, rest) = self.bytes.split_first_chunk::<8>()?;
        let len = usize::try_from(u64::from_le_bytes(*len)).ok()?;
        let (s, rest) = rest.split_at_checked(len)?;
        self.bytes = rest;
        Some(s)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Strings<'_> {}
