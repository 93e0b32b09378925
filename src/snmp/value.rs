//! Names and values of objects (RFC 2741 sections 5.1 and 5.4).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

/// An object identifier, at most [`Oid::LONGEST`] numbers. Its order is that of a walk.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Oid(Vec<u32>);

impl Oid {
    /// RFC 2578 section 3.5.
    pub const LONGEST: usize = 128;

    /// The first [`Oid::LONGEST`] of `numbers`.
    pub fn new(mut numbers: Vec<u32>) -> Self {
        numbers.truncate(Self::LONGEST);
        Self(numbers)
    }

    /// This one with more numbers after it.
    pub fn with(&self, rest: &[u32]) -> Self {
        let mut numbers = Vec::with_capacity(self.0.len() + rest.len());
        numbers.extend_from_slice(&self.0);
        numbers.extend_from_slice(rest);
        Self::new(numbers)
    }

    /// Its numbers.
    pub fn numbers(&self) -> &[u32] {
        &self.0
    }

    /// What follows `prefix`; `None` when it does not begin with it.
    pub fn after(&self, prefix: &Self) -> Option<&[u32]> {
        self.0.strip_prefix(prefix.numbers())
    }
}

impl From<&[u32]> for Oid {
    fn from(numbers: &[u32]) -> Self {
        Self::new(numbers.to_vec())
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, number) in self.0.iter().enumerate() {
            let dot = if place == 0 { "" } else { "." };
            write!(f, "{dot}{number}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The value of an object, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Value {
    Integer(i32),
    Octets(Vec<u8>),
    Null,
    Oid(Oid),
    IpAddress(Ipv4Addr),
    Counter32(u32),
    Gauge32(u32),
    TimeTicks(u32),
    Opaque(Vec<u8>),
    Counter64(u64),
    NoSuchObject,
    NoSuchInstance,
    EndOfMibView,
}

impl Value {
    /// A `TruthValue`: true 1, false 2. `enabled`/`disabled` and many others are numbered alike.
    pub const fn truth(is: bool) -> Self {
        Self::Integer(if is { 1 } else { 2 })
    }

    /// An INTEGER; the largest that it can hold where the number is larger.
    pub fn integer(number: impl TryInto<i32>) -> Self {
        Self::Integer(number.try_into().unwrap_or(i32::MAX))
    }

    /// A Gauge32 or Unsigned32; the largest that it can hold where the number is larger.
    pub fn gauge(number: impl TryInto<u32>) -> Self {
        Self::Gauge32(number.try_into().unwrap_or(u32::MAX))
    }

    /// A Counter32 begins again at 0 where the count is larger (RFC 2578 section 7.1.6).
    #[allow(clippy::cast_possible_truncation)]
    pub const fn counter32(count: u64) -> Self {
        Self::Counter32(count as u32)
    }

    /// Text.
    pub fn text(text: &str) -> Self {
        Self::Octets(text.as_bytes().to_vec())
    }

    /// An `InetAddress`: 4 or 16 bytes.
    pub fn address(address: IpAddr) -> Self {
        Self::Octets(octets(address))
    }

    /// An `InetAddressType`: ipv4 1, ipv6 2.
    pub const fn address_type(address: IpAddr) -> Self {
        Self::Integer(if address.is_ipv4() { 1 } else { 2 })
    }
}

/// The bytes of an address.
pub fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// An object with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VarBind {
    /// Which.
    pub name: Oid,
    /// Its value.
    pub value: Value,
}

impl VarBind {
    /// An object with its value.
    pub const fn new(name: Oid, value: Value) -> Self {
        Self { name, value }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_order_of_a_walk_and_an_end() {
        let oid = |numbers: &[u32]| Oid::from(numbers);
        assert!(oid(&[1, 3]) < oid(&[1, 3, 0]) && oid(&[1, 3, 9]) < oid(&[1, 4]));
        assert!(oid(&[1, 9]) < oid(&[1, 10]));
        assert_eq!(oid(&[1, 3, 6]).after(&oid(&[1, 3])), Some(&[6][..]));
        assert_eq!(oid(&[1, 3, 6]).after(&oid(&[1, 4])), None);
        assert_eq!(oid(&[7; 200]).numbers().len(), Oid::LONGEST);
        assert_eq!(oid(&[1, 3]).with(&[6; 200]).numbers().len(), Oid::LONGEST);
        assert_eq!(oid(&[1, 3, 6]).to_string(), "1.3.6");
    }

    #[test]
    fn numbers_that_do_not_fit_are_the_largest_and_counters_go_round() {
        assert_eq!(Value::integer(u64::MAX), Value::Integer(i32::MAX));
        assert_eq!(Value::gauge(u64::MAX), Value::Gauge32(u32::MAX));
        assert_eq!(Value::counter32((1 << 32) + 7), Value::Counter32(7));
        assert_eq!(Value::truth(false), Value::Integer(2));
    }
}
