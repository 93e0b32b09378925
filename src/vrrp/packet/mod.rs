//! Bytes of the packets that the vrrp process speaks: [`advert`], gratuitous [`arp`] and, for IPv6,
//! unsolicited neighbour advertisements ([`ndp`]).

pub mod advert;
pub mod arp;
pub mod ndp;
