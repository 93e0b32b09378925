//! The trailer of `auth_hmac` (keepalived 2.4): 28 bytes after a version 2 or 3 message, over IPv4 or
//! IPv6, which say who sent it and when.
//!
//! ```text
//! +---------------+---------------+-------------------------------+
//! |    Type: 1    |    Key ID     |          Reserved: 0          |
//! +---------------+---------------+-------------------------------+
//! |                  Seconds since 1970, UTC                      |
//! +-------------------------------+-------------------------------+
//! |   65536ths of that second     |            Counter            |
//! +-------------------------------+-------------------------------+
//! |             HMAC-SHA-256, the first 16 of its bytes           |
//! +---------------------------------------------------------------+
//! ```
//!
//! The HMAC is taken of a pseudo header (4 or 6 for the family, version, VRID, 0, the source address
//! in 16 bytes, an IPv4 address in the first four of them), of the message with its checksum as
//! zero, and of the trailer with its HMAC as zero. The destination is not in it, so that one trailer
//! serves for all unicast peers; the checksum is not, since it knows the destination.

use std::net::IpAddr;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::core::time::Interval;

/// Bytes of the trailer.
pub const LENGTH: usize = 28;
const TYPE_SHA256: u8 = 1;
const CHECK: usize = 16;
/// What of the trailer is covered by its HMAC.
const COVERED: usize = LENGTH - CHECK;
/// The checksum of the message.
const CHECKSUM_AT: usize = 6;

/// When a trailer was made: 32 bits of seconds, 16 of their fraction, 16 that count within it. Later
/// ones are compared by their distance (RFC 1982), so that the seconds may begin anew in 2106.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp(u64);

impl Stamp {
    /// By a wall clock.
    pub fn at(since_1970: Interval) -> Self {
        let nanos = since_1970.as_nanos() % 1_000_000_000;
        Self((since_1970.as_secs() << 32) | (((nanos << 16) / 1_000_000_000) << 16))
    }

    /// From the wire, or from another process.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// For the wire, or for another process.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The next one that there is.
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// Whether it is later than `other`.
    pub const fn is_after(self, other: Self) -> bool {
        self.0.wrapping_sub(other.0).cast_signed() > 0
    }

    /// By how many whole seconds it is later than `other`; negative when it is earlier.
    pub fn seconds_after(self, other: Self) -> i32 {
        self.seconds().wrapping_sub(other.seconds()).cast_signed()
    }

    fn seconds(self) -> u32 {
        u32::try_from(self.0 >> 32).unwrap_or(u32::MAX)
    }
}

/// A trailer as fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trailer {
    /// Which of the keys it was made with.
    pub key: u8,
    /// When.
    pub stamp: Stamp,
    check: [u8; CHECK],
}

/// A type that is not known, or something in the reserved field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

impl Trailer {
    /// Reads the last 28 bytes of a packet.
    pub fn parse(bytes: &[u8; LENGTH]) -> Result<Self, Malformed> {
        let [kind, key, reserved0, reserved1, s0, s1, s2, s3, f0, f1, c0, c1, check @ ..] = *bytes;
        if kind != TYPE_SHA256 || (reserved0, reserved1) != (0, 0) {
            return Err(Malformed);
        }
        let stamp = Stamp(u64::from_be_bytes([s0, s1, s2, s3, f0, f1, c0, c1]));
        Ok(Self { key, stamp, check })
    }

    /// Whether a router that has `secret` made it, as `source`, for this message. The time that this
    /// takes does not depend on where they differ.
    pub fn is_made_with(&self, secret: &[u8], source: IpAddr, message: &[u8]) -> bool {
        let right = keyed(secret, source, message, &self.prefix());
        right.is_some_and(|mac| mac.verify_truncated_left(&self.check).is_ok())
    }

    fn prefix(&self) -> [u8; COVERED] {
        let [s0, s1, s2, s3, f0, f1, c0, c1] = self.stamp.0.to_be_bytes();
        [TYPE_SHA256, self.key, 0, 0, s0, s1, s2, s3, f0, f1, c0, c1]
    }
}

/// Appends a trailer to a message that will travel from `source`.
pub fn seal(message: &mut Vec<u8>, key: u8, secret: &[u8], source: IpAddr, stamp: Stamp) {
    let prefix = Trailer { key, stamp, check: [0; CHECK] }.prefix();
    let mut check = [0; CHECK];
    if let Some(mac) = keyed(secret, source, message, &prefix) {
        for (byte, value) in check.iter_mut().zip(mac.finalize().into_bytes()) {
            *byte = value;
        }
    }
    message.extend(prefix);
    message.extend(check);
}

/// The HMAC over everything; `None` for a message without a header, or a key that cannot be.
fn keyed(
    secret: &[u8],
    source: IpAddr,
    message: &[u8],
    prefix: &[u8; COVERED],
) -> Option<Hmac<Sha256>> {
    let (head, rest) = message.split_at_checked(CHECKSUM_AT)?;
    let (_, body) = rest.split_at_checked(2)?;
    let [first, vrid, ..] = *head else { return None };
    let mut pseudo = [0; 20];
    let (family, octets): (u8, &[u8]) = match &source {
        IpAddr::V4(address) => (4, &address.octets()),
        IpAddr::V6(address) => (6, &address.octets()),
    };
    let fields = [family, first >> 4, vrid, 0];
    for (byte, value) in pseudo.iter_mut().zip(fields.iter().chain(octets)) {
        *byte = *value;
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).ok()?;
    for part in [&pseudo[..], head, &[0; 2], body, prefix, &[0; CHECK]] {
        mac.update(part);
    }
    Some(mac)
}

/// What the fuzzer runs: nothing may panic, and what is made can be checked.
pub fn fuzz(data: &[u8]) {
    let secret = b"0123456789abcdef0123456789abcdef";
    let source = IpAddr::from([10, 0, 0, 1]);
    if let Some((message, trailer)) = data.split_last_chunk::<LENGTH>()
        && let Ok(trailer) = Trailer::parse(trailer)
    {
        trailer.is_made_with(secret, source, message);
        let mut sealed = message.to_vec();
        seal(&mut sealed, trailer.key, secret, source, trailer.stamp);
        let made = sealed.last_chunk().map(Trailer::parse);
        let good = made
            .is_some_and(|made| made.is_ok_and(|made| made.is_made_with(secret, source, message)));
        assert_eq!(good, message.len() >= CHECKSUM_AT + 2);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ONE: &[u8] = b"0123456789abcdef0123456789abcdef";

    /// Reads a golden packet.
    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16);
        digits.chunks(2).map(|digits| pair(digits).unwrap()).collect()
    }

    /// The golden packets were made by Python, which knows nothing of this file:
    ///
    /// ```python
    /// import hmac, hashlib, ipaddress, struct
    /// def sealed(message, source, key_id, secret, seconds, fraction, counter):
    ///     address = ipaddress.ip_address(source)
    ///     pseudo = bytes([address.version, message[0] >> 4, message[1], 0]) + address.packed.ljust(16, b"\0")
    ///     prefix = struct.pack("!BBHIHH", 1, key_id, 0, seconds, fraction, counter)
    ///     covered = pseudo + message[:6] + b"\0\0" + message[8:] + prefix + bytes(16)
    ///     return message + prefix + hmac.new(secret, covered, hashlib.sha256).digest()[:16]
    /// v2 = bytes.fromhex("21337801000165 6b c0a87c64 0000000000000000".replace(" ", ""))
    /// v3 = bytes.fromhex("31337801 0064 beef c0a87c64".replace(" ", ""))
    /// v6 = bytes.fromhex("31337801 0064 beef fe80000000000000000000000000 0005".replace(" ", ""))
    /// one, two = b"0123456789abcdef0123456789abcdef", bytes(range(64))
    /// print(sealed(v2, "192.168.124.10", 1, one, 1790000000, 0x8000, 3).hex())
    /// print(sealed(v3, "192.168.124.10", 255, two, 0xffffffff, 0xffff, 0xffff).hex())
    /// print(sealed(v6, "fe80::a", 7, one, 1790000000, 0, 0).hex())
    /// ```
    const GOLDEN: &[(&str, &str, u8, u64)] = &[
        (
            "21337801 0001656b c0a87c64 00000000 00000000 01010000 6ab13b80 80000003 \
             6ece56da 27b4552c bf91b9e1 a14e1d8b",
            "192.168.124.10",
            1,
            0x6ab1_3b80_8000_0003,
        ),
        (
            "31337801 0064beef c0a87c64 01ff0000 ffffffff ffffffff 993dea3d 22ab01dc \
             3bc182bb f4c0bcf9",
            "192.168.124.10",
            255,
            u64::MAX,
        ),
        (
            "31337801 0064beef fe800000 00000000 00000000 00000005 01070000 6ab13b80 \
             00000000 852c9f55 50b48aa0 a7970bab 438a5944",
            "fe80::a",
            7,
            0x6ab1_3b80_0000_0000,
        ),
    ];

    #[test]
    fn v_036_a_trailer_is_these_bytes() {
        let two: Vec<u8> = (0..64).collect();
        for (packet, source, key, stamp) in GOLDEN {
            let (packet, source) = (bytes(packet), source.parse().unwrap());
            let secret = if *key == 255 { &two } else { ONE };
            let (message, trailer) = packet.split_last_chunk::<LENGTH>().unwrap();
            let trailer = Trailer::parse(trailer).unwrap();
            assert_eq!((trailer.key, trailer.stamp), (*key, Stamp(*stamp)));
            assert!(trailer.is_made_with(secret, source, message));
            let mut again = message.to_vec();
            seal(&mut again, *key, secret, source, Stamp(*stamp));
            assert_eq!(again, packet);
        }
    }

    #[test]
    fn a_trailer_is_good_for_one_sender_one_router_and_one_key_only() {
        let packet = bytes(GOLDEN[0].0);
        let (message, trailer) = packet.split_last_chunk::<LENGTH>().unwrap();
        let trailer = Trailer::parse(trailer).unwrap();
        let source: IpAddr = "192.168.124.10".parse().unwrap();
        assert!(trailer.is_made_with(ONE, source, message));
        assert!(!trailer.is_made_with(&[b'0'; 32], source, message));
        assert!(!trailer.is_made_with(ONE, "192.168.124.11".parse().unwrap(), message));
        // The same four bytes at the head of an IPv6 address.
        assert!(!trailer.is_made_with(ONE, "c0a8:7c0a::".parse().unwrap(), message));
        // The checksum is that of the way, and covered by nothing.
        let mut summed = message.to_vec();
        summed[6..8].fill(0);
        assert!(trailer.is_made_with(ONE, source, &summed));
    }

    #[test]
    fn what_is_reserved_must_be_zero_and_the_type_must_be_known() {
        let mut packet = bytes(GOLDEN[0].0);
        let from = packet.len() - LENGTH;
        for (at, value) in [(0, 0), (0, 2), (2, 1), (3, 128)] {
            let old = std::mem::replace(&mut packet[from + at], value);
            assert_eq!(Trailer::parse(packet.last_chunk().unwrap()), Err(Malformed));
            packet[from + at] = old;
        }
        assert!(Trailer::parse(packet.last_chunk().unwrap()).is_ok());
    }

    #[test]
    fn stamps_are_compared_by_their_distance_over_the_end_of_the_seconds() {
        let stamp = Stamp::at(Interval::from_millis(1_790_000_000_500));
        assert_eq!(stamp, Stamp(0x6ab1_3b80_8000_0000));
        assert!(stamp.next().is_after(stamp) && !stamp.is_after(stamp));
        assert!(!stamp.is_after(stamp.next()));
        let last = Stamp(u64::MAX);
        assert!(last.next().is_after(last), "2106");
        assert_eq!(last.next().seconds_after(last), 1);
        assert_eq!(Stamp(0x6ab1_3b70_0000_0000).seconds_after(stamp), -16);
        let finest = Stamp::at(Interval::from_nanos(1_999_999_999));
        assert_eq!(finest, Stamp(0x0000_0001_ffff_0000));
    }

    proptest! {
        #[test]
        fn one_flipped_bit_anywhere_is_noticed(
            seed in prop::collection::vec(any::<u8>(), 8..64),
            secret in prop::collection::vec(any::<u8>(), 32..=64),
            stamp: u64,
            bit: usize,
        ) {
            let source = IpAddr::from([10, 0, 0, 1]);
            let mut packet = seed;
            seal(&mut packet, 9, &secret, source, Stamp(stamp));
            let bit = bit % (packet.len() * 8);
            let covered = !(6..8).contains(&(bit / 8));
            packet[bit / 8] ^= 1 << (bit % 8);
            let (message, trailer) = packet.split_last_chunk::<LENGTH>().unwrap();
            let good = Trailer::parse(trailer)
                .is_ok_and(|trailer| trailer.is_made_with(&secret, source, message));
            prop_assert_eq!(good, !covered, "bit {}", bit);
        }

        #[test]
        fn the_next_stamp_is_later_and_no_two_are_equal(bits: u64) {
            let stamp = Stamp(bits);
            prop_assert!(stamp.next().is_after(stamp));
            prop_assert!(stamp.next() != stamp);
        }
    }
}
