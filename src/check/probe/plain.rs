//! `TCP_CHECK`, and `HTTP_GET` without TLS or HTTP/2: checks that come by the thousand. They have no task and no
//! timer each, and only one whose server is slower than the others of its batch is registered with
//! the event loop.

use std::collections::{BTreeSet, HashMap};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use socket2::{Socket, Type};
use tokio::io::unix::AsyncFd;

use super::answer::Answer;
use super::http::{self, Trouble};
use super::{lack, socket, tcp};
use crate::check::engine::{CheckerId, Outcome};
use crate::core::config::model::check::{Checker, Connect, HttpProbe, HttpVersion, Probe, Url};
use crate::core::runtime;
use crate::core::shared::Shared;
use crate::core::time::Timestamp;

/// What is read at once.
const CHUNK: usize = 16 << 10;
/// So many times in a row: a server that sends for ever must not keep the others waiting.
const CHUNKS: usize = 8;
/// Events taken in one system call.
const EVENTS: usize = 64;

/// Distinguishes attempts; never used twice.
pub type Run = u64;

/// What is asked, for whom.
#[derive(Debug, Clone)]
pub struct Question {
    /// Whose probe it is.
    pub id: CheckerId,
    /// This attempt.
    pub run: Run,
    /// What to do.
    pub checker: Shared<Checker>,
    /// Which url of an HTTP probe.
    pub url: usize,
}

/// What is asked in the end.
enum Kind<'a> {
    Tcp(&'a Connect),
    Http(&'a HttpProbe, &'a Url),
}

impl Question {
    fn kind(&self) -> Option<Kind<'_>> {
        match &self.checker.probe {
            Probe::Tcp(connect) => Some(Kind::Tcp(connect)),
            Probe::Http(http) if http.tls.is_none() && http.version != HttpVersion::V2 => {
                let url = http.urls.get(self.url).or(http.urls.first())?;
                Some(Kind::Http(http, url))
            }
            Probe::Http(_)
            | Probe::Dialogue(_)
            | Probe::Smtp(_)
            | Probe::Dns(_)
            | Probe::Udp(_)
            | Probe::Ping(_)
            | Probe::Agent(_)
            | Probe::Grpc(_)
            | Probe::Misc(_) => None,
        }
    }

    /// Whether it can be asked here.
    pub fn is_plain(&self) -> bool {
        self.kind().is_some()
    }
}

/// How an attempt ended.
#[derive(Debug)]
pub struct Ended {
    /// What was asked.
    pub question: Question,
    found: Result<Option<Box<Answer>>, Trouble>,
}

impl Ended {
    /// Whether there is a connection, and nothing more was asked for.
    pub fn is_connected(&self) -> bool {
        matches!(self.found, Ok(None))
    }

    /// What it says of the server.
    pub fn outcome(self, server: &str) -> Outcome {
        match (self.question.kind(), self.found) {
            (Some(Kind::Http(http, url)), Ok(Some(answer))) => {
                http::outcome(http, url, &Ok((*answer, None)), server)
            }
            (Some(Kind::Http(http, url)), Err(trouble)) => {
                http::outcome(http, url, &Err(trouble), server)
            }
            (_, Err(Trouble::Connect(error))) => tcp::outcome(&Err(error), server),
            (_, _) => tcp::outcome(&Ok(()), server),
        }
    }
}

/// A conversation after the connection.
struct Talk {
    request: String,
    sent: usize,
    answer: Box<Answer>,
}

struct Attempt {
    question: Question,
    socket: Socket,
    deadline: Timestamp,
    /// `None` until it is connected.
    talk: Option<Talk>,
    /// What it is registered for.
    registered: Option<EpollFlags>,
}

impl Attempt {
    fn writes(&self) -> bool {
        self.talk.as_ref().is_none_or(|talk| talk.sent < talk.request.len())
    }

    /// Goes on as far as it can; gives the end if it is there. `broken` is what a poll says.
    fn go_on(&mut self, broken: bool, space: &mut [u8]) -> Step {
        if self.talk.is_none() {
            if broken && let Some(error) = self.socket.take_error().unwrap_or_else(Some) {
                return Step::End(Err(Trouble::Connect(error)));
            }
            let Some(Kind::Http(http, url)) = self.question.kind() else {
                return Step::End(Ok(None));
            };
            let request = http::request(http, url);
            self.deadline = runtime::now() + http.connect.timeout;
            self.talk = Some(Talk { request, sent: 0, answer: Box::default() });
        }
        match &mut self.talk {
            Some(talk) if talk.sent < talk.request.len() => talk.send(&self.socket),
            Some(talk) => talk.receive(&self.socket, space),
            None => Step::Wait,
        }
    }

    /// Its time is over.
    fn late(self) -> Ended {
        let trouble = match self.talk {
            None => Trouble::Connect(tcp::late()),
            Some(_) => Trouble::Timeout,
        };
        Ended { question: self.question, found: Err(trouble) }
    }
}

enum Step {
    /// It waits for its server.
    Wait,
    /// There is more to read at once.
    More,
    End(Result<Option<Box<Answer>>, Trouble>),
}

impl Talk {
    fn send(&mut self, socket: &Socket) -> Step {
        while let Some(rest) = self.request.as_bytes().get(self.sent..).filter(|r| !r.is_empty()) {
            match socket.send_with_flags(rest, libc::MSG_NOSIGNAL) {
                Ok(0) => {
                    return Step::End(Err(Trouble::Exchange(io::ErrorKind::WriteZero.into())));
                }
                Ok(sent) => self.sent += sent,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Step::Wait,
                Err(error) => return Step::End(Err(Trouble::Exchange(error))),
            }
        }
        Step::Wait
    }

    fn receive(&mut self, mut socket: &Socket, space: &mut [u8]) -> Step {
        let fault = |trouble| Step::End(Err(trouble));
        for _ in 0..CHUNKS {
            match socket.read(space) {
                // Many servers end a connection without ceremony: what came counts.
                Ok(0) if self.answer.status().is_some() => return self.whole(),
                Ok(0) => return fault(Trouble::Exchange(io::ErrorKind::UnexpectedEof.into())),
                Ok(length) => match self.answer.feed(space.get(..length).unwrap_or_default()) {
                    Ok(true) => return self.whole(),
                    Ok(false) => {}
                    Err(wrong) => return fault(Trouble::Answer(wrong)),
                },
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Step::Wait,
                Err(_) if self.answer.status().is_some() => return self.whole(),
                Err(error) => return fault(Trouble::Exchange(error)),
            }
        }
        Step::More
    }

    fn whole(&mut self) -> Step {
        Step::End(Ok(Some(std::mem::take(&mut self.answer))))
    }
}

/// The attempts under way.
pub struct Plain {
    poll: Epoll,
    /// The same, as the event loop sees it.
    events: AsyncFd<OwnedFd>,
    /// Begun, or a step further, since the last look.
    fresh: Vec<Attempt>,
    /// Those that the event loop watches.
    waiting: HashMap<Run, Attempt>,
    deadlines: BTreeSet<(Timestamp, Run)>,
    ended: Vec<Ended>,
    /// Some have more to read at once.
    more: bool,
    space: Vec<u8>,
}

impl Plain {
    /// Nothing under way; must be called on the event loop.
    pub fn new() -> io::Result<Self> {
        let poll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let events = runtime::watch(poll.0.try_clone()?)?;
        Ok(Self {
            poll,
            events,
            fresh: Vec::new(),
            waiting: HashMap::new(),
            deadlines: BTreeSet::new(),
            ended: Vec::new(),
            more: false,
            space: vec![0; CHUNK],
        })
    }

    /// Begins to connect; what is not [`Question::is_plain`] is not begun.
    pub fn begin(&mut self, now: Timestamp, question: Question) {
        let Some(Kind::Tcp(connect) | Kind::Http(HttpProbe { connect, .. }, _)) = question.kind()
        else {
            return;
        };
        let deadline = now + connect.timeout;
        let begun = socket::open(connect, Type::STREAM, None).and_then(|socket| {
            match socket.connect(&connect.destination.into()) {
                Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
                Ok(()) | Err(_) => Ok(socket),
            }
        });
        match begun {
            Ok(socket) => self.fresh.push(Attempt {
                question,
                socket,
                deadline,
                talk: None,
                registered: None,
            }),
            Err(error) => self.ended.push(Ended { question, found: Err(Trouble::Connect(error)) }),
        }
    }

    /// Gives an attempt up without a result.
    pub fn forget(&mut self, run: Run) {
        match self.waiting.remove(&run) {
            Some(attempt) => {
                self.deadlines.remove(&(attempt.deadline, run));
            }
            None => self.fresh.retain(|attempt| attempt.question.run != run),
        }
    }

    /// Waits until [`Self::step`] has something to do. Can be dropped and called again.
    pub async fn ready(&self) {
        match self.events.readable().await {
            Ok(mut guard) => guard.clear_ready(),
            // Only at the end of the event loop.
            Err(_) => std::future::pending().await,
        }
    }

    /// When [`Self::step`] must be called, whatever happens; the origin of the clock for at once.
    pub fn next_due(&self) -> Option<Timestamp> {
        if self.more || !self.fresh.is_empty() {
            return Some(Timestamp::ZERO);
        }
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Goes on wherever something has happened; gives what has ended.
    pub fn step(&mut self, now: Timestamp) -> Vec<Ended> {
        self.look();
        self.collect();
        // What is there has come in time, however late it is looked at.
        while let Some((at, run)) = self.deadlines.first().copied().filter(|(at, _)| *at <= now) {
            self.deadlines.remove(&(at, run));
            self.ended.extend(self.waiting.remove(&run).map(Attempt::late));
        }
        std::mem::take(&mut self.ended)
    }

    /// A look at what is fresh, in one system call. Whoever needs more time is registered.
    fn look(&mut self) {
        // A second time for those that have asked by then: the server may have been quick.
        for _ in 0..2 {
            let fresh = std::mem::take(&mut self.fresh);
            let said = polled(&fresh);
            for (attempt, said) in fresh.into_iter().zip(said) {
                if said.is_empty() {
                    self.register(attempt);
                } else {
                    let broken = said.intersects(PollFlags::POLLERR | PollFlags::POLLHUP);
                    self.go_on(attempt, broken, |plain, attempt| plain.fresh.push(attempt));
                }
            }
        }
        for attempt in std::mem::take(&mut self.fresh) {
            self.register(attempt);
        }
    }

    /// Takes the events of those that are registered: each is seen once.
    fn collect(&mut self) {
        self.more = false;
        if self.waiting.is_empty() {
            return;
        }
        for _ in 0..=self.waiting.len() / EVENTS {
            let mut events = [EpollEvent::empty(); EVENTS];
            let ready = self.poll.wait(&mut events, EpollTimeout::ZERO).unwrap_or(0);
            for event in events.iter().take(ready) {
                self.happened(*event);
            }
            if ready < EVENTS {
                break;
            }
        }
    }

    fn happened(&mut self, event: EpollEvent) {
        let run = event.data();
        // A child that has not executed its program yet holds sockets that are closed here.
        let Some(attempt) = self.waiting.remove(&run) else { return };
        self.deadlines.remove(&(attempt.deadline, run));
        let broken = event.events().intersects(EpollFlags::EPOLLERR | EpollFlags::EPOLLHUP);
        self.go_on(attempt, broken, Self::register);
    }

    fn go_on(&mut self, mut attempt: Attempt, broken: bool, wait: impl Fn(&mut Self, Attempt)) {
        match attempt.go_on(broken, &mut self.space) {
            Step::Wait => wait(self, attempt),
            Step::More => {
                self.more = true;
                wait(self, attempt);
            }
            Step::End(found) => self.ended.push(Ended { question: attempt.question, found }),
        }
    }

    /// Has the event loop watch it.
    fn register(&mut self, mut attempt: Attempt) {
        let wanted = if attempt.writes() { EpollFlags::EPOLLOUT } else { EpollFlags::EPOLLIN };
        let run = attempt.question.run;
        let event = EpollEvent::new(wanted, run);
        let done = match attempt.registered.replace(wanted) {
            Some(before) if before == wanted => Ok(()),
            Some(_) => self.poll.modify(&attempt.socket, &mut { event }),
            None => self.poll.add(&attempt.socket, event),
        };
        match done {
            Ok(()) => {
                self.deadlines.insert((attempt.deadline, run));
                self.waiting.insert(run, attempt);
            }
            Err(errno) => {
                let found = Err(Trouble::Connect(lack::mark(errno.into())));
                self.ended.push(Ended { question: attempt.question, found });
            }
        }
    }
}

/// What each has to say; nothing if it cannot be asked.
fn polled(attempts: &[Attempt]) -> Vec<PollFlags> {
    let mut places: Vec<PollFd<'_>> = attempts
        .iter()
        .map(|attempt| {
            let wanted = if attempt.writes() { PollFlags::POLLOUT } else { PollFlags::POLLIN };
            PollFd::new(attempt.socket.as_fd(), wanted)
        })
        .collect();
    if places.is_empty() || poll(&mut places, PollTimeout::ZERO).is_err() {
        return vec![PollFlags::empty(); attempts.len()];
    }
    places.iter().map(|place| place.revents().unwrap_or(PollFlags::empty())).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::time::Duration;

    use super::*;
    use crate::check::engine::tests::tcp_checker;
    use crate::check::probe::http::tests::{block_on, connect_to, http, url};
    use crate::core::time::Interval;

    fn patient(destination: SocketAddr) -> Connect {
        Connect { timeout: Interval::from_secs(30), ..connect_to(destination) }
    }

    fn tcp(connect: Connect) -> Checker {
        Checker { probe: Probe::Tcp(connect), ..tcp_checker() }
    }

    fn get(connect: Connect) -> Checker {
        let http = http(connect.destination, url());
        Checker { probe: Probe::Http(HttpProbe { connect, ..http }), ..tcp_checker() }
    }

    fn question(run: Run, checker: Checker) -> Question {
        Question { id: run, run, checker: checker.into(), url: 0 }
    }

    /// Asks all at once; what came of each, in order.
    async fn ask(checkers: Vec<Checker>) -> Vec<Outcome> {
        let mut plain = Plain::new().unwrap();
        let mut outcomes: Vec<Option<Outcome>> = vec![None; checkers.len()];
        for (run, checker) in (0..).zip(checkers) {
            plain.begin(runtime::now(), question(run, checker));
        }
        loop {
            for ended in plain.step(runtime::now()) {
                let run = usize::try_from(ended.question.run).unwrap();
                assert_eq!(outcomes[run].replace(ended.outcome("S")), None, "one result each");
            }
            if outcomes.iter().all(Option::is_some) {
                assert!(plain.waiting.is_empty() && plain.deadlines.is_empty());
                return outcomes.into_iter().flatten().collect();
            }
            let due = plain.next_due();
            tokio::select! {
                () = plain.ready() => {}
                () = runtime::sleep_until(due) => {}
            }
        }
    }

    fn ask_now(checkers: Vec<Checker>) -> Vec<Outcome> {
        block_on(ask(checkers))
    }

    fn words(outcome: &Outcome) -> (bool, &str) {
        match outcome {
            Outcome::Success { text, .. } => (true, text),
            Outcome::Failure { text, .. } => (false, text),
            Outcome::Unasked { why } => panic!("{why}"),
        }
    }

    /// Takes each connection and does something with it.
    fn serve(each: impl Fn(TcpStream) + Send + Sync + Copy + 'static) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                std::thread::spawn(move || each(stream.unwrap()));
            }
        });
        address
    }

    fn read_request(stream: &mut TcpStream) {
        let mut asked = Vec::new();
        while !asked.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if stream.read(&mut byte).unwrap_or(0) == 0 {
                return;
            }
            asked.extend(byte);
        }
    }

    #[test]
    fn a_listening_port_succeeds_and_a_closed_one_fails() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let outcomes = ask_now(vec![tcp(patient(address))]);
        assert_eq!(words(&outcomes[0]), (true, "TCP connection to S success."));
        drop(listener);
        let outcomes = ask_now(vec![tcp(patient(address)), get(patient(address))]);
        assert_eq!(words(&outcomes[0]), (false, "TCP connection to S failed."));
        assert_eq!(words(&outcomes[1]), (false, "Error connecting server S."));
    }

    #[test]
    fn a_connection_that_is_reset_at_once_was_one() {
        block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let mut plain = Plain::new().unwrap();
            plain.begin(runtime::now(), question(0, tcp(patient(listener.local_addr().unwrap()))));
            // Connected, and reset before this side looks.
            let (stream, _) = listener.accept().unwrap();
            socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
            drop(stream);
            let ended = plain.step(runtime::now()).pop().unwrap();
            assert!(!ended.is_connected(), "the reset was seen");
            assert!(words(&ended.outcome("S")).0);
        });
    }

    #[test]
    fn an_answer_counts_however_it_comes() {
        let whole = serve(|mut stream| {
            read_request(&mut stream);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            let _ = stream.read(&mut [0]);
        });
        let closed = serve(|mut stream| {
            read_request(&mut stream);
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nok");
        });
        let slow = serve(|mut stream| {
            read_request(&mut stream);
            for byte in b"HTTP/1.0 200 OK\r\n\r\n" {
                let _ = stream.write_all(&[*byte]);
                let _ = stream.flush();
                std::thread::yield_now();
            }
        });
        let wrong = serve(|mut stream| {
            read_request(&mut stream);
            let _ = stream.write_all(b"HTTP/1.0 500 No\r\n\r\n");
        });
        let outcomes = ask_now(vec![
            get(patient(whole)),
            get(patient(closed)),
            get(patient(slow)),
            get(patient(wrong)),
        ]);
        for outcome in &outcomes[..3] {
            assert_eq!(words(outcome), (true, "HTTP status code success to S url(/x)."));
        }
        let expected = "HTTP status code error to S url(/x), status_code(500).";
        assert_eq!(words(&outcomes[3]), (false, expected));
    }

    #[test]
    fn nobody_waits_for_one_that_is_silent_sends_for_ever_or_does_not_connect() {
        let silent = serve(|mut stream| {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.read(&mut [0]);
        });
        let endless = serve(|mut stream| {
            read_request(&mut stream);
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n");
            while stream.write_all(&[b'x'; 4096]).is_ok() {}
        });
        // A queue of one, which is full: the kernel drops what would connect.
        let full = Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        full.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        full.listen(0).unwrap();
        let deaf = full.local_addr().unwrap().as_socket().unwrap();
        let _first = TcpStream::connect(deaf).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let good = listener.local_addr().unwrap();
        let outcomes = ask_now(vec![
            get(connect_to(silent)),
            get(connect_to(endless)),
            tcp(connect_to(deaf)),
            get(connect_to(deaf)),
            tcp(patient(good)),
        ]);
        assert_eq!(words(&outcomes[0]), (false, "Timeout HTTP read server S."));
        assert_eq!(words(&outcomes[1]), (false, "Timeout HTTP read server S."));
        assert_eq!(words(&outcomes[2]), (false, "TCP connection to S timeout."));
        assert_eq!(words(&outcomes[3]), (false, "Timeout connecting server S."));
        assert!(words(&outcomes[4]).0);
    }

    #[test]
    fn hundreds_at_once_have_a_result_each() {
        let server = serve(|mut stream| {
            read_request(&mut stream);
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n");
        });
        let checkers =
            (0..300).map(|n| if n % 3 == 0 { tcp(patient(server)) } else { get(patient(server)) });
        let outcomes = ask_now(checkers.collect());
        assert_eq!(outcomes.iter().filter(|outcome| words(outcome).0).count(), 300);
    }

    #[test]
    fn one_that_is_forgotten_has_no_result() {
        block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let mut plain = Plain::new().unwrap();
            plain.begin(runtime::now(), question(7, tcp(patient(address))));
            plain.forget(7);
            plain.begin(runtime::now(), question(8, get(patient(address))));
            assert!(plain.step(runtime::now()).is_empty(), "it waits for its answer");
            plain.forget(8);
            let end = runtime::now() + Interval::from_secs(60);
            assert!(plain.step(end).is_empty());
            assert_eq!(plain.next_due(), None);
        });
    }
}
