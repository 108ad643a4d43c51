//! The cheapest way along the axis: each point costs the log of its variant's time over the fastest, each change a constant.

use super::{Point, candidates, fastest, time};

/// The variant of every point on the cheapest path; `None` at points where nothing was measured, which cost and change nothing.
pub fn cheapest(points: &[Point], change: f64) -> Vec<Option<&str>> {
    let mut names: Vec<&str> = Vec::new();
    for (id, _) in points.iter().flat_map(|p| candidates(&p.problem)) {
        if !names.contains(&id) {
            names.push(id);
        }
    }
    // total[v]: cost of the cheapest path that ends with variant v; came[i][v]: the variant before it.
    let mut total = vec![0.0; names.len()];
    let mut came: Vec<Option<Vec<usize>>> = Vec::new();
    for point in points {
        let Some(best) = fastest(&point.problem) else {
            came.push(None);
            continue;
        };
        let cheapest = smallest(&total);
        let mut from = Vec::with_capacity(names.len());
        let step = |(v, name): (usize, &&str)| {
            let stay = total[v] <= total[cheapest] + change;
            from.push(if stay { v } else { cheapest });
            let before = if stay { total[v] } else { total[cheapest] + change };
            before + time(point, name).map_or(f64::INFINITY, |t| (t / best).ln())
        };
        total = names.iter().enumerate().map(step).collect();
        came.push(Some(from));
    }
    let mut at = smallest(&total);
    let mut winners = vec![None; points.len()];
    for (winner, from) in winners.iter_mut().zip(&came).rev() {
        if let Some(from) = from {
            *winner = Some(names[at]);
            at = from[at];
        }
    }
    winners
}

fn smallest(total: &[f64]) -> usize {
    (0..total.len()).min_by(|a, b| total[*a].total_cmp(&total[*b])).unwrap_or(0)
}
