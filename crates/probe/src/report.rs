//! What a run found, for people and their tools: CSV for spreadsheets, one page for browsers.

pub mod csv;
pub mod html;

use crate::record::{Measured, Problem};

/// A measured variant beside the best that others did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Standing {
    /// Cold time over the library's that is fastest cold; below 1 is faster than the vendor. `None` without a library's time.
    pub vendor_cold: Option<f64>,
    /// Hot time over the library's that is fastest hot.
    pub vendor_hot: Option<f64>,
    /// Floor over cold time: 1 is all that the device can do. `None` without a roofline.
    pub roofline: Option<f64>,
}

impl Standing {
    /// Where `measured` stands among what was measured on `problem`.
    pub fn of(problem: &Problem, measured: &Measured) -> Standing {
        let fastest = |time: fn(&Measured) -> f64| {
            let libraries = problem.measured().filter(|(e, _)| e.is_library());
            libraries.map(|(_, m)| time(m)).min_by(f64::total_cmp)
        };
        let (cold, hot) = (measured.cold.median_us, measured.hot.median_us);
        Standing {
            vendor_cold: fastest(|m| m.cold.median_us).map(|v| cold / v),
            vendor_hot: fastest(|m| m.hot.median_us).map(|v| hot / v),
            roofline: problem.floor_us.map(|floor| floor / cold),
        }
    }
}
