//! Sources to model, with everything that is to be said about them.

use super::build::{self, Places, Unsupported};
use super::model::Config;
use super::source::SourceSet;
use crate::core::diagnostics::{Diagnostic, Severity, SourceMap};

/// A compiled configuration.
#[derive(Debug)]
pub struct Compiled {
    /// What the daemons act on.
    pub config: Config,
    /// What spans point into.
    pub sources: SourceMap,
    /// What was wrong, and what is not acted on.
    pub diagnostics: Vec<Diagnostic>,
    /// Where objects of the model were written.
    pub places: Places,
    /// Keywords that are understood but not acted on.
    pub unsupported: Vec<Unsupported>,
}

/// Compiles; never fails: what cannot be used is left out and told.
pub fn compile(sources: &SourceSet) -> Compiled {
    let parsed = super::parse(sources);
    let built = build::build(&parsed.tree, sources.host_name());
    let mut diagnostics = parsed.diagnostics;
    diagnostics.extend(built.diagnostics);
    diagnostics.extend(built.unsupported.iter().map(Unsupported::diagnostic));
    Compiled {
        config: built.config,
        sources: parsed.sources,
        diagnostics,
        places: built.places,
        unsupported: built.unsupported,
    }
}

impl Compiled {
    fn has(&self, severity: Severity) -> bool {
        self.diagnostics.iter().any(|found| found.severity == severity)
    }

    /// keepalived's exit status of a config test: 2 a mandatory word is missing, 4 cannot run,
    /// 5 errors, 6 script security only, 0 nothing that keepalived would speak of.
    pub fn test_exit_code(&self) -> u8 {
        if self.has(Severity::Missing) {
            2
        } else if self.has(Severity::Fatal) {
            4
        } else if self.has(Severity::Error) {
            5
        } else if self.has(Severity::ScriptSecurity) {
            6
        } else {
            0
        }
    }

    /// Why a daemon must not run with this, if it must not.
    pub fn refusal(&self) -> Option<Severity> {
        [Severity::Missing, Severity::Fatal].into_iter().find(|severity| self.has(*severity))
    }
}
