//! From bytes to logical lines: comments, conditions, definitions, sequences, includes.
//!
//! Pure: what a text needs of its surroundings (included files, environment) it asks of [`Files`].
//! The parent answers from the file system and remembers the answers; the children answer from what
//! the parent remembered, so that all of them see the same lines.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::core::diagnostics::{Diagnostic, FileId, Severity, Span};

/// keepalived's limit of a physical line.
const LONGEST_LINE: usize = 1023;
/// Definitions within definitions.
const DEEPEST_EXPANSION: usize = 32;
/// Bytes of one line after expansion.
const LONGEST_EXPANSION: usize = 64 << 10;
/// Bytes that all expansions together may yield: a bomb gets a message instead of the memory.
const LARGEST_OUTPUT: usize = 16 << 20;
/// Lines that one sequence may yield.
const LONGEST_SEQUENCE: usize = 65_536;
/// Problems that are told; more would not be read.
const MOST_PROBLEMS: usize = 1000;
/// Includes within includes.
const DEEPEST_INCLUDE: usize = 32;

/// What a text asks of its surroundings.
pub trait Files {
    /// The text of a file that has been named before.
    fn text(&self, file: FileId) -> Arc<[u8]>;
    /// The folder of a file, for `${_PWD}`.
    fn folder(&self, file: FileId) -> String;
    /// The files that an include line names, in order; the error is for the user.
    fn include(
        &mut self,
        from: FileId,
        keyword: &str,
        pattern: &str,
    ) -> Result<Vec<FileId>, IncludeError>;
    /// An environment variable.
    fn environment(&mut self, name: &str) -> Option<String>;
    /// What `@` lines are compared with.
    fn config_id(&self) -> &str;
}

/// Why an include gives nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncludeError {
    /// For the user.
    pub message: String,
    /// Whether the configuration must be refused for it.
    pub fatal: bool,
}

/// A line with everything resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogicalLine {
    /// The text, without comment and surrounding blanks; never empty.
    pub text: String,
    /// The file it was written in.
    pub file: FileId,
    /// Where the text begins in the file.
    start: u32,
    /// For text that was expanded: where each byte comes from.
    origin: Option<Vec<u32>>,
}

impl LogicalLine {
    /// The place in the file of a range of bytes of the text.
    pub fn span(&self, start: usize, end: usize) -> Span {
        let from = self.offset(start);
        let to = self.offset(end.saturating_sub(1).max(start)).saturating_add(1);
        Span { file: self.file, start: from, end: to.max(from) }
    }

    fn offset(&self, index: usize) -> u32 {
        match &self.origin {
            None => self.start.saturating_add(u32::try_from(index).unwrap_or(u32::MAX)),
            Some(origin) => origin.get(index).or(origin.last()).copied().unwrap_or(self.start),
        }
    }

    fn part(&self, start: usize, end: usize) -> Self {
        let text = self.text.get(start..end).unwrap_or_default();
        let leading = text.len() - text.trim_start().len();
        let from = start + leading;
        let text = text.trim();
        Self {
            text: text.to_owned(),
            file: self.file,
            start: self.offset(from),
            origin: self
                .origin
                .as_ref()
                .map(|origin| origin.get(from..from + text.len()).unwrap_or_default().to_vec()),
        }
    }
}

/// The lines of a configuration.
#[derive(Debug, Default)]
pub struct Preprocessed {
    /// In order, includes in place.
    pub lines: Vec<LogicalLine>,
    /// What was wrong.
    pub diagnostics: Vec<Diagnostic>,
}

/// Resolves everything from the main files on.
pub fn preprocess(main: &[FileId], files: &mut dyn Files) -> Preprocessed {
    let mut state = State {
        files,
        out: Preprocessed::default(),
        definitions: BTreeMap::new(),
        produced: 0,
        open_definition: None,
        random: 0x9e37_79b9_7f4a_7c15,
    };
    for file in main {
        state.read(*file, 0);
    }
    state.out
}

#[derive(Debug, Clone)]
struct Definition {
    lines: Vec<String>,
}

struct State<'a> {
    files: &'a mut dyn Files,
    out: Preprocessed,
    definitions: BTreeMap<String, Definition>,
    produced: usize,
    open_definition: Option<(String, Vec<String>)>,
    random: u64,
}

impl State<'_> {
    fn problem(&mut self, code: &'static str, span: Span, message: impl Into<String>) {
        if self.out.diagnostics.len() >= MOST_PROBLEMS {
            return;
        }
        self.out.diagnostics.push(Diagnostic::new(Severity::Error, code, span, message));
    }

    fn read(&mut self, file: FileId, depth: usize) {
        let bytes = self.files.text(file);
        let mut offset = 0;
        if bytes.starts_with(b"\xef\xbb\xbf") {
            offset = 3;
            // keepalived takes the mark for a part of the first word and loses that whole block.
            let span = Span { file, start: 0, end: 3 };
            self.out.diagnostics.push(
                Diagnostic::new(
                    Severity::Error,
                    "byte-order-mark",
                    span,
                    "The file begins with a byte-order mark; it is passed over here",
                )
                .with_help("keepalived would lose the first block: save the file without it"),
            );
        }
        let rest = bytes.get(offset..).unwrap_or_default();
        for raw in rest.split(|byte| *byte == b'\n') {
            let start = u32::try_from(offset).unwrap_or(u32::MAX);
            offset += raw.len() + 1;
            self.physical_line(file, start, raw, depth);
        }
        if let Some((name, lines)) = self.open_definition.take() {
            self.definitions.insert(name, Definition { lines });
        }
    }

    fn physical_line(&mut self, file: FileId, start: u32, raw: &[u8], depth: usize) {
        let length = u32::try_from(raw.len()).unwrap_or(u32::MAX);
        let whole = Span { file, start, end: start.saturating_add(length) };
        if raw.contains(&0) {
            return self.problem("nul-byte", whole, "A NUL byte; the line is dropped");
        }
        if raw.len() > LONGEST_LINE {
            let message =
                format!("A line of {} bytes, at most 1023 are read; it is dropped", raw.len());
            return self.problem("line-too-long", whole, message);
        }
        let text = String::from_utf8_lossy(raw);
        let mut line = LogicalLine { text: text.into_owned(), file, start, origin: None };
        strip_comment(&mut line);
        let line = line.part(0, line.text.len());
        if let Some((name, mut lines)) = self.open_definition.take() {
            if line.text.is_empty() {
                // A comment between the lines of a definition does not end it.
                self.open_definition = Some((name, lines));
                return;
            }
            let (text, more) = continuation(&line.text);
            lines.push(text.to_owned());
            if more {
                self.open_definition = Some((name, lines));
            } else {
                self.definitions.insert(name, Definition { lines });
            }
            return;
        }
        if !line.text.is_empty() {
            self.line(line, depth);
        }
    }

    /// A line without comment: condition, definition, or text to expand.
    fn line(&mut self, line: LogicalLine, depth: usize) {
        let Some(line) = self.apply_condition(line) else {
            return;
        };
        if self.define(&line) {
            return;
        }
        let mut expanded = Vec::new();
        self.expand(line, 0, &mut expanded);
        for line in expanded {
            self.emit(line, depth);
        }
    }

    fn apply_condition(&self, line: LogicalLine) -> Option<LogicalLine> {
        let Some(rest) = line.text.strip_prefix('@') else {
            return Some(line);
        };
        let (negated, rest) = match rest.strip_prefix('^') {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let id = rest.split_whitespace().next()?;
        let matches = id == self.files.config_id();
        let from = line.text.len() - rest.len() + id.len();
        (matches != negated)
            .then(|| line.part(from, line.text.len()))
            .filter(|line| !line.text.is_empty())
    }

    fn define(&mut self, line: &LogicalLine) -> bool {
        let Some((name, value)) = definition(&line.text) else {
            return false;
        };
        let (text, more) = continuation(value);
        let lines = vec![text.to_owned()];
        if more {
            self.open_definition = Some((name.to_owned(), lines));
        } else {
            self.definitions.insert(name.to_owned(), Definition { lines });
        }
        true
    }

    /// Replaces references and unrolls sequences.
    fn expand(&mut self, line: LogicalLine, depth: usize, out: &mut Vec<LogicalLine>) {
        let whole = line.span(0, line.text.len());
        if depth > DEEPEST_EXPANSION {
            return self.problem("expansion-too-deep", whole, "Definitions nest too deeply");
        }
        if line.text.len() > LONGEST_EXPANSION || self.produced > LARGEST_OUTPUT {
            return self.problem(
                "expansion-too-large",
                whole,
                "Definitions expand to too much text",
            );
        }
        if depth > 0 {
            self.produced += line.text.len() + 64;
        }
        if line.text.starts_with("~SEQ") || line.text.starts_with("~LST") {
            return self.unroll(&line, depth, out);
        }
        let Some((start, end, name)) = self.first_reference(&line.text) else {
            out.push(line);
            return;
        };
        let Some(lines) = self.value(&name, &line, end) else {
            // Left as it is; what follows may hold more.
            return self.expand_tail(&line, end, depth, out);
        };
        let reference = line.offset(start);
        if let [single] = lines.as_slice() {
            let replaced = splice(&line, start, end, single, reference);
            return self.expand(replaced, depth + 1, out);
        }
        let mut lines = lines.into_iter();
        let first = lines.next().unwrap_or_default();
        let replaced = splice(&line, start, end, &first, reference);
        if !replaced.text.is_empty() {
            self.expand(replaced, depth + 1, out);
        }
        for text in lines {
            let origin = Some(vec![reference; text.len()]);
            let next = LogicalLine { text, file: line.file, start: reference, origin };
            if let Some(next) = self.apply_condition(next)
                && !self.define(&next)
                && !next.text.is_empty()
            {
                self.expand(next, depth + 1, out);
            }
        }
    }

    /// Expands what follows an undefined name, keeping the name.
    fn expand_tail(
        &mut self,
        line: &LogicalLine,
        end: usize,
        depth: usize,
        out: &mut Vec<LogicalLine>,
    ) {
        let tail = line.text.get(end..).unwrap_or_default().to_owned();
        let Some((start, stop, name)) = self.first_reference(&tail) else {
            out.push(line.clone());
            return;
        };
        let (start, stop) = (end + start, end + stop);
        match self.value(&name, line, stop) {
            Some(lines) if lines.len() == 1 => {
                let text = lines.first().map_or("", String::as_str);
                let replaced = splice(line, start, stop, text, line.offset(start));
                self.expand(replaced, depth + 1, out);
            }
            Some(_) | None => self.expand_tail(line, stop, depth + 1, out),
        }
    }

    /// The first `$NAME` or `${NAME}`: its range and what is between.
    fn first_reference(&self, text: &str) -> Option<(usize, usize, String)> {
        let mut from = 0;
        while let Some(found) = text.get(from..)?.find('$') {
            let start = from + found;
            let rest = text.get(start + 1..)?;
            if let Some(inner) = rest.strip_prefix('{') {
                if let Some(close) = inner.find('}') {
                    let name = inner.get(..close)?.to_owned();
                    return Some((start, start + 3 + close, name));
                }
            } else {
                let length = rest
                    .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
                    .unwrap_or(rest.len());
                let after = rest.get(length..)?.chars().next();
                let ends = after.is_none_or(|c| c.is_whitespace() || c == ',' || c == ')');
                let name = rest.get(..length)?;
                if ends && self.definitions.contains_key(name) {
                    return Some((start, start + 1 + length, name.to_owned()));
                }
            }
            from = start + 1;
        }
        None
    }

    /// The lines that a reference stands for; several only where it ends its line.
    fn value(&mut self, name: &str, line: &LogicalLine, end: usize) -> Option<Vec<String>> {
        if let Some(definition) = self.definitions.get(name) {
            let at_end = line.text.get(end..).is_none_or(|rest| rest.trim().is_empty());
            return (definition.lines.len() == 1 || at_end).then(|| definition.lines.clone());
        }
        let mut words = name.split_whitespace();
        let value = match words.next()? {
            "_PWD" => self.files.folder(line.file),
            "_INSTANCE" => self.files.config_id().to_owned(),
            "_HASH" => "#".to_owned(),
            "_BANG" => "!".to_owned(),
            "_ENV" => {
                let variable = words.next()?.to_owned();
                self.files.environment(&variable).unwrap_or_default()
            }
            "_RANDOM" => {
                let mut bound =
                    |default| words.next().and_then(|w| w.parse().ok()).unwrap_or(default);
                let (low, high): (u64, u64) = (bound(0), bound(32_767));
                self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let width = high.saturating_sub(low).saturating_add(1);
                (low + (self.random >> 33) % width).to_string()
            }
            _ => return None,
        };
        Some(vec![value])
    }

    /// `~SEQ(VAR, …) text` and `~LST(VAR, …) text`: the text once for each value.
    fn unroll(&mut self, line: &LogicalLine, depth: usize, out: &mut Vec<LogicalLine>) {
        let whole = line.span(0, line.text.len());
        let Some((assignments, body)) = parse_sequence(&line.text) else {
            return self.problem(
                "bad-sequence",
                whole,
                "A malformed ~SEQ or ~LST; the line is dropped",
            );
        };
        if assignments.len() > LONGEST_SEQUENCE {
            return self.problem(
                "sequence-too-long",
                whole,
                "A sequence of more than 65536 values",
            );
        }
        let body = line.part(body, line.text.len());
        for values in assignments {
            if self.produced > LARGEST_OUTPUT {
                return self.problem("expansion-too-large", whole, "A sequence of too much text");
            }
            let mut saved = Vec::new();
            for (name, value) in values {
                let new = Definition { lines: vec![value] };
                saved.push((name.clone(), self.definitions.insert(name, new)));
            }
            self.expand(body.clone(), depth + 1, out);
            for (name, old) in saved {
                match old {
                    Some(old) => self.definitions.insert(name, old),
                    None => self.definitions.remove(&name),
                };
            }
        }
    }

    fn emit(&mut self, line: LogicalLine, depth: usize) {
        let mut words = line.text.split_whitespace();
        let keyword = words.next().unwrap_or_default();
        let known = matches!(
            keyword,
            "include" | "includer" | "includem" | "includew" | "includeb" | "includea"
        );
        // A line that a definition has turned into a comment.
        if line.origin.is_some() && keyword.starts_with(['#', '!']) {
            return;
        }
        let Some(pattern) = words.next().filter(|_| known) else {
            if !line.text.is_empty() {
                self.out.lines.push(line);
            }
            return;
        };
        let span = line.span(0, line.text.len());
        if depth >= DEEPEST_INCLUDE {
            return self.problem("include-too-deep", span, "Includes nest too deeply");
        }
        let pattern = pattern.trim_matches('"');
        match self.files.include(line.file, keyword, pattern) {
            Ok(included) => {
                for file in included {
                    self.read(file, depth + 1);
                }
            }
            Err(error) => {
                let severity = if error.fatal { Severity::Fatal } else { Severity::Note };
                let found = Diagnostic::new(severity, "include", span, error.message);
                self.out.diagnostics.push(found);
            }
        }
    }
}

/// Cuts a comment off: `#` or `!` outside double quotes; a backslash before either keeps it.
fn strip_comment(line: &mut LogicalLine) {
    if !line.text.contains(['#', '!']) {
        return;
    }
    let mut text = String::with_capacity(line.text.len());
    let mut origin = Vec::with_capacity(line.text.len());
    let mut quoted = false;
    let mut characters = line.text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let mut place = at;
        let mut kept = character;
        match character {
            '"' => quoted = !quoted,
            '#' | '!' if !quoted => break,
            '\\' if !quoted => {
                if let Some((next, escaped @ ('#' | '!'))) = characters.peek().copied() {
                    characters.next();
                    (place, kept) = (next, escaped);
                }
            }
            _ => {}
        }
        text.push(kept);
        let place = line.offset(place);
        origin.extend((0..kept.len_utf8()).map(|n| place + u32::try_from(n).unwrap_or(0)));
    }
    line.text = text;
    line.origin = Some(origin);
}

/// `$NAME=VALUE`.
fn definition(text: &str) -> Option<(&str, &str)> {
    let (name, value) = text.strip_prefix('$')?.split_once('=')?;
    let mut characters = name.chars();
    let first = characters.next()?;
    let good = (first.is_ascii_alphabetic() || first == '_')
        && characters.all(|c| c.is_ascii_alphanumeric() || c == '_');
    good.then(|| (name, value.trim()))
}

/// The text before a final backslash, and whether there was one.
fn continuation(text: &str) -> (&str, bool) {
    match text.strip_suffix('\\') {
        Some(text) => (text.trim_end(), true),
        None => (text, false),
    }
}

fn splice(line: &LogicalLine, start: usize, end: usize, value: &str, place: u32) -> LogicalLine {
    let before = line.text.get(..start).unwrap_or_default();
    let after = line.text.get(end..).unwrap_or_default();
    let mut origin: Vec<u32> = (0..start).map(|index| line.offset(index)).collect();
    origin.extend(std::iter::repeat_n(place, value.len()));
    origin.extend((end..line.text.len()).map(|index| line.offset(index)));
    let joined = LogicalLine {
        text: format!("{before}{value}{after}"),
        file: line.file,
        start: line.start,
        origin: Some(origin),
    };
    joined.part(0, joined.text.len())
}

type Assignment = Vec<(String, String)>;

/// The values of a sequence and where the repeated text begins.
fn parse_sequence(text: &str) -> Option<(Vec<Assignment>, usize)> {
    let open = text.find('(')?;
    let kind = text.get(..open)?.trim_end();
    let close = matching_parenthesis(text, open)?;
    let inside = text.get(open + 1..close)?;
    let values = match kind {
        "~SEQ" | "~SEQx" => sequence(inside, kind == "~SEQx")?,
        "~LST" => list(inside)?,
        _ => return None,
    };
    Some((values, close + 1))
}

fn matching_parenthesis(text: &str, open: usize) -> Option<usize> {
    let mut depth = 0usize;
    for (at, character) in text.char_indices().skip_while(|(at, _)| *at < open) {
        match character {
            '(' => depth += 1,
            ')' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

fn sequence(inside: &str, hexadecimal: bool) -> Option<Vec<Assignment>> {
    let parts: Vec<&str> = inside.split(',').map(str::trim).collect();
    let number = |text: &str| match text.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16).ok(),
        None => text.parse::<i64>().ok(),
    };
    let (name, start, step, end) = match parts.as_slice() {
        [name, end] => (name, 1, 1, number(end)?),
        [name, start, end] => {
            let (start, end) = (number(start)?, number(end)?);
            (name, start, if end < start { -1 } else { 1 }, end)
        }
        [name, start, step, end] => (name, number(start)?, number(step)?, number(end)?),
        _ => return None,
    };
    if step == 0 || (end > start && step < 0) || (end < start && step > 0) {
        return None;
    }
    let mut values = Vec::new();
    let mut value = start;
    while (step > 0 && value <= end) || (step < 0 && value >= end) {
        let text = if hexadecimal { format!("{value:x}") } else { value.to_string() };
        values.push(vec![((*name).to_owned(), text)]);
        value = value.checked_add(step)?;
        if values.len() > LONGEST_SEQUENCE {
            break;
        }
    }
    Some(values)
}

fn list(inside: &str) -> Option<Vec<Assignment>> {
    let parts = split_list(inside)?;
    let (names, values) = parts.split_first()?;
    let members = |text: &str| -> Vec<String> {
        let inner = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
        match inner {
            Some(inner) => inner.split(',').map(|word| word.trim().to_owned()).collect(),
            None => vec![text.to_owned()],
        }
    };
    let names = members(names);
    values
        .iter()
        .map(|value| {
            let values = members(value);
            (values.len() <= names.len()).then(|| {
                let mut values = values.into_iter();
                names.iter().map(|name| (name.clone(), values.next().unwrap_or_default())).collect()
            })
        })
        .collect()
}

/// At commas outside braces.
fn split_list(inside: &str) -> Option<Vec<String>> {
    let mut parts = vec![String::new()];
    let mut depth = 0usize;
    for character in inside.chars() {
        match character {
            ',' if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            '{' => depth += 1,
            '}' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        parts.last_mut()?.push(character);
    }
    (depth == 0).then(|| parts.iter().map(|part| part.trim().to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Text(Arc<[u8]>);

    impl Files for Text {
        fn text(&self, _: FileId) -> Arc<[u8]> {
            Arc::clone(&self.0)
        }
        fn folder(&self, _: FileId) -> String {
            "/etc".into()
        }
        fn include(&mut self, _: FileId, _: &str, _: &str) -> Result<Vec<FileId>, IncludeError> {
            Ok(vec![FileId(0)])
        }
        fn environment(&mut self, name: &str) -> Option<String> {
            (name == "HOME").then(|| "/root".into())
        }
        fn config_id(&self) -> &str {
            "node1"
        }
    }

    fn run(text: &str) -> Preprocessed {
        preprocess(&[FileId(0)], &mut Text(text.as_bytes().into()))
    }

    fn lines(text: &str) -> Vec<String> {
        run(text).lines.into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn comments_end_a_line_unless_quoted_or_escaped() {
        assert_eq!(
            lines("a b # c\n! d\n  e \"x#y!z\" !f\ng \\# h\r\n"),
            ["a b", "e \"x#y!z\"", "g # h"]
        );
    }

    #[test]
    fn conditions_select_lines_by_config_id() {
        assert_eq!(lines("@node1 a\n@node2 b\n@^node1 c\n@^node2 d\n@node1\n"), ["a", "d"]);
    }

    #[test]
    fn definitions_are_expanded_also_within_one_another() {
        assert_eq!(
            lines("$A=1\n$B=${A}2\nx $A y\nz ${B}3 $A,$B\nw $NONE $Ax"),
            ["x 1 y", "z 123 1,12", "w $NONE $Ax"]
        );
    }

    #[test]
    fn a_definition_of_several_lines_stands_at_the_end_of_a_line() {
        assert_eq!(
            lines("$A=one \\\ntwo \\\nthree\nx $A\ny $A z"),
            ["x one", "two", "three", "y $A z"]
        );
    }

    #[test]
    fn sequences_and_lists_repeat_the_rest_of_the_line() {
        assert_eq!(lines("~SEQ(X, 2) a $X"), ["a 1", "a 2"]);
        assert_eq!(lines("~SEQ(X, 6, -2, 2) a ${X}b"), ["a 6b", "a 4b", "a 2b"]);
        assert_eq!(lines("~SEQx(X, 10, 11) ${X}"), ["a", "b"]);
        assert_eq!(lines("~LST(X, p, q) $X"), ["p", "q"]);
        assert_eq!(lines("~LST({A,B}, {1,2}, {3}) $A-${B}"), ["$A-2", "$A-"]);
        assert_eq!(lines("~SEQ(X, 2) ~SEQ(Y, 2) ${X}${Y}"), ["11", "12", "21", "22"]);
        assert_eq!(run("~SEQ(X, 1, 0, 5) a").diagnostics.len(), 1);
    }

    #[test]
    fn predefined_names_are_known() {
        assert_eq!(
            lines("${_PWD} ${_INSTANCE} ${_ENV HOME} ${_HASH}${_BANG}"),
            ["/etc node1 /root #!"]
        );
    }

    #[test]
    fn places_point_into_the_file_also_after_expansion() {
        let text = "$A=xyz\n  foo ${A} bar # c\n";
        let found = run(text);
        let line = &found.lines[0];
        assert_eq!(line.text, "foo xyz bar");
        let at = |start, end| {
            let span = line.span(start, end);
            &text[span.start as usize..span.end as usize]
        };
        assert_eq!(at(0, 3), "foo");
        assert_eq!(at(8, 11), "bar");
        assert_eq!(at(4, 7), "$");
    }

    #[test]
    fn bombs_get_a_message_and_an_end() {
        let mut text = String::from("$A0=xxxxxxxxxx\n");
        for n in 1..30 {
            text += &format!("$A{n}=${{A{0}}}${{A{0}}}\n", n - 1);
        }
        text.push_str("$A29\n");
        assert!(!run(&text).diagnostics.is_empty());
        assert!(!run("$A=${A}\n$A\n").diagnostics.is_empty());
        assert!(!run("include x\n").diagnostics.is_empty(), "a file that includes itself");
        assert!(
            !run("~SEQ(A, 60000) ~SEQ(B, 60000) xxxxxxxxxxxxxxxxxxxxxx\n").diagnostics.is_empty()
        );
    }
}
