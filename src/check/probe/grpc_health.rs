//! What goes to and fro in a `GRPC_CHECK` (pure): the two messages of `grpc.health.v1.Health/Check`,
//! their frames and the status in the trailers.
//!
//! ```text
//! frame      1 byte: 0, or 1 if compressed; 4 bytes: length of the message; the message
//! request    field 1, string: the service
//! answer     field 1, enum: 0 UNKNOWN, 1 SERVING, 2 NOT_SERVING, 3 SERVICE_UNKNOWN
//! ```
//!
//! Sources: gRPC over HTTP2 (grpc.io, PROTOCOL-HTTP2), `grpc/health/v1/health.proto`, and the encoding
//! of protocol buffers.

use std::fmt;

/// The method.
pub const METHOD: &str = "/grpc.health.v1.Health/Check";
/// What both sides say their messages are.
pub const CONTENT_TYPE: &str = "application/grpc";
/// An answer has two bytes, or some more that a later version may add.
const LONGEST_MESSAGE: usize = 4 << 10;
/// Flag and length.
const FRAME_HEADER: usize = 5;
/// Of foreign words that are shown again, characters.
const SHOWN: usize = 120;

/// Why a server is not well.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It is, by its own word, not.
    #[error("{0}")]
    Health(Health),
    /// The method failed.
    #[error("{}", refusal(*.code, .message))]
    Status {
        /// `grpc-status`.
        code: u32,
        /// `grpc-message`, as it may stand in a log.
        message: String,
    },
    /// `grpc-status` is not what it should be.
    #[error("grpc-status '{0}' is no number")]
    BadStatus(String),
    /// The answer ended without `grpc-status`.
    #[error("the answer has no grpc-status")]
    NoStatus,
    /// HTTP's own status.
    #[error("the HTTP status is {0}")]
    HttpStatus(u16),
    /// What answers is no gRPC server.
    #[error("content-type is '{0}', not application/grpc")]
    ContentType(String),
    /// Nobody asked for it.
    #[error("the answer is compressed")]
    Compressed,
    /// So many bytes are announced.
    #[error("the answer would have {0} bytes")]
    TooLong(u32),
    /// All is well, and then there is no answer.
    #[error("the answer has no message")]
    NoMessage,
    /// The end came too early.
    #[error("the answer is cut short")]
    Cut,
    /// There is to be one.
    #[error("the answer has more than one message")]
    MoreThanOne,
    /// Not the message that it should be.
    #[error("the answer is no message of gRPC health")]
    Malformed,
}

/// `ServingStatus`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health(u64);

impl Health {
    /// The one that is good.
    pub const SERVING: Self = Self(1);
}

impl fmt::Display for Health {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => formatter.write_str("UNKNOWN"),
            1 => formatter.write_str("SERVING"),
            2 => formatter.write_str("NOT_SERVING"),
            3 => formatter.write_str("SERVICE_UNKNOWN"),
            other => write!(formatter, "a health of {other}, which nobody knows"),
        }
    }
}

/// The frame that asks for a service, or for the whole server with an empty name.
pub fn request(service: &str) -> Vec<u8> {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(1 << 3 | 2);
        let mut length = service.len();
        while length >= 0x80 {
            message.push(0x80 | u8::try_from(length & 0x7f).unwrap_or_default());
            length >>= 7;
        }
        message.push(u8::try_from(length).unwrap_or_default());
        message.extend_from_slice(service.as_bytes());
    }
    let mut frame = vec![0];
    frame.extend_from_slice(&u32::try_from(message.len()).unwrap_or_default().to_be_bytes());
    frame.extend_from_slice(&message);
    frame
}

/// An answer, piece by piece.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    bytes: Vec<u8>,
}

impl Answer {
    /// Its beginning.
    pub fn begin(status: u16, content_type: Option<&[u8]>) -> Result<Self, Fault> {
        if status != 200 {
            return Err(Fault::HttpStatus(status));
        }
        let content_type = content_type.unwrap_or_default();
        if is_grpc(content_type) {
            Ok(Self::default())
        } else {
            Err(Fault::ContentType(shown(content_type)))
        }
    }

    /// The next bytes of its body.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        // Not more than its limit, whatever comes at a time.
        let room = (FRAME_HEADER + LONGEST_MESSAGE + 1).saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        match self.length()? {
            Some(length) if self.bytes.len() > FRAME_HEADER + length => Err(Fault::MoreThanOne),
            Some(_) | None => Ok(()),
        }
    }

    /// Its end, with the status of the trailers: whether the server is well.
    pub fn end(&self, status: Option<&[u8]>, message: Option<&[u8]>) -> Result<(), Fault> {
        succeeded(status, message)?;
        let length = self.length()?;
        let message = length.and_then(|length| self.bytes.get(FRAME_HEADER..FRAME_HEADER + length));
        let Some(message) = message else {
            return Err(if self.bytes.is_empty() { Fault::NoMessage } else { Fault::Cut });
        };
        match health(message)? {
            Health::SERVING => Ok(()),
            other => Err(Fault::Health(other)),
        }
    }

    /// Of the message, bytes, once that is known.
    fn length(&self) -> Result<Option<usize>, Fault> {
        match self.bytes.first() {
            None | Some(0) => {}
            Some(1) => return Err(Fault::Compressed),
            Some(_) => return Err(Fault::Malformed),
        }
        let Some([_, length @ ..]) = self.bytes.first_chunk::<FRAME_HEADER>() else {
            return Ok(None);
        };
        let announced = u32::from_be_bytes(*length);
        match usize::try_from(announced) {
            Ok(length) if length <= LONGEST_MESSAGE => Ok(Some(length)),
            Ok(_) | Err(_) => Err(Fault::TooLong(announced)),
        }
    }
}

/// `application/grpc`, with or without `+proto` and parameters. `application/grpc-web` is another.
fn is_grpc(content_type: &[u8]) -> bool {
    let kind = content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    kind.eq_ignore_ascii_case(CONTENT_TYPE.as_bytes())
        || kind.eq_ignore_ascii_case(b"application/grpc+proto")
}

/// Whether the trailers say that the method went well.
fn succeeded(status: Option<&[u8]>, message: Option<&[u8]>) -> Result<(), Fault> {
    let status = status.ok_or(Fault::NoStatus)?;
    let plain = !status.is_empty() && status.iter().all(u8::is_ascii_digit);
    let code = std::str::from_utf8(status).ok().and_then(|text| text.parse().ok());
    match code.filter(|_| plain) {
        Some(0) => Ok(()),
        Some(code) => {
            Err(Fault::Status { code, message: shown(&unescape(message.unwrap_or_default())) })
        }
        None => Err(Fault::BadStatus(shown(status))),
    }
}

fn refusal(code: u32, message: &str) -> String {
    let name = match code {
        1 => "CANCELLED",
        2 => "UNKNOWN",
        3 => "INVALID_ARGUMENT",
        4 => "DEADLINE_EXCEEDED",
        5 => "NOT_FOUND",
        6 => "ALREADY_EXISTS",
        7 => "PERMISSION_DENIED",
        8 => "RESOURCE_EXHAUSTED",
        9 => "FAILED_PRECONDITION",
        10 => "ABORTED",
        11 => "OUT_OF_RANGE",
        12 => "UNIMPLEMENTED",
        13 => "INTERNAL",
        14 => "UNAVAILABLE",
        15 => "DATA_LOSS",
        16 => "UNAUTHENTICATED",
        _ => "of no name",
    };
    if message.is_empty() {
        format!("grpc-status {code} {name}")
    } else {
        format!("grpc-status {code} {name}: {message}")
    }
}

/// `grpc-message` is percent-encoded; what is not remains as it is.
fn unescape(text: &[u8]) -> Vec<u8> {
    // Not more than can be shown.
    let mut rest = text.get(..SHOWN * 12).unwrap_or(text);
    let mut plain = Vec::new();
    while let Some((first, after)) = rest.split_first() {
        let escaped = after.first_chunk::<2>().filter(|_| *first == b'%').and_then(|digits| {
            let whole = digits.iter().all(u8::is_ascii_hexdigit);
            let digits = std::str::from_utf8(digits).ok().filter(|_| whole)?;
            u8::from_str_radix(digits, 16).ok()
        });
        plain.push(escaped.unwrap_or(*first));
        rest = match escaped {
            Some(_) => after.get(2..).unwrap_or_default(),
            None => after,
        };
    }
    plain
}

/// As it may stand in a log.
fn shown(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text.get(..SHOWN * 4).unwrap_or(text));
    text.chars().filter(|found| !found.is_control()).take(SHOWN).collect()
}

/// The last value of field 1; fields that are not known are passed over.
fn health(message: &[u8]) -> Result<Health, Fault> {
    let mut rest = message;
    let mut found = Health(0);
    while !rest.is_empty() {
        let (tag, after) = varint(rest)?;
        if tag >> 3 == 0 {
            return Err(Fault::Malformed);
        }
        let length = match tag & 7 {
            0 => {
                let (value, after) = varint(after)?;
                if tag >> 3 == 1 {
                    found = Health(value);
                }
                rest = after;
                continue;
            }
            1 => 8,
            2 => {
                let (length, text) = varint(after)?;
                rest = passed(text, length)?;
                continue;
            }
            5 => 4,
            _ => return Err(Fault::Malformed),
        };
        rest = passed(after, length)?;
    }
    Ok(found)
}

fn passed(bytes: &[u8], length: u64) -> Result<&[u8], Fault> {
    let length = usize::try_from(length).map_err(|_| Fault::Malformed)?;
    bytes.get(length..).ok_or(Fault::Malformed)
}

/// Seven bits a byte, the lowest first.
fn varint(bytes: &[u8]) -> Result<(u64, &[u8]), Fault> {
    let mut value = 0;
    for (place, byte) in bytes.iter().enumerate().take(10) {
        let bits = u64::from(byte & 0x7f);
        if place == 9 && bits > 1 {
            break;
        }
        value |= bits << (7 * place);
        if byte & 0x80 == 0 {
            return Ok((value, bytes.get(place + 1..).unwrap_or_default()));
        }
    }
    Err(Fault::Malformed)
}

/// For the fuzzer: an answer in pieces says the same as in one, and nothing grows beyond its limit.
pub fn fuzz(bytes: &[u8]) {
    let read = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut answer = Answer::default();
        for piece in pieces {
            answer.feed(piece)?;
            assert!(answer.bytes.len() <= FRAME_HEADER + LONGEST_MESSAGE + 1);
        }
        answer.end(Some(b"0"), None)
    };
    let whole = read(&mut std::iter::once(bytes));
    assert_eq!(whole, read(&mut bytes.chunks(3)));
    let mut framed = vec![0];
    framed.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    framed.extend_from_slice(bytes);
    let framed = read(&mut std::iter::once(framed.as_slice()));
    if bytes.len() <= LONGEST_MESSAGE {
        assert_eq!(framed.is_ok(), health(bytes) == Ok(Health::SERVING));
    } else {
        assert!(matches!(framed, Err(Fault::TooLong(_))));
    }
    let (status, message) = bytes.split_at(bytes.len() / 2);
    for fault in [
        whole.err(),
        succeeded(Some(bytes), None).err(),
        succeeded(Some(b"5"), Some(bytes)).err(),
        succeeded(Some(status), Some(message)).err(),
        Answer::begin(200, Some(bytes)).err(),
    ] {
        let text = fault.map(|fault| fault.to_string()).unwrap_or_default();
        assert!(text.chars().count() < SHOWN + 60 && !text.contains(char::is_control), "{text}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message within its frame.
    fn frame(message: &[u8]) -> Vec<u8> {
        let mut frame = vec![0, 0, 0];
        frame.extend(u16::try_from(message.len()).unwrap().to_be_bytes());
        frame.extend(message);
        frame
    }

    fn read(bytes: &[u8]) -> Result<(), Fault> {
        let mut answer = Answer::begin(200, Some(b"application/grpc"))?;
        answer.feed(bytes)?;
        answer.end(Some(b"0"), None)
    }

    #[test]
    fn a_request_names_its_service() {
        assert_eq!(request(""), [0, 0, 0, 0, 0]);
        assert_eq!(request("a.b"), b"\0\0\0\0\x05\x0a\x03a.b");
        let long = request(&"x".repeat(300));
        assert_eq!(long.get(..8).unwrap(), b"\0\0\0\x01\x2f\x0a\xac\x02");
        assert_eq!(long.len(), 5 + 3 + 300);
    }

    #[test]
    fn only_serving_is_good() {
        assert_eq!(read(&frame(&[8, 1])), Ok(()));
        for (message, said) in [
            (&[][..], "UNKNOWN"),
            (&[8, 0], "UNKNOWN"),
            (&[8, 2], "NOT_SERVING"),
            (&[8, 3], "SERVICE_UNKNOWN"),
            (&[8, 9], "a health of 9, which nobody knows"),
            // The last one counts.
            (&[8, 1, 8, 2], "NOT_SERVING"),
            (&[8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], "a health of 1844674"),
        ] {
            let fault = read(&frame(message)).unwrap_err().to_string();
            assert!(fault.starts_with(said), "{message:?}: {fault}");
        }
    }

    #[test]
    fn unknown_fields_are_passed_over_and_broken_ones_told() {
        for message in [
            &[0x12, 2, b'h', b'i', 8, 1][..],
            &[0x19, 1, 2, 3, 4, 5, 6, 7, 8, 8, 1],
            &[8, 1, 0x25, 1, 2, 3, 4],
            &[0x10, 0x80, 1, 8, 1],
            // Field 1 as something else is not known either.
            &[8, 1, 0x0a, 1, 2],
        ] {
            assert_eq!(read(&frame(message)), Ok(()), "{message:?}");
        }
        for message in [
            &[8][..],
            &[8, 0x80],
            &[8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2],
            &[0, 1],
            &[0x0b, 1],
            &[0x0e],
            &[0x12, 5, 1],
            &[0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
            &[0x25, 1, 2, 3],
        ] {
            assert_eq!(read(&frame(message)), Err(Fault::Malformed), "{message:?}");
        }
    }

    #[test]
    fn an_answer_that_is_cut_anywhere_is_not_good() {
        let whole = frame(&[8, 1]);
        for cut in 0..whole.len() {
            let fault = if cut == 0 { Fault::NoMessage } else { Fault::Cut };
            assert_eq!(read(&whole[..cut]), Err(fault));
        }
        let mut answer = Answer::default();
        for byte in &whole {
            assert!(answer.end(Some(b"0"), None).is_err());
            answer.feed(std::slice::from_ref(byte)).unwrap();
        }
        assert_eq!(answer.end(Some(b"0"), None), Ok(()));
        assert_eq!(answer.end(None, None), Err(Fault::NoStatus));
    }

    #[test]
    fn endless_compressed_and_surplus_answers_are_given_up_at_once() {
        let mut answer = Answer::default();
        assert_eq!(answer.feed(&[0, 0xff, 0xff, 0xff, 0xff]), Err(Fault::TooLong(u32::MAX)));
        let mut answer = Answer::default();
        assert_eq!(answer.feed(&vec![0; 1 << 20]), Err(Fault::MoreThanOne));
        assert!(answer.bytes.len() < 5000);
        assert_eq!(read(&[1, 0, 0, 0, 0]), Err(Fault::Compressed));
        assert_eq!(read(&[7]), Err(Fault::Malformed));
        assert_eq!(read(&[frame(&[8, 1]), frame(&[8, 1])].concat()), Err(Fault::MoreThanOne));
    }

    #[test]
    fn the_trailers_decide_and_are_shown_in_plain_text() {
        let told = |status: &[u8], message: &[u8]| {
            succeeded(Some(status), Some(message)).map_err(|fault| fault.to_string())
        };
        assert_eq!(told(b"0", b"all is well"), Ok(()));
        for (status, message, text) in [
            ("12", "", "grpc-status 12 UNIMPLEMENTED"),
            ("5", "unknown service %22x%22", "grpc-status 5 NOT_FOUND: unknown service \"x\""),
            ("14", "100%, %zz %0a%e2%82%ac%", "grpc-status 14 UNAVAILABLE: 100%, %zz €%"),
            ("99", "", "grpc-status 99 of no name"),
            ("-1", "", "grpc-status '-1' is no number"),
            ("", "", "grpc-status '' is no number"),
            ("99999999999", "", "grpc-status '99999999999' is no number"),
        ] {
            assert_eq!(told(status.as_bytes(), message.as_bytes()), Err(text.to_owned()));
        }
        let long = told(b"2", &b"%41".repeat(5000)).unwrap_err();
        assert_eq!(long, format!("grpc-status 2 UNKNOWN: {}", "A".repeat(SHOWN)));
    }

    #[test]
    fn only_a_grpc_server_answers() {
        for kind in ["application/grpc", "application/grpc+proto", "Application/GRPC; x=y"] {
            assert!(Answer::begin(200, Some(kind.as_bytes())).is_ok(), "{kind}");
        }
        for kind in ["", "text/html", "application/grpc-web", "application/grpc+json"] {
            let fault = Answer::begin(200, Some(kind.as_bytes())).unwrap_err();
            assert_eq!(fault, Fault::ContentType(kind.to_owned()));
        }
        assert_eq!(Answer::begin(503, None).unwrap_err(), Fault::HttpStatus(503));
    }
}
