//! Libraries' variants beside our own, in one queue on a GPU: what conformance, which runs one launch at a time, does not see.

use std::sync::Arc;

use metallic_device::cuda::{Cuda, Options};
use metallic_device::{Binding, Buffer, Device, Error, Record, Rows, StepRows};
use metallic_kernels::contract::{Case, Variant};
use metallic_kernels::matmul::OP;
use metallic_ops::conformance;

const ROWS: StepRows = StepRows { tokens: 64, outputs: 0 };

/// A GPU with the feature, or a loud word that this test did not run.
fn with(feature: &str) -> Option<Cuda> {
    let refused = |why: String| eprintln!("REFUSED: {why}");
    let cuda = Cuda::new(&Options { libraries: true, ..Options::default() });
    let cuda = cuda.inspect_err(|e| refused(e.to_string())).ok()?;
    if cuda.limits().features.contains(&feature) {
        return Some(cuda);
    }
    refused(cuda.describe());
    None
}

fn variant(id: &str) -> Variant {
    OP.variants().unwrap().into_iter().find(|v| v.id() == id).unwrap()
}

/// A case without a bias, which every library takes.
fn case() -> Case {
    let plain = |c: &Case| c.name.starts_with("matmul m=64 n=64 k=64 f16/row act=f16 tb");
    (OP.cases)().into_iter().find(plain).unwrap()
}

/// The case's launch, and the memory of its operands.
fn record(cuda: &Cuda, case: &Case, variant: Variant) -> (Record, Vec<Buffer>) {
    let fill = |bytes: &Vec<u8>| {
        let buffer = cuda.alloc(bytes.len()).unwrap();
        buffer.write(0, bytes).unwrap();
        buffer
    };
    let buffers: Vec<_> = case.operands.iter().map(|o| fill(&o.bytes)).collect();
    let operands = buffers.iter().map(|b| if b.is_empty() { Binding::default() } else { b.whole() }).collect();
    let (key, params) = (case.key, case.params);
    (Record { op: &OP, variant: Arc::new(variant), key, params, operands, rows: Rows::Tokens }, buffers)
}

#[test]
fn a_queue_runs_libraries_between_kernels() {
    let Some(cuda) = with("cublas") else { return };
    let case = case();
    let ours = OP
        .variants()
        .unwrap()
        .into_iter()
        .find(|v| v.library().is_none() && v.supports(&case.key, cuda.limits()).is_ok());
    let ids = [ours.unwrap(), variant("cublas/baseline"), variant("cublaslt/baseline")];
    let made: Vec<_> = ids.iter().chain(&ids).map(|v| record(&cuda, &case, v.clone())).collect();
    let records: Vec<_> = made.iter().map(|(record, _)| record.clone()).collect();
    let mut queue = cuda.queue(&records).unwrap();
    for _ in 0..3 {
        made.iter().for_each(|(_, buffers)| buffers[0].poison().unwrap());
        queue.run(ROWS).unwrap();
        for (record, buffers) in &made {
            let read = |b: &Buffer| {
                let mut bytes = vec![0; b.len()];
                b.read(0, &mut bytes).map(|()| bytes)
            };
            let got: Vec<_> = buffers.iter().map(|b| read(b).unwrap()).collect();
            conformance::check(&OP, &case, &got).unwrap_or_else(|e| panic!("{}: {e}", record.variant.id()));
        }
    }
    let mut seconds = vec![0.0; records.len()];
    queue.profile(ROWS, &mut seconds).unwrap();
    assert!(seconds.iter().all(|&s| s > 0.0 && s < 1.0), "{seconds:?}");
    let launched = queue.launched();
    let entries: Vec<_> = launched[1..3].iter().map(|l| (l.entry.as_str(), l.grid)).collect();
    assert_eq!(entries, [("cublasGemmEx", [0; 3]), ("cublasLtMatmul", [0; 3])]);
    assert!(launched[0].grid[0] > 0 && launched.iter().zip(&records).all(|(l, r)| l.variant == r.variant.id()));
}

#[test]
fn a_search_ends_at_the_last_algorithm() {
    let Some(cuda) = with("cublaslt") else { return };
    let (case, mut variant) = (case(), variant("cublaslt/search"));
    variant.knobs.insert("ALGO".to_owned(), 100);
    let end = cuda.queue(&[record(&cuda, &case, variant.clone()).0]).err();
    let Some(Error::NoAlgorithm { asked: 100, count, .. }) = end else { panic!("{end:?}") };
    assert!((1..=64).contains(&count), "{count} algorithms");
    variant.knobs.insert("ALGO".to_owned(), count as i64 - 1);
    let (last, _operands) = record(&cuda, &case, variant);
    cuda.queue(&[last]).unwrap().run(ROWS).unwrap();
}

#[test]
fn a_device_without_libraries_refuses_them_with_a_reason() {
    let Some(_) = with("cublas") else { return };
    let cuda = Cuda::new(&Options::default()).unwrap();
    let (case, variant) = (case(), variant("cublas/baseline"));
    assert!(variant.supports(&case.key, cuda.limits()).is_err());
    let refused = cuda.queue(&[record(&cuda, &case, variant).0]).err();
    assert!(matches!(refused, Some(Error::Unavailable { .. })), "{refused:?}");
}
