//! Finds in a source what Apple's compiler or an Apple GPU would refuse, without either.
//!
//! Two groups of rules: those that need only the tokens, and one pass of clang over the source with its address spaces real
//! (`text`). Every finding names the user's own file and line.

mod align;
mod calls;
mod clang;
mod entries;
mod params;
mod pointers;
mod text;
mod words;

use std::path::Path;

use crate::{Diagnostic, ParseOptions, Severity, Unit};

pub use params::{FieldLayout, StructLayout};

/// How a source is checked.
#[derive(Clone, Copy, Default)]
pub struct LintOptions<'a> {
    /// How it is read.
    pub parse: ParseOptions<'a>,
    /// The clang++ to run, version 14 or newer; `None` leaves its rules out.
    pub clang: Option<&'a Path>,
    /// What structs must look like, because the host says so.
    pub structs: &'a [StructLayout],
}

/// Something that a rule found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule's name, one of [`RULES`].
    pub rule: &'static str,
    /// What and where.
    pub diagnostic: Diagnostic,
}

/// Everything found in a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// In the order of the source, errors and warnings.
    pub findings: Vec<Finding>,
    /// Why the rules that need clang did not run.
    pub refused: Option<String>,
}

impl Report {
    /// True where nothing was found that must not be.
    pub fn clean(&self) -> bool {
        self.findings.iter().all(|f| f.diagnostic.severity != Severity::Error)
    }
}

/// Every rule: its name, and what it is against.
pub const RULES: &[(&str, &str)] = &[
    ("syntax", "what cannot be read, or is declared twice"),
    ("double", "double-precision types: Metal has none"),
    ("cxx", "C++ that Metal leaves out: goto, virtual, exceptions, new, delete, RTTI, thread_local, register"),
    ("static-local", "static variables in functions, other than constants"),
    ("recursion", "functions that call themselves, directly or by others"),
    ("function-pointer", "pointers to functions"),
    ("pointer-space", "pointers and references without an address space"),
    ("threadgroup-memory", "more than 32 KiB of threadgroup memory in a kernel"),
    ("threads", "more than 1024 threads a threadgroup"),
    ("buffer-index", "buffer indices above 30, or used twice"),
    ("alignment", "vectors and words read where they cannot be aligned"),
    ("params", "argument structs that differ from the host's"),
    ("types", "what clang finds with real address spaces: wrong spaces, types, names"),
];

/// Checks `text`, which findings call `name`.
pub fn lint(name: &str, text: &str, options: &LintOptions<'_>) -> Report {
    let unit = match Unit::parse(name, text, &options.parse) {
        Ok(unit) => unit,
        Err(e) => {
            let findings = e.diagnostics.into_iter().map(|diagnostic| Finding { rule: "syntax", diagnostic });
            let refused = Some("the source cannot be read".to_owned());
            return Report { findings: findings.collect(), refused };
        }
    };
    let mut out = Findings(Vec::new());
    for warning in unit.warnings() {
        out.push("syntax", warning.clone());
    }
    words::check(&unit, &mut out);
    calls::check(&unit, &mut out);
    pointers::check(&unit, &mut out);
    entries::check(&unit, &mut out);
    align::check(&unit, &mut out);
    params::check(&unit, options.structs, &mut out);
    let refused = match options.clang {
        None => Some("no clang was given".to_owned()),
        Some(clang) => clang::check(&unit, clang, &mut out).err(),
    };
    let Findings(mut findings) = out;
    // What holds of every instance of a template is said once.
    findings.sort_by(|a, b| key(a).cmp(&key(b)));
    findings.dedup_by(|a, b| key(a) == key(b));
    // What a rule already said, clang need not say again.
    let said: Vec<_> = findings.iter().filter(|f| f.rule != "types").map(line).collect();
    findings.retain(|f| f.rule != "types" || !said.contains(&line(f)));
    Report { findings, refused }
}

fn line(f: &Finding) -> (std::sync::Arc<str>, u32) {
    (f.diagnostic.file.clone(), f.diagnostic.line)
}

fn key(f: &Finding) -> (&str, u32, u32, &str, &str) {
    let d = &f.diagnostic;
    (&d.file, d.line, d.column, f.rule, &d.message)
}

/// Findings under way.
struct Findings(Vec<Finding>);

impl Findings {
    fn push(&mut self, rule: &'static str, diagnostic: Diagnostic) {
        debug_assert!(RULES.iter().any(|(name, _)| *name == rule));
        self.0.push(Finding { rule, diagnostic });
    }

    fn error(&mut self, unit: &Unit, rule: &'static str, token: usize, message: impl Into<String>) {
        self.push(rule, unit.program.source.error(token, message));
    }
}
