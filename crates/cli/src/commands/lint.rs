//! `lint`: what Apple's compiler or GPU would refuse in a Metal source, found without either.

use crate::args::LintArgs;
use crate::errors::Usage;
use crate::output;
use anyhow::Context;
use metallic_kernels::OPS;
use metallic_kernels::contract::{Target, source};
use metallic_msl::lint::{FieldLayout, Finding, LintOptions, RULES, Report, StructLayout, lint};
use metallic_msl::{Directories, IncludeForm, Included, ParseOptions, Severity};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Struct {
    name: String,
    bytes: usize,
    fields: Vec<Field>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Field {
    name: String,
    #[serde(rename = "type")]
    msl: String,
    offset: usize,
}

/// What is printed as JSON.
#[derive(Serialize)]
struct Printed<'a> {
    sources: usize,
    findings: Vec<Found<'a>>,
    /// Sources for which the rules that need clang did not run.
    refused: Vec<Refused<'a>>,
}

#[derive(Serialize)]
struct Found<'a> {
    rule: &'a str,
    severity: &'static str,
    file: &'a str,
    line: u32,
    column: u32,
    message: &'a str,
    note: Option<&'a str>,
}

#[derive(Serialize)]
struct Refused<'a> {
    source: &'a str,
    reason: &'a str,
}

/// Checks and prints.
pub fn run(args: &LintArgs) -> anyhow::Result<()> {
    if args.rules {
        let mut out = output::stdout();
        for (name, about) in RULES {
            writeln!(out, "{name:20} {about}")?;
        }
        return Ok(out.flush()?);
    }
    let reports = if args.kernels { own(args)? } else { files(args)? };
    let findings = distinct(&reports);
    let refused: Vec<_> = reports
        .iter()
        .filter_map(|(source, r)| Some(Refused { source, reason: r.refused.as_deref()? }))
        .filter(|_| !args.no_clang)
        .collect();
    for r in &refused {
        output::note(format!("REFUSED: {}: the rules that need clang did not run: {}", r.source, r.reason));
    }
    if args.json {
        let findings = findings.iter().map(|f| found(f)).collect();
        output::json(&Printed { sources: reports.len(), findings, refused })?;
    } else {
        let mut out = output::stdout();
        for finding in &findings {
            write!(out, "{}", human(finding))?;
        }
        out.flush()?;
    }
    match findings.iter().filter(|f| f.diagnostic.severity == Severity::Error).count() {
        0 => Ok(()),
        1 => anyhow::bail!("1 finding in {} sources", reports.len()),
        n => anyhow::bail!("{n} findings in {} sources", reports.len()),
    }
}

/// A header's finding once, however many sources include it.
fn distinct(reports: &[(String, Report)]) -> Vec<&Finding> {
    let mut list: Vec<&Finding> = Vec::new();
    for finding in reports.iter().flat_map(|(_, r)| &r.findings) {
        if !list.contains(&finding) {
            list.push(finding);
        }
    }
    list
}

/// The compiler to ask; `None` where none is wanted.
fn clang(args: &LintArgs) -> Option<PathBuf> {
    let environment = || std::env::var_os("METALLIC_CLANG").map(PathBuf::from);
    let path = args.clang.clone().or_else(environment).unwrap_or_else(|| PathBuf::from("clang++"));
    (!args.no_clang).then_some(path)
}

fn files(args: &LintArgs) -> anyhow::Result<Vec<(String, Report)>> {
    let structs = args.params.as_deref().map_or_else(|| Ok(Vec::new()), structs)?;
    let loader = Directories(args.include.clone());
    let defines: Vec<(&str, &str)> = args.define.iter().map(|d| d.split_once('=').unwrap_or((d, "1"))).collect();
    let parse = ParseOptions { defines: &defines, loader: &loader, ..ParseOptions::default() };
    let clang = clang(args);
    let options = LintOptions { parse, clang: clang.as_deref(), structs: &structs };
    let one = |path: &PathBuf| {
        let name = path.to_string_lossy().into_owned();
        let text = fs::read_to_string(path).map_err(|e| Usage(format!("cannot read {name}: {e}")))?;
        let report = lint(&name, &text, &options);
        Ok((name, report))
    };
    args.files.iter().map(one).collect()
}

fn structs(path: &Path) -> anyhow::Result<Vec<StructLayout>> {
    let bad = |e: &dyn std::fmt::Display| Usage(format!("{}: {e}", path.display()));
    let text = fs::read_to_string(path).map_err(|e| bad(&e))?;
    let list: Vec<Struct> = serde_json::from_str(&text).map_err(|e| bad(&e))?;
    let field = |f: Field| FieldLayout { name: f.name, msl: f.msl, offset: f.offset };
    let layout =
        |s: Struct| StructLayout { name: s.name, bytes: s.bytes, fields: s.fields.into_iter().map(field).collect() };
    Ok(list.into_iter().map(layout).collect())
}

/// The program's own kernels, each source with each set of knobs, against the ops' argument structs.
fn own(args: &LintArgs) -> anyhow::Result<Vec<(String, Report)>> {
    let params = OPS.iter().map(|op| op.params).filter(|p| !p.name.is_empty());
    let structs: Vec<StructLayout> = params
        .map(|p| StructLayout {
            name: p.name.to_owned(),
            bytes: p.bytes,
            fields: p
                .fields
                .iter()
                .map(|f| FieldLayout { name: f.name.to_owned(), msl: f.msl.to_owned(), offset: f.offset })
                .collect(),
        })
        .collect();
    let load = |name: &str, _: IncludeForm, from: &str| {
        source::include(from, name).map(|(name, text)| Included { name, text: text.into_owned() })
    };
    let clang = clang(args);
    let (mut reports, mut done) = (Vec::new(), BTreeSet::new());
    for op in OPS {
        for variant in op.variants()?.iter().filter(|v| v.target() == Target::Msl) {
            let text = variant.text().with_context(|| variant.id())?;
            if !done.insert((text.path.clone(), text.macros.clone())) {
                continue;
            }
            let defines: Vec<(&str, &str)> = text.macros.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            let parse = ParseOptions { defines: &defines, loader: &load, ..ParseOptions::default() };
            let options = LintOptions { parse, clang: clang.as_deref(), structs: &structs };
            reports.push((variant.id(), lint(&text.path, &text.text, &options)));
        }
    }
    Ok(reports)
}

fn severity(finding: &Finding) -> &'static str {
    match finding.diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

fn found(finding: &Finding) -> Found<'_> {
    let d = &finding.diagnostic;
    Found {
        rule: finding.rule,
        severity: severity(finding),
        file: &d.file,
        line: d.line,
        column: d.column,
        message: &d.message,
        note: d.note.as_deref(),
    }
}

/// The finding with its line and a caret, where the file can be read.
fn human(finding: &Finding) -> String {
    let d = &finding.diagnostic;
    let mut text = format!("{}[{}]: {}\n", severity(finding), finding.rule, d.message);
    let number = d.line.to_string();
    let margin = " ".repeat(number.len());
    text += &format!("{margin}--> {}\n", d.place());
    let source = fs::read_to_string(&*d.file).ok().or_else(|| source::read(&d.file).map(|t| t.into_owned()));
    let line = source.as_deref().and_then(|s| s.lines().nth(d.line.saturating_sub(1) as usize));
    if let Some(line) = line {
        text += &format!("{margin} |\n{number} | {line}\n{margin} |");
        if d.column > 0 {
            // Tabs before the caret are as wide as they are above it.
            let before = line.chars().take(d.column as usize - 1).map(|c| if c == '\t' { '\t' } else { ' ' });
            text += &format!(" {}^", before.collect::<String>());
        }
        text.push('\n');
    }
    if let Some(note) = &d.note {
        text += &format!("{margin} = note: {note}\n");
    }
    text + "\n"
}
