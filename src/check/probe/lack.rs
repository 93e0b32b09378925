//! What this host lacks: files, memory, ports, an address of `bindto`. Then a server has not been asked,
//! and nothing is known of it. keepalived too leaves a server as it is where its TCP, HTTP or SMTP
//! check finds no socket, cannot bind it, or has no address to connect from.

use std::error::Error;
use std::fmt;
use std::io;

use crate::check::engine::Outcome;

/// An error before the server had any part in it.
#[derive(Debug)]
struct Lack(io::Error);

impl fmt::Display for Lack {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl Error for Lack {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

/// Marks an error as ours; its kind stays.
pub fn mark(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), Lack(error))
}

/// Whether an error says nothing of the server.
pub fn is_ours(error: &io::Error) -> bool {
    let marked = error.get_ref().is_some_and(<dyn Error + Send + Sync>::is::<Lack>);
    marked
        || matches!(
            error.raw_os_error(),
            // No port is left (TCP, UDP), or no address of this family to connect from.
            Some(
                libc::EADDRNOTAVAIL
                    | libc::EADDRINUSE
                    | libc::EAGAIN
                    | libc::EMFILE
                    | libc::ENFILE
                    | libc::ENOBUFS
                    | libc::ENOMEM
            )
        )
}

/// What becomes of a probe that ended with `error`: nothing but that, if it is ours.
pub fn unasked(error: &io::Error) -> Option<Outcome> {
    is_ours(error).then(|| Outcome::Unasked { why: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ours_is_told_from_what_is_the_server_s() {
        for number in [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM, libc::EADDRNOTAVAIL]
        {
            assert!(is_ours(&io::Error::from_raw_os_error(number)), "{number}");
        }
        for number in [libc::ECONNREFUSED, libc::ENETUNREACH, libc::EHOSTUNREACH, libc::ECONNRESET]
        {
            let error = io::Error::from_raw_os_error(number);
            assert!(!is_ours(&error), "{number}");
            let marked = mark(error);
            assert!(is_ours(&marked));
            assert_eq!(marked.kind(), io::Error::from_raw_os_error(number).kind());
        }
        assert!(!is_ours(&io::ErrorKind::TimedOut.into()));
    }
}
