//! Kernels written by hand, compiled with their MSL twin's knobs.

use metallic_device::cuda::{Arg, Cuda, Error, Graph, Kernel, Launch, Overlap, Program, Shape, Source, WAIT, assemble};
use metallic_kernels::contract::{Geometry, Variant};

use crate::Any;

/// A hand-written kernel.
pub struct Twin {
    kernel: Kernel,
    shape: Shape,
}

impl Twin {
    /// Compiles `entry` of `text` with the variant's knobs and `macros`, to be launched as the variant is.
    pub fn new(
        cuda: &Cuda,
        (file, text, entry): (&str, &str, &str),
        variant: &Variant,
        program: &Program,
        (macros, geometry): (&[(&str, &str)], Geometry),
    ) -> Result<Twin, Any> {
        let text = assemble(file, text)?;
        let begin = if program.overlap == Overlap::Programmatic { WAIT } else { "" };
        let mut options = vec![format!("--define-macro=READY={begin}")];
        options.extend(variant.knobs.iter().map(|(name, value)| format!("--define-macro={name}={value}")));
        options.extend(macros.iter().map(|(name, value)| format!("--define-macro={name}={value}")));
        let kernel =
            cuda.kernel(&Source { file, entry, symbol: entry, text: &text, options: &options, arch: cuda.arch() })?;
        let shape = Shape { grid: geometry.grid, threads: geometry.threads, shared: 0, overlap: program.overlap };
        Ok(Twin { kernel, shape })
    }

    /// Registers a thread and bytes of local memory.
    pub fn resources(&self) -> (usize, usize) {
        (self.kernel.registers(), self.kernel.local())
    }

    /// A graph of launches, one for each list of arguments.
    pub fn graph(&self, cuda: &Cuda, lists: &[Vec<Arg<'_>>], overlap: Overlap) -> Result<Graph, Error> {
        let launches =
            lists.iter().map(|args| Launch::new(&self.kernel, self.shape, args)).collect::<Result<Vec<_>, _>>()?;
        cuda.stream().capture(|| {
            // SAFETY: the callers' buffers are of the op's sizes, and outlive the graph.
            launches.iter().try_for_each(|l| unsafe { l.run(cuda.stream(), overlap) })
        })
    }
}
