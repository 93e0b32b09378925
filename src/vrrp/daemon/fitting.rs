//! Adverts that would not fit their interface's packets: keepalived excludes the addresses that are too
//! many, as it does beyond the 255 that can be counted. Only this process knows the interfaces.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::core::config::model::Family;
use crate::core::config::model::vrrp::{Authentication, Instance, VrrpConfig, VrrpVersion};
use crate::vrrp::packet::{ah, hmac};

/// keepalived counts it too: its peers must find the same list in our adverts.
const ETHERNET_HEADER: usize = 14;
const INET_HEADER: usize = 20;
const INET6_HEADER: usize = 40;
const ADVERT_HEADER: usize = 8;
const ADVERT_PASSWORD: usize = 8;

/// The largest packets of interfaces, by name.
pub(super) type Mtus<'a> = BTreeMap<&'a str, u32>;

/// The instances that did not fit, as the file has them, by name.
#[derive(Debug, Default)]
pub(super) struct Fitting {
    whole: BTreeMap<String, Arc<Instance>>,
}

impl Fitting {
    /// Moves addresses that do not fit an advert to the excluded ones, where the interface is known.
    pub(super) fn fit(&mut self, config: &mut VrrpConfig, mtus: &Mtus<'_>) {
        self.whole.clear();
        for instance in &mut config.instances {
            let Some((mtu, most)) = limit(instance, mtus) else { continue };
            if instance.addresses.len() <= most {
                continue;
            }
            tracing::warn!(
                "({}) {} addresses do not fit an advert of {mtu} bytes, those after {most} are excluded",
                instance.name,
                instance.addresses.len()
            );
            self.whole.insert(instance.name.clone(), instance.clone());
            let instance = Arc::make_mut(instance);
            let rest = instance.addresses.split_off(most);
            instance.excluded_addresses.splice(0..0, rest);
        }
    }

    /// What [`Self::fit`] was given, when it would do something else with it now.
    pub(super) fn to_fit_again(&self, config: &VrrpConfig, mtus: &Mtus<'_>) -> Option<VrrpConfig> {
        let whole = |instance: &Arc<Instance>| self.whole.get(&instance.name).cloned();
        let fits = |instance: &Arc<Instance>| {
            let (_, most) = limit(instance, mtus)?;
            let all = whole(instance).map_or(instance.addresses.len(), |all| all.addresses.len());
            Some(instance.addresses.len() == most.min(all))
        };
        // An interface that is gone has lost nothing.
        if config.instances.iter().all(|instance| fits(instance).unwrap_or(true)) {
            return None;
        }
        let mut config = config.clone();
        for instance in &mut config.instances {
            if let Some(whole) = whole(instance) {
                *instance = whole;
            }
        }
        Some(config)
    }
}

/// The largest packet of the instance's interface, and the addresses that fit an advert there.
fn limit(instance: &Instance, mtus: &Mtus<'_>) -> Option<(u32, usize)> {
    let mtu = *mtus.get(instance.interface.as_deref()?)?;
    Some((mtu, most_addresses(instance, usize::try_from(mtu).unwrap_or(usize::MAX))))
}

fn most_addresses(instance: &Instance, mtu: usize) -> usize {
    let (header, address) = match instance.family {
        Family::Inet => (INET_HEADER, 4),
        Family::Inet6 => (INET6_HEADER, 16),
    };
    let authentication = match (instance.version, instance.family, instance.authentication) {
        (VrrpVersion::V2, Family::Inet, Authentication::Header(_)) => ADVERT_PASSWORD + ah::LENGTH,
        (VrrpVersion::V2, Family::Inet, _) => ADVERT_PASSWORD,
        (VrrpVersion::V2 | VrrpVersion::V3, _, _) => 0,
    };
    let trailer = if instance.hmac.is_some() { hmac::LENGTH } else { 0 };
    let used = ETHERNET_HEADER + header + ADVERT_HEADER + authentication + trailer;
    mtu.saturating_sub(used) / address
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::config::model::vrrp::VirtualAddress;
    use std::net::Ipv6Addr;

    fn instance(family: Family, count: u16) -> Instance {
        let address = |number: u16| match family {
            Family::Inet => {
                let [high, low] = number.to_be_bytes();
                VirtualAddress::new([10, 0, high, low].into(), 32)
            }
            Family::Inet6 => {
                VirtualAddress::new(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, number).into(), 128)
            }
        };
        let mut instance = Instance {
            family,
            version: VrrpVersion::V3,
            interface: Some("eth0".into()),
            addresses: (0..count).map(|number| address(number).into()).collect(),
            ..Instance::default()
        };
        instance.excluded_addresses.push(VirtualAddress::new([10, 9, 9, 9].into(), 32).into());
        instance
    }

    fn fitted(instance: Instance, mtu: Option<u32>) -> (usize, usize) {
        let all = instance.addresses.clone();
        let mut config =
            VrrpConfig { instances: vec![Arc::new(instance)], ..VrrpConfig::default() };
        let mtus = mtu.map(|mtu| ("eth0", mtu)).into_iter().collect();
        Fitting::default().fit(&mut config, &mtus);
        let found = &config.instances[0];
        let (kept, excluded) = (found.addresses.len(), found.excluded_addresses.len());
        assert_eq!(found.addresses[..], all[..kept]);
        assert_eq!(
            found.excluded_addresses[..excluded - 1],
            all[kept..],
            "in the order of the file"
        );
        (kept, excluded)
    }

    /// keepalived 2.2.7 was asked for these.
    #[test]
    fn as_many_addresses_are_advertised_as_fit() {
        let v2 = |count| Instance { version: VrrpVersion::V2, ..instance(Family::Inet, count) };
        assert_eq!(fitted(v2(200), Some(576)), (131, 70));
        assert_eq!(fitted(instance(Family::Inet6, 59), Some(576)), (32, 28));
        assert_eq!(fitted(instance(Family::Inet6, 95), Some(1500)), (89, 7));
        assert_eq!(fitted(v2(255), Some(1500)), (255, 1));
        assert_eq!(fitted(v2(255), None), (255, 1), "its interface may come later");
        assert_eq!(fitted(instance(Family::Inet, 3), Some(60)), (3, 1));
        assert_eq!(fitted(instance(Family::Inet, 3), Some(20)), (0, 4), "never more than there is");
    }

    #[test]
    fn another_packet_size_makes_another_list_where_one_does_not_fit() {
        let whole = VrrpConfig {
            instances: vec![Arc::new(instance(Family::Inet6, 95))],
            ..VrrpConfig::default()
        };
        let mut fitting = Fitting::default();
        let mut config = whole.clone();
        let counts = |config: &VrrpConfig| {
            let found = &config.instances[0];
            (found.addresses.len(), found.excluded_addresses.len())
        };
        // The interface appears, its packets become smaller, and larger.
        let mut told = vec![];
        for mtu in
            [None, Some(9000), Some(1500), Some(1500), Some(1501), Some(576), None, Some(9000)]
        {
            let mtus: Mtus<'_> = mtu.map(|mtu| ("eth0", mtu)).into_iter().collect();
            if let Some(again) = fitting.to_fit_again(&config, &mtus) {
                assert_eq!(again, whole, "at {mtu:?}");
                config = again;
                fitting.fit(&mut config, &mtus);
                told.push((mtu, counts(&config)));
            }
        }
        let expected = [(Some(1500), (89, 7)), (Some(576), (32, 64)), (Some(9000), (95, 1))];
        assert_eq!(told, expected);
        assert_eq!(config, whole);
    }
}
