//! A report like a real one, made up from a seed: for tests.

use metallic_kernels::cases::Rng;

use crate::record::*;
use crate::stats::{median, percentile};

/// Shapes of the fixture: one row of weights, few rows, prefill, and a series along n.
const SHAPES: [(usize, usize, usize); 12] = [
    (1, 896, 896),
    (1, 9728, 896),
    (1, 896, 4864),
    (1, 151936, 896),
    (16, 4096, 4096),
    (512, 4096, 4096),
    (1, 256, 4096),
    (1, 512, 4096),
    (1, 1024, 4096),
    (1, 2048, 4096),
    (1, 4096, 4096),
    (1, 8192, 4096),
];

/// Families of the fixture with their efficiency at one row and at many, and whether they are enabled.
const VARIANTS: [(&str, &str, f64, f64, bool); 8] = [
    ("ksplit/f16_half_bn4_tg128", "msl", 0.82, 0.02, true),
    ("ksplit/f16_half_bn8_tg256", "msl", 0.74, 0.03, true),
    ("m1_optimized_v4/nt_bn8_largek_smalln_tg256", "msl", 0.69, 0.01, true),
    ("gemm/f16_half_64x64x32", "msl", 0.2, 0.55, true),
    ("gemm/f16_half_128x128x32", "msl", 0.1, 0.66, true),
    ("plain/any", "msl", 0.05, 0.001, true),
    ("wgmma/f16_128x256x64", "cuda", 0.15, 0.78, false),
    ("cublas/gemm_ex", "library", 0.71, 0.8, true),
];

/// A run on a made-up GPU. `slowed` multiplies the times of variants that it names.
pub fn report(seed: u64, slowed: &[(&str, f64)]) -> Report {
    let mut rng = Rng(seed);
    let roofline = Roofline {
        read: 4.1e12,
        write: 3.6e12,
        copy: 3.8e12,
        f32_flops: 5.2e13,
        f16_flops: 7.4e14,
        launch_us: 2.1,
        barrier_us: Some(0.9),
        cache_bytes: Some(50 << 20),
    };
    let problems = SHAPES.iter().map(|s| problem(&mut rng, &roofline, *s, slowed)).collect();
    let state = |mhz: f64| Condition {
        clock_mhz: Some(mhz),
        memory_mhz: Some(3201.0),
        celsius: Some(41.0),
        watts: Some(212.0),
    };
    let header = Header {
        schema: SCHEMA,
        started: format!("2026-11-{:02}T08:15:00Z", 1 + seed % 28),
        version: "0.1.0".to_owned(),
        commit: format!("c0ffee{seed:06x}"),
        command: "metallic probe --device cuda --spec specs/matmul.json --rounds 20".to_owned(),
        device: "cuda".to_owned(),
        description: "Made-up GPU 80GB, 132 SMs, driver 550.1, NVRTC 12.4".to_owned(),
        conditions: vec![state(1980.0), state(1965.0)],
        seconds: 71.3,
    };
    Report { header, roofline: Some(roofline), problems }
}

fn problem(rng: &mut Rng, roofline: &Roofline, (m, n, k): (usize, usize, usize), slowed: &[(&str, f64)]) -> Problem {
    let (bytes, flops) = (2 * (m * k + n * k + m * n) as u64, 2 * (m * n * k) as u64);
    let floor = 1e6 * (bytes as f64 / roofline.read).max(flops as f64 / roofline.f16_flops);
    let entries = VARIANTS
        .iter()
        .map(|&(id, target, one, many, enabled)| {
            let part = if m == 1 { one } else { many };
            let slow = slowed.iter().find(|(name, _)| *name == id).map_or(1.0, |(_, by)| *by);
            let us = (floor / part + roofline.launch_us) * slow;
            let outcome = match (id, m, n) {
                ("m1_optimized_v4/nt_bn8_largek_smalln_tg256", 2.., _) => {
                    Outcome::Gap { reason: format!("m={m} is outside [1]") }
                }
                ("ksplit/f16_half_bn4_tg128" | "ksplit/f16_half_bn8_tg256", 17.., _) => {
                    Outcome::Gap { reason: format!("m={m} is outside ..=16") }
                }
                ("gemm/f16_half_64x64x32", _, 151936) => {
                    Outcome::Failed { reason: "element 131072 of y is 0.41, expected -1.93 (budget 0.02)".to_owned() }
                }
                ("plain/any", _, 896) if k == 896 => Outcome::Impossible {
                    reason: "0.2 us is less than the 0.4 us that memory takes for 1607424 bytes".to_owned(),
                },
                _ => Outcome::Measured(measured(rng, us)),
            };
            Entry { variant: id.to_owned(), target: target.to_owned(), enabled, outcome }
        })
        .collect();
    Problem {
        op: "matmul".to_owned(),
        title: format!("{m}x{n}x{k} NT f16"),
        key: format!("matmul m={m} n={n} k={k} f16/row act=f16 tb"),
        shape: Shape { m, n, k, batch: 1 },
        detail: String::new(),
        bytes,
        flops,
        floor_us: Some((floor * 1e4).round() / 1e4),
        entries,
    }
}

fn measured(rng: &mut Rng, us: f64) -> Measured {
    let mut times = |us: f64| {
        // Short decimals come out of JSON to the last bit.
        let short = |v: f64| (v * 1e4).round() / 1e4;
        let rounds: Vec<f64> = (0..20).map(|_| short(us * f64::from(rng.normal() * 0.008).exp())).collect();
        let at = |p| short(percentile(&rounds, p));
        Times {
            median_us: short(median(&rounds)),
            low_us: at(0.3),
            high_us: at(0.7),
            host_us: short(us * 1.02),
            launches: 64,
            rounds: rounds.clone(),
        }
    };
    Measured {
        check: Check { compared: 4096, elements: 65536, worst: 0.18 },
        cold: times(us),
        hot: times(us * 0.85),
        entry: "matvec_f16_half".to_owned(),
        grid: [1216, 1, 1],
        threads: [128, 1, 1],
    }
}
