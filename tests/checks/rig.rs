//! A director without sockets: text in, engine and table as the daemon joins them, a kernel in
//! memory, servers that are dead or alive by their address.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use steadfast::check::engine::{
    CheckEngine, CheckerId, CheckerState, Input, Outcome, Output, ServerState,
};
use steadfast::check::kernel_table::KernelTable;
use steadfast::core::config::compile::{Compiled, compile};
use steadfast::core::config::model::check::Target;
use steadfast::core::config::model::global::{Global, LvsTimeouts};
use steadfast::core::config::source::SourceSet;
use steadfast::core::time::{Interval, Timestamp};
use steadfast::ipvs::client::{IpvsError, IpvsTable};
use steadfast::ipvs::fake::FakeKernel;
use steadfast::ipvs::message::Connections;
use steadfast::ipvs::model::{DestinationKey, Destinations, Service, ServiceKey};
use steadfast::ipvs::plan::Operation;

pub fn read(text: &str) -> Compiled {
    compile(&SourceSet::from_text("test.conf", text))
}

/// A kernel that the test looks into while the table works on it.
#[derive(Clone, Default)]
pub struct Kernel(pub Rc<RefCell<FakeKernel>>);

impl IpvsTable for Kernel {
    fn services(&mut self) -> Result<Vec<(ServiceKey, Service)>, IpvsError> {
        self.0.borrow_mut().services()
    }

    fn destinations(&mut self, service: &ServiceKey) -> Result<Destinations, IpvsError> {
        self.0.borrow_mut().destinations(service)
    }

    fn connections(
        &mut self,
        service: &ServiceKey,
    ) -> Result<Vec<(DestinationKey, Connections)>, IpvsError> {
        self.0.borrow_mut().connections(service)
    }

    fn apply(&mut self, operations: &[Operation]) -> Vec<Result<(), IpvsError>> {
        self.0.borrow_mut().apply(operations)
    }

    fn flush(&mut self) -> Result<(), IpvsError> {
        self.0.borrow_mut().flush()
    }

    fn set_timeouts(&mut self, timeouts: &LvsTimeouts) -> Result<(), IpvsError> {
        self.0.borrow_mut().set_timeouts(timeouts)
    }
}

/// What the engine asked for that is not the table.
#[derive(Debug, Default)]
pub struct Seen {
    pub probes: BTreeMap<CheckerId, usize>,
    pub cancelled: BTreeSet<CheckerId>,
    pub scripts: Vec<String>,
    pub lines: Vec<String>,
}

pub struct Rig {
    pub engine: CheckEngine,
    pub kernel: Kernel,
    pub now: Timestamp,
    pub seen: Seen,
    /// Beginnings of the names of servers that fail.
    pub dead: BTreeSet<String>,
    /// Those whose probes never end.
    pub silent: BTreeSet<String>,
    table: KernelTable<Kernel>,
}

impl Rig {
    pub fn new(text: &str) -> Self {
        Self::over(text, Kernel::default())
    }

    /// A start on a kernel that has something already.
    pub fn over(text: &str, kernel: Kernel) -> Self {
        let config = read(text).config;
        let table = KernelTable::take_over(kernel.clone(), &Global::default());
        let known = table.known().cloned().unwrap_or_default();
        let engine = CheckEngine::new(Timestamp::ZERO, &config.check, &known, 11);
        let mut rig = Self {
            engine,
            kernel,
            now: Timestamp::ZERO,
            seen: Seen::default(),
            dead: BTreeSet::new(),
            silent: BTreeSet::new(),
            table,
        };
        rig.settle();
        rig
    }

    pub fn kill(&mut self, address: &str) {
        self.dead.insert(format!("[{address}]:"));
    }

    pub fn revive(&mut self, address: &str) {
        self.dead.remove(&format!("[{address}]:"));
    }

    /// A server has so many connections now.
    pub fn connect(&mut self, address: &str, active: u32) {
        let key = DestinationKey { address: address.parse().unwrap(), port: 80 };
        let connections = Connections { active, inactive: 7 };
        self.kernel.0.borrow_mut().live.insert(key, connections);
    }

    /// As the daemon does each second while servers leave.
    pub fn count(&mut self) {
        let services: Vec<_> = self.engine.draining().collect();
        let live = self.table.live(&services).unwrap();
        self.engine.handle(self.now, Input::Connections(live));
        self.settle();
    }

    /// What the kernel gives a server of the first service.
    pub fn weight(&self, address: &str) -> Option<u32> {
        let kernel = self.kernel.0.borrow();
        let destinations = &kernel.table.values().next()?.destinations;
        let key = DestinationKey { address: address.parse().unwrap(), port: 80 };
        destinations.get(&key).map(|found| found.weight)
    }

    pub fn said(&self, words: &str) -> bool {
        self.seen.lines.iter().any(|line| line.contains(words))
    }

    /// As the daemon does with SIGHUP.
    pub fn reload(&mut self, text: &str) {
        let config = Box::new(read(text).config.check);
        self.engine.handle(self.now, Input::Reconfigure(config));
        self.settle();
    }

    pub fn run(&mut self, seconds: u64) {
        let end = self.now + Interval::from_secs(seconds);
        while let Some(at) = self.engine.poll_timeout().filter(|at| *at <= end) {
            self.now = at.max(self.now);
            self.engine.handle_timeout(self.now);
            self.settle();
        }
        self.now = end;
    }

    /// Carries out what the engine wants, answers its probes, and programs the kernel.
    pub fn settle(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::StartProbe { id, .. } => {
                    let names = self.engine.probe_names(id);
                    *self.seen.probes.entry(id).or_default() += 1;
                    self.engine.handle(self.now, Input::Started { id });
                    let is = |set: &BTreeSet<String>| {
                        set.iter().any(|beginning| names.server.starts_with(beginning))
                    };
                    if is(&self.silent) {
                        continue;
                    }
                    let outcome = if is(&self.dead) {
                        Outcome::Failure { text: "dead".into(), cause: None }
                    } else {
                        Outcome::Success { text: "alive".into(), weight: None, warning: None }
                    };
                    self.engine.handle(self.now, Input::Finished { id, outcome });
                }
                Output::CancelProbe(id) => {
                    self.seen.cancelled.insert(id);
                }
                Output::RunScript { script, .. } => self.seen.scripts.push(script.words.join(" ")),
                Output::Log(event) => self.seen.lines.push(event.text),
                Output::Line(_) | Output::Mail(_) | Output::Changed(_) => {}
            }
        }
        self.table.follow(&mut self.engine);
        assert_eq!(self.table.known(), Some(&self.engine.desired()), "a change was missed");
    }

    /// Operations on the kernel since this was last asked.
    pub fn operations(&self) -> Vec<Operation> {
        std::mem::take(&mut self.kernel.0.borrow_mut().log)
    }

    pub fn servers(&self) -> impl Iterator<Item = (&Target, &ServerState)> {
        let services = self.engine.services().iter();
        services.flat_map(|service| {
            service.servers.iter().map(|server| (&service.config.target, server))
        })
    }

    pub fn server(&self, address: &str) -> &ServerState {
        let known = |server: &ServerState| server.config.address.ip().to_string() == address;
        self.servers().map(|(_, server)| server).find(|server| known(server)).unwrap()
    }

    /// Every checker by what it means: its service, its server, its own configuration.
    pub fn checkers(&self) -> Vec<(String, CheckerState)> {
        self.servers()
            .flat_map(|(target, server)| {
                let place = format!("{target:?} {}", server.config.address);
                server
                    .checkers
                    .iter()
                    .map(move |checker| (format!("{place} {:?}", checker.config), checker.clone()))
            })
            .collect()
    }

    /// Servers of the first service in the kernel, with their weights.
    pub fn weights(&self) -> Vec<(String, u32)> {
        let kernel = self.kernel.0.borrow();
        let Some(entry) = kernel.table.values().next() else { return Vec::new() };
        let found = entry.destinations.iter();
        found.map(|(key, found)| (key.address.to_string(), found.weight)).collect()
    }
}
