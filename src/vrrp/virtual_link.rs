//! The interfaces that `use_vmac` and `use_ipvlan` ask for: made over the instance's own, adopted
//! when a predecessor left them, removed at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

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
/// And of the interface beneath: it must not answer for them.
const BASE_SETTINGS: &[(&str, &str)] = &[("arp_ignore", "1"), ("arp_filter", "1")];
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
    /// Made or adopted.
    ours: BTreeSet<String>,
    /// What the settings of the interfaces beneath were before.
    before: BTreeMap<PathBuf, String>,
    /// Of interface groups.
    names: Names,
    /// What was refused is told once.
    told: BTreeSet<String>,
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

    /// The interfaces beneath.
    pub fn bases(&self) -> BTreeSet<&str> {
        self.wanted.values().map(|wanted| wanted.base.as_str()).collect()
    }

    /// Makes the kernel have what is wanted, as far as the interfaces beneath are there; `sources`
    /// are their link-local addresses. Gives whether links have come or gone.
    pub fn reconcile(
        &mut self,
        route: &mut RouteSocket,
        links: &BTreeMap<u32, Link>,
        sources: &BTreeMap<u32, IpAddr>,
    ) -> bool {
        let mut changed = false;
        let by_name = |name: &str| links.values().find(|link| link.name == name);
        for name in self.ours.clone() {
            if !self.wanted.contains_key(&name) {
                changed |= self.remove(route, &name, by_name(&name));
            }
        }
        for (name, wanted) in self.wanted.clone() {
            let Some(base) = by_name(&wanted.base) else {
                self.ours.remove(&name);
                continue;
            };
            match by_name(&name) {
                Some(there) if fits(there, base, &wanted.link) => {
                    if self.ours.insert(name.clone()) {
                        self.settings(&name, &wanted);
                        let up = route.set_link_up(there.index);
                        self.tell(&name, "bring up", up);
                    }
                    let source = sources.get(&base.index).copied();
                    self.address(route, there.index, &wanted, source);
                }
                Some(_) if !self.ours.contains(&name) => {
                    let why = format!("interface {name} is there already, and not what is wanted");
                    if self.told.insert(why.clone()) {
                        tracing::error!("{why}");
                    }
                }
                Some(there) => {
                    changed |= self.remove(route, &name, Some(there));
                    changed |= self.make(route, &name, &wanted, base);
                }
                None => changed |= self.make(route, &name, &wanted, base),
            }
        }
        self.restore_settings();
        changed
    }

    /// The end: nothing of ours stays.
    pub fn remove_all(&mut self, route: &mut RouteSocket, links: &BTreeMap<u32, Link>) {
        self.wanted.clear();
        for name in self.ours.clone() {
            let there = links.values().find(|link| link.name == name);
            self.remove(route, &name, there);
        }
        self.restore_settings();
    }

    fn make(&mut self, route: &mut RouteSocket, name: &str, wanted: &Wanted, base: &Link) -> bool {
        let made = route.create_link(&new_link(name, base.index, &wanted.link, &self.names));
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
        link_local: Option<IpAddr>,
    ) {
        let address = match (&wanted.link, wanted.family) {
            (VirtualLink::Ipvlan(ipvlan), _) => ipvlan.address,
            (VirtualLink::Vmac(_), Family::Inet6) => {
                link_local.map(|address| (address, LINK_LOCAL_PREFIX))
            }
            (VirtualLink::Vmac(_), Family::Inet) => None,
        };
        let Some((address, prefix)) = address else { return };
        let address = VirtualAddress::new(address, prefix).into();
        for added in route.apply(&[AddressOperation::Add { index, address }]) {
            self.tell(wanted.link.name(), "give an address to", added);
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
                for (setting, value) in BASE_SETTINGS {
                    let path = inet_setting(&wanted.base, setting);
                    if let Ok(before) = std::fs::read_to_string(&path) {
                        self.before.entry(path.clone()).or_insert(before);
                    }
                    self.set(&path, value);
                }
            }
            Family::Inet6 => {}
        }
    }

    /// Once nothing stands on an interface any more, it is as it was.
    fn restore_settings(&mut self) {
        let needed: BTreeSet<PathBuf> = self
            .wanted
            .values()
            .flat_map(|wanted| {
                BASE_SETTINGS.iter().map(|(setting, _)| inet_setting(&wanted.base, setting))
            })
            .collect();
        let gone: Vec<PathBuf> =
            self.before.keys().filter(|path| !needed.contains(*path)).cloned().collect();
        for path in gone {
            if let Some(value) = self.before.remove(&path) {
                self.set(&path, value.trim());
            }
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

const INET: &str = "/proc/sys/net/ipv4/conf";
const INET6: &str = "/proc/sys/net/ipv6/conf";

fn inet_setting(interface: &str, setting: &str) -> PathBuf {
    Path::new(INET).join(interface).join(setting)
}

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
    NewLink { name: name.to_owned(), base, kind, group }
}

/// Whether an interface that is there is the one that is wanted.
fn fits(there: &Link, base: &Link, wanted: &VirtualLink) -> bool {
    let same_kind = there.kind.as_deref() == Some(wanted.kind());
    let same_mac = match wanted {
        VirtualLink::Vmac(vmac) => there.mac == Some(vmac.address),
        VirtualLink::Ipvlan(_) => true,
    };
    same_kind && same_mac && there.base == Some(base.index)
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
        }
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
