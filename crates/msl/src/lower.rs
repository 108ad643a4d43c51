//! From a unit to one C++ text for one entry.

/// What a unit is lowered to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// C++17 for the emulator: `extern "C" void symbol(const MslThread *)`, once a thread.
    Host,
    /// CUDA C++17 for NVRTC, with `--device-as-default-execution-space`: `extern "C" __global__ void symbol(...)`.
    Cuda,
}

/// The value of a function constant.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// For `bool`.
    Bool(bool),
    /// For signed integers.
    Int(i64),
    /// For unsigned integers.
    Uint(u64),
    /// For `float`, `half` and `bfloat`.
    Float(f64),
    /// For vectors: two to four scalars.
    Vector(Vec<Value>),
}

/// How the host names a function constant.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ConstantKey {
    /// By `n` of `[[function_constant(n)]]`.
    Index(u32),
    /// By its qualified name.
    Name(String),
}

/// Which entry, and what is known of its launch.
#[derive(Clone, Debug, Default)]
pub struct LowerOptions<'a> {
    /// [`Entry::name`](crate::Entry::name).
    pub entry: &'a str,
    /// Values of function constants. One that the entry may read and that has no value here is an error, unless the
    /// source asks `is_function_constant_defined` about it.
    pub constants: &'a [(ConstantKey, Value)],
    /// CUDA: buffer indices of `T&` arguments passed by value as kernel parameters. Ignored for the host.
    pub inline_buffers: &'a [u32],
}

/// One thing to pass at a launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Param {
    /// The address of the buffer bound at `index`.
    Buffer {
        /// Buffer index.
        index: u32,
    },
    /// The bytes themselves of the argument at buffer `index`.
    Inline {
        /// Buffer index.
        index: u32,
        /// Size in bytes, where the front end knows it.
        size: Option<usize>,
    },
    /// Threadgroup memory of a length set by the host. CUDA: an `unsigned`, the byte offset inside the one block of
    /// dynamic shared memory.
    Threadgroup {
        /// Threadgroup index.
        index: u32,
        /// Alignment that the offset must have, at least 16.
        align: usize,
    },
}

/// A unit as one self-contained C++ text with one entry.
#[derive(Clone, Debug)]
pub struct Lowered {
    /// The text: the support library, then the user's declarations that the entry needs, then the entry.
    pub text: String,
    /// The `extern "C"` name of the entry.
    pub symbol: String,
    /// What to pass, in order: buffers by ascending index, then threadgroup arguments by ascending index.
    pub params: Vec<Param>,
    /// Bytes of threadgroup memory that the body declares, where known. Dynamic arguments are not counted.
    pub threadgroup_bytes: Option<usize>,
    /// The most threads that a threadgroup may have, where the source says so.
    pub max_threads: Option<u32>,
}
