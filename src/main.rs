//! Role dispatch: the daemon, one of its children, the config test, or genhash.

use std::ffi::OsString;
use std::process::ExitCode;

use steadfast::core::supervisor::command_line::{self, Command, HELP, Options, Personality, Role};
use steadfast::core::supervisor::{child, config_test, parent};

/// keepalived's exit status for a command line it does not understand.
const EXIT_USAGE: u8 = 1;

fn main() -> ExitCode {
    let mut words = std::env::args_os();
    let program = words.next().unwrap_or_default();
    let personality = Personality::of(&program.to_string_lossy());
    let words: Vec<OsString> = words.collect();
    if let Some((name, words)) = genhash(&program.to_string_lossy(), &words) {
        return ExitCode::from(steadfast::check::genhash::run(&name, words.iter().cloned()));
    }
    // Under keepalived's name there is no such thing.
    if personality == Personality::Steadfast {
        match words.first().and_then(|word| word.to_str()) {
            Some("config") => {
                return ExitCode::from(steadfast::tool::run(words.get(1..).unwrap_or_default()));
            }
            Some("simulate") => return ExitCode::from(steadfast::tool::run(&words)),
            _ => {}
        }
    }
    let status = match command_line::parse(words.iter().cloned()) {
        Ok(Command::Run(options)) => run(&options, personality, &words),
        Ok(Command::Test(options, log)) => config_test::run(&options, log.as_deref()),
        Ok(Command::Version) => {
            // Scripts read it from standard error, where keepalived prints it.
            eprintln!("{}", personality.banner());
            0
        }
        Ok(Command::Help) => {
            eprint!("{HELP}");
            0
        }
        Ok(Command::SignalNumber(number)) => {
            println!("{number}");
            0
        }
        Err(mistake) => {
            eprintln!("{mistake}\n{HELP}");
            EXIT_USAGE
        }
    };
    ExitCode::from(status)
}

/// The name and the words of genhash, where it is meant: by the program's own name or by the first
/// word of the command line.
fn genhash<'a>(program: &str, words: &'a [OsString]) -> Option<(String, &'a [OsString])> {
    let name = program.rsplit('/').next().unwrap_or_default();
    if name == "genhash" {
        return Some((name.to_owned(), words));
    }
    let (first, rest) = words.split_first()?;
    let first = first.to_str()?;
    matches!(first, "genhash" | "-T" | "--genhash").then(|| (format!("{name} {first}"), rest))
}

fn run(options: &Options, personality: Personality, words: &[OsString]) -> u8 {
    match options.role {
        None => parent::run(options, personality, words),
        Some(Role::Vrrp) => child::run(Role::Vrrp, options, personality, |start| {
            steadfast::vrrp::daemon::run(start, options)
        }),
        Some(Role::Check) => child::run(Role::Check, options, personality, |start| {
            steadfast::check::daemon::run(start, options)
        }),
        Some(Role::Bfd) => child::run(Role::Bfd, options, personality, |start| {
            steadfast::bfd::daemon::run(start, options)
        }),
    }
}
