//! Names that iproute2 gives to numbers, as every system has them. A host may have names of its own
//! in `/etc/iproute2`; these stay names until they are used.

use super::context::Context;
use crate::core::config::model::route::{NameTable, Named};
use crate::core::config::values::Fault;
use crate::core::diagnostics::Span;

/// Names with their numbers.
type Names = &'static [(&'static str, u32)];

/// Routing tables.
const TABLES: Names = &[("unspec", 0), ("default", 253), ("main", 254), ("local", 255)];

/// Scopes.
const SCOPES: Names = &[
    ("global", 0),
    ("universe", 0),
    ("site", 200),
    ("link", 253),
    ("host", 254),
    ("nowhere", 255),
];

/// Origins of routes and rules.
const PROTOCOLS: Names = &[
    ("unspec", 0),
    ("redirect", 1),
    ("kernel", 2),
    ("boot", 3),
    ("static", 4),
    ("gated", 8),
    ("ra", 9),
    ("mrt", 10),
    ("zebra", 11),
    ("bird", 12),
    ("dnrouted", 13),
    ("xorp", 14),
    ("ntk", 15),
    ("dhcp", 16),
    ("mrouted", 17),
    ("keepalived", 18),
    ("babel", 42),
    ("openr", 99),
    ("bgp", 186),
    ("isis", 187),
    ("ospf", 188),
    ("rip", 189),
    ("eigrp", 192),
];

/// Differentiated services, as the whole byte.
const SERVICES: Names = &[
    ("default", 0),
    ("AF11", 0x28),
    ("AF12", 0x30),
    ("AF13", 0x38),
    ("AF21", 0x48),
    ("AF22", 0x50),
    ("AF23", 0x58),
    ("AF31", 0x68),
    ("AF32", 0x70),
    ("AF33", 0x78),
    ("AF41", 0x88),
    ("AF42", 0x90),
    ("AF43", 0x98),
    ("CS1", 0x20),
    ("CS2", 0x40),
    ("CS3", 0x60),
    ("CS4", 0x80),
    ("CS5", 0xa0),
    ("CS6", 0xc0),
    ("CS7", 0xe0),
    ("EF", 0xb8),
];

/// Realms.
const REALMS: Names = &[("cosmos", 0)];

/// Groups of interfaces.
const GROUPS: Names = &[("default", 0)];

/// IP protocols of common use (`/etc/protocols`).
pub const IP_PROTOCOLS: Names = &[
    ("icmp", 1),
    ("igmp", 2),
    ("ipip", 4),
    ("tcp", 6),
    ("udp", 17),
    ("dccp", 33),
    ("ipv6", 41),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("ipv6-icmp", 58),
    ("icmpv6", 58),
    ("ospf", 89),
    ("pim", 103),
    ("vrrp", 112),
    ("sctp", 132),
    ("udplite", 136),
];

/// A number in any base: decimal, `0x…`, or octal with a leading zero.
pub fn any_base(word: &str) -> Option<u64> {
    if let Some(digits) = word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
        return u64::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'));
    }
    if !word.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let octal = word.len() > 1 && word.starts_with('0');
    u64::from_str_radix(word, if octal { 8 } else { 10 }).ok()
}

/// A number of at most `largest` in any base.
pub fn number(word: &str, largest: u32) -> Result<u32, Fault> {
    let value = any_base(word).ok_or("not a number")?;
    match u32::try_from(value) {
        Ok(value) if value <= largest => Ok(value),
        Ok(_) | Err(_) => Err(format!("above {largest}")),
    }
}

/// A name of `table` that every system has, a number, or a name of the host's own.
pub fn named(word: &str, table: NameTable) -> Result<Named, Fault> {
    let names = match table {
        NameTable::Tables => TABLES,
        NameTable::Scopes => SCOPES,
        NameTable::Protocols => PROTOCOLS,
        NameTable::Services => SERVICES,
        NameTable::Realms => REALMS,
        NameTable::Groups => GROUPS,
    };
    if let Some((_, number)) = names.iter().find(|(name, _)| *name == word) {
        return Ok(Named::Number(*number));
    }
    if word.starts_with(|first: char| first.is_ascii_digit()) {
        return number(word, table.largest()).map(Named::Number);
    }
    let plain = |character: char| character.is_alphanumeric() || "_-.".contains(character);
    if word.chars().all(plain) && word.starts_with(char::is_alphanumeric) {
        Ok(Named::Name { table, name: word.to_owned() })
    } else {
        Err("neither a number nor a name".to_owned())
    }
}

/// Notes a name of the host's own, to be looked for on this host.
pub fn note(context: &mut Context, found: &Named, span: Span) {
    if let Named::Name { table, name } = found {
        context.places.names.push((*table, name.clone(), span));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_in_any_base_and_names_from_the_table_or_the_host() {
        assert_eq!(any_base("0x1F"), Some(31));
        assert_eq!(any_base("017"), Some(15));
        assert_eq!(any_base("0"), Some(0));
        for word in ["", "-1", "0xg", "09", "1x", "0x+1"] {
            assert_eq!(any_base(word).filter(|_| !word.is_empty()), None, "{word}");
        }
        assert_eq!(named("main", NameTable::Tables), Ok(Named::Number(254)));
        let uplink = Named::Name { table: NameTable::Tables, name: "uplink".into() };
        assert_eq!(named("uplink", NameTable::Tables), Ok(uplink));
        assert!(named("300", NameTable::Scopes).is_err());
        assert!(named("-1", NameTable::Scopes).is_err() && named("", NameTable::Scopes).is_err());
    }
}
