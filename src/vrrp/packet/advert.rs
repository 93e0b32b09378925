//! VRRP advertisements, version 2 (RFC 3768 section 5) and version 3 (RFC 9568 section 5).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |Version| Type  | Virtual Rtr ID|   Priority    | Count Addrs   |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! | v2: Auth Type |   Adver Int   |          Checksum             |
//! | v3: (rsvd) | Max Advert Int   |                               |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                       Address(es)                             |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! | v2 on IPv4 only: Authentication Data, 8 bytes                 |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::core::config::model::Family;
use crate::core::config::model::vrrp::{Priority, VrrpVersion};
use crate::core::time::Interval;

const HEADER: usize = 8;
const AUTH_DATA: usize = 8;
const CHECKSUM_AT: usize = 6;
const TYPE_ADVERTISEMENT: u8 = 1;
/// `auth_type PASS` on the wire (RFC 2338 section 5.3.6.2).
pub const AUTH_SIMPLE: u8 = 1;
/// Authentication type: an authentication header stands in front.
pub const AUTH_HEADER: u8 = 2;

/// An advertisement as fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advert {
    /// Of the protocol.
    pub version: VrrpVersion,
    /// As on the wire: a received one may be 0.
    pub vrid: u8,
    /// 0 resigns.
    pub priority: Priority,
    /// Whole seconds in version 2, hundredths in version 3.
    pub interval: Interval,
    /// Of the virtual router, in the order of the wire.
    pub addresses: Vec<IpAddr>,
    /// Version 2: authentication type and data; zero in version 3.
    pub authentication: (u8, [u8; AUTH_DATA]),
}

impl Advert {
    /// Whether its first address is link-local, which IPv6 wants (RFC 9568 section 5.2.9); IPv4 has no
    /// such thing.
    pub fn begins_link_local(&self) -> bool {
        match self.addresses.first() {
            Some(IpAddr::V6(address)) => address.is_unicast_link_local(),
            Some(IpAddr::V4(_)) | None => true,
        }
    }
}

/// Which check a message failed, in the order of RFC 9568 section 7.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Malformed {
    /// Too short for what it says it holds, or longer than padding explains.
    Length,
    /// Neither version 2 nor 3.
    Version,
    /// Not an advertisement.
    Type,
    /// The sum is wrong.
    Checksum,
}

/// How the sender summed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChecksumForm {
    /// Message only: version 2, and RFC 9568 on IPv4.
    Message,
    /// With a pseudo header: RFC 5798, IPv6, and what is deployed.
    PseudoHeader,
}

/// The version of a message, before anything else is known of it.
pub fn version_of(bytes: &[u8]) -> Option<u8> {
    bytes.first().map(|byte| byte >> 4)
}

/// The virtual router that a message is for.
pub fn vrid_of(bytes: &[u8]) -> Option<u8> {
    bytes.get(1).copied()
}

/// How long a message is by what it says of itself.
pub fn length_of(bytes: &[u8], family: Family) -> Option<usize> {
    let (header, _) = bytes.split_first_chunk::<HEADER>()?;
    let [first, _, _, count, ..] = *header;
    let size = usize::from(family.bits() / 8);
    let password = first >> 4 == VrrpVersion::V2.number() && family == Family::Inet;
    Some(HEADER + usize::from(count) * size + if password { AUTH_DATA } else { 0 })
}

/// Reads a message that travelled from `source` to `destination`. Both forms of the version 3
/// checksum are accepted on IPv4, since both are in use.
pub fn parse(
    bytes: &[u8],
    source: IpAddr,
    destination: IpAddr,
) -> Result<(Advert, ChecksumForm), Malformed> {
    parse_before(bytes, 0, source, destination)
}

/// Reads a message with `beyond` bytes of something else behind it.
///
/// The checksum of IPv6 is that of all that the packet carries (RFC 8200 section 8.1: the kernel of a
/// peer sums so), that of IPv4 is of the message only.
pub fn parse_before(
    bytes: &[u8],
    beyond: usize,
    source: IpAddr,
    destination: IpAddr,
) -> Result<(Advert, ChecksumForm), Malformed> {
    let carried = bytes;
    let bytes = carried.len().checked_sub(beyond).and_then(|end| carried.get(..end));
    let bytes = bytes.ok_or(Malformed::Length)?;
    let (header, rest) = bytes.split_first_chunk::<HEADER>().ok_or(Malformed::Length)?;
    let [first, vrid, priority, count, four, five, _, _] = *header;
    let version = match first >> 4 {
        2 => VrrpVersion::V2,
        3 => VrrpVersion::V3,
        _ => return Err(Malformed::Version),
    };
    let family = Family::of(source);
    let size = usize::from(family.bits() / 8);
    let list = usize::from(count) * size;
    let trailer = if version == VrrpVersion::V2 && family == Family::Inet { AUTH_DATA } else { 0 };
    let total = HEADER + list + trailer;
    // What an Ethernet frame needs to be 60 bytes long, and no more.
    let short = beyond == 0 && bytes.len() <= 26;
    let padded = bytes.len() > total && family == Family::Inet && short;
    if bytes.len() < total || (bytes.len() > total && !padded) {
        return Err(Malformed::Length);
    }
    if first & 0x0f != TYPE_ADVERTISEMENT {
        return Err(Malformed::Type);
    }
    let summed = match family {
        Family::Inet => bytes.get(..total).ok_or(Malformed::Length)?,
        Family::Inet6 => carried,
    };
    let form = verify(summed, version, source, destination).ok_or(Malformed::Checksum)?;
    let (addresses, auth) = rest.split_at_checked(list).ok_or(Malformed::Length)?;
    let interval = match version {
        VrrpVersion::V2 => Interval::from_secs(u64::from(five)),
        VrrpVersion::V3 => {
            Interval::from_centis(u64::from(u16::from_be_bytes([four & 0x0f, five])))
        }
    };
    let authentication = match (version, auth.first_chunk::<AUTH_DATA>()) {
        (VrrpVersion::V2, Some(data)) if trailer > 0 => (four, *data),
        (VrrpVersion::V2, _) => (four, [0; AUTH_DATA]),
        (VrrpVersion::V3, _) => (0, [0; AUTH_DATA]),
    };
    let advert = Advert {
        version,
        vrid,
        priority: Priority::new(priority),
        interval,
        addresses: addresses.chunks_exact(size).filter_map(address).collect(),
        authentication,
    };
    Ok((advert, form))
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Some(octets) = bytes.first_chunk::<16>() {
        return Some(Ipv6Addr::from(*octets).into());
    }
    bytes.first_chunk::<4>().map(|octets| Ipv4Addr::from(*octets).into())
}

/// The sum of a right message, its own field included, is zero.
fn verify(
    message: &[u8],
    version: VrrpVersion,
    source: IpAddr,
    destination: IpAddr,
) -> Option<ChecksumForm> {
    let forms: &[ChecksumForm] = match (version, source) {
        (VrrpVersion::V2, IpAddr::V4(_)) => &[ChecksumForm::Message],
        (VrrpVersion::V3, IpAddr::V4(_)) => &[ChecksumForm::PseudoHeader, ChecksumForm::Message],
        (_, IpAddr::V6(_)) => &[ChecksumForm::PseudoHeader],
    };
    forms.iter().copied().find(|form| sum(message, *form, source, destination) == 0)
}

/// Internet checksum (RFC 1071) of a message, with the pseudo header where the form asks for it.
fn sum(message: &[u8], form: ChecksumForm, source: IpAddr, destination: IpAddr) -> u16 {
    let mut total = 0u64;
    if form == ChecksumForm::PseudoHeader {
        for address in [source, destination] {
            match address {
                IpAddr::V4(address) => total += words(&address.octets()),
                IpAddr::V6(address) => total += words(&address.octets()),
            }
        }
        total += 112 + message.len() as u64;
    }
    total += words(message);
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    !u16::try_from(total).unwrap_or(0)
}

fn words(bytes: &[u8]) -> u64 {
    bytes
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => u64::from(u16::from_be_bytes([*high, *low])),
            [high] => u64::from(*high) << 8,
            _ => 0,
        })
        .sum()
}

/// Writes a message that will travel from `source` to `destination`. At most 255 addresses.
pub fn emit(advert: &Advert, form: ChecksumForm, source: IpAddr, destination: IpAddr) -> Vec<u8> {
    let count = u8::try_from(advert.addresses.len()).unwrap_or(u8::MAX);
    let (four, five) = match advert.version {
        VrrpVersion::V2 => {
            let seconds = u8::try_from(advert.interval.as_secs()).unwrap_or(u8::MAX);
            (advert.authentication.0, seconds)
        }
        VrrpVersion::V3 => {
            let centis = u16::try_from(advert.interval.as_centis()).unwrap_or(0x0fff).min(0x0fff);
            let [high, low] = centis.to_be_bytes();
            (high, low)
        }
    };
    let first = advert.version.number() << 4 | TYPE_ADVERTISEMENT;
    let mut bytes = vec![first, advert.vrid, advert.priority.get(), count, four, five, 0, 0];
    for address in advert.addresses.iter().take(usize::from(count)) {
        match address {
            IpAddr::V4(address) => bytes.extend(address.octets()),
            IpAddr::V6(address) => bytes.extend(address.octets()),
        }
    }
    if advert.version == VrrpVersion::V2 && source.is_ipv4() {
        bytes.extend(advert.authentication.1);
    }
    set_sum(&mut bytes, form, source, destination);
    bytes
}

/// Sums up anew what has been appended to, or will travel from or to somebody else.
pub fn set_sum(bytes: &mut [u8], form: ChecksumForm, source: IpAddr, destination: IpAddr) {
    for byte in bytes.iter_mut().skip(CHECKSUM_AT).take(2) {
        *byte = 0;
    }
    let sum = sum(bytes, form, source, destination).to_be_bytes();
    for (byte, value) in bytes.iter_mut().skip(CHECKSUM_AT).zip(sum) {
        *byte = value;
    }
}

/// What the fuzzer runs: nothing may panic, and what is accepted says the same when written again.
pub fn fuzz(data: &[u8]) {
    let source = IpAddr::from([10, 0, 0, 1]);
    let destination = IpAddr::from([224, 0, 0, 18]);
    if let Ok((advert, form)) = parse(data, source, destination) {
        let again = emit(&advert, form, source, destination);
        let parsed = parse(&again, source, destination);
        assert_eq!(parsed.map(|(advert, _)| advert), Ok(advert));
    }
    let v6 = IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, 1u16]);
    let _ = parse(data, v6, v6);
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 124, 10));
    const GROUP: IpAddr = IpAddr::V4(Ipv4Addr::new(224, 0, 0, 18));

    fn advert(version: VrrpVersion) -> Advert {
        let authentication = match version {
            VrrpVersion::V2 => (AUTH_SIMPLE, *b"1111\0\0\0\0"),
            VrrpVersion::V3 => (0, [0; 8]),
        };
        Advert {
            version,
            vrid: 51,
            priority: Priority::new(120),
            interval: Interval::from_secs(1),
            addresses: vec![[192, 168, 124, 100].into()],
            authentication,
        }
    }

    #[test]
    fn v_020_to_v_030_a_version_2_message_is_these_bytes() {
        let bytes = emit(&advert(VrrpVersion::V2), ChecksumForm::Message, SOURCE, GROUP);
        assert_eq!(
            bytes,
            [
                0x21, 0x33, 0x78, 0x01, 0x01, 0x01, 0xc6, 0x5a, 0xc0, 0xa8, 0x7c, 0x64, 0x31, 0x31,
                0x31, 0x31, 0, 0, 0, 0
            ]
        );
        assert_eq!(parse(&bytes, SOURCE, GROUP).unwrap().0, advert(VrrpVersion::V2));
    }

    #[test]
    fn v_040_to_v_047_a_version_3_message_has_centiseconds_and_no_trailer() {
        let mut wanted = advert(VrrpVersion::V3);
        wanted.interval = Interval::from_millis(250);
        let mut bytes = emit(&wanted, ChecksumForm::PseudoHeader, SOURCE, GROUP);
        assert_eq!(bytes.len(), 12);
        assert_eq!((bytes[0], bytes[4], bytes[5]), (0x31, 0x00, 0x19));
        assert_eq!(parse(&bytes, SOURCE, GROUP), Ok((wanted.clone(), ChecksumForm::PseudoHeader)));
        // V-041: the reserved bits are ignored, the sum covers them.
        bytes[4] |= 0xf0;
        bytes[6..8].fill(0);
        let sum = sum(&bytes, ChecksumForm::PseudoHeader, SOURCE, GROUP).to_be_bytes();
        bytes[6..8].copy_from_slice(&sum);
        assert_eq!(parse(&bytes, SOURCE, GROUP).unwrap().0, wanted);
    }

    #[test]
    fn v_044_both_forms_of_the_version_3_checksum_are_accepted() {
        let wanted = advert(VrrpVersion::V3);
        for form in [ChecksumForm::Message, ChecksumForm::PseudoHeader] {
            let bytes = emit(&wanted, form, SOURCE, GROUP);
            assert_eq!(parse(&bytes, SOURCE, GROUP), Ok((wanted.clone(), form)));
        }
    }

    #[test]
    fn v_045_the_pseudo_header_names_the_real_destination() {
        let peer = IpAddr::from([192, 168, 124, 11]);
        let bytes = emit(&advert(VrrpVersion::V3), ChecksumForm::PseudoHeader, SOURCE, peer);
        assert!(parse(&bytes, SOURCE, peer).is_ok());
        assert_eq!(parse(&bytes, SOURCE, GROUP), Err(Malformed::Checksum));
    }

    #[test]
    fn v_043_ipv6_sums_with_its_pseudo_header() {
        let source: IpAddr = "fe80::1".parse().unwrap();
        let group: IpAddr = "ff02::12".parse().unwrap();
        let mut wanted = advert(VrrpVersion::V3);
        wanted.addresses = vec!["fe80::5".parse().unwrap()];
        let bytes = emit(&wanted, ChecksumForm::PseudoHeader, source, group);
        assert_eq!(bytes.len(), 24);
        assert_eq!(parse(&bytes, source, group).unwrap().0, wanted);
    }

    #[test]
    fn v_065_one_flipped_bit_anywhere_is_noticed() {
        for version in [VrrpVersion::V2, VrrpVersion::V3] {
            let bytes = emit(&advert(version), ChecksumForm::Message, SOURCE, GROUP);
            for bit in 0..bytes.len() * 8 {
                let mut damaged = bytes.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                let parsed = parse(&damaged, SOURCE, GROUP);
                assert!(parsed.is_err(), "bit {bit} of version {version:?}: {parsed:?}");
            }
        }
    }

    #[test]
    fn v_063_a_cut_message_is_refused_and_v_064_padding_is_not() {
        let bytes = emit(&advert(VrrpVersion::V2), ChecksumForm::Message, SOURCE, GROUP);
        for length in 0..bytes.len() {
            assert_eq!(parse(&bytes[..length], SOURCE, GROUP), Err(Malformed::Length));
        }
        let mut padded = bytes.clone();
        padded.resize(26, 0);
        assert!(parse(&padded, SOURCE, GROUP).is_ok());
        padded.resize(40, 0);
        assert_eq!(parse(&padded, SOURCE, GROUP), Err(Malformed::Length));
    }

    #[test]
    fn v_062_only_advertisements_are_read() {
        let mut bytes = emit(&advert(VrrpVersion::V3), ChecksumForm::Message, SOURCE, GROUP);
        for kind in (0..16).filter(|kind| *kind != 1) {
            bytes[0] = 0x30 | kind;
            assert_eq!(parse(&bytes, SOURCE, GROUP), Err(Malformed::Type));
        }
    }
}
