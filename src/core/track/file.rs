//! `track_file`: the number in a file, as it changes.
//!
//! [`value_of`] is the pure part. [`FileTracker`] watches the folders with inotify: a file that is
//! written, replaced, removed or made again is seen, whatever tool does it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::Interest;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::core::config::model::track::TrackFile;
use crate::core::runtime;
use crate::core::time::Interval;

/// As much of a file as can hold its number.
const LONGEST: u64 = 64;
/// A folder that is not there is looked for again.
const MISSING: Interval = Interval::from_secs(1);

/// A file has another number now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileChange {
    /// Name of the `track_file`.
    pub name: String,
    /// Its number.
    pub value: i64,
}

/// The number at the beginning of a text; 0 where there is none, as keepalived has it.
pub fn value_of(text: &str) -> i64 {
    let text = text.trim_start();
    let sign = text.starts_with(['-', '+']).into();
    let digits = text.bytes().skip(sign).take_while(u8::is_ascii_digit).count();
    let number = text.get(..sign + digits).unwrap_or_default();
    match number.parse() {
        Ok(value) => value,
        // Too long: as far away from 0 as can be said.
        Err(_) if digits > 0 && number.starts_with('-') => i64::MIN,
        Err(_) if digits > 0 => i64::MAX,
        Err(_) => 0,
    }
}

/// The number in a file; 0 without one. Only a regular file is read: anything else could block.
fn read(path: &Path) -> i64 {
    let file = std::fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path);
    let Ok(file) = file else { return 0 };
    if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
        return 0;
    }
    let mut bytes = Vec::new();
    match file.take(LONGEST).read_to_end(&mut bytes) {
        Ok(_) => value_of(&String::from_utf8_lossy(&bytes)),
        Err(_) => 0,
    }
}

/// Watches files and reports changes, the first numbers among them.
#[derive(Debug)]
pub struct FileTracker {
    results: mpsc::Sender<FileChange>,
    files: Vec<TrackFile>,
    worker: Option<JoinHandle<()>>,
}

impl Drop for FileTracker {
    fn drop(&mut self) {
        self.stop();
    }
}

impl FileTracker {
    /// A tracker of nothing that reports to `results`.
    pub fn new(results: mpsc::Sender<FileChange>) -> Self {
        Self { results, files: Vec::new(), worker: None }
    }

    /// Watches exactly `files` from now on.
    pub fn set(&mut self, files: &[TrackFile]) {
        if self.files == files {
            return;
        }
        for file in files {
            if !self.files.iter().any(|known| known == file)
                && let Err(error) = initialise(file)
            {
                tracing::error!("track_file {}: cannot write {}: {error}", file.name, file.path);
            }
        }
        self.stop();
        self.files = files.to_vec();
        if !files.is_empty() {
            self.worker = Some(tokio::spawn(watch(files.to_vec(), self.results.clone())));
        }
    }

    /// The numbers in all of them now.
    pub fn read(&self) -> impl Iterator<Item = FileChange> + '_ {
        self.files
            .iter()
            .map(|file| FileChange { name: file.name.clone(), value: read(Path::new(&file.path)) })
    }

    /// Stops watching.
    pub fn stop(&mut self) {
        if let Some(worker) = self.worker.take() {
            worker.abort();
        }
    }
}

/// `init_file`: written when there is none, or in any case.
fn initialise(file: &TrackFile) -> io::Result<()> {
    let Some(initial) = file.initial else { return Ok(()) };
    if initial.overwrite || !Path::new(&file.path).exists() {
        std::fs::write(&file.path, format!("{}\n", initial.value))?;
    }
    Ok(())
}

/// A folder, and the names in it that matter.
type Folders = BTreeMap<PathBuf, BTreeSet<OsString>>;

async fn watch(files: Vec<TrackFile>, results: mpsc::Sender<FileChange>) {
    let mut folders = Folders::new();
    for file in &files {
        let path = Path::new(&file.path);
        if let (Some(folder), Some(name)) = (path.parent(), path.file_name()) {
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            folders.entry(folder.to_owned()).or_default().insert(name.to_owned());
        }
    }
    let mut known = BTreeMap::new();
    loop {
        let watched = subscribe(&folders);
        // Read after the subscription: nothing falls between.
        if report(&files, &mut known, &results).await.is_err() {
            return;
        }
        let waited = match &watched {
            Ok((inotify, true)) => next_change(inotify, &folders).await,
            Ok((inotify, false)) => {
                let change = next_change(inotify, &folders);
                tokio::time::timeout(MISSING.to_duration(), change).await.unwrap_or(Ok(()))
            }
            Err(_) => {
                tokio::time::sleep(MISSING.to_duration()).await;
                Ok(())
            }
        };
        if let Err(error) = waited {
            tracing::error!("track_file: {error}");
            tokio::time::sleep(MISSING.to_duration()).await;
        }
    }
}

async fn report(
    files: &[TrackFile],
    known: &mut BTreeMap<String, i64>,
    results: &mpsc::Sender<FileChange>,
) -> Result<(), mpsc::error::SendError<FileChange>> {
    for file in files {
        let value = read(Path::new(&file.path));
        if known.insert(file.name.clone(), value) != Some(value) {
            results.send(FileChange { name: file.name.clone(), value }).await?;
        }
    }
    Ok(())
}

type Watcher = tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>;

/// Also gives whether every folder is there.
fn subscribe(folders: &Folders) -> io::Result<(Watcher, bool)> {
    let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
    let what = AddWatchFlags::IN_CREATE
        | AddWatchFlags::IN_CLOSE_WRITE
        | AddWatchFlags::IN_MODIFY
        | AddWatchFlags::IN_MOVED_TO
        | AddWatchFlags::IN_MOVED_FROM
        | AddWatchFlags::IN_DELETE
        | AddWatchFlags::IN_DELETE_SELF
        | AddWatchFlags::IN_MOVE_SELF;
    let mut whole = true;
    for folder in folders.keys() {
        whole &= inotify.add_watch(folder, what).is_ok();
    }
    Ok((runtime::watch(std::os::fd::OwnedFd::from(inotify))?, whole))
}

/// Returns when something has happened to one of the names, or to a folder.
async fn next_change(inotify: &Watcher, folders: &Folders) -> io::Result<()> {
    let mut buffer = vec![0; 4096];
    loop {
        let length = inotify
            .async_io(Interest::READABLE, |socket| Ok(nix::unistd::read(socket, &mut buffer)?))
            .await?;
        let events = buffer.get(..length).unwrap_or_default();
        if touches(events, folders) {
            return Ok(());
        }
    }
}

/// Whether one of these `inotify_event`s is about a name that matters, or about no name at all.
fn touches(mut events: &[u8], folders: &Folders) -> bool {
    const HEADER: usize = 16;
    while let Some(header) = events.first_chunk::<HEADER>() {
        let [.., a, b, c, d] = *header;
        let length = usize::try_from(u32::from_ne_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        let Some(rest) = events.get(HEADER..) else { return true };
        let Some(name) = rest.get(..length) else { return true };
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        let known = |names: &BTreeSet<OsString>| {
            names.iter().any(|wanted| wanted.as_encoded_bytes() == name)
        };
        if name.is_empty() || folders.values().any(known) {
            return true;
        }
        events = rest.get(length..).unwrap_or_default();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::config::model::track::{FileEffect, InitialFile};

    #[test]
    fn the_number_at_the_beginning_counts() {
        for (text, value) in [
            ("7\n", 7),
            ("  -12 and more", -12),
            ("+3", 3),
            ("", 0),
            ("x1", 0),
            ("-", 0),
            ("99999999999999999999", i64::MAX),
            ("-99999999999999999999", i64::MIN),
        ] {
            assert_eq!(value_of(text), value, "{text:?}");
        }
    }

    #[test]
    fn whatever_happens_to_the_file_is_seen() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("status");
            let file = TrackFile {
                name: "f".into(),
                path: path.to_string_lossy().into_owned(),
                effect: FileEffect::Times(1),
                initial: Some(InitialFile { value: 5, overwrite: false }),
            };
            let (sender, mut results) = mpsc::channel(8);
            let mut tracker = FileTracker::new(sender);
            tracker.set(std::slice::from_ref(&file));
            let limit = std::time::Duration::from_secs(20);
            let mut next =
                async || tokio::time::timeout(limit, results.recv()).await.unwrap().unwrap().value;
            let now = FileChange { name: "f".into(), value: 5 };
            assert_eq!(tracker.read().collect::<Vec<_>>(), [now], "without waiting");
            assert_eq!(next().await, 5, "init_file");
            std::fs::write(&path, "-3\n").unwrap();
            // A writer may be seen between truncation and writing.
            let mut value = next().await;
            while value == 0 {
                value = next().await;
            }
            assert_eq!(value, -3);
            let other = folder.path().join("other");
            std::fs::write(&other, "8").unwrap();
            std::fs::rename(&other, &path).unwrap();
            assert_eq!(next().await, 8, "replaced");
            std::fs::remove_file(&path).unwrap();
            assert_eq!(next().await, 0, "removed");
            std::fs::create_dir(&path).unwrap();
            std::fs::remove_dir(&path).unwrap();
            std::fs::write(&path, "9").unwrap();
            assert_eq!(next().await, 9, "made again");
            tracker.stop();
        });
    }
}
