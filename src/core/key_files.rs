//! Key files of `auth_hmac`, read by threads of their own: a file system that hangs (NFS) must delay
//! nobody, least of all an advert.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use super::config::surroundings::{KeyFile, read_key};

/// What a file is given before its key counts as unreadable.
pub const PATIENCE: Duration = Duration::from_secs(1);
/// Threads at a time, those that hang among them.
const MOST_READERS: usize = 8;
/// Reading a small file needs little.
const STACK: usize = 128 << 10;

/// What became of a file.
pub type KeyRead = (String, io::Result<KeyFile>);
/// How a file is read.
type Reader = fn(&str) -> io::Result<KeyFile>;

static READERS: AtomicUsize = AtomicUsize::new(0);

/// Begins to read files; `tell` hears of each, on another thread. It never hears of one that hangs.
pub fn begin(paths: BTreeSet<String>, tell: impl Fn(KeyRead) + Send + Sync + 'static) {
    begin_with(read_key, &READERS, paths, tell);
}

fn begin_with(
    reader: Reader,
    readers: &'static AtomicUsize,
    paths: BTreeSet<String>,
    tell: impl Fn(KeyRead) + Send + Sync + 'static,
) {
    let threads = paths.len().min(MOST_READERS);
    let queue = Arc::new(Mutex::new(VecDeque::from_iter(paths)));
    let tell = Arc::new(tell);
    let next = |queue: &Mutex<VecDeque<String>>| {
        queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    };
    let mut started = 0;
    for _ in 0..threads {
        let free = |count: usize| (count < MOST_READERS).then_some(count + 1);
        if readers.fetch_update(Ordering::Relaxed, Ordering::Relaxed, free).is_err() {
            break;
        }
        let (queue, tell) = (Arc::clone(&queue), Arc::clone(&tell));
        let work = move || {
            while let Some(path) = next(&queue) {
                let read = reader(&path);
                tell((path, read));
            }
            readers.fetch_sub(1, Ordering::Relaxed);
        };
        let builder = thread::Builder::new().name("key-reader".to_owned()).stack_size(STACK);
        match builder.spawn(work) {
            Ok(_) => started += 1,
            Err(_) => {
                readers.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }
    if started == 0 {
        while let Some(path) = next(&queue) {
            tell((path, Err(io::Error::other("reads of earlier keys still hang"))));
        }
    }
}

/// Reads files, and waits for [`PATIENCE`] in all. For those that do not wait for anything else.
pub fn read_all(paths: BTreeSet<String>) -> BTreeMap<String, io::Result<KeyFile>> {
    read_all_with(read_key, &READERS, paths, PATIENCE)
}

fn read_all_with(
    reader: Reader,
    readers: &'static AtomicUsize,
    paths: BTreeSet<String>,
    patience: Duration,
) -> BTreeMap<String, io::Result<KeyFile>> {
    let until = Instant::now() + patience;
    let (sender, results) = mpsc::channel();
    let mut found: BTreeMap<_, _> = paths.iter().map(|path| (path.clone(), Err(hangs()))).collect();
    begin_with(reader, readers, paths, move |read| {
        // Nobody listens any more to what comes too late.
        let _ = sender.send(read);
    });
    while let Ok((path, read)) =
        results.recv_timeout(until.saturating_duration_since(Instant::now()))
    {
        found.insert(path, read);
    }
    found
}

/// What is wrong with a file that has not been read in time.
pub fn hangs() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "its file system does not answer")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two of the files hang until the tests end.
    fn hanging(path: &str) -> io::Result<KeyFile> {
        if path.starts_with("hangs") {
            loop {
                thread::park();
            }
        }
        if path == "absent" {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(KeyFile { bytes: path.as_bytes().to_vec(), exposed: false })
    }

    fn paths(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn files_that_hang_hold_up_no_others() {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let names = ["absent", "hangs", "hangs too", "sound", "sounds"];
        let found = read_all_with(hanging, &COUNT, paths(&names), Duration::from_millis(300));
        let kind =
            |name: &str| found[name].as_ref().map_err(io::Error::kind).map(|key| &key.bytes[..]);
        assert_eq!(kind("sound"), Ok(&b"sound"[..]));
        assert_eq!(kind("sounds"), Ok(&b"sounds"[..]));
        assert_eq!(kind("absent"), Err(io::ErrorKind::NotFound));
        assert_eq!(kind("hangs"), Err(io::ErrorKind::TimedOut));
        assert_eq!(kind("hangs too"), Err(io::ErrorKind::TimedOut));
    }

    #[test]
    fn threads_that_hang_are_few() {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        for _ in 0..MOST_READERS {
            let found = read_all_with(hanging, &COUNT, paths(&["hangs"]), Duration::ZERO);
            assert!(found["hangs"].is_err());
        }
        assert_eq!(COUNT.load(Ordering::Relaxed), MOST_READERS);
        let found = read_all_with(hanging, &COUNT, paths(&["sound"]), Duration::from_secs(60));
        assert_eq!(found["sound"].as_ref().unwrap_err().kind(), io::ErrorKind::Other);
    }
}
