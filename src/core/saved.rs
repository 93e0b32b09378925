//! `config_save_dir`: each configuration that was taken, and the state of each process before and
//! after a reload, for whoever looks for what a reload did.
//!
//! The names are keepalived's: `keepalived.conf.PID.NUMBER` of the parent,
//! `keepalived_vrrp.PID.NUMBER.pre` and `.post` of a child; number 0 is the start.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::config::model::global::Global;
use super::config::preprocess::preprocess_into;
use super::config::source::{Frozen, SourceSet};

/// What one process has saved so far.
#[derive(Debug, Default)]
pub struct Saver {
    reloads: u64,
}

impl Saver {
    /// The parent has taken a configuration: its lines, includes and definitions worked in.
    pub fn configuration(&mut self, global: &Global, sources: &SourceSet) {
        let number = self.reloads;
        self.reloads += 1;
        save(global, &format!("keepalived.conf.{}.{number}", std::process::id()), |file| {
            let mut result = Ok(());
            preprocess_into(sources.main(), &mut Frozen(sources), &mut |line| {
                if result.is_ok() {
                    result = writeln!(file, "{}", line.text);
                }
            });
            result
        });
    }

    /// One more reload begins.
    pub const fn begin(&mut self) {
        self.reloads += 1;
    }

    /// What a child has before the reload that has begun.
    pub fn before(&self, global: &Global, process: &str, state: impl FnOnce() -> String) {
        self.state(global, process, "pre", state);
    }

    /// What it has after it.
    pub fn after(&self, global: &Global, process: &str, state: impl FnOnce() -> String) {
        self.state(global, process, "post", state);
    }

    fn state(&self, global: &Global, process: &str, when: &str, state: impl FnOnce() -> String) {
        let name = format!("keepalived_{process}.{}.{}.{when}", std::process::id(), self.reloads);
        save(global, &name, |file| file.write_all(state().as_bytes()));
    }
}

fn save(global: &Global, name: &str, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) {
    let Some(folder) = global.files.save_directory.as_deref().map(Path::new) else { return };
    let path = folder.join(name);
    let saved = || {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        // Passwords may be in it; what somebody else has put there is never followed.
        let mode = 0o600 & !u32::from(global.files.mask());
        let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path)?;
        let mut file = BufWriter::new(file);
        write(&mut file)?;
        file.flush()
    };
    if let Err(error) = saved() {
        tracing::error!("cannot save {}: {error}", path.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations_and_states_are_kept_side_by_side() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a/b");
        let mut global = Global::default();
        let text = "$X=secret\n# a comment\nvrrp_instance V {\n  auth_pass $X\n}\n";
        let sources = SourceSet::from_text("a.conf", text);
        let (mut parent, mut child) = (Saver::default(), Saver::default());
        parent.configuration(&global, &sources);
        assert!(!inner.exists(), "nothing is saved unasked");
        global.files.save_directory = Some(inner.display().to_string());
        parent.configuration(&global, &sources);
        child.begin();
        child.before(&global, "vrrp", || "one".to_owned());
        child.after(&global, "vrrp", || "two".to_owned());
        let pid = std::process::id();
        let read = |name: &str| std::fs::read_to_string(inner.join(name)).unwrap();
        let lines = read(&format!("keepalived.conf.{pid}.1"));
        assert!(lines.contains("auth_pass secret") && !lines.contains("comment"), "{lines}");
        assert_eq!(read(&format!("keepalived_vrrp.{pid}.1.pre")), "one");
        assert_eq!(read(&format!("keepalived_vrrp.{pid}.1.post")), "two");
        let mode = |path: &Path| {
            let found = std::fs::metadata(path).unwrap();
            std::os::unix::fs::PermissionsExt::mode(&found.permissions()) & 0o777
        };
        assert_eq!(mode(&inner), 0o700);
        assert_eq!(mode(&inner.join(format!("keepalived.conf.{pid}.1"))), 0o600);
        // Somebody else's link is replaced, never followed.
        let victim = folder.path().join("victim");
        std::fs::write(&victim, "precious").unwrap();
        let name = inner.join(format!("keepalived_vrrp.{pid}.2.pre"));
        std::os::unix::fs::symlink(&victim, &name).unwrap();
        child.begin();
        child.before(&global, "vrrp", || "three".to_owned());
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
        assert_eq!(std::fs::read_to_string(&name).unwrap(), "three");
    }
}
