//! The weights of a model file on a device, by name.

use super::LoadError;
use crate::progress::Meter;
use crate::{Error, ModelFile, Progress, Tensor};
use metallic_device::{Buffer, Device};
use metallic_kernels::quant;
use metallic_ops::{Dispatch, Linear, Source, Weight};
use std::collections::HashMap;
use std::sync::Arc;

/// Everything loaded from a file and not yet taken by a family.
pub struct Weights<'a> {
    device: &'a dyn Device,
    matrices: HashMap<String, Weight>,
    vectors: HashMap<String, Buffer>,
}

impl<'a> Weights<'a> {
    /// Loads every tensor, in the order of the file. The pages of what was packed elsewhere go back to the system at once,
    /// so that the file and the packed weights never lie in memory both.
    ///
    /// # Errors
    /// As [`super::load`].
    pub fn load(
        file: &Arc<ModelFile>,
        device: &'a dyn Device,
        dispatch: &Dispatch,
        progress: Progress<'_>,
    ) -> Result<Weights<'a>, LoadError> {
        let meter = Meter::new(progress, file.tensors().map(|t| t.byte_len() as u64).sum());
        let mut weights = Weights { device, matrices: HashMap::new(), vectors: HashMap::new() };
        for info in file.tensors() {
            meter.check()?;
            let Some(tensor) = file.tensor(&info.name) else { continue };
            if info.shape.len() < 2 {
                weights.vectors.insert(info.name.clone(), vector(&tensor, device)?);
                meter.advance(info.byte_len());
                continue;
            }
            let (n, k) = info.rows_cols();
            let source = Source {
                name: &info.name,
                dtype: info.dtype,
                n,
                k,
                bytes: tensor.bytes,
                owner: file.clone() as Arc<dyn std::any::Any + Send + Sync>,
            };
            let packed = std::sync::atomic::AtomicUsize::new(0);
            let weight = Weight::load(device, dispatch, &source, &|range| {
                packed.fetch_add(range.len(), std::sync::atomic::Ordering::Relaxed);
                meter.advance(range.len());
                file.release_range(&info.name, range);
            })?;
            let packed = packed.into_inner();
            if packed > 0 {
                file.release(&info.name);
            }
            meter.advance(info.byte_len().saturating_sub(packed));
            weights.matrices.insert(info.name.clone(), weight);
        }
        Ok(weights)
    }

    /// Takes the matrix `name`.
    ///
    /// # Errors
    /// There is none of that name left.
    pub fn matrix(&mut self, name: &str) -> Result<Weight, LoadError> {
        self.matrices.remove(name).ok_or_else(|| missing(name, "a matrix"))
    }

    /// Takes the vector `name`, as f32.
    ///
    /// # Errors
    /// There is none of that name left.
    pub fn vector(&mut self, name: &str) -> Result<Buffer, LoadError> {
        self.vectors.remove(name).ok_or_else(|| missing(name, "a vector"))
    }

    /// Takes the matrices `PREFIX.NAME.weight`, each with its `PREFIX.NAME.bias` where there is one, to write side by side.
    ///
    /// # Errors
    /// A matrix is missing.
    pub fn linear(&mut self, prefix: &str, names: &[&str]) -> Result<Linear, LoadError> {
        let part = |name: &&str| {
            let weight = self.matrix(&format!("{prefix}.{name}.weight"))?;
            Ok((weight, self.vectors.remove(&format!("{prefix}.{name}.bias"))))
        };
        Ok(Linear { parts: names.iter().map(part).collect::<Result<_, LoadError>>()? })
    }

    /// As [`Weights::linear`], as one matrix where that is possible.
    ///
    /// # Errors
    /// A matrix is missing, or no memory.
    pub fn joined(&mut self, prefix: &str, names: &[&str]) -> Result<Linear, LoadError> {
        let device = self.device;
        Ok(self.linear(prefix, names)?.join(device)?)
    }
}

fn missing(name: &str, expected: &str) -> LoadError {
    Error::tensor(name, expected, "no such tensor").into()
}

fn vector(tensor: &Tensor<'_>, device: &dyn Device) -> Result<Buffer, LoadError> {
    let name = &tensor.info.name;
    let mut values = vec![0.0f32; tensor.info.elements()];
    quant::dequantize(tensor.info.dtype, tensor.bytes, &mut values)
        .map_err(|source| Error::Quant { name: name.clone(), source })?;
    Ok(metallic_ops::vector(device, &values)?)
}
