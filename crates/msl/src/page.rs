//! Holds the lists of `docs/msl-support.md` against the code.

use std::collections::{BTreeMap, BTreeSet};

use crate::reflect::BUILTINS;
use crate::unsupported;

/// The rows below the heading row that begins with `head`, each as its cells' text.
fn table(head: &str) -> Vec<Vec<String>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/msl-support.md");
    let page = std::fs::read_to_string(path).unwrap();
    let rows = page.lines().skip_while(|line| !line.starts_with(head)).skip(2).take_while(|line| line.starts_with('|'));
    let rows: Vec<_> = rows.map(|row| row.split('|').map(|cell| cell.trim().to_owned()).collect()).collect();
    assert!(!rows.is_empty(), "no table begins with {head:?}");
    rows
}

/// What stands between backquotes.
fn names(cell: &str) -> BTreeSet<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn functions() {
    let page: BTreeSet<String> = table("| group | names |").iter().flat_map(|row| names(&row[2])).collect();
    assert_eq!(page, unsupported::library_functions());
}

#[test]
fn builtins() {
    let page: BTreeSet<String> = table("| builtin, on").iter().flat_map(|row| names(&row[1])).collect();
    let code: BTreeSet<String> = BUILTINS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(page, code);
}

#[test]
fn refused_types() {
    let rows = table("| what | names |");
    let page: BTreeMap<&str, _> = rows.iter().map(|row| (row[1].as_str(), names(&row[2]))).collect();
    let code = unsupported::TYPES.iter().map(|(what, names)| (*what, names.iter().map(|n| (*n).to_owned()).collect()));
    assert_eq!(page, code.collect());
}
