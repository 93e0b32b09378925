//! keepalived's command line, in the manner of `getopt_long`.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::core::config::handed::Part;
use crate::core::config::model::global::ProcessNames;
use crate::core::config::model::services::Snmp;
use crate::core::log::{Detail, Facility};

/// Where the configuration is when nothing is said.
pub const DEFAULT_CONFIG: &str = "/etc/keepalived/keepalived.conf";

/// The name that the program was started under decides what it calls itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Personality {
    /// `steadfast`.
    Steadfast,
    /// `keepalived`, by a link of that name.
    Keepalived,
}

impl Personality {
    /// From the first word of the command line.
    pub fn of(program: &str) -> Self {
        match program.rsplit('/').next() {
            Some("keepalived") => Self::Keepalived,
            Some(_) | None => Self::Steadfast,
        }
    }

    /// As in log lines: `Steadfast v0.1.0`, `Keepalived v2.4.3 (Steadfast 0.1.0)`. Tools look for a
    /// version number after the name; the one shown is that of the dialect.
    pub fn banner(self) -> String {
        let version = env!("CARGO_PKG_VERSION");
        match self {
            Self::Steadfast => format!("Steadfast v{version}"),
            Self::Keepalived => format!("Keepalived v2.4.3 (Steadfast {version})"),
        }
    }

    /// Names of the processes in `ps` and syslog.
    pub fn process_name(self, process: Process) -> &'static str {
        match (self, process) {
            (Self::Steadfast, Process::Parent) => "steadfast",
            (Self::Steadfast, Process::Child(Role::Vrrp)) => "steadfast_vrrp",
            (Self::Steadfast, Process::Child(Role::Check)) => "steadfast_check",
            (Self::Steadfast, Process::Child(Role::Bfd)) => "steadfast_bfd",
            (Self::Keepalived, Process::Parent | Process::Child(_)) => "keepalived",
        }
    }

    /// The name of a process as configured, else [`Self::process_name`].
    pub fn configured_name(self, process: Process, names: &ProcessNames) -> String {
        let (own, role) = match process {
            Process::Parent => (&names.parent, None),
            Process::Child(Role::Vrrp) => (&names.vrrp, Some("keepalived_vrrp")),
            Process::Child(Role::Check) => (&names.checker, Some("keepalived_lvs")),
            Process::Child(Role::Bfd) => (&names.bfd, Some("keepalived_bfd")),
        };
        let by_role = role.filter(|_| names.by_role).map(str::to_owned);
        own.clone()
            .or(by_role)
            .or_else(|| names.parent.clone())
            .unwrap_or_else(|| self.process_name(process).to_owned())
    }

    /// Identification in syslog.
    pub fn syslog_ident(self, process: Process) -> &'static str {
        match (self, process) {
            (Self::Steadfast, Process::Parent) => "Steadfast",
            (Self::Steadfast, Process::Child(Role::Vrrp)) => "Steadfast_vrrp",
            (Self::Steadfast, Process::Child(Role::Check)) => "Steadfast_healthcheckers",
            (Self::Steadfast, Process::Child(Role::Bfd)) => "Steadfast_bfd",
            (Self::Keepalived, Process::Parent) => "Keepalived",
            (Self::Keepalived, Process::Child(Role::Vrrp)) => "Keepalived_vrrp",
            (Self::Keepalived, Process::Child(Role::Check)) => "Keepalived_healthcheckers",
            (Self::Keepalived, Process::Child(Role::Bfd)) => "Keepalived_bfd",
        }
    }
}

/// One of the processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Process {
    /// The core process.
    Parent,
    /// A child.
    Child(Role),
}

/// What a child process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Probes servers, keeps the IPVS table.
    Check,
    /// Elects, holds addresses.
    Vrrp,
    /// Watches neighbours for the other two.
    Bfd,
}

impl Role {
    /// All of them, in the order in which keepalived starts them.
    pub const ALL: [Self; 3] = [Self::Check, Self::Vrrp, Self::Bfd];

    /// For the hidden option that tells a re-executed binary what it is.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Vrrp => "vrrp",
            Self::Bfd => "bfd",
        }
    }

    /// What it gets of the configuration.
    pub const fn part(self) -> Part {
        match self {
            Self::Check => Part::Check,
            Self::Vrrp => Part::Vrrp,
            Self::Bfd => Part::Bfd,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == text)
    }
}

/// Which children to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Subsystems {
    /// Those that the configuration has work for.
    #[default]
    Configured,
    /// `--all`: also idle ones. `-P` and `-C` are about the other two: BFD serves both.
    All,
    /// `-P`.
    OnlyVrrp,
    /// `-C`.
    OnlyCheck,
}

/// What the command line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// `-f`.
    pub config: PathBuf,
    /// `-i`: selects `@` lines.
    pub config_id: Option<String>,
    /// `-e`: a missing include is an error.
    pub all_config: bool,
    /// `-P`, `-C`, `--all`.
    pub subsystems: Subsystems,
    /// `-B`.
    pub no_bfd: bool,
    /// `-l`.
    pub log_console: bool,
    /// `-D`.
    pub detail: Detail,
    /// `-S`; `None` with `-G`.
    pub syslog: Option<Facility>,
    /// `-g`.
    pub log_file: Option<PathBuf>,
    /// `-d`.
    pub dump_config: bool,
    /// `-n`.
    pub foreground: bool,
    /// `-R`.
    pub dont_respawn: bool,
    /// `-V`.
    pub keep_addresses: bool,
    /// `-I`.
    pub keep_ipvs: bool,
    /// `-u`.
    pub umask: Option<u32>,
    /// `-p`.
    pub pid_file: Option<PathBuf>,
    /// `-r`.
    pub vrrp_pid_file: Option<PathBuf>,
    /// `-c`.
    pub checkers_pid_file: Option<PathBuf>,
    /// `-b`.
    pub bfd_pid_file: Option<PathBuf>,
    /// `-s`.
    pub namespace: Option<String>,
    /// `-x` and `-A`.
    pub snmp: SnmpOptions,
    /// `--ignore-sigint`.
    pub ignore_sigint: bool,
    /// Hidden: this is a child.
    pub role: Option<Role>,
    /// Hidden: this child ends what the one before it has left, and itself.
    pub farewell: bool,
    /// Options that are understood but have no effect yet, for the log.
    pub without_effect: Vec<&'static str>,
}

/// What the command line says of SNMP.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SnmpOptions {
    /// `-x`: all that there is.
    pub everything: bool,
    /// `-A`: where the master agent is.
    pub socket: Option<String>,
}

impl SnmpOptions {
    /// What the command line says counts more than the file.
    pub fn outweigh(&self, snmp: &mut Snmp) {
        if self.everything {
            (snmp.vrrp, snmp.checker, snmp.rfc2787, snmp.rfc6527) = (true, true, true, true);
        }
        if self.socket.is_some() {
            snmp.socket.clone_from(&self.socket);
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            config: PathBuf::from(DEFAULT_CONFIG),
            config_id: None,
            all_config: false,
            subsystems: Subsystems::default(),
            no_bfd: false,
            log_console: false,
            detail: Detail::Normal,
            syslog: Some(Facility::DAEMON),
            log_file: None,
            dump_config: false,
            foreground: false,
            dont_respawn: false,
            keep_addresses: false,
            keep_ipvs: false,
            umask: None,
            pid_file: None,
            vrrp_pid_file: None,
            checkers_pid_file: None,
            bfd_pid_file: None,
            namespace: None,
            snmp: SnmpOptions::default(),
            ignore_sigint: false,
            role: None,
            farewell: false,
            without_effect: Vec::new(),
        }
    }
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Run the daemon (or a child of it).
    Run(Options),
    /// `-t`: check the configuration, with the messages to a file when one is named.
    Test(Options, Option<PathBuf>),
    /// `-v`.
    Version,
    /// `-h`.
    Help,
    /// `--signum=NAME`.
    SignalNumber(i32),
}

/// Reads the words after the program's name. The error is a sentence for the user.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Command, String> {
    use Word::{Long, Short, Value};
    let mut parser = lexopt::Parser::from_args(words);
    let mut options = Options::default();
    let mut test = None;
    let mut no_syslog = false;
    let text = |value: OsString| value.into_string().map_err(|_| "not UTF-8 text".to_owned());
    while let Some(word) = next_word(&mut parser)? {
        let mut value = || parser.value().map_err(|error| error.to_string());
        match word.as_ref() {
            Short('f') | Long("use-file") => options.config = value()?.into(),
            Short('P') | Long("vrrp") => options.subsystems = Subsystems::OnlyVrrp,
            Short('C') | Long("check") => options.subsystems = Subsystems::OnlyCheck,
            Long("all") => options.subsystems = Subsystems::All,
            Short('l') | Long("log-console") => options.log_console = true,
            Short('D') | Long("log-detail") => {
                options.detail = match options.detail {
                    Detail::Normal => Detail::Detailed,
                    Detail::Detailed | Detail::Extra => Detail::Extra,
                }
            }
            Short('S') | Long("log-facility") => {
                let name = text(value()?)?;
                let facility = Facility::parse(&name)
                    .ok_or_else(|| format!("invalid log facility '{name}'"))?;
                options.syslog = Some(facility);
            }
            Short('G') | Long("no-syslog") => no_syslog = true,
            Short('g') | Long("log-file") => {
                let file = parser.optional_value().unwrap_or_else(|| "/tmp/keepalived.log".into());
                options.log_file = Some(file.into());
            }
            // Every log line is written at once; addresses are always released.
            Long("flush-log-file" | "no-mem-check" | "release-vips") | Short('L' | 'O' | 'X') => {}
            Short('B') | Long("no_bfd") => options.no_bfd = true,
            Short('u') | Long("umask") => {
                let mask = text(value()?)?;
                options.umask =
                    Some(parse_number(&mask).filter(|mask| *mask <= 0o777).ok_or_else(|| {
                        format!("invalid umask '{mask}': a number up to 0777 is needed")
                    })?);
            }
            Short('V') | Long("dont-release-vrrp") => options.keep_addresses = true,
            Short('I') | Long("dont-release-ipvs") => options.keep_ipvs = true,
            Short('R') | Long("dont-respawn") => options.dont_respawn = true,
            Short('n') | Long("dont-fork") => options.foreground = true,
            Short('d') | Long("dump-conf") => options.dump_config = true,
            Short('p') | Long("pid") => options.pid_file = Some(value()?.into()),
            Short('r') | Long("vrrp_pid") => options.vrrp_pid_file = Some(value()?.into()),
            Short('c') | Long("checkers_pid") => options.checkers_pid_file = Some(value()?.into()),
            Short('b') | Long("bfd_pid") => options.bfd_pid_file = Some(value()?.into()),
            Short('s') | Long("namespace") => options.namespace = Some(text(value()?)?),
            Short('i') | Long("config-id") => options.config_id = Some(text(value()?)?),
            Short('e') | Long("all-config") => options.all_config = true,
            Long("ignore-sigint") => options.ignore_sigint = true,
            Short('a') | Long("address-monitoring") => options.without_effect.push("-a"),
            Short('x') | Long("snmp") => options.snmp.everything = true,
            Short('A') | Long("snmp-agent-socket") => {
                options.snmp.socket = Some(text(value()?)?);
            }
            Short('m') | Long("core-dump") => options.without_effect.push("-m (core dump)"),
            Short('M') | Long("core-dump-pattern") => {
                let _ = parser.optional_value();
                options.without_effect.push("-M (core dump)");
            }
            Long("debug") => {
                let _ = parser.optional_value();
                options.without_effect.push("--debug");
            }
            Long("perf") => {
                let _ = parser.optional_value();
                options.without_effect.push("--perf");
            }
            Short('T') | Long("genhash") => {
                return Err("genhash must be the first option".to_owned());
            }
            Short('t') | Long("config-test") => {
                test = Some(parser.optional_value().map(PathBuf::from));
            }
            Long("signum") => {
                let name = text(value()?)?;
                return signal_number(&name)
                    .map(Command::SignalNumber)
                    .ok_or_else(|| format!("Unknown sigfunc {name}"));
            }
            Long("role") => {
                let name = text(value()?)?;
                let role = Role::parse(&name).ok_or_else(|| format!("no role '{name}'"))?;
                options.role = Some(role);
            }
            Long("farewell") => options.farewell = true,
            Short('v') | Long("version") => return Ok(Command::Version),
            Short('h') | Long("help") => return Ok(Command::Help),
            Value(word) => return Err(format!("Unexpected argument(s): {word}")),
            Short(letter) => return Err(format!("Unknown option -{letter}")),
            Long(name) => return Err(format!("Unknown option --{name}")),
        }
    }
    if no_syslog {
        options.syslog = None;
    }
    match test {
        Some(log) => Ok(Command::Test(options, log)),
        None => Ok(Command::Run(options)),
    }
}

/// A word of the command line, free of the parser that it came from.
enum Word<T> {
    Short(char),
    Long(T),
    Value(T),
}

impl Word<String> {
    fn as_ref(&self) -> Word<&str> {
        match self {
            Self::Short(letter) => Word::Short(*letter),
            Self::Long(name) => Word::Long(name),
            Self::Value(value) => Word::Value(value),
        }
    }
}

fn next_word(parser: &mut lexopt::Parser) -> Result<Option<Word<String>>, String> {
    Ok(match parser.next().map_err(|error| error.to_string())? {
        None => None,
        Some(lexopt::Arg::Short(letter)) => Some(Word::Short(letter)),
        Some(lexopt::Arg::Long(name)) => Some(Word::Long(name.to_owned())),
        Some(lexopt::Arg::Value(value)) => Some(Word::Value(value.to_string_lossy().into_owned())),
    })
}

/// Decimal, `0x` hexadecimal or `0` octal.
fn parse_number(text: &str) -> Option<u32> {
    if let Some(hexadecimal) = text.strip_prefix("0x") {
        u32::from_str_radix(hexadecimal, 16).ok()
    } else if text.len() > 1 && text.starts_with('0') {
        u32::from_str_radix(text, 8).ok()
    } else {
        text.parse().ok()
    }
}

/// The signals that the parent understands, by keepalived's names for them.
fn signal_number(name: &str) -> Option<i32> {
    match name {
        "STOP" => Some(libc::SIGTERM),
        "RELOAD" => Some(libc::SIGHUP),
        "DATA" => Some(libc::SIGUSR1),
        "STATS" => Some(libc::SIGUSR2),
        "STATS_CLEAR" => Some(libc::SIGRTMAX() - 1),
        "JSON" => Some(libc::SIGRTMIN() + 2),
        _ => None,
    }
}

/// What `-h` prints.
pub const HELP: &str = "\
Usage: steadfast [OPTION...]
       steadfast config COMMAND  Look at configurations; `steadfast config help` tells how
       steadfast simulate FILE FILE...  Let the nodes of a cluster live and fail, one file of each
  -f, --use-file=FILE          Configuration file (default /etc/keepalived/keepalived.conf)
  -t, --config-test[=FILE]     Check the configuration, messages to FILE or standard error
  -i, --config-id=ID           Value that lines beginning with @ are compared with (default: node name)
  -e, --all-config             A missing include file is an error
  -n, --dont-fork              Stay in the foreground
  -P, --vrrp                   Run VRRP only
  -C, --check                  Run health checks and IPVS only
  -B, --no_bfd                 Do not run BFD
      --all                    Run all processes, also those without configuration
  -l, --log-console            Log to the console
  -D, --log-detail             Log details; twice: also the facts behind each line
  -S, --log-facility=FACILITY  Syslog facility: 0-7, local0-local7, user, daemon (default)
  -G, --no-syslog              Do not log to syslog
  -g, --log-file[=FILE]        Log to a file
  -d, --dump-conf              Log the configuration
  -p, --pid=FILE               Pid file of the parent process
  -r, --vrrp_pid=FILE          Pid file of the VRRP process
  -c, --checkers_pid=FILE      Pid file of the check process
  -b, --bfd_pid=FILE           Pid file of the BFD process
  -s, --namespace=NAME         Run in this network namespace
  -R, --dont-respawn           End when a child process ends
  -x, --snmp                   Show everything over SNMP, whatever the configuration says
  -A, --snmp-agent-socket=ADDRESS  The SNMP agent: unix:PATH, tcp:HOST:PORT
  -V, --dont-release-vrrp      Leave the virtual addresses in place on stop
  -I, --dont-release-ipvs      Leave the IPVS table in place on stop
  -u, --umask=MASK             umask for the files that are made
      --ignore-sigint          Ignore SIGINT
      --signum=NAME            Print a signal's number: STOP, RELOAD, DATA, STATS, STATS_CLEAR, JSON
  -v, --version                Print the version
  -h, --help                   Print this help
Understood, without effect so far: -a, -m, -M, -X, --debug, --perf, --flush-log-file
";

#[cfg(test)]
mod tests {
    use super::*;

    fn run(words: &[&str]) -> Options {
        match parse(words.iter().map(OsString::from)) {
            Ok(Command::Run(options)) => options,
            other => panic!("{words:?}: {other:?}"),
        }
    }

    #[test]
    fn short_options_cluster_and_take_values_as_getopt_does() {
        let options = run(&["-nlGDD", "-f/etc/x.conf", "-r", "/run/v.pid", "--pid=/run/p.pid"]);
        assert!(options.foreground && options.log_console);
        assert_eq!(options.syslog, None);
        assert_eq!(options.detail, Detail::Extra);
        assert_eq!(options.config, PathBuf::from("/etc/x.conf"));
        assert_eq!(options.vrrp_pid_file, Some("/run/v.pid".into()));
        assert_eq!(options.pid_file, Some("/run/p.pid".into()));
    }

    #[test]
    fn the_config_test_takes_an_optional_attached_log_file() {
        let parsed = parse(["-t", "-f", "x"].map(OsString::from));
        assert!(
            matches!(parsed, Ok(Command::Test(options, None)) if options.config.as_os_str() == "x")
        );
        let parsed = parse(["--config-test=/tmp/log"].map(OsString::from));
        assert!(matches!(parsed, Ok(Command::Test(_, Some(log))) if log.as_os_str() == "/tmp/log"));
    }

    #[test]
    fn every_option_of_keepalived_is_understood() {
        let words = "-f x -P -C -B --all -l -D -S local1 -G -u 022 -X -V -I -R -n -d -p a -r b -T"
            .split(' ');
        assert!(parse(words.map(OsString::from)).unwrap_err().contains("genhash"));
        run(&"-c a -a -b x -x -A y -s ns -m -M --core-dump-pattern=c -e -i id -g --flush-log-file --debug=x --perf=all --ignore-sigint".split(' ').collect::<Vec<_>>());
    }

    #[test]
    fn what_the_command_line_says_of_snmp_outweighs_the_file() {
        let mut snmp = Snmp { socket: Some("/file".into()), ..Snmp::default() };
        run(&["-n"]).snmp.outweigh(&mut snmp);
        assert_eq!(snmp, Snmp { socket: Some("/file".into()), ..Snmp::default() });
        run(&["-x", "-A", "/line"]).snmp.outweigh(&mut snmp);
        assert!(snmp.vrrp && snmp.checker && snmp.rfc2787 && snmp.rfc6527 && !snmp.traps);
        assert_eq!(snmp.socket.as_deref(), Some("/line"));
    }

    #[test]
    fn signals_have_the_numbers_that_scripts_expect() {
        let number = |name: &str| parse([OsString::from(format!("--signum={name}"))]);
        for (name, expected) in [
            ("STOP", 15),
            ("RELOAD", 1),
            ("DATA", 10),
            ("STATS", 12),
            ("STATS_CLEAR", 63),
            ("JSON", 36),
        ] {
            assert_eq!(number(name), Ok(Command::SignalNumber(expected)));
        }
        assert!(number("NONE").is_err());
    }

    #[test]
    fn mistakes_are_told() {
        for words in [&["--nonsense"][..], &["-S", "mail"], &["-u", "9999"], &["stray"], &["-f"]] {
            assert!(parse(words.iter().map(OsString::from)).is_err(), "{words:?}");
        }
    }

    #[test]
    fn the_name_of_the_program_decides_what_it_calls_itself() {
        assert_eq!(Personality::of("/usr/sbin/keepalived"), Personality::Keepalived);
        assert_eq!(Personality::of("steadfast"), Personality::Steadfast);
        assert!(Personality::Keepalived.banner().starts_with("Keepalived v2.4.3"));
    }

    #[test]
    fn processes_are_named_as_configured() {
        let name =
            |process, names: &ProcessNames| Personality::Keepalived.configured_name(process, names);
        let (vrrp, check) = (Process::Child(Role::Vrrp), Process::Child(Role::Check));
        let mut names = ProcessNames::default();
        assert_eq!(name(vrrp, &names), "keepalived");
        names.parent = Some("ha".into());
        assert_eq!(
            (name(Process::Parent, &names), name(check, &names)),
            ("ha".into(), "ha".into())
        );
        names.by_role = true;
        assert_eq!(name(check, &names), "keepalived_lvs");
        names.vrrp = Some("elector".into());
        assert_eq!(name(vrrp, &names), "elector");
    }
}
