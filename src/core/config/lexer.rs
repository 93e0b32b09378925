//! A logical line to words and braces.

use super::preprocess::LogicalLine;
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

/// Splits a line at blanks. Double quotes make one word of what is between them; a brace outside of
/// quotes stands for itself, with or without blanks around it, but for the one of `${NAME}`.
pub fn lex(line: &LogicalLine) -> Result<Vec<Lexeme>, Diagnostic> {
    let text = line.text.as_str();
    let mut lexemes = Vec::new();
    let mut characters = text.char_indices().peekable();
    while let Some((start, character)) = characters.next() {
        match character {
            character if is_blank(character) => {}
            '"' => {
                let end = characters.by_ref().find(|(_, c)| *c == '"').map(|(at, _)| at);
                let Some(end) = end else {
                    let span = line.span(start, text.len());
                    let message = "Unmatched quote; the line is dropped";
                    return Err(Diagnostic::new(Severity::Error, "unmatched-quote", span, message));
                };
                let word = text.get(start + 1..end).unwrap_or_default();
                let span = line.span(start, end + 1);
                let token = Token { text: word.to_owned(), span, quoted: true };
                lexemes.push(Lexeme::Word(token, start));
            }
            '{' => lexemes.push(Lexeme::Open(line.span(start, start + 1), start)),
            '}' => lexemes.push(Lexeme::Close(line.span(start, start + 1), start)),
            _ => {
                let mut end = start + character.len_utf8();
                let mut before = character;
                let mut reference = false;
                while let Some((at, next)) = characters.peek().copied() {
                    let opens = next == '{' && before == '$';
                    let ends = is_blank(next) || next == '"' || next == '{' || next == '}';
                    if ends && !opens && !(reference && next == '}') {
                        break;
                    }
                    reference = opens || (reference && next != '}');
                    end = at + next.len_utf8();
                    before = next;
                    characters.next();
                }
                let word = text.get(start..end).unwrap_or_default();
                let token =
                    Token { text: word.to_owned(), span: line.span(start, end), quoted: false };
                lexemes.push(Lexeme::Word(token, start));
            }
        }
    }
    Ok(lexemes)
}

/// Blanks of the dialect; the non-breaking space comes with text copied from a web page.
fn is_blank(character: char) -> bool {
    character.is_ascii_whitespace()
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
