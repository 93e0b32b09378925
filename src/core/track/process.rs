//! `vrrp_track_process`: how many processes of a kind there are.
//!
//! [`Census`] is the pure part: who counts, and whether there are enough, with delays. The kernel's
//! process connector tells of every start and end where it can be had (the initial network
//! namespace, with the right to ask); elsewhere `/proc` is read once a second.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::sys::socket::{MsgFlags, NetlinkAddr, bind, recvfrom, sendto};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::core::config::model::services::ReceiveBuffer;
use crate::core::config::model::track::{ParameterMatch, TrackProcess};
use crate::core::receive_buffer;
use crate::core::runtime;
use crate::core::time::{Interval, Timestamp};

/// Without the connector: how often `/proc` is read.
const LOOK: Interval = Interval::from_secs(1);
/// TASK_COMM_LEN without its NUL: the kernel's names are cut there.
const SHORT_NAME: usize = 15;

/// A process kind has gained or lost its quorum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessChange {
    /// Name of the `vrrp_track_process`.
    pub name: String,
    /// Whether there are as many as there should be.
    pub good: bool,
    /// How many there are.
    pub count: usize,
}

/// What is known of one process.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Description {
    /// The kernel's short name.
    pub name: String,
    /// The words it was started with.
    pub command_line: Vec<String>,
}

/// Whether a process is of the kind.
pub fn matches(kind: &TrackProcess, process: &Description) -> bool {
    let command = if kind.full_command {
        process.command_line.first().map(String::as_str)
    } else {
        Some(process.name.as_str())
    };
    let wanted = if kind.full_command {
        kind.command.as_str()
    } else {
        kind.command.get(..SHORT_NAME).unwrap_or(&kind.command)
    };
    let parameters = process.command_line.get(1..).unwrap_or_default();
    let beginning = parameters.get(..kind.parameters.len());
    let fits = match (kind.parameter_match, kind.parameters.split_last()) {
        (None, _) | (Some(ParameterMatch::Partial), None) => true,
        (Some(ParameterMatch::Exact), _) => parameters == kind.parameters,
        (Some(ParameterMatch::Initial), _) => beginning == Some(&kind.parameters),
        (Some(ParameterMatch::Partial), Some((last, before))) => beginning
            .and_then(<[String]>::split_last)
            .is_some_and(|(found, earlier)| earlier == before && found.starts_with(last.as_str())),
    };
    command == Some(wanted) && fits
}

/// The processes of one kind.
#[derive(Debug, Clone)]
pub struct Census {
    kind: TrackProcess,
    members: BTreeSet<i32>,
    /// What was told last.
    told: Option<bool>,
    /// The other state holds since then.
    since: Option<Timestamp>,
}

impl Census {
    /// Nobody yet.
    pub fn new(kind: TrackProcess) -> Self {
        Self { kind, members: BTreeSet::new(), told: None, since: None }
    }

    fn good(&self) -> bool {
        let count = u32::try_from(self.members.len()).unwrap_or(u32::MAX);
        count >= self.kind.quorum && self.kind.quorum_max.is_none_or(|most| count <= most)
    }

    /// A process is there, or is another now.
    pub fn seen(&mut self, pid: i32, process: &Description) {
        if matches(&self.kind, process) {
            self.members.insert(pid);
        } else {
            self.members.remove(&pid);
        }
    }

    /// A process has ended.
    pub fn gone(&mut self, pid: i32) {
        self.members.remove(&pid);
    }

    /// These are all that there are.
    pub fn retain(&mut self, pids: &BTreeMap<i32, Description>) {
        self.members.retain(|pid| pids.contains_key(pid));
    }

    /// What is to be told at `now`, once a change has lasted as long as it must. The first state is
    /// told at once.
    pub fn settle(&mut self, now: Timestamp) -> Option<ProcessChange> {
        let good = self.good();
        if self.told == Some(good) {
            self.since = None;
            return None;
        }
        let delay = if good { self.kind.fork_delay } else { self.kind.terminate_delay };
        let since = *self.since.get_or_insert(now);
        if self.told.is_some() && now < since + delay {
            return None;
        }
        (self.told, self.since) = (Some(good), None);
        Some(ProcessChange { name: self.kind.name.clone(), good, count: self.members.len() })
    }

    /// When [`Self::settle`] may have something to tell.
    pub fn next(&self) -> Option<Timestamp> {
        let delay = if self.good() { self.kind.fork_delay } else { self.kind.terminate_delay };
        self.since.map(|since| since + delay)
    }
}

/// Watches processes and reports changes, the first states among them.
#[derive(Debug)]
pub struct ProcessTracker {
    results: mpsc::Sender<ProcessChange>,
    kinds: Vec<TrackProcess>,
    buffer: ReceiveBuffer,
    worker: Option<JoinHandle<()>>,
}

impl Drop for ProcessTracker {
    fn drop(&mut self) {
        self.stop();
    }
}

impl ProcessTracker {
    /// A tracker of nothing that reports to `results`.
    pub fn new(results: mpsc::Sender<ProcessChange>) -> Self {
        Self { results, kinds: Vec::new(), buffer: ReceiveBuffer::default(), worker: None }
    }

    /// Watches exactly these kinds from now on, with this buffer for the kernel's events.
    pub fn set(&mut self, kinds: &[TrackProcess], buffer: ReceiveBuffer) {
        if self.kinds == kinds && self.buffer == buffer {
            return;
        }
        self.stop();
        (self.kinds, self.buffer) = (kinds.to_vec(), buffer);
        if !kinds.is_empty() {
            self.worker = Some(tokio::spawn(watch(kinds.to_vec(), buffer, self.results.clone())));
        }
    }

    /// Stops watching.
    pub fn stop(&mut self) {
        if let Some(worker) = self.worker.take() {
            worker.abort();
        }
    }
}

async fn watch(
    kinds: Vec<TrackProcess>,
    buffer: ReceiveBuffer,
    results: mpsc::Sender<ProcessChange>,
) {
    let mut censuses: Vec<Census> = kinds.into_iter().map(Census::new).collect();
    // Subscribed before the first look: nothing falls between.
    let connector = Connector::open(buffer);
    if let Err(error) = &connector {
        tracing::info!(
            "track_process: /proc is read every {LOOK} s, the kernel does not tell: {error}"
        );
    }
    let mut look = true;
    loop {
        if std::mem::take(&mut look) {
            let all = everybody();
            for census in &mut censuses {
                census.retain(&all);
                for (pid, process) in &all {
                    census.seen(*pid, process);
                }
            }
        }
        for census in &mut censuses {
            if let Some(change) = census.settle(runtime::now())
                && results.send(change).await.is_err()
            {
                return;
            }
        }
        let next = censuses.iter().filter_map(Census::next).min();
        match &connector {
            Ok(connector) => {
                tokio::select! {
                    heard = connector.next() => match heard {
                        Ok(events) => {
                            for event in events {
                                take(&mut censuses, event);
                            }
                        }
                        // Lost events: everything is looked at again, and more have room.
                        Err(error) => {
                            if error.raw_os_error() == Some(libc::ENOBUFS) {
                                connector.grow(buffer.force);
                            }
                            look = true;
                        }
                    },
                    () = runtime::sleep_until(next), if next.is_some() => {}
                }
            }
            Err(_) => {
                let at = runtime::now() + LOOK;
                runtime::sleep_until(Some(next.map_or(at, |next| next.min(at)))).await;
                look = true;
            }
        }
    }
}

fn take(censuses: &mut [Census], event: ProcessEvent) {
    match event {
        ProcessEvent::Gone(pid) => {
            for census in censuses {
                census.gone(pid);
            }
        }
        ProcessEvent::Changed(pid) => {
            let process = describe(pid).unwrap_or_default();
            for census in censuses {
                census.seen(pid, &process);
            }
        }
    }
}

/// Every process of `/proc`.
fn everybody() -> BTreeMap<i32, Description> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return BTreeMap::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, describe(pid)?)))
        .collect()
}

fn describe(pid: i32) -> Option<Description> {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    let command_line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let mut words: Vec<String> = command_line
        .split(|byte| *byte == 0)
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect();
    // Each word ends with a NUL.
    words.pop();
    Some(Description { name: name.trim_end_matches('\n').to_owned(), command_line: words })
}

/// What the kernel tells of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ProcessEvent {
    /// It is new, or another program now, or has another name.
    Changed(i32),
    /// It has ended.
    Gone(i32),
}

/// NETLINK_CONNECTOR's process events (`linux/cn_proc.h`).
#[derive(Debug)]
struct Connector {
    socket: AsyncFd<OwnedFd>,
}

const CN_IDX_PROC: u32 = 1;
const CN_VAL_PROC: u32 = 1;
const PROC_CN_MCAST_LISTEN: u32 = 1;
const NETLINK_HEADER: usize = 16;
const CONNECTOR_HEADER: usize = 20;
const NLMSG_DONE: u16 = 3;
const FORK: u32 = 0x0000_0001;
const EXEC: u32 = 0x0000_0002;
const COMM: u32 = 0x0000_0200;
const EXIT: u32 = 0x8000_0000;

impl Connector {
    fn open(buffer: ReceiveBuffer) -> io::Result<Self> {
        let connector = Protocol::from(libc::NETLINK_CONNECTOR);
        let socket = Socket::new(Domain::from(libc::AF_NETLINK), Type::DGRAM, Some(connector))?;
        socket.set_nonblocking(true)?;
        receive_buffer::set(&socket, buffer, "process events");
        let descriptor = OwnedFd::from(socket);
        bind(descriptor.as_raw_fd(), &NetlinkAddr::new(0, CN_IDX_PROC))?;
        let mut request = Vec::with_capacity(NETLINK_HEADER + CONNECTOR_HEADER + 4);
        let total = u32::try_from(NETLINK_HEADER + CONNECTOR_HEADER + 4).unwrap_or(0);
        request.extend(total.to_ne_bytes());
        request.extend(NLMSG_DONE.to_ne_bytes());
        request.extend([0; 10]);
        for word in [CN_IDX_PROC, CN_VAL_PROC, 0, 0] {
            request.extend(word.to_ne_bytes());
        }
        request.extend(4u16.to_ne_bytes());
        request.extend(0u16.to_ne_bytes());
        request.extend(PROC_CN_MCAST_LISTEN.to_ne_bytes());
        let kernel = NetlinkAddr::new(0, 0);
        sendto(descriptor.as_raw_fd(), &request, &kernel, MsgFlags::empty())?;
        Ok(Self { socket: runtime::watch(descriptor)? })
    }

    /// Events were lost: twice the room.
    fn grow(&self, force: bool) {
        let Ok(size) = receive_buffer::size(self.socket.get_ref()) else { return };
        let bytes = u32::try_from(size.saturating_mul(2).min(receive_buffer::USUAL)).ok();
        receive_buffer::set(
            self.socket.get_ref(),
            ReceiveBuffer { bytes, force },
            "process events",
        );
    }

    async fn next(&self) -> io::Result<Vec<ProcessEvent>> {
        let mut buffer = [0; 4096];
        let length = self
            .socket
            .async_io(Interest::READABLE, |socket| {
                let (length, sender) = recvfrom::<NetlinkAddr>(socket.as_raw_fd(), &mut buffer)?;
                Ok(if sender.is_some_and(|sender| sender.pid() == 0) { length } else { 0 })
            })
            .await?;
        Ok(parse(buffer.get(..length).unwrap_or_default()).into_iter().collect())
    }
}

/// The event of one datagram.
fn parse(bytes: &[u8]) -> Option<ProcessEvent> {
    use crate::core::netlink::message::u32_at;
    // what: u32, cpu: u32, time: u64, then the event's own fields
    let event = bytes.get(NETLINK_HEADER + CONNECTOR_HEADER..)?;
    let field = |at: usize| Some(i32::from_ne_bytes(u32_at(event, at)?.to_ne_bytes()));
    let (process, group) = (field(16)?, field(20)?);
    match u32_at(event, 0)? {
        // The parent stands first; a thread is no process.
        FORK => {
            let (child, child_group) = (field(24)?, field(28)?);
            (child == child_group).then_some(ProcessEvent::Changed(child))
        }
        EXEC | COMM => (process == group).then_some(ProcessEvent::Changed(process)),
        EXIT => (process == group).then_some(ProcessEvent::Gone(process)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::config::model::vrrp::TrackEffect;

    fn kind(command: &str) -> TrackProcess {
        TrackProcess {
            name: "p".into(),
            command: command.into(),
            parameters: Vec::new(),
            parameter_match: None,
            full_command: false,
            effect: TrackEffect::Fault,
            quorum: 1,
            quorum_max: None,
            terminate_delay: Interval::ZERO,
            fork_delay: Interval::ZERO,
        }
    }

    fn process(name: &str, words: &[&str]) -> Description {
        let command_line = words.iter().map(|word| (*word).to_owned()).collect();
        Description { name: name.to_owned(), command_line }
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::ZERO + Interval::from_secs(seconds)
    }

    #[test]
    fn names_are_compared_as_the_kernel_cuts_them_and_parameters_as_asked() {
        let long = process("a-very-long-nam", &["/opt/a-very-long-name", "-f", "x.conf", "more"]);
        assert!(matches(&kind("a-very-long-name"), &long));
        let full = TrackProcess { full_command: true, ..kind("/opt/a-very-long-name") };
        assert!(matches(&full, &long));
        let with = |parameters: &[&str], how| TrackProcess {
            parameters: parameters.iter().map(|word| (*word).to_owned()).collect(),
            parameter_match: Some(how),
            ..full.clone()
        };
        assert!(!matches(&with(&["-f", "x.conf"], ParameterMatch::Exact), &long));
        assert!(matches(&with(&["-f", "x.conf", "more"], ParameterMatch::Exact), &long));
        assert!(matches(&with(&["-f", "x.conf"], ParameterMatch::Initial), &long));
        assert!(!matches(&with(&["-f", "x"], ParameterMatch::Initial), &long));
        assert!(matches(&with(&["-f", "x"], ParameterMatch::Partial), &long));
        assert!(!matches(&with(&["-g", "x"], ParameterMatch::Partial), &long));
    }

    #[test]
    fn a_quorum_is_gained_and_lost_after_its_delays() {
        let mut census = Census::new(TrackProcess {
            quorum: 2,
            quorum_max: Some(3),
            terminate_delay: Interval::from_secs(5),
            ..kind("x")
        });
        let x = process("x", &["x"]);
        assert_eq!(census.settle(at(0)).map(|change| change.good), Some(false), "told at once");
        census.seen(1, &x);
        assert_eq!(census.settle(at(1)), None);
        census.seen(2, &x);
        assert_eq!(census.settle(at(1)).map(|change| change.good), Some(true));
        census.gone(1);
        assert_eq!(census.settle(at(2)), None);
        assert_eq!(census.next(), Some(at(7)));
        census.seen(3, &x);
        assert_eq!(census.settle(at(3)), None, "back before the delay ended");
        census.gone(3);
        census.settle(at(4));
        assert_eq!(census.settle(at(9)).map(|change| change.good), Some(false));
        for pid in 10..20 {
            census.seen(pid, &x);
        }
        census.settle(at(10));
        assert_eq!(census.told, Some(false), "more than quorum_max");
        // A process becomes another program.
        census.retain(&BTreeMap::from([(2, x.clone()), (10, x.clone()), (11, x.clone())]));
        census.seen(11, &process("y", &["y"]));
        assert_eq!(census.settle(at(11)).map(|change| change.count), Some(2));
    }

    #[test]
    fn events_of_any_bytes_are_harmless() {
        for length in 0..80 {
            for fill in [0u8, 1, 2, 0x80, 0xff] {
                let _ = parse(&vec![fill; length]);
            }
        }
        let mut exit = vec![0; NETLINK_HEADER + CONNECTOR_HEADER];
        exit.extend(EXIT.to_ne_bytes());
        exit.extend([0; 12]);
        exit.extend(77u32.to_ne_bytes());
        exit.extend(77u32.to_ne_bytes());
        assert_eq!(parse(&exit), Some(ProcessEvent::Gone(77)));
    }

    #[test]
    fn the_kernel_tells_of_starts_and_ends_where_it_may() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let buffer = ReceiveBuffer { bytes: Some(50_000), force: false };
            let connector = match Connector::open(buffer) {
                Ok(connector) => connector,
                Err(error) => return eprintln!("SKIPPED: no process connector here: {error}"),
            };
            let mut child = std::process::Command::new("true").spawn().unwrap();
            let pid = i32::try_from(child.id()).unwrap();
            child.wait().unwrap();
            let mut seen = Vec::new();
            let listen = async {
                while !seen.contains(&ProcessEvent::Gone(pid)) {
                    seen.extend(connector.next().await.unwrap_or_default());
                }
            };
            tokio::time::timeout(std::time::Duration::from_secs(20), listen).await.unwrap();
            assert!(seen.contains(&ProcessEvent::Changed(pid)), "{seen:?}");
        });
    }

    #[test]
    fn this_process_is_found() {
        let me = i32::try_from(std::process::id()).unwrap();
        let found = everybody();
        assert!(found.get(&me).is_some_and(|process| !process.command_line.is_empty()));
    }
}
