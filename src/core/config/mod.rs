//! From files to a typed model: sources, logical lines, tokens, tree, model.
//!
//! [`source`] reads the files, [`preprocess`] resolves comments, conditions, definitions and
//! includes, [`lexer`] and [`tree`] make statements and blocks, [`build`] makes the [`model`] that
//! the rest of the program acts on. [`compile`] does it all; [`surroundings`] compares the result
//! with the machine (interfaces, scripts, users). [`keywords`] is the table of the dialect.

pub mod build;
pub mod compile;
pub mod handed;
pub mod keywords;
pub mod lexer;
pub mod model;
pub mod pattern;
pub mod preprocess;
pub mod source;
pub mod surroundings;
pub mod tree;
pub mod values;

use crate::core::diagnostics::{Diagnostic, SourceMap};

/// A configuration as a tree.
#[derive(Debug, Default)]
pub struct Parsed {
    /// Its statements.
    pub tree: tree::Tree,
    /// What spans point into.
    pub sources: SourceMap,
    /// What was wrong.
    pub diagnostics: Vec<Diagnostic>,
}

/// Sources to tree.
pub fn parse(set: &source::SourceSet) -> Parsed {
    let preprocessed = preprocess::preprocess(set.main(), &mut source::Frozen(set));
    let (tree, found) = tree::build_tree(preprocessed.lines);
    let mut diagnostics = preprocessed.diagnostics;
    diagnostics.extend(found);
    Parsed { tree, sources: set.source_map(), diagnostics }
}

/// What the fuzzer runs: any text compiles to something, with diagnostics that can be shown.
pub fn fuzz(data: &[u8]) {
    use crate::core::diagnostics::render::{Style, concise, full};
    let compiled = compile::compile(&source::SourceSet::from_text("fuzz.conf", data));
    for found in compiled.diagnostics.iter().take(100) {
        let _ = full(found, &compiled.sources, Style::Plain);
        let _ = concise(found, &compiled.sources);
    }
}
