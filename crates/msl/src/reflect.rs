//! What can be known of a kernel without running it.

mod build;

use crate::Place;

#[cfg(test)]
pub(crate) use build::BUILTINS;
pub(crate) use build::{EntryPoint, ParamSource};

/// A kernel that can be run.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The name by which the host asks for it: `[[host_name("...")]]`, else the function's qualified name.
    pub name: String,
    /// The C++ expression that names the function or the template instantiation, e.g. `ns::scale<float, 4>`.
    pub function: String,
    /// Where the entry is made: the function's name, or the explicit instantiation.
    pub place: Place,
    /// Arguments in the order of declaration. Structs passed by value appear as one argument for each member.
    pub args: Vec<Arg>,
    /// `[[max_total_threads_per_threadgroup(n)]]`, where it is there and its value is known.
    pub max_threads: Option<u32>,
    /// Bytes of threadgroup memory that the body declares, where every size is known. Arguments are not counted.
    pub threadgroup_bytes: Option<usize>,
    /// Indices into [`Unit::function_constants`](crate::Unit::function_constants) of those that the entry may read.
    pub function_constants: Vec<usize>,
}

/// One argument of an entry.
#[derive(Clone, Debug)]
pub struct Arg {
    /// Its name; `a.b` for member `b` of a struct argument `a`.
    pub name: String,
    /// Its type as written, attributes left out and template parameters filled in.
    pub type_text: String,
    /// What it is.
    pub kind: ArgKind,
    /// Name of the function constant that decides whether the argument exists: `[[function_constant(name)]]`.
    pub condition: Option<String>,
    /// Where it is declared.
    pub place: Place,
}

/// What the host must provide for an argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArgKind {
    /// Memory bound at an index.
    Buffer(Buffer),
    /// Threadgroup memory whose length the host sets.
    Threadgroup {
        /// `n` of `[[threadgroup(n)]]`, or the one assigned.
        index: u32,
        /// What it points to.
        element: Element,
    },
    /// A position or size that the device provides.
    Builtin {
        /// Which one.
        builtin: Builtin,
        /// Components asked for, 1 to 3.
        width: u8,
    },
    /// Something that this front end reads but cannot run; lowering the entry is an error that names it.
    Unsupported {
        /// In words, e.g. "a texture argument".
        what: String,
    },
}

/// An argument that is bound to a buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// `n` of `[[buffer(n)]]`, or the one assigned.
    pub index: u32,
    /// Where it lies.
    pub space: AddressSpace,
    /// Whether the kernel may write it.
    pub access: Access,
    /// Pointer or reference.
    pub by: Indirection,
    /// What it points to.
    pub element: Element,
}

/// The type behind a pointer or reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// As written, without qualifiers, template parameters filled in, e.g. `float` or `block_q8_0`.
    pub text: String,
    /// Bytes of one element, where known.
    pub size: Option<usize>,
    /// Its alignment in bytes, where known.
    pub align: Option<usize>,
}

/// Address spaces that an argument can point into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AddressSpace {
    /// `device`.
    Device,
    /// `constant`.
    Constant,
}

/// What a kernel may do with a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// `const`, or in the constant address space.
    Read,
    /// Anything else.
    ReadWrite,
}

/// How an argument names its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Indirection {
    /// `T*`, or an array that decays to one: any number of elements.
    Pointer,
    /// `T&`: exactly one element.
    Reference,
}

/// A value that the device provides to each thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Builtin {
    /// `[[thread_position_in_grid]]`.
    ThreadPositionInGrid,
    /// `[[thread_position_in_threadgroup]]`.
    ThreadPositionInThreadgroup,
    /// `[[threadgroup_position_in_grid]]`.
    ThreadgroupPositionInGrid,
    /// `[[threads_per_grid]]`, also `[[grid_size]]`.
    ThreadsPerGrid,
    /// `[[threadgroups_per_grid]]`.
    ThreadgroupsPerGrid,
    /// `[[threads_per_threadgroup]]`.
    ThreadsPerThreadgroup,
    /// `[[dispatch_threads_per_threadgroup]]`.
    DispatchThreadsPerThreadgroup,
    /// `[[grid_origin]]`: always zero.
    GridOrigin,
    /// `[[thread_index_in_threadgroup]]`.
    ThreadIndexInThreadgroup,
    /// `[[thread_index_in_simdgroup]]`.
    ThreadIndexInSimdgroup,
    /// `[[simdgroup_index_in_threadgroup]]`.
    SimdgroupIndexInThreadgroup,
    /// `[[simdgroups_per_threadgroup]]`.
    SimdgroupsPerThreadgroup,
    /// `[[dispatch_simdgroups_per_threadgroup]]`.
    DispatchSimdgroupsPerThreadgroup,
    /// `[[threads_per_simdgroup]]`, also `[[thread_execution_width]]`.
    ThreadsPerSimdgroup,
    /// `[[thread_index_in_quadgroup]]`.
    ThreadIndexInQuadgroup,
    /// `[[quadgroup_index_in_threadgroup]]`.
    QuadgroupIndexInThreadgroup,
    /// `[[quadgroups_per_threadgroup]]`.
    QuadgroupsPerThreadgroup,
    /// `[[dispatch_quadgroups_per_threadgroup]]`.
    DispatchQuadgroupsPerThreadgroup,
}

/// A program-scope constant that gets its value when the kernel is built.
#[derive(Clone, Debug)]
pub struct FunctionConstant {
    /// Its qualified name.
    pub name: String,
    /// `n` of `[[function_constant(n)]]`.
    pub index: u32,
    /// Its type as written.
    pub type_text: String,
    /// Where it is declared.
    pub place: Place,
}
