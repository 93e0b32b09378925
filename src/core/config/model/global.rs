//! `global_defs`: what concerns the whole daemon, and the defaults of instances and services.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::ScriptUser;
use super::link::ExtraAnnouncements;
use super::services::{
    AdvertBufferPolicy, Dbus, Files, Firewall, Mail, NetlinkBuffers, NotifyFifos, Reload, Snmp,
    SyncDaemon,
};
use super::vrrp::{GarpSchedule, VrrpVersion};
use crate::core::time::Interval;

/// `global_defs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Global {
    /// `router_id`: this node's name in mails and dumps; the host name unless set.
    pub router_id: String,
    /// `script_user`: the account of scripts that name none.
    pub script_user: Option<ScriptUser>,
    /// `enable_script_security`: refuse scripts that someone other than root could replace.
    pub script_security: bool,
    /// `vrrp_version` and the other `vrrp_…` defaults.
    pub vrrp: VrrpDefaults,
    /// `lvs_flush`: whether to clear the IPVS table at start.
    pub lvs_flush: bool,
    /// `lvs_flush_on_stop`: what to remove at the end.
    pub lvs_flush_on_stop: FlushOnStop,
    /// `lvs_timeouts`.
    pub lvs_timeouts: Option<LvsTimeouts>,
    /// `checker_log_all_failures`: log each failed probe, not only changes of state.
    pub checker_log_all_failures: bool,
    /// Scheduling of the vrrp process.
    pub vrrp_process: ProcessSettings,
    /// Scheduling of the check process.
    pub checker_process: ProcessSettings,
    /// `child_wait_time`: how long the children get to stop.
    pub child_wait_time: Interval,
    /// `instance`: distinguishes several daemons on one host in names of files and logs.
    pub instance: Option<String>,
    /// `net_namespace`: the network namespace to work in.
    pub net_namespace: Option<String>,
    /// `use_pid_dir`: pid files in a directory of their own.
    pub use_pid_dir: bool,
    /// `startup_script` and the time it may take.
    pub startup_script: Option<(super::Script, Option<Interval>)>,
    /// `shutdown_script` and the time it may take.
    pub shutdown_script: Option<(super::Script, Option<Interval>)>,
    /// `smtp_…` and `notification_email…`.
    pub mail: Mail,
    /// `process_names` / `vrrp_process_name` and so on, when set.
    pub process_names: ProcessNames,
    /// Scheduling of the BFD process.
    pub bfd_process: ProcessSettings,
    /// `net_namespace_ipvs`: where the IPVS table is; `net_namespace` when absent.
    pub ipvs_namespace: Option<IpvsNamespace>,
    /// `namespace_with_ipsets`.
    pub ipsets_in_namespace: bool,
    /// `use_symlink_paths`: scripts are called by the path as written.
    pub symlink_paths: bool,
    /// `set_supplementary_groups`: scripts get all groups of their user.
    pub supplementary_groups: bool,
    /// `rs_init_notifies`: tell at the start of servers that begin as up.
    pub initial_server_notifies: bool,
    /// `shared_checks`.
    pub shared_checks: bool,
    /// `max_auto_priority`: whether late timers raise the priority of a process.
    pub auto_priority: AutoPriority,
    /// `min_auto_priority_delay`: how late a timer must be for that.
    pub auto_priority_lateness: Interval,
    /// `lvs_sync_daemon`.
    pub sync_daemon: Option<SyncDaemon>,
    /// `vrrp_iptables`, `nftables` and so on.
    pub firewall: Firewall,
    /// `notify_fifo` and so on.
    pub fifos: NotifyFifos,
    /// `snmp_…`.
    pub snmp: Snmp,
    /// `enable_dbus` and so on.
    pub dbus: Dbus,
    /// `…_rcv_bufs`.
    pub buffers: NetlinkBuffers,
    /// `reload_…`.
    pub reload: Reload,
    /// Names of files.
    pub files: Files,
}

/// `net_namespace_ipvs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum IpvsNamespace {
    /// That of the first process.
    Default,
    /// A named one.
    Named(String),
}

/// `max_auto_priority`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum AutoPriority {
    /// Never raised; a remark at the start.
    #[default]
    Off,
    /// `-1`: never raised, no remark.
    Silent,
    /// Raised to this SCHED_RR priority at most, 1..=99.
    UpTo(u8),
}

/// Names that the processes show in `ps`, when set.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ProcessNames {
    /// `process_name`.
    pub parent: Option<String>,
    /// `vrrp_process_name`.
    pub vrrp: Option<String>,
    /// `checker_process_name`.
    pub checker: Option<String>,
    /// `bfd_process_name`.
    pub bfd: Option<String>,
    /// `process_names`: children without a name of their own are named after what they do.
    pub by_role: bool,
}

/// Scheduling of one child process.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ProcessSettings {
    /// `vrrp_priority` / `checker_priority`: nice value, -20..=19.
    pub nice: Option<i8>,
    /// `vrrp_rt_priority` / `checker_rt_priority`: SCHED_RR priority.
    pub realtime: Option<u8>,
    /// `vrrp_no_swap` / `checker_no_swap`: lock the process in memory.
    pub no_swap: bool,
    /// `vrrp_cpu_affinity` and so on: numbers of CPUs; all when empty.
    pub cpus: BTreeSet<u16>,
    /// `vrrp_rlimit_rttime` and so on: a real-time process that runs for so long without a blocking
    /// call is killed; never when absent (keepalived: after 10 ms).
    pub realtime_limit: Option<Interval>,
}

/// `lvs_timeouts`: seconds after which idle connections are forgotten; the kernel's when absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LvsTimeouts {
    /// Established TCP.
    pub tcp: Option<u32>,
    /// TCP after FIN.
    pub tcp_fin: Option<u32>,
    /// UDP.
    pub udp: Option<u32>,
}

/// `lvs_flush_on_stop`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum FlushOnStop {
    /// Remove our services one by one.
    #[default]
    OurServices,
    /// `lvs_flush_on_stop`: clear the whole table.
    WholeTable,
    /// `lvs_flush_on_stop VS`: remove our virtual services with everything they have.
    VirtualServers,
}

/// Defaults of every `vrrp_instance`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VrrpDefaults {
    /// `vrrp_version`.
    pub version: VrrpVersion,
    /// `vrrp_strict`.
    pub strict: bool,
    /// `vrrp_skip_check_adv_addr`.
    pub skip_check_adv_addr: bool,
    /// `vrrp_garp_…`.
    pub garp: GarpSchedule,
    /// `vrrp_mcast_group4`.
    pub multicast4: Ipv4Addr,
    /// `vrrp_mcast_group6`.
    pub multicast6: Ipv6Addr,
    /// `vrrp_check_unicast_src`.
    pub check_unicast_source: bool,
    /// `vrrp_startup_delay`: no election before this has passed.
    pub startup_delay: Interval,
    /// `default_interface` of static addresses; `eth0` when absent.
    pub default_interface: Option<String>,
    /// `vrrp_lower_prio_no_advert`.
    pub lower_priority_no_advert: bool,
    /// `vrrp_higher_prio_send_advert`.
    pub higher_priority_send_advert: bool,
    /// `vrrp_owner_ignore_adverts`.
    pub owner_ignores_adverts: bool,
    /// `vrrp_notify_priority_changes`.
    pub notify_priority_changes: bool,
    /// `dynamic_interfaces`.
    pub dynamic_interfaces: bool,
    /// `vrrp_down_timer_adverts`: adverts that a master may miss.
    pub down_timer_adverts: u8,
    /// `dynamic_interfaces allow_if_changes`: kind and parent of an interface may change.
    pub allow_interface_changes: bool,
    /// `disable_local_igmp`: no membership reports for link-local groups.
    pub no_local_igmp: bool,
    /// `v3_checksum_as_v2`.
    pub v3_checksum_as_v2: bool,
    /// `vrrp_garp_extra_if`.
    pub extra_announcements: Option<ExtraAnnouncements>,
    /// `vrrp_rx_bufs_policy`.
    pub receive_policy: AdvertBufferPolicy,
    /// `vrrp_rx_bufs_multiplier`.
    pub receive_multiplier: u32,
    /// `vrrp_delay_after_boot`: no election before the system has run for so long.
    pub delay_after_boot: Interval,
    /// `log_unknown_vrids`.
    pub log_unknown_vrids: bool,
    /// `vmac_prefix` of the names of interfaces that are made.
    pub vmac_prefix: String,
    /// `vmac_addr_prefix`: for those that are made for addresses on other interfaces.
    pub vmac_address_prefix: Option<String>,
}

impl Default for VrrpDefaults {
    fn default() -> Self {
        Self {
            version: VrrpVersion::V2,
            strict: false,
            skip_check_adv_addr: false,
            garp: GarpSchedule::default(),
            multicast4: Ipv4Addr::new(224, 0, 0, 18),
            multicast6: Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12),
            check_unicast_source: false,
            startup_delay: Interval::ZERO,
            default_interface: None,
            lower_priority_no_advert: false,
            higher_priority_send_advert: false,
            owner_ignores_adverts: false,
            notify_priority_changes: false,
            dynamic_interfaces: false,
            down_timer_adverts: 3,
            allow_interface_changes: false,
            no_local_igmp: false,
            v3_checksum_as_v2: false,
            extra_announcements: None,
            receive_policy: AdvertBufferPolicy::System,
            receive_multiplier: 3,
            delay_after_boot: Interval::ZERO,
            log_unknown_vrids: false,
            vmac_prefix: "vrrp".to_owned(),
            vmac_address_prefix: None,
        }
    }
}

impl Default for Global {
    fn default() -> Self {
        Self {
            router_id: String::new(),
            script_user: None,
            script_security: false,
            vrrp: VrrpDefaults::default(),
            lvs_flush: false,
            lvs_flush_on_stop: FlushOnStop::default(),
            lvs_timeouts: None,
            checker_log_all_failures: false,
            vrrp_process: ProcessSettings::default(),
            checker_process: ProcessSettings::default(),
            child_wait_time: Interval::from_secs(5),
            instance: None,
            net_namespace: None,
            use_pid_dir: false,
            startup_script: None,
            shutdown_script: None,
            mail: Mail::default(),
            process_names: ProcessNames::default(),
            bfd_process: ProcessSettings::default(),
            ipvs_namespace: None,
            ipsets_in_namespace: false,
            symlink_paths: false,
            supplementary_groups: false,
            initial_server_notifies: false,
            shared_checks: false,
            auto_priority: AutoPriority::Off,
            auto_priority_lateness: Interval::from_secs(1),
            sync_daemon: None,
            firewall: Firewall::default(),
            fifos: NotifyFifos::default(),
            snmp: Snmp::default(),
            dbus: Dbus::default(),
            buffers: NetlinkBuffers::default(),
            reload: Reload::default(),
            files: Files::default(),
        }
    }
}
