//! How much memory to rotate through, how many launches to submit, and how long to read the clock.

use metallic_device::Device;
use metallic_kernels::contract::Target;

use super::candidate::Launches;

/// Banks, launches and readings for a device.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Bytes that cold launches rotate through; 0 for one bank.
    pub cold_bytes: usize,
    /// Banks at most.
    pub most_banks: usize,
    /// Launches of a submission, where these are short.
    pub fill: usize,
    /// Launches of a hot submission at most.
    pub hot: usize,
    /// Seconds that a submission may take: of slow kernels it has fewer launches.
    pub submission_s: f64,
    /// Seconds that a reading of the clock should take.
    pub reading_s: f64,
    /// Launches of a reading at most.
    pub most_launches: usize,
    /// Seconds that the rounds of a problem may take, once every candidate has a few.
    pub budget_s: f64,
}

/// Operations a second that a slow kernel on a GPU does, to guess how many launches fit into a submission.
const SLOW_FLOPS: f64 = 1e13;

/// Seconds of a submission of such a kernel.
const SUBMISSION_S: f64 = 0.02;

impl Policy {
    /// What suits a device whose last-level cache has `cache` bytes, where that is known.
    pub fn of(device: &dyn Device, cache: Option<u64>) -> Policy {
        let cache = cache.unwrap_or(32 << 20) as usize;
        if device.limits().targets.contains(&Target::Cpu) {
            // Host memory may be scarce, and caches are shared with others.
            let cold_bytes = (8 * cache).clamp(64 << 20, 512 << 20);
            return Policy {
                cold_bytes,
                most_banks: 4096,
                fill: 1,
                hot: 2,
                submission_s: 0.1,
                reading_s: 0.01,
                most_launches: 4096,
                budget_s: 20.0,
            };
        }
        if device.name() == "emulator" {
            return Policy::single();
        }
        Policy {
            cold_bytes: (400 << 20).max(4 * cache),
            most_banks: 1024,
            fill: 64,
            hot: 32,
            submission_s: 0.1,
            reading_s: 0.001,
            most_launches: 4096,
            budget_s: 3.0,
        }
    }

    /// One bank and one launch: where nothing is timed.
    pub fn single() -> Policy {
        Policy {
            cold_bytes: 0,
            most_banks: 1,
            fill: 1,
            hot: 1,
            submission_s: 0.1,
            reading_s: 0.0,
            most_launches: 1,
            budget_s: 1.0,
        }
    }

    /// Launches of a submission over `banks` banks, of a problem of `flops` operations. Where outputs are added to, each bank takes part
    /// once, so that what comes out is known.
    pub(super) fn launches(&self, banks: usize, flops: u64, repeatable: bool) -> Launches {
        let fits = (SUBMISSION_S * SLOW_FLOPS / (flops.max(1) as f64)) as usize;
        let fill = fits.clamp(1, self.fill);
        let cold = if repeatable { banks * fill.div_ceil(banks) } else { banks };
        Launches { cold, hot: fits.clamp(1, self.hot), seconds: self.submission_s }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_launches_fill_a_submission_and_long_ones_do_not() {
        let gpu = Policy { fill: 64, hot: 64, ..Policy::single() };
        let Launches { cold, hot, .. } = gpu.launches(24, 17_000_000, true);
        assert_eq!((cold, hot), (72, 64));
        let Launches { cold, hot, .. } = gpu.launches(24, 17_000_000, false);
        assert_eq!((cold, hot), (24, 64));
        let Launches { cold, hot, .. } = gpu.launches(7, 35_000_000_000, true);
        assert_eq!((cold, hot), (7, 5));
        let Launches { cold, hot, .. } = Policy::single().launches(1, 1, true);
        assert_eq!((cold, hot), (1, 1));
    }
}
