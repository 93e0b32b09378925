//! The life of a child process around its daemon: take over the configuration, take the pid file,
//! turn messages and signals into commands, report back.

use std::future::Future;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use nix::sys::prctl;
use nix::sys::signal::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::command_line::{Options, Personality, Process, Role};
use super::handover::{Channel, ToChild, ToParent};
use super::legacy::Legacy;
use super::pid_file::PidFile;
use super::sealed::{maker, unseal};
use crate::core::config::handed::{HandedError, Reader};
use crate::core::config::model::Config;
use crate::core::config::model::global::Global;
use crate::core::log::{self, LogOptions};
use crate::core::runtime::{DaemonCommand, DaemonReport, apply_scheduling, set_process_name};

/// Commands that may wait for a daemon.
const WAITING_COMMANDS: usize = 64;

/// Ended as asked.
const EXIT_OK: u8 = 0;
/// Something that a restart may cure.
const EXIT_SOFTWARE: u8 = 70;

/// What a daemon is given.
#[derive(Debug)]
pub struct DaemonStart {
    /// The configuration to begin with.
    pub config: Config,
    /// Where the pid file of this process is; no other living process has it.
    pub pid_file: PathBuf,
    /// What the process before this one has left; the vrrp and bfd processes only.
    pub legacy: Option<Legacy>,
    /// The packet socket that announcements leave by, where the parent has one; the vrrp process only.
    pub frames: Option<OwnedFd>,
    /// Ends of the channels between the bfd process and those that track sessions.
    pub news: NewsChannels,
    /// Commands; closed when the parent is gone, which means stop.
    pub commands: mpsc::Receiver<DaemonCommand>,
    /// Reports to the parent.
    pub reports: mpsc::Sender<DaemonReport>,
}

/// What the parent keeps between the bfd process and the other two, so that each can be started again
/// without the others.
#[derive(Debug, Default)]
pub struct NewsChannels {
    /// The end of a process that tracks sessions.
    pub tracker: Option<OwnedFd>,
    /// The bfd process's end towards the vrrp process.
    pub for_vrrp: Option<OwnedFd>,
    /// The bfd process's end towards the check process.
    pub for_check: Option<OwnedFd>,
}

/// Runs a child to its end; `daemon` is what it is for. Returns the exit status.
pub fn run<F, D>(role: Role, options: &Options, personality: Personality, daemon: D) -> u8
where
    D: FnOnce(DaemonStart) -> F,
    F: Future<Output = u8>,
{
    let process = Process::Child(role);
    set_process_name(personality.process_name(process));
    log::start(&LogOptions {
        ident: personality.syslog_ident(process),
        console: options.log_console,
        syslog: options.syslog,
        file: options.log_file.as_deref(),
        detail: options.detail,
    });
    // The channel's end of file tells the same; this also covers a loop that is stuck.
    if let Err(error) = prctl::set_pdeathsig(Signal::SIGTERM) {
        tracing::warn!("cannot ask for a signal at the parent's death: {error}");
    }
    let socket = match take_channel() {
        Ok(socket) => socket,
        Err(error) => {
            tracing::error!("no channel to the parent: {error}");
            return EXIT_SOFTWARE;
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!("cannot start: {error}");
            return EXIT_SOFTWARE;
        }
    };
    runtime.block_on(live(role, options, personality, socket, daemon))
}

/// The channel comes as standard input, so that nothing else is inherited; scripts never see it.
fn take_channel() -> io::Result<OwnedFd> {
    let channel = io::stdin().as_fd().try_clone_to_owned()?;
    let null = std::fs::File::open("/dev/null")?;
    nix::unistd::dup2_stdin(&null)?;
    Ok(channel)
}

async fn live<F, D>(
    role: Role,
    options: &Options,
    personality: Personality,
    socket: OwnedFd,
    daemon: D,
) -> u8
where
    D: FnOnce(DaemonStart) -> F,
    F: Future<Output = u8>,
{
    let channel = match Channel::new(socket) {
        Ok(channel) => channel,
        Err(error) => {
            tracing::error!("no channel to the parent: {error}");
            return EXIT_SOFTWARE;
        }
    };
    let (mut legacy, mut frames, mut news) = (None, None, NewsChannels::default());
    let first = loop {
        match channel.receive::<ToChild>().await {
            Ok(Some((ToChild::Legacy, Some(descriptor)))) => {
                legacy = Some(Legacy::from_descriptor(descriptor));
            }
            Ok(Some((ToChild::Frames, descriptor))) => frames = descriptor,
            Ok(Some((ToChild::News, descriptor))) => news.tracker = descriptor,
            Ok(Some((ToChild::NewsForVrrp, descriptor))) => news.for_vrrp = descriptor,
            Ok(Some((ToChild::NewsForCheck, descriptor))) => news.for_check = descriptor,
            other => break other,
        }
    };
    let mut handed = Handed { role, reader: Reader::default() };
    let config = match first {
        Ok(Some((ToChild::Start, Some(descriptor)))) => match handed.read(descriptor) {
            Ok(config) => config,
            Err(error) => {
                tracing::error!("cannot read the configuration from the parent: {error}");
                return EXIT_SOFTWARE;
            }
        },
        Ok(Some(_)) => {
            tracing::error!("the parent did not begin with a configuration");
            return EXIT_SOFTWARE;
        }
        Ok(None) => return EXIT_OK,
        Err(error) => {
            tracing::error!("the channel to the parent failed: {error}");
            return EXIT_SOFTWARE;
        }
    };
    let names = &config.global.process_names;
    set_process_name(&personality.configured_name(Process::Child(role), names));
    let pid_file = pid_file(role, options, &config.global);
    let _pid_file = match PidFile::take(&pid_file) {
        Ok(file) => file,
        Err(error) => {
            tracing::error!("{error}");
            return EXIT_SOFTWARE;
        }
    };
    let settings = match role {
        Role::Vrrp => &config.global.vrrp_process,
        Role::Check => &config.global.checker_process,
        Role::Bfd => &config.global.bfd_process,
    };
    if settings.realtime_limit.is_some() {
        tell_long_runs(role);
    }
    apply_scheduling(settings, role.name());

    let (command_sender, commands) = mpsc::channel(WAITING_COMMANDS);
    let (reports, report_receiver) = mpsc::channel(WAITING_COMMANDS);
    let talker = tokio::spawn(talk(channel, handed, command_sender, report_receiver));
    let start = DaemonStart { config, pid_file, legacy, frames, news, commands, reports };
    let status = daemon(start).await;
    talker.abort();
    status
}

/// Half of `…_rlimit_rttime` has passed without a pause. Unless somebody listens, the first warning
/// ends the process.
fn tell_long_runs(role: Role) {
    let Ok(mut warnings) = signal(SignalKind::from_raw(libc::SIGXCPU)) else { return };
    tokio::spawn(async move {
        while warnings.recv().await.is_some() {
            tracing::warn!("{}: a real-time run of half its limit", role.name());
        }
    });
}

/// What the parent hands over: it has compiled the text and told what is wrong with it.
struct Handed {
    role: Role,
    reader: Reader,
}

impl Handed {
    fn read(&mut self, descriptor: OwnedFd) -> Result<Config, HandedError> {
        self.reader.read(self.role.part(), &maker()?, unseal(descriptor)?)
    }
}

fn pid_file(role: Role, options: &Options, global: &Global) -> PathBuf {
    let (given, name) = match role {
        Role::Vrrp => (&options.vrrp_pid_file, "vrrp"),
        Role::Check => (&options.checkers_pid_file, "checkers"),
        Role::Bfd => (&options.bfd_pid_file, "bfd"),
    };
    given.clone().unwrap_or_else(|| pid_path(global, name))
}

/// `/run/NAME.pid`; with an instance, a namespace or `use_pid_dir`, `/run/keepalived/NAME[_X].pid`.
pub fn pid_path(global: &Global, name: &str) -> PathBuf {
    let run = Path::new("/run");
    if global.use_pid_dir || global.instance.is_some() || global.net_namespace.is_some() {
        let suffix = global.instance.as_ref().map_or(String::new(), |name| format!("_{name}"));
        run.join("keepalived").join(format!("{name}{suffix}.pid"))
    } else {
        run.join(format!("{name}.pid"))
    }
}

/// Turns the parent's messages and signals into commands, and reports into messages.
async fn talk(
    channel: Channel,
    mut handed: Handed,
    commands: mpsc::Sender<DaemonCommand>,
    mut reports: mpsc::Receiver<DaemonReport>,
) {
    let streams = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
        signal(SignalKind::hangup()),
        signal(SignalKind::user_defined1()),
        signal(SignalKind::user_defined2()),
    );
    let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup), Ok(mut data), Ok(mut statistics)) =
        streams
    else {
        tracing::error!("cannot listen to signals");
        return;
    };
    loop {
        let command = tokio::select! {
            message = channel.receive::<ToChild>() => match message {
                Ok(Some((message, attachment))) => {
                    match command_of(message, attachment, &mut handed, &channel) {
                        Some(command) => command,
                        None => continue,
                    }
                }
                Ok(None) => DaemonCommand::Stop,
                Err(error) => {
                    tracing::error!("the channel to the parent failed: {error}");
                    DaemonCommand::Stop
                }
            },
            Some(report) = reports.recv() => {
                let message = match report {
                    DaemonReport::Ready => ToParent::Ready,
                    DaemonReport::Reloaded => ToParent::Reloaded,
                };
                tell(&channel, message);
                continue;
            }
            _ = terminate.recv() => DaemonCommand::Stop,
            // The terminal sends it to everybody; the parent decides.
            _ = interrupt.recv() => continue,
            _ = hangup.recv() => {
                tracing::warn!("SIGHUP is for the parent process, not for this one");
                continue;
            }
            _ = data.recv() => DaemonCommand::DumpData,
            _ = statistics.recv() => DaemonCommand::DumpStatistics,
        };
        let last = matches!(command, DaemonCommand::Stop);
        if commands.send(command).await.is_err() || last {
            break;
        }
    }
    // Asked to stop: what the daemon still reports goes nowhere, and it may see the end of commands.
}

fn command_of(
    message: ToChild,
    attachment: Option<OwnedFd>,
    handed: &mut Handed,
    channel: &Channel,
) -> Option<DaemonCommand> {
    match message {
        ToChild::Start | ToChild::Reload => {
            let nothing = || io::Error::other("nothing attached").into();
            match attachment.ok_or_else(nothing).and_then(|found| handed.read(found)) {
                Ok(config) => Some(DaemonCommand::Reload(Box::new(config))),
                Err(error) => {
                    tracing::error!(
                        "the new configuration cannot be read, the old one stays: {error}"
                    );
                    tell(channel, ToParent::Reloaded);
                    None
                }
            }
        }
        // Only ever before the first configuration.
        ToChild::Legacy
        | ToChild::News
        | ToChild::NewsForVrrp
        | ToChild::NewsForCheck
        | ToChild::Frames => None,
        ToChild::DumpData => Some(DaemonCommand::DumpData),
        ToChild::DumpJson => Some(DaemonCommand::DumpJson),
        ToChild::DumpStatistics => Some(DaemonCommand::DumpStatistics),
        ToChild::ClearStatistics => Some(DaemonCommand::ClearStatistics),
        ToChild::Ping => {
            tell(channel, ToParent::Pong);
            None
        }
    }
}

fn tell(channel: &Channel, message: ToParent) {
    if let Err(error) = channel.send(message, None) {
        tracing::debug!("the parent was not told {message:?}: {error}");
    }
}
