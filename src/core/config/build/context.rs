//! What all builders share: taking arguments, telling faults, setting aside what is not acted on.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use super::rule::FIRST_PREFERENCE;
use super::{Need, PlacedScript, Places, Unsupported};
use crate::core::config::keywords;
use crate::core::config::lexer::split_command;
use crate::core::config::model::check::Target;
use crate::core::config::model::{Script, ScriptUser};
use crate::core::config::tree::{Statement, Token};
use crate::core::config::values::{self, Fault};
use crate::core::diagnostics::{Diagnostic, Severity, Span};
use crate::core::time::Interval;

/// Problems that are told; more would not be read.
const MOST_PROBLEMS: usize = 1000;

/// The state of a build.
#[derive(Debug)]
pub struct Context {
    /// What was wrong.
    pub diagnostics: Vec<Diagnostic>,
    /// Where objects were written.
    pub places: Places,
    /// What is not acted on.
    pub unsupported: Vec<Unsupported>,
    /// Virtual servers so far.
    pub targets: BTreeSet<Target>,
    /// Names of `track_group` blocks, with their places.
    pub track_groups: BTreeMap<String, Span>,
    /// Of the next rule that gives none.
    pub next_preference: u32,
    /// Instances that say `notify_priority_changes` themselves.
    pub own_priority_notices: BTreeSet<String>,
    /// There was an `SSL` block.
    pub tls: bool,
    /// One that decides was kept beyond the limit.
    full: bool,
}

impl Default for Context {
    fn default() -> Self {
        Self {
            diagnostics: Vec::new(),
            places: Places::default(),
            unsupported: Vec::new(),
            targets: BTreeSet::new(),
            track_groups: BTreeMap::new(),
            next_preference: FIRST_PREFERENCE,
            own_priority_notices: BTreeSet::new(),
            tls: false,
            full: false,
        }
    }
}

impl Context {
    /// Collects a problem. Of a file that is nothing but problems only so many are kept; those that
    /// decide whether a daemon may run always are.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        let decides = diagnostic.severity >= Severity::Missing;
        if self.diagnostics.len() < MOST_PROBLEMS || (decides && !self.full) {
            self.full |= decides && self.diagnostics.len() >= MOST_PROBLEMS;
            self.diagnostics.push(diagnostic);
        }
    }

    /// Something is ignored or corrected.
    pub fn error(&mut self, code: &'static str, span: Span, message: impl Into<String>) {
        self.push(Diagnostic::new(Severity::Error, code, span, message));
    }

    /// The daemon cannot run.
    pub fn fatal(&mut self, code: &'static str, span: Span, message: impl Into<String>) {
        self.push(Diagnostic::new(Severity::Fatal, code, span, message));
    }

    /// Probably not meant; keepalived says nothing.
    pub fn warning(&mut self, code: &'static str, span: Span, message: impl Into<String>) {
        self.push(Diagnostic::new(Severity::Warning, code, span, message));
    }

    /// Sets aside a word without an effect.
    pub fn not_acted_on(&mut self, block: &str, word: &str, span: Span) {
        let (block, keyword) = (block.to_owned(), word.to_owned());
        self.unsupported.push(Unsupported { block, keyword, span });
    }

    /// Sets aside what stands in `statements` without an effect; a block stands for all in it.
    pub fn tell_not_acted_on(&mut self, block: &str, statements: &[Statement]) {
        for statement in statements {
            let Some(token) = statement.words.first() else {
                continue;
            };
            if !keywords::is_acted_on(block, &token.text) {
                self.not_acted_on(block, &token.text, token.span);
            } else if !statement.children().is_empty() {
                let child = keywords::child_block(block, &token.text);
                self.tell_not_acted_on(&child, statement.children());
            }
        }
    }

    /// A word that the builder of `block` does not take: known to the dialect, or not at all.
    pub fn unknown(&mut self, block: &str, statement: &Statement) {
        let word = statement.keyword();
        let Some(token) = statement.words.first() else {
            return;
        };
        if keywords::lookup(block, word).is_some() {
            if keywords::is_acted_on(block, word) {
                self.not_acted_on(block, word, token.span);
            }
            return;
        }
        // What nobody reads needs no suggestion: looking for one is dear.
        if self.diagnostics.len() >= MOST_PROBLEMS {
            return;
        }
        let mut diagnostic = Diagnostic::new(
            Severity::Error,
            "unknown-keyword",
            token.span,
            format!("Unknown keyword '{word}'"),
        );
        if let Some(like) = keywords::suggest(block, word) {
            diagnostic = diagnostic.with_help(format!("did you mean `{like}`?"));
        } else if let Some(place) = home_of(word) {
            diagnostic = diagnostic.with_help(format!("`{word}` belongs in {place}"));
        }
        self.push(diagnostic);
    }

    /// The first argument; when there is none, keepalived ends on the spot, but for some words.
    pub fn required<'a>(&mut self, statement: &'a Statement) -> Option<&'a Token> {
        let found = statement.arguments().first();
        if found.is_none() {
            let severity = if keywords::goes_on_without_argument(statement.keyword()) {
                Severity::Error
            } else {
                Severity::Missing
            };
            self.push(
                Diagnostic::new(
                    severity,
                    "missing-argument",
                    statement.span,
                    format!("`{}` needs an argument", statement.keyword()),
                )
                .with_help(help_of(statement.keyword())),
            );
        }
        found
    }

    /// The first argument through one of the grammars of [`values`]; a fault is told.
    pub fn parse<T>(
        &mut self,
        statement: &Statement,
        grammar: impl FnOnce(&str) -> Result<T, Fault>,
    ) -> Option<T> {
        let token = self.required(statement)?;
        let found = self.parse_token(statement.keyword(), token, grammar);
        self.surplus(statement, 1);
        found
    }

    /// The same for a token at hand.
    pub fn parse_token<T>(
        &mut self,
        keyword: &str,
        token: &Token,
        grammar: impl FnOnce(&str) -> Result<T, Fault>,
    ) -> Option<T> {
        match grammar(&token.text) {
            Ok(value) => Some(value),
            Err(fault) => {
                let message = format!("{keyword} '{}': {fault}", token.text);
                self.error("bad-value", token.span, message);
                None
            }
        }
    }

    /// Words that keepalived passes over without a word.
    fn surplus(&mut self, statement: &Statement, used: usize) {
        if let Some(extra) = statement.arguments().get(used) {
            let span = extra.span;
            let message = format!("'{}' and what follows is not read", extra.text);
            self.warning("extra-words", span, message);
        }
    }

    /// The lines of a block that is a list: nothing stands before its brace, and it has one.
    pub fn entries<'a>(&mut self, block: &'a Statement) -> &'a [Statement] {
        if let Some(extra) = block.arguments().first() {
            let message = format!("'{}' before the brace of {}", extra.text, block.keyword());
            self.error("extra-words", extra.span, message);
        }
        if block.block.is_none() {
            let message = format!("`{}` lacks its block", block.keyword());
            self.error("missing-block", block.span, message);
        }
        block.children()
    }

    /// A number within a range.
    pub fn number(&mut self, statement: &Statement, range: RangeInclusive<u32>) -> Option<u32> {
        self.parse(statement, |word| values::number(word, range))
    }

    /// A time within a range.
    pub fn seconds(
        &mut self,
        statement: &Statement,
        range: RangeInclusive<Interval>,
    ) -> Option<Interval> {
        self.parse(statement, |word| values::seconds(word, range))
    }

    /// Whole seconds within a range.
    pub fn whole_seconds(
        &mut self,
        statement: &Statement,
        range: RangeInclusive<u32>,
    ) -> Option<Interval> {
        self.number(statement, range).map(|seconds| Interval::from_secs(seconds.into()))
    }

    /// `[BOOL]`: on when there is no argument.
    pub fn boolean(&mut self, statement: &Statement) -> Option<bool> {
        match statement.arguments().first() {
            None => Some(true),
            Some(token) => self.parse_token(statement.keyword(), token, values::boolean),
        }
    }

    /// A flag: arguments mean nothing, not even `off`.
    pub fn flag(&mut self, statement: &Statement) {
        if let Some(extra) = statement.arguments().first() {
            let message = format!("`{}` takes no argument: it is on", statement.keyword());
            self.warning("extra-words", extra.span, message);
        }
    }

    /// One word of text.
    pub fn text(&mut self, statement: &Statement) -> Option<String> {
        self.required(statement).map(|token| token.text.to_string())
    }

    /// A command with its account: the first word after the keyword, quoted when it has arguments,
    /// then optionally user and group.
    pub fn script(&mut self, statement: &Statement) -> Option<Script> {
        self.required(statement)?;
        let text = statement.raw.get(statement.keyword().len()..).unwrap_or_default().trim();
        // With a keyword in quotes the raw text is off by them; then the tokens must do.
        let (command, tail) = match text.chars().next() {
            Some(quote @ ('"' | '\'')) => {
                let inner = text.get(1..).unwrap_or_default();
                match closing_quote(inner, quote) {
                    Some(end) => (
                        inner.get(..end).unwrap_or_default(),
                        inner.get(end + 1..).unwrap_or_default(),
                    ),
                    None => {
                        self.error(
                            "unmatched-quote",
                            statement.span,
                            "Unmatched quote in a command",
                        );
                        return None;
                    }
                }
            }
            Some(_) | None => text.split_once(char::is_whitespace).unwrap_or((text, "")),
        };
        let Some(words) = split_command(command).filter(|words| !words.is_empty()) else {
            self.error("bad-command", statement.span, "The command cannot be split into words");
            return None;
        };
        let mut account = tail.split_whitespace();
        let user = account.next().map(|user| ScriptUser {
            user: user.to_owned(),
            group: account.next().map(|group| group.trim_start_matches(':').to_owned()),
        });
        let script = Script { words, user };
        let (span, tracked) = (statement.span, statement.keyword() == "script");
        self.places.scripts.push(PlacedScript { script: script.clone(), span, tracked });
        Some(script)
    }

    /// A script that may be given once.
    pub fn script_once<T: From<Script>>(&mut self, statement: &Statement, slot: &mut Option<T>) {
        if slot.is_some() {
            let message = format!("{} is given twice, the first counts", statement.keyword());
            self.error("duplicate", statement.span, message);
            return;
        }
        *slot = self.script(statement).map(T::from);
    }

    /// An old spelling of another word, of which keepalived says nothing.
    pub fn old_spelling(&mut self, statement: &Statement, instead: &str) {
        let message = format!("`{}` is the old name of `{instead}`", statement.keyword());
        self.warning("deprecated", statement.span, message);
    }

    /// A word that stands for another one.
    pub fn deprecated(&mut self, statement: &Statement, instead: &str) {
        let message = format!("`{}` is deprecated, use `{instead}`", statement.keyword());
        self.error("deprecated", statement.span, message);
    }

    /// An interface is needed.
    pub fn needs_interface(&mut self, name: &str, span: Span, need: Need) {
        self.places.interfaces.push((name.to_owned(), span, need));
    }
}

/// `USER [GROUP]`, where `:GROUP` is the group too.
pub fn account(words: &[Token]) -> Option<ScriptUser> {
    let (user, rest) = words.split_first()?;
    let group = rest.first().map(|group| group.text.trim_start_matches(':').to_owned());
    Some(ScriptUser { user: user.text.to_string(), group })
}

/// The end of a quoted text, escapes passed over.
fn closing_quote(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, character) in text.char_indices() {
        if escaped {
            escaped = false;
        } else if character == '\\' {
            escaped = true;
        } else if character == quote {
            return Some(at);
        }
    }
    None
}

/// Where a word that stands in the wrong place belongs.
fn home_of(word: &str) -> Option<String> {
    let mut homes = keywords::all().iter().filter(|keyword| keyword.name == word);
    homes.next().map(|keyword| match keyword.block {
        keywords::ROOT => "the outermost level".to_owned(),
        block => format!("`{block}`"),
    })
}

fn help_of(word: &str) -> String {
    keywords::all()
        .iter()
        .find(|keyword| keyword.name == word)
        .map_or_else(String::new, |keyword| format!("{word} {}", keyword.arguments))
}
