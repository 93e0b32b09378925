//! What a virtual router has to say: log lines in keepalived's words, and why things happened.

use std::fmt;
use std::net::IpAddr;

use crate::core::config::model::Script;
use crate::core::config::model::vrrp::Priority;
use crate::core::shared::Shared;
use crate::core::time::Interval;

/// Why an advert was not accepted, in the order of the checks (RFC 9568 section 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rejection {
    /// Length.
    Length,
    /// TTL.
    Ttl(u8),
    /// Version.
    Version(u8),
    /// Type.
    Type,
    /// Checksum.
    Checksum,
    /// Authentication type that does not exist.
    UnknownAuthType(u8),
    /// Authentication type of another configuration.
    AuthTypeMismatch,
    /// Wrong password.
    Password,
    /// An authentication header with a number that was there before.
    Replay(u32),
    /// No trailer, where `auth_hmac` wants one.
    TrailerMissing,
    /// A trailer of another kind.
    TrailerMalformed,
    /// A trailer made with a key that is not there.
    UnknownKey(u8),
    /// A trailer that nobody with the key has made for this advert.
    InvalidHmac,
    /// A trailer by a clock that is so many seconds ahead of ours; behind it when negative.
    Stale(i32),
    /// A trailer that is not later than one that was accepted.
    ReplayedStamp,
    /// Advert interval.
    Interval(Interval),
    /// To a group where unicast was expected, or the other way round.
    Destination,
    /// No address in it (RFC 9568, erratum 8299).
    NoAddress,
    /// The first IPv6 address is not link-local (RFC 9568, erratum 8300), in strict mode.
    NotLinkLocal,
    /// Not from a configured peer.
    Source,
    /// An owner that ignores adverts.
    Owner,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length => write!(f, "incorrect length"),
            Self::Ttl(ttl) => write!(f, "invalid TTL {ttl}"),
            Self::Version(version) => write!(f, "wrong version {version}"),
            Self::Type => write!(f, "invalid type"),
            Self::Checksum => write!(f, "invalid checksum"),
            Self::UnknownAuthType(kind) => write!(f, "unknown authentication type {kind}"),
            Self::AuthTypeMismatch => write!(f, "another authentication type"),
            Self::Password => write!(f, "wrong password"),
            Self::Replay(number) => write!(f, "sequence number {number} was there before"),
            Self::TrailerMissing => write!(f, "no authentication trailer"),
            Self::TrailerMalformed => write!(f, "malformed authentication trailer"),
            Self::UnknownKey(id) => write!(f, "unknown authentication key {id}"),
            Self::InvalidHmac => write!(f, "invalid authentication HMAC"),
            Self::Stale(seconds) => {
                write!(f, "stale authentication trailer, its clock is {seconds} s ahead of ours")
            }
            Self::ReplayedStamp => write!(f, "replayed authentication trailer"),
            Self::Interval(interval) => write!(f, "advert interval {interval} s"),
            Self::Destination => write!(f, "wrong destination (multicast and unicast mixed)"),
            Self::NoAddress => write!(f, "no virtual address"),
            Self::NotLinkLocal => write!(f, "a first address that is not link-local"),
            Self::Source => write!(f, "a source that is not a configured peer"),
            Self::Owner => write!(f, "an advert that the address owner ignores"),
        }
    }
}

/// State of a virtual router (RFC 9568 section 6.4), and FAULT as keepalived has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Not started, or waiting for the first result of a script.
    Init,
    /// Listening.
    Backup,
    /// Holding the addresses ("Active" in RFC 9568).
    Master,
    /// Cannot serve.
    Fault,
}

impl State {
    /// As in logs, dumps and script arguments.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Init => "INIT",
            Self::Backup => "BACKUP",
            Self::Master => "MASTER",
            Self::Fault => "FAULT",
        }
    }
}

/// A cause of the FAULT state.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// The interface is down.
    InterfaceDown(String),
    /// The interface does not exist.
    InterfaceMissing(String),
    /// The interface has no address to send adverts from.
    NoSource,
    /// The configured source address is not there (`track_src_ip`).
    SourceMissing(IpAddr),
    /// Adverts can neither be sent nor heard.
    NoSocket,
    /// No unicast peer is configured (`unicast_fault_no_peer`).
    NoPeer,
    /// The active key of `auth_hmac` could not be read: peers would not believe its adverts.
    NoKey(u8),
    /// A tracked script is bad (or good, with `reverse`).
    Script(String),
    /// A tracked file's number.
    File(String),
    /// A tracked process.
    Process(String),
    /// A tracked BFD session.
    Bfd(String),
    /// A member of the sync group has a fault.
    Group(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InterfaceDown(name) => write!(f, "interface {name} is down"),
            Self::InterfaceMissing(name) => write!(f, "interface {name} does not exist"),
            Self::NoSource => write!(f, "the interface has no address to send from"),
            Self::SourceMissing(address) => {
                write!(f, "the source address {address} is not there")
            }
            Self::NoSocket => write!(f, "no socket could be opened for adverts"),
            Self::NoPeer => write!(f, "no unicast peer is configured"),
            Self::NoKey(id) => write!(f, "key {id} of auth_hmac could not be read"),
            Self::Script(name) => write!(f, "script {name}"),
            Self::File(name) => write!(f, "track file {name}"),
            Self::Process(name) => write!(f, "track process {name}"),
            Self::Bfd(name) => write!(f, "BFD session {name}"),
            Self::Group(name) => write!(f, "sync group {name}"),
        }
    }
}

/// Why a state changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The process began.
    Start,
    /// No advert of the master within the master down interval.
    MasterDown,
    /// An advert of a better router.
    BetterMaster(IpAddr, Priority),
    /// The address owner starts as master.
    Owner,
    /// The process before this one was master until a moment ago.
    Resumed,
    /// We were away for so long that somebody else has taken over.
    WasAway,
    /// Its own timer was so late that another one may be master (`timer_expired_backup`).
    TooLate(Interval),
    /// A fault.
    Fault(Fault),
    /// The last fault is gone.
    Recovered,
    /// The sync group moved.
    Group(String),
    /// Somebody else removed a virtual address, a route or a rule.
    Lost(String),
    /// A reload took the instance away.
    Removed,
    /// The process ends.
    Shutdown,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => write!(f, "start"),
            Self::MasterDown => write!(f, "no advert within the master down interval"),
            Self::BetterMaster(from, priority) => {
                write!(f, "advert from {from}, priority {priority}")
            }
            Self::Owner => write!(f, "address owner"),
            Self::Resumed => write!(f, "master until a moment ago"),
            Self::WasAway => write!(f, "somebody took over while this router was away"),
            Self::TooLate(late) => write!(f, "its advert was {late} s late"),
            Self::Fault(fault) => write!(f, "{fault}"),
            Self::Recovered => write!(f, "all faults are gone"),
            Self::Group(name) => write!(f, "sync group {name}"),
            Self::Lost(what) => write!(f, "{what} was removed by someone else"),
            Self::Removed => write!(f, "removed by reload"),
            Self::Shutdown => write!(f, "shutdown"),
        }
    }
}

/// Something to log about an instance or a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Name of the instance or group; of the interface where the event is about one.
    pub name: String,
    /// What happened.
    pub kind: EventKind,
    /// Why, where there is a why.
    pub reason: Option<Reason>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum EventKind {
    Entering { state: State, initial: bool },
    MasterTimeout,
    SettingAddresses,
    RemovingAddresses,
    SentPriorityZero,
    ReceivedPriorityZero,
    HigherPriority { from: IpAddr, theirs: Priority, ours: Priority },
    HigherAddress { from: IpAddr, priority: Priority },
    LowerPriority { from: IpAddr, theirs: Priority, ours: Priority },
    DiscardedLower { from: IpAddr, theirs: Priority },
    DuplicateAddress { from: IpAddr },
    TwoOwners { from: IpAddr },
    RivalHeard { from: IpAddr, theirs: Priority, ours: Priority },
    RivalGone { from: IpAddr, adverts: u64, lasted: Interval },
    PriorityChanged { from: Priority, to: Priority },
    Announcing { interface: String, address: IpAddr },
    Rejected { from: IpAddr, rejection: Rejection },
    AddressListDiffers { from: IpAddr },
    NotAuthenticated { from: IpAddr },
    NotLinkLocal { from: IpAddr },
    OldChecksum { from: IpAddr },
    ClocksDiffer { from: IpAddr, seconds: i32, window: Interval },
    IntervalLearned { from: IpAddr, interval: Interval },
    FaultFound(Fault),
    FaultGone(Fault),
    GroupSync(State),
    Lost(String),
    LostAgain { what: String, wait: Interval },
    Listening { late: Interval },
    WasAway { late: Interval },
    LinkChangeWaits { up: bool, delay: Interval },
    UnknownRouter { from: IpAddr, vrid: u8 },
}

/// How important a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Importance {
    /// With `-D` only.
    Detail,
    /// Always.
    Normal,
    /// Something is wrong.
    Warning,
}

impl EventKind {
    /// How important the line is.
    pub fn importance(&self) -> Importance {
        match self {
            Self::SettingAddresses | Self::RemovingAddresses | Self::Announcing { .. } => {
                Importance::Detail
            }
            Self::Rejected { .. }
            | Self::AddressListDiffers { .. }
            | Self::NotAuthenticated { .. }
            | Self::NotLinkLocal { .. }
            | Self::ClocksDiffer { .. }
            | Self::DuplicateAddress { .. }
            | Self::TwoOwners { .. }
            | Self::RivalHeard { .. }
            | Self::RivalGone { .. }
            | Self::Lost(_)
            | Self::LostAgain { .. }
            | Self::UnknownRouter { .. }
            | Self::Listening { .. }
            | Self::WasAway { .. } => Importance::Warning,
            Self::Entering { .. }
            | Self::MasterTimeout
            | Self::SentPriorityZero
            | Self::ReceivedPriorityZero
            | Self::HigherPriority { .. }
            | Self::HigherAddress { .. }
            | Self::LowerPriority { .. }
            | Self::DiscardedLower { .. }
            | Self::PriorityChanged { .. }
            | Self::IntervalLearned { .. }
            | Self::OldChecksum { .. }
            | Self::FaultFound(_)
            | Self::FaultGone(_)
            | Self::LinkChangeWaits { .. }
            | Self::GroupSync(_) => Importance::Normal,
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        match &self.kind {
            EventKind::GroupSync(state) => {
                return write!(f, "VRRP_Group({name}) Syncing instances to {} state", state.name());
            }
            EventKind::UnknownRouter { from, vrid } => {
                return write!(
                    f,
                    "advert from {from} on {name} for VRID {vrid}, which is not ours"
                );
            }
            EventKind::LinkChangeWaits { up, delay } => {
                let state = if *up { "up" } else { "down" };
                return write!(f, "{name} is {state}, which counts when it has lasted {delay} s");
            }
            _ => write!(f, "({name}) ")?,
        }
        match &self.kind {
            EventKind::Entering { state, initial } => {
                let initial = if *initial { " (init)" } else { "" };
                write!(f, "Entering {} STATE{initial}", state.name())
            }
            EventKind::MasterTimeout => write!(f, "Receive advertisement timeout"),
            EventKind::SettingAddresses => write!(f, "setting VIPs."),
            EventKind::RemovingAddresses => write!(f, "removing VIPs."),
            EventKind::SentPriorityZero => write!(f, "sent 0 priority"),
            EventKind::ReceivedPriorityZero => {
                write!(f, "Backup received priority 0 advertisement")
            }
            EventKind::HigherPriority { from, theirs, ours } => write!(
                f,
                "Master received advert from {from} with higher priority {theirs}, ours {ours}"
            ),
            EventKind::HigherAddress { from, priority } => write!(
                f,
                "Master received advert from {from} with same priority {priority} but higher IP address than ours"
            ),
            EventKind::LowerPriority { from, theirs, ours } => write!(
                f,
                "Received advert from {from} with lower priority {theirs}, ours {ours}, forcing new election"
            ),
            EventKind::DiscardedLower { from, theirs } => {
                write!(f, "received lower priority ({theirs}) advert from {from} - discarding")
            }
            EventKind::DuplicateAddress { .. } => write!(
                f,
                "WARNING - equal priority advert received from remote host with our IP address."
            ),
            EventKind::TwoOwners { from } => write!(
                f,
                "CONFIGURATION ERROR: local instance and {from} are both configured as address owner"
            ),
            EventKind::RivalHeard { from, theirs, ours } => write!(
                f,
                "RIVAL: {from} sends adverts too, with priority {theirs}, ours {ours}; it does not hear ours, or not in time"
            ),
            EventKind::RivalGone { from, adverts, lasted } => write!(
                f,
                "rival {from} is silent after {adverts} adverts in {lasted} s, announcing the addresses again"
            ),
            EventKind::PriorityChanged { from, to } => {
                write!(f, "Changing effective priority from {from} to {to}")
            }
            EventKind::Announcing { interface, address } => {
                let what = match address {
                    IpAddr::V4(_) => "gratuitous ARPs",
                    IpAddr::V6(_) => "Unsolicited Neighbour Adverts",
                };
                write!(f, "Sending/queueing {what} on {interface} for {address}")
            }
            EventKind::Rejected { from, rejection } => {
                write!(f, "Dropping received VRRP packet from {from}: {rejection}")
            }
            EventKind::AddressListDiffers { from } => {
                write!(f, "the virtual addresses in an advert from {from} are not ours")
            }
            EventKind::NotAuthenticated { from } => write!(
                f,
                "advert from {from} without an authentication trailer, believed in this mode"
            ),
            EventKind::NotLinkLocal { from } => {
                write!(f, "the first address in an advert from {from} should be link-local")
            }
            EventKind::OldChecksum { from } => write!(
                f,
                "{from} sums up unicast adverts as keepalived before 1.3, it is answered likewise"
            ),
            EventKind::ClocksDiffer { from, seconds, window } => write!(
                f,
                "the clock of {from} is {seconds} s ahead of ours, adverts are dropped from {window} s on"
            ),
            EventKind::IntervalLearned { from, interval } => {
                write!(f, "advert interval of master {from} is {interval} s, using it")
            }
            EventKind::FaultFound(fault) => write!(f, "fault: {fault}"),
            EventKind::FaultGone(fault) => write!(f, "no fault any more: {fault}"),
            EventKind::Lost(what) => {
                write!(f, "{what} was removed by someone else, it is put back")
            }
            EventKind::LostAgain { what, wait } => {
                write!(f, "{what} is removed again and again, it is left alone for {wait} s")
            }
            EventKind::Listening { late } => write!(
                f,
                "an advert was {late} s late: listening for another master before sending it"
            ),
            EventKind::WasAway { late } => {
                write!(f, "away for {late} s: listening for an advert before taking over")
            }
            EventKind::GroupSync(_)
            | EventKind::UnknownRouter { .. }
            | EventKind::LinkChangeWaits { .. } => Ok(()),
        }
    }
}

/// What kind of object a notification is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// `INSTANCE`.
    Instance,
    /// `GROUP`.
    Group,
}

/// Scripts to run because something happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Instance or group.
    pub subject: Subject,
    /// Its name.
    pub name: String,
    /// `MASTER`, `BACKUP`, `FAULT`, `STOP`, `DELETED`, `MASTER_PRIORITY`, …
    pub state: &'static str,
    /// Effective priority; 0 for groups.
    pub priority: Priority,
    /// The script of this state; it gets no arguments.
    pub script: Option<Shared<Script>>,
    /// The script of every state; it gets subject, name, state and priority.
    pub any: Option<Shared<Script>>,
    /// Whether to send mail (`smtp_alert`).
    pub mail: bool,
}
