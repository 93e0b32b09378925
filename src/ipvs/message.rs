//! Messages of the kernel's generic netlink family `IPVS` (include/uapi/linux/ip_vs.h).
//!
//! Integers are in host order but for ports and IPv4 netmasks, which are in network order.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::model::{Destination, DestinationKey, Service, ServiceKey};
use crate::core::config::model::Family;
use crate::core::config::model::check::{Forwarding, Tunnel, TunnelChecksum};
use crate::core::config::model::global::LvsTimeouts;
use crate::core::netlink::message::{
    ACKNOWLEDGED, Attributes, Builder, DUMP, Message, text, u16_at, u32_at,
};

/// The controller family that knows the others' numbers.
const GENL_ID_CTRL: u16 = 0x10;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;
const VERSION: u8 = 1;
/// struct genlmsghdr
pub(super) const GENL: usize = 4;

const CMD_NEW_SERVICE: u8 = 1;
const CMD_SET_SERVICE: u8 = 2;
const CMD_DEL_SERVICE: u8 = 3;
const CMD_GET_SERVICE: u8 = 4;
const CMD_NEW_DEST: u8 = 5;
const CMD_SET_DEST: u8 = 6;
const CMD_DEL_DEST: u8 = 7;
const CMD_GET_DEST: u8 = 8;
const CMD_SET_CONFIG: u8 = 12;
const CMD_SET_INFO: u8 = 14;
const CMD_GET_INFO: u8 = 15;
const CMD_FLUSH: u8 = 17;

pub(super) const ATTR_SERVICE: u16 = 1;
pub(super) const ATTR_DEST: u16 = 2;
const ATTR_TIMEOUT_TCP: u16 = 4;
const ATTR_TIMEOUT_TCP_FIN: u16 = 5;
const ATTR_TIMEOUT_UDP: u16 = 6;

const SVC_AF: u16 = 1;
const SVC_PROTOCOL: u16 = 2;
const SVC_ADDR: u16 = 3;
const SVC_PORT: u16 = 4;
const SVC_FWMARK: u16 = 5;
const SVC_SCHED_NAME: u16 = 6;
const SVC_FLAGS: u16 = 7;
const SVC_TIMEOUT: u16 = 8;
const SVC_NETMASK: u16 = 9;
const SVC_PE_NAME: u16 = 11;

const FLAG_PERSISTENT: u32 = 0x01;
const FLAG_ONE_PACKET: u32 = 0x04;
const FLAGS_SCHEDULER: u32 = 0x38;
const FLAGS_MASK: u32 = u32::MAX;

const DEST_ADDR: u16 = 1;
const DEST_PORT: u16 = 2;
const DEST_FWD_METHOD: u16 = 3;
const DEST_WEIGHT: u16 = 4;
const DEST_U_THRESH: u16 = 5;
const DEST_L_THRESH: u16 = 6;
const DEST_ACTIVE: u16 = 7;
const DEST_INACTIVE: u16 = 8;
const DEST_ADDR_FAMILY: u16 = 11;
const DEST_TUN_TYPE: u16 = 13;
const DEST_TUN_PORT: u16 = 14;
const DEST_TUN_FLAGS: u16 = 15;

const FWD_MASK: u32 = 7;
const FWD_MASQ: u32 = 0;
const FWD_TUNNEL: u32 = 2;
const FWD_DROUTE: u32 = 3;
const TUN_IPIP: u8 = 0;
const TUN_GUE: u8 = 1;
const TUN_GRE: u8 = 2;
const TUN_CSUM: u16 = 1;
const TUN_REMCSUM: u16 = 2;

/// Connections of a destination right now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Connections {
    /// Established.
    pub active: u32,
    /// Others.
    pub inactive: u32,
}

/// Asks for the number of the family `IPVS`; the kernel loads the module if it can.
pub fn get_family() -> Builder {
    Builder::new(GENL_ID_CTRL, ACKNOWLEDGED, &[CTRL_CMD_GETFAMILY, 2, 0, 0])
        .text(CTRL_ATTR_FAMILY_NAME, "IPVS")
}

/// The number in the answer to [`get_family`].
pub fn parse_family(message: &Message<'_>) -> Option<u16> {
    let attributes = Attributes(message.body.get(GENL..)?);
    attributes.find(CTRL_ATTR_FAMILY_ID).and_then(|value| u16_at(value, 0))
}

pub(super) fn request(family: u16, command: u8, flags: u16) -> Builder {
    Builder::new(family, flags, &[command, VERSION, 0, 0])
}

/// Asks for version and size of the connection table.
pub fn get_info(family: u16) -> Builder {
    request(family, CMD_GET_INFO, ACKNOWLEDGED)
}

/// Version (1.2.1 is 0x010201) and size of the connection table.
pub fn parse_info(message: &Message<'_>) -> Option<(u32, u32)> {
    if message.body.first() != Some(&CMD_SET_INFO) {
        return None;
    }
    let attributes = Attributes(message.body.get(GENL..)?);
    let number = |kind| attributes.find(kind).and_then(|value| u32_at(value, 0));
    Some((number(1)?, number(2)?))
}

/// Asks for all services.
pub fn dump_services(family: u16) -> Builder {
    request(family, CMD_GET_SERVICE, DUMP)
}

/// Asks for all destinations of a service.
pub fn dump_destinations(family: u16, service: &ServiceKey) -> Builder {
    service_key(request(family, CMD_GET_DEST, DUMP).begin(ATTR_SERVICE), service).end()
}

/// Clears the table.
pub fn flush(family: u16) -> Builder {
    request(family, CMD_FLUSH, ACKNOWLEDGED)
}

/// Sets timeouts; those that are absent stay as they are.
pub fn set_timeouts(family: u16, timeouts: &LvsTimeouts) -> Builder {
    let mut request = request(family, CMD_SET_CONFIG, ACKNOWLEDGED);
    for (kind, value) in [
        (ATTR_TIMEOUT_TCP, timeouts.tcp),
        (ATTR_TIMEOUT_TCP_FIN, timeouts.tcp_fin),
        (ATTR_TIMEOUT_UDP, timeouts.udp),
    ] {
        request = request.number(kind, value.unwrap_or(0));
    }
    request
}

/// Adds a service.
pub fn new_service(family: u16, key: &ServiceKey, service: &Service) -> Builder {
    with_service(request(family, CMD_NEW_SERVICE, ACKNOWLEDGED), key, service)
}

/// Changes a service.
pub fn set_service(family: u16, key: &ServiceKey, service: &Service) -> Builder {
    with_service(request(family, CMD_SET_SERVICE, ACKNOWLEDGED), key, service)
}

/// Removes a service with its destinations.
pub fn delete_service(family: u16, key: &ServiceKey) -> Builder {
    service_key(request(family, CMD_DEL_SERVICE, ACKNOWLEDGED).begin(ATTR_SERVICE), key).end()
}

/// Adds a destination.
pub fn new_destination(
    family: u16,
    service: &ServiceKey,
    key: &DestinationKey,
    destination: &Destination,
) -> Builder {
    let request = request(family, CMD_NEW_DEST, ACKNOWLEDGED);
    with_destination(request, service, key, Some(destination))
}

/// Changes a destination.
pub fn set_destination(
    family: u16,
    service: &ServiceKey,
    key: &DestinationKey,
    destination: &Destination,
) -> Builder {
    let request = request(family, CMD_SET_DEST, ACKNOWLEDGED);
    with_destination(request, service, key, Some(destination))
}

/// Removes a destination.
pub fn delete_destination(family: u16, service: &ServiceKey, key: &DestinationKey) -> Builder {
    with_destination(request(family, CMD_DEL_DEST, ACKNOWLEDGED), service, key, None)
}

fn number_of(family: Family) -> u16 {
    let number = match family {
        Family::Inet => libc::AF_INET,
        Family::Inet6 => libc::AF_INET6,
    };
    u16::try_from(number).unwrap_or(0)
}

/// 16 bytes, IPv4 in the first four, as the kernel writes them.
fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => {
            let mut bytes = [0; 16];
            for (byte, octet) in bytes.iter_mut().zip(address.octets()) {
                *byte = octet;
            }
            bytes
        }
        IpAddr::V6(address) => address.octets(),
    }
}

fn service_key(builder: Builder, key: &ServiceKey) -> Builder {
    let builder = builder.attribute(SVC_AF, &number_of(key.family()).to_ne_bytes());
    match key {
        ServiceKey::Address { address, port, protocol } => builder
            .attribute(SVC_PROTOCOL, &u16::from(*protocol).to_ne_bytes())
            .attribute(SVC_ADDR, &octets(*address))
            .attribute(SVC_PORT, &port.to_be_bytes()),
        ServiceKey::Fwmark { mark, .. } => builder.number(SVC_FWMARK, *mark),
    }
}

fn with_service(builder: Builder, key: &ServiceKey, service: &Service) -> Builder {
    let mut flags = service.scheduler_flags & FLAGS_SCHEDULER;
    if service.persistence.is_some() {
        flags |= FLAG_PERSISTENT;
    }
    if service.one_packet {
        flags |= FLAG_ONE_PACKET;
    }
    let mut flag_bytes = flags.to_ne_bytes().to_vec();
    flag_bytes.extend(FLAGS_MASK.to_ne_bytes());
    let netmask = match key.family() {
        Family::Inet => {
            let host_bits = 32u32.saturating_sub(u32::from(service.netmask));
            u32::MAX.checked_shl(host_bits).unwrap_or(0).to_be_bytes()
        }
        // A prefix length in host order, for once.
        Family::Inet6 => u32::from(service.netmask).to_ne_bytes(),
    };
    let mut builder = service_key(builder.begin(ATTR_SERVICE), key)
        .text(SVC_SCHED_NAME, &service.scheduler)
        .attribute(SVC_FLAGS, &flag_bytes)
        .number(SVC_TIMEOUT, service.persistence.unwrap_or(0))
        .attribute(SVC_NETMASK, &netmask);
    if let Some(engine) = &service.persistence_engine {
        builder = builder.text(SVC_PE_NAME, engine);
    }
    builder.end()
}

fn with_destination(
    builder: Builder,
    service: &ServiceKey,
    key: &DestinationKey,
    destination: Option<&Destination>,
) -> Builder {
    let family = Family::of(key.address);
    let mut builder = service_key(builder.begin(ATTR_SERVICE), service)
        .end()
        .begin(ATTR_DEST)
        .attribute(DEST_ADDR, &octets(key.address))
        .attribute(DEST_PORT, &key.port.to_be_bytes());
    if family != service.family() {
        builder = builder.attribute(DEST_ADDR_FAMILY, &number_of(family).to_ne_bytes());
    }
    let Some(destination) = destination else { return builder.end() };
    let (method, tunnel) = match destination.forwarding {
        Some(Forwarding::Masquerade) | None => (FWD_MASQ, None),
        Some(Forwarding::DirectRouting) => (FWD_DROUTE, None),
        Some(Forwarding::Tunnel(tunnel)) => (FWD_TUNNEL, Some(tunnel)),
    };
    builder = builder
        .number(DEST_FWD_METHOD, method)
        .number(DEST_WEIGHT, destination.weight)
        .number(DEST_U_THRESH, destination.upper_threshold)
        .number(DEST_L_THRESH, destination.lower_threshold);
    if let Some(tunnel) = tunnel {
        let (kind, port, checksum) = match tunnel {
            Tunnel::Ipip => (TUN_IPIP, 0, TunnelChecksum::None),
            Tunnel::Gue { port, checksum } => (TUN_GUE, port, checksum),
            Tunnel::Gre { checksum } => (TUN_GRE, 0, checksum),
        };
        let flags = match checksum {
            TunnelChecksum::None => 0,
            TunnelChecksum::Outer => TUN_CSUM,
            TunnelChecksum::Remote => TUN_REMCSUM,
        };
        builder = builder
            .attribute(DEST_TUN_TYPE, &[kind])
            .attribute(DEST_TUN_PORT, &port.to_be_bytes())
            .attribute(DEST_TUN_FLAGS, &flags.to_ne_bytes());
    }
    builder.end()
}

/// A service of a dump.
pub fn parse_service(message: &Message<'_>) -> Option<(ServiceKey, Service)> {
    if message.body.first() != Some(&CMD_NEW_SERVICE) {
        return None;
    }
    let nest = Attributes(message.body.get(GENL..)?).find(ATTR_SERVICE)?;
    let attributes = Attributes(nest);
    let family = family(attributes.find(SVC_AF)?)?;
    let key = match attributes.find(SVC_FWMARK) {
        Some(mark) => ServiceKey::Fwmark { mark: u32_at(mark, 0)?, family },
        None => ServiceKey::Address {
            address: address(attributes.find(SVC_ADDR)?, family)?,
            port: port(attributes.find(SVC_PORT)?)?,
            protocol: u8::try_from(u16_at(attributes.find(SVC_PROTOCOL)?, 0)?).ok()?,
        },
    };
    let flags = attributes.find(SVC_FLAGS).and_then(|value| u32_at(value, 0))?;
    let timeout = attributes.find(SVC_TIMEOUT).and_then(|value| u32_at(value, 0)).unwrap_or(0);
    let mask = attributes.find(SVC_NETMASK)?;
    let netmask = match family {
        Family::Inet => {
            let bits = u32::from_be_bytes(*mask.first_chunk::<4>()?);
            u8::try_from(bits.leading_ones()).ok()?
        }
        Family::Inet6 => u8::try_from(u32_at(mask, 0)?).ok()?,
    };
    let service = Service {
        scheduler: text(attributes.find(SVC_SCHED_NAME)?),
        scheduler_flags: flags & FLAGS_SCHEDULER,
        one_packet: flags & FLAG_ONE_PACKET != 0,
        persistence: (flags & FLAG_PERSISTENT != 0).then_some(timeout),
        netmask,
        persistence_engine: attributes.find(SVC_PE_NAME).map(text),
    };
    Some((key, service))
}

/// A destination of a dump.
pub fn parse_destination(
    message: &Message<'_>,
    of: &ServiceKey,
) -> Option<(DestinationKey, Destination, Connections)> {
    if message.body.first() != Some(&CMD_NEW_DEST) {
        return None;
    }
    let nest = Attributes(message.body.get(GENL..)?).find(ATTR_DEST)?;
    let attributes = Attributes(nest);
    let family = attributes.find(DEST_ADDR_FAMILY).and_then(family).unwrap_or(of.family());
    let key = DestinationKey {
        address: address(attributes.find(DEST_ADDR)?, family)?,
        port: port(attributes.find(DEST_PORT)?)?,
    };
    let number = |kind| attributes.find(kind).and_then(|value| u32_at(value, 0));
    let forwarding = match number(DEST_FWD_METHOD)? & FWD_MASK {
        FWD_MASQ => Some(Forwarding::Masquerade),
        FWD_DROUTE => Some(Forwarding::DirectRouting),
        FWD_TUNNEL => tunnel(attributes).map(Forwarding::Tunnel),
        _ => None,
    };
    let destination = Destination {
        forwarding,
        weight: number(DEST_WEIGHT)?,
        upper_threshold: number(DEST_U_THRESH).unwrap_or(0),
        lower_threshold: number(DEST_L_THRESH).unwrap_or(0),
    };
    let connections = Connections {
        active: number(DEST_ACTIVE).unwrap_or(0),
        inactive: number(DEST_INACTIVE).unwrap_or(0),
    };
    Some((key, destination, connections))
}

fn tunnel(attributes: Attributes<'_>) -> Option<Tunnel> {
    let kind = attributes.find(DEST_TUN_TYPE).and_then(|value| value.first().copied());
    let flags = attributes.find(DEST_TUN_FLAGS).and_then(|value| u16_at(value, 0)).unwrap_or(0);
    let checksum = if flags & TUN_REMCSUM != 0 {
        TunnelChecksum::Remote
    } else if flags & TUN_CSUM != 0 {
        TunnelChecksum::Outer
    } else {
        TunnelChecksum::None
    };
    match kind.unwrap_or(TUN_IPIP) {
        TUN_IPIP => Some(Tunnel::Ipip),
        TUN_GUE => {
            let port = attributes.find(DEST_TUN_PORT).and_then(port)?;
            Some(Tunnel::Gue { port, checksum })
        }
        TUN_GRE => Some(Tunnel::Gre { checksum }),
        _ => None,
    }
}

fn family(value: &[u8]) -> Option<Family> {
    match i32::from(u16_at(value, 0)?) {
        libc::AF_INET => Some(Family::Inet),
        libc::AF_INET6 => Some(Family::Inet6),
        _ => None,
    }
}

fn address(value: &[u8], family: Family) -> Option<IpAddr> {
    match family {
        Family::Inet => Some(Ipv4Addr::from(*value.first_chunk::<4>()?).into()),
        Family::Inet6 => Some(Ipv6Addr::from(*value.first_chunk::<16>()?).into()),
    }
}

fn port(value: &[u8]) -> Option<u16> {
    value.first_chunk::<2>().map(|bytes| u16::from_be_bytes(*bytes))
}

/// What the fuzzer runs: every parser over every message, without a panic.
pub fn fuzz(data: &[u8]) {
    let _ = crate::core::netlink::nftables::parse_changer(data);
    let of = ServiceKey::Fwmark { mark: 1, family: Family::Inet };
    for message in crate::core::netlink::message::Messages(data) {
        let _ = parse_family(&message);
        let _ = parse_info(&message);
        let _ = parse_service(&message);
        let _ = parse_destination(&message, &of);
        let _ = crate::core::netlink::link::parse(&message);
        let _ = crate::core::netlink::address::parse(&message);
        let _ = crate::core::netlink::route::parse(&message);
        let _ = crate::core::netlink::rule::parse(&message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::netlink::message::Messages;

    fn services() -> Vec<(ServiceKey, Service)> {
        let plain = Service {
            scheduler: "wlc".into(),
            scheduler_flags: 0,
            one_packet: false,
            persistence: None,
            netmask: 32,
            persistence_engine: None,
        };
        let v4 = ServiceKey::Address { address: [10, 0, 0, 1].into(), port: 80, protocol: 6 };
        let v6 =
            ServiceKey::Address { address: "fd00::1".parse().unwrap(), port: 53, protocol: 17 };
        let mark = ServiceKey::Fwmark { mark: 7, family: Family::Inet6 };
        vec![
            (v4, plain.clone()),
            (v6, Service { netmask: 64, persistence: Some(50), ..plain.clone() }),
            (v4, Service { scheduler_flags: 0x18, one_packet: true, netmask: 24, ..plain.clone() }),
            (mark, Service { netmask: 128, persistence_engine: Some("sip".into()), ..plain }),
        ]
    }

    #[test]
    fn services_survive_the_way_to_bytes_and_back() {
        for (key, service) in services() {
            let bytes = new_service(28, &key, &service).finish(1);
            let message = Messages(&bytes).next().unwrap();
            assert_eq!(parse_service(&message), Some((key, service)));
        }
    }

    #[test]
    fn destinations_survive_the_way_to_bytes_and_back() {
        let service = services()[0].0;
        for forwarding in [
            Forwarding::Masquerade,
            Forwarding::DirectRouting,
            Forwarding::Tunnel(Tunnel::Ipip),
            Forwarding::Tunnel(Tunnel::Gue { port: 6080, checksum: TunnelChecksum::Remote }),
            Forwarding::Tunnel(Tunnel::Gre { checksum: TunnelChecksum::Outer }),
        ] {
            for address in ["10.1.0.2", "fd00::2"] {
                let key = DestinationKey { address: address.parse().unwrap(), port: 8080 };
                let destination = Destination {
                    forwarding: Some(forwarding),
                    weight: 5,
                    upper_threshold: 9,
                    lower_threshold: 3,
                };
                let bytes = new_destination(28, &service, &key, &destination).finish(1);
                let message = Messages(&bytes).next().unwrap();
                let parsed = parse_destination(&message, &service);
                assert_eq!(parsed, Some((key, destination, Connections::default())));
            }
        }
    }

    #[test]
    fn damaged_messages_are_passed_over() {
        let (key, service) = &services()[1];
        let bytes = new_service(28, key, service).finish(1);
        for length in 0..bytes.len() {
            fuzz(&bytes[..length]);
        }
        for index in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut damaged = bytes.clone();
                damaged[index] = value;
                fuzz(&damaged);
            }
        }
    }
}
