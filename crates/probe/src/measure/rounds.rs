//! The rounds: everybody in turn, until the medians stand or the time is up.

use std::time::Instant;

use super::candidate::{Candidate, Fault, rows};
use super::{Lab, Row, State, Step, outcome_of};
use crate::problem::Problem;
use crate::stats::median;

/// After so many rounds, who is so many times slower than the fastest stops.
const STOPS: [(usize, f64); 3] = [(1, 10.0), (3, 3.0), (7, 1.5)];

/// Rounds that are worth waiting for, whatever the time.
const FEW: usize = 5;

impl Lab<'_> {
    /// Times all candidates. False where the device has no clock.
    pub(super) fn rounds(&mut self, problem: &Problem, list: &mut [Row]) -> bool {
        let (rounds, budget) = (self.settings.rounds, self.settings.policy.budget_s);
        let start = Instant::now();
        for row in list.iter_mut() {
            if let State::Running(candidate) = &mut row.state
                && let Err(fault) = self.warm(problem, candidate)
            {
                row.state = State::Done(outcome_of(fault));
            }
        }
        for round in 0..rounds {
            let live: Vec<usize> = (0..list.len())
                .filter(|&i| matches!(&list[i].state, State::Running(candidate) if candidate.live))
                .collect();
            for turn in 0..live.len() {
                if self.cancel.load(std::sync::atomic::Ordering::Relaxed) {
                    return true;
                }
                (self.progress)(Step { doing: "timing", done: round * live.len() + turn, of: rounds * live.len() });
                let row = &mut list[live[(round + turn) % live.len()]];
                let State::Running(candidate) = &mut row.state else { continue };
                match read(problem, candidate) {
                    Ok(true) => {}
                    Ok(false) => return false,
                    Err(fault) => row.state = State::Done(outcome_of(fault)),
                }
            }
            if let Some((_, factor)) = STOPS.iter().find(|(after, _)| *after == round + 1) {
                stop(list, *factor);
            }
            if round + 1 >= FEW && start.elapsed().as_secs_f64() > budget {
                break;
            }
        }
        true
    }

    /// A run that nobody looks at, after which readings are as long as they should be: clocks rise, and pages are mapped.
    fn warm(&self, problem: &Problem, candidate: &mut Candidate) -> Result<(), Fault> {
        for submission in [&mut candidate.cold, &mut candidate.hot] {
            if !submission.is_long() {
                submission.run(rows(problem))?;
            }
            submission.repeat(self.settings.policy.reading_s, self.settings.policy.most_launches);
        }
        Ok(())
    }
}

/// One cold and one hot reading. False where the device has no clock.
fn read(problem: &Problem, candidate: &mut Candidate) -> Result<bool, Fault> {
    if !candidate.cold.time(rows(problem))? {
        return Ok(false);
    }
    // What rotated through the caches leaves nothing of the hot bank in them.
    if !candidate.hot.is_long() {
        candidate.hot.run(rows(problem))?;
    }
    candidate.hot.time(rows(problem))
}

/// Whoever is `factor` times slower than the fastest takes no further part.
fn stop(list: &mut [Row], factor: f64) {
    let cold = |row: &Row| match &row.state {
        State::Running(candidate) => Some(median(&candidate.cold.device_us)),
        _ => None,
    };
    let Some(best) = list.iter().filter_map(cold).min_by(f64::total_cmp) else { return };
    for row in list {
        let slow = cold(row).is_some_and(|us| us > factor * best);
        if let State::Running(candidate) = &mut row.state
            && slow
        {
            candidate.live = false;
        }
    }
}
