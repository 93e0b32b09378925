//! The vrrp process: sockets, kernel events, script results and commands in; adverts, addresses,
//! announcements and notifications out. What to do is the engine's to say.

mod fitting;
mod heirs;
mod kernel;
mod keys;
mod linkbeat;
mod operations;
mod scripts;
mod snmp;
mod sockets;
mod unsent;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::mpsc;

use self::fitting::{Fitting, Mtus};
use self::heirs::Heirloom;
use self::keys::{KeyFiles, Keyed};
use self::linkbeat::Linkbeat;
use self::snmp::Snmp;
use self::unsent::Unsent;
use super::connection_sync;
use super::desired::DesiredAddress;
use super::engine::{
    Awaited, Deadline, Input, Output, ReceivedPacket, SocketName, Transmit, VrrpEngine,
    is_still_awaited,
};
use super::event::{Event, Importance};
use super::firewall::{self, Firewall};
use super::interface_settings::{InterfaceSettings, Settings};
use super::json;
use super::losses::Losses;
use super::packet::hmac::Stamp;
use super::router::identity;
use super::routing::Routing;
use super::socket::{AdvertSocket, FrameSocket, InterfaceId, Listener, Space};
use super::status;
use super::telling::Telling;
use super::virtual_link::VirtualLinks;
use crate::core::bfd_news::News;
use crate::core::config::model::Config;
use crate::core::config::model::global::Global;
use crate::core::config::model::services::ReceiveBuffer;
use crate::core::config::model::track::Tracked;
use crate::core::config::model::vrrp::{Instance, VrrpConfig};
use crate::core::netlink::RouteSocket;
use crate::core::netlink::address::KernelAddress;
use crate::core::netlink::link::Link;
use crate::core::netlink::monitor::Monitor;
use crate::core::notify::script::{Outcome, ScriptPolicy};
use crate::core::runtime::{self, AlarmClock, DaemonCommand, DaemonReport, Dump, Ladder};
use crate::core::saved::Saver;
use crate::core::supervisor::child::DaemonStart;
use crate::core::supervisor::command_line::Options;
use crate::core::supervisor::legacy::Legacy;
use crate::core::time::{Interval, Timestamp};
use crate::core::track::bfd::BfdTracker;
use crate::core::track::file::{FileChange, FileTracker};
use crate::core::track::process::{ProcessChange, ProcessTracker};
use crate::core::track::script::{ScriptRun, ScriptTracker};
use crate::ipvs::sync::{SyncKeeper, SyncSettings};

/// Packets of a socket, handled before others get their turn.
const PACKETS_AT_ONCE: usize = 256;
/// The same of events of the kernel's.
const EVENTS_AT_ONCE: usize = 256;
/// Adverts of one system call.
const ADVERTS_AT_ONCE: usize = 64;
/// With as many routers, packets that nothing follows from are looked at together,
const MANY_ROUTERS: usize = 64;
/// so many that come within this time.
const GATHERING: Interval = Interval::from_millis(1);
/// Awake again before a timer goes off.
const WAKING: Interval = Interval::from_micros(200);
/// Nothing that can wait is begun when a timer goes off within this time,
const QUIET: Interval = Interval::from_millis(1);
/// unless it has waited for this long.
const LONGEST_WAIT: Interval = Interval::from_millis(100);
/// At stop, what notify scripts get (keepalived: about a second).
const STOP_GRACE: Interval = Interval::from_secs(1);
/// After more lines than this at once, many routers have moved, and left much memory behind.
const MUCH_TO_TELL: usize = 1024;
/// After a refusal of the kernel, the wait before the same is tried again; doubles up to the limit.
const RETRY: Interval = Interval::from_millis(500);
const RETRY_LIMIT: Interval = Interval::from_secs(30);

const EXIT_OK: u8 = 0;
const EXIT_SOFTWARE: u8 = 70;

/// Runs until told to stop. Returns the process's exit status.
pub async fn run(start: DaemonStart, options: &Options) -> u8 {
    let sessions = BfdTracker::new(start.news.tracker);
    let mut keys = KeyFiles::default();
    let config = keys.start(start.config).await;
    let opened = FrameSocket::over(start.frames)
        .map_err(Into::into)
        .and_then(|frames| Daemon::open(config, keys, sessions, frames, options));
    let mut daemon = match opened {
        Ok(daemon) => daemon,
        Err(error) => {
            tracing::error!("cannot start: {error}");
            return EXIT_SOFTWARE;
        }
    };
    daemon.legacy = start.legacy;
    daemon.inherit(start.pid_file);
    if options.farewell {
        daemon.farewell().await;
    } else {
        daemon.live(start.commands, start.reports).await;
    }
    EXIT_OK
}

struct Daemon<'a> {
    options: &'a Options,
    config: Config,
    engine: VrrpEngine,
    route: RouteSocket,
    monitor: Monitor,
    frames: Arc<FrameSocket>,
    links: BTreeMap<u32, Link>,
    fitting: Fitting,
    /// Adverts of another size may fit some interface.
    mtus_changed: bool,
    linkbeat: Linkbeat,
    /// Every address that the kernel has.
    actual: BTreeMap<Place, KernelAddress>,
    /// Those of them that we added, or found and took over.
    managed: BTreeSet<Place>,
    virtual_links: VirtualLinks,
    settings: InterfaceSettings,
    sockets: BTreeMap<SocketName, OpenSocket>,
    /// Some socket could not be opened: when to try again.
    deaf_until: Option<Timestamp>,
    listener: Listener,
    /// Whose a token of [`Self::listener`] is; none is used twice.
    names: BTreeMap<u64, SocketName>,
    last_token: u64,
    /// The tokens of sockets that may have something.
    unread: Vec<u64>,
    space: Space,
    /// The one that is being looked at.
    packet: ReceivedPacket,
    scripts: ScriptTracker,
    script_inbox: mpsc::Receiver<ScriptRun>,
    files: FileTracker,
    file_inbox: mpsc::Receiver<FileChange>,
    processes: ProcessTracker,
    process_inbox: mpsc::Receiver<ProcessChange>,
    sessions: BfdTracker,
    telling: Telling,
    ladder: Ladder,
    routing: Routing,
    firewall: Firewall,
    connection_sync: SyncKeeper,
    /// How the connection sync daemon works, and the instance that it follows.
    sync_follows: Option<(SyncSettings, String)>,
    /// Static entries are no longer wanted either.
    stopping: bool,
    refusals: BTreeMap<DesiredAddress, Refusal>,
    /// What others removed of the addresses that no router tracks.
    losses: BTreeMap<DesiredAddress, Losses>,
    keys: KeyFiles,
    /// For the process that comes after this one, should it die.
    legacy: Option<Legacy>,
    /// For a process after a crash of everything.
    remains: Heirloom,
    /// Whether there is something to leave.
    is_master: bool,
    /// The latest trailer that the process after this one knows of.
    left_stamp: Option<Stamp>,
    /// Log lines and notifications, for when the network has got its due.
    untold: Vec<Output>,
    /// Much memory may have been freed since it was last given back.
    untidy: bool,
    /// Since when the process has had no moment for what can wait.
    busy_since: Option<Timestamp>,
    /// The kernel's addresses or links have changed since they were last brought in line.
    kernel_changed: bool,
    unsent: Unsent,
    saver: Saver,
    snmp: Snmp,
}

fn mtus(links: &BTreeMap<u32, Link>) -> Mtus<'_> {
    links.values().map(|link| (link.name.as_str(), link.mtu)).collect()
}

/// Index of the interface, address, prefix length: what is unique in the kernel.
type Place = (u32, IpAddr, u8);

fn place_of(address: &KernelAddress) -> Place {
    (address.index, address.address, address.prefix)
}

struct OpenSocket {
    interface: Option<InterfaceId>,
    socket: AdvertSocket,
    buffer: ReceiveBuffer,
    token: u64,
}

/// The kernel did not take an operation; when to ask again.
#[derive(Debug, Clone, Copy)]
struct Refusal {
    again: Timestamp,
    wait: Interval,
}

impl<'a> Daemon<'a> {
    fn open(
        mut config: Config,
        keys: KeyFiles,
        sessions: BfdTracker,
        frames: FrameSocket,
        options: &'a Options,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        scripts::leave_out_unusable(&mut config);
        options.snmp.outweigh(&mut config.global.snmp);
        // Subscribe first, then read: nothing falls between.
        let monitor = Monitor::open()?;
        let mut route = RouteSocket::open()?;
        let links: BTreeMap<u32, Link> =
            route.links()?.into_iter().map(|link| (link.index, link)).collect();
        let mut fitting = Fitting::default();
        fitting.fit(&mut config.vrrp, &mtus(&links));
        let actual = table(route.addresses()?);
        let (results, script_inbox) = mpsc::channel(64);
        let (file_results, file_inbox) = mpsc::channel(64);
        let (process_results, process_inbox) = mpsc::channel(64);
        let engine = VrrpEngine::new(runtime::now(), at_start(&config), config.vrrp.clone());
        Ok(Self {
            options,
            engine,
            route,
            monitor,
            frames: Arc::new(frames),
            links,
            fitting,
            mtus_changed: false,
            linkbeat: Linkbeat::default(),
            actual,
            managed: BTreeSet::new(),
            virtual_links: VirtualLinks::default(),
            settings: InterfaceSettings::default(),
            sockets: BTreeMap::new(),
            deaf_until: None,
            listener: Listener::new()?,
            names: BTreeMap::new(),
            last_token: 0,
            unread: Vec::new(),
            space: Space::default(),
            packet: ReceivedPacket::default(),
            scripts: ScriptTracker::new(results),
            script_inbox,
            files: FileTracker::new(file_results),
            file_inbox,
            processes: ProcessTracker::new(process_results),
            process_inbox,
            sessions,
            telling: Telling::new(&config),
            ladder: Ladder::new(&config.global, &config.global.vrrp_process),
            routing: Routing::default(),
            firewall: Firewall::default(),
            connection_sync: SyncKeeper::default(),
            sync_follows: connection_sync::followed(&config),
            stopping: false,
            refusals: BTreeMap::new(),
            losses: BTreeMap::new(),
            keys,
            legacy: None,
            remains: Heirloom::None,
            is_master: false,
            left_stamp: None,
            untold: Vec::new(),
            untidy: true,
            busy_since: None,
            kernel_changed: true,
            unsent: Unsent::default(),
            saver: Saver::default(),
            snmp: Snmp::default(),
            config,
        })
    }

    async fn live(
        &mut self,
        mut commands: mpsc::Receiver<DaemonCommand>,
        reports: mpsc::Sender<DaemonReport>,
    ) {
        let Ok(mut alarm) = AlarmClock::new() else {
            tracing::error!("cannot make a timer");
            return;
        };
        self.configure();
        self.tell_time();
        self.resume();
        self.engine.handle(runtime::now(), Input::Start);
        self.settle();
        self.note_exactly();
        self.catch_up();
        if self.options.dump_config {
            for line in self.data().lines() {
                tracing::info!("{line}");
            }
        }
        report(&reports, DaemonReport::Ready);
        // Nothing followed from what was heard last.
        let mut calm = false;
        loop {
            let rest = !self.unread.is_empty();
            let deadline = self.next_deadline();
            let takeover = self.engine.poll_timeout();
            let takeover = takeover.filter(|next| next.why == Awaited::MasterDown);
            let mut heard = false;
            tokio::select! {
                // Packets before timers: after a stall the mailbox is the truth.
                biased;
                () = unread(&self.listener, &mut self.unread) => {
                    if calm && !rest {
                        self.gather();
                    }
                    self.sweep_sockets();
                    heard = true;
                }
                event = self.monitor.next() => {
                    self.handle_kernel_event(event);
                    for _ in 0..EVENTS_AT_ONCE {
                        let Some(event) = self.monitor.try_next() else { break };
                        self.handle_kernel_event(Ok(event));
                    }
                }
                changer = self.firewall.disturbed() => self.firewall.restore(&changer),
                command = commands.recv() => match command {
                    Some(DaemonCommand::Reload(config)) => {
                        self.keys.begin(*config, runtime::now());
                    }
                    Some(DaemonCommand::DumpData) => self.dump_data(),
                    Some(DaemonCommand::DumpJson) => self.dump_json(),
                    Some(DaemonCommand::DumpStatistics) => self.dump_statistics(),
                    Some(DaemonCommand::ClearStatistics) => {
                        self.dump_statistics();
                        self.engine.handle(runtime::now(), Input::ClearStatistics);
                    }
                    Some(DaemonCommand::Stop) | None => break,
                },
                Some(run) = self.script_inbox.recv() => self.handle_script(&run),
                Some(change) = self.file_inbox.recv() => self.handle_file(change),
                Some(change) = self.process_inbox.recv() => self.handle_process(change),
                news = self.sessions.changed() => self.handle_sessions(news),
                () = self.keys.next() => {}
                ask = self.snmp.asked() => self.answer(ask),
                () = wait(&mut alarm, deadline, takeover) => {}
            }
            self.ladder.due(deadline, "vrrp");
            // Whatever woke us: a flood of packets must not keep a timer waiting.
            let fired = self.fire_timers();
            match self.keys.ready(runtime::now()) {
                Some(Keyed::New(config)) => {
                    self.saver.begin();
                    self.saver.before(&self.config.global, "vrrp", || self.data());
                    self.reload(config);
                    self.settle();
                    self.saver.after(&self.config.global, "vrrp", || self.data());
                    report(&reports, DaemonReport::Reloaded);
                }
                Some(Keyed::Again(config)) => self.reload(config),
                None => {}
            }
            self.fit_again();
            let acted = self.settle();
            if self.has_time() {
                self.catch_up();
                self.tidy();
            }
            if heard {
                calm = !fired && !acted;
            }
        }
        self.stop().await;
    }

    /// The routers that were master when the process before this one died, and that nobody can have
    /// missed yet, go on.
    fn resume(&mut self) {
        let Some(legacy) = &self.legacy else { return };
        let (alive, masters) = match legacy.read() {
            Ok(left) => left,
            Err(error) => {
                tracing::error!("what the process before this one left cannot be read: {error}");
                return;
            }
        };
        let now = runtime::now();
        if let Ok(bits) = legacy.stamp()
            && bits != 0
        {
            self.engine.handle(now, Input::LastStamp(Stamp::from_bits(bits)));
        }
        let names = self
            .config
            .vrrp
            .instances
            .iter()
            .filter(|instance| masters.contains(&instance.name))
            .filter(|instance| is_still_awaited(instance, now.since(alive)))
            .map(|instance| instance.name.clone())
            .collect();
        self.engine.handle(now, Input::Resume(names));
    }

    /// Thousands of routers that move are a timer after the other: words and memories would make the
    /// later ones late.
    fn has_time(&mut self) -> bool {
        let now = runtime::now();
        let soon = now + QUIET;
        if self.engine.poll_timeout().is_some_and(|next| next.at <= soon) {
            let since = *self.busy_since.get_or_insert(now);
            return now.since(since) >= LONGEST_WAIT;
        }
        true
    }

    /// What can wait: the process that may come after this one, people, scripts.
    fn catch_up(&mut self) {
        self.busy_since = None;
        self.remember();
        self.tell();
    }

    /// Tells the process that may come after this one where things stand.
    fn remember(&mut self) {
        let Some(legacy) = &self.legacy else { return };
        let masters = self.engine.take_masters();
        if let Some(names) = &masters {
            self.is_master = !names.is_empty();
        }
        let alive = || if self.is_master { legacy.alive(runtime::now()) } else { Ok(()) };
        let stamp = self.engine.last_stamp().filter(|stamp| Some(*stamp) != self.left_stamp);
        self.left_stamp = stamp.or(self.left_stamp);
        let written = masters
            .map_or(Ok(()), |names| legacy.set_lines(&names))
            .and_then(|()| stamp.map_or(Ok(()), |stamp| legacy.set_stamp(stamp.bits())))
            .and_then(|()| alive());
        if let Err(error) = written {
            tracing::error!("nothing can be left to a process after this one: {error}");
            self.legacy = None;
        }
    }

    /// What the wall clock says now: it may have been set.
    fn tell_time(&mut self) {
        self.engine.handle(runtime::now(), Input::WallClock(runtime::wall_clock()));
    }

    /// Gives up in order what a process that died was master of, so that a backup need not wait for
    /// its patience to end.
    async fn farewell(&mut self) {
        self.virtual_links.configure(&self.config);
        self.make_links();
        self.routing.configure(runtime::now(), &self.config);
        self.open_sockets();
        for name in watched_interfaces(&self.config.vrrp) {
            self.tell_link(&name);
        }
        self.tell_time();
        self.resume();
        self.engine.handle(runtime::now(), Input::Start);
        // Nobody is told that it goes on: a script would start what the next one stops.
        self.pump_outputs();
        self.untold.clear();
        self.stop().await;
    }

    /// Adverts of many routers come one after the other, and to wake up costs more than to read some. Where
    /// the last ones changed nothing, the first of the next ones waits for those behind it; they have the
    /// kernel's stamps. The event loop would be woken by each of them, hence this sleep outside it.
    fn gather(&self) {
        if self.config.vrrp.instances.len() < MANY_ROUTERS {
            return;
        }
        let now = runtime::now();
        let end = now + GATHERING;
        let end = self.next_deadline().map_or(end, |next| end.min(next.before(WAKING)));
        std::thread::sleep(end.since(now).to_duration());
    }

    /// Before a timer counts, everything that has arrived counts. Gives whether any was due.
    fn fire_timers(&mut self) -> bool {
        let due = self.next_deadline().is_some_and(|at| at <= runtime::now());
        if due {
            if self.deaf_until.is_some_and(|until| until <= runtime::now()) {
                self.open_sockets();
            }
            self.inherit_late();
            self.sweep_sockets();
            self.poll_links(runtime::now());
            self.tell_time();
            // What a timer arms anew is later than this, so the loop ends.
            let now = runtime::now();
            while self.engine.poll_timeout().is_some_and(|next| next.at <= now) {
                self.engine.handle_timeout(now);
                self.pump_outputs();
            }
        }
        due
    }

    /// Acts on a configuration: sockets, scripts, what the engine knows of the links.
    fn configure(&mut self) {
        self.virtual_links.configure(&self.config);
        self.routing.configure(runtime::now(), &self.config);
        self.note_more();
        self.make_links();
        let (routes, rules) = self.routing.kinds();
        if let Err(error) = self.monitor.watch_routing(routes, rules) {
            tracing::error!("changes of routes and rules are not seen: {error}");
        }
        self.kernel_changed = true;
        self.open_sockets();
        let policy = ScriptPolicy::of(&self.config.global);
        self.scripts.set(&self.config.vrrp.scripts, &policy);
        self.files.set(&self.config.track_files);
        let buffers = &self.config.global.buffers;
        self.processes.set(&self.config.vrrp.processes, buffers.process_monitor);
        self.sessions.set(&tracked_sessions(&self.config.vrrp));
        self.route.set_receive_buffer(buffers.vrrp_command);
        self.monitor.set_receive_buffer(buffers.vrrp_monitor);
        self.telling.set(&self.config);
        self.snmp.configure(&self.config, &self.engine);
        self.set_linkbeat();
        let instances = &self.config.vrrp.instances;
        self.unsent.retain(|name| instances.iter().any(|instance| instance.name == name));
        for name in watched_interfaces(&self.config.vrrp) {
            self.tell_link(&name);
        }
        self.tell_sources();
    }

    fn reload(&mut self, mut config: Config) {
        scripts::leave_out_unusable(&mut config);
        self.fitting.fit(&mut config.vrrp, &mtus(&self.links));
        self.options.snmp.outweigh(&mut config.global.snmp);
        self.untidy = true;
        if config == self.config {
            tracing::info!("Nothing differs");
            self.telling.states(&self.engine);
            return;
        }
        self.tell_time();
        let now = runtime::now();
        // What goes says so while its socket and its virtual interface are there.
        let kept = config.vrrp.instances.iter().map(|instance| identity(instance)).collect();
        self.engine.handle(now, Input::Keep(kept));
        self.pump_outputs();
        let (global, vrrp) = (config.global.clone(), config.vrrp.clone());
        self.sync_follows = connection_sync::followed(&config);
        self.config = config;
        self.configure();
        self.engine.handle(now, Input::Reconfigure(Box::new((global, vrrp))));
        self.engine.handle(now, Input::Start);
        self.settle();
        self.note_exactly();
        self.catch_up();
        self.telling.states(&self.engine);
    }

    /// An interface has appeared, or takes other packets.
    fn fit_again(&mut self) {
        if !std::mem::take(&mut self.mtus_changed) {
            return;
        }
        let again = self.fitting.to_fit_again(&self.config.vrrp, &mtus(&self.links));
        if let Some(vrrp) = again {
            tracing::info!("Other addresses fit the adverts of an interface");
            self.reload(Config { vrrp, ..self.config.clone() });
        }
    }

    /// Carries out what the engine wants until it wants nothing more. Gives whether it wanted anything.
    fn settle(&mut self) -> bool {
        let mut acted = false;
        if self.unsent.is_time_to_look(runtime::now()) {
            self.kernel_changed = true;
            self.read_kernel();
        }
        // Addresses that come and go make the engine speak again, a few times at most.
        for _ in 0..8 {
            let spoke = self.pump_outputs();
            let changed = self.reconcile_addresses();
            if !spoke && !changed {
                break;
            }
            acted = true;
        }
        self.install_routing();
        let engine = &self.engine;
        let wish = connection_sync::wish(self.sync_follows.as_ref(), |name| engine.is_master(name));
        self.connection_sync.set(wish);
        acted
    }

    /// Words and scripts come last: neither an advert nor an announcement waits for them.
    fn tell(&mut self) {
        let much = self.untold.len() > MUCH_TO_TELL;
        self.snmp.see(&self.untold, &self.engine, &self.links);
        for output in std::mem::take(&mut self.untold) {
            match output {
                Output::Notify(notice) => self.telling.tell(&notice),
                Output::Log(event) => log_event(&event),
                Output::Transmit(_) | Output::Announce(_) => {}
            }
        }
        self.untidy |= much;
    }

    /// Thousands of routers that move, or a reload of them, leave many holes behind.
    fn tidy(&mut self) {
        if !std::mem::take(&mut self.untidy) {
            return;
        }
        // Built anew, they have no empty places.
        self.actual = std::mem::take(&mut self.actual).into_iter().collect();
        self.managed = std::mem::take(&mut self.managed).into_iter().collect();
        runtime::give_memory_back();
    }

    fn pump_outputs(&mut self) -> bool {
        let mut spoke = false;
        let (mut adverts, mut announcements) = (Vec::new(), Vec::new());
        while let Some(output) = self.engine.poll_output() {
            spoke = true;
            match output {
                Output::Transmit(advert) => {
                    self.announce(&mut announcements);
                    let other = |first: &Transmit| first.socket != advert.socket;
                    if adverts.len() == ADVERTS_AT_ONCE || adverts.first().is_some_and(other) {
                        self.transmit(&adverts);
                        adverts.clear();
                    }
                    adverts.push(advert);
                }
                Output::Announce(announcement) => {
                    self.transmit(&adverts);
                    adverts.clear();
                    announcements.push(announcement);
                }
                Output::Notify(_) | Output::Log(_) => self.untold.push(output),
            }
        }
        self.transmit(&adverts);
        self.announce(&mut announcements);
        spoke
    }

    /// Sends an advert; gives what is to be announced; keeps the rest for later.
    fn act_on(&mut self, output: Output) -> Option<DesiredAddress> {
        match output {
            Output::Transmit(advert) => self.transmit(&[advert]),
            Output::Announce(announcement) => return Some(announcement),
            Output::Notify(_) | Output::Log(_) => self.untold.push(output),
        }
        None
    }

    // ---- scripts

    fn handle_script(&mut self, run: &ScriptRun) {
        let name = &run.name;
        if run.changed {
            match &run.outcome {
                Outcome::Exited(0) => tracing::info!("VRRP_Script({name}) succeeded"),
                Outcome::Exited(status) => {
                    tracing::info!("VRRP_Script({name}) failed (exited with status {status})");
                }
                Outcome::Signalled(signal) => {
                    tracing::info!("VRRP_Script({name}) failed (due to signal {signal})");
                }
                Outcome::TimedOut => tracing::info!("VRRP_Script({name}) timed out"),
                Outcome::NotStarted(why) => {
                    tracing::error!("VRRP_Script({name}) failed: {why}");
                }
            }
        }
        if let (true, Some(good)) = (run.changed, run.health.is_good()) {
            let input = Input::Script { name: name.clone(), good };
            self.engine.handle(runtime::now(), input);
        }
    }

    fn handle_file(&mut self, FileChange { name, value }: FileChange) {
        tracing::info!("track_file {name}: {value}");
        self.snmp.file(&name, value);
        self.engine.handle(runtime::now(), Input::File { name, value });
    }

    fn handle_process(&mut self, ProcessChange { name, good, count }: ProcessChange) {
        let what = if good { "gained" } else { "lost" };
        tracing::info!("Quorum {what} for track process {name} ({count} processes)");
        self.snmp.process(&name, good, count);
        self.engine.handle(runtime::now(), Input::Process { name, good });
    }

    fn handle_sessions(&mut self, news: Vec<News>) {
        for News { name, up } in news {
            let state = if up { "Up" } else { "Down" };
            tracing::info!("Received BFD event: instance {name} is in state {state}");
            for instance in trackers(&self.config.vrrp, &name) {
                let state = if up { "UP" } else { "DOWN" };
                tracing::info!("VRRP_Instance({instance}) Tracked BFD instance {name} is {state}");
            }
            self.engine.handle(runtime::now(), Input::Bfd { name, up });
        }
    }

    // ---- dumps and the end

    fn data(&self) -> String {
        status::data(&self.engine, &self.config.global, &self.config.vrrp, runtime::now())
    }

    fn dump_data(&self) {
        tracing::info!("Printing VRRP data for process({}) on signal", std::process::id());
        if let Err(error) = Dump::Vrrp.write(&self.config.global, &self.data()) {
            tracing::error!("cannot write the data file: {error}");
        }
    }

    fn dump_statistics(&self) {
        tracing::info!("Printing VRRP stats for process({}) on signal", std::process::id());
        let text = status::statistics(&self.engine);
        if let Err(error) = Dump::Statistics.write(&self.config.global, &text) {
            tracing::error!("cannot write the statistics file: {error}");
        }
    }

    fn dump_json(&self) {
        tracing::info!("Printing VRRP as json for process({}) on signal", std::process::id());
        let global = &self.config.global;
        let times = (runtime::now(), runtime::wall_clock());
        let scripts = &self.config.vrrp.scripts;
        let version = global.files.json_version;
        let Some(text) = json::dump(&self.engine, scripts, version, times) else { return };
        if let Err(error) = Dump::Json.write(global, &text) {
            tracing::error!("cannot write the JSON file: {error}");
        }
    }

    /// Resigns, gives the addresses up, lets the scripts speak.
    async fn stop(&mut self) {
        tracing::info!("Stopping");
        self.scripts.stop();
        self.files.stop();
        self.processes.stop();
        self.tell_time();
        self.engine.handle(runtime::now(), Input::Shutdown);
        if self.options.keep_addresses {
            // `-V`: they stay here, so nobody is called to take them.
            let outputs = std::iter::from_fn(|| self.engine.poll_output());
            let told =
                outputs.filter(|output| matches!(output, Output::Notify(_) | Output::Log(_)));
            self.untold.extend(told);
        } else {
            self.pump_outputs();
            self.stopping = true;
            self.kernel_changed = true;
            self.reconcile_addresses();
            self.install_routing();
            self.virtual_links.remove_all(&mut self.route, &self.links);
            // Not before: links that go report that they leave their groups.
            self.firewall.want(&firewall::ruleset(&self.config.global.firewall));
            self.settings.want(&Settings::new());
            self.leave_nothing();
        }
        self.remember();
        self.tell();
        self.snmp.finish().await;
        self.telling.finish(STOP_GRACE).await;
        if self.sync_follows.is_some() {
            self.connection_sync.stop(STOP_GRACE.to_duration());
        }
    }
}

/// Waits until some socket may have something.
async fn unread(listener: &Listener, tokens: &mut Vec<u64>) {
    if tokens.is_empty() {
        listener.wait(tokens).await;
    }
}

/// Waits for the next thing to do. No moment is lost where it is a takeover, which is rare.
async fn wait(alarm: &mut AlarmClock, next: Option<Timestamp>, takeover: Option<Deadline>) {
    match takeover {
        Some(Deadline { at, .. }) if next == Some(at) => alarm.wait_awake(at).await,
        Some(_) | None => alarm.wait_until(next).await,
    }
}

/// What of `vrrp_delay_after_boot` is left is waited for, if that is more than
/// `vrrp_startup_delay`.
fn at_start(config: &Config) -> Global {
    let mut global = config.global.clone();
    let vrrp = &mut global.vrrp;
    let left = vrrp.delay_after_boot - runtime::since_boot();
    vrrp.startup_delay = vrrp.startup_delay.max(left);
    global
}

fn table(addresses: Vec<KernelAddress>) -> BTreeMap<Place, KernelAddress> {
    addresses.into_iter().map(|address| (place_of(&address), address)).collect()
}

fn interface_id(links: &BTreeMap<u32, Link>, name: &str) -> Option<InterfaceId> {
    let link = links.values().find(|link| link.name == name)?;
    Some(InterfaceId { index: link.index, name: link.name.clone() })
}

/// Interfaces whose state the engine must know.
fn watched_interfaces(config: &VrrpConfig) -> BTreeSet<String> {
    let located = |instance: &Arc<Instance>| instance.interface.clone().or(instance.vrf.clone());
    let own = config.instances.iter().filter_map(located);
    let links = config.instances.iter().filter_map(|instance| instance.virtual_link.as_ref());
    let own = own.chain(links.map(|link| link.name().to_owned()));
    let tracked = config.instances.iter().flat_map(|instance| &instance.track_interfaces);
    let grouped = config.sync_groups.iter().flat_map(|group| &group.track_interfaces);
    let needed = config.instances.iter().flat_map(|instance| &instance.needed_interfaces).cloned();
    let named = tracked.chain(grouped).map(|tracked| tracked.name.clone());
    own.chain(named).chain(needed).collect()
}

/// The instances that a BFD session matters to, in keepalived's log one line each.
fn trackers<'a>(config: &'a VrrpConfig, session: &str) -> Vec<&'a str> {
    let names = |tracked: &[Tracked]| tracked.iter().any(|tracked| tracked.name == session);
    let groups = || config.sync_groups.iter().filter(|group| names(&group.track_bfd));
    let by_group = |name: &String| groups().any(|group| group.members.contains(name));
    let instances = config.instances.iter();
    instances
        .filter(|instance| names(&instance.track_bfd) || by_group(&instance.name))
        .map(|instance| instance.name.as_str())
        .collect()
}

/// BFD sessions that some instance or group tracks.
fn tracked_sessions(config: &VrrpConfig) -> BTreeSet<String> {
    let own = config.instances.iter().flat_map(|instance| &instance.track_bfd);
    let grouped = config.sync_groups.iter().flat_map(|group| &group.track_bfd);
    own.chain(grouped).map(|tracked| tracked.name.clone()).collect()
}

fn configured(config: &VrrpConfig) -> BTreeSet<DesiredAddress> {
    config.instances.iter().flat_map(|instance| super::desired::addresses(instance)).collect()
}

fn report(reports: &mpsc::Sender<DaemonReport>, report: DaemonReport) {
    if reports.try_send(report).is_err() {
        tracing::debug!("the parent was not told {report:?}");
    }
}

fn log_event(event: &Event) {
    let reason = event.reason.as_ref().map(ToString::to_string);
    match (event.kind.importance(), reason) {
        (Importance::Detail, _) => tracing::debug!("{event}"),
        (Importance::Normal, Some(reason)) => tracing::info!(reason, "{event}"),
        (Importance::Normal, None) => tracing::info!("{event}"),
        (Importance::Warning, _) => tracing::warn!("{event}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_the_delay_after_boot_is_waited_for() {
        let mut config = Config::default();
        let vrrp = &mut config.global.vrrp;
        vrrp.startup_delay = Interval::from_secs(5);
        vrrp.delay_after_boot = Interval::from_secs(1);
        let delay = |config: &Config| at_start(config).vrrp.startup_delay;
        assert_eq!(delay(&config), Interval::from_secs(5), "the system has been up for longer");
        config.global.vrrp.delay_after_boot = runtime::since_boot() + Interval::from_secs(1000);
        let left = delay(&config);
        assert!(left > Interval::from_secs(900) && left <= Interval::from_secs(1000), "{left}");
    }
}
