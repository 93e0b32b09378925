//! Where log lines go: syslog, the console, a file. `tracing` carries them; this is its last stop.
//!
//! Lines keep keepalived's wording and form, since scripts and dashboards look for them. Further
//! facts travel as fields and are shown with `-D -D`. Writing never blocks an election: syslog is a
//! non-blocking datagram, and what does not fit is counted and told later.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::{Context, SubscriberExt as _};

const SYSLOG_SOCKET: &str = "/dev/log";

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Detail {
    /// What an operator must know.
    #[default]
    Normal,
    /// `-D`: also what happens in the ordinary course of things.
    Detailed,
    /// `-D -D`: also the facts behind each line.
    Extra,
}

/// A syslog facility's number (3 is daemon).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facility(pub u8);

impl Facility {
    /// `daemon`, keepalived's default.
    pub const DAEMON: Self = Self(3);

    /// `0`..`7` and `local0`..`local7`, `user`, `daemon`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "daemon" => Some(Self::DAEMON),
            "user" => Some(Self(1)),
            _ => {
                let number: u8 = text.strip_prefix("local").unwrap_or(text).parse().ok()?;
                (number <= 7).then_some(Self(16 + number))
            }
        }
    }
}

/// Where this process logs to.
#[derive(Debug)]
pub struct LogOptions<'a> {
    /// Name in syslog: `Keepalived`, `Keepalived_vrrp`, …
    pub ident: &'a str,
    /// `-l`.
    pub console: bool,
    /// Absent with `-G`.
    pub syslog: Option<Facility>,
    /// `-g`.
    pub file: Option<&'a Path>,
    /// `-D`.
    pub detail: Detail,
}

/// Starts logging for the whole process. Call once; a second call changes nothing.
pub fn start(options: &LogOptions<'_>) {
    let sink = Sink {
        ident: options.ident.to_owned(),
        console: options.console,
        syslog: options.syslog.map(|facility| Syslog {
            facility,
            socket: Mutex::new(None),
            lost: AtomicU64::new(0),
        }),
        file: options.file.and_then(|path| {
            File::options().create(true).append(true).open(path).ok().map(Mutex::new)
        }),
        fields: options.detail == Detail::Extra,
    };
    let level = match options.detail {
        Detail::Normal => LevelFilter::INFO,
        Detail::Detailed | Detail::Extra => LevelFilter::DEBUG,
    };
    // Only our own lines: a library's chatter is not what an operator asked for.
    let ours = filter_fn(move |line: &Metadata<'_>| {
        *line.level() <= level && line.target().starts_with("steadfast")
    });
    let filter = ours.with_max_level_hint(level);
    let subscriber = tracing_subscriber::registry().with(sink.with_filter(filter));
    // Already started: the first one stays.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

struct Sink {
    ident: String,
    console: bool,
    syslog: Option<Syslog>,
    file: Option<Mutex<File>>,
    fields: bool,
}

impl<S: Subscriber> Layer<S> for Sink {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line { message: String::new(), fields: String::new() };
        event.record(&mut line);
        if self.fields {
            line.message.push_str(&line.fields);
        }
        for text in line.message.lines() {
            self.write(*event.metadata().level(), text);
        }
    }
}

impl Sink {
    fn write(&self, level: Level, text: &str) {
        if let Some(syslog) = &self.syslog {
            syslog.send(level, &self.ident, text);
        }
        if self.console || self.file.is_some() {
            let line = format!("{}: {text}\n", local_time("%a %b %e %H:%M:%S %Y"));
            if self.console {
                // A closed console must not end the daemon.
                let _ = std::io::stdout().lock().write_all(line.as_bytes());
            }
            if let Some(file) = &self.file
                && let Ok(mut file) = file.lock()
            {
                // A full disk must not end the daemon.
                let _ = file.write_all(line.as_bytes());
            }
        }
    }
}

struct Syslog {
    facility: Facility,
    socket: Mutex<Option<UnixDatagram>>,
    lost: AtomicU64,
}

impl Syslog {
    fn send(&self, level: Level, ident: &str, text: &str) {
        let Ok(mut socket) = self.socket.lock() else {
            return;
        };
        if socket.is_none() {
            *socket = connect_syslog();
        }
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let told = format!("{lost} log lines were lost: syslog did not take them");
            if !self.send_line(&mut socket, Level::WARN, ident, &told) {
                self.lost.fetch_add(lost, Ordering::Relaxed);
            }
        }
        if !self.send_line(&mut socket, level, ident, text) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn send_line(
        &self,
        socket: &mut Option<UnixDatagram>,
        level: Level,
        ident: &str,
        text: &str,
    ) -> bool {
        let line = syslog_line(self.facility, level, ident, text);
        for _ in 0..2 {
            let Some(connected) = socket else {
                return false;
            };
            match connected.send(line.as_bytes()) {
                Ok(_) => return true,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return false,
                // syslogd was restarted: its socket is a new one.
                Err(_) => *socket = connect_syslog(),
            }
        }
        false
    }
}

fn connect_syslog() -> Option<UnixDatagram> {
    let socket = UnixDatagram::unbound().ok()?;
    socket.connect(SYSLOG_SOCKET).ok()?;
    socket.set_nonblocking(true).ok()?;
    Some(socket)
}

/// RFC 3164 section 4.1, without the host name, as local programs send it.
fn syslog_line(facility: Facility, level: Level, ident: &str, text: &str) -> String {
    let severity = match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    };
    let priority = u16::from(facility.0) * 8 + severity;
    let time = local_time("%b %e %H:%M:%S");
    format!("<{priority}>{time} {ident}[{}]: {text}", std::process::id())
}

struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        // Writing to a String cannot fail.
        let _ = if field.name() == "message" {
            write!(self.message, "{value:?}")
        } else {
            write!(self.fields, " {}={value:?}", field.name())
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message.push_str(value);
        } else {
            // Writing to a String cannot fail.
            let _ = write!(self.fields, " {}={value}", field.name());
        }
    }
}

/// The wall clock in local time, in a `strftime(3)` format of at most 63 bytes of result.
pub fn local_time(format: &str) -> String {
    let seconds = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    local_time_at(i64::try_from(seconds).unwrap_or(0), format)
}

/// The same for a given second since 1970.
pub fn local_time_at(seconds: i64, format: &str) -> String {
    let Ok(format) = std::ffi::CString::new(format) else {
        return String::new();
    };
    let mut buffer = [0u8; 64];
    // SAFETY: `tm` is plain data that localtime_r fills; `seconds`, `tm`, `format` and `buffer`
    // outlive the calls; strftime writes at most `buffer.len()` bytes.
    let length = unsafe {
        let mut tm: libc::tm = std::mem::zeroed();
        if libc::localtime_r(&raw const seconds, &raw mut tm).is_null() {
            return String::new();
        }
        libc::strftime(buffer.as_mut_ptr().cast(), buffer.len(), format.as_ptr(), &raw const tm)
    };
    String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facilities_are_those_of_the_command_line() {
        assert_eq!(Facility::parse("3"), Some(Facility(19)));
        assert_eq!(Facility::parse("local7"), Some(Facility(23)));
        assert_eq!(Facility::parse("user"), Some(Facility(1)));
        assert_eq!(Facility::parse("8"), None);
        assert_eq!(Facility::parse("mail"), None);
    }

    #[test]
    fn a_syslog_line_carries_priority_name_and_pid() {
        let line = syslog_line(Facility::DAEMON, Level::INFO, "Keepalived_vrrp", "(VI_1) x");
        assert!(line.starts_with("<30>"), "{line}");
        let end = format!(" Keepalived_vrrp[{}]: (VI_1) x", std::process::id());
        assert!(line.ends_with(&end), "{line}");
    }

    #[test]
    fn times_are_formatted_like_ctime() {
        let text = local_time_at(0, "%a %b %e %H:%M:%S %Y");
        assert!(text.ends_with("1970") || text.ends_with("1969"), "{text}");
        assert_eq!(text.len(), 24);
    }
}
