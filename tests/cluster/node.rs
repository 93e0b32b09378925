//! One host: a clock of its own, a kernel that holds addresses, a mailbox, and around the engine what
//! the vrrp process does, in its order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use steadfast::core::config::model::global::Global;
use steadfast::core::config::model::hmac::ReplayProtection;
use steadfast::core::config::model::vrrp::VrrpConfig;
use steadfast::core::time::{Interval, Timestamp};
use steadfast::vrrp::desired::DesiredAddress;
use steadfast::vrrp::engine::{
    Changes, Input, LinkState, Output, OwnAddresses, ReceivedPacket, Transmit, VrrpEngine,
    is_still_awaited,
};
use steadfast::vrrp::packet::hmac::Stamp;

use super::plan::{Auth, Health, LANS, Plan, Preempt, Setting, own};
use super::world::Captured;

/// True time, in nanoseconds.
pub type Time = u64;

/// As in the daemon: after a refusal of the kernel, the wait before the same is tried again.
const RETRY: Interval = Interval::from_millis(500);
const RETRY_LIMIT: Interval = Interval::from_secs(30);
/// As in the daemon: what seems to be older has come now.
const OLDEST: Interval = Interval::from_millis(100);
/// Of the smallest window of `auth_hmac`, 5 s, clocks take 2 s from one another, and twice this.
pub const CLOCK_STEP: i64 = 1_000_000_000;
/// By no more than this do the wall clocks of two nodes differ.
const CLOCKS_DIFFER: Interval = Interval::from_secs(4);
/// So many adverts are remembered.
const TAKEN: usize = 64;
/// What the kernel's receive buffer holds.
const MAILBOX: usize = 256;
/// A timer that is armed for a moment that has passed, again and again.
const MOST_TIMERS: usize = 2_000;
/// What one event may lead to: a mailbox full of adverts of a lower priority is answered, and each
/// answer announces all addresses again.
const MOST_OUTPUTS: usize = 12_000;

/// A node's clock: so many millionths too fast.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    pub ppm: i64,
    pub offset: u64,
}

impl Clock {
    pub fn local(self, time: Time) -> Timestamp {
        let drift = i128::from(time) * i128::from(self.ppm) / 1_000_000;
        Timestamp::from_nanos(self.offset + (i128::from(time) + drift) as u64)
    }

    /// The first moment at which the clock shows this.
    pub fn time(self, local: Timestamp) -> Time {
        let shown = i128::from(local.as_nanos().saturating_sub(self.offset));
        let mut time = (shown * 1_000_000 / (1_000_000 + i128::from(self.ppm))) as u64;
        while self.local(time) < local {
            time += 1;
        }
        time
    }
}

/// An advert on its way.
#[derive(Debug, Clone)]
pub struct Letter {
    pub packet: ReceivedPacket,
    /// When it came, by the kernel's stamp: it may be read later.
    pub arrived: Time,
    /// When it was sent first, if an intruder sends it again.
    pub again: Option<Time>,
    /// The virtual router and the sender; none for one that an intruder made.
    pub genuine: Option<(usize, usize)>,
}

/// The last advert of a virtual router that had to keep this node quiet.
#[derive(Debug, Clone, Copy)]
pub struct Heard {
    pub at: Timestamp,
    /// How long it does so at least.
    pub keeps: Interval,
}

/// Since when a node with `preempt_delay` has heard lower routers only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lower {
    /// Something has happened since; it may be from another moment on.
    Unknown,
    /// The last one was not lower.
    Never,
    Since(Timestamp),
}

#[derive(Debug)]
pub struct Node {
    pub number: usize,
    pub clock: Clock,
    pub engine: Option<VrrpEngine>,
    pub setting: Setting,
    pub config: (Global, VrrpConfig),
    pub health: Health,
    pub mailbox: VecDeque<Letter>,
    pub paused_until: Time,
    /// Its network cards sleep as well: what arrives is lost.
    pub asleep: bool,
    pub kernel: BTreeSet<DesiredAddress>,
    /// The kernel adds nothing until then.
    pub refuses_until: Time,
    /// Each addition takes so long.
    pub slow_kernel: Interval,
    refusals: BTreeMap<DesiredAddress, (Timestamp, Interval)>,
    pub kernel_changed: bool,
    late_news: Vec<DesiredAddress>,
    /// Its health has changed while it was frozen.
    pub untold: bool,
    /// The tracked script has spoken since the process started.
    pub script_known: bool,
    /// It hears nothing before (`vrrp_startup_delay`).
    begins: Timestamp,
    pub legacy: (Timestamp, Vec<String>),
    /// The same: the latest trailer.
    last_stamp: Option<Stamp>,
    /// What the process that runs now has found.
    pub legacy_before: (Timestamp, Vec<String>),
    pub masters: u8,
    pub announced: BTreeSet<DesiredAddress>,
    /// Kernel operations, to see that a reload of the same changes nothing.
    pub operations: u64,
    /// By virtual router.
    pub sent: Vec<u64>,
    pub heard: Vec<Option<Heard>>,
    pub heard_any: Vec<Timestamp>,
    pub lower: Vec<Lower>,
    /// When it last became master or ceased to be.
    pub moved: Vec<Timestamp>,
    /// Since when nothing happened to it that would delay it.
    pub steady: Timestamp,
    pub wakes: u64,
    pub outputs: u64,
    pub logs: Option<Vec<String>>,
    pub scheduled: Option<(Time, u64)>,
    trouble: Option<String>,
    /// The adverts with trailers that its process has taken last.
    taken: VecDeque<Vec<u8>>,
    /// Its wall clock was set by so much, in nanoseconds; at most by [`CLOCK_STEP`].
    pub clock_set: i64,
    /// When a process of it last began that did not know the last trailer of the one before.
    pub forgot: Time,
}

impl Node {
    pub fn new(number: usize, clock: Clock, plan: &Plan, setting: Setting) -> Self {
        let config = plan.config(number, &setting);
        Self {
            number,
            clock,
            engine: None,
            setting,
            config,
            health: Health::default(),
            mailbox: VecDeque::new(),
            paused_until: 0,
            asleep: false,
            kernel: BTreeSet::new(),
            refuses_until: 0,
            slow_kernel: Interval::ZERO,
            refusals: BTreeMap::new(),
            kernel_changed: false,
            late_news: Vec::new(),
            untold: false,
            script_known: false,
            begins: Timestamp::ZERO,
            legacy: (Timestamp::ZERO, Vec::new()),
            last_stamp: None,
            legacy_before: (Timestamp::ZERO, Vec::new()),
            masters: 0,
            announced: BTreeSet::new(),
            operations: 0,
            sent: vec![0; plan.routers.len()],
            heard: vec![None; plan.routers.len()],
            heard_any: vec![Timestamp::ZERO; plan.routers.len()],
            lower: vec![Lower::Unknown; plan.routers.len()],
            moved: vec![Timestamp::ZERO; plan.routers.len()],
            steady: Timestamp::ZERO,
            wakes: 0,
            outputs: 0,
            logs: None,
            scheduled: None,
            trouble: None,
            taken: VecDeque::new(),
            clock_set: 0,
            forgot: 0,
        }
    }

    /// A process starts; after a dead one (`resumes`), it may go on where that was.
    pub fn start(&mut self, time: Time, resumes: bool) -> Vec<Transmit> {
        let now = self.clock.local(time);
        let (global, vrrp) = self.config.clone();
        self.mailbox.clear();
        self.refusals.clear();
        self.late_news.clear();
        self.announced.clear();
        self.taken.clear();
        if !resumes {
            // Whoever lost its last trailer must not have its clock set back: that is a replay to others.
            self.clock_set = CLOCK_STEP;
            self.forgot = time;
        }
        self.kernel_changed = true;
        self.script_known = false;
        self.begins = now + self.setting.startup_delay;
        self.legacy_before = self.legacy.clone();
        self.heard.fill(None);
        self.lower.fill(Lower::Since(self.begins));
        self.engine = Some(VrrpEngine::new(now, global, vrrp));
        for lan in 0..LANS {
            self.tell_link(now, lan);
        }
        self.tell_uplink(now);
        self.tell(now, Input::WallClock(self.wall_clock(time)));
        if resumes {
            self.resume(now);
        }
        self.tell(now, Input::Start);
        let value = self.health.file;
        self.tell(now, Input::File { name: "f".into(), value });
        let good = self.health.process;
        self.tell(now, Input::Process { name: "p".into(), good });
        self.steady = now;
        self.settle(time)
    }

    /// Set by the network, and some seconds wrong.
    fn wall_clock(&self, time: Time) -> Interval {
        let wrong = self.number as i64 % 3 * 1_000_000_000 + self.clock_set;
        Interval::from_nanos((1_800_000_000_000_000_000 + time).saturating_add_signed(wrong))
    }

    fn tell_time(&mut self, time: Time) {
        self.tell(self.clock.local(time), Input::WallClock(self.wall_clock(time)));
    }

    /// As the daemon does it.
    fn resume(&mut self, now: Timestamp) {
        if let Some(stamp) = self.last_stamp {
            self.tell(now, Input::LastStamp(stamp));
        }
        let (alive, masters) = self.legacy.clone();
        let instances = self.config.1.instances.iter();
        let names: BTreeSet<String> = instances
            .filter(|instance| masters.contains(&instance.name))
            .filter(|instance| is_still_awaited(instance, now.since(alive)))
            .map(|instance| instance.name.clone())
            .collect();
        if !names.is_empty() {
            // Who goes on does not wait for a start.
            self.begins = now;
            self.lower.fill(Lower::Since(now));
        }
        self.tell(now, Input::Resume(names));
    }

    /// The process that says goodbye for a dead one.
    pub fn farewell(&mut self, time: Time) -> Vec<Transmit> {
        let now = self.clock.local(time);
        let (global, vrrp) = self.config.clone();
        self.engine = Some(VrrpEngine::new(now, global, vrrp));
        for lan in 0..LANS {
            self.tell_link(now, lan);
        }
        self.tell_uplink(now);
        self.tell(now, Input::WallClock(self.wall_clock(time)));
        self.resume(now);
        self.tell(now, Input::Start);
        self.stop(time)
    }

    /// An orderly stop.
    pub fn stop(&mut self, time: Time) -> Vec<Transmit> {
        let now = self.clock.local(time);
        self.tell_time(time);
        self.tell(now, Input::Shutdown);
        let sent = self.pump();
        self.kernel.clear();
        self.die();
        self.legacy.1.clear();
        sent
    }

    /// The process is gone; the kernel keeps what it has.
    pub fn die(&mut self) {
        self.engine = None;
        self.mailbox.clear();
        self.refusals.clear();
        self.late_news.clear();
        self.masters = 0;
    }

    pub fn reload(&mut self, time: Time, plan: &Plan, setting: Setting) -> Vec<Transmit> {
        if setting != self.setting {
            // A router that goes forgets what it took.
            self.taken.clear();
            self.config = plan.config(self.number, &setting);
            self.setting = setting;
        }
        if self.engine.is_none() {
            return Vec::new();
        }
        let now = self.clock.local(time);
        for lan in 0..LANS {
            self.tell_link(now, lan);
        }
        self.kernel_changed = true;
        self.tell_time(time);
        self.tell(now, Input::Reconfigure(Box::new(self.config.clone())));
        self.tell(now, Input::Start);
        self.settle(time)
    }

    pub fn tell(&mut self, now: Timestamp, input: Input) {
        if let Some(engine) = &mut self.engine {
            engine.handle(now, input);
        }
    }

    pub fn tell_link(&mut self, now: Timestamp, lan: usize) {
        let state = if self.health.absent[lan] {
            LinkState::Absent
        } else if self.health.links[lan] {
            LinkState::Up
        } else {
            LinkState::Down
        };
        let (inet, inet6) = own(self.number, lan);
        let there = self.health.own[lan] && !self.health.absent[lan];
        let own = OwnAddresses {
            inet: Some(inet).filter(|_| there),
            inet6: Some(inet6).filter(|_| there),
        };
        self.tell(now, Input::Link { interface: format!("eth{lan}"), state, own });
    }

    pub fn tell_uplink(&mut self, now: Timestamp) {
        let state = if self.health.uplink { LinkState::Up } else { LinkState::Down };
        let own = OwnAddresses::default();
        self.tell(now, Input::Link { interface: "eth9".into(), state, own });
    }

    pub fn deliver(&mut self, time: Time, mut letter: Letter) {
        letter.arrived = time;
        if self.mailbox.len() < MAILBOX {
            self.mailbox.push_back(letter);
        }
    }

    /// One turn of the daemon's loop: what has arrived, then what is due, then the kernel.
    pub fn turn(&mut self, time: Time, plan: &Plan) -> Vec<Transmit> {
        self.wakes += 1;
        let now = self.clock.local(time);
        self.tell_time(time);
        // What the kernel has done.
        let news = std::mem::take(&mut self.late_news);
        if !news.is_empty() {
            self.tell(now, Input::AddressesPresent(news));
        }
        while let Some(letter) = self.mailbox.pop_front() {
            let came = self.clock.local(letter.arrived);
            let came = if now.since(came) <= OLDEST { came } else { now };
            self.note_heard(came, plan, &letter);
            let auth = letter.genuine.map(|(number, _)| plan.routers[number].auth);
            let keyed = letter.again.is_some() || matches!(auth, Some(Auth::Keyed(_)));
            let (before, payload) = (self.accepted(), letter.packet.payload.clone());
            self.tell(came, Input::Packet(letter.packet));
            if keyed && self.accepted() > before {
                self.check_taken(time, letter.again, payload);
            }
        }
        if std::mem::take(&mut self.untold) {
            self.tell_health(now);
            self.steady = now;
        }
        let mut sent = Vec::new();
        for round in 0.. {
            let Some(engine) = &mut self.engine else { break };
            if engine.poll_timeout().is_none_or(|deadline| deadline.at > now) {
                break;
            }
            if round == MOST_TIMERS {
                self.trouble = Some(format!("timers without end: {:?}", engine.poll_timeout()));
                break;
            }
            engine.handle_timeout(now);
            sent.extend(self.pump());
        }
        sent.extend(self.settle(time));
        sent
    }

    /// Whether an advert that was sent before means nothing to it: its process has taken that one, or it is
    /// too old. One that has not heard the sender since its own start may well take it.
    pub fn must_refuse(&self, time: Time, captured: &Captured) -> bool {
        let old = |window| Interval::from_nanos(time - captured.sent) > window + CLOCKS_DIFFER;
        self.engine.is_none()
            || self.taken.contains(&captured.packet.payload)
            || self.window().is_some_and(old)
    }

    /// Within this time a trailer is good, whichever instance takes it; none where one does not look at the
    /// time.
    fn window(&self) -> Option<Interval> {
        let keyed = self.config.1.instances.iter().filter_map(|instance| instance.hmac.as_ref());
        let windows = keyed.map(|hmac| match hmac.replay {
            ReplayProtection::Time => Some(hmac.window),
            ReplayProtection::Monotonic => None,
        });
        windows.collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().max())
    }

    fn accepted(&self) -> u64 {
        let routers = self.engine.iter().flat_map(VrrpEngine::routers);
        routers.map(|router| router.statistics.advert_rcvd).sum()
    }

    /// With trailers, nothing is taken twice; where they have the time, nothing old is taken at all.
    fn check_taken(&mut self, time: Time, again: Option<Time>, payload: Vec<u8>) {
        let number = self.number;
        if self.taken.contains(&payload) {
            self.trouble = Some(format!("node {number} takes an advert twice"));
        }
        if let Some((sent, window)) = again.zip(self.window())
            && Interval::from_nanos(time - sent) > window + CLOCKS_DIFFER
        {
            let age = Interval::from_nanos(time - sent);
            self.trouble = Some(format!("node {number} takes an advert that is {age} s old"));
        }
        if self.taken.len() == TAKEN {
            self.taken.pop_front();
        }
        self.taken.push_back(payload);
    }

    /// What an advert must mean to this node, by the protocol alone.
    fn note_heard(&mut self, now: Timestamp, plan: &Plan, letter: &Letter) {
        let Some((number, _)) = letter.genuine else { return };
        self.heard_any[number] = now;
        if now < self.begins {
            return;
        }
        // Its process does not know yet how it is; what it takes of numbered adverts is its own affair.
        if self.untold || !self.script_known || plan.routers[number].auth.is_numbered() {
            self.heard[number] = None;
            return;
        }
        let message = letter.packet.message();
        let (Some(&priority), Some(router)) = (message.get(2), plan.routers.get(number)) else {
            return;
        };
        let own = self.setting.effective(&self.health);
        let interval = match (router.version.number(), message.get(4..6)) {
            (3, Some(field)) => {
                let field = u16::from_be_bytes([field[0] & 0x0f, field[1]]);
                Interval::from_centis(u64::from(field))
            }
            _ => self.setting.interval,
        };
        if router.version.number() == 2
            && message.get(5).map(|seconds| u64::from(*seconds)) != Some(interval.as_secs())
        {
            return;
        }
        let never = self.setting.preempt == Preempt::Never && own != 255;
        let waits = match (self.setting.preempt, self.lower[number]) {
            (Preempt::After(delay), Lower::Since(since)) => now < since + delay,
            (Preempt::After(delay), Lower::Never) => !delay.is_zero(),
            (Preempt::AtOnce | Preempt::Never, _) | (_, Lower::Unknown) => false,
        };
        if priority >= own {
            self.lower[number] = Lower::Never;
        } else if priority != 0 && self.lower[number] == Lower::Never {
            self.lower[number] = Lower::Since(now);
        }
        let keeps = if priority == 0 {
            // Whose skew it is, the last master's interval says, which a reload may have halved: the
            // shorter is the safe guess.
            let shortest = plan.interval.min(self.setting.interval).min(interval);
            let parts = if plan.is_strict_about_intervals() { 2 } else { 1 };
            plan.skew(router, shortest.fraction(1, parts), own)
        } else if priority >= own || never || waits {
            plan.down(router, interval, own)
        } else {
            return;
        };
        self.heard[number] = Some(Heard { at: now, keeps });
    }

    /// Carries out what the engine wants until it wants nothing more.
    pub fn settle(&mut self, time: Time) -> Vec<Transmit> {
        let mut sent = Vec::new();
        for _ in 0..8 {
            let before = self.outputs;
            sent.extend(self.pump());
            let changed = self.reconcile(time);
            if self.outputs == before && !changed {
                break;
            }
        }
        self.remember(time);
        sent
    }

    fn pump(&mut self) -> Vec<Transmit> {
        let mut sent = Vec::new();
        let Some(engine) = &mut self.engine else { return sent };
        let mut count = 0;
        while let Some(output) = engine.poll_output() {
            count += 1;
            match output {
                Output::Transmit(advert) => sent.push(advert),
                Output::Announce(address) => {
                    self.announced.insert(address);
                }
                Output::Log(event) => {
                    if let Some(logs) = &mut self.logs {
                        let reason = event.reason.as_ref().map(ToString::to_string);
                        logs.push(format!("{event} {}", reason.unwrap_or_default()));
                    }
                }
                Output::Notify(_) => {}
            }
        }
        self.outputs += count as u64;
        if count > MOST_OUTPUTS {
            self.trouble = Some(format!("{count} outputs at once"));
        }
        sent
    }

    /// The kernel's addresses into line, by the daemon's two ways.
    fn reconcile(&mut self, time: Time) -> bool {
        let now = self.clock.local(time);
        let again = self.refusals.values().any(|(at, _)| *at <= now);
        let Some(engine) = &mut self.engine else { return false };
        let changes = engine.take_changes();
        let everything = std::mem::take(&mut self.kernel_changed) || again;
        let mut operations = Vec::new();
        let mut present = Vec::new();
        match changes {
            Changes::Nothing if !everything => return false,
            Changes::Addresses(addresses) if !everything && self.refusals.is_empty() => {
                for (wanted, held) in addresses {
                    match (held, self.kernel.contains(&wanted)) {
                        (true, true) => present.push(wanted),
                        (true, false) => operations.push((wanted, true)),
                        (false, true) => operations.push((wanted, false)),
                        (false, false) => {}
                    }
                }
            }
            Changes::Nothing | Changes::Addresses(_) | Changes::Everything => {
                let desired = engine.desired();
                self.refusals.retain(|wanted, _| desired.contains(wanted));
                for stale in self.kernel.difference(&desired) {
                    operations.push((stale.clone(), false));
                }
                for wanted in desired {
                    if self.kernel.contains(&wanted) {
                        present.push(wanted);
                    } else if self.refusals.get(&wanted).is_none_or(|(at, _)| *at <= now) {
                        operations.push((wanted, true));
                    }
                }
            }
        }
        let acted = !operations.is_empty();
        let mut added = false;
        for (address, wanted) in operations {
            self.operations += 1;
            if !wanted {
                self.kernel.remove(&address);
                continue;
            }
            let there = self.interface_exists(&address.interface);
            if time < self.refuses_until || !there {
                let wait = self.refusals.get(&address).map(|(_, wait)| *wait * 2);
                let wait = wait.unwrap_or(RETRY).min(RETRY_LIMIT);
                self.refusals.insert(address, (now + wait, wait));
                continue;
            }
            self.refusals.remove(&address);
            self.kernel.insert(address.clone());
            present.push(address);
            added = true;
        }
        if added && !self.slow_kernel.is_zero() {
            // The process waits for the kernel's answer, and everything else waits for the process.
            self.late_news = present;
            self.paused_until = self.paused_until.max(time + self.slow_kernel.as_nanos());
        } else if !present.is_empty() {
            self.tell(now, Input::AddressesPresent(present));
        }
        acted
    }

    fn interface_exists(&self, name: &Arc<str>) -> bool {
        let lan = name.strip_prefix("eth").and_then(|number| number.parse::<usize>().ok());
        lan.and_then(|lan| self.health.absent.get(lan)).is_none_or(|absent| !absent)
    }

    /// For a process that comes after this one.
    fn remember(&mut self, time: Time) {
        let now = self.clock.local(time);
        let Some(engine) = &mut self.engine else { return };
        if let Some(names) = engine.take_masters() {
            let number = |name: &String| name.strip_prefix('V')?.parse::<u32>().ok();
            self.masters = names.iter().filter_map(number).map(|number| 1 << number).sum();
            self.legacy.1 = names;
            let kernel = &self.kernel;
            self.announced.retain(|address| kernel.contains(address));
        }
        self.last_stamp = engine.last_stamp().or(self.last_stamp);
        if self.masters != 0 {
            self.legacy.0 = now;
        }
    }

    /// Somebody else removes addresses of ours.
    pub fn lose(&mut self, time: Time, lost: &[DesiredAddress]) {
        let now = self.clock.local(time);
        for address in lost {
            self.kernel.remove(address);
            self.announced.remove(address);
        }
        self.kernel_changed = true;
        for lan in 0..LANS {
            self.tell_link(now, lan);
        }
        let Some(engine) = &self.engine else { return };
        let kernel = &self.kernel;
        let lost: Vec<DesiredAddress> =
            engine.desired().into_iter().filter(|wanted| !kernel.contains(wanted)).collect();
        if !lost.is_empty() {
            self.tell(now, Input::AddressesLost(lost));
        }
    }

    /// When it must be looked at next.
    pub fn deadline(&self) -> Option<Time> {
        let engine = self.engine.as_ref()?.poll_timeout().map(|deadline| deadline.at);
        let retry = self.refusals.values().map(|(at, _)| *at).min();
        let local = engine.into_iter().chain(retry).min();
        let waits =
            !self.late_news.is_empty() || !self.mailbox.is_empty() || self.untold || self.asleep;
        let at = local.map(|local| self.clock.time(local));
        let at = if waits {
            Some(at.map_or(self.paused_until, |at| at.min(self.paused_until)))
        } else {
            at
        };
        at.map(|at| at.max(self.paused_until))
    }

    /// The wait for the kernel that is left, should it be ready to take everything now.
    pub fn retry_wait(&self, time: Time) -> Interval {
        let now = self.clock.local(time);
        self.refusals.values().map(|(at, _)| at.since(now)).max().unwrap_or_default()
    }

    pub fn take_trouble(&mut self) -> Option<String> {
        self.trouble.take()
    }

    pub fn is_awake(&self, time: Time) -> bool {
        self.engine.is_some() && self.paused_until <= time
    }
}
