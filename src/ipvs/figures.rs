//! What the kernel has counted: statistics of services and destinations (STATS64).

use super::client::{Client, IpvsError};
use super::message::{self, ATTR_DEST, ATTR_SERVICE, GENL};
use super::model::{DestinationKey, ServiceKey};
use crate::core::netlink::message::{Attributes, Message, u32_at};

const SVC_STATS64: u16 = 12;
const DEST_ACTIVE: u16 = 7;
const DEST_INACTIVE: u16 = 8;
const DEST_PERSISTENT: u16 = 9;
const DEST_STATS64: u16 = 12;

/// Counted since the service or destination was made, and rates of the last seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub struct Figures {
    pub connections: u64,
    pub in_packets: u64,
    pub out_packets: u64,
    pub in_bytes: u64,
    pub out_bytes: u64,
    pub connection_rate: u64,
    pub in_packet_rate: u64,
    pub out_packet_rate: u64,
    pub in_byte_rate: u64,
    pub out_byte_rate: u64,
    /// Right now, of a destination.
    pub active: u64,
    pub inactive: u64,
    pub persistent: u64,
}

impl Figures {
    /// Of both together: a service may be several ones of the kernel's.
    pub fn and(self, other: &Self) -> Self {
        Self {
            connections: self.connections.saturating_add(other.connections),
            in_packets: self.in_packets.saturating_add(other.in_packets),
            out_packets: self.out_packets.saturating_add(other.out_packets),
            in_bytes: self.in_bytes.saturating_add(other.in_bytes),
            out_bytes: self.out_bytes.saturating_add(other.out_bytes),
            connection_rate: self.connection_rate.saturating_add(other.connection_rate),
            in_packet_rate: self.in_packet_rate.saturating_add(other.in_packet_rate),
            out_packet_rate: self.out_packet_rate.saturating_add(other.out_packet_rate),
            in_byte_rate: self.in_byte_rate.saturating_add(other.in_byte_rate),
            out_byte_rate: self.out_byte_rate.saturating_add(other.out_byte_rate),
            active: self.active.saturating_add(other.active),
            inactive: self.inactive.saturating_add(other.inactive),
            persistent: self.persistent.saturating_add(other.persistent),
        }
    }

    /// Numbers 1 to 10 of the kernel's nest; what is missing is 0.
    fn parse(nest: &[u8]) -> Self {
        let number = |kind| {
            let value = Attributes(nest).find(kind).and_then(|value| value.first_chunk::<8>());
            value.map_or(0, |bytes| u64::from_ne_bytes(*bytes))
        };
        Self {
            connections: number(1),
            in_packets: number(2),
            out_packets: number(3),
            in_bytes: number(4),
            out_bytes: number(5),
            connection_rate: number(6),
            in_packet_rate: number(7),
            out_packet_rate: number(8),
            in_byte_rate: number(9),
            out_byte_rate: number(10),
            ..Self::default()
        }
    }
}

/// A service of a dump.
pub fn parse_service(message: &Message<'_>) -> Option<(ServiceKey, Figures)> {
    let (key, _) = message::parse_service(message)?;
    let nest = Attributes(message.body.get(GENL..)?).find(ATTR_SERVICE)?;
    Some((key, Figures::parse(Attributes(nest).find(SVC_STATS64)?)))
}

/// A destination of a dump.
pub fn parse_destination(
    message: &Message<'_>,
    service: &ServiceKey,
) -> Option<(DestinationKey, Figures)> {
    let (key, _, _) = message::parse_destination(message, service)?;
    let nest = Attributes(message.body.get(GENL..)?).find(ATTR_DEST)?;
    let number = |kind| {
        let value = Attributes(nest).find(kind).and_then(|value| u32_at(value, 0));
        u64::from(value.unwrap_or(0))
    };
    let figures = Figures {
        active: number(DEST_ACTIVE),
        inactive: number(DEST_INACTIVE),
        persistent: number(DEST_PERSISTENT),
        ..Figures::parse(Attributes(nest).find(DEST_STATS64)?)
    };
    Some((key, figures))
}

impl Client {
    /// The figures of all services.
    pub fn service_figures(&mut self) -> Result<Vec<(ServiceKey, Figures)>, IpvsError> {
        let request = message::dump_services(self.family);
        Ok(self.socket.dump(&request, |found| parse_service(&found))?)
    }

    /// The figures of a service's destinations.
    pub fn destination_figures(
        &mut self,
        service: &ServiceKey,
    ) -> Result<Vec<(DestinationKey, Figures)>, IpvsError> {
        let request = message::dump_destinations(self.family, service);
        Ok(self.socket.dump(&request, |found| parse_destination(&found, service))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_a_nest_are_read_past_its_padding() {
        let mut nest = Vec::new();
        for kind in 1..=10u16 {
            nest.extend(12u16.to_ne_bytes());
            nest.extend(kind.to_ne_bytes());
            nest.extend((u64::from(kind) << 33).to_ne_bytes());
            nest.extend(4u16.to_ne_bytes());
            nest.extend(11u16.to_ne_bytes());
        }
        let figures = Figures::parse(&nest);
        assert_eq!(figures.connections, 1 << 33);
        assert_eq!(figures.out_byte_rate, 10 << 33);
        assert_eq!(Figures::parse(&nest[..14]).in_packets, 0);
        assert_eq!(figures.and(&figures).in_packets, 4 << 33);
    }
}
