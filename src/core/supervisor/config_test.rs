//! `-t`: checks a configuration and says what is wrong, with keepalived's exit codes.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;

use super::command_line::Options;
use crate::core::config::compile::compile_into;
use crate::core::config::source::{LoadOptions, SourceSet};
use crate::core::config::surroundings;
use crate::core::diagnostics::render::{self, Style};

/// The file cannot be read.
const EXIT_NO_CONFIG: u8 = 6;
/// The test itself cannot be run.
const EXIT_FATAL: u8 = 4;

/// Runs the test; messages go to `log`, else to standard error. Returns the exit status:
/// 0 nothing wrong, 2 a mandatory word is missing, 4 cannot run, 5 errors, 6 script security only.
pub fn run(options: &Options, log: Option<&Path>) -> u8 {
    let (text, status) = check(options, log.is_none() && std::io::stderr().is_terminal());
    let written = match log {
        Some(path) => std::fs::write(path, &text),
        None => std::io::stderr().lock().write_all(text.as_bytes()),
    };
    match written {
        Ok(()) => status,
        Err(_) => EXIT_FATAL,
    }
}

fn check(options: &Options, terminal: bool) -> (String, u8) {
    let load_options =
        LoadOptions { config_id: options.config_id.clone(), all_config: options.all_config };
    let sources = match SourceSet::load(&options.config, &load_options) {
        Ok(sources) => sources,
        // Without -e a missing file is an empty configuration to keepalived's test.
        Err(error) if error.is_missing() && !options.all_config => {
            return (format!("{error}\n"), 0);
        }
        Err(error) => return (format!("{error}\n"), EXIT_NO_CONFIG),
    };
    let mut compiled = compile_into(&sources, &mut ());
    let around = surroundings::examine(&compiled);
    compiled.diagnostics.extend(around);
    let style = if terminal { Style::Colour } else { Style::Plain };
    let mut text = String::new();
    for diagnostic in &compiled.diagnostics {
        text.push_str(&render::full(diagnostic, &compiled.sources, style));
    }
    if !compiled.diagnostics.is_empty() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}", render::summary(&compiled.diagnostics));
    }
    (text, compiled.test_exit_code())
}
