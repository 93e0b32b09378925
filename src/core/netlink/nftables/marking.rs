//! A table that gives packets to some addresses and ports a firewall mark on their way in.
//!
//! ```text
//! map tcp_map { type ipv4_addr . inet_service : mark; flags interval }
//! chain in { hook input; meta mark set ip daddr . tcp dport map @tcp_map return }
//! ```
//! and the same of the other protocols, and of `ip6`. What stands for all ports is in a map of its own,
//! behind the one of single ports.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use super::{
    ACCEPT, EQUAL, FIRST, INPUT, META_L4PROTO, MOST_ELEMENTS, NETWORK_HEADER, NEWCHAIN, NEWRULE,
    NEWSET, NEWSETELEM, NEWTABLE, SET_IS_MAP, TRANSPORT_HEADER, TYPE_INET, TYPE_INET6, TableFamily,
    VERDICT, compare, expression, is_broken, lookup, message, meta, number, payload, remove,
};
use crate::core::netlink::message::Builder;
use crate::core::netlink::socket::NetlinkSocket;

/// `NFT_RETURN`.
const RETURN: u32 = (-5_i32).cast_unsigned();
const META_MARK: u32 = 3;
const SET_HAS_INTERVALS: u32 = 4;
const SET_IS_CONCATENATION: u32 = 0x80;
const TYPE_SERVICE: u32 = 13;
const TYPE_MARK: u32 = 19;
/// The first register of four bytes; [`FIRST`] is the same place.
const FIRST_SHORT: u32 = 8;
/// For `nft` alone: keys are in the order of the network, values in that of this host.
const SHOWN: &[u8] = &[0, 4, 2, 0, 0, 0, 1, 4, 1, 0, 0, 0];

/// Packets and their mark.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Range {
    /// TCP, UDP or SCTP, whose ports are in the same place.
    pub protocol: u8,
    /// Destinations, all of one family.
    pub addresses: (IpAddr, IpAddr),
    /// 0 for every port.
    pub port: u16,
    /// The mark.
    pub mark: u32,
}

/// The table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Marking {
    /// Its name, for both families.
    pub table: String,
    /// Of its chain, among those of other tables.
    pub priority: i32,
    /// What is marked.
    pub ranges: BTreeSet<Range>,
}

impl Marking {
    /// Whether there is anything to do in a family.
    pub fn has(&self, family: TableFamily) -> bool {
        self.ranges.iter().any(|range| family_of(range) == family)
    }

    /// The whole table of each family in place of what is there, whatever that is.
    pub fn install(&self) -> Vec<Builder> {
        let mut out = Vec::new();
        for family in TableFamily::ALL {
            out.extend(remove(family, &self.table));
            if self.has(family) {
                self.install_family(family, &mut out);
            }
        }
        out
    }

    /// Whether the kernel has no longer all tables, chains, maps and rules.
    pub fn is_broken(&self, socket: &mut NetlinkSocket) -> bool {
        TableFamily::ALL.into_iter().filter(|family| self.has(*family)).any(|family| {
            let mut messages = Vec::new();
            self.install_family(family, &mut messages);
            is_broken(socket, family, &self.table, messages)
        })
    }

    fn install_family(&self, family: TableFamily, out: &mut Vec<Builder>) {
        out.push(message(NEWTABLE, family).text(1, &self.table));
        let hooked = message(NEWCHAIN, family).text(1, &self.table).text(3, "in").begin(4);
        let hooked = number(hooked, 1, INPUT).attribute(2, &self.priority.to_be_bytes());
        out.push(number(hooked.end(), 5, ACCEPT).text(7, "filter"));
        let mut id = 0;
        for any_port in [false, true] {
            for protocol in [6, 17, 132] {
                let ranges: Vec<&Range> = self
                    .ranges
                    .iter()
                    .filter(|range| family_of(range) == family && range.protocol == protocol)
                    .filter(|range| (range.port == 0) == any_port)
                    .collect();
                if !ranges.is_empty() {
                    id += 1;
                    self.install_map(family, protocol, any_port, id, &ranges, out);
                }
            }
        }
    }

    fn install_map(
        &self,
        family: TableFamily,
        protocol: u8,
        any_port: bool,
        id: u32,
        ranges: &[&Range],
        out: &mut Vec<Builder>,
    ) {
        let map = format!("{}_{}map", name(protocol), if any_port { "any_" } else { "" });
        let (kind, length) = shape(family);
        let set = message(NEWSET, family).text(1, &self.table).text(2, &map);
        let set = number(set, 3, SET_IS_MAP | SET_HAS_INTERVALS | SET_IS_CONCATENATION);
        let set = number(number(set, 4, kind << 6 | TYPE_SERVICE), 5, length + 4);
        let set = number(number(set, 6, TYPE_MARK), 7, 4).begin(9).begin(2);
        let set = [length, 2].iter().fold(set, |set, field| number(set.begin(1), 1, *field).end());
        out.push(number(set.end().end(), 10, id).attribute(13, SHOWN));
        for chunk in ranges.chunks(MOST_ELEMENTS / 2) {
            let mut list = message(NEWSETELEM, family).text(1, &self.table).text(2, &map).begin(3);
            for range in chunk {
                let ports = if any_port { 0..=u16::MAX } else { range.port..=range.port };
                let [from, to] = keys(range, &ports);
                list = list.begin(1).begin(1).attribute(1, &from).end();
                list = list.begin(2).attribute(1, &range.mark.to_ne_bytes()).end();
                list = list.begin(10).attribute(1, &to).end().end();
            }
            out.push(list.end());
        }
        let rule = message(NEWRULE, family).text(1, &self.table).text(2, "in").begin(4);
        let rule = compare(meta(rule, META_L4PROTO, FIRST), EQUAL, &[protocol]);
        let offset = if family == TableFamily::Inet { 16 } else { 24 };
        let rule = payload(rule, NETWORK_HEADER, offset, length, FIRST);
        let rule = payload(rule, TRANSPORT_HEADER, 2, 2, FIRST_SHORT + length / 4);
        let rule = lookup(rule, &map, FIRST, Some(FIRST));
        let rule = expression(rule, "meta", |meta| number(number(meta, 2, META_MARK), 3, FIRST));
        let rule = expression(rule, "immediate", |immediate| {
            number(number(immediate, 1, VERDICT).begin(2).begin(2), 1, RETURN).end().end()
        });
        out.push(rule.end());
    }
}

/// How `nft` calls an address of the family, and its length.
const fn shape(family: TableFamily) -> (u32, u32) {
    match family {
        TableFamily::Inet => (TYPE_INET, 4),
        TableFamily::Inet6 => (TYPE_INET6, 16),
    }
}

fn family_of(range: &Range) -> TableFamily {
    if range.addresses.0.is_ipv4() { TableFamily::Inet } else { TableFamily::Inet6 }
}

fn name(protocol: u8) -> &'static str {
    match protocol {
        6 => "tcp",
        17 => "udp",
        _ => "sctp",
    }
}

/// First and last key: an address, a port and two bytes of nothing.
fn keys(range: &Range, ports: &RangeInclusive<u16>) -> [Vec<u8>; 2] {
    let (first, last) = range.addresses;
    [(first, ports.start()), (last, ports.end())].map(|(address, port)| {
        let mut key = match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        key.extend(port.to_be_bytes());
        key.extend([0, 0]);
        key
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::netlink::message::Messages;

    fn range(first: &str, last: &str, port: u16) -> Range {
        let addresses = (first.parse().unwrap(), last.parse().unwrap());
        Range { protocol: 6, addresses, port, mark: 1000 }
    }

    #[test]
    fn each_family_and_kind_of_port_has_a_map_and_a_rule() {
        let marking = Marking {
            table: "t".into(),
            priority: -1,
            ranges: [
                range("10.0.0.1", "10.0.0.5", 80),
                range("10.0.0.9", "10.0.0.9", 0),
                range("fd00::1", "fd00::1", 80),
            ]
            .into(),
        };
        let bytes: Vec<u8> =
            marking.install().into_iter().flat_map(|message| message.finish(1)).collect();
        let found: Vec<_> =
            Messages(&bytes).map(|message| (message.kind & 0xff, message.body[0])).collect();
        let of = |family| found.iter().filter(move |found| found.1 == family).map(|found| found.0);
        let map = [NEWSET, NEWSETELEM, NEWRULE];
        let begin = [NEWTABLE, 2, NEWTABLE, NEWCHAIN];
        assert_eq!(of(2).collect::<Vec<_>>(), [begin.as_slice(), &map, &map].concat());
        assert_eq!(of(10).collect::<Vec<_>>(), [begin.as_slice(), &map].concat());
    }

    #[test]
    fn a_key_is_an_address_and_a_port_padded() {
        let [from, to] = keys(&range("10.0.0.1", "10.0.0.5", 80), &(80..=80));
        assert_eq!(from, [10, 0, 0, 1, 0, 80, 0, 0]);
        assert_eq!(to, [10, 0, 0, 5, 0, 80, 0, 0]);
    }
}
