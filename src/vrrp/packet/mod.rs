//! Bytes of the packets that the vrrp process speaks: [`advert`] and its authentication
//! header ([`ah`]) or trailer ([`hmac`]), gratuitous [`arp`] and, for IPv6, unsolicited neighbour advertisements ([`ndp`]).

pub mod advert;
pub mod ah;
pub mod arp;
pub mod hmac;
pub mod ndp;
