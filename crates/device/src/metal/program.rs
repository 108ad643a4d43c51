//! From a variant's text, or from its built library, to a pipeline.

use std::collections::HashMap;
use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex};

use dispatch2::DispatchData;
use metallic_kernels::contract::{Knob, Variant, source};
use metallic_kernels::library::Code;
use objc2::rc::Retained;
use objc2::runtime::{NSObjectProtocol, ProtocolObject};
use objc2::sel;
use objc2_foundation::NSString;
use objc2_metal::{
    MTLBinding, MTLBindingAccess, MTLBindingType, MTLCompileOptions, MTLComputePipelineDescriptor,
    MTLComputePipelineState, MTLDataType, MTLDevice, MTLFunction, MTLFunctionConstantValues, MTLLanguageVersion,
    MTLLibrary, MTLMathMode, MTLPipelineOption,
};

use super::device::{Context, Held, failed, lock, reason};
use super::{Math, NAME, text};
use crate::Error;

/// An entry, ready to be launched.
pub(super) struct Program {
    pub pipeline: Held<dyn MTLComputePipelineState>,
    /// The kernel's buffers that it uses, and whether it writes them.
    pub buffers: Vec<(usize, bool)>,
    /// Threads that a threadgroup of it may have.
    pub max_threads: usize,
    /// Whether it may be launched from an indirect command buffer.
    pub indirect: bool,
}

/// Everything compiled so far.
pub(super) struct Programs {
    context: Arc<Context>,
    math: Math,
    libraries: Mutex<HashMap<Source, Arc<Held<dyn MTLLibrary>>>>,
    programs: Mutex<HashMap<(Source, String, Knob), Arc<Program>>>,
}

impl Programs {
    pub fn new(context: Arc<Context>, math: Math) -> Programs {
        Programs { context, math, libraries: Mutex::default(), programs: Mutex::default() }
    }

    /// The program of `variant`, compiled where that was not done before.
    pub fn get(&self, variant: &Variant) -> Result<Arc<Program>, Error> {
        let source = Source::of(variant)?;
        let key = (source.clone(), variant.entry.clone(), variant.knobs.clone());
        if let Some(program) = lock(&self.programs).get(&key) {
            return Ok(program.clone());
        }
        let library = self.library(source, variant)?;
        let program = Arc::new(self.pipeline(&library.0, variant)?);
        lock(&self.programs).insert(key, program.clone());
        Ok(program)
    }

    fn library(&self, source: Source, variant: &Variant) -> Result<Arc<Held<dyn MTLLibrary>>, Error> {
        if let Some(library) = lock(&self.libraries).get(&source) {
            return Ok(library.clone());
        }
        let device = &self.context.device.0;
        let made = match &source {
            Source::Binary(bytes) => device
                .newLibraryWithData_error(&DispatchData::from_static_bytes(bytes))
                .map_err(|e| failed(format!("newLibraryWithData for {} {}", variant.op, variant.id()), reason(&e)))?,
            Source::Text(text) => device
                .newLibraryWithSource_options_error(&NSString::from_str(text), Some(&self.options()))
                .map_err(|e| does_not_compile(variant, reason(&e)))?,
        };
        let library = Arc::new(Held(made));
        lock(&self.libraries).insert(source, library.clone());
        Ok(library)
    }

    /// Metal 3.1 is the first language with `bfloat`.
    fn options(&self) -> Retained<MTLCompileOptions> {
        let options = MTLCompileOptions::new();
        options.setLanguageVersion(MTLLanguageVersion::Version3_1);
        if options.respondsToSelector(sel!(setMathMode:)) {
            options.setMathMode(match self.math {
                Math::Safe => MTLMathMode::Safe,
                Math::Fast => MTLMathMode::Fast,
            });
        } else {
            #[expect(deprecated, reason = "systems before macOS 15 know no other")]
            options.setFastMathEnabled(self.math == Math::Fast);
        }
        options
    }

    fn pipeline(&self, library: &ProtocolObject<dyn MTLLibrary>, variant: &Variant) -> Result<Program, Error> {
        let name = NSString::from_str(&variant.entry);
        let plain = library.newFunctionWithName(&name).ok_or_else(|| Error::Entry {
            device: NAME.to_owned(),
            op: variant.op,
            variant: variant.id(),
            entry: variant.entry.clone(),
        })?;
        let call = |name: &str| format!("{name} for {} {} entry {}", variant.op, variant.id(), variant.entry);
        let constants = constants(&plain, variant)?;
        let function = library
            .newFunctionWithName_constantValues_error(&name, &constants)
            .map_err(|e| failed(call("newFunctionWithName"), reason(&e)))?;
        let descriptor = MTLComputePipelineDescriptor::new();
        descriptor.setLabel(Some(&NSString::from_str(&variant.id())));
        descriptor.setComputeFunction(Some(&function));
        // Some functions cannot be launched indirectly, and Metal says so by refusing the pipeline.
        for indirect in [true, false] {
            descriptor.setSupportIndirectCommandBuffers(indirect);
            let mut reflection = None;
            let made = self.context.device.0.newComputePipelineStateWithDescriptor_options_reflection_error(
                &descriptor,
                MTLPipelineOption::BindingInfo,
                Some(&mut reflection),
            );
            match made {
                Err(_) if indirect => {}
                Err(e) => return Err(failed(call("newComputePipelineState"), reason(&e))),
                Ok(pipeline) => {
                    let bindings = reflection.map(|r| r.bindings()).into_iter().flatten();
                    let mut buffers = Vec::new();
                    for binding in bindings.filter(|b| b.isUsed()) {
                        match binding.r#type() {
                            MTLBindingType::Buffer => {
                                buffers.push((binding.index(), binding.access() != MTLBindingAccess::ReadOnly));
                            }
                            MTLBindingType::ThreadgroupMemory => {}
                            _ => return Err(does_not_compile(variant, not_a_buffer(&binding.name().to_string()))),
                        }
                    }
                    let max_threads = pipeline.maxTotalThreadsPerThreadgroup();
                    return Ok(Program { pipeline: Held(pipeline), buffers, max_threads, indirect });
                }
            }
        }
        Err(failed(call("newComputePipelineState"), "neither with nor without indirect command buffers"))
    }
}

fn not_a_buffer(name: &str) -> String {
    format!("argument {name} is neither a buffer nor threadgroup memory; operands are buffers")
}

fn does_not_compile(variant: &Variant, log: String) -> Error {
    Error::Compile { device: NAME.to_owned(), op: variant.op, variant: variant.id(), log }
}

/// What a variant is made from; programs are told apart by it.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Source {
    /// A library of the build.
    Binary(&'static [u8]),
    /// The whole text with its headers.
    Text(String),
}

impl Source {
    fn of(variant: &Variant) -> Result<Source, Error> {
        match variant.code().map_err(|e| does_not_compile(variant, e.to_string()))? {
            Code::Binary(bytes) => Ok(Source::Binary(bytes)),
            Code::Text(text) => text::whole(&text, &source::include)
                .map(Source::Text)
                .map_err(|e| does_not_compile(variant, e.to_string())),
        }
    }
}

/// Values of the function constants of `function`: the knobs of the same names.
fn constants(
    function: &ProtocolObject<dyn MTLFunction>,
    variant: &Variant,
) -> Result<Retained<MTLFunctionConstantValues>, Error> {
    let values = MTLFunctionConstantValues::new();
    for constant in function.functionConstantsDictionary().allValues() {
        let name = constant.name();
        let Some(value) = knob(&variant.knobs, &name.to_string(), constant.r#type()) else {
            if constant.required() {
                let log = format!("function constant {name} needs a knob of that name, whose value fits its type");
                return Err(does_not_compile(variant, log));
            }
            continue;
        };
        let pointer = NonNull::from(&value).cast::<c_void>();
        // SAFETY: the value holds the eight bytes that the widest type of `knob` needs, and Metal copies them.
        unsafe { values.setConstantValue_type_withName(pointer, constant.r#type(), &name) };
    }
    Ok(values)
}

/// The bytes of a knob as a constant of `kind`, first byte first.
fn knob(knobs: &Knob, name: &str, kind: MTLDataType) -> Option<[u8; 8]> {
    let value = *knobs.get(name)?;
    let fits = match kind {
        MTLDataType::Bool => (0..=1).contains(&value),
        MTLDataType::Char => i8::try_from(value).is_ok(),
        MTLDataType::UChar => u8::try_from(value).is_ok(),
        MTLDataType::Short => i16::try_from(value).is_ok(),
        MTLDataType::UShort => u16::try_from(value).is_ok(),
        MTLDataType::Int => i32::try_from(value).is_ok(),
        MTLDataType::UInt => u32::try_from(value).is_ok(),
        MTLDataType::Float => {
            let float = value as f32;
            return (float as i64 == value).then(|| u64::from(float.to_bits()).to_le_bytes());
        }
        _ => false,
    };
    fits.then(|| value.to_le_bytes())
}
