//! From files to a typed model: sources, logical lines, tokens, tree, model.
//!
//! [`model`] is what the rest of the program acts on.

pub mod model;
pub mod tree;
