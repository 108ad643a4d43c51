//! What the language has and this front end does not run, so that its use can be named.

use std::collections::HashSet;
use std::sync::OnceLock;

use crate::Target;
use crate::support::support;

/// In words, what a type of the language is that has no counterpart here.
pub(crate) fn type_name(name: &str) -> Option<&'static str> {
    Some(match name {
        "texture1d" | "texture1d_array" | "texture2d" | "texture2d_array" | "texture2d_ms" | "texture2d_ms_array"
        | "texture3d" | "texturecube" | "texturecube_array" | "texture_buffer" | "depth2d" | "depth2d_array"
        | "depth2d_ms" | "depth2d_ms_array" | "depthcube" | "depthcube_array" => "a texture",
        "imageblock" | "imageblock_slice" | "threadgroup_imageblock" => "an imageblock",
        "acceleration_structure"
        | "primitive_acceleration_structure"
        | "instance_acceleration_structure"
        | "intersector"
        | "intersection_query"
        | "intersection_function_table"
        | "intersection_params"
        | "intersection_result"
        | "ray_data" => "ray tracing",
        "visible_function_table" => "a table of visible functions",
        "mesh" | "mesh_grid_properties" | "object_data" => "a mesh shader's type",
        "command_buffer" | "render_command" | "compute_command" | "compute_pipeline_state" => {
            "indirect command encoding"
        }
        "tensor" | "tensor_handle" | "tensor_inline" | "cooperative_tensor" => "a tensor",
        "r8unorm" | "r8snorm" | "r16unorm" | "r16snorm" | "rg8unorm" | "rg8snorm" | "rg16unorm" | "rg16snorm"
        | "rgba8unorm" | "rgba8snorm" | "rgba16unorm" | "rgba16snorm" | "srgba8unorm" | "rgb10a2" | "rg11b10f"
        | "rgb9e5" => "a pixel type",
        _ => return None,
    })
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

/// Whether the support library mentions a name at all.
pub(crate) fn library_knows(name: &str) -> bool {
    static NAMES: OnceLock<HashSet<&'static str>> = OnceLock::new();
    let names = NAMES.get_or_init(|| {
        let headers = [Target::Host, Target::Cuda].into_iter().flat_map(support).map(|(_, text)| *text);
        headers
            .chain([crate::lower::GLUE])
            .flat_map(|text| text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'))
            .collect()
    });
    names.contains(name)
}
