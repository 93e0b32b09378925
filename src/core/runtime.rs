//! What every child process does around its engine: the clock, the commands from the parent, its
//! scheduling and its name.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::prctl;
use nix::sys::timerfd::{self, TimerFd, TimerFlags};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;
use tokio::io::unix::AsyncFd;

use crate::core::config::model::global::{AutoPriority, Global, ProcessSettings};
use crate::core::config::model::{Config, Family};
use crate::core::time::{Interval, Timestamp};

/// What the parent, or a signal, asks of a daemon.
#[derive(Debug)]
pub enum DaemonCommand {
    /// A new configuration.
    Reload(Box<Config>),
    /// SIGUSR1: write the data file.
    DumpData,
    /// SIGUSR2: write the statistics file.
    DumpStatistics,
    /// SIGRTMIN+2: write the JSON file.
    DumpJson,
    /// SIGRTMAX-1: write the statistics file, then start counting at zero.
    ClearStatistics,
    /// Stop: resign, clean up, end.
    Stop,
}

/// What a daemon tells the parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DaemonReport {
    /// It is up.
    Ready,
    /// A reload has been carried out.
    Reloaded,
}

/// The kernel's clock since boot, which nobody sets. It counts time spent suspended too: a master that
/// wakes up must see how long it was away, or it would go on as if nobody had taken over.
pub fn now() -> Timestamp {
    let time =
        clock_gettime(ClockId::CLOCK_BOOTTIME).unwrap_or(nix::sys::time::TimeSpec::new(0, 0));
    let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
    let nanoseconds = u64::try_from(time.tv_nsec()).unwrap_or(0);
    Timestamp::from_nanos(seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds))
}

/// How long the system has run, time suspended included.
pub fn since_boot() -> Interval {
    Interval::from_secs(now().as_nanos() / 1_000_000_000)
}

/// The time since 1970 by the wall clock: for people and files only.
pub fn wall_clock() -> Interval {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Interval::from_duration(since.unwrap_or_default())
}

/// Gives a descriptor to the event loop. Its owner stays the owner: only types that hold a
/// descriptor for as long as they live can become an [`OwnedFd`].
pub fn watch<T: AsRawFd + Into<OwnedFd>>(owner: T) -> io::Result<AsyncFd<T>> {
    // SAFETY: `owner` owns its descriptor (the bound says so), keeps the same one, and is itself
    // kept inside the AsyncFd until it is taken off the event loop.
    Ok(unsafe { AsyncFd::register(owner) }?)
}

/// The end of a wait that is spent awake.
const AWAKE: Interval = Interval::from_micros(150);

/// A timer with the kernel's resolution: the event loop's own rounds up to a millisecond, which
/// would be seen in every takeover.
#[derive(Debug)]
pub struct AlarmClock {
    timer: AsyncFd<OwnedFd>,
    set_for: Option<Timestamp>,
}

impl AlarmClock {
    /// An alarm that is not set.
    pub fn new() -> io::Result<Self> {
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        let timer = TimerFd::new(timerfd::ClockId::CLOCK_BOOTTIME, flags)?;
        Ok(Self { timer: watch(timer.into())?, set_for: None })
    }

    /// Waits until `at`; for ever when there is nothing to wait for. Can be dropped and called again.
    pub async fn wait_until(&mut self, at: Option<Timestamp>) {
        let Some(at) = at else {
            return std::future::pending().await;
        };
        self.wait(at).await;
    }

    /// The same to the microsecond: a processor that sleeps needs some 50 us to wake up, and the last of
    /// the wait is spent awake. For what is rare.
    pub async fn wait_awake(&mut self, at: Timestamp) {
        self.wait(at.before(AWAKE)).await;
        while now() < at {
            std::hint::spin_loop();
        }
    }

    async fn wait(&mut self, at: Timestamp) {
        if at <= now() {
            return;
        }
        // One that goes off earlier is set anew when it does: most deadlines move on before they come.
        let early = self.set_for.is_some_and(|set_for| set_for <= at);
        if !early && self.set(at).is_err() {
            return sleep_until(Some(at)).await;
        }
        loop {
            let Ok(mut ready) = self.timer.readable().await else {
                return sleep_until(Some(at)).await;
            };
            let mut expirations = [0; 8];
            // What is read does not matter: the clock decides.
            let _ = nix::unistd::read(self.timer.get_ref(), &mut expirations);
            ready.clear_ready();
            let now = now();
            if self.set_for.is_some_and(|set_for| set_for <= now) {
                self.set_for = None;
            }
            if now >= at {
                return;
            }
            if self.set_for.is_none() && self.set(at).is_err() {
                return sleep_until(Some(at)).await;
            }
        }
    }

    fn set(&mut self, at: Timestamp) -> io::Result<()> {
        let seconds = i64::try_from(at.as_nanos() / 1_000_000_000).unwrap_or(i64::MAX);
        let nanoseconds = i64::try_from(at.as_nanos() % 1_000_000_000).unwrap_or(0);
        let value = libc::itimerspec {
            it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: libc::timespec { tv_sec: seconds, tv_nsec: nanoseconds },
        };
        let descriptor = self.timer.get_ref().as_raw_fd();
        // SAFETY: the descriptor is a timerfd that `self` owns; `value` outlives the call.
        let result = unsafe {
            libc::timerfd_settime(
                descriptor,
                libc::TFD_TIMER_ABSTIME,
                &raw const value,
                std::ptr::null_mut(),
            )
        };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        self.set_for = Some(at);
        Ok(())
    }
}

/// Waits until `at`; for ever when there is nothing to wait for.
pub async fn sleep_until(at: Option<Timestamp>) {
    match at {
        Some(at) => tokio::time::sleep(at.since(now()).to_duration()).await,
        None => std::future::pending().await,
    }
}

/// How much a pipe holds that nobody has read, in bytes.
pub fn bytes_waiting(pipe: &impl AsRawFd) -> Option<usize> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the descriptor is open while `pipe` lives; `bytes` outlives the call.
    let result = unsafe { libc::ioctl(pipe.as_raw_fd(), libc::FIONREAD, &raw mut bytes) };
    (result == 0).then(|| usize::try_from(bytes).unwrap_or(0))
}

/// Sets what `ps` and `/proc/PID/comm` show: after a re-execution the kernel would show "exe".
pub fn set_process_name(name: &str) {
    if let Ok(name) = std::ffi::CString::new(name) {
        // Cannot fail for a valid string.
        let _ = prctl::set_name(&name);
    }
}

/// Gives the kernel back what was freed: compiling a configuration takes many times the memory of
/// its result.
pub fn give_memory_back() {
    // SAFETY: a call without preconditions.
    unsafe { libc::malloc_trim(0) };
}

/// Applies `vrrp_priority`, `vrrp_rt_priority`, `vrrp_cpu_affinity`, `vrrp_no_swap` and their companions.
pub fn apply_scheduling(settings: &ProcessSettings, what: &str) {
    if let Some(limit) = settings.realtime_limit
        && let Err(error) = limit_realtime(limit)
    {
        tracing::warn!("{what}: cannot limit its real-time runs to {limit} s: {error}");
    }
    if let Some(priority) = settings.realtime
        && let Err(error) = set_realtime(priority)
    {
        tracing::warn!("{what}: cannot set real-time priority {priority}: {error}");
    }
    if let Some(nice) = settings.nice
        && let Err(error) = set_nice(nice)
    {
        tracing::warn!("{what}: cannot set priority {nice}: {error}");
    }
    if !settings.cpus.is_empty()
        && let Err(error) = set_affinity(&settings.cpus)
    {
        tracing::warn!("{what}: cannot run on CPUs {:?} only: {error}", settings.cpus);
    }
    if settings.no_swap {
        use nix::sys::mman::{MlockAllFlags, mlockall};
        if let Err(error) = mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE) {
            tracing::warn!("{what}: cannot lock its memory: {error}");
        }
    }
}

/// This thread runs when nothing else has to: whatever the process has, it has no real-time priority.
pub fn run_as_ordinary() {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: 0 is the calling thread, and the parameters live for the call.
    let status = unsafe { libc::sched_setscheduler(0, libc::SCHED_OTHER, &raw const parameters) };
    if status != 0 {
        let error = io::Error::last_os_error();
        tracing::debug!("a thread keeps the priority of its process: {error}");
    }
}

/// `max_auto_priority`: a process whose timers run late gets real-time scheduling, one step higher
/// each time.
#[derive(Debug, Clone)]
pub struct Ladder {
    most: u8,
    lateness: Interval,
    current: u8,
}

impl Ladder {
    /// From where `settings` puts the process.
    pub fn new(global: &Global, settings: &ProcessSettings) -> Self {
        let most = match global.auto_priority {
            AutoPriority::UpTo(most) => most,
            AutoPriority::Off | AutoPriority::Silent => 0,
        };
        let lateness = global.auto_priority_lateness;
        Self { most, lateness, current: settings.realtime.unwrap_or(0) }
    }

    /// What was due at `due` is handled only now.
    pub fn due(&mut self, due: Option<Timestamp>, what: &str) {
        let late = due.map_or(Interval::ZERO, |due| now().since(due));
        let Some(priority) = self.step(late) else { return };
        match set_realtime(priority) {
            Ok(()) => tracing::warn!(
                "{what}: a timer was {late} s late, real-time priority {priority} from now on"
            ),
            Err(error) => {
                tracing::error!("{what}: cannot set real-time priority {priority}: {error}");
                // Asking again would not help.
                self.most = 0;
            }
        }
    }

    fn step(&mut self, late: Interval) -> Option<u8> {
        if late < self.lateness || self.current >= self.most {
            return None;
        }
        self.current += 1;
        Some(self.current)
    }
}

/// How a thread is scheduled, for another one that does a part of its work: a new thread of a process
/// with real-time scheduling has none.
#[derive(Debug, Clone, Copy)]
pub struct Scheduling {
    realtime: Option<u8>,
}

impl Scheduling {
    /// Of this thread.
    pub fn current() -> Self {
        let mut parameter = libc::sched_param { sched_priority: 0 };
        // SAFETY: `parameter` outlives the call.
        let result = unsafe { libc::sched_getparam(0, &raw mut parameter) };
        // Other policies have priority 0.
        let priority = u8::try_from(parameter.sched_priority).ok();
        Self { realtime: priority.filter(|priority| result == 0 && *priority > 0) }
    }

    /// For this thread.
    pub fn take(self) {
        if let Some(priority) = self.realtime
            && let Err(error) = set_realtime(priority)
        {
            tracing::warn!("a thread without real-time priority {priority}: {error}");
        }
    }
}

fn set_affinity(cpus: &BTreeSet<u16>) -> io::Result<()> {
    let mut set = CpuSet::new();
    for cpu in cpus {
        set.set(usize::from(*cpu))?;
    }
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}

fn set_realtime(priority: u8) -> io::Result<()> {
    let parameter = libc::sched_param { sched_priority: i32::from(priority) };
    // Scripts must not inherit real-time scheduling.
    let policy = libc::SCHED_RR | libc::SCHED_RESET_ON_FORK;
    // SAFETY: `parameter` is a valid structure that outlives the call.
    let result = unsafe { libc::sched_setscheduler(0, policy, &raw const parameter) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The kernel sends SIGXCPU half way, and SIGKILL at the limit.
fn limit_realtime(limit: Interval) -> io::Result<()> {
    use nix::sys::resource::{Resource, setrlimit};
    let micros = limit.as_micros();
    Ok(setrlimit(Resource::RLIMIT_RTTIME, micros / 2, micros)?)
}

fn set_nice(nice: i8) -> io::Result<()> {
    // SAFETY: plain numbers.
    let result = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, i32::from(nice)) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A file that a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dump {
    /// SIGUSR1, of the parent.
    Parent,
    /// SIGUSR1, of the vrrp process.
    Vrrp,
    /// SIGUSR1, of the check process.
    Check,
    /// SIGUSR1, of the bfd process.
    Bfd,
    /// SIGUSR2.
    Statistics,
    /// SIGRTMIN+2.
    Json,
}

impl Dump {
    /// Distinguishes the process, before the extension.
    const fn suffix(self) -> &'static str {
        match self {
            Self::Parent => "_parent",
            Self::Check => "_check",
            Self::Bfd => "_bfd",
            Self::Vrrp | Self::Statistics | Self::Json => "",
        }
    }

    const fn extension(self) -> &'static str {
        match self {
            Self::Parent | Self::Vrrp | Self::Check | Self::Bfd => "data",
            Self::Statistics => "stats",
            Self::Json => "json",
        }
    }

    /// Where it goes: the file or the directory that is configured, else `$TMPDIR`, else `/tmp`.
    pub fn path(self, global: &Global) -> PathBuf {
        let files = &global.files;
        let data = self.extension() == "data";
        let configured = match self {
            Self::Parent | Self::Vrrp | Self::Check | Self::Bfd => &files.state_dump,
            Self::Statistics => &files.statistics_dump,
            Self::Json => &files.json_dump,
        };
        let named = configured.as_ref().filter(|path| !path.ends_with('/')).map(PathBuf::from);
        if let Some(path) = named {
            let part = |part: Option<&std::ffi::OsStr>| {
                part.map(|part| part.to_string_lossy().into_owned())
            };
            let stem = part(path.file_stem()).unwrap_or_default();
            let extension = part(path.extension()).map(|found| format!(".{found}"));
            let extension = extension.unwrap_or_default();
            return path.with_file_name(format!("{stem}{}{extension}", self.suffix()));
        }
        let temporary =
            || std::env::var_os("TMPDIR").map_or_else(|| PathBuf::from("/tmp"), PathBuf::from);
        let folder = configured.as_ref().map_or_else(temporary, PathBuf::from);
        let names = global.net_namespace.iter().chain(&global.instance);
        let names: Vec<&str> = names.map(String::as_str).collect();
        let instance = if data && files.data_use_instance && !names.is_empty() {
            format!(".{}", names.join("_"))
        } else {
            String::new()
        };
        folder.join(format!("keepalived{}{instance}.{}", self.suffix(), self.extension()))
    }

    /// Writes it in place of an old one. A symbolic link in its place is replaced, never followed.
    pub fn write(self, global: &Global, text: &str) -> io::Result<PathBuf> {
        use std::io::Write;
        use std::os::unix::fs::OpenOptionsExt;
        let path = self.path(global);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mode = 0o666 & !u32::from(global.files.mask());
        let mut file =
            std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&path)?;
        file.write_all(text.as_bytes())?;
        Ok(path)
    }
}

/// Whether sockets may speak from addresses that this host does not have
/// (`net.ipv4.ip_nonlocal_bind`).
pub fn may_speak_from_anywhere(family: Family) -> bool {
    let family = match family {
        Family::Inet => "ipv4",
        Family::Inet6 => "ipv6",
    };
    let setting = format!("/proc/sys/net/{family}/ip_nonlocal_bind");
    std::fs::read(setting).is_ok_and(|value| value.first() == Some(&b'1'))
}

/// Whether the kernel forwards IPv6 packets that come in on the interface: its neighbour
/// advertisements then say that it is a router (RFC 4861 section 7.2.4).
pub fn forwards_ipv6(interface: &str) -> bool {
    let setting = format!("/proc/sys/net/ipv6/conf/{interface}/forwarding");
    std::fs::read(setting).is_ok_and(|value| value.first() == Some(&b'1'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_is_never_early_and_can_be_moved() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut alarm = AlarmClock::new().unwrap();
            let far = now() + Interval::from_secs(3600);
            let soon = tokio::time::timeout(
                std::time::Duration::from_millis(20),
                alarm.wait_until(Some(far)),
            );
            assert!(soon.await.is_err());
            for _ in 0..5 {
                let at = now() + Interval::from_millis(3);
                alarm.wait_until(Some(at)).await;
                assert!(now() >= at);
            }
        });
    }

    /// A machine cannot be suspended here; a namespace whose clocks differ as they do after that, can be
    /// made: there, time since boot is an hour ahead of the monotonic clock.
    #[test]
    fn the_clock_and_the_alarm_count_time_suspended() {
        const INNER: &str = "STEADFAST_TEST_TIME_NAMESPACE";
        if std::env::var_os(INNER).is_some() {
            let monotonic = clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap();
            let ahead =
                now().as_nanos() / 1_000_000_000 - u64::try_from(monotonic.tv_sec()).unwrap();
            assert!((3600..3700).contains(&ahead), "{ahead} s");
            return an_alarm_is_never_early_and_can_be_moved();
        }
        let name = "core::runtime::tests::the_clock_and_the_alarm_count_time_suspended";
        let inner = |program: &[&str]| {
            let mut unshare = std::process::Command::new("unshare");
            unshare.args(["--time", "--boottime=3600", "--fork"]).args(program);
            unshare.env(INNER, "1").output()
        };
        let possible = inner(&["true"]).is_ok_and(|output| output.status.success());
        if !possible {
            eprintln!("SKIPPED: no time namespaces here, or not allowed");
            return;
        }
        let this = std::env::current_exe().unwrap();
        let output = inner(&[this.to_str().unwrap(), "--exact", name]).unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && told.contains("1 passed"), "{told}");
    }

    #[test]
    fn a_dump_replaces_a_link_instead_of_following_it() {
        let folder = tempfile::tempdir().unwrap();
        let victim = folder.path().join("victim");
        std::fs::write(&victim, "precious").unwrap();
        let path = folder.path().join("keepalived.stats");
        let mut global = Global::default();
        global.files.statistics_dump = Some(format!("{}/", folder.path().display()));
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        assert_eq!(Dump::Statistics.write(&global, "text").unwrap(), path);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "text");
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
        let mode = |path| {
            let found: std::fs::Metadata = std::fs::metadata(path).unwrap();
            std::os::unix::fs::PermissionsExt::mode(&found.permissions()) & 0o777
        };
        assert_eq!(mode(&path), 0o600);
        global.files.umask = Some(0o137);
        Dump::Statistics.write(&global, "text").unwrap();
        assert_eq!(mode(&path), 0o640);
    }

    #[test]
    fn late_timers_raise_the_priority_step_by_step_up_to_the_most() {
        let mut global = Global { auto_priority: AutoPriority::UpTo(3), ..Global::default() };
        let settings = ProcessSettings { realtime: Some(1), ..ProcessSettings::default() };
        let mut ladder = Ladder::new(&global, &settings);
        let late = Interval::from_secs(1);
        assert_eq!(ladder.step(Interval::from_millis(999)), None);
        assert_eq!(
            (ladder.step(late), ladder.step(late), ladder.step(late)),
            (Some(2), Some(3), None)
        );
        global.auto_priority = AutoPriority::Silent;
        assert_eq!(Ladder::new(&global, &settings).step(late), None);
    }

    #[test]
    fn dumps_go_where_they_are_sent() {
        let mut global = Global::default();
        let name = |global: &Global, dump: Dump| {
            dump.path(global).file_name().unwrap().to_str().unwrap().to_owned()
        };
        assert_eq!(name(&global, Dump::Check), "keepalived_check.data");
        global.instance = Some("blue".into());
        assert_eq!(name(&global, Dump::Vrrp), "keepalived.data");
        global.files.data_use_instance = true;
        assert_eq!(name(&global, Dump::Vrrp), "keepalived.blue.data");
        global.net_namespace = Some("net".into());
        assert_eq!(name(&global, Dump::Parent), "keepalived_parent.net_blue.data");
        assert_eq!(name(&global, Dump::Statistics), "keepalived.stats");
        global.files.state_dump = Some("/x/state.txt".into());
        assert_eq!(Dump::Vrrp.path(&global), PathBuf::from("/x/state.txt"));
        assert_eq!(Dump::Check.path(&global), PathBuf::from("/x/state_check.txt"));
        global.files.json_dump = Some("/x/".into());
        assert_eq!(Dump::Json.path(&global), PathBuf::from("/x/keepalived.json"));
    }

    #[test]
    fn a_real_time_run_is_limited_as_configured_and_not_otherwise() {
        use nix::sys::resource::{Resource, getrlimit};
        let limit = || getrlimit(Resource::RLIMIT_RTTIME).unwrap();
        let before = limit();
        apply_scheduling(&ProcessSettings::default(), "test");
        assert_eq!(limit(), before);
        let realtime_limit = Some(Interval::from_micros(20_001));
        apply_scheduling(&ProcessSettings { realtime_limit, ..ProcessSettings::default() }, "test");
        assert_eq!(limit(), (10_000, 20_001));
    }

    #[test]
    fn a_process_runs_where_it_is_told_to() {
        use nix::sched::sched_getaffinity;
        let free = sched_getaffinity(Pid::from_raw(0)).unwrap();
        let one = (0..CpuSet::count()).find(|cpu| free.is_set(*cpu).unwrap()).unwrap();
        set_affinity(&BTreeSet::from([u16::try_from(one).unwrap()])).unwrap();
        let now = sched_getaffinity(Pid::from_raw(0)).unwrap();
        let list: Vec<_> = (0..CpuSet::count()).filter(|cpu| now.is_set(*cpu).unwrap()).collect();
        assert_eq!(list, [one]);
    }
}
