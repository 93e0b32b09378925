//! What the kernel should have while a virtual router is master.

use crate::core::config::model::vrrp::{Instance, VirtualAddress};

/// An address on an interface.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DesiredAddress {
    /// Where.
    pub interface: String,
    /// What; its own `interface` field is the same.
    pub address: VirtualAddress,
}

/// Every address of an instance, advertised ones first, in the order of the file.
pub fn addresses(instance: &Instance) -> impl Iterator<Item = DesiredAddress> + '_ {
    instance.addresses.iter().chain(&instance.excluded_addresses).filter_map(|address| {
        let interface = address.interface.as_deref().or(instance.address_interface())?.to_owned();
        Some(DesiredAddress { interface, address: address.clone() })
    })
}
