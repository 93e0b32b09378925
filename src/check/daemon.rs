//! The check process: probes out, results in; the kernel's IPVS table kept as the engine wants it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::AbortHandle;

use super::engine::{CheckEngine, CheckerId, Input, Outcome, Output};
use super::event::{Event, Importance};
use super::probe::{self, Surroundings};
use super::status;
use crate::core::config::model::Config;
use crate::core::config::model::global::FlushOnStop;
use crate::core::notify::queue::{Notification, NotifyQueues};
use crate::core::notify::script::ScriptPolicy;
use crate::core::runtime::{self, AlarmClock, DaemonCommand, DaemonReport};
use crate::core::supervisor::child::DaemonStart;
use crate::core::supervisor::command_line::Options;
use crate::core::time::{Interval, Timestamp};
use crate::ipvs::client::{Client, IpvsTable, OpenError};
use crate::ipvs::model::{ServiceKey, Table};
use crate::ipvs::plan::{Operation, plan};

/// Probes under way at once; the others wait for a place.
const MOST_PROBES: usize = 2048;
/// The kernel tells nobody of changes: how often the table is looked at.
const DRIFT_CHECK: Interval = Interval::from_secs(5);
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
    let daemon = Daemon::open(start.config, options);
    daemon.live(start.commands, start.reports, alarm).await;
    EXIT_OK
}

struct Daemon<'a> {
    options: &'a Options,
    config: Config,
    engine: CheckEngine,
    table: Option<Client>,
    /// The kernel's services that we have made or taken over.
    owned: BTreeSet<ServiceKey>,
    /// What the kernel has, as far as is known.
    known: Table,
    refused: BTreeSet<String>,
    running: BTreeMap<CheckerId, (u64, AbortHandle)>,
    next_run: u64,
    places: Arc<Semaphore>,
    results: mpsc::Sender<(CheckerId, u64, Outcome)>,
    inbox: mpsc::Receiver<(CheckerId, u64, Outcome)>,
    surroundings: Surroundings,
    notify: NotifyQueues,
    next_look: Timestamp,
}

impl<'a> Daemon<'a> {
    fn open(config: Config, options: &'a Options) -> Self {
        let mut table = open_table();
        if let Some(client) = &mut table
            && config.global.lvs_flush
            && let Err(error) = client.flush()
        {
            tracing::error!("cannot clear the table: {error}");
        }
        let known = table.as_mut().map(read).unwrap_or_default();
        if let Some(client) = &mut table {
            set_timeouts(client, &config);
        }
        let now = runtime::now();
        let seed = now.as_nanos() ^ u64::from(std::process::id());
        let engine = CheckEngine::new(now, &config.check, &known, seed);
        let (results, inbox) = mpsc::channel(MOST_PROBES);
        let policy = ScriptPolicy::of(&config.global);
        let wait = if table.is_some() { DRIFT_CHECK } else { REOPEN };
        Self {
            options,
            engine,
            owned: BTreeSet::new(),
            known,
            refused: BTreeSet::new(),
            running: BTreeMap::new(),
            next_run: 0,
            places: Arc::new(Semaphore::new(MOST_PROBES)),
            results,
            inbox,
            surroundings: Surroundings { policy: policy.clone(), tls: config.check.tls.clone() },
            notify: NotifyQueues::new(policy),
            next_look: now + wait,
            table,
            config,
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
            for line in status::data(&self.engine).lines() {
                tracing::info!("{line}");
            }
        }
        report(&reports, DaemonReport::Ready);
        loop {
            let deadline =
                self.engine.poll_timeout().map_or(self.next_look, |at| at.min(self.next_look));
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    Some(DaemonCommand::Reload(config)) => {
                        self.reload(*config);
                        self.settle();
                        report(&reports, DaemonReport::Reloaded);
                    }
                    Some(DaemonCommand::DumpData) => self.dump(),
                    Some(DaemonCommand::DumpStatistics | DaemonCommand::ClearStatistics) => {}
                    Some(DaemonCommand::Stop) | None => break,
                },
                Some((id, run, outcome)) = self.inbox.recv() => self.finished(id, run, outcome),
                () = alarm.wait_until(Some(deadline)) => {}
            }
            // Whatever woke us: a flood of results must not keep a timer waiting.
            let now = runtime::now();
            self.engine.handle_timeout(now);
            if self.next_look <= now {
                self.look(now);
            }
            self.settle();
        }
        self.stop().await;
    }

    fn finished(&mut self, id: CheckerId, run: u64, outcome: Outcome) {
        // The result of a probe that was cancelled meanwhile is nobody's.
        if self.running.get(&id).is_some_and(|(current, _)| *current == run) {
            self.running.remove(&id);
            self.engine.handle(runtime::now(), Input::Finished { id, outcome });
        }
    }

    fn reload(&mut self, config: Config) {
        if config == self.config {
            tracing::info!("Nothing differs");
            return;
        }
        let policy = ScriptPolicy::of(&config.global);
        self.surroundings = Surroundings { policy: policy.clone(), tls: config.check.tls.clone() };
        self.notify.set_policy(policy);
        if config.global.lvs_timeouts != self.config.global.lvs_timeouts
            && let Some(client) = &mut self.table
        {
            set_timeouts(client, &config);
        }
        let input = Input::Reconfigure(Box::new(config.check.clone()));
        self.engine.handle(runtime::now(), input);
        self.config = config;
    }

    /// Carries out what the engine wants, and brings the kernel's table in line.
    fn settle(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::StartProbe { id, probe, url, server } => {
                    self.start_probe(id, probe::run(probe, url, server, self.surroundings.clone()));
                }
                Output::CancelProbe(id) => {
                    if let Some((_, handle)) = self.running.remove(&id) {
                        handle.abort();
                    }
                }
                Output::RunScript { object, script } => {
                    self.notify.push(&object, Notification { script, arguments: Vec::new() });
                }
                Output::Log(event) => log_event(&event),
            }
        }
        if self.engine.take_table_changed() {
            self.program();
        }
    }

    fn start_probe(
        &mut self,
        id: CheckerId,
        probe: impl Future<Output = Outcome> + Send + 'static,
    ) {
        let run = self.next_run;
        self.next_run += 1;
        let (places, results) = (Arc::clone(&self.places), self.results.clone());
        let task = tokio::spawn(async move {
            // Closed only at the end of the process.
            let Ok(_place) = places.acquire_owned().await else { return };
            let outcome = probe.await;
            // Nobody is left to tell at the end of the process.
            let _ = results.send((id, run, outcome)).await;
        });
        if let Some((_, old)) = self.running.insert(id, (run, task.abort_handle())) {
            old.abort();
        }
    }

    // ---- the kernel's table

    fn program(&mut self) {
        // When the kernel had something else than we thought, a second plan is made of what it has.
        for _ in 0..2 {
            if self.attempt() {
                return;
            }
        }
    }

    /// One plan carried out; whether all of it was.
    fn attempt(&mut self) -> bool {
        let Some(client) = &mut self.table else { return true };
        let desired = self.engine.desired();
        let operations = plan(&desired, &self.known, &self.owned);
        let wanted = self.engine.service_keys();
        if operations.is_empty() {
            self.owned = wanted;
            return true;
        }
        let results = client.apply(&operations);
        let mut failed = false;
        for (operation, result) in operations.iter().zip(results) {
            let Err(error) = result else { continue };
            failed = true;
            let line = format!("{operation:?}: {error}");
            // What stays refused is told once, and asked again at each look.
            if self.refused.insert(line.clone()) {
                tracing::error!("{line}");
            }
        }
        if failed {
            self.known = read(client);
            self.owned = still_owned(&self.owned, wanted, &self.known);
        } else {
            self.owned = wanted;
            self.refused.clear();
            self.note(&operations, desired);
        }
        !failed
    }

    /// The kernel now has what was desired, beside what was there of others.
    fn note(&mut self, operations: &[Operation], desired: Table) {
        for operation in operations {
            if let Operation::RemoveService { key } = operation {
                self.known.remove(key);
            }
        }
        self.known.extend(desired);
    }

    /// Looks for changes that others have made, or for IPVS where there was none.
    fn look(&mut self, now: Timestamp) {
        let Some(client) = &mut self.table else {
            self.next_look = now + REOPEN;
            if let Ok(mut client) = Client::open() {
                tracing::info!("IPVS is there now");
                set_timeouts(&mut client, &self.config);
                self.known = read(&mut client);
                self.table = Some(client);
                self.program();
            }
            return;
        };
        self.next_look = now + DRIFT_CHECK;
        let found = match client.table() {
            Ok(found) => found,
            Err(error) => {
                tracing::error!("cannot read the table: {error}");
                return;
            }
        };
        let ours = |table: &Table| -> Table {
            let mut table = table.clone();
            table.retain(|key, _| self.owned.contains(key));
            table
        };
        if ours(&found) != ours(&self.known) {
            tracing::warn!("IPVS: the table was changed by someone else, mending it");
        }
        self.known = found;
        self.program();
    }

    // ---- dump and end

    fn dump(&self) {
        tracing::info!("Printing healthchecker data for process({}) on signal", std::process::id());
        let text = status::data(&self.engine);
        if let Err(error) = runtime::write_dump("keepalived_check.data", &text) {
            tracing::error!("cannot write the data file: {error}");
        }
    }

    async fn stop(mut self) {
        tracing::info!("Stopping");
        let mut ours = self.engine.service_keys();
        // Also what the kernel has refused to remove so far.
        ours.extend(std::mem::take(&mut self.owned));
        self.engine.handle(runtime::now(), Input::Shutdown);
        for (_, handle) in std::mem::take(&mut self.running).into_values() {
            handle.abort();
        }
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::RunScript { object, script } => {
                    self.notify.push(&object, Notification { script, arguments: Vec::new() });
                }
                Output::Log(event) => log_event(&event),
                Output::StartProbe { .. } | Output::CancelProbe(_) => {}
            }
        }
        if !self.options.keep_ipvs {
            self.clear(&ours);
        }
        if !self.notify.drain(STOP_GRACE).await {
            tracing::warn!("a script is still running, not waiting for it any longer");
        }
    }

    fn clear(&mut self, ours: &BTreeSet<ServiceKey>) {
        let Some(client) = &mut self.table else { return };
        let results = match self.config.global.lvs_flush_on_stop {
            FlushOnStop::WholeTable => vec![client.flush()],
            // A service takes its destinations along: one request each, in batches.
            FlushOnStop::OurServices | FlushOnStop::VirtualServers => {
                let removals: Vec<Operation> =
                    ours.iter().map(|key| Operation::RemoveService { key: *key }).collect();
                client.apply(&removals)
            }
        };
        for error in results.into_iter().filter_map(Result::err) {
            tracing::error!("cannot clear the table: {error}");
        }
    }
}

fn open_table() -> Option<Client> {
    match Client::open() {
        Ok(client) => Some(client),
        Err(error @ (OpenError::NoIpvs | OpenError::Netlink(_))) => {
            tracing::error!(
                "{error}: servers are checked but nothing is balanced; asking again every {REOPEN} s"
            );
            None
        }
    }
}

fn set_timeouts(client: &mut Client, config: &Config) {
    if let Some(timeouts) = &config.global.lvs_timeouts
        && let Err(error) = client.set_timeouts(timeouts)
    {
        tracing::error!("cannot set lvs_timeouts: {error}");
    }
}

/// Whose services are ours after a plan that failed in part: those that are wanted, and those that
/// were ours and are still in the kernel, so that the next plan removes them again.
fn still_owned(
    before: &BTreeSet<ServiceKey>,
    wanted: BTreeSet<ServiceKey>,
    known: &Table,
) -> BTreeSet<ServiceKey> {
    let mut owned = wanted;
    owned.extend(before.iter().filter(|key| known.contains_key(*key)).copied());
    owned
}

fn read(client: &mut Client) -> Table {
    match client.table() {
        Ok(table) => table,
        Err(error) => {
            tracing::error!("cannot read the table: {error}");
            Table::new()
        }
    }
}

fn report(reports: &mpsc::Sender<DaemonReport>, report: DaemonReport) {
    if reports.try_send(report).is_err() {
        tracing::debug!("the parent was not told {report:?}");
    }
}

fn log_event(event: &Event) {
    match event.importance {
        Importance::Detail => tracing::debug!("{}", event.text),
        Importance::Normal => tracing::info!("{}", event.text),
        Importance::Warning => tracing::warn!("{}", event.text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::engine::tests::service;
    use crate::check::virtual_server::{entry, service_keys};
    use crate::core::config::model::Family;
    use crate::core::config::model::check::CheckConfig;

    #[test]
    fn a_service_whose_removal_was_refused_is_removed_by_the_next_plan() {
        let config = service(1);
        let kept = service_keys(&config, &CheckConfig::default())[0];
        let left = ServiceKey::Fwmark { mark: 7, family: Family::Inet };
        let foreign = ServiceKey::Fwmark { mark: 8, family: Family::Inet };
        let gone = ServiceKey::Fwmark { mark: 9, family: Family::Inet };
        let wanted = BTreeSet::from([kept]);
        let desired = Table::from([(kept, entry(&config, &kept, &[], true))]);
        let mut known = desired.clone();
        for key in [left, foreign] {
            known.insert(key, entry(&config, &key, &[], true));
        }
        let before = BTreeSet::from([kept, left, gone]);
        let owned = still_owned(&before, wanted, &known);
        assert_eq!(owned, BTreeSet::from([kept, left]));
        let operations = plan(&desired, &known, &owned);
        assert!(
            matches!(operations.as_slice(), [Operation::RemoveService { key }] if *key == left),
            "{operations:?}"
        );
    }
}
