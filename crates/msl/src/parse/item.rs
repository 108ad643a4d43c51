//! Items: the declarations of a scope.

use std::ops::Range;

use super::Source;
use super::declarator::qualifier;
use crate::Diagnostic;
use crate::token::{Sym, sym};

/// Scopes inside scopes at most.
const MAX_DEPTH: usize = 64;

/// What an item is.
#[derive(Clone, Debug)]
pub(crate) enum ItemKind {
    /// A namespace or `extern "C"` block: its items stand in [`Item::children`].
    Block,
    /// `using namespace x;`, `namespace a = b;`, an access specifier, a `static_assert`.
    Directive,
    /// `using x = y;`, `using a::x;`, `typedef y x;`.
    Alias,
    /// A struct, class, union or enum, with what it declares besides.
    Record {
        /// Its braces; `None` for a declaration ahead.
        body: Option<(usize, usize)>,
    },
    Function(Function),
    Variable {
        /// The type's tokens.
        ty: Range<usize>,
        /// Its initializer: from after `=` or from `{` or `(`.
        init: Option<Range<usize>>,
    },
    Instantiation(Instantiation),
}

/// A function or a function template.
#[derive(Clone, Debug)]
pub(crate) struct Function {
    /// The token of its name; of `operator` for an operator.
    pub name: usize,
    pub is_operator: bool,
    /// The parenthesis that opens its parameters.
    pub open: usize,
    /// The braces of its body.
    pub body: Option<(usize, usize)>,
    /// Scope names written in front of its name.
    pub qualified: bool,
}

/// `template .. name<args>..;`
#[derive(Clone, Debug)]
pub(crate) struct Instantiation {
    /// The instantiated name, with its arguments.
    pub name: Range<usize>,
    /// The arguments, without the angle brackets.
    pub args: Range<usize>,
    /// `kernel` stands in front, as word or attribute.
    pub kernel: bool,
}

/// A parameter of a template.
#[derive(Clone, Debug)]
pub(crate) struct TemplateParam {
    pub name: Option<Sym>,
    pub default: Range<usize>,
}

/// A declaration.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub range: Range<usize>,
    pub kind: ItemKind,
    pub scope: usize,
    /// Names by which other items may need it.
    pub names: Vec<Sym>,
    /// The brackets of `template <..>`, the innermost list of a member template's.
    pub template: Option<(usize, usize)>,
    pub children: Vec<usize>,
}

/// A namespace or a record.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    pub parent: usize,
    pub name: String,
    pub class: bool,
}

/// All items of a unit.
#[derive(Debug, Default)]
pub(crate) struct Items {
    pub items: Vec<Item>,
    pub scopes: Vec<Scope>,
    /// Items at file scope.
    pub top: Vec<usize>,
}

/// Reads the declarations of `source`.
pub(crate) fn parse(source: &Source) -> Result<Items, Diagnostic> {
    let mut parser = Parser { s: source, out: Items::default() };
    parser.out.scopes.push(Scope { parent: 0, name: String::new(), class: false });
    parser.out.top = parser.scope(0, source.tokens.len(), 0, 0)?;
    Ok(parser.out)
}

struct Parser<'a> {
    s: &'a Source,
    out: Items,
}

impl Parser<'_> {
    fn scope(&mut self, start: usize, end: usize, scope: usize, depth: usize) -> Result<Vec<usize>, Diagnostic> {
        if depth > MAX_DEPTH {
            return Err(self.s.error(start, format!("scopes are nested more than {MAX_DEPTH} deep")));
        }
        let mut items = Vec::new();
        let mut i = start;
        while i < end {
            if self.s.is(i, sym::SEMI) {
                i += 1;
                continue;
            }
            let item = self.item(i, end, scope, depth)?;
            i = item.range.end.max(i + 1);
            items.push(self.out.items.len());
            self.out.items.push(item);
        }
        Ok(items)
    }

    fn item(&mut self, i: usize, end: usize, scope: usize, depth: usize) -> Result<Item, Diagnostic> {
        let s = self.s;
        let t = s.tokens[i];
        let class = self.out.scopes[scope].class;
        if t.ident() {
            match t.sym {
                sym::NAMESPACE => return self.namespace(i, end, scope, depth),
                sym::INLINE if s.is(i + 1, sym::NAMESPACE) => return self.namespace(i, end, scope, depth),
                sym::EXTERN if s.text(i + 1) == "\"C\"" && s.is(i + 2, sym::LBRACE) => {
                    return self.block(i, i + 2, scope, scope, depth);
                }
                sym::USING => {
                    let stop = self.semicolon(i, end)?;
                    if s.is(i + 1, sym::NAMESPACE) {
                        return Ok(self.plain(i, stop, scope, ItemKind::Directive, Vec::new()));
                    }
                    let name = if s.is(i + 2, sym::ASSIGN) { i + 1 } else { stop.saturating_sub(2) };
                    return Ok(self.plain(i, stop, scope, ItemKind::Alias, vec![s.tokens[name].sym]));
                }
                sym::STATIC_ASSERT | sym::C_STATIC_ASSERT => {
                    let stop = self.semicolon(i, end)?;
                    return Ok(self.plain(i, stop, scope, ItemKind::Directive, Vec::new()));
                }
                sym::PUBLIC | sym::PRIVATE | sym::PROTECTED if class && s.is(i + 1, sym::COLON) => {
                    return Ok(self.plain(i, i + 2, scope, ItemKind::Directive, Vec::new()));
                }
                sym::TEMPLATE if s.is(i + 1, sym::LESS) => return self.template(i, end, scope, depth),
                sym::TEMPLATE => return self.instantiation(i, end, scope),
                sym::EXTERN if s.is(i + 1, sym::TEMPLATE) => {
                    let stop = self.semicolon(i, end)?;
                    return Ok(self.plain(i, stop, scope, ItemKind::Directive, Vec::new()));
                }
                sym::CONCEPT => return Err(s.error(i, "concepts are not part of the Metal Shading Language")),
                _ => {}
            }
        }
        if !t.ident() && !t.is(sym::SCOPE) && !t.is(sym::TILDE) {
            return Err(s.error(i, format!("a declaration cannot begin with {:?}", s.text(i))));
        }
        self.declaration(i, i, end, scope, depth)
    }

    fn plain(&self, start: usize, end: usize, scope: usize, kind: ItemKind, names: Vec<Sym>) -> Item {
        Item { range: start..end, kind, scope, names, template: None, children: Vec::new() }
    }

    /// Index after the semicolon that ends the item at `i`.
    fn semicolon(&self, i: usize, end: usize) -> Result<usize, Diagnostic> {
        let mut k = i;
        while k < end {
            if self.s.is(k, sym::SEMI) {
                return Ok(k + 1);
            }
            k = self.s.after(k);
        }
        Err(self.s.error(i, "this declaration has no closing ;"))
    }

    fn namespace(&mut self, start: usize, end: usize, scope: usize, depth: usize) -> Result<Item, Diagnostic> {
        let mut i = start;
        while self.s.is(i, sym::INLINE) || self.s.is(i, sym::NAMESPACE) {
            i += 1;
        }
        let name_start = i;
        while i < end && !self.s.is(i, sym::LBRACE) {
            if self.s.is(i, sym::ASSIGN) {
                let stop = self.semicolon(i, end)?;
                return Ok(self.plain(start, stop, scope, ItemKind::Directive, Vec::new()));
            }
            if !self.s.ident(i) && !self.s.is(i, sym::SCOPE) {
                return Err(self.s.error(i, "a namespace's name or { is missing"));
            }
            i += 1;
        }
        if i >= end {
            return Err(self.s.error(start, "this namespace has no {"));
        }
        let name: String = (name_start..i).map(|k| self.s.text(k)).collect();
        self.out.scopes.push(Scope { parent: scope, name, class: false });
        let inner = self.out.scopes.len() - 1;
        self.block(start, i, scope, inner, depth)
    }

    fn block(
        &mut self,
        start: usize,
        open: usize,
        scope: usize,
        inner: usize,
        depth: usize,
    ) -> Result<Item, Diagnostic> {
        let close = self.s.after(open) - 1;
        let children = self.scope(open + 1, close, inner, depth + 1)?;
        let mut item = self.plain(start, close + 1, scope, ItemKind::Block, Vec::new());
        item.children = children;
        Ok(item)
    }

    fn template(&mut self, start: usize, end: usize, scope: usize, depth: usize) -> Result<Item, Diagnostic> {
        let mut i = start;
        let mut list = (i + 1, i + 1);
        while self.s.is(i, sym::TEMPLATE) && self.s.is(i + 1, sym::LESS) {
            let Some(close) = self.s.mate(i + 1) else {
                return Err(self.s.error(i + 1, "the template's parameters have no closing >"));
            };
            list = (i + 1, close);
            i = close + 1;
        }
        if i >= end {
            return Err(self.s.error(start, "nothing follows this template's parameters"));
        }
        let mut item = if self.s.is(i, sym::USING) {
            self.item(i, end, scope, depth)?
        } else {
            self.declaration(start, i, end, scope, depth)?
        };
        item.range.start = start;
        item.template = Some(list);
        Ok(item)
    }

    fn instantiation(&mut self, start: usize, end: usize, scope: usize) -> Result<Item, Diagnostic> {
        let s = self.s;
        let stop = self.semicolon(start, end)?;
        let last = stop - 2;
        let open = s.is(last, sym::RPAREN).then(|| s.mate(last)).flatten();
        let name_end = open.unwrap_or(last + 1);
        let close = name_end - 1;
        let (args, mut name) = match s.mate(close) {
            Some(less) if s.is(close, sym::GREATER) && less > start => (less + 1..close, less - 1),
            _ => (name_end..name_end, close),
        };
        while name >= start + 3 && s.is(name - 1, sym::SCOPE) && s.ident(name - 2) {
            name -= 2;
        }
        let record = (start + 1..name).any(|k| matches!(s.tokens[k].sym, sym::STRUCT | sym::CLASS | sym::UNION));
        let kernel = (start + 1..name).any(|k| s.is(k, sym::KERNEL))
            || s.attributes_in(start, stop - 1).iter().any(|a| a.name == sym::KERNEL);
        let kind = if record {
            ItemKind::Directive
        } else {
            ItemKind::Instantiation(Instantiation { name: name..name_end, args, kernel })
        };
        Ok(self.plain(start, stop, scope, kind, Vec::new()))
    }

    /// A function, a variable, a record or a typedef whose specifiers begin at `first`.
    fn declaration(
        &mut self,
        start: usize,
        first: usize,
        end: usize,
        scope: usize,
        depth: usize,
    ) -> Result<Item, Diagnostic> {
        let s = self.s;
        let mut scan = Scan { i: first, ..Scan::default() };
        let stop = loop {
            if scan.i >= end {
                return Err(s.error(first, "this declaration has no closing ; or body"));
            }
            if let Some(stop) = scan.step(s, first, end) {
                break stop;
            }
        };
        let (ty_end, _) = s.type_end(first, stop);
        let mut item = self.plain(start, stop, scope, ItemKind::Directive, Vec::new());
        if s.is(first, sym::TYPEDEF) {
            item.kind = ItemKind::Alias;
            item.names = self.typedef_names(first, stop);
        } else if let Some(open) = scan.params
            && !constant_object(s, &scan, ty_end, stop)
        {
            let (name, qualified) = self.function_name(&scan, open, first);
            item.names = if qualified { self.owner(name) } else { vec![s.tokens[name].sym] };
            let is_operator = scan.operator.is_some();
            item.kind = ItemKind::Function(Function { name, is_operator, open, body: scan.body, qualified });
            return Ok(item);
        } else if scan.record_word && scan.record.is_none() && ty_end + 1 >= stop {
            item.kind = ItemKind::Record { body: None };
            item.names = self.tag(first, ty_end).into_iter().collect();
            return Ok(item);
        } else if scan.record.is_none() {
            item.names = self.variable_names(ty_end, stop);
            let init = scan.init.or(scan.params).map(|i| i..stop - 1);
            item.kind = ItemKind::Variable { ty: first..ty_end, init };
            return Ok(item);
        }
        if let Some(body) = scan.record {
            let tag = self.tag(first, body.0);
            item.names.extend(tag);
            let is_enum = (first..body.0).any(|k| s.is(k, sym::ENUM));
            if is_enum {
                item.names.extend(s.split(body.0 + 1, body.1).iter().map(|r| s.tokens[r.start.min(body.1)].sym));
            }
            item.names.extend(self.variable_names(body.1 + 1, stop));
            let name = tag.map_or(String::new(), |t| s.spellings.text(t).to_owned());
            self.out.scopes.push(Scope { parent: scope, name, class: true });
            let inner = self.out.scopes.len() - 1;
            if !is_enum {
                item.children = self.scope(body.0 + 1, body.1, inner, depth + 1)?;
            }
            item.kind = ItemKind::Record { body: Some(body) };
        }
        Ok(item)
    }

    /// The name in front of the parameters at `open`, and whether scope names stand in front of it.
    fn function_name(&self, scan: &Scan, open: usize, first: usize) -> (usize, bool) {
        let s = self.s;
        let mut name = match scan.operator {
            Some(operator) => operator,
            None => match s.mate(open - 1) {
                Some(less) if s.is(open - 1, sym::GREATER) && less > first => less - 1,
                _ => open - 1,
            },
        };
        let qualified = name > first && s.is(name - 1, sym::SCOPE) && name >= first + 2;
        name = name.max(first);
        (name, qualified)
    }

    /// The names that make an out-of-class definition necessary: the class.
    fn owner(&self, name: usize) -> Vec<Sym> {
        let s = self.s;
        let mut k = name.saturating_sub(2);
        if s.is(k, sym::GREATER) {
            k = s.mate(k).unwrap_or(k).saturating_sub(1);
        }
        vec![s.tokens[k].sym]
    }

    /// The name of the record or enum whose specifiers stand in `first..end`.
    fn tag(&self, first: usize, end: usize) -> Option<Sym> {
        let s = self.s;
        let word = (first..end).rfind(|k| {
            s.ident(*k)
                && matches!(s.tokens[*k].sym, sym::STRUCT | sym::CLASS | sym::UNION | sym::ENUM)
                && !(*k > first && s.is(*k - 1, sym::ENUM))
        })?;
        let mut k = word + 1;
        while k < end && (s.is(k, sym::CLASS) || s.is(k, sym::STRUCT) || s.is(k, sym::ALIGNAS)) {
            k = if s.is(k, sym::ALIGNAS) { s.after(k + 1) } else { k + 1 };
        }
        while s.is(k + 1, sym::SCOPE) && k + 2 < end {
            k += 2;
        }
        (k < end && s.ident(k)).then(|| s.tokens[k].sym)
    }

    fn typedef_names(&self, first: usize, stop: usize) -> Vec<Sym> {
        let s = self.s;
        let (end, _) = s.type_end(first + 1, stop - 1);
        self.variable_names(end, stop)
    }

    /// Names declared by the declarators from `i` to the semicolon before `stop`.
    fn variable_names(&self, i: usize, stop: usize) -> Vec<Sym> {
        let s = self.s;
        let mut names = Vec::new();
        for piece in s.split(i, stop.saturating_sub(1).max(i)) {
            if let Some(name) = s.declarator(piece.start, piece.end).name {
                let mut last = name;
                // `T S<U>::name = ..`: an out-of-class definition.
                while s.is(last + 1, sym::SCOPE) || s.is(last + 1, sym::LESS) {
                    if s.is(last + 1, sym::LESS) {
                        match s.mate(last + 1) {
                            Some(close) if s.is(close + 1, sym::SCOPE) => last = close,
                            _ => break,
                        }
                    } else {
                        last += 2;
                    }
                }
                names.push(s.tokens[name].sym);
            }
        }
        names
    }
}

/// `constant T name(args);`: an object, though it reads like a function that is declared ahead.
fn constant_object(s: &Source, scan: &Scan, ty_end: usize, stop: usize) -> bool {
    let Some(open) = scan.params else { return false };
    scan.body.is_none()
        && scan.operator.is_none()
        && open == ty_end + 1
        && s.after(open) + 1 == stop
        && s.tokens[..ty_end].iter().rev().take_while(|t| t.ident() || t.is(sym::SCOPE)).any(|t| t.is(sym::CONSTANT))
}

/// What has been seen of a declaration.
#[derive(Default)]
struct Scan {
    i: usize,
    params: Option<usize>,
    operator: Option<usize>,
    body: Option<(usize, usize)>,
    record: Option<(usize, usize)>,
    record_word: bool,
    init: Option<usize>,
    constructor_list: bool,
}

impl Scan {
    /// Reads one token or group; the end of the declaration where that is reached.
    fn step(&mut self, s: &Source, first: usize, end: usize) -> Option<usize> {
        let i = self.i;
        let t = &s.tokens[i];
        self.i = s.after(i);
        if self.init.is_some() && !t.is(sym::SEMI) {
            return None;
        }
        match t.sym {
            sym::SEMI => return Some(i + 1),
            sym::OPERATOR if t.ident() && self.params.is_none() => {
                self.operator = Some(i);
                self.i = i + 1;
                if s.is(i + 1, sym::LPAREN) && s.is(i + 2, sym::RPAREN) {
                    self.i = i + 3;
                } else {
                    while self.i < end && !s.is(self.i, sym::LPAREN) && !s.is(self.i, sym::SEMI) {
                        self.i += 1;
                    }
                }
            }
            sym::STRUCT | sym::CLASS | sym::UNION | sym::ENUM if t.ident() && self.params.is_none() => {
                self.record_word = true;
            }
            sym::ASSIGN => self.init = Some(i + 1),
            sym::COLON if self.params.is_some() => self.constructor_list = true,
            sym::LPAREN if self.params.is_none() && self.opens_parameters(s, i, first) => self.params = Some(i),
            sym::LBRACE => {
                let close = self.i - 1;
                let initializer =
                    self.constructor_list && (s.is(i - 1, sym::GREATER) || s.ident(i - 1) && i - 1 > first);
                if self.params.is_some() && !initializer {
                    self.body = Some((i, close));
                    return Some(close + 1);
                }
                if self.params.is_none() && self.record_word && self.record.is_none() {
                    self.record = Some((i, close));
                } else if self.params.is_none() {
                    self.init = Some(i);
                }
            }
            _ => {}
        }
        None
    }

    fn opens_parameters(&self, s: &Source, i: usize, first: usize) -> bool {
        if self.record.is_some() || s.is(first, sym::TYPEDEF) {
            return false;
        }
        if self.operator.is_some() {
            return true;
        }
        if i == first {
            return false;
        }
        let before = s.tokens[i - 1];
        if before.is(sym::GREATER) {
            return s.mate(i - 1).is_some_and(|less| less > first && s.ident(less - 1));
        }
        before.ident()
            && !qualifier(before.sym)
            && !matches!(
                before.sym,
                sym::DECLTYPE | sym::ALIGNAS | sym::NOEXCEPT | sym::EXPLICIT | sym::VOID | sym::SIZEOF
            )
            && !s.is(i + 1, sym::STAR)
            && !s.is(i + 1, sym::AMP)
    }
}

impl Source {
    /// The parameters of the template whose angle brackets are `list`.
    pub fn template_params(&self, list: (usize, usize)) -> Vec<TemplateParam> {
        let param = |r: Range<usize>| {
            let assign = r.clone().find(|k| self.is(*k, sym::ASSIGN));
            let head_end = assign.unwrap_or(r.end);
            let default = assign.map_or(r.end..r.end, |a| a + 1..r.end);
            let name = match self.tokens[r.start].sym {
                sym::TYPENAME | sym::CLASS if head_end == r.start + 1 => None,
                sym::TYPENAME | sym::CLASS if self.ident(head_end - 1) && !self.is(head_end - 2, sym::SCOPE) => {
                    Some(head_end - 1)
                }
                sym::TEMPLATE => Some(head_end - 1),
                _ => {
                    let (ty, _) = self.type_end(r.start, head_end);
                    self.declarator(ty, head_end).name
                }
            };
            TemplateParam { name: name.map(|n| self.tokens[n].sym), default }
        };
        self.split(list.0 + 1, list.1).into_iter().filter(|r| !r.is_empty()).map(param).collect()
    }
}
