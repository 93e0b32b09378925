//! Words of the dialect that are in the model while no daemon acts on them yet, and words whose
//! missing argument is less than fatal.

/// Block and words. A word leaves this list when a daemon acts on it; nothing else changes it.
/// A block stands for everything in it.
pub(super) const NOT_ACTED_ON: &[(&str, &[&str])] =
    &[("global_defs", &["dbus_no_interface_name", "dbus_service_name", "enable_dbus"])];

/// Words that keepalived passes over with a remark when their argument is missing; of all others
/// that need one it ends on the spot. Where two blocks share a word, they share this too.
pub(super) const OPTIONAL_AT_A_COST: &[&str] = &[
    "bfd_cpu_affinity",
    "bfd_priority",
    "bfd_rt_priority",
    "ca",
    "certificate",
    "checker_cpu_affinity",
    "checker_priority",
    "checker_rt_priority",
    "dbus_no_interface_name",
    "dbus_service_name",
    "default_interface",
    "file",
    "garp_extra_if",
    "instance",
    "iproute_etc_dir",
    "iproute_usr_dir",
    "json_dump_file",
    "json_version",
    "kernel_rx_buf_size",
    "key",
    "lvs_netlink_cmd_rcv_bufs",
    "lvs_netlink_monitor_rcv_bufs",
    "lvs_notify_fifo",
    "lvs_notify_fifo_script",
    "lvs_sync_daemon",
    "lvs_timeouts",
    "min_auto_priority_delay",
    "net_namespace",
    "notification_email_from",
    "notify_fifo",
    "notify_fifo_script",
    "password",
    "process_monitor_rcv_bufs",
    "reload_time_file",
    "router_id",
    "script",
    "script_user",
    "shutdown_script",
    "shutdown_script_timeout",
    "snmp_name",
    "snmp_socket",
    "startup_script",
    "startup_script_timeout",
    "state_dump_file",
    "stats_dump_file",
    "tmp_config_directory",
    "virtualhost",
    "vmac_garp_intvl",
    "vrrp_cpu_affinity",
    "vrrp_garp_extra_if",
    "vrrp_instance",
    "vrrp_netlink_cmd_rcv_bufs",
    "vrrp_netlink_monitor_rcv_bufs",
    "vrrp_notify_fifo",
    "vrrp_notify_fifo_script",
    "vrrp_priority",
    "vrrp_rt_priority",
    "vrrp_rx_bufs_multiplier",
    "vrrp_rx_bufs_policy",
    "vrrp_vmac_garp_intvl",
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::{lookup, opens_block};
    use super::*;

    #[test]
    fn every_word_without_effect_is_a_word_of_the_table_and_stands_once() {
        let mut seen = BTreeSet::new();
        for (block, words) in NOT_ACTED_ON {
            for word in *words {
                assert!(lookup(block, word).is_some(), "{block} {word}");
                assert!(seen.insert((block, word)), "{block} {word} twice");
            }
        }
        assert_eq!(seen.len(), LIMIT, "the list only gets shorter");
        assert!(opens_block(super::super::ROOT, "static_routes"));
    }

    /// When a daemon learns to act on a word, this becomes smaller.
    const LIMIT: usize = 3;
}
