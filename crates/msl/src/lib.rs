//! A front end for the Metal Shading Language: reads kernels, says what they take, and lowers them to C++.
//!
//! ```text
//! Unit::parse(name, text, options)      own preprocessor, declarations, reflection
//!   .entries()                          every kernel by its host name, with its arguments
//!   .lower(Target::Host | Target::Cuda) one C++ text for one entry, #line naming the user's files
//! ```

mod diag;
mod eval;
mod layout;
mod lexer;
pub mod lint;
mod literal;
mod lower;
mod options;
#[cfg(test)]
mod page;
mod parse;
mod preprocess;
mod program;
mod reflect;
pub mod support;
mod token;
mod unsupported;

pub use diag::{Diagnostic, Error, Place, Severity, compiler_diagnostics};
pub use lower::{ConstantKey, LowerOptions, Lowered, Param, Target, Value};
pub use options::{Directories, IncludeForm, Included, Loader, NoIncludes, ParseOptions};
pub use reflect::{Access, AddressSpace, Arg, ArgKind, Buffer, Builtin, Element, Entry, FunctionConstant, Indirection};

use std::collections::HashSet;

use lower::Edits;
use program::Program;
use reflect::EntryPoint;
use token::{Sym, sym};

/// A source file with all it includes, read once; lowered as often as there are entries and targets.
#[derive(Debug)]
pub struct Unit {
    program: Program,
    edits: Edits,
    points: Vec<EntryPoint>,
    entries: Vec<Entry>,
    constants: Vec<FunctionConstant>,
    /// The item of each function constant.
    constant_items: Vec<usize>,
    /// Tokens of `is_function_constant_defined`.
    queries: Vec<usize>,
    /// Function constants that the source asks about, so that they need no value.
    asked_about: HashSet<Sym>,
    /// Attributes that C++ needs too, by the token in front of which they stand.
    kept_attributes: Vec<(usize, String)>,
    warnings: Vec<Diagnostic>,
}

impl Unit {
    /// Reads `text`, which diagnostics call `name`.
    ///
    /// # Errors
    /// Everything that keeps the source from being understood, each with its place.
    pub fn parse(name: &str, text: &str, options: &ParseOptions<'_>) -> Result<Unit, Error> {
        let mut preprocessed = preprocess::preprocess(name, text, options);
        let mut diagnostics = std::mem::take(&mut preprocessed.diagnostics);
        let failed = |list: &[Diagnostic]| list.iter().any(|d| d.severity == Severity::Error);
        if failed(&diagnostics) {
            return Err(Error { diagnostics });
        }
        let program = parse::Source::new(preprocessed).and_then(Program::new)?;
        let (mut points, errors) = program.entries();
        diagnostics.extend(errors);
        let (constants, constant_items, errors) = program.function_constants();
        diagnostics.extend(errors);
        if failed(&diagnostics) {
            return Err(Error { diagnostics });
        }
        for point in points.iter_mut().filter(|_| !constants.is_empty()) {
            let needed = program.needed(point.item, point.instance.clone());
            point.entry.function_constants =
                (0..constants.len()).filter(|c| needed.items.contains(&constant_items[*c])).collect();
        }
        let (queries, asked_about) = defined_queries(&program);
        Ok(Unit {
            edits: Edits::new(&program),
            entries: points.iter().map(|p| p.entry.clone()).collect(),
            kept_attributes: kept_attributes(&program),
            program,
            points,
            constants,
            constant_items,
            queries,
            asked_about,
            warnings: diagnostics,
        })
    }

    /// Every kernel that the host can ask for, in the order of the source.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry called `name` by the host.
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|e| e.name == name)
    }

    /// Every function constant, in the order of the source.
    pub fn function_constants(&self) -> &[FunctionConstant] {
        &self.constants
    }

    /// What was found and is no error.
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
    }
}

/// Uses of `is_function_constant_defined`, and the constants that they ask about.
fn defined_queries(program: &Program) -> (Vec<usize>, HashSet<Sym>) {
    let s = &program.source;
    let queries: Vec<usize> =
        (0..s.tokens.len()).filter(|i| s.is(*i, sym::IS_CONSTANT_DEFINED) && s.is(*i + 1, sym::LPAREN)).collect();
    let names = queries.iter().flat_map(|i| *i + 2..s.after(*i + 1)).filter(|k| s.ident(*k)).map(|k| s.tokens[k].sym);
    let names = names.collect();
    (queries, names)
}

/// `__attribute__((packed))` and `((aligned(n)))`.
fn kept_attributes(program: &Program) -> Vec<(usize, String)> {
    let s = &program.source;
    let kept = s.attributes.iter().filter(|a| a.gnu).filter_map(|a| {
        let text = match s.spellings.text(a.name) {
            "packed" | "__packed__" => "__attribute__((packed))".to_owned(),
            "aligned" | "__aligned__" => {
                format!("__attribute__((aligned({})))", program.spell(&a.args, &program::Bindings::default()))
            }
            _ => return None,
        };
        Some((a.before, text))
    });
    kept.collect()
}
