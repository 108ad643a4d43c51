//! Which variants take part: patterns over `op/family/name`.

use metallic_kernels::contract::{Op, Variant};

/// A list of patterns; an empty one takes everything.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter(Vec<String>);

/// A pattern that takes no variant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{pattern:?} takes no variant; {}families are {families}", near.as_ref().map_or(String::new(), |v| format!("{v:?} would take one; ")))]
pub struct NoMatch {
    /// The pattern.
    pub pattern: String,
    /// A pattern with that name and the family before it, where there is one.
    pub near: Option<String>,
    /// What there is, as `op/family`.
    pub families: String,
}

impl Filter {
    /// Patterns `family`, `family/name` or `op/family/name`, in which `*` stands for anything. Each must take a variant of `ops`.
    ///
    /// # Errors
    /// One that takes none.
    pub fn new(patterns: &[String], ops: &[&Op]) -> Result<Filter, NoMatch> {
        let variants: Vec<Variant> = ops.iter().flat_map(|op| op.variants().unwrap_or_default()).collect();
        for pattern in patterns {
            if !variants.iter().any(|v| takes(pattern, v)) {
                let mut families: Vec<String> = variants.iter().map(|v| format!("{}/{}", v.op, v.family)).collect();
                families.sort();
                families.dedup();
                let near = variants.iter().find(|v| like(pattern, &v.name)).map(|v| format!("{}/{pattern}", v.family));
                return Err(NoMatch { pattern: pattern.clone(), near, families: families.join(", ") });
            }
        }
        Ok(Filter(patterns.to_vec()))
    }

    /// Whether a variant takes part.
    pub fn takes(&self, variant: &Variant) -> bool {
        self.0.is_empty() || self.0.iter().any(|p| takes(p, variant))
    }
}

fn takes(pattern: &str, v: &Variant) -> bool {
    let all = [v.op, &v.family, &v.name];
    let parts: Vec<&str> = pattern.split('/').collect();
    let matches =
        |from: usize| from + parts.len() <= all.len() && parts.iter().zip(&all[from..]).all(|(p, text)| like(p, text));
    // A name alone is a family's, else an op's.
    match parts.len() {
        1 => matches(1) || matches(0),
        2 => matches(1) || matches(0),
        _ => matches(0),
    }
}

/// Whether `text` is as `pattern` says, `*` standing for any run of characters.
fn like(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(text) = text.strip_prefix(head) else { return false };
    (0..=text.len()).filter(|&at| text.is_char_boundary(at)).any(|at| like(rest, &text[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, text, want) in [
            ("nt_*", "nt_bn8", true),
            ("*bn8*", "nt_bn8_tg64", true),
            ("*bn8", "nt_bn8_tg64", false),
            ("*", "", true),
            ("a*b*c", "a_b_b_c", true),
            ("a", "ab", false),
        ] {
            assert_eq!(like(pattern, text), want, "{pattern} {text}");
        }
    }

    #[test]
    fn patterns_name_families_names_and_ops() {
        let list = metallic_kernels::matmul::OP.variants().unwrap();
        let plain = list.iter().find(|v| v.id() == "cpu/plain").unwrap();
        for (pattern, want) in [
            ("cpu", true),
            ("cpu/plain", true),
            ("cpu/p*", true),
            ("matmul", true),
            ("matmul/cpu", true),
            ("matmul/cpu/plain", true),
            ("*/plain", true),
            ("ksplit", false),
            ("softmax/cpu/plain", false),
        ] {
            assert_eq!(takes(pattern, plain), want, "{pattern}");
        }
        let ops = [&metallic_kernels::matmul::OP];
        let wrong = Filter::new(&["cpuu".to_owned()], &ops).unwrap_err();
        assert!(wrong.to_string().contains("matmul/ksplit") && wrong.near.is_none(), "{wrong}");
        let name = Filter::new(&["portable".to_owned()], &ops).unwrap_err();
        assert!(name.to_string().contains("\"cpu/portable\" would take one"), "{name}");
    }
}
