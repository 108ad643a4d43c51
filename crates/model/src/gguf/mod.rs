//! Reading GGUF (version 2 and 3, little-endian), after the GGUF specification of the ggml project.
//!
//! [`Gguf::parse`] checks every size, offset, count, type and string against the bytes it was given, so that everything
//! behind it can be read without further thought. Nothing is copied but tensor names and shapes.

mod cursor;
mod value;

use crate::{Error, TensorInfo};
use cursor::Cursor;
pub(crate) use cursor::Span;
use metallic_kernels::DType;
use std::fmt;
pub use value::{Array, Kind, Strings, Value};

/// Tensor data starts at, and every tensor is aligned to, this many bytes where the file does not say otherwise.
pub const DEFAULT_ALIGNMENT: usize = 32;
/// Key of the alignment of tensor data; part of the container, not of a model.
pub const ALIGNMENT_KEY: &str = "general.alignment";

const MAX_ALIGNMENT: u64 = 1 << 16;
const MAX_DIMS: u32 = 4;
const MAX_ARRAY_DEPTH: u32 = 4;
const MIN_KV_BYTES: u64 = 8 + 1 + 4 + 1;
const MIN_TENSOR_BYTES: u64 = 8 + 1 + 4 + 8 + 4 + 8;

/// A parsed GGUF file over its bytes.
#[derive(Debug)]
pub struct Gguf<'a> {
    bytes: &'a [u8],
    header: Header,
}

/// What parsing a GGUF yields, as positions in its bytes.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    version: u32,
    alignment: usize,
    kvs: Vec<Kv>,
    /// Indices into `kvs`, in the order of their keys.
    by_key: Vec<u32>,
    pub tensors: Vec<TensorInfo>,
    data_start: usize,
}

#[derive(Clone, Copy, Debug)]
struct Kv {
    key: Span,
    kind: Kind,
    value: Span,
}

impl<'a> Gguf<'a> {
    /// Parses and checks a whole file.
    ///
    /// # Errors
    /// Anything that is not GGUF v2 or v3, and any item that does not fit the file, named with its place.
    pub fn parse(bytes: &'a [u8]) -> Result<Gguf<'a>, Error> {
        Ok(Gguf { bytes, header: Header::parse(bytes)? })
    }

    /// Format version: 2 or 3.
    pub fn version(&self) -> u32 {
        self.header.version
    }

    /// Alignment of tensor data in bytes.
    pub fn alignment(&self) -> usize {
        self.header.alignment
    }

    /// Where tensor data starts.
    pub fn data_start(&self) -> usize {
        self.header.data_start
    }

    /// All metadata in the order of the file.
    pub fn metadata(&self) -> impl Iterator<Item = (&'a str, Value<'a>)> {
        self.header.metadata(self.bytes)
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<Value<'a>> {
        self.header.get(self.bytes, key)
    }

    /// All tensors in the order of the file.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.header.tensors
    }

    /// Bytes of a tensor of this file.
    pub fn data(&self, tensor: &TensorInfo) -> &'a [u8] {
        tensor.span().of(self.bytes)
    }
}

impl Header {
    pub fn parse(bytes: &[u8]) -> Result<Header, Error> {
        let mut c = Cursor::new(bytes);
        let version = magic_and_version(&mut c, bytes)?;
        let n_tensors = count(&mut c, "number of tensors", MIN_TENSOR_BYTES)?;
        let n_kvs = count(&mut c, "number of metadata keys", MIN_KV_BYTES)?;

        let mut kvs = Vec::with_capacity(n_kvs);
        for _ in 0..n_kvs {
            kvs.push(kv(&mut c, bytes)?);
        }
        let by_key = sorted_keys(&kvs, bytes)?;
        let mut header = Header { version, alignment: DEFAULT_ALIGNMENT, kvs, by_key, tensors: vec![], data_start: 0 };
        header.alignment = header.read_alignment(bytes)?;

        let mut tensors = Vec::with_capacity(n_tensors);
        for _ in 0..n_tensors {
            tensors.push(tensor(&mut c, bytes)?);
        }
        header.data_start = c.pos();
        if n_tensors > 0 {
            let start = c.pos().next_multiple_of(header.alignment);
            c.take((start - c.pos()) as u64, "padding before tensor data")?;
            header.data_start = start;
        }
        place(&mut tensors, &header, bytes.len())?;
        header.tensors = tensors;
        Ok(header)
    }

    pub fn metadata<'a>(&self, bytes: &'a [u8]) -> impl Iterator<Item = (&'a str, Value<'a>)> {
        self.kvs.iter().filter_map(move |kv| Some((kv.key(bytes), kv.value(bytes)?)))
    }

    pub fn get<'a>(&self, bytes: &'a [u8], key: &str) -> Option<Value<'a>> {
        let at = self.by_key.binary_search_by(|&i| self.kvs[i as usize].key(bytes).cmp(key)).ok()?;
        self.kvs[self.by_key[at] as usize].value(bytes)
    }

    fn read_alignment(&self, bytes: &[u8]) -> Result<usize, Error> {
        let Some(v) = self.get(bytes, ALIGNMENT_KEY) else { return Ok(DEFAULT_ALIGNMENT) };
        match v.as_u64() {
            Some(a) if a.is_power_of_two() && (8..=MAX_ALIGNMENT).contains(&a) => Ok(a as usize),
            _ => Err(Error::key(ALIGNMENT_KEY, format_args!("a power of two from 8 to {MAX_ALIGNMENT}"), v)),
        }
    }
}

impl Kv {
    fn key<'a>(&self, bytes: &'a [u8]) -> &'a str {
        std::str::from_utf8(self.key.of(bytes)).unwrap_or_default()
    }

    fn value<'a>(&self, bytes: &'a [u8]) -> Option<Value<'a>> {
        Value::decode(self.kind, self.value.of(bytes))
    }
}

fn magic_and_version(c: &mut Cursor, bytes: &[u8]) -> Result<u32, Error> {
    let magic = c.take(4, "the magic `GGUF`")?;
    if magic.of(bytes) != b"GGUF" {
        let got = magic.of(bytes).escape_ascii();
        return Err(Error::malformed(0, "magic", "`GGUF`", format_args!("`{got}`: not a GGUF file")));
    }
    let version = c.u32("the format version")?;
    let expected = "2 or 3, little-endian";
    match version {
        2 | 3 => Ok(version),
        1 => Err(Error::malformed(4, "format version", expected, "1; convert the file with a current converter")),
        v if matches!(v.swap_bytes(), 1..=3) => {
            Err(Error::malformed(4, "format version", expected, format_args!("{}, big-endian", v.swap_bytes())))
        }
        v => Err(Error::malformed(4, "format version", expected, v)),
    }
}

/// An item of the file, put into words only where an error needs them.
#[derive(Clone, Copy)]
struct Item<'a>(&'static str, &'a str);

impl fmt::Display for Item<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`", self.0, self.1)
    }
}

/// A count of items that take at least `min` bytes each, so that the count itself bounds what is allocated for them.
fn count(c: &mut Cursor, what: &str, min: u64) -> Result<usize, Error> {
    let at = c.pos();
    let n = c.u64(what)?;
    let most = c.remaining() as u64 / min;
    if n > most {
        return Err(Error::malformed(at, what, format_args!("at most {most}, which is what the file has room for"), n));
    }
    Ok(n as usize)
}

fn kv(c: &mut Cursor, bytes: &[u8]) -> Result<Kv, Error> {
    let key = c.utf8("a metadata key")?;
    let name = std::str::from_utf8(key.of(bytes)).unwrap_or_default();
    if name.is_empty() {
        return Err(Error::malformed(key.start, "metadata key", "a name", "nothing"));
    }
    let kind = value_kind(c, name)?;
    let start = c.pos();
    skip_value(c, bytes, kind, name, 0)?;
    Ok(Kv { key, kind, value: Span { start, len: c.pos() - start } })
}

fn value_kind(c: &mut Cursor, key: &str) -> Result<Kind, Error> {
    let at = c.pos();
    let id = c.u32(Item("the value type of", key))?;
    Kind::from_id(id).ok_or_else(|| Error::malformed(at, &format!("value type of `{key}`"), "0 to 12", id))
}

fn skip_value(c: &mut Cursor, bytes: &[u8], kind: Kind, key: &str, depth: u32) -> Result<(), Error> {
    match kind {
        Kind::Str => {
            c.utf8(Item("the value of", key))?;
        }
        Kind::Array => skip_array(c, bytes, key, depth)?,
        _ => {
            let span = c.take(kind.size().unwrap_or(0) as u64, Item("the value of", key))?;
            if kind == Kind::Bool {
                check_bools(span, bytes, key)?;
            }
        }
    }
    Ok(())
}

fn skip_array(c: &mut Cursor, bytes: &[u8], key: &str, depth: u32) -> Result<(), Error> {
    if depth >= MAX_ARRAY_DEPTH {
        return Err(Error::malformed(
            c.pos(),
            key,
            format_args!("arrays at most {MAX_ARRAY_DEPTH} deep"),
            "deeper ones",
        ));
    }
    let kind = value_kind(c, key)?;
    let what = Item("the items of", key);
    let n = c.u64(what)?;
    match kind.size() {
        Some(size) => {
            let span = c.take(n.saturating_mul(size as u64), what)?;
            if kind == Kind::Bool {
                check_bools(span, bytes, key)?;
            }
        }
        None => {
            let min = if kind == Kind::Str { 8 } else { 12 };
            if n > c.remaining() as u64 / min {
                return Err(c.truncated(n.saturating_mul(min), what));
            }
            for _ in 0..n {
                match kind {
                    Kind::Str => c.string(what).map(|_| ())?,
                    _ => skip_array(c, bytes, key, depth + 1)?,
                }
            }
        }
    }
    Ok(())
}

fn check_bools(span: Span, bytes: &[u8], key: &str) -> Result<(), Error> {
    match span.of(bytes).iter().position(|b| *b > 1) {
        Some(i) => Err(Error::malformed(span.start + i, key, "a bool, 0 or 1", span.of(bytes)[i])),
        None => Ok(()),
    }
}

fn sorted_keys(kvs: &[Kv], bytes: &[u8]) -> Result<Vec<u32>, Error> {
    let n = u32::try_from(kvs.len())
        .map_err(|_| Error::malformed(16, "number of metadata keys", "fewer than 2^32", kvs.len()))?;
    let mut order: Vec<u32> = (0..n).collect();
    order.sort_unstable_by_key(|&i| kvs[i as usize].key(bytes));
    for w in order.windows(2) {
        let [a, b] = [w[0], w[1]].map(|i| kvs[i as usize]);
        if a.key(bytes) == b.key(bytes) {
            let at = a.key.start.max(b.key.start);
            return Err(Error::malformed(
                at,
                "metadata key",
                "every key once",
                format_args!("`{}` twice", a.key(bytes)),
            ));
        }
    }
    Ok(order)
}

/// Reads one tensor description. `start` is relative to the tensor data until [`place`] has run.
fn tensor(c: &mut Cursor, bytes: &[u8]) -> Result<TensorInfo, Error> {
    let name = c.utf8("a tensor name")?;
    let name = std::str::from_utf8(name.of(bytes)).unwrap_or_default().to_owned();
    if name.is_empty() {
        return Err(Error::malformed(c.pos(), "tensor name", "a name", "nothing"));
    }
    let what = Item("the description of tensor", &name);
    let n_dims = c.u32(what)?;
    if !(1..=MAX_DIMS).contains(&n_dims) {
        return Err(Error::tensor(&name, format_args!("1 to {MAX_DIMS} dimensions"), n_dims));
    }
    let mut shape = Vec::with_capacity(n_dims as usize);
    for _ in 0..n_dims {
        let d = c.u64(what)?;
        match usize::try_from(d) {
            Ok(d) if d > 0 => shape.push(d),
            _ => return Err(Error::tensor(&name, "dimensions that are not zero and fit in memory", d)),
        }
    }
    let id = c.u32(what)?;
    let dtype = DType::from_ggml(id).ok_or_else(|| {
        let known: Vec<_> = DType::all().map(|d| format!("{} {}", d.ggml(), d)).collect();
        Error::tensor(&name, format_args!("a known element type ({})", known.join(", ")), format_args!("type {id}"))
    })?;
    let offset = c.u64(what)?;
    if shape[0] % dtype.block() != 0 {
        let expected = format!("rows of whole blocks of {} elements, as {dtype} asks for", dtype.block());
        return Err(Error::tensor(&name, expected, format_args!("rows of {}", shape[0])));
    }
    let elements = shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d));
    let len = elements
        .and_then(|n| dtype.bytes(n))
        .ok_or_else(|| Error::tensor(&name, "a size that fits in memory", format_args!("dimensions {shape:?}")))?;
    let start = usize::try_from(offset)
        .map_err(|_| Error::tensor(&name, "data inside the file", format_args!("offset {offset}")))?;
    shape.reverse();
    Ok(TensorInfo { name, dtype, shape, shard: 0, start, len })
}

/// Turns offsets into positions in the file; checks alignment, range, overlap and double names.
fn place(tensors: &mut [TensorInfo], header: &Header, file_len: usize) -> Result<(), Error> {
    for t in tensors.iter_mut() {
        if t.start % header.alignment != 0 {
            let expected = format!("an offset aligned to {}", header.alignment);
            return Err(Error::tensor(&t.name, expected, t.start));
        }
        let start = t.start.checked_add(header.data_start);
        match start.and_then(|s| s.checked_add(t.len)) {
            Some(end) if end <= file_len => t.start += header.data_start,
            Some(_) => {
                return Err(Error::Truncated {
                    offset: (t.start + header.data_start) as u64,
                    expected: format!("the data of tensor `{}`", t.name),
                    need: t.len as u64,
                    len: file_len as u64,
                });
            }
            None => {
                let got = format!("{} bytes at offset {} + {}", t.len, header.data_start, t.start);
                return Err(Error::tensor(&t.name, format_args!("data inside the file of {file_len} bytes"), got));
            }
        }
    }
    let mut order: Vec<&TensorInfo> = tensors.iter().collect();
    order.sort_unstable_by_key(|t| t.start);
    for w in order.windows(2) {
        if w[0].start + w[0].len > w[1].start {
            return Err(Error::tensor(&w[1].name, "data of its own", format_args!("an overlap with `{}`", w[0].name)));
        }
    }
    order.sort_unstable_by_key(|t| t.name.as_str());
    match order.windows(2).find(|w| w[0].name == w[1].name) {
        Some(w) => Err(Error::tensor(&w[0].name, "every name once", "the name twice")),
        None => Ok(()),
    }
}
