//! One session with one neighbour: the state machine of RFC 5880 section 6.8 in asynchronous mode,
//! without authentication and echo.

use super::packet::{ControlPacket, Diagnostic, Sequence, State};
use crate::core::config::model::bfd::BfdSession;
use crate::core::time::{Interval, Timestamp};

/// What is known of the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remote {
    /// Its name of the session; 0 while it is not heard (bfd.RemoteDiscr).
    pub discriminator: u32,
    /// bfd.RemoteSessionState.
    pub state: State,
    /// Why it last left Up.
    pub diagnostic: Diagnostic,
    /// bfd.RemoteDemandMode.
    pub demand: bool,
    /// How many of its packets may be lost.
    pub multiplier: u8,
    /// The fastest that it sends.
    pub desired_min_tx: Interval,
    /// The fastest that it can receive (bfd.RemoteMinRxInterval).
    pub required_min_rx: Interval,
}

impl Default for Remote {
    /// RFC 5880 section 6.8.1.
    fn default() -> Self {
        Self {
            discriminator: 0,
            state: State::Down,
            diagnostic: Diagnostic::Nothing,
            demand: false,
            multiplier: 0,
            desired_min_tx: Interval::ZERO,
            required_min_rx: Interval::from_micros(1),
        }
    }
}

/// Makes the other end confirm what our packets say (RFC 5880 section 6.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Poll {
    Idle,
    Running,
    /// Something has changed since it began: the answer on its way is perhaps about the old values.
    RunningAnother,
}

/// From one state to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    /// From where.
    pub from: State,
    /// To where.
    pub to: State,
}

/// What a packet has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reaction {
    /// To the state.
    pub transition: Option<Transition>,
    /// It polls: an answer with F must leave at once.
    pub answer: bool,
}

/// What has been counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Packets that were accepted.
    pub received: u64,
    /// Packets that were sent.
    pub sent: u64,
    /// Packets that failed a check although their session was known.
    pub rejected: u64,
    /// Times that it came Up.
    pub ups: u64,
    /// Times that it left Up.
    pub downs: u64,
}

/// One session.
#[derive(Debug, Clone)]
pub struct Session {
    /// Its configuration.
    pub config: BfdSession,
    /// bfd.LocalDiscr; not 0.
    pub discriminator: u32,
    /// bfd.SessionState.
    pub state: State,
    /// bfd.LocalDiag.
    pub diagnostic: Diagnostic,
    /// The other end.
    pub remote: Remote,
    /// Since when it is in its state.
    pub since: Timestamp,
    /// What has been counted.
    pub counters: Counters,
    /// bfd.DesiredMinTxInterval as the packets say it.
    desired_min_tx: Interval,
    /// bfd.RequiredMinRxInterval as the packets say it.
    required_min_rx: Interval,
    /// What counts until the other end knows of a slower rate.
    applied_min_tx: Interval,
    /// What counts until the other end knows of a faster rate.
    applied_min_rx: Interval,
    poll: Poll,
}

impl Session {
    /// A session that has neither sent nor heard anything.
    pub fn new(now: Timestamp, config: BfdSession, discriminator: u32) -> Self {
        let (tx, rx) = (config.idle_interval, config.receive_interval);
        Self {
            config,
            discriminator,
            state: State::Down,
            diagnostic: Diagnostic::Nothing,
            remote: Remote::default(),
            since: now,
            counters: Counters::default(),
            desired_min_tx: tx,
            required_min_rx: rx,
            applied_min_tx: tx,
            applied_min_rx: rx,
            poll: Poll::Idle,
        }
    }

    /// One that was up in a process before this one, a moment ago. The other end is asked to confirm the
    /// rates: the configuration may be another one.
    pub fn resume(now: Timestamp, config: BfdSession, discriminator: u32, remote: Remote) -> Self {
        let tx = config.transmit_interval;
        Self {
            state: State::Up,
            remote,
            desired_min_tx: tx,
            applied_min_tx: tx,
            poll: Poll::Running,
            ..Self::new(now, config, discriminator)
        }
    }

    /// A packet of this session that has passed every check (RFC 5880 section 6.8.6).
    pub fn receive(&mut self, now: Timestamp, packet: &ControlPacket) -> Reaction {
        self.counters.received += 1;
        self.remote = Remote {
            discriminator: packet.my_discriminator,
            state: packet.state,
            diagnostic: packet.diagnostic,
            demand: packet.demand,
            multiplier: packet.multiplier,
            desired_min_tx: packet.desired_min_tx,
            required_min_rx: packet.required_min_rx,
        };
        if packet.sequence == Sequence::Final {
            self.end_poll();
        }
        // RFC 5880 section 6.8.6, the column of what was received within each state of ours.
        let next = match self.state {
            // Nobody but a reload takes it out of there.
            State::AdminDown => State::AdminDown,
            State::Down => match packet.state {
                State::AdminDown | State::Up => State::Down,
                State::Down => State::Init,
                State::Init => State::Up,
            },
            State::Init => match packet.state {
                State::AdminDown => State::Down,
                State::Down => State::Init,
                State::Init | State::Up => State::Up,
            },
            State::Up => match packet.state {
                State::AdminDown | State::Down => State::Down,
                State::Init | State::Up => State::Up,
            },
        };
        if next == State::Down && self.state != State::Down {
            self.diagnostic = Diagnostic::NeighbourSignalledDown;
        }
        let transition = self.enter(now, next);
        Reaction { transition, answer: packet.sequence == Sequence::Poll }
    }

    /// The detection time has passed without a packet (RFC 5880 sections 6.8.1 and 6.8.4).
    pub fn expire(&mut self, now: Timestamp) -> Option<Transition> {
        // Nobody is there to answer.
        self.poll = Poll::Idle;
        let remote = Remote { diagnostic: self.remote.diagnostic, ..Remote::default() };
        self.remote = remote;
        match self.state {
            State::Init | State::Up => {
                self.diagnostic = Diagnostic::DetectionTimeExpired;
                self.enter(now, State::Down)
            }
            State::Down | State::AdminDown => None,
        }
    }

    /// Nobody wants it any more (RFC 5880 section 6.8.16).
    pub fn take_down(&mut self, now: Timestamp) -> Option<Transition> {
        self.diagnostic = Diagnostic::AdministrativelyDown;
        self.poll = Poll::Idle;
        self.enter(now, State::AdminDown)
    }

    /// Other parameters for the same two addresses. Returns whether its packets say something else now.
    pub fn reconfigure(&mut self, config: BfdSession) -> bool {
        let multiplier = self.config.multiplier;
        self.config = config;
        let asked = self.ask_for_rates();
        asked || multiplier != self.config.multiplier
    }

    /// How often packets leave, before jitter; `None` while it must be silent (RFC 5880 section 6.8.7).
    pub fn transmit_interval(&self) -> Option<Interval> {
        let unheard = self.config.passive && self.remote.discriminator == 0;
        let unwanted = self.remote.required_min_rx.is_zero();
        let up = self.state == State::Up && self.remote.state == State::Up;
        let on_demand = self.remote.demand && up && self.poll == Poll::Idle;
        if unheard || unwanted || on_demand {
            return None;
        }
        Some(self.applied_min_tx.max(self.remote.required_min_rx))
    }

    /// The wait before the next packet: a quarter of the interval may be missing, with a multiplier of
    /// one a tenth must be, so that a late packet does not end the session (RFC 5880 section 6.8.7).
    /// `chance` is anything.
    pub fn jittered(&self, interval: Interval, chance: u32) -> Interval {
        let least = if self.config.multiplier == 1 { 10 } else { 0 };
        let range = interval.fraction(25 - least, 100);
        let missing = range.fraction(chance.into(), u32::MAX.into());
        interval - interval.fraction(least, 100) - missing
    }

    /// How long the other end may be silent; `None` while it was never heard (RFC 5880 section 6.8.4).
    pub fn detection_time(&self) -> Option<Interval> {
        if self.remote.discriminator == 0 {
            return None;
        }
        let interval = self.applied_min_rx.max(self.remote.desired_min_tx);
        Some(interval * u64::from(self.remote.multiplier))
    }

    /// How long the other end waits for us, as far as we know.
    pub fn remote_detection_time(&self) -> Interval {
        let interval = self.desired_min_tx.max(self.remote.required_min_rx);
        interval * u64::from(self.config.multiplier)
    }

    /// Whether a poll sequence is going on.
    pub fn is_polling(&self) -> bool {
        self.poll != Poll::Idle
    }

    /// What a periodic packet says.
    pub fn packet(&self) -> ControlPacket {
        let sequence = if self.is_polling() { Sequence::Poll } else { Sequence::None };
        ControlPacket {
            diagnostic: self.diagnostic,
            state: self.state,
            sequence,
            // This process dies with its host's control plane.
            control_plane_independent: false,
            demand: false,
            multiplier: self.config.multiplier,
            my_discriminator: self.discriminator,
            your_discriminator: self.remote.discriminator,
            desired_min_tx: self.desired_min_tx,
            required_min_rx: self.required_min_rx,
            required_min_echo_rx: Interval::ZERO,
        }
    }

    /// What the answer to a poll says.
    pub fn answer(&self) -> ControlPacket {
        ControlPacket { sequence: Sequence::Final, ..self.packet() }
    }

    fn enter(&mut self, now: Timestamp, state: State) -> Option<Transition> {
        let from = std::mem::replace(&mut self.state, state);
        if from == state {
            return None;
        }
        self.since = now;
        match (from, state) {
            (State::Up, _) => self.counters.downs += 1,
            (_, State::Up) => {
                self.counters.ups += 1;
                self.diagnostic = Diagnostic::Nothing;
            }
            (_, State::AdminDown | State::Down | State::Init) => {}
        }
        self.ask_for_rates();
        Some(Transition { from, to: state })
    }

    /// Takes the rates of the state. Returns whether the packets say others than before.
    fn ask_for_rates(&mut self) -> bool {
        let up = self.state == State::Up;
        // One second at least while it is not up (RFC 5880 section 6.8.3).
        let tx = if up { self.config.transmit_interval } else { self.config.idle_interval };
        let rx = self.config.receive_interval;
        let changed = tx != self.desired_min_tx || rx != self.required_min_rx;
        (self.desired_min_tx, self.required_min_rx) = (tx, rx);
        // Until the other end knows, packets must come as fast as it was told, and it may send as
        // slowly as it was told.
        self.applied_min_tx = if up { self.applied_min_tx.min(tx) } else { tx };
        self.applied_min_rx = if up { self.applied_min_rx.max(rx) } else { rx };
        if changed && self.remote.discriminator != 0 && self.state != State::AdminDown {
            self.poll = match self.poll {
                Poll::Idle => Poll::Running,
                Poll::Running | Poll::RunningAnother => Poll::RunningAnother,
            };
        }
        changed
    }

    fn end_poll(&mut self) {
        match self.poll {
            Poll::Idle => {}
            Poll::Running => {
                self.poll = Poll::Idle;
                self.applied_min_tx = self.desired_min_tx;
                self.applied_min_rx = self.required_min_rx;
            }
            Poll::RunningAnother => self.poll = Poll::Running,
        }
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
pub(super) mod tests;
