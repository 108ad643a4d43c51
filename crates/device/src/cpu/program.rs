//! From a record to native code: the entry's phases, its operands as addresses, its scratch.

use metallic_kernels::contract::{Native, Params, Slice};

use super::library;
use crate::{Binding, Error, Record, Rows};

/// A launch with nothing left to look up.
pub(super) struct Program {
    pub native: Native,
    pub operands: Vec<Slice>,
    pub params: Params,
    pub rows: Rows,
    pub op: &'static str,
    pub max_rows: usize,
    pub scratch: usize,
}

impl Program {
    pub fn resolve(record: &Record, device: &str, workers: usize) -> Result<Program, Error> {
        let v = &record.variant;
        let native = match v.library() {
            Some(library) => library::native(library, &v.entry),
            None => (record.op.native)(&v.entry),
        };
        let native = native.ok_or_else(|| Error::Entry {
            device: device.to_owned(),
            op: record.op.name,
            variant: v.id(),
            entry: v.entry.clone(),
        })?;
        let address = |(operand, b): (usize, &Binding)| match &b.buffer {
            Some(buffer) => {
                let ptr = buffer.host().ok_or_else(|| Error::Foreign {
                    device: device.to_owned(),
                    op: record.op.name,
                    operand,
                })?;
                // SAFETY: the binding lies inside its buffer (checked when it was made).
                Ok(Slice { ptr: unsafe { ptr.add(b.offset) }, len: b.len })
            }
            None => Ok(Slice::NONE),
        };
        let operands = record.operands.iter().enumerate().map(address).collect::<Result<_, Error>>()?;
        Ok(Program {
            native,
            operands,
            params: record.params,
            rows: record.rows,
            op: record.op.name,
            max_rows: record.key.m,
            scratch: (native.scratch)(&record.key, workers),
        })
    }
}
