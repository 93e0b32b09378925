//! Grammars of the leaf values: numbers, times, addresses, ranges.
//!
//! Each takes one whole word; the error is a short sentence without the word itself.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use nom::branch::alt;
use nom::bytes::complete::{tag, take_while1};
use nom::character::complete::{char, digit1};
use nom::combinator::{all_consuming, map_opt, map_res, opt, recognize, rest};
use nom::sequence::{pair, preceded, separated_pair};
use nom::{IResult, Parser};

use super::model::Family;
use super::model::check::{GroupEntry, MaskedByte};
use super::model::services::AgentAddress;
use crate::core::time::Interval;

/// What a word is when it is not what it should be.
pub type Fault = String;

fn whole<'a, O>(
    parser: impl Parser<&'a str, Output = O, Error = nom::error::Error<&'a str>>,
    word: &'a str,
    what: &str,
) -> Result<O, Fault> {
    let result: IResult<&str, O> = all_consuming(parser).parse(word);
    result.map(|(_, value)| value).map_err(|_| what.to_owned())
}

/// A decimal number within a range.
pub fn number(word: &str, range: RangeInclusive<u32>) -> Result<u32, Fault> {
    let value: u32 = whole(map_res(digit1, str::parse), word, "not a number")?;
    if range.contains(&value) {
        Ok(value)
    } else {
        Err(format!("outside of {}..{}", range.start(), range.end()))
    }
}

/// A number with an optional sign within a range.
pub fn signed(word: &str, range: RangeInclusive<i32>) -> Result<i32, Fault> {
    let digits = recognize(pair(opt(alt((char('-'), char('+')))), digit1));
    let value: i32 = whole(map_res(digits, str::parse), word, "not a number")?;
    if range.contains(&value) {
        Ok(value)
    } else {
        Err(format!("outside of {}..{}", range.start(), range.end()))
    }
}

/// A path with or without a query, as HTTP/2 has it (RFC 9113 section 8.3.1).
pub fn http_path(word: &str) -> Result<(), Fault> {
    match http::uri::PathAndQuery::try_from(word) {
        // A fragment would be dropped.
        Ok(path) if path.as_str() == word && word.starts_with('/') => Ok(()),
        Ok(_) | Err(_) => Err(format!("'{word}' is no path of HTTP/2")),
    }
}

/// A host, with or without a port (RFC 3986 section 3.2).
pub fn authority(word: &str) -> Result<(), Fault> {
    match http::uri::Authority::try_from(word) {
        Ok(_) => Ok(()),
        Err(_) => Err(format!("'{word}' is no host, with or without a port")),
    }
}

/// Seconds with a fraction, to the microsecond, within a range.
pub fn seconds(word: &str, range: RangeInclusive<Interval>) -> Result<Interval, Fault> {
    let decimal =
        map_opt((digit1, opt(preceded(char('.'), opt(digit1)))), |(integer, fraction)| {
            let seconds: u64 = str::parse(integer).ok().filter(|s| *s <= MOST_SECONDS)?;
            let mut micros: u64 = 0;
            let fraction: &str = fraction.flatten().unwrap_or("");
            for place in 0..6 {
                let digit = fraction.as_bytes().get(place).map_or(0, |byte| u64::from(byte - b'0'));
                micros = micros * 10 + digit;
            }
            Some(Interval::from_micros(seconds * 1_000_000 + micros))
        });
    let value = whole(decimal, word, "not a number of seconds")?;
    if range.contains(&value) {
        Ok(value)
    } else {
        Err(format!("outside of {}..{} seconds", range.start(), range.end()))
    }
}

/// What fits [`Interval`].
const MOST_SECONDS: u64 = u64::MAX / 1_000_000_000;

/// `on`, `true`, `yes`, `off`, `false`, `no`.
pub fn boolean(word: &str) -> Result<bool, Fault> {
    match word {
        "on" | "true" | "yes" => Ok(true),
        "off" | "false" | "no" => Ok(false),
        _ => Err("neither on nor off (true, false, yes, no)".to_owned()),
    }
}

/// An IPv4 or IPv6 address.
pub fn address(word: &str) -> Result<IpAddr, Fault> {
    whole(map_res(rest, str::parse), word, "not an IP address")
}

/// An address with a prefix length; a host address without one.
pub fn network(word: &str) -> Result<(IpAddr, u8), Fault> {
    let length = opt(preceded(char('/'), map_res(digit1, str::parse::<u8>)));
    let parser = (map_res(take_while1(|c| c != '/'), str::parse::<IpAddr>), length);
    let (address, length) = whole(parser, word, "not an address with an optional prefix length")?;
    let bits = Family::of(address).bits();
    match length {
        None => Ok((address, bits)),
        Some(length) if length <= bits => Ok((address, length)),
        Some(_) => Err(format!("the prefix length is above {bits}")),
    }
}

/// The name of a network interface: 1 to 15 bytes, without blanks and slashes.
pub fn interface_name(word: &str) -> Result<String, Fault> {
    let strange = |character: char| character.is_whitespace() || character == '/';
    if word.is_empty() || word.len() > 15 {
        return Err("a name of an interface has 1 to 15 characters".to_owned());
    }
    if word.contains(strange) || word == "." || word == ".." {
        return Err("not the name of an interface".to_owned());
    }
    Ok(word.to_owned())
}

/// A TCP or UDP port.
pub fn port(word: &str) -> Result<u16, Fault> {
    number(word, 1..=65535).map(|value| u16::try_from(value).unwrap_or(u16::MAX))
}

/// `N` or `N-M`, HTTP status codes.
pub fn status_range(word: &str) -> Result<(u16, u16), Fault> {
    let code = || map_res(digit1, str::parse::<u16>);
    let parser = alt((separated_pair(code(), tag("-"), code()), code().map(|code| (code, code))));
    let (low, high) = whole(parser, word, "not a status code or a range of them")?;
    if (100..=599).contains(&low) && (low..=599).contains(&high) {
        Ok((low, high))
    } else {
        Err("outside of 100..599, or the wrong way round".to_owned())
    }
}

/// 32 hexadecimal digits.
pub fn digest(word: &str) -> Result<[u8; 16], Fault> {
    let fault = || "not 32 hexadecimal digits".to_owned();
    if word.len() != 32 || !word.is_ascii() {
        return Err(fault());
    }
    let mut digest = [0; 16];
    for (byte, place) in digest.iter_mut().zip((0..32).step_by(2)) {
        let digits = word.get(place..place + 2).ok_or_else(fault)?;
        *byte = u8::from_str_radix(digits, 16).map_err(|_| fault())?;
    }
    Ok(digest)
}

/// Bytes as hexadecimal digits, two for each; white space may stand between. A digit that is left
/// alone before a space or the end is a byte of its own.
pub fn hex_bytes(word: &str) -> Result<Vec<u8>, Fault> {
    let pattern = hex_pattern(word)?;
    if pattern.iter().any(|byte| byte.mask != u8::MAX) {
        return Err("not hexadecimal digits".to_owned());
    }
    Ok(pattern.into_iter().map(|byte| byte.value).collect())
}

/// The same with `x` for a digit that does not matter.
pub fn hex_pattern(word: &str) -> Result<Vec<MaskedByte>, Fault> {
    let digit = |character: char| match character {
        'x' | 'X' => Ok((0, 0)),
        _ => match character.to_digit(16).and_then(|digit| u8::try_from(digit).ok()) {
            Some(digit) => Ok((digit, 0xf)),
            None => Err("not hexadecimal digits".to_owned()),
        },
    };
    let mut bytes = Vec::new();
    for group in word.split_whitespace() {
        let mut digits = group.chars();
        while let Some(first) = digits.next() {
            let high = digit(first)?;
            bytes.push(match digits.next().map(digit).transpose()? {
                Some(low) => MaskedByte { value: high.0 << 4 | low.0, mask: high.1 << 4 | low.1 },
                None => MaskedByte { value: high.0, mask: high.1 << 4 | high.1 },
            });
        }
    }
    if bytes.is_empty() { Err("no hexadecimal digits".to_owned()) } else { Ok(bytes) }
}

/// A domain name as its labels, with or without the dot at the end; `.` alone is the root.
pub fn domain(word: &str) -> Result<Vec<String>, Fault> {
    let name = word.strip_suffix('.').unwrap_or(word);
    if name.is_empty() {
        return if word == "." { Ok(Vec::new()) } else { Err("no name".to_owned()) };
    }
    // Each label has a length byte before it, and the root's ends the name (RFC 1035 section 3.1).
    if name.len() + 2 > 255 {
        return Err("longer than 255 bytes".to_owned());
    }
    let labels: Vec<String> = name.split('.').map(str::to_owned).collect();
    if labels.iter().any(String::is_empty) {
        return Err("empty label".to_owned());
    }
    if labels.iter().any(|label| label.len() > 63) {
        return Err("a label longer than 63 bytes".to_owned());
    }
    Ok(labels)
}

/// `A.B.C.D`, `A.B.C.D-E`, `A.B.C.D-A.B.C.E`, `A.B.C.D/LEN` and the same of IPv6, with a port.
pub fn group_addresses(word: &str, port: u16) -> Result<GroupEntry, Fault> {
    if let Some((first, end)) = word.split_once('-') {
        let first = address(first)?;
        let last = range_end(first, end)?;
        let count =
            last.checked_sub(to_number(first)).ok_or("the range ends before it begins")? + 1;
        return entry(first, count, port);
    }
    let (first, length) = network(word)?;
    let host_bits = u32::from(Family::of(first).bits() - length);
    if host_bits > 16 {
        return Err("a range of more than 65536 addresses".to_owned());
    }
    entry(first, 1 << host_bits, port)
}

fn entry(first: IpAddr, count: u128, port: u16) -> Result<GroupEntry, Fault> {
    match u32::try_from(count) {
        Ok(count) if count <= 65536 => {
            Ok(GroupEntry::Addresses { first: SocketAddr::new(first, port), count })
        }
        Ok(_) | Err(_) => Err("a range of more than 65536 addresses".to_owned()),
    }
}

fn range_end(first: IpAddr, end: &str) -> Result<u128, Fault> {
    if let Ok(last) = address(end) {
        return if Family::of(last) == Family::of(first) {
            Ok(to_number(last))
        } else {
            Err("the range ends in another family".to_owned())
        };
    }
    let fault = || "not the end of a range of addresses".to_owned();
    match first {
        IpAddr::V4(_) => {
            let octet: u8 = end.parse().map_err(|_| fault())?;
            Ok(to_number(first) & !0xff | u128::from(octet))
        }
        IpAddr::V6(_) => {
            let group = u16::from_str_radix(end, 16).map_err(|_| fault())?;
            Ok(to_number(first) & !0xffff | u128::from(group))
        }
    }
}

fn to_number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// `persistence_granularity`: an IPv4 mask, or a prefix length.
pub fn granularity(word: &str) -> Result<u8, Fault> {
    if let Ok(IpAddr::V4(mask)) = address(word) {
        let bits = mask.to_bits();
        return if bits.leading_ones() + bits.trailing_zeros() == 32 {
            Ok(u8::try_from(bits.leading_ones()).unwrap_or(32))
        } else {
            Err("not a network mask".to_owned())
        };
    }
    number(word, 1..=128).map(|length| u8::try_from(length).unwrap_or(128))
}

/// Where an SNMP agent is, in net-snmp's notation.
pub fn agent_address(word: &str) -> Result<AgentAddress, Fault> {
    let path = word.strip_prefix("unix:").or(word.starts_with('/').then_some(word));
    if let Some(path) = path.filter(|path| !path.is_empty()) {
        return Ok(AgentAddress::Unix(path.into()));
    }
    let name = ["tcp:", "tcp6:", "tcpv6:"].iter().find_map(|kind| word.strip_prefix(kind));
    let name = name.unwrap_or(word);
    match name.rsplit_once(':') {
        Some((host, port))
            if !host.is_empty()
                && port.parse::<u16>().is_ok()
                && (!host.contains(':') || host.starts_with('[')) =>
        {
            Ok(AgentAddress::Tcp(name.to_owned()))
        }
        Some(_) | None => Err("none of unix:PATH, /PATH, tcp:HOST:PORT and HOST:PORT".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_whole_words_within_their_range() {
        assert_eq!(number("255", 1..=255), Ok(255));
        assert!(number("256", 1..=255).unwrap_err().contains("1..255"));
        for word in ["", "5x", "-1", "0x5", "99999999999"] {
            assert!(number(word, 0..=255).is_err(), "{word}");
        }
        assert_eq!(signed("-253", -253..=253), Ok(-253));
        assert_eq!(signed("+2", -253..=253), Ok(2));
    }

    #[test]
    fn seconds_keep_six_decimals() {
        let any = Interval::ZERO..=Interval::from_secs(255);
        assert_eq!(seconds("1", any.clone()), Ok(Interval::from_secs(1)));
        assert_eq!(seconds("0.25", any.clone()), Ok(Interval::from_millis(250)));
        assert_eq!(seconds("1.0000019", any.clone()), Ok(Interval::from_micros(1_000_001)));
        assert_eq!(seconds("3.", any.clone()), Ok(Interval::from_secs(3)));
        assert!(seconds("256", any.clone()).is_err());
        assert!(seconds(".5s", any).is_err());
        let long = Interval::ZERO..=Interval::from_secs(MOST_SECONDS);
        assert_eq!(seconds("4294967296", long.clone()), Ok(Interval::from_secs(1 << 32)));
        assert!(seconds("18446744074", long).is_err());
    }

    #[test]
    fn networks_default_to_host_addresses() {
        assert_eq!(network("10.0.0.1"), Ok(("10.0.0.1".parse().unwrap(), 32)));
        assert_eq!(network("10.0.0.1/24"), Ok(("10.0.0.1".parse().unwrap(), 24)));
        assert_eq!(network("fd00::1/64"), Ok(("fd00::1".parse().unwrap(), 64)));
        for word in ["10.0.0.1/33", "10.0.0", "10.0.0.1/", "x", "10.0.0.1/24x"] {
            assert!(network(word).is_err(), "{word}");
        }
    }

    #[test]
    fn address_ranges_count_their_addresses() {
        let count = |word| match group_addresses(word, 80) {
            Ok(GroupEntry::Addresses { count, .. }) => Some(count),
            Ok(GroupEntry::Fwmark { .. }) | Err(_) => None,
        };
        assert_eq!(count("10.0.0.1"), Some(1));
        assert_eq!(count("10.0.0.1-9"), Some(9));
        assert_eq!(count("10.0.0.1-10.0.1.1"), Some(257));
        assert_eq!(count("10.0.0.0/24"), Some(256));
        assert_eq!(count("fd00::1-ff"), Some(255));
        assert_eq!(count("10.0.0.9-1"), None);
        assert_eq!(count("10.0.0.0/8"), None);
    }

    #[test]
    fn codes_digests_and_masks() {
        assert_eq!(status_range("200"), Ok((200, 200)));
        assert_eq!(status_range("200-299"), Ok((200, 299)));
        assert!(status_range("299-200").is_err() && status_range("99").is_err());
        assert_eq!(digest("000102030405060708090a0b0c0d0e0f").map(|d| d[15]), Ok(15));
        assert!(digest("zz0102030405060708090a0b0c0d0e0f").is_err());
        assert_eq!(granularity("255.255.255.0"), Ok(24));
        assert!(granularity("255.0.255.0").is_err());
    }

    #[test]
    fn bytes_are_read_digit_by_digit() {
        assert_eq!(hex_bytes("00fF10"), Ok(vec![0, 255, 16]));
        assert_eq!(hex_bytes("0 0ff 1"), Ok(vec![0, 0x0f, 0xf, 1]));
        for word in ["", " ", "0g", "0x10", "1x", "é"] {
            assert!(hex_bytes(word).is_err(), "{word}");
        }
        let byte = |value, mask| MaskedByte { value, mask };
        assert_eq!(hex_pattern("1x xX x"), Ok(vec![byte(0x10, 0xf0), byte(0, 0), byte(0, 0)]));
    }

    #[test]
    fn names_are_labels_of_a_sensible_length() {
        let labels = |words: &[&str]| Ok(words.iter().map(|&word| word.to_owned()).collect());
        assert_eq!(domain("."), labels(&[]));
        assert_eq!(domain("a.example"), labels(&["a", "example"]));
        assert_eq!(domain("example.com."), labels(&["example", "com"]));
        let (long, many) = ("x".repeat(64), "x.".repeat(127));
        assert_eq!(domain(&many).map(|labels| labels.len()), Ok(127));
        let more = format!("{many}x");
        for word in ["", "..", "a..b", ".a", long.as_str(), more.as_str()] {
            assert!(domain(word).is_err(), "{word}");
        }
    }

    #[test]
    fn an_agent_s_address_is_net_snmp_s() {
        let unix = |path: &str| Ok(AgentAddress::Unix(path.into()));
        let tcp = |name: &str| Ok(AgentAddress::Tcp(name.to_owned()));
        assert_eq!(agent_address("unix:/run/x"), unix("/run/x"));
        assert_eq!(agent_address("/run/x"), unix("/run/x"));
        assert_eq!(agent_address("tcp:localhost:705"), tcp("localhost:705"));
        assert_eq!(agent_address("10.0.0.1:705"), tcp("10.0.0.1:705"));
        assert_eq!(agent_address("tcp6:[::1]:705"), tcp("[::1]:705"));
        for bad in ["udp:localhost:161", "", "unix:", "705", "::1:705", "host:port", ":705"] {
            assert!(agent_address(bad).is_err(), "{bad}");
        }
    }
}
