//! The vrrp process: sockets, kernel events, script results and commands in; adverts, addresses,
//! announcements and notifications out. What to do is the engine's to say.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::desired::{self, DesiredAddress};
use super::engine::{
    Input, LinkState, Output, OwnAddresses, ReceivedPacket, SocketName, Transmit, VrrpEngine,
};
use super::event::{Event, Importance, Notice, Subject};
use super::packet::{arp, ndp};
use super::routing::Routing;
use super::socket::{AdvertSocket, Datagram, FrameSocket, InterfaceId};
use super::status;
use crate::core::config::model::Config;
use crate::core::config::model::vrrp::{Transport, VrrpConfig};
use crate::core::netlink::address::{AddressOperation, KernelAddress};
use crate::core::netlink::link::Link;
use crate::core::netlink::monitor::{KernelEvent, Monitor};
use crate::core::netlink::{NetlinkError, RouteSocket};
use crate::core::notify::queue::{Notification, NotifyQueues};
use crate::core::notify::script::{Outcome, ScriptPolicy};
use crate::core::runtime::{self, AlarmClock, DaemonCommand, DaemonReport};
use crate::core::supervisor::child::DaemonStart;
use crate::core::supervisor::command_line::Options;
use crate::core::supervisor::legacy::Legacy;
use crate::core::time::{Interval, Timestamp};
use crate::core::track::script::{ScriptRun, ScriptTracker};

/// Adverts that may wait; more than that is a flood, and the kernel's buffer holds the rest.
const WAITING_PACKETS: usize = 4096;
/// Packets handled before other events get their turn.
const PACKETS_AT_ONCE: usize = 256;
/// At stop, what notify scripts get (keepalived: about a second).
const STOP_GRACE: Interval = Interval::from_secs(1);
/// After more lines than this at once, many routers have moved, and left much memory behind.
const MUCH_TO_TELL: usize = 1024;
/// After a refusal of the kernel, the wait before the same is tried again; doubles up to the limit.
const RETRY: Interval = Interval::from_millis(500);
const RETRY_LIMIT: Interval = Interval::from_secs(30);

const EXIT_OK: u8 = 0;
const EXIT_SOFTWARE: u8 = 70;

/// Runs until told to stop. Returns the process's exit status.
pub async fn run(start: DaemonStart, options: &Options) -> u8 {
    let mut daemon = match Daemon::open(start.config, options) {
        Ok(daemon) => daemon,
        Err(error) => {
            tracing::error!("cannot start: {error}");
            return EXIT_SOFTWARE;
        }
    };
    daemon.legacy = start.legacy;
    if options.farewell {
        daemon.farewell().await;
    } else {
        daemon.live(start.commands, start.reports).await;
    }
    EXIT_OK
}

struct Daemon<'a> {
    options: &'a Options,
    config: Config,
    engine: VrrpEngine,
    route: RouteSocket,
    monitor: Monitor,
    frames: FrameSocket,
    links: BTreeMap<u32, Link>,
    /// Every address that the kernel has.
    actual: BTreeMap<Place, KernelAddress>,
    /// Those of them that we added, or found and took over.
    managed: BTreeSet<Place>,
    sockets: BTreeMap<SocketName, OpenSocket>,
    /// Some socket could not be opened: when to try again.
    deaf_until: Option<Timestamp>,
    packets: mpsc::Sender<(SocketName, Datagram)>,
    packet_inbox: mpsc::Receiver<(SocketName, Datagram)>,
    scripts: ScriptTracker,
    script_inbox: mpsc::Receiver<ScriptRun>,
    notify: NotifyQueues,
    routing: Routing,
    /// Static entries are no longer wanted either.
    stopping: bool,
    refusals: BTreeMap<DesiredAddress, Refusal>,
    /// For the process that comes after this one, should it die.
    legacy: Option<Legacy>,
    /// Log lines and notifications, for when the network has got its due.
    untold: Vec<Output>,
    /// The kernel's addresses or links have changed since they were last brought in line.
    kernel_changed: bool,
}

/// Index of the interface, address, prefix length: what is unique in the kernel.
type Place = (u32, IpAddr, u8);

fn place_of(address: &KernelAddress) -> Place {
    (address.index, address.address, address.prefix)
}

struct OpenSocket {
    interface: Option<InterfaceId>,
    socket: Arc<AdvertSocket>,
    reader: JoinHandle<()>,
}

impl Drop for OpenSocket {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// The kernel did not take an operation; when to ask again.
#[derive(Debug, Clone, Copy)]
struct Refusal {
    again: Timestamp,
    wait: Interval,
}

impl<'a> Daemon<'a> {
    fn open(config: Config, options: &'a Options) -> Result<Self, Box<dyn std::error::Error>> {
        // Subscribe first, then read: nothing falls between.
        let monitor = Monitor::open()?;
        let mut route = RouteSocket::open()?;
        let links = route.links()?.into_iter().map(|link| (link.index, link)).collect();
        let actual = table(route.addresses()?);
        let (packets, packet_inbox) = mpsc::channel(WAITING_PACKETS);
        let (results, script_inbox) = mpsc::channel(64);
        let policy = ScriptPolicy::of(&config.global);
        let engine = VrrpEngine::new(runtime::now(), config.global.clone(), config.vrrp.clone());
        Ok(Self {
            options,
            engine,
            route,
            monitor,
            frames: FrameSocket::open()?,
            links,
            actual,
            managed: BTreeSet::new(),
            sockets: BTreeMap::new(),
            deaf_until: None,
            packets,
            packet_inbox,
            scripts: ScriptTracker::new(results),
            script_inbox,
            notify: NotifyQueues::new(policy),
            routing: Routing::default(),
            stopping: false,
            refusals: BTreeMap::new(),
            legacy: None,
            untold: Vec::new(),
            kernel_changed: true,
            config,
        })
    }

    async fn live(
        &mut self,
        mut commands: mpsc::Receiver<DaemonCommand>,
        reports: mpsc::Sender<DaemonReport>,
    ) {
        let Ok(mut alarm) = AlarmClock::new() else {
            tracing::error!("cannot make a timer");
            return;
        };
        self.configure();
        self.resume();
        self.engine.handle(runtime::now(), Input::Start);
        self.settle();
        self.remember();
        if self.options.dump_config {
            for line in self.data().lines() {
                tracing::info!("{line}");
            }
        }
        report(&reports, DaemonReport::Ready);
        loop {
            let deadline = self.next_deadline();
            tokio::select! {
                // Packets before timers: after a stall the mailbox is the truth.
                biased;
                Some((socket, datagram)) = self.packet_inbox.recv() => {
                    self.handle_packet(socket, datagram);
                    self.drain_packets();
                }
                event = self.monitor.next() => self.handle_kernel_event(event),
                command = commands.recv() => match command {
                    Some(DaemonCommand::Reload(config)) => {
                        self.reload(*config);
                        self.settle();
                        report(&reports, DaemonReport::Reloaded);
                    }
                    Some(DaemonCommand::DumpData) => self.dump_data(),
                    Some(DaemonCommand::DumpStatistics) => self.dump_statistics(),
                    Some(DaemonCommand::ClearStatistics) => {
                        self.dump_statistics();
                        self.engine.handle(runtime::now(), Input::ClearStatistics);
                    }
                    Some(DaemonCommand::Stop) | None => break,
                },
                Some(run) = self.script_inbox.recv() => self.handle_script(&run),
                () = alarm.wait_until(deadline) => {}
            }
            // Whatever woke us: a flood of packets must not keep a timer waiting.
            self.fire_timers();
            self.settle();
            self.remember();
        }
        self.stop().await;
    }

    /// The routers that were master when the process before this one died, and that nobody can have
    /// missed yet, go on.
    fn resume(&mut self) {
        let Some(legacy) = &self.legacy else { return };
        let (alive, masters) = match legacy.read() {
            Ok(left) => left,
            Err(error) => {
                tracing::error!("what the process before this one left cannot be read: {error}");
                return;
            }
        };
        let now = runtime::now();
        let names = self
            .config
            .vrrp
            .instances
            .iter()
            .filter(|instance| masters.contains(&instance.name))
            .filter(|instance| {
                // Its last advert is at most one interval older than `alive`.
                let adverts = u64::from(instance.down_timer_adverts.saturating_sub(1));
                now.since(alive) < instance.advert_interval * adverts
            })
            .map(|instance| instance.name.clone())
            .collect();
        self.engine.handle(now, Input::Resume(names));
    }

    /// Tells the process that may come after this one where things stand.
    fn remember(&mut self) {
        let Some(legacy) = &self.legacy else { return };
        let masters = self.engine.take_masters();
        let written = legacy
            .alive(runtime::now())
            .and_then(|()| masters.map_or(Ok(()), |names| legacy.set_masters(&names)));
        if let Err(error) = written {
            tracing::error!("nothing can be left to a process after this one: {error}");
            self.legacy = None;
        }
    }

    /// Gives up in order what a process that died was master of, so that a backup need not wait for
    /// its patience to end.
    async fn farewell(&mut self) {
        self.routing.configure(runtime::now(), &self.config);
        self.open_sockets();
        for name in watched_interfaces(&self.config.vrrp) {
            self.tell_link(&name);
        }
        self.resume();
        self.engine.handle(runtime::now(), Input::Start);
        self.stop().await;
    }

    /// Before a timer counts, everything that has arrived counts.
    fn fire_timers(&mut self) {
        if self.next_deadline().is_some_and(|at| at <= runtime::now()) {
            if self.deaf_until.is_some_and(|until| until <= runtime::now()) {
                self.open_sockets();
            }
            self.sweep_sockets();
            // What a timer arms anew is later than this, so the loop ends.
            let now = runtime::now();
            while self.engine.poll_timeout().is_some_and(|next| next.at <= now) {
                self.engine.handle_timeout(now);
                self.pump_outputs();
            }
        }
    }

    /// Acts on a configuration: sockets, scripts, what the engine knows of the links.
    fn configure(&mut self) {
        self.routing.configure(runtime::now(), &self.config);
        let (routes, rules) = self.routing.kinds();
        if let Err(error) = self.monitor.watch_routing(routes, rules) {
            tracing::error!("changes of routes and rules are not seen: {error}");
        }
        self.kernel_changed = true;
        self.open_sockets();
        let policy = ScriptPolicy::of(&self.config.global);
        self.scripts.set(&self.config.vrrp.scripts, &policy);
        self.notify.set_policy(policy);
        for name in watched_interfaces(&self.config.vrrp) {
            self.tell_link(&name);
        }
    }

    fn reload(&mut self, config: Config) {
        if config == self.config {
            tracing::info!("Nothing differs");
            return;
        }
        let now = runtime::now();
        let (global, vrrp) = (config.global.clone(), config.vrrp.clone());
        self.config = config;
        self.configure();
        self.engine.handle(now, Input::Reconfigure(Box::new((global, vrrp))));
        self.engine.handle(now, Input::Start);
    }

    /// Carries out what the engine wants until it wants nothing more.
    fn settle(&mut self) {
        // Addresses that come and go make the engine speak again, a few times at most.
        for _ in 0..8 {
            let spoke = self.pump_outputs();
            let changed = self.reconcile_addresses();
            if !spoke && !changed {
                break;
            }
        }
        self.install_routing();
        self.tell();
    }

    /// Words and scripts come last: neither an advert nor an announcement waits for them.
    fn tell(&mut self) {
        let much = self.untold.len() > MUCH_TO_TELL;
        for output in std::mem::take(&mut self.untold) {
            match output {
                Output::Notify(notice) => self.run_notifications(&notice),
                Output::Log(event) => log_event(&event),
                Output::Transmit(_) | Output::Announce(_) => {}
            }
        }
        if much {
            runtime::give_memory_back();
        }
    }

    fn pump_outputs(&mut self) -> bool {
        let mut spoke = false;
        while let Some(output) = self.engine.poll_output() {
            spoke = true;
            match output {
                Output::Transmit(advert) => self.transmit(&advert),
                Output::Announce(announcement) => self.announce(&announcement),
                Output::Notify(_) | Output::Log(_) => self.untold.push(output),
            }
        }
        spoke
    }

    // ---- sockets

    fn open_sockets(&mut self) {
        let mut wanted: BTreeMap<SocketName, BTreeSet<IpAddr>> = BTreeMap::new();
        for instance in &self.config.vrrp.instances {
            let name = (instance.interface.clone(), instance.family);
            let groups = wanted.entry(name).or_default();
            match &instance.transport {
                Transport::Multicast { group } => {
                    groups.insert(*group);
                }
                Transport::Unicast { .. } => {}
            }
        }
        let mut deaf = BTreeSet::new();
        let links = &self.links;
        self.sockets.retain(|name, open| {
            let current = name.0.as_ref().and_then(|name| interface_id(links, name));
            wanted.contains_key(name) && open.interface == current
        });
        for (name, groups) in wanted {
            let interface = match &name.0 {
                None => None,
                Some(name) => match interface_id(&self.links, name) {
                    Some(interface) => Some(interface),
                    // It may come later; the instance is in FAULT until then.
                    None => continue,
                },
            };
            if !self.sockets.contains_key(&name) {
                match self.open_socket(name.clone(), interface.clone()) {
                    Ok(open) => {
                        self.sockets.insert(name.clone(), open);
                    }
                    Err(error) => {
                        if self.deaf_until.is_none() {
                            tracing::error!("cannot open a VRRP socket on {:?}: {error}", name.0);
                        }
                        deaf.insert(name);
                        continue;
                    }
                }
            }
            let (Some(open), Some(interface)) = (self.sockets.get(&name), &interface) else {
                continue;
            };
            for group in groups {
                if let Err(error) = open.socket.join(group, interface) {
                    tracing::error!("cannot join {group} on {}: {error}", interface.name);
                }
            }
        }
        self.deaf_until = (!deaf.is_empty()).then(|| runtime::now() + RETRY_LIMIT);
        self.engine.handle(runtime::now(), Input::Deaf(deaf));
    }

    fn open_socket(
        &self,
        name: SocketName,
        interface: Option<InterfaceId>,
    ) -> std::io::Result<OpenSocket> {
        let socket = Arc::new(AdvertSocket::open(name.1, interface.as_ref())?);
        let reader = Arc::clone(&socket);
        let packets = self.packets.clone();
        let reader = tokio::spawn(async move {
            loop {
                match reader.receive().await {
                    Ok(datagram) => {
                        if packets.send((name.clone(), datagram)).await.is_err() {
                            return;
                        }
                    }
                    // ENETDOWN and the like: the link event says what happened.
                    Err(error) => {
                        tracing::debug!("receiving on {:?}: {error}", name.0);
                        tokio::time::sleep(Interval::from_millis(50).to_duration()).await;
                    }
                }
            }
        });
        Ok(OpenSocket { interface, socket, reader })
    }

    fn handle_packet(&mut self, (interface, _): SocketName, datagram: Datagram) {
        let packet = ReceivedPacket {
            interface,
            source: datagram.source,
            destination: datagram.destination,
            ttl: datagram.ttl,
            payload: datagram.payload,
        };
        self.engine.handle(runtime::now(), Input::Packet(packet));
    }

    /// What the readers have already taken in.
    fn drain_packets(&mut self) {
        for _ in 0..PACKETS_AT_ONCE {
            let Ok((socket, datagram)) = self.packet_inbox.try_recv() else { return };
            self.handle_packet(socket, datagram);
        }
    }

    /// Takes in what has arrived, but no more than a bounded number from each socket.
    fn sweep_sockets(&mut self) {
        self.drain_packets();
        let mut arrived = Vec::new();
        for (name, open) in &self.sockets {
            for _ in 0..PACKETS_AT_ONCE {
                let Some(datagram) = open.socket.try_receive() else { break };
                arrived.push((name.clone(), datagram));
            }
        }
        for (name, datagram) in arrived {
            self.handle_packet(name, datagram);
        }
    }

    fn transmit(&self, advert: &Transmit) {
        let Some(open) = self.sockets.get(&(advert.interface.clone(), advert.family)) else {
            tracing::debug!("no socket for an advert of {}", advert.instance);
            return;
        };
        let (source, destination) = (advert.source, advert.destination);
        if let Err(error) = open.socket.send(source, destination, advert.ttl, &advert.payload) {
            tracing::warn!("({}) cannot send an advert to {destination}: {error}", advert.instance);
        }
    }

    fn announce(&self, announcement: &DesiredAddress) {
        let link = self.links.values().find(|link| link.name == announcement.interface);
        let Some(link) = link.filter(|link| link.has_arp()) else { return };
        let (Some(index), Some(mac)) = (NonZeroU32::new(link.index), link.mac) else { return };
        let address = announcement.address.address;
        let (frame, what) = match address {
            IpAddr::V4(address) => (arp::gratuitous(mac, address), "gratuitous ARP"),
            IpAddr::V6(address) => {
                let router = runtime::forwards_ipv6(&link.name);
                (ndp::unsolicited(mac, address, router), "unsolicited Neighbour Advert")
            }
        };
        match self.frames.send(index, &frame) {
            Ok(()) => tracing::debug!("Sending {what} on {} for {address}", link.name),
            Err(error) => tracing::warn!("cannot send {what} on {}: {error}", link.name),
        }
    }

    // ---- the kernel

    fn handle_kernel_event(&mut self, event: Result<KernelEvent, NetlinkError>) {
        self.routing.suspect(runtime::now());
        if matches!(event, Ok(KernelEvent::RouteRemoved(_) | KernelEvent::RuleRemoved(_))) {
            return;
        }
        self.kernel_changed = true;
        match event {
            Ok(KernelEvent::Link(link)) => {
                let name = link.name.clone();
                let old = self.links.insert(link.index, link);
                self.open_sockets();
                self.tell_link(&name);
                if let Some(old) = old.filter(|old| old.name != name) {
                    self.tell_link(&old.name);
                }
            }
            Ok(KernelEvent::LinkGone(link)) => {
                if let Some(link) = self.links.remove(&link.index) {
                    self.actual.retain(|place, _| place.0 != link.index);
                    self.managed.retain(|place| place.0 != link.index);
                    self.open_sockets();
                    self.tell_link(&link.name);
                }
            }
            Ok(KernelEvent::AddressAdded(address)) => {
                let index = address.index;
                self.actual.insert(place_of(&address), address);
                self.tell_link_of(index);
            }
            Ok(KernelEvent::AddressRemoved(address)) => self.address_removed(&address),
            Ok(KernelEvent::RouteRemoved(_) | KernelEvent::RuleRemoved(_)) => {}
            Ok(KernelEvent::Overrun) => {
                tracing::warn!("kernel events were lost, reading everything again");
                self.read_kernel();
            }
            Err(error) => {
                tracing::error!("kernel events: {error}");
                self.read_kernel();
            }
        }
    }

    fn address_removed(&mut self, address: &KernelAddress) {
        let place = place_of(address);
        let wanted = self.desired_places().contains_key(&place);
        if wanted {
            // The event may be older than an addition of ours: the table is the truth.
            self.read_kernel();
        } else {
            self.actual.remove(&place);
            self.managed.remove(&place);
            self.tell_link_of(place.0);
        }
    }

    fn read_kernel(&mut self) {
        let (links, addresses) = match (self.route.links(), self.route.addresses()) {
            (Ok(links), Ok(addresses)) => (links, addresses),
            (Err(error), _) | (_, Err(error)) => {
                tracing::error!("cannot read links and addresses: {error}");
                return;
            }
        };
        self.links = links.into_iter().map(|link| (link.index, link)).collect();
        self.actual = table(addresses);
        let actual = &self.actual;
        self.managed.retain(|place| actual.contains_key(place));
        self.open_sockets();
        for name in watched_interfaces(&self.config.vrrp) {
            self.tell_link(&name);
        }
        let lost: Vec<DesiredAddress> = self
            .desired_places()
            .into_iter()
            .filter(|(place, _)| !self.actual.contains_key(place))
            .map(|(_, address)| address)
            .collect();
        if !lost.is_empty() {
            self.engine.handle(runtime::now(), Input::AddressesLost(lost));
        }
    }

    /// What the engine wants, where the interface exists.
    fn desired_places(&self) -> BTreeMap<Place, DesiredAddress> {
        let mut desired = self.engine.desired();
        if !self.stopping {
            desired.extend(desired::static_addresses(&self.config.vrrp));
        }
        self.places(desired)
    }

    fn places(&self, addresses: BTreeSet<DesiredAddress>) -> BTreeMap<Place, DesiredAddress> {
        let indices: BTreeMap<&str, u32> =
            self.links.values().map(|link| (link.name.as_str(), link.index)).collect();
        addresses
            .into_iter()
            .filter_map(|wanted| {
                let index = *indices.get(wanted.interface.as_str())?;
                Some(((index, wanted.address.address, wanted.address.prefix), wanted))
            })
            .collect()
    }

    /// Makes the kernel's addresses what the engine wants. Gives whether anything was done.
    fn reconcile_addresses(&mut self) -> bool {
        let now = runtime::now();
        let again = self.refusals.values().any(|refusal| refusal.again <= now);
        let wanted = self.engine.take_addresses_changed();
        if !(again || wanted || std::mem::take(&mut self.kernel_changed)) {
            return false;
        }
        self.want_routing(now);
        let desired = self.desired_places();
        let mut configured = self.engine.configured();
        configured.extend(desired::static_addresses(&self.config.vrrp));
        let configured = self.places(configured);
        // What is no longer wanted is not asked for again.
        self.refusals.retain(|wanted, _| desired.values().any(|found| found == wanted));
        let mut operations = Vec::new();
        let stale: BTreeSet<Place> = self
            .actual
            .keys()
            .filter(|place| !desired.contains_key(place))
            .filter(|place| self.managed.contains(place) || configured.contains_key(place))
            .copied()
            .collect();
        for (index, address, prefix) in stale {
            operations.push(AddressOperation::Remove { index, address, prefix });
        }
        let mut present = Vec::new();
        for (place, wanted) in desired {
            if self.actual.contains_key(&place) {
                self.managed.insert(place);
                present.push(wanted);
            } else if self.refusals.get(&wanted).is_none_or(|refusal| refusal.again <= now) {
                let address = wanted.address.clone();
                operations.push(AddressOperation::Add { index: place.0, address });
            }
        }
        let results = self.route.apply(&operations);
        for (operation, result) in operations.iter().zip(results) {
            present.extend(self.applied(now, operation, result));
        }
        if !present.is_empty() {
            self.engine.handle(now, Input::AddressesPresent(present));
        }
        !operations.is_empty()
    }

    fn want_routing(&mut self, now: Timestamp) {
        if self.routing.is_idle() {
            return;
        }
        let mut wanted = Vec::new();
        if !self.stopping {
            wanted.extend(desired::static_routing(&self.config.vrrp));
            wanted.extend(self.engine.desired_routing());
        }
        self.routing.want(now, wanted, &self.links, &mut self.route);
    }

    /// Routes and rules come after the announcements of the addresses.
    fn install_routing(&mut self) {
        let now = runtime::now();
        let lost = self.routing.install(now, &self.links, &mut self.route);
        if !lost.is_empty() {
            self.engine.handle(now, Input::RoutingLost(lost));
            self.pump_outputs();
            self.reconcile_addresses();
        }
    }

    /// Takes note of an operation; gives the address that is there now.
    fn applied(
        &mut self,
        now: Timestamp,
        operation: &AddressOperation,
        result: Result<(), NetlinkError>,
    ) -> Option<DesiredAddress> {
        match operation {
            AddressOperation::Remove { index, address, prefix } => {
                let place = (*index, *address, *prefix);
                if let Err(error) = result {
                    tracing::error!("cannot remove {address}/{prefix}: {error}");
                }
                // Failed or not: asking again and again would not help.
                self.actual.remove(&place);
                self.managed.remove(&place);
                None
            }
            AddressOperation::Add { index, address } => {
                let interface = self.links.get(index)?.name.clone();
                let wanted = DesiredAddress { interface, address: address.clone() };
                if let Err(error) = result {
                    tracing::error!("cannot add {}/{}: {error}", address.address, address.prefix);
                    let wait = self
                        .refusals
                        .get(&wanted)
                        .map_or(RETRY, |refusal| (refusal.wait * 2).min(RETRY_LIMIT));
                    self.refusals.insert(wanted, Refusal { again: now + wait, wait });
                    return None;
                }
                self.refusals.remove(&wanted);
                let found = KernelAddress {
                    index: *index,
                    address: address.address,
                    prefix: address.prefix,
                    scope: address.scope,
                    secondary: false,
                    usable: true,
                    label: address.label.clone(),
                    protocol: 0,
                };
                self.managed.insert(place_of(&found));
                self.actual.insert(place_of(&found), found);
                Some(wanted)
            }
        }
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        let engine = self.engine.poll_timeout().map(|deadline| deadline.at);
        let retry = self.refusals.values().map(|refusal| refusal.again);
        engine.into_iter().chain(retry).chain(self.deaf_until).chain(self.routing.deadline()).min()
    }

    fn tell_link(&mut self, name: &str) {
        let input = self.link_input(name);
        self.engine.handle(runtime::now(), input);
    }

    fn tell_link_of(&mut self, index: u32) {
        let Some(name) = self.links.get(&index).map(|link| link.name.clone()) else { return };
        if watched_interfaces(&self.config.vrrp).contains(&name) {
            self.tell_link(&name);
        }
    }

    fn link_input(&self, name: &str) -> Input {
        let link = self.links.values().find(|link| link.name == name);
        let state = match link {
            None => LinkState::Absent,
            Some(link) if link.is_running() => LinkState::Up,
            Some(_) => LinkState::Down,
        };
        let own = link.map(|link| self.own_addresses(link.index)).unwrap_or_default();
        Input::Link { interface: name.to_owned(), state, own }
    }

    /// The interface's own addresses: none that comes and goes with a virtual router.
    fn own_addresses(&self, index: u32) -> OwnAddresses {
        let virtual_ones = self.places(configured(&self.config.vrrp));
        let statics = self.places(desired::static_addresses(&self.config.vrrp).collect());
        let own = self
            .actual
            .values()
            .filter(|address| address.index == index && address.usable)
            .filter(|address| {
                let ours = address.is_ours() || self.managed.contains(&place_of(address));
                !ours || statics.contains_key(&place_of(address))
            })
            .filter(|address| !virtual_ones.contains_key(&place_of(address)));
        let inet = own
            .clone()
            .filter(|found| found.address.is_ipv4())
            // Global before link scope; a real network before a host address.
            .min_by_key(|found| (found.scope, found.prefix == 32, found.secondary, found.address));
        let inet6 = own
            .filter(|found| match found.address {
                IpAddr::V6(address) => address.is_unicast_link_local(),
                IpAddr::V4(_) => false,
            })
            // The one that the kernel made has a network; a virtual one is a host address.
            .min_by_key(|found| (found.prefix == 128, found.address));
        OwnAddresses {
            inet: inet.map(|found| found.address),
            inet6: inet6.map(|found| found.address),
        }
    }

    // ---- scripts

    fn handle_script(&mut self, run: &ScriptRun) {
        let name = &run.name;
        if run.changed {
            match &run.outcome {
                Outcome::Exited(0) => tracing::info!("VRRP_Script({name}) succeeded"),
                Outcome::Exited(status) => {
                    tracing::info!("VRRP_Script({name}) failed (exited with status {status})");
                }
                Outcome::Signalled(signal) => {
                    tracing::info!("VRRP_Script({name}) failed (due to signal {signal})");
                }
                Outcome::TimedOut => tracing::info!("VRRP_Script({name}) timed out"),
                Outcome::NotStarted(why) => {
                    tracing::error!("VRRP_Script({name}) failed: {why}");
                }
            }
        }
        if let (true, Some(good)) = (run.changed, run.health.is_good()) {
            let input = Input::Script { name: name.clone(), good };
            self.engine.handle(runtime::now(), input);
        }
    }

    fn run_notifications(&mut self, notice: &Notice) {
        let kind = match notice.subject {
            Subject::Instance => "INSTANCE",
            Subject::Group => "GROUP",
        };
        let object = format!("{kind} {}", notice.name);
        if let Some(script) = &notice.script {
            let notification = Notification { script: script.clone(), arguments: Vec::new() };
            self.notify.push(&object, notification);
        }
        if let Some(script) = &notice.any {
            let arguments = vec![
                kind.to_owned(),
                notice.name.clone(),
                notice.state.to_owned(),
                notice.priority.to_string(),
            ];
            self.notify.push(&object, Notification { script: script.clone(), arguments });
        }
    }

    // ---- dumps and the end

    fn data(&self) -> String {
        let scripts = &self.config.vrrp.scripts;
        status::data(&self.engine, &self.config.global, scripts, runtime::now())
    }

    fn dump_data(&self) {
        tracing::info!("Printing VRRP data for process({}) on signal", std::process::id());
        if let Err(error) = runtime::write_dump("keepalived.data", &self.data()) {
            tracing::error!("cannot write the data file: {error}");
        }
    }

    fn dump_statistics(&self) {
        tracing::info!("Printing VRRP stats for process({}) on signal", std::process::id());
        let text = status::statistics(&self.engine);
        if let Err(error) = runtime::write_dump("keepalived.stats", &text) {
            tracing::error!("cannot write the statistics file: {error}");
        }
    }

    /// Resigns, gives the addresses up, lets the scripts speak.
    async fn stop(&mut self) {
        tracing::info!("Stopping");
        self.scripts.stop();
        self.engine.handle(runtime::now(), Input::Shutdown);
        self.pump_outputs();
        if !self.options.keep_addresses {
            self.stopping = true;
            self.kernel_changed = true;
            self.reconcile_addresses();
            self.install_routing();
        }
        self.remember();
        self.tell();
        if !self.notify.drain(STOP_GRACE).await {
            tracing::warn!("a notify script is still running, not waiting for it any longer");
        }
    }
}

fn table(addresses: Vec<KernelAddress>) -> BTreeMap<Place, KernelAddress> {
    addresses.into_iter().map(|address| (place_of(&address), address)).collect()
}

fn interface_id(links: &BTreeMap<u32, Link>, name: &str) -> Option<InterfaceId> {
    let link = links.values().find(|link| link.name == name)?;
    Some(InterfaceId { index: link.index, name: link.name.clone() })
}

/// Interfaces whose state the engine must know.
fn watched_interfaces(config: &VrrpConfig) -> BTreeSet<String> {
    let own = config.instances.iter().filter_map(|instance| instance.interface.clone());
    let tracked = config.instances.iter().flat_map(|instance| &instance.track_interfaces);
    let grouped = config.sync_groups.iter().flat_map(|group| &group.track_interfaces);
    own.chain(tracked.chain(grouped).map(|tracked| tracked.name.clone())).collect()
}

fn configured(config: &VrrpConfig) -> BTreeSet<DesiredAddress> {
    config.instances.iter().flat_map(|instance| super::desired::addresses(instance)).collect()
}

fn report(reports: &mpsc::Sender<DaemonReport>, report: DaemonReport) {
    if reports.try_send(report).is_err() {
        tracing::debug!("the parent was not told {report:?}");
    }
}

fn log_event(event: &Event) {
    let reason = event.reason.as_ref().map(ToString::to_string);
    match (event.kind.importance(), reason) {
        (Importance::Detail, _) => tracing::debug!("{event}"),
        (Importance::Normal, Some(reason)) => tracing::info!(reason, "{event}"),
        (Importance::Normal, None) => tracing::info!("{event}"),
        (Importance::Warning, _) => tracing::warn!("{event}"),
    }
}
