//! Every Metal variant goes through the front end: its entry exists, takes what its op has, and lowers for both targets.

use std::collections::HashMap;

use metallic_kernels::OPS;
use metallic_kernels::contract::{Case, Op, Target, Variant, source};
use metallic_msl::{AddressSpace, ArgKind, Entry, IncludeForm, Included, LowerOptions, ParseOptions, Unit};

fn unit(variant: &Variant) -> Result<Unit, metallic_msl::Error> {
    let text = variant.text().unwrap();
    let macros: Vec<_> = text.macros.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let loader = |name: &str, _: IncludeForm, from: &str| {
        source::include(from, name).map(|(name, text)| Included { name, text: text.into_owned() })
    };
    let options = ParseOptions { defines: &macros, loader: &loader, metal_version: 310 };
    Unit::parse(&text.path, &text.text, &options)
}

/// Each source once with each set of knobs, and the variants that use it.
fn units() -> Vec<(&'static Op, Unit, Vec<Variant>)> {
    let mut groups: Vec<(&'static Op, Vec<Variant>)> = Vec::new();
    let mut index = HashMap::new();
    for &op in OPS {
        for v in op.variants().unwrap().into_iter().filter(|v| v.target() == Target::Msl) {
            let at = *index.entry((op.name, v.source.clone(), v.knobs.clone())).or_insert(groups.len());
            if at == groups.len() {
                groups.push((op, Vec::new()));
            }
            groups[at].1.push(v);
        }
    }
    let read = |(op, list): (&'static Op, Vec<Variant>)| {
        let unit = unit(&list[0]).unwrap_or_else(|e| panic!("{} {}:\n{e}", op.name, list[0].id()));
        (op, unit, list)
    };
    groups.into_iter().map(read).collect()
}

fn takes_what_its_op_has(op: &Op, case: &Case, variant: &Variant, entry: &Entry) {
    let id = format!("{} {}", op.name, variant.id());
    let operands = case.operands.len() as u32;
    let mut named = [false; 2];
    for arg in &entry.args {
        let ArgKind::Buffer(b) = &arg.kind else { continue };
        if b.index < operands {
            assert_eq!(b.space, AddressSpace::Device, "{id}: operand {}", arg.name);
        } else if b.index == operands {
            assert_eq!(b.element.text, op.params.name, "{id}: arguments");
            assert_eq!(b.element.size, Some(op.params.bytes), "{id}: size of the arguments");
            named[0] = true;
        } else {
            assert_eq!((b.index, b.element.text.as_str()), (operands + 1, "uint"), "{id}: rows");
            named[1] = true;
        }
    }
    assert_eq!(named, [true; 2], "{id} takes no arguments or no rows");
    let threads: u32 = variant.geometry(&case.key).unwrap().threads.iter().product();
    assert_eq!(
        entry.max_threads,
        Some(threads),
        "{id}: max_total_threads_per_threadgroup is not what the manifest launches"
    );
    assert!(entry.threadgroup_bytes.is_none_or(|b| b <= 32 << 10), "{id} takes more than 32 KB of threadgroup memory");
}

#[test]
fn every_entry_takes_what_its_op_has_and_lowers_for_both_targets() {
    let cases: HashMap<&str, Case> = OPS.iter().map(|op| (op.name, (op.cases)().swap_remove(0))).collect();
    for (op, unit, variants) in units() {
        let case = &cases[op.name];
        let operands = case.operands.len() as u32;
        for v in &variants {
            let names: Vec<_> = unit.entries().iter().map(|e| &e.name).collect();
            let entry = unit.entry(&v.entry).unwrap_or_else(|| panic!("{} {}: {names:?}", op.name, v.id()));
            takes_what_its_op_has(op, case, v, entry);
            let options = LowerOptions { entry: &v.entry, constants: &[], inline_buffers: &[operands] };
            for target in [metallic_msl::Target::Host, metallic_msl::Target::Cuda] {
                let lowered = unit.lower(target, &options);
                let lowered = lowered.unwrap_or_else(|e| panic!("{} {} for {target:?}:\n{e}", op.name, v.id()));
                assert!(lowered.text.contains(&lowered.symbol));
            }
        }
    }
}
