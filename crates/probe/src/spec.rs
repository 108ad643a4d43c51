//! What to measure: shapes, from a file of `specs/`, by that file's name, or one by one.
//!
//! A dimension, a stored type and a length may be lists; a shape with lists stands for every combination.

mod file;

use std::path::Path;

use metallic_kernels::DType;
use metallic_kernels::elementwise::Activation;

/// The specs that the program holds, by name.
pub const SPECS: [(&str, &str); 7] = [
    ("qwen2.5-0.5b", include_str!("../../../specs/qwen2.5-0.5b.json")),
    ("qwen2.5-1.5b", include_str!("../../../specs/qwen2.5-1.5b.json")),
    ("qwen2.5-7b", include_str!("../../../specs/qwen2.5-7b.json")),
    ("llama-3-8b", include_str!("../../../specs/llama-3-8b.json")),
    ("small-n", include_str!("../../../specs/small-n.json")),
    ("softmax", include_str!("../../../specs/softmax.json")),
    ("prefill", include_str!("../../../specs/prefill.json")),
];

/// A spec that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// Neither a name nor a file.
    #[error("{name:?} is neither a spec of this program ({known}) nor a file")]
    Unknown {
        /// What was asked for.
        name: String,
        /// Every name.
        known: String,
    },
    /// The file cannot be read.
    #[error("cannot read {name}: {source}")]
    Read {
        /// The file.
        name: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file does not parse.
    #[error("{name}: {source}")]
    Parse {
        /// The file or spec.
        name: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The file lists none.
    #[error("{name} names no shape")]
    Empty {
        /// The file or spec.
        name: String,
    },
    /// A shape that cannot be.
    #[error("{name}: {shape}: {why}")]
    Shape {
        /// The file or spec.
        name: String,
        /// The shape as written in a title.
        shape: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// A list of shapes with a name.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// Its name, or its file's.
    pub name: String,
    /// What it stands for.
    pub about: String,
    /// Every shape, lists expanded.
    pub shapes: Vec<Shape>,
}

/// One problem without data.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// A matrix product.
    Matmul(MatmulShape),
    /// A softmax.
    Softmax(SoftmaxShape),
}

/// `y = f(alpha x w^T + bias) + beta y`: see `metallic_kernels::matmul`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MatmulShape {
    /// Rows of x.
    pub m: usize,
    /// Outputs of a row.
    pub n: usize,
    /// Reduced dimension.
    pub k: usize,
    /// Problems.
    pub batch: usize,
    /// Stored type of w.
    pub w: DType,
    /// Type of x, y and the bias.
    pub act: DType,
    /// x is (k, m).
    pub ta: bool,
    /// w is (n, k), the usual weight, and not (k, n).
    pub tb: bool,
    /// A bias is added.
    pub bias: bool,
    /// The function on the result.
    pub activation: Activation,
    /// A second matrix gates the result.
    pub gated: bool,
    /// Factor on the product.
    pub alpha: f32,
    /// Factor on what y holds, which is added; 0 where y is only written.
    pub beta: f32,
}

impl Default for MatmulShape {
    fn default() -> MatmulShape {
        MatmulShape {
            m: 1,
            n: 1,
            k: 1,
            batch: 1,
            w: DType::F16,
            act: DType::F16,
            ta: false,
            tb: true,
            bias: false,
            activation: Activation::Identity,
            gated: false,
            alpha: 1.0,
            beta: 0.0,
        }
    }
}

/// Softmax of `batch` problems of m rows of k columns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SoftmaxShape {
    /// Rows.
    pub m: usize,
    /// Columns.
    pub k: usize,
    /// Problems.
    pub batch: usize,
    /// Type of x and y.
    pub act: DType,
    /// Rows see columns up to their own position, the last row all of them.
    pub causal: bool,
}

/// The activation function named `name`: `none`, `relu`, `gelu` or `silu`.
pub fn activation(name: &str) -> Option<Activation> {
    let all = [Activation::Identity, Activation::Relu, Activation::Gelu, Activation::Silu];
    all.into_iter().find(|a| activation_name(*a) == name)
}

/// How people write an activation function.
pub fn activation_name(a: Activation) -> &'static str {
    match a {
        Activation::Identity => "none",
        Activation::Relu => "relu",
        Activation::Gelu => "gelu",
        Activation::Silu => "silu",
    }
}

impl Spec {
    /// The spec of this name, else the one in the file of this name. Activations are of type `act` where it does not say.
    ///
    /// # Errors
    /// No such spec and no such file, a file with unknown fields, or a shape that cannot be.
    pub fn load(name: &str, act: DType) -> Result<Spec, SpecError> {
        if let Some((_, text)) = SPECS.iter().find(|(known, _)| *known == name) {
            return Spec::parse(name, text, act);
        }
        if !Path::new(name).exists() {
            let known = SPECS.map(|(name, _)| name).join(", ");
            return Err(SpecError::Unknown { name: name.to_owned(), known });
        }
        let read = |source| SpecError::Read { name: name.to_owned(), source };
        Spec::parse(name, &std::fs::read_to_string(name).map_err(read)?, act)
    }

    /// Reads a spec; `name` is what errors call it.
    ///
    /// # Errors
    /// As [`Spec::load`].
    pub fn parse(name: &str, text: &str, act: DType) -> Result<Spec, SpecError> {
        let file: file::File =
            serde_json::from_str(text).map_err(|source| SpecError::Parse { name: name.to_owned(), source })?;
        let shapes: Vec<Shape> = file.shapes.iter().flat_map(|e| e.expand(act)).collect();
        if shapes.is_empty() {
            return Err(SpecError::Empty { name: name.to_owned() });
        }
        let spec = Spec { name: name.to_owned(), about: file.about, shapes };
        spec.shapes.iter().try_for_each(|s| s.check(name))?;
        Ok(spec)
    }
}

impl Shape {
    /// Fails where no data of this shape can be made; `name` is what the error calls its source.
    ///
    /// # Errors
    /// [`SpecError::Shape`].
    pub fn check(&self, name: &str) -> Result<(), SpecError> {
        let why = match self {
            Shape::Matmul(s) => s.wrong(),
            Shape::Softmax(s) => wrong_sizes(&[s.m, s.k, s.batch], &[&[s.m, s.k, s.batch]])
                .or_else(|| (!float(s.act)).then_some("x and y are f32 or f16")),
        };
        why.map_or(Ok(()), |why| Err(SpecError::Shape { name: name.to_owned(), shape: self.title(), why }))
    }

    /// Bytes of its operands, each counted once.
    pub fn bytes(&self) -> u64 {
        let of = |dtype: DType, elements: usize| (elements.div_ceil(dtype.block()) * dtype.block_bytes()) as u64;
        match self {
            Shape::Matmul(s) => {
                let MatmulShape { m, n, k, batch, .. } = *s;
                let stored = of(s.w, batch * n * k) * if s.gated { 2 } else { 1 };
                stored + of(s.act, batch * m * k) + of(s.act, batch * m * n)
            }
            Shape::Softmax(s) => 2 * of(s.act, s.batch * s.m * s.k),
        }
    }

    /// Name of the op.
    pub fn op(&self) -> &'static str {
        match self {
            Shape::Matmul(_) => "matmul",
            Shape::Softmax(_) => "softmax",
        }
    }

    /// How people read it: `1x9728x896 NT f16`.
    pub fn title(&self) -> String {
        match self {
            Shape::Matmul(s) => s.title(),
            Shape::Softmax(s) => {
                let batch = if s.batch == 1 { String::new() } else { format!("{}x", s.batch) };
                format!("softmax {batch}{}x{} {}{}", s.m, s.k, s.act, if s.causal { " causal" } else { "" })
            }
        }
    }
}

fn float(act: DType) -> bool {
    matches!(act, DType::F32 | DType::F16)
}

/// Elements that an operand may have: kernels count them in 32 bits.
const MOST: usize = 1 << 31;

fn wrong_sizes(dims: &[usize], operands: &[&[usize]]) -> Option<&'static str> {
    let fits = |dims: &[usize]| {
        dims.iter().try_fold(1usize, |product, &d| product.checked_mul(d)).is_some_and(|elements| elements < MOST)
    };
    if dims.contains(&0) {
        return Some("every dimension is 1 at least");
    }
    (!operands.iter().all(|o| fits(o))).then_some("an operand has 2^31 elements or more")
}

impl MatmulShape {
    fn wrong(&self) -> Option<&'static str> {
        let (m, n, k, batch) = (self.m, self.n, self.k, self.batch);
        if let Some(why) = wrong_sizes(&[m, n, k, batch], &[&[batch, m, n], &[batch, m, k], &[batch, n, k]]) {
            return Some(why);
        }
        let special = self.bias || self.activation != Activation::Identity || self.alpha != 1.0 || self.beta != 0.0;
        match () {
            () if !float(self.act) => Some("x and y are f32 or f16"),
            () if self.w == DType::I32 => Some("w is no matrix of integers"),
            () if !k.is_multiple_of(self.w.block()) => Some("k is no multiple of the blocks of w"),
            () if self.w.is_quantized() && !self.tb => Some("blocks lie along k, so w must be stored transposed (tb)"),
            () if self.gated && (special || batch > 1 || self.ta || !self.tb) => {
                Some("a gated product has no epilogue, no batch and the usual operands")
            }
            () if !self.alpha.is_finite() || !self.beta.is_finite() => Some("alpha and beta are finite"),
            () => None,
        }
    }

    fn title(&self) -> String {
        let letter = |t| if t { 'T' } else { 'N' };
        let batch = if self.batch == 1 { String::new() } else { format!("{} of ", self.batch) };
        let types = if self.w == self.act { self.w.to_string() } else { format!("{}/{}", self.w, self.act) };
        let mut title =
            format!("{batch}{}x{}x{} {}{} {types}", self.m, self.n, self.k, letter(self.ta), letter(self.tb));
        if self.bias {
            title += " + bias";
        }
        if self.activation != Activation::Identity {
            title += &format!(", {}", activation_name(self.activation));
        }
        if self.gated {
            title += " gated";
        }
        if self.alpha != 1.0 {
            title += &format!(" alpha={}", self.alpha);
        }
        if self.beta != 0.0 {
            title += &format!(" beta={}", self.beta);
        }
        title
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_folder_is_a_spec_of_the_program() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../specs");
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            assert!(SPECS.iter().any(|(known, _)| *known == name), "{name} is not in SPECS");
        }
        for (name, _) in SPECS {
            let spec = Spec::load(name, DType::F16).unwrap();
            assert!(!spec.shapes.is_empty() && !spec.about.is_empty(), "{name}");
            let mut titles: Vec<String> = spec.shapes.iter().map(Shape::title).collect();
            titles.sort();
            titles.windows(2).for_each(|w| assert_ne!(w[0], w[1], "{name} names a shape twice"));
        }
    }

    #[test]
    fn the_seeds_shapes_are_there() {
        let titles: Vec<String> =
            Spec::load("qwen2.5-0.5b", DType::F16).unwrap().shapes.iter().map(Shape::title).collect();
        for title in [
            "1x9728x896 NT f16",
            "1x896x4864 NT f16",
            "1x896x896 NT f16",
            "1x1152x896 NN f16 + bias",
            "1x151936x896 NT f16",
            "1x1152x896 NN f16",
            "1x1152x896 NT f16 + bias",
            "1x9728x896 NT q8_0/f16",
            "16x151936x896 NT f16",
        ] {
            assert!(titles.iter().any(|t| t == title), "{title} is not in {titles:?}");
        }
    }

    #[test]
    fn bytes_count_every_operand_once() {
        let shape = MatmulShape { m: 2, n: 8, k: 32, w: DType::Q8_0, ..MatmulShape::default() };
        assert_eq!(Shape::Matmul(shape).bytes(), 8 * 34 + 2 * 32 * 2 + 2 * 8 * 2);
        assert_eq!(Shape::Matmul(MatmulShape { gated: true, ..shape }).bytes(), 2 * 8 * 34 + 2 * 32 * 2 + 2 * 8 * 2);
    }

    #[test]
    fn mistakes_are_errors() {
        let parse = |shape: &str| Spec::parse("s", &format!(r#"{{ "about": "-", "shapes": [{shape}] }}"#), DType::F16);
        assert!(
            parse(r#"{ "op": "matmul", "m": [1, 2], "n": 8, "k": 32, "tb": true }"#).is_ok_and(|s| s.shapes.len() == 2)
        );
        assert!(matches!(
            parse(r#"{ "op": "matmul", "m": 1, "n": 8, "k": 32, "tb": true, "biass": true }"#),
            Err(SpecError::Parse { .. })
        ));
        assert!(matches!(parse(r#"{ "op": "matmull", "m": 1 }"#), Err(SpecError::Parse { .. })));
        for bad in [
            r#"{ "op": "matmul", "m": 0, "n": 8, "k": 32, "tb": true }"#,
            r#"{ "op": "matmul", "m": 1, "n": 8, "k": 33, "tb": true, "w": "q8_0" }"#,
            r#"{ "op": "matmul", "m": 1, "n": 8, "k": 32, "tb": false, "w": "q8_0" }"#,
            r#"{ "op": "matmul", "m": 1, "n": 99999999, "k": 99999, "tb": true }"#,
        ] {
            assert!(matches!(parse(bad), Err(SpecError::Shape { .. })), "{bad}");
        }
        assert!(matches!(parse(""), Err(SpecError::Empty { .. })));
        assert!(matches!(
            parse(r#"{ "op": "matmul", "m": [], "n": 8, "k": 32, "tb": true }"#),
            Err(SpecError::Empty { .. })
        ));
        assert!(matches!(Spec::load("qwen", DType::F16), Err(SpecError::Unknown { .. })));
    }
}
