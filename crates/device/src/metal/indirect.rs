//! A plan recorded once: an indirect command buffer with every launch's pipeline, buffers and geometry.

use std::sync::Arc;

use objc2::runtime::ProtocolObject;
use objc2_foundation::{NSRange, NSString};
use objc2_metal::{
    MTLBuffer, MTLComputeCommandEncoder, MTLDevice, MTLIndirectCommandBuffer, MTLIndirectCommandBufferDescriptor,
    MTLIndirectCommandType, MTLIndirectComputeCommand, MTLResource, MTLResourceOptions, MTLResourceUsage,
};

use super::device::{Context, Held, refused};
use super::queue::{Launch, params_slot, rows_slot};
use crate::Error;

/// Commands that Metal lets one call execute.
const AT_ONCE: usize = 16384;

/// The recorded launches.
pub(super) struct Indirect {
    commands: Held<dyn MTLIndirectCommandBuffer>,
    count: usize,
    context: Arc<Context>,
}

impl Indirect {
    /// Records `launches`, whose arguments and row counts lie in `arguments`: a recorded launch has no bytes of its own.
    pub fn record(
        context: &Arc<Context>,
        launches: &[&Launch],
        arguments: &ProtocolObject<dyn MTLBuffer>,
    ) -> Result<Indirect, Error> {
        let descriptor = MTLIndirectCommandBufferDescriptor::new();
        descriptor.setCommandTypes(MTLIndirectCommandType::ConcurrentDispatch);
        descriptor.setInheritBuffers(false);
        descriptor.setInheritPipelineState(false);
        let buffers = launches.iter().map(|l| l.operands.len() + 2).max().unwrap_or(2);
        descriptor.setMaxKernelBufferBindCount(buffers);
        // SAFETY: the count of commands is that of the launches, and `AT_ONCE` bounds only how many a call executes.
        let commands = unsafe {
            context.device.0.newIndirectCommandBufferWithDescriptor_maxCommandCount_options(
                &descriptor,
                launches.len(),
                MTLResourceOptions::StorageModeShared,
            )
        };
        let commands = commands.ok_or_else(|| refused("newIndirectCommandBufferWithDescriptor"))?;
        commands.setLabel(Some(&NSString::from_str("plan")));
        for (i, launch) in launches.iter().enumerate() {
            // SAFETY: `i` is below the count of commands.
            let command = unsafe { commands.indirectComputeCommandAtIndex(i) };
            command.setComputePipelineState(&launch.program.pipeline.0);
            let count = launch.operands.len();
            // SAFETY: offsets lie inside their buffers, indices are below the bind count.
            unsafe {
                for (at, (buffer, offset)) in launch.operands.iter().enumerate() {
                    command.setKernelBuffer_offset_atIndex(buffer, *offset, at);
                }
                command.setKernelBuffer_offset_atIndex(arguments, params_slot(i), count);
                command.setKernelBuffer_offset_atIndex(arguments, rows_slot(launch.rows), count + 1);
            }
            if launch.waits {
                command.setBarrier();
            }
            command.concurrentDispatchThreadgroups_threadsPerThreadgroup(launch.grid, launch.threads);
        }
        context.enter(ProtocolObject::from_ref(&*commands));
        Ok(Indirect { commands: Held(commands), count: launches.len(), context: context.clone() })
    }

    /// Runs every launch, in parts that Metal takes.
    pub fn execute(&self, encoder: &ProtocolObject<dyn MTLComputeCommandEncoder>) {
        if !self.context.keeps_resident() {
            encoder.useResource_usage(ProtocolObject::from_ref(&*self.commands.0), MTLResourceUsage::Read);
        }
        for start in (0..self.count).step_by(AT_ONCE) {
            let range = NSRange::new(start, AT_ONCE.min(self.count - start));
            // SAFETY: the range is inside the recorded commands.
            unsafe { encoder.executeCommandsInBuffer_withRange(&self.commands.0, range) };
        }
    }
}

impl Drop for Indirect {
    fn drop(&mut self) {
        self.context.leave(ProtocolObject::from_ref(&*self.commands.0));
    }
}
