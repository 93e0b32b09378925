//! One server of one service, asked once: text in, the engine and the probe as the daemon joins
//! them, what the log and the status say of it out.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use steadfast::check::engine::{CheckEngine, CheckerId, Input, Output};
use steadfast::check::probe::plain::Question;
use steadfast::check::probe::{self, Surroundings};
use steadfast::check::probes::Probes;
use steadfast::check::status;
use steadfast::core::config::compile::compile;
use steadfast::core::config::model::Config;
use steadfast::core::config::model::check::Checker;
use steadfast::core::config::source::SourceSet;
use steadfast::core::runtime;
use steadfast::core::shared::Shared;
use steadfast::core::time::{Interval, Timestamp};
use steadfast::ipvs::model::Table;

/// `connect_timeout` of all rows.
pub const PATIENCE: Duration = Duration::from_millis(500);
/// Two busy cores may be this late.
pub const SLACK: Duration = Duration::from_secs(5);

/// What came of one probe.
#[derive(Debug)]
pub struct Asked {
    pub good: bool,
    pub took: Duration,
    /// By the checker's own limits.
    pub longest: Duration,
    /// Lines of the log, each with its cause.
    pub log: String,
    pub status: String,
    /// Servers in the table with a weight.
    pub serving: usize,
}

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// A server that is asked again and again.
pub struct Director {
    engine: CheckEngine,
    now: Timestamp,
}

impl Director {
    /// `check` is the checker's block for a server at 127.0.0.1 and `port`.
    pub fn new(port: u16, check: &str) -> Self {
        let me = nix::unistd::User::from_uid(nix::unistd::getuid()).unwrap().unwrap().name;
        let text = format!(
            "global_defs {{\nscript_user {me}\n}}\nvirtual_server 10.0.0.1 80 {{\ndelay_loop 10\n\
             lb_algo rr\nlb_kind NAT\nprotocol TCP\nreal_server 127.0.0.1 {port} {{\nweight 1\n\
             {check}\n}}\n}}\n"
        );
        let compiled = compile(&SourceSet::from_text("test.conf", &text));
        let config = compiled.config.check;
        assert_eq!(config.virtual_servers[0].real_servers[0].checkers.len(), 1, "{text}");
        let now = runtime::now();
        Self { engine: CheckEngine::new(now, &config, &Table::new(), 5), now }
    }

    /// The next probe, carried out.
    pub async fn ask(&mut self) -> Asked {
        self.now += Interval::from_secs(60);
        self.engine.handle_timeout(self.now);
        let mut log = String::new();
        let mut asked = None;
        while let Some(output) = self.engine.poll_output() {
            if let Output::StartProbe { id, checker, url } = output {
                let limit = checker.probe.longest().to_duration();
                let begun = Instant::now();
                // As the daemon: one that is lost is given up.
                tokio::time::timeout(limit + SLACK, self.carry_out(id, checker, url))
                    .await
                    .unwrap_or_else(|_| panic!("no result within {limit:?}"));
                let checker = &self.engine.services()[0].servers[0].checkers[0];
                asked = Some((checker.fault().is_none(), begun.elapsed(), limit));
            } else if let Output::Log(event) = output {
                log.push_str(&event.text);
                if let Some(cause) = event.cause {
                    log.push_str(&format!(" ({cause})"));
                }
                log.push('\n');
            }
        }
        let (good, took, longest) = asked.expect("a probe");
        let table = self.engine.desired();
        let serving = table.values().flat_map(|entry| entry.destinations.values());
        let serving = serving.filter(|found| found.weight > 0).count();
        Asked {
            good,
            took,
            longest,
            log,
            status: status::data(&self.engine, &Config::default()),
            serving,
        }
    }

    /// The one probe, until the engine has its result.
    async fn carry_out(&mut self, id: CheckerId, checker: Shared<Checker>, url: usize) {
        let question = Question { id, run: 0, checker, url };
        if !question.is_plain() {
            let names = self.engine.probe_names(id);
            let outcome = probe::run(question.checker, url, names, Arc::default()).await;
            self.engine.handle(self.now, Input::Started { id });
            self.engine.handle(self.now, Input::Finished { id, outcome });
            return;
        }
        let mut probes = Probes::new(Surroundings::default()).unwrap();
        probes.start(id, question.checker, url, self.engine.pace(id));
        loop {
            probes.step(&mut self.engine);
            if probes.is_idle() {
                return;
            }
            let due = probes.next_due();
            tokio::select! {
                heard = probes.heard() => probes.take(heard, &mut self.engine),
                () = runtime::sleep_until(due) => {}
            }
        }
    }
}
