//! Adverts that arrive, by state (RFC 9568 sections 6.4.2 and 6.4.3).

use super::{Output, RouterId, TimerKind, VrrpEngine};
use crate::core::config::model::Family;
use crate::core::config::model::vrrp::{Preemption, Priority, VrrpVersion};
use crate::core::time::{Interval, Timestamp};
use crate::vrrp::event::{EventKind, Notice, Reason, Rejection, State, Subject};
use crate::vrrp::packet::advert::{self, ChecksumForm};
use crate::vrrp::router::{Accepted, Master, ReceivedPacket, Router, Signature};
use std::net::IpAddr;

/// Senders of adverts for unknown routers that are told; more is a flood.
const MOST_UNKNOWN: usize = 1024;

impl VrrpEngine {
    pub(super) fn handle_packet(&mut self, now: Timestamp, packet: &ReceivedPacket) {
        let Some(id) = self.router_of(packet) else {
            self.unknown_vrid += 1;
            self.remark_unknown(packet);
            return;
        };
        // A process that was frozen meanwhile reads before it looks at its timers.
        if self.startup_until.is_some_and(|until| now < until) {
            return;
        }
        let wall = self.clock.at(now);
        let Some(router) = self.routers.get_mut(&id) else {
            return;
        };
        let Accepted { advert: found, form, sequence, signature, old_checksum } =
            match router.accept(packet, wall) {
                Ok(accepted) => accepted,
                // A rejected advert touches a counter and nothing else: no timer above all (V-080).
                Err(rejection) => {
                    router.statistics.count(rejection);
                    if router.told.insert(kind_of(rejection)) {
                        let name = router.instance.name.clone();
                        let kind = EventKind::Rejected { from: packet.source, rejection };
                        self.log(&name, kind, None);
                    }
                    return;
                }
            };
        router.sequence = router.sequence.max(sequence);
        router.statistics.advert_rcvd += 1;
        if found.version == VrrpVersion::V3
            && packet.source.is_ipv4()
            && ((form == ChecksumForm::Message) != router.instance.v3_checksum_as_v2
                || old_checksum)
        {
            router.statistics.checksum_other_form += 1;
        }
        let resigns = found.priority == Priority::RESIGN;
        if resigns {
            router.statistics.pri_zero_rcvd += 1;
        }
        let from = packet.source;
        let mut remarks = Vec::new();
        if router.learn_checksum(from, old_checksum) {
            remarks.push(EventKind::OldChecksum { from });
        }
        remarks.extend(heard_signed(router, from, signature));
        let known = router.master.is_some_and(|master| master.address == from);
        let skips = resigns || (router.instance.skip_check_adv_addr && known);
        if !skips && !router.same_addresses(&found) {
            router.statistics.addr_list_err += 1;
            if router.remarked.insert("address list") && !known {
                remarks.push(EventKind::AddressListDiffers { from });
            }
        }
        if !found.begins_link_local() && router.remarked.insert("not link-local") {
            remarks.push(EventKind::NotLinkLocal { from });
        }
        let state = router.state;
        if !remarks.is_empty() {
            let name = router.instance.name.clone();
            for kind in remarks {
                self.log(&name, kind, None);
            }
        }
        match state {
            State::Backup => self.backup_received(now, id, from, &found),
            State::Master => self.master_received(now, id, from, &found),
            State::Init | State::Fault => {}
        }
    }

    /// `log_unknown_vrids`: each sender and number once.
    fn remark_unknown(&mut self, packet: &ReceivedPacket) {
        let Some(vrid) = advert::vrid_of(&packet.payload) else { return };
        let from = packet.source;
        if self.global.vrrp.log_unknown_vrids
            && self.unknown_told.len() < MOST_UNKNOWN
            && self.unknown_told.insert((from, vrid))
        {
            let interface = packet.interface.clone();
            let interface = interface.as_deref().unwrap_or("any interface");
            self.log(interface, EventKind::UnknownRouter { from, vrid }, None);
        }
    }

    pub(super) fn router_of(&self, packet: &ReceivedPacket) -> Option<RouterId> {
        let vrid = advert::vrid_of(packet.message())?;
        let unicast = !packet.destination.is_multicast();
        let place = (packet.interface.clone(), Family::of(packet.source));
        let numbers = self.by_identity.get(&place)?;
        // Multicast and unicast instances may share an interface and a number.
        let find = |unicast| numbers.get(&(vrid, unicast)).copied();
        find(unicast).or_else(|| find(!unicast))
    }

    /// RFC 9568 section 6.4.2.
    pub(super) fn backup_received(
        &mut self,
        now: Timestamp,
        id: RouterId,
        from: IpAddr,
        found: &advert::Advert,
    ) {
        let Some(router) = self.routers.get_mut(&id) else {
            return;
        };
        let instance = router.instance.clone();
        let name = &instance.name;
        if found.priority == Priority::RESIGN {
            router.resigned = Some(now);
            let at = now + router.skew();
            self.timers.set((id, TimerKind::MasterDown), at);
            self.log(name, EventKind::ReceivedPriorityZero, None);
            return;
        }
        let lower = found.priority < router.priority;
        let delay = router.preempt_delay();
        if !lower {
            // Somebody better is there: a later, lower one starts the delay anew.
            router.preempt_at = None;
        } else if router.preempt_at.is_none() && !delay.is_zero() {
            router.preempt_at = Some(now + delay);
        }
        if !router.yields_to(found.priority, now) {
            let kind = EventKind::DiscardedLower { from, theirs: found.priority };
            if router.remarked.insert("lower priority") {
                self.log(name, kind, None);
            }
            return;
        }
        let learned = router.instance.version == VrrpVersion::V3
            && router.master_interval() != found.interval;
        if router.master.is_none_or(|master| master.address != from) {
            // What is wrong with others is told once for each master.
            router.told.clear();
        }
        router.master =
            Some(Master { address: from, priority: found.priority, interval: found.interval });
        (router.overdue, router.resigned) = (false, None);
        let at = now + router.master_down_interval();
        self.timers.set((id, TimerKind::MasterDown), at);
        if learned {
            self.log(name, EventKind::IntervalLearned { from, interval: found.interval }, None);
        }
    }

    /// RFC 9568 section 6.4.3.
    pub(super) fn master_received(
        &mut self,
        now: Timestamp,
        id: RouterId,
        from: IpAddr,
        found: &advert::Advert,
    ) {
        let Some(router) = self.routers.get_mut(&id) else {
            return;
        };
        let name = router.instance.name.clone();
        let ours = router.priority;
        if found.priority == Priority::RESIGN {
            self.send_advert(now, id, None);
            self.arm_advert(now, id);
            return;
        }
        let own = router.source();
        if own == Some(from) {
            // Two hosts with one address: no election can settle that (V-079).
            if router.remarked.insert("own address") {
                self.log(&name, EventKind::DuplicateAddress { from }, None);
            }
            self.rival_heard(now, id, from, found);
            return;
        }
        // Somebody took over while this router was away; if it may not preempt, or not yet, it is a
        // backup like any other now.
        let may_preempt = router.instance.preemption == Preemption::After(Interval::ZERO);
        if router.listening && !may_preempt && !ours.is_owner() {
            let master =
                Master { address: from, priority: found.priority, interval: found.interval };
            self.log(&name, EventKind::LowerPriority { from, theirs: found.priority, ours }, None);
            self.step_down(now, id, Some(master), Reason::WasAway);
            return;
        }
        let higher_address = own.is_some_and(|own| from > own);
        let yields = found.priority > ours || (found.priority == ours && higher_address);
        if found.priority.is_owner() && ours.is_owner() && router.remarked.insert("two owners") {
            self.log(&name, EventKind::TwoOwners { from }, None);
        }
        if yields {
            let kind = if found.priority > ours {
                EventKind::HigherPriority { from, theirs: found.priority, ours }
            } else {
                EventKind::HigherAddress { from, priority: ours }
            };
            self.log(&name, kind, None);
            let Some(router) = self.routers.get(&id) else {
                return;
            };
            if router.instance.higher_priority_send_advert {
                self.send_advert(now, id, None);
            }
            let master =
                Master { address: from, priority: found.priority, interval: found.interval };
            self.leave_master(now, id, master);
            return;
        }
        let first = self
            .routers
            .get_mut(&id)
            .is_some_and(|router| router.remarked.insert("lower priority"));
        if first {
            let kind = EventKind::LowerPriority { from, theirs: found.priority, ours };
            self.log(&name, kind, None);
        }
        self.rival_heard(now, id, from, found);
        self.lower_priority_seen(now, id);
    }

    pub(super) fn leave_master(&mut self, now: Timestamp, id: RouterId, master: Master) {
        let reason = Reason::BetterMaster(master.address, master.priority);
        self.step_down(now, id, Some(master), reason);
    }

    /// Backup from now on, with all of its sync group.
    pub(super) fn step_down(
        &mut self,
        now: Timestamp,
        id: RouterId,
        master: Option<Master>,
        reason: Reason,
    ) {
        self.enter_backup(now, id, reason, master);
        if let Some(group) = self.group_of(id).cloned() {
            self.log_group(&group.name, State::Backup);
            for member in self.members(id) {
                if member != id && self.state_of(member) == Some(State::Master) {
                    self.enter_backup(now, member, Reason::Group(group.name.clone()), None);
                }
            }
            self.group_state_changed(id);
        }
    }

    /// Answers a master that should not be one (RFC 9568 section 6.4.3; RFC 5798 stays silent).
    pub(super) fn lower_priority_seen(&mut self, now: Timestamp, id: RouterId) {
        let Some(router) = self.routers.get_mut(&id) else {
            return;
        };
        let silent = router.instance.lower_priority_no_advert;
        let garp = router.instance.garp;
        let announcements = router.schedule.lower_priority_seen(now, &garp);
        let script = router.instance.notify.master_rx_lower_priority.clone();
        let (name, priority) = (router.instance.name.clone(), router.priority);
        if !silent {
            self.send_advert(now, id, None);
            self.arm_advert(now, id);
        }
        self.announce(now, id, announcements);
        self.outputs.push_back(Output::Notify(Notice {
            subject: Subject::Instance,
            name,
            state: "MASTER_RX_LOWER_PRI",
            priority,
            script,
            any: None,
            mail: false,
        }));
    }
}

/// What an accepted advert's trailer says, or that there is none where there should be one: what is
/// to be told of it.
fn heard_signed(
    router: &mut Router,
    from: IpAddr,
    signature: Option<Signature>,
) -> Option<EventKind> {
    router.instance.hmac.as_ref()?;
    let (what, kind) = match signature {
        None => {
            router.statistics.auth_ext_missing += 1;
            ("not authenticated", EventKind::NotAuthenticated { from })
        }
        Some(signature) => {
            router.remember(from, signature);
            let (seconds, window) = router.clock_warning(signature)?;
            ("clocks", EventKind::ClocksDiffer { from, seconds, window })
        }
    };
    router.remarked.insert(what).then_some(kind)
}

fn kind_of(rejection: Rejection) -> &'static str {
    use Rejection as R;
    match rejection {
        R::Length => "length",
        R::Ttl(_) => "ttl",
        R::Version(_) => "version",
        R::Type => "type",
        R::Checksum => "checksum",
        R::UnknownAuthType(_) | R::AuthTypeMismatch => "authentication type",
        R::Password => "password",
        R::Replay(_) => "replay",
        R::TrailerMissing => "trailer missing",
        R::TrailerMalformed => "trailer malformed",
        R::UnknownKey(_) => "unknown key",
        R::InvalidHmac => "invalid HMAC",
        R::Stale(_) => "stale trailer",
        R::ReplayedStamp => "replayed trailer",
        R::Interval(_) => "interval",
        R::Destination => "destination",
        R::NoAddress => "no address",
        R::NotLinkLocal => "not link-local",
        R::Source => "source",
        R::Owner => "owner",
    }
}
