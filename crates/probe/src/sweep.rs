//! Where one variant overtakes another along a dimension, how sure that is, and what a wrong choice costs.
//!
//! Points lie on a geometric grid; between two points with different winners more are measured until neighbours are close
//! ([`Settings::resolution`]). Winners along the axis are those with the smallest sum of log times, where every change of winner costs
//! [`Settings::change`] (a shortest path): noise between two equals does not make them alternate.

mod path;

use metallic_kernels::contract::Key;
use metallic_ops::tuned::{Bounds, Entry as TableEntry};
use serde::Serialize;

use crate::compare::{Pairing, Rule, Verdict, shift};
use crate::record::{Measured, Problem};
use crate::spec::Shape;

/// The dimension that is swept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Axis {
    /// Rows.
    M,
    /// Outputs of a row.
    N,
    /// Reduced dimension.
    K,
}

impl Axis {
    /// `key` with another value of this dimension.
    pub fn set(self, key: &Key, value: usize) -> Key {
        let mut key = *key;
        match self {
            Axis::M => key.m = value,
            Axis::N => key.n = value,
            Axis::K => key.k = value,
        }
        key
    }

    /// `shape` with another value of this dimension; `None` where it has none.
    pub fn shape(self, shape: &Shape, value: usize) -> Option<Shape> {
        let mut shape = shape.clone();
        match (&mut shape, self) {
            (Shape::Matmul(s), Axis::M) => s.m = value,
            (Shape::Matmul(s), Axis::N) => s.n = value,
            (Shape::Matmul(s), Axis::K) => s.k = value,
            (Shape::Softmax(s), Axis::M) => s.m = value,
            (Shape::Softmax(s), Axis::K) => s.k = value,
            (Shape::Softmax(_), Axis::N) => return None,
        }
        Some(shape)
    }

    /// The value in a key.
    pub fn of(self, key: &Key) -> usize {
        match self {
            Axis::M => key.m,
            Axis::N => key.n,
            Axis::K => key.k,
        }
    }

    /// Its letter.
    pub fn name(self) -> &'static str {
        match self {
            Axis::M => "m",
            Axis::N => "n",
            Axis::K => "k",
        }
    }
}

/// What to measure along an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// First value.
    pub from: usize,
    /// Last value.
    pub to: usize,
    /// Values are multiples of this: 32 for a k of quantized weights.
    pub multiple: usize,
    /// Ratio of neighbours on the first grid.
    pub step: f64,
    /// Ratio of neighbours around a crossover at the end.
    pub resolution: f64,
    /// Points at most.
    pub points: usize,
    /// What a change of winner must gain, as a part of the time of a point, to be made.
    pub change: f64,
}

impl Settings {
    /// From one value to another, with crossovers to 10 %.
    pub fn new(from: usize, to: usize) -> Settings {
        Settings { from, to, multiple: 1, step: 2.0, resolution: 1.1, points: 64, change: 0.03 }
    }

    fn grid(&self) -> Vec<usize> {
        let steps = ((self.to as f64 / self.from.max(1) as f64).ln() / self.step.ln()).ceil().max(1.0);
        let each = (self.to as f64 / self.from.max(1) as f64).powf(1.0 / steps);
        let mut grid: Vec<usize> =
            (0..=steps as usize).map(|i| self.round(self.from as f64 * each.powi(i as i32))).collect();
        grid.dedup();
        grid
    }

    fn round(&self, value: f64) -> usize {
        let unit = self.multiple.max(1);
        ((value / unit as f64).round() as usize * unit).clamp(self.from, self.to)
    }
}

/// One measured value of the axis.
#[derive(Clone, Debug)]
pub struct Point {
    /// The value.
    pub at: usize,
    /// What was measured there.
    pub problem: Problem,
}

/// A swept dimension.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// The problem; its value of the axis means nothing.
    pub key: Key,
    /// The dimension.
    pub axis: Axis,
    /// Points in order.
    pub points: Vec<Point>,
    change: f64,
}

/// A stretch of the axis with one winner.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Segment {
    /// First value.
    pub from: usize,
    /// Last value.
    pub to: usize,
    /// Every variant that was measured at all points of the stretch, by mean log time: the winner first.
    pub order: Vec<String>,
}

/// A change of winner.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Crossover {
    /// Winner before.
    pub before: String,
    /// Winner from `at` on.
    pub after: String,
    /// The first value of the new winner.
    pub at: usize,
    /// Largest measured value at which the old winner is faster beyond doubt; `None` where it never is.
    pub low: Option<usize>,
    /// Smallest at which the new one is; `None` where it never is.
    pub high: Option<usize>,
}

/// What choices cost over the points of a sweep: time over the fastest variant's, geometric mean and worst.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Regret {
    /// Of the first in the default order that takes the problem.
    pub default: Cost,
    /// Of the segments' winners.
    pub tuned: Cost,
}

/// One way to choose.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cost {
    /// Geometric mean of the ratios.
    pub mean: f64,
    /// The largest ratio.
    pub worst: f64,
    /// Where that is.
    pub at: usize,
}

/// Measures along an axis. `measure` is called with `key` at each value; what it finds there may be nothing.
///
/// # Errors
/// The first of `measure`.
pub fn run<E>(
    key: &Key,
    axis: Axis,
    settings: &Settings,
    measure: &mut dyn FnMut(Key) -> Result<Problem, E>,
) -> Result<Sweep, E> {
    let mut sweep = Sweep { key: *key, axis, points: Vec::new(), change: settings.change };
    for at in settings.grid() {
        sweep.points.push(Point { at, problem: measure(axis.set(key, at))? });
    }
    while sweep.points.len() < settings.points {
        let Some(at) = sweep.next(settings) else { break };
        let place = sweep.points.partition_point(|p| p.at < at);
        sweep.points.insert(place, Point { at, problem: measure(axis.set(key, at))? });
    }
    Ok(sweep)
}

/// Our enabled variants that were measured, in the default order.
fn candidates(problem: &Problem) -> impl Iterator<Item = (&str, &Measured)> {
    let own = problem.measured().filter(|(e, _)| !e.is_library() && e.enabled);
    own.map(|(e, m)| (e.variant.as_str(), m))
}

fn find<'a>(problem: &'a Problem, variant: &str) -> Option<&'a Measured> {
    candidates(problem).find(|(id, _)| *id == variant).map(|(_, m)| m)
}

fn fastest(problem: &Problem) -> Option<f64> {
    candidates(problem).map(|(_, m)| m.cold.median_us).min_by(f64::total_cmp)
}

impl Sweep {
    /// The winner at every point; `None` where nothing was measured.
    pub fn winners(&self) -> Vec<Option<&str>> {
        path::cheapest(&self.points, (1.0 + self.change).ln())
    }

    /// The next value to measure: the middle of the widest gap between two different winners.
    fn next(&self, settings: &Settings) -> Option<usize> {
        let winners = self.winners();
        let gaps = self.points.windows(2).zip(winners.windows(2)).filter(|(_, w)| w[0] != w[1]);
        let wide = gaps.map(|(p, _)| (p[0].at, p[1].at)).filter(|(a, b)| *b as f64 > *a as f64 * settings.resolution);
        let middle = |(a, b): (usize, usize)| settings.round((a as f64 * b as f64).sqrt());
        let inside = wide.filter(|&(a, b)| a < middle((a, b)) && middle((a, b)) < b);
        inside.max_by(|x, y| (x.1 as f64 / x.0 as f64).total_cmp(&(y.1 as f64 / y.0 as f64))).map(middle)
    }

    /// Every change of winner.
    pub fn crossovers(&self) -> Vec<Crossover> {
        let winners = self.winners();
        let mut list = Vec::new();
        for i in 1..winners.len() {
            if let (Some(before), Some(after)) = (winners[i - 1], winners[i])
                && before != after
            {
                list.push(self.crossover(i, before, after));
            }
        }
        list
    }

    fn crossover(&self, right: usize, before: &str, after: &str) -> Crossover {
        let (a, b) = (&self.points[right - 1], &self.points[right]);
        let lead = |p: &Point| Some((time(p, after)? / time(p, before)?).ln());
        let at = match (lead(a), lead(b)) {
            // The zero of the log ratio, which is straight between neighbours on a log axis.
            (Some(fa), Some(fb)) if fa > 0.0 && fb < 0.0 => {
                let part = fa / (fa - fb);
                (a.at as f64 * (b.at as f64 / a.at as f64).powf(part)).ceil() as usize
            }
            _ => b.at,
        };
        let surely = |p: &&Point, first: &str, second: &str| faster_beyond_doubt(&p.problem, first, second);
        Crossover {
            before: before.to_owned(),
            after: after.to_owned(),
            at: at.clamp(a.at + 1, b.at),
            low: self.points[..right].iter().rev().find(|p| surely(p, before, after)).map(|p| p.at),
            high: self.points[right..].iter().find(|p| surely(p, after, before)).map(|p| p.at),
        }
    }

    /// The axis, cut at the crossovers; stretches where nothing was measured are left out.
    pub fn segments(&self) -> Vec<Segment> {
        let winners = self.winners();
        let changes: Vec<usize> = (1..winners.len()).filter(|&i| winners[i] != winners[i - 1]).collect();
        let starts = std::iter::once(0).chain(changes.iter().copied());
        let ends = changes.iter().copied().chain(std::iter::once(winners.len()));
        let crossovers = self.crossovers();
        let begin =
            |i: usize| crossovers.iter().find(|c| i > 0 && (self.points[i - 1].at < c.at && c.at <= self.points[i].at));
        let stretches = starts.zip(ends).filter(|(start, _)| winners.get(*start).is_some_and(Option::is_some));
        stretches
            .map(|(start, end)| {
                let last = self.points[end - 1].at;
                let to = if end < winners.len() { begin(end).map_or(last, |c| c.at - 1) } else { last };
                Segment {
                    from: begin(start).map_or(self.points[start].at, |c| c.at),
                    to,
                    order: order(&self.points[start..end], winners[start]),
                }
            })
            .collect()
    }

    /// What the default order and the segments' winners cost.
    pub fn regret(&self) -> Option<Regret> {
        let winners = self.winners();
        let cost = |choice: &dyn Fn(usize) -> Option<f64>| -> Option<Cost> {
            let each = self.points.iter().enumerate();
            let over = each.filter_map(|(i, p)| Some((choice(i)? / fastest(&p.problem)?, p.at)));
            let ratios: Vec<(f64, usize)> = over.collect();
            let (worst, at) = ratios.iter().copied().max_by(|a, b| a.0.total_cmp(&b.0))?;
            let mean = (ratios.iter().map(|(r, _)| r.ln()).sum::<f64>() / ratios.len() as f64).exp();
            Some(Cost { mean, worst, at })
        };
        let first = |i: usize| candidates(&self.points[i].problem).next().map(|(_, m)| m.cold.median_us);
        let tuned = |i: usize| time(&self.points[i], winners[i]?);
        Some(Regret { default: cost(&first)?, tuned: cost(&tuned)? })
    }

    /// Entries of a tuned table, one a segment: of exactly this key in every other dimension.
    pub fn entries(&self) -> Vec<TableEntry> {
        let key = &self.key;
        let of = |segment: Segment| {
            let range = Bounds(segment.from, Some(segment.to));
            let side = |axis, value| if self.axis == axis { range } else { Bounds::exactly(value) };
            TableEntry {
                op: key.op.to_owned(),
                w: key.w.name().to_owned(),
                act: key.act.name().to_owned(),
                layout: None,
                flags: key.flags.words(),
                batch: Bounds::exactly(key.batch),
                m: side(Axis::M, key.m),
                n: side(Axis::N, key.n),
                k: side(Axis::K, key.k),
                variants: segment.order,
            }
        };
        self.segments().into_iter().map(of).collect()
    }
}

fn time(point: &Point, variant: &str) -> Option<f64> {
    find(&point.problem, variant).map(|m| m.cold.median_us)
}

/// Whether `first` is faster than `second` by the comparison of their rounds; a variant that was not measured is slower than one that was.
fn faster_beyond_doubt(problem: &Problem, first: &str, second: &str) -> bool {
    let Some(first) = find(problem, first) else { return false };
    let Some(second) = find(problem, second) else { return true };
    let rule = Rule { threshold: 0.0, ..Rule::default() };
    match shift(&first.cold.rounds, &second.cold.rounds, Pairing::Interleaved, &rule) {
        Some(shift) => shift.verdict(&rule) == Verdict::Slower,
        None => first.cold.high_us < second.cold.low_us,
    }
}

/// Variants measured at all of `points`, by mean log time, `winner` first.
fn order(points: &[Point], winner: Option<&str>) -> Vec<String> {
    let Some(first) = points.first() else { return Vec::new() };
    let mean = |id: &str| -> Option<f64> { points.iter().map(|p| time(p, id).map(f64::ln)).sum() };
    let mut list: Vec<(&str, f64)> = candidates(&first.problem).filter_map(|(id, _)| Some((id, mean(id)?))).collect();
    list.sort_by(|a, b| (Some(a.0) != winner).cmp(&(Some(b.0) != winner)).then(a.1.total_cmp(&b.1)));
    list.into_iter().map(|(id, _)| id.to_owned()).collect()
}

#[cfg(test)]
mod tests;
