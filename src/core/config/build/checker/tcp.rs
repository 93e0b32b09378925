//! `TCP_CHECK`, with our own `send`, `expect`, `tls` and its words.

use super::super::check::Inherited;
use super::super::context::Context;
use super::super::global::set;
use super::{Draft, RETRY, RETRY_DELAY, tls};
use crate::core::config::model::check::{DialogueProbe, Probe, Regex, TlsProbe};
use crate::core::config::pattern;
use crate::core::config::tree::Statement;
use crate::core::config::values::Fault;

pub(super) fn build(
    context: &mut Context,
    block: &Statement,
    path: &str,
    draft: &mut Draft,
    inherited: &Inherited,
) -> Option<Probe> {
    let (mut send, mut expect) = (Vec::new(), None);
    let (mut secure, mut words, mut place) = (false, tls::Words::default(), None);
    draft.read(context, block, path, |context, statement| {
        match statement.keyword() {
            "send" => set(&mut send, context.parse(statement, unescape)),
            "expect" => expect = context.parse(statement, expected),
            "tls" => set(&mut secure, context.boolean(statement)),
            _ if words.take(context, statement) => {
                place.get_or_insert(statement.span);
            }
            _ => return false,
        }
        true
    });
    draft.settle(inherited, RETRY, RETRY_DELAY);
    let connect = draft.connect(context, block, inherited)?;
    if let Some(place) = place.filter(|_| !secure && words.are_used()) {
        context.error("no-tls", place, tls::WITHOUT);
    }
    if send.is_empty() && expect.is_none() && !secure {
        return Some(Probe::Tcp(connect));
    }
    let tls = secure.then(|| words.settle()).map(|options| TlsProbe {
        name: options.name.or_else(|| inherited.virtualhost.clone()),
        ..options
    });
    Some(Probe::Dialogue(DialogueProbe { connect, tls, send, expect }.into()))
}

pub(super) fn expected(text: &str) -> Result<Regex, Fault> {
    let regex = Regex {
        pattern: text.to_owned(),
        negate: false,
        options: Vec::new(),
        min_offset: 0,
        max_offset: 0,
        stack: None,
    };
    pattern::compile(&regex)?;
    Ok(regex)
}

/// Text with escapes to bytes.
pub(super) fn unescape(text: &str) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        bytes.extend_from_slice(before.as_bytes());
        let mut characters = after.chars();
        match characters.next() {
            Some('r') => bytes.push(b'\r'),
            Some('n') => bytes.push(b'\n'),
            Some('t') => bytes.push(b'\t'),
            Some('0') => bytes.push(0),
            Some('\\') => bytes.push(b'\\'),
            Some('x') => {
                let digits = after.get(1..3).unwrap_or_default();
                let plain = digits.chars().all(|digit| digit.is_ascii_hexdigit());
                match u8::from_str_radix(digits, 16) {
                    Ok(byte) if plain => bytes.push(byte),
                    _ => return Err("\\x needs two hexadecimal digits".to_owned()),
                }
                characters = after.get(3..).unwrap_or_default().chars();
            }
            Some(other) => return Err(format!("unknown escape \\{other}")),
            None => return Err("ends in a backslash".to_owned()),
        }
        rest = characters.as_str();
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_become_bytes_and_strange_ones_are_refused() {
        assert_eq!(unescape(r"PING\r\n").unwrap(), b"PING\r\n");
        assert_eq!(unescape(r"a\\b\t\0\xfFé").unwrap(), b"a\\b\t\0\xff\xc3\xa9");
        for bad in [r"\q", r"\x1", r"\x+1", r"\xé", "\\"] {
            assert!(unescape(bad).is_err(), "{bad}");
        }
    }
}
