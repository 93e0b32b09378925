//! The core process: reads the configuration, starts the children, keeps them running, passes
//! signals on, reloads and stops.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::child::pid_path;
use super::command_line::{Options, Personality, Process, Role, Subsystems};
use super::handover::{self, Channel, ToChild, ToParent};
use super::heirlooms::Heirlooms;
use super::pid_file::{PidFile, PidFileError};
use super::reload_time;
use super::respawn::{Exit, Respawn, Verdict};
use super::sealed::{Sealed, SealedServices};
use super::systemd;
use crate::core::config::compile::{Compiled, compile_into};
use crate::core::config::model::Config;
use crate::core::config::model::global::Global;
use crate::core::config::model::services::ReloadMarker;
use crate::core::config::source::{LoadError, LoadOptions, SourceSet};
use crate::core::config::surroundings;
use crate::core::diagnostics::render;
use crate::core::diagnostics::{Diagnostic, Severity};
use crate::core::log::{self, LogOptions};
use crate::core::notify::fifo_keeper::FifoKeeper;
use crate::core::notify::script::{self, Outcome, ScriptPolicy};
use crate::core::runtime::{self, Dump};
use crate::core::saved::Saver;
use crate::core::time::{Interval, Timestamp};

const EXIT_OK: u8 = 0;
const EXIT_FATAL: u8 = 1;
const EXIT_CONFIG: u8 = 2;
const EXIT_NO_CONFIG: u8 = 6;
const EXIT_SOFTWARE: u8 = 70;
/// What a process gets that ends what a dead one has left.
const FAREWELL: Interval = Interval::from_secs(2);
/// At the end, what the readers of FIFOs get for what is left in them.
const LAST_LINES: Interval = Interval::from_secs(1);
/// Events that may wait for the loop.
const WAITING_EVENTS: usize = 256;

/// Runs the daemon to its end. `arguments` are the words after the program's name, for the children.
pub fn run(options: &Options, personality: Personality, arguments: &[OsString]) -> u8 {
    runtime::set_process_name(personality.process_name(Process::Parent));
    log::start(&LogOptions {
        ident: personality.syslog_ident(Process::Parent),
        console: options.log_console,
        syslog: options.syslog,
        file: options.log_file.as_deref(),
        detail: options.detail,
    });
    tracing::info!("Starting {}", personality.banner());
    for option in &options.without_effect {
        tracing::warn!("option {option} has no effect in this version");
    }
    // Interfaces are looked for where the daemon will run.
    if let Some(name) = &options.namespace
        && let Err(error) = enter_namespace(name)
    {
        tracing::error!("cannot enter network namespace {name}: {error}");
        return EXIT_FATAL;
    }
    let loaded = match load(options) {
        Ok(loaded) => loaded,
        Err(refusal) => {
            tracing::error!("{refusal}");
            return refusal.exit_status();
        }
    };
    if !options.foreground
        && let Err(error) = nix::unistd::daemon(false, false)
    {
        tracing::error!("cannot go into the background: {error}");
        return EXIT_FATAL;
    }
    let global = &loaded.compiled.config.global;
    take_name_and_umask(options, personality, global);
    let path = options.pid_file.clone().unwrap_or_else(|| pid_path(global, "keepalived"));
    if let Some(folder) = path.parent()
        && let Err(error) = std::fs::create_dir_all(folder)
    {
        tracing::error!("cannot make {}: {error}", folder.display());
        return EXIT_FATAL;
    }
    let _pid_file = match PidFile::take(&path) {
        Ok(file) => file,
        Err(PidFileError::Running(_)) => {
            tracing::error!("daemon is already running");
            return EXIT_OK;
        }
        Err(error @ PidFileError::Io(..)) => {
            tracing::error!("{error}");
            return EXIT_FATAL;
        }
    };
    if let (None, Some(name)) = (&options.namespace, &global.net_namespace)
        && let Err(error) = enter_namespace(name)
    {
        tracing::error!("cannot enter network namespace {name}: {error}");
        return EXIT_FATAL;
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!("cannot start: {error}");
            return EXIT_SOFTWARE;
        }
    };
    let status = runtime.block_on(async {
        match Parent::new(options, personality, arguments, loaded) {
            Ok(parent) => parent.live().await,
            Err(error) => {
                tracing::error!("cannot start: {error}");
                EXIT_SOFTWARE
            }
        }
    });
    tracing::info!("Stopped {}", personality.banner());
    status
}

fn enter_namespace(name: &str) -> io::Result<()> {
    let file = std::fs::File::open(std::path::Path::new("/run/netns").join(name))?;
    nix::sched::setns(file.as_fd(), nix::sched::CloneFlags::CLONE_NEWNET)?;
    Ok(())
}

/// A configuration that has been read and compiled.
struct Loaded {
    sources: SourceSet,
    /// But for the virtual servers.
    compiled: Compiled,
    services: SealedServices,
}

impl Loaded {
    /// What the parent goes on with, and what the children get. The text is not kept.
    fn divide(self, saver: &mut Saver) -> io::Result<(Work, Sealed)> {
        let services = self.services.count();
        let sealed = Sealed::of(&self.compiled.config, self.services)?;
        saver.configuration(&self.compiled.config.global, &self.sources);
        Ok((Work::of(self.compiled.config, services), sealed))
    }
}

/// Why a configuration is not used.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("{0}")]
    Load(#[from] LoadError),
    #[error("the configuration has fatal errors")]
    Fatal(Severity),
}

impl Refusal {
    fn exit_status(&self) -> u8 {
        match self {
            Self::Load(_) => EXIT_NO_CONFIG,
            Self::Fatal(Severity::Missing) => EXIT_CONFIG,
            Self::Fatal(_) => EXIT_FATAL,
        }
    }
}

fn load(options: &Options) -> Result<Loaded, Refusal> {
    tracing::info!("Opening file '{}'.", options.config.display());
    let load_options =
        LoadOptions { config_id: options.config_id.clone(), all_config: options.all_config };
    let sources = SourceSet::load(&options.config, &load_options)?;
    let mut services = SealedServices::default();
    let mut compiled = compile_into(&sources, &mut services);
    tracing::info!("Configuration file {}", options.config.display());
    let around = surroundings::examine(&compiled);
    compiled.diagnostics.extend(around);
    for diagnostic in &compiled.diagnostics {
        let line = render::concise(diagnostic, &compiled.sources);
        log_diagnostic(diagnostic, &line);
    }
    match compiled.refusal() {
        Some(severity) => Err(Refusal::Fatal(severity)),
        None => Ok(Loaded { sources, compiled, services }),
    }
}

fn log_diagnostic(diagnostic: &Diagnostic, line: &str) {
    match diagnostic.severity {
        Severity::Note => tracing::info!("{line}"),
        Severity::Warning | Severity::ScriptSecurity => tracing::warn!("{line}"),
        Severity::Error | Severity::Missing | Severity::Fatal => tracing::error!("{line}"),
    }
}

/// Something that happened.
enum Event {
    Signal(Wish),
    Exited { role: Role, exit: Exit },
    Report { role: Role, generation: u64, report: ToParent },
    Restart(Role),
    Watchdog,
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Stop,
    Reload,
    Tell(ToChild),
}

/// A child, from the parent's side.
struct Child {
    channel: Arc<Channel>,
    orders: mpsc::Sender<Signal>,
    started: Timestamp,
    generation: u64,
    ready: bool,
    reloading: bool,
    answered: bool,
}

struct Slot {
    role: Role,
    child: Option<Child>,
    respawn: Respawn,
    restart_pending: bool,
    /// What a check process had before a reload that none has finished yet. Should it die meanwhile,
    /// the next one begins with this and then reloads: else nobody would know which services of the
    /// kernel's table are ours to remove.
    former: Option<OwnedFd>,
}

/// What the parent needs of the configuration; the rest is the children's.
struct Work {
    global: Global,
    /// Virtual routers.
    instances: usize,
    /// Virtual servers.
    services: usize,
    /// BFD sessions.
    sessions: usize,
}

impl Work {
    fn of(config: Config, services: usize) -> Self {
        Self {
            global: config.global,
            instances: config.vrrp.instances.len(),
            services,
            sessions: config.bfd.len(),
        }
    }
}

/// The parent's state.
struct Parent<'a> {
    options: &'a Options,
    personality: Personality,
    arguments: &'a [OsString],
    work: Work,
    sealed: Sealed,
    heirlooms: Heirlooms,
    fifos: FifoKeeper,
    /// Who looks at `reload_time_file`, for which file and whether again and again.
    clock: Option<((String, bool), tokio::task::JoinHandle<()>)>,
    /// The file that shows a reload.
    marker: Option<PathBuf>,
    saver: Saver,
    slots: [Slot; 3],
    generations: u64,
    events: mpsc::Sender<Event>,
    inbox: mpsc::Receiver<Event>,
    reloading: bool,
    reload_again: bool,
    started_up: bool,
}

impl<'a> Parent<'a> {
    fn new(
        options: &'a Options,
        personality: Personality,
        arguments: &'a [OsString],
        loaded: Loaded,
    ) -> io::Result<Self> {
        let (events, inbox) = mpsc::channel(WAITING_EVENTS);
        let mut saver = Saver::default();
        let (work, sealed) = loaded.divide(&mut saver)?;
        Ok(Self {
            options,
            personality,
            arguments,
            sealed,
            work,
            heirlooms: Heirlooms::new()?,
            fifos: FifoKeeper::default(),
            clock: None,
            marker: None,
            saver,
            slots: Role::ALL.map(|role| Slot {
                role,
                child: None,
                respawn: Respawn::default(),
                restart_pending: false,
                former: None,
            }),
            generations: 0,
            events,
            inbox,
            reloading: false,
            reload_again: false,
            started_up: false,
        })
    }

    async fn live(mut self) -> u8 {
        if let Err(error) = self.listen_to_signals() {
            tracing::error!("cannot listen to signals: {error}");
            return EXIT_SOFTWARE;
        }
        self.start_watchdog();
        runtime::give_memory_back();
        if let Some((script, limit)) = self.work.global.startup_script.clone() {
            self.run_script(&script, limit, "startup").await;
        }
        self.keep_fifos();
        self.keep_time();
        for role in Role::ALL {
            if self.wanted(role) {
                self.start(role);
            }
        }
        self.settle();
        let status = self.serve().await;
        systemd::stopping();
        self.stop_children().await;
        self.fifos.end(LAST_LINES).await;
        if let Some((script, limit)) = self.work.global.shutdown_script.clone() {
            self.run_script(&script, limit, "shutdown").await;
        }
        status
    }

    async fn run_script(
        &self,
        script: &crate::core::config::model::Script,
        limit: Option<Interval>,
        what: &str,
    ) {
        let policy = ScriptPolicy::of(&self.work.global);
        match script::run(script, &[], &policy, limit).await {
            Outcome::Exited(0) => {}
            outcome @ (Outcome::Exited(_)
            | Outcome::Signalled(_)
            | Outcome::TimedOut
            | Outcome::NotStarted(_)) => {
                tracing::warn!("{what} script {} failed: {outcome:?}", script.path());
            }
        }
    }

    /// The FIFOs of the processes that run.
    fn keep_fifos(&mut self) {
        let (vrrp, check) = (self.wanted(Role::Vrrp), self.wanted(Role::Check));
        let fifos = &self.work.global.fifos;
        let wanted: Vec<_> =
            [(&fifos.all, vrrp || check), (&fifos.vrrp, vrrp), (&fifos.lvs, check)]
                .into_iter()
                .filter(|(_, wanted)| *wanted)
                .map(|(fifo, _)| fifo)
                .collect();
        let mode = 0o644 & !u32::from(self.work.global.files.mask());
        self.fifos.set(&wanted, &ScriptPolicy::of(&self.work.global), mode, LAST_LINES);
    }

    /// `reload_time_file`.
    fn keep_time(&mut self) {
        let reload = &self.work.global.reload;
        let wanted = reload.time_file.clone().map(|path| (path, reload.repeat));
        if self.clock.as_ref().map(|(running, _)| running) == wanted.as_ref() {
            return;
        }
        if let Some((_, task)) = self.clock.take() {
            task.abort();
        }
        let Some((path, repeat)) = wanted.clone() else { return };
        let (reloads, mut inbox) = mpsc::channel(1);
        let events = self.events.clone();
        let task = tokio::spawn(async move {
            let passed_on = async {
                while inbox.recv().await.is_some() {
                    // Nobody listens any more: the daemon has ended.
                    let _ = events.send(Event::Signal(Wish::Reload)).await;
                }
            };
            tokio::join!(reload_time::watch(path, repeat, reloads), passed_on);
        });
        self.clock = wanted.map(|wanted| (wanted, task));
    }

    fn wanted(&self, role: Role) -> bool {
        let configured = match role {
            Role::Vrrp => self.work.instances > 0,
            Role::Check => self.work.services > 0,
            // keepalived's -P and -C do not keep it from running: those that run track its sessions.
            Role::Bfd if self.options.no_bfd => return false,
            Role::Bfd => self.work.sessions > 0,
        };
        match (self.options.subsystems, role) {
            (Subsystems::All, _)
            | (Subsystems::OnlyVrrp, Role::Vrrp)
            | (Subsystems::OnlyCheck, Role::Check) => true,
            (Subsystems::OnlyVrrp, Role::Check) | (Subsystems::OnlyCheck, Role::Vrrp) => false,
            (Subsystems::Configured, _)
            | (Subsystems::OnlyVrrp | Subsystems::OnlyCheck, Role::Bfd) => configured,
        }
    }

    fn listen_to_signals(&self) -> io::Result<()> {
        let wishes = [
            (libc::SIGTERM, Wish::Stop),
            (libc::SIGINT, Wish::Stop),
            (libc::SIGHUP, Wish::Reload),
            (libc::SIGUSR1, Wish::Tell(ToChild::DumpData)),
            (libc::SIGUSR2, Wish::Tell(ToChild::DumpStatistics)),
            (libc::SIGRTMAX() - 1, Wish::Tell(ToChild::ClearStatistics)),
            (libc::SIGRTMIN() + 2, Wish::Tell(ToChild::DumpJson)),
        ];
        for (number, wish) in wishes {
            let mut stream = signal(SignalKind::from_raw(number))?;
            if number == libc::SIGINT && self.options.ignore_sigint {
                tokio::spawn(async move { while stream.recv().await.is_some() {} });
                continue;
            }
            let events = self.events.clone();
            tokio::spawn(async move {
                while stream.recv().await.is_some() {
                    if events.send(Event::Signal(wish)).await.is_err() {
                        break;
                    }
                }
            });
        }
        Ok(())
    }

    fn start_watchdog(&self) {
        let Some(interval) = systemd::watchdog_interval() else {
            return;
        };
        let events = self.events.clone();
        tokio::spawn(async move {
            while events.send(Event::Watchdog).await.is_ok() {
                tokio::time::sleep(interval.to_duration()).await;
            }
        });
    }

    fn slot(&mut self, role: Role) -> &mut Slot {
        let [check, vrrp, bfd] = &mut self.slots;
        match role {
            Role::Check => check,
            Role::Vrrp => vrrp,
            Role::Bfd => bfd,
        }
    }

    fn start(&mut self, role: Role) {
        self.generations += 1;
        let generation = self.generations;
        match self.spawn(role, generation) {
            Ok(child) => self.slot(role).child = Some(child),
            Err(error) => {
                tracing::error!("cannot start the {} process: {error}", role.name());
                self.restart_later(role, Interval::from_secs(1));
            }
        }
    }

    /// Starts a process of ours and gives it what it needs to begin.
    fn launch(
        &self,
        role: Role,
        farewell: bool,
    ) -> io::Result<(Arc<Channel>, tokio::process::Child)> {
        let names = &self.work.global.process_names;
        let (ours, theirs) = handover::pair()?;
        let channel = Arc::new(Channel::new(ours)?);
        let mut command = std::process::Command::new("/proc/self/exe");
        command
            .arg0(self.personality.configured_name(Process::Child(role), names))
            .args(self.arguments)
            .arg(format!("--role={}", role.name()))
            .args(farewell.then_some("--farewell"))
            .env_remove("NOTIFY_SOCKET")
            .env_remove("WATCHDOG_USEC")
            .env_remove("WATCHDOG_PID")
            .stdin(Stdio::from(theirs));
        let process = tokio::process::Command::from(command).spawn()?;
        self.heirlooms.hand_over(role, &channel)?;
        match self.former(role) {
            Some(former) => {
                channel.send(ToChild::Start, Some(former.as_fd()))?;
                channel.send(ToChild::Reload, Some(self.sealed.part(role).as_fd()))?;
            }
            None => channel.send(ToChild::Start, Some(self.sealed.part(role).as_fd()))?,
        }
        Ok((channel, process))
    }

    fn former(&self, role: Role) -> Option<&OwnedFd> {
        self.slots.iter().find(|slot| slot.role == role)?.former.as_ref()
    }

    fn spawn(&self, role: Role, generation: u64) -> io::Result<Child> {
        let (channel, mut process) = self.launch(role, false)?;
        let pid = process.id().unwrap_or(0);
        let what = match role {
            Role::Vrrp => "VRRP",
            Role::Check => "Healthchecker",
            Role::Bfd => "BFD",
        };
        tracing::info!("Starting {what} child process, pid={pid}");

        let events = self.events.clone();
        let (orders, mut order_inbox) = mpsc::channel(8);
        tokio::spawn(async move {
            // One task signals and reaps, so that a pid is never signalled after it was reaped.
            let status = loop {
                tokio::select! {
                    status = process.wait() => break status,
                    Some(order) = order_inbox.recv() => {
                        if let Some(pid) = process.id().and_then(|pid| i32::try_from(pid).ok()) {
                            // It may have ended; then wait() says so next.
                            let _ = kill(Pid::from_raw(pid), order);
                        }
                    }
                }
            };
            let exit = match status {
                Ok(status) => match status.code() {
                    Some(code) => Exit::Status(u8::try_from(code & 0xff).unwrap_or(u8::MAX)),
                    None => Exit::Signal(status.signal().unwrap_or(0)),
                },
                Err(_) => Exit::Status(EXIT_SOFTWARE),
            };
            // Nobody listens any more: the daemon has ended.
            let _ = events.send(Event::Exited { role, exit }).await;
        });
        let events = self.events.clone();
        let reader = Arc::clone(&channel);
        tokio::spawn(async move {
            while let Ok(Some((report, _))) = reader.receive::<ToParent>().await {
                if events.send(Event::Report { role, generation, report }).await.is_err() {
                    break;
                }
            }
        });
        Ok(Child {
            channel,
            orders,
            started: runtime::now(),
            generation,
            ready: false,
            reloading: self.former(role).is_some(),
            answered: true,
        })
    }

    /// Until it is time to stop; gives the exit status.
    async fn serve(&mut self) -> u8 {
        while let Some(event) = self.inbox.recv().await {
            match event {
                Event::Signal(Wish::Stop) => {
                    tracing::info!("Stopping");
                    return EXIT_OK;
                }
                Event::Signal(Wish::Reload) => self.reload(),
                Event::Signal(Wish::Tell(message)) => self.pass_on(message),
                Event::Report { role, generation, report } => {
                    self.handle_report(role, generation, report);
                }
                Event::Exited { role, exit } => {
                    if let Some(status) = self.handle_exit(role, exit).await {
                        return status;
                    }
                }
                Event::Restart(role) => {
                    self.slot(role).restart_pending = false;
                    if self.wanted(role) && self.slot(role).child.is_none() {
                        self.start(role);
                    }
                }
                Event::Watchdog => self.handle_watchdog(),
            }
        }
        EXIT_SOFTWARE
    }

    fn handle_report(&mut self, role: Role, generation: u64, report: ToParent) {
        let slot = self.slot(role);
        let Some(child) = &mut slot.child else {
            return;
        };
        if child.generation != generation {
            return;
        }
        match report {
            ToParent::Ready => child.ready = true,
            ToParent::Reloaded => {
                child.reloading = false;
                slot.former = None;
            }
            ToParent::Pong => child.answered = true,
        }
        self.settle();
    }

    /// Says so when everything that was under way has come to its end.
    fn settle(&mut self) {
        let settled = Role::ALL.into_iter().filter(|role| self.wanted(*role)).all(|role| {
            self.slots.iter().any(|slot| {
                let done = |child: &Child| child.ready && !child.reloading;
                slot.role == role && slot.child.as_ref().is_some_and(done)
            })
        });
        if !settled {
            return;
        }
        if !std::mem::replace(&mut self.started_up, true) {
            tracing::info!("Startup complete");
            systemd::ready(&self.status_line());
        }
        if std::mem::replace(&mut self.reloading, false) {
            self.unmark_reload();
            tracing::info!("Reload complete");
            systemd::ready(&self.status_line());
            if std::mem::take(&mut self.reload_again) {
                self.reload();
            }
        }
    }

    fn status_line(&self) -> String {
        let Work { instances, services, sessions, .. } = &self.work;
        let sessions = match sessions {
            0 => String::new(),
            some => format!(", {some} BFD sessions"),
        };
        format!("{instances} VRRP instances, {services} virtual servers{sessions}")
    }

    async fn handle_exit(&mut self, role: Role, exit: Exit) -> Option<u8> {
        let child = self.slot(role).child.take()?;
        let ran_for = runtime::now().since(child.started);
        let what = role.name();
        let how = match exit {
            Exit::Status(status) => format!("exited with status {status}"),
            Exit::Signal(signal) => format!("was ended by signal {signal}"),
        };
        if !self.wanted(role) {
            tracing::info!("the {what} process {how}");
            self.settle();
            return None;
        }
        tracing::error!("the {what} process {how} after {ran_for} s");
        let verdict = self.slot(role).respawn.died(exit, ran_for);
        let back_at_once =
            verdict == Verdict::Restart(Interval::ZERO) && !self.options.dont_respawn;
        if role == Role::Vrrp && !back_at_once {
            self.say_farewell().await;
        }
        match verdict {
            Verdict::GiveUp(status) => {
                tracing::error!("the {what} process had a permanent error, terminating");
                Some(status)
            }
            Verdict::Restart(_) if self.options.dont_respawn => {
                tracing::error!("not respawning, as asked; terminating");
                Some(EXIT_OK)
            }
            Verdict::Restart(wait) => {
                if wait.is_zero() {
                    self.start(role);
                } else {
                    tracing::info!("respawning the {what} process in {wait} s");
                    self.restart_later(role, wait);
                }
                self.settle();
                None
            }
        }
    }

    /// The dead vrrp process was master perhaps, and nobody takes its place soon: a backup should.
    async fn say_farewell(&self) {
        let ended = match self.launch(Role::Vrrp, true) {
            Ok((_channel, mut process)) => {
                match tokio::time::timeout(FAREWELL.to_duration(), process.wait()).await {
                    Ok(ended) => ended,
                    Err(_) => {
                        let killed = process.start_kill();
                        killed.and(Err(io::ErrorKind::TimedOut.into()))
                    }
                }
            }
            Err(error) => Err(error),
        };
        match ended {
            Ok(status) if status.success() => {}
            Ok(status) => tracing::error!("the virtual routers were not given up: {status}"),
            Err(error) => tracing::error!("the virtual routers were not given up: {error}"),
        }
    }

    fn restart_later(&mut self, role: Role, wait: Interval) {
        if std::mem::replace(&mut self.slot(role).restart_pending, true) {
            return;
        }
        let events = self.events.clone();
        tokio::spawn(async move {
            tokio::time::sleep(wait.to_duration()).await;
            // Nobody listens any more: the daemon has ended.
            let _ = events.send(Event::Restart(role)).await;
        });
    }

    fn pass_on(&mut self, message: ToChild) {
        if message == ToChild::DumpData {
            self.dump();
        }
        for slot in &self.slots {
            if let Some(child) = &slot.child
                && let Err(error) = child.channel.send(message, None)
            {
                tracing::error!("the {} process does not listen: {error}", slot.role.name());
            }
        }
    }

    fn dump(&self) {
        let pid = std::process::id();
        tracing::info!("Printing parent data for process({pid}) on signal");
        let text = format!("{:#?}\n", self.work.global);
        if let Err(error) = Dump::Parent.write(&self.work.global, &text) {
            tracing::error!("cannot write the data file: {error}");
        }
    }

    /// `reload_check_config`: with it a configuration that a test would fault is not taken, and what
    /// is wrong is written to its file.
    fn check(&self, compiled: &Compiled) -> Option<String> {
        let path = self.work.global.reload.check.as_ref()?;
        let problems: String = compiled
            .diagnostics
            .iter()
            .map(|problem| render::concise(problem, &compiled.sources) + "\n")
            .collect();
        if let Err(error) = std::fs::write(path, problems) {
            tracing::error!("cannot write {path}: {error}");
        }
        // What a script's file looks like is told at every start, and stops none.
        let faulty = compiled.diagnostics.iter().any(|problem| match problem.severity {
            Severity::Note | Severity::Warning | Severity::ScriptSecurity => false,
            Severity::Error | Severity::Missing | Severity::Fatal => true,
        });
        faulty.then(|| format!("it has errors, see {path}"))
    }

    /// `reload_file`: there while a reload goes on.
    fn mark_reload(&mut self) {
        let path = match &self.work.global.reload.marker {
            None => return,
            Some(ReloadMarker::Usual) => PathBuf::from("/run/keepalived.reload"),
            Some(ReloadMarker::Path(path)) => PathBuf::from(path),
        };
        match std::fs::File::create(&path) {
            Ok(_) => self.marker = Some(path),
            Err(error) => tracing::error!("cannot make {}: {error}", path.display()),
        }
    }

    fn unmark_reload(&mut self) {
        if let Some(path) = self.marker.take()
            && let Err(error) = std::fs::remove_file(&path)
        {
            tracing::error!("cannot remove {}: {error}", path.display());
        }
    }

    /// The old configuration goes on if the new one cannot be used.
    fn reload(&mut self) {
        if self.reloading {
            self.reload_again = true;
            return;
        }
        tracing::info!("Reloading ...");
        systemd::reloading();
        self.mark_reload();
        let loaded = match load(self.options) {
            Ok(loaded) => loaded,
            Err(refusal) => return self.refuse_reload(&refusal.to_string()),
        };
        if let Some(reason) = self.check(&loaded.compiled) {
            return self.refuse_reload(&reason);
        }
        if let Some(what) = unchangeable(&self.work.global, &loaded.compiled.config.global) {
            let reason = format!("{what} cannot be changed by a reload");
            return self.refuse_reload(&reason);
        }
        let (work, sealed) = match loaded.divide(&mut self.saver) {
            Ok(both) => both,
            Err(error) => return self.refuse_reload(&error.to_string()),
        };
        let former = std::mem::replace(&mut self.sealed, sealed);
        self.work = work;
        take_name_and_umask(self.options, self.personality, &self.work.global);
        runtime::give_memory_back();
        self.reloading = true;
        self.keep_fifos();
        self.keep_time();
        for role in Role::ALL {
            let wanted = self.wanted(role);
            let sealed = self.sealed.part(role).try_clone();
            let slot = self.slot(role);
            let lived = slot.child.is_some() || slot.restart_pending;
            if role == Role::Check && wanted && lived && slot.former.is_none() {
                slot.former = former.part(role).try_clone().ok();
            }
            match (&mut slot.child, wanted) {
                (Some(child), true) => {
                    let sent = sealed
                        .and_then(|file| child.channel.send(ToChild::Reload, Some(file.as_fd())));
                    match sent {
                        Ok(()) => child.reloading = true,
                        Err(error) => {
                            tracing::error!("the {} process does not listen: {error}", role.name());
                        }
                    }
                }
                (Some(child), false) => {
                    // Its last part of the configuration is gone: it cleans up and ends.
                    slot.former = None;
                    let _ = child.orders.try_send(Signal::SIGTERM);
                }
                (None, true) if !slot.restart_pending => self.start(role),
                (None, _) => {}
            }
        }
        self.settle();
    }

    fn refuse_reload(&mut self, reason: &str) {
        self.unmark_reload();
        tracing::error!("Reload refused, the old configuration stays: {reason}");
        systemd::ready("Reload refused, the old configuration stays");
    }

    fn handle_watchdog(&mut self) {
        let mut all_answered = true;
        for slot in &mut self.slots {
            if let Some(child) = &mut slot.child {
                if !child.answered {
                    tracing::error!("the {} process does not answer", slot.role.name());
                    all_answered = false;
                }
                child.answered = child.channel.send(ToChild::Ping, None).is_err();
            }
        }
        if all_answered {
            systemd::alive();
        }
    }

    /// TERM, a grace of `child_wait_time`, then KILL.
    async fn stop_children(&mut self) {
        for slot in &self.slots {
            if let Some(child) = &slot.child {
                let _ = child.orders.try_send(Signal::SIGTERM);
            }
        }
        let grace = self.work.global.child_wait_time;
        if tokio::time::timeout(grace.to_duration(), self.wait_for_children()).await.is_ok() {
            return;
        }
        for slot in &self.slots {
            if let Some(child) = &slot.child {
                tracing::error!(
                    "the {} process did not stop in {grace} s, killing it",
                    slot.role.name()
                );
                let _ = child.orders.try_send(Signal::SIGKILL);
            }
        }
        self.wait_for_children().await;
    }

    async fn wait_for_children(&mut self) {
        while self.slots.iter().any(|slot| slot.child.is_some()) {
            match self.inbox.recv().await {
                Some(Event::Exited { role, .. }) => self.slot(role).child = None,
                Some(
                    Event::Signal(_) | Event::Report { .. } | Event::Restart(_) | Event::Watchdog,
                ) => {}
                None => return,
            }
        }
    }
}

/// The command line's umask weighs more than the configuration's.
fn take_name_and_umask(options: &Options, personality: Personality, global: &Global) {
    let name = personality.configured_name(Process::Parent, &global.process_names);
    runtime::set_process_name(&name);
    if let Some(mask) = options.umask.or(global.files.umask.map(u32::from)) {
        nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(mask));
    }
}

/// What a reload must not change.
fn unchangeable(old: &Global, new: &Global) -> Option<&'static str> {
    if old.net_namespace != new.net_namespace {
        Some("net_namespace")
    } else if old.ipvs_namespace != new.ipvs_namespace {
        Some("net_namespace_ipvs")
    } else if old.instance != new.instance {
        Some("instance")
    } else if old.files.temporary_directory != new.files.temporary_directory {
        Some("tmp_config_directory")
    } else {
        None
    }
}
