//! Another network namespace, for as long as a socket is opened there: it stays a socket of that one.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, setns};

use crate::core::config::model::global::IpvsNamespace;

const EXIT_SOFTWARE: i32 = 70;

/// Where a namespace is named.
fn path(namespace: &IpvsNamespace) -> PathBuf {
    match namespace {
        IpvsNamespace::Default => PathBuf::from("/proc/1/ns/net"),
        IpvsNamespace::Named(name) => Path::new("/run/netns").join(name),
    }
}

/// Does `work` in the namespace. This thread is in its own one again afterwards; a process for which
/// that fails must not go on.
pub fn within<T>(namespace: &IpvsNamespace, work: impl FnOnce() -> T) -> io::Result<T> {
    let there = File::open(path(namespace))?;
    let here = File::open("/proc/thread-self/ns/net")?;
    setns(there.as_fd(), CloneFlags::CLONE_NEWNET)?;
    let done = work();
    if let Err(error) = setns(here.as_fd(), CloneFlags::CLONE_NEWNET) {
        tracing::error!("cannot come back from a network namespace: {error}");
        std::process::exit(EXIT_SOFTWARE);
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_that_is_not_there_is_an_error_and_nothing_is_done() {
        let mut done = false;
        let nowhere = IpvsNamespace::Named("steadfast-no-such".to_owned());
        assert!(within(&nowhere, || done = true).is_err());
        assert!(!done);
    }
}
