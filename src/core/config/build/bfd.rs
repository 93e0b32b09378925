//! `bfd_instance`.

use super::context::Context;
use super::global::{byte, keep, set};
use super::track::effect;
use super::tracked::weight_of;
use crate::core::config::model::Family;
use crate::core::config::model::bfd::{BfdListeners, BfdSession};
use crate::core::config::tree::Statement;
use crate::core::config::values::{self, Fault};
use crate::core::time::Interval;

const BLOCK: &str = "bfd_instance";
/// Bytes of a name.
const LONGEST_NAME: usize = 31;
/// Milliseconds that fit the packet's microseconds.
const LONGEST: u64 = 4_294_967;
/// Above this, in milliseconds, detection is so slow that it was hardly meant.
const SLOW: Interval = Interval::from_secs(10);

/// A `bfd_instance` block.
pub fn build(context: &mut Context, block: &Statement, sessions: &mut Vec<BfdSession>) {
    let Some(name) = context.text(block) else {
        return;
    };
    if name.len() > LONGEST_NAME {
        let message =
            format!("the name of bfd_instance {name} is longer than {LONGEST_NAME} bytes");
        return context.error("bad-value", block.span, message);
    }
    if sessions.iter().any(|session| session.name == name) {
        let message = format!("bfd_instance {name} is defined twice, the first counts");
        return context.error("duplicate", block.span, message);
    }
    let (mut neighbour, mut source, mut ttl) = (None, None, None);
    let (mut for_vrrp, mut for_checker) = (false, false);
    let mut session = BfdSession {
        name,
        neighbour: std::net::Ipv4Addr::UNSPECIFIED.into(),
        source: None,
        receive_interval: Interval::from_millis(10),
        transmit_interval: Interval::from_millis(10),
        idle_interval: Interval::from_secs(1),
        multiplier: 5,
        passive: false,
        ttl: 255,
        max_hops: Some(0),
        multihop: false,
        effect: effect(0, false),
        listeners: BfdListeners::Both,
    };
    for statement in block.children() {
        match statement.keyword() {
            "neighbor_ip" | "neighbour_ip" => {
                neighbour = context.parse(statement, values::address);
            }
            "source_ip" => {
                let found = context.parse(statement, values::address);
                keep(&mut source, found.map(|address| (address, statement.span)));
            }
            "min_rx" => set(&mut session.receive_interval, interval(context, statement, 1)),
            "min_tx" => set(&mut session.transmit_interval, interval(context, statement, 1)),
            "idle_tx" => set(&mut session.idle_interval, interval(context, statement, 1000)),
            "multiplier" => set(&mut session.multiplier, byte(context, statement, 1, 255)),
            "passive" => session.passive = true,
            "ttl" | "hoplimit" => keep(&mut ttl, byte(context, statement, 1, 255)),
            "max_hops" => {
                let found = context.parse(statement, |word| values::signed(word, -1..=255));
                if let Some(hops) = found {
                    // 255 and -1 let everything pass.
                    session.max_hops = u8::try_from(hops).ok().filter(|hops| *hops < 255);
                }
            }
            "multihop" => set(&mut session.multihop, context.boolean(statement)),
            "weight" => {
                if context.required(statement).is_some()
                    && let Some((weight, reverse)) = weight_of(context, statement, -253..=253)
                {
                    session.effect = effect(weight, reverse);
                }
            }
            "vrrp" => for_vrrp = true,
            "checker" => for_checker = true,
            _ => context.unknown(BLOCK, statement),
        }
    }
    let Some(neighbour) = neighbour else {
        let message = format!("bfd_instance {} has no neighbour, it is left out", session.name);
        return context.error("no-neighbour", block.span, message);
    };
    session.neighbour = neighbour;
    if let Some((source, span)) = source {
        if Family::of(source) == Family::of(neighbour) {
            session.source = Some(source);
        } else {
            let message = "source_ip is of another family than the neighbour, it is ignored";
            context.error("mixed-family", span, message);
        }
    }
    session.ttl = ttl.unwrap_or(match Family::of(neighbour) {
        Family::Inet => 255,
        Family::Inet6 => 64,
    });
    let same = |other: &BfdSession| {
        let overlap = other.source.is_none() || session.source.is_none();
        other.neighbour == neighbour && (overlap || other.source == session.source)
    };
    if let Some(other) = sessions.iter().find(|other| same(other)) {
        let message = format!(
            "bfd_instance {} has the addresses of {}, it is left out",
            session.name, other.name
        );
        return context.error("duplicate", block.span, message);
    }
    session.listeners = match (for_vrrp, for_checker) {
        (true, false) => BfdListeners::Vrrp,
        (false, true) => BfdListeners::Checker,
        (true, true) | (false, false) => BfdListeners::Both,
    };
    sessions.push(session);
}

/// Milliseconds with a fraction.
fn interval(context: &mut Context, statement: &Statement, least: u64) -> Option<Interval> {
    let found = context.parse(statement, |word| milliseconds(word, least))?;
    if found > SLOW {
        let message = format!("{} {found} is very slow", statement.keyword());
        context.warning("slow", statement.span, message);
    }
    Some(found)
}

fn milliseconds(word: &str, least: u64) -> Result<Interval, Fault> {
    let range = Interval::from_secs(least)..=Interval::from_secs(LONGEST);
    let fault = || format!("not a number of milliseconds in {least}..{LONGEST}");
    let found = values::seconds(word, range).map_err(|_| fault())?;
    Ok(Interval::from_micros(found.as_micros() / 1000))
}
