//! The addresses of this host as they come and go, for `ha_suspend`.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::engine::Input;
use crate::core::config::model::services::NetlinkBuffers;
use crate::core::netlink::address::RouteSocket;
use crate::core::netlink::error::NetlinkError;
use crate::core::netlink::monitor::{KernelEvent, Monitor};

/// A subscription with what has been heard so far.
#[derive(Debug)]
pub struct LocalAddresses {
    monitor: Monitor,
    route: RouteSocket,
    /// With the interface's index: an address may be on several.
    there: Places,
}

#[derive(Debug, Default)]
struct Places(BTreeSet<(IpAddr, u32)>);

impl Places {
    /// Whether the host did not have the address before.
    fn add(&mut self, address: IpAddr, index: u32) -> bool {
        let new = !self.has(address);
        self.0.insert((address, index));
        new
    }

    /// Whether the host does not have the address any more.
    fn remove(&mut self, address: IpAddr, index: u32) -> bool {
        self.0.remove(&(address, index)) && !self.has(address)
    }

    fn has(&self, address: IpAddr) -> bool {
        self.0.range((address, u32::MIN)..=(address, u32::MAX)).next().is_some()
    }

    fn all(&self) -> BTreeSet<IpAddr> {
        self.0.iter().map(|(address, _)| *address).collect()
    }
}

impl LocalAddresses {
    /// Subscribes, then reads: nothing falls between. Needs a running tokio. With it comes what
    /// the engine must be told at first.
    pub fn open() -> Result<(Self, Input), NetlinkError> {
        let monitor = Monitor::open()?;
        let mut local = Self { monitor, route: RouteSocket::open()?, there: Places::default() };
        let first = local.read()?;
        Ok((local, first))
    }

    /// `lvs_netlink_…_rcv_bufs`
    pub fn set_receive_buffers(&self, buffers: &NetlinkBuffers) {
        self.route.set_receive_buffer(buffers.lvs_command);
        self.monitor.set_receive_buffer(buffers.lvs_monitor);
    }

    fn read(&mut self) -> Result<Input, NetlinkError> {
        let places = self.route.addresses()?.into_iter().map(|found| (found.address, found.index));
        self.there = Places(places.collect());
        Ok(Input::Addresses(self.there.all()))
    }

    /// The next change. After an error the subscription is of no more use. May be dropped while it
    /// waits without losing anything.
    pub async fn changed(&mut self) -> Result<Input, NetlinkError> {
        loop {
            match self.monitor.next().await? {
                KernelEvent::AddressAdded(found) => {
                    if self.there.add(found.address, found.index) {
                        return Ok(Input::AddressAdded(found.address));
                    }
                }
                KernelEvent::AddressRemoved(found) => {
                    if self.there.remove(found.address, found.index) {
                        return Ok(Input::AddressRemoved(found.address));
                    }
                }
                KernelEvent::Overrun | KernelEvent::LinkGone(_) => return self.read(),
                KernelEvent::Link(_)
                | KernelEvent::RouteRemoved(_)
                | KernelEvent::RuleRemoved(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::probe::http::tests::block_on;
    use crate::core::config::model::services::ReceiveBuffer;

    #[test]
    fn an_address_on_two_interfaces_is_there_until_both_have_lost_it() {
        let address = IpAddr::from([10, 0, 0, 1]);
        let mut places = Places::default();
        assert!(places.add(address, 1));
        assert!(!places.add(address, 2) && !places.add(address, 2));
        assert!(!places.remove(address, 1) && !places.remove(address, 1));
        assert!(places.remove(address, 2));
        assert!(places.all().is_empty());
    }

    #[test]
    fn the_hosts_own_addresses_are_read_at_first() {
        block_on(async {
            let (local, first) = LocalAddresses::open().unwrap();
            let buffer = |bytes| ReceiveBuffer { bytes: Some(bytes), force: false };
            local.set_receive_buffers(&NetlinkBuffers {
                lvs_command: buffer(70_000),
                lvs_monitor: buffer(30_000),
                ..NetlinkBuffers::default()
            });
            assert_eq!(local.route.receive_buffer().unwrap(), 70_000);
            assert_eq!(local.monitor.receive_buffer().unwrap(), 30_000);
            let Input::Addresses(all) = first else { panic!("{first:?}") };
            let here = std::net::UdpSocket::bind("127.0.0.1:0").is_ok();
            assert_eq!(all.contains(&IpAddr::from([127, 0, 0, 1])), here);
        });
    }
}
