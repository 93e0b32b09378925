//! `strict_mode`: what the standard leaves no choice about.

use std::net::IpAddr;

use super::context::Context;
use crate::core::config::model::Family;
use crate::core::config::model::vrrp::{InitialState, Instance, VrrpVersion};
use crate::core::config::tree::Statement;
use crate::core::diagnostics::Span;
use crate::core::time::Interval;

/// Adverts that a master may miss (RFC 9568 section 6.1).
const DOWN_TIMER_ADVERTS: u8 = 3;

/// What the instance itself says against the standard; defaults are corrected in silence.
#[derive(Debug, Clone, Copy, Default)]
pub struct Written {
    /// `lower_prio_no_advert off`.
    pub lower_priority_advert: bool,
    /// `garp_lower_prio_…`.
    pub lower_priority_announcements: bool,
}

/// Corrects an instance in strict mode.
pub fn settle(context: &mut Context, span: Span, written: Written, instance: &mut Instance) {
    let name = instance.name.clone();
    let mut tell = |what: &str| {
        context.error("strict", span, format!("({name}) strict mode: {what}"));
    };
    let owner = instance.priority.is_owner();
    let wanted = if owner { InitialState::Master } else { InitialState::Backup };
    if instance.initial_state != wanted {
        tell("the state must agree with the priority");
        instance.initial_state = wanted;
    }
    if instance.down_timer_adverts != DOWN_TIMER_ADVERTS {
        tell("a master is down after three adverts, down_timer_adverts is ignored");
        instance.down_timer_adverts = DOWN_TIMER_ADVERTS;
    }
    if written.lower_priority_announcements {
        tell("nothing is announced at a lower priority, garp_lower_prio_… is ignored");
    }
    instance.garp.lower_priority_repeat = 0;
    instance.garp.lower_priority_delay = Interval::ZERO;
    if written.lower_priority_advert {
        tell("a lower priority is not answered, lower_prio_no_advert is on");
    }
    instance.lower_priority_no_advert = true;
    if instance.higher_priority_send_advert {
        tell("a higher priority is not answered, higher_prio_send_advert is off");
        instance.higher_priority_send_advert = false;
    }
    instance.owner_ignores_adverts = owner;
    // RFC 9568 section 5.2.9.
    let first = instance.addresses.first().map(|address| address.address);
    if instance.family == Family::Inet6 && !first.is_some_and(is_link_local) {
        tell("the first IPv6 address must be link-local");
    }
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

/// Version 2 has no accept mode (RFC 3768 section 6.4.3), which strict mode enforces.
pub fn settle_accept(
    context: &mut Context,
    block: &Statement,
    accept: Option<bool>,
    instance: &mut Instance,
) {
    let owner = instance.priority.is_owner();
    let barred = instance.strict && instance.version == VrrpVersion::V2 && !owner;
    instance.accept = match accept {
        Some(true) if barred => {
            let message =
                format!("({}) strict version 2 has no accept mode, it is ignored", instance.name);
            context.error("strict", block.span, message);
            false
        }
        Some(accept) => accept || owner,
        None => owner || !instance.strict,
    };
}
