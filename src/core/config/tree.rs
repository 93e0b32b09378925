//! Statements and blocks with their places in the files; recovers and goes on after an error.

use crate::core::diagnostics::Span;

/// A word of the configuration after comments, quotes, definitions and sequences are resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The text, without quotes.
    pub text: String,
    /// Where it was written; for text out of a definition, where the definition is used.
    pub span: Span,
    /// Whether any of it was in quotes.
    pub quoted: bool,
}

/// A line of the configuration, with the block that it opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The keyword and what follows; never empty, braces are not among them.
    pub words: Vec<Token>,
    /// What is between the braces, when there are any.
    pub block: Option<Vec<Statement>>,
    /// From the first word to the last.
    pub span: Span,
}

impl Statement {
    /// The first word.
    pub fn keyword(&self) -> &str {
        self.words.first().map_or("", |token| token.text.as_str())
    }

    /// The words after the first.
    pub fn arguments(&self) -> &[Token] {
        self.words.get(1..).unwrap_or_default()
    }
}

/// A whole configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tree {
    /// Root statements in order.
    pub statements: Vec<Statement>,
}
