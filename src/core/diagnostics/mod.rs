//! Problems as data: what is wrong, where, how bad, and what to do about it.
//!
//! A [`Diagnostic`] is collected, never thrown. Renderers (`render`) turn a list of them into the
//! form that people read on a terminal or that goes to the log, one line each.

pub mod render;

use bytes::Bytes;

/// A file of the configuration, by its index in a [`SourceMap`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct FileId(pub u32);

/// A range of bytes in one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span {
    /// The file.
    pub file: FileId,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// From the start of `self` to the end of `other`; `self` when they are in different files.
    #[must_use]
    pub fn to(self, other: Self) -> Self {
        if self.file == other.file && other.end >= self.start {
            Self { end: other.end, ..self }
        } else {
            self
        }
    }
}

/// How bad a problem is, in keepalived's classes; the order is that of its config test's exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// For people only: keepalived says nothing here.
    Note,
    /// Works, but is probably not meant; keepalived says nothing here.
    Warning,
    /// A script that someone other than root could replace: exit code 6.
    ScriptSecurity,
    /// Something was ignored or corrected: exit code 5.
    Error,
    /// A mandatory word is missing, reading stops: exit code 2.
    Missing,
    /// The daemon cannot run with this: exit code 4.
    Fatal,
}

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Stable, for documentation and suppression: `unknown-keyword`, `number-out-of-range`, …
    pub code: &'static str,
    /// How bad.
    pub severity: Severity,
    /// The narrowest text that is to blame; absent when the problem is outside of any file.
    pub span: Option<Span>,
    /// One short sentence, no final stop.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
    /// Other places that matter, each with a remark ("first defined here").
    pub related: Vec<(Span, String)>,
}

impl Diagnostic {
    /// A problem at `span`.
    pub fn new(
        severity: Severity,
        code: &'static str,
        span: Span,
        message: impl Into<String>,
    ) -> Self {
        Self {
            code,
            severity,
            span: Some(span),
            message: message.into(),
            help: None,
            related: Vec::new(),
        }
    }

    /// The same with a remedy.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same with another place that matters.
    #[must_use]
    pub fn with_related(mut self, span: Span, remark: impl Into<String>) -> Self {
        self.related.push((span, remark.into()));
        self
    }
}

/// The texts that spans point into.
#[derive(Debug, Clone, Default)]
pub struct SourceMap {
    /// By [`FileId`].
    pub files: Vec<SourceText>,
}

/// One file's name and text.
#[derive(Debug, Clone)]
pub struct SourceText {
    /// As the user would write it.
    pub name: String,
    /// As it was read; bytes that are not UTF-8 are kept.
    pub bytes: Bytes,
}
