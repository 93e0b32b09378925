//! The configuration against the machine: do interfaces, names, scripts and users exist, and could
//! someone other than root replace what root will run?

use std::collections::BTreeMap;

use super::build::{Need, PlacedScript};
use super::compile::Compiled;
use super::model::Script;
use crate::core::diagnostics::{Diagnostic, Severity, Span};
use crate::core::iproute::Names;
use crate::core::notify::script::ScriptPolicy;
use crate::core::notify::security::{examine_script, is_there};

/// Problems of one severity that are told; more would not be read.
const MOST_PROBLEMS: usize = 1000;

/// Looks at everything that the configuration names.
pub fn examine(compiled: &Compiled) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let global = &compiled.config.global;
    let dynamic = global.vrrp.dynamic_interfaces || global.net_namespace.is_some();
    if !dynamic {
        for (name, span, need) in &compiled.places.interfaces {
            found.extend(interface(name, *span, *need));
        }
    }
    let names = Names::of(&global.files);
    for (table, name, span) in &compiled.places.names {
        if names.number(*table, name).is_none() {
            let message = format!("the name '{name}' is not in {}", table.file());
            let help = format!("define it in /etc/iproute2/{}, or write its number", table.file());
            let found_one = Diagnostic::new(Severity::Error, "unknown-name", *span, message);
            found.push(found_one.with_help(help));
        }
    }
    let policy = ScriptPolicy::of(global);
    found.extend(unsecured(compiled, is_there));
    for PlacedScript { script, span, tracked } in &compiled.places.scripts {
        match examine_script(script, &policy) {
            Ok(None) => {}
            Ok(Some(why)) => {
                let message =
                    format!("Unsafe permissions found for script '{}': {why}", script.path());
                let help = if policy.security {
                    "enable_script_security is set: it is not run"
                } else {
                    "anyone who can change it becomes root"
                };
                found.push(
                    Diagnostic::new(Severity::ScriptSecurity, "script-security", *span, message)
                        .with_help(help),
                );
            }
            Err(why) => {
                let severity =
                    if *tracked || is_there(script) { Severity::Error } else { Severity::Warning };
                let help = if *tracked {
                    "it is not tracked: nobody becomes FAULT for it"
                } else {
                    "it is not run"
                };
                found.push(Diagnostic::new(severity, "script", *span, why).with_help(help));
            }
        }
    }
    let mut seen: BTreeMap<Severity, usize> = BTreeMap::new();
    found.retain(|one| {
        let count = seen.entry(one.severity).or_default();
        *count += 1;
        *count <= MOST_PROBLEMS
    });
    found
}

/// Scripts that root will run without `enable_script_security`, if one of them is there.
pub fn unsecured(compiled: &Compiled, is_there: impl Fn(&Script) -> bool) -> Option<Diagnostic> {
    if compiled.config.global.script_security {
        return None;
    }
    let first = compiled.places.scripts.iter().find(|placed| is_there(&placed.script))?;
    let message =
        "SECURITY VIOLATION - scripts are being executed but script_security not enabled.";
    Some(
        Diagnostic::new(Severity::ScriptSecurity, "script-security", first.span, message)
            .with_help("add `enable_script_security` to global_defs"),
    )
}

fn interface(name: &str, span: Span, need: Need) -> Option<Diagnostic> {
    if nix::net::if_::if_nametoindex(name).is_ok() {
        return None;
    }
    let severity = match need {
        Need::Instance => Severity::Fatal,
        Need::Mentioned => Severity::Error,
    };
    let message = format!("the interface {name} does not exist");
    Some(
        Diagnostic::new(severity, "no-interface", span, message)
            .with_help("with `dynamic_interfaces` in global_defs it may come later"),
    )
}
