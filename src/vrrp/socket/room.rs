//! How much room a socket for adverts has: `vrrp_rx_bufs_policy` and `kernel_rx_buf_size`.

use crate::core::config::model::Family;
use crate::core::config::model::global::VrrpDefaults;
use crate::core::config::model::services::{AdvertBufferPolicy, ReceiveBuffer};
use crate::core::config::model::vrrp::{Authentication, Instance, VrrpVersion};
use crate::core::receive_buffer;
use crate::vrrp::packet::ah;

/// Where the interface's is not known.
const USUAL_MTU: u32 = 1500;
/// Raw IPv4 sockets give it with the message.
const IPV4_HEADER: usize = 20;
const ADVERT_HEADER: usize = 8;
const ADVERT_PASSWORD: usize = 8;

/// What the instances of one socket want together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Room {
    bytes: u32,
    /// Some of them want nothing special.
    usual: bool,
}

impl Room {
    /// One more instance; `mtu` gives the largest packet of its interface.
    pub fn add(
        &mut self,
        instance: &Instance,
        defaults: &VrrpDefaults,
        mtu: impl FnOnce() -> Option<u32>,
    ) {
        let times = |bytes: u32| bytes.saturating_mul(defaults.receive_multiplier);
        let bytes = instance.receive_buffer.filter(|bytes| *bytes > 0).or_else(|| {
            match defaults.receive_policy {
                AdvertBufferPolicy::System => None,
                AdvertBufferPolicy::Mtu => Some(times(mtu().unwrap_or(USUAL_MTU))),
                AdvertBufferPolicy::Advert => Some(times(advert_length(instance))),
                AdvertBufferPolicy::Bytes(bytes) => Some(bytes).filter(|bytes| *bytes > 0),
            }
        });
        match bytes {
            Some(bytes) => self.bytes = self.bytes.saturating_add(bytes),
            None => self.usual = true,
        }
    }

    /// For the socket. Whoever wants nothing special has the usual room all the same.
    pub fn buffer(self) -> ReceiveBuffer {
        let usual = self.usual && usize::try_from(self.bytes).is_ok_and(fits_usual);
        ReceiveBuffer { bytes: Some(self.bytes).filter(|_| !usual), force: false }
    }
}

const fn fits_usual(bytes: usize) -> bool {
    bytes <= receive_buffer::USUAL
}

/// Of an advert of the instance, as a raw socket gives it.
fn advert_length(instance: &Instance) -> u32 {
    let addresses = instance.addresses.len();
    let message = match instance.family {
        Family::Inet => IPV4_HEADER + ADVERT_HEADER + addresses * 4,
        Family::Inet6 => ADVERT_HEADER + addresses * 16,
    };
    let password = match instance.version {
        VrrpVersion::V2 => ADVERT_PASSWORD,
        VrrpVersion::V3 => 0,
    };
    let header = match instance.authentication {
        Authentication::Header(_) => ah::LENGTH,
        Authentication::None | Authentication::Password(_) => 0,
    };
    u32::try_from(message + password + header).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vrrp::engine::SocketName;
    use crate::vrrp::engine::tests::instance;
    use crate::vrrp::socket::AdvertSocket;

    fn room(policy: AdvertBufferPolicy, own: &[Option<u32>]) -> Option<u32> {
        let defaults = VrrpDefaults { receive_policy: policy, ..VrrpDefaults::default() };
        let mut room = Room::default();
        for receive_buffer in own {
            let instance = Instance { receive_buffer: *receive_buffer, ..instance("V", 100) };
            room.add(&instance, &defaults, || Some(9000));
        }
        room.buffer().bytes
    }

    #[test]
    fn the_instances_of_a_socket_add_up() {
        use AdvertBufferPolicy as Policy;
        assert_eq!(room(Policy::System, &[None, None]), None);
        assert_eq!(room(Policy::Mtu, &[None, None]), Some(2 * 3 * 9000));
        // Header 20, advert 8, one address 4, authentication field 8.
        assert_eq!(room(Policy::Advert, &[None]), Some(3 * 40));
        assert_eq!(room(Policy::Bytes(5000), &[None, Some(700)]), Some(5700));
        assert_eq!(room(Policy::Bytes(0), &[Some(0)]), None);
        assert_eq!(room(Policy::System, &[Some(700), None]), None, "the usual one is larger");
        assert_eq!(room(Policy::System, &[Some(5 << 20), None]), Some(5 << 20));
    }

    #[test]
    fn a_socket_for_adverts_has_the_buffer_that_it_is_given() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            for family in [Family::Inet, Family::Inet6] {
                let name = SocketName { interface: None, family, authenticated: false };
                let socket = AdvertSocket::open(&name, None).unwrap();
                let usual = socket.receive_buffer().unwrap();
                let wanted = ReceiveBuffer { bytes: Some(30_000), force: false };
                socket.set_receive_buffer(wanted);
                assert_eq!(socket.receive_buffer().unwrap(), 30_000);
                socket.set_receive_buffer(ReceiveBuffer::default());
                assert_eq!(socket.receive_buffer().unwrap(), usual);
            }
        });
    }
}
