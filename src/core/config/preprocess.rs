//! From bytes to logical lines: comments, conditions, definitions, sequences, includes.
//!
//! Pure: what a text needs of its surroundings (included files, environment) it asks of [`Files`].
//! The first time this is answered from the file system and remembered, then from what was
//! remembered, so that the lines are the same each time.

mod line;
mod sequence;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::core::diagnostics::{Diagnostic, FileId, Severity, Span};
pub use line::LogicalLine;
pub(super) use line::is_blank;

/// keepalived's limit of a physical line.
const LONGEST_LINE: usize = 1023;
/// Definitions of several lines and sequences within one another.
const DEEPEST_EXPANSION: usize = 32;
/// References that one line may take, those within definitions included.
const MOST_REFERENCES: usize = 1000;
/// Bytes of one line after expansion.
const LONGEST_EXPANSION: usize = 64 << 10;
/// Bytes that expanding may copy altogether: a bomb gets a message instead of the processor.
const MOST_WORK: usize = 16 << 20;
/// Bytes of all lines that are not as they were written: a bomb gets a message instead of the memory.
const LARGEST_OUTPUT: usize = 16 << 20;
/// What a line costs beside its text.
const LINE_OVERHEAD: usize = 64;
/// Problems that are told; more would not be read.
const MOST_PROBLEMS: usize = 1000;
/// Includes within includes.
const DEEPEST_INCLUDE: usize = 32;
/// Files that are read altogether, each as often as it is included.
const MOST_READS: usize = 4096;
/// Bytes of files that are included once more.
const MOST_REPEATED: usize = 4 << 20;

/// What a text asks of its surroundings.
pub trait Files {
    /// The text of a file that has been named before.
    fn text(&self, file: FileId) -> Bytes;
    /// The folder of a file, for `${_PWD}`.
    fn folder(&self, file: FileId) -> String;
    /// The files that an include line names, in order; the error is for the user.
    fn include(
        &mut self,
        from: FileId,
        checks: IncludeChecks,
        pattern: &str,
    ) -> Result<Vec<FileId>, IncludeError>;
    /// An environment variable.
    fn environment(&mut self, name: &str) -> Option<String>;
    /// What `@` lines are compared with.
    fn config_id(&self) -> &str;
    /// Where the numbers of `${_RANDOM}` begin.
    fn seed(&self) -> u64;
}

/// What makes an include fail; otherwise what is not there is passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct IncludeChecks {
    /// Each file that matches is regular, readable and not a program (`includer`).
    pub readable: bool,
    /// A name without wildcards exists (`includem`).
    pub exact: bool,
    /// A pattern with wildcards matches something (`includew`).
    pub wildcard: bool,
    /// Each alternative in braces matches something (`includeb`).
    pub brace: bool,
}

impl IncludeChecks {
    /// `includea`, and every include under `-e`.
    pub const ALL: Self = Self { readable: true, exact: true, wildcard: true, brace: true };

    /// What an include keyword asks for; `None` for any other word.
    fn of(keyword: &str) -> Option<Self> {
        let none = Self::default();
        let readable = Self { readable: true, ..none };
        let exact = Self { exact: true, ..readable };
        Some(match keyword {
            "include" => none,
            "includer" => readable,
            "includem" => exact,
            "includew" => Self { wildcard: true, ..exact },
            "includeb" => Self { brace: true, ..readable },
            "includea" => Self::ALL,
            _ => return None,
        })
    }

    fn or(self, other: Self) -> Self {
        Self {
            readable: self.readable || other.readable,
            exact: self.exact || other.exact,
            wildcard: self.wildcard || other.wildcard,
            brace: self.brace || other.brace,
        }
    }

    /// The argument words of `include_check`: none means all, `+` and `-` change what holds.
    fn changed_by<'a>(self, words: impl Iterator<Item = &'a str>) -> Self {
        let mut words = words.peekable();
        let mut checks = match words.peek() {
            None => return Self::ALL,
            Some(word) if word.starts_with(['+', '-']) => self,
            Some(_) => Self::default(),
        };
        for word in words {
            let on = !word.starts_with('-');
            match word.trim_start_matches(['+', '-']) {
                "read" | "readable" => checks.readable = on,
                "match" => checks.exact = on,
                "wildcard_match" => checks.wildcard = on,
                "brace_match" => checks.brace = on,
                _ => {}
            }
        }
        checks
    }
}

/// Why an include gives nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncludeError {
    /// For the user.
    pub message: String,
    /// Whether the configuration must be refused for it.
    pub fatal: bool,
}

/// The lines of a configuration.
#[derive(Debug, Default)]
pub struct Preprocessed {
    /// In order, includes in place; none of them is empty.
    pub lines: Vec<LogicalLine>,
    /// What was wrong.
    pub diagnostics: Vec<Diagnostic>,
}

/// Resolves everything from the main files on.
pub fn preprocess(main: &[FileId], files: &mut dyn Files) -> Preprocessed {
    let mut lines = Vec::new();
    let diagnostics = preprocess_into(main, files, &mut |line| lines.push(line));
    Preprocessed { lines, diagnostics }
}

/// The same, each line given away as soon as it is there; what was wrong comes back.
pub fn preprocess_into(
    main: &[FileId],
    files: &mut dyn Files,
    sink: &mut dyn FnMut(LogicalLine),
) -> Vec<Diagnostic> {
    let mut state = State {
        random: files.seed(),
        files,
        sink,
        diagnostics: Vec::new(),
        definitions: BTreeMap::new(),
        open_definition: None,
        checks: IncludeChecks::default(),
        work: 0,
        produced: 0,
        reads: 0,
        known: main.iter().copied().collect(),
        repeated: 0,
    };
    for file in main {
        state.read(*file, 0);
    }
    state.diagnostics
}

struct State<'a> {
    files: &'a mut dyn Files,
    sink: &'a mut dyn FnMut(LogicalLine),
    diagnostics: Vec<Diagnostic>,
    /// The lines that each name stands for, never none.
    definitions: BTreeMap<String, Arc<[String]>>,
    open_definition: Option<(String, Vec<String>)>,
    checks: IncludeChecks,
    random: u64,
    work: usize,
    produced: usize,
    reads: usize,
    /// Files that have been read.
    known: BTreeSet<FileId>,
    repeated: usize,
}

impl State<'_> {
    fn tell(&mut self, diagnostic: Diagnostic) {
        if self.diagnostics.len() < MOST_PROBLEMS {
            self.diagnostics.push(diagnostic);
        }
    }

    fn problem(&mut self, code: &'static str, span: Span, message: impl Into<String>) {
        self.tell(Diagnostic::new(Severity::Error, code, span, message));
    }

    fn read(&mut self, file: FileId, depth: usize) {
        let bytes = self.files.text(file);
        let mut offset = 0;
        if bytes.starts_with(b"\xef\xbb\xbf") {
            offset = 3;
            // keepalived takes the mark for a part of the first word and loses that whole block.
            let span = Span { file, start: 0, end: 3 };
            let message = "The file begins with a byte-order mark; it is passed over here";
            self.tell(
                Diagnostic::new(Severity::Error, "byte-order-mark", span, message)
                    .with_help("keepalived would lose the first block: save the file without it"),
            );
        }
        let rest = bytes.get(offset..).unwrap_or_default();
        for raw in rest.split(|byte| *byte == b'\n') {
            let end = offset + raw.len();
            self.physical_line(file, &bytes, offset..end, depth);
            offset = end + 1;
        }
        self.end_definition();
    }

    fn physical_line(&mut self, file: FileId, bytes: &Bytes, range: Range<usize>, depth: usize) {
        let raw = bytes.get(range.clone()).unwrap_or_default();
        let start = u32::try_from(range.start).unwrap_or(u32::MAX);
        // Nearly every line is like this, and what is wrong with others is not with these.
        if raw.len() <= LONGEST_LINE
            && self.open_definition.is_none()
            && let Some(line) = LogicalLine::read_plain(file, bytes, range)
        {
            if !line.text.is_empty() {
                self.emit(line, depth);
            }
            return;
        }
        let length = u32::try_from(raw.len()).unwrap_or(u32::MAX);
        let whole = Span { file, start, end: start.saturating_add(length) };
        if raw.contains(&0) {
            return self.problem("nul-byte", whole, "A NUL byte; the line is dropped");
        }
        if raw.len() > LONGEST_LINE {
            let message = format!(
                "A line of {} bytes, at most {LONGEST_LINE} are read; it is dropped",
                raw.len()
            );
            return self.problem("line-too-long", whole, message);
        }
        let line = LogicalLine::read(file, start, raw);
        let blank = line.text.trim_matches(is_blank).is_empty();
        let line = line.without_comment();
        let line = line.part(0, line.text.len());
        if line.text.is_empty() {
            // A comment within a definition of several lines is passed over, a blank line ends it.
            if blank {
                self.end_definition();
            }
        } else if let Some((name, lines)) = self.open_definition.take() {
            self.check_quotes(&line);
            self.add_to_definition(name, lines, &line.text);
        } else {
            self.line(line, depth);
        }
    }

    /// A line without comment: condition, definition, or text to expand.
    fn line(&mut self, line: LogicalLine, depth: usize) {
        let whole = line.clone();
        let Some(line) = self.apply_condition(line) else {
            return self.check_quotes(&whole);
        };
        if self.define(&line) {
            return self.check_quotes(&line);
        }
        if sequence::is_sequence(&line.text) {
            self.check_quotes(&line);
        }
        let mut expanded = Vec::new();
        self.expand(line, 0, &mut expanded);
        for line in expanded {
            self.emit(line, depth);
        }
    }

    /// keepalived wants quotes to match in each line as it is written, also where it is not used.
    fn check_quotes(&mut self, line: &LogicalLine) {
        if line.is_quoted(line.text.len()) {
            let start = line.text.rfind('"').unwrap_or(0);
            let span = line.span(start, line.text.len());
            self.problem("unmatched-quote", span, "Unmatched quote");
        }
    }

    /// The line without its `@ID` or `@^ID`; `None` when it does not apply here.
    fn apply_condition(&self, line: LogicalLine) -> Option<LogicalLine> {
        let Some(rest) = line.text.strip_prefix('@') else {
            return Some(line);
        };
        let (negated, rest) = match rest.strip_prefix('^') {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let id = rest.split(is_blank).next().unwrap_or_default();
        let matches = id == self.files.config_id();
        let from = line.text.len() - rest.len() + id.len();
        (matches != negated)
            .then(|| line.part(from, line.text.len()))
            .filter(|line| !line.text.is_empty())
    }

    /// Whether the line was a definition.
    fn define(&mut self, line: &LogicalLine) -> bool {
        let Some((name, value)) = definition(&line.text) else {
            return false;
        };
        self.add_to_definition(name.to_owned(), Vec::new(), value);
        true
    }

    fn add_to_definition(&mut self, name: String, mut lines: Vec<String>, text: &str) {
        let (text, more) = match text.strip_suffix('\\') {
            Some(text) => (text.trim_end_matches(is_blank), true),
            None => (text, false),
        };
        lines.push(text.to_owned());
        self.open_definition = Some((name, lines));
        if !more {
            self.end_definition();
        }
    }

    fn end_definition(&mut self) {
        if let Some((name, lines)) = self.open_definition.take() {
            self.definitions.insert(name, lines.into());
        }
    }

    /// Whether there is still leave to copy so much.
    fn charge(&mut self, line: &LogicalLine) -> bool {
        self.work = self.work.saturating_add(line.text.len() + LINE_OVERHEAD);
        if line.text.len() <= LONGEST_EXPANSION && self.work <= MOST_WORK {
            return true;
        }
        let message = "Definitions expand to too much text; the line is dropped";
        self.problem("expansion-too-large", line.whole(), message);
        false
    }

    /// Replaces references and unrolls sequences. A replacement is looked through again.
    fn expand(&mut self, mut line: LogicalLine, depth: usize, out: &mut Vec<LogicalLine>) {
        if depth > DEEPEST_EXPANSION {
            let message = "Definitions nest too deeply; the line is dropped";
            return self.problem("expansion-too-deep", line.whole(), message);
        }
        let (mut from, mut count) = (0, 0);
        // What is left of definitions of several lines, in reverse.
        let mut following: Vec<LogicalLine> = Vec::new();
        while !sequence::is_sequence(&line.text) {
            let Some(found) = self.next_reference(&line.text, from) else {
                break;
            };
            let at_end = found.end == line.text.len();
            let value = self.value(&found.name, &line, found.start..found.end);
            let Some(lines) = value.filter(|lines| at_end || lines.len() == 1) else {
                from = found.end;
                continue;
            };
            count += 1;
            if count > MOST_REFERENCES {
                let message = "A definition refers to itself, or a line to too many of them";
                return self.problem("expansion-too-deep", line.whole(), message);
            }
            if !self.charge(&line) {
                return;
            }
            let place = line.span(found.start, found.end);
            let (first, rest) = match lines.split_first() {
                Some((first, rest)) => (first.as_str(), rest),
                None => ("", Default::default()),
            };
            // A `#` out of a definition begins a comment too, which some use to switch lines off.
            line = match comment_start(first, line.is_quoted(found.start)) {
                Some(at) => {
                    line.spliced(found.start, line.text.len(), first.get(..at).unwrap_or_default())
                }
                None => line.spliced(found.start, found.end, first),
            };
            from = found.start;
            for text in rest.iter().rev() {
                let text = text.get(..comment_start(text, false).unwrap_or(text.len()));
                following.push(LogicalLine::stand_in(text.unwrap_or_default(), place));
            }
        }
        if sequence::is_sequence(&line.text) {
            self.unroll(&line, depth, out);
        } else if !line.text.is_empty() && (line.is_verbatim() || self.charge(&line)) {
            out.push(line);
        }
        while let Some(line) = following.pop() {
            if let Some(line) = self.apply_condition(line)
                && !self.define(&line)
            {
                self.expand(line, depth + 1, out);
            }
        }
    }

    /// The first `$NAME` or `${NAME}` that can be one.
    fn next_reference(&self, text: &str, from: usize) -> Option<Reference> {
        let mut rest = text.get(from..)?;
        let mut at = from;
        loop {
            let found = rest.find('$')?;
            at += found;
            rest = rest.get(found + 1..)?;
            let name_length = |text: &str| {
                text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len())
            };
            if let Some(inner) = rest.strip_prefix('{') {
                // Predefined names may have arguments after a blank.
                let close = inner.find(['{', '}', '$', '"']);
                let close = close.filter(|at| inner.as_bytes().get(*at) == Some(&b'}'));
                if let Some(close) = close {
                    return Some(Reference {
                        name: inner.get(..close)?.to_owned(),
                        start: at,
                        end: at + 3 + close,
                    });
                }
            } else {
                let length = name_length(rest);
                let after = rest.get(length..)?.chars().next();
                let ends = after.is_none_or(|c| is_blank(c) || matches!(c, ',' | ')'));
                let name = rest.get(..length)?;
                if ends && self.definitions.contains_key(name) {
                    return Some(Reference {
                        name: name.to_owned(),
                        start: at,
                        end: at + 1 + length,
                    });
                }
            }
            at += 1;
        }
    }

    /// The lines that a reference stands for.
    fn value(
        &mut self,
        name: &str,
        line: &LogicalLine,
        range: std::ops::Range<usize>,
    ) -> Option<Arc<[String]>> {
        if let Some(lines) = self.definitions.get(name) {
            return Some(Arc::clone(lines));
        }
        let mut words = name.split(is_blank).filter(|word| !word.is_empty());
        let value = match words.next()? {
            "_PWD" => self.files.folder(line.file),
            "_INSTANCE" => self.files.config_id().to_owned(),
            "_HASH" => "#".to_owned(),
            "_BANG" => "!".to_owned(),
            "_ENV" => self.files.environment(words.next()?).unwrap_or_default(),
            "_RANDOM" => {
                let low = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
                let high = words.next().and_then(|word| word.parse().ok());
                let high = high.unwrap_or(32_767);
                if low > high {
                    let message = format!("The range {low} to {high} of _RANDOM is empty");
                    self.problem("empty-range", line.span(range.start, range.end), message);
                }
                self.next_random(low, high).to_string()
            }
            _ => return None,
        };
        Some(Arc::from([value.trim_matches(is_blank).to_owned()]))
    }

    /// A number from `low` to `high`; `low` when there is none between.
    fn next_random(&mut self, low: u64, high: u64) -> u64 {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let width = high.saturating_sub(low).saturating_add(1);
        low.saturating_add((self.random >> 33) % width)
    }

    /// `~SEQ(VAR, …) text` and `~LST(VAR, …) text`: the text once for each value. As with
    /// keepalived, the variable keeps its last value.
    fn unroll(&mut self, line: &LogicalLine, depth: usize, out: &mut Vec<LogicalLine>) {
        let sequence = match sequence::parse(&line.text) {
            Ok(sequence) => sequence,
            Err(why) => {
                let message = format!("A malformed ~SEQ or ~LST: {why}; the line is dropped");
                return self.problem("bad-sequence", line.whole(), message);
            }
        };
        if sequence.cut {
            let message = format!("Only {} values of the sequence are used", sequence::LONGEST);
            self.problem("sequence-too-long", line.whole(), message);
        }
        let body = line.part(sequence.body, line.text.len());
        for values in sequence.assignments {
            for (name, value) in values {
                self.definitions.insert(name, Arc::from([value]));
            }
            if !self.charge(&body) {
                return;
            }
            if let Some(body) = self.apply_condition(body.clone())
                && !self.define(&body)
            {
                self.expand(body, depth + 1, out);
            }
        }
    }

    fn emit(&mut self, line: LogicalLine, depth: usize) {
        // Words for the preprocessor begin with one of these; hardly any other line is looked at.
        if line.text.starts_with(['i', 'r']) && self.obey(&line, depth) {
            return;
        }
        if !line.is_verbatim() {
            self.produced = self.produced.saturating_add(line.text.len() + LINE_OVERHEAD);
        }
        if self.produced > LARGEST_OUTPUT {
            let message = "The configuration is too large; the line is dropped";
            return self.problem("too-large", line.whole(), message);
        }
        (self.sink)(line);
    }

    /// Does what a line asks of the preprocessor; whether it is not for anybody else.
    fn obey(&mut self, line: &LogicalLine, depth: usize) -> bool {
        let mut words = line.text.split(is_blank).filter(|word| !word.is_empty());
        let keyword = words.next().unwrap_or_default();
        match keyword {
            "include_check" => self.checks = self.checks.changed_by(words),
            "random_seed" => {
                let seed = words.next().and_then(|word| word.parse().ok());
                self.random = seed.unwrap_or(self.random);
            }
            _ => {
                let pattern = line.text.get(keyword.len()..).unwrap_or_default();
                let pattern = include_pattern(pattern);
                if let Some(checks) = IncludeChecks::of(keyword)
                    && !pattern.is_empty()
                {
                    self.include(line, checks, pattern, depth);
                    return true;
                }
            }
        }
        false
    }

    fn include(&mut self, line: &LogicalLine, checks: IncludeChecks, pattern: &str, depth: usize) {
        let span = line.whole();
        if depth >= DEEPEST_INCLUDE {
            return self.problem("include-too-deep", span, "Includes nest too deeply");
        }
        let checks = checks.or(self.checks);
        match self.files.include(line.file, checks, pattern) {
            Ok(included) => {
                for file in included {
                    self.reads += 1;
                    let length = self.files.text(file).len();
                    if !self.known.insert(file) {
                        self.repeated = self.repeated.saturating_add(length);
                    }
                    if self.reads > MOST_READS || self.repeated > MOST_REPEATED {
                        let message = "Includes bring too much text; this one is passed over";
                        return self.problem("too-many-includes", span, message);
                    }
                    self.read(file, depth + 1);
                }
            }
            Err(error) => {
                let severity = if error.fatal { Severity::Fatal } else { Severity::Note };
                self.tell(Diagnostic::new(severity, "include", span, error.message));
            }
        }
    }
}

struct Reference {
    name: String,
    start: usize,
    end: usize,
}

/// Where a comment begins in the text of a definition.
fn comment_start(text: &str, mut quoted: bool) -> Option<usize> {
    text.bytes().position(|byte| {
        quoted ^= byte == b'"';
        !quoted && matches!(byte, b'#' | b'!')
    })
}

/// What an include names: all that follows, blanks too. keepalived takes quotes for a part of the
/// name, so that nothing matches; here they may enclose it.
fn include_pattern(text: &str) -> &str {
    let text = text.trim_matches(is_blank);
    let quoted = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    quoted.filter(|name| !name.contains('"')).unwrap_or(text)
}

/// `$NAME=VALUE`.
fn definition(text: &str) -> Option<(&str, &str)> {
    let (name, value) = text.strip_prefix('$')?.split_once('=')?;
    let mut characters = name.chars();
    let first = characters.next()?;
    let good = (first.is_ascii_alphabetic() || first == '_')
        && characters.all(|c| c.is_ascii_alphanumeric() || c == '_');
    good.then(|| (name, value.trim_matches(is_blank)))
}

#[cfg(test)]
mod tests;
