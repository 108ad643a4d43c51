//! The `extern "C"` function around a kernel.

use std::fmt::Write;

use super::{LowerOptions, Param, Target, Value};
use crate::reflect::{EntryPoint, ParamSource};
use crate::{Arg, ArgKind, Builtin, Diagnostic, Indirection, Unit};

/// The function around a kernel.
pub(super) struct Wrapper {
    pub text: String,
    pub symbol: String,
    pub params: Vec<Param>,
}

/// A function constant's value as C++ text; `None` where the type does not take it.
pub(super) fn literal(value: &Value, ty: &str) -> Option<String> {
    let floating = matches!(ty, "float" | "half" | "bfloat");
    Some(match value {
        Value::Bool(b) if !floating => b.to_string(),
        Value::Int(v) if ty == "bool" => (*v != 0).to_string(),
        Value::Uint(v) if ty == "bool" => (*v != 0).to_string(),
        Value::Int(i64::MIN) => format!("{ty}(-9223372036854775807ll - 1)"),
        Value::Int(v) => format!("{ty}({v}ll)"),
        Value::Uint(v) => format!("{ty}({v}ull)"),
        Value::Float(v) if floating => match v.classify() {
            std::num::FpCategory::Nan => format!("{ty}(__builtin_nanf(\"\"))"),
            std::num::FpCategory::Infinite if *v < 0.0 => format!("{ty}(-__builtin_inff())"),
            std::num::FpCategory::Infinite => format!("{ty}(__builtin_inff())"),
            _ => format!("{ty}({:e}f)", *v as f32),
        },
        Value::Vector(parts) if (2..=4).contains(&parts.len()) && ty.ends_with(&parts.len().to_string()) => {
            let element = &ty[..ty.len() - 1];
            let parts: Option<Vec<String>> = parts.iter().map(|p| literal(p, element)).collect();
            format!("{ty}({})", parts?.join(", "))
        }
        _ => return None,
    })
}

/// A C name for an entry's host name.
fn symbol(name: &str) -> String {
    let mut symbol = String::from("msl_entry_");
    for c in name.chars() {
        if c.is_ascii_alphanumeric() {
            symbol.push(c);
        } else {
            let _ = write!(symbol, "_{}", if c == '_' { String::new() } else { format!("{:x}_", c as u32) });
        }
    }
    symbol
}

/// The function around `point`'s kernel.
pub(super) fn wrapper(
    unit: &Unit,
    point: &EntryPoint,
    target: Target,
    options: &LowerOptions<'_>,
) -> Result<Wrapper, Diagnostic> {
    let entry = &point.entry;
    let call = if point.instance.is_empty() {
        entry.function.clone()
    } else {
        let text = unit.edits.render(&unit.program, point.instance.clone());
        let prefix = entry.function.find(&*first_word(&text)).map_or("", |n| &entry.function[..n]);
        if text.starts_with("::") { text } else { format!("{prefix}{text}") }
    };
    let mut w = Wrapper { text: String::new(), symbol: symbol(&entry.name), params: Vec::new() };
    let _ = write!(w.text, "typedef decltype(&{call}) msl_kernel; ");
    for i in 0..point.params.len() {
        let _ = write!(w.text, "typedef msl_param<{i}, msl_kernel>::type msl_a{i}; ");
    }
    let types: Vec<String> = point
        .params
        .iter()
        .enumerate()
        .flat_map(|(i, source)| match source {
            ParamSource::Arg(_) => vec![format!("msl_a{i}")],
            ParamSource::Struct(members) => members.iter().map(|(m, _)| format!("decltype(msl_a{i}::{m})")).collect(),
        })
        .collect();
    check_indices(entry)?;
    let mut order: Vec<usize> = (0..entry.args.len()).collect();
    order.sort_by_key(|a| match &entry.args[*a].kind {
        ArgKind::Buffer(b) => (0, b.index),
        ArgKind::Threadgroup { index, .. } => (1, *index),
        _ => (2, 0),
    });
    let mut parameters: Vec<String> = Vec::new();
    for &a in &order {
        let arg = &entry.args[a];
        let ty = &types[a];
        match &arg.kind {
            ArgKind::Buffer(b) => {
                let inline = target == Target::Cuda && options.inline_buffers.contains(&b.index);
                if inline && (b.by == Indirection::Pointer || b.space != crate::AddressSpace::Constant) {
                    let message = format!(
                        "buffer {} ({}) is no constant reference and cannot be passed by value",
                        b.index, arg.name
                    );
                    return Err(Diagnostic::error(arg.place.clone(), message));
                }
                if inline {
                    w.params.push(Param::Inline { index: b.index, size: b.element.size });
                    let _ = write!(w.text, "typedef msl_no_reference<{ty}>::type msl_t{a}; ");
                    parameters.push(format!("const __grid_constant__ msl_t{a} msl_b{a}"));
                } else {
                    w.params.push(Param::Buffer { index: b.index });
                    let _ = write!(w.text, "typedef msl_no_reference<{ty}>::type {}msl_t{a}; ", star(b.by));
                    parameters.push(format!("msl_t{a} msl_b{a}"));
                }
            }
            ArgKind::Threadgroup { index, element } => {
                let align = element.align.unwrap_or(16).max(16);
                w.params.push(Param::Threadgroup { index: *index, align });
                let _ = write!(w.text, "typedef msl_pointee<{ty}>::type msl_t{a}; ");
                parameters.push(format!("unsigned msl_b{a}"));
            }
            ArgKind::Builtin { .. } | ArgKind::Unsupported { .. } => {}
        }
    }
    let mut values = Vec::new();
    for (a, (arg, ty)) in entry.args.iter().zip(&types).enumerate() {
        values.push(match target {
            Target::Host => host_value(arg, a, ty),
            Target::Cuda => cuda_value(arg, a, ty, options),
        });
    }
    let mut actual = Vec::new();
    for (i, source) in point.params.iter().enumerate() {
        actual.push(match source {
            ParamSource::Arg(a) => values[*a].clone(),
            ParamSource::Struct(members) => {
                let parts: Vec<&str> = members.iter().map(|(_, a)| values[*a].as_str()).collect();
                format!("msl_a{i}{{{}}}", parts.join(", "))
            }
        });
    }
    let head = match target {
        Target::Host => format!("extern \"C\" void {}(const MslThread *msl_t)", w.symbol),
        Target::Cuda => {
            let bounds = entry.max_threads.map_or(String::new(), |n| format!("__launch_bounds__({n}) "));
            format!("extern \"C\" __global__ void {bounds}{}({})", w.symbol, parameters.join(", "))
        }
    };
    let begin = match target {
        Target::Host => "",
        Target::Cuda => "MSL_ENTRY_BEGIN; ",
    };
    let _ = write!(w.text, "\n{head} {{ {begin}{call}({}); }}", actual.join(", "));
    Ok(w)
}

fn first_word(text: &str) -> String {
    text.trim_start_matches("::").chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

fn star(by: Indirection) -> &'static str {
    match by {
        Indirection::Pointer => "",
        Indirection::Reference => "*",
    }
}

fn check_indices(entry: &crate::Entry) -> Result<(), Diagnostic> {
    for (i, a) in entry.args.iter().enumerate() {
        let same = |b: &&Arg| match (&a.kind, &b.kind) {
            (ArgKind::Buffer(x), ArgKind::Buffer(y)) => x.index == y.index,
            (ArgKind::Threadgroup { index: x, .. }, ArgKind::Threadgroup { index: y, .. }) => x == y,
            _ => false,
        };
        // Arguments that exist on a condition may share an index.
        if let Some(b) = entry.args[..i].iter().find(same)
            && a.condition.is_none()
            && b.condition.is_none()
        {
            let message = format!("arguments {} and {} have the same index", b.name, a.name);
            return Err(Diagnostic::error(a.place.clone(), message));
        }
    }
    Ok(())
}

/// An expression of type `ty` for argument `a`, on the host.
fn host_value(arg: &Arg, a: usize, ty: &str) -> String {
    match &arg.kind {
        ArgKind::Buffer(b) => match b.by {
            Indirection::Pointer => format!("static_cast<{ty}>(msl_t->buffers[{}])", b.index),
            Indirection::Reference => format!("*static_cast<msl_t{a}>(msl_t->buffers[{}])", b.index),
        },
        ArgKind::Threadgroup { index, .. } => {
            let pointer = format!("static_cast<msl_t{a} *>(msl_t->threadgroup[{index}])");
            if reference(arg) { format!("*{pointer}") } else { pointer }
        }
        ArgKind::Builtin { builtin, width } => components(&builtin_value(*builtin, Target::Host), *builtin, *width, ty),
        ArgKind::Unsupported { .. } => String::new(),
    }
}

/// An expression of type `ty` for argument `a`, on CUDA.
fn cuda_value(arg: &Arg, a: usize, ty: &str, options: &LowerOptions<'_>) -> String {
    match &arg.kind {
        ArgKind::Buffer(b) if options.inline_buffers.contains(&b.index) => format!("msl_b{a}"),
        ArgKind::Buffer(b) => format!("{}msl_b{a}", star(b.by)),
        ArgKind::Threadgroup { .. } => {
            let pointer = format!("MSL_DYNAMIC_THREADGROUP(msl_t{a}, msl_b{a})");
            if reference(arg) { format!("*({pointer})") } else { pointer }
        }
        ArgKind::Builtin { builtin, width } => components(&builtin_value(*builtin, Target::Cuda), *builtin, *width, ty),
        ArgKind::Unsupported { .. } => String::new(),
    }
}

fn reference(arg: &Arg) -> bool {
    arg.type_text.contains('&')
}

/// A builtin as the support library gives it: a `uint3`, or a `uint`.
fn builtin_value(builtin: Builtin, target: Target) -> String {
    let name = match builtin {
        Builtin::ThreadPositionInGrid => "MSL_GRID_POS",
        Builtin::ThreadPositionInThreadgroup => "MSL_THREAD_POS",
        Builtin::ThreadgroupPositionInGrid => "MSL_GROUP_POS",
        Builtin::ThreadsPerGrid => "MSL_GRID_SIZE",
        Builtin::ThreadgroupsPerGrid => "MSL_GRID_GROUPS",
        Builtin::ThreadsPerThreadgroup => "MSL_GROUP_SIZE",
        Builtin::DispatchThreadsPerThreadgroup => match target {
            Target::Host => {
                return "metal::uint3(msl_t->dispatch_threads_per_threadgroup[0], \
                        msl_t->dispatch_threads_per_threadgroup[1], msl_t->dispatch_threads_per_threadgroup[2])"
                    .to_owned();
            }
            Target::Cuda => "MSL_GROUP_SIZE",
        },
        Builtin::GridOrigin => return "metal::uint3(0u, 0u, 0u)".to_owned(),
        Builtin::ThreadIndexInThreadgroup => "MSL_TID",
        Builtin::ThreadIndexInSimdgroup => "MSL_LANE",
        Builtin::SimdgroupIndexInThreadgroup => "MSL_SIMDGROUP",
        Builtin::SimdgroupsPerThreadgroup => "MSL_SIMDGROUPS",
        Builtin::DispatchSimdgroupsPerThreadgroup => match target {
            Target::Host => return "msl_t->dispatch_simdgroups_per_threadgroup".to_owned(),
            Target::Cuda => "MSL_SIMDGROUPS",
        },
        Builtin::ThreadsPerSimdgroup => return "32u".to_owned(),
        Builtin::ThreadIndexInQuadgroup => return "(MSL_TID(msl_t) & 3u)".to_owned(),
        Builtin::QuadgroupIndexInThreadgroup => return "(MSL_TID(msl_t) >> 2)".to_owned(),
        Builtin::QuadgroupsPerThreadgroup | Builtin::DispatchQuadgroupsPerThreadgroup => {
            return "((MSL_THREADS(msl_t) + 3u) >> 2)".to_owned();
        }
    };
    format!("{name}(msl_t)")
}

/// Whether a builtin is a position or size of three components.
fn wide(builtin: Builtin) -> bool {
    matches!(
        builtin,
        Builtin::ThreadPositionInGrid
            | Builtin::ThreadPositionInThreadgroup
            | Builtin::ThreadgroupPositionInGrid
            | Builtin::ThreadsPerGrid
            | Builtin::ThreadgroupsPerGrid
            | Builtin::ThreadsPerThreadgroup
            | Builtin::DispatchThreadsPerThreadgroup
            | Builtin::GridOrigin
    )
}

fn components(value: &str, builtin: Builtin, width: u8, ty: &str) -> String {
    let parts: Vec<String> = match wide(builtin) {
        true => ["x", "y", "z"][..usize::from(width.clamp(1, 3))].iter().map(|c| format!("{value}.{c}")).collect(),
        false => vec![value.to_owned()],
    };
    format!("{ty}({})", parts.join(", "))
}
