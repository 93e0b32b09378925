//! `vrrp_instance`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::Need;
use super::address::addresses;
use super::context::Context;
use super::global::{byte, is_link_scope, keep, repeat, set};
use super::route::{Owner, routes};
use super::rule::rules;
use super::track::{Objects, track_interfaces};
use super::{hmac, link, strict};
use crate::core::config::model::global::{Global, VrrpDefaults};
use crate::core::config::model::hmac::HmacMode;
use crate::core::config::model::link::VirtualLink;
use crate::core::config::model::vrrp::{
    Authentication, InitialState, Instance, InstanceOptions, NotifyScripts, OldChecksum,
    Preemption, Priority, TrackedInterface, Transport, UnicastPeer, VirtualAddress, Vrid,
    VrrpVersion,
};
use crate::core::config::model::{Config, Family};
use crate::core::config::tree::Statement;
use crate::core::config::values;
use crate::core::diagnostics::Span;
use crate::core::shared::Shared;
use crate::core::time::Interval;

const INSTANCE: &str = "vrrp_instance";
/// The count byte of an advert.
const MOST_ADDRESSES: usize = 255;
/// Seconds.
const LONG: u32 = 4294;

/// What is said about an instance, before the defaults are worked in.
#[derive(Default)]
struct Draft {
    interface: Option<(String, Span)>,
    vrid: Option<Vrid>,
    state: Option<InitialState>,
    priority: Option<u8>,
    version: Option<VrrpVersion>,
    advert_interval: Option<Interval>,
    auth_type: Option<AuthType>,
    auth_pass: Option<[u8; 8]>,
    peers: Option<Vec<UnicastPeer>>,
    unicast_source: Option<IpAddr>,
    multicast_source: Option<IpAddr>,
    group: Option<IpAddr>,
    ttl: Option<u8>,
    check_source: bool,
    addresses: Vec<(VirtualAddress, Span)>,
    excluded: Vec<(VirtualAddress, Span)>,
    no_addresses: bool,
    native_ipv6: Option<Span>,
    nopreempt: Option<Span>,
    preempt_delay: Option<(Interval, Span)>,
    strict: Option<bool>,
    skip_check: Option<bool>,
    accept: Option<bool>,
    link: Option<link::Wanted>,
    addresses_on_vmac: bool,
    transmit_on_base: Option<Span>,
    hmac: Option<(hmac::Draft, Span)>,
    timer_expired_backup: Option<(Priority, Span)>,
    old_checksum: Option<(OldChecksum, Span)>,
    owner_ignores: Option<(bool, Span)>,
    promote_secondaries: Option<Span>,
    written: strict::Written,
}

#[derive(Clone, Copy)]
enum AuthType {
    Pass,
    Ah,
}

/// A `vrrp_instance` block.
pub fn instance(context: &mut Context, block: &Statement, config: &mut Config) {
    let Some(name) = context.text(block) else {
        return;
    };
    if config.vrrp.instances.iter().any(|instance| instance.name == name) {
        let message = format!("vrrp_instance {name} is defined twice, the first counts");
        return context.error("duplicate", block.span, message);
    }
    if let Some(extra) = block.arguments().get(1) {
        let message = format!("'{}' is a second name of vrrp_instance {name}", extra.text);
        return context.error("extra-words", extra.span, message);
    }
    let global = &config.global;
    let mut draft = Draft::default();
    let mut instance = blank(name, global);
    let objects = Objects::of(config);
    for statement in block.children() {
        one(context, statement, &mut draft, &mut instance, &objects);
    }
    if let Some(instance) = complete(context, block, draft, instance, &global.vrrp) {
        config.vrrp.instances.push(Arc::new(instance));
    }
}

fn blank(name: String, global: &Global) -> Instance {
    let defaults = &global.vrrp;
    Instance {
        name,
        version: defaults.version,
        transport: Transport::Multicast { group: defaults.multicast4.into() },
        strict: defaults.strict,
        skip_check_adv_addr: defaults.skip_check_adv_addr,
        lower_priority_no_advert: defaults.lower_priority_no_advert,
        higher_priority_send_advert: defaults.higher_priority_send_advert,
        owner_ignores_adverts: defaults.owner_ignores_adverts,
        v3_checksum_as_v2: defaults.v3_checksum_as_v2,
        down_timer_adverts: defaults.down_timer_adverts,
        notify_priority_changes: defaults.notify_priority_changes,
        smtp_alert: global.mail.vrrp_default(),
        options: Shared::from(InstanceOptions {
            garp: defaults.garp,
            extra_announcements: defaults.extra_announcements,
            ..InstanceOptions::default()
        }),
        ..Instance::default()
    }
}

fn one(
    context: &mut Context,
    statement: &Statement,
    draft: &mut Draft,
    instance: &mut Instance,
    objects: &Objects<'_>,
) {
    match statement.keyword() {
        "state" => {
            draft.state = context.parse(statement, |word| match word {
                "MASTER" => Ok(InitialState::Master),
                "BACKUP" => Ok(InitialState::Backup),
                _ => Err("neither MASTER nor BACKUP; BACKUP is used".to_owned()),
            });
        }
        "interface" => interface(context, statement, draft, instance),
        "virtual_router_id" => {
            keep(&mut draft.vrid, byte(context, statement, 1, 255).and_then(Vrid::new));
        }
        // After a fault it must not become that of an owner.
        "priority" => draft.priority = Some(byte(context, statement, 1, 255).unwrap_or(100)),
        "version" => version(context, statement, draft),
        "advert_int" => {
            let range = Interval::from_centis(1)..=Interval::from_secs(255);
            draft.advert_interval = context.seconds(statement, range);
        }
        "authentication" => authentication(context, statement, draft),
        "virtual_ipaddress" => addresses(context, statement, Owner::Instance, &mut draft.addresses),
        "virtual_ipaddress_excluded" => {
            addresses(context, statement, Owner::Instance, &mut draft.excluded);
        }
        "no_virtual_ipaddress" => draft.no_addresses = true,
        "unicast_peer" => draft.peers = Some(peers(context, statement)),
        "unicast_src_ip" => {
            keep(&mut draft.unicast_source, context.parse(statement, values::address));
        }
        "mcast_src_ip" => {
            keep(&mut draft.multicast_source, context.parse(statement, values::address));
        }
        "mcast_dst_ip" => match context.parse(statement, values::address) {
            Some(group) if !group.is_multicast() => {
                context.error("bad-value", statement.span, "not a multicast address");
            }
            Some(IpAddr::V6(group)) if !is_link_scope(group) => {
                context.error("not-link-local", statement.span, "not of the scope of a link");
            }
            found => keep(&mut draft.group, found),
        },
        "unicast_ttl" => keep(&mut draft.ttl, byte(context, statement, 0, 255)),
        "check_unicast_src" => draft.check_source = true,
        "dont_track_primary" => {
            context.flag(statement);
            instance.dont_track_primary = true;
        }
        "track_interface" => {
            track_interfaces(context, statement, &mut instance.track_interfaces);
        }
        "track_script" => {
            objects.scripts(context, statement, &mut instance.track_scripts);
        }
        "track_file" => objects.files(context, statement, &mut instance.track_files),
        "track_process" => objects.processes(context, statement, &mut instance.track_processes),
        "track_bfd" => objects.bfd(context, statement, &mut instance.track_bfd),
        "virtual_routes" => routes(context, statement, Owner::Instance, &mut instance.routes),
        "virtual_rules" => rules(context, statement, Owner::Instance, &mut instance.rules),
        "auth_hmac" => draft.hmac = Some((hmac::read(context, statement), statement.span)),
        "use_vmac" => draft.link = Some(link::vmac(context, statement)),
        "use_ipvlan" => draft.link = Some(link::ipvlan(context, statement)),
        "accept" => draft.accept = Some(true),
        "no_accept" => draft.accept = Some(false),
        "debug" => {
            // keepalived does nothing with it either.
            context.number(statement, 0..=4);
        }
        "preempt" => draft.nopreempt = None,
        "nopreempt" => {
            context.flag(statement);
            draft.nopreempt = Some(statement.span);
        }
        "preempt_delay" => {
            let range = Interval::ZERO..=Interval::from_secs(1000);
            draft.preempt_delay =
                context.seconds(statement, range).map(|delay| (delay, statement.span));
        }
        "skip_check_adv_addr" => keep(&mut draft.skip_check, context.boolean(statement)),
        "strict_mode" => keep(&mut draft.strict, context.boolean(statement)),
        "v3_checksum_as_v2" => set(&mut instance.v3_checksum_as_v2, context.boolean(statement)),
        "native_ipv6" => draft.native_ipv6 = Some(statement.span),
        "garp_master_delay" => {
            set(&mut instance.garp.delay, context.whole_seconds(statement, 0..=LONG));
        }
        "garp_master_repeat" => {
            set(&mut instance.garp.repeat, repeat(context, statement));
        }
        "garp_master_refresh" => {
            set(&mut instance.garp.refresh, context.whole_seconds(statement, 0..=u32::MAX));
        }
        "garp_master_refresh_repeat" => {
            set(&mut instance.garp.refresh_repeat, repeat(context, statement));
        }
        "garp_lower_prio_delay" => {
            draft.written.lower_priority_announcements = true;
            let delay = context.whole_seconds(statement, 0..=LONG);
            set(&mut instance.garp.lower_priority_delay, delay);
        }
        "garp_lower_prio_repeat" => {
            draft.written.lower_priority_announcements = true;
            let count = context.number(statement, 0..=u32::MAX);
            set(&mut instance.garp.lower_priority_repeat, count);
        }
        "lower_prio_no_advert" => {
            let found = context.boolean(statement);
            draft.written.lower_priority_advert = found == Some(false);
            set(&mut instance.lower_priority_no_advert, found);
        }
        "higher_prio_send_advert" => {
            set(&mut instance.higher_priority_send_advert, context.boolean(statement));
        }
        "owner_ignore_adverts" => {
            let found = context.boolean(statement);
            draft.owner_ignores = found.map(|found| (found, statement.span));
        }
        "down_timer_adverts" => {
            set(&mut instance.down_timer_adverts, byte(context, statement, 1, 100));
        }
        "notify_priority_changes" => {
            if let Some(found) = context.boolean(statement) {
                instance.notify_priority_changes = found;
                context.own_priority_notices.insert(instance.name.clone());
            }
        }
        _ => rare(context, statement, draft, instance),
    }
}

fn version(context: &mut Context, statement: &Statement, draft: &mut Draft) {
    let found = context.number(statement, 2..=3).map(|version| match version {
        2 => VrrpVersion::V2,
        _ => VrrpVersion::V3,
    });
    match (found, draft.version) {
        (Some(new), Some(old)) if new != old => {
            let message = format!("version {} is set already, it counts", old.number());
            context.error("version", statement.span, message);
        }
        (found, _) => keep(&mut draft.version, found),
    }
}

fn interface(context: &mut Context, statement: &Statement, draft: &mut Draft, instance: &Instance) {
    if instance.vrf.is_some() {
        let message = "`interface` does not go with `vrf`, it is ignored";
        return context.error("vrf-and-interface", statement.span, message);
    }
    if let Some(token) = context.required(statement) {
        let name = context.parse_token("interface", token, values::interface_name);
        draft.interface = name.map(|name| (name, token.span));
    }
}

/// Words that are seldom met.
fn rare(context: &mut Context, statement: &Statement, draft: &mut Draft, instance: &mut Instance) {
    match statement.keyword() {
        "vrf" if draft.interface.is_some() => {
            let message = "`vrf` does not go with `interface`, it is ignored";
            context.error("vrf-and-interface", statement.span, message);
        }
        "vrf" => {
            if let Some(name) = context.parse(statement, values::interface_name) {
                context.needs_interface(&name, statement.span, Need::Mentioned);
                instance.vrf = Some(name);
            }
        }
        "use_vmac_addr" => draft.addresses_on_vmac = true,
        "vmac_xmit_base" => draft.transmit_on_base = Some(statement.span),
        "promote_secondaries" => draft.promote_secondaries = Some(statement.span),
        "track_src_ip" => instance.track_source = true,
        "unicast_fault_no_peer" => instance.fault_without_peer = true,
        "old_unicast_checksum" => {
            let found = match statement.arguments().first() {
                None => Some(OldChecksum::Always),
                Some(token) => context.parse_token(statement.keyword(), token, |word| match word {
                    "never" => Ok(OldChecksum::Never),
                    _ => Err("only `never` may follow".to_owned()),
                }),
            };
            draft.old_checksum = found.map(|found| (found, statement.span));
        }
        "linkbeat_use_polling" => {
            context.deprecated(statement, "linkbeat_interfaces");
            instance.linkbeat_polling = true;
        }
        "garp_extra_if" | "vmac_garp_intvl" => {
            if statement.keyword() == "vmac_garp_intvl" {
                context.deprecated(statement, "garp_extra_if");
            }
            if let Some(found) = link::extra_announcements(context, statement, 0) {
                instance.extra_announcements = Some(found).filter(|it| !it.interval.is_zero());
            }
        }
        "timer_expired_backup" | "thread_timer_expired" => {
            if statement.keyword() == "thread_timer_expired" {
                context.deprecated(statement, "timer_expired_backup");
            }
            let priority = if statement.arguments().is_empty() {
                Some(254)
            } else {
                byte(context, statement, 1, 254)
            };
            draft.timer_expired_backup =
                priority.map(|priority| (Priority::new(priority), statement.span));
        }
        "notify_deleted" => {
            instance.notify_deleted = true;
            if statement.arguments().is_empty() {
                context.not_acted_on(INSTANCE, "notify_deleted", statement.span);
            } else {
                context.script_once(statement, &mut instance.notify.deleted);
            }
        }
        "smtp_alert" => set(&mut instance.smtp_alert, context.boolean(statement)),
        "lvs_sync_daemon_interface" => {
            context.deprecated(statement, "lvs_sync_daemon");
            if let Some(name) = context.parse(statement, values::interface_name) {
                context.needs_interface(&name, statement.span, Need::Mentioned);
                instance.lvs_sync_interface = Some(name);
            }
        }
        "kernel_rx_buf_size" => {
            keep(&mut instance.receive_buffer, context.number(statement, 0..=u32::MAX));
        }
        _ => notify(context, INSTANCE, statement, &mut instance.notify),
    }
}

/// The scripts that instances and groups share.
pub fn notify(
    context: &mut Context,
    block: &str,
    statement: &Statement,
    scripts: &mut NotifyScripts,
) {
    let slot = match statement.keyword() {
        "notify_master" => &mut scripts.master,
        "notify_backup" => &mut scripts.backup,
        "notify_fault" => &mut scripts.fault,
        "notify_stop" => &mut scripts.stop,
        "notify" => &mut scripts.any,
        "notify_master_rx_lower_pri" if block == INSTANCE => &mut scripts.master_rx_lower_priority,
        _ => return context.unknown(block, statement),
    };
    context.script_once(statement, slot);
}

fn authentication(context: &mut Context, block: &Statement, draft: &mut Draft) {
    for statement in block.children() {
        match statement.keyword() {
            "auth_type" => {
                draft.auth_type = context.parse(statement, |word| match word {
                    "PASS" => Ok(AuthType::Pass),
                    "AH" => Ok(AuthType::Ah),
                    _ => Err("neither PASS nor AH".to_owned()),
                });
            }
            "auth_pass" => {
                let Some(token) = context.required(statement) else {
                    continue;
                };
                let bytes = token.text.as_bytes();
                if bytes.len() > 8 {
                    let message = "auth_pass is longer than 8 characters, the first 8 count";
                    context.error("password-too-long", token.span, message);
                }
                let mut password = [0; 8];
                for (to, from) in password.iter_mut().zip(bytes) {
                    *to = *from;
                }
                draft.auth_pass = Some(password);
            }
            _ => context.unknown("vrrp_instance/authentication", statement),
        }
    }
}

fn peers(context: &mut Context, block: &Statement) -> Vec<UnicastPeer> {
    let mut found: Vec<UnicastPeer> = Vec::new();
    for statement in context.entries(block) {
        let Some(first) = statement.words.first() else {
            continue;
        };
        let Some(address) = context.parse_token("unicast_peer", first, values::address) else {
            continue;
        };
        if found.iter().any(|peer| peer.address == address) {
            let message = format!("the peer {address} is there already");
            context.warning("duplicate", first.span, message);
            continue;
        }
        let mut peer = UnicastPeer { address, min_ttl: None, max_ttl: None };
        for option in statement.arguments().chunks(2) {
            let slot = match option {
                [name, _] if name.text == "min_ttl" => &mut peer.min_ttl,
                [name, _] if name.text == "max_ttl" => &mut peer.max_ttl,
                [name, ..] => {
                    let message = format!("unknown option '{}' of a peer", name.text);
                    context.error("bad-value", name.span, message);
                    continue;
                }
                [] => continue,
            };
            if let [name, value] = option {
                let grammar = |word: &str| values::number(word, 0..=255);
                let number = context.parse_token(&name.text, value, grammar);
                *slot = number.and_then(|number| u8::try_from(number).ok());
            }
        }
        found.push(peer);
    }
    found
}

/// Works the defaults in and settles conflicts.
fn complete(
    context: &mut Context,
    block: &Statement,
    draft: Draft,
    mut instance: Instance,
    defaults: &VrrpDefaults,
) -> Option<Instance> {
    let name = instance.name.clone();
    let Some(vrid) = draft.vrid else {
        context.fatal("no-vrid", block.span, format!("({name}) has no virtual_router_id"));
        return None;
    };
    instance.vrid = vrid;
    set(&mut instance.strict, draft.strict);
    set(&mut instance.skip_check_adv_addr, draft.skip_check);

    let first = draft.addresses.first().map(|(address, _)| Family::of(address.address));
    let source = draft.unicast_source.or(draft.multicast_source);
    instance.family = first.or(source.map(Family::of)).unwrap_or(match draft.native_ipv6 {
        Some(_) => Family::Inet6,
        None => Family::Inet,
    });
    if let Some(span) = draft.native_ipv6 {
        let message = format!("({name}) native_ipv6 is not needed any more");
        match instance.family {
            Family::Inet6 => context.warning("deprecated", span, message),
            Family::Inet => {
                let message = format!("({name}) native_ipv6 with IPv4 addresses, it is ignored");
                context.error("native-ipv6", span, message);
            }
        }
    }
    instance.version = match (draft.version, instance.family) {
        (Some(version), _) => version,
        (None, Family::Inet6) => VrrpVersion::V3,
        (None, Family::Inet) => defaults.version,
    };
    if instance.strict && instance.family == Family::Inet6 && instance.version == VrrpVersion::V2 {
        let message = format!("({name}) strict mode: IPv6 is version 3, it is used");
        context.error("strict", block.span, message);
        instance.version = VrrpVersion::V3;
    }
    instance.source = source.filter(|source| Family::of(*source) == instance.family);
    if instance.source != source {
        let message = format!("({name}) the source address is of another family, it is ignored");
        context.error("mixed-family", block.span, message);
    }
    if draft.group.is_some_and(|group| Family::of(group) != instance.family) {
        let message = format!("({name}) mcast_dst_ip is of another family, it is ignored");
        context.error("mixed-family", block.span, message);
    }

    transport(context, block, &draft, &mut instance, defaults)?;
    // `default_interface` is for static addresses only.
    if let Some((interface, span)) = draft.interface {
        context.needs_interface(&interface, span, Need::Instance);
        instance.interface = Some(interface);
    }
    let unicast = matches!(instance.transport, Transport::Unicast { .. });
    let located = instance.interface.is_some() || instance.vrf.is_some();
    if !located && (!unicast || instance.source.is_none()) {
        let message = format!("({name}) has no interface");
        context.fatal("no-interface", block.span, message);
        return None;
    }
    leave_out_own_interface(context, block, &mut instance);
    let source = Source { auth_type: draft.auth_type, auth_pass: draft.auth_pass };
    settle_authentication(context, block, source, &mut instance);
    settle_interval(context, block, draft.advert_interval, &mut instance);
    settle_priority(context, block, draft.state, draft.priority, &mut instance);
    if let Authentication::Header(_) = instance.authentication
        && instance.initial_state == InitialState::Master
    {
        // The others would refuse its sequence numbers until theirs are known.
        let message =
            format!("({name}) state MASTER does not go with auth_type AH, BACKUP is used");
        context.error("authentication", block.span, message);
        instance.initial_state = InitialState::Backup;
    }
    if let Some(wanted) = draft.link {
        link::settle(context, block, wanted, &mut instance);
    }
    settle_preemption(context, draft.nopreempt, draft.preempt_delay, &mut instance);
    settle_addresses(context, block, draft.addresses, draft.excluded, &mut instance);
    if instance.addresses.is_empty() && !draft.no_addresses {
        let nothing = instance.excluded_addresses.is_empty();
        if instance.version == VrrpVersion::V3 || instance.strict {
            let message = format!("({name}) version 3 needs at least one virtual address");
            context.fatal("no-address", block.span, message);
            return None;
        }
        if nothing {
            let message = format!("({name}) No VIP specified; at least one is sensible");
            context.error("no-address", block.span, message);
        }
    }
    settle_owner(context, draft.owner_ignores, &mut instance);
    if instance.strict {
        strict::settle(context, block.span, draft.written, &mut instance);
    }
    strict::settle_accept(context, block, draft.accept, &mut instance);
    let rest = Rest {
        hmac: draft.hmac,
        timer_expired_backup: draft.timer_expired_backup,
        old_checksum: draft.old_checksum,
        transmit_on_base: draft.transmit_on_base,
        promote_secondaries: draft.promote_secondaries,
    };
    settle_rest(context, block.span, rest, &mut instance);
    if draft.addresses_on_vmac {
        // On its own interface an address needs to say so itself, as with keepalived.
        let (own, link) = (instance.interface.clone(), instance.address_interface());
        let (own, link) = (own.as_deref(), link.map(str::to_owned));
        let addresses =
            instance.addresses.iter_mut().chain(&mut instance.options.excluded_addresses);
        addresses
            .filter(|address| ![own, link.as_deref()].contains(&address.interface.as_deref()))
            .for_each(|address| Arc::make_mut(address).use_vmac = true);
    }
    Some(instance)
}

/// An owner may be told to pass over adverts of others; strict owners do.
fn settle_owner(context: &mut Context, ignores: Option<(bool, Span)>, instance: &mut Instance) {
    let owner = instance.priority.is_owner();
    if let Some((ignores, span)) = ignores {
        if owner {
            instance.owner_ignores_adverts = ignores;
        } else {
            let message = format!(
                "({}) owner_ignore_adverts is for priority 255, it is ignored",
                instance.name
            );
            context.error("not-owner", span, message);
        }
    }
    instance.owner_ignores_adverts &= owner;
}

/// Words that depend on others of the instance.
struct Rest {
    hmac: Option<(hmac::Draft, Span)>,
    timer_expired_backup: Option<(Priority, Span)>,
    old_checksum: Option<(OldChecksum, Span)>,
    transmit_on_base: Option<Span>,
    promote_secondaries: Option<Span>,
}

fn settle_rest(context: &mut Context, block: Span, rest: Rest, instance: &mut Instance) {
    let name = instance.name.clone();
    let unicast = matches!(instance.transport, Transport::Unicast { .. });
    if let Some((draft, span)) = rest.hmac {
        instance.hmac = hmac::complete(context, span, draft, instance.advert_interval);
        let strict = instance.strict;
        if let Some(hmac) = &mut instance.hmac {
            if strict {
                hmac.mode = HmacMode::Enforce;
            }
            instance.authentication = Authentication::None;
        }
    }
    if let Some((priority, span)) = rest.timer_expired_backup {
        if instance.preemption == Preemption::Never {
            instance.timer_expired_backup = Some(priority);
        } else {
            let message = format!("({name}) timer_expired_backup needs nopreempt, it is ignored");
            context.error("timer-expired", span, message);
        }
    }
    if let Some((checksum, span)) = rest.old_checksum {
        if unicast {
            instance.old_unicast_checksum = checksum;
        } else {
            let message =
                format!("({name}) old_unicast_checksum needs unicast_peer, it is ignored");
            context.error("no-peer", span, message);
        }
    }
    let made = instance.virtual_link.is_some();
    if let Some(span) = rest.transmit_on_base {
        let custom = instance.strict;
        let fault = if !made {
            Some("vmac_xmit_base needs use_vmac")
        } else if custom {
            Some("strict mode sends from the virtual MAC address, vmac_xmit_base")
        } else {
            None
        };
        match fault {
            Some(fault) => {
                let message = format!("({name}) {fault}, it is ignored");
                context.error("vmac", span, message);
            }
            None => instance.transmit_on_base = true,
        }
    }
    // Peers answer to the interface's own address.
    let vmac = matches!(instance.virtual_link, Some(VirtualLink::Vmac(_)));
    if unicast && vmac && !instance.transmit_on_base {
        let message = format!("({name}) unicast with use_vmac needs vmac_xmit_base, it is set");
        context.error("vmac", block, message);
        instance.transmit_on_base = true;
    }
    if let Some(span) = rest.promote_secondaries {
        if made {
            let message =
                format!("({name}) a virtual interface promotes secondaries anyway, it is ignored");
            context.error("vmac", span, message);
        } else {
            instance.promote_secondaries = true;
        }
    }
}

/// The instance's own interface is tracked without being named.
fn leave_out_own_interface(context: &mut Context, block: &Statement, instance: &mut Instance) {
    let own = instance.interface.clone();
    let named = |tracked: &TrackedInterface| Some(&tracked.name) == own.as_ref();
    if instance.track_interfaces.iter().any(named) {
        let message = format!("({}) track_interface names its own interface", instance.name);
        context.error("own-interface", block.span, message);
        instance.track_interfaces.retain(|tracked| !named(tracked));
    }
}

fn transport(
    context: &mut Context,
    block: &Statement,
    draft: &Draft,
    instance: &mut Instance,
    defaults: &VrrpDefaults,
) -> Option<()> {
    let multicast = Transport::Multicast {
        group: draft.group.filter(|group| Family::of(*group) == instance.family).unwrap_or(
            match instance.family {
                Family::Inet => defaults.multicast4.into(),
                Family::Inet6 => defaults.multicast6.into(),
            },
        ),
    };
    let mut peers = draft.peers.clone();
    if let Some(peers) = &mut peers {
        let family = instance.family;
        peers.retain(|peer| Family::of(peer.address) == family);
    }
    instance.transport = match peers {
        Some(peers) if !peers.is_empty() => {
            let limited = peers.iter().any(|peer| peer.min_ttl.is_some() || peer.max_ttl.is_some());
            Transport::Unicast {
                peers,
                ttl: draft.ttl.unwrap_or(match instance.family {
                    Family::Inet => 255,
                    // keepalived leaves it to the kernel.
                    Family::Inet6 => 64,
                }),
                check_source: draft.check_source || defaults.check_unicast_source || limited,
            }
        }
        // Who asks for this means unicast, whatever has become of the peers.
        Some(_) | None if instance.fault_without_peer => {
            let message = format!("({}) has no unicast peer, it stays in FAULT", instance.name);
            context.error("no-peer", block.span, message);
            Transport::Unicast { peers: Vec::new(), ttl: 255, check_source: false }
        }
        Some(_) => {
            let message =
                format!("({}) unicast_peer names no peer, multicast is used", instance.name);
            context.error("no-peer", block.span, message);
            multicast
        }
        None => {
            if draft.ttl.is_some() || draft.check_source || draft.unicast_source.is_some() {
                let message = format!(
                    "({}) has unicast options but no unicast_peer, multicast is used",
                    instance.name
                );
                context.error("no-peer", block.span, message);
            }
            multicast
        }
    };
    if instance.strict && matches!(instance.transport, Transport::Unicast { .. }) {
        let message = format!("({}) strict mode does not allow unicast peers", instance.name);
        context.fatal("strict", block.span, message);
        return None;
    }
    Some(())
}

#[derive(Clone, Copy)]
struct Source {
    auth_type: Option<AuthType>,
    auth_pass: Option<[u8; 8]>,
}

fn settle_authentication(
    context: &mut Context,
    block: &Statement,
    source: Source,
    instance: &mut Instance,
) {
    let name = &instance.name;
    let Some(kind) = source.auth_type else { return };
    let Some(password) = source.auth_pass else {
        let message = format!("({name}) authentication without a password, it is ignored");
        return context.error("authentication", block.span, message);
    };
    if instance.version == VrrpVersion::V3 {
        let message = format!("({name}) version 3 has no authentication, it is ignored");
        return context.error("authentication", block.span, message);
    }
    if instance.strict {
        let message = format!("({name}) Strict mode does not support authentication. Ignoring.");
        return context.error("authentication", block.span, message);
    }
    instance.authentication = match kind {
        AuthType::Pass => Authentication::Password(password),
        AuthType::Ah => {
            if instance.family == Family::Inet6 {
                let message = format!("({name}) AH is for IPv4, it is ignored");
                return context.error("authentication", block.span, message);
            }
            Authentication::Header(password)
        }
    };
}

fn settle_interval(
    context: &mut Context,
    block: &Statement,
    interval: Option<Interval>,
    instance: &mut Instance,
) {
    let Some(interval) = interval else { return };
    let (rounded, limit) = match instance.version {
        VrrpVersion::V2 => {
            let whole = (interval + Interval::from_millis(500)).as_secs().max(1);
            (Interval::from_secs(whole), Interval::from_secs(255))
        }
        VrrpVersion::V3 => {
            let centis = (interval + Interval::from_millis(5)).as_centis().max(1);
            (Interval::from_centis(centis), Interval::from_centis(4095))
        }
    };
    instance.advert_interval = rounded.min(limit);
    if instance.advert_interval != interval {
        let message = format!(
            "({}) advert_int {interval} does not fit version {}, {} is used",
            instance.name,
            instance.version.number(),
            instance.advert_interval
        );
        context.error("advert-int", block.span, message);
    }
}

fn settle_priority(
    context: &mut Context,
    block: &Statement,
    state: Option<InitialState>,
    priority: Option<u8>,
    instance: &mut Instance,
) {
    instance.priority = match (priority, state) {
        (Some(priority), _) => Priority::new(priority),
        (None, Some(InitialState::Master)) => Priority::OWNER,
        (None, Some(InitialState::Backup) | None) => Priority::DEFAULT,
    };
    instance.initial_state = match state {
        Some(state) => state,
        None if instance.priority.is_owner() => InitialState::Master,
        None => InitialState::Backup,
    };
    if priority.is_none() && state == Some(InitialState::Master) {
        let message = format!(
            "({}) state MASTER without priority makes it the address owner (255)",
            instance.name
        );
        context.warning("implied-owner", block.span, message);
    }
}

fn settle_preemption(
    context: &mut Context,
    nopreempt: Option<Span>,
    delay: Option<(Interval, Span)>,
    instance: &mut Instance,
) {
    let name = instance.name.clone();
    let mut never = false;
    if let Some(span) = nopreempt {
        if instance.priority.is_owner() {
            let message =
                format!("({name}) nopreempt is incompatible with priority 255, it is ignored");
            context.error("nopreempt", span, message);
        } else if instance.initial_state == InitialState::Master {
            let message =
                format!("({name}) nopreempt will not work with initial state MASTER - clearing");
            context.error("nopreempt", span, message);
        } else {
            never = true;
        }
    }
    let mut wait = Interval::ZERO;
    if let Some((delay, span)) = delay {
        if never {
            let message =
                format!("({name}) preempt_delay is incompatible with nopreempt, it is ignored");
            context.error("preempt-delay", span, message);
        } else if instance.initial_state == InitialState::Master {
            let message = format!(
                "({name}) preempt_delay will not work with initial state MASTER - clearing"
            );
            context.error("preempt-delay", span, message);
        } else if instance.strict {
            let message =
                format!("({name}) preempt_delay is incompatible with strict mode, it is ignored");
            context.error("preempt-delay", span, message);
        } else {
            wait = delay;
        }
    }
    instance.preemption = if never { Preemption::Never } else { Preemption::After(wait) };
}

fn settle_addresses(
    context: &mut Context,
    block: &Statement,
    addresses: Vec<(VirtualAddress, Span)>,
    excluded: Vec<(VirtualAddress, Span)>,
    instance: &mut Instance,
) {
    let (beneath, family) = (instance.interface.clone(), instance.family);
    let vmac = matches!(instance.virtual_link, Some(VirtualLink::Vmac(_)));
    let usual = |family| instance.interface_for(family).map(Arc::from);
    let (inet, inet6) = (usual(Family::Inet), usual(Family::Inet6));
    let located = |mut address: VirtualAddress| {
        let own = Family::of(address.address);
        let on_vmac = vmac && own == family && address.interface.as_deref() == beneath.as_deref();
        if address.interface.is_none() || on_vmac {
            address.interface = match own {
                Family::Inet => inet.clone(),
                Family::Inet6 => inet6.clone(),
            };
        }
        Arc::new(address)
    };
    for (address, span) in addresses {
        if Family::of(address.address) != instance.family {
            let message = format!(
                "({}) address family must match VRRP instance [{}/{}] - ignoring",
                instance.name, address.address, address.prefix
            );
            context.error("mixed-family", span, message);
            continue;
        }
        if address.interface.is_none() && instance.interface.is_none() {
            let message = format!(
                "({}) {} needs `dev`, since the instance has no interface: it is nowhere",
                instance.name, address.address
            );
            context.warning("no-interface", span, message);
        }
        if instance.addresses.len() < MOST_ADDRESSES {
            instance.addresses.push(located(address));
        } else {
            instance.excluded_addresses.push(located(address));
        }
    }
    if !instance.excluded_addresses.is_empty() {
        let message = format!(
            "({}) more than {MOST_ADDRESSES} addresses do not fit an advert, the rest is excluded",
            instance.name
        );
        context.error("too-many-addresses", block.span, message);
    }
    instance.excluded_addresses.extend(excluded.into_iter().map(|(address, _)| located(address)));
    instance.addresses.shrink_to_fit();
}

/// What can be seen only with all instances at hand.
pub fn finish(context: &mut Context, config: &mut Config) {
    let mut seen = BTreeMap::new();
    link::settle_names(context, &mut config.vrrp.instances, &config.global.vrrp);
    for instance in &config.vrrp.instances {
        let place = instance.interface.as_ref().or(instance.vrf.as_ref()).cloned();
        let key = (place, instance.family, instance.vrid, group_of(instance));
        if let Some(first) = seen.insert(key, instance.name.clone()) {
            let message = format!(
                "({}) and ({first}) have the same virtual_router_id {} on one interface",
                instance.name, instance.vrid
            );
            let span = context.places.interfaces.first().map_or(Span::default(), |place| place.1);
            context.fatal("duplicate-vrid", span, message);
        }
    }
}

fn group_of(instance: &Instance) -> Option<IpAddr> {
    match &instance.transport {
        Transport::Multicast { group } => Some(*group),
        Transport::Unicast { .. } => None,
    }
}
