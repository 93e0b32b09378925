//! The configuration against the machine: do interfaces, names, scripts and users exist, and could
//! someone other than root replace what root will run?

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};

use super::build::hmac::key_bytes;
use super::build::{Need, PlacedScript};
use super::compile::Compiled;
use super::model::Script;
use crate::core::diagnostics::{Diagnostic, Severity, Span};
use crate::core::iproute::Names;
use crate::core::key_files;
use crate::core::notify::script::ScriptPolicy;
use crate::core::notify::security::{examine_script, is_there};

/// Problems of one severity that are told; more would not be read.
const MOST_PROBLEMS: usize = 1000;
/// More than any key, and a line end.
const LARGEST_KEY: u64 = 1024;

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
    let keys =
        key_files::read_all(compiled.places.keys.iter().map(|(path, _)| path.clone()).collect());
    for (path, span) in &compiled.places.keys {
        found.extend(keys.get(path).and_then(|read| key(path, *span, read)));
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

/// A key of `auth_hmac` that is in a file of its own.
#[derive(Debug)]
pub struct KeyFile {
    /// The key.
    pub bytes: Vec<u8>,
    /// Whether others than the owner of the file can read it.
    pub exposed: bool,
}

/// Reads such a file.
pub fn read_key(path: &str) -> io::Result<KeyFile> {
    // A pipe without a writer would be waited for: at a reload by the process that elects masters.
    let waits_for_nothing = libc::O_NONBLOCK;
    let file = std::fs::File::options().read(true).custom_flags(waits_for_nothing).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let exposed = metadata.mode() & 0o077 != 0;
    let mut text = String::new();
    file.take(LARGEST_KEY).read_to_string(&mut text)?;
    let bytes = key_bytes(text.trim_end_matches(['\r', '\n'])).map_err(io::Error::other)?;
    Ok(KeyFile { bytes, exposed })
}

fn key(path: &str, span: Span, read: &io::Result<KeyFile>) -> Option<Diagnostic> {
    match read {
        Ok(KeyFile { exposed: false, .. }) => None,
        Ok(KeyFile { exposed: true, .. }) => {
            let message = format!("the key in {path} can be read by others than its owner");
            let one = Diagnostic::new(Severity::ScriptSecurity, "key-exposed", span, message);
            Some(one.with_help("chmod 600"))
        }
        Err(why) => {
            let message = format!("the key in {path} cannot be used: {why}");
            let one = Diagnostic::new(Severity::Error, "no-key", span, message);
            Some(one.with_help("an instance that sends with it stays in FAULT"))
        }
    }
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

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::core::config::compile::compile;
    use crate::core::config::source::SourceSet;

    #[test]
    fn a_key_in_a_file_must_be_one_and_be_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let text = format!(
            "vrrp_instance V {{\ninterface lo\nvirtual_router_id 1\nauth_hmac {{\nkey 1 file:{}\n\
             active_key 1\n}}\nvirtual_ipaddress {{\n10.0.0.1\n}}\n}}\n",
            path.display()
        );
        let compiled = compile(&SourceSet::from_text("a.conf", text));
        let codes = || -> Vec<&str> {
            let found = examine(&compiled).into_iter().map(|found| found.code);
            found.filter(|code| code.contains("key")).collect()
        };
        assert_eq!(codes(), ["no-key"]);
        fs::write(&path, "not a key").unwrap();
        assert_eq!(codes(), ["no-key"]);
        fs::write(&path, "0123456789abcdef0123456789abcdef\n").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        assert_eq!(codes(), ["key-exposed"]);
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        assert!(codes().is_empty());
        // A pipe that nobody writes to is told of, not waited for.
        fs::remove_file(&path).unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(codes(), ["no-key"]);
    }
}
