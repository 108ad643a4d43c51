//! NVML, NVIDIA's library that tells a device's clocks, temperature and power: loaded where it is, and only read from.

use std::ffi::{c_char, c_int, c_uint, c_void};

use libloading::Library;

use crate::Condition;

type Status = c_int;
type Raw = *mut c_void;

/// Names, types and numbers are those of `nvml.h`.
pub(super) struct Nvml {
    device: Raw,
    clock: unsafe extern "C" fn(Raw, c_int, *mut c_uint) -> Status,
    temperature: unsafe extern "C" fn(Raw, c_int, *mut c_uint) -> Status,
    power: unsafe extern "C" fn(Raw, *mut c_uint) -> Status,
    shutdown: unsafe extern "C" fn() -> Status,
    /// The functions lie in it.
    _library: Library,
}

// SAFETY: NVML may be called from any thread, and a device's handle is a name.
unsafe impl Send for Nvml {}
// SAFETY: as above.
unsafe impl Sync for Nvml {}

const LIBRARY: &str = if cfg!(target_os = "windows") { "nvml.dll" } else { "libnvidia-ml.so.1" };

/// NVML_CLOCK_SM.
const CLOCK_SM: c_int = 1;
/// NVML_CLOCK_MEM.
const CLOCK_MEMORY: c_int = 2;
/// NVML_TEMPERATURE_GPU.
const TEMPERATURE_GPU: c_int = 0;

impl Nvml {
    /// Opens the device at an address on the PCI bus; `None` where the library is not there or does not know it.
    pub fn open(bus: &std::ffi::CStr) -> Option<Nvml> {
        // SAFETY: NVIDIA's library, which comes with the driver; each name has the type that its header gives it.
        unsafe {
            let library = Library::new(LIBRARY).ok()?;
            let init: unsafe extern "C" fn() -> Status = *library.get(b"nvmlInit_v2").ok()?;
            let find: unsafe extern "C" fn(*const c_char, *mut Raw) -> Status =
                *library.get(b"nvmlDeviceGetHandleByPciBusId_v2").ok()?;
            let clock = *library.get(b"nvmlDeviceGetClockInfo").ok()?;
            let temperature = *library.get(b"nvmlDeviceGetTemperature").ok()?;
            let power = *library.get(b"nvmlDeviceGetPowerUsage").ok()?;
            let shutdown = *library.get(b"nvmlShutdown").ok()?;
            if init() != 0 {
                return None;
            }
            let mut device = std::ptr::null_mut();
            let found = find(bus.as_ptr(), &mut device) == 0;
            let nvml = Nvml { device, clock, temperature, power, shutdown, _library: library };
            found.then_some(nvml)
        }
    }

    /// What it tells now.
    pub fn condition(&self) -> Condition {
        let ask = |get: &dyn Fn(&mut c_uint) -> Status| {
            let mut value = 0;
            (get(&mut value) == 0).then_some(value)
        };
        // SAFETY: the device's handle is NVML's own, and there is one number to write.
        unsafe {
            Condition {
                clock: ask(&|v| (self.clock)(self.device, CLOCK_SM, v)),
                memory_clock: ask(&|v| (self.clock)(self.device, CLOCK_MEMORY, v)),
                temperature: ask(&|v| (self.temperature)(self.device, TEMPERATURE_GPU, v)),
                power: ask(&|v| (self.power)(self.device, v)).map(|milliwatts| milliwatts as f32 * 1e-3),
            }
        }
    }
}

impl Drop for Nvml {
    fn drop(&mut self) {
        // SAFETY: started by `open`; NVML counts.
        unsafe { (self.shutdown)() };
    }
}
