//! Runs clang over the text and turns what it says into findings.

use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::lint::{Findings, text};
use crate::token::sym;
use crate::{Unit, unsupported};

const FLAGS: &[&str] = &[
    "-x",
    "cl",
    "-cl-std=clc++2021",
    "-cl-no-stdinc",
    "-target",
    "spir64-unknown-unknown",
    "-fsyntax-only",
    "-Wno-everything",
    "-ferror-limit=0",
    "-fno-caret-diagnostics",
    "-fno-color-diagnostics",
    "-",
];

/// Checks the source with `clang`.
///
/// # Errors
/// Why it could not be: in words.
pub(super) fn check(unit: &Unit, clang: &Path, out: &mut Findings) -> Result<(), String> {
    if let Some(what) = unknown(unit) {
        return Err(format!("the source uses {what}, which the rules that need clang do not know"));
    }
    let Output { status, stderr, .. } =
        run(clang, text::text(unit)).map_err(|e| format!("cannot run {}: {e}", clang.display()))?;
    let said = String::from_utf8_lossy(&stderr);
    let messages = messages(&said);
    if !status.success() && messages.is_empty() {
        let first = said.lines().next().unwrap_or("it said nothing");
        return Err(format!("{} failed: {first}", clang.display()));
    }
    for (i, m) in messages.iter().enumerate().filter(|(_, m)| m.error) {
        let Some(token) = m.token else { continue };
        let notes = || messages[i + 1..].iter().take_while(|n| !n.error);
        if harmless(m.text) || notes().any(spoiled) {
            continue;
        }
        let mut d = unit.program.source.error(token, metal(m.text));
        if let Some(note) = notes().next().filter(|_| d.note.is_none()) {
            let at = note.token.map_or_else(String::new, |t| format!("{}: ", unit.program.source.place(t)));
            d = d.with_note(format!("{at}{}", metal(note.text)));
        }
        out.push("types", d);
    }
    Ok(())
}

/// A part of the language without which the source cannot be typed: textures and their like.
fn unknown(unit: &Unit) -> Option<String> {
    let s = &unit.program.source;
    (0..s.tokens.len()).filter(|i| s.ident(*i)).find_map(|i| {
        let text = s.text(i);
        let used = s.is(i + 1, sym::LESS) || s.ident(i + 1);
        let known = unit.program.by_name.contains_key(&s.tokens[i].sym) || !used;
        let what = if text == "sampler" { Some("a sampler") } else { unsupported::type_name(text) };
        what.filter(|_| !known).map(|what| format!("{text} ({what})"))
    })
}

fn run(clang: &Path, text: String) -> io::Result<Output> {
    let mut child =
        Command::new(clang).args(FLAGS).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let input = child.stdin.take();
    // clang reads everything before it speaks, but a full pipe must not stop either side.
    let writer = std::thread::spawn(move || input.map_or(Ok(()), |mut input| input.write_all(text.as_bytes())));
    let output = child.wait_with_output()?;
    // A compiler that ends early says why itself.
    let _ = writer.join();
    Ok(output)
}

struct Message<'a> {
    /// The token, where it is about the source and not about the library.
    token: Option<usize>,
    error: bool,
    text: &'a str,
}

fn messages(said: &str) -> Vec<Message<'_>> {
    said.lines().filter_map(message).collect()
}

/// `file:line:column: error: text`.
fn message(line: &str) -> Option<Message<'_>> {
    let mut parts = line.splitn(4, ':');
    let (file, number) = (parts.next()?, parts.next()?.parse::<usize>().ok()?);
    let _column = parts.next()?;
    let rest = parts.next()?.trim_start();
    let (error, text) = match rest.split_once(": ")? {
        ("error" | "fatal error", text) => (true, text),
        ("note", text) => (false, text),
        _ => return None,
    };
    Some(Message { token: (file == text::UNIT).then(|| number.saturating_sub(1)), error, text })
}

/// What OpenCL is against and Metal is not.
fn harmless(text: &str) -> bool {
    text.starts_with("program scope variable must reside in")
        || text.starts_with("static local variable must reside in")
        || text.starts_with("duplicate explicit instantiation")
        || text.contains("(lambda at")
        // Half is a class here, and so are vectors.
        || text.starts_with("conditional expression is ambiguous")
        || text.starts_with("incompatible operand types") && one_type(text)
}

/// Whether both types that a message quotes are the same but for their address space.
fn one_type(text: &str) -> bool {
    let spaces = ["__global_device ", "__global_host ", "__local ", "__private ", "const "];
    let mut types =
        text.split('\'').skip(1).step_by(2).map(|t| spaces.iter().fold(t.to_owned(), |t, s| t.replace(s, "")));
    types.next() == types.next()
}

/// A function of the library whose body OpenCL does not take, and which is therefore missing when it is called again.
fn spoiled(note: &Message<'_>) -> bool {
    note.token.is_none()
        && note.text.starts_with("candidate template ignored: substitution failure [")
        && note.text.ends_with(']')
}

/// clang's words as a reader of Metal knows them.
fn metal(text: &str) -> String {
    let names = [
        ("const __global_host ", "constant "),
        ("__global_device", "device"),
        ("__global_host", "constant"),
        ("__local", "threadgroup"),
        ("__private", "thread"),
        ("__generic ", ""),
        ("msl::metal::", ""),
        ("msl::impl::", ""),
        ("msl::", ""),
        ("msl_half", "half"),
    ];
    names.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}
