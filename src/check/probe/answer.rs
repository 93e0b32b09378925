//! An HTTP answer as it comes in, read as tolerantly as keepalived does (pure).
//!
//! Only what a check needs: the status of the first line, and the body as bytes. Old and odd servers
//! are common behind load balancers, and a check must not fail for their header lines.

use md5::{Digest as _, Md5};

/// A first line and header longer than this is not HTTP.
const LONGEST_HEAD: usize = 64 << 10;
/// As much of the body as a regular expression gets to see.
pub const LONGEST_BODY: usize = 1 << 20;

/// An answer, fed piece by piece.
#[derive(Debug, Clone)]
pub struct Answer {
    head: Vec<u8>,
    status: Option<u16>,
    length: Option<u64>,
    received: u64,
    body: Vec<u8>,
    md5: Md5,
    in_body: bool,
    fault: Option<Fault>,
}

/// Why an answer cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The first line is not one of HTTP.
    #[error("the answer is not HTTP")]
    NotHttp,
    /// The header does not end.
    #[error("the header does not end")]
    HeadTooLong,
}

impl Default for Answer {
    fn default() -> Self {
        Self::new()
    }
}

impl Answer {
    /// Nothing yet.
    pub fn new() -> Self {
        Self {
            head: Vec::new(),
            status: None,
            length: None,
            received: 0,
            body: Vec::new(),
            md5: Md5::new(),
            in_body: false,
            fault: None,
        }
    }

    /// Takes the next bytes in; gives whether the answer is complete. A fault is for ever.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<bool, Fault> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let taken = self.take(bytes);
        self.fault = taken.err();
        taken
    }

    fn take(&mut self, bytes: &[u8]) -> Result<bool, Fault> {
        if self.in_body {
            self.take_body(bytes);
            return Ok(self.is_complete());
        }
        let searched = self.head.len().saturating_sub(3);
        self.head.extend_from_slice(bytes);
        let Some(body) = end_of_head(&self.head, searched) else {
            return if self.head.len() > LONGEST_HEAD {
                Err(Fault::HeadTooLong)
            } else {
                Ok(false)
            };
        };
        // However the pieces were cut.
        if body > LONGEST_HEAD {
            return Err(Fault::HeadTooLong);
        }
        let rest = self.head.split_off(body);
        self.in_body = true;
        self.status = Some(status_of(&self.head).ok_or(Fault::NotHttp)?);
        self.length = content_length(&self.head);
        self.take_body(&rest);
        Ok(self.is_complete())
    }

    fn take_body(&mut self, bytes: &[u8]) {
        // What comes after the announced length is not part of the answer (RFC 9112 section 6.3).
        let left = self.length.map_or(u64::MAX, |length| length.saturating_sub(self.received));
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        let bytes = bytes.get(..left).unwrap_or(bytes);
        self.received = self.received.saturating_add(bytes.len() as u64);
        self.md5.update(bytes);
        let room = LONGEST_BODY.saturating_sub(self.body.len());
        self.body.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    fn is_complete(&self) -> bool {
        self.length.is_some_and(|length| self.received >= length)
    }

    /// Whether any byte has come.
    pub fn is_empty(&self) -> bool {
        self.head.is_empty()
    }

    /// What came before the body, with the empty line.
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// Of the first line, once the header has ended.
    pub fn status(&self) -> Option<u16> {
        self.status
    }

    /// The first megabyte of the body.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Of all of the body, as it came.
    pub fn digest(&self) -> [u8; 16] {
        self.md5.clone().finalize().into()
    }
}

/// Where the body begins: after an empty line, with or without carriage returns.
fn end_of_head(bytes: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    rest.iter().enumerate().filter(|(_, byte)| **byte == b'\n').find_map(|(at, _)| {
        let at = from + at;
        match bytes.get(at + 1..)? {
            [b'\n', ..] => Some(at + 2),
            [b'\r', b'\n', ..] => Some(at + 3),
            _ => None,
        }
    })
}

/// `HTTP/1.1 200 whatever`, also without the reason.
fn status_of(head: &[u8]) -> Option<u16> {
    let line = head.split(|byte| *byte == b'\n').next()?;
    let text = std::str::from_utf8(line.get(..line.len().min(64))?).ok()?;
    let mut words = text.split_ascii_whitespace();
    words.next().filter(|word| word.starts_with("HTTP/"))?;
    words.next()?.parse().ok()
}

fn content_length(head: &[u8]) -> Option<u64> {
    head.split(|byte| *byte == b'\n').find_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = (line.get(..colon)?, line.get(colon + 1..)?);
        if !name.trim_ascii().eq_ignore_ascii_case(b"content-length") {
            return None;
        }
        std::str::from_utf8(value.trim_ascii()).ok()?.parse().ok()
    })
}

/// What the fuzzer runs: an answer in pieces says the same as in one.
pub fn fuzz(data: &[u8]) {
    let mut whole = Answer::new();
    let result = whole.feed(data);
    let mut pieces = Answer::new();
    let mut last = Ok(false);
    for piece in data.chunks(7) {
        last = pieces.feed(piece);
    }
    assert_eq!(result.is_err(), last.is_err());
    if result.is_ok() {
        assert_eq!(result, last);
        assert_eq!(whole.status(), pieces.status());
        assert_eq!(whole.body(), pieces.body());
        assert_eq!(whole.digest(), pieces.digest());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Result<bool, Fault>, Option<u16>, String) {
        let mut answer = Answer::new();
        let result = answer.feed(text.as_bytes());
        let body = String::from_utf8_lossy(answer.body()).into_owned();
        (result, answer.status(), body)
    }

    #[test]
    fn odd_answers_are_understood() {
        for (text, status, body) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, "hi"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi, more", 200, "hi"),
            ("HTTP/1.0 404\n\nx", 404, "x"),
            ("HTTP/1.1 204 No\r\nweird header line\r\n: empty\r\n\r\n", 204, ""),
        ] {
            let (result, found, found_body) = read(text);
            assert!(result.is_ok());
            assert_eq!((found, found_body.as_str()), (Some(status), body));
        }
        assert_eq!(read("SSH-2.0-x\r\n\r\n").0, Err(Fault::NotHttp));
        assert_eq!(read("HTTP/1.1 abc\r\n\r\n").0, Err(Fault::NotHttp));
    }

    #[test]
    fn an_answer_cut_at_every_byte_says_the_same_as_a_whole_one() {
        let text = b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 5\r\n\r\nhello";
        for cut in 0..text.len() {
            let mut answer = Answer::new();
            let first = answer.feed(&text[..cut]).unwrap();
            assert!(!first);
            assert_eq!(answer.feed(&text[cut..]), Ok(true));
            assert_eq!((answer.status(), answer.body()), (Some(200), &b"hello"[..]));
        }
    }

    #[test]
    fn a_huge_body_is_summed_up_but_not_kept() {
        let mut answer = Answer::new();
        answer.feed(b"HTTP/1.0 200 OK\r\n\r\n").unwrap();
        let piece = vec![b'x'; 1 << 16];
        for _ in 0..64 {
            assert_eq!(answer.feed(&piece), Ok(false));
        }
        assert_eq!(answer.body().len(), LONGEST_BODY);
        assert_eq!(answer.digest(), <[u8; 16]>::from(Md5::digest(vec![b'x'; 1 << 22])));
    }

    #[test]
    fn a_header_that_does_not_end_is_given_up() {
        let mut answer = Answer::new();
        let line = b"HTTP/1.1 200 OK\r\n".repeat(100);
        let mut result = Ok(false);
        for _ in 0..100 {
            result = answer.feed(&line);
            if result.is_err() {
                break;
            }
        }
        assert_eq!(result, Err(Fault::HeadTooLong));
    }
}
