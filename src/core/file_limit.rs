//! How many files the process may have open. The usual limit of 1,024 is there for programs that use
//! select(2); a check process with more probes than that would take its own want of files for dead
//! servers.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// What it was before; 0 if it has not been raised.
static FORMER: AtomicU64 = AtomicU64::new(0);

/// Raises the limit to `wanted`, or as far as the hard limit lets it; never lowers it. Gives what it is
/// then.
pub fn raise(wanted: u64) -> io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let better = wanted.min(hard);
    if better <= soft {
        return Ok(soft);
    }
    setrlimit(Resource::RLIMIT_NOFILE, better, hard)?;
    // The first one counts.
    let _ = FORMER.compare_exchange(0, soft, Ordering::Relaxed, Ordering::Relaxed);
    Ok(better)
}

/// For a program that is about to be executed: what it was. Only system calls.
pub fn restore() -> io::Result<()> {
    match FORMER.load(Ordering::Relaxed) {
        0 => Ok(()),
        former => {
            let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
            Ok(setrlimit(Resource::RLIMIT_NOFILE, former, hard)?)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_as_far_as_it_may_be_and_given_back() {
        let limit = || getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        let (_, hard) = limit();
        let most = hard.min(900);
        setrlimit(Resource::RLIMIT_NOFILE, 300, most).unwrap();
        restore().unwrap();
        assert_eq!(limit(), (300, most), "nothing to give back");
        assert_eq!((raise(100).unwrap(), limit()), (300, (300, most)));
        assert_eq!((raise(500).unwrap(), limit()), (500, (500, most)));
        assert_eq!((raise(5000).unwrap(), limit()), (most, (most, most)));
        restore().unwrap();
        assert_eq!(limit(), (300, most));
    }
}
