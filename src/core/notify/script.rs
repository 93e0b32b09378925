//! Runs a command of the configuration: as its account, in its own process group, within a time.

use std::ffi::CString;
use std::fmt;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::prctl;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Gid, Group, Pid, Uid, User, getgrouplist, setgid, setgroups, setuid};
use tokio::process::{Child, ChildStdout, Command};

use super::security::{examine_script, real_path};
use crate::core::config::model::global::Global;
use crate::core::config::model::{Script, ScriptUser};
use crate::core::file_limit;
use crate::core::time::Interval;

/// The account used when nothing names one and it exists (keepalived's convention).
const DEFAULT_ACCOUNT: &str = "keepalived_script";
/// From TERM to KILL for a script that overruns (keepalived: two seconds).
const KILL_DELAY: Duration = Duration::from_secs(2);

/// What `global_defs` says about every script.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScriptPolicy {
    /// `script_user`.
    pub default_user: Option<ScriptUser>,
    /// `enable_script_security`: refuse what someone other than root could replace.
    pub security: bool,
    /// `set_supplementary_groups`: all groups of the user, not only the one.
    pub all_groups: bool,
    /// `use_symlink_paths`: symbolic links are followed by the kernel when it starts the script, not
    /// before.
    pub keep_links: bool,
}

impl ScriptPolicy {
    /// The policy of a configuration.
    pub fn of(global: &Global) -> Self {
        Self {
            default_user: global.script_user.clone(),
            security: global.script_security,
            all_groups: global.supplementary_groups,
            keep_links: global.symlink_paths,
        }
    }
}

/// How a script ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It exited with this status.
    Exited(u8),
    /// A signal ended it.
    Signalled(i32),
    /// It ran past its limit and was ended.
    TimedOut,
    /// It could not be started; why.
    NotStarted(Refusal),
}

/// Why a script could not be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    words: String,
    of_host: bool,
}

impl Refusal {
    /// Whether this host lacks files, memory or processes: the script is not to blame, and may start
    /// later.
    pub const fn is_lack(&self) -> bool {
        self.of_host
    }

    fn new(program: &str, error: &io::Error) -> Self {
        let of_host = matches!(
            error.raw_os_error(),
            Some(libc::EAGAIN | libc::EMFILE | libc::ENFILE | libc::ENOMEM)
        );
        Self { words: describe(program, error), of_host }
    }
}

impl From<String> for Refusal {
    fn from(words: String) -> Self {
        Self { words, of_host: false }
    }
}

impl std::error::Error for Refusal {}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.words.fmt(formatter)
    }
}

impl Outcome {
    /// Exit status 0.
    pub fn is_success(&self) -> bool {
        *self == Self::Exited(0)
    }
}

impl From<ExitStatus> for Outcome {
    fn from(status: ExitStatus) -> Self {
        match status.code() {
            // Linux gives eight bits of status.
            Some(code) => Self::Exited(u8::try_from(code & 0xff).unwrap_or(u8::MAX)),
            None => Self::Signalled(status.signal().unwrap_or(0)),
        }
    }
}

/// The numbers that a script runs under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    uid: Uid,
    gid: Gid,
}

impl Account {
    /// Whether scripts under it can do anything.
    pub fn is_root(self) -> bool {
        self.uid.is_root()
    }

    /// The user.
    pub fn uid(self) -> Uid {
        self.uid
    }

    /// The group.
    pub fn gid(self) -> Gid {
        self.gid
    }

    /// The group, and the others that its user is in.
    fn groups(self) -> Vec<Gid> {
        let user = User::from_uid(self.uid).ok().flatten();
        let name = user.and_then(|user| CString::new(user.name).ok());
        name.and_then(|name| getgrouplist(&name, self.gid).ok()).unwrap_or_else(|| vec![self.gid])
    }
}

/// Finds the account of `script`: its own, else the policy's, else `keepalived_script` when that
/// exists, else the daemon's.
pub fn account_of(script: &Script, policy: &ScriptPolicy) -> Result<Account, Refusal> {
    account(script.user.as_ref(), policy)
}

/// The same for something else that may name a user, such as a FIFO.
pub fn account(user: Option<&ScriptUser>, policy: &ScriptPolicy) -> Result<Account, Refusal> {
    if let Some(user) = user.or(policy.default_user.as_ref()) {
        return resolve(user);
    }
    let found = User::from_name(DEFAULT_ACCOUNT);
    // Where the list of users cannot be read, it must not run as root instead.
    if let Some(refusal) = unreadable(DEFAULT_ACCOUNT, &found) {
        return Err(refusal);
    }
    match found {
        Ok(Some(user)) => Ok(Account { uid: user.uid, gid: user.gid }),
        Ok(None) | Err(_) => {
            Ok(Account { uid: nix::unistd::geteuid(), gid: nix::unistd::getegid() })
        }
    }
}

/// Where this host lacks something to read the list of users with, nobody is unknown.
fn unreadable(name: &str, found: &nix::Result<Option<User>>) -> Option<Refusal> {
    let errno = found.as_ref().err()?;
    Some(Refusal::new(&format!("user '{name}'"), &(*errno).into())).filter(Refusal::is_lack)
}

fn resolve(wanted: &ScriptUser) -> Result<Account, Refusal> {
    let by_name = User::from_name(&wanted.user);
    if let Some(refusal) = unreadable(&wanted.user, &by_name) {
        return Err(refusal);
    }
    let by_number = || {
        let number = wanted.user.parse().ok()?;
        User::from_uid(Uid::from_raw(number)).ok().flatten()
    };
    let user = by_name
        .ok()
        .flatten()
        .or_else(by_number)
        .ok_or_else(|| format!("unknown user '{}'", wanted.user))?;
    let gid = match &wanted.group {
        None => user.gid,
        Some(name) => Group::from_name(name)
            .ok()
            .flatten()
            .map(|group| group.gid)
            .or_else(|| name.parse().ok().map(Gid::from_raw))
            .ok_or_else(|| format!("unknown group '{name}'"))?,
    };
    Ok(Account { uid: user.uid, gid })
}

/// A script that is running. Dropping it leaves the script alone.
#[derive(Debug)]
pub struct Running {
    child: Child,
    group: Option<Pid>,
}

/// Starts `script` with `arguments` appended.
///
/// It gets no descriptor of ours but `/dev/null`, a process group of its own, and TERM when this
/// process dies. A file without an interpreter line is given to the shell, as `execvp(3)` does.
pub fn start(
    script: &Script,
    arguments: &[String],
    policy: &ScriptPolicy,
) -> Result<Running, Refusal> {
    launch(script, arguments, policy, Stdio::null())
}

/// The same for a script whose output is wanted: see [`Running::take_output`].
pub fn start_heard(script: &Script, policy: &ScriptPolicy) -> Result<Running, Refusal> {
    launch(script, &[], policy, Stdio::piped())
}

fn launch(
    script: &Script,
    arguments: &[String],
    policy: &ScriptPolicy,
    output: Stdio,
) -> Result<Running, Refusal> {
    let (program, own_arguments) =
        script.words.split_first().ok_or_else(|| "empty command".to_owned())?;
    let account = account_of(script, policy)?;
    if policy.security
        && let Some(why) = examine_script(script, policy)?
    {
        return Err(format!("{program}: {why}, and enable_script_security is set").into());
    }
    let real = real_path(program).filter(|_| !policy.keep_links);
    let mut command = Command::new(real.as_deref().unwrap_or(Path::new(program)));
    command
        // A program may do what it is called.
        .arg0(program)
        .args(own_arguments)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(Stdio::null())
        .env_remove("IFS")
        .env_remove("LD_PRELOAD")
        .env_remove("LD_LIBRARY_PATH")
        .env_remove("NOTIFY_SOCKET")
        .process_group(0);
    let root = nix::unistd::geteuid().is_root();
    let groups = if policy.all_groups { account.groups() } else { vec![account.gid] };
    let name = CString::new("steadfast-script").unwrap_or_default();
    // SAFETY: between fork and exec only system calls are made; nothing allocates or locks.
    unsafe {
        command.pre_exec(move || {
            if root {
                setgroups(&groups)?;
                setgid(account.gid)?;
                setuid(account.uid)?;
            }
            // After setuid: changing credentials clears the parent-death signal.
            prctl::set_pdeathsig(Signal::SIGTERM)?;
            prctl::set_name(&name)?;
            reset_signals()?;
            file_limit::restore()
        });
    }
    let child = command.spawn().map_err(|error| Refusal::new(program, &error))?;
    let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
    Ok(Running { child, group })
}

/// The daemon ignores SIGPIPE and blocks nothing; a script starts with the default.
fn reset_signals() -> io::Result<()> {
    nix::sys::signal::SigSet::empty().thread_set_mask()?;
    Ok(())
}

fn describe(program: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => format!("{program}: no such file"),
        io::ErrorKind::PermissionDenied => format!("{program}: not executable"),
        _ => format!("{program}: {error}"),
    }
}

impl Running {
    /// What a script that was started to be heard writes.
    pub fn take_output(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Waits for the end, at most `limit`; then ends the whole process group: TERM, and KILL two
    /// seconds later. Nobody would end a script with a limit when this is dropped: it is ended then.
    pub async fn finish(mut self, limit: Option<Interval>) -> Outcome {
        let Some(limit) = limit else { return ended(self.child.wait().await) };
        let mut waited_for = WaitedFor(Some(self));
        let Some(running) = &mut waited_for.0 else { return Outcome::TimedOut };
        match tokio::time::timeout(limit.to_duration(), running.child.wait()).await {
            Ok(status) => {
                waited_for.0 = None;
                ended(status)
            }
            Err(_) => {
                running.end().await;
                waited_for.0 = None;
                Outcome::TimedOut
            }
        }
    }

    /// Waits for the end; `None` when `wish` came first, and the process group was ended then.
    pub async fn finish_or(mut self, wish: impl Future) -> Option<Outcome> {
        tokio::select! {
            status = self.child.wait() => Some(ended(status)),
            _ = wish => {
                self.end().await;
                None
            }
        }
    }

    async fn end(&mut self) {
        self.signal(Signal::SIGTERM);
        if tokio::time::timeout(KILL_DELAY, self.child.wait()).await.is_err() {
            self.signal(Signal::SIGKILL);
            // After KILL the kernel reaps at once; a failure means it was reaped already.
            let _ = self.child.wait().await;
        } else {
            // The leader is gone; what it left in its group goes too.
            self.signal(Signal::SIGKILL);
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // ESRCH: the group has ended by itself.
            let _ = killpg(group, signal);
        }
    }
}

fn ended(status: io::Result<ExitStatus>) -> Outcome {
    match status {
        Ok(status) => Outcome::from(status),
        Err(error) => Outcome::NotStarted(error.to_string().into()),
    }
}

/// A script whose end somebody waits for; ended when he does not any more.
struct WaitedFor(Option<Running>);

impl Drop for WaitedFor {
    fn drop(&mut self) {
        // Without an event loop the process is at its end, and its death ends the script.
        if let Some(mut running) = self.0.take()
            && let Ok(event_loop) = tokio::runtime::Handle::try_current()
        {
            event_loop.spawn(async move { running.end().await });
        }
    }
}

/// Runs `script` with `arguments` appended, for at most `limit`.
pub async fn run(
    script: &Script,
    arguments: &[String],
    policy: &ScriptPolicy,
    limit: Option<Interval>,
) -> Outcome {
    match start(script, arguments, policy) {
        Ok(running) => running.finish(limit).await,
        Err(reason) => Outcome::NotStarted(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(words: &[&str]) -> Script {
        Script { words: words.iter().map(|&word| word.to_owned()).collect(), user: None }
    }

    fn policy() -> ScriptPolicy {
        let me = nix::unistd::getuid().to_string();
        let default_user = Some(ScriptUser { user: me, group: None });
        ScriptPolicy { default_user, ..ScriptPolicy::default() }
    }

    fn run_it(script: &Script, arguments: &[String], limit: Option<Interval>) -> Outcome {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run(
            script,
            arguments,
            &policy(),
            limit,
        ))
    }

    #[test]
    fn a_script_may_have_as_many_files_as_the_daemon_was_started_with() {
        use nix::sys::resource::{Resource, getrlimit, setrlimit};
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, 300, hard).unwrap();
        assert!(file_limit::raise(500).unwrap() > 300);
        let asks = ["/bin/sh", "-c", "test $(ulimit -Sn) = 300"];
        assert_eq!(run_it(&script(&asks), &[], None), Outcome::Exited(0));
    }

    #[test]
    fn the_exit_status_is_the_outcome() {
        assert_eq!(run_it(&script(&["/bin/sh", "-c", "exit 7"]), &[], None), Outcome::Exited(7));
        assert!(run_it(&script(&["true"]), &[], None).is_success());
    }

    #[test]
    fn a_user_s_other_groups_come_only_when_asked_for() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        // Whoever is in a second group by the group file.
        let table = std::fs::read_to_string("/etc/group").unwrap();
        let member = table.lines().find_map(|line| {
            let user =
                line.rsplit(':').next()?.split(',').next().filter(|user| !user.is_empty())?;
            User::from_name(user).ok().flatten().map(|user| user.name)
        });
        let Some(user) = member else { return };
        let count = |all_groups| {
            let default_user = Some(ScriptUser { user: user.clone(), group: None });
            let policy = ScriptPolicy { default_user, all_groups, ..ScriptPolicy::default() };
            let account = account(None, &policy).unwrap();
            let wanted = account.groups().len().to_string();
            let test = script(&["/bin/sh", "-c", "test $(id -G | wc -w) = $1", "sh"]);
            let wanted = if all_groups { wanted } else { "1".to_owned() };
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(run(&test, &[wanted], &policy, None))
        };
        assert_eq!((count(true), count(false)), (Outcome::Exited(0), Outcome::Exited(0)));
    }

    #[test]
    fn arguments_are_appended_as_separate_words() {
        let test = script(&["/bin/sh", "-c", "test \"$1\" = 'a b' && test $# = 2", "sh"]);
        assert!(run_it(&test, &["a b".into(), "c".into()], None).is_success());
    }

    #[test]
    fn a_script_that_overruns_is_ended_with_its_children() {
        let slow = script(&["/bin/sh", "-c", "sleep 60 & wait"]);
        let started = std::time::Instant::now();
        assert_eq!(run_it(&slow, &[], Some(Interval::from_millis(100))), Outcome::TimedOut);
        assert!(started.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn a_script_that_nobody_waits_for_any_more_is_ended_even_if_it_does_not_want_to() {
        let folder = tempfile::tempdir().unwrap();
        let note = folder.path().join("pid");
        let stubborn =
            "trap '' TERM; echo $$ > \"$1.new\"; mv \"$1.new\" \"$1\"; while :; do sleep 1; done";
        let stubborn = script(&["/bin/sh", "-c", stubborn, "sh", &note.display().to_string()]);
        let end = std::time::Instant::now() + Duration::from_secs(30);
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(
            async {
                let policy = policy();
                let waiting = tokio::spawn(async move {
                    run(&stubborn, &[], &policy, Some(Interval::from_secs(600))).await
                });
                let pid = loop {
                    if let Ok(text) = std::fs::read_to_string(&note) {
                        break Pid::from_raw(text.trim().parse().unwrap());
                    }
                    assert!(std::time::Instant::now() < end);
                    tokio::task::yield_now().await;
                };
                waiting.abort();
                while nix::sys::signal::kill(pid, None).is_ok() {
                    assert!(std::time::Instant::now() < end, "it is still there");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            },
        );
    }

    #[test]
    fn links_are_followed_before_a_script_runs_unless_they_are_to_be_kept() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let (real, link) = (folder.join("real.sh"), folder.join("link.sh"));
        std::fs::write(&real, "#!/bin/sh\ntest \"$0\" = \"$1\"\n").unwrap();
        std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o755)).unwrap();
        symlink(&real, &link).unwrap();
        let text = |path: &Path| path.display().to_string();
        let run_as = |keep_links, name: &Path| {
            let policy = ScriptPolicy { keep_links, ..policy() };
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(run(&script(&[&text(&link)]), &[text(name)], &policy, None))
        };
        assert!(run_as(false, &real).is_success());
        assert!(run_as(true, &link).is_success());
        // A program that goes by its name is still called so.
        let name = folder.join("named");
        symlink("/bin/sh", &name).unwrap();
        let command = script(&[&text(&name), "-c", "test \"$0\" = \"$1\"", &text(&name)]);
        assert!(run_it(&command, &[text(&name)], None).is_success());
    }

    #[test]
    fn a_missing_program_and_an_unknown_user_are_told() {
        let missing = run_it(&script(&["/nonexistent/x"]), &[], None);
        assert_eq!(missing, Outcome::NotStarted("/nonexistent/x: no such file".to_owned().into()));
        let mut unknown = script(&["true"]);
        unknown.user = Some(ScriptUser { user: "no such user".into(), group: None });
        assert!(
            matches!(run_it(&unknown, &[], None), Outcome::NotStarted(why) if why.to_string().contains("unknown user"))
        );
    }

    #[test]
    fn a_signal_is_not_an_exit_status() {
        assert_eq!(
            run_it(&script(&["/bin/sh", "-c", "kill -9 $$"]), &[], None),
            Outcome::Signalled(9)
        );
    }
}
