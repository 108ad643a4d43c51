//! `emulate`, and the small languages of its arguments.

use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::str::FromStr;

const HELP: &str = "\
What a BUFFER may be:
  x.npy               an array from a file (f16, f32 and all integers; bfloat16 as u16)
  out:f32[1024]       an output: every element must be written by the kernel
  scratch:f32[1024]   memory without values, of which the kernel writes what it needs
  zero:u32[1]         zeros
  random:f32[64x32]   seeded numbers from -1 to 1; integers from 0 to 99

Example, on a file softmax.metal with
    kernel void softmax(device const float* x [[buffer(0)]], device float* y [[buffer(1)]],
                        constant uint& n [[buffer(2)]], ...)

  metallic emulate softmax.metal --entry softmax --grid 8 --threads 128 \\
      --buffer 0=random:f32[8x1000] --buffer 1=out:f32[8x1000] --bytes 2=u32:1000 --save 1=y.npy

A fault is printed with its class, file and line, the thread that met it, the bytes it is about and,
for races, both places. Every schedule is repeatable: the seed that shows a fault is printed too.

Exit codes: 0 no fault, 1 a fault (or the kernel does not compile), 2 wrong usage.

Environment:
  METALLIC_CLANG      the C++ compiler to use; else clang++ on the PATH, else the ziglang wheel
  METALLIC_CACHE_DIR  where compiled kernels are kept";

/// `emulate`.
#[derive(Args, Clone, Debug)]
#[command(after_help = HELP)]
pub struct EmulateArgs {
    /// A file in the Metal Shading Language
    pub file: PathBuf,
    /// The kernel to run, by its host name; without it, the one kernel of the file, or a list of them
    #[arg(short, long, value_name = "NAME")]
    pub entry: Option<String>,
    /// Threadgroups to run: X, X,Y or X,Y,Z
    #[arg(short, long, value_name = "X,Y,Z", conflicts_with = "threads_total")]
    pub grid: Option<Size>,
    /// Threads to run in all, instead of --grid; the last threadgroups may be smaller
    #[arg(long, value_name = "X,Y,Z")]
    pub threads_total: Option<Size>,
    /// Threads of a threadgroup
    #[arg(short, long, value_name = "X,Y,Z")]
    pub threads: Option<Size>,
    /// What lies in a buffer; may be repeated
    #[arg(short, long, value_name = "INDEX=BUFFER")]
    pub buffer: Vec<Indexed<Contents>>,
    /// Bytes set inline, e.g. 2=u32:5 or 3=f32:0.5,2
    #[arg(long, value_name = "INDEX=TYPE:VALUES")]
    pub bytes: Vec<Indexed<Inline>>,
    /// Value of a function constant, by index or name, e.g. 0=true
    #[arg(long, value_name = "CONSTANT=VALUE")]
    pub constant: Vec<Pair>,
    /// Length in bytes of a threadgroup argument
    #[arg(long, value_name = "INDEX=BYTES")]
    pub threadgroup: Vec<Indexed<usize>>,
    /// Write a buffer to a NumPy file when the kernel has run
    #[arg(long, value_name = "INDEX=FILE")]
    pub save: Vec<Indexed<PathBuf>>,
    /// Print the first values of a buffer when the kernel has run
    #[arg(long, value_name = "INDEX")]
    pub show: Vec<u32>,
    /// Define a macro
    #[arg(short = 'D', long = "define", value_name = "NAME[=VALUE]")]
    pub define: Vec<String>,
    /// Look for included files here
    #[arg(short = 'I', long = "include", value_name = "DIR")]
    pub include: Vec<PathBuf>,
    /// Without checks, on all cores
    #[arg(long, conflicts_with_all = ["seed", "schedules", "steps"])]
    pub fast: bool,
    /// The first order of threads; 0 is the natural one
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    pub seed: u64,
    /// Orders of threads to try; all must give the same results [default: 4; with --seed: 1]
    #[arg(long, value_name = "N")]
    pub schedules: Option<u64>,
    /// Blocks of code that a thread may run through
    #[arg(long, value_name = "N", default_value_t = 1 << 27)]
    pub steps: u64,
    /// How the result is printed
    #[arg(short, long, value_enum, default_value = "text")]
    pub output_format: Format,
}

/// How faults are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Paragraphs for people
    Text,
    /// One JSON object
    Json,
}

/// One to three counts, the missing ones being 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub [u32; 3]);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Size, String> {
        let mut size = [1; 3];
        let parts: Vec<_> = text.split([',', 'x']).collect();
        if parts.len() > 3 {
            return Err("at most three counts: X,Y,Z".to_owned());
        }
        for (to, part) in size.iter_mut().zip(parts) {
            *to = part.trim().parse().map_err(|_| format!("{part:?} is not a count"))?;
            if *to == 0 {
                return Err("every count must be 1 at least".to_owned());
            }
        }
        Ok(Size(size))
    }
}

/// `INDEX=value`.
#[derive(Clone, Debug)]
pub struct Indexed<T> {
    /// The index.
    pub index: u32,
    /// What stands behind `=`.
    pub value: T,
}

impl<T: FromStr<Err: std::fmt::Display>> FromStr for Indexed<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Indexed<T>, String> {
        let (index, value) = text.split_once('=').ok_or("an index, =, and a value are wanted, e.g. 0=x.npy")?;
        let index =
            index.trim().parse().ok().filter(|i| *i < 32).ok_or(format!("{index:?} is not an index from 0 to 31"))?;
        Ok(Indexed { index, value: value.parse().map_err(|e: T::Err| e.to_string())? })
    }
}

/// `NAME=VALUE`, both as text.
#[derive(Clone, Debug)]
pub struct Pair {
    /// Before `=`.
    pub name: String,
    /// Behind it.
    pub value: String,
}

impl FromStr for Pair {
    type Err = String;

    fn from_str(text: &str) -> Result<Pair, String> {
        let (name, value) = text.split_once('=').ok_or("an index or a name, =, and a value are wanted")?;
        Ok(Pair { name: name.to_owned(), value: value.to_owned() })
    }
}

/// Element types of buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// IEEE half.
    F16,
    /// IEEE single.
    F32,
    /// The upper half of a single.
    Bf16,
    /// A signed integer of so many bytes.
    Int(u8),
    /// An unsigned integer of so many bytes.
    Uint(u8),
    /// One byte, 0 or 1.
    Bool,
}

impl Element {
    const ALL: [(Element, &'static str); 12] = [
        (Element::F16, "f16"),
        (Element::F32, "f32"),
        (Element::Bf16, "bf16"),
        (Element::Int(1), "i8"),
        (Element::Int(2), "i16"),
        (Element::Int(4), "i32"),
        (Element::Int(8), "i64"),
        (Element::Uint(1), "u8"),
        (Element::Uint(2), "u16"),
        (Element::Uint(4), "u32"),
        (Element::Uint(8), "u64"),
        (Element::Bool, "bool"),
    ];

    /// Bytes of one.
    pub fn bytes(self) -> usize {
        match self {
            Element::F16 | Element::Bf16 => 2,
            Element::F32 => 4,
            Element::Int(n) | Element::Uint(n) => n.into(),
            Element::Bool => 1,
        }
    }
}

impl FromStr for Element {
    type Err = String;

    fn from_str(text: &str) -> Result<Element, String> {
        let known = || Element::ALL.map(|(_, n)| n).join(", ");
        let found = Element::ALL.iter().find(|(_, name)| *name == text);
        found.map(|(e, _)| *e).ok_or_else(|| format!("{text:?} is not an element type; types: {}", known()))
    }
}

/// What lies in a buffer before the kernel runs.
#[derive(Clone, Debug, PartialEq)]
pub enum Contents {
    /// An array from a file.
    File(PathBuf),
    /// Memory of a type and shape.
    Made(Fill, Element, Vec<usize>),
}

/// What made memory holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// Nothing; every element must be written.
    Output,
    /// Nothing.
    Scratch,
    /// Zeros.
    Zero,
    /// Seeded numbers.
    Random,
}

/// Bytes that a buffer may have here: what a machine can hold, and no product of sizes wraps.
const MOST_BYTES: usize = 1 << 36;

impl FromStr for Contents {
    type Err = String;

    fn from_str(text: &str) -> Result<Contents, String> {
        if text.ends_with(".npy") {
            return Ok(Contents::File(text.into()));
        }
        let wanted = "FILE.npy or out:, scratch:, zero: or random: with a type and a shape, e.g. out:f32[1024]";
        let (fill, rest) = text.split_once(':').ok_or(format!("{text:?} is not {wanted}"))?;
        let fill = match fill {
            "out" => Fill::Output,
            "scratch" => Fill::Scratch,
            "zero" => Fill::Zero,
            "random" => Fill::Random,
            _ => return Err(format!("{fill:?} is not known; {wanted}")),
        };
        let (element, shape) =
            rest.strip_suffix(']').and_then(|r| r.split_once('[')).ok_or(format!("no [shape]; {wanted}"))?;
        let element: Element = element.parse()?;
        let size = |s: &str| s.trim().parse::<usize>().map_err(|_| format!("{s:?} is not a size"));
        let shape = shape.split(['x', ',']).map(size).collect::<Result<Vec<_>, _>>()?;
        let bytes = shape.iter().try_fold(element.bytes(), |p, &n| p.checked_mul(n)).filter(|b| *b <= MOST_BYTES);
        bytes.ok_or("more bytes than a buffer may have")?;
        Ok(Contents::Made(fill, element, shape))
    }
}

/// Bytes given on the command line.
#[derive(Clone, Debug, PartialEq)]
pub struct Inline(pub Vec<u8>);

impl FromStr for Inline {
    type Err = String;

    fn from_str(text: &str) -> Result<Inline, String> {
        let (element, values) = text.split_once(':').ok_or("a type, a colon and values are wanted, e.g. u32:5")?;
        let element: Element = element.parse()?;
        let values = values.split(',').map(|v| encode(element, v.trim())).collect::<Result<Vec<_>, _>>()?;
        Ok(Inline(values.concat()))
    }
}

/// One value as bytes, little-endian.
fn encode(element: Element, text: &str) -> Result<Vec<u8>, String> {
    let bad = || format!("{text:?} is not a value of its type");
    let float = || text.parse::<f32>().map_err(|_| bad());
    let size = element.bytes();
    let bits = 8 * size as u32;
    Ok(match element {
        Element::F32 => float()?.to_le_bytes().to_vec(),
        Element::F16 => half::f16::from_f32(float()?).to_le_bytes().to_vec(),
        Element::Bf16 => half::bf16::from_f32(float()?).to_le_bytes().to_vec(),
        Element::Bool => vec![u8::from(text.parse::<bool>().or_else(|_| match text {
            "0" => Ok(false),
            "1" => Ok(true),
            _ => Err(bad()),
        })?)],
        Element::Int(_) => {
            let value: i128 = text.parse().map_err(|_| bad())?;
            let half = 1i128 << (bits - 1);
            if !(-half..half).contains(&value) {
                return Err(bad());
            }
            value.to_le_bytes()[..size].to_vec()
        }
        Element::Uint(_) => {
            let value: u128 = text.parse().map_err(|_| bad())?;
            if value >> bits != 0 {
                return Err(bad());
            }
            value.to_le_bytes()[..size].to_vec()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_contents_are_read() {
        assert_eq!("4".parse(), Ok(Size([4, 1, 1])));
        assert_eq!("4,5,6".parse(), Ok(Size([4, 5, 6])));
        assert!("0".parse::<Size>().is_err() && "1,2,3,4".parse::<Size>().is_err() && "".parse::<Size>().is_err());
        let made = Contents::Made(Fill::Output, Element::F32, vec![8, 1000]);
        assert_eq!("out:f32[8x1000]".parse(), Ok(made));
        assert!("out:f99[8]".parse::<Contents>().unwrap_err().contains("bf16"));
        for bad in ["x", "out:f32", "out:f32[", "out:f32[]", "in:f32[3]", "out:u8[99999999999x99999999999]"] {
            assert!(bad.parse::<Contents>().is_err(), "{bad}");
        }
    }

    #[test]
    fn inline_values_keep_to_their_type() {
        assert_eq!("u32:5".parse(), Ok(Inline(vec![5, 0, 0, 0])));
        assert_eq!("i16:-1,2".parse(), Ok(Inline(vec![255, 255, 2, 0])));
        assert_eq!("f32:1".parse(), Ok(Inline(1f32.to_le_bytes().to_vec())));
        assert_eq!("f16:1".parse(), Ok(Inline(vec![0, 0x3c])));
        for bad in ["u8:256", "i8:128", "u32:-1", "bool:2", "f32:x", "u32:", "5"] {
            assert!(bad.parse::<Inline>().is_err(), "{bad}");
        }
        let indexed: Indexed<Inline> = "3=u8:7".parse().unwrap();
        assert_eq!((indexed.index, indexed.value), (3, Inline(vec![7])));
        assert!("32=u8:7".parse::<Indexed<Inline>>().is_err());
    }
}
