//! The device that `probe` runs on.

use crate::args::{ProbeArgs, ProbeDevice};
use metallic_device::cpu::{self, Cpu};
use metallic_device::cuda::{self, Cuda};
use metallic_device::emulator::{Emulator, Mode};
use metallic_device::metal;
use metallic_device::{Device, Error};
use metallic_kernels::DType;
use metallic_probe::measure::Policy;
use metallic_probe::record::Condition;
use metallic_probe::roofline::{self, Ceiling, RooflineError};

/// A device with what is known of it.
pub struct Opened {
    /// The device.
    pub device: Box<dyn Device>,
    kind: ProbeDevice,
    /// Bytes of its last-level cache.
    cache: Option<u64>,
}

/// Opens the device that was asked for; else a GPU, else the CPU.
pub fn open(args: &ProbeArgs) -> Result<Opened, Error> {
    match args.device {
        Some(kind) => one(kind, args),
        None => match one(ProbeDevice::Cuda, args) {
            Err(Error::Unavailable { .. }) => one(ProbeDevice::Cpu, args),
            other => other,
        },
    }
}

fn one(kind: ProbeDevice, args: &ProbeArgs) -> Result<Opened, Error> {
    let device: Box<dyn Device> = match kind {
        ProbeDevice::Cpu => Box::new(cpu(args)?),
        ProbeDevice::Cuda => Box::new(Cuda::new(&cuda::Options { libraries: true, ..cuda::Options::default() })?),
        ProbeDevice::Emulator => Box::new(Emulator::new(Mode::Checked)?),
        ProbeDevice::Fast => Box::new(Emulator::new(Mode::Fast(args.threads))?),
        ProbeDevice::Metal => metal::open(metal::Options { libraries: true, ..metal::Options::default() })?,
    };
    let cache = device.cache_bytes();
    Ok(Opened { device, kind, cache })
}

fn cpu(args: &ProbeArgs) -> Result<Cpu, Error> {
    Cpu::new(&cpu::Options { threads: args.threads, ..Default::default() })
}

/// The device's limits, measured; `None` where it has no clock.
pub fn ceiling<'a>(opened: &'a Opened, args: &ProbeArgs) -> Result<Option<Box<dyn Ceiling + 'a>>, RooflineError> {
    Ok(match opened.kind {
        ProbeDevice::Cpu => Some(Box::new(roofline::Cpu::new(cpu(args)?)?)),
        ProbeDevice::Cuda | ProbeDevice::Metal => Some(Box::new(roofline::Gpu::new(&*opened.device, opened.cache)?)),
        ProbeDevice::Emulator | ProbeDevice::Fast => None,
    })
}

impl Opened {
    /// Whether native code runs on it.
    pub fn is_cpu(&self) -> bool {
        self.kind == ProbeDevice::Cpu
    }

    /// Whether its times are worth reading.
    pub fn has_clock(&self) -> bool {
        !matches!(self.kind, ProbeDevice::Emulator | ProbeDevice::Fast)
    }

    /// How often this machine's own memory holds a problem's operands at least: as they are made and packed, and, where kernels run in
    /// it, in two banks of two layouts.
    pub fn copies(&self) -> u64 {
        match self.kind {
            ProbeDevice::Cpu => 6,
            ProbeDevice::Emulator | ProbeDevice::Fast => 3,
            ProbeDevice::Cuda | ProbeDevice::Metal => 2,
        }
    }

    /// Type of activations that engines have on it.
    pub fn act(&self) -> DType {
        if self.is_cpu() { DType::F32 } else { DType::F16 }
    }

    /// Banks, launches and readings.
    pub fn policy(&self) -> Policy {
        if self.has_clock() { Policy::of(&*self.device, self.cache) } else { Policy::single() }
    }

    /// Clock and temperature, where it tells.
    pub fn condition(&self) -> Option<Condition> {
        let c = self.device.condition()?;
        Some(Condition {
            clock_mhz: c.clock.map(f64::from),
            memory_mhz: c.memory_clock.map(f64::from),
            celsius: c.temperature.map(f64::from),
            watts: c.power.map(f64::from),
        })
    }
}
