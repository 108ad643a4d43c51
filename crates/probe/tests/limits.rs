//! The kernels that measure a device: they do the work that is counted, and they compile for GPUs.

use std::sync::Arc;

use metallic_device::cuda::{Compiler, Nvrtc, Origin, Program};
use metallic_device::emulator::{Emulator, Mode};
use metallic_device::{Device, Record, Rows, StepRows};
use metallic_kernels::DType;
use metallic_kernels::contract::{Flags, Key, Layout, Params};
use metallic_kernels::limits::{self, Work};

const WORKS: [Work; 5] = [Work::Write, Work::Read, Work::Copy, Work::Empty, Work::Chain];

#[test]
fn memory_kernels_move_every_byte() {
    let Ok(device) = Emulator::new(Mode::Fast(None)).inspect_err(|why| eprintln!("REFUSED: {why}")) else { return };
    let bytes = (1 << 20) + (3 << 18);
    let (mut x, mut y) = (device.alloc(bytes).unwrap(), device.alloc(bytes).unwrap());
    for work in WORKS {
        for variant in limits::OP.variants().unwrap().into_iter().filter(|v| v.family == work.family()) {
            let len = work.output_bytes(bytes, &variant);
            let rows = work.rows(bytes);
            y.poison().unwrap();
            let (w, act, layout) = (DType::F32, DType::F32, Layout::Row);
            let key = Key { op: "limits", m: rows, n: 1, k: 1, batch: 1, w, act, layout, flags: Flags::NONE };
            let operands = vec![y.slice(0, len), x.whole()];
            let id = variant.id();
            let (op, variant) = (&limits::OP, Arc::new(variant));
            let record = Record { op, variant, key, params: Params::default(), operands, rows: Rows::Tokens };
            let mut queue = device.queue(&[record]).unwrap();
            queue.run(StepRows { tokens: rows, outputs: 0 }).unwrap();
            if let Some(want) = work.sum(bytes) {
                let mut got = vec![0; len];
                y.read(0, &mut got).unwrap();
                let words = got.as_chunks::<4>().0.iter().map(|w| u32::from_le_bytes(*w));
                assert_eq!(words.fold(0, u32::wrapping_add), want, "{id}");
            }
        }
        if work == Work::Write {
            std::mem::swap(&mut x, &mut y);
        }
    }
}

#[test]
fn every_kernel_compiles_for_the_h200() {
    let loud =
        |why: &_| eprintln!("REFUSED, nothing was compiled: {why}; tools/install_nvrtc.sh installs the compiler");
    let Ok(nvrtc) = Nvrtc::load().inspect_err(loud) else { return };
    let compiler = Compiler::with(nvrtc, None);
    for variant in limits::OP.variants().unwrap() {
        let program = Program::of(&limits::OP, &variant, (9, 0)).unwrap();
        let built = compiler.build(&program.source("sm_90a")).unwrap_or_else(|e| panic!("{}: {e:?}", variant.id()));
        if let Origin::Compiled { log, .. } = built.origin {
            assert!(!log.contains("serialized"), "{}: {log}", variant.id());
        }
    }
}
