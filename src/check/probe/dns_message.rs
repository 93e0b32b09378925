//! A DNS query, and as much of an answer as a check needs (pure): RFC 1035 section 4.1.
//!
//! ```text
//!  0                   1
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5
//! +-------------------------------+
//! |              ID               |
//! |QR| Opcode |AA|TC|RD|RA|Z|RCODE|
//! |           QDCOUNT             |
//! |           ANCOUNT             |
//! |           NSCOUNT             |
//! |           ARCOUNT             |
//! +-------------------------------+
//! ```

use crate::core::config::model::check::RecordType;

const HEADER: usize = 12;
const RESPONSE: u8 = 0x80;
const RECURSION_DESIRED: u8 = 0x01;
const CODE: u8 = 0x0f;
const INTERNET: u16 = 1;
/// A label's length has six bits.
const LONGEST_LABEL: usize = 63;

/// A question for one record of one name.
pub fn query(id: u16, name: &[String], record: RecordType) -> Vec<u8> {
    let mut message = Vec::with_capacity(HEADER + 64);
    message.extend(id.to_be_bytes());
    message.extend([RECURSION_DESIRED, 0]);
    // One question, nothing else.
    message.extend([0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name {
        let label = label.as_bytes();
        let label = label.get(..LONGEST_LABEL).unwrap_or(label);
        message.push(u8::try_from(label.len()).unwrap_or(0));
        message.extend(label);
    }
    message.push(0);
    message.extend(record.number().to_be_bytes());
    message.extend(INTERNET.to_be_bytes());
    message
}

/// The code of an answer to the question `id`: 0 for no error. `None`: it is no answer to it.
pub fn response_code(id: u16, message: &[u8]) -> Option<u8> {
    let header: &[u8; HEADER] = message.first_chunk()?;
    let [high, low, flags, code, ..] = *header;
    (u16::from_be_bytes([high, low]) == id && flags & RESPONSE != 0).then_some(code & CODE)
}

/// The name of a response code (RFC 1035 section 4.1.1, RFC 2136 section 2.2).
pub const fn code_name(code: u8) -> &'static str {
    match code {
        0 => "NOERROR",
        1 => "FORMERR",
        2 => "SERVFAIL",
        3 => "NXDOMAIN",
        4 => "NOTIMP",
        5 => "REFUSED",
        9 => "NOTAUTH",
        _ => "unknown",
    }
}

/// What the fuzzer runs: what is judged is an answer, and a query is never one.
pub fn fuzz(data: &[u8]) {
    let id = data.first_chunk().map_or(0, |id| u16::from_be_bytes(*id));
    if let Some(code) = response_code(id, data) {
        assert!(data.len() >= HEADER && code <= CODE);
        assert_eq!(response_code(!id, data), None);
    }
    let name: Vec<String> = String::from_utf8_lossy(data).split('.').map(str::to_owned).collect();
    let query = query(id, &name, RecordType::Soa);
    assert_eq!(response_code(id, &query), None);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_has_these_bytes() {
        let name = ["example", "com"].map(str::to_owned);
        let expected = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\
                         \x07example\x03com\x00\x00\x0f\x00\x01";
        assert_eq!(query(0x1234, &name, RecordType::Mx), expected);
        let root = b"\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x06\x00\x01";
        assert_eq!(query(1, &[], RecordType::Soa), root);
    }

    #[test]
    fn an_answer_is_told_from_what_is_none_at_every_length() {
        let answer = b"\x12\x34\x81\x83\x00\x01\x00\x00\x00\x00\x00\x00rest";
        for cut in 0..=answer.len() {
            let expected = (cut >= HEADER).then_some(3);
            assert_eq!(response_code(0x1234, &answer[..cut]), expected, "cut at {cut}");
        }
        assert_eq!(response_code(0x1235, answer), None, "of another question");
        assert_eq!(response_code(0x1234, &query(0x1234, &[], RecordType::A)), None, "a question");
    }
}
