//! A reply of an SMTP server as it comes in (pure): RFC 5321 section 4.2.
//!
//! ```text
//! 250-first line       the code, a hyphen: more lines follow
//! 250 last line        the code, a space or nothing: the last one
//! ```
//!
//! keepalived takes a reply of several lines for a failure; here all of it is read.

/// A reply longer than this is not one.
const LONGEST: usize = 16 << 10;

/// A reply, fed piece by piece.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    line: Vec<u8>,
    received: usize,
    code: Option<u16>,
}

/// Why a reply cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A line does not begin with three digits.
    #[error("the answer is not SMTP")]
    NotSmtp,
    /// The lines do not have the same code.
    #[error("the lines of the answer disagree")]
    CodesDiffer,
    /// There is no end to it.
    #[error("the answer does not end")]
    TooLong,
}

impl Reply {
    /// Takes the next byte in; the code, once the last line has ended. After that, or after a
    /// fault, nothing more must be fed.
    pub fn feed(&mut self, byte: u8) -> Result<Option<u16>, Fault> {
        self.received += 1;
        if self.received > LONGEST {
            return Err(Fault::TooLong);
        }
        if byte != b'\n' {
            // Beyond the code and what follows it, only the end of a line matters.
            if self.line.len() < 4 {
                self.line.push(byte);
            }
            return Ok(None);
        }
        let line = std::mem::take(&mut self.line);
        let (code, last) = read(&line).ok_or(Fault::NotSmtp)?;
        if self.code.is_some_and(|before| before != code) {
            return Err(Fault::CodesDiffer);
        }
        self.code = Some(code);
        Ok(last.then_some(code))
    }
}

/// The code of a line, and whether the line is the last one.
fn read(line: &[u8]) -> Option<(u16, bool)> {
    let (code, rest) = line.split_at_checked(3)?;
    if !code.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let code = std::str::from_utf8(code).ok()?.parse().ok()?;
    match rest.first() {
        None | Some(b' ' | b'\r') => Some((code, true)),
        Some(b'-') => Some((code, false)),
        Some(_) => None,
    }
}

/// What the fuzzer runs: every reply ends within its limit, and has a code of three digits.
pub fn fuzz(data: &[u8]) {
    let mut reply = Reply::default();
    for byte in data {
        match reply.feed(*byte) {
            Ok(None) => {}
            Ok(Some(code)) => {
                assert!(code <= 999);
                reply = Reply::default();
            }
            Err(_) => reply = Reply::default(),
        }
        assert!(reply.received <= LONGEST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(text: &[u8]) -> Result<Option<u16>, Fault> {
        let mut reply = Reply::default();
        for (place, byte) in text.iter().enumerate() {
            match reply.feed(*byte) {
                Ok(None) => {}
                Ok(Some(code)) => {
                    assert_eq!(place + 1, text.len(), "the code came before the end");
                    return Ok(Some(code));
                }
                Err(fault) => return Err(fault),
            }
        }
        Ok(None)
    }

    #[test]
    fn replies_of_one_and_of_several_lines_are_read() {
        assert_eq!(feed(b"220 mail.example ESMTP\r\n"), Ok(Some(220)));
        assert_eq!(feed(b"250-mail.example\r\n250-SIZE 1\r\n250 OK\r\n"), Ok(Some(250)));
        assert_eq!(feed(b"250\r\n"), Ok(Some(250)));
        assert_eq!(feed(b"250\n"), Ok(Some(250)));
        assert_eq!(feed(b"554 \n"), Ok(Some(554)));
    }

    #[test]
    fn what_is_not_a_reply_is_a_fault() {
        for text in [&b"\n"[..], b"22\n", b"SSH-2.0-x\r\n", b"2200 x\n", b"\xff\xfe\xfd\n"] {
            assert_eq!(feed(text), Err(Fault::NotSmtp), "{text:?}");
        }
        assert_eq!(feed(b"250-a\r\n550 b\r\n"), Err(Fault::CodesDiffer));
        assert_eq!(feed(&b"250-a\r\n".repeat(LONGEST)), Err(Fault::TooLong));
        assert_eq!(feed(&b"x".repeat(LONGEST + 1)), Err(Fault::TooLong));
    }

    #[test]
    fn a_reply_cut_at_any_byte_is_not_complete() {
        let text = b"250-mail.example\r\n250 OK\r\n";
        for cut in 0..text.len() {
            assert_eq!(feed(&text[..cut]), Ok(None), "at {cut}");
        }
    }
}
