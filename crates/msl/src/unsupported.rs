//! What the language has and this front end does not run, so that its use can be named.

use std::collections::HashMap;
use std::sync::OnceLock;

use crate::parse::ItemKind;
use crate::program::Program;
use crate::support::support;
use crate::{ParseOptions, Target, Unit};

/// Types of the language that have no counterpart here, by what they are in words.
pub(crate) const TYPES: &[(&str, &[&str])] = &[
    (
        "a texture",
        &[
            "texture1d",
            "texture1d_array",
            "texture2d",
            "texture2d_array",
            "texture2d_ms",
            "texture2d_ms_array",
            "texture3d",
            "texturecube",
            "texturecube_array",
            "texture_buffer",
            "depth2d",
            "depth2d_array",
            "depth2d_ms",
            "depth2d_ms_array",
            "depthcube",
            "depthcube_array",
        ],
    ),
    ("an imageblock", &["imageblock", "imageblock_slice", "threadgroup_imageblock"]),
    (
        "ray tracing",
        &[
            "acceleration_structure",
            "primitive_acceleration_structure",
            "instance_acceleration_structure",
            "intersector",
            "intersection_query",
            "intersection_function_table",
            "intersection_params",
            "intersection_result",
            "ray_data",
        ],
    ),
    ("a table of visible functions", &["visible_function_table"]),
    ("a mesh shader's type", &["mesh", "mesh_grid_properties", "object_data"]),
    ("indirect command encoding", &["command_buffer", "render_command", "compute_command", "compute_pipeline_state"]),
    ("a tensor", &["tensor", "tensor_handle", "tensor_inline", "cooperative_tensor"]),
    (
        "a pixel type",
        &[
            "r8unorm",
            "r8snorm",
            "r16unorm",
            "r16snorm",
            "rg8unorm",
            "rg8snorm",
            "rg16unorm",
            "rg16snorm",
            "rgba8unorm",
            "rgba8snorm",
            "rgba16unorm",
            "rgba16snorm",
            "srgba8unorm",
            "rgb10a2",
            "rg11b10f",
            "rgb9e5",
        ],
    ),
];

/// In words, what a type of the language is that has no counterpart here.
pub(crate) fn type_name(name: &str) -> Option<&'static str> {
    TYPES.iter().find(|(_, names)| names.contains(&name)).map(|(what, _)| *what)
}

/// In words, why a name has no meaning in a kernel.
pub(crate) fn word(name: &str) -> Option<&'static str> {
    Some(match name {
        "double" | "double2" | "double3" | "double4" => "Metal has no double-precision type",
        "goto" => "Metal has no goto",
        "dynamic_cast" | "typeid" | "throw" | "try" | "catch" | "virtual" => "Metal has no such C++ feature",
        "thread_local" => "Metal has no thread_local",
        "long double" => "Metal has no double-precision type",
        _ => return None,
    })
}

/// Whether the support library declares a name for kernels; true of every name where that cannot be told.
pub(crate) fn library_knows(name: &str) -> bool {
    let names = library_names();
    names.is_empty() || names.contains_key(name)
}

/// The functions that the support library has for kernels.
#[cfg(test)]
pub(crate) fn library_functions() -> std::collections::BTreeSet<String> {
    let functions = library_names().iter().filter(|(_, function)| **function).map(|(name, _)| name);
    functions.filter(|name| !name.to_ascii_lowercase().starts_with("msl_")).cloned().collect()
}

/// What the support library declares for kernels, in namespace `metal` or around it, and whether it is a function; nothing
/// where the library cannot be read.
fn library_names() -> &'static HashMap<String, bool> {
    static NAMES: OnceLock<HashMap<String, bool>> = OnceLock::new();
    NAMES.get_or_init(|| {
        let mut names: HashMap<String, bool> = HashMap::new();
        for target in [Target::Host, Target::Cuda] {
            let library: String = support(target).map(|(_, text)| text).collect();
            let text = format!("{library}\nnamespace msl {{ {} }}\n", crate::lower::GLUE);
            if let Ok(unit) = Unit::parse("metallic-msl", &text, &ParseOptions::default()) {
                for (name, function) in declared(&unit.program) {
                    *names.entry(name).or_default() |= function;
                }
            }
        }
        names
    })
}

/// Every name that a program declares at namespace scope outside of `impl`, and whether it is a function; and the namespaces.
fn declared(program: &Program) -> Vec<(String, bool)> {
    let open = |scope: usize| {
        let prefix = program.scope_prefix(scope);
        !program.items.scopes[scope].class && !prefix.split("::").any(|name| name == "impl")
    };
    let scopes = (0..program.items.scopes.len()).filter(|s| open(*s));
    let mut names: Vec<_> = scopes.map(|s| (program.items.scopes[s].name.clone(), false)).collect();
    for item in program.items.items.iter().filter(|item| open(item.scope)) {
        let function = matches!(&item.kind, ItemKind::Function(f) if !f.is_operator && !f.qualified);
        names.extend(item.names.iter().map(|n| (program.source.spellings.text(*n).to_owned(), function)));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::library_knows;

    #[test]
    fn the_library_is_read() {
        for name in
            ["uint2", "float2x4", "packed_bfloat3", "simd_sum", "quad_prefix_exclusive_sum", "fast", "exp", "os_log"]
        {
            assert!(library_knows(name), "{name}");
        }
        for name in ["erf", "trap", "tensor_product", "name"] {
            assert!(!library_knows(name), "{name}");
        }
    }
}
