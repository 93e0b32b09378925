//! Unsolicited neighbour advertisement: tells an IPv6 network where an address is now.

use std::net::Ipv6Addr;

use pnet_packet::ethernet::{EtherTypes, MutableEthernetPacket};
use pnet_packet::icmpv6::ndp::{
    MutableNdpOptionPacket, MutableNeighborAdvertPacket, NdpOptionTypes, NeighborAdvertFlags,
};
use pnet_packet::icmpv6::{Icmpv6Packet, Icmpv6Types, checksum};
use pnet_packet::ip::IpNextHeaderProtocols;
use pnet_packet::ipv6::MutableIpv6Packet;

/// All nodes of the link, and its Ethernet address (RFC 4861, RFC 2464).
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_NODES_MAC: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];
const ETHERNET: usize = 14;
const IPV6: usize = 40;
/// The advertisement itself, before its options.
const ADVERT: usize = 24;
/// Target link-layer address: type, length in units of eight bytes, six bytes.
const OPTION: usize = 8;

/// A whole Ethernet frame, 86 bytes: from `address` to all nodes, override set, not solicited,
/// with the target link-layer address (RFC 9568 section 6.4.2, RFC 4861 section 7.2.6). `router`:
/// whether the interface forwards.
pub fn unsolicited(mac: [u8; 6], address: Ipv6Addr, router: bool) -> Vec<u8> {
    let mut frame = vec![0; ETHERNET + IPV6 + ADVERT + OPTION];
    if let Some(mut ethernet) = MutableEthernetPacket::new(&mut frame) {
        ethernet.set_destination(ALL_NODES_MAC.into());
        ethernet.set_source(mac.into());
        ethernet.set_ethertype(EtherTypes::Ipv6);
    }
    if let Some(mut header) = frame.get_mut(ETHERNET..).and_then(MutableIpv6Packet::new) {
        header.set_version(6);
        header.set_payload_length(32);
        header.set_next_header(IpNextHeaderProtocols::Icmpv6);
        header.set_hop_limit(255);
        header.set_source(address);
        header.set_destination(ALL_NODES);
    }
    let body = ETHERNET + IPV6;
    let option = frame.get_mut(body + ADVERT..).and_then(MutableNdpOptionPacket::new);
    if let Some(mut option) = option {
        option.set_option_type(NdpOptionTypes::TargetLLAddr);
        option.set_length(1);
        option.set_data(&mac);
    }
    let sum = frame.get_mut(body..).and_then(MutableNeighborAdvertPacket::new).map(|mut advert| {
        let router = if router { NeighborAdvertFlags::Router } else { 0 };
        advert.set_icmpv6_type(Icmpv6Types::NeighborAdvert);
        advert.set_flags(NeighborAdvertFlags::Override | router);
        advert.set_target_addr(address);
    });
    debug_assert!(sum.is_some());
    let sum = frame
        .get(body..)
        .and_then(Icmpv6Packet::new)
        .map_or(0, |packet| checksum(&packet, &address, &ALL_NODES));
    if let Some(mut advert) = frame.get_mut(body..).and_then(MutableNeighborAdvertPacket::new) {
        advert.set_checksum(sum);
    }
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v_173_and_v_174_an_unsolicited_advertisement_is_these_bytes() {
        let frame = unsolicited([2, 0x77, 1, 0, 0, 0x0b], "fd77:1::200".parse().unwrap(), true);
        let mut expected = vec![0x33, 0x33, 0, 0, 0, 1, 2, 0x77, 1, 0, 0, 0x0b, 0x86, 0xdd];
        expected.extend([0x60, 0, 0, 0, 0, 32, 58, 255]);
        let address = "fd77:1::200".parse::<Ipv6Addr>().unwrap().octets();
        expected.extend(address);
        expected.extend(ALL_NODES.octets());
        // Router and override; not solicited.
        expected.extend([136, 0, frame[56], frame[57], 0xa0, 0, 0, 0]);
        expected.extend(address);
        expected.extend([2, 1, 2, 0x77, 1, 0, 0, 0x0b]);
        assert_eq!(frame, expected);
        let packet = Icmpv6Packet::new(&frame[54..]).unwrap();
        assert_eq!(
            checksum(&packet, &"fd77:1::200".parse().unwrap(), &ALL_NODES).to_be_bytes(),
            [frame[56], frame[57]]
        );
        let host = unsolicited([2, 0x77, 1, 0, 0, 0x0b], "fd77:1::200".parse().unwrap(), false);
        assert_eq!(host[58], 0x20);
    }
}
