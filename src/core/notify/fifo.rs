//! Lines of notification through named pipes. The parent keeps the pipes and their readers
//! ([`super::fifo_keeper`]); the daemons write.
//!
//! A pipe that is full, because nobody reads, holds nobody up: lines wait in a bounded queue, and
//! what does not fit is counted and told.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};

use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::core::config::model::services::{NotifyFifo, NotifyFifos};
use crate::core::runtime;
use crate::core::time::Interval;

/// Lines that wait for room in the pipe (the kernel's own holds 64 KiB more).
const WAITING: usize = 1024;

/// Opens a pipe for reading and writing, so that opening waits for nobody and the lines stay there
/// when a reader goes. A link, or a file that is no pipe, is refused.
pub fn open(path: &str) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW)
        .open(path)?;
    if file.metadata()?.file_type().is_fifo() {
        Ok(file)
    } else {
        Err(io::Error::other("not a FIFO"))
    }
}

/// The pipes that one process writes to.
#[derive(Debug, Default)]
pub struct FifoWriters {
    writers: Vec<FifoWriter>,
}

impl FifoWriters {
    /// Those of the vrrp process.
    pub fn set_vrrp(&mut self, fifos: &NotifyFifos) {
        self.set([&fifos.all, &fifos.vrrp]);
    }

    /// Those of the check process.
    pub fn set_check(&mut self, fifos: &NotifyFifos) {
        self.set([&fifos.all, &fifos.lvs]);
    }

    /// What is open already and still wanted stays open.
    fn set(&mut self, wanted: [&NotifyFifo; 2]) {
        let mut old = std::mem::take(&mut self.writers);
        for fifo in wanted.into_iter().filter_map(|wanted| wanted.fifo.as_ref()) {
            match old.iter().position(|writer| writer.path == fifo.path) {
                Some(place) => self.writers.push(old.swap_remove(place)),
                None => self.writers.extend(FifoWriter::open(&fifo.path)),
            }
        }
    }

    /// Writes `line` to each, now or when there is room.
    pub fn write(&mut self, line: &str) {
        for writer in &mut self.writers {
            writer.write(line);
        }
    }

    /// Waits until everything is in the pipes, at most `limit`.
    pub async fn drain(&mut self, limit: Interval) {
        let writers = std::mem::take(&mut self.writers);
        let all = async {
            for FifoWriter { lines, task, .. } in writers {
                drop(lines);
                // A task that panicked has nothing left to write.
                let _ = task.await;
            }
        };
        if tokio::time::timeout(limit.to_duration(), all).await.is_err() {
            tracing::warn!("a FIFO is full, what waits for it is lost");
        }
    }
}

#[derive(Debug)]
struct FifoWriter {
    path: String,
    lines: mpsc::Sender<String>,
    task: JoinHandle<()>,
    /// Lines lost since the queue was last found with room.
    lost: u64,
}

impl FifoWriter {
    fn open(path: &str) -> Option<Self> {
        match open(path).and_then(runtime::watch) {
            Ok(pipe) => {
                let (lines, receiver) = mpsc::channel(WAITING);
                let task = tokio::spawn(work(path.to_owned(), pipe, receiver));
                Some(Self { path: path.to_owned(), lines, task, lost: 0 })
            }
            Err(error) => {
                tracing::error!("cannot write to FIFO {path}: {error}");
                None
            }
        }
    }

    fn write(&mut self, line: &str) {
        if self.lines.try_send(line.to_owned()).is_err() {
            if self.lost == 0 {
                tracing::warn!("FIFO {}: {WAITING} lines wait already, losing more", self.path);
            }
            self.lost += 1;
        } else if self.lost > 0 {
            tracing::warn!("FIFO {}: {} lines were lost", self.path, self.lost);
            self.lost = 0;
        }
    }
}

async fn work(path: String, pipe: AsyncFd<File>, mut lines: mpsc::Receiver<String>) {
    while let Some(line) = lines.recv().await {
        loop {
            let Ok(mut ready) = pipe.writable().await else { return };
            // A line is shorter than PIPE_BUF: the pipe takes all of it or nothing.
            match ready.try_io(|pipe| pipe.get_ref().write_all(line.as_bytes())) {
                Ok(Ok(())) => break,
                Ok(Err(error)) => {
                    tracing::error!("cannot write to FIFO {path}: {error}");
                    break;
                }
                // Full.
                Err(_) => {}
            }
        }
    }
}

/// Whether every line in the pipe has been read.
pub fn is_empty(pipe: &File) -> bool {
    runtime::bytes_waiting(pipe).is_none_or(|bytes| bytes == 0)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::core::config::model::services::Fifo;

    fn named(path: &std::path::Path) -> NotifyFifos {
        let path = path.to_str().unwrap().to_owned();
        let all = NotifyFifo { fifo: Some(Fifo { path, owner: None }), reader: None };
        NotifyFifos { all, ..NotifyFifos::default() }
    }

    fn run(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
    }

    #[test]
    fn a_pipe_that_nobody_reads_holds_nobody_up_and_loses_the_newest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRUSR).unwrap();
        run(async {
            let mut writers = FifoWriters::default();
            writers.set_vrrp(&named(&path));
            let line = format!("{}\n", "x".repeat(99));
            for _ in 0..5000 {
                writers.write(&line);
                tokio::task::yield_now().await;
            }
            // The pipe's 64 KiB and the queue are full.
            assert!(writers.writers[0].lost > 3000, "{}", writers.writers[0].lost);
            let mut reader = open(path.to_str().unwrap()).unwrap();
            let mut buffer = vec![0; 1 << 16];
            let got = reader.read(&mut buffer).unwrap();
            assert!(got > 0 && got.is_multiple_of(100), "whole lines: {got}");
            let follows = async {
                while is_empty(&reader) {
                    tokio::task::yield_now().await;
                }
            };
            let limit = std::time::Duration::from_secs(10);
            assert!(tokio::time::timeout(limit, follows).await.is_ok(), "what waited follows");
        });
    }

    #[test]
    fn lines_come_whole_and_in_order_and_a_reload_keeps_the_pipe() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRUSR).unwrap();
        let mut reader = open(path.to_str().unwrap()).unwrap();
        run(async {
            let mut writers = FifoWriters::default();
            writers.set_check(&named(&path));
            writers.write("one\n");
            writers.set_check(&named(&path));
            writers.write("two\n");
            writers.drain(Interval::from_secs(10)).await;
        });
        let mut buffer = [0; 64];
        let got = reader.read(&mut buffer).unwrap();
        assert_eq!(&buffer[..got], b"one\ntwo\n");
        assert!(is_empty(&reader));
    }

    #[test]
    fn a_link_and_a_plain_file_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let plain = folder.path().join("plain");
        std::fs::write(&plain, "precious").unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&plain, &link).unwrap();
        assert!(open(plain.to_str().unwrap()).is_err());
        assert!(open(link.to_str().unwrap()).is_err());
        assert_eq!(std::fs::read_to_string(plain).unwrap(), "precious");
    }
}
