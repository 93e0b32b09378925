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
    diagnostics.extend(unsecured(&built.config, &built.places));
    // More would not be read.
    diagnostics.extend(built.unsupported.iter().take(1000).map(Unsupported::diagnostic));
    Compiled {
        config: built.config,
        sources: parsed.sources,
        diagnostics,
        places: built.places,
        unsupported: built.unsupported,
    }
}

/// Scripts run by root without `enable_script_security`.
fn unsecured(config: &Config, places: &Places) -> Option<Diagnostic> {
    let (_, span) = places.scripts.first()?;
    if config.global.script_security {
        return None;
    }
    let message =
        "SECURITY VIOLATION - scripts are being executed but script_security not enabled.";
    Some(
        Diagnostic::new(Severity::ScriptSecurity, "script-security", *span, message)
            .with_help("add `enable_script_security` to global_defs"),
    )
}

impl Compiled {
    fn has(&self, severity: Severity) -> bool {
        self.diagnostics.iter().any(|found| found.severity == severity)
    }

    /// keepalived's exit status of a config test: 2 a mandatory word is missing, 6 script security
    /// (it outweighs errors in keepalived 2.2.7, which was measured), 5 errors, 4 cannot run and
    /// nothing else, 0 nothing that keepalived would speak of.
    pub fn test_exit_code(&self) -> u8 {
        let codes = [
            (Severity::Missing, 2),
            (Severity::ScriptSecurity, 6),
            (Severity::Error, 5),
            (Severity::Fatal, 4),
        ];
        codes.into_iter().find(|(severity, _)| self.has(*severity)).map_or(0, |(_, code)| code)
    }

    /// Why a daemon must not run with this, if it must not.
    pub fn refusal(&self) -> Option<Severity> {
        [Severity::Missing, Severity::Fatal].into_iter().find(|severity| self.has(*severity))
    }
}
