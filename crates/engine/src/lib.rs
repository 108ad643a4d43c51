//! From token ids to token ids: sequences, their scheduling, the KV cache, plans and sampling. Synchronous; the only threads
//! are the device's.
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use metallic_engine::{Engine, Event, Options, Request};
//! # use metallic_model::{ModelFile, Progress};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let file = Arc::new(ModelFile::open("model.gguf".as_ref())?);
//! let mut engine = Engine::load(file, &Options::default(), Progress::none())?;
//! engine.add(Request { max_tokens: 16, ..Request::new(vec![1, 2, 3]) })?;
//! let mut events = Vec::new();
//! while !engine.is_idle() {
//!     engine.step(&mut events)?;
//!     for event in &events {
//!         if let Event::Token { id, .. } = event {
//!             println!("{id}");
//!         }
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod engine;
mod error;
mod explain;
mod kv;
mod logits;
mod options;
mod prefix;
mod runner;
mod sampler;
mod scheduler;
mod sequence;
mod stats;
mod text;

pub use engine::Engine;
pub use error::Error;
pub use explain::{Explained, Phase, explain};
pub use metallic_device::cpu::Pinning;
pub use options::{KvType, Options};
pub use sampler::Sampling;
pub use sequence::{Event, FinishReason, Request, SeqId, Usage};
pub use stats::{Stats, peak_rss};
pub use text::{Generation, Piece, TextEnd, TextStream};
