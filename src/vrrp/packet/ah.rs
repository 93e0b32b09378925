//! The authentication header of `auth_type AH` (RFC 2402), as keepalived uses it: HMAC-MD5-96 with
//! the eight bytes of `auth_pass`, in front of a version 2 message over IPv4.
//!
//! ```text
//!  next header: 112 | length: 4 | reserved: u16 | SPI: the source address | sequence: u32 | check: 12 bytes
//! ```

use std::net::Ipv4Addr;

use hmac::{Hmac, KeyInit as _, Mac as _};
use md5::Md5;

/// IP protocol number.
pub const PROTOCOL: u8 = 51;
/// Bytes of the header.
pub const LENGTH: usize = 24;
const VRRP: u8 = 112;
const IP_HEADER: usize = 20;
const CHECK_AT: usize = 12;
const CHECK: usize = 12;

/// What the check covers of the IP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Carrier {
    /// Sender.
    pub source: Ipv4Addr,
    /// Group or peer.
    pub destination: Ipv4Addr,
    /// Covered in multicast packets only, where it is 255 to the end.
    pub ttl: u8,
    /// Identification.
    pub id: u16,
}

/// Why a packet is not what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Too short, or not followed by VRRP.
    Length,
    /// The SPI is another, or the check is wrong.
    Check,
}

/// A message with its header in front.
pub fn seal(key: [u8; 8], carrier: &Carrier, sequence: u32, message: &[u8]) -> Vec<u8> {
    let mut packet = vec![VRRP, 4, 0, 0];
    packet.extend(carrier.source.octets());
    packet.extend(sequence.to_be_bytes());
    packet.extend([0; CHECK]);
    packet.extend(message);
    let check = check(key, carrier, &packet);
    for (byte, value) in packet.iter_mut().skip(CHECK_AT).zip(check) {
        *byte = value;
    }
    packet
}

/// Takes the header off: its sequence number, and the message.
pub fn open<'a>(
    key: [u8; 8],
    carrier: &Carrier,
    packet: &'a [u8],
) -> Result<(u32, &'a [u8]), Fault> {
    let (header, message) = packet.split_first_chunk::<LENGTH>().ok_or(Fault::Length)?;
    let [
        next,
        length,
        _,
        _,
        spi0,
        spi1,
        spi2,
        spi3,
        number0,
        number1,
        number2,
        number3,
        given @ ..,
    ] = *header;
    if next != VRRP || length != 4 {
        return Err(Fault::Length);
    }
    if Ipv4Addr::new(spi0, spi1, spi2, spi3) != carrier.source {
        return Err(Fault::Check);
    }
    let mut zeroed = packet.to_vec();
    zeroed.iter_mut().skip(CHECK_AT).take(CHECK).for_each(|byte| *byte = 0);
    let right = check(key, carrier, &zeroed);
    // In a time that does not depend on where they differ.
    let differs =
        given.iter().zip(right).fold(0, |differs, (left, right)| differs | (left ^ right));
    if differs != 0 {
        return Err(Fault::Check);
    }
    Ok((u32::from_be_bytes([number0, number1, number2, number3]), message))
}

/// HMAC-MD5-96 (RFC 2403) of the IP header, with what changes on the way zeroed, and the packet.
fn check(key: [u8; 8], carrier: &Carrier, packet: &[u8]) -> [u8; CHECK] {
    let mut header = vec![0x45, 0];
    let total = u16::try_from(IP_HEADER + packet.len()).unwrap_or(u16::MAX);
    header.extend(total.to_be_bytes());
    header.extend(carrier.id.to_be_bytes());
    header.extend([0, 0]);
    header.push(if carrier.destination.is_multicast() { carrier.ttl } else { 0 });
    header.extend([PROTOCOL, 0, 0]);
    header.extend(carrier.source.octets());
    header.extend(carrier.destination.octets());
    let Ok(mut mac) = Hmac::<Md5>::new_from_slice(&key) else { return [0; CHECK] };
    mac.update(&header);
    mac.update(packet);
    let mut check = [0; CHECK];
    for (byte, value) in check.iter_mut().zip(mac.finalize().into_bytes()) {
        *byte = value;
    }
    check
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carrier() -> Carrier {
        Carrier {
            source: Ipv4Addr::new(10, 77, 1, 11),
            destination: Ipv4Addr::new(224, 0, 0, 18),
            ttl: 255,
            id: 7,
        }
    }

    #[test]
    fn v_033_what_is_sealed_can_be_opened_with_the_same_key_only() {
        let packet = seal(*b"1111\0\0\0\0", &carrier(), 42, b"message");
        assert_eq!(packet.len(), LENGTH + 7);
        assert_eq!(packet[..12], [112, 4, 0, 0, 10, 77, 1, 11, 0, 0, 0, 42]);
        assert_eq!(open(*b"1111\0\0\0\0", &carrier(), &packet), Ok((42, &b"message"[..])));
        assert_eq!(open(*b"1112\0\0\0\0", &carrier(), &packet), Err(Fault::Check));
    }

    #[test]
    fn one_flipped_bit_anywhere_is_noticed() {
        let packet = seal(*b"secret\0\0", &carrier(), 42, b"message");
        for bit in 0..packet.len() * 8 {
            // The reserved field is covered too.
            let mut damaged = packet.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(open(*b"secret\0\0", &carrier(), &damaged).is_err(), "bit {bit}");
        }
        for length in 0..packet.len() {
            assert!(open(*b"secret\0\0", &carrier(), &packet[..length]).is_err());
        }
        let other = Carrier { id: 8, ..carrier() };
        assert_eq!(open(*b"secret\0\0", &other, &packet), Err(Fault::Check));
    }

    #[test]
    fn the_ttl_of_a_unicast_packet_may_change_on_the_way() {
        let peer = Carrier { destination: Ipv4Addr::new(10, 77, 1, 12), ..carrier() };
        let packet = seal([7; 8], &peer, 1, b"m");
        assert!(open([7; 8], &Carrier { ttl: 61, ..peer }, &packet).is_ok());
    }
}
