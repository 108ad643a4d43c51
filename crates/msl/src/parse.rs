//! Declarations: what stands at namespace and class scope, with function bodies left as ranges of tokens.
//!
//! Attributes and pragmas are taken out of the tokens first and kept beside them, so that nothing after has to expect
//! them at every place where the language allows them.

mod declarator;
mod item;
mod source;

pub(crate) use declarator::{Declarator, Parameter, address_space, qualifier};
pub(crate) use item::{Function, Instantiation, Item, ItemKind, Items, parse};
pub(crate) use source::{Attribute, Source};
