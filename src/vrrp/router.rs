//! One virtual router: what it knows, and which of the checks an advert passes.
//!
//! The transitions themselves are in [`super::engine`], since sync groups move several routers at
//! once.

mod trailer;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

pub use self::trailer::{Marks, Signature};
use super::announce::Schedule;
use super::desired::{self, DesiredAddress};
use super::engine::{Rival, SocketName};
use super::event::{Fault, Rejection, State};
use super::losses::Losses;
use super::packet::advert::{self, AUTH_HEADER, AUTH_SIMPLE, Advert, ChecksumForm, Malformed};
use super::packet::ah::{self, Carrier};
use super::packet::hmac::{self, Stamp};
use super::statistics::Statistics;
use crate::core::config::model::Family;
use crate::core::config::model::global::Global;
use crate::core::config::model::vrrp::{
    Authentication, Instance, OldChecksum, Preemption, Priority, Transport, VrrpVersion,
};
use crate::core::time::{Interval, Timestamp};

/// Who is master, as far as this router knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Master {
    /// Its address.
    pub address: IpAddr,
    /// In its last advert.
    pub priority: Priority,
    /// Its advert interval.
    pub interval: Interval,
}

/// An advert on its way in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedPacket {
    /// The socket's interface; `None` for unicast without one.
    pub interface: Option<Arc<str>>,
    /// From the IP header.
    pub source: IpAddr,
    /// From the IP header.
    pub destination: IpAddr,
    /// From the IP header.
    pub ttl: u8,
    /// The IP identification of a packet with an authentication header; `None` without one.
    pub sealed: Option<u16>,
    /// What follows the IP header.
    pub payload: Vec<u8>,
}

impl Default for ReceivedPacket {
    /// An empty one from nobody.
    fn default() -> Self {
        let nobody = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        Self {
            interface: None,
            source: nobody,
            destination: nobody,
            ttl: 0,
            sealed: None,
            payload: Vec::new(),
        }
    }
}

impl ReceivedPacket {
    /// The VRRP message, if the packet is long enough for one.
    pub fn message(&self) -> &[u8] {
        let start = if self.sealed.is_some() { ah::LENGTH } else { 0 };
        self.payload.get(start..).unwrap_or_default()
    }
}

/// An advert that has passed all checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// What it says.
    pub advert: Advert,
    /// How its sender summed up.
    pub form: ChecksumForm,
    /// Number of its authentication header; 0 without one.
    pub sequence: u32,
    /// Its trailer.
    pub signature: Option<Signature>,
    /// Its checksum names the multicast group, though it came by unicast.
    pub old_checksum: bool,
}

/// Authentication headers are numbered from zero in 2020, and so many a second from then on: the 32 bits
/// last until 2054.
const SEQUENCE_EPOCH: u64 = 1_577_836_800;
const SEQUENCE_RATE: u64 = 4;

/// What identifies a virtual router over a reload.
pub type Identity = (Option<Arc<str>>, Family, u8, bool);

/// A virtual router.
#[derive(Debug, Clone)]
pub struct Router {
    /// Its configuration.
    pub instance: Arc<Instance>,
    /// Where its adverts travel.
    pub socket: SocketName,
    /// Its addresses, advertised ones first.
    pub addresses: Vec<DesiredAddress>,
    /// Where it is.
    pub state: State,
    /// Why it cannot serve.
    pub faults: BTreeSet<Fault>,
    /// Scripts with weight 0 that have no result yet.
    pub waiting_for: BTreeSet<String>,
    /// In the next advert.
    pub priority: Priority,
    /// What [`Self::skew_unit`] was before a reload, until the priority has been worked out anew.
    pub former_skew_unit: Option<Interval>,
    /// Its master is gone, but its sync group could not move yet.
    pub overdue: bool,
    /// When the last advert that counted had priority 0: when it came.
    pub resigned: Option<Timestamp>,
    /// Who is master.
    pub master: Option<Master>,
    /// Lower-priority adverts are accepted until then.
    pub preempt_at: Option<Timestamp>,
    /// The interface's own address, when adverts need it.
    pub primary: Option<IpAddr>,
    /// The highest number of an authentication header so far, sent or accepted.
    pub sequence: u32,
    /// Unicast peers that sum up as keepalived before 1.3: with the group in the pseudo header.
    pub old_peers: BTreeSet<IpAddr>,
    /// What these take for the destination.
    pub old_group: Ipv4Addr,
    /// The latest trailer that was sent, by this process or the one before it.
    pub stamp: Option<Stamp>,
    /// The latest trailers of others.
    pub marks: Marks,
    /// Announcements.
    pub schedule: Schedule,
    /// What others removed while it was master.
    pub losses: Losses,
    /// Counters.
    pub statistics: Statistics,
    /// When the state last changed.
    pub since: Option<Timestamp>,
    /// Kinds of rejection that were logged since the last accepted advert.
    pub told: BTreeSet<&'static str>,
    /// Oddities of accepted adverts that were logged since the last change of state.
    pub remarked: BTreeSet<&'static str>,
    /// Away for so long that another master may be there: nothing is sent before it had its chance to
    /// be heard.
    pub listening: bool,
    /// Master, and another one goes on sending adverts.
    pub rival: Option<Box<Rival>>,
    /// It goes on for a process that was master: what has no result yet is as good as it was then.
    pub resumed: bool,
    /// The state that was last notified.
    pub notified: Option<&'static str>,
}

/// The part of an interval that a master's advert may take longer by another clock.
const MARGIN: u64 = 16;

/// How much later a backup of `priority` acts than one that never waits.
pub fn skew(unit: Interval, priority: Priority) -> Interval {
    unit.fraction(256 - u64::from(priority.get()), 256)
}

impl Router {
    /// A router that has not begun.
    pub fn new(instance: Arc<Instance>) -> Self {
        Self {
            priority: instance.priority,
            addresses: desired::addresses(&instance).collect(),
            socket: SocketName::of(&instance),
            instance,
            state: State::Init,
            faults: BTreeSet::new(),
            waiting_for: BTreeSet::new(),
            overdue: false,
            resigned: None,
            former_skew_unit: None,
            master: None,
            preempt_at: None,
            primary: None,
            sequence: 0,
            old_peers: BTreeSet::new(),
            old_group: Global::default().vrrp.multicast4,
            stamp: None,
            marks: Marks::default(),
            schedule: Schedule::default(),
            losses: Losses::default(),
            statistics: Statistics::default(),
            since: None,
            told: BTreeSet::new(),
            remarked: BTreeSet::new(),
            listening: false,
            resumed: false,
            rival: None,
            notified: None,
        }
    }

    /// Goes on with another configuration.
    pub fn set_instance(&mut self, instance: Arc<Instance>) {
        self.addresses = desired::addresses(&instance).collect();
        self.socket = SocketName::of(&instance);
        self.former_skew_unit = Some(self.skew_unit());
        self.instance = instance;
    }

    /// Thousands of routers are on a few interfaces: each name is needed once, and no room to spare.
    pub fn make_compact(&mut self, names: &mut BTreeSet<Arc<str>>) {
        let addresses = self.addresses.iter_mut().map(|address| &mut address.interface);
        for name in addresses.chain(&mut self.socket.interface) {
            match names.get(name) {
                Some(known) => *name = Arc::clone(known),
                None => _ = names.insert(Arc::clone(name)),
            }
        }
        self.addresses.shrink_to_fit();
    }

    /// What stays the same over a reload for this to be the same router.
    pub fn identity(&self) -> Identity {
        let unicast = matches!(self.instance.transport, Transport::Unicast { .. });
        (self.socket.interface.clone(), self.instance.family, self.instance.vrid.get(), unicast)
    }

    /// Where adverts come from.
    pub fn source(&self) -> Option<IpAddr> {
        self.instance.source.or(self.primary)
    }

    /// `Master_Adver_Interval`: the master's in version 3, ours in version 2 (RFC 9568 section 6.1).
    pub fn master_interval(&self) -> Interval {
        match (self.instance.version, self.master) {
            (VrrpVersion::V3, Some(master)) => master.interval,
            (VrrpVersion::V3, None) | (VrrpVersion::V2, _) => self.instance.advert_interval,
        }
    }

    /// How late an advert of this master must be for a backup of `priority` to have missed it: its
    /// master down interval began one advert interval before.
    pub fn patience_of(&self, priority: Priority) -> Interval {
        let adverts = u64::from(self.instance.down_timer_adverts.saturating_sub(1));
        self.instance.advert_interval * adverts + skew(self.skew_unit(), priority)
    }

    /// RFC 3768 section 6.1: (256 - priority) / 256 seconds. RFC 9568 section 6.1: the same part of
    /// the master's interval.
    pub fn skew(&self) -> Interval {
        skew(self.skew_unit(), self.priority)
    }

    /// What the skew is a part of.
    pub fn skew_unit(&self) -> Interval {
        match self.instance.version {
            VrrpVersion::V2 => Interval::from_secs(1),
            VrrpVersion::V3 => self.master_interval(),
        }
    }

    /// Without an advert for this long, the master is gone.
    pub fn master_down_interval(&self) -> Interval {
        self.master_interval() * u64::from(self.instance.down_timer_adverts) + self.skew()
    }

    /// Whether a backup has waited for its master for long enough, or was told that it goes.
    pub const fn is_without_master(&self) -> bool {
        self.overdue || self.resigned.is_some()
    }

    /// Whether a backup whose master down timer goes off in `left` has missed all adverts but the last
    /// one that it waits for: its master is gone, or was silent for as long.
    pub fn misses_its_master(&self, left: Interval) -> bool {
        // With fewer, the last one is the only one.
        let several = self.instance.down_timer_adverts > 2;
        self.is_without_master() || several && left <= self.patience_for_one()
    }

    /// How long the next advert of a live master may take, and our skew. A master sends the adverts of a
    /// group one after the other, and its clock may be slow.
    pub fn patience_for_one(&self) -> Interval {
        let interval = self.master_interval();
        interval + interval.fraction(1, MARGIN) + self.skew()
    }

    /// The addresses that the kernel should have now.
    pub fn desired(&self) -> BTreeSet<DesiredAddress> {
        match self.state {
            State::Master => self.addresses.iter().cloned().collect(),
            State::Init | State::Backup | State::Fault => BTreeSet::new(),
        }
    }

    /// Whether an advert of `priority` keeps this backup quiet, at `now`.
    pub fn yields_to(&self, priority: Priority, now: Timestamp) -> bool {
        let waits = self.preempt_at.is_some_and(|at| now < at);
        let never = self.instance.preemption == Preemption::Never && !self.priority.is_owner();
        priority >= self.priority || never || waits
    }

    /// The delay of `preempt_delay`; zero without one.
    pub fn preempt_delay(&self) -> Interval {
        match self.instance.preemption {
            Preemption::After(delay) => delay,
            Preemption::Never => Interval::ZERO,
        }
    }

    /// Where adverts go, and with which TTL.
    pub fn destinations(&self) -> Vec<(IpAddr, u8)> {
        match &self.instance.transport {
            Transport::Multicast { group } => vec![(*group, 255)],
            Transport::Unicast { peers, ttl, .. } => {
                peers.iter().map(|peer| (peer.address, *ttl)).collect()
            }
        }
    }

    /// The bytes of an advert of `priority` to `destination`.
    pub fn advert(&self, priority: Priority, source: IpAddr, destination: IpAddr) -> Vec<u8> {
        let authentication = match (self.instance.version, self.instance.authentication) {
            (VrrpVersion::V2, Authentication::Password(password)) => (AUTH_SIMPLE, password),
            (VrrpVersion::V2, Authentication::Header(_)) => (AUTH_HEADER, [0; 8]),
            (VrrpVersion::V2 | VrrpVersion::V3, _) => (0, [0; 8]),
        };
        let advert = Advert {
            version: self.instance.version,
            vrid: self.instance.vrid.get(),
            priority,
            interval: self.instance.advert_interval,
            addresses: self.instance.addresses.iter().map(|found| found.address).collect(),
            authentication,
        };
        let form = match (self.instance.version, self.instance.family) {
            (VrrpVersion::V2, Family::Inet) => ChecksumForm::Message,
            (VrrpVersion::V3, Family::Inet) if self.instance.v3_checksum_as_v2 => {
                ChecksumForm::Message
            }
            (VrrpVersion::V3, Family::Inet) | (_, Family::Inet6) => ChecksumForm::PseudoHeader,
        };
        let summed_for = match self.instance.old_unicast_checksum {
            OldChecksum::Always if self.knows_old_checksum() => self.old_group.into(),
            OldChecksum::Detect if self.old_peers.contains(&destination) => self.old_group.into(),
            OldChecksum::Always | OldChecksum::Detect | OldChecksum::Never => destination,
        };
        advert::emit(&advert, form, source, summed_for)
    }

    /// Whether a checksum may be the one that keepalived before 1.3 made of unicast adverts: in
    /// version 3 over IPv4, where the sum knows the destination.
    fn knows_old_checksum(&self) -> bool {
        let detects = match self.instance.old_unicast_checksum {
            OldChecksum::Detect | OldChecksum::Always => true,
            OldChecksum::Never => false,
        };
        let sums = (self.instance.version, self.instance.family) == (VrrpVersion::V3, Family::Inet);
        detects && sums && self.is_unicast()
    }

    fn is_unicast(&self) -> bool {
        match self.instance.transport {
            Transport::Unicast { .. } => true,
            Transport::Multicast { .. } => false,
        }
    }

    /// How a peer sums up, by its last advert. Whether that is news.
    pub fn learn_checksum(&mut self, source: IpAddr, old: bool) -> bool {
        if !old {
            self.old_peers.remove(&source);
            return false;
        }
        let is_peer = match &self.instance.transport {
            Transport::Multicast { .. } => false,
            Transport::Unicast { peers, .. } => peers.iter().any(|peer| peer.address == source),
        };
        is_peer && self.old_peers.insert(source)
    }

    /// The checks of RFC 9568 section 7.1 (RFC 3768 section 7.1), in their order. A packet that
    /// fails one has no effect but its counter. `wall` is the time since 1970.
    pub fn accept(&self, packet: &ReceivedPacket, wall: Interval) -> Result<Accepted, Rejection> {
        self.check_travel(packet)?;
        let (sequence, message) = self.unseal(packet)?;
        let version = advert::version_of(message).ok_or(Rejection::Length)?;
        if version != self.instance.version.number() {
            return Err(Rejection::Version(version));
        }
        let signature = self.authenticate(packet.source, message, wall)?;
        let beyond = if signature.is_some() { hmac::LENGTH } else { 0 };
        let parse = |destination| advert::parse_before(message, beyond, packet.source, destination);
        let mut parsed = parse(packet.destination);
        let mut old_checksum = false;
        if parsed == Err(Malformed::Checksum) && self.knows_old_checksum() {
            let again = parse(self.old_group.into());
            old_checksum = again.is_ok();
            parsed = again;
        }
        let (found, form) = parsed.map_err(|fault| match fault {
            Malformed::Length => Rejection::Length,
            Malformed::Version => Rejection::Version(version),
            Malformed::Type => Rejection::Type,
            Malformed::Checksum => Rejection::Checksum,
        })?;
        self.check_authentication(&found)?;
        match self.instance.version {
            VrrpVersion::V2 if found.interval != self.instance.advert_interval => {
                return Err(Rejection::Interval(found.interval));
            }
            // Erratum 8301: the field has no zero; it would make us master at once.
            VrrpVersion::V3 if found.interval.is_zero() => {
                return Err(Rejection::Interval(found.interval));
            }
            VrrpVersion::V3 if found.addresses.is_empty() => return Err(Rejection::NoAddress),
            // RFC 9568, erratum 8300. Where strict mode promises the RFC; keepalived does not look, and
            // sends such lists unless it is strict: to drop them would make two masters.
            VrrpVersion::V3 if self.instance.strict && !found.begins_link_local() => {
                return Err(Rejection::NotLinkLocal);
            }
            VrrpVersion::V2 | VrrpVersion::V3 => {}
        }
        if self.instance.owner_ignores_adverts && self.instance.priority.is_owner() {
            return Err(Rejection::Owner);
        }
        Ok(Accepted { advert: found, form, sequence, signature, old_checksum })
    }

    /// Takes an authentication header off, where there must be one: its number, and the message.
    fn unseal<'a>(&self, packet: &'a ReceivedPacket) -> Result<(u32, &'a [u8]), Rejection> {
        let (key, id) = match (self.instance.authentication, packet.sealed) {
            (Authentication::Header(key), Some(id)) => (key, id),
            (Authentication::Header(_), None) | (_, Some(_)) => {
                return Err(Rejection::AuthTypeMismatch);
            }
            (Authentication::None | Authentication::Password(_), None) => {
                return Ok((0, &packet.payload));
            }
        };
        let (IpAddr::V4(source), IpAddr::V4(destination)) = (packet.source, packet.destination)
        else {
            return Err(Rejection::AuthTypeMismatch);
        };
        let carrier = Carrier { source, destination, ttl: packet.ttl, id };
        let (sequence, message) =
            ah::open(key, &carrier, &packet.payload).map_err(|fault| match fault {
                ah::Fault::Length => Rejection::Length,
                ah::Fault::Check => Rejection::Password,
            })?;
        // The same number again is not refused: two routers may both have missed the last one.
        if sequence < self.sequence {
            return Err(Rejection::Replay(sequence));
        }
        Ok((sequence, message))
    }

    /// The number of the next advert, where there must be an authentication header. All peers get the
    /// same one: numbers that a peer has not seen would make it a replay when that one takes over.
    /// `wall` is the time since 1970.
    pub fn take_number(&mut self, wall: Interval) {
        if let Authentication::Header(_) = self.instance.authentication {
            // The others take numbers from the highest one on; a fresh one among them begins low, and
            // must be heard all the same. Who has heard nobody begins by the clock, which counts faster
            // than adverts are sent: a new process is not below the numbers of the one before it.
            let since = wall.as_secs().saturating_sub(SEQUENCE_EPOCH);
            let first = u32::try_from(since.saturating_mul(SEQUENCE_RATE)).unwrap_or(u32::MAX);
            let last = if self.sequence == 0 { first } else { self.sequence };
            self.sequence = last.wrapping_add(1);
        }
    }

    /// Puts an authentication header in front of a message, where there must be one; gives the IP
    /// identification that it covers.
    pub fn seal(
        &self,
        source: IpAddr,
        destination: IpAddr,
        ttl: u8,
        message: Vec<u8>,
    ) -> (u16, Vec<u8>) {
        let (Authentication::Header(key), IpAddr::V4(source), IpAddr::V4(destination)) =
            (self.instance.authentication, source, destination)
        else {
            return (0, message);
        };
        // The kernel would fill in another one for 0.
        let [_, _, high, low] = self.sequence.to_be_bytes();
        let id = u16::from_be_bytes([high, low]).max(1);
        let carrier = Carrier { source, destination, ttl, id };
        (id, ah::seal(key, &carrier, self.sequence, &message))
    }

    fn check_travel(&self, packet: &ReceivedPacket) -> Result<(), Rejection> {
        match &self.instance.transport {
            Transport::Multicast { .. } if !packet.destination.is_multicast() => {
                Err(Rejection::Destination)
            }
            Transport::Multicast { .. } if packet.ttl != 255 => Err(Rejection::Ttl(packet.ttl)),
            Transport::Multicast { .. } => Ok(()),
            Transport::Unicast { .. } if packet.destination.is_multicast() => {
                Err(Rejection::Destination)
            }
            Transport::Unicast { peers, check_source, .. } => {
                let peer = peers.iter().find(|peer| peer.address == packet.source);
                match peer {
                    None if *check_source => Err(Rejection::Source),
                    Some(peer)
                        if peer.min_ttl.is_some_and(|least| packet.ttl < least)
                            || peer.max_ttl.is_some_and(|most| packet.ttl > most) =>
                    {
                        Err(Rejection::Ttl(packet.ttl))
                    }
                    None | Some(_) => Ok(()),
                }
            }
        }
    }

    fn check_authentication(&self, found: &Advert) -> Result<(), Rejection> {
        if self.instance.version == VrrpVersion::V3 {
            return Ok(());
        }
        let (kind, data) = found.authentication;
        match (self.instance.authentication, kind) {
            (_, 3..) => Err(Rejection::UnknownAuthType(kind)),
            // RFC 3768 section 5.3.6.1: the data of type 0 is ignored.
            // An authentication header was checked before.
            (Authentication::None, 0) | (Authentication::Header(_), AUTH_HEADER) => Ok(()),
            (Authentication::Password(password), AUTH_SIMPLE) => {
                if same(password, data) {
                    Ok(())
                } else {
                    Err(Rejection::Password)
                }
            }
            (Authentication::None | Authentication::Password(_) | Authentication::Header(_), _) => {
                Err(Rejection::AuthTypeMismatch)
            }
        }
    }

    /// Whether the list of addresses is ours, in any order.
    pub fn same_addresses(&self, found: &Advert) -> bool {
        let ours = self.instance.addresses.iter().map(|address| &address.address);
        if ours.eq(&found.addresses) {
            return true;
        }
        let mut counts: BTreeMap<IpAddr, i32> = BTreeMap::new();
        for address in &self.instance.addresses {
            *counts.entry(address.address).or_default() += 1;
        }
        for address in &found.addresses {
            *counts.entry(*address).or_default() -= 1;
        }
        counts.values().all(|count| *count == 0)
    }
}

/// What identifies an instance over a reload.
pub fn identity(instance: &Instance) -> Identity {
    let unicast = matches!(instance.transport, Transport::Unicast { .. });
    let interface = instance.advert_interface().map(Arc::from);
    (interface, instance.family, instance.vrid.get(), unicast)
}

/// In a time that does not depend on where they differ.
fn same(left: [u8; 8], right: [u8; 8]) -> bool {
    left.iter().zip(right).fold(0, |differs, (left, right)| differs | (left ^ right)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vrrp::engine::tests::instance;

    fn router(version: VrrpVersion, priority: u8, interval: Interval) -> Router {
        let mut instance = instance("VI_1", priority);
        instance.version = version;
        instance.advert_interval = interval;
        Router::new(Arc::new(instance))
    }

    #[test]
    fn v_090_and_v_092_version_2_skew_is_a_part_of_a_second() {
        for (priority, seconds, micros) in
            [(100, 1, 3_609_375), (254, 1, 3_007_812), (1, 1, 3_996_093), (100, 5, 15_609_375)]
        {
            let router = router(VrrpVersion::V2, priority, Interval::from_secs(seconds));
            assert_eq!(router.master_down_interval().as_micros(), micros);
        }
    }

    #[test]
    fn v_091_version_3_skew_is_a_part_of_the_masters_interval() {
        for (priority, centis, down) in [(100, 100, 3_609_375), (100, 10, 360_937)] {
            let router = router(VrrpVersion::V3, priority, Interval::from_centis(centis));
            assert_eq!(router.master_down_interval().as_micros(), down);
        }
        let slow = router(VrrpVersion::V3, 200, Interval::from_centis(4095));
        assert_eq!(slow.skew().as_millis(), 8957);
    }

    #[test]
    fn v_033_an_authentication_header_is_wanted_and_never_taken_twice() {
        let mut router = router(VrrpVersion::V2, 100, Interval::from_secs(1));
        let key = Authentication::Header(*b"1111\0\0\0\0");
        Arc::make_mut(&mut router.instance).authentication = key;
        let mut sender = router.clone();
        let (source, group) = (IpAddr::from([10, 0, 0, 9]), IpAddr::from([224, 0, 0, 18]));
        let mut packet = || {
            let message = sender.advert(Priority::DEFAULT, source, group);
            sender.take_number(Interval::ZERO);
            let (id, payload) = sender.seal(source, group, 255, message);
            let interface = Some("eth0".into());
            ReceivedPacket {
                interface,
                source,
                destination: group,
                ttl: 255,
                sealed: Some(id),
                payload,
            }
        };
        let (first, second) = (packet(), packet());
        let accepted = router.accept(&second, Interval::ZERO).unwrap();
        assert_eq!(accepted.sequence, 2);
        router.sequence = accepted.sequence;
        assert_eq!(router.accept(&first, Interval::ZERO), Err(Rejection::Replay(1)));
        let plain = ReceivedPacket { sealed: None, ..second.clone() };
        assert_eq!(router.accept(&plain, Interval::ZERO), Err(Rejection::AuthTypeMismatch));
        let moved = ReceivedPacket { source: [10, 0, 0, 8].into(), ..second };
        assert_eq!(router.accept(&moved, Interval::ZERO), Err(Rejection::Password));
    }

    #[test]
    fn numbers_go_on_from_those_of_others_and_begin_high_only_where_nobody_was_heard() {
        let mut router = router(VrrpVersion::V2, 100, Interval::from_secs(1));
        let key = Authentication::Header([7; 8]);
        Arc::make_mut(&mut router.instance).authentication = key;
        let first = |seconds| {
            let mut alone = router.clone();
            alone.take_number(Interval::from_secs(seconds));
            u64::from(alone.sequence)
        };
        // The simulator's seed 54: its peers did not hear the successor of a process that had sent
        // more than one advert a second. Two a second for a week:
        let (wall, week) = (1_800_000_000, 7 * 24 * 3600);
        assert!(first(wall + week) > first(wall) + 2 * week);
        assert_eq!((first(0), first(u64::MAX)), (1, 0), "saturates, and begins anew");
        router.sequence = 5;
        router.take_number(Interval::from_secs(wall));
        assert_eq!(router.sequence, 6);
    }

    /// The simulator's seed 29: each peer got a number of its own, and the one that took over began
    /// below the numbers of the old master, which refused to hear it: two masters for minutes.
    #[test]
    fn all_unicast_peers_get_the_same_number() {
        let mut router = router(VrrpVersion::V2, 100, Interval::from_secs(1));
        Arc::make_mut(&mut router.instance).authentication = Authentication::Header([7; 8]);
        let source = IpAddr::from([10, 0, 0, 9]);
        router.take_number(Interval::ZERO);
        let numbers: BTreeSet<[u8; 4]> = [[10, 0, 0, 1], [10, 0, 0, 2]]
            .into_iter()
            .map(|peer| router.seal(source, peer.into(), 255, vec![0; 20]).1)
            .map(|sealed| sealed[8..12].try_into().unwrap())
            .collect();
        assert_eq!(numbers, BTreeSet::from([[0, 0, 0, 1]]));
    }

    #[test]
    fn v_073_address_lists_are_compared_as_sets() {
        let mut router = router(VrrpVersion::V2, 100, Interval::from_secs(1));
        let second = {
            let mut second = router.instance.addresses[0].clone();
            Arc::make_mut(&mut second).address = [10, 0, 0, 2].into();
            second
        };
        Arc::make_mut(&mut router.instance).addresses.push(second);
        let source = IpAddr::from([10, 0, 0, 9]);
        let bytes = router.advert(Priority::DEFAULT, source, [224, 0, 0, 18].into());
        let (mut advert, _) = advert::parse(&bytes, source, [224, 0, 0, 18].into()).unwrap();
        advert.addresses.reverse();
        assert!(router.same_addresses(&advert));
        advert.addresses.pop();
        assert!(!router.same_addresses(&advert));
    }
}
