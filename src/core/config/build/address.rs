//! Lines of `virtual_ipaddress` and its like.

use std::net::IpAddr;

use super::Need;
use super::Unsupported;
use super::context::Context;
use crate::core::config::model::vrrp::VirtualAddress;
use crate::core::config::tree::{Statement, Token};
use crate::core::config::values;
use crate::core::diagnostics::Span;

/// The address lines of a block; duplicates are told and dropped.
pub fn addresses(context: &mut Context, block: &Statement, into: &mut Vec<(VirtualAddress, Span)>) {
    for statement in block.children() {
        if let Some(address) = address_line(context, statement) {
            if into.iter().any(|(known, _)| same_address(known, &address)) {
                let message = format!("the address {} is there already", address.address);
                context.error("duplicate", statement.span, message);
                continue;
            }
            into.push((address, statement.span));
        }
    }
}

fn same_address(left: &VirtualAddress, right: &VirtualAddress) -> bool {
    (left.address, left.prefix, &left.interface) == (right.address, right.prefix, &right.interface)
}

/// `ADDR[/LEN] [dev IF] [scope S] [label L] [brd B] [peer P] [no_track] …`
fn address_line(context: &mut Context, statement: &Statement) -> Option<VirtualAddress> {
    let (first, mut rest) = statement.words.split_first()?;
    let (address, prefix) = context.parse_token("address", first, values::network)?;
    let mut found = VirtualAddress {
        address,
        prefix,
        interface: None,
        label: None,
        scope: 0,
        broadcast: None,
        peer: None,
        no_track: false,
    };
    let v4 = address.is_ipv4();
    while let Some((word, tail)) = rest.split_first() {
        rest = tail;
        let mut value = || {
            let (value, tail) = rest.split_first()?;
            rest = tail;
            Some(value)
        };
        match word.text.as_str() {
            "dev" => {
                let name = needs_value(context, word, value())?;
                context.needs_interface(&name.text, name.span, Need::Mentioned);
                found.interface = Some(name.text.clone());
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
                    found.label = Some(name.text.clone());
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
                if let Some((peer, prefix)) = context.parse_token("peer", name, values::network) {
                    (found.peer, found.prefix) = (Some(peer), prefix);
                }
            }
            "no_track" => found.no_track = true,
            "home" | "-nodad" | "mngtmpaddr" | "noprefixroute" | "autojoin" | "use_vmac" => {
                context.unsupported.push(Unsupported {
                    block: "address_line".to_owned(),
                    keyword: word.text.clone(),
                    span: word.span,
                });
            }
            "preferred_lft" | "track_group" => {
                value();
                context.unsupported.push(Unsupported {
                    block: "address_line".to_owned(),
                    keyword: word.text.clone(),
                    span: word.span,
                });
            }
            other => {
                let message = format!("unknown word '{other}' after an address");
                context.error("unknown-keyword", word.span, message);
            }
        }
    }
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
    match token.text.as_str() {
        "+" if prefix <= 30 => Some(IpAddr::V4((own.to_bits() | hosts).into())),
        "-" if prefix <= 30 => Some(IpAddr::V4((own.to_bits() & !hosts).into())),
        _ => context.parse_token("broadcast", token, |word| match values::address(word)? {
            IpAddr::V4(found) => Ok(IpAddr::V4(found)),
            IpAddr::V6(_) => Err("not an IPv4 address".to_owned()),
        }),
    }
}
