//! Seconds of single launches: GPU timestamps where the device samples them, else a command buffer for each launch.

use std::ptr::NonNull;

use objc2::runtime::ProtocolObject;
use objc2_foundation::{NSRange, NSString};
use objc2_metal::{
    MTLCommandBuffer, MTLCommandEncoder, MTLCommonCounterSetTimestamp, MTLComputeCommandEncoder,
    MTLComputePassDescriptor, MTLCounterErrorValue, MTLCounterSampleBuffer, MTLCounterSampleBufferDescriptor,
    MTLCounterSamplingPoint, MTLCounterSet, MTLDevice, MTLStorageMode,
};

use super::device::{Context, Held, failed, reason, refused};
use crate::Error;

/// Samples of one buffer: two a launch, 32 KiB in all, which is the most that Metal takes.
const SAMPLES: usize = 4096;

/// Encodes launch `i` of a plan.
pub(super) type Encode<'a> = &'a dyn Fn(&ProtocolObject<dyn MTLComputeCommandEncoder>, usize);

/// How launches are timed on this device.
pub(super) struct Timing {
    samples: Option<Held<dyn MTLCounterSampleBuffer>>,
}

impl Timing {
    /// For plans of `launches`.
    pub fn new(context: &Context, launches: usize) -> Result<Timing, Error> {
        let device = &context.device.0;
        if launches == 0 || !device.supportsCounterSampling(MTLCounterSamplingPoint::AtStageBoundary) {
            return Ok(Timing { samples: None });
        }
        // SAFETY: the name is a constant of the framework.
        let wanted = unsafe { MTLCommonCounterSetTimestamp };
        let Some(set) = device.counterSets().and_then(|sets| sets.iter().find(|s| *s.name() == *wanted)) else {
            return Ok(Timing { samples: None });
        };
        let descriptor = MTLCounterSampleBufferDescriptor::new();
        descriptor.setCounterSet(Some(&set));
        descriptor.setStorageMode(MTLStorageMode::Shared);
        descriptor.setLabel(&NSString::from_str("launches"));
        // SAFETY: at most the samples that Metal takes.
        unsafe { descriptor.setSampleCount((2 * launches).min(SAMPLES)) };
        let samples = device
            .newCounterSampleBufferWithDescriptor_error(&descriptor)
            .map_err(|e| failed("newCounterSampleBufferWithDescriptor", reason(&e)))?;
        Ok(Timing { samples: Some(Held(samples)) })
    }

    /// Runs `launches` in order, one encoder each, and adds what each took to its entry of `seconds`.
    pub fn measure(
        &self,
        context: &Context,
        launches: &[usize],
        seconds: &mut [f64],
        encode: Encode<'_>,
    ) -> Result<(), Error> {
        let mut add = |i: usize, took: f64| {
            if let Some(s) = seconds.get_mut(i) {
                *s += took;
            }
        };
        let Some(samples) = &self.samples else {
            for &i in launches {
                add(i, alone(context, i, encode)?);
            }
            return Ok(());
        };
        for part in launches.chunks(SAMPLES / 2) {
            let before = clocks(context);
            let whole = context.submit("timed launches", |commands| {
                part.iter().enumerate().try_for_each(|(at, &i)| {
                    let encoder = sampled(commands, &samples.0, at)?;
                    encode(&encoder, i);
                    encoder.endEncoding();
                    Ok(())
                })
            })?;
            let scale = before.seconds_per_tick(&clocks(context));
            let ticks = ticks(&samples.0, part.len())?;
            let took: Vec<f64> = ticks.iter().map(|t| *t as f64 * scale).collect();
            // The clocks' ratio is a measurement of its own. Launches that add up to more than the command buffer took, or ticks
            // without a length, show that it failed; then each launch is run by itself.
            let sum: f64 = took.iter().sum();
            if !sum.is_finite() || sum <= 0.0 || sum > 1.1 * whole {
                for &i in part {
                    add(i, alone(context, i, encode)?);
                }
                continue;
            }
            part.iter().zip(took).for_each(|(&i, took)| add(i, took));
        }
        Ok(())
    }
}

/// Seconds of a command buffer that holds one launch.
fn alone(context: &Context, i: usize, encode: Encode<'_>) -> Result<f64, Error> {
    context.submit("a timed launch", |commands| {
        let encoder = commands.computeCommandEncoder().ok_or_else(|| refused("computeCommandEncoder"))?;
        encode(&encoder, i);
        encoder.endEncoding();
        Ok(())
    })
}

/// An encoder whose start and end are samples `2 * at` and the next.
fn sampled(
    commands: &ProtocolObject<dyn MTLCommandBuffer>,
    samples: &ProtocolObject<dyn MTLCounterSampleBuffer>,
    at: usize,
) -> Result<objc2::rc::Retained<ProtocolObject<dyn MTLComputeCommandEncoder>>, Error> {
    let pass = MTLComputePassDescriptor::computePassDescriptor();
    // SAFETY: a pass has four attachments, and the samples are below the buffer's count.
    unsafe {
        let attachment = pass.sampleBufferAttachments().objectAtIndexedSubscript(0);
        attachment.setSampleBuffer(Some(samples));
        attachment.setStartOfEncoderSampleIndex(2 * at);
        attachment.setEndOfEncoderSampleIndex(2 * at + 1);
    }
    commands.computeCommandEncoderWithDescriptor(&pass).ok_or_else(|| refused("computeCommandEncoderWithDescriptor"))
}

/// Ticks of each of `count` encoders.
fn ticks(samples: &ProtocolObject<dyn MTLCounterSampleBuffer>, count: usize) -> Result<Vec<u64>, Error> {
    // SAFETY: the range is below the buffer's count.
    let data = unsafe { samples.resolveCounterRange(NSRange::new(0, 2 * count)) };
    let bytes = data.ok_or_else(|| refused("resolveCounterRange"))?.to_vec();
    let times: Vec<u64> = bytes.as_chunks().0.iter().map(|b| u64::from_ne_bytes(*b)).collect();
    if times.len() < 2 * count || times.contains(&MTLCounterErrorValue) {
        return Err(failed("resolveCounterRange", "a timestamp could not be sampled"));
    }
    Ok(times.as_chunks().0.iter().map(|[start, end]| end.saturating_sub(*start)).collect())
}

/// The two clocks at one moment: the host's in nanoseconds, the GPU's in its own ticks.
struct Clocks {
    host: u64,
    gpu: u64,
}

fn clocks(context: &Context) -> Clocks {
    let mut clocks = Clocks { host: 0, gpu: 0 };
    let (host, gpu) = (NonNull::from(&mut clocks.host), NonNull::from(&mut clocks.gpu));
    // SAFETY: both point to a timestamp that lives through the call.
    unsafe { context.device.0.sampleTimestamps_gpuTimestamp(host, gpu) };
    clocks
}

impl Clocks {
    fn seconds_per_tick(&self, later: &Clocks) -> f64 {
        let host = later.host.saturating_sub(self.host) as f64;
        let gpu = later.gpu.saturating_sub(self.gpu) as f64;
        host / gpu * 1e-9
    }
}
