//! Routes and rules in the kernel: those of masters, and static ones.
//!
//! What is already right is not touched. Entries are added after addresses, whose networks they may
//! need, and removed before them.

use std::collections::{BTreeMap, BTreeSet};

use super::desired::RoutingEntry;
use crate::core::config::model::Config;
use crate::core::config::model::route::Named;
use crate::core::iproute::Names;
use crate::core::netlink::link::Link;
use crate::core::netlink::route::{self, KernelRoute, Lookup, RouteRequest, Unresolved};
use crate::core::netlink::rule::{KernelRule, RuleRequest};
use crate::core::netlink::{NetlinkError, RouteSocket};
use crate::core::time::{Interval, Timestamp};

/// keepalived's mark, and ours.
const OUR_PROTOCOL: u8 = 18;
/// Many changes of the kernel at once are looked at together.
const GATHER: Interval = Interval::from_millis(20);
/// A refused entry is tried again after this; doubles up to the limit.
const RETRY: Interval = Interval::from_millis(500);
const RETRY_LIMIT: Interval = Interval::from_secs(30);

/// An entry with its names looked up.
enum Request {
    Route(RouteRequest),
    Rule(RuleRequest),
}

impl Request {
    fn new(entry: &RoutingEntry, lookup: Lookup<'_>) -> Result<Self, Unresolved> {
        Ok(match entry {
            RoutingEntry::Route(route) => Self::Route(RouteRequest::new(route, lookup)?),
            RoutingEntry::Rule(rule) => Self::Rule(RuleRequest::new(rule, lookup)?),
        })
    }

    fn add(&self, socket: &mut RouteSocket) -> Result<(), NetlinkError> {
        match self {
            Self::Route(route) => socket.add_route(route),
            Self::Rule(rule) => socket.add_rule(rule),
        }
    }

    fn remove(&self, socket: &mut RouteSocket) -> Result<(), NetlinkError> {
        match self {
            Self::Route(route) => socket.remove_route(route),
            Self::Rule(rule) => socket.remove_rule(rule),
        }
    }

    fn is_ours(&self) -> bool {
        let protocol = match self {
            Self::Route(route) => route.wanted().map(|route| route.protocol),
            Self::Rule(rule) => rule.wanted().map(|rule| rule.protocol()),
        };
        protocol == Some(OUR_PROTOCOL)
    }
}

/// What the kernel has of what could be ours.
struct Tables {
    routes: Vec<KernelRoute>,
    rules: Vec<KernelRule>,
}

impl Tables {
    fn read(socket: &mut RouteSocket, requests: &[&Request]) -> Result<Self, NetlinkError> {
        let mut protocols = BTreeSet::new();
        let mut with_rules = false;
        for request in requests {
            match request {
                Request::Route(route) => {
                    protocols.extend(route.wanted().map(|route| route.protocol));
                }
                Request::Rule(_) => with_rules = true,
            }
        }
        let mut routes = Vec::new();
        for protocol in protocols {
            routes.extend(socket.routes(protocol)?);
        }
        let rules = if with_rules { socket.rules()? } else { Vec::new() };
        Ok(Self { routes, rules })
    }

    fn has(&self, request: &Request) -> bool {
        match request {
            Request::Route(route) => route
                .wanted()
                .is_some_and(|wanted| self.routes.iter().any(|found| found.satisfies(&wanted))),
            Request::Rule(rule) => rule.wanted().is_some_and(|wanted| self.rules.contains(&wanted)),
        }
    }
}

/// The kernel did not take an entry; when to ask again.
#[derive(Debug, Clone, Copy)]
struct Refusal {
    again: Timestamp,
    wait: Interval,
}

/// The routes and rules of a configuration, and which of them the kernel has.
#[derive(Debug, Default)]
pub struct Routing {
    names: Names,
    links: BTreeMap<String, (u32, Option<u32>)>,
    /// Every entry of the configuration.
    configured: Vec<RoutingEntry>,
    /// Those that should be there now, in the order of the file.
    wanted: Vec<RoutingEntry>,
    /// Those that are there, added by us or found.
    held: BTreeSet<RoutingEntry>,
    refusals: BTreeMap<RoutingEntry, Refusal>,
    /// Something may have changed: when to compare.
    compare_at: Option<Timestamp>,
}

impl Routing {
    /// Takes a configuration over; names are read anew.
    pub fn configure(&mut self, now: Timestamp, config: &Config) {
        self.configured = super::desired::all_routing(&config.vrrp);
        if self.is_idle() {
            return;
        }
        self.names = Names::of(&config.global.files);
        self.refusals.clear();
        self.compare_at = Some(now);
    }

    /// Nothing to do, and nothing to undo.
    pub fn is_idle(&self) -> bool {
        self.configured.is_empty() && self.held.is_empty()
    }

    /// Whether there are routes, and whether there are rules.
    pub fn kinds(&self) -> (bool, bool) {
        let is_route = |entry: &RoutingEntry| matches!(entry, RoutingEntry::Route(_));
        (self.configured.iter().any(is_route), !self.configured.iter().all(is_route))
    }

    /// What finds the routes and rules of the configuration in the kernel again, for a note. Those that
    /// are not marked as ours are left out.
    pub fn keys(&self, links: &BTreeMap<u32, Link>) -> (BTreeSet<Vec<u8>>, BTreeSet<Vec<u8>>) {
        let links = by_name(links);
        let lookup = Lookup { links: &links, names: &self.names };
        let (mut routes, mut rules) = (BTreeSet::new(), BTreeSet::new());
        for entry in &self.configured {
            match entry {
                RoutingEntry::Route(found) if self.is_marked(&found.protocol) => {
                    routes.extend(route::key(found, lookup));
                }
                RoutingEntry::Rule(found) if self.is_marked(&found.protocol) => {
                    rules.extend(RuleRequest::new(found, lookup).map(|rule| rule.key()));
                }
                RoutingEntry::Route(_) | RoutingEntry::Rule(_) => {}
            }
        }
        (routes, rules)
    }

    fn is_marked(&self, protocol: &Named) -> bool {
        self.names.resolve(protocol) == Some(OUR_PROTOCOL.into())
    }

    /// Removes what a dead process noted and the configuration does not have. Gives how many entries.
    pub fn inherit(
        &self,
        routes: &BTreeSet<Vec<u8>>,
        rules: &BTreeSet<Vec<u8>>,
        links: &BTreeMap<u32, Link>,
        socket: &mut RouteSocket,
    ) -> Result<usize, NetlinkError> {
        let links_by_name = by_name(links);
        let lookup = Lookup { links: &links_by_name, names: &self.names };
        let requests = self.configured.iter().map(|entry| Request::new(entry, lookup));
        let wanted: Vec<KernelRoute> = requests
            .filter_map(|request| match request {
                Ok(Request::Route(route)) => route.wanted(),
                Ok(Request::Rule(_)) | Err(_) => None,
            })
            .collect();
        let (_, own) = self.keys(links);
        let mut removed = 0;
        for rule in rules.difference(&own) {
            removed += usize::from(socket.remove_rule_by_key(rule, OUR_PROTOCOL)?);
        }
        for route in routes {
            removed += socket.remove_routes_by_key(route, OUR_PROTOCOL, &wanted)?;
        }
        Ok(removed)
    }

    /// The kernel has changed somehow.
    pub fn suspect(&mut self, now: Timestamp) {
        if !self.is_idle() {
            let at = now + GATHER;
            self.compare_at = Some(self.compare_at.map_or(at, |old| old.min(at)));
        }
    }

    /// When [`Self::install`] must be called next.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.refusals.values().map(|refusal| refusal.again).chain(self.compare_at).min()
    }

    /// Takes what should be there from now on, and removes what no longer should.
    pub fn want(
        &mut self,
        now: Timestamp,
        wanted: Vec<RoutingEntry>,
        links: &BTreeMap<u32, Link>,
        socket: &mut RouteSocket,
    ) {
        if self.wanted == wanted && self.held.iter().all(|entry| wanted.contains(entry)) {
            return;
        }
        self.wanted = wanted;
        self.compare_at = Some(now);
        self.set_links(links);
        let wanted = &self.wanted;
        self.refusals.retain(|entry, _| wanted.contains(entry));
        let stale: Vec<_> =
            self.held.iter().filter(|entry| !wanted.contains(entry)).cloned().collect();
        // The last of the file first: it may stand on the ones before it.
        for entry in stale.into_iter().rev() {
            self.held.remove(&entry);
            let lookup = Lookup { links: &self.links, names: &self.names };
            // What is on an interface that is gone went with it.
            if let Ok(request) = Request::new(&entry, lookup) {
                remove(socket, &entry, &request);
            }
        }
    }

    /// Adds what is missing, when it is time to look. Gives what somebody else removed.
    pub fn install(
        &mut self,
        now: Timestamp,
        links: &BTreeMap<u32, Link>,
        socket: &mut RouteSocket,
    ) -> Vec<RoutingEntry> {
        if self.deadline().is_none_or(|at| at > now) {
            return Vec::new();
        }
        self.compare_at = None;
        self.set_links(links);
        let lookup = Lookup { links: &self.links, names: &self.names };
        let requests: Vec<_> = self
            .configured
            .iter()
            .map(|entry| (entry.clone(), Request::new(entry, lookup)))
            .collect();
        let known: Vec<_> =
            requests.iter().filter_map(|(_, request)| request.as_ref().ok()).collect();
        let tables = match Tables::read(socket, &known) {
            Ok(tables) => tables,
            Err(error) => {
                tracing::error!("cannot read routes and rules: {error}");
                self.compare_at = Some(now + RETRY);
                return Vec::new();
            }
        };
        let mut lost = Vec::new();
        for (entry, request) in requests {
            let wanted = self.wanted.contains(&entry);
            match request {
                Ok(request) if tables.has(&request) => {
                    if wanted {
                        self.refusals.remove(&entry);
                        self.held.insert(entry);
                    } else if request.is_ours() {
                        // A process before this one left it.
                        remove(socket, &entry, &request);
                    }
                }
                Ok(request) if wanted => {
                    if self.held.remove(&entry) && self.is_up(&entry, links) {
                        lost.push(entry.clone());
                    }
                    self.add(now, socket, entry, &request);
                }
                Ok(_) => {}
                Err(problem) => {
                    self.held.remove(&entry);
                    if wanted {
                        self.refused(now, entry, &problem.to_string());
                    }
                }
            }
        }
        lost
    }

    fn add(
        &mut self,
        now: Timestamp,
        socket: &mut RouteSocket,
        entry: RoutingEntry,
        request: &Request,
    ) {
        if self.refusals.get(&entry).is_some_and(|refusal| refusal.again > now) {
            return;
        }
        match request.add(socket) {
            Ok(()) => {
                self.refusals.remove(&entry);
                self.held.insert(entry);
            }
            Err(error) => self.refused(now, entry, &error.to_string()),
        }
    }

    fn refused(&mut self, now: Timestamp, entry: RoutingEntry, why: &str) {
        let old = self.refusals.get(&entry).copied();
        if old.is_some_and(|refusal| refusal.again > now) {
            return;
        }
        if old.is_none() {
            tracing::error!("cannot add {entry}: {why}");
        }
        let wait = old.map_or(RETRY, |refusal| (refusal.wait * 2).min(RETRY_LIMIT));
        self.refusals.insert(entry, Refusal { again: now + wait, wait });
    }

    /// The kernel itself drops the routes of an interface that goes down.
    fn is_up(&self, entry: &RoutingEntry, links: &BTreeMap<u32, Link>) -> bool {
        let RoutingEntry::Route(route) = entry else { return true };
        let hops = route.next_hops.iter().map(|next| &next.hop).chain([&route.hop]);
        route.expires.is_none()
            && hops
                .filter_map(|hop| self.links.get(hop.interface.as_ref()?))
                .all(|(index, _)| links.get(index).is_some_and(Link::is_running))
    }

    fn set_links(&mut self, links: &BTreeMap<u32, Link>) {
        self.links = by_name(links);
    }
}

/// Index and, of a VRF, table of each interface.
fn by_name(links: &BTreeMap<u32, Link>) -> BTreeMap<String, (u32, Option<u32>)> {
    links.values().map(|link| (link.name.clone(), (link.index, link.vrf_table))).collect()
}

fn remove(socket: &mut RouteSocket, entry: &RoutingEntry, request: &Request) {
    if let Err(error) = request.remove(socket) {
        tracing::error!("cannot remove {entry}: {error}");
    }
}
