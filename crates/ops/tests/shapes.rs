//! Operands that do not fit are refused when they are recorded: kernels trust what a plan holds.

use std::sync::Arc;

use metallic_device::cpu::{Cpu, Options};
use metallic_device::{Device, Rows, StepRows};
use metallic_ops::{Dispatch, Error, Plan, Tensor, gather, rms_norm, swiglu, vector};

fn plan() -> Plan {
    let device: Arc<dyn Device> = Arc::new(Cpu::new(&Options { threads: Some(1), ..Options::default() }).unwrap());
    let dispatch = Arc::new(Dispatch::new(device.limits().clone(), &[]).unwrap());
    Plan::new(device, dispatch, StepRows { tokens: 4, outputs: 2 })
}

fn refused(result: Result<(), Error>, op: &str, what: &str) {
    let message = result.unwrap_err().to_string();
    assert!(message.starts_with(op) && message.contains(what), "{message}");
}

#[test]
fn operands_that_do_not_fit_are_refused() {
    let mut p = plan();
    let long = p.tensor(Rows::Tokens, 32).unwrap();
    let half = p.tensor(Rows::Tokens, 16).unwrap();
    let last = p.tensor(Rows::Outputs, 16).unwrap();
    let index = p.index(Rows::Outputs).unwrap();
    swiglu(&mut p, &long, &half).unwrap();
    gather(&mut p, &half, &index, &last).unwrap();
    refused(swiglu(&mut p, &half, &half), "swiglu", "columns of g");
    refused(swiglu(&mut p, &long, &last), "swiglu", "rows of an operand");
    // As many rows, but of another count: a step may have four tokens and one output.
    let other = Tensor { domain: Rows::Outputs, ..half.clone() };
    refused(swiglu(&mut p, &long, &other), "swiglu", "row count that an operand follows");
    // The first half of each row of a wider tensor, for a kernel that takes rows side by side.
    refused(gather(&mut p, &long.columns(0, 16), &index, &last), "gather", "stride of an operand");
    let short = Tensor { rows: 3, ..half.clone() };
    let device = Cpu::new(&Options { threads: Some(1), ..Options::default() }).unwrap();
    let w = vector(&device, &[1.0; 16]).unwrap();
    refused(rms_norm(&mut p, &half, &w, 1e-5, &short), "norm", "rows of an operand");
}
