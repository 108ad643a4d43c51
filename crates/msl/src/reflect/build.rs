//! Finds the entries of a unit and what they take.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::{Access, AddressSpace, Arg, ArgKind, Buffer, Builtin, Element, Entry, FunctionConstant, Indirection};
use crate::Diagnostic;
use crate::parse::{Attribute, Function, Item, ItemKind, Parameter};
use crate::program::{Bindings, Program};
use crate::token::{Kind, Sym, Token, sym};

/// An entry with what lowering needs to make it.
#[derive(Debug)]
pub(crate) struct EntryPoint {
    pub entry: Entry,
    /// The kernel's function item.
    pub item: usize,
    /// The tokens that name its instantiation; empty for a plain function.
    pub instance: Range<usize>,
    /// How each parameter is made, in order.
    pub params: Vec<ParamSource>,
}

/// Where a parameter of the kernel comes from.
#[derive(Clone, Debug)]
pub(crate) enum ParamSource {
    /// One of [`Entry::args`].
    Arg(usize),
    /// A struct passed by value, made of several.
    Struct(Vec<(String, usize)>),
}

impl Program {
    /// Every kernel, in the order of the source.
    pub fn entries(&self) -> (Vec<EntryPoint>, Vec<Diagnostic>) {
        let mut out = Vec::new();
        let mut diagnostics = Vec::new();
        let mut kernels: HashMap<Sym, Vec<usize>> = HashMap::new();
        for (i, item) in self.items.items.iter().enumerate() {
            if let ItemKind::Function(f) = &item.kind
                && f.body.is_some()
            {
                kernels.entry(self.source.tokens[f.name].sym).or_default().push(i);
            }
        }
        for (i, item) in self.items.items.iter().enumerate() {
            if self.items.scopes[item.scope].class {
                continue;
            }
            match &item.kind {
                ItemKind::Function(f) if f.body.is_some() && item.template.is_none() && self.is_kernel(item, f) => {
                    out.push(self.plain_entry(i, item, f));
                }
                ItemKind::Instantiation(inst) => {
                    let name = inst
                        .name
                        .clone()
                        .take_while(|k| !inst.args.contains(k))
                        .filter(|k| self.source.ident(*k))
                        .last();
                    let name = name.map(|k| self.source.tokens[k].sym);
                    let candidates = name.and_then(|n| kernels.get(&n));
                    let target = candidates.into_iter().flatten().find(|k| self.item(**k).template.is_some());
                    let Some(&target) = target else {
                        if inst.kernel {
                            let text = self.spell(self.tokens(inst.name.clone()), &Bindings::default());
                            diagnostics
                                .push(self.source.error(inst.name.start, format!("no kernel template makes {text}")));
                        }
                        continue;
                    };
                    let template = self.item(target);
                    if let ItemKind::Function(f) = &template.kind
                        && (inst.kernel || self.is_kernel(template, f))
                    {
                        out.push(self.instantiated_entry(item, target, inst, f));
                    }
                }
                _ => {}
            }
        }
        let mut seen: HashMap<String, usize> = HashMap::new();
        for (i, e) in out.iter().enumerate() {
            if let Some(first) = seen.insert(e.entry.name.clone(), i) {
                let note = format!("the first is at {}", out[first].entry.place);
                let d = Diagnostic::error(e.entry.place.clone(), format!("two kernels are called {:?}", e.entry.name));
                diagnostics.push(d.with_note(note));
            }
        }
        (out, diagnostics)
    }

    pub fn is_kernel(&self, item: &Item, f: &Function) -> bool {
        (item.range.start..f.name).any(|k| self.source.is(k, sym::KERNEL) && self.source.ident(k))
            || self.source.attributes_in(item.range.start, f.open).iter().any(|a| a.name == sym::KERNEL)
            // `void f(..) [[kernel]] {`
            || self.function_attributes(f).iter().any(|a| a.name == sym::KERNEL)
    }

    fn function_attributes(&self, f: &Function) -> &[Attribute] {
        let close = self.source.after(f.open);
        let end = f.body.map_or(close, |b| b.0);
        self.source.attributes_in(close, end)
    }

    fn plain_entry(&self, i: usize, item: &Item, f: &Function) -> EntryPoint {
        let s = &self.source;
        let qualified = format!("{}{}", self.scope_prefix(item.scope), s.text(f.name));
        let host = s.attribute(item.range.start, f.open, "host_name").and_then(|a| self.string(&a.args));
        self.entry(
            Naming { name: host.unwrap_or_else(|| qualified.clone()), function: qualified, at: f.name },
            i,
            f,
            Bindings::default(),
            0..0,
        )
    }

    fn instantiated_entry(
        &self,
        item: &Item,
        target: usize,
        inst: &crate::parse::Instantiation,
        f: &Function,
    ) -> EntryPoint {
        let s = &self.source;
        let text = self.spell(self.tokens(inst.name.clone()), &Bindings::default());
        let prefix = self.scope_prefix(item.scope);
        let function = if text.starts_with("::") { text } else { format!("{prefix}{text}") };
        let host = s.attribute(item.range.start, item.range.end - 1, "host_name").and_then(|a| self.string(&a.args));
        let args = s.split(inst.args.start, inst.args.end);
        let bindings = self.bind(self.item(target).template, &args);
        let name = host.unwrap_or_else(|| function.clone());
        let at = if s.is(inst.name.start, sym::SCOPE) { inst.name.start + 1 } else { inst.name.start };
        self.entry(Naming { name, function, at }, target, f, bindings, inst.name.clone())
    }

    fn entry(
        &self,
        naming: Naming,
        item: usize,
        f: &Function,
        bindings: Bindings,
        instance: Range<usize>,
    ) -> EntryPoint {
        let mut args = Vec::new();
        let mut params = Vec::new();
        for p in self.source.parameters(f.open) {
            params.push(self.argument(&p, &bindings, &mut args));
        }
        assign_indices(&mut args);
        let start = self.item(item).range.start;
        let attribute = |name: &str| {
            let all = self.source.attributes_in(start, f.open).iter().chain(self.function_attributes(f));
            all.into_iter().find(|a| self.source.spellings.text(a.name) == name)
        };
        let max_threads = attribute("max_total_threads_per_threadgroup")
            .and_then(|a| u32::try_from(self.evaluate(&a.args, &bindings)?).ok())
            .or_else(|| {
                let sizes = attribute("required_threads_per_threadgroup")?.args.clone();
                let product =
                    sizes.split(|t| t.is(sym::COMMA)).map(|e| self.evaluate(e, &bindings)).product::<Option<i64>>()?;
                u32::try_from(product).ok()
            });
        let mut bindings = bindings;
        let threadgroup_bytes = f.body.and_then(|body| self.threadgroup_bytes(body, &mut bindings));
        let entry = Entry {
            name: naming.name,
            function: naming.function,
            place: self.source.place(naming.at),
            args: args.into_iter().map(|a| a.arg).collect(),
            max_threads,
            threadgroup_bytes,
            function_constants: Vec::new(),
        };
        EntryPoint { entry, item, instance, params }
    }

    /// The characters of the string literals in `tokens`.
    pub fn string(&self, tokens: &[Token]) -> Option<String> {
        let strings = tokens.iter().filter(|t| t.kind == Kind::Str);
        let text: String = strings.map(|t| self.source.spellings.text(t.sym).trim_matches('"')).collect();
        (!text.is_empty()).then_some(text)
    }

    /// Bytes of the threadgroup variables of a body, where all are known. Constants of the body become bound.
    fn threadgroup_bytes(&self, body: (usize, usize), bindings: &mut Bindings) -> Option<usize> {
        let s = &self.source;
        let mut total = 0usize;
        let mut known = true;
        let mut i = body.0 + 1;
        while i < body.1 {
            let constant = s.is(i, sym::CONSTEXPR) || s.is(i, sym::CONST) && !s.is(i - 1, sym::LPAREN);
            if constant && s.ident(i) {
                let (ty, _) = s.type_end(i, body.1);
                let d = s.declarator(ty, body.1);
                if let Some(name) = d.name.filter(|_| s.is(d.end, sym::ASSIGN) && !d.indirect()) {
                    let mut end = d.end + 1;
                    while end < body.1 && !s.is(end, sym::SEMI) && !s.is(end, sym::COMMA) {
                        end = s.after(end);
                    }
                    bindings.0.insert(s.tokens[name].sym, self.tokens(d.end + 1..end).to_vec());
                    i = end;
                    continue;
                }
            }
            if let Some(d) = self.threadgroup_declaration(i) {
                for v in &d.variables {
                    let count = self.dimensions(v.dims.clone(), bindings, 0);
                    let size = self.layout(self.tokens(d.ty.clone()), bindings).map(|l| l.0);
                    match count.zip(size).and_then(|(c, s)| c.checked_mul(s)) {
                        Some(bytes) => total = total.saturating_add(bytes.next_multiple_of(16)),
                        None => known = false,
                    }
                }
                i = d.range.end;
                continue;
            }
            i += 1;
        }
        known.then_some(total)
    }

    fn argument(&self, p: &Parameter, bindings: &Bindings, args: &mut Vec<Indexed>) -> ParamSource {
        if let Some(members) = self.struct_members(p, bindings) {
            let name = self.param_name(p);
            let mut parts = Vec::new();
            for (member, m) in members {
                let mut one = self.single_argument(&m, bindings);
                one.arg.name = format!("{name}.{member}");
                parts.push((member, args.len()));
                args.push(one);
            }
            return ParamSource::Struct(parts);
        }
        args.push(self.single_argument(p, bindings));
        ParamSource::Arg(args.len() - 1)
    }

    fn param_name(&self, p: &Parameter) -> String {
        p.declarator.name.map_or(String::new(), |n| self.source.text(n).to_owned())
    }

    /// The members of a struct passed by value whose members have attributes of their own.
    fn struct_members(&self, p: &Parameter, bindings: &Bindings) -> Option<Vec<(String, Parameter)>> {
        if p.declarator.indirect() || !self.source.attributes_in(p.range.start, p.range.end).is_empty() {
            return None;
        }
        let (_, name) = self.source.type_end(p.ty.start, p.ty.end);
        let ty = self.replaced(self.tokens(name), bindings);
        let last = ty.iter().rev().find(|t| t.ident())?;
        let record = self.named(last.sym).find(|i| matches!(i.kind, ItemKind::Record { body: Some(_) }))?;
        let mut out = Vec::new();
        for &child in &record.children {
            let member = self.item(child);
            let ItemKind::Variable { ty, .. } = &member.kind else { continue };
            let range = member.range.start..member.range.end - 1;
            let declarator = self.source.declarator(ty.end, range.end);
            let m = Parameter { ty: ty.clone(), declarator, range };
            out.push((self.param_name(&m), m));
        }
        let any = out.iter().any(|(_, m)| !self.source.attributes_in(m.range.start, m.range.end).is_empty());
        any.then_some(out)
    }

    fn single_argument(&self, p: &Parameter, bindings: &Bindings) -> Indexed {
        let s = &self.source;
        let attributes = s.attributes_in(p.range.start, p.range.end);
        let attribute = |name: &str| attributes.iter().find(|a| s.spellings.text(a.name) == name);
        let explicit = |name: &str| attribute(name).and_then(|a| u32::try_from(self.evaluate(&a.args, bindings)?).ok());
        let condition = attribute("function_constant").map(|a| self.spell(&a.args, bindings));
        let (kind, index) = self.arg_kind(p, bindings, attributes);
        let index = match index {
            Slot::Buffer => explicit("buffer").or_else(|| explicit("id")),
            Slot::Threadgroup => explicit("threadgroup"),
            Slot::None => None,
        };
        let text = self.type_text(p, bindings);
        let place = s.place(p.declarator.name.unwrap_or(p.range.start));
        Indexed { arg: Arg { name: self.param_name(p), type_text: text, kind, condition, place }, explicit: index }
    }

    fn type_text(&self, p: &Parameter, bindings: &Bindings) -> String {
        let end = p.range.clone().find(|k| self.source.is(*k, sym::ASSIGN)).unwrap_or(p.range.end);
        let tokens: Vec<Token> =
            (p.range.start..end).filter(|k| Some(*k) != p.declarator.name).map(|k| self.source.tokens[k]).collect();
        self.spell(&tokens, bindings)
    }

    fn arg_kind(&self, p: &Parameter, bindings: &Bindings, attributes: &[Attribute]) -> (ArgKind, Slot) {
        let s = &self.source;
        let unsupported = |what: &str| (ArgKind::Unsupported { what: what.into() }, Slot::None);
        if let Some(builtin) = attributes.iter().find_map(|a| builtin(s.spellings.text(a.name))) {
            let (_, name) = s.type_end(p.ty.start, p.ty.end);
            let width = self.width(self.tokens(name), bindings, 0);
            return match width {
                Some(width) if !p.declarator.indirect() => (ArgKind::Builtin { builtin, width }, Slot::None),
                _ => unsupported("a position or size that is no integer or vector of integers"),
            };
        }
        if let Some(a) = attributes.iter().find(|a| {
            matches!(
                s.spellings.text(a.name),
                "stage_in" | "texture" | "sampler" | "payload" | "mesh" | "position" | "vertex_id" | "instance_id"
            )
        }) {
            return unsupported(&format!("a [[{}]] argument", s.spellings.text(a.name)));
        }
        let (_, name) = s.type_end(p.ty.start, p.ty.end);
        if let Some(what) = name.clone().find_map(|k| crate::unsupported::type_name(s.text(k))) {
            return unsupported(what);
        }
        // The address space of what the last * or & names: `device T* constant* p` lies in constant memory.
        let head = p.ty.start..p.declarator.name.unwrap_or(p.declarator.end);
        let spaces: Vec<usize> =
            head.clone().filter(|k| s.ident(*k) && crate::parse::address_space(s.tokens[*k].sym)).collect();
        let Some(&at) = spaces.last() else {
            let name = self.param_name(p);
            return match p.declarator.indirect() {
                true => unsupported(&format!("{name:?}, a pointer or reference without an address space")),
                false => unsupported(&format!("{name:?}, which has no attribute that says what it is")),
            };
        };
        if !p.declarator.indirect() && p.declarator.dims.is_empty() {
            return unsupported("an object in an address space that is neither pointer nor reference");
        }
        if p.declarator.stars > 0 && !p.declarator.dims.is_empty() {
            return unsupported("an array of buffers");
        }
        let element = self.element(p, bindings);
        match s.tokens[at].sym {
            sym::THREADGROUP => (ArgKind::Threadgroup { index: u32::MAX, element }, Slot::Threadgroup),
            sym::DEVICE | sym::CONSTANT => {
                let constant = s.tokens[at].sym == sym::CONSTANT;
                let by = if p.declarator.reference { Indirection::Reference } else { Indirection::Pointer };
                let inner = p.ty.end..p.declarator.name.unwrap_or(p.declarator.end);
                let pointee = if p.declarator.stars > 1 { inner } else { p.ty.clone() };
                let is_const = pointee.clone().any(|k| s.is(k, sym::CONST) && s.ident(k));
                let access = if constant || is_const { Access::Read } else { Access::ReadWrite };
                let space = if constant { AddressSpace::Constant } else { AddressSpace::Device };
                (ArgKind::Buffer(Buffer { index: u32::MAX, space, access, by, element }), Slot::Buffer)
            }
            other => unsupported(&format!("an argument in {} memory", s.spellings.text(other))),
        }
    }

    fn element(&self, p: &Parameter, bindings: &Bindings) -> Element {
        let s = &self.source;
        let (_, name) = s.type_end(p.ty.start, p.ty.end);
        let tokens = self.tokens(name);
        let mut text = self.spell(tokens, bindings);
        let mut layout = self.layout(tokens, bindings);
        if p.declarator.stars > 1 || p.declarator.stars == 1 && p.declarator.reference {
            text.push('*');
            layout = Some((8, 8));
        }
        // A reference to an array is one object.
        if p.declarator.reference && !p.declarator.dims.is_empty() {
            text.push_str(&self.spell(self.tokens(p.declarator.dims.clone()), bindings));
            let count = self.dimensions(p.declarator.dims.clone(), bindings, 0);
            layout = layout.zip(count).and_then(|((size, align), n)| Some((size.checked_mul(n)?, align)));
        }
        Element { text, size: layout.map(|l| l.0), align: layout.map(|l| l.1) }
    }

    /// Components of an integer type.
    fn width(&self, tokens: &[Token], bindings: &Bindings, depth: usize) -> Option<u8> {
        if depth > 8 {
            return None;
        }
        let names: Vec<&Token> = tokens.iter().filter(|t| t.ident() && t.sym != sym::METAL).collect();
        let last = names.last()?;
        let text = self.source.spellings.text(last.sym);
        let plain = text.trim_end_matches(['2', '3', '4']);
        if matches!(
            plain,
            "uint"
                | "ushort"
                | "int"
                | "short"
                | "unsigned"
                | "uint32_t"
                | "uint16_t"
                | "int32_t"
                | "size_t"
                | "ulong"
                | "long"
        ) || matches!(text, "uint32_t" | "int32_t") && names.len() == 1
        {
            return match text.strip_prefix(plain).unwrap_or("") {
                "" => Some(1),
                "2" => Some(2),
                "3" => Some(3),
                _ => None,
            };
        }
        if let [first, ..] = names[..]
            && self.source.spellings.text(first.sym) == "vec"
        {
            let n = tokens.iter().rev().find(|t| t.kind == Kind::Number)?;
            return self.source.spellings.text(n.sym).parse().ok().filter(|n| (2..=3).contains(n));
        }
        let next = bindings.0.get(&last.sym).map(Vec::as_slice).or_else(|| self.alias(last.sym))?;
        self.width(next, bindings, depth + 1)
    }

    /// Every function constant, and the items that declare them.
    pub fn function_constants(&self) -> (Vec<FunctionConstant>, Vec<usize>, Vec<Diagnostic>) {
        let s = &self.source;
        let (mut out, mut items, mut diagnostics) = (Vec::new(), Vec::new(), Vec::new());
        let mut seen = HashSet::new();
        for (i, item) in self.items.items.iter().enumerate() {
            let ItemKind::Variable { ty, .. } = &item.kind else { continue };
            let Some(a) = s.attribute(item.range.start, item.range.end - 1, "function_constant") else { continue };
            if self.items.scopes[item.scope].class {
                continue;
            }
            let d = s.declarator(ty.end, item.range.end);
            let Some(name) = d.name else { continue };
            let Some(index) = self.evaluate(&a.args, &Bindings::default()).and_then(|v| u32::try_from(v).ok()) else {
                diagnostics.push(s.error(name, "the index of this function constant is not a constant number"));
                continue;
            };
            if !seen.insert(index) {
                diagnostics.push(s.error(name, format!("two function constants have the index {index}")));
            }
            let (_, ty_name) = s.type_end(ty.start, ty.end);
            out.push(FunctionConstant {
                name: format!("{}{}", self.scope_prefix(item.scope), s.text(name)),
                index,
                type_text: self.spell(self.tokens(ty_name), &Bindings::default()),
                place: s.place(name),
            });
            items.push(i);
        }
        (out, items, diagnostics)
    }
}

/// How an entry is called.
struct Naming {
    name: String,
    function: String,
    at: usize,
}

/// An argument whose index may still be open.
struct Indexed {
    arg: Arg,
    explicit: Option<u32>,
}

/// Which numbering an argument belongs to.
enum Slot {
    Buffer,
    Threadgroup,
    None,
}

/// Gives indices to the arguments that name none: the lowest that no other argument has, in order.
fn assign_indices(args: &mut [Indexed]) {
    let mut taken = [HashSet::new(), HashSet::new()];
    for a in args.iter() {
        match (&a.arg.kind, a.explicit) {
            (ArgKind::Buffer(_), Some(n)) => taken[0].insert(n),
            (ArgKind::Threadgroup { .. }, Some(n)) => taken[1].insert(n),
            _ => false,
        };
    }
    for a in args {
        let (slot, table) = match &mut a.arg.kind {
            ArgKind::Buffer(b) => (&mut b.index, &mut taken[0]),
            ArgKind::Threadgroup { index, .. } => (index, &mut taken[1]),
            _ => continue,
        };
        let free = || (0..).find(|n| !table.contains(n)).unwrap_or(0);
        *slot = a.explicit.unwrap_or_else(free);
        table.insert(*slot);
    }
}

/// The builtins, by the attributes that name them.
pub(crate) const BUILTINS: &[(&str, Builtin)] = &[
    ("thread_position_in_grid", Builtin::ThreadPositionInGrid),
    ("thread_position_in_threadgroup", Builtin::ThreadPositionInThreadgroup),
    ("threadgroup_position_in_grid", Builtin::ThreadgroupPositionInGrid),
    ("threads_per_grid", Builtin::ThreadsPerGrid),
    ("grid_size", Builtin::ThreadsPerGrid),
    ("threadgroups_per_grid", Builtin::ThreadgroupsPerGrid),
    ("threads_per_threadgroup", Builtin::ThreadsPerThreadgroup),
    ("dispatch_threads_per_threadgroup", Builtin::DispatchThreadsPerThreadgroup),
    ("grid_origin", Builtin::GridOrigin),
    ("thread_index_in_threadgroup", Builtin::ThreadIndexInThreadgroup),
    ("thread_index_in_simdgroup", Builtin::ThreadIndexInSimdgroup),
    ("simdgroup_index_in_threadgroup", Builtin::SimdgroupIndexInThreadgroup),
    ("simdgroups_per_threadgroup", Builtin::SimdgroupsPerThreadgroup),
    ("dispatch_simdgroups_per_threadgroup", Builtin::DispatchSimdgroupsPerThreadgroup),
    ("threads_per_simdgroup", Builtin::ThreadsPerSimdgroup),
    ("thread_execution_width", Builtin::ThreadsPerSimdgroup),
    ("thread_index_in_quadgroup", Builtin::ThreadIndexInQuadgroup),
    ("quadgroup_index_in_threadgroup", Builtin::QuadgroupIndexInThreadgroup),
    ("quadgroups_per_threadgroup", Builtin::QuadgroupsPerThreadgroup),
    ("dispatch_quadgroups_per_threadgroup", Builtin::DispatchQuadgroupsPerThreadgroup),
];

fn builtin(name: &str) -> Option<Builtin> {
    BUILTINS.iter().find(|(attribute, _)| *attribute == name).map(|(_, builtin)| *builtin)
}
