//! Policy rules (`ip-rule(8)`): what a [`Rule`] asks of the kernel, and what the kernel has.

use std::collections::BTreeMap;

use neli::consts::nl::NlmF;

use super::address::RouteSocket;
use super::error::NetlinkError;
use super::message::{ACKNOWLEDGED, Attributes, Builder, DUMP, HEADER, Message, Messages, u32_at};
use super::route::{Lookup, Unresolved, family_number, network};
use crate::core::config::model::Family;
use crate::core::config::model::route::{Prefix, Range, Rule, RuleAction};

const RTM_NEWRULE: u16 = libc::RTM_NEWRULE;
const RTM_DELRULE: u16 = libc::RTM_DELRULE;
const RTM_GETRULE: u16 = libc::RTM_GETRULE;
const FRA_DST: u16 = 1;
const FRA_SRC: u16 = 2;
const FRA_IIFNAME: u16 = 3;
const FRA_GOTO: u16 = 4;
const FRA_PRIORITY: u16 = 6;
const FRA_FWMARK: u16 = 10;
const FRA_FLOW: u16 = 11;
const FRA_TUN_ID: u16 = 12;
const FRA_SUPPRESS_IFGROUP: u16 = 13;
const FRA_SUPPRESS_PREFIXLEN: u16 = 14;
const FRA_TABLE: u16 = 15;
const FRA_FWMASK: u16 = 16;
const FRA_OIFNAME: u16 = 17;
const FRA_L3MDEV: u16 = 19;
const FRA_UID_RANGE: u16 = 20;
const FRA_PROTOCOL: u16 = 21;
const FRA_IP_PROTO: u16 = 22;
const FRA_SPORT_RANGE: u16 = 23;
const FRA_DPORT_RANGE: u16 = 24;
/// What tells rules apart; the table is kept on its own, for it may be in the header.
const COMPARED: [u16; 18] = [
    FRA_DST,
    FRA_SRC,
    FRA_IIFNAME,
    FRA_GOTO,
    FRA_PRIORITY,
    FRA_FWMARK,
    FRA_FLOW,
    FRA_TUN_ID,
    FRA_SUPPRESS_IFGROUP,
    FRA_SUPPRESS_PREFIXLEN,
    FRA_FWMASK,
    FRA_OIFNAME,
    FRA_L3MDEV,
    FRA_UID_RANGE,
    FRA_PROTOCOL,
    FRA_IP_PROTO,
    FRA_SPORT_RANGE,
    FRA_DPORT_RANGE,
];
const FIB_RULE_INVERT: u32 = 2;
const TO_TABLE: u8 = 1;
/// struct fib_rule_hdr
const INFO: usize = 12;

/// A rule as the kernel has it, or would have it; defaults that it spells out are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelRule {
    family: u8,
    to: u8,
    from: u8,
    tos: u8,
    action: u8,
    inverted: bool,
    table: u32,
    attributes: BTreeMap<u16, Vec<u8>>,
}

impl KernelRule {
    /// FRA_PROTOCOL: 18 of ours, and of keepalived's.
    pub fn protocol(&self) -> u8 {
        self.attributes.get(&FRA_PROTOCOL).and_then(|value| value.first().copied()).unwrap_or(0)
    }
}

/// A rule of an RTM_NEWRULE or RTM_DELRULE message.
pub fn parse(message: &Message<'_>) -> Option<KernelRule> {
    if !matches!(message.kind, RTM_NEWRULE | RTM_DELRULE) {
        return None;
    }
    let [family, to, from, tos, table, _, _, action] = *message.body.first_chunk::<8>()?;
    let flags = u32_at(message.body, 8)?;
    let all = Attributes(message.body.get(INFO..)?);
    let number = |kind| all.find(kind).and_then(|value| u32_at(value, 0));
    let mut attributes: BTreeMap<u16, Vec<u8>> = all
        .filter(|(kind, value)| {
            let default: &[u8] = match *kind {
                FRA_FWMARK if number(FRA_FWMASK).unwrap_or(0) == 0 => &[0; 4],
                FRA_FWMASK if number(FRA_FWMARK).unwrap_or(0) == 0 => &[0; 4],
                FRA_FWMASK | FRA_SUPPRESS_IFGROUP | FRA_SUPPRESS_PREFIXLEN => &[0xff; 4],
                FRA_FLOW | FRA_GOTO | FRA_PRIORITY => &[0; 4],
                FRA_TUN_ID => &[0; 8],
                FRA_L3MDEV | FRA_IP_PROTO => &[0],
                _ => &[],
            };
            COMPARED.contains(kind) && (default.is_empty() || *value != default)
        })
        .map(|(kind, value)| (kind, value.to_vec()))
        .collect();
    if to == 0 {
        attributes.remove(&FRA_DST);
    }
    if from == 0 {
        attributes.remove(&FRA_SRC);
    }
    Some(KernelRule {
        family,
        to,
        from,
        tos,
        action,
        inverted: flags & FIB_RULE_INVERT != 0,
        table: number(FRA_TABLE).unwrap_or(u32::from(table)),
        attributes,
    })
}

/// A rule with all its names looked up.
#[derive(Debug, Clone)]
pub struct RuleRequest {
    header: [u8; INFO],
    attributes: Vec<(u16, Vec<u8>)>,
}

impl RuleRequest {
    /// Looks the names up. Interfaces of selectors need not be there.
    pub fn new(rule: &Rule, lookup: Lookup<'_>) -> Result<Self, Unresolved> {
        let number = |value: u32| value.to_ne_bytes().to_vec();
        let mut attributes = vec![
            (FRA_PRIORITY, number(rule.preference)),
            (FRA_PROTOCOL, vec![lookup.small(&rule.protocol)?]),
        ];
        let mut table = 0;
        let action = match &rule.action {
            RuleAction::Table(named) => {
                table = lookup.number(named)?;
                TO_TABLE
            }
            RuleAction::L3Master => {
                attributes.push((FRA_L3MDEV, vec![1]));
                TO_TABLE
            }
            RuleAction::Goto(preference) => {
                attributes.push((FRA_GOTO, number(*preference)));
                2
            }
            RuleAction::Nop => 3,
            RuleAction::Blackhole => 6,
            RuleAction::Unreachable => 7,
            RuleAction::Prohibit => 8,
        };
        if table > u32::from(u8::MAX) {
            attributes.push((FRA_TABLE, number(table)));
        }
        let prefix = |prefix: Option<Prefix>| prefix.filter(|prefix| prefix.length > 0);
        attributes.extend(prefix(rule.from).map(|from| (FRA_SRC, network(from))));
        attributes.extend(prefix(rule.to).map(|to| (FRA_DST, network(to))));
        for (kind, name) in [(FRA_IIFNAME, &rule.input), (FRA_OIFNAME, &rule.output)] {
            if let Some(name) = name {
                let mut bytes = name.as_bytes().to_vec();
                bytes.push(0);
                attributes.push((kind, bytes));
            }
        }
        if let Some(mark) = rule.mark {
            attributes.push((FRA_FWMARK, number(mark.mark)));
            attributes.push((FRA_FWMASK, number(mark.mask)));
        }
        if let Some(realms) = &rule.realms {
            attributes.push((FRA_FLOW, number(lookup.realms(realms)?)));
        }
        if let Some(group) = &rule.suppress_interface_group {
            let group = lookup.number(group)?;
            attributes.push((FRA_SUPPRESS_IFGROUP, number(group)));
        }
        attributes.extend(rule.suppress_prefix_length.map(|n| (FRA_SUPPRESS_PREFIXLEN, number(n))));
        attributes.extend(rule.tunnel_id.map(|id| (FRA_TUN_ID, id.to_be_bytes().to_vec())));
        attributes.extend(rule.users.map(|users| {
            (FRA_UID_RANGE, [users.first.to_ne_bytes(), users.last.to_ne_bytes()].concat())
        }));
        attributes.extend(rule.ip_protocol.map(|protocol| (FRA_IP_PROTO, vec![protocol])));
        let ports =
            |range: Range<u16>| [range.first.to_ne_bytes(), range.last.to_ne_bytes()].concat();
        attributes.extend(rule.source_ports.map(|range| (FRA_SPORT_RANGE, ports(range))));
        attributes.extend(rule.destination_ports.map(|range| (FRA_DPORT_RANGE, ports(range))));
        let tos = match &rule.tos {
            Some(tos) => lookup.small(tos)?,
            None => 0,
        };
        let flags = if rule.inverted { FIB_RULE_INVERT } else { 0 };
        let head = [
            family_number(rule.family),
            prefix(rule.to).map_or(0, |to| to.length),
            prefix(rule.from).map_or(0, |from| from.length),
            tos,
            u8::try_from(table).unwrap_or(0),
            0,
            0,
            action,
        ];
        let mut header = [0; INFO];
        for (byte, value) in header.iter_mut().zip(head.into_iter().chain(flags.to_ne_bytes())) {
            *byte = value;
        }
        Ok(Self { header, attributes })
    }

    fn build(&self, kind: u16, flags: u16) -> Builder {
        let message = Builder::new(kind, flags, &self.header);
        self.attributes
            .iter()
            .fold(message, |message, (kind, value)| message.attribute(*kind, value))
    }

    /// The message that makes the rule, or removes it: family header and attributes.
    pub fn key(&self) -> Vec<u8> {
        let bytes = self.addition().finish(0);
        bytes.get(HEADER..).unwrap_or_default().to_vec()
    }

    fn addition(&self) -> Builder {
        self.build(RTM_NEWRULE, ACKNOWLEDGED | NlmF::CREATE.bits() | NlmF::EXCL.bits())
    }

    /// What the kernel would have, to be compared with what it has.
    pub fn wanted(&self) -> Option<KernelRule> {
        let bytes = self.addition().finish(0);
        parse(&Messages(&bytes).next()?)
    }
}

impl RouteSocket {
    /// Every rule of both families.
    pub fn rules(&mut self) -> Result<Vec<KernelRule>, NetlinkError> {
        let mut found = Vec::new();
        for family in [Family::Inet, Family::Inet6] {
            let mut header = [0; INFO];
            header[0] = family_number(family);
            let request = Builder::new(RTM_GETRULE, DUMP, &header);
            found.extend(self.socket.dump(&request, |message| parse(&message))?);
        }
        Ok(found)
    }

    /// Adds a rule; one that is the same in all is fine.
    pub fn add_rule(&mut self, rule: &RuleRequest) -> Result<(), NetlinkError> {
        match self.socket.request(rule.addition(), |_| ()) {
            Err(error) if error.errno() == Some(libc::EEXIST) => Ok(()),
            result => result,
        }
    }

    /// Removes the rule with this [`RuleRequest::key`], if it has this protocol. Gives whether it was
    /// there.
    pub fn remove_rule_by_key(&mut self, key: &[u8], protocol: u8) -> Result<bool, NetlinkError> {
        let bytes = Builder::new(RTM_NEWRULE, 0, key).finish(0);
        let Some(rule) = Messages(&bytes).next().and_then(|message| parse(&message)) else {
            return Ok(false);
        };
        if rule.protocol() != protocol || !self.rules()?.contains(&rule) {
            return Ok(false);
        }
        self.socket.request(Builder::new(RTM_DELRULE, ACKNOWLEDGED, key), |_| ()).map(|()| true)
    }

    /// Removes a rule; one that is not there is fine.
    pub fn remove_rule(&mut self, rule: &RuleRequest) -> Result<(), NetlinkError> {
        match self.socket.request(rule.build(RTM_DELRULE, ACKNOWLEDGED), |_| ()) {
            Err(error) if error.errno() == Some(libc::ENOENT) => Ok(()),
            result => result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::config::model::route::{MarkSelector, Named};
    use crate::core::iproute::Names;

    fn request() -> RuleRequest {
        let rule = Rule {
            family: Family::Inet,
            inverted: true,
            from: Some(Prefix { address: "10.1.2.3".parse().unwrap(), length: 16 }),
            to: None,
            action: RuleAction::Table(Named::Number(3000)),
            preference: 1000,
            tos: None,
            mark: Some(MarkSelector { mark: 4, mask: u32::MAX }),
            input: Some("eth9".to_owned()),
            output: None,
            realms: None,
            suppress_prefix_length: None,
            suppress_interface_group: None,
            tunnel_id: None,
            users: Some(Range { first: 5, last: 9 }),
            protocol: Named::Number(18),
            ip_protocol: Some(6),
            source_ports: None,
            destination_ports: Some(Range { first: 7, last: 8 }),
            tracked: true,
            track_group: None,
        };
        let (links, names) = (std::collections::BTreeMap::new(), Names::default());
        RuleRequest::new(&rule, Lookup { links: &links, names: &names }).unwrap()
    }

    #[test]
    fn defaults_that_the_kernel_spells_out_make_no_difference() {
        let request = request();
        let bytes = request
            .addition()
            .attribute(FRA_SUPPRESS_PREFIXLEN, &u32::MAX.to_ne_bytes())
            .attribute(FRA_FLOW, &[0; 4])
            .finish(1);
        let found = parse(&Messages(&bytes).next().unwrap()).unwrap();
        assert_eq!(Some(&found), request.wanted().as_ref());
        assert_eq!((found.protocol(), found.table, found.inverted), (18, 3000, true));
        assert_eq!(found.attributes[&FRA_SRC], [10, 1, 0, 0], "without its host bits");
    }

    #[test]
    fn a_selector_more_is_another_rule() {
        let request = request();
        let bytes = request.addition().attribute(FRA_OIFNAME, b"lo\0").finish(1);
        assert_ne!(parse(&Messages(&bytes).next().unwrap()), request.wanted());
    }

    #[test]
    fn cut_and_damaged_rules_are_harmless() {
        let bytes = request().addition().finish(1);
        for index in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut damaged = bytes.clone();
                damaged[index] = value;
                for message in Messages(&damaged) {
                    let _ = parse(&message);
                }
            }
        }
    }
}
