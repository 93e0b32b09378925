//! `config check`: the config test with the linter on top.

use std::io::IsTerminal as _;

use super::{Answer, EXIT_FOUND, EXIT_OK, Trouble, lint, load};
use crate::core::config::compile::compile;
use crate::core::config::surroundings;
use crate::core::diagnostics::render::{self, Style};

/// How problems are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// With the line of the file.
    Full,
    /// One line each.
    Concise,
    /// One JSON object a line.
    Json,
}

/// `[--format full|concise|json] FILE...`.
pub fn run(words: &[&str]) -> Answer {
    let mut format = Format::Full;
    let mut files = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let value = match *word {
            "--format" => words.next().copied(),
            other => match other.strip_prefix("--format=") {
                Some(value) => Some(value),
                None if other.starts_with("--") => {
                    return Err(Trouble::Usage(format!("There is no option '{other}'")));
                }
                None => {
                    files.push(other);
                    continue;
                }
            },
        };
        format = match value {
            Some("full") => Format::Full,
            Some("concise") => Format::Concise,
            Some("json") => Format::Json,
            other => {
                let other = other.unwrap_or_default();
                return Err(Trouble::Usage(format!("There is no format '{other}'")));
            }
        };
    }
    if files.is_empty() {
        return Err(Trouble::Usage("check which file?".to_owned()));
    }
    let (mut text, mut status) = (String::new(), EXIT_OK);
    for file in files {
        let (found, code) = one(file, format)?;
        text.push_str(&found);
        status = status.max(code);
    }
    Ok((text, status))
}

fn one(file: &str, format: Format) -> Answer {
    let sources = load(file)?;
    let mut compiled = compile(&sources);
    let around = surroundings::examine(&compiled);
    compiled.diagnostics.extend(around);
    let test = compiled.test_exit_code();
    let tree = crate::core::config::parse(&sources).tree;
    compiled.diagnostics.extend(lint::lint(&compiled.config, &tree));
    let terminal = std::io::stdout().is_terminal();
    let style = if terminal { Style::Colour } else { Style::Plain };
    let mut text = String::new();
    for diagnostic in &compiled.diagnostics {
        match format {
            Format::Full => {
                text.push_str(&render::full(diagnostic, &compiled.sources, style));
                continue;
            }
            Format::Concise => text.push_str(&render::concise(diagnostic, &compiled.sources)),
            Format::Json => text.push_str(&render::json(diagnostic, &compiled.sources)),
        }
        text.push('\n');
    }
    if format == Format::Full && !compiled.diagnostics.is_empty() {
        text.push_str(&render::summary(&compiled.diagnostics));
        text.push('\n');
    }
    let status = match (test, compiled.diagnostics.is_empty()) {
        (0, true) => EXIT_OK,
        (0, false) => EXIT_FOUND,
        (code, _) => code,
    };
    Ok((text, status))
}
