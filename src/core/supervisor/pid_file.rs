//! Pid files with locks: a second daemon finds the first one's lock and goes away.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::{FcntlArg, fcntl};

/// A pid file that is ours while this lives; removed when dropped.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    file: File,
}

/// Why there is no pid file.
#[derive(Debug, thiserror::Error)]
pub enum PidFileError {
    /// Another process holds it.
    #[error("{0} is held by a running daemon")]
    Running(PathBuf),
    /// The file system refuses.
    #[error("cannot write pid file {0}: {1}")]
    Io(PathBuf, io::Error),
}

impl PidFile {
    /// Takes `path` for this process.
    pub fn take(path: &Path) -> Result<Self, PidFileError> {
        let failed = |error: io::Error| PidFileError::Io(path.to_owned(), error);
        // The file may go away between open and lock, when its holder ends: then try the new one.
        for _ in 0..10 {
            let mut file = File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o644)
                .custom_flags(libc::O_NOFOLLOW)
                .open(path)
                .map_err(failed)?;
            let lock = libc::flock {
                l_type: i16::try_from(libc::F_WRLCK).unwrap_or(1),
                l_whence: 0,
                l_start: 0,
                l_len: 0,
                l_pid: 0,
            };
            if fcntl(&file, FcntlArg::F_OFD_SETLK(&lock)).is_err() {
                return Err(PidFileError::Running(path.to_owned()));
            }
            let locked = file.metadata().map_err(failed)?;
            match std::fs::metadata(path) {
                Ok(named) if named.ino() == locked.ino() && named.dev() == locked.dev() => {
                    file.set_len(0).map_err(failed)?;
                    file.write_all(format!("{}\n", std::process::id()).as_bytes())
                        .map_err(failed)?;
                    return Ok(Self { path: path.to_owned(), file });
                }
                Ok(_) | Err(_) => {}
            }
        }
        Err(PidFileError::Running(path.to_owned()))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Gone already: somebody tidied up before us.
        let _ = std::fs::remove_file(&self.path);
        let _ = &self.file;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_refused_until_the_first_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.pid");
        std::fs::write(&path, "99999999 left by a crash\n").unwrap();
        let first = PidFile::take(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        assert!(matches!(PidFile::take(&path), Err(PidFileError::Running(_))));
        drop(first);
        assert!(!path.exists());
        drop(PidFile::take(&path).unwrap());
    }

    #[test]
    fn a_symbolic_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("victim");
        std::fs::write(&target, "precious").unwrap();
        let path = folder.path().join("x.pid");
        std::os::unix::fs::symlink(&target, &path).unwrap();
        assert!(matches!(PidFile::take(&path), Err(PidFileError::Io(..))));
        assert_eq!(std::fs::read_to_string(target).unwrap(), "precious");
    }
}
