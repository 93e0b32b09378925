//! nftables: a table of our own that refuses traffic to and from addresses, and in [`marking`] one that
//! marks packets (`linux/netfilter/nf_tables.h`).
//!
//! Everything is one transaction: it comes into force as a whole or not at all. Numbers are big endian.

pub mod marking;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, Ipv6Addr};

use super::message::{ACKNOWLEDGED, Attributes, Builder, Message, Messages};
use super::socket::NetlinkSocket;
use neli::consts::nl::NlmF;

/// `NFNL_SUBSYS_NFTABLES`.
pub const SUBSYSTEM: u8 = 10;
const NEWTABLE: u16 = 0;
const GETTABLE: u16 = 1;
const DELTABLE: u16 = 2;
const NEWCHAIN: u16 = 3;
const GETCHAIN: u16 = 4;
const NEWRULE: u16 = 6;
const NEWSET: u16 = 9;
const NEWSETELEM: u16 = 12;
const DELSETELEM: u16 = 14;
const NEWGEN: u16 = 15;

const INPUT: u32 = 1;
const OUTPUT: u32 = 3;
/// Registers of 16 bytes; the second begins where the first ends.
const FIRST: u32 = 1;
const SECOND: u32 = 2;
const VERDICT: u32 = 0;
const DROP: u32 = 0;
const ACCEPT: u32 = 1;
const EQUAL: u32 = 0;
const AT_MOST: u32 = 3;
const AT_LEAST: u32 = 5;
const META_IIF: u32 = 4;
const META_OIF: u32 = 5;
const META_L4PROTO: u32 = 16;
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;
const IGMP: u8 = 2;
const ICMPV6: u8 = 58;
const ROUTER_SOLICITATION: u8 = 133;
const NEIGHBOUR_SOLICITATION: u8 = 135;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
/// Kinds of ICMPv6 with which a host joins and leaves groups: of MLD 2 (RFC 3810), of MLD 1 (RFC 2710).
const MLD_REPORTS: [(u8, u8); 2] = [(143, 143), (131, 132)];
/// How `nft` shows keys: types of its own.
const TYPE_INET: u32 = 7;
const TYPE_INET6: u32 = 8;
const TYPE_INDEX: u32 = 20;
/// Types of a concatenated key, six bits each.
const TYPE_INET6_AND_INDEX: u32 = TYPE_INET6 << 6 | TYPE_INDEX;
const SET_IS_MAP: u32 = 8;
/// Elements of one message: an attribute's length has sixteen bits.
const MOST_ELEMENTS: usize = 1000;

const ADDRESSES: &str = "vips";
const LINK_LOCAL: &str = "vips_link_local";
const LINKS: &str = "vmac_map";
const LINK_SET: &str = "vmac_set";
/// For `nft` alone: keys and values are in the order of this host.
const SHOWN_IN_HOST_ORDER: &[u8] = &[0, 4, 1, 0, 0, 0, 1, 4, 1, 0, 0, 0];

/// What the table is to do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ruleset {
    /// Its name, for both families.
    pub table: String,
    /// Of its chains, among those of other tables.
    pub priority: i32,
    /// Packets are counted.
    pub counters: bool,
    /// Addresses that nothing gets to, and nothing comes from.
    pub inet: BTreeSet<Ipv4Addr>,
    /// The same; neighbour discovery goes on.
    pub inet6: BTreeSet<Ipv6Addr>,
    /// The same on one interface, by its index.
    pub link_local: BTreeSet<(Ipv6Addr, u32)>,
    /// Membership reports of IPv4 leave by the interface beneath (index, index of the one beneath).
    pub links: BTreeMap<u32, u32>,
    /// The same of IPv6; router solicitations do not leave at all.
    pub links6: BTreeMap<u32, u32>,
}

/// A family with a table of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableFamily {
    /// `ip`.
    Inet,
    /// `ip6`.
    Inet6,
}

impl TableFamily {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Inet, Self::Inet6];

    const fn number(self) -> u8 {
        match self {
            Self::Inet => 2,
            Self::Inet6 => 10,
        }
    }
}

impl Ruleset {
    /// Whether there is anything to do in a family.
    pub fn has(&self, family: TableFamily) -> bool {
        match family {
            TableFamily::Inet => !(self.inet.is_empty() && self.links.is_empty()),
            TableFamily::Inet6 => {
                !(self.inet6.is_empty() && self.link_local.is_empty() && self.links6.is_empty())
            }
        }
    }

    /// Whether there is nothing to do at all.
    pub fn is_empty(&self) -> bool {
        TableFamily::ALL.iter().all(|family| !self.has(*family))
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

    /// Whether the kernel has no longer all tables, chains, sets and rules.
    pub fn is_broken(&self, socket: &mut NetlinkSocket) -> bool {
        TableFamily::ALL.into_iter().filter(|family| self.has(*family)).any(|family| {
            let mut messages = Vec::new();
            self.install_family(family, &mut messages);
            is_broken(socket, family, &self.table, messages)
        })
    }

    /// Elements that come and go, when nothing else differs from `before`.
    pub fn change(&self, before: &Self) -> Option<Vec<Builder>> {
        let shape = |of: &Self| {
            let families = TableFamily::ALL.map(|family| of.has(family));
            let links = [of.links.is_empty(), of.links6.is_empty()];
            (of.table.clone(), of.priority, of.counters, families, links)
        };
        if shape(self) != shape(before) {
            return None;
        }
        let (old, new) = (before.elements(), self.elements());
        let mut out = Vec::new();
        for (kind, from, without) in [(DELSETELEM, &old, &new), (NEWSETELEM, &new, &old)] {
            for ((family, set, elements), (_, _, there)) in from.iter().zip(without) {
                let changed: Vec<_> =
                    elements.iter().filter(|element| !there.contains(element)).cloned().collect();
                self.put_elements(kind, *family, set, &changed, &mut out);
            }
        }
        Some(out)
    }

    fn elements(&self) -> [(TableFamily, &'static str, BTreeSet<Element>); 6] {
        let bytes = |index: &u32| index.to_ne_bytes().to_vec();
        let pairs = |links: &BTreeMap<u32, u32>| {
            links.iter().map(|(link, base)| (bytes(link), Some(bytes(base)))).collect()
        };
        let inet = self.inet.iter().map(|address| (address.octets().to_vec(), None)).collect();
        let inet6 = self.inet6.iter().map(|address| (address.octets().to_vec(), None)).collect();
        let link_local = self
            .link_local
            .iter()
            .map(|(address, index)| ([address.octets().to_vec(), bytes(index)].concat(), None));
        [
            (TableFamily::Inet, ADDRESSES, inet),
            (TableFamily::Inet6, ADDRESSES, inet6),
            (TableFamily::Inet6, LINK_LOCAL, link_local.collect()),
            (TableFamily::Inet, LINKS, pairs(&self.links)),
            (TableFamily::Inet6, LINKS, pairs(&self.links6)),
            (
                TableFamily::Inet6,
                LINK_SET,
                self.links6.keys().map(|link| (bytes(link), None)).collect(),
            ),
        ]
    }

    fn install_family(&self, family: TableFamily, out: &mut Vec<Builder>) {
        out.push(message(NEWTABLE, family).text(1, &self.table));
        let links = match family {
            TableFamily::Inet => &self.links,
            TableFamily::Inet6 => &self.links6,
        };
        match family {
            TableFamily::Inet => out.push(self.set(family, ADDRESSES, 1, (TYPE_INET, 4))),
            TableFamily::Inet6 => {
                out.push(self.set(family, ADDRESSES, 1, (TYPE_INET6, 16)));
                out.push(self.set(family, LINK_LOCAL, 2, (TYPE_INET6_AND_INDEX, 20)));
            }
        }
        if !links.is_empty() {
            let map = self.set(family, LINKS, 3, (TYPE_INDEX, 4));
            out.push(number(number(map, 6, TYPE_INDEX), 7, 4).attribute(13, SHOWN_IN_HOST_ORDER));
            if family == TableFamily::Inet6 {
                let set = self.set(family, LINK_SET, 4, (TYPE_INDEX, 4));
                out.push(set.attribute(13, SHOWN_IN_HOST_ORDER));
            }
        }
        for (of, set, elements) in self.elements() {
            if of == family {
                let elements: Vec<_> = elements.into_iter().collect();
                self.put_elements(NEWSETELEM, family, set, &elements, out);
            }
        }
        for (chain, hook) in [("in", INPUT), ("out", OUTPUT)] {
            let hooked = message(NEWCHAIN, family).text(1, &self.table).text(3, chain).begin(4);
            let hooked = number(hooked, 1, hook).attribute(2, &self.priority.to_be_bytes());
            out.push(number(hooked.end(), 5, ACCEPT).text(7, "filter"));
        }
        // A report leaves by the interface beneath, so that no switch sees a virtual MAC on two ports.
        match family {
            TableFamily::Inet if !links.is_empty() => {
                out.push(self.rule(family, "out", |rule| {
                    let rule = compare(payload(rule, NETWORK_HEADER, 9, 1, FIRST), EQUAL, &[IGMP]);
                    self.leave_beneath(payload(rule, NETWORK_HEADER, 16, 4, FIRST))
                }));
            }
            TableFamily::Inet6 if !links.is_empty() => {
                out.extend(MLD_REPORTS.map(|(first, last)| {
                    self.rule(family, "out", |rule| {
                        let rule = icmpv6(rule, first, last);
                        self.leave_beneath(payload(rule, NETWORK_HEADER, 24, 16, FIRST))
                    })
                }));
            }
            TableFamily::Inet | TableFamily::Inet6 => {}
        }
        if !self.links6.is_empty() && family == TableFamily::Inet6 {
            out.push(self.rule(family, "out", |rule| {
                let rule = icmpv6(rule, ROUTER_SOLICITATION, ROUTER_SOLICITATION);
                let rule = lookup(meta(rule, META_OIF, FIRST), LINK_SET, FIRST, None);
                self.verdict(rule, DROP)
            }));
        }
        for chain in ["in", "out"] {
            self.refusals(family, chain, out);
        }
    }

    /// What leaves by a virtual MAC leaves by the interface beneath instead; its destination is in
    /// [`FIRST`].
    fn leave_beneath(&self, rule: Builder) -> Builder {
        let rule = lookup(meta(rule, META_OIF, SECOND), LINKS, SECOND, Some(SECOND));
        let rule = expression(rule, "dup", |dup| number(number(dup, 1, FIRST), 2, SECOND));
        self.verdict(rule, DROP)
    }

    fn refusals(&self, family: TableFamily, chain: &str, out: &mut Vec<Builder>) {
        let incoming = chain == "in";
        match family {
            TableFamily::Inet => out.push(self.rule(family, chain, |rule| {
                let offset = if incoming { 16 } else { 12 };
                let rule = payload(rule, NETWORK_HEADER, offset, 4, FIRST);
                self.verdict(lookup(rule, ADDRESSES, FIRST, None), DROP)
            })),
            TableFamily::Inet6 => {
                let offset = if incoming { 24 } else { 8 };
                out.push(self.rule(family, chain, |rule| {
                    let rule = icmpv6(rule, NEIGHBOUR_SOLICITATION, NEIGHBOUR_ADVERTISEMENT);
                    self.verdict(rule, ACCEPT)
                }));
                out.push(self.rule(family, chain, |rule| {
                    let rule = payload(rule, NETWORK_HEADER, offset, 16, FIRST);
                    let interface = if incoming { META_IIF } else { META_OIF };
                    let rule = meta(rule, interface, SECOND);
                    self.verdict(lookup(rule, LINK_LOCAL, FIRST, None), DROP)
                }));
                out.push(self.rule(family, chain, |rule| {
                    let rule = payload(rule, NETWORK_HEADER, offset, 16, FIRST);
                    self.verdict(lookup(rule, ADDRESSES, FIRST, None), DROP)
                }));
            }
        }
    }

    fn set(&self, family: TableFamily, name: &str, id: u32, key: (u32, u32)) -> Builder {
        let flags = if name == LINKS { SET_IS_MAP } else { 0 };
        let set = message(NEWSET, family).text(1, &self.table).text(2, name);
        number(number(number(number(set, 3, flags), 4, key.0), 5, key.1), 10, id)
    }

    fn put_elements(
        &self,
        kind: u16,
        family: TableFamily,
        set: &str,
        elements: &[Element],
        out: &mut Vec<Builder>,
    ) {
        for chunk in elements.chunks(MOST_ELEMENTS) {
            let mut list = message(kind, family).text(1, &self.table).text(2, set).begin(3);
            for (key, value) in chunk {
                list = list.begin(1).begin(1).attribute(1, key).end();
                if let Some(value) = value {
                    list = list.begin(2).attribute(1, value).end();
                }
                list = list.end();
            }
            out.push(list.end());
        }
    }

    fn rule(
        &self,
        family: TableFamily,
        chain: &str,
        expressions: impl FnOnce(Builder) -> Builder,
    ) -> Builder {
        let rule = message(NEWRULE, family).text(1, &self.table).text(2, chain).begin(4);
        expressions(rule).end()
    }

    fn verdict(&self, rule: Builder, verdict: u32) -> Builder {
        let rule =
            if self.counters { expression(rule, "counter", |counter| counter) } else { rule };
        expression(rule, "immediate", |immediate| {
            number(number(immediate, 1, VERDICT).begin(2).begin(2), 1, verdict).end().end()
        })
    }
}

/// Removes a table, also when there is none.
fn remove(family: TableFamily, table: &str) -> [Builder; 2] {
    [NEWTABLE, DELTABLE].map(|kind| message(kind, family).text(1, table))
}

/// A key, and in a map its value.
type Element = (Vec<u8>, Option<Vec<u8>>);

/// Whether the kernel has fewer chains, sets or rules than these messages have made. Elements of sets are
/// not looked at.
fn is_broken(
    socket: &mut NetlinkSocket,
    family: TableFamily,
    table: &str,
    messages: Vec<Builder>,
) -> bool {
    let bytes: Vec<u8> = messages.into_iter().flat_map(|message| message.finish(0)).collect();
    let (mut parts, mut rules) = (0, BTreeMap::<String, u32>::new());
    for message in Messages(&bytes) {
        let attributes = Attributes(message.body.get(4..).unwrap_or_default());
        let chain = |attribute| attributes.find(attribute).map(super::message::text);
        match message.kind & 0xff {
            NEWSET => parts += 1,
            NEWCHAIN => {
                parts += 1;
                rules.entry(chain(3).unwrap_or_default()).or_default();
            }
            NEWRULE => *rules.entry(chain(2).unwrap_or_default()).or_default() += 1,
            _ => {}
        }
    }
    let ask = |kind| header(kind, ACKNOWLEDGED, family.number()).text(1, table);
    let chains = rules.into_iter().map(|(chain, rules)| (ask(GETCHAIN).text(3, &chain), rules));
    std::iter::once((ask(GETTABLE), parts)).chain(chains).any(|(question, least)| {
        let mut found = None;
        let asked = socket.request(question, |answer| found = found.or_else(|| count(&answer)));
        match asked {
            Ok(()) => found.is_some_and(|found| found < least),
            Err(error) => error.errno() == Some(libc::ENOENT),
        }
    })
}

/// The chains and sets of a table, or the rules of a chain, in the kernel's answer.
fn count(answer: &Message<'_>) -> Option<u32> {
    let attribute = match answer.kind & 0xff {
        NEWTABLE => 3,
        NEWCHAIN => 6,
        _ => return None,
    };
    let count = Attributes(answer.body.get(4..)?).find(attribute)?;
    Some(u32::from_be_bytes(*count.first_chunk()?))
}

/// The process that has changed something, if a datagram says so: its number and name.
pub fn parse_changer(bytes: &[u8]) -> Option<(u32, String)> {
    let kind = u16::from(SUBSYSTEM) << 8 | NEWGEN;
    let message = Messages(bytes).find(|message| message.kind == kind)?;
    let attributes = Attributes(message.body.get(4..)?);
    let process = attributes.find(2)?.first_chunk::<4>()?;
    let name = attributes.find(3).map(super::message::text).unwrap_or_default();
    Some((u32::from_be_bytes(*process), name))
}

fn header(kind: u16, flags: u16, family: u8) -> Builder {
    Builder::new(u16::from(SUBSYSTEM) << 8 | kind, flags, &[family, 0, 0, 0])
}

fn message(kind: u16, family: TableFamily) -> Builder {
    header(kind, ACKNOWLEDGED | NlmF::CREATE.bits() | append(kind), family.number())
}

/// Rules go behind those that are there.
const fn append(kind: u16) -> u16 {
    if kind == NEWRULE { NlmF::APPEND.bits() } else { 0 }
}

fn number(builder: Builder, kind: u16, value: u32) -> Builder {
    builder.attribute(kind, &value.to_be_bytes())
}

fn expression(rule: Builder, name: &str, inside: impl FnOnce(Builder) -> Builder) -> Builder {
    inside(rule.begin(1).text(1, name).begin(2)).end().end()
}

fn payload(rule: Builder, base: u32, offset: u32, length: u32, register: u32) -> Builder {
    expression(rule, "payload", |load| {
        number(number(number(number(load, 1, register), 2, base), 3, offset), 4, length)
    })
}

fn meta(rule: Builder, key: u32, register: u32) -> Builder {
    expression(rule, "meta", |meta| number(number(meta, 1, register), 2, key))
}

/// The first register with a value.
fn compare(rule: Builder, how: u32, value: &[u8]) -> Builder {
    expression(rule, "cmp", |compare| {
        number(number(compare, 1, FIRST), 2, how).begin(3).attribute(1, value).end()
    })
}

fn lookup(rule: Builder, set: &str, register: u32, into: Option<u32>) -> Builder {
    expression(rule, "lookup", |lookup| {
        let lookup = number(lookup.text(1, set), 2, register);
        match into {
            Some(into) => number(lookup, 3, into),
            None => lookup,
        }
    })
}

fn icmpv6(rule: Builder, from: u8, to: u8) -> Builder {
    let rule = compare(meta(rule, META_L4PROTO, FIRST), EQUAL, &[ICMPV6]);
    let rule = payload(rule, TRANSPORT_HEADER, 0, 1, FIRST);
    if from == to {
        return compare(rule, EQUAL, &[from]);
    }
    compare(compare(rule, AT_LEAST, &[from]), AT_MOST, &[to])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ruleset() -> Ruleset {
        Ruleset {
            table: "t".into(),
            inet: [Ipv4Addr::new(10, 0, 0, 1)].into(),
            link_local: [("fe80::1".parse().unwrap(), 3)].into(),
            ..Ruleset::default()
        }
    }

    fn kinds(messages: Vec<Builder>) -> Vec<(u16, u8)> {
        let bytes: Vec<u8> = messages.into_iter().flat_map(|message| message.finish(1)).collect();
        Messages(&bytes).map(|message| (message.kind & 0xff, message.body[0])).collect()
    }

    #[test]
    fn a_table_replaces_what_is_there() {
        let found = kinds(ruleset().install());
        let begin = [(NEWTABLE, 2), (DELTABLE, 2), (NEWTABLE, 2), (NEWSET, 2), (NEWSETELEM, 2)];
        assert_eq!(found[..5], begin);
        let inet = found.iter().filter(|(_, family)| *family == 2).count();
        assert_eq!(inet, 5 + 2 + 2, "two chains, two rules");
        let rules = found.iter().filter(|found| **found == (NEWRULE, 10)).count();
        assert_eq!(rules, 6);
        let nothing = Ruleset { table: "t".into(), ..Ruleset::default() };
        assert_eq!(kinds(nothing.install()).len(), 4, "what is not wanted goes");
    }

    #[test]
    fn an_address_that_comes_or_goes_is_one_element() {
        let before = ruleset();
        let mut after = before.clone();
        after.inet = [Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2)].into();
        assert_eq!(kinds(after.change(&before).unwrap()), [(NEWSETELEM, 2)]);
        assert_eq!(kinds(before.change(&after).unwrap()), [(DELSETELEM, 2)]);
        assert_eq!(kinds(before.change(&before).unwrap()), []);
        after.links.insert(5, 2);
        assert!(after.change(&before).is_none(), "a rule more");
        after = Ruleset { counters: true, ..before.clone() };
        assert!(after.change(&before).is_none());
    }

    #[test]
    fn many_elements_fit_their_messages() {
        let mut many = ruleset();
        many.inet = (0..5_000u32).map(Ipv4Addr::from).collect();
        let elements =
            kinds(many.install()).iter().filter(|kind| **kind == (NEWSETELEM, 2)).count();
        assert_eq!(elements, 5);
    }

    #[test]
    fn who_has_changed_something_is_read_from_any_bytes() {
        let message = header(NEWGEN, 0, 0).attribute(2, &7u32.to_be_bytes()).text(3, "nft");
        let bytes = message.finish(1);
        assert_eq!(parse_changer(&bytes), Some((7, "nft".to_owned())));
        for length in 0..bytes.len() {
            assert_eq!(parse_changer(&bytes[..length]), None);
        }
    }
}
