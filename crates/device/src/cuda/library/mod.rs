//! The vendor's matrix products as variants: cuBLAS and cuBLASLt, loaded at run time where a device is opened with them.
//!
//! The libraries count by columns, and so see every matrix here transposed: y^T = alpha op(w) op(x) + beta y^T, w first.

mod cublas;
mod cublaslt;

use std::ffi::{CStr, c_char, c_int};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use libloading::Library;

use metallic_kernels::DType;
use metallic_kernels::contract::Variant;
use metallic_kernels::matmul::MatmulParams;

use super::buffer::Memory;
use super::driver::{Context, call, reason};
use super::error::{Error, Place};
use super::stream::Stream;
use super::{Shared, locate, lock};
use crate::Record;

type Status = c_int;

/// Names of the libraries, as features of a device and as sources of variants.
const CUBLAS: &str = "cublas";
const CUBLASLT: &str = "cublaslt";

/// The libraries that are there. Their handles are made when first used: that takes seconds.
pub(super) struct Libraries {
    cublas: Slot<cublas::Api, cublas::Cublas>,
    cublaslt: Slot<cublaslt::Api, cublaslt::CublasLt>,
}

/// A library's functions, or why there are none, and its handle.
struct Slot<A, H> {
    api: Result<Arc<A>, String>,
    handle: Mutex<Option<Arc<H>>>,
}

impl<A, H> Slot<A, H> {
    fn new(api: Result<A, String>) -> Slot<A, H> {
        Slot { api: api.map(Arc::new), handle: Mutex::default() }
    }

    fn get(&self, library: &'static str, make: impl FnOnce(&Arc<A>) -> Result<H, Error>) -> Result<Arc<H>, Error> {
        let api = self.api.as_ref().map_err(|why| Error::NoLibrary { library, reason: why.clone() })?;
        let mut slot = lock(&self.handle);
        if let Some(known) = &*slot {
            return Ok(known.clone());
        }
        let made = Arc::new(make(api)?);
        *slot = Some(made.clone());
        Ok(made)
    }
}

impl Libraries {
    /// Looks for them where NVRTC was looked for, and beside the file that it came from.
    pub fn find(nvrtc: &Path) -> Libraries {
        Libraries {
            cublas: Slot::new(load("cublas", nvrtc, cublas::Api::of)),
            cublaslt: Slot::new(load("cublasLt", nvrtc, cublaslt::Api::of)),
        }
    }

    /// What variants may ask for.
    pub fn features(&self) -> impl Iterator<Item = &'static str> {
        let there = [(self.cublas.api.is_ok(), CUBLAS), (self.cublaslt.api.is_ok(), CUBLASLT)];
        there.into_iter().filter_map(|(there, name)| there.then_some(name))
    }

    /// The call that runs `record`, on the stream of `shared`, with operands at `addresses`. It has run once, into memory of its own, so
    /// that what it needs is loaded before it is captured.
    pub fn call(&self, shared: &Arc<Shared>, record: &Record, addresses: &[u64]) -> Result<Call, Error> {
        let Variant { source, entry, knobs, .. } = &*record.variant;
        let place = Place::Kernel { entry: entry.clone(), file: source.clone() };
        let product =
            Product::of(record, addresses).map_err(|reason| Error::Launch { place: place.clone(), reason })?;
        let (context, stream) = (&shared.context, &shared.stream);
        context.bind()?;
        let made = match record.variant.library() {
            Some(CUBLAS) => self
                .cublas
                .get("cuBLAS", |api| cublas::Cublas::open(api, context, stream))
                .map(|library| Way::Cublas(cublas::Call::new(library))),
            Some(CUBLASLT) => self
                .cublaslt
                .get("cuBLASLt", |api| cublaslt::CublasLt::open(api, context, stream))
                .and_then(|library| cublaslt::Call::new(library, &product, knobs.get("ALGO").copied()))
                .map(Way::CublasLt),
            _ => Err(Error::Launch { place: place.clone(), reason: "no such library for this device".to_owned() }),
        };
        let call = Call { way: made.map_err(|e| e.of(&place))?, product, place };
        call.warm(shared)?;
        Ok(call)
    }
}

impl fmt::Display for Libraries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cublas.api {
            Ok(api) => write!(f, "cuBLAS {}", api.version())?,
            Err(why) => write!(f, "no cuBLAS ({why})")?,
        }
        match &self.cublaslt.api {
            Ok(api) => write!(f, ", cuBLASLt {}", api.version()),
            Err(why) => write!(f, ", no cuBLASLt ({why})"),
        }
    }
}

/// A library's call, ready to be given to the stream.
pub(super) struct Call {
    way: Way,
    product: Product,
    place: Place,
}

enum Way {
    Cublas(cublas::Call),
    CublasLt(cublaslt::Call),
}

impl Call {
    /// Gives the call to the stream that the library was opened for, and does not wait. The context must be current.
    ///
    /// # Safety
    /// The operands live until the stream has run it.
    pub unsafe fn run(&self) -> Result<(), Error> {
        // SAFETY: the caller's promise.
        unsafe { self.run_to(self.product.y.address) }
    }

    /// As [`Call::run`], with y at another address.
    unsafe fn run_to(&self, y: u64) -> Result<(), Error> {
        // SAFETY: the caller's promise.
        let done = unsafe {
            match &self.way {
                Way::Cublas(call) => call.run(&self.product, y),
                Way::CublasLt(call) => call.run(&self.product, y),
            }
        };
        done.map_err(|e| e.of(&self.place))
    }

    /// Runs it into memory that is thrown away, aligned as y is, so that the same kernels are chosen.
    fn warm(&self, shared: &Arc<Shared>) -> Result<(), Error> {
        const ALIGNED: u64 = 256;
        let scratch = Memory::zeroed(shared, self.product.y_bytes() + ALIGNED as usize)?;
        let y = scratch.address() + self.product.y.address % ALIGNED;
        // SAFETY: the scratch is as large as y, and is freed after the wait.
        unsafe { self.run_to(y) }?;
        shared.stream.wait().map_err(|e| e.of(&self.place))
    }

    /// The call that is made.
    pub fn entry(&self) -> &'static str {
        match &self.way {
            Way::Cublas(_) => cublas::Call::entry(&self.product),
            Way::CublasLt(_) => cublaslt::Call::ENTRY,
        }
    }

    /// What errors call it.
    pub fn place(&self) -> &Place {
        &self.place
    }
}

/// A matrix as the libraries see it: `ld` elements from one column to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Matrix {
    address: u64,
    transposed: bool,
    rows: c_int,
    cols: c_int,
    ld: c_int,
    /// Elements from one problem to the next.
    stride: i64,
}

/// A matmul as the libraries take it: y^T (n, m) = alpha op(w) op(x) + beta y^T, and a bias for each of its n rows.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Product {
    kind: Kind,
    m: c_int,
    n: c_int,
    k: c_int,
    batch: c_int,
    w: Matrix,
    x: Matrix,
    y: Matrix,
    bias: Option<u64>,
    alpha: f32,
    beta: f32,
}

/// A type of elements, as its number in `cudaDataType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
enum Kind {
    F32 = 0,
    F16 = 2,
    BF16 = 14,
}

impl Product {
    fn of(record: &Record, addresses: &[u64]) -> Result<Product, String> {
        let key = &record.key;
        let (&[y, x, w, bias, ..], "matmul") = (addresses, record.op.name) else {
            return Err("the library multiplies matrices, and nothing else".to_owned());
        };
        let kind = match (key.w, key.act) {
            (DType::F32, DType::F32) => Kind::F32,
            (DType::F16, DType::F16) => Kind::F16,
            (DType::BF16, DType::BF16) => Kind::BF16,
            (w, act) => {
                return Err(format!("the library takes operands of one type, not {w} weights and {act} activations"));
            }
        };
        let int = |v: usize| c_int::try_from(v).map_err(|_| format!("{v} is past what the library counts"));
        let word = |v: u32| int(v as usize);
        let p: &MatmulParams = record.params.get();
        let (m, n, k) = (int(key.m)?, int(key.n)?, int(key.k)?);
        let matrix = |address, transposed, [rows, cols]: [c_int; 2], ld, stride: u32| {
            let [rows, cols] = if transposed { [cols, rows] } else { [rows, cols] };
            Matrix { address, transposed, rows, cols, ld, stride: i64::from(stride) }
        };
        let (w_stored, x_stored) = (p.transpose_b != 0, p.transpose_a != 0);
        Ok(Product {
            kind,
            m,
            n,
            k,
            batch: word(p.batch)?,
            w: matrix(w, w_stored, [n, k], if w_stored { k } else { n }, p.bw),
            x: matrix(x, x_stored, [k, m], word(p.ldx)?, p.bx),
            y: matrix(y, false, [n, m], word(p.ldy)?, p.by),
            bias: (p.bias != 0).then_some(bias),
            alpha: p.alpha,
            beta: if p.accumulate != 0 { p.beta } else { 0.0 },
        })
    }

    /// Bytes from the first element of y to the last.
    fn y_bytes(&self) -> usize {
        let size = if self.kind == Kind::F32 { 4 } else { 2 };
        let last = i64::from(self.batch - 1) * self.y.stride + i64::from(self.m - 1) * i64::from(self.y.ld);
        (last.max(0) as usize + self.n as usize) * size
    }
}

/// Memory that a library works in. Everything goes through one stream, so one is enough.
struct Workspace {
    address: u64,
    context: Arc<Context>,
}

impl Workspace {
    const BYTES: usize = 32 << 20;

    fn new(context: &Arc<Context>) -> Result<Workspace, Error> {
        context.bind()?;
        let mut address = 0;
        // SAFETY: the context is current.
        unsafe { call!(cuMemAlloc_v2(&mut address, Workspace::BYTES)) }?;
        Ok(Workspace { address, context: context.clone() })
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        if self.context.bind().is_ok() {
            // SAFETY: from cuMemAlloc, which waits for what still uses it when it is freed.
            let _ = unsafe { call!(cuMemFree_v2(self.address)) };
        }
    }
}

/// Loads the first library called `stem` that has the functions that `of` looks for.
fn load<A>(stem: &str, nvrtc: &Path, of: unsafe fn(Library) -> Result<A, libloading::Error>) -> Result<A, String> {
    let names = locate::MAJORS.map(|major| file(stem, major));
    let mut paths: Vec<PathBuf> = locate::candidates(&names);
    paths.extend(locate::beside(nvrtc, "cublas", &names));
    let mut first = None;
    for path in paths {
        // SAFETY: loading runs the library's own initialisers; it is NVIDIA's. Its functions have the types of its headers.
        let loaded = unsafe { Library::new(&path).and_then(|library| of(library)) };
        match loaded {
            Ok(api) => return Ok(api),
            Err(why) => {
                first.get_or_insert(reason(&why));
            }
        }
    }
    Err(first.unwrap_or_default())
}

fn file(stem: &str, major: u32) -> String {
    if cfg!(target_os = "windows") { format!("{stem}64_{major}.dll") } else { format!("lib{stem}.so.{major}") }
}

/// A failed call, by its name; `name` is the library's own word for a status.
fn check(call: &'static str, name: unsafe extern "C" fn(Status) -> *const c_char, status: Status) -> Result<(), Error> {
    if status == 0 {
        return Ok(());
    }
    // SAFETY: the library answers any number with a string that lives as long as it does.
    let word = unsafe { CStr::from_ptr(name(status)) }.to_string_lossy();
    Err(Error::Library { call, status: format!("{word} ({status})"), place: Place::Nowhere })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use metallic_kernels::contract::{Case, Flags, Layout, Limits, Operand, Target, Variant};
    use metallic_kernels::matmul::OP;
    use metallic_kernels::{DType, quant};

    use super::{Libraries, Matrix, Product};
    use crate::{Binding, Record, Rows};

    fn record(case: &Case, variant: &Arc<Variant>) -> Record {
        let operands = vec![Binding::default(); case.operands.len()];
        let (key, params) = (case.key, case.params);
        Record { op: &OP, variant: variant.clone(), key, params, operands, rows: Rows::Tokens }
    }

    fn product(case: &Case, variant: &Arc<Variant>, addresses: &[u64]) -> Product {
        Product::of(&record(case, variant), addresses).unwrap()
    }

    /// Element (row, col) of op(M) in problem b, as the libraries' manuals define it.
    fn at(m: &Matrix, b: usize, row: usize, col: usize) -> usize {
        let (row, col) = if m.transposed { (col, row) } else { (row, col) };
        assert!((row as i32) < m.rows && (col as i32) < m.cols && m.rows <= m.ld.max(1), "{m:?}");
        b * m.stride as usize + col * m.ld as usize + row
    }

    fn values(operand: &Operand) -> Vec<f64> {
        let mut decoded = vec![0.0; operand.bytes.len() / operand.dtype.block_bytes()];
        quant::dequantize(operand.dtype, &operand.bytes, &mut decoded).unwrap();
        decoded.into_iter().map(f64::from).collect()
    }

    /// What the manuals say that a library computes for a product, against what the op's cases expect.
    #[test]
    fn products_say_what_the_formula_says() {
        let limits = Limits {
            targets: vec![Target::Library],
            features: vec!["cublas", "cublaslt"],
            max_threads: 1024,
            threadgroup_bytes: 0,
        };
        let (mut seen, cases) = (0, (OP.cases)());
        for variant in OP.variants().unwrap().into_iter().map(Arc::new) {
            for case in cases.iter().filter(|c| variant.supports(&c.key, &limits).is_ok()) {
                seen += 1;
                let p = product(case, &variant, &[0, 1, 2, 3, 4]);
                assert_eq!([p.y.address, p.x.address, p.w.address], [0, 1, 2]);
                assert_eq!(p.bias, case.key.flags.has(Flags::BIAS).then_some(3));
                let [y, x, w, bias, ..] = &case.operands[..] else { panic!("too few operands") };
                assert!(p.y_bytes() <= y.bytes.len());
                let [y, x, w, bias] = [y, x, w, bias].map(values);
                let expect = &case.expect[0];
                for (i, &to) in expect.at.iter().enumerate().step_by(7) {
                    let (m, n) = (p.m as usize, p.n as usize);
                    let (b, r, j) = (i / (m * n), i / n % m, i % n);
                    assert_eq!(at(&p.y, b, j, r), to);
                    let term = |l| w[at(&p.w, b, j, l)] * x[at(&p.x, b, l, r)];
                    let sum: f64 = (0..p.k as usize).map(term).sum();
                    let bias = p.bias.map_or(0.0, |_| bias[j]);
                    let before = if p.beta == 0.0 { 0.0 } else { y[to] };
                    let got = f64::from(p.alpha) * sum + f64::from(p.beta) * before + bias;
                    let error = (got - expect.value[i]).abs();
                    assert!(error <= 1e-6 * (expect.scale[i] + 1.0), "{}: {got} {}", case.name, expect.value[i]);
                }
            }
        }
        assert!(seen > 40, "only {seen} cases");
    }

    #[test]
    fn operands_of_two_types_are_refused() {
        let variant = Arc::new(OP.variants().unwrap().into_iter().find(|v| v.library().is_some()).unwrap());
        let mut case = (OP.cases)().into_iter().find(|c| c.key.w == DType::F16).unwrap();
        (case.key.act, case.key.layout) = (DType::F32, Layout::Row);
        let why = Product::of(&record(&case, &variant), &[0; 5]).unwrap_err();
        assert!(why.contains("f16 weights and f32 activations"), "{why}");
        assert!(Product::of(&record(&case, &variant), &[0; 2]).is_err());
    }

    /// What needs no GPU of the library: that its functions are there, and take the descriptors that are made for them.
    #[test]
    fn descriptors_are_what_the_library_takes() {
        let libraries = Libraries::find(std::path::Path::new(""));
        eprintln!("{libraries}");
        let Ok(api) = &libraries.cublaslt.api else { return eprintln!("REFUSED: {libraries}") };
        let variants = OP.variants().unwrap();
        let variant = Arc::new(variants.into_iter().find(|v| v.library() == Some("cublaslt")).unwrap());
        for case in (OP.cases)().iter().filter(|c| c.key.act == DType::F16 && c.key.w == DType::F16) {
            api.takes(&product(case, &variant, &[256, 512, 1024, 2048, 0])).unwrap();
        }
    }
}
