//! Candidates timed in turns, and what their times say.

use metallic_device::cuda::{Error, Graph, Stream};

/// Something to time: a graph of equal launches.
pub struct Candidate {
    /// What it is.
    pub name: &'static str,
    /// The launches.
    pub graph: Graph,
    /// How many.
    pub launches: usize,
}

/// Microseconds a launch, a row for each candidate and a column for each round. Rounds begin with another candidate each time.
pub fn rounds(stream: &Stream, candidates: &[Candidate], rounds: usize) -> Result<Vec<Vec<f64>>, Error> {
    let mut times = vec![Vec::with_capacity(rounds); candidates.len()];
    for c in candidates {
        stream.run(&c.graph)?;
    }
    for round in 0..rounds {
        for turn in 0..candidates.len() {
            let which = (round + turn) % candidates.len();
            let c = &candidates[which];
            let seconds = stream.time::<Error>(|| stream.run(&c.graph))?;
            times[which].push(seconds * 1e6 / c.launches as f64);
        }
    }
    Ok(times)
}

/// The middle value.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
    }
}

/// A ratio of two medians, with its 95 % interval by bootstrap over rounds.
#[derive(Clone, Copy)]
pub struct Ratio {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

/// median(a) / median(b); `a` and `b` were measured in the same rounds.
pub fn ratio(a: &[f64], b: &[f64]) -> Ratio {
    let n = a.len().min(b.len());
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    let mut draw = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 33) as usize % n.max(1)
    };
    let mut drawn: Vec<f64> = (0..2000)
        .map(|_| {
            let (x, y): (Vec<f64>, Vec<f64>) = (0..n).map(|_| draw()).map(|i| (a[i], b[i])).unzip();
            median(&x) / median(&y)
        })
        .collect();
    drawn.sort_by(f64::total_cmp);
    let at = |part: f64| drawn.get((drawn.len() as f64 * part) as usize).copied().unwrap_or(f64::NAN);
    Ratio { value: median(a) / median(b), low: at(0.025), high: at(0.975) }
}

impl std::fmt::Display for Ratio {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.3} [{:.3}, {:.3}]", self.value, self.low, self.high)
    }
}
