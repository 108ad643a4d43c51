//! Apple's matrix products as variants: `MPSMatrixMultiplication`, which makes encoders of its own.

use metallic_kernels::DType;
use metallic_kernels::matmul::MatmulParams;
use objc2::AnyThread;
use objc2::rc::Retained;
use objc2::runtime::ProtocolObject;
use objc2_foundation::NSString;
use objc2_metal::{MTLCommandBuffer, MTLDevice};
use objc2_metal_performance_shaders::{
    MPSDataType, MPSMatrix, MPSMatrixDescriptor, MPSMatrixMultiplication, MPSSupportsMTLDevice,
};

use super::NAME;
use super::buffer::Memory;
use super::device::{Context, failed};
use crate::{Error, Record, Rows};

/// Its name, as a feature of the device and as a source of variants.
pub(super) const LIBRARY: &str = "mps";

/// What runs a product of this library.
pub(super) const ENTRY: &str = "MPSMatrixMultiplication";

/// Whether the library runs on `device`.
pub(super) fn supports(device: &ProtocolObject<dyn MTLDevice>) -> bool {
    // SAFETY: it only asks the device what it is.
    unsafe { MPSSupportsMTLDevice(Some(device)) }
}

/// A product with its operands.
pub(super) struct Call {
    kernel: Retained<MPSMatrixMultiplication>,
    y: Retained<MPSMatrix>,
    x: Retained<MPSMatrix>,
    w: Retained<MPSMatrix>,
    pub rows: Rows,
    pub max_rows: usize,
}

/// A matrix's place and shape; a row is `stride` elements.
struct Shape {
    operand: usize,
    rows: usize,
    cols: usize,
    stride: usize,
}

impl Call {
    /// Prepares `record`, which multiplies matrices of one type.
    pub fn new(context: &Context, record: &Record) -> Result<Call, Error> {
        let key = &record.key;
        let kind = match (record.op.name, record.variant.library(), key.w, key.act) {
            ("matmul", Some(LIBRARY), DType::F16, DType::F16) => MPSDataType::Float16,
            ("matmul", Some(LIBRARY), DType::F32, DType::F32) => MPSDataType::Float32,
            _ => return Err(failed(ENTRY, format!("{key} is none of the library's products"))),
        };
        let p: &MatmulParams = record.params.get();
        let (m, n, k) = (key.m, key.n, key.k);
        let shape = |operand, rows, cols, stride| Shape { operand, rows, cols, stride };
        let matrix = |shape| matrix(record, kind, key.act.block_bytes(), &shape);
        let (turned_x, turned_w) = (p.transpose_a != 0, p.transpose_b != 0);
        let y = matrix(shape(0, m, n, p.ldy as usize))?;
        let x = if turned_x { shape(1, k, m, p.ldx as usize) } else { shape(1, m, k, p.ldx as usize) };
        let w = if turned_w { shape(2, n, k, k) } else { shape(2, k, n, n) };
        let beta = if p.accumulate != 0 { f64::from(p.beta) } else { 0.0 };
        // SAFETY: the device is one that the library supports, and sizes are those of the matrices.
        let kernel = unsafe {
            MPSMatrixMultiplication::initWithDevice_transposeLeft_transposeRight_resultRows_resultColumns_interiorColumns_alpha_beta(
                MPSMatrixMultiplication::alloc(),
                &context.device.0,
                turned_x,
                turned_w,
                m,
                n,
                k,
                f64::from(p.alpha),
                beta,
            )
        };
        // SAFETY: a string, which is copied.
        unsafe { kernel.setLabel(Some(&NSString::from_str(&record.variant.id()))) };
        Ok(Call { kernel, y, x: matrix(x)?, w: matrix(w)?, rows: record.rows, max_rows: key.m })
    }

    /// Encodes it into `commands`, in which no encoder is open.
    pub fn encode(&self, commands: &ProtocolObject<dyn MTLCommandBuffer>) {
        // SAFETY: matrices have the sizes that the kernel was made with, and the queue's records keep their buffers.
        unsafe {
            self.kernel.encodeToCommandBuffer_leftMatrix_rightMatrix_resultMatrix(commands, &self.x, &self.w, &self.y);
        }
    }
}

fn matrix(record: &Record, kind: MPSDataType, size: usize, shape: &Shape) -> Result<Retained<MPSMatrix>, Error> {
    let foreign = || Error::Foreign { device: NAME.to_owned(), op: record.op.name, operand: shape.operand };
    let binding = record.operands.get(shape.operand).ok_or_else(foreign)?;
    let memory = binding.buffer.as_ref().and_then(|b| b.memory::<Memory>()).ok_or_else(foreign)?;
    let needed = ((shape.rows - 1) * shape.stride + shape.cols) * size;
    if needed > binding.len {
        let why = format!("operand {} has {} bytes, {needed} are needed", shape.operand, binding.len);
        return Err(failed("MPSMatrix", why));
    }
    // SAFETY: the buffer has as many bytes as the matrix, as checked above.
    Ok(unsafe {
        let descriptor = MPSMatrixDescriptor::matrixDescriptorWithRows_columns_rowBytes_dataType(
            shape.rows,
            shape.cols,
            shape.stride * size,
            kind,
        );
        MPSMatrix::initWithBuffer_offset_descriptor(MPSMatrix::alloc(), &memory.buffer.0, binding.offset, &descriptor)
    })
}
