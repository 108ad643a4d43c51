//! Model families: what each computes for a batch of tokens, recorded into a Plan.
//!
//! One file a family, which reads like its model card. Nothing here sees a request, text or a sampler.
//!
//! Shape letters: T tokens of the batch, O rows whose logits are wanted, D model width, H query heads, G key and value
//! heads, K elements of a head, F feed-forward width, V vocabulary, L layers.

mod batch;
mod blocks;
mod llama;
mod qwen2;
mod qwen3;
mod weights;

use crate::{Arch, Config, ModelFile, Progress};
use metallic_device::Device;
use metallic_ops::{Dispatch, Plan};
use std::sync::Arc;

pub use batch::{Activations, Batch};
pub use weights::Weights;

/// A model with its weights on a device.
pub trait Model: Send + Sync {
    /// Records one step: the logits of the batch's output rows into `batch.activations.logits`, and the keys and values of
    /// all its tokens into the cache.
    ///
    /// # Errors
    /// Shapes that do not fit, or no kernel variant.
    fn forward(&self, plan: &mut Plan, batch: &Batch<'_>) -> Result<(), metallic_ops::Error>;
}

/// Why a model could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file lacks a tensor, or the load was cancelled.
    #[error(transparent)]
    Model(#[from] crate::Error),
    /// A tensor's size, a forced variant, or the device.
    #[error(transparent)]
    Ops(#[from] metallic_ops::Error),
}

/// Brings a model's weights to a device, in the layout that its kernels want, releasing the file's pages on the way.
///
/// # Errors
/// A file without weights, no memory, a forced variant that cannot run, or [`crate::Error::Cancelled`].
pub fn load(
    file: &Arc<ModelFile>,
    device: &dyn Device,
    dispatch: &Dispatch,
    progress: Progress<'_>,
) -> Result<Box<dyn Model>, LoadError> {
    let mut weights = Weights::load(file, device, dispatch, progress)?;
    family(file.config(), &mut weights)
}

fn family(config: &Config, weights: &mut Weights) -> Result<Box<dyn Model>, LoadError> {
    Ok(match config.arch {
        Arch::Llama => Box::new(llama::Llama::load(config, weights)?),
        Arch::Qwen2 => Box::new(qwen2::Qwen2::load(config, weights)?),
        Arch::Qwen3 => Box::new(qwen3::Qwen3::load(config, weights)?),
    })
}
