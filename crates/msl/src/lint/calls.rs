//! Recursion and pointers to functions: neither exists on the GPU.

use std::collections::HashMap;

use crate::Unit;
use crate::lint::Findings;
use crate::parse::{Function, ItemKind, qualifier};
use crate::token::{Sym, sym};

/// A function that calls can be followed into.
struct Node {
    name: Sym,
    body: (usize, usize),
    /// Fewest and most arguments.
    arity: (usize, usize),
    template: bool,
    /// Callees, with the token of the call.
    calls: Vec<(usize, usize)>,
}

pub(super) fn check(unit: &Unit, out: &mut Findings) {
    pointers(unit, out);
    let mut nodes = nodes(unit);
    let mut by_name: HashMap<Sym, Vec<usize>> = HashMap::new();
    for (n, node) in nodes.iter().enumerate() {
        by_name.entry(node.name).or_default().push(n);
    }
    for n in 0..nodes.len() {
        let (open, close) = nodes[n].body;
        let calls = (open..close).filter_map(|k| callee(unit, k, &nodes, &by_name).map(|c| (c, k))).collect();
        nodes[n].calls = calls;
    }
    let mut state = vec![Visit::New; nodes.len()];
    for n in 0..nodes.len() {
        walk(unit, &nodes, n, &mut state, out);
    }
}

/// Free functions with a body. A `constexpr` function may recurse while the compiler evaluates it.
fn nodes(unit: &Unit) -> Vec<Node> {
    let s = &unit.program.source;
    let items = unit.program.items.items.iter();
    let functions = items.filter_map(|item| match &item.kind {
        ItemKind::Function(Function { name, is_operator: false, open, body: Some(body), qualified: false }) => {
            let class = unit.program.items.scopes[item.scope].class;
            let constexpr = (item.range.start..*name).any(|k| s.is(k, sym::CONSTEXPR));
            (!class && !constexpr).then_some((item, *name, *open, *body))
        }
        _ => None,
    });
    let nodes = functions.filter_map(|(item, name, open, body)| {
        let params = s.parameters(open);
        if params.iter().any(|p| p.range.clone().any(|k| s.is(k, sym::ELLIPSIS))) {
            return None;
        }
        let required = params.iter().filter(|p| !p.range.clone().any(|k| s.is(k, sym::ASSIGN))).count();
        let template = item.template.is_some();
        Some(Node { name: s.tokens[name].sym, body, arity: (required, params.len()), template, calls: Vec::new() })
    });
    nodes.collect()
}

/// The one function that the call at token `k` can mean. Where overloads leave a choice, or template arguments make
/// another instance of the same template, nothing is known.
fn callee(unit: &Unit, k: usize, nodes: &[Node], by_name: &HashMap<Sym, Vec<usize>>) -> Option<usize> {
    let s = &unit.program.source;
    if !s.ident(k) || k > 0 && [sym::DOT, sym::ARROW, sym::SCOPE].iter().any(|w| s.is(k - 1, *w)) {
        return None;
    }
    let list = by_name.get(&s.tokens[k].sym)?;
    let explicit = s.is(k + 1, sym::LESS) && s.mate(k + 1).is_some();
    let open = if explicit { s.mate(k + 1)? + 1 } else { k + 1 };
    if !s.is(open, sym::LPAREN) {
        return None;
    }
    let count = s.split(open + 1, s.mate(open)?).iter().filter(|r| !r.is_empty()).count();
    let mut fitting = list.iter().copied().filter(|n| (nodes[*n].arity.0..=nodes[*n].arity.1).contains(&count));
    let only = fitting.next()?;
    (fitting.next().is_none() && !(explicit && nodes[only].template)).then_some(only)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Visit {
    New,
    Open,
    Done,
}

/// Follows calls from `start` with a stack of its own, so that a long chain of functions ends nothing.
fn walk(unit: &Unit, nodes: &[Node], start: usize, state: &mut [Visit], out: &mut Findings) {
    if state[start] != Visit::New {
        return;
    }
    let name = |n: usize| unit.program.source.spellings.text(nodes[n].name);
    state[start] = Visit::Open;
    let mut path = vec![(start, 0)];
    while let Some((n, next)) = path.last_mut() {
        let Some(&(to, token)) = nodes[*n].calls.get(*next) else {
            state[*n] = Visit::Done;
            path.pop();
            continue;
        };
        *next += 1;
        match state[to] {
            Visit::New => {
                state[to] = Visit::Open;
                path.push((to, 0));
            }
            Visit::Open => {
                let from = path.iter().position(|(p, _)| *p == to).unwrap_or(0);
                let mut chain: Vec<&str> = path[from..].iter().map(|(p, _)| name(*p)).collect();
                chain.push(name(to));
                out.error(unit, "recursion", token, format!("recursion: {}", chain.join(" calls ")));
            }
            Visit::Done => {}
        }
    }
}

/// `float (*f)(float)`, as a variable, a parameter or a type. A template may take a function.
fn pointers(unit: &Unit, out: &mut Findings) {
    let s = &unit.program.source;
    let templates: Vec<_> = unit.program.items.items.iter().filter_map(|i| i.template).collect();
    for i in 1..s.tokens.len() {
        if templates.iter().any(|(open, close)| (open..close).contains(&&i))
            || !(s.is(i, sym::LPAREN) && s.is(i + 1, sym::STAR))
        {
            continue;
        }
        let Some(close) = s.mate(i) else { continue };
        let word = s.tokens[i - 1];
        let typed = word.ident() && !qualifier(word.sym) && word.sym != sym::RETURN && word.sym != sym::SIZEOF
            || word.is(sym::GREATER)
            || word.is(sym::STAR);
        let named = close == i + 2 || close == i + 3 && s.ident(i + 2);
        if typed && named && s.is(close + 1, sym::LPAREN) && declares(unit, i) {
            out.error(unit, "function-pointer", i, "Metal has no pointers to functions");
        }
    }
}

/// Whether what stands in front of `( * name ) (` is a type and not a call's operand.
fn declares(unit: &Unit, i: usize) -> bool {
    let s = &unit.program.source;
    let mut k = i;
    while k > 0 && (s.ident(k - 1) || s.is(k - 1, sym::STAR) || s.is(k - 1, sym::SCOPE)) {
        k -= 1;
    }
    let edge = k == 0 || [sym::SEMI, sym::LBRACE, sym::RBRACE, sym::LPAREN, sym::COMMA].iter().any(|w| s.is(k - 1, *w));
    let (end, name) = s.type_end(k, i);
    let typedef = s.is(k, sym::TYPEDEF);
    edge && (typedef || end == i && !name.is_empty() && is_type(unit, name.start))
}

fn is_type(unit: &Unit, token: usize) -> bool {
    let program = &unit.program;
    let t = program.source.tokens[token];
    let own = |kind: &ItemKind| matches!(kind, ItemKind::Record { .. } | ItemKind::Alias);
    t.is(sym::VOID)
        || program.named(t.sym).any(|item| own(&item.kind))
        || program.layout(&program.source.tokens[token..token + 1], &Default::default()).is_some()
}
