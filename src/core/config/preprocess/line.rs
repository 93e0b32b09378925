//! A line whose every byte knows where in a file it was written.

use std::ops::Range;

use bytes::Bytes;
use bytestring::ByteString;

use crate::core::diagnostics::{FileId, Span};

/// A line with everything resolved.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogicalLine {
    /// The text, without comment and surrounding blanks; mostly a part of the file's own bytes.
    pub text: ByteString,
    /// The file it was written in.
    pub file: FileId,
    /// Blanks before the text in its file: a hint at what the user meant, nothing more.
    pub indent: usize,
    /// Together as long as `text`.
    runs: Runs,
}

/// Nearly every line is of one piece, which then needs no list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Runs {
    first: Option<Run>,
    more: Vec<Run>,
}

impl Runs {
    fn push(&mut self, run: Run) {
        match self.first {
            None => self.first = Some(run),
            Some(_) => self.more.push(run),
        }
    }

    fn iter(&self) -> impl Iterator<Item = &Run> {
        self.first.iter().chain(&self.more)
    }

    fn last(&self) -> Option<&Run> {
        self.more.last().or(self.first.as_ref())
    }
}

/// Bytes of the text that come from one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    length: usize,
    /// First byte in the file.
    start: u32,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Byte for byte what the file has.
    Verbatim,
    /// Stands for what the file has from `start` to here.
    Replaced { end: u32 },
}

/// Bytes that stand for themselves wherever they are.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        plain[byte] = byte >= 32 && byte < 127;
        byte += 1;
    }
    plain[b'\t' as usize] = true;
    plain[b'\r' as usize] = true;
    let special = b"#!\"$@\\~";
    let mut at = 0;
    while at < special.len() {
        plain[special[at] as usize] = false;
        at += 1;
    }
    plain
};

/// Blanks of the dialect, in any locale.
pub(crate) fn is_blank(character: char) -> bool {
    character.is_ascii_whitespace() || character == '\x0b'
}

fn narrow(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

impl LogicalLine {
    /// A physical line that begins at `start`. Bytes that are not UTF-8 become U+FFFD.
    pub(super) fn read(file: FileId, start: u32, raw: &[u8]) -> Self {
        let blank = |byte: &&u8| is_blank(char::from(**byte));
        let indent = raw.iter().take_while(blank).count();
        let mut draft = Draft::default();
        let mut at = start;
        for chunk in raw.utf8_chunks() {
            draft.push(chunk.valid(), at, Kind::Verbatim);
            at = at.saturating_add(narrow(chunk.valid().len()));
            if !chunk.invalid().is_empty() {
                let end = at.saturating_add(narrow(chunk.invalid().len()));
                draft.push("\u{fffd}", at, Kind::Replaced { end });
                at = end;
            }
        }
        draft.line(file, indent)
    }

    /// The whole line, a range of `bytes`, when it says just what it shows: no comment, quote,
    /// escape, definition, condition or sequence begins in it. It is not copied.
    pub(super) fn read_plain(file: FileId, bytes: &Bytes, range: Range<usize>) -> Option<Self> {
        let from = range.start;
        let raw = bytes.get(range)?;
        if !raw.iter().all(|byte| PLAIN.get(usize::from(*byte)) == Some(&true)) {
            return None;
        }
        let blank = |byte: &u8| is_blank(char::from(*byte));
        let indent = raw.iter().position(|byte| !blank(byte)).unwrap_or(raw.len());
        let end = raw.iter().rposition(|byte| !blank(byte)).map_or(indent, |last| last + 1);
        let mut runs = Runs::default();
        if indent < end {
            let start = narrow(from + indent);
            runs.push(Run { length: end - indent, start, kind: Kind::Verbatim });
        }
        let text = ByteString::try_from(bytes.slice(from + indent..from + end)).ok()?;
        Some(Self { text, file, indent, runs })
    }

    /// Whether it is as it was written, with nothing put in.
    pub(super) fn is_verbatim(&self) -> bool {
        self.runs.iter().all(|run| run.kind == Kind::Verbatim)
    }

    /// Text that stands for `place`.
    pub(super) fn stand_in(text: &str, place: Span) -> Self {
        let mut draft = Draft::default();
        draft.push(text.trim_matches(is_blank), place.start, Kind::Replaced { end: place.end });
        draft.line(place.file, 0)
    }

    /// The place in the file of a range of bytes of the text.
    pub fn span(&self, start: usize, end: usize) -> Span {
        let (first, after_first) = self.place(start);
        let (_, after_last) = self.place(end.saturating_sub(1).max(start));
        Span { file: self.file, start: first, end: after_last.max(after_first) }
    }

    /// The whole line's place.
    pub fn whole(&self) -> Span {
        self.span(0, self.text.len())
    }

    /// Where in the file a byte of the text comes from; past the end: the last byte.
    fn place(&self, index: usize) -> (u32, u32) {
        let mut rest = index;
        for run in self.runs.iter() {
            if rest < run.length {
                return match run.kind {
                    Kind::Verbatim => {
                        let at = run.start.saturating_add(narrow(rest));
                        (at, at.saturating_add(1))
                    }
                    Kind::Replaced { end } => (run.start, end),
                };
            }
            rest -= run.length;
        }
        self.runs.last().map_or((0, 0), |run| match run.kind {
            Kind::Verbatim => {
                let end = run.start.saturating_add(narrow(run.length));
                (end.saturating_sub(1), end)
            }
            Kind::Replaced { end } => (run.start, end),
        })
    }

    /// A part of the line without the blanks around it.
    pub(super) fn part(&self, start: usize, end: usize) -> Self {
        let text = self.text.get(start..end).unwrap_or_default();
        let leading = text.len() - text.trim_start_matches(is_blank).len();
        let from = start + leading;
        let text = text.trim_matches(is_blank);
        let mut draft = Draft::default();
        draft.append(self, from, from + text.len());
        draft.line(self.file, self.indent)
    }

    /// The line with `value` in place of a range of its text, and without the blanks around it.
    pub(super) fn spliced(&self, start: usize, end: usize, value: &str) -> Self {
        let place = self.span(start, end);
        let mut draft = Draft::default();
        draft.append(self, 0, start);
        draft.push(value, place.start, Kind::Replaced { end: place.end });
        draft.append(self, end, self.text.len());
        let line = draft.line(self.file, self.indent);
        line.part(0, line.text.len())
    }

    /// The line without its comment: `#` or `!` outside double quotes begins one, a backslash
    /// before either keeps the character.
    pub(super) fn without_comment(self) -> Self {
        if !self.text.contains(['#', '!']) {
            return self;
        }
        let mut kept = Draft::default();
        let (mut quoted, mut from, mut escaped) = (false, 0, false);
        let mut end = self.text.len();
        for (at, byte) in self.text.bytes().enumerate() {
            match byte {
                b'"' if !escaped => quoted = !quoted,
                b'#' | b'!' if !quoted && escaped => {
                    kept.append(&self, from, at - 1);
                    from = at;
                }
                b'#' | b'!' if !quoted => {
                    end = at;
                    break;
                }
                _ => {}
            }
            escaped = byte == b'\\' && !escaped;
        }
        kept.append(&self, from, end);
        kept.line(self.file, self.indent)
    }

    /// Whether a byte of the text stands in double quotes; a backslash before a quote takes its
    /// meaning away.
    pub(super) fn is_quoted(&self, at: usize) -> bool {
        let (mut quoted, mut escaped) = (false, false);
        for byte in self.text.bytes().take(at) {
            quoted ^= byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
        }
        quoted
    }
}

/// A line that is being put together.
#[derive(Default)]
struct Draft {
    text: String,
    runs: Runs,
}

impl Draft {
    fn line(self, file: FileId, indent: usize) -> LogicalLine {
        LogicalLine { text: self.text.into(), file, indent, runs: self.runs }
    }

    fn append(&mut self, other: &LogicalLine, start: usize, end: usize) {
        let Some(text) = other.text.get(start..end) else {
            return;
        };
        self.text.push_str(text);
        let mut at = 0;
        for run in other.runs.iter() {
            let from = start.clamp(at, at + run.length);
            let to = end.clamp(at, at + run.length);
            if from < to {
                let start = match run.kind {
                    Kind::Verbatim => run.start.saturating_add(narrow(from - at)),
                    Kind::Replaced { .. } => run.start,
                };
                self.runs.push(Run { length: to - from, start, kind: run.kind });
            }
            at += run.length;
        }
    }

    fn push(&mut self, text: &str, start: u32, kind: Kind) {
        if !text.is_empty() {
            self.text.push_str(text);
            self.runs.push(Run { length: text.len(), start, kind });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at<'a>(raw: &'a [u8], line: &LogicalLine, word: &str) -> &'a [u8] {
        let start = line.text.find(word).unwrap();
        let span = line.span(start, start + word.len());
        &raw[span.start as usize..span.end as usize]
    }

    #[test]
    fn places_survive_cutting_and_replacing() {
        let raw = b"  foo ${A} bar # c";
        let line = LogicalLine::read(FileId(0), 0, raw).without_comment();
        let line = line.part(0, line.text.len());
        assert_eq!(line.text, "foo ${A} bar");
        let line = line.spliced(4, 8, "x y z");
        assert_eq!(line.text, "foo x y z bar");
        assert_eq!(at(raw, &line, "foo"), b"foo");
        assert_eq!(at(raw, &line, "y"), b"${A}");
        assert_eq!(at(raw, &line, "bar"), b"bar");
        assert_eq!(at(raw, &line, "o x"), b"o ${A}");
        let line = line.spliced(6, 7, "w");
        assert_eq!(at(raw, &line, "w"), b"${A}");
    }

    #[test]
    fn bytes_that_are_not_utf8_do_not_shift_what_follows() {
        let raw = b"a\xe9\xe8b \xc3\xa9 tail";
        let line = LogicalLine::read(FileId(0), 0, raw);
        assert_eq!(line.text, "a\u{fffd}\u{fffd}b é tail");
        assert_eq!(at(raw, &line, "tail"), b"tail");
        assert_eq!(at(raw, &line, "b"), b"b");
        assert_eq!(at(raw, &line, "é"), b"\xc3\xa9");
    }

    #[test]
    fn comments_end_a_line_unless_quoted_or_escaped() {
        for (raw, kept) in [
            ("a b # c", "a b "),
            ("! d", ""),
            ("e \"x#y!z\" !f", "e \"x#y!z\" "),
            (r"g \# h \! i # j", "g # h ! i "),
            ("a\"b#c", "a\"b#c"),
            (r#"a "b \"c # d\" e" # f"#, r#"a "b \"c # d\" e" "#),
            (r#"a \" # b"#, r#"a \" "#),
            (r#"a "b\\" # c"#, r#"a "b\\" "#),
        ] {
            let line = LogicalLine::read(FileId(0), 0, raw.as_bytes()).without_comment();
            assert_eq!(line.text, kept);
        }
        let raw = br"g \# h";
        let line = LogicalLine::read(FileId(0), 0, raw).without_comment();
        assert_eq!(at(raw, &line, "#"), b"#");
        assert_eq!(at(raw, &line, "h"), b"h");
    }
}
