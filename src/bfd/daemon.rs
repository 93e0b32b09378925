//! The bfd process: packets, timers and commands in; packets and news out. What to do is the engine's
//! to say.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use tokio::sync::mpsc;

use super::engine::{BfdEngine, Input, Output, SessionId};
use super::event::{Event, Importance};
use super::inheritance::Inheritance;
use super::packet::LENGTH;
use super::socket::{Door, Receivers, Sender};
use super::status;
use super::telling::Telling;
use crate::core::bfd_news::{HEARTBEAT, News};
use crate::core::config::model::Config;
use crate::core::config::model::bfd::BfdListeners;
use crate::core::runtime::{self, AlarmClock, DaemonCommand, DaemonReport, Dump, Ladder};
use crate::core::saved::Saver;
use crate::core::supervisor::child::DaemonStart;
use crate::core::supervisor::command_line::Options;
use crate::core::supervisor::legacy::Legacy;
use crate::core::time::{Interval, Timestamp};

/// Packets of each receiving socket that are handled before others get their turn.
const PACKETS_AT_ONCE: usize = 256;
/// After a socket could not be opened.
const RETRY: Interval = Interval::from_secs(1);

const EXIT_OK: u8 = 0;
const EXIT_SOFTWARE: u8 = 70;

/// Runs until told to stop. Returns the process's exit status.
pub async fn run(start: DaemonStart, options: &Options) -> u8 {
    let Ok(alarm) = AlarmClock::new() else {
        tracing::error!("cannot make a timer");
        return EXIT_SOFTWARE;
    };
    let now = runtime::now();
    let seed = now.as_nanos() ^ u64::from(std::process::id()).rotate_left(32) ^ random_bits();
    let (inherited, gone) = inherit(start.legacy.as_ref(), now);
    let daemon = Daemon {
        engine: BfdEngine::after(now, start.config.bfd.clone(), seed, &inherited, gone),
        legacy: start.legacy,
        left: Vec::new(),
        changed: true,
        receivers: Receivers::default(),
        deaf_until: None,
        senders: BTreeMap::new(),
        mute: BTreeSet::new(),
        telling: Telling::new(start.news.for_vrrp, start.news.for_check),
        next_heartbeat: now,
        ladder: Ladder::new(&start.config.global, &start.config.global.bfd_process),
        saver: Saver::default(),
        config: start.config,
    };
    daemon.live(start.commands, start.reports, alarm, options).await;
    EXIT_OK
}

/// What the process before this one has left, and how long ago it was in time.
fn inherit(legacy: Option<&Legacy>, now: Timestamp) -> (Vec<Inheritance>, Interval) {
    let left = legacy.map(Legacy::read);
    match left {
        Some(Ok((alive, lines))) => {
            let sessions = lines.iter().filter_map(|line| line.parse().ok()).collect();
            (sessions, now.since(alive))
        }
        Some(Err(error)) => {
            tracing::error!("what the process before this one left cannot be read: {error}");
            (Vec::new(), Interval::ZERO)
        }
        None => (Vec::new(), Interval::ZERO),
    }
}

/// Discriminators should not be guessable from outside (RFC 5880 section 9); without the kernel's
/// chance they are only different ones each time.
fn random_bits() -> u64 {
    let mut bytes = [0; 8];
    let read = std::fs::File::open("/dev/urandom")
        .and_then(|mut source| io::Read::read_exact(&mut source, &mut bytes));
    match read {
        Ok(()) => u64::from_ne_bytes(bytes),
        Err(error) => {
            tracing::warn!("no chance from the kernel: {error}");
            0
        }
    }
}

struct Daemon {
    config: Config,
    engine: BfdEngine,
    /// For the process that comes after this one, should it die.
    legacy: Option<Legacy>,
    /// What it says.
    left: Vec<String>,
    /// Something has happened to a session since that was written.
    changed: bool,
    receivers: Receivers,
    /// Some receiving socket could not be opened: when to try again.
    deaf_until: Option<Timestamp>,
    senders: BTreeMap<SessionId, Sender>,
    /// Sessions whose last packet could not be sent, and that has been told.
    mute: BTreeSet<SessionId>,
    telling: Telling,
    next_heartbeat: Timestamp,
    ladder: Ladder,
    saver: Saver,
}

impl Daemon {
    async fn live(
        mut self,
        mut commands: mpsc::Receiver<DaemonCommand>,
        reports: mpsc::Sender<DaemonReport>,
        mut alarm: AlarmClock,
        options: &Options,
    ) {
        self.open_doors();
        self.pump();
        if options.dump_config {
            for line in self.data().lines() {
                tracing::info!("{line}");
            }
        }
        report(&reports, DaemonReport::Ready);
        let mut more = false;
        loop {
            let deadline = if more { runtime::now() } else { self.next_deadline() };
            tokio::select! {
                // Packets before timers: after a stall the mailbox is the truth.
                biased;
                () = self.receivers.ready() => {}
                command = commands.recv() => match command {
                    Some(DaemonCommand::Reload(config)) => {
                        self.saver.begin();
                        self.saver.before(&self.config.global, "bfd", || self.data());
                        self.reload(*config);
                        self.saver.after(&self.config.global, "bfd", || self.data());
                        report(&reports, DaemonReport::Reloaded);
                    }
                    Some(DaemonCommand::DumpData) => self.dump(),
                    Some(
                        DaemonCommand::DumpStatistics
                        | DaemonCommand::ClearStatistics
                        | DaemonCommand::DumpJson,
                    ) => {}
                    Some(DaemonCommand::Stop) | None => break,
                },
                () = self.telling.asked() => self.next_heartbeat = runtime::now(),
                () = alarm.wait_until(Some(deadline)) => {}
            }
            self.ladder.due(Some(deadline), "bfd");
            more = self.drain();
            let now = runtime::now();
            self.engine.handle_timeout(now);
            self.pump();
            if self.deaf_until.is_some_and(|until| until <= now) {
                self.open_doors();
            }
            if self.next_heartbeat <= now {
                self.next_heartbeat = now + HEARTBEAT;
                self.changed = true;
                let all: Vec<_> = self.engine.news().collect();
                self.telling.tell(&all);
            }
            self.remember(now);
        }
        tracing::info!("Stopping");
        self.engine.handle(runtime::now(), Input::Shutdown);
        self.pump();
        self.remember(runtime::now());
    }

    /// Tells the process that may come after this one where things stand.
    fn remember(&mut self, now: Timestamp) {
        let Some(legacy) = &self.legacy else { return };
        let mut written = Ok(());
        if std::mem::take(&mut self.changed) {
            let lines: Vec<_> = self.engine.inheritance().map(|left| left.to_string()).collect();
            if lines != self.left {
                written = legacy.set_lines(&lines);
                self.left = lines;
            }
        }
        if let Err(error) = written.and_then(|()| legacy.alive(now)) {
            tracing::error!("nothing can be left to a process after this one: {error}");
            self.legacy = None;
        }
    }

    fn next_deadline(&self) -> Timestamp {
        let timers = self.engine.poll_timeout().into_iter().chain(self.deaf_until);
        timers.min().map_or(self.next_heartbeat, |timer| timer.min(self.next_heartbeat))
    }

    /// Whatever has arrived counts before a timer does. Whether there may be more of it.
    fn drain(&mut self) -> bool {
        let (packets, more) = self.receivers.receive_some(PACKETS_AT_ONCE);
        for packet in packets {
            self.engine.handle(runtime::now(), Input::Packet(packet));
            self.pump();
        }
        more
    }

    fn reload(&mut self, config: Config) {
        if config == self.config {
            tracing::info!("Nothing differs");
        } else {
            self.engine.handle(runtime::now(), Input::Reconfigure(config.bfd.clone()));
            self.config = config;
            self.open_doors();
            self.pump();
        }
        // Whoever tracks sessions has been reloaded too.
        self.next_heartbeat = runtime::now();
    }

    fn open_doors(&mut self) {
        let wanted: BTreeSet<Door> = self.config.bfd.iter().map(Door::of).collect();
        let wanted: Vec<Door> = wanted.into_iter().collect();
        match self.receivers.set(&wanted) {
            Ok(()) => {
                if self.deaf_until.take().is_some() {
                    tracing::info!("BFD packets can be received now");
                }
            }
            Err(error) => {
                if self.deaf_until.is_none() {
                    tracing::error!("BFD packets cannot be received: {error}");
                }
                self.deaf_until = Some(runtime::now() + RETRY);
            }
        }
    }

    /// Carries out what the engine wants until it wants nothing more. Words come last.
    fn pump(&mut self) {
        let mut news = Vec::new();
        let mut lines = Vec::new();
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Transmit { session, payload } => self.transmit(session, &payload),
                Output::News(listeners, one) => news.push((listeners, one)),
                Output::Close(session) => {
                    self.senders.remove(&session);
                    self.mute.remove(&session);
                }
                Output::Log(event) => lines.push(event),
            }
        }
        self.changed |= !news.is_empty() || !lines.is_empty();
        self.tell(&news);
        for line in &lines {
            log_event(line);
        }
    }

    fn tell(&self, news: &[(BfdListeners, News)]) {
        if !news.is_empty() {
            self.telling.tell(news);
        }
    }

    fn transmit(&mut self, id: SessionId, payload: &[u8; LENGTH]) {
        let Some(session) = self.engine.session(id) else { return };
        let sent = match self.senders.get_mut(&id) {
            Some(sender) => sender.set_ttl(session.config.ttl).and_then(|()| sender.send(payload)),
            // The port is as good a place as any to begin with.
            None => Sender::open(&session.config, session.discriminator).and_then(|sender| {
                let sent = sender.send(payload);
                self.senders.insert(id, sender);
                sent
            }),
        };
        let name = &session.config.name;
        match sent {
            Ok(()) => {
                if self.mute.remove(&id) {
                    tracing::info!("({name}) packets can be sent again");
                }
            }
            Err(error) => {
                if self.mute.insert(id) {
                    tracing::warn!("({name}) Error sending packet: {error}");
                }
            }
        }
    }

    fn data(&self) -> String {
        status::data(&self.engine, runtime::now())
    }

    fn dump(&self) {
        tracing::info!("Printing BFD data for process({}) on signal", std::process::id());
        if let Err(error) = Dump::Bfd.write(&self.config.global, &self.data()) {
            tracing::error!("cannot write the data file: {error}");
        }
    }
}

fn report(reports: &mpsc::Sender<DaemonReport>, report: DaemonReport) {
    if reports.try_send(report).is_err() {
        tracing::debug!("the parent was not told {report:?}");
    }
}

fn log_event(event: &Event) {
    match event.importance() {
        Importance::Detail => tracing::debug!("{event}"),
        Importance::Normal => tracing::info!("{event}"),
        Importance::Warning => tracing::warn!("{event}"),
    }
}
