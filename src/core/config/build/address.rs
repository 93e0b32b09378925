//! Lines of `virtual_ipaddress` and its like.

use std::net::IpAddr;

use super::Need;
use super::context::Context;
use super::route::{self, Owner};
use super::words::Words;
use crate::core::config::keywords::is_acted_on;
use crate::core::config::model::Config;
use crate::core::config::model::vrrp::VirtualAddress;
use crate::core::config::tree::{Statement, Token};
use crate::core::config::values;
use crate::core::diagnostics::Span;

const LINE: &str = "address_line";
/// Of static addresses, when nothing is said.
const DEFAULT_INTERFACE: &str = "eth0";

/// The address lines of a block; duplicates are told and dropped.
pub fn addresses(
    context: &mut Context,
    block: &Statement,
    owner: Owner,
    into: &mut Vec<(VirtualAddress, Span)>,
) {
    for statement in context.entries(block) {
        if let Some(address) = address_line(context, statement, owner) {
            if into.iter().any(|(known, _)| same_address(known, &address)) {
                let message = format!("the address {} is there already", address.address);
                context.error("duplicate", statement.span, message);
                continue;
            }
            into.push((address, statement.span));
        }
    }
}

/// `static_ipaddress`: addresses without `dev` are on the default interface.
pub fn statics(context: &mut Context, block: &Statement, config: &mut Config) {
    let mut found = Vec::new();
    addresses(context, block, Owner::Static, &mut found);
    let interface = config.global.vrrp.default_interface.as_deref().unwrap_or(DEFAULT_INTERFACE);
    for (mut address, span) in found {
        if address.interface.is_none() {
            context.needs_interface(interface, span, Need::Mentioned);
            address.interface = Some(interface.into());
        }
        config.vrrp.static_addresses.push(address);
    }
}

fn same_address(left: &VirtualAddress, right: &VirtualAddress) -> bool {
    (left.address, left.prefix, &left.interface) == (right.address, right.prefix, &right.interface)
}

/// `ADDR[/LEN] [dev IF] [scope S] [label L] [brd B] [peer P] [no_track] …`
fn address_line(
    context: &mut Context,
    statement: &Statement,
    owner: Owner,
) -> Option<VirtualAddress> {
    let (first, mut rest) = statement.words.split_first()?;
    let (address, prefix) = context.parse_token("address", first, values::network)?;
    let mut found = VirtualAddress::new(address, prefix);
    let mut lifetime = None;
    let v4 = address.is_ipv4();
    while let Some((word, tail)) = rest.split_first() {
        rest = tail;
        if owner == Owner::Instance && !is_acted_on(LINE, &word.text) {
            context.not_acted_on(LINE, &word.text, word.span);
        }
        let mut value = || {
            let (value, tail) = rest.split_first()?;
            rest = tail;
            Some(value)
        };
        match &*word.text {
            "dev" if found.interface.is_some() => {
                context.error("duplicate", word.span, "`dev` twice, the address is left out");
                return None;
            }
            "dev" => {
                let name = needs_value(context, word, value())?;
                context.needs_interface(&name.text, name.span, Need::Mentioned);
                found.interface = Some((*name.text).into());
            }
            "scope" => {
                let name = needs_value(context, word, value())?;
                match scope(&name.text) {
                    Some(scope) if v4 => found.scope = scope,
                    Some(_) | None => {
                        let message = format!("scope '{}' is not for this address", name.text);
                        context.error("bad-value", name.span, message);
                    }
                }
            }
            "label" => {
                let name = needs_value(context, word, value())?;
                if name.text.len() >= 16 {
                    let message = format!("the label '{}' is too long", name.text);
                    context.error("bad-value", name.span, message);
                    return None;
                }
                if v4 {
                    found.label = Some(name.text.to_string());
                } else {
                    context.error("bad-value", name.span, "an IPv6 address has no label");
                }
            }
            "brd" | "broadcast" => {
                let name = needs_value(context, word, value())?;
                found.broadcast = Some(broadcast(context, name, address, prefix)?);
            }
            "peer" => {
                let name = needs_value(context, word, value())?;
                if first.text.contains('/') {
                    let message = "the prefix length stands after the peer, this one is ignored";
                    context.error("peer-prefix", first.span, message);
                }
                if let Some((peer, prefix)) = context.parse_token("peer", name, values::network) {
                    // Both ends of one family; a point-to-point address has no broadcast address.
                    if peer.is_ipv4() == v4 {
                        (found.peer, found.prefix, found.broadcast) = (Some(peer), prefix, None);
                    } else {
                        context.error("mixed-family", name.span, "the peer is of another family");
                    }
                }
            }
            "no_track" => found.no_track = true,
            "home" => found.flags.home = true,
            "-nodad" => found.flags.detect_duplicates = true,
            "mngtmpaddr" => found.flags.manage_temporary = true,
            "noprefixroute" => found.flags.no_prefix_route = true,
            "autojoin" => found.flags.autojoin = true,
            "use_vmac" if owner == Owner::Instance => found.use_vmac = true,
            "use_vmac" => {
                let message = "use_vmac is for virtual addresses, it is ignored";
                context.error("static-vmac", word.span, message);
            }
            "preferred_lft" => {
                let name = needs_value(context, word, value())?;
                lifetime = context.parse_token("preferred_lft", name, |word| match word {
                    "forever" => Ok(None),
                    _ => values::number(word, 0..=u32::MAX).map(Some),
                });
            }
            "track_group" => {
                let mut words = Words::new(rest);
                let name = route::track_group(context, word, &mut words, owner);
                rest = words.rest();
                found.track_group = name.ok()?;
            }
            other => {
                let message = format!("unknown word '{other}' after an address");
                context.error("unknown-keyword", word.span, message);
            }
        }
    }
    found.preferred_lifetime = lifetime.unwrap_or(match found.prefix {
        128 => Some(0),
        _ => None,
    });
    Some(found)
}

fn needs_value<'a>(
    context: &mut Context,
    word: &Token,
    value: Option<&'a Token>,
) -> Option<&'a Token> {
    if value.is_none() {
        let message = format!("`{}` lacks its value, the address is left out", word.text);
        context.error("missing-value", word.span, message);
    }
    value
}

/// Names of rt_scopes(5), or a number.
fn scope(name: &str) -> Option<u8> {
    match name {
        "global" | "universe" => Some(0),
        "site" => Some(200),
        "link" => Some(253),
        "host" => Some(254),
        "nowhere" => Some(255),
        number => number.parse().ok(),
    }
}

fn broadcast(context: &mut Context, token: &Token, address: IpAddr, prefix: u8) -> Option<IpAddr> {
    let IpAddr::V4(own) = address else {
        context.error("bad-value", token.span, "an IPv6 address has no broadcast address");
        return None;
    };
    let hosts = u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
    match &*token.text {
        "+" if prefix <= 30 => Some(IpAddr::V4((own.to_bits() | hosts).into())),
        "-" if prefix <= 30 => Some(IpAddr::V4((own.to_bits() & !hosts).into())),
        _ => context.parse_token("broadcast", token, |word| match values::address(word)? {
            IpAddr::V4(found) => Ok(IpAddr::V4(found)),
            IpAddr::V6(_) => Err("not an IPv4 address".to_owned()),
        }),
    }
}
