//! The vendor's matrix products as variants: cuBLAS and cuBLASLt, loaded at run time where a device is opened with them.
//!
//! The libraries count by columns, and so see every matrix here transposed: y^T = alpha op(w) op(x) + beta y^T, w first.

mod cublas;
mod cublaslt;
mod product;

use std::ffi::{CStr, c_char, c_int};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use libloading::Library;

use metallic_kernels::contract::Variant;

use super::buffer::Memory;
use super::driver::{Context, call, reason};
use super::error::{Error, NoLibrary, Place, Unfit};
use super::stream::Stream;
use super::{Shared, locate, lock};
use crate::Record;
use product::{Matrix, Product};

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
    api: Result<Arc<A>, NoLibrary>,
    handle: Mutex<Option<Arc<H>>>,
}

impl<A, H> Slot<A, H> {
    fn new(api: Result<A, NoLibrary>) -> Slot<A, H> {
        Slot { api: api.map(Arc::new), handle: Mutex::default() }
    }

    fn get(&self, make: impl FnOnce(&Arc<A>) -> Result<H, Error>) -> Result<Arc<H>, Error> {
        let api = self.api.as_ref().map_err(NoLibrary::clone)?;
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
            cublas: Slot::new(load("cuBLAS", "cublas", nvrtc, cublas::Api::of)),
            cublaslt: Slot::new(load("cuBLASLt", "cublasLt", nvrtc, cublaslt::Api::of)),
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
        let unfit = |why| Error::Unfit { place: place.clone(), why };
        let product = Product::of(record, addresses).map_err(unfit)?;
        let (context, stream) = (&shared.context, &shared.stream);
        context.bind()?;
        let made = match record.variant.library() {
            Some(CUBLAS) if product.bias.is_some() => Err(unfit(Unfit::Bias)),
            Some(CUBLAS) => self
                .cublas
                .get(|api| cublas::Cublas::open(api, context, stream))
                .map(|library| Way::Cublas(cublas::Call::new(library))),
            Some(CUBLASLT) => self
                .cublaslt
                .get(|api| cublaslt::CublasLt::open(api, context, stream))
                .and_then(|library| cublaslt::Call::new(library, &product, knobs.get("ALGO").copied()))
                .map(Way::CublasLt),
            _ => Err(unfit(Unfit::Library)),
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
            Err(why) => write!(f, "{why}")?,
        }
        match &self.cublaslt.api {
            Ok(api) => write!(f, ", cuBLASLt {}", api.version()),
            Err(why) => write!(f, ", {why}"),
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

/// Loads `library` from the first file called `stem` that has the functions that `of` looks for.
fn load<A>(
    library: &'static str,
    stem: &str,
    nvrtc: &Path,
    of: unsafe fn(Library) -> Result<A, libloading::Error>,
) -> Result<A, NoLibrary> {
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
    Err(NoLibrary { library, reason: first.unwrap_or_default() })
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
    use std::path::Path;
    use std::sync::Arc;

    use metallic_kernels::DType;
    use metallic_kernels::matmul::OP;

    use super::{Libraries, Product};
    use crate::{Binding, Record, Rows};

    /// What needs no GPU of the library: that its functions are there, and take the descriptors that are made for them.
    #[test]
    fn descriptors_are_what_the_library_takes() {
        let libraries = Libraries::find(Path::new(""));
        eprintln!("{libraries}");
        let Ok(api) = &libraries.cublaslt.api else { return eprintln!("REFUSED: {libraries}") };
        let variants = OP.variants().unwrap();
        let variant = Arc::new(variants.into_iter().find(|v| v.library() == Some("cublaslt")).unwrap());
        for case in (OP.cases)().iter().filter(|c| c.key.act == DType::F16 && c.key.w == DType::F16) {
            let operands = vec![Binding::default(); case.operands.len()];
            let (key, params, variant) = (case.key, case.params, variant.clone());
            let record = Record { op: &OP, variant, key, params, operands, rows: Rows::Tokens };
            api.takes(&Product::of(&record, &[256, 512, 1024, 2048, 0]).unwrap()).unwrap();
        }
    }
}
