//! A logical line to words and braces.

use super::preprocess::{LogicalLine, is_blank};
use super::tree::Token;
use crate::core::diagnostics::{Diagnostic, Severity, Span};

/// A word or a brace, with its place in the line's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lexeme {
    /// A word and where it begins.
    Word(Token, usize),
    /// `{`
    Open(Span, usize),
    /// `}`
    Close(Span, usize),
}

/// What a line says.
#[derive(Debug, Default)]
pub struct Lexed {
    /// In order.
    pub lexemes: Vec<Lexeme>,
    /// When the line breaks off at a quote, its last statement must not be acted on.
    pub broken: Option<Broken>,
    /// What was wrong.
    pub diagnostics: Vec<Diagnostic>,
}

/// A line that breaks off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken {
    /// The brace that its last statement would have opened.
    pub opens: Option<Span>,
}

/// Splits a line at blanks. Double quotes make one word of what is between them and end the word
/// that they touch; a brace outside of quotes stands for itself, with or without blanks around it.
///
/// Where keepalived misreads (a non-breaking space as a part of a word, `${NAME}` without definition
/// as a block), the line is read as it was meant, and told.
pub fn lex(line: &LogicalLine) -> Lexed {
    let mut lexed = Lexed::default();
    lex_into(line, &mut lexed);
    lexed
}

/// The same into what is there, whatever it holds.
pub fn lex_into(line: &LogicalLine, lexed: &mut Lexed) {
    lexed.lexemes.clear();
    lexed.diagnostics.clear();
    lexed.broken = None;
    let text: &str = &line.text;
    let mut at = 0;
    while let Some(rest) = text.get(at..)
        && let Some(character) = rest.chars().next()
    {
        let start = at;
        at += match character {
            character if is_blank(character) => character.len_utf8(),
            NON_BREAKING_SPACE => {
                let end = start + character.len_utf8();
                let message = "A non-breaking space; it is taken for a blank here";
                lexed.diagnostics.push(
                    Diagnostic::new(
                        Severity::Error,
                        "non-breaking-space",
                        line.span(start, end),
                        message,
                    )
                    .with_help("keepalived makes it a part of the word: type a blank instead"),
                );
                character.len_utf8()
            }
            '"' => {
                let inside = rest.get(1..).unwrap_or_default();
                let Some(length) = inside.find('"') else {
                    return lexed.unmatched_quote(line, start);
                };
                lexed.lexemes.push(Lexeme::Word(
                    Token {
                        text: line.text.slice_ref(inside.get(..length).unwrap_or_default()),
                        span: line.span(start, start + length + 2),
                        quoted: true,
                    },
                    start,
                ));
                length + 2
            }
            '{' => {
                let open = Lexeme::Open(line.span(start, start + 1), start);
                lexed.lexemes.push(open);
                1
            }
            '}' => {
                let close = Lexeme::Close(line.span(start, start + 1), start);
                lexed.lexemes.push(close);
                1
            }
            _ => {
                let length = lexed.word_length(line, start, rest);
                if let Some(name) = rest.get(1..length)
                    && character == '$'
                    && !name.is_empty()
                    && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
                {
                    let span = line.span(start, start + length);
                    let message = format!("`{name}` is not defined; the text is kept as it is");
                    lexed.diagnostics.push(Diagnostic::new(
                        Severity::Warning,
                        "undefined-name",
                        span,
                        message,
                    ));
                }
                lexed.lexemes.push(Lexeme::Word(
                    Token {
                        text: line.text.slice_ref(rest.get(..length).unwrap_or_default()),
                        span: line.span(start, start + length),
                        quoted: false,
                    },
                    start,
                ));
                length
            }
        };
    }
}

/// Bytes that can only be a part of an unquoted word: not those that end it, and `$` may be more.
const IN_WORD: [bool; 256] = {
    let mut inside = [false; 256];
    let mut byte = 33;
    while byte < 127 {
        inside[byte] = true;
        byte += 1;
    }
    inside[b'"' as usize] = false;
    inside[b'{' as usize] = false;
    inside[b'}' as usize] = false;
    inside[b'$' as usize] = false;
    inside
};

const NON_BREAKING_SPACE: char = '\u{a0}';

impl Lexed {
    /// How far the unquoted word reaches that `rest` begins with; at least one character.
    fn word_length(&mut self, line: &LogicalLine, start: usize, rest: &str) -> usize {
        // Nearly every word is plain.
        let plain =
            rest.bytes().position(|byte| !IN_WORD.get(usize::from(byte)).is_some_and(|b| *b));
        match plain.map(|length| (length, rest.as_bytes().get(length).copied())) {
            None => return rest.len(),
            Some((length, Some(byte))) if byte != b'$' && byte.is_ascii() => return length,
            Some(_) => {}
        }
        let ends = |c: char| is_blank(c) || matches!(c, '"' | '{' | '}' | NON_BREAKING_SPACE);
        let mut length = 0;
        loop {
            let more = rest.get(length..).unwrap_or_default();
            length += more.find(ends).unwrap_or(more.len());
            let before = rest.get(..length).unwrap_or_default();
            let after = rest.get(length..).unwrap_or_default();
            let Some(inner) = after.strip_prefix('{').filter(|_| before.ends_with('$')) else {
                return length;
            };
            let Some(close) = inner
                .find(['{', '}', '"'])
                .filter(|at| inner.get(*at..).is_some_and(|rest| rest.starts_with('}')))
            else {
                return length;
            };
            let end = length + 2 + close;
            let name = inner.get(..close).unwrap_or_default();
            self.diagnostics.push(
                Diagnostic::new(
                    Severity::Error,
                    "undefined-name",
                    line.span(start + length - 1, start + end),
                    format!("`{name}` is not defined; the text is kept as it is"),
                )
                .with_help("a definition is a line like `$NAME=value` before this one"),
            );
            length = end;
        }
    }

    /// keepalived rejects such a line; a block that it opens still counts, so that what follows
    /// keeps its place.
    fn unmatched_quote(&mut self, line: &LogicalLine, start: usize) {
        let text: &str = &line.text;
        let message = "Unmatched quote; the line is dropped";
        self.diagnostics.push(Diagnostic::new(
            Severity::Error,
            "unmatched-quote",
            line.span(start, text.len()),
            message,
        ));
        let last = text.len().saturating_sub(1);
        let opens = last > start && text.ends_with('{');
        self.broken = Some(Broken { opens: opens.then(|| line.span(last, last + 1)) });
    }
}

/// Splits the text after a script keyword into words: both kinds of quotes, and backslash escapes.
/// `None` for an unmatched quote or a malformed escape.
pub fn split_command(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (Some(open), character) if character == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(character);
                word.get_or_insert_with(String::new);
            }
            (_, '\\') => {
                let escaped = unescape(&mut characters)?;
                word.get_or_insert_with(String::new).push(escaped);
            }
            (None, character) if is_blank(character) => words.extend(word.take()),
            (_, character) => word.get_or_insert_with(String::new).push(character),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

fn unescape(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<char> {
    let digits = |characters: &mut std::iter::Peekable<std::str::Chars<'_>>, radix, most| {
        let mut value = 0;
        for count in 0..most {
            match characters.peek().and_then(|c| c.to_digit(radix)) {
                Some(digit) => value = value * radix + digit,
                None if count == 0 => return None,
                None => break,
            }
            characters.next();
        }
        char::from_u32(value & 0xff)
    };
    Some(match characters.peek()? {
        '0'..='7' => return digits(characters, 8, 3),
        'x' => {
            characters.next();
            return digits(characters, 16, 2);
        }
        'c' => {
            characters.next();
            let letter = characters.next()?;
            return char::from_u32(u32::from(letter.to_ascii_uppercase()) & 0x1f);
        }
        _ => match characters.next()? {
            'a' => '\x07',
            'b' => '\x08',
            'E' => '\x1b',
            'f' => '\x0c',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\x0b',
            other => other,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::config::preprocess::preprocess;
    use crate::core::config::source::{Frozen, SourceSet};

    fn words(text: &str) -> (Vec<String>, Vec<&'static str>) {
        let set = SourceSet::from_text("x", text);
        let lines = preprocess(set.main(), &mut Frozen(&set)).lines;
        let lexed = lex(&lines[0]);
        let words = lexed.lexemes.into_iter().map(|lexeme| match lexeme {
            Lexeme::Word(token, _) if token.quoted => format!("'{}'", token.text),
            Lexeme::Word(token, _) => token.text.into(),
            Lexeme::Open(..) => "{".to_owned(),
            Lexeme::Close(..) => "}".to_owned(),
        });
        let codes = lexed.diagnostics.iter().map(|found| found.code);
        (words.collect(), codes.collect())
    }

    #[test]
    fn lines_are_split_at_blanks_quotes_and_braces() {
        for (text, expected) in [
            ("a\tb\rc\x0bd", "a b c d"),
            ("a{b}c {\"d {e}\"f", "a { b } c { 'd {e}' f"),
            ("a\"b\"c \"\"", "a 'b' c ''"),
            ("pa$$word a$ $ é", "pa$$word a$ $ é"),
        ] {
            assert_eq!(words(text), (expected.split(' ').fold(Vec::new(), join), vec![]), "{text}");
        }
    }

    /// Words in quotes may have blanks.
    fn join(mut words: Vec<String>, word: &str) -> Vec<String> {
        match words.last_mut() {
            Some(last) if last.starts_with('\'') && (last.len() == 1 || !last.ends_with('\'')) => {
                last.push(' ');
                last.push_str(word);
            }
            Some(_) | None => words.push(word.to_owned()),
        }
        words
    }

    #[test]
    fn what_keepalived_misreads_is_read_as_it_was_meant_and_told() {
        let (found, codes) = words("global_defs\u{a0}{");
        assert_eq!(
            (found, codes),
            (vec!["global_defs".into(), "{".into()], vec!["non-breaking-space"])
        );
        let (found, codes) = words("a x${U}y ${V W} $Z \"${Q}\" b");
        assert_eq!(found, ["a", "x${U}y", "${V W}", "$Z", "'${Q}'", "b"]);
        assert_eq!(codes, ["undefined-name"; 3]);
        let (found, codes) = words("a ${U {b");
        assert_eq!(found, ["a", "$", "{", "U", "{", "b"]);
        assert_eq!(codes, [""; 0]);
    }

    #[test]
    fn an_unmatched_quote_breaks_the_line_off() {
        let (found, codes) = words("a { b \"c d {");
        assert_eq!(found, ["a", "{", "b"]);
        assert_eq!(codes, ["unmatched-quote"]);
    }

    #[test]
    fn commands_are_split_like_a_shell_would() {
        let split = |text| split_command(text).unwrap();
        assert_eq!(split("\"/a/b c\" 'd e' f"), ["/a/b c", "d e", "f"]);
        assert_eq!(split(r"a\ b x\x41\101\t"), ["a b", "xAA\t"]);
        assert_eq!(split("a'b'\"c\""), ["abc"]);
        assert_eq!(split("'' x"), ["", "x"]);
        assert_eq!(split_command("\"a"), None);
        assert_eq!(split_command("\\"), None);
    }
}
