//! The probe lab: every variant of an op on real shapes, checked against the oracle, timed beside the vendor's library, and held
//! against what the device can do at most.
//!
//! ```text
//! spec       shapes, from files, flags or a model          problem    a shape with data, and what must come out
//! measure    check, then time, then judge                  roofline   what the device can do at most
//! record     what was found, as data                       report     tables, JSON, CSV, a page
//! history    earlier runs, and whether one is slower       sweep      where one variant overtakes another
//! ```
//!
//! Invariant: a time without a passed check cannot be expressed ([`record::Outcome`]).

pub mod compare;
pub mod filter;
#[cfg(test)]
mod fixture;
pub mod history;
pub mod measure;
pub mod problem;
pub mod record;
pub mod report;
pub mod roofline;
pub mod spec;
pub mod stats;
pub mod sweep;
