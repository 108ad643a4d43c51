//! From a variant to CUDA C++: MSL is lowered, CUDA sources are taken as they are.

use metallic_kernels::contract::{Expr, Op, Target, Variant, source};
use metallic_msl::{ArgKind, ConstantKey, IncludeForm, Included, LowerOptions, Param, ParseOptions, Unit, Value};

use super::error::{Error, Place};
use super::kernel::Overlap;
use super::nvrtc::Source;

/// A variant's program as CUDA C++.
#[derive(Clone, Debug)]
pub struct Program {
    /// File that it comes from, below the kernels folder.
    pub file: String,
    /// What the variant calls the kernel.
    pub entry: String,
    /// What the text calls it.
    pub symbol: String,
    /// The text.
    pub text: String,
    /// Compiler options that the text needs.
    pub options: Vec<String>,
    /// What the kernel takes, in order; `None` for CUDA sources, which take every operand's address, then the arguments by
    /// value, then the address of the row count.
    pub params: Option<Vec<Param>>,
    /// Whether a launch may begin early.
    pub overlap: Overlap,
}

/// Language version that our kernels are written for: Metal 3.1 has bfloat.
const METAL_VERSION: u32 = 310;

/// What a lowered text calls the statement, first in its kernel, where a launch that began early waits for the one ahead.
const ENTRY_BEGIN: &str = "MSL_ENTRY_BEGIN";

/// The same statement where a kernel puts it itself, after its first loads of weights.
const INPUTS_READY: &str = "MSL_INPUTS_READY";

/// A function of the support library: sixteen bytes that are read once.
const LOAD_ONCE: &str = "MSL_LOAD_ONCE";

/// Every lane takes part in every SIMD function: the emulator reports variants of which that is not so, and threadgroups are whole SIMD
/// groups.
const CONVERGED: &str = "MSL_SIMD_CONVERGED";

/// Threadgroups have threads along x alone.
const ONE_DIMENSION: &str = "MSL_THREADS_1D";

/// In a kernel that may begin early, before it touches what launches ahead of it write: lets the next launch begin, then waits for the
/// one before.
pub const WAIT: &str = "asm volatile(\"griddepcontrol.launch_dependents;\\n\\tgriddepcontrol.wait;\" ::: \"memory\");";

impl Program {
    /// The program of `variant`, for an architecture of compute capability `capability`.
    ///
    /// # Errors
    /// Sources that are not there or not understood, each at its line.
    pub fn of(op: &Op, variant: &Variant, capability: (i32, i32)) -> Result<Program, Error> {
        let text = variant.text()?;
        let overlap = if capability.0 >= 9 { Overlap::Programmatic } else { Overlap::Serial };
        match variant.target() {
            Target::Cuda => Program::cuda(variant, &text, overlap),
            _ => Program::msl(op, variant, &text, overlap),
        }
    }

    fn msl(op: &Op, variant: &Variant, text: &source::Text, overlap: Overlap) -> Result<Program, Error> {
        let mut macros: Vec<_> = text.macros.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        macros.extend([(INPUTS_READY, INPUTS_READY), (LOAD_ONCE, LOAD_ONCE)]);
        let loader = |name: &str, _: IncludeForm, from: &str| {
            source::include(from, name).map(|(name, text)| Included { name, text: text.into_owned() })
        };
        let options = ParseOptions { defines: &macros, loader: &loader, metal_version: METAL_VERSION };
        let unit = Unit::parse(&text.path, &text.text, &options)?;
        let place = Place::Kernel { entry: variant.entry.clone(), file: text.path.clone() };
        let absent = || Error::Launch { place: place.clone(), reason: "the file has no such kernel".to_owned() };
        let entry = unit.entry(&variant.entry).ok_or_else(absent)?;
        let inline: Vec<u32> = entry
            .args
            .iter()
            .filter_map(|a| match &a.kind {
                ArgKind::Buffer(b) if b.element.text == op.params.name => Some(b.index),
                _ => None,
            })
            .collect();
        // A knob may also be a function constant, by its name.
        let constants: Vec<_> = unit
            .function_constants()
            .iter()
            .filter_map(|c| variant.knobs.get(&c.name).map(|&v| (c, v)))
            .map(|(c, v)| (ConstantKey::Name(c.name.clone()), value(&c.type_text, v)))
            .collect();
        let options = LowerOptions { entry: &variant.entry, constants: &constants, inline_buffers: &inline };
        let lowered = unit.lower(metallic_msl::Target::Cuda, &options)?;
        let stands = |statement: &str| lowered.text.contains(&format!("{statement};"));
        let wait = if stands(INPUTS_READY) { INPUTS_READY } else { ENTRY_BEGIN };
        let overlap = if stands(wait) { overlap } else { Overlap::Serial };
        let mut options = vec!["--device-as-default-execution-space".to_owned(), define(CONVERGED, "1")];
        if let Some([_, Expr::Number(1), Expr::Number(1)]) = variant.threads {
            options.push(define(ONE_DIMENSION, "1"));
        }
        match overlap {
            Overlap::Programmatic => options.push(define(wait, WAIT)),
            Overlap::Serial if wait == INPUTS_READY => options.push(define(wait, "")),
            Overlap::Serial => {}
        }
        Ok(Program {
            file: text.path.clone(),
            entry: variant.entry.clone(),
            symbol: lowered.symbol,
            text: lowered.text,
            options,
            params: Some(lowered.params),
            overlap,
        })
    }

    fn cuda(variant: &Variant, text: &source::Text, overlap: Overlap) -> Result<Program, Error> {
        let options = text.macros.iter().map(|(n, v)| define(n, v)).collect();
        let early = variant.knobs.get("PDL") == Some(&1);
        Ok(Program {
            file: text.path.clone(),
            entry: variant.entry.clone(),
            symbol: variant.entry.clone(),
            text: assemble(&text.path, &text.text)?,
            options,
            params: None,
            overlap: if early { overlap } else { Overlap::Serial },
        })
    }

    /// As the compiler takes it.
    pub fn source<'a>(&'a self, arch: &'a str) -> Source<'a> {
        Source {
            file: &self.file,
            entry: &self.entry,
            symbol: &self.symbol,
            text: &self.text,
            options: &self.options,
            arch,
        }
    }
}

fn define(name: &str, value: &str) -> String {
    format!("--define-macro={name}={value}")
}

fn value(kind: &str, v: i64) -> Value {
    match kind {
        "bool" => Value::Bool(v != 0),
        "float" | "half" | "bfloat" => Value::Float(v as f64),
        "uint" | "ushort" | "uchar" | "ulong" | "size_t" => Value::Uint(v.max(0) as u64),
        _ => Value::Int(v),
    }
}

/// The text of a file in CUDA C++ with the kernels folder's own headers in place of their `#include "..."`.
///
/// # Errors
/// A header that is not there, at its line.
pub fn assemble(path: &str, text: &str) -> Result<String, Error> {
    let mut whole = "typedef unsigned int uint;\n".to_owned();
    inline(&mut whole, path, text, &mut Vec::new())?;
    Ok(whole)
}

/// Puts the kernels folder's own headers in place of their `#include "..."`, each once, and leaves the others to the compiler.
fn inline(to: &mut String, path: &str, text: &str, seen: &mut Vec<String>) -> Result<(), Error> {
    *to += &format!("#line 1 {path:?}\n");
    for (i, line) in text.lines().enumerate() {
        let name = line.trim_start().strip_prefix("#include").and_then(|rest| rest.trim().strip_prefix('"'));
        match name.and_then(|n| n.split_once('"')).map(|(name, _)| (name, source::include(path, name))) {
            None => {
                if line.trim() != "#pragma once" {
                    *to += line;
                }
                to.push('\n');
            }
            Some((name, None)) => {
                let place = Place::Line { entry: name.to_owned(), file: path.to_owned(), line: i as u32 + 1 };
                return Err(Error::Launch { place, reason: "the kernels folder has no such header".to_owned() });
            }
            Some((_, Some((header, text)))) => {
                if !seen.contains(&header) {
                    seen.push(header.clone());
                    // The shared headers are written in MSL's words.
                    *to += "#define constant\n";
                    inline(to, &header, &text, seen)?;
                    *to += "#undef constant\n";
                }
                *to += &format!("#line {} {path:?}\n", i + 2);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::inline;

    #[test]
    fn headers_stand_where_they_are_included_once_and_lines_keep_their_numbers() {
        let mut out = String::new();
        let text = "#include \"params.h\"\n#include \"params.h\"\n#include <cuda_fp16.h>\nhere\n";
        inline(&mut out, "matmul/x.cu", text, &mut Vec::new()).unwrap();
        assert_eq!(out.matches("struct MatmulParams").count(), 1);
        assert!(out.contains("#line 1 \"msl/params.h\"\n"));
        assert!(!out.contains("#pragma once"));
        assert!(out.ends_with("#line 3 \"matmul/x.cu\"\n#include <cuda_fp16.h>\nhere\n"));
    }

    #[test]
    fn a_header_that_is_not_there_is_an_error_at_its_line() {
        let got = inline(&mut String::new(), "matmul/x.cu", "\n#include \"none.h\"\n", &mut Vec::new());
        let text = got.err().map(|e| e.to_string());
        assert_eq!(text.as_deref(), Some("matmul/x.cu:2: none.h: the kernels folder has no such header"));
    }
}
