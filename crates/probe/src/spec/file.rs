//! How a spec file is written.

use serde::Deserialize;

use metallic_kernels::DType;
use metallic_kernels::elementwise::Activation;

use super::{MatmulShape, Shape, SoftmaxShape};

/// One value or several.
#[derive(Clone, Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "a value or a list of values: sizes are whole numbers, types are names such as \"f16\" and \"q8_0\""
)]
enum Many<T> {
    One(T),
    List(Vec<T>),
}

impl<T: Clone> Many<T> {
    fn list(&self) -> Vec<T> {
        match self {
            Many::One(v) => vec![v.clone()],
            Many::List(list) => list.clone(),
        }
    }
}

/// A file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// What it stands for.
    pub about: String,
    /// Its shapes, lists not yet expanded.
    pub shapes: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub enum Entry {
    Matmul(MatmulEntry),
    Softmax(SoftmaxEntry),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MatmulEntry {
    m: Many<usize>,
    n: Many<usize>,
    k: Many<usize>,
    #[serde(default = "one")]
    batch: usize,
    #[serde(default = "f16")]
    w: Many<Type>,
    act: Option<Type>,
    #[serde(default)]
    ta: bool,
    tb: bool,
    #[serde(default)]
    bias: bool,
    #[serde(default)]
    activation: Function,
    #[serde(default)]
    gated: bool,
    #[serde(default = "unit")]
    alpha: f32,
    #[serde(default)]
    beta: f32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SoftmaxEntry {
    m: Many<usize>,
    k: Many<usize>,
    #[serde(default = "one")]
    batch: usize,
    act: Option<Many<Type>>,
    #[serde(default)]
    causal: bool,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
struct Type(DType);

impl TryFrom<String> for Type {
    type Error = String;

    fn try_from(name: String) -> Result<Type, String> {
        DType::from_name(&name).map(Type).ok_or_else(|| format!("{name:?} is no element type"))
    }
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Function {
    #[default]
    None,
    Relu,
    Gelu,
    Silu,
}

fn one() -> usize {
    1
}

fn unit() -> f32 {
    1.0
}

fn f16() -> Many<Type> {
    Many::One(Type(DType::F16))
}

impl Entry {
    /// Every shape that it stands for, with activations of type `act` where it does not say.
    pub fn expand(&self, act: DType) -> Vec<Shape> {
        match self {
            Entry::Matmul(e) => {
                let mut list = Vec::new();
                for (w, m) in e.w.list().into_iter().flat_map(|w| e.m.list().into_iter().map(move |m| (w, m))) {
                    for (n, k) in e.n.list().into_iter().flat_map(|n| e.k.list().into_iter().map(move |k| (n, k))) {
                        list.push(Shape::Matmul(MatmulShape {
                            m,
                            n,
                            k,
                            batch: e.batch,
                            w: w.0,
                            act: e.act.map_or(act, |t| t.0),
                            ta: e.ta,
                            tb: e.tb,
                            bias: e.bias,
                            activation: match e.activation {
                                Function::None => Activation::Identity,
                                Function::Relu => Activation::Relu,
                                Function::Gelu => Activation::Gelu,
                                Function::Silu => Activation::Silu,
                            },
                            gated: e.gated,
                            alpha: e.alpha,
                            beta: e.beta,
                        }));
                    }
                }
                list
            }
            Entry::Softmax(e) => {
                let mut list = Vec::new();
                let acts = e.act.as_ref().map_or(vec![Type(act)], Many::list);
                for (act, m) in acts.into_iter().flat_map(|a| e.m.list().into_iter().map(move |m| (a, m))) {
                    list.extend(
                        e.k.list().into_iter().map(|k| {
                            Shape::Softmax(SoftmaxShape { m, k, batch: e.batch, act: act.0, causal: e.causal })
                        }),
                    );
                }
                list
            }
        }
    }
}
