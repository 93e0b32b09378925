//! The named pipes of notifications, and the programs that read them. The parent keeps both, so
//! that a daemon that dies and comes back finds pipe and reader as they were.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use nix::sys::stat::Mode;
use nix::unistd::{chown, mkfifo};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::fifo;
use super::script::{self, Outcome, ScriptPolicy};
use crate::core::config::model::Script;
use crate::core::config::model::services::{Fifo, NotifyFifo};
use crate::core::time::Interval;

/// Between two looks whether a reader has caught up.
const LOOK: Duration = Duration::from_millis(5);

/// What a reader gets to see that nobody writes any more.
const FAREWELL: Duration = Duration::from_millis(200);

/// Pipes that are there, with their readers.
#[derive(Debug, Default)]
pub struct FifoKeeper {
    kept: Vec<Kept>,
}

#[derive(Debug)]
struct Kept {
    wanted: NotifyFifo,
    fifo: Fifo,
    pipe: File,
    /// Made by us: it goes when we go.
    made: bool,
    reader: Option<Reader>,
}

#[derive(Debug)]
struct Reader {
    end: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl FifoKeeper {
    /// Makes what is wanted, with `mode`; what is not, or differs, goes meanwhile.
    pub fn set(
        &mut self,
        wanted: &[&NotifyFifo],
        policy: &ScriptPolicy,
        mode: u32,
        grace: Interval,
    ) {
        let (kept, mut gone): (Vec<Kept>, Vec<Kept>) = std::mem::take(&mut self.kept)
            .into_iter()
            .partition(|kept| wanted.contains(&&kept.wanted));
        self.kept = kept;
        for wanted in wanted {
            let there = self.kept.iter().any(|kept| kept.wanted == **wanted);
            let Some(fifo) = wanted.fifo.as_ref().filter(|_| !there) else { continue };
            let (pipe, made) = match make(fifo, policy, mode) {
                Ok(found) => found,
                Err(error) => {
                    tracing::error!("cannot make FIFO {}: {error}", fifo.path);
                    continue;
                }
            };
            // The same pipe with another reader is not removed with the old one.
            let before = gone.iter_mut().find(|old| old.fifo.path == fifo.path);
            let made = made || before.is_some_and(|old| std::mem::take(&mut old.made));
            let reader =
                wanted.reader.as_ref().and_then(|reader| start(reader, &fifo.path, policy));
            let fifo = fifo.clone();
            self.kept.push(Kept { wanted: (*wanted).clone(), fifo, pipe, made, reader });
        }
        if !gone.is_empty() {
            tokio::spawn(close(gone, grace));
        }
    }

    /// Lets the readers take what is left, at most `grace`; then ends them, and removes what was
    /// made here.
    pub async fn end(&mut self, grace: Interval) {
        close(std::mem::take(&mut self.kept), grace).await;
    }
}

async fn close(gone: Vec<Kept>, grace: Interval) {
    let read = async {
        for kept in gone.iter().filter(|kept| kept.reader.is_some()) {
            while !fifo::is_empty(&kept.pipe) {
                tokio::time::sleep(LOOK).await;
            }
        }
    };
    if tokio::time::timeout(grace.to_duration(), read).await.is_err() {
        tracing::warn!("the reader of a FIFO does not read, what is in it is lost");
    }
    for Kept { fifo, pipe, made, reader, .. } in gone {
        // A reader that sees the end of the pipe ends by itself, with everything written.
        drop(pipe);
        if let Some(Reader { end, mut task }) = reader
            && tokio::time::timeout(FAREWELL, &mut task).await.is_err()
        {
            // Refused when it has ended by itself.
            let _ = end.send(());
            // A task that panicked has nothing left to end.
            let _ = task.await;
        }
        if made && let Err(error) = std::fs::remove_file(&fifo.path) {
            tracing::warn!("cannot remove FIFO {}: {error}", fifo.path);
        }
    }
}

/// The pipe, and whether it had to be made. One that was there must belong to root or to the
/// account that is configured: who owns it can read along and write.
fn make(fifo: &Fifo, policy: &ScriptPolicy, mode: u32) -> io::Result<(File, bool)> {
    let owner = script::account(fifo.owner.as_ref(), policy).map_err(io::Error::other)?;
    let path = fifo.path.as_str();
    let made = match mkfifo(path, Mode::from_bits_truncate(mode)) {
        Ok(()) => true,
        Err(nix::errno::Errno::EEXIST) => false,
        Err(error) => return Err(error.into()),
    };
    if made && nix::unistd::geteuid().is_root() {
        chown(path, Some(owner.uid()), Some(owner.gid()))?;
    }
    let pipe = fifo::open(path)?;
    let found = pipe.metadata()?.uid();
    if found != 0 && found != owner.uid().as_raw() && found != nix::unistd::geteuid().as_raw() {
        return Err(io::Error::other(format!("it belongs to user {found}")));
    }
    Ok((pipe, made))
}

/// The reader gets the path as its last argument. When it ends by itself it is not started again.
fn start(reader: &Script, path: &str, policy: &ScriptPolicy) -> Option<Reader> {
    let name = reader.path().to_owned();
    let running = match script::start(reader, &[path.to_owned()], policy) {
        Ok(running) => running,
        Err(why) => {
            tracing::error!("FIFO script `{name}` could not be run: {why}");
            return None;
        }
    };
    let (end, ended) = oneshot::channel();
    let task = tokio::spawn(async move {
        match running.finish_or(ended).await {
            None => {}
            Some(Outcome::Exited(status)) => {
                tracing::warn!("FIFO script `{name}` exited with status {status}");
            }
            Some(Outcome::Signalled(signal)) => {
                tracing::warn!("FIFO script `{name}` was ended by signal {signal}");
            }
            Some(Outcome::TimedOut | Outcome::NotStarted(_)) => {
                tracing::warn!("FIFO script `{name}` has ended");
            }
        }
    });
    Some(Reader { end, task })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use super::*;
    use crate::core::config::model::ScriptUser;

    const GRACE: Interval = Interval::from_secs(20);

    fn policy() -> ScriptPolicy {
        let me = nix::unistd::getuid().to_string();
        ScriptPolicy {
            default_user: Some(ScriptUser { user: me, group: None }),
            ..ScriptPolicy::default()
        }
    }

    fn pipe(path: &Path, reader: Option<&str>) -> NotifyFifo {
        let path = path.to_str().unwrap().to_owned();
        let words = |command: &str| ["/bin/sh", "-c", command, "sh"].map(str::to_owned).to_vec();
        NotifyFifo {
            fifo: Some(Fifo { path, owner: None }),
            reader: reader.map(|command| Script { words: words(command), user: None }),
        }
    }

    fn run(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
    }

    #[test]
    fn the_last_lines_are_read_before_the_reader_is_ended_and_the_pipe_goes() {
        let folder = tempfile::tempdir().unwrap();
        let (path, log) = (folder.path().join("fifo"), folder.path().join("log"));
        let wanted = pipe(&path, Some(&format!("exec cat \"$1\" >>{}", log.display())));
        run(async {
            let mut keeper = FifoKeeper::default();
            keeper.set(&[&wanted], &policy(), 0o600, GRACE);
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            let mut writer = fifo::open(path.to_str().unwrap()).unwrap();
            writer.write_all(b"first\n").unwrap();
            // Nothing differs: pipe and reader stay.
            keeper.set(&[&wanted], &policy(), 0o600, GRACE);
            writer.write_all(b"last\n").unwrap();
            keeper.end(GRACE).await;
        });
        assert_eq!(std::fs::read_to_string(log).unwrap(), "first\nlast\n");
        assert!(!path.exists());
    }

    #[test]
    fn a_pipe_that_was_there_stays_and_a_strange_file_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (path, plain) = (folder.path().join("fifo"), folder.path().join("plain"));
        mkfifo(&path, Mode::S_IRUSR).unwrap();
        std::fs::write(&plain, "precious").unwrap();
        run(async {
            let mut keeper = FifoKeeper::default();
            let wanted = (pipe(&path, None), pipe(&plain, None));
            keeper.set(&[&wanted.0, &wanted.1], &policy(), 0o600, GRACE);
            assert_eq!(keeper.kept.len(), 1);
            keeper.end(GRACE).await;
        });
        assert!(path.exists());
        assert_eq!(std::fs::read_to_string(plain).unwrap(), "precious");
    }
}
