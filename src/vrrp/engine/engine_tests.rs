//! The engine with a driven clock; each test of a conformance item is named after it.

use super::*;
use crate::core::config::model::vrrp::{
    NotifyScripts, Preemption, Transport, VirtualAddress, Vrid,
};
use crate::core::config::model::vrrp::{Priority, TrackEffect, VrrpVersion};
use crate::core::time::Interval;

pub(crate) fn instance(name: &str, priority: u8) -> Instance {
    let defaults = Global::default().vrrp;
    let address = VirtualAddress {
        address: [10, 0, 0, 100].into(),
        prefix: 32,
        interface: Some("eth0".into()),
        label: None,
        scope: 0,
        broadcast: None,
        peer: None,
        no_track: false,
    };
    Instance {
        name: name.into(),
        interface: Some("eth0".into()),
        vrid: Vrid::new(51).unwrap(),
        family: Family::Inet,
        version: VrrpVersion::V2,
        initial_state: InitialState::Backup,
        priority: Priority::new(priority),
        advert_interval: Interval::from_secs(1),
        authentication: Authentication::None,
        transport: Transport::Multicast { group: defaults.multicast4.into() },
        source: None,
        addresses: vec![address],
        excluded_addresses: Vec::new(),
        preemption: Preemption::default(),
        garp: defaults.garp,
        track_interfaces: Vec::new(),
        track_scripts: Vec::new(),
        dont_track_primary: false,
        notify: NotifyScripts::default(),
        strict: false,
        skip_check_adv_addr: false,
        lower_priority_no_advert: false,
        higher_priority_send_advert: false,
        owner_ignores_adverts: false,
        v3_checksum_as_v2: false,
        down_timer_adverts: 3,
        notify_priority_changes: false,
    }
}
