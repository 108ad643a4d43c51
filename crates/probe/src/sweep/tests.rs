//! Crossovers of variants whose times are known.

use metallic_kernels::DType;
use metallic_kernels::cases::Rng;
use metallic_kernels::contract::{Flags, Layout};
use metallic_kernels::matmul;

use super::*;
use crate::fixture::report;
use crate::record::{Entry, Outcome, Shape};

/// A variant's time at a value of the axis; `None` where it refuses.
type Model = fn(usize) -> Option<f64>;

/// Measures made-up variants, every round with `noise`.
fn world(models: &[(&str, Model)], noise: f64) -> impl FnMut(Key) -> Result<Problem, std::convert::Infallible> {
    let template = report(1, &[]).problems.swap_remove(0);
    let measured = template.measured().next().unwrap().1.clone();
    let models: Vec<(String, Model)> = models.iter().map(|(n, m)| ((*n).to_owned(), *m)).collect();
    let mut rng = Rng(5);
    move |key: Key| {
        let entry = |(name, model): &(String, Model)| {
            let outcome = match model(key.n) {
                None => Outcome::Gap { reason: "planted".to_owned() },
                Some(us) => {
                    let mut m = measured.clone();
                    m.cold.rounds = (0..20).map(|_| us * f64::from(noise as f32 * rng.normal()).exp()).collect();
                    m.cold.median_us = crate::stats::median(&m.cold.rounds);
                    Outcome::Measured(m)
                }
            };
            Entry { variant: name.clone(), target: "msl".to_owned(), enabled: true, outcome }
        };
        let entries = models.iter().map(entry).collect();
        let shape = Shape { m: key.m, n: key.n, k: key.k, batch: key.batch };
        Ok(Problem { key: key.to_string(), shape, entries, ..template.clone() })
    }
}

fn key() -> Key {
    matmul::key(1, 1, 896, DType::F16, Layout::Row, Flags::NONE)
}

fn sweep(models: &[(&str, Model)], noise: f64) -> Sweep {
    let Ok(sweep) = run(&key(), Axis::N, &Settings::new(1, 16384), &mut world(models, noise));
    sweep
}

const FLAT: (&str, Model) = ("a/flat", |_| Some(10.0));
const LINEAR: (&str, Model) = ("a/linear", |n| Some(n as f64 / 100.0));

#[test]
fn a_crossover_is_found_where_it_is() {
    for noise in [0.0, 0.01] {
        let s = sweep(&[FLAT, LINEAR], noise);
        let found = s.crossovers();
        assert_eq!(found.len(), 1, "{found:?}");
        let c = &found[0];
        assert_eq!((c.before.as_str(), c.after.as_str()), ("a/linear", "a/flat"));
        assert!(c.at.abs_diff(1000) <= 30, "{c:?}");
        assert!(c.low.unwrap() < 1000 && 1000 < c.high.unwrap(), "{c:?}");
        assert!(c.high.unwrap() - c.low.unwrap() < 400, "{c:?}");
        let segments = s.segments();
        assert_eq!(segments.len(), 2);
        assert_eq!((segments[0].from, segments[0].to + 1, segments[1].to), (1, segments[1].from, 16384));
        assert_eq!(segments[0].order, ["a/linear", "a/flat"]);
    }
}

#[test]
fn two_equals_do_not_alternate() {
    let s = sweep(&[FLAT, ("a/twin", |_| Some(10.02))], 0.01);
    assert!(s.crossovers().is_empty(), "{:?}", s.crossovers());
    assert_eq!(s.segments().len(), 1);
}

#[test]
fn a_variant_that_refuses_is_left_where_it_does() {
    let small: (&str, Model) = ("a/small", |n| (n <= 300).then_some(1.0));
    let s = sweep(&[FLAT, small], 0.005);
    let c = &s.crossovers()[0];
    assert!((c.before.as_str(), c.after.as_str()) == ("a/small", "a/flat") && (256..=330).contains(&c.at), "{c:?}");
    // The table must not send a problem to a variant beyond where it was seen to run.
    let last_run = s.points.iter().filter(|p| p.at <= 300).map(|p| p.at).max().unwrap();
    assert!(s.segments()[0].to < s.points.iter().find(|p| p.at > last_run).unwrap().at);
    assert_eq!(s.segments()[1].order, ["a/flat"], "what was not measured everywhere is not in the order");
}

#[test]
fn regret_is_the_price_of_the_default_order() {
    let s = sweep(&[FLAT, LINEAR], 0.0);
    let regret = s.regret().unwrap();
    assert!((regret.default.worst - 1000.0).abs() < 1e-6, "{regret:?}");
    assert_eq!(regret.default.at, 1);
    assert!(regret.tuned.worst < 1.03, "{regret:?}");
}

#[test]
fn entries_are_a_table_that_keeps_the_laws() {
    use metallic_ops::tuned::{Header, SCHEMA, Table};
    let s = sweep(&[("cpu/plain", |_| Some(10.0)), ("cpu/portable", |n| Some(n as f64 / 100.0))], 0.01);
    let word = String::new;
    let header = Header {
        schema: SCHEMA,
        device: word(),
        model: word(),
        description: word(),
        commit: word(),
        started: word(),
        command: word(),
    };
    let table = Table { header, entries: s.entries() };
    table.check("t.json").unwrap();
    assert_eq!(table.entries.len(), 2);
    for (n, winner) in [(1, "cpu/portable"), (900, "cpu/portable"), (1100, "cpu/plain"), (16384, "cpu/plain")] {
        let at = Axis::N.set(&key(), n);
        let found: Vec<_> = table.entries.iter().filter(|e| e.is_about(&at)).collect();
        assert_eq!(found.len(), 1, "n={n}");
        assert_eq!(found[0].variants[0], winner, "n={n}");
    }
    assert!(!table.entries.iter().any(|e| e.is_about(&Axis::K.set(&key(), 64))));
}

#[test]
fn grids_reach_both_ends_in_multiples() {
    let s = Settings { multiple: 32, ..Settings::new(32, 4096) };
    let grid = s.grid();
    assert_eq!((grid[0], grid[grid.len() - 1]), (32, 4096));
    assert!(grid.iter().all(|v| v % 32 == 0) && grid.is_sorted_by(|a, b| a < b), "{grid:?}");
    assert_eq!(Settings::new(7, 7).grid(), [7]);
}

#[test]
fn nothing_measured_is_no_segment() {
    let s = sweep(&[("a/never", |_| None)], 0.0);
    assert!(s.segments().is_empty() && s.crossovers().is_empty() && s.regret().is_none());
}
