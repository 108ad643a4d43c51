//! What a source is read with: macros, and where its includes come from.

use std::path::{Path, PathBuf};

/// How an `#include` names its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IncludeForm {
    /// `#include "file"`.
    Quoted,
    /// `#include <file>`.
    Angled,
}

/// A file that an `#include` found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Included {
    /// Name by which diagnostics call it, and by which `#pragma once` knows it again.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// Finds the files that `#include` names. The Metal and SIMD system headers never get here.
pub trait Loader {
    /// The file that `name` stands for in a file called `from`; `None` where there is none.
    fn load(&self, name: &str, form: IncludeForm, from: &str) -> Option<Included>;
}

/// A loader that finds nothing, for sources without includes.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoIncludes;

impl Loader for NoIncludes {
    fn load(&self, _: &str, _: IncludeForm, _: &str) -> Option<Included> {
        None
    }
}

/// A loader that reads files: first beside the including file (quoted form), then in each directory in order.
#[derive(Clone, Debug, Default)]
pub struct Directories(pub Vec<PathBuf>);

impl Loader for Directories {
    fn load(&self, name: &str, form: IncludeForm, from: &str) -> Option<Included> {
        let beside = match form {
            IncludeForm::Quoted => Some(Path::new(from).parent().unwrap_or(Path::new("")).to_path_buf()),
            IncludeForm::Angled => None,
        };
        beside.iter().chain(&self.0).find_map(|dir| {
            let path = dir.join(name);
            let text = std::fs::read_to_string(&path).ok()?;
            Some(Included { name: path.to_string_lossy().into_owned(), text })
        })
    }
}

impl<F: Fn(&str, IncludeForm, &str) -> Option<Included>> Loader for F {
    fn load(&self, name: &str, form: IncludeForm, from: &str) -> Option<Included> {
        self(name, form, from)
    }
}

/// How a source is read.
#[derive(Clone, Copy)]
pub struct ParseOptions<'a> {
    /// Macros set before the first line, as `-D name=value` would.
    pub defines: &'a [(&'a str, &'a str)],
    /// Finds included files.
    pub loader: &'a dyn Loader,
    /// Value of `__METAL_VERSION__`, e.g. 310 for Metal 3.1.
    pub metal_version: u32,
}

impl Default for ParseOptions<'_> {
    fn default() -> Self {
        ParseOptions { defines: &[], loader: &NoIncludes, metal_version: 400 }
    }
}
