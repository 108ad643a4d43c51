//! Laws of the tables in `tuned/`, and how dispatch uses a table.

use metallic_device::Device;
use metallic_device::cpu::{Cpu, Options};
use metallic_kernels::DType;
use metallic_kernels::contract::{Flags, Key, Layout};
use metallic_kernels::matmul;
use metallic_ops::tuned::{Bounds, Entry, Header, SCHEMA, Table, TableError, file_name, model, tables};
use metallic_ops::{Dispatch, Skipped};

fn entry(m: Bounds, variants: &[&str]) -> Entry {
    Entry {
        op: "matmul".to_owned(),
        w: "f32".to_owned(),
        act: "f32".to_owned(),
        layout: None,
        flags: "tb".to_owned(),
        batch: Bounds::exactly(1),
        m,
        n: Bounds(1, None),
        k: Bounds(1, None),
        variants: variants.iter().map(|v| (*v).to_owned()).collect(),
    }
}

fn table(entries: Vec<Entry>) -> Table {
    let header = Header {
        schema: SCHEMA,
        device: "cpu".to_owned(),
        model: "a made-up processor".to_owned(),
        description: "a made-up processor, 2 threads".to_owned(),
        commit: "abc".to_owned(),
        started: "2026-01-01T00:00:00Z".to_owned(),
        command: "metallic probe --sweep m=1:16".to_owned(),
    };
    Table { header, entries }
}

fn cpu() -> Cpu {
    Cpu::new(&Options { threads: Some(1), without: vec!["amx".to_owned(), "avx512".to_owned()], ..Options::default() })
        .unwrap()
}

fn key(m: usize) -> Key {
    matmul::key(m, 64, 64, DType::F32, Layout::Row, Flags::NONE)
}

#[test]
fn every_table_keeps_the_laws() {
    for (name, table) in tables().unwrap() {
        table.check(&name).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(model(&table.header.description), table.header.model, "{name}");
        assert_eq!(name, file_name(&table.header.device, &table.header.description));
    }
}

#[test]
fn a_breach_of_each_law_is_told() {
    let check = |entries| table(entries).check("t.json").unwrap_err();
    let all = || entry(Bounds(1, None), &["cpu/plain"]);
    assert!(matches!(check(vec![Entry { op: "matmull".to_owned(), ..all() }]), TableError::Unknown { what: "op", .. }));
    assert!(matches!(check(vec![Entry { w: "f33".to_owned(), ..all() }]), TableError::Unknown { what: "type", .. }));
    let flags = Entry { flags: "tb bogus".to_owned(), ..all() };
    assert!(matches!(check(vec![flags]), TableError::Unknown { what: "flags", .. }));
    let variant = entry(Bounds(1, None), &["cpu/gone"]);
    assert!(matches!(check(vec![variant]), TableError::Unknown { what: "variant", .. }));
    assert!(matches!(check(vec![entry(Bounds(4, Some(3)), &["cpu/plain"])]), TableError::Empty { entry: 0, .. }));
    assert!(matches!(check(vec![entry(Bounds(1, None), &[])]), TableError::Empty { .. }));
    let overlap = vec![entry(Bounds(1, Some(4)), &["cpu/plain"]), entry(Bounds(4, None), &["cpu/plain"])];
    assert!(matches!(check(overlap), TableError::Overlap { first: 0, second: 1, .. }));
    let apart = vec![entry(Bounds(1, Some(3)), &["cpu/plain"]), entry(Bounds(4, None), &["cpu/portable"])];
    table(apart).check("t.json").unwrap();
    for entries in [vec![], vec![all()], vec![all(), all()]] {
        let text = table(entries.clone()).text().unwrap();
        assert_eq!(Table::parse("t.json", &text).unwrap(), table(entries));
    }
    let tomorrow = table(vec![all()]).text().unwrap().replace("\"schema\": 1", "\"schema\": 9");
    assert!(matches!(Table::parse("t.json", &tomorrow), Err(TableError::Schema { got: 9, .. })));
    assert!(matches!(Table::parse("t.json", "{}"), Err(TableError::Parse { .. })));
}

#[test]
fn measured_order_comes_before_the_default_and_after_what_is_forced() {
    let cpu = cpu();
    let limits = || cpu.limits().clone();
    let default = Dispatch::new(limits(), &[]).unwrap();
    assert_eq!(default.choose(&key(1)).unwrap().id(), "cpu/portable");
    assert_eq!(default.tuned(&key(1)), None);
    let of = |ids: &[&str]| table(vec![entry(Bounds(1, Some(4)), ids)]);
    let tuned = default.with_table("t.json", of(&["cpu/plain", "cpu/portable"]));
    assert_eq!(tuned.choose(&key(1)).unwrap().id(), "cpu/plain");
    assert_eq!(tuned.choose(&key(5)).unwrap().id(), "cpu/portable", "outside of the entry the default holds");
    let forced = Dispatch::new(limits(), &["matmul=cpu/portable".to_owned()]).unwrap();
    let forced = forced.with_table("t.json", of(&["cpu/plain"]));
    assert_eq!(forced.choose(&key(1)).unwrap().id(), "cpu/portable");
    assert_eq!(forced.tuned(&key(1)), None);
}

#[test]
fn unknown_and_refusing_variants_are_skipped_aloud() {
    let cpu = cpu();
    let ids = ["cpu/gone", "cpu/amx_bf16", "cpu/plain"];
    let dispatch = Dispatch::new(cpu.limits().clone(), &[]).unwrap();
    let dispatch = dispatch.with_table("t.json", table(vec![entry(Bounds(1, None), &ids)]));
    assert_eq!(dispatch.choose(&key(8)).unwrap().id(), "cpu/plain");
    let tuned = dispatch.tuned(&key(8)).unwrap();
    assert_eq!(tuned.order[0], ("cpu/gone".to_owned(), Err(Skipped::Unknown)));
    assert!(matches!(tuned.order[1].1, Err(Skipped::Refused(_))));
    assert_eq!(tuned.order[2].1, Ok(()));
    let said = tuned.to_string();
    assert!(
        said.starts_with("tuned/t.json, entry 0: cpu/gone skipped (is not in variants.json), cpu/amx_bf16"),
        "{said}"
    );
    assert!(said.ends_with("cpu/plain"), "{said}");
}

#[test]
fn a_newer_table_replaces_what_it_is_about() {
    let mut old = table(vec![entry(Bounds(1, Some(4)), &["cpu/plain"]), entry(Bounds(5, None), &["cpu/plain"])]);
    let mut new = table(vec![entry(Bounds(3, Some(4)), &["cpu/portable"])]);
    new.header.commit = "def".to_owned();
    old.update(new);
    old.check("t.json").unwrap();
    assert_eq!(old.header.commit, "def");
    let bounds: Vec<Bounds> = old.entries.iter().map(|e| e.m).collect();
    assert_eq!(bounds, [Bounds(5, None), Bounds(3, Some(4))]);
}

#[test]
fn another_devices_table_is_not_used() {
    let cpu = cpu();
    let mut mine = table(Vec::new());
    assert!(!mine.is_of(&cpu));
    mine.header.model = model(&cpu.describe()).to_owned();
    assert!(mine.is_of(&cpu));
    mine.header.device = "cuda".to_owned();
    assert!(!mine.is_of(&cpu));
    assert_eq!(file_name("cuda", "NVIDIA H200, sm_90a, 132 multiprocessors"), "cuda-nvidia-h200.json");
}
