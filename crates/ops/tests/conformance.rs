//! Every op x variant x case on the CPU device, against the op's oracle, with one and with several workers.
//!
//! Outputs are poisoned before each run, inputs must stay as they were, bytes that no expectation names must keep the poison,
//! and results must not depend on the number of workers.

use std::sync::Arc;

use metallic_device::cpu::{Cpu, Options, Pinning};
use metallic_device::{Binding, Device, Record, Rows, StepRows};
use metallic_kernels::contract::{Case, Layout, Op, Params, Role, Variant};
use metallic_kernels::matmul::{MatmulParams, pack};
use metallic_kernels::{OPS, quant};

/// A pattern no kernel writes by chance, and NaN in f32 and f16.
const POISON: u8 = 0xFF;

fn cpu(threads: usize) -> Cpu {
    Cpu::new(&Options { threads: Some(threads), pinning: Pinning::Free, without: vec![] }).unwrap()
}

/// The case as the variant wants it: the stored operand packed, the key and the arguments saying so.
fn arrange(case: &Case, variant: &Variant) -> Option<Case> {
    let mut case = case.clone();
    if case.packed.is_empty() {
        return Some(case);
    }
    let layout = match variant.supports.layout {
        Some(l) => l,
        None => case.key.layout,
    };
    let (dtype, n, k) = (case.key.w, case.key.n, case.key.k);
    if layout == Layout::Row {
        return Some(case);
    }
    let bytes = pack::bytes(dtype, layout, n, k)?;
    for at in case.packed.clone() {
        let rows = &case.operands[at].bytes;
        if rows.is_empty() {
            continue;
        }
        let mut packed = vec![0x55u8; bytes];
        pack::pack(dtype, layout, rows, n, k, &mut packed);
        case.operands[at].bytes = packed;
    }
    case.key.layout = layout;
    if case.key.op == "matmul" {
        let p = *case.params.get::<MatmulParams>();
        case.params = Params::new(&MatmulParams { layout: layout.number(), ..p });
    }
    Some(case)
}

fn run(device: &Cpu, op: &'static Op, variant: &Arc<Variant>, case: &Case) -> Vec<Vec<u8>> {
    let buffers: Vec<_> = case
        .operands
        .iter()
        .map(|o| {
            let b = device.alloc(o.bytes.len()).unwrap();
            let start = if o.role == Role::Output { vec![POISON; o.bytes.len()] } else { o.bytes.clone() };
            b.write(0, &start).unwrap();
            b
        })
        .collect();
    let operands = buffers.iter().map(|b| if b.is_empty() { Binding::default() } else { b.whole() }).collect();
    let record =
        Record { op, variant: variant.clone(), key: case.key, params: case.params, operands, rows: Rows::Tokens };
    let mut queue = device.queue(&[record]).unwrap();
    queue.run(StepRows { tokens: case.rows, outputs: 0 }).unwrap();
    let read = |b: &metallic_device::Buffer| {
        let mut bytes = vec![0; b.len()];
        b.read(0, &mut bytes).unwrap();
        bytes
    };
    buffers.iter().map(read).collect()
}

fn check(op: &Op, variant: &Variant, case: &Case, got: &[Vec<u8>]) -> Result<f64, String> {
    let mut worst = 0.0f64;
    for (o, (operand, bytes)) in case.operands.iter().zip(got).enumerate() {
        let before = &operand.bytes;
        match operand.role {
            Role::Input if before != bytes => return Err(format!("input {o} was written")),
            Role::Input => continue,
            Role::Output | Role::InOut => {}
        }
        let Some(expect) = case.expect.iter().find(|e| e.operand == o) else { continue };
        let row = operand.dtype.block_bytes();
        let mut values = vec![0.0f32; bytes.len() / row * operand.dtype.block()];
        quant::dequantize(operand.dtype, bytes, &mut values).map_err(|e| e.to_string())?;
        let all: Vec<usize>;
        let at = if expect.at.is_empty() {
            all = (0..expect.value.len()).collect();
            &all
        } else {
            &expect.at
        };
        for ((&i, &want), &scale) in at.iter().zip(&expect.value).zip(&expect.scale) {
            let error = (f64::from(values[i]) - want).abs();
            let allowed = (op.budget)(case.key.w) * scale;
            if error.is_nan() || error > allowed {
                let got = values[i];
                return Err(format!("operand {o} element {i}: got {got}, want {want}, error {error:e} > {allowed:e}"));
            }
            worst = worst.max(if allowed > 0.0 { error / allowed } else { 0.0 });
        }
        if operand.role == Role::Output && operand.dtype.block() == 1 {
            let mut named = vec![false; values.len()];
            at.iter().for_each(|&i| named[i] = true);
            if let Some(i) =
                (0..values.len()).find(|&i| !named[i] && bytes[row * i..row * (i + 1)] != [POISON; 4][..row])
            {
                return Err(format!("operand {o} element {i} is outside of the result, but was written"));
            }
        }
    }
    let _ = variant;
    Ok(worst)
}

#[test]
fn every_variant_meets_every_case_it_accepts() {
    let devices = [cpu(1), cpu(3)];
    let mut failures = Vec::new();
    for op in OPS {
        for variant in op.variants().unwrap() {
            let variant = Arc::new(variant);
            let (mut ran, mut refused, mut worst) = (0, 0, 0.0f64);
            let mut reason = String::new();
            for case in (op.cases)() {
                let Some(case) = arrange(&case, &variant) else {
                    refused += 1;
                    continue;
                };
                if let Err(why) = variant.supports(&case.key, devices[0].limits()) {
                    refused += 1;
                    reason = why.to_string();
                    continue;
                }
                ran += 1;
                let one = run(&devices[0], op, &variant, &case);
                match check(op, &variant, &case, &one) {
                    Ok(w) => worst = worst.max(w),
                    Err(e) => failures.push(format!("{} {} [{}]: {e}", op.name, variant.id(), case.name)),
                }
                if run(&devices[1], op, &variant, &case) != one {
                    failures.push(format!("{} {} [{}]: depends on the workers", op.name, variant.id(), case.name));
                }
            }
            println!(
                "{:10} {:24} {ran:4} cases, worst {worst:.3} of the budget, {refused} refused {reason}",
                op.name,
                variant.id()
            );
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures[..failures.len().min(40)].join("\n"));
}

#[test]
fn every_case_has_a_variant_that_accepts_it() {
    let device = cpu(1);
    for op in OPS {
        let variants = op.variants().unwrap();
        for case in (op.cases)() {
            let ok = variants.iter().any(|v| v.supports(&case.key, device.limits()).is_ok());
            assert!(ok, "{}: nothing runs {}", op.name, case.name);
        }
    }
}

#[test]
fn manifests_are_lawful() {
    for op in OPS {
        let variants = op.variants().unwrap();
        let mut names: Vec<_> = variants.iter().map(|v| v.id()).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), variants.len(), "{}: a name occurs twice", op.name);
        for v in &variants {
            let native = v.source.ends_with(".rs");
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../kernels");
            let source = format!("{folder}/{}/{}", op.name, v.source);
            assert!(std::path::Path::new(&source).exists(), "{} names {source}", v.id());
            assert!(!v.note.is_empty(), "{} has no note", v.id());
            if native && cfg!(target_arch = "x86_64") {
                assert!((op.native)(&v.entry).is_some(), "{} {} has no entry {}", op.name, v.id(), v.entry);
            }
        }
    }
}
