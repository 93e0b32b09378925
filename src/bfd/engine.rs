//! All sessions: packets, timers and reloads in; packets, news and log lines out. Pure: it owns no
//! clock, socket, file or chance.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

use super::event::{Event, Rejection};
use super::inheritance::{Identity, Inheritance, identity};
use super::packet::{self, LENGTH, State};
use super::session::{Session, Transition};
use crate::core::bfd_news::News;
use crate::core::config::model::bfd::{BfdListeners, BfdSession};
use crate::core::time::{Interval, TimerTable, Timestamp};

/// What a session gets to come up before it counts as down: so a process that is started again, or a
/// neighbour that has only just been configured, takes nobody out. A handshake of two ends that speak
/// once a second needs two.
pub const SETTLE: Interval = Interval::from_secs(3);
/// A session that was taken away says so for the other end's detection time, but not for longer.
const LONGEST_FAREWELL: Interval = Interval::from_secs(30);
/// Kinds of bad packets that are remembered as told.
const MOST_TOLD: usize = 256;

/// Names a session for as long as it is configured with the same two addresses.
pub type SessionId = u32;

/// Which port a packet came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hop {
    /// 3784 (RFC 5881).
    Single,
    /// 4784 (RFC 5883).
    Multi,
}

impl Hop {
    /// Of a session.
    pub const fn of(config: &BfdSession) -> Self {
        if config.multihop { Self::Multi } else { Self::Single }
    }

    /// The UDP port.
    pub const fn port(self) -> u16 {
        match self {
            Self::Single => 3784,
            Self::Multi => 4784,
        }
    }
}

/// A datagram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedPacket {
    /// Who sent it.
    pub from: IpAddr,
    /// To which of our addresses, if the kernel said so.
    pub to: Option<IpAddr>,
    /// What the IP header has left, if the kernel said so.
    pub ttl: Option<u8>,
    /// To which port.
    pub hop: Hop,
    /// What it holds.
    pub payload: Vec<u8>,
}

/// What happens to the engine.
#[derive(Debug, Clone)]
pub enum Input {
    /// A packet has arrived.
    Packet(ReceivedPacket),
    /// A reload.
    Reconfigure(Vec<BfdSession>),
    /// The process ends.
    Shutdown,
}

/// What the engine wants done, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send a packet.
    Transmit {
        /// Whose.
        session: SessionId,
        /// The datagram's payload.
        payload: [u8; LENGTH],
    },
    /// Tell those who track the session.
    News(BfdListeners, News),
    /// Nothing will be sent for this session any more.
    Close(SessionId),
    /// Log a line.
    Log(Event),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum TimerKind {
    /// The next packet.
    Transmit,
    /// The other end has been silent for too long.
    Detection,
    /// It has had its time to come up.
    Settled,
    /// It has said for long enough that it is gone.
    Farewell,
}

/// A session with what the engine remembers of it.
#[derive(Debug, Clone)]
struct Entry {
    session: Session,
    /// When its last periodic packet left.
    sent: Option<Timestamp>,
    /// The interval that the next one is timed by.
    pace: Option<Interval>,
    /// What was told to those who track it.
    told: Option<bool>,
    /// A reload has taken it away.
    leaving: bool,
}

/// All sessions of this host.
#[derive(Debug)]
pub struct BfdEngine {
    entries: BTreeMap<SessionId, Entry>,
    by_discriminator: BTreeMap<u32, SessionId>,
    next_id: SessionId,
    timers: TimerTable<(SessionId, TimerKind)>,
    outputs: VecDeque<Output>,
    /// Bad packets that have been told of.
    told: BTreeSet<(IpAddr, Rejection)>,
    /// Of a process before this one, during the start.
    inherited: BTreeMap<Identity, Inheritance>,
    /// Packets that belong to no session.
    strays: u64,
    chance: u64,
    stopped: bool,
}

impl BfdEngine {
    /// Begins all sessions. `seed` is chance: discriminators and jitter follow from it.
    pub fn new(now: Timestamp, sessions: Vec<BfdSession>, seed: u64) -> Self {
        Self::after(now, sessions, seed, &[], Interval::ZERO)
    }

    /// The same after a process that left `inherited`, and that has said all it had to say until
    /// `gone` ago: sessions whose neighbours cannot have missed it yet go on.
    pub fn after(
        now: Timestamp,
        sessions: Vec<BfdSession>,
        seed: u64,
        inherited: &[Inheritance],
        gone: Interval,
    ) -> Self {
        let mut engine = Self {
            entries: BTreeMap::new(),
            by_discriminator: BTreeMap::new(),
            next_id: 0,
            timers: TimerTable::new(),
            outputs: VecDeque::new(),
            told: BTreeSet::new(),
            inherited: inherited.iter().map(|left| (left.identity, *left)).collect(),
            strays: 0,
            chance: seed,
            stopped: false,
        };
        engine.inherited.retain(|_, left| {
            let config = sessions.iter().find(|config| identity(config) == left.identity);
            config.is_some_and(|config| {
                let session = Session::resume(now, config.clone(), left.discriminator, left.remote);
                gone < session.remote_detection_time()
            })
        });
        engine.reconfigure(now, sessions);
        engine.inherited.clear();
        engine
    }

    /// What happened, at `now`. Cannot fail: what is wrong is counted and told.
    pub fn handle(&mut self, now: Timestamp, input: Input) {
        if self.stopped {
            return;
        }
        match input {
            Input::Packet(packet) => {
                if let Err(rejection) = self.handle_packet(now, &packet) {
                    let line = (packet.from, rejection);
                    if self.told.len() < MOST_TOLD && self.told.insert(line) {
                        let from = packet.from;
                        self.outputs.push_back(Output::Log(Event::Discarding { from, rejection }));
                    }
                }
            }
            Input::Reconfigure(sessions) => self.reconfigure(now, sessions),
            Input::Shutdown => self.shutdown(now),
        }
    }

    /// Carries out what is due at `now`.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        while let Some((due, (id, kind))) = self.timers.pop_due(now) {
            match kind {
                TimerKind::Transmit => self.transmit(now, id),
                TimerKind::Detection => self.expire(now, due, id),
                TimerKind::Settled => self.tell(id),
                TimerKind::Farewell => self.forget(id),
            }
        }
    }

    /// When [`Self::handle_timeout`] must be called next.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.timers.next().map(|(at, _)| at)
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Every session that has come up or has had its time to, for those who ask again.
    pub fn news(&self) -> impl Iterator<Item = (BfdListeners, News)> + '_ {
        let entries = self.entries.values().filter(|entry| !entry.leaving);
        entries.filter_map(|entry| {
            let name = entry.session.config.name.clone();
            Some((entry.session.config.listeners, News { name, up: entry.told? }))
        })
    }

    /// The session of an [`Output`].
    pub fn session(&self, id: SessionId) -> Option<&Session> {
        self.entries.get(&id).map(|entry| &entry.session)
    }

    /// For dumps, in the order in which they began.
    pub fn sessions(&self) -> impl Iterator<Item = &Session> {
        self.entries.values().filter(|entry| !entry.leaving).map(|entry| &entry.session)
    }

    /// What a process after this one needs to go on.
    pub fn inheritance(&self) -> impl Iterator<Item = Inheritance> + '_ {
        self.sessions().filter_map(Inheritance::of)
    }

    /// Packets that belonged to no session, or were none.
    pub const fn strays(&self) -> u64 {
        self.strays
    }

    // ---- packets

    fn handle_packet(
        &mut self,
        now: Timestamp,
        received: &ReceivedPacket,
    ) -> Result<(), Rejection> {
        let (id, found) = self.find(received).inspect_err(|_| self.strays += 1)?;
        let Some(entry) = self.entries.get_mut(&id) else { return Ok(()) };
        if let Err(rejection) = admissible(&entry.session, received) {
            entry.session.counters.rejected += 1;
            return Err(rejection);
        }
        let was_polling = entry.session.is_polling();
        let reaction = entry.session.receive(now, &found);
        if reaction.answer {
            // At once, whatever the timer says, and beside it (RFC 5880 section 6.5).
            entry.session.counters.sent += 1;
            let payload = packet::emit(&entry.session.answer());
            self.outputs.push_back(Output::Transmit { session: id, payload });
        }
        if let Some(time) = entry.session.detection_time() {
            self.timers.set((id, TimerKind::Detection), now + time);
        }
        self.follow(now, id, reaction.transition, was_polling);
        Ok(())
    }

    /// The session that a packet is for (RFC 5880 section 6.8.6, RFC 5881 section 3).
    fn find(
        &self,
        received: &ReceivedPacket,
    ) -> Result<(SessionId, packet::ControlPacket), Rejection> {
        let found = packet::parse(&received.payload).map_err(Rejection::Malformed)?;
        let your = found.your_discriminator;
        let is_with = |session: &Session| {
            let config = &session.config;
            let ours =
                config.source.is_none() || received.to.is_none() || config.source == received.to;
            config.neighbour == received.from && Hop::of(config) == received.hop && ours
        };
        if your != 0 {
            let id = *self.by_discriminator.get(&your).ok_or(Rejection::NoSession(your))?;
            let session = self.session(id).ok_or(Rejection::NoSession(your))?;
            return if is_with(session) {
                Ok((id, found))
            } else {
                Err(Rejection::Neighbour(your))
            };
        }
        let mut sessions = self.entries.iter().filter(|(_, entry)| !entry.leaving);
        let id = sessions.find(|(_, entry)| is_with(&entry.session)).map(|(id, _)| *id);
        Ok((id.ok_or(Rejection::NoSession(your))?, found))
    }

    // ---- timers

    fn transmit(&mut self, now: Timestamp, id: SessionId) {
        let chance = self.draw();
        let Some(entry) = self.entries.get_mut(&id) else { return };
        entry.sent = Some(now);
        entry.session.counters.sent += 1;
        let payload = packet::emit(&entry.session.packet());
        self.outputs.push_back(Output::Transmit { session: id, payload });
        entry.pace = entry.session.transmit_interval();
        match entry.pace {
            Some(pace) => {
                let wait = entry.session.jittered(pace, chance);
                self.timers.set((id, TimerKind::Transmit), now + wait);
            }
            None => self.timers.cancel(&(id, TimerKind::Transmit)),
        }
    }

    /// Times the next packet anew where the interval has changed: a shorter one counts from the last
    /// packet that was sent (RFC 5880 section 6.8.3).
    fn pace(&mut self, now: Timestamp, id: SessionId) {
        let chance = self.draw();
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let pace = entry.session.transmit_interval();
        if entry.pace == pace {
            return;
        }
        entry.pace = pace;
        let Some(pace) = pace else { return self.timers.cancel(&(id, TimerKind::Transmit)) };
        let wait = entry.session.jittered(pace, chance);
        let due = entry.sent.map_or(now, |sent| (sent + wait).max(now));
        self.timers.set((id, TimerKind::Transmit), due);
    }

    fn expire(&mut self, now: Timestamp, due: Timestamp, id: SessionId) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let after = entry.session.detection_time().unwrap_or_default();
        let transition = entry.session.expire(now);
        if transition.is_some() {
            let name = entry.session.config.name.clone();
            let late = now.since(due);
            self.outputs.push_back(Output::Log(Event::Expired { name, after, late }));
        }
        self.follow(now, id, transition, false);
    }

    // ---- what follows from a change

    fn follow(
        &mut self,
        now: Timestamp,
        id: SessionId,
        transition: Option<Transition>,
        was_polling: bool,
    ) {
        self.pace(now, id);
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let session = &entry.session;
        let name = session.config.name.clone();
        if session.is_polling() && !was_polling {
            self.outputs.push_back(Output::Log(Event::Polling { name: name.clone() }));
        }
        let Some(transition) = transition else { return };
        self.told.clear();
        self.outputs.push_back(Output::Log(Event::Entering {
            name,
            state: transition.to,
            local: session.diagnostic,
            remote: session.remote.diagnostic,
        }));
        // A change of state does not wait for its turn (RFC 5880 section 6.8.7).
        if entry.pace.is_some() {
            self.transmit(now, id);
        }
        self.tell(id);
    }

    /// Tells whether the session is up, if it has come up or has had its time to.
    fn tell(&mut self, id: SessionId) {
        let settling = self.timers.get(&(id, TimerKind::Settled)).is_some();
        let Some(entry) = self.entries.get_mut(&id).filter(|entry| !entry.leaving) else { return };
        let up = entry.session.state == State::Up;
        if entry.told == Some(up) || (settling && !up && entry.told.is_none()) {
            return;
        }
        entry.told = Some(up);
        let name = entry.session.config.name.clone();
        let news = News { name, up };
        self.outputs.push_back(Output::News(entry.session.config.listeners, news));
    }

    // ---- configuration

    /// What is configured as it was is not touched. Sessions are recognised by their addresses, so
    /// that another name for the same thing is no interruption either.
    fn reconfigure(&mut self, now: Timestamp, sessions: Vec<BfdSession>) {
        let mut old: BTreeMap<_, _> = self
            .entries
            .iter()
            .filter(|(_, entry)| !entry.leaving)
            .map(|(id, entry)| (identity(&entry.session.config), *id))
            .collect();
        let kept: Vec<_> =
            sessions.into_iter().map(|config| (old.remove(&identity(&config)), config)).collect();
        for id in old.into_values() {
            self.remove(now, id);
        }
        for (id, config) in kept {
            match id {
                Some(id) => self.change(now, id, config),
                None => self.add(now, config),
            }
        }
    }

    fn add(&mut self, now: Timestamp, config: BfdSession) {
        // One that is still saying farewell to the same neighbour would contradict.
        let same =
            |entry: &Entry| entry.leaving && identity(&entry.session.config) == identity(&config);
        let former = self.entries.iter().find(|(_, entry)| same(entry)).map(|(id, _)| *id);
        if let Some(id) = former {
            self.forget(id);
        }
        if let Some(left) = self.inherited.remove(&identity(&config))
            && !self.by_discriminator.contains_key(&left.discriminator)
        {
            return self.resume(now, config, left);
        }
        let mut discriminator = self.draw();
        while discriminator == 0 || self.by_discriminator.contains_key(&discriminator) {
            discriminator = self.draw();
        }
        let id = self.insert(Session::new(now, config, discriminator));
        self.timers.set((id, TimerKind::Settled), now + SETTLE);
        self.pace(now, id);
    }

    fn resume(&mut self, now: Timestamp, config: BfdSession, left: Inheritance) {
        let name = config.name.clone();
        let session = Session::resume(now, config, left.discriminator, left.remote);
        let detection = session.detection_time();
        let id = self.insert(session);
        if let Some(time) = detection {
            self.timers.set((id, TimerKind::Detection), now + time);
        }
        self.outputs.push_back(Output::Log(Event::Resumed { name }));
        self.pace(now, id);
        self.tell(id);
    }

    fn insert(&mut self, session: Session) -> SessionId {
        let id = self.next_id;
        self.next_id += 1;
        self.by_discriminator.insert(session.discriminator, id);
        let entry = Entry { session, sent: None, pace: None, told: None, leaving: false };
        self.entries.insert(id, entry);
        id
    }

    fn change(&mut self, now: Timestamp, id: SessionId, config: BfdSession) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        if entry.session.config == config {
            return;
        }
        // Whoever tracks it has been reconfigured too, and asks.
        let was_polling = entry.session.is_polling();
        let says_more = entry.session.reconfigure(config);
        self.follow(now, id, None, was_polling);
        let paced = self.entries.get(&id).is_some_and(|entry| entry.pace.is_some());
        if says_more && paced {
            self.transmit(now, id);
        }
    }

    fn remove(&mut self, now: Timestamp, id: SessionId) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        if entry.session.remote.discriminator == 0 {
            // Nobody is there to be told.
            return self.forget(id);
        }
        entry.leaving = true;
        let transition = entry.session.take_down(now);
        let wait = entry.session.remote_detection_time().min(LONGEST_FAREWELL);
        self.timers.cancel(&(id, TimerKind::Settled));
        self.timers.cancel(&(id, TimerKind::Detection));
        self.follow(now, id, transition, false);
        self.timers.set((id, TimerKind::Farewell), now + wait);
    }

    fn forget(&mut self, id: SessionId) {
        if let Some(entry) = self.entries.remove(&id) {
            self.by_discriminator.remove(&entry.session.discriminator);
            self.timers.retain(|(of, _)| *of != id);
            self.outputs.push_back(Output::Close(id));
        }
    }

    /// Each neighbour hears once that we go; nobody who tracks a session is told, they go as well.
    fn shutdown(&mut self, now: Timestamp) {
        let ids: Vec<_> = self.entries.keys().copied().collect();
        for id in ids {
            let leaves = self.entries.get(&id).is_some_and(|entry| !entry.leaving);
            if leaves {
                self.remove(now, id);
            }
        }
        self.stopped = true;
    }

    /// The next number of a sequence that looks like chance (splitmix64).
    fn draw(&mut self) -> u32 {
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.chance;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        // Half of it is as good as all.
        #[allow(clippy::cast_possible_truncation)]
        let half = ((mixed ^ (mixed >> 31)) >> 32) as u32;
        half
    }
}

/// How far a packet may have come (RFC 5881 section 5, RFC 5883 section 3): both ends send with the
/// configured `ttl`, so that what is missing are the hops, as keepalived counts them.
fn admissible(session: &Session, received: &ReceivedPacket) -> Result<(), Rejection> {
    if let Some(hops) = session.config.max_hops {
        let least = session.config.ttl.saturating_sub(hops);
        let ttl = received.ttl.ok_or(Rejection::NoTtl)?;
        if ttl < least {
            return Err(Rejection::Ttl { ttl, least });
        }
    }
    if session.state == State::AdminDown {
        return Err(Rejection::AdminDown);
    }
    Ok(())
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;
