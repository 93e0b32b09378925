//! Bytes of the packets that the vrrp process speaks: [`advert`] and gratuitous [`arp`].

pub mod advert;
pub mod arp;
