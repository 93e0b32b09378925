//! Links and addresses: what the kernel has, and how it gets what the engine wants.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{Daemon, Place, RETRY, Refusal, configured, place_of, table, watched_interfaces};
use crate::core::config::model::Family;
use crate::core::config::model::vrrp::VirtualAddress;
use crate::core::netlink::NetlinkError;
use crate::core::netlink::address::AddressOperation;
use crate::core::netlink::address::KernelAddress;
use crate::core::netlink::monitor::KernelEvent;
use crate::core::netlink::nftables::Ruleset;
use crate::core::runtime;
use crate::core::time::Timestamp;
use crate::vrrp::desired::{self, DesiredAddress};
use crate::vrrp::engine::Changes;
use crate::vrrp::engine::Input;
use crate::vrrp::engine::LinkState;
use crate::vrrp::engine::OwnAddresses;
use crate::vrrp::engine::tracked_source;
use crate::vrrp::firewall;
use crate::vrrp::interface_settings;
use crate::vrrp::losses::Remedy;

impl Daemon<'_> {
    /// Virtual MACs and their like, as far as the interfaces beneath are there.
    pub(super) fn make_links(&mut self) {
        self.make_virtual_links();
        let mut settings = interface_settings::configured(&self.config);
        settings.extend(self.virtual_links.settings_beneath());
        self.settings.want(&settings);
    }

    fn make_virtual_links(&mut self) {
        if self.virtual_links.is_idle() {
            return;
        }
        let bases = self.virtual_links.bases();
        let sources: BTreeMap<u32, IpAddr> = self
            .links
            .values()
            .filter(|link| bases.contains(link.name.as_str()))
            .filter_map(|link| Some((link.index, self.own_addresses(link.index).inet6?)))
            .collect();
        // What was made is found, brought up and given its address in the second round.
        for _ in 0..2 {
            self.keep_reports_beneath();
            let actual = &self.actual;
            let has = |index, address, prefix| actual.contains_key(&(index, address, prefix));
            let changed =
                self.virtual_links.reconcile(&mut self.route, &self.links, &sources, &has);
            for (index, address, prefix) in self.virtual_links.take_given() {
                let added = VirtualAddress::new(address, prefix);
                let found = KernelAddress::added(index, &added);
                self.actual.insert(place_of(&found), found);
            }
            if !changed {
                break;
            }
            match self.route.links() {
                Ok(links) => {
                    self.links = links.into_iter().map(|link| (link.index, link)).collect();
                    self.mtus_changed = true;
                }
                Err(error) => tracing::error!("cannot read links: {error}"),
            }
        }
    }

    /// Membership reports of virtual MACs that are there, up or not.
    fn keep_reports_beneath(&mut self) {
        let [links, links6] = self.reporting_links();
        self.firewall.want_reports(&self.config.global.firewall, links, links6);
    }

    /// Of IPv4 and of IPv6.
    fn reporting_links(&self) -> [BTreeMap<u32, u32>; 2] {
        [Family::Inet, Family::Inet6].map(|family| self.virtual_links.pairs(family, &self.links))
    }

    pub(super) fn handle_kernel_event(&mut self, event: Result<KernelEvent, NetlinkError>) {
        self.routing.suspect(runtime::now());
        match &event {
            Ok(KernelEvent::RouteRemoved(_) | KernelEvent::RuleRemoved(_)) => return,
            Ok(KernelEvent::AddressAdded(address)) if self.is_old_news(address) => return,
            // A removal of ours.
            Ok(KernelEvent::AddressRemoved(address))
                if !self.actual.contains_key(&place_of(address)) =>
            {
                return;
            }
            Ok(_) | Err(_) => {}
        }
        self.kernel_changed = true;
        match event {
            Ok(KernelEvent::Link(link)) => {
                let name = link.name.clone();
                if self.links.get(&link.index).is_some_and(|old| old.name != name) {
                    self.tell_gone(link.index);
                }
                let mtu = link.mtu;
                let old = self.links.insert(link.index, link);
                self.mtus_changed |=
                    old.as_ref().is_none_or(|old| (&old.name, old.mtu) != (&name, mtu));
                self.make_links();
                self.open_sockets();
                self.tell_link(&name);
                if let Some(old) = old.filter(|old| old.name != name) {
                    self.tell_link(&old.name);
                }
            }
            Ok(KernelEvent::LinkGone(link)) => {
                self.tell_gone(link.index);
                if let Some(link) = self.links.remove(&link.index) {
                    self.settings.forget(&link.name);
                    self.actual.retain(|place, _| place.0 != link.index);
                    self.managed.retain(|place| place.0 != link.index);
                    self.make_links();
                    self.open_sockets();
                    self.tell_link(&link.name);
                }
            }
            Ok(KernelEvent::AddressAdded(address)) => {
                let index = address.index;
                self.actual.insert(place_of(&address), address);
                self.make_virtual_links();
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
        self.tell_sources();
    }

    /// Which tracked source addresses are not there.
    pub(super) fn tell_sources(&mut self) {
        let tracked = self.config.vrrp.instances.iter().filter_map(|found| tracked_source(found));
        let missing = tracked.filter(|(interface, source)| {
            let family = Family::of(*source);
            if interface.is_none() && runtime::may_speak_from_anywhere(family) {
                return false;
            }
            let mut places = self.actual.values().filter(|found| found.usable);
            !places.any(|found| {
                let link = self.links.get(&found.index);
                found.address == *source
                    && interface
                        .as_ref()
                        .is_none_or(|name| link.is_some_and(|link| link.name == *name))
            })
        });
        let missing = missing.collect();
        self.engine.handle(runtime::now(), Input::MissingSources(missing));
    }

    /// The kernel confirms an addition of ours; a thousand at once must not cost a thousand looks at
    /// everything.
    fn is_old_news(&self, address: &KernelAddress) -> bool {
        let place = place_of(address);
        let known = self.actual.get(&place);
        address.usable && self.managed.contains(&place) && known.is_some_and(|known| known.usable)
    }

    pub(super) fn address_removed(&mut self, address: &KernelAddress) {
        let place = place_of(address);
        let wanted = self.desired_places().contains_key(&place);
        if wanted {
            // The event may be older than an addition of ours: the table is the truth.
            self.read_kernel();
        } else {
            self.actual.remove(&place);
            self.managed.remove(&place);
            // It may be what a virtual MAC speaks from.
            self.make_virtual_links();
            self.tell_link_of(place.0);
        }
    }

    /// An interface goes, or gets another name: addresses on it are gone, and nobody removed them.
    fn tell_gone(&mut self, index: u32) {
        let desired = self.desired_places().into_iter();
        let gone = desired.filter(|(place, _)| place.0 == index && self.actual.contains_key(place));
        let gone: Vec<DesiredAddress> = gone.map(|(_, address)| address).collect();
        if !gone.is_empty() {
            self.engine.handle(runtime::now(), Input::AddressesGone(gone));
        }
    }

    /// What no router tracks is put back without one of them moving; when it is removed again and
    /// again, after a while only.
    fn note_untracked(&mut self, lost: &[DesiredAddress]) {
        let now = runtime::now();
        // Reloads bring new addresses for ever.
        self.losses.retain(|_, losses| !losses.is_forgotten(now));
        let statics: BTreeSet<DesiredAddress> =
            desired::static_addresses(&self.config.vrrp).collect();
        for address in lost {
            if !address.address.no_track && !statics.contains(address) {
                continue;
            }
            let shown = format!("{}/{}", address.address.address, address.address.prefix);
            match self.losses.entry(address.clone()).or_default().lost(now, RETRY) {
                Remedy::AtOnce => {
                    tracing::warn!("{shown} was removed by someone else, it is put back");
                }
                Remedy::After(wait) => {
                    tracing::warn!("{shown} is removed again and again, it is left for {wait} s");
                    self.refusals.insert(address.clone(), Refusal { again: now + wait, wait });
                }
            }
        }
    }

    pub(super) fn read_kernel(&mut self) {
        let (links, addresses) = match (self.route.links(), self.route.addresses()) {
            (Ok(links), Ok(addresses)) => (links, addresses),
            (Err(error), _) | (_, Err(error)) => {
                tracing::error!("cannot read links and addresses: {error}");
                return;
            }
        };
        self.links = links.into_iter().map(|link| (link.index, link)).collect();
        self.mtus_changed = true;
        self.actual = table(addresses);
        let actual = &self.actual;
        let before = self.managed.clone();
        self.managed.retain(|place| actual.contains_key(place));
        self.make_links();
        self.open_sockets();
        for name in watched_interfaces(&self.config.vrrp) {
            self.tell_link(&name);
        }
        let lost: Vec<DesiredAddress> = self
            .desired_places()
            .into_iter()
            .filter(|(place, _)| before.contains(place) && !self.actual.contains_key(place))
            .map(|(_, address)| address)
            .collect();
        if !lost.is_empty() {
            self.note_untracked(&lost);
            self.engine.handle(runtime::now(), Input::AddressesLost(lost));
        }
    }

    /// What the engine wants, where the interface exists.
    pub(super) fn desired_places(&self) -> BTreeMap<Place, DesiredAddress> {
        let mut desired = self.engine.desired();
        if !self.stopping {
            desired.extend(desired::static_addresses(&self.config.vrrp));
        }
        self.places(desired)
    }

    pub(super) fn places(
        &self,
        addresses: BTreeSet<DesiredAddress>,
    ) -> BTreeMap<Place, DesiredAddress> {
        let indices: BTreeMap<&str, u32> =
            self.links.values().map(|link| (link.name.as_str(), link.index)).collect();
        addresses
            .into_iter()
            .filter_map(|wanted| {
                let index = *indices.get(&*wanted.interface)?;
                Some(((index, wanted.address.address, wanted.address.prefix), wanted))
            })
            .collect()
    }

    /// Makes the kernel's addresses what the engine wants. Gives whether anything was done.
    pub(super) fn reconcile_addresses(&mut self) -> bool {
        let now = runtime::now();
        let again = self.refusals.values().any(|refusal| refusal.again <= now);
        let changes = self.engine.take_changes();
        let everything = std::mem::take(&mut self.kernel_changed) || again;
        match changes {
            Changes::Nothing if !everything => return false,
            Changes::Addresses(addresses) if !everything && self.may_be_partial() => {
                return self.reconcile_some(now, addresses);
            }
            Changes::Nothing | Changes::Addresses(_) | Changes::Everything => {}
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
        // An address is refused before it comes, and until it is gone.
        let refused = self.refused();
        self.firewall.want_also(&refused);
        self.carry_out(now, &operations, present);
        self.firewall.want(&refused);
        !operations.is_empty()
    }

    /// Addresses that nothing else depends on can be looked at alone: with thousands of routers, each
    /// must not cost a look at all.
    fn may_be_partial(&self) -> bool {
        let vrrp = &self.config.vrrp;
        self.refusals.is_empty()
            && self.routing.is_idle()
            && vrrp.static_addresses.is_empty()
            && vrrp.instances.iter().all(|instance| instance.accept)
    }

    /// The same as [`Self::reconcile_addresses`] for these only, each with whether it is wanted.
    fn reconcile_some(&mut self, now: Timestamp, addresses: Vec<(DesiredAddress, bool)>) -> bool {
        let indices: BTreeMap<&str, u32> =
            self.links.values().map(|link| (link.name.as_str(), link.index)).collect();
        let (mut operations, mut present) = (Vec::new(), Vec::new());
        for (wanted, held) in addresses {
            let Some(&index) = indices.get(&*wanted.interface) else { continue };
            let (address, prefix) = (wanted.address.address, wanted.address.prefix);
            let place = (index, address, prefix);
            match (held, self.actual.contains_key(&place)) {
                (true, true) => {
                    self.managed.insert(place);
                    present.push(wanted);
                }
                (true, false) => {
                    operations.push(AddressOperation::Add { index, address: wanted.address });
                }
                (false, true) => {
                    operations.push(AddressOperation::Remove { index, address, prefix });
                }
                (false, false) => {}
            }
        }
        self.carry_out(now, &operations, present);
        !operations.is_empty()
    }

    /// What the firewall is to do.
    fn refused(&self) -> Ruleset {
        let mut ruleset = firewall::ruleset(&self.config.global.firewall);
        for (index, address, _) in self.places(self.engine.refused()).into_keys() {
            firewall::refuse(&mut ruleset, address, index);
        }
        [ruleset.links, ruleset.links6] = self.reporting_links();
        ruleset
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
    pub(super) fn install_routing(&mut self) {
        let now = runtime::now();
        let lost = self.routing.install(now, &self.links, &mut self.route);
        if !lost.is_empty() {
            self.engine.handle(now, Input::RoutingLost(lost));
            self.pump_outputs();
            self.reconcile_addresses();
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        let engine = self.engine.poll_timeout().map(|deadline| deadline.at);
        let retry = self.refusals.values().map(|refusal| refusal.again);
        let rest = [
            self.deaf_until,
            self.routing.deadline(),
            self.linkbeat.next(),
            self.remains.deadline(),
            self.keys.deadline(),
        ];
        engine.into_iter().chain(retry).chain(rest.into_iter().flatten()).min()
    }

    pub(super) fn tell_link(&mut self, name: &str) {
        let input = self.link_input(name);
        self.engine.handle(runtime::now(), input);
    }

    pub(super) fn tell_link_of(&mut self, index: u32) {
        let Some(name) = self.links.get(&index).map(|link| link.name.clone()) else { return };
        if watched_interfaces(&self.config.vrrp).contains(&name) {
            self.tell_link(&name);
        }
    }

    pub(super) fn link_input(&self, name: &str) -> Input {
        let link = self.links.values().find(|link| link.name == name);
        let state = match link {
            None => LinkState::Absent,
            Some(link) => {
                let running = match self.linkbeat.link(name) {
                    Some(beats) => link.is_up() && beats,
                    None => link.is_running(),
                };
                if running { LinkState::Up } else { LinkState::Down }
            }
        };
        let own = link.map(|link| self.own_addresses(link.index)).unwrap_or_default();
        Input::Link { interface: name.to_owned(), state, own }
    }

    /// The interface's own addresses: none that comes and goes with a virtual router.
    pub(super) fn own_addresses(&self, index: u32) -> OwnAddresses {
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
}
