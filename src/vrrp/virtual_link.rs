//! The interfaces that `use_vmac` and `use_ipvlan` ask for: made over the instance's own, adopted
//! when a predecessor left them, removed at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;

use super::interface_settings::{Settings, inet_setting};
use crate::core::config::model::Config;
use crate::core::config::model::Family;
use crate::core::config::model::link::{IpvlanMode, VirtualLink};
use crate::core::config::model::vrrp::VirtualAddress;
use crate::core::iproute::Names;
use crate::core::netlink::address::AddressOperation;
use crate::core::netlink::link::{Link, LinkKind, NewLink};
use crate::core::netlink::{NetlinkError, RouteSocket};

/// keepalived's settings of a virtual MAC of IPv4: it alone answers for its addresses, and takes packets that
/// seem to come from this host.
const OWN_SETTINGS: &[(&str, &str)] =
    &[("arp_ignore", "1"), ("accept_local", "1"), ("rp_filter", "0"), ("promote_secondaries", "1")];
/// And of the interface beneath: it must not answer for them, nor ask in their name. (The last is not
/// keepalived's: a client that is asked by a virtual address takes the MAC of the question for it,
/// and sends to the wrong router after a takeover. RFC 9568 section 8.1.2.)
const BASE_SETTINGS: &[(&str, &str)] =
    &[("arp_ignore", "1"), ("arp_filter", "1"), ("arp_announce", "2")];
/// The prefix of a link-local IPv6 address (RFC 4291 section 2.5.6).
const LINK_LOCAL_PREFIX: u8 = 64;

/// One that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    base: String,
    family: Family,
    link: VirtualLink,
}

/// Those that are ours.
#[derive(Debug, Default)]
pub struct VirtualLinks {
    /// By name.
    wanted: BTreeMap<String, Wanted>,
    /// Made or adopted: their numbers in the kernel.
    ours: BTreeMap<String, u32>,
    /// Of interface groups.
    names: Names,
    /// What was refused is told once.
    told: BTreeSet<String>,
    /// Addresses that they have been given: index, address, prefix length.
    given: Vec<(u32, IpAddr, u8)>,
}

impl VirtualLinks {
    /// A configuration.
    pub fn configure(&mut self, config: &Config) {
        self.told.clear();
        self.names = Names::of(&config.global.files);
        let own = config.vrrp.instances.iter().filter_map(|instance| {
            let link = instance.virtual_link.clone()?;
            Some(Wanted { base: instance.interface.clone()?, family: instance.family, link })
        });
        let of_addresses = config.vrrp.instances.iter().flat_map(|instance| {
            instance.address_links.iter().map(|link| Wanted {
                base: link.base.clone(),
                family: link.family,
                link: VirtualLink::Vmac(link.vmac.clone()),
            })
        });
        // Where an address shares the link of another instance, that is how it is made.
        let all = of_addresses.chain(own);
        self.wanted = all.map(|wanted| (wanted.link.name().to_owned(), wanted)).collect();
    }

    /// Those that are wanted, each with its MAC; an ipvlan has none of its own.
    pub fn named(&self) -> BTreeSet<(String, Option<[u8; 6]>)> {
        let noted = |(name, wanted): (&String, &Wanted)| match &wanted.link {
            VirtualLink::Vmac(vmac) => (name.clone(), Some(vmac.address)),
            VirtualLink::Ipvlan(_) => (name.clone(), None),
        };
        self.wanted.iter().map(noted).collect()
    }

    /// Takes over one that a process before this one has made, so that it goes, or makes room for
    /// another one of its name; nothing to do for one that is wanted. Gives whether it was taken over.
    pub fn inherit(&mut self, there: &Link, mac: Option<[u8; 6]>) -> bool {
        let noted = match mac {
            Some(_) => there.kind.as_deref() == Some("macvlan") && there.mac == mac,
            None => there.kind.as_deref() == Some("ipvlan"),
        };
        let wanted = self.wanted.get(&there.name);
        let takes = noted && wanted.is_none_or(|wanted| !is_made(there, &wanted.link));
        if takes {
            self.ours.insert(there.name.clone(), there.index);
        }
        takes
    }

    /// Whether there is nothing to do, ever.
    pub fn is_idle(&self) -> bool {
        self.wanted.is_empty() && self.ours.is_empty()
    }

    /// Indices of the virtual MACs of a family that are there, with those of the interfaces beneath.
    pub fn pairs(&self, family: Family, links: &BTreeMap<u32, Link>) -> BTreeMap<u32, u32> {
        let of_family = |link: &&Link| {
            self.wanted.get(&link.name).is_some_and(|wanted| {
                wanted.family == family && matches!(wanted.link, VirtualLink::Vmac(_))
            })
        };
        let there = links.values().filter(of_family);
        there.filter_map(|link| Some((link.index, link.base?))).collect()
    }

    /// What the interfaces beneath need while virtual MACs of IPv4 stand on them.
    pub fn settings_beneath(&self) -> Settings {
        let vmacs = self.wanted.iter().filter(|(name, wanted)| {
            let vmac = matches!(wanted.link, VirtualLink::Vmac(_));
            vmac && wanted.family == Family::Inet && self.ours.contains_key(*name)
        });
        let of_base = |base: &str| {
            let setting = |(name, value): &(&str, &'static str)| (inet_setting(base, name), *value);
            BASE_SETTINGS.iter().map(setting).collect::<Vec<_>>()
        };
        vmacs.flat_map(|(_, wanted)| of_base(&wanted.base)).collect()
    }

    /// The interfaces beneath.
    pub fn bases(&self) -> BTreeSet<&str> {
        self.wanted.values().map(|wanted| wanted.base.as_str()).collect()
    }

    /// Makes the kernel have what is wanted, as far as the interfaces beneath are there; `sources`
    /// are their link-local addresses, `has` knows the addresses that are there. Gives whether links
    /// have come or gone.
    pub fn reconcile(
        &mut self,
        route: &mut RouteSocket,
        links: &BTreeMap<u32, Link>,
        sources: &BTreeMap<u32, IpAddr>,
        has: &dyn Fn(u32, IpAddr, u8) -> bool,
    ) -> bool {
        let mut changed = false;
        let names: BTreeMap<&str, &Link> =
            links.values().map(|link| (link.name.as_str(), link)).collect();
        let by_name = |name: &str| names.get(name).copied();
        for (name, index) in self.ours.clone() {
            let wanted = self.wanted.get(&name);
            let base = wanted.and_then(|wanted| by_name(&wanted.base));
            // Renamed, or its base is: as with keepalived, the old one goes and a new one comes.
            let renamed = by_name(&name).is_none_or(|link| link.index != index);
            if base.is_none() || renamed {
                changed |= self.remove(route, &name, links.get(&index));
            }
        }
        for (name, wanted) in self.wanted.clone() {
            let Some(base) = by_name(&wanted.base) else { continue };
            match by_name(&name) {
                Some(there) if fits(there, base, &wanted.link) => {
                    let domain = routing_domain(base, links);
                    if there.master != domain {
                        let joined = route.set_link_master(there.index, domain);
                        changed |= self.tell(&name, "take into its VRF", joined);
                    }
                    if self.ours.insert(name.clone(), there.index).is_none() {
                        self.settings(&name, &wanted);
                    }
                    // One over an interface that is down cannot be up.
                    if !there.is_up() && base.is_up() {
                        let up = route.set_link_up(there.index);
                        self.tell(&name, "bring up", up);
                    }
                    self.address(route, there.index, &wanted, sources.get(&base.index), has);
                }
                Some(there) if self.ours.contains_key(&name) || is_made(there, &wanted.link) => {
                    changed |= self.remove(route, &name, Some(there));
                    changed |= self.make(route, &name, &wanted, base, links);
                }
                Some(_) => {
                    let why = format!("interface {name} is there already, and not what is wanted");
                    if self.told.insert(why.clone()) {
                        tracing::error!("{why}");
                    }
                }
                None => changed |= self.make(route, &name, &wanted, base, links),
            }
        }
        changed
    }

    /// The addresses that they have been given since this was last asked. The kernel may tell of a
    /// removal without ever having told of the addition: it tells of new IPv6 addresses later, and
    /// not of those that are gone by then.
    pub fn take_given(&mut self) -> Vec<(u32, IpAddr, u8)> {
        std::mem::take(&mut self.given)
    }

    /// The end: nothing of ours stays.
    pub fn remove_all(&mut self, route: &mut RouteSocket, links: &BTreeMap<u32, Link>) {
        self.wanted.clear();
        for (name, index) in self.ours.clone() {
            self.remove(route, &name, links.get(&index));
        }
    }

    fn make(
        &mut self,
        route: &mut RouteSocket,
        name: &str,
        wanted: &Wanted,
        base: &Link,
        links: &BTreeMap<u32, Link>,
    ) -> bool {
        let new = new_link(name, base.index, &wanted.link, &self.names);
        let made = route.create_link(&NewLink { master: routing_domain(base, links), ..new });
        let is_there = made.is_ok();
        if self.tell(name, "make", made) {
            tracing::info!("Created {} {name} on {}", wanted.link.kind(), wanted.base);
        }
        is_there
    }

    fn remove(&mut self, route: &mut RouteSocket, name: &str, there: Option<&Link>) -> bool {
        self.ours.remove(name);
        let Some(there) = there else { return false };
        self.tell(name, "remove", route.delete_link(there.index))
    }

    fn tell(&mut self, name: &str, what: &str, result: Result<(), NetlinkError>) -> bool {
        let Err(error) = result else { return true };
        let line = format!("cannot {what} interface {name}: {error}");
        if self.told.insert(line.clone()) {
            tracing::error!("{line}");
        }
        false
    }

    /// What adverts come from: an ipvlan's own address, a virtual MAC's link-local one.
    fn address(
        &mut self,
        route: &mut RouteSocket,
        index: u32,
        wanted: &Wanted,
        link_local: Option<&IpAddr>,
        has: &dyn Fn(u32, IpAddr, u8) -> bool,
    ) {
        let address = match (&wanted.link, wanted.family) {
            (VirtualLink::Ipvlan(ipvlan), _) => ipvlan.address,
            (VirtualLink::Vmac(_), Family::Inet6) => {
                link_local.map(|address| (*address, LINK_LOCAL_PREFIX))
            }
            (VirtualLink::Vmac(_), Family::Inet) => None,
        };
        let Some((address, prefix)) = address else { return };
        if has(index, address, prefix) {
            return;
        }
        let new = VirtualAddress::new(address, prefix).into();
        for added in route.apply(&[AddressOperation::Add { index, address: new }]) {
            if self.tell(wanted.link.name(), "give an address to", added) {
                self.given.push((index, address, prefix));
            }
        }
    }

    fn settings(&mut self, name: &str, wanted: &Wanted) {
        let VirtualLink::Vmac(_) = &wanted.link else { return };
        // No link-local address of its own: it speaks from the one beneath.
        self.set(&Path::new(INET6).join(name).join("addr_gen_mode"), "1");
        match wanted.family {
            Family::Inet => {
                for (setting, value) in OWN_SETTINGS {
                    self.set(&inet_setting(name, setting), value);
                }
                self.set(&Path::new(INET6).join(name).join("disable_ipv6"), "1");
            }
            // Else the kernel answers with this MAC for every IPv4 address of the host; a client that
            // believes it loses a router's own address when the MAC moves (keepalived leaves it so).
            Family::Inet6 => self.set(&inet_setting(name, "arp_ignore"), "1"),
        }
    }

    fn set(&mut self, path: &Path, value: &str) {
        if let Err(error) = std::fs::write(path, value) {
            let line = format!("cannot write {value} to {}: {error}", path.display());
            if self.told.insert(line.clone()) {
                tracing::warn!("{line}");
            }
        }
    }
}

const INET6: &str = "/proc/sys/net/ipv6/conf";

fn new_link(name: &str, base: u32, link: &VirtualLink, names: &Names) -> NewLink {
    let (kind, group) = match link {
        VirtualLink::Vmac(vmac) => (LinkKind::Macvlan { mac: vmac.address }, &vmac.group),
        VirtualLink::Ipvlan(ipvlan) => {
            let flags = match ipvlan.mode {
                IpvlanMode::Bridge => 0,
                IpvlanMode::Private => 1,
                IpvlanMode::Vepa => 2,
            };
            (LinkKind::Ipvlan { flags }, &ipvlan.group)
        }
    };
    let group = group.as_ref().and_then(|group| names.resolve(group));
    NewLink { name: name.to_owned(), base, kind, group, master: None }
}

/// The VRF that an interface is in; what stands on it is there too, as with keepalived.
fn routing_domain(base: &Link, links: &BTreeMap<u32, Link>) -> Option<u32> {
    base.master.filter(|master| links.get(master).is_some_and(|link| link.vrf_table.is_some()))
}

/// Whether an interface that is there is one that a process before this one made, over another
/// interface that had the name then.
fn is_made(there: &Link, wanted: &VirtualLink) -> bool {
    let same_mac = match wanted {
        VirtualLink::Vmac(vmac) => there.mac == Some(vmac.address),
        VirtualLink::Ipvlan(_) => true,
    };
    there.kind.as_deref() == Some(wanted.kind()) && same_mac
}

/// Whether an interface that is there is the one that is wanted.
fn fits(there: &Link, base: &Link, wanted: &VirtualLink) -> bool {
    is_made(there, wanted) && there.base == Some(base.index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::config::model::link::Vmac;

    fn link(index: u32, name: &str) -> Link {
        Link {
            index,
            name: name.to_owned(),
            flags: 0,
            mac: None,
            mtu: 1500,
            base: None,
            kind: None,
            vrf_table: None,
            master: None,
        }
    }

    #[test]
    fn what_a_dead_process_made_is_taken_over_unless_it_is_wanted() {
        let mac = [0, 0, 0x5e, 0, 1, 51];
        let there = Link {
            mac: Some(mac),
            base: Some(2),
            kind: Some("macvlan".to_owned()),
            ..link(7, "vrrp.51")
        };
        let vmac = |address| Wanted {
            base: "eth0".to_owned(),
            family: Family::Inet,
            link: VirtualLink::Vmac(Vmac {
                name: "vrrp.51".to_owned(),
                address,
                notify_again: false,
                group: None,
            }),
        };
        let inherits = |there: &Link, mac, wanted: Option<Wanted>| {
            let mut links = VirtualLinks::default();
            links.wanted.extend(wanted.map(|wanted| ("vrrp.51".to_owned(), wanted)));
            links.inherit(there, mac)
        };
        assert!(inherits(&there, Some(mac), None));
        assert!(!inherits(&there, Some([2; 6]), None), "another one of that name");
        assert!(!inherits(&there, None, None));
        assert!(!inherits(&Link { kind: Some("dummy".into()), ..there.clone() }, Some(mac), None));
        assert!(!inherits(&there, Some(mac), Some(vmac(mac))), "it is adopted");
        assert!(inherits(&there, Some(mac), Some(vmac([2; 6]))), "it is in the way");
    }

    #[test]
    fn only_the_same_interface_is_adopted() {
        let wanted = VirtualLink::Vmac(Vmac {
            name: "vrrp.51".to_owned(),
            address: [0, 0, 0x5e, 0, 1, 51],
            notify_again: false,
            group: None,
        });
        let base = link(2, "eth0");
        let there = Link {
            mac: Some([0, 0, 0x5e, 0, 1, 51]),
            base: Some(2),
            kind: Some("macvlan".to_owned()),
            ..link(7, "vrrp.51")
        };
        assert!(fits(&there, &base, &wanted));
        assert!(!fits(&Link { base: Some(3), ..there.clone() }, &base, &wanted));
        assert!(!fits(&Link { kind: Some("dummy".to_owned()), ..there.clone() }, &base, &wanted));
        assert!(!fits(&Link { mac: Some([2; 6]), ..there }, &base, &wanted));
    }
}
