//! Which tokens remain, and one of them.

use std::cmp::Ordering;

/// A token that may be drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Candidate {
    pub logit: f32,
    pub id: u32,
}

/// Most likely first, of equals the lowest id.
fn order(a: &Candidate, b: &Candidate) -> Ordering {
    b.logit.total_cmp(&a.logit).then(a.id.cmp(&b.id))
}

/// The most likely token, of equals the lowest, with its logit; `None` where all are forbidden.
pub(super) fn best(logits: &[f32]) -> Option<(u32, f32)> {
    // Sixteen running maxima: one would make every comparison wait for the one before.
    let (chunks, tail) = logits.as_chunks::<16>();
    let mut tops = [f32::NEG_INFINITY; 16];
    for chunk in chunks {
        for (top, &l) in tops.iter_mut().zip(chunk) {
            *top = if l > *top { l } else { *top };
        }
    }
    let top = tops.iter().chain(tail).fold(f32::NEG_INFINITY, |m, &l| if l > m { l } else { m });
    if top == f32::NEG_INFINITY {
        return None;
    }
    logits.iter().position(|&l| l == top).map(|id| (id as u32, top))
}

/// The first token whose logit is NaN or infinite; -inf is a forbidden token.
pub(super) fn broken(logits: &[f32]) -> Option<usize> {
    let bad = |l: &f32| l.is_nan() || *l == f32::INFINITY;
    let chunk = logits.chunks(64).position(|c| c.iter().fold(false, |any, l| any | bad(l)))?;
    logits[chunk * 64..].iter().position(bad).map(|i| chunk * 64 + i)
}

/// Every token that is not forbidden, in the order of ids.
pub(super) fn all(logits: &[f32], out: &mut Vec<Candidate>) {
    out.clear();
    let candidates = logits.iter().enumerate().map(|(id, &logit)| Candidate { logit, id: id as u32 });
    out.extend(candidates.filter(|c| c.logit > f32::NEG_INFINITY));
}

/// The `k` most likely tokens in order. One pass with a rising threshold: most of the vocabulary costs one comparison.
pub(super) fn top_k(logits: &[f32], k: usize, out: &mut Vec<Candidate>) {
    const CHUNK: usize = 64;
    let k = k.min(logits.len());
    out.clear();
    let room = (2 * k).max(2 * CHUNK);
    let mut threshold = f32::NEG_INFINITY;
    for (at, chunk) in logits.chunks(CHUNK).enumerate() {
        if !chunk.iter().fold(false, |any, &l| any | (l > threshold)) {
            continue;
        }
        for (i, &logit) in chunk.iter().enumerate() {
            if logit > threshold {
                out.push(Candidate { logit, id: (at * CHUNK + i) as u32 });
            }
        }
        if out.len() >= room {
            out.select_nth_unstable_by(k - 1, order);
            out.truncate(k);
            // Later tokens with this very logit have higher ids and lose against it.
            threshold = out[k - 1].logit;
        }
    }
    if out.len() > k {
        out.select_nth_unstable_by(k - 1, order);
        out.truncate(k);
    }
    out.sort_unstable_by(order);
}

/// Sum of exp(logit - top).
pub(super) fn mass(logits: impl Iterator<Item = f32>, top: f32) -> f64 {
    logits.map(|l| f64::from((l - top).exp())).sum()
}

/// Cuts candidates in order after the one with which their probability reaches `p`. False where it never does.
pub(super) fn cut_top_p(kept: &mut Vec<Candidate>, p: f32, top: f32, total: f64) -> bool {
    if p >= 1.0 {
        return true;
    }
    let mut sum = 0.0;
    let reached = kept.iter().position(|c| {
        sum += f64::from((c.logit - top).exp());
        sum >= f64::from(p) * total
    });
    if let Some(at) = reached {
        kept.truncate(at + 1);
    }
    reached.is_some()
}

/// The fewest most likely tokens with probability `p` together, out of all: few are sorted, more only where they do not
/// suffice.
pub(super) fn top_p(logits: &[f32], p: f32, top: f32, out: &mut Vec<Candidate>) {
    let total = mass(logits.iter().copied(), top);
    let mut k = 128;
    loop {
        top_k(logits, k, out);
        if cut_top_p(out, p, top, total) || k >= logits.len() {
            return;
        }
        k *= 8;
    }
}

/// The candidate at `u` (0 to 1) of the probability mass at a temperature.
pub(super) fn draw(kept: &[Candidate], top: f32, temperature: f32, u: f64) -> Option<u32> {
    let weight = |c: &Candidate| f64::from(((c.logit - top) / temperature).exp());
    let goal = u * kept.iter().map(weight).sum::<f64>();
    let mut sum = 0.0;
    let hit = kept.iter().find(|c| {
        sum += weight(c);
        sum > goal
    });
    hit.or(kept.last()).map(|c| c.id)
}
