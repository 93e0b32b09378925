//! Asking a driver whether an interface has a link, for those that do not tell the kernel
//! (`linkbeat_interfaces`).

use std::io;
use std::os::fd::AsRawFd as _;

use socket2::{Domain, Socket, Type};

use crate::core::config::model::link::LinkbeatMethod;

const SIOCGIFFLAGS: u64 = 0x8913;
const SIOCETHTOOL: u64 = 0x8946;
const SIOCGMIIPHY: u64 = 0x8947;
const SIOCGMIIREG: u64 = 0x8948;
const ETHTOOL_GLINK: u32 = 0x0a;
/// Basic mode status register (IEEE 802.3 clause 22), and its link bit.
const BMSR: u16 = 1;
const BMSR_LINK: u16 = 0x0004;
const IFF_UP: u16 = 0x0001;
const IFF_RUNNING: u16 = 0x0040;
/// The ways that an interface may know, the most direct one first.
const WAYS: [LinkbeatMethod; 3] =
    [LinkbeatMethod::Mii, LinkbeatMethod::Ethtool, LinkbeatMethod::Ioctl];

/// `struct ifreq`: a name, and 24 bytes that mean what the request says.
#[repr(C, align(8))]
struct Request {
    name: [u8; libc::IFNAMSIZ],
    data: [u8; 24],
}

/// `struct ethtool_value`
#[repr(C)]
struct EthtoolValue {
    command: u32,
    value: u32,
}

/// Asks.
#[derive(Debug)]
pub struct LinkProbe {
    socket: Socket,
}

impl LinkProbe {
    /// In the network namespace of now.
    pub fn open() -> io::Result<Self> {
        Ok(Self { socket: Socket::new(Domain::IPV4, Type::DGRAM, None)? })
    }

    /// Whether the interface has a link, asked in this way; `None` when it cannot say.
    pub fn ask(&self, interface: &str, method: LinkbeatMethod) -> Option<bool> {
        match method {
            LinkbeatMethod::Mii => self.mii(interface),
            LinkbeatMethod::Ethtool => self.ethtool(interface),
            LinkbeatMethod::Ioctl => {
                let flags = number_at(&self.call(SIOCGIFFLAGS, interface, [0; 24])?, 0)?;
                Some(flags & IFF_UP != 0 && flags & IFF_RUNNING != 0)
            }
        }
    }

    /// The way to ask an interface: the wanted one where it works, else the first that does.
    pub fn way(&self, interface: &str, wanted: Option<LinkbeatMethod>) -> Option<LinkbeatMethod> {
        let mut ways = wanted.into_iter().chain(WAYS);
        ways.find(|way| self.ask(interface, *way).is_some())
    }

    fn mii(&self, interface: &str) -> Option<bool> {
        let mut data = self.call(SIOCGMIIPHY, interface, [0; 24])?;
        let register = BMSR.to_ne_bytes();
        data.get_mut(2..4)?.copy_from_slice(&register);
        // A link that was lost is kept until it is read: the second answer is of now.
        let data = self.call(SIOCGMIIREG, interface, data)?;
        let status = number_at(&self.call(SIOCGMIIREG, interface, data)?, 6)?;
        // A transceiver that is not there says all ones.
        Some(status & BMSR_LINK != 0).filter(|_| status != 0xffff)
    }

    fn ethtool(&self, interface: &str) -> Option<bool> {
        let mut value = EthtoolValue { command: ETHTOOL_GLINK, value: 0 };
        let pointer = (&raw mut value).expose_provenance();
        let mut data = [0; 24];
        data.get_mut(..size_of::<usize>())?.copy_from_slice(&pointer.to_ne_bytes());
        self.call(SIOCETHTOOL, interface, data)?;
        // SAFETY: `value` is ours, alive and initialised; only the kernel wrote to it, and is done.
        let link = unsafe { (&raw const value.value).read_volatile() };
        Some(link != 0)
    }

    /// Gives what the kernel left in the request.
    fn call(&self, kind: u64, interface: &str, data: [u8; 24]) -> Option<[u8; 24]> {
        let mut request = Request { name: [0; libc::IFNAMSIZ], data };
        // The last byte stays zero.
        let room = request.name.get_mut(..interface.len())?;
        room.copy_from_slice(interface.as_bytes());
        if request.name.last() != Some(&0) {
            return None;
        }
        // SAFETY: `request` has the size of the kernel's structure and outlives the call, like what
        // its data may point to.
        let result =
            unsafe { libc::ioctl(self.socket.as_raw_fd(), kind as libc::Ioctl, &raw mut request) };
        (result == 0).then_some(request.data)
    }
}

fn number_at(data: &[u8; 24], offset: usize) -> Option<u16> {
    let bytes = data.get(offset..)?.first_chunk::<2>()?;
    Some(u16::from_ne_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::netlink::RouteSocket;

    #[test]
    fn what_is_asked_for_agrees_with_what_the_kernel_tells() {
        assert_eq!(size_of::<Request>(), 40, "struct ifreq");
        let probe = LinkProbe::open().unwrap();
        let links = RouteSocket::open().unwrap().links().unwrap();
        for link in &links {
            let way = probe.way(&link.name, None).unwrap();
            let answer = probe.ask(&link.name, LinkbeatMethod::Ioctl);
            assert_eq!(answer, Some(link.is_running()), "{}", link.name);
            if link.is_running() {
                assert_eq!(probe.ask(&link.name, way), Some(true), "{} {way:?}", link.name);
            }
        }
        assert!(!links.is_empty());
        for name in ["nosuchlink", "", "a-name-that-is-too-long-for-it"] {
            assert_eq!(probe.way(name, Some(LinkbeatMethod::Ethtool)), None, "{name}");
        }
    }
}
