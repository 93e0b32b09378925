//! Interfaces that an instance makes, and how existing ones are watched.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::Need;
use super::context::Context;
use super::words::Words;
use crate::core::config::model::global::VrrpDefaults;
use crate::core::config::model::link::{
    AddressLink, ExtraAnnouncements, GarpGroup, InterfaceDelay, Ipvlan, IpvlanMode,
    LinkbeatInterface, LinkbeatMethod, VirtualLink, Vmac,
};
use crate::core::config::model::route::{NameTable, Named};
use crate::core::config::model::vrrp::{Vrid, VrrpConfig};
use crate::core::config::model::{Family, vrrp::Instance};
use crate::core::config::tree::{Statement, Token};
use crate::core::config::values::{self, Fault};
use crate::core::diagnostics::Span;
use crate::core::time::Interval;

const LONG: Interval = Interval::from_secs(4294);
/// Delays of interfaces fit a byte's worth of seconds.
const LONGEST_DELAY: Interval = Interval::from_secs(255);
/// A day.
const RAREST_ANNOUNCEMENT: u32 = 86_400;
/// The group bit of a MAC address.
const MULTICAST: u8 = 0x01;

/// What `use_vmac` or `use_ipvlan` says, before the number of the router is known.
#[derive(Debug, Clone)]
pub enum Wanted {
    /// `use_vmac`.
    Vmac(WantedVmac),
    /// `use_ipvlan`.
    Ipvlan(WantedIpvlan),
}

/// `use_vmac`.
#[derive(Debug, Clone, Default)]
pub struct WantedVmac {
    name: Option<String>,
    address: Option<Mac>,
    notify_again: bool,
    group: Option<Named>,
}

/// `use_ipvlan`.
#[derive(Debug, Clone, Default)]
pub struct WantedIpvlan {
    name: Option<String>,
    address: Option<(IpAddr, u8)>,
    mode: IpvlanMode,
    group: Option<Named>,
}

/// A MAC address; without the last octet, the router's number is it.
#[derive(Debug, Clone, Copy)]
struct Mac {
    first: [u8; 5],
    last: Option<u8>,
}

impl Mac {
    fn of(self, vrid: Vrid) -> [u8; 6] {
        let octets = self.first.into_iter().chain([self.last.unwrap_or(vrid.get())]);
        let mut address = [0; 6];
        for (to, from) in address.iter_mut().zip(octets) {
            *to = from;
        }
        address
    }
}

/// `use_vmac [[name] IFNAME] [MAC] [netlink_notify_msg] [group GRP]`.
pub fn vmac(context: &mut Context, statement: &Statement) -> Wanted {
    let mut wanted = WantedVmac::default();
    let mut words = Words::new(statement.arguments());
    while let Some(word) = words.pop() {
        match &*word.text {
            "netlink_notify_msg" => wanted.notify_again = true,
            "group" => wanted.group = group(context, word, &mut words),
            "name" => wanted.name = name(context, word, words.pop()),
            text if text.contains(':') => {
                wanted.address = context.parse_token("use_vmac", word, mac);
            }
            _ => bare_name(context, word, &mut wanted.name),
        }
    }
    Wanted::Vmac(wanted)
}

/// `use_ipvlan [[name] IFNAME] [ADDR] [bridge|private|vepa] [group GRP]`.
pub fn ipvlan(context: &mut Context, statement: &Statement) -> Wanted {
    let mut wanted = WantedIpvlan::default();
    let mut words = Words::new(statement.arguments());
    while let Some(word) = words.pop() {
        match &*word.text {
            "bridge" => wanted.mode = IpvlanMode::Bridge,
            "private" => wanted.mode = IpvlanMode::Private,
            "vepa" => wanted.mode = IpvlanMode::Vepa,
            "group" => wanted.group = group(context, word, &mut words),
            "name" => wanted.name = name(context, word, words.pop()),
            text if values::network(text).is_ok() => wanted.address = values::network(text).ok(),
            text if text.contains([':', '/']) => {
                let message = format!("use_ipvlan '{text}': not an address");
                context.error("bad-value", word.span, message);
            }
            _ => bare_name(context, word, &mut wanted.name),
        }
    }
    Wanted::Ipvlan(wanted)
}

/// Works the instance's number in; the name, where none is written, is given later.
pub fn settle(context: &mut Context, block: &Statement, wanted: Wanted, instance: &mut Instance) {
    instance.virtual_link = Some(match wanted {
        Wanted::Vmac(wanted) => VirtualLink::Vmac(Vmac {
            name: wanted.name.unwrap_or_default(),
            address: match wanted.address {
                Some(_) if instance.strict => {
                    let message = format!(
                        "({}) strict mode has MAC addresses of the standard only",
                        instance.name
                    );
                    context.error("strict", block.span, message);
                    standard_mac(instance.family, instance.vrid)
                }
                Some(address) => address.of(instance.vrid),
                None => standard_mac(instance.family, instance.vrid),
            },
            notify_again: wanted.notify_again,
            group: wanted.group,
        }),
        Wanted::Ipvlan(wanted) => {
            if instance.family == Family::Inet && wanted.address.is_none() {
                let message =
                    format!("({}) an ipvlan for IPv4 needs an address of its own", instance.name);
                context.error("ipvlan-address", block.span, message);
            }
            let family = instance.family;
            if wanted.address.is_some_and(|(address, _)| Family::of(address) != family) {
                let message =
                    format!("({}) the ipvlan's address is of another family", instance.name);
                context.error("mixed-family", block.span, message);
            }
            VirtualLink::Ipvlan(Ipvlan {
                name: wanted.name.unwrap_or_default(),
                address: wanted.address.filter(|(address, _)| Family::of(*address) == family),
                mode: wanted.mode,
                group: wanted.group,
            })
        }
    });
}

/// Gives each made interface a name of its own: `PREFIX.NUMBER`, and when that is taken
/// `PREFIX6.NUMBER` for IPv6, then `PREFIX1.NUMBER` and so on. Instance by instance, its own before
/// those of its addresses, as keepalived does.
pub fn settle_names(
    context: &mut Context,
    instances: &mut [Arc<Instance>],
    defaults: &VrrpDefaults,
) {
    let mut names = LinkNames::default();
    // Written names first, whatever the order.
    for instance in instances.iter_mut().filter(|found| found.virtual_link.is_some()) {
        let instance = Arc::make_mut(instance);
        let owner = instance.name.clone();
        let Some(name) = link_name(instance).filter(|name| !name.is_empty()) else { continue };
        if let Some(other) = names.taken.get(name) {
            let message =
                format!("({owner}) {other} uses the interface name {name}, it is ignored");
            context.error("duplicate-link", somewhere(context), message);
            name.clear();
        } else {
            names.taken.insert(name.clone(), owner);
        }
    }
    let prefix = defaults.vmac_address_prefix.as_deref().unwrap_or(&defaults.vmac_prefix);
    for instance in instances.iter_mut() {
        let own = instance.virtual_link.is_some();
        if own || wants_address_links(instance) {
            let instance = Arc::make_mut(instance);
            if own {
                name_own_link(context, instance, &mut names, &defaults.vmac_prefix);
            }
            make_address_links(context, instance, &mut names, prefix);
        }
    }
}

/// The interfaces that are made.
#[derive(Default)]
struct LinkNames {
    /// By name: for which instance.
    taken: BTreeMap<String, String>,
    /// By the interface beneath and the MAC address, which the kernel has but once.
    by_place: BTreeMap<(String, [u8; 6]), String>,
}

impl LinkNames {
    fn free(&self, prefix: &str, family: Family, vrid: Vrid) -> String {
        let usual = std::iter::once(format!("{prefix}.{vrid}"));
        let six = (family == Family::Inet6).then(|| format!("{prefix}6.{vrid}"));
        let counted = (1..=self.taken.len() + 1).map(|count| format!("{prefix}{count}.{vrid}"));
        let mut names = usual.chain(six).chain(counted);
        names.find(|name| !self.taken.contains_key(name)).unwrap_or_default()
    }
}

fn name_own_link(
    context: &mut Context,
    instance: &mut Instance,
    names: &mut LinkNames,
    prefix: &str,
) {
    let (owner, vrid, family) = (instance.name.clone(), instance.vrid, instance.family);
    if let Some(name) = link_name(instance).filter(|name| name.is_empty()) {
        *name = names.free(prefix, family, vrid);
        let name = name.clone();
        names.taken.insert(name.clone(), owner);
        // Addresses that name no interface are on this one.
        let addresses =
            instance.addresses.iter_mut().chain(&mut instance.options.excluded_addresses);
        for address in addresses.filter(|found| found.interface.as_deref() == Some("")) {
            Arc::make_mut(address).interface = Some(name.as_str().into());
        }
    }
    if let (Some(VirtualLink::Vmac(vmac)), Some(base)) =
        (&instance.virtual_link, &instance.interface)
    {
        let place = (base.clone(), vmac.address);
        if let Some(first) = names.by_place.get(&place).and_then(|name| names.taken.get(name)) {
            tell_same_mac(context, instance, first, base);
        }
        names.by_place.entry(place).or_insert_with(|| vmac.name.clone());
    }
}

/// Two routers of one number on one network: one of them would speak with the other's address.
fn tell_same_mac(context: &mut Context, instance: &Instance, other: &str, base: &str) {
    let message = format!(
        "({}) has the virtual MAC address of {other} on {base}: their numbers should differ",
        instance.name
    );
    context.warning("same-mac", somewhere(context), message);
}

/// Addresses that want a virtual MAC and are not on the instance's own.
fn wants_address_links(instance: &Instance) -> bool {
    let addresses = instance.addresses.iter().chain(&instance.excluded_addresses);
    addresses.into_iter().any(|address| address.use_vmac)
}

fn make_address_links(
    context: &mut Context,
    instance: &mut Instance,
    names: &mut LinkNames,
    prefix: &str,
) {
    let own = match &instance.virtual_link {
        Some(VirtualLink::Vmac(vmac)) => Some(vmac.clone()),
        Some(VirtualLink::Ipvlan(_)) | None => None,
    };
    let mut links: Vec<AddressLink> = Vec::new();
    let mut addresses = std::mem::take(&mut instance.addresses);
    let mut excluded = std::mem::take(&mut instance.excluded_addresses);
    for address in addresses.iter_mut().chain(&mut excluded).filter(|found| found.use_vmac) {
        let Some(base) = address.interface.as_deref().map(str::to_owned) else { continue };
        let family = Family::of(address.address);
        let on_own = own.as_ref().filter(|own| own.name == base);
        if on_own.is_some() {
            continue;
        }
        // A MAC address that was written is for the family of the instance.
        let mac = match &own {
            Some(own) if family == instance.family => own.address,
            Some(_) | None => standard_mac(family, instance.vrid),
        };
        let place = (base.clone(), mac);
        let name = match names.by_place.get(&place) {
            Some(name) => name.clone(),
            None => {
                let name = names.free(prefix, family, instance.vrid);
                names.taken.insert(name.clone(), instance.name.clone());
                names.by_place.insert(place, name.clone());
                name
            }
        };
        let other = names.taken.get(&name).filter(|owner| **owner != instance.name).cloned();
        if let Some(other) = other {
            tell_same_mac(context, instance, &other, &base);
        }
        if !links.iter().any(|link| link.vmac.name == name) {
            let vmac = Vmac {
                name: name.clone(),
                address: mac,
                notify_again: own.as_ref().is_some_and(|own| own.notify_again),
                group: own.as_ref().and_then(|own| own.group.clone()),
            };
            links.push(AddressLink { base, family, vmac });
        }
        Arc::make_mut(address).interface = Some(name.into());
    }
    instance.addresses = addresses;
    instance.excluded_addresses = excluded;
    instance.address_links = links;
}

/// Where nothing better is known.
fn somewhere(context: &Context) -> Span {
    context.places.interfaces.first().map_or(Span::default(), |place| place.1)
}

fn link_name(instance: &mut Instance) -> Option<&mut String> {
    match &mut instance.virtual_link {
        Some(VirtualLink::Vmac(vmac)) => Some(&mut vmac.name),
        Some(VirtualLink::Ipvlan(ipvlan)) => Some(&mut ipvlan.name),
        None => None,
    }
}

/// RFC 9568 section 7.3.
fn standard_mac(family: Family, vrid: Vrid) -> [u8; 6] {
    let kind = match family {
        Family::Inet => 1,
        Family::Inet6 => 2,
    };
    [0, 0, 0x5e, 0, kind, vrid.get()]
}

fn bare_name(context: &mut Context, word: &Token, slot: &mut Option<String>) {
    if slot.is_some() {
        let message = format!("'{}' is a second name of the interface, it is ignored", word.text);
        return context.error("extra-words", word.span, message);
    }
    *slot = name(context, word, Some(word));
}

fn name(context: &mut Context, word: &Token, value: Option<&Token>) -> Option<String> {
    let Some(value) = value else {
        let message = format!("`{}` lacks its value", word.text);
        context.error("missing-value", word.span, message);
        return None;
    };
    context.parse_token("the name of the interface", value, values::interface_name)
}

fn group(context: &mut Context, word: &Token, words: &mut Words<'_>) -> Option<Named> {
    words.named(context, word, NameTable::Groups).ok()
}

/// Six octets, or five before the router's number; not a multicast address.
fn mac(word: &str) -> Result<Mac, Fault> {
    let fault = || "not a MAC address of six octets, or of five".to_owned();
    let octets: Vec<u8> = word
        .split(':')
        .map(|octet| u8::from_str_radix(octet, 16))
        .collect::<Result<_, _>>()
        .map_err(|_| fault())?;
    let (first, rest) = octets.split_first_chunk::<5>().ok_or_else(fault)?;
    let last = match rest {
        [] => None,
        [last] => Some(*last),
        _ => return Err(fault()),
    };
    if octets.first().is_some_and(|first| first & MULTICAST != 0) {
        return Err("a multicast address".to_owned());
    }
    Ok(Mac { first: *first, last })
}

/// `[all] SECONDS`; 0 is for instances only, where it turns the global setting off.
pub fn extra_announcements(
    context: &mut Context,
    statement: &Statement,
    least: u32,
) -> Option<ExtraAnnouncements> {
    let first = context.required(statement)?;
    let all = first.text == "all";
    let token = if all { statement.arguments().get(1) } else { Some(first) };
    let Some(token) = token else {
        let message = format!("`{}` lacks its interval", statement.keyword());
        context.error("missing-value", statement.span, message);
        return None;
    };
    let grammar = |word: &str| values::number(word, least..=RAREST_ANNOUNCEMENT);
    let seconds = context.parse_token(statement.keyword(), token, grammar)?;
    Some(ExtraAnnouncements { interval: Interval::from_secs(seconds.into()), all })
}

/// A `garp_group` block.
pub fn garp_group(context: &mut Context, block: &Statement, config: &mut VrrpConfig) {
    let mut group = GarpGroup::default();
    let any = Interval::ZERO..=LONG;
    for statement in block.children() {
        match statement.keyword() {
            "garp_interval" => {
                let found = context.seconds(statement, any.clone());
                group.garp_interval = found.or(group.garp_interval);
            }
            "gna_interval" => {
                let found = context.seconds(statement, any.clone());
                group.gna_interval = found.or(group.gna_interval);
            }
            "interface" => {
                if let Some(token) = context.required(statement) {
                    member(context, token, &mut group, config);
                }
            }
            "interfaces" => {
                let inner = statement.children().iter().flat_map(|child| &child.words);
                let mut any = false;
                for token in inner {
                    any = true;
                    member(context, token, &mut group, config);
                }
                if !any {
                    context.error("empty-block", statement.span, "interfaces without a name");
                }
            }
            _ => context.unknown("garp_group", statement),
        }
    }
    if group.garp_interval.is_none() && group.gna_interval.is_none() {
        let message = "a garp_group without an interval, it is left out";
        return context.error("no-interval", block.span, message);
    }
    config.garp_groups.push(group);
}

fn member(context: &mut Context, token: &Token, group: &mut GarpGroup, config: &VrrpConfig) {
    let taken = |known: &GarpGroup| known.interfaces.iter().any(|name| token.text == *name);
    if taken(group) || config.garp_groups.iter().any(taken) {
        let message = format!("{} is in a garp_group already", token.text);
        return context.error("duplicate", token.span, message);
    }
    if let Some(name) = context.parse_token("interface", token, values::interface_name) {
        context.needs_interface(&name, token.span, Need::Mentioned);
        group.interfaces.push(name);
    }
}

/// The `interface_up_down_delays` block.
pub fn delays(context: &mut Context, block: &Statement, config: &mut VrrpConfig) {
    for statement in block.children() {
        let Some(first) = statement.words.first() else { continue };
        let Some(down) = statement.arguments().first() else {
            let message = format!("{} lacks its delay", first.text);
            context.error("missing-value", statement.span, message);
            continue;
        };
        let grammar = |word: &str| values::seconds(word, Interval::ZERO..=LONGEST_DELAY);
        let name = context.parse_token("interface", first, values::interface_name);
        let up = match statement.arguments().get(1) {
            None => Some(Interval::ZERO),
            Some(up) => context.parse_token("up delay", up, grammar),
        };
        let down = context.parse_token("down delay", down, grammar);
        if let (Some(interface), Some(down), Some(up)) = (name, down, up) {
            context.needs_interface(&interface, first.span, Need::Mentioned);
            if config.interface_delays.iter().any(|known| known.interface == interface) {
                let message = format!("{interface} has its delays already");
                context.error("duplicate", statement.span, message);
                continue;
            }
            config.interface_delays.push(InterfaceDelay { interface, down, up });
        }
    }
}

/// The `linkbeat_interfaces` block.
pub fn linkbeat(context: &mut Context, block: &Statement, config: &mut VrrpConfig) {
    for statement in block.children() {
        let Some(first) = statement.words.first() else { continue };
        let Some(interface) = context.parse_token("interface", first, values::interface_name)
        else {
            continue;
        };
        let method = statement.arguments().first().and_then(|token| {
            context.parse_token("linkbeat_interfaces", token, |word| match word {
                "MII" => Ok(LinkbeatMethod::Mii),
                "ETHTOOL" => Ok(LinkbeatMethod::Ethtool),
                "IOCTL" => Ok(LinkbeatMethod::Ioctl),
                _ => Err("none of MII, ETHTOOL, IOCTL".to_owned()),
            })
        });
        if let Some(extra) = statement.arguments().get(1) {
            let message = format!("'{}' is too much", extra.text);
            context.error("extra-words", extra.span, message);
        }
        context.needs_interface(&interface, first.span, Need::Instance);
        config.linkbeat_interfaces.push(LinkbeatInterface { interface, method });
    }
}
