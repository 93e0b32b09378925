//! Gratuitous ARP: tells a network where an address is now.

use std::net::Ipv4Addr;

use pnet_packet::Packet as _;
use pnet_packet::arp::{ArpHardwareTypes, ArpOperations, MutableArpPacket};
use pnet_packet::ethernet::{EtherTypes, MutableEthernetPacket};

const BROADCAST: [u8; 6] = [0xff; 6];
const ETHERNET: usize = 14;
const ARP: usize = 28;
/// Without the frame check sequence.
const SHORTEST_FRAME: usize = 60;

/// A whole Ethernet frame, 60 bytes: a broadcast ARP request in which sender and target are
/// `address`, as keepalived sends it (RFC 9568 section 6.4.2; the target hardware address is the
/// broadcast address).
pub fn gratuitous(mac: [u8; 6], address: Ipv4Addr) -> Vec<u8> {
    let mut frame = vec![0; SHORTEST_FRAME];
    if let Some(mut ethernet) = MutableEthernetPacket::new(&mut frame) {
        ethernet.set_destination(BROADCAST.into());
        ethernet.set_source(mac.into());
        ethernet.set_ethertype(EtherTypes::Arp);
    }
    let body = frame.get_mut(ETHERNET..ETHERNET + ARP).and_then(MutableArpPacket::new);
    if let Some(mut arp) = body {
        arp.set_hardware_type(ArpHardwareTypes::Ethernet);
        arp.set_protocol_type(EtherTypes::Ipv4);
        arp.set_hw_addr_len(6);
        arp.set_proto_addr_len(4);
        arp.set_operation(ArpOperations::Request);
        arp.set_sender_hw_addr(mac.into());
        arp.set_sender_proto_addr(address);
        arp.set_target_hw_addr(BROADCAST.into());
        arp.set_target_proto_addr(address);
        debug_assert_eq!(arp.packet().len(), ARP);
    }
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v_170_a_gratuitous_arp_is_these_bytes() {
        let frame = gratuitous([2, 0x77, 1, 0, 0, 0x0b], Ipv4Addr::new(10, 77, 1, 200));
        let mut expected = vec![
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0x77, 1, 0, 0, 0x0b, 8, 6, 0, 1, 8, 0, 6, 4, 0,
            1, 2, 0x77, 1, 0, 0, 0x0b, 10, 77, 1, 200, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 10, 77,
            1, 200,
        ];
        expected.resize(60, 0);
        assert_eq!(frame, expected);
    }
}
