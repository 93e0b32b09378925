//! The check process: probes out, results in; the kernel's IPVS table kept as the engine wants it.

use std::collections::BTreeSet;
use std::io;

use tokio::sync::mpsc;

use super::engine::{CheckEngine, Input, Output};
use super::event::{Event, Importance};
use super::kernel_table::{KernelTable, Look};
use super::local_addresses::LocalAddresses;
use super::marking::{Marker, marking};
use super::probe::Surroundings;
use super::probes::Probes;
use super::snmp::{NewWeight, Snmp, weights};
use super::status;
use super::telling::Telling;
use crate::core::bfd_news::News;
use crate::core::config::model::Config;
use crate::core::config::model::check::{Checker, Probe};
use crate::core::config::model::track::TrackFile;
use crate::core::netlink::error::NetlinkError;
use crate::core::notify::script::ScriptPolicy;
use crate::core::notify::security::unusable;
use crate::core::runtime::{self, AlarmClock, DaemonCommand, DaemonReport, Dump, Ladder};
use crate::core::saved::Saver;
use crate::core::supervisor::child::DaemonStart;
use crate::core::supervisor::command_line::Options;
use crate::core::time::{Interval, Timestamp};
use crate::core::track::bfd::BfdTracker;
use crate::core::track::file::{FileChange, FileTracker};
use crate::ipvs::client::{Client, OpenError};
use crate::ipvs::model::Table;
use crate::snmp::agent::Ask;

/// Timers that are due within this time are carried out together: thousands of checks a second, each
/// with a wake-up of its own, would cost half as much again.
const GATHER: Interval = Interval::from_millis(10);
/// The kernel tells nobody of changes: how often the table is looked at.
const DRIFT_CHECK: Interval = Interval::from_secs(5);
/// How often the connections of servers on their way out are counted.
const COUNT: Interval = Interval::from_secs(1);
/// How often a kernel without IPVS is asked again.
const REOPEN: Interval = Interval::from_secs(30);
/// At stop, what scripts get.
const STOP_GRACE: Interval = Interval::from_secs(2);

const EXIT_OK: u8 = 0;
const EXIT_SOFTWARE: u8 = 70;

/// Runs until told to stop. Returns the process's exit status.
pub async fn run(start: DaemonStart, options: &Options) -> u8 {
    let Ok(alarm) = AlarmClock::new() else {
        tracing::error!("cannot make a timer");
        return EXIT_SOFTWARE;
    };
    let sessions = BfdTracker::new(start.news.tracker);
    let daemon = match Daemon::open(start.config, sessions, options) {
        Ok(daemon) => daemon,
        Err(error) => {
            tracing::error!("cannot watch sockets: {error}");
            return EXIT_SOFTWARE;
        }
    };
    Box::pin(daemon.live(start.commands, start.reports, alarm)).await;
    EXIT_OK
}

struct Daemon<'a> {
    options: &'a Options,
    config: Config,
    engine: CheckEngine,
    /// `None` while the kernel has no IPVS.
    table: Option<KernelTable<Client>>,
    /// Packets to groups of services.
    marker: Marker,
    probes: Probes,
    telling: Telling,
    ladder: Ladder,
    /// When timers were carried out last.
    last_timers: Timestamp,
    next_look: Timestamp,
    next_count: Timestamp,
    /// Watched while a service asks for it.
    local: Option<LocalAddresses>,
    files: FileTracker,
    file_inbox: mpsc::Receiver<FileChange>,
    sessions: BfdTracker,
    saver: Saver,
    snmp: Snmp,
}

/// Takes out checks whose program cannot be run: keepalived does so, and their servers are up as far
/// as the other checks go.
fn leave_out_unusable(config: &mut Config) {
    let policy = ScriptPolicy::of(&config.global);
    for service in &mut config.check.virtual_servers {
        for place in 0..service.real_servers.len() {
            let Some(server) = service.real_servers.get(place) else { continue };
            let bad = |checker: &Checker| {
                let Probe::Misc(misc) = &checker.probe else { return None };
                let why = unusable(&misc.script, &policy)?;
                Some(format!("Disabling misc script '{}' since {why}", misc.script.path()))
            };
            let lines: Vec<String> =
                server.checkers.iter().filter_map(|found| bad(found)).collect();
            if lines.is_empty() {
                continue;
            }
            for line in lines {
                tracing::warn!("{line}");
            }
            if let Some(server) = service.real_servers.get_mut(place) {
                server.checkers.retain(|checker| bad(checker).is_none());
            }
        }
    }
}

/// The files that `FILE_CHECK`s look into.
fn checked_files(config: &Config) -> Vec<TrackFile> {
    let servers = config.check.virtual_servers.iter().flat_map(|found| &found.real_servers);
    let named: BTreeSet<&str> = servers
        .flat_map(|server| &server.extras.file_checks)
        .map(|check| check.file.as_str())
        .collect();
    let files = config.track_files.iter();
    files.filter(|file| named.contains(file.name.as_str())).cloned().collect()
}

impl<'a> Daemon<'a> {
    fn open(mut config: Config, sessions: BfdTracker, options: &'a Options) -> io::Result<Self> {
        leave_out_unusable(&mut config);
        options.snmp.outweigh(&mut config.global.snmp);
        let table = open_table(&config);
        let nothing = Table::new();
        let known = table.as_ref().and_then(KernelTable::known).unwrap_or(&nothing);
        let now = runtime::now();
        let seed = now.as_nanos() ^ u64::from(std::process::id());
        let mut engine = CheckEngine::new(now, &config.check, known, seed);
        let (file_results, file_inbox) = mpsc::channel(64);
        let mut files = FileTracker::new(file_results);
        files.set(&checked_files(&config));
        // What they say counts from the beginning: nobody is told of a quorum that is not there.
        engine.begin_with_files(files.read().map(|change| (change.name, change.value)));
        engine.tell_start(config.global.initial_server_notifies);
        let mut daemon = Self {
            options,
            engine,
            probes: Probes::new(surroundings(&config))?,
            telling: Telling::new(&config),
            ladder: Ladder::new(&config.global, &config.global.checker_process),
            last_timers: now,
            next_look: now + DRIFT_CHECK,
            next_count: now + COUNT,
            local: None,
            files,
            file_inbox,
            sessions,
            saver: Saver::default(),
            snmp: Snmp::default(),
            table,
            marker: Marker::default(),
            config,
        };
        daemon.mark();
        daemon.snmp.configure(&daemon.config);
        daemon.watch_addresses();
        daemon.watch_sessions();
        Ok(daemon)
    }

    /// Has packets marked as the engine has the services of groups.
    fn mark(&mut self) {
        self.marker.want(marking(&self.config, self.engine.marked()));
    }

    /// Begins or ends the watch of this host's addresses, as the configuration asks.
    fn watch_addresses(&mut self) {
        if !self.config.check.virtual_servers.iter().any(|service| service.ha_suspend) {
            self.local = None;
        } else if self.local.is_none() {
            match LocalAddresses::open() {
                Ok((local, first)) => {
                    self.engine.handle(runtime::now(), first);
                    self.local = Some(local);
                }
                Err(error) => tracing::error!("cannot watch this host's addresses: {error}"),
            }
        }
        if let Some(local) = &self.local {
            local.set_receive_buffers(&self.config.global.buffers);
        }
    }

    /// Watches the files of `FILE_CHECK`s, and no others; the engine knows their numbers at once.
    fn watch_files(&mut self, config: &Config) {
        self.files.set(&checked_files(config));
        for FileChange { name, value } in self.files.read() {
            self.engine.handle(runtime::now(), Input::FileChanged { name, value });
        }
    }

    /// Hears of the sessions of `BFD_CHECK`s, and of no others.
    fn watch_sessions(&mut self) {
        let servers =
            self.config.check.virtual_servers.iter().flat_map(|found| &found.real_servers);
        let checks = servers.flat_map(|server| &server.extras.bfd_checks);
        self.sessions.set(&checks.map(|check| check.name.clone()).collect());
    }

    fn sessions_changed(&mut self, news: Vec<News>) {
        for News { name, up } in news {
            let state = if up { "Up" } else { "Down" };
            tracing::info!("Received BFD event: instance {name} is in state {state}");
            self.engine.handle(runtime::now(), Input::SessionChanged { name, up });
        }
    }

    fn file_changed(&mut self, FileChange { name, value }: FileChange) {
        tracing::info!("track_file {name}: {value}");
        self.engine.handle(runtime::now(), Input::FileChanged { name, value });
    }

    fn address_changed(&mut self, change: Result<Input, NetlinkError>) {
        match change {
            Ok(input) => self.engine.handle(runtime::now(), input),
            Err(error) => {
                // Taken up anew at the next look at the kernel.
                tracing::error!("this host's addresses are out of sight: {error}");
                self.local = None;
            }
        }
    }

    async fn live(
        mut self,
        mut commands: mpsc::Receiver<DaemonCommand>,
        reports: mpsc::Sender<DaemonReport>,
        mut alarm: AlarmClock,
    ) {
        self.settle();
        if self.options.dump_config {
            for line in status::data(&self.engine, &self.config).lines() {
                tracing::info!("{line}");
            }
        }
        report(&reports, DaemonReport::Ready);
        runtime::give_memory_back();
        loop {
            let deadline = self.next_due();
            let wake = self.probes.next_due().map_or(deadline, |due| due.min(deadline));
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    Some(DaemonCommand::Reload(config)) => {
                        self.saver.begin();
                        self.saver.before(&self.config.global, "check", || self.data());
                        self.reload(*config);
                        self.settle();
                        self.saver.after(&self.config.global, "check", || self.data());
                        report(&reports, DaemonReport::Reloaded);
                        runtime::give_memory_back();
                    }
                    Some(DaemonCommand::DumpData) => self.dump(),
                    Some(
                        DaemonCommand::DumpStatistics
                        | DaemonCommand::ClearStatistics
                        | DaemonCommand::DumpJson,
                    ) => {}
                    Some(DaemonCommand::Stop) | None => break,
                },
                heard = self.probes.heard() => self.probes.take(heard, &mut self.engine),
                change = next_change(&mut self.local) => self.address_changed(change),
                Some(change) = self.file_inbox.recv() => self.file_changed(change),
                news = self.sessions.changed() => self.sessions_changed(news),
                ask = self.snmp.asked() => self.answer(ask),
                () = alarm.wait_until(Some(wake)) => {}
            }
            self.ladder.due(Some(deadline), "check");
            // Whatever woke us: a flood of results must not keep a timer waiting.
            let now = runtime::now();
            if self.engine_due() <= now {
                self.engine.handle_timeout(now);
                self.last_timers = now;
            }
            if self.next_look <= now {
                self.look(now);
            }
            if self.next_count <= now && self.is_draining() {
                self.count(now);
            }
            self.settle();
        }
        self.stop().await;
    }

    fn reload(&mut self, mut config: Config) {
        leave_out_unusable(&mut config);
        self.options.snmp.outweigh(&mut config.global.snmp);
        if config == self.config {
            tracing::info!("Nothing differs");
            return;
        }
        config.check.share_with(&self.config.check);
        self.probes.set_surroundings(surroundings(&config));
        self.telling.set(&config);
        if config.global.lvs_timeouts != self.config.global.lvs_timeouts
            && let Some(table) = &mut self.table
        {
            table.set_timeouts(config.global.lvs_timeouts.as_ref());
        }
        let input = Input::Reconfigure(Box::new(config.check.clone()));
        let now = runtime::now();
        self.watch_files(&config);
        self.engine.handle(now, input);
        self.next_count = now + COUNT;
        self.config = config;
        self.snmp.configure(&self.config);
        self.mark();
        self.watch_addresses();
        self.watch_sessions();
    }

    /// Carries out what the engine wants, and what follows from that.
    fn settle(&mut self) {
        self.carry_out();
        if self.probes.step(&mut self.engine) {
            self.carry_out();
        }
    }

    /// Brings the kernel's table in line, and carries out what else the engine wants.
    fn carry_out(&mut self) {
        // The table comes before the words about it.
        if let Some(table) = &mut self.table {
            table.follow(&mut self.engine);
        }
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::StartProbe { id, checker, url } => {
                    let pace = self.engine.pace(id);
                    self.probes.start(id, checker, url, pace);
                }
                Output::CancelProbe(id) => self.probes.cancel(id),
                Output::RunScript { object, about, script } => {
                    self.telling.run(&object, about, script);
                }
                Output::Line(line) => self.telling.write(&line),
                Output::Mail(alert) => self.telling.send(alert),
                Output::Changed(change) => self.snmp.tell(&change),
                Output::Log(event) => log_event(&event),
            }
        }
    }

    /// A request for the tables, or to set weights.
    fn answer(&mut self, ask: Ask) {
        match ask {
            // It may have lost patience.
            Ask::View(answer) => {
                if let Some(snapshot) = self.snmp.snapshot(&self.engine) {
                    let _ = answer.send(snapshot);
                }
            }
            Ask::Set { bindings, test, answer } => {
                let done = weights(&bindings, &self.config.check).map(|weights| {
                    if !test {
                        self.set_weights(weights);
                    }
                });
                let _ = answer.send(done);
            }
        }
    }

    /// Until the next reload, as if the file had it so.
    fn set_weights(&mut self, weights: Vec<NewWeight>) {
        for (service, server, weight) in weights {
            let service = self.config.check.virtual_servers.get_mut(service);
            let Some(server) = service.and_then(|found| found.real_servers.get_mut(server)) else {
                continue;
            };
            tracing::info!("SNMP sets the weight of {} to {weight}", server.address);
            server.weight = weight;
        }
        let input = Input::Reconfigure(Box::new(self.config.check.clone()));
        self.engine.handle(runtime::now(), input);
    }

    /// Looks for changes that others have made, or for IPVS where there was none.
    fn look(&mut self, now: Timestamp) {
        self.watch_addresses();
        self.marker.look();
        if let Some(table) = &mut self.table {
            let look = table.look(|| self.engine.desired());
            self.next_look = match look {
                Look::Done => now + DRIFT_CHECK,
                // The look takes a twentieth of the time at most.
                Look::More => {
                    let end = runtime::now();
                    end + end.since(now) * 19
                }
            };
            return;
        }
        self.next_look = now + if self.engine.marked().is_empty() { REOPEN } else { DRIFT_CHECK };
        if let Ok(client) = Client::open_in(self.config.global.ipvs_namespace.as_ref()) {
            tracing::info!("IPVS is there now");
            let mut table = KernelTable::take_over(client, &self.config.global);
            table.program(self.engine.desired());
            self.table = Some(table);
        }
    }

    /// When the engine's timers are carried out next.
    fn engine_due(&self) -> Timestamp {
        let due = self.engine.poll_timeout();
        due.map_or(self.next_look, |due| due.max(self.last_timers + GATHER))
    }

    fn next_due(&self) -> Timestamp {
        let count = self.is_draining().then_some(self.next_count);
        let due = self.engine_due().min(self.next_look);
        count.map_or(due, |count| due.min(count))
    }

    fn is_draining(&self) -> bool {
        self.table.is_some() && self.engine.is_draining()
    }

    /// Looks for servers on their way out that have no connections any more.
    fn count(&mut self, now: Timestamp) {
        self.next_count = now + COUNT;
        let services: Vec<_> = self.engine.draining().collect();
        let Some(table) = &mut self.table else { return };
        match table.live(&services) {
            Ok(live) => self.engine.handle(now, Input::Connections(live)),
            Err(error) => tracing::debug!("cannot count connections: {error}"),
        }
    }

    // ---- dump and end

    fn data(&self) -> String {
        status::data(&self.engine, &self.config)
    }

    fn dump(&self) {
        tracing::info!("Printing healthchecker data for process({}) on signal", std::process::id());
        let text = self.data();
        if let Err(error) = Dump::Check.write(&self.config.global, &text) {
            tracing::error!("cannot write the data file: {error}");
        }
    }

    async fn stop(mut self) {
        tracing::info!("Stopping");
        let desired = self.engine.desired();
        self.snmp.tell_end(&self.engine);
        self.engine.handle(runtime::now(), Input::Shutdown);
        self.probes.cancel_all();
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::RunScript { object, about, script } => {
                    self.telling.run(&object, about, script);
                }
                Output::Line(line) => self.telling.write(&line),
                Output::Mail(alert) => self.telling.send(alert),
                Output::Log(event) => log_event(&event),
                Output::StartProbe { .. } | Output::CancelProbe(_) | Output::Changed(_) => {}
            }
        }
        if !self.options.keep_ipvs {
            if let Some(table) = &mut self.table {
                table.clear(&desired, self.config.global.lvs_flush_on_stop);
            }
            self.marker.clear();
        }
        self.snmp.finish().await;
        self.telling.finish(STOP_GRACE).await;
    }
}

fn surroundings(config: &Config) -> Surroundings {
    Surroundings { policy: ScriptPolicy::of(&config.global), tls: config.check.tls.clone() }
}

/// The next change of this host's addresses; never, while they are not watched.
async fn next_change(local: &mut Option<LocalAddresses>) -> Result<Input, NetlinkError> {
    match local {
        Some(local) => local.changed().await,
        None => std::future::pending().await,
    }
}

fn open_table(config: &Config) -> Option<KernelTable<Client>> {
    match Client::open_in(config.global.ipvs_namespace.as_ref()) {
        Ok(client) => Some(KernelTable::take_over(client, &config.global)),
        Err(error @ (OpenError::NoIpvs | OpenError::Namespace(_) | OpenError::Netlink(_))) => {
            tracing::error!(
                "{error}: servers are checked but nothing is balanced; asking again every {REOPEN} s"
            );
            None
        }
    }
}

fn report(reports: &mpsc::Sender<DaemonReport>, report: DaemonReport) {
    if reports.try_send(report).is_err() {
        tracing::debug!("the parent was not told {report:?}");
    }
}

fn log_event(event: &Event) {
    let Event { importance, text, cause } = event;
    match (importance, cause) {
        (Importance::Detail, None) => tracing::debug!("{text}"),
        (Importance::Normal, None) => tracing::info!("{text}"),
        (Importance::Warning, None) => tracing::warn!("{text}"),
        (Importance::Detail, Some(cause)) => tracing::debug!(cause, "{text}"),
        (Importance::Normal, Some(cause)) => tracing::info!(cause, "{text}"),
        (Importance::Warning, Some(cause)) => tracing::warn!(cause, "{text}"),
    }
}
