//! What the environment asks of `probe`.

use crate::errors::Usage;
use metallic_kernels::contract::Variant;
use metallic_kernels::matmul;

/// Every variable that is read.
pub const NAMES: [&str; 3] = ["MATMUL_BACKENDS", "MATMUL_BENCH_ITERS", "METAL_RUN"];

/// Its values.
#[derive(Debug, Default, PartialEq)]
pub struct Environment {
    families: Vec<String>,
    /// Rounds.
    pub rounds: Option<usize>,
    run: Option<bool>,
}

impl Environment {
    /// Reads it.
    ///
    /// # Errors
    /// A value that means nothing, with those that would.
    pub fn read() -> anyhow::Result<Environment> {
        let known: Vec<String> = matmul::OP.variants()?.into_iter().map(|v| v.family).collect();
        // What is no UTF-8 is no value either, and is named as one.
        Ok(parse(&known, |name| Some(std::env::var_os(name)?.to_string_lossy().into_owned()))?)
    }

    /// Whether a variant takes part.
    pub fn takes(&self, v: &Variant) -> bool {
        v.op != "matmul" || self.families.is_empty() || self.families.contains(&v.family)
    }

    /// Whether what would run is only listed.
    pub fn lists_only(&self) -> bool {
        self.run == Some(false)
    }
}

fn parse(known: &[String], get: impl Fn(&str) -> Option<String>) -> Result<Environment, Usage> {
    let mut environment = Environment::default();
    for family in get(NAMES[0]).unwrap_or_default().split(',').map(str::trim).filter(|f| !f.is_empty()) {
        if !known.iter().any(|k| k == family) {
            let mut names = known.to_vec();
            names.sort();
            names.dedup();
            return Err(Usage(format!("MATMUL_BACKENDS: {family:?} is no family; families are {}", names.join(", "))));
        }
        environment.families.push(family.to_owned());
    }
    if let Some(text) = get(NAMES[1]) {
        let rounds = text.trim().parse().ok().filter(|r| (1..=100_000).contains(r));
        let wrong = || Usage(format!("MATMUL_BENCH_ITERS: {text:?} is no number of rounds from 1 to 100000"));
        environment.rounds = Some(rounds.ok_or_else(wrong)?);
    }
    environment.run = match get(NAMES[2]).as_deref().map(str::trim) {
        None | Some("") => None,
        Some("1" | "true") => Some(true),
        Some("0" | "false") => Some(false),
        Some(other) => return Err(Usage(format!("METAL_RUN: {other:?} is none of 1, true, 0, false"))),
    };
    Ok(environment)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(list: &[(&str, &str)]) -> Result<Environment, Usage> {
        let known = ["mlx".to_owned(), "gemv".to_owned()];
        parse(&known, |name| list.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    #[test]
    fn values_mean_something_or_are_errors() {
        assert_eq!(of(&[]).unwrap(), Environment::default());
        let set = of(&[("MATMUL_BACKENDS", "mlx, gemv"), ("MATMUL_BENCH_ITERS", "10"), ("METAL_RUN", "0")]).unwrap();
        assert_eq!((set.families.len(), set.rounds, set.lists_only()), (2, Some(10), true));
        assert!(!of(&[("METAL_RUN", "true")]).unwrap().lists_only());
        for (name, value, says) in [
            ("MATMUL_BACKENDS", "mlxx", "gemv, mlx"),
            ("MATMUL_BENCH_ITERS", "ten", "1 to 100000"),
            ("MATMUL_BENCH_ITERS", "0", "1 to 100000"),
            ("METAL_RUN", "yes", "1, true, 0, false"),
        ] {
            let why = of(&[(name, value)]).unwrap_err().to_string();
            assert!(why.contains(name) && why.contains(says), "{why}");
        }
    }
}
