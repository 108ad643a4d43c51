//! From a unit to one C++ text for one entry.

mod edit;
mod entry;
mod need;
mod ternary;
mod threadgroup;
mod write;

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use crate::parse::{Item, ItemKind};
use crate::program::Program;
use crate::reflect::EntryPoint;
use crate::token::{Sym, Token, sym};
use crate::unsupported;
use crate::{ArgKind, Diagnostic, Error, Unit};

pub(crate) use edit::{Edit, Edits};
use need::Needed;
pub(crate) use threadgroup::ThreadgroupDeclaration;
use write::Writer;

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

impl Unit {
    /// One C++ text that holds the entry and all it needs.
    ///
    /// # Errors
    /// An entry that does not exist, function constants without a value, and what is not supported, each at its line.
    pub fn lower(&self, target: Target, options: &LowerOptions<'_>) -> Result<Lowered, Error> {
        let Some(point) = self.points.iter().find(|p| p.entry.name == options.entry) else {
            return Err(self.no_such_entry(options.entry).into());
        };
        let needed = self.program.needed(point.item, point.instance.clone());
        let mut lowering =
            Lowering { unit: self, target, options, point, needed, overlay: HashMap::new(), diagnostics: Vec::new() };
        let defined = lowering.constants();
        lowering.check();
        if !lowering.diagnostics.is_empty() {
            return Err(Error { diagnostics: lowering.diagnostics });
        }
        lowering.replace_defined_queries(&defined);
        lowering.finish()
    }

    fn no_such_entry(&self, name: &str) -> Diagnostic {
        let place = crate::Place { file: self.program.source.files[1].clone(), line: 1, column: 0 };
        let mut names: Vec<&str> = self.points.iter().map(|p| p.entry.name.as_str()).collect();
        let more = names.len().saturating_sub(20);
        names.truncate(20);
        let note = match more {
            0 => format!("kernels here: {}", names.join(", ")),
            _ => format!("kernels here: {} and {more} more", names.join(", ")),
        };
        Diagnostic::error(place, format!("no kernel is called {name:?}")).with_note(note)
    }
}

/// What lowered text needs besides the support library.
pub(crate) const GLUE: &str = include_str!("lower/glue.h");

/// One lowering under way.
struct Lowering<'a> {
    unit: &'a Unit,
    target: Target,
    options: &'a LowerOptions<'a>,
    point: &'a EntryPoint,
    needed: Needed,
    /// Edits of this lowering alone, by token.
    overlay: HashMap<usize, Edit>,
    diagnostics: Vec<Diagnostic>,
}

impl Lowering<'_> {
    fn program(&self) -> &Program {
        &self.unit.program
    }

    /// Gives function constants their values. The result tells by name which of them have one.
    fn constants(&mut self) -> HashMap<Sym, bool> {
        let unit = self.unit;
        let source = &unit.program.source;
        let mut defined = HashMap::new();
        for (constant, &item) in unit.constants.iter().zip(&unit.constant_items) {
            let given = self.options.constants.iter().rev().find(|(key, _)| match key {
                ConstantKey::Index(n) => *n == constant.index,
                ConstantKey::Name(n) => *n == constant.name,
            });
            let ItemKind::Variable { ty, .. } = &unit.program.item(item).kind else { continue };
            let d = source.declarator(ty.end, unit.program.item(item).range.end);
            let Some(name) = d.name else { continue };
            defined.insert(source.tokens[name].sym, given.is_some());
            if !self.needed.items.contains(&item) {
                continue;
            }
            let value = match given {
                Some((_, value)) => match entry::literal(value, &constant.type_text) {
                    Some(text) => text,
                    None => {
                        let message = format!("{value:?} is no value for a {}", constant.type_text);
                        self.diagnostics.push(Diagnostic::error(constant.place.clone(), message));
                        continue;
                    }
                },
                None => {
                    if !unit.asked_about.contains(&source.tokens[name].sym) {
                        let message = format!(
                            "function constant {} (index {}) has no value, and {} may read it",
                            constant.name, constant.index, self.point.entry.name
                        );
                        self.diagnostics.push(Diagnostic::error(constant.place.clone(), message));
                    }
                    format!("{}()", constant.type_text)
                }
            };
            // The whole declaration becomes one text in the place of its first token.
            let range = unit.program.item(item).range.clone();
            range.clone().for_each(|k| {
                self.overlay.insert(k, Edit::Drop);
            });
            let text = format!("static constexpr {} {} = {value};", constant.type_text, source.text(name));
            self.overlay.insert(range.start, Edit::Text(text.into()));
        }
        self.unknown_constants();
        defined
    }

    /// Values for constants that the source does not have.
    fn unknown_constants(&mut self) {
        for (key, _) in self.options.constants {
            let known = self.unit.constants.iter().any(|c| match key {
                ConstantKey::Index(n) => c.index == *n,
                ConstantKey::Name(n) => c.name == *n,
            });
            if !known {
                let names: Vec<String> =
                    self.unit.constants.iter().map(|c| format!("{} ({})", c.name, c.index)).collect();
                let what = match key {
                    ConstantKey::Index(n) => format!("the index {n}"),
                    ConstantKey::Name(n) => format!("the name {n:?}"),
                };
                let note = format!("function constants here: {}", names.join(", "));
                let place = self.point.entry.place.clone();
                let message =
                    format!("a value is given for a function constant with {what}, which the source does not have");
                self.diagnostics.push(Diagnostic::error(place, message).with_note(note));
            }
        }
    }

    /// `is_function_constant_defined(x)` becomes `true` or `false`.
    fn replace_defined_queries(&mut self, defined: &HashMap<Sym, bool>) {
        let unit = self.unit;
        let s = &unit.program.source;
        for &i in &unit.queries {
            let close = s.after(i + 1);
            let name = (i + 2..close - 1).rfind(|k| s.ident(*k)).map(|k| s.tokens[k].sym);
            let value = name.and_then(|n| defined.get(&n)).copied().unwrap_or(false);
            (i..close).for_each(|k| {
                self.overlay.insert(k, Edit::Drop);
            });
            // Inside a constant that was replaced as a whole there is nothing left to replace.
            self.overlay.insert(i, Edit::Text(value.to_string().into()));
        }
    }

    /// Everything that the needed declarations use and that is not supported.
    fn check(&mut self) {
        for arg in &self.point.entry.args {
            if let ArgKind::Unsupported { what } = &arg.kind {
                let message = format!("{}: {what} is not supported", self.point.entry.name);
                self.diagnostics.push(Diagnostic::error(arg.place.clone(), message));
            }
        }
        let unit = self.unit;
        let program = &unit.program;
        let mut said = BTreeSet::new();
        let mut ranges: Vec<Range<usize>> = self.needed.items.iter().map(|i| program.item(*i).range.clone()).collect();
        ranges.sort_by_key(|r| r.start);
        for range in ranges {
            for i in range.clone() {
                let t = &program.source.tokens[i];
                if !t.ident() || said.contains(&t.sym) {
                    continue;
                }
                if let Some(message) = unsupported_use(program, i) {
                    said.insert(t.sym);
                    self.diagnostics.push(program.source.error(i, message));
                }
            }
            let problems = unit.edits.problems.iter().filter(|(k, _)| range.contains(k));
            self.diagnostics.extend(problems.map(|(_, d)| d.clone()));
        }
    }

    /// Writes the text.
    fn finish(self) -> Result<Lowered, Error> {
        let unit = self.unit;
        let source = &unit.program.source;
        let mut body = Writer::new(String::new(), &source.files);
        self.items(&unit.program.items.top, &mut body);
        let wrapper = entry::wrapper(unit, self.point, self.target, self.options)?;
        let at = source.tokens[unit.program.item(self.point.item).range.start].from;
        body.lines(at, &wrapper.text);
        let mut text = self.swizzles();
        for (name, header) in crate::support::support(self.target) {
            text.push_str(&format!("#line 1 \"metallic-msl:{name}\"\n{header}\n"));
        }
        text.push_str("namespace msl {\n");
        text.push_str(GLUE);
        text.push_str(&self.builtins());
        text.push_str(&body.text);
        text.push_str("} // namespace msl\n");
        let entry = &self.point.entry;
        Ok(Lowered {
            text,
            symbol: wrapper.symbol,
            params: wrapper.params,
            threadgroup_bytes: entry.threadgroup_bytes,
            max_threads: entry.max_threads,
        })
    }

    fn items(&self, items: &[usize], out: &mut Writer<'_>) {
        for &i in items {
            let item = self.program().item(i);
            match &item.kind {
                ItemKind::Block => {
                    let open = item.children.first().map(|c| self.program().item(*c).range.start);
                    let brace = (item.range.start..open.unwrap_or(item.range.end))
                        .find(|k| self.program().source.is(*k, sym::LBRACE))
                        .unwrap_or(item.range.start);
                    self.tokens(item.range.start..brace + 1, out);
                    self.items(&item.children, out);
                    self.tokens(item.range.end - 1..item.range.end, out);
                }
                ItemKind::Directive if self.directive_needed(item) => self.tokens(item.range.clone(), out),
                _ if self.needed.items.contains(&i) => self.tokens(item.range.clone(), out),
                _ => {}
            }
        }
    }

    /// Namespaces' names are always needed; an assertion if everything that it mentions is.
    fn directive_needed(&self, item: &Item) -> bool {
        let program = self.program();
        let first = program.source.tokens[item.range.start].sym;
        match first {
            sym::USING | sym::NAMESPACE => true,
            sym::STATIC_ASSERT | sym::C_STATIC_ASSERT => program.tokens(item.range.clone()).iter().all(|t| {
                let items = program.by_name.get(&t.sym);
                !t.ident() || items.is_none_or(|items| items.iter().all(|i| self.needed.items.contains(i)))
            }),
            _ => false,
        }
    }

    fn edit(&self, i: usize) -> &Edit {
        self.overlay.get(&i).unwrap_or(&self.unit.edits.edits[i])
    }

    fn tokens(&self, range: Range<usize>, out: &mut Writer<'_>) {
        let source = &self.program().source;
        let mut pragma = source.pragmas.partition_point(|p| p.0 < range.start);
        let kept = &self.unit.kept_attributes;
        let mut attribute = kept.partition_point(|a| a.0 < range.start);
        for i in range {
            while let Some((before, p)) = source.pragmas.get(pragma)
                && *before <= i
            {
                if let Some(text) = self.pragma(source.spellings.text(p.sym)) {
                    out.directive(p.from, &text);
                }
                pragma += 1;
            }
            let t = &source.tokens[i];
            while let Some((before, text)) = kept.get(attribute)
                && *before <= i
            {
                out.token(t, text);
                attribute += 1;
            }
            match self.edit(i) {
                Edit::Keep => out.token(t, source.text(i)),
                Edit::Text(text) => out.token(t, text),
                Edit::Drop => {}
            }
        }
    }

    /// A pragma as the target's compiler takes it.
    fn pragma(&self, text: &str) -> Option<String> {
        let loop_hint = text.strip_prefix("clang loop").map(str::trim);
        match (self.target, loop_hint) {
            _ if text.starts_with("unroll") || text.starts_with("nounroll") => Some(format!("#pragma {text}")),
            (Target::Host, Some(_)) => Some(format!("#pragma {text}")),
            (Target::Cuda, Some(hint)) => {
                let count = hint.strip_prefix("unroll_count(").and_then(|h| h.strip_suffix(')'));
                match (hint, count) {
                    (_, Some(n)) => Some(format!("#pragma unroll {n}")),
                    ("unroll(full)" | "unroll(enable)", _) => Some("#pragma unroll".to_owned()),
                    ("unroll(disable)", _) => Some("#pragma unroll 1".to_owned()),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// Functions of the support library under the names that Metal's own library has for its compiler's: `__metal_exp`.
    fn builtins(&self) -> String {
        let source = &self.program().source;
        let mut names: Vec<&str> = self.needed.names.iter().map(|n| source.spellings.text(*n)).collect();
        names.sort_unstable();
        let mut text = String::new();
        for (full, name) in names.iter().filter_map(|n| Some((n, n.strip_prefix("__metal_")?))) {
            match name {
                "get_simdgroup_size" => text.push_str(&format!("template <class T> T {full}(T) {{ return T(32); }}\n")),
                "get_thread_index_in_simdgroup" => {
                    text.push_str(&format!("template <class T> T {full}(T) {{ return T(impl::lane()); }}\n"));
                }
                _ => text.push_str(&format!(
                    "template <class A> auto {full}(A a) {{ return metal::{name}(a); }}\n\
                     template <class A> auto {full}(A a, msl_math_mode) {{ return metal::{name}(a); }}\n\
                     template <class A, class B> auto {full}(A a, B b) {{ return metal::{name}(a, b); }}\n\
                     template <class A, class B> auto {full}(A a, B b, msl_math_mode) {{ return metal::{name}(a, b); }}\n\
                     template <class A, class B, class C> auto {full}(A a, B b, C c) {{ return metal::{name}(a, b, c); }}\n\
                     template <class A, class B, class C> auto {full}(A a, B b, C c, msl_math_mode) {{ return metal::{name}(a, b, c); }}\n\
                     template <class A, class B, class C, class D> auto {full}(A a, B b, C c, D d) {{ return metal::{name}(a, b, c, d); }}\n"
                )),
            }
        }
        text
    }

    /// The swizzles that the needed declarations use, as the support library wants to be told.
    fn swizzles(&self) -> String {
        let source = &self.program().source;
        let mut names: BTreeSet<&str> = BTreeSet::new();
        let mut thread_elements = false;
        for &item in &self.needed.items {
            let range = self.program().item(item).range.clone();
            for i in range {
                if source.tokens[i].sym == sym::THREAD_ELEMENTS {
                    thread_elements = true;
                }
                let member = i > 0 && (source.is(i - 1, sym::DOT) || source.is(i - 1, sym::ARROW));
                let text = source.text(i);
                if member && is_swizzle(text) {
                    names.insert(text);
                }
            }
        }
        let mut text = String::new();
        for n in 2..=4 {
            let list: Vec<String> = names
                .iter()
                .filter(|name| name.len() == n)
                .map(|name| {
                    let lanes: Vec<String> = name.bytes().map(|c| lane(c).to_string()).collect();
                    format!("X({name}, {})", lanes.join(", "))
                })
                .collect();
            if !list.is_empty() {
                text.push_str(&format!("#define MSL_SWIZZLES{n}(X) {}\n", list.join(" ")));
            }
        }
        if thread_elements {
            text.push_str("#define MSL_USES_THREAD_ELEMENTS 1\n");
        }
        text
    }
}

pub(crate) fn is_swizzle(name: &str) -> bool {
    (2..=4).contains(&name.len())
        && (name.bytes().all(|c| b"xyzw".contains(&c)) || name.bytes().all(|c| b"rgba".contains(&c)))
}

pub(crate) fn lane(c: u8) -> usize {
    match c {
        b'x' | b'r' => 0,
        b'y' | b'g' => 1,
        b'z' | b'b' => 2,
        _ => 3,
    }
}

/// In words, why the name at `i` cannot be lowered.
fn unsupported_use(program: &Program, i: usize) -> Option<String> {
    let s = &program.source;
    let text = s.text(i);
    let after = |k: Sym| i > 0 && s.is(i - 1, k);
    if after(sym::DOT) || after(sym::ARROW) {
        return None;
    }
    let user = |t: &Token| program.by_name.contains_key(&t.sym);
    if let Some(what) = unsupported::word(text) {
        return Some(what.to_owned());
    }
    if let Some(what) = unsupported::type_name(text)
        && !user(&s.tokens[i])
        && (s.is(i + 1, sym::LESS) || s.ident(i + 1) || after(sym::SCOPE))
    {
        return Some(format!("{text}: {what} is not supported"));
    }
    if text == "sampler" && !user(&s.tokens[i]) && s.ident(i + 1) {
        return Some("sampler: textures and samplers are not supported".to_owned());
    }
    // `metal::name` and `metal::fast::name`, where neither the library nor the source has the name.
    let in_metal = after(sym::SCOPE)
        && i >= 2
        && (s.is(i - 2, sym::METAL)
            || i >= 4
                && s.is(i - 3, sym::SCOPE)
                && s.is(i - 4, sym::METAL)
                && matches!(s.text(i - 2), "fast" | "precise"));
    if in_metal && !user(&s.tokens[i]) && !unsupported::library_knows(text) {
        return Some(format!("metal::{text} is not supported"));
    }
    None
}
