//! Launches given to the device together, though they may be others every time.
//!
//! A launch given to a stream costs the host two to four microseconds of the driver's time. A kernel in a graph costs a tenth of that,
//! also where the graph is made anew: the driver lays out as many kernels once, and is only told what each is from then on.

use std::collections::HashMap;

use cudarc::driver::sys;

use super::driver::call;
use super::error::Error;
use super::kernel::{Launch, Overlap};
use super::stream::{Graph, Stream, Template};

/// Graphs that were laid out, by how many launches each has.
#[derive(Default)]
pub struct Batch {
    known: HashMap<usize, Graph>,
}

impl Batch {
    /// Gives `launches` to `stream`, each after the one before, and does not wait.
    ///
    /// # Safety
    /// As [`Launch::run`], for each.
    ///
    /// # Errors
    /// What the driver says.
    pub unsafe fn run<'a>(
        &mut self,
        stream: &Stream,
        launches: impl IntoIterator<Item = &'a Launch>,
        overlap: Overlap,
    ) -> Result<(), Error> {
        let mut template = Template::new(&stream.context)?;
        let mut last = None;
        let mut count = 0;
        for launch in launches {
            last = Some(template.add(launch, last, overlap).map_err(|e| e.of(launch.kernel().place()))?);
            count += 1;
        }
        if count == 0 {
            return Ok(());
        }
        let graph = match self.known.remove(&count) {
            Some(graph) if graph.update(&template).is_ok() => graph,
            _ => template.instantiate()?,
        };
        let graph = self.known.entry(count).or_insert(graph);
        stream.run(graph)
    }
}

impl Template {
    fn new(context: &std::sync::Arc<super::driver::Context>) -> Result<Template, Error> {
        context.bind()?;
        let mut raw = std::ptr::null_mut();
        // SAFETY: the context is current.
        unsafe { call!(cuGraphCreate(&mut raw, 0)) }?;
        Ok(Template { raw, context: context.clone() })
    }

    /// Adds a launch that runs after `before`.
    fn add(
        &mut self,
        launch: &Launch,
        before: Option<sys::CUgraphNode>,
        overlap: Overlap,
    ) -> Result<sys::CUgraphNode, Error> {
        let mut params = launch.node();
        let mut edge = sys::CUgraphEdgeData { from_port: 0, to_port: 0, type_: 0, reserved: [0; 5] };
        if launch.begins_early(overlap) {
            edge.from_port = sys::CU_GRAPH_KERNEL_NODE_PORT_PROGRAMMATIC as u8;
            edge.type_ = sys::CUgraphDependencyType_enum::CU_GRAPH_DEPENDENCY_TYPE_PROGRAMMATIC as u8;
        }
        let mut node = std::ptr::null_mut();
        let dependencies = before.as_slice();
        // SAFETY: the graph lives, `before` is one of its nodes, and the driver copies the parameters, which are of the sizes that the
        // kernel was compiled with.
        unsafe {
            call!(cuGraphAddNode_v2(&mut node, self.raw, dependencies.as_ptr(), &edge, dependencies.len(), &mut params))
        }?;
        Ok(node)
    }
}

impl Graph {
    /// Makes this graph do what `template` says, which has as many kernels in the same order.
    fn update(&self, template: &Template) -> Result<(), Error> {
        let mut info = sys::CUgraphExecUpdateResultInfo {
            result: sys::CUgraphExecUpdateResult::CU_GRAPH_EXEC_UPDATE_ERROR,
            errorNode: std::ptr::null_mut(),
            errorFromNode: std::ptr::null_mut(),
        };
        // SAFETY: both live; runs that were given to a stream before keep what they had.
        unsafe { call!(cuGraphExecUpdate_v2(self.raw, template.raw, &mut info)) }
    }
}
