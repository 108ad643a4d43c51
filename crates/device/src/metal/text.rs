//! One text out of a kernel's file and its headers: Metal's run-time compiler has no include path.

use std::borrow::Cow;

use metallic_kernels::contract::Text;

/// Headers inside headers, at most.
const DEPTH: usize = 32;
/// Bytes of the whole text, at most.
const SIZE: usize = 16 << 20;

/// A text that cannot be put together.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TextError {
    /// A header that is not there.
    #[error("{path}:{line}: cannot find {name:?}")]
    Missing {
        /// File that includes it.
        path: String,
        /// Line of the include.
        line: usize,
        /// As it was written.
        name: String,
    },
    /// Headers that include each other without end.
    #[error("{path}:{line}: {name:?} is included too deeply, or makes the text longer than 16 MiB")]
    Endless {
        /// File that includes it.
        path: String,
        /// Line of the include.
        line: usize,
        /// As it was written.
        name: String,
    },
}

/// Finds a header: the including file and the name as written, to its path and text.
pub(super) type Loader<'a> = &'a dyn Fn(&str, &str) -> Option<(String, Cow<'static, str>)>;

/// `text` with its macros in front and every `#include "..."` in place, `#line` naming the files. `#pragma once` becomes a guard, so
/// that a header included under a condition counts only where the condition holds.
pub(super) fn whole(text: &Text, load: Loader<'_>) -> Result<String, TextError> {
    let mut body = String::new();
    splice(&mut body, &text.path, &text.text, &mut Vec::new(), &mut Vec::new(), load)?;
    // A knob that is a function constant gets its value with the pipeline; a macro of that name would break its declaration.
    let macros = text.macros.iter().filter(|(name, _)| !is_constant(&body, name));
    let mut out: String = macros.map(|(name, value)| format!("#define {name} {value}\n")).collect();
    out += &body;
    Ok(out)
}

/// Whether `text` declares `name [[function_constant(..)]]`.
fn is_constant(text: &str, name: &str) -> bool {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices(name).any(|(at, _)| {
        let after = &text[at + name.len()..];
        let attribute = after.trim_start().strip_prefix("[[").map(str::trim_start);
        !text[..at].ends_with(part) && attribute.is_some_and(|a| a.starts_with("function_constant"))
    })
}

fn splice(
    out: &mut String,
    path: &str,
    text: &str,
    inside: &mut Vec<String>,
    guards: &mut Vec<String>,
    load: Loader<'_>,
) -> Result<(), TextError> {
    let once = text.lines().any(|l| directive(l) == Some(("pragma", "once")));
    if once {
        if inside.iter().any(|p| p == path) {
            return Ok(());
        }
        let number = guards.iter().position(|p| p == path).unwrap_or_else(|| {
            guards.push(path.to_owned());
            guards.len() - 1
        });
        *out += &format!("#ifndef METALLIC_ONCE_{number}\n#define METALLIC_ONCE_{number}\n");
    }
    *out += &format!("#line 1 {path:?}\n");
    inside.push(path.to_owned());
    for (i, line) in text.lines().enumerate() {
        match directive(line) {
            Some(("pragma", "once")) => *out += "\n",
            Some(("include", rest)) if rest.starts_with('"') => {
                let name = rest[1..].split('"').next().unwrap_or_default();
                let fault = |path: &str| (path.to_owned(), i + 1, name.to_owned());
                let Some((header, body)) = load(path, name) else {
                    let (path, line, name) = fault(path);
                    return Err(TextError::Missing { path, line, name });
                };
                if inside.len() >= DEPTH || out.len() + body.len() > SIZE {
                    let (path, line, name) = fault(path);
                    return Err(TextError::Endless { path, line, name });
                }
                splice(out, &header, &body, inside, guards, load)?;
                *out += &format!("#line {} {path:?}\n", i + 2);
            }
            _ => {
                *out += line;
                out.push('\n');
            }
        }
    }
    inside.pop();
    if once {
        *out += "#endif\n";
    }
    Ok(())
}

/// Name and rest of a preprocessor line.
fn directive(line: &str) -> Option<(&str, &str)> {
    let line = line.trim_start().strip_prefix('#')?.trim_start();
    let end = line.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(line.len());
    let rest = line[end..].trim();
    // What follows `once` can only be a comment.
    let rest = if line[..end] == *"pragma" && rest.starts_with("once") { "once" } else { rest };
    Some((&line[..end], rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(from: &str, name: &str) -> Option<(String, Cow<'static, str>)> {
        let _ = from;
        let text = match name {
            "once.h" => "#pragma once\n#include \"deep.h\"\nint once;\n",
            "deep.h" => "  #  pragma once // comment\n#include \"once.h\"\nint deep;",
            "many.h" => "int many;\n",
            "loop.h" => "#include \"loop.h\"\n",
            _ => return None,
        };
        Some((format!("msl/{name}"), Cow::Borrowed(text)))
    }

    fn text(body: &'static str) -> Text {
        let macros = vec![("BN".to_owned(), "8".to_owned())];
        Text { path: "op/a.metal".to_owned(), text: Cow::Borrowed(body), macros }
    }

    #[test]
    fn headers_stand_in_place_and_lines_name_their_files() {
        let body = "#include <metal_stdlib>\n#include \"once.h\"\n#if X\n#include \"once.h\"\n#endif\n#include \"many.h\"\nend\n";
        let want = "#define BN 8\n#line 1 \"op/a.metal\"\n#include <metal_stdlib>\n\
            #ifndef METALLIC_ONCE_0\n#define METALLIC_ONCE_0\n#line 1 \"msl/once.h\"\n\n\
            #ifndef METALLIC_ONCE_1\n#define METALLIC_ONCE_1\n#line 1 \"msl/deep.h\"\n\n#line 3 \"msl/deep.h\"\nint deep;\n#endif\n\
            #line 3 \"msl/once.h\"\nint once;\n#endif\n#line 3 \"op/a.metal\"\n#if X\n\
            #ifndef METALLIC_ONCE_0\n#define METALLIC_ONCE_0\n#line 1 \"msl/once.h\"\n\n\
            #ifndef METALLIC_ONCE_1\n#define METALLIC_ONCE_1\n#line 1 \"msl/deep.h\"\n\n#line 3 \"msl/deep.h\"\nint deep;\n#endif\n\
            #line 3 \"msl/once.h\"\nint once;\n#endif\n#line 5 \"op/a.metal\"\n#endif\n\
            #line 1 \"msl/many.h\"\nint many;\n#line 7 \"op/a.metal\"\nend\n";
        assert_eq!(whole(&text(body), &files).unwrap(), want);
    }

    #[test]
    fn a_knob_that_is_a_function_constant_is_no_macro() {
        let body = "constant int BN [[ function_constant(0) ]];\nint ABN [[function_constant(1)]];\n";
        assert!(whole(&text(body), &files).unwrap().starts_with("#line"));
        let body = "constant int ABN [[function_constant(0)]];\nint x[BN];\n";
        assert!(whole(&text(body), &files).unwrap().starts_with("#define BN 8\n#line"));
    }

    #[test]
    fn a_missing_header_and_an_endless_one_are_named() {
        let missing = whole(&text("\n#include \"none.h\"\n"), &files);
        assert_eq!(missing, Err(TextError::Missing { path: "op/a.metal".into(), line: 2, name: "none.h".into() }));
        let endless = whole(&text("#include \"loop.h\""), &files);
        assert!(matches!(endless, Err(TextError::Endless { line: 1, .. })), "{endless:?}");
    }
}
