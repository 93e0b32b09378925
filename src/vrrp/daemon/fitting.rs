//! Adverts that would not fit their interface's packets: keepalived excludes the addresses that are too
//! many, as it does beyond the 255 that can be counted. Only this process knows the interfaces.

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

/// Moves addresses that do not fit an advert to the excluded ones; `mtu` gives the largest packet of an
/// interface, when that is known.
pub(super) fn exclude_what_does_not_fit(
    config: &mut VrrpConfig,
    mtu: impl Fn(&str) -> Option<u32>,
) {
    for instance in &mut config.instances {
        let Some(mtu) = instance.interface.as_deref().and_then(&mtu) else { continue };
        let most = most_addresses(instance, usize::try_from(mtu).unwrap_or(usize::MAX));
        if instance.addresses.len() <= most {
            continue;
        }
        tracing::warn!(
            "({}) {} addresses do not fit an advert of {mtu} bytes, those after {most} are excluded",
            instance.name,
            instance.addresses.len()
        );
        let instance = Arc::make_mut(instance);
        let rest = instance.addresses.split_off(most);
        instance.excluded_addresses.splice(0..0, rest);
    }
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
        exclude_what_does_not_fit(&mut config, |_| mtu);
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
}
