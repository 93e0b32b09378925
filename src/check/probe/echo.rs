//! ICMP echo (pure): RFC 792 and RFC 4443 section 4.
//!
//! ```text
//! | type | code |  checksum   |
//! |  identifier |  sequence   |
//! | token: 16 bytes ...       |
//! ```
//!
//! Reply and request are matched by the token: the kernel may have changed the identifier.

use crate::core::config::model::Family;

const REQUEST_V4: u8 = 8;
const REPLY_V4: u8 = 0;
const REQUEST_V6: u8 = 128;
const REPLY_V6: u8 = 129;
const HEADER: usize = 8;

/// What comes back in a reply.
pub type Token = [u8; 16];

/// A request. Its checksum is set for IPv4; for IPv6 it is the kernel's to make.
pub fn request(family: Family, identifier: u16, token: &Token) -> Vec<u8> {
    let kind = match family {
        Family::Inet => REQUEST_V4,
        Family::Inet6 => REQUEST_V6,
    };
    let [high, low] = identifier.to_be_bytes();
    let message = |sum: u16| {
        let [sum_high, sum_low] = sum.to_be_bytes();
        let mut message = vec![kind, 0, sum_high, sum_low, high, low, 0, 1];
        message.extend(token);
        message
    };
    match family {
        Family::Inet => message(checksum(&message(0))),
        Family::Inet6 => message(0),
    }
}

/// What a received message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    /// Our reply.
    Reply,
    /// Something that is not for us.
    Other,
}

/// Judges a message without IP header.
pub fn judge(family: Family, message: &[u8], token: &Token) -> Message {
    let kind = match family {
        Family::Inet => REPLY_V4,
        Family::Inet6 => REPLY_V6,
    };
    match message.split_at_checked(HEADER) {
        Some(([first, 0, ..], payload)) if *first == kind && payload == token => Message::Reply,
        Some(_) | None => Message::Other,
    }
}

/// A packet of a raw IPv4 socket without its header.
pub fn without_ipv4_header(packet: &[u8]) -> Option<&[u8]> {
    let first = packet.first()?;
    let length = usize::from(first & 0xf) * 4;
    (first >> 4 == 4 && length >= 20).then_some(())?;
    packet.get(length..)
}

/// RFC 1071.
fn checksum(message: &[u8]) -> u16 {
    let mut sum: u32 = 0;
    for pair in message.chunks(2) {
        let word = match *pair {
            [high, low] => u16::from_be_bytes([high, low]),
            [high] => u16::from_be_bytes([high, 0]),
            _ => 0,
        };
        sum += u32::from(word);
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

/// What the fuzzer runs: foreign packets are not taken for replies, and nothing panics.
pub fn fuzz(data: &[u8]) {
    let token = [0xa5; 16];
    for family in [Family::Inet, Family::Inet6] {
        if judge(family, data, &token) == Message::Reply {
            assert!(data.ends_with(&token) && data.len() == HEADER + token.len());
        }
    }
    if let Some(rest) = without_ipv4_header(data) {
        assert!(rest.len() + 20 <= data.len());
        let _ = judge(Family::Inet, rest, &token);
    }
    if let Some(token) = data.first_chunk() {
        let sent = request(Family::Inet, 7, token);
        assert_eq!(checksum(&sent), 0);
        assert_eq!(judge(Family::Inet, &sent, token), Message::Other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: Token = *b"0123456789abcdef";

    #[test]
    fn a_request_has_these_bytes_and_sums_up_to_zero() {
        let sent = request(Family::Inet, 0x1234, &TOKEN);
        assert_eq!((&sent[..2], &sent[4..8]), (&[8, 0][..], &[0x12, 0x34, 0, 1][..]));
        assert_eq!(&sent[8..], TOKEN);
        assert_eq!(checksum(&sent), 0);
        assert_eq!(request(Family::Inet6, 1, &TOKEN)[..4], [128, 0, 0, 0]);
    }

    #[test]
    fn only_a_whole_reply_with_our_token_counts() {
        for (family, kind) in [(Family::Inet, 0), (Family::Inet6, 129)] {
            let mut reply = request(family, 1, &TOKEN);
            assert_eq!(judge(family, &reply, &TOKEN), Message::Other, "our own request");
            reply[0] = kind;
            assert_eq!(judge(family, &reply, &TOKEN), Message::Reply);
            assert_eq!(judge(family, &reply, b"another token 16"), Message::Other);
            for cut in 0..reply.len() {
                assert_eq!(judge(family, &reply[..cut], &TOKEN), Message::Other, "cut at {cut}");
            }
        }
    }

    #[test]
    fn the_header_of_a_raw_packet_is_taken_off() {
        let mut packet = vec![0x46];
        packet.extend([0; 23]);
        packet.extend(b"rest");
        assert_eq!(without_ipv4_header(&packet), Some(&b"rest"[..]));
        assert_eq!(without_ipv4_header(&packet[..20]), None);
        assert_eq!(without_ipv4_header(&[0x44; 40]), None);
        assert_eq!(without_ipv4_header(&[0x65; 40]), None);
        assert_eq!(without_ipv4_header(&[]), None);
    }
}
