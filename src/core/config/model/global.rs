//! `global_defs`: what concerns the whole daemon, and the defaults of instances and services.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::ScriptUser;
use super::vrrp::{GarpSchedule, VrrpVersion};
use crate::core::time::Interval;

/// `global_defs`.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// Mail: kept in the model, not acted on yet.
    pub mail: Mail,
    /// `process_names` / `vrrp_process_name` and so on, when set.
    pub process_names: ProcessNames,
}

/// Names that the processes show in `ps`, when set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProcessNames {
    /// `process_name`.
    pub parent: Option<String>,
    /// `vrrp_process_name`.
    pub vrrp: Option<String>,
    /// `checker_process_name`.
    pub checker: Option<String>,
}

/// Where and how to send mail.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mail {
    /// `notification_email`.
    pub to: Vec<String>,
    /// `notification_email_from`.
    pub from: Option<String>,
    /// `smtp_server` with its port.
    pub server: Option<(String, u16)>,
    /// `smtp_connect_timeout`.
    pub connect_timeout: Option<Interval>,
}

/// Scheduling of one child process.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProcessSettings {
    /// `vrrp_priority` / `checker_priority`: nice value, -20..=19.
    pub nice: Option<i8>,
    /// `vrrp_rt_priority` / `checker_rt_priority`: SCHED_RR priority.
    pub realtime: Option<u8>,
    /// `vrrp_no_swap` / `checker_no_swap`: lock the process in memory.
    pub no_swap: bool,
}

/// `lvs_timeouts`: seconds after which idle connections are forgotten; the kernel's when absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LvsTimeouts {
    /// Established TCP.
    pub tcp: Option<u32>,
    /// TCP after FIN.
    pub tcp_fin: Option<u32>,
    /// UDP.
    pub udp: Option<u32>,
}

/// `lvs_flush_on_stop`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// `default_interface`.
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
        }
    }
}
