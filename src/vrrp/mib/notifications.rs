//! What the vrrp process tells a manager of its own accord. keepalived's own notifications carry the
//! objects without the number of their row.

use std::net::{IpAddr, Ipv4Addr};

use super::{MasterReason, Past, ProtocolError, initial_state, rfc2787, rfc6527};
use crate::core::config::model::global::Global;
use crate::core::config::model::vrrp::Instance;
use crate::snmp::base;
use crate::snmp::value::{Value, VarBind};
use crate::vrrp::event::{Event, EventKind, Reason, Rejection, State};

/// `VrrpState` of what a notification says; `None` where it says no state.
fn state_number(state: &str) -> Option<i32> {
    match state {
        "BACKUP" => Some(1),
        "MASTER" => Some(2),
        "FAULT" => Some(3),
        "STOP" => Some(5),
        "DELETED" => Some(6),
        _ => None,
    }
}

/// `vrrpInstanceStateChange`; `None` for what is no state.
pub fn instance_state(
    global: &Global,
    name: &str,
    state: &str,
    instance: Option<&Instance>,
) -> Option<Vec<VarBind>> {
    let object = |column, value| VarBind::new(base::part(&[2, 3, 1, column]), value);
    let state = Value::Integer(state_number(state)?);
    let objects = [
        object(2, Value::text(name)),
        object(4, state),
        object(5, Value::Integer(instance.map_or(1, initial_state))),
        base::router_id(global),
    ];
    Some(base::notification(base::part(&[2, 10, 0, 2]), objects))
}

/// `vrrpSyncGroupStateChange`; `None` for what is no state.
pub fn group_state(global: &Global, name: &str, state: &str) -> Option<Vec<VarBind>> {
    let object = |column, value| VarBind::new(base::part(&[2, 1, 1, column]), value);
    let state = Value::Integer(state_number(state)?);
    let objects = [object(2, Value::text(name)), object(3, state), base::router_id(global)];
    Some(base::notification(base::part(&[2, 10, 0, 1]), objects))
}

/// `vrrpTrapNewMaster` of RFC 2787; `None` for a router that it does not know.
pub fn new_master_v2(
    interface: u32,
    instance: &Instance,
    source: Option<IpAddr>,
) -> Option<Vec<VarBind>> {
    if !rfc2787::is_shown(instance) {
        return None;
    }
    let address = match source {
        Some(IpAddr::V4(address)) => address,
        Some(IpAddr::V6(_)) | None => Ipv4Addr::UNSPECIFIED,
    };
    let name = rfc2787::part(&[1, 3, 1, 7, interface, instance.vrid.get().into()]);
    let objects = [VarBind::new(name, Value::IpAddress(address))];
    Some(base::notification(rfc2787::part(&[0, 1]), objects))
}

/// `vrrpv3NewMaster` of RFC 6527.
pub fn new_master_v3(
    interface: u32,
    instance: &Instance,
    source: Option<IpAddr>,
    reason: MasterReason,
) -> Vec<VarBind> {
    let index = rfc6527::index(interface, instance);
    let address = rfc6527::part(&[1, 1, 1, 1, 3]).with(&index);
    let why = rfc6527::part(&[1, 2, 5, 1, 2]).with(&index);
    let objects = [
        VarBind::new(address, rfc6527::address(instance, source)),
        VarBind::new(why, Value::Integer(reason as i32)),
    ];
    base::notification(rfc6527::part(&[0, 1]), objects)
}

/// `vrrpTrapAuthFailure` of RFC 2787; `None` when that was not what was wrong.
pub fn authentication_failure(
    instance: &Instance,
    from: IpAddr,
    rejection: Rejection,
) -> Option<Vec<VarBind>> {
    let IpAddr::V4(from) = from else { return None };
    let kind = match rejection {
        Rejection::UnknownAuthType(_) => 1,
        Rejection::AuthTypeMismatch => 2,
        Rejection::Password | Rejection::Replay(_) => 3,
        _ => return None,
    };
    if !rfc2787::is_shown(instance) {
        return None;
    }
    let objects = [
        VarBind::new(rfc2787::part(&[1, 5, 0]), Value::IpAddress(from)),
        VarBind::new(rfc2787::part(&[1, 6, 0]), Value::Integer(kind)),
    ];
    Some(base::notification(rfc2787::part(&[0, 2]), objects))
}

/// `vrrpv3ProtoError` of RFC 6527.
pub fn protocol_error(interface: u32, instance: &Instance, error: ProtocolError) -> Vec<VarBind> {
    let name = rfc6527::part(&[1, 2, 5, 1, 6]).with(&rfc6527::index(interface, instance));
    let objects = [VarBind::new(name, Value::Integer(error as i32))];
    base::notification(rfc6527::part(&[0, 2]), objects)
}

/// The protocol error that a rejection is, if it is one of RFC 6527.
pub fn protocol_error_of(rejection: Rejection) -> Option<ProtocolError> {
    match rejection {
        Rejection::Ttl(_) => Some(ProtocolError::Ttl),
        Rejection::Version(_) => Some(ProtocolError::Version),
        Rejection::Checksum => Some(ProtocolError::Checksum),
        _ => None,
    }
}

impl Past {
    /// Goes on with what happens to the router. `hint`: why it will become master, should it do so.
    pub fn see(&mut self, event: &Event, hint: &mut MasterReason) {
        match &event.kind {
            EventKind::ReceivedPriorityZero => *hint = MasterReason::Priority,
            EventKind::LowerPriority { .. } | EventKind::DiscardedLower { .. } => {
                *hint = MasterReason::Preempted;
            }
            EventKind::Entering { state: State::Master, .. } => {
                self.reason = match &event.reason {
                    Some(Reason::Owner | Reason::Resumed) => MasterReason::Preempted,
                    _ if *hint == MasterReason::NotMaster => MasterReason::NoResponse,
                    _ => *hint,
                };
            }
            EventKind::Entering { state: State::Backup | State::Init | State::Fault, .. } => {
                *hint = MasterReason::NotMaster;
            }
            EventKind::Rejected { rejection, .. } => {
                if let Some(error) = protocol_error_of(*rejection) {
                    self.error = error;
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::config::model::vrrp::{Priority, VrrpVersion};

    fn text(bindings: Option<Vec<VarBind>>) -> String {
        let bindings = bindings.unwrap_or_default();
        let shown = bindings.iter().map(|found| format!("{}={:?}", found.name, found.value));
        shown.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn states_are_told_with_the_objects_of_the_mib_in_order() {
        let global = Global { router_id: "d1".into(), ..Global::default() };
        let owner = Instance { priority: Priority::OWNER, ..Instance::default() };
        let told = instance_state(&global, "V1", "MASTER", Some(&owner));
        let root = base::root();
        assert_eq!(
            text(told),
            format!(
                "1.3.6.1.6.3.1.1.4.1.0=Oid({root}.2.10.0.2) {root}.2.3.1.2=Octets([86, 49]) \
                 {root}.2.3.1.4=Integer(2) {root}.2.3.1.5=Integer(2) \
                 {root}.1.2.0=Octets([100, 49])"
            )
        );
        assert_eq!(instance_state(&global, "V1", "MASTER_PRIORITY", None), None);
        let told = text(group_state(&global, "G", "STOP"));
        assert!(told.contains(&format!("{root}.2.1.1.3=Integer(5)")), "{told}");
    }

    #[test]
    fn a_new_master_is_told_to_the_mib_of_its_version() {
        let mut instance = Instance::default();
        let source = Some(IpAddr::from([192, 0, 2, 1]));
        let told = text(new_master_v2(2, &instance, source));
        assert!(told.ends_with("1.3.6.1.2.1.68.1.3.1.7.2.1=IpAddress(192.0.2.1)"), "{told}");
        instance.version = VrrpVersion::V3;
        assert_eq!(new_master_v2(2, &instance, source), None);
        let told = text(Some(new_master_v3(2, &instance, source, MasterReason::NoResponse)));
        assert!(told.ends_with("1.3.6.1.2.1.207.1.2.5.1.2.2.1.1=Integer(3)"), "{told}");
        let wrong = Rejection::Password;
        let from = IpAddr::from([192, 0, 2, 7]);
        assert_eq!(authentication_failure(&instance, from, wrong), None);
        instance.version = VrrpVersion::V2;
        let told = text(authentication_failure(&instance, from, wrong));
        assert!(told.ends_with("68.1.6.0=Integer(3)"), "{told}");
        assert_eq!(authentication_failure(&instance, from, Rejection::Checksum), None);
    }

    #[test]
    fn why_a_router_became_master_is_remembered() {
        let event = |kind, reason| Event { name: "V".into(), kind, reason };
        let (mut past, mut hint) = (Past::default(), MasterReason::NotMaster);
        let master = || {
            let kind = EventKind::Entering { state: State::Master, initial: false };
            event(kind, Some(Reason::MasterDown))
        };
        past.see(&master(), &mut hint);
        assert_eq!(past.reason, MasterReason::NoResponse);
        past.see(&event(EventKind::ReceivedPriorityZero, None), &mut hint);
        past.see(&master(), &mut hint);
        assert_eq!(past.reason, MasterReason::Priority);
        let backup = EventKind::Entering { state: State::Backup, initial: false };
        past.see(&event(backup, None), &mut hint);
        past.see(&master(), &mut hint);
        assert_eq!(past.reason, MasterReason::NoResponse);
        let rejection = Rejection::Ttl(1);
        let bad = EventKind::Rejected { from: IpAddr::from([192, 0, 2, 7]), rejection };
        past.see(&event(bad, None), &mut hint);
        assert_eq!(past.error, ProtocolError::Ttl);
    }
}
