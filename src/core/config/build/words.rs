//! The words of one line, taken one after the other, for lines with a grammar of their own.

use super::context::Context;
use super::names;
use crate::core::config::model::route::{NameTable, Named};
use crate::core::config::tree::Token;
use crate::core::config::values::Fault;
use crate::core::diagnostics::{Diagnostic, Severity};

/// Why a line cannot be used; it has been told already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dropped;

/// What is left of a line.
#[derive(Debug, Clone, Copy)]
pub struct Words<'a> {
    rest: &'a [Token],
    /// How bad it is when the value of a word is missing.
    missing: Severity,
}

impl<'a> Words<'a> {
    /// All of `words`; a missing value costs the line.
    pub const fn new(words: &'a [Token]) -> Self {
        Self { rest: words, missing: Severity::Error }
    }

    /// All of `words`; at a missing value keepalived ends.
    pub const fn strict(words: &'a [Token]) -> Self {
        Self { rest: words, missing: Severity::Missing }
    }

    /// The next word.
    pub fn pop(&mut self) -> Option<&'a Token> {
        let (word, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(word)
    }

    /// The next word, left where it is.
    pub fn peek(&self) -> Option<&'a Token> {
        self.rest.first()
    }

    /// The words that are left.
    pub const fn rest(&self) -> &'a [Token] {
        self.rest
    }

    /// Takes the next word when it is `word`.
    pub fn take(&mut self, word: &str) -> bool {
        let found = self.peek().is_some_and(|token| token.text == word);
        if found {
            self.pop();
        }
        found
    }

    /// The value after `word`; a line that lacks it is dropped.
    pub fn value(&mut self, context: &mut Context, word: &Token) -> Result<&'a Token, Dropped> {
        self.pop().ok_or_else(|| {
            let message = format!("`{}` lacks its value, the line is left out", word.text);
            context.push(Diagnostic::new(self.missing, "missing-value", word.span, message));
            Dropped
        })
    }

    /// The value after `word` through a grammar; a line with a faulty one is dropped.
    pub fn parse<T>(
        &mut self,
        context: &mut Context,
        word: &Token,
        grammar: impl FnOnce(&str) -> Result<T, Fault>,
    ) -> Result<T, Dropped> {
        let value = self.value(context, word)?;
        context.parse_token(&word.text, value, grammar).ok_or(Dropped)
    }

    /// The same for a number or a name of iproute2.
    pub fn named(
        &mut self,
        context: &mut Context,
        word: &Token,
        table: NameTable,
    ) -> Result<Named, Dropped> {
        let value = self.value(context, word)?;
        let grammar = |text: &str| names::named(text, table);
        let found = context.parse_token(&word.text, value, grammar).ok_or(Dropped)?;
        names::note(context, &found, value.span);
        Ok(found)
    }
}
