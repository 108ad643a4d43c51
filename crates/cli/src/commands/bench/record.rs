//! One line of a benchmark's result, with llama-bench's names where it has one.

use super::measure::{Sample, Test};
use crate::clock;
use crate::output::{self, Align, Bytes, Count, Table};
use metallic_device::Device;
use metallic_device::cpu::Cpu;
use metallic_kernels::DType;
use metallic_model::ModelFile;
use metallic_probe::stats;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

/// What all records of a loaded model share.
#[derive(Clone, Debug, Serialize)]
pub struct Fixed {
    build_commit: &'static str,
    cpu_info: String,
    model_filename: String,
    model_type: String,
    model_size: u64,
    model_n_params: u64,
    n_threads: usize,
    type_k: &'static str,
    type_v: &'static str,
}

impl Fixed {
    /// Describes `file` on `cpu`.
    pub fn new(path: &Path, file: &ModelFile, cpu: &Cpu, kv: &'static str) -> Fixed {
        let parameters: u64 = file.tensors().map(|t| t.elements() as u64).sum();
        let mut by_type: BTreeMap<DType, u64> = BTreeMap::new();
        for t in file.tensors() {
            *by_type.entry(t.dtype).or_default() += t.elements() as u64;
        }
        let main = by_type.into_iter().max_by_key(|(_, n)| *n).map_or("", |(d, _)| d.name());
        Fixed {
            build_commit: env!("METALLIC_COMMIT"),
            cpu_info: cpu.describe(),
            model_filename: path.display().to_string(),
            model_type: format!("{} {} {main}", file.config().arch.name(), Count(parameters)),
            model_size: file.tensors().map(|t| t.byte_len() as u64).sum(),
            model_n_params: parameters,
            n_threads: cpu.limits().max_threads,
            type_k: kv,
            type_v: kv,
        }
    }
}

/// What a repetition has to do.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// Bytes read.
    pub bytes: f64,
    /// Operations done.
    pub operations: f64,
}

/// A rate of computing.
#[derive(Clone, Copy, Debug)]
pub struct Peak {
    /// The instructions that reach it.
    pub name: &'static str,
    /// Operations a second.
    pub operations: f64,
}

/// What the machine can do, as measured in the same run.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes a second from memory.
    pub read: f64,
    /// Bytes a second of as many bytes as the weights, read again and again.
    pub resident: f64,
    /// The compute peak of the instructions that were used.
    pub peak: Peak,
}

/// The result of one test.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    #[serde(flatten)]
    fixed: Fixed,
    n_prompt: usize,
    n_gen: usize,
    n_depth: usize,
    test_time: String,
    avg_ns: u64,
    stddev_ns: u64,
    avg_ts: f64,
    stddev_ts: f64,
    median_ts: f64,
    min_ts: f64,
    max_ts: f64,
    samples_ns: Vec<u64>,
    samples_ts: Vec<f64>,
    /// Seconds to the first token; for a prompt alone, to its end.
    ttft: f64,
    /// Seconds between tokens.
    inter_token_p50: f64,
    inter_token_p90: f64,
    inter_token_p99: f64,
    bytes_per_token: f64,
    operations_per_token: f64,
    /// Bytes a second that were read from memory in this run.
    read_bandwidth: f64,
    /// Bytes a second when as many bytes as the weights are read again and again.
    resident_bandwidth: f64,
    compute_peak: f64,
    compute_peak_of: &'static str,
    bandwidth_fraction: f64,
    compute_fraction: f64,
}

impl Record {
    /// Sums the repetitions up.
    pub fn new(fixed: &Fixed, test: Test, samples: &[Sample], limits: &Limits, work: Work) -> Record {
        let tokens = (test.prompt + test.generate) as f64;
        let seconds: Vec<f64> = samples.iter().map(|s| s.total).collect();
        let speeds: Vec<f64> = seconds.iter().map(|s| tokens / s).collect();
        let firsts: Vec<f64> = samples.iter().map(|s| s.first).collect();
        let gaps: Vec<f64> = samples.iter().flat_map(|s| s.gaps.iter().copied()).collect();
        let nanoseconds: Vec<f64> = seconds.iter().map(|s| s * 1e9).collect();
        let typical = stats::median(&seconds);
        let Limits { read, resident, peak } = *limits;
        Record {
            fixed: fixed.clone(),
            n_prompt: test.prompt,
            n_gen: test.generate,
            n_depth: 0,
            test_time: clock::now(),
            avg_ns: stats::mean(&nanoseconds) as u64,
            stddev_ns: stats::stddev(&nanoseconds) as u64,
            avg_ts: stats::mean(&speeds),
            stddev_ts: stats::stddev(&speeds),
            median_ts: stats::median(&speeds),
            min_ts: stats::min(&speeds),
            max_ts: stats::max(&speeds),
            samples_ns: nanoseconds.iter().map(|n| *n as u64).collect(),
            samples_ts: speeds,
            ttft: stats::median(&firsts),
            inter_token_p50: stats::percentile(&gaps, 0.50),
            inter_token_p90: stats::percentile(&gaps, 0.90),
            inter_token_p99: stats::percentile(&gaps, 0.99),
            bytes_per_token: work.bytes / tokens,
            operations_per_token: work.operations / tokens,
            read_bandwidth: read,
            resident_bandwidth: resident,
            compute_peak: peak.operations,
            compute_peak_of: peak.name,
            bandwidth_fraction: work.bytes / typical / read,
            compute_fraction: work.operations / typical / peak.operations,
        }
    }

    /// llama-bench's name of the test: pp512, tg128.
    pub fn test(&self) -> String {
        if self.n_gen == 0 { format!("pp{}", self.n_prompt) } else { format!("tg{}", self.n_gen) }
    }

    /// The fraction of the limit that it comes closest to. Where a cache holds the weights, the cache's speed is the limit.
    pub fn worst_fraction(&self) -> f64 {
        self.reachable_fraction().max(self.compute_fraction)
    }

    /// Name of that limit.
    pub fn worst_limit(&self) -> &'static str {
        if self.reachable_fraction() >= self.compute_fraction { "read bandwidth" } else { "compute peak" }
    }

    fn reachable_fraction(&self) -> f64 {
        self.bandwidth_fraction * self.read_bandwidth / self.read_bandwidth.max(self.resident_bandwidth)
    }
}

/// Prints a table as llama-bench's, with more columns.
pub fn write_markdown(records: &[Record]) -> anyhow::Result<()> {
    use Align::{Left, Right};
    let mut table = Table::new(&[
        ("model", Left),
        ("size", Right),
        ("params", Right),
        ("threads", Right),
        ("test", Right),
        ("t/s", Right),
        ("median", Right),
        ("min", Right),
        ("max", Right),
        ("% of bandwidth", Right),
        ("% of compute", Right),
        ("first token", Right),
        ("between p50/p90/p99", Right),
    ]);
    for r in records {
        let ms = |s: f64| format!("{:.2}", s * 1e3);
        let between = [r.inter_token_p50, r.inter_token_p90, r.inter_token_p99].map(ms).join(" / ");
        table.row([
            r.fixed.model_type.clone(),
            Bytes(r.fixed.model_size).to_string(),
            Count(r.fixed.model_n_params).to_string(),
            r.fixed.n_threads.to_string(),
            r.test(),
            format!("{:.2} ± {:.2}", r.avg_ts, r.stddev_ts),
            format!("{:.2}", r.median_ts),
            format!("{:.2}", r.min_ts),
            format!("{:.2}", r.max_ts),
            format!("{:.1}", r.bandwidth_fraction * 100.0),
            format!("{:.1}", r.compute_fraction * 100.0),
            format!("{} ms", ms(r.ttft)),
            if r.n_gen > 1 { format!("{between} ms") } else { String::new() },
        ]);
    }
    let mut out = output::stdout();
    table.write_markdown(&mut out)?;
    if let Some(r) = records.last() {
        let f = &r.fixed;
        writeln!(out, "\n{}; build {}; KV {}", f.cpu_info, f.build_commit, f.type_k)?;
        let mut peaks: Vec<_> = records.iter().map(|r| (r.compute_peak_of, r.compute_peak)).collect();
        peaks.dedup_by_key(|p| p.0);
        let peaks: Vec<_> = peaks.iter().map(|(name, p)| format!("{:.2} T operations/s of {name}", p / 1e12)).collect();
        writeln!(
            out,
            "limits measured in this run: {:.1} GB/s from memory, {:.1} GB/s reading as many bytes as the weights again \
             and again, {}",
            r.read_bandwidth / 1e9,
            r.resident_bandwidth / 1e9,
            peaks.join(", ")
        )?;
    }
    out.flush()?;
    Ok(())
}

/// Prints comma-separated values; lists of samples are joined by blanks.
pub fn write_csv(records: &[Record]) -> anyhow::Result<()> {
    let mut out = output::stdout();
    for (i, record) in records.iter().enumerate() {
        let Value::Object(fields) = serde_json::to_value(record)? else { continue };
        if i == 0 {
            writeln!(out, "{}", fields.keys().cloned().collect::<Vec<_>>().join(","))?;
        }
        writeln!(out, "{}", fields.values().map(cell).collect::<Vec<_>>().join(","))?;
    }
    out.flush()?;
    Ok(())
}

fn cell(value: &Value) -> String {
    let text = match value {
        Value::String(s) => s.clone(),
        Value::Array(items) => items.iter().map(Value::to_string).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    };
    format!("\"{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted() {
        assert_eq!(cell(&serde_json::json!("a \"b\", c")), "\"a \"\"b\"\", c\"");
        assert_eq!(cell(&serde_json::json!([1.5, 2.0])), "\"1.5 2.0\"");
    }
}
