//! Against computations that are straightforward, in f64, over the whole vocabulary, in the documented order.

use super::*;

/// Random logits with ties and forbidden tokens among them.
fn logits(seed: u64, n: usize) -> Vec<f32> {
    let at = |i: u64| (random::uniform(seed, i) * 40.0).round() as f32 / 4.0 - 5.0;
    let forbidden = |i: u64| random::uniform(seed ^ 77, i) < 0.05;
    (0..n as u64).map(|i| if forbidden(i) { f32::NEG_INFINITY } else { at(i) }).collect()
}

/// Probabilities after every sampler, by token.
fn expected(s: &Sampling, logits: &[f32], history: &[u32]) -> Vec<f64> {
    let mut l: Vec<f64> = logits.iter().map(|&v| f64::from(v)).collect();
    for &(id, bias) in &s.logit_bias {
        l[id as usize] += f64::from(bias);
    }
    let window = &history[history.len() - history.len().min(s.penalty_window)..];
    for (id, v) in l.iter_mut().enumerate() {
        let count = window.iter().filter(|&&t| t as usize == id).count();
        if count > 0 {
            *v = if *v > 0.0 { *v / f64::from(s.repeat_penalty) } else { *v * f64::from(s.repeat_penalty) };
            *v -= f64::from(s.presence_penalty) + f64::from(s.frequency_penalty) * count as f64;
        }
    }
    let mut ids: Vec<usize> = (0..l.len()).filter(|&i| l[i] > f64::NEG_INFINITY).collect();
    // Stable, so that of equals the lowest id comes first.
    ids.sort_by(|&a, &b| l[b].total_cmp(&l[a]));
    if s.top_k > 0 {
        ids.truncate(s.top_k);
    }
    let top = l[ids[0]];
    let total: f64 = ids.iter().map(|&i| (l[i] - top).exp()).sum();
    let mut sum = 0.0;
    let mut kept = Vec::new();
    for &i in &ids {
        kept.push(i);
        sum += (l[i] - top).exp() / total;
        if s.top_p < 1.0 && sum >= f64::from(s.top_p) {
            break;
        }
    }
    kept.retain(|&i| (l[i] - top).exp() >= f64::from(s.min_p) * (1.0 - 1e-6));
    let mut p = vec![0.0; l.len()];
    if s.temperature == 0.0 {
        p[ids[0]] = 1.0;
        return p;
    }
    let weight = |i: usize| ((l[i] - top) / f64::from(s.temperature)).exp();
    let total: f64 = kept.iter().map(|&i| weight(i)).sum();
    kept.iter().for_each(|&i| p[i] = weight(i) / total);
    p
}

fn sampling() -> Sampling {
    Sampling { temperature: 1.0, ..Sampling::greedy() }
}

fn settings() -> Vec<Sampling> {
    let all = Sampling {
        temperature: 0.7,
        top_k: 20,
        top_p: 0.9,
        min_p: 0.02,
        repeat_penalty: 1.3,
        presence_penalty: 0.4,
        frequency_penalty: 0.2,
        penalty_window: 6,
        logit_bias: vec![(3, 5.0), (4, f32::NEG_INFINITY)],
        seed: 0,
    };
    vec![
        sampling(),
        Sampling { temperature: 2.5, ..sampling() },
        Sampling { top_k: 5, ..sampling() },
        Sampling { top_k: 100_000, ..sampling() },
        Sampling { top_p: 0.5, ..sampling() },
        Sampling { top_p: 0.0, ..sampling() },
        Sampling { top_k: 30, top_p: 0.8, ..sampling() },
        Sampling { min_p: 0.1, ..sampling() },
        Sampling { repeat_penalty: 1.5, ..sampling() },
        Sampling { presence_penalty: 1.0, frequency_penalty: 0.5, penalty_window: 4, ..sampling() },
        Sampling { logit_bias: vec![(0, 3.0), (7, -2.0)], ..sampling() },
        Sampling { temperature: 0.0, repeat_penalty: 1.5, ..all.clone() },
        all,
    ]
}

/// Draws at evenly spread seeds have the expected frequencies: chi-squared, far beyond chance.
#[test]
fn draws_follow_the_straightforward_computation() {
    const DRAWS: u64 = 20_000;
    let history = [1, 2, 2, 9, 30, 31, 2, 40, 9, 3];
    let mut scratch = Scratch::new(50);
    for (case, s) in settings().into_iter().enumerate() {
        let from = logits(case as u64, 50);
        let want = expected(&s, &from, &history);
        let mut counts = vec![0u32; from.len()];
        let sampler = Sampler::new(Sampling { seed: 5, ..s }, 50).unwrap();
        for index in 0..DRAWS {
            let id = sampler.sample(&mut from.clone(), &history, index, &mut scratch).unwrap();
            counts[id as usize] += 1;
        }
        let (mut chi, mut bins) = (0.0, 0);
        for (&count, &p) in counts.iter().zip(&want) {
            assert!(p > 0.0 || count == 0, "case {case}: a token that is cut was drawn");
            let mean = p * DRAWS as f64;
            if mean > 5.0 {
                chi += (f64::from(count) - mean).powi(2) / mean;
                bins += 1;
            }
        }
        // Six standard deviations of the distribution above its mean.
        let bound = bins as f64 + 6.0 * (2.0 * bins as f64).sqrt();
        assert!(chi < bound, "case {case}: chi-squared {chi} of {bins} bins");
    }
}

#[test]
fn selections_equal_a_full_sort() {
    let mut out = Vec::new();
    for (seed, n) in [(1, 1), (2, 63), (3, 64), (4, 1000), (5, 5000)] {
        let from = logits(seed, n);
        let mut sorted: Vec<usize> = (0..n).filter(|&i| from[i] > f32::NEG_INFINITY).collect();
        sorted.sort_by(|&a, &b| from[b].total_cmp(&from[a]));
        let top = sorted.first().map_or(0.0, |&i| from[i]);
        for k in [1, 2, 40, 128, 999, 10_000, 1 << 63, usize::MAX] {
            select::top_k(&from, k, &mut out);
            let ids: Vec<usize> = out.iter().map(|c| c.id as usize).collect();
            assert_eq!(ids, sorted[..k.min(sorted.len())], "n={n} k={k}");
        }
        let total: f64 = sorted.iter().map(|&i| f64::from(from[i] - top).exp()).sum();
        for p in [0.1f32, 0.5, 0.95, 0.9999] {
            select::top_p(&from, p, top, &mut out);
            let mut sum = 0.0;
            let mut count = 0;
            // The last token's place is a matter of rounding where the sum meets p: one more or less is allowed.
            for &i in &sorted {
                count += 1;
                sum += f64::from(from[i] - top).exp() / total;
                if sum >= f64::from(p) {
                    break;
                }
            }
            assert!(out.len().abs_diff(count) <= 1, "n={n} p={p}: {} {count}", out.len());
            assert!(out.iter().zip(&sorted).all(|(c, &i)| c.id as usize == i));
        }
    }
}

#[test]
fn greedy_takes_the_lowest_of_equals() {
    let sampler = Sampler::new(Sampling::greedy(), 4).unwrap();
    let mut scratch = Scratch::new(4);
    assert_eq!(sampler.sample(&mut [0.0, 2.0, 2.0, 1.0], &[], 0, &mut scratch), Ok(1));
    assert_eq!(sampler.sample(&mut [-0.0, 0.0, -1.0, 0.0], &[], 0, &mut scratch), Ok(0));
}

#[test]
fn broken_logits_are_errors() {
    let sampler = Sampler::new(Sampling::default(), 3).unwrap();
    let mut scratch = Scratch::new(3);
    let mut run = |l: [f32; 3]| sampler.sample(&mut l.clone(), &[], 0, &mut scratch);
    assert!(matches!(run([0.0, f32::NAN, 1.0]), Err(SampleError::NotFinite { token: 1, .. })));
    assert!(matches!(run([0.0, 0.0, f32::INFINITY]), Err(SampleError::NotFinite { token: 2, .. })));
    assert_eq!(run([f32::NEG_INFINITY; 3]), Err(SampleError::NothingLeft));
    assert_eq!(run([f32::NEG_INFINITY, f32::NEG_INFINITY, -1e30]), Ok(2));
}

/// What would overflow stays finite, so that the tokens still have probabilities; what is forbidden stays so.
#[test]
fn extreme_settings_leave_probabilities() {
    let most = f32::MAX;
    let settings = [
        Sampling { logit_bias: vec![(1, most), (1, most), (2, most), (2, most)], ..sampling() },
        Sampling { logit_bias: vec![(0, -most), (0, -most)], ..sampling() },
        Sampling { repeat_penalty: f32::MIN_POSITIVE, ..sampling() },
        Sampling { repeat_penalty: most, logit_bias: vec![(0, -most), (1, -most), (2, -most)], ..sampling() },
        Sampling { presence_penalty: -most, frequency_penalty: -most, ..sampling() },
        Sampling { presence_penalty: most, frequency_penalty: most, ..sampling() },
    ];
    let mut scratch = Scratch::new(4);
    for (case, s) in settings.into_iter().enumerate() {
        for s in [s.clone(), Sampling { top_k: 3, ..s.clone() }, Sampling { top_p: 0.9, min_p: 0.1, ..s }] {
            let mut changed = [9.0, 1.0, 2.0, f32::NEG_INFINITY];
            let id = Sampler::new(s, 4).unwrap().sample(&mut changed, &[1, 1, 2, 3], 0, &mut scratch).unwrap();
            assert!(id < 3 && changed[..3].iter().all(|l| l.is_finite()), "case {case}: {id} of {changed:?}");
            assert_eq!(changed[3], f32::NEG_INFINITY, "case {case}");
        }
    }
    // Of two tokens that are pushed equally far, either is drawn.
    let equal = Sampling { logit_bias: vec![(1, most), (1, most), (2, most), (2, most)], ..sampling() };
    let sampler = Sampler::new(equal, 4).unwrap();
    let mut drawn: Vec<u32> = (0..50)
        .map(|index| sampler.sample(&mut [0.9 * most, 0.5 * most, 0.0, 1.0], &[], index, &mut scratch).unwrap())
        .collect();
    drawn.sort_unstable();
    drawn.dedup();
    assert_eq!(drawn, [1, 2]);
}

#[test]
fn logprobs_are_those_of_a_softmax() {
    let from: Vec<f32> = (0..300).map(|i| (i as f32 * 0.37).sin() * 8.0).collect();
    let total: f64 = from.iter().map(|&l| f64::from(l).exp()).sum();
    for id in [0u32, 4, 299] {
        let want = (f64::from(from[id as usize]).exp() / total).ln();
        assert!((f64::from(logprob(&from, id)) - want).abs() < 1e-5);
    }
}

#[test]
fn settings_out_of_range_are_named() {
    let bad = [
        (Sampling { temperature: f32::NAN, ..sampling() }, "temperature"),
        (Sampling { temperature: -1.0, ..sampling() }, "temperature"),
        (Sampling { top_p: 1.5, ..sampling() }, "top_p"),
        (Sampling { min_p: -0.1, ..sampling() }, "min_p"),
        (Sampling { repeat_penalty: 0.0, ..sampling() }, "repeat_penalty"),
        (Sampling { presence_penalty: f32::INFINITY, ..sampling() }, "presence_penalty"),
        (Sampling { frequency_penalty: f32::NAN, ..sampling() }, "frequency_penalty"),
        (Sampling { logit_bias: vec![(10, 0.0)], ..sampling() }, "logit bias for token 10"),
        (Sampling { logit_bias: vec![(1, f32::NAN)], ..sampling() }, "logit bias is NaN"),
        (
            Sampling { logit_bias: vec![(1, f32::INFINITY)], ..sampling() },
            "logit bias is inf, expected a finite number",
        ),
    ];
    for (s, named) in bad {
        let message = Sampler::new(s, 10).unwrap_err().to_string();
        assert!(message.contains(named), "{message}");
    }
}
