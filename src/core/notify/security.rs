//! Could someone other than root replace what root will run?

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};

use super::script::{ScriptPolicy, account_of};
use crate::core::config::model::Script;

/// `Ok(Some(why))` when someone other than root could replace what root will run.
pub fn examine_script(script: &Script, policy: &ScriptPolicy) -> Result<Option<String>, String> {
    let account = account_of(script, policy)
        .map_err(|why| format!("script '{}': {why}, it is not run", script.path()))?;
    let path = find(script.path())
        .ok_or_else(|| format!("script '{}' does not exist or is not executable", script.path()))?;
    if !account.is_root() {
        return Ok(None);
    }
    Ok(weak_component(&path))
}

/// Whether there is such a program.
pub fn is_there(script: &Script) -> bool {
    find(script.path()).is_some()
}

/// Why a script that decides over a router or a server cannot be asked: keepalived goes on without
/// it then, as if it were not configured.
pub fn unusable(script: &Script, policy: &ScriptPolicy) -> Option<String> {
    match examine_script(script, policy) {
        Err(_) if !is_there(script) => Some("not found/accessible".to_owned()),
        Err(why) => Some(why),
        Ok(Some(_)) if policy.security => Some("insecure".to_owned()),
        Ok(_) => None,
    }
}

/// Where the program really is, all links followed: what was examined is what is run, whatever a link
/// says by then.
pub fn real_path(name: &str) -> Option<PathBuf> {
    std::fs::canonicalize(find(name)?).ok()
}

/// The program itself, by `PATH` when it has no slash.
fn find(name: &str) -> Option<PathBuf> {
    let executable = |path: &Path| {
        std::fs::metadata(path)
            .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    if name.contains('/') {
        return Some(PathBuf::from(name)).filter(|path| executable(path));
    }
    let search = std::env::var_os("PATH")?;
    std::env::split_paths(&search).map(|folder| folder.join(name)).find(|path| executable(path))
}

/// The first part of the path that someone other than root can change, and why.
fn weak_component(path: &Path) -> Option<String> {
    let real = std::fs::canonicalize(path).ok()?;
    let mut so_far = PathBuf::new();
    for component in real.components() {
        match component {
            Component::RootDir => so_far.push("/"),
            Component::Normal(name) => so_far.push(name),
            Component::Prefix(_) | Component::CurDir | Component::ParentDir => {}
        }
        let found = std::fs::metadata(&so_far).ok()?;
        let mode = found.permissions().mode();
        let sticky = found.is_dir() && mode & 0o1000 != 0;
        if found.uid() != 0 {
            return Some(format!("{} is not owned by root", so_far.display()));
        }
        if mode & 0o022 != 0 && !sticky {
            return Some(format!("{} can be written by others than root", so_far.display()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(path: &str) -> Script {
        Script { words: vec![path.to_owned()], user: None }
    }

    #[test]
    fn a_script_that_others_can_write_is_unsafe_and_the_part_is_named() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let folder = tempfile::tempdir_in("/root").unwrap();
        let path = folder.path().join("check.sh");
        std::fs::write(&path, "#!/bin/sh\n").unwrap();
        let policy = ScriptPolicy {
            default_user: Some(crate::core::config::model::ScriptUser {
                user: "root".into(),
                group: None,
            }),
            security: true,
            ..ScriptPolicy::default()
        };
        let examined = || examine_script(&script(path.to_str().unwrap()), &policy);
        assert!(examined().unwrap_err().contains("not executable"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(examined(), Ok(None));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o775)).unwrap();
        assert!(examined().unwrap().unwrap().contains("check.sh can be written"));
        // With enable_script_security it is not run, without it is.
        let run = |security| {
            let policy = ScriptPolicy { security, ..policy.clone() };
            let script = script(path.to_str().unwrap());
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(crate::core::notify::script::run(&script, &[], &policy, None))
        };
        assert!(!run(true).is_success());
        assert!(run(false).is_success());
    }
}
