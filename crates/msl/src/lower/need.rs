//! Which declarations an entry needs, by the names that it and they mention.

use std::collections::HashSet;
use std::ops::Range;

use crate::parse::{Item, ItemKind};
use crate::program::Program;
use crate::token::{Sym, sym};

/// The items of namespace scope that are needed, and every name they mention.
pub(crate) struct Needed {
    pub items: HashSet<usize>,
    pub names: HashSet<Sym>,
}

impl Program {
    /// What the function item `root` needs, with the names in `instance`.
    pub fn needed(&self, root: usize, instance: Range<usize>) -> Needed {
        let mut needed = Needed { items: HashSet::new(), names: HashSet::new() };
        let mut queue = vec![root];
        self.mention(instance, &mut needed, &mut queue);
        loop {
            while let Some(i) = queue.pop() {
                if needed.items.insert(i) {
                    self.mention(self.item(i).range.clone(), &mut needed, &mut queue);
                }
            }
            // Operators and deduction are found by type, not by name.
            let operators = self.items.items.iter().enumerate().filter(|(i, item)| {
                !needed.items.contains(i) && !self.items.scopes[item.scope].class && self.found_by_type(item, &needed)
            });
            queue.extend(operators.map(|(i, _)| i));
            if queue.is_empty() {
                return needed;
            }
        }
    }

    fn mention(&self, range: Range<usize>, needed: &mut Needed, queue: &mut Vec<usize>) {
        for t in self.tokens(range) {
            if t.ident() && needed.names.insert(t.sym) {
                queue.extend(self.by_name.get(&t.sym).into_iter().flatten().copied().filter(|i| self.by_mention(*i)));
                if t.sym == sym::FOR {
                    for name in ["begin", "end"].iter().filter_map(|n| self.source.spellings.find(n)) {
                        queue.extend(self.by_name.get(&name).into_iter().flatten().copied());
                    }
                }
            }
        }
    }

    /// Operators share one name; [`Program::found_by_type`] decides on them.
    fn by_mention(&self, item: usize) -> bool {
        !matches!(&self.item(item).kind, ItemKind::Function(f) if f.is_operator && !f.qualified)
    }

    /// Operators and specializations of the library's templates are needed where all records that they are about are.
    fn found_by_type(&self, item: &Item, needed: &Needed) -> bool {
        let about = match &item.kind {
            ItemKind::Function(f) if f.is_operator && !f.qualified => f.open..self.source.after(f.open),
            ItemKind::Record { body: Some(body) } => match self.library_specialization(item) {
                Some(name) => name + 1..body.0,
                None => return false,
            },
            _ => return false,
        };
        self.tokens(about).iter().filter(|t| t.ident()).all(|t| {
            let records = self.named(t.sym).any(|i| matches!(i.kind, ItemKind::Record { .. }));
            !records || needed.names.contains(&t.sym)
        })
    }

    /// The token of the name where a record specializes a template that the source does not declare.
    pub fn library_specialization(&self, item: &Item) -> Option<usize> {
        let ItemKind::Record { body: Some(body) } = item.kind else { return None };
        let start = item.template?.1 + 1;
        let name = (start..body.0).find(|k| self.source.is(*k, sym::LESS))?.checked_sub(1)?;
        let ours = self.named(self.source.tokens[name].sym).any(|i| !self.specializes(i));
        (self.source.ident(name) && !ours).then_some(name)
    }

    /// Whether a record is a specialization: template arguments stand after its name.
    fn specializes(&self, item: &Item) -> bool {
        let ItemKind::Record { body } = item.kind else { return false };
        let start = item.template.map_or(item.range.start, |t| t.1 + 1);
        let end = body.map_or(item.range.end, |b| b.0);
        let head = (start..end).take_while(|k| !self.source.is(*k, sym::COLON));
        head.clone().any(|k| self.source.is(k, sym::LESS) && self.source.ident(k - 1))
    }
}
