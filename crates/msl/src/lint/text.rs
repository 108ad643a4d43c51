//! A source as C++ for OpenCL, which has address spaces: what clang checks.
//!
//! `device` and `constant` become the two halves of OpenCL's global space, which do not convert into each other, `threadgroup` its
//! local and `thread` its private one; local variables are private by themselves. Objects of the library's classes may lie in any of
//! them, because `this` is generic there. Every token stands on a line of its own, so that a line that clang
//! reports is a token.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;

use crate::lower::Edit;
use crate::parse::{Function, Item, ItemKind, address_space};
use crate::token::{GLUED, Kind, sym};
use crate::{Target, Unit, literal};

/// Name by which clang knows the source.
pub(super) const UNIT: &str = "unit";

/// Words of OpenCL that are names in Metal, and what the library needs that kernels must not have.
const BEFORE: &str = "\
#pragma OPENCL EXTENSION __cl_clang_function_pointers : enable
#pragma OPENCL EXTENSION __cl_clang_variadic_functions : enable
#pragma OPENCL EXTENSION __cl_clang_bitfields : enable
#define half msl_half
#define local msl_local
#define global msl_global
#define generic msl_generic
#define pipe msl_pipe
#define uniform msl_uniform
";

/// The address spaces, and a threadgroup variable as a reference to one: OpenCL has them in kernels alone.
const AFTER: &str = "
#pragma OPENCL EXTENSION __cl_clang_variadic_functions : disable
#undef MSL_THREADGROUP
#undef MSL_CONSTANT
#define MSL_CONSTANT const __attribute__((opencl_global_host))
#define MSL_THREADGROUP(type, name, dims) typedef MSL_UNPAREN type msl_type_##name MSL_UNPAREN dims; \\
    __local msl_type_##name &name = *(__local msl_type_##name *)0
#define device __attribute__((opencl_global_device))
#define constant const __attribute__((opencl_global_host))
#define threadgroup __local
#define thread __private
";

/// What the library writes otherwise here. A place is a string, which OpenCL keeps in a space of its own; a matrix is the thread's.
const LIBRARY: &[(&str, &str)] = &[
    ("__builtin_FILE()", "nullptr"),
    ("storage_type &thread_elements() {", "__private storage_type &thread_elements() __private {"),
    ("storage_type &thread_elements() const {", "__private storage_type &thread_elements() const __private {"),
];

/// A type without its address space is what the library means by one without `const`.
const PLAIN: &str = "
#define MSL_PLAIN(...) template <class T> struct remove_cv<__VA_ARGS__ T> { typedef T type; };
namespace msl { namespace metal {
MSL_PLAIN(__local) MSL_PLAIN(const __local) MSL_PLAIN(__private) MSL_PLAIN(const __private)
MSL_PLAIN(__attribute__((opencl_global_device))) MSL_PLAIN(const __attribute__((opencl_global_device)))
MSL_PLAIN(__attribute__((opencl_global_host))) MSL_PLAIN(const __attribute__((opencl_global_host)))
} }
";

/// The whole text. Line `n` of its part called [`UNIT`] is token `n - 1`.
pub(super) fn text(unit: &Unit) -> String {
    let mut out = swizzles(unit) + BEFORE;
    for (name, header) in crate::support::support(Target::Host) {
        out +=
            &format!("#line 1 \"{name}\"\n{}\n", LIBRARY.iter().fold(header.to_owned(), |h, (a, b)| h.replace(a, b)));
        if name == "types.h" {
            out += PLAIN;
        }
    }
    out += AFTER;
    out += &format!("namespace msl {{\n#line 1 \"{UNIT}\"\n");
    for token in words(unit) {
        // A token that spans lines would move those after it.
        out += &token.replace(['\n', '\r'], " ");
        out.push('\n');
    }
    out + "}\n"
}

/// Every token as it is to stand there; empty where it goes.
fn words(unit: &Unit) -> Vec<String> {
    let program = &unit.program;
    let s = &program.source;
    let changed = changes(unit);
    let mut words: Vec<String> = Vec::with_capacity(s.tokens.len());
    for i in 0..s.tokens.len() {
        words.push(changed.get(&i).cloned().unwrap_or_else(|| word(unit, i)));
    }
    for (before, attribute) in &unit.kept_attributes {
        if let Some(word) = words.get_mut(*before) {
            word.insert_str(0, &format!("{attribute} "));
        }
    }
    words
}

fn word(unit: &Unit, i: usize) -> String {
    let s = &unit.program.source;
    let t = s.tokens[i];
    let text = s.text(i);
    // Of what the front end changes for C++, these two are needed; clang need not agree with the rest.
    let edited = |to: String| match &unit.edits.edits[i] {
        Edit::Text(edited) if edited.contains(&to) => to,
        _ => text.to_owned(),
    };
    match t.kind {
        Kind::Number => literal::lowered(text).unwrap_or_else(|| text.to_owned()),
        // A shift, which the front end split in two.
        Kind::Punct if t.has(GLUED) && s.mate(i).is_none() => String::new(),
        Kind::Punct
            if t.sym == sym::GREATER && s.mate(i).is_none() && s.tokens.get(i + 1).is_some_and(|n| n.has(GLUED)) =>
        {
            ">>".to_owned()
        }
        Kind::Punct if t.sym == sym::SCOPE => edited("::msl::".to_owned()),
        Kind::Ident if matches!(t.sym, sym::KERNEL | sym::VERTEX | sym::FRAGMENT) => String::new(),
        Kind::Ident if i > 0 && s.is(i - 1, sym::DOT) => edited(format!("{text}.get()")),
        _ => text.to_owned(),
    }
}

/// Tokens whose text depends on what they are part of.
fn changes(unit: &Unit) -> HashMap<usize, String> {
    let program = &unit.program;
    let s = &program.source;
    let (mut changed, mut methods) = (HashMap::new(), HashSet::new());
    let replace = |changed: &mut HashMap<usize, String>, range: Range<usize>, text: String| {
        let first = range.start;
        changed.extend(range.map(|k| (k, String::new())));
        changed.insert(first, text);
    };
    for (n, item) in program.items.items.iter().enumerate() {
        match &item.kind {
            // Any value will do that does not divide by zero or make an array empty.
            ItemKind::Variable { ty, .. } if unit.constant_items.contains(&n) => {
                let d = s.declarator(ty.end, item.range.end);
                let (_, name) = s.type_end(ty.start, ty.end);
                let (Some(variable), first) = (d.name, name.start) else { continue };
                let ty = program.spell(program.tokens(name), &Default::default());
                let text = format!("static constexpr {ty} {} = {ty}(1);", s.text(variable));
                replace(&mut changed, item.range.clone(), String::new());
                changed.insert(first, text);
            }
            // A constant of the program or of a class, whose specifiers were made C++'s.
            ItemKind::Variable { ty, .. } if matches!(&unit.edits.edits[ty.start], Edit::Text(text) if text.starts_with("static")) => {
                for k in ty.clone() {
                    let text = match &unit.edits.edits[k] {
                        Edit::Keep => continue,
                        Edit::Drop => String::new(),
                        Edit::Text(text) => text.to_string(),
                    };
                    changed.insert(k, text);
                }
            }
            ItemKind::Function(f) => {
                if program.items.scopes[item.scope].class || f.qualified {
                    method(unit, item, f, &mut methods, &mut changed);
                }
                let Some((open, close)) = f.body else { continue };
                let mut i = open + 1;
                while i < close {
                    match program.threadgroup_declaration(i) {
                        None => i += 1,
                        Some(d) => {
                            replace(&mut changed, d.range.clone(), threadgroup(unit, &d));
                            i = d.range.end;
                        }
                    }
                }
            }
            _ => {}
        }
    }
    // A function as a template's argument: to OpenCL a pointer to one has an address space, a reference has none.
    for (open, close) in program.items.items.iter().filter_map(|i| i.template) {
        for k in (open..close).filter(|k| s.is(*k, sym::LPAREN) && s.is(*k + 1, sym::STAR)) {
            changed.insert(k + 1, "&".to_owned());
        }
    }
    for i in 0..s.tokens.len() {
        if s.is(i, sym::COHERENT) && s.ident(i) {
            let end = if s.is(i + 1, sym::LPAREN) { s.after(i + 1) } else { i + 1 };
            replace(&mut changed, i..end, String::new());
        }
    }
    for &i in &unit.queries {
        replace(&mut changed, i..s.after(i + 1), "true".to_owned());
    }
    changed
}

/// A method's object is the thread's own, where the method does not say otherwise. Constructors take any, and so need to be there only
/// once; `constant` shares a keyword with `device`.
fn method(
    unit: &Unit,
    item: &Item,
    f: &Function,
    methods: &mut HashSet<(usize, String)>,
    changed: &mut HashMap<usize, String>,
) {
    let program = &unit.program;
    let s = &program.source;
    let close = s.after(f.open) - 1;
    let end = f.body.map_or(item.range.end, |b| b.0);
    let spaces: Vec<usize> =
        (close + 1..end).take_while(|k| s.ident(*k)).filter(|k| address_space(s.tokens[*k].sym)).collect();
    changed.extend(spaces.iter().map(|k| (*k, String::new())));
    let free = (item.range.start..f.open).any(|k| s.is(k, sym::STATIC) || s.is(k, sym::FRIEND));
    let named = program.items.scopes[item.scope].name == s.text(f.name);
    let constructs =
        named || f.qualified && s.text(f.name) == s.text(f.name.saturating_sub(2)) || s.is(f.name - 1, sym::TILDE);
    let keyword = match spaces.last().map(|k| s.tokens[*k].sym) {
        _ if free || constructs => "",
        Some(sym::DEVICE | sym::CONSTANT) => " __global",
        Some(sym::THREADGROUP) => " __local",
        _ => " __private",
    };
    let signature: String =
        (item.range.start..end).filter(|k| !spaces.contains(k)).map(|k| s.text(k).to_owned() + " ").collect();
    if !f.qualified && !methods.insert((item.scope, signature + keyword)) {
        changed.extend(item.range.clone().map(|k| (k, String::new())));
    } else if !keyword.is_empty() {
        changed.insert(close, format!("){keyword}"));
    }
}

fn threadgroup(unit: &Unit, d: &crate::lower::ThreadgroupDeclaration) -> String {
    let s = &unit.program.source;
    let skip = |k: &usize| matches!(s.tokens[*k].sym, sym::STATIC | sym::VOLATILE | sym::THREADGROUP);
    let join = |tokens: &mut dyn Iterator<Item = usize>| tokens.map(|k| word(unit, k) + " ").collect::<String>();
    let ty = join(&mut d.ty.clone().filter(|k| !skip(k)));
    let mut text = String::new();
    for v in &d.variables {
        let Some(name) = v.name else { continue };
        let dims = join(&mut v.dims.clone());
        text += &format!("MSL_THREADGROUP(({ty}), {}, ({dims})); ", s.text(name));
    }
    for pointer in &d.pointers {
        text += &format!("threadgroup {ty} {}; ", join(&mut pointer.clone()));
    }
    text
}

/// The swizzles that the source uses, as the support library wants to be told.
fn swizzles(unit: &Unit) -> String {
    let s = &unit.program.source;
    let mut names: BTreeSet<&str> = BTreeSet::new();
    for i in 1..s.tokens.len() {
        if (s.is(i - 1, sym::DOT) || s.is(i - 1, sym::ARROW)) && crate::lower::is_swizzle(s.text(i)) {
            names.insert(s.text(i));
        }
    }
    let mut text = String::new();
    for n in 2..=4 {
        let list = names.iter().filter(|name| name.len() == n).map(|name| {
            let lanes: Vec<String> = name.bytes().map(|c| crate::lower::lane(c).to_string()).collect();
            format!(" X({name}, {})", lanes.join(", "))
        });
        text += &format!("#define MSL_SWIZZLES{n}(X){}\n", list.collect::<String>());
    }
    if s.tokens.iter().any(|t| t.sym == sym::THREAD_ELEMENTS) {
        text += "#define MSL_USES_THREAD_ELEMENTS 1\n";
    }
    text
}
