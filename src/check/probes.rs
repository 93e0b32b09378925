//! The probes under way: each has one of a limited number of places, or waits for one.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::engine::{CheckEngine, CheckerId, Input, Outcome};
use super::places::{Kind, Pace, Place, Places, files_wanted};
use super::probe::plain::{Ended, Plain, Question, Run};
use super::probe::{self, Surroundings};
use crate::core::config::model::check::{Checker, HttpVersion, Probe};
use crate::core::file_limit;
use crate::core::runtime;
use crate::core::shared::Shared;
use crate::core::time::Timestamp;

/// Results that wait to be taken; and stale entries of the queue that are not worth a clearance.
const SLACK: usize = 2048;
/// Probes begun, and results taken, between two looks at everything else.
const MOST_AT_ONCE: usize = 64;

/// With fewer places than this, it is told.
const FEW: u64 = 2048;

/// What a probe's task tells.
type Report = (CheckerId, Run, Outcome);

/// Something has happened.
pub enum Heard {
    /// A task has ended.
    Report(Report),
    /// A plain check can go on.
    Plain,
}

enum Stage {
    /// For a place.
    Waiting,
    Plain(Place),
    Task(Place, AbortHandle),
}

/// All probes.
pub struct Probes {
    surroundings: Arc<Surroundings>,
    running: HashMap<CheckerId, (Run, Stage)>,
    /// Those that wait may have been cancelled.
    places: Places<Question>,
    next_run: Run,
    plain: Plain,
    results: mpsc::Sender<Report>,
    inbox: mpsc::Receiver<Report>,
}

impl Probes {
    /// None; must be called on the event loop.
    pub fn new(surroundings: Surroundings) -> io::Result<Self> {
        let (results, inbox) = mpsc::channel(SLACK);
        let places = Places::new(file_limit::raise(files_wanted())?);
        let most = places.most(Kind::Light);
        if most < FEW {
            tracing::warn!("so few files may be open that only {most} checks go on at once");
        }
        Ok(Self {
            places,
            surroundings: surroundings.into(),
            running: HashMap::new(),
            next_run: 0,
            plain: Plain::new()?,
            results,
            inbox,
        })
    }

    /// What those that begin from now on may need.
    pub fn set_surroundings(&mut self, surroundings: Surroundings) {
        self.surroundings = surroundings.into();
    }

    /// Has a probe begin as soon as there is a place; in [`Self::step`].
    pub fn start(&mut self, id: CheckerId, checker: Shared<Checker>, url: usize, pace: Pace) {
        self.cancel(id);
        let run = self.next_run;
        self.next_run += 1;
        self.running.insert(id, (run, Stage::Waiting));
        let question = Question { id, run, checker, url };
        self.places.push(kind_of(&question), pace, question);
    }

    /// Ends a probe without a result.
    pub fn cancel(&mut self, id: CheckerId) {
        let Some((run, stage)) = self.running.remove(&id) else { return };
        match stage {
            Stage::Waiting => {
                if self.places.waiting() > 2 * self.running.len() + SLACK {
                    let running = &self.running;
                    self.places.retain(|question| is_current(running, question.id, question.run));
                }
            }
            Stage::Plain(place) => {
                self.plain.forget(run);
                self.places.leave(place);
            }
            Stage::Task(place, handle) => {
                handle.abort();
                self.places.leave(place);
            }
        }
    }

    /// Ends all.
    pub fn cancel_all(&mut self) {
        for id in self.running.keys().copied().collect::<Vec<_>>() {
            self.cancel(id);
        }
    }

    /// Whether none is under way or waits.
    pub fn is_idle(&self) -> bool {
        self.running.is_empty()
    }

    /// Waits until something happens. Can be dropped and called again.
    pub async fn heard(&mut self) -> Heard {
        tokio::select! {
            biased;
            Some(report) = self.inbox.recv() => Heard::Report(report),
            () = self.plain.ready() => Heard::Plain,
        }
    }

    /// Tells the engine of it, and of what else is there, but not so much that a timer is late. Those
    /// that are plain go on in [`Self::step`].
    pub fn take(&mut self, heard: Heard, engine: &mut CheckEngine) {
        let Heard::Report(report) = heard else { return };
        self.report(report, engine);
        for _ in 0..MOST_AT_ONCE {
            let Ok(report) = self.inbox.try_recv() else { break };
            self.report(report, engine);
        }
    }

    /// What is told of a probe that was cancelled meanwhile is nobody's.
    fn report(&mut self, (id, run, outcome): Report, engine: &mut CheckEngine) {
        if self.ends(id, run) {
            engine.handle(runtime::now(), Input::Finished { id, outcome });
        }
    }

    fn ends(&mut self, id: CheckerId, run: Run) -> bool {
        let current = is_current(&self.running, id, run);
        if current {
            match self.running.remove(&id) {
                Some((_, Stage::Plain(place) | Stage::Task(place, _))) => self.places.leave(place),
                Some((_, Stage::Waiting)) | None => {}
            }
        }
        current
    }

    /// When [`Self::step`] must be called, whatever happens; the origin of the clock for at once.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.places.is_ready().then_some(Timestamp::ZERO).or(self.plain.next_due())
    }

    /// Begins those that there is a place for, and takes results; whether the engine was told one.
    pub fn step(&mut self, engine: &mut CheckEngine) -> bool {
        let now = runtime::now();
        for _ in 0..MOST_AT_ONCE {
            let Some((place, question)) = self.places.admit() else { break };
            if is_current(&self.running, question.id, question.run) {
                self.begin(now, place, question, engine);
            } else {
                self.places.leave(place);
            }
        }
        let ended = self.plain.step(now);
        let any = !ended.is_empty();
        let now = runtime::now();
        for ended in ended {
            self.concluded(now, ended, engine);
        }
        any
    }

    fn begin(
        &mut self,
        now: Timestamp,
        place: Place,
        question: Question,
        engine: &mut CheckEngine,
    ) {
        let (id, run) = (question.id, question.run);
        engine.handle(now, Input::Started { id });
        let stage = if question.is_plain() {
            self.plain.begin(now, question);
            Stage::Plain(place)
        } else {
            let (results, surroundings) = (self.results.clone(), Arc::clone(&self.surroundings));
            let names = engine.probe_names(id);
            let task = tokio::spawn(async move {
                let Question { checker, url, .. } = question;
                let outcome = probe::run(checker, url, names, surroundings).await;
                // Nobody is left to tell at the end of the process.
                let _ = results.send((id, run, outcome)).await;
            });
            Stage::Task(place, task.abort_handle())
        };
        self.running.insert(id, (run, stage));
    }

    fn concluded(&mut self, now: Timestamp, ended: Ended, engine: &mut CheckEngine) {
        let (id, run) = (ended.question.id, ended.question.run);
        if !self.ends(id, run) {
            return;
        }
        // Thousands of times a second, nobody reads the words.
        let outcome = if ended.is_connected() && !engine.reads_success(id) {
            Outcome::Success { text: String::new(), weight: None, warning: None }
        } else {
            ended.outcome(&engine.probe_names(id).server)
        };
        engine.handle(now, Input::Finished { id, outcome });
    }
}

fn kind_of(question: &Question) -> Kind {
    let heavy = |is: bool| if is { Kind::Heavy } else { Kind::Light };
    match &question.checker.probe {
        Probe::Http(http) => heavy(http.tls.is_some() || http.version == HttpVersion::V2),
        Probe::Dialogue(talk) => heavy(talk.tls.is_some()),
        Probe::Grpc(_) => Kind::Heavy,
        Probe::Misc(_) => Kind::Program,
        Probe::Tcp(_)
        | Probe::Smtp(_)
        | Probe::Dns(_)
        | Probe::Udp(_)
        | Probe::Ping(_)
        | Probe::Agent(_) => Kind::Light,
    }
}

fn is_current(running: &HashMap<CheckerId, (Run, Stage)>, id: CheckerId, run: Run) -> bool {
    running.get(&id).is_some_and(|(current, _)| *current == run)
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::time::{Duration, Instant};

    use socket2::{Domain, Socket, Type};

    use super::*;
    use crate::check::engine::Output;
    use crate::check::engine::tests::tcp_checker;
    use crate::check::health::Health;
    use crate::check::probe::http::tests::{block_on, connect_to};
    use crate::core::config::compile::compile;
    use crate::core::config::model::check::Connect;
    use crate::core::config::source::SourceSet;
    use crate::core::time::Interval;
    use crate::ipvs::model::Table;

    fn text(kind: &str, ports: impl Iterator<Item = (usize, u16)>) -> String {
        let mut text = String::new();
        for (number, port) in ports {
            let (high, low) = (number / 250, number % 250 + 1);
            text.push_str(&format!(
                "virtual_server 10.{high}.0.{low} 80 {{\ndelay_loop 1\nlb_algo rr\nlb_kind NAT\n\
                 protocol TCP\nreal_server 127.0.0.1 {port} {{\nweight 1\n{kind} {{\n\
                 connect_timeout 60\nwarmup 0.01\nretry 0\n}}\n}}\n}}\n"
            ));
        }
        text
    }

    /// A queue of one, which is full: the kernel drops what would connect.
    fn deaf() -> (Socket, SocketAddr, TcpStream) {
        let full = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        full.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        full.listen(0).unwrap();
        let address = full.local_addr().unwrap().as_socket().unwrap();
        let first = TcpStream::connect(address).unwrap();
        (full, address, first)
    }

    /// As the daemon lives, until `done` or `limit`.
    async fn live(
        engine: &mut CheckEngine,
        probes: &mut Probes,
        limit: Duration,
        mut done: impl FnMut(&CheckEngine) -> bool,
    ) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < limit {
            if done(engine) {
                return true;
            }
            engine.handle_timeout(runtime::now());
            while let Some(output) = engine.poll_output() {
                match output {
                    Output::StartProbe { id, checker, url } => {
                        probes.start(id, checker, url, engine.pace(id));
                    }
                    Output::CancelProbe(id) => probes.cancel(id),
                    _ => {}
                }
            }
            probes.step(engine);
            let soon = runtime::now() + Interval::from_millis(20);
            let due = probes.next_due().map_or(soon, |due| due.min(soon));
            tokio::select! {
                heard = probes.heard() => probes.take(heard, engine),
                () = runtime::sleep_until(Some(due)) => {}
            }
        }
        false
    }

    #[test]
    fn thousands_of_silent_servers_do_not_keep_the_living_from_being_checked() {
        const SILENT: usize = 5000;
        let (_full, silent, _first) = deaf();
        let mut listeners: Vec<TcpListener> =
            (0..5).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let ports: Vec<u16> =
            listeners.iter().map(|found| found.local_addr().unwrap().port()).collect();
        let all = (0..SILENT).map(|number| (number, silent.port()));
        let living = ports.iter().enumerate().map(|(n, port)| (SILENT + n, *port));
        let compiled =
            compile(&SourceSet::from_text("test.conf", text("TCP_CHECK", all.chain(living))));
        assert_eq!(compiled.config.check.virtual_servers.len(), SILENT + 5);
        block_on(async {
            let mut probes = Probes::new(Surroundings::default()).unwrap();
            let now = runtime::now();
            let mut engine = CheckEngine::new(now, &compiled.config.check, &Table::new(), 3);
            let proved = |engine: &CheckEngine| {
                engine.services()[SILENT..].iter().all(|service| {
                    let health = service.servers[0].checkers[0].memory.health;
                    health == Health::Up { failures: 0 }
                })
            };
            // The silent ones keep their places for a minute.
            let limit = Duration::from_secs(20);
            assert!(live(&mut engine, &mut probes, limit, proved).await, "they were not asked");
            listeners.pop();
            let found = |engine: &CheckEngine| !engine.services()[SILENT + 4].servers[0].up;
            assert!(live(&mut engine, &mut probes, limit, found).await, "a dead one was not found");
            assert!(engine.services()[..SILENT].iter().all(|service| service.servers[0].up));
        });
    }

    #[test]
    fn each_place_comes_back_however_its_probe_ends() {
        let (_full, silent, _first) = deaf();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let config = text("SMTP_CHECK", [(0, silent.port())].into_iter());
        let compiled = compile(&SourceSet::from_text("test.conf", &config));
        block_on(async {
            let mut probes = Probes::new(Surroundings::default()).unwrap();
            let now = runtime::now();
            let mut engine = CheckEngine::new(now, &compiled.config.check, &Table::new(), 3);
            let to = |destination| {
                let connect =
                    Connect { timeout: Interval::from_secs(60), ..connect_to(destination) };
                Checker { probe: Probe::Tcp(connect), ..tcp_checker() }.into()
            };
            let task = compiled.config.check.virtual_servers[0].real_servers[0].checkers[0].clone();
            for (id, checker) in
                [(1, to(silent)), (2, to(listener.local_addr().unwrap())), (3, task)]
            {
                probes.start(id, checker, 0, Pace::Slow);
            }
            probes.start(1, to(silent), 0, Pace::Quick);
            probes.step(&mut engine);
            let taken = probes.places.taken();
            assert!((2..=3).contains(&taken), "{taken}");
            probes.cancel_all();
            assert!(probes.is_idle());
            assert_eq!(probes.places.taken(), 0);
        });
    }
}
