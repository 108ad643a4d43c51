//! Search for the scales of a super-block: the smallest weighted squared error found by alternating between rounding
//! the quants and solving for the scales.
//!
//! A large weight of the model moves its output more than a small one, so the error of x counts rms + |x|, where rms is
//! taken over the super-block.

use super::plain::{F16, f16_to_f32};

/// Tried stretches of a sub-block's range, in steps of one level: with a few values cut off at the ends, or with the
/// levels at the ends unused, the others may fit better.
const STRETCHES: [f32; 6] = [-1.3, -0.9, -0.6, -0.3, 0.0, 0.3];

/// Rounds of alternation at most; most blocks settle earlier.
const ROUNDS: usize = 3;

/// A super-block `d * scale * q - dmin * min`.
pub struct Affine<const L: usize, const SUBS: usize> {
    pub d: F16,
    pub dmin: F16,
    pub scales: [u8; SUBS],
    pub mins: [u8; SUBS],
    pub q: [[u8; L]; SUBS],
}

/// A super-block `d * scale * q`, the quants biased to start at 0.
pub struct Symmetric<const L: usize, const SUBS: usize> {
    pub d: F16,
    pub scales: [i8; SUBS],
    pub q: [[u8; L]; SUBS],
}

/// Fits `x` with quants up to `levels` and integer scales and minima up to `scale_max`.
#[inline(always)]
pub fn affine<const L: usize, const SUBS: usize>(x: &[[f32; L]; SUBS], levels: f32, scale_max: f32) -> Affine<L, SUBS> {
    let w = importance(x);
    let mut lines = [Line::default(); SUBS];
    for sub in 0..SUBS {
        lines[sub] = fit_line(&x[sub], &w[sub], levels);
    }
    let mut d = at_least(lines.iter().fold(0.0, |a, l| l.scale.max(a)) / scale_max);
    let mut dmin = at_least(lines.iter().fold(0.0, |a, l| l.min.max(a)) / scale_max);

    let mut best = (f32::INFINITY, d, dmin, [Line::default(); SUBS]);
    for _ in 0..ROUNDS {
        let mut error = 0.0;
        let mut steps = [Line::default(); SUBS];
        for sub in 0..SUBS {
            let target = Line { scale: lines[sub].scale / d, min: lines[sub].min / dmin };
            let (e, step) = nearest_line(&x[sub], &w[sub], levels, scale_max, Line { scale: d, min: dmin }, target);
            (error, steps[sub]) = (error + e, step);
        }
        if error >= best.0 {
            break;
        }
        best = (error, d, dmin, steps);
        (d, dmin) = refit_affine(x, &w, levels, d, dmin, &steps);
    }

    let (_, d, dmin, steps) = best;
    let line = |step: Line| Line { scale: d * step.scale, min: dmin * step.min };
    Affine {
        d: F16::new(d),
        dmin: F16::new(dmin),
        scales: steps.map(|s| s.scale as u8),
        mins: steps.map(|s| s.min as u8),
        q: std::array::from_fn(|sub| line(steps[sub]).quants(&x[sub], levels).map(|q| q as u8)),
    }
}

/// Fits `x` with quants `-bias..bias` and integer scales `-scale_max..scale_max`.
#[inline(always)]
pub fn symmetric<const L: usize, const SUBS: usize>(
    x: &[[f32; L]; SUBS],
    bias: f32,
    scale_max: f32,
) -> Symmetric<L, SUBS> {
    let w = importance(x);
    let mut scales = [0.0; SUBS];
    for sub in 0..SUBS {
        scales[sub] = fit_scale(&x[sub], &w[sub], bias);
    }
    // The integer range reaches one further on the negative side; the largest scale goes there.
    let mut d = at_least(farthest(&scales) / -scale_max);

    let mut best = (f32::INFINITY, d, [0.0; SUBS]);
    for _ in 0..ROUNDS {
        let mut error = 0.0;
        let mut steps = [0.0; SUBS];
        let (mut xq, mut qq) = (0.0, 0.0);
        for sub in 0..SUBS {
            let target = quotient(scales[sub], d).floor();
            let mut nearest = f32::INFINITY;
            for step in [target, target + 1.0] {
                let step = step.max(-scale_max).min(scale_max - 1.0);
                let e = scale_error(&x[sub], &w[sub], &scale_quants(&x[sub], d * step, bias), d * step);
                if e < nearest {
                    (nearest, steps[sub]) = (e, step);
                }
            }
            error += nearest;
            let q = scale_quants(&x[sub], d * steps[sub], bias);
            let [_, _, s_qq, s_xq, _] = sums(&x[sub], &w[sub], &q);
            xq += steps[sub] * s_xq;
            qq += steps[sub] * steps[sub] * s_qq;
        }
        if error >= best.0 {
            break;
        }
        best = (error, d, steps);
        d = storable(quotient(xq, qq));
    }

    let (_, d, steps) = best;
    Symmetric {
        d: F16::new(d),
        scales: steps.map(|s| s as i8),
        q: std::array::from_fn(|sub| scale_quants(&x[sub], d * steps[sub], bias).map(|q| (q + bias) as u8)),
    }
}

/// The scale and the codes that fit `x` by the ascending `levels`.
#[inline(always)]
pub fn scale_for_levels<const L: usize>(x: &[f32; L], levels: &[f32; 16]) -> (F16, [u8; L]) {
    let [w] = importance(&[*x]);
    let codes = |scale: f32| {
        let inverse = quotient(1.0, scale);
        x.map(|x| levels.windows(2).fold(0, |code, pair| code + u8::from(x * inverse > 0.5 * (pair[0] + pair[1]))))
    };
    let extreme = farthest(x);
    let mut best = (f32::INFINITY, 0.0);
    for end in [levels[0], levels[15]] {
        for stretch in STRETCHES {
            let mut scale = extreme / (end * (1.0 + stretch / 16.0));
            for _ in 0..ROUNDS {
                let q = codes(scale).map(|code| levels[usize::from(code & 15)]);
                let error = scale_error(x, &w, &q, scale);
                if error >= best.0 {
                    break;
                }
                best = (error, scale);
                let [_, _, sqq, sxq, _] = sums(x, &w, &q);
                scale = storable(quotient(sxq, sqq));
            }
        }
    }
    let d = storable(best.1);
    (F16::new(d), codes(d))
}

/// `scale * q - min`, neither below zero.
#[derive(Clone, Copy, Default)]
struct Line {
    scale: f32,
    min: f32,
}

impl Line {
    #[inline(always)]
    fn quants<const L: usize>(self, x: &[f32; L], levels: f32) -> [f32; L] {
        let inverse = quotient(1.0, self.scale);
        x.map(|x| round((x + self.min) * inverse, 0.0, levels))
    }

    #[inline(always)]
    fn error<const L: usize>(self, x: &[f32; L], w: &[f32; L], q: &[f32; L]) -> f32 {
        let mut e = [0.0; 8];
        for ((x, w), q) in eights(x).iter().zip(eights(w)).zip(eights(q)) {
            for l in 0..8 {
                let miss = self.scale * q[l] - self.min - x[l];
                e[l] += w[l] * miss * miss;
            }
        }
        total(e)
    }

    /// The line of least squares through the points (q, x).
    #[inline(always)]
    fn through<const L: usize>(x: &[f32; L], w: &[f32; L], q: &[f32; L]) -> Line {
        let [one, sq, sqq, sxq, sx] = sums(x, w, q);
        let det = one * sqq - sq * sq;
        let min = quotient(sq * sxq - sqq * sx, det);
        if det > 0.0 && min >= 0.0 {
            Line { scale: quotient(one * sxq - sx * sq, det).max(0.0), min }
        } else {
            Line { scale: quotient(sxq, sqq).max(0.0), min: 0.0 }
        }
    }
}

/// The line for one sub-block, before its scales become integers.
#[inline(always)]
fn fit_line<const L: usize>(x: &[f32; L], w: &[f32; L], levels: f32) -> Line {
    let low = x.iter().fold(0.0, |a: f32, &v| if v < a { v } else { a });
    let high = x.iter().fold(x[0], |a, &v| if v > a { v } else { a });
    let mut best = Line { scale: 0.0, min: low.abs() };
    if high <= low {
        return best;
    }
    let mut least = best.error(x, w, &[0.0; L]);
    for stretch in STRETCHES {
        let mut line = Line { scale: (high - low) / (levels + stretch), min: low.abs() };
        for _ in 0..ROUNDS {
            let q = line.quants(x, levels);
            line = Line::through(x, w, &q);
            let error = line.error(x, w, &q);
            if error >= least {
                break;
            }
            (least, best) = (error, line);
        }
    }
    best
}

/// The pair of integer steps around `target` with the least error.
#[inline(always)]
fn nearest_line<const L: usize>(
    x: &[f32; L],
    w: &[f32; L],
    levels: f32,
    scale_max: f32,
    unit: Line,
    target: Line,
) -> (f32, Line) {
    let mut best = (f32::INFINITY, Line::default());
    let around = |v: f32| if v.is_finite() { [v.floor(), v.floor() + 1.0] } else { [0.0, 0.0] };
    for scale in around(target.scale) {
        for min in around(target.min) {
            let step = Line { scale: scale.min(scale_max), min: min.min(scale_max) };
            let line = Line { scale: unit.scale * step.scale, min: unit.min * step.min };
            let error = line.error(x, w, &line.quants(x, levels));
            if error < best.0 {
                best = (error, step);
            }
        }
    }
    best
}

/// The d and dmin of least squares for fixed integer steps and quants.
#[inline(always)]
fn refit_affine<const L: usize, const SUBS: usize>(
    x: &[[f32; L]; SUBS],
    w: &[[f32; L]; SUBS],
    levels: f32,
    d: f32,
    dmin: f32,
    steps: &[Line; SUBS],
) -> (f32, f32) {
    // Unknowns d and dmin of x = d * a - dmin * b with a = scale * q and b = min.
    let (mut aa, mut ab, mut bb, mut xa, mut xb) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for sub in 0..SUBS {
        let Line { scale, min } = steps[sub];
        let q = Line { scale: d * scale, min: dmin * min }.quants(&x[sub], levels);
        let [one, sq, sqq, sxq, sx] = sums(&x[sub], &w[sub], &q);
        aa += scale * scale * sqq;
        ab += scale * min * sq;
        bb += min * min * one;
        xa += scale * sxq;
        xb += min * sx;
    }
    let det = aa * bb - ab * ab;
    if det > 0.0 {
        (storable(((xa * bb - xb * ab) / det).max(0.0)), storable(((xa * ab - xb * aa) / det).max(0.0)))
    } else {
        (storable(quotient(xa, aa).max(0.0)), dmin)
    }
}

/// The scale for one sub-block, of either sign, before it becomes an integer.
#[inline(always)]
fn fit_scale<const L: usize>(x: &[f32; L], w: &[f32; L], bias: f32) -> f32 {
    let extreme = farthest(x);
    let mut best = 0.0;
    let mut least = scale_error(x, w, &[0.0; L], 0.0);
    for stretch in STRETCHES {
        let mut scale = extreme / -(bias + stretch);
        for _ in 0..ROUNDS {
            let q = scale_quants(x, scale, bias);
            let [_, _, sqq, sxq, _] = sums(x, w, &q);
            scale = quotient(sxq, sqq);
            let error = scale_error(x, w, &q, scale);
            if error >= least {
                break;
            }
            (least, best) = (error, scale);
        }
    }
    best
}

#[inline(always)]
fn scale_quants<const L: usize>(x: &[f32; L], scale: f32, bias: f32) -> [f32; L] {
    let inverse = quotient(1.0, scale);
    x.map(|x| round(x * inverse, -bias, bias - 1.0))
}

#[inline(always)]
fn scale_error<const L: usize>(x: &[f32; L], w: &[f32; L], q: &[f32; L], scale: f32) -> f32 {
    Line { scale, min: 0.0 }.error(x, w, q)
}

/// Weighted sums of 1, q, q * q, x * q and x.
#[inline(always)]
fn sums<const L: usize>(x: &[f32; L], w: &[f32; L], q: &[f32; L]) -> [f32; 5] {
    let [mut one, mut sq, mut sqq, mut sxq, mut sx] = [[0.0; 8]; 5];
    for ((x, w), q) in eights(x).iter().zip(eights(w)).zip(eights(q)) {
        for l in 0..8 {
            let wq = w[l] * q[l];
            one[l] += w[l];
            sq[l] += wq;
            sqq[l] += wq * q[l];
            sxq[l] += wq * x[l];
            sx[l] += w[l] * x[l];
        }
    }
    [one, sq, sqq, sxq, sx].map(total)
}

/// Runs of eight, the width that sums are kept in.
#[inline(always)]
fn eights<const L: usize>(x: &[f32; L]) -> &[[f32; 8]] {
    x.as_chunks().0
}

#[inline(always)]
fn importance<const L: usize, const SUBS: usize>(x: &[[f32; L]; SUBS]) -> [[f32; L]; SUBS] {
    let mut squares = [0.0; 8];
    for x in x {
        for i in 0..L {
            squares[i % 8] += x[i] * x[i];
        }
    }
    let rms = (total(squares) / (L * SUBS) as f32).sqrt();
    x.map(|x| x.map(|x| rms + x.abs()))
}

/// The first half from `d` on, away from zero: below it, the largest integer scale would cut values off.
#[inline(always)]
fn at_least(d: f32) -> f32 {
    let half = F16::new(d);
    let next = if half.get().abs() < d.abs() { half.bits() + 1 } else { half.bits() };
    f16_to_f32(next)
}

/// The half nearest to `d`, but not zero where `d` is not: the integer scales make up for the coarse step.
#[inline(always)]
fn storable(d: f32) -> f32 {
    let smallest = f32::from_bits(0x3380_0000);
    let half = F16::new(d).get();
    if half == 0.0 && d != 0.0 { smallest.copysign(d) } else { half }
}

/// The first of the values with the largest magnitude, with its sign.
#[inline(always)]
fn farthest(x: &[f32]) -> f32 {
    x.iter().fold(0.0, |a: f32, &v| if v.abs() > a.abs() { v } else { a })
}

/// a / b, or 0 where that is not finite.
#[inline(always)]
fn quotient(a: f32, b: f32) -> f32 {
    let q = a / b;
    if q.is_finite() { q } else { 0.0 }
}

/// The nearest whole number within `low..=high`.
#[inline(always)]
fn round(x: f32, low: f32, high: f32) -> f32 {
    // Sums near 1.5 * 2^23 have steps of one.
    const STEP_ONE: f32 = 12_582_912.0;
    (x.max(low).min(high) + STEP_ONE) - STEP_ONE
}

#[inline(always)]
fn total(lanes: [f32; 8]) -> f32 {
    let [a, b, c, d, e, f, g, h] = lanes;
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}
