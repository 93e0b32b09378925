//! `steadfast config`: what an operator asks about configurations, without a daemon.
//!
//! [`check`] is the config test with the [`lint`] on top, [`dump`] writes a configuration in one
//! canonical form, [`explain`] shows rows of the keyword table, [`diff`] says what a reload would
//! change, [`compare`] looks at the nodes of a cluster together, [`simulate`] lets them
//! live and fail. [`manual`] writes the manual pages,
//! the completion and the syntax file from the same table.

pub mod check;
pub mod compare;
pub mod diff;
pub mod dump;
pub mod explain;
pub mod lint;
pub mod manual;
pub mod simulate;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;

use crate::core::config::compile::{Compiled, compile};
use crate::core::config::source::{LoadOptions, SourceSet};

/// What was asked for is there, and nothing is wrong.
pub const EXIT_OK: u8 = 0;
/// Something is wrong with what was looked at, or there are differences.
pub const EXIT_FOUND: u8 = 1;
/// The command line is wrong.
pub const EXIT_USAGE: u8 = 2;
/// A file cannot be read.
pub const EXIT_NO_CONFIG: u8 = 6;

/// How to use it.
pub const USAGE: &str = "\
Usage: steadfast config COMMAND

  check [--format full|concise|json] FILE...   problems, and what is probably not meant
  dump [--defaults] FILE                       the configuration in one canonical form
  explain KEYWORD...                           what a keyword does
  diff OLD NEW                                 what a reload would change
  compare FILE FILE...                         the nodes of a cluster, looked at together
  simulate FILE FILE...                        who takes over when a node, a link, a script fails
                                               (`steadfast simulate FILE FILE...` is the same)
  man5 | man8 | completion | syntax            manual pages, shell completion, editor syntax

Exit status: 0 nothing found, 1 something found, 2 wrong use, 6 a file cannot be read;
check gives the exit status of `steadfast -t` where that is not 0.
";

/// Why a command was not carried out.
#[derive(Debug)]
pub enum Trouble {
    /// The command line is wrong.
    Usage(String),
    /// A file cannot be read.
    File(String),
}

/// What a command says: to standard output, and its exit status.
pub type Answer = Result<(String, u8), Trouble>;

/// Runs `steadfast config WORDS`. Returns the exit status.
pub fn run(words: &[OsString]) -> u8 {
    let words: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (text, status) = match answer(&words) {
        Ok(answer) => answer,
        Err(Trouble::Usage(mistake)) => {
            eprint!("{mistake}\n{USAGE}");
            return EXIT_USAGE;
        }
        Err(Trouble::File(mistake)) => {
            eprintln!("{mistake}");
            return EXIT_NO_CONFIG;
        }
    };
    // A reader that has seen enough closes the pipe.
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Ok(()) | Err(_) => status,
    }
}

/// The same without printing.
pub fn answer(words: &[&str]) -> Answer {
    let Some((command, rest)) = words.split_first() else {
        return Err(Trouble::Usage("What is to be done?".to_owned()));
    };
    match *command {
        "check" => check::run(rest),
        "dump" => dump::run(rest),
        "explain" => explain::run(rest),
        "diff" => diff::run(rest),
        "compare" => compare::run(rest),
        "simulate" => simulate::run(rest),
        "man5" => Ok((manual::configuration_page(), EXIT_OK)),
        "man8" => Ok((manual::program_page(), EXIT_OK)),
        "completion" => Ok((manual::completion(), EXIT_OK)),
        "syntax" => Ok((manual::vim_syntax(), EXIT_OK)),
        "help" | "--help" | "-h" => Ok((USAGE.to_owned(), EXIT_OK)),
        other => Err(Trouble::Usage(format!("There is no command '{other}'"))),
    }
}

/// Reads a file with everything that it includes.
fn load(file: &str) -> Result<SourceSet, Trouble> {
    SourceSet::load(Path::new(file), &LoadOptions::default())
        .map_err(|error| Trouble::File(error.to_string()))
}

/// Reads and compiles.
fn compiled(file: &str) -> Result<Compiled, Trouble> {
    Ok(compile(&load(file)?))
}
