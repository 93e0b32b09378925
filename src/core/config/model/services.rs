//! What surrounds the daemons: FIFOs, mail, SNMP, D-Bus, firewall, buffers, files. Parts of
//! `global_defs`.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Script, ScriptUser};
use crate::core::time::Interval;

/// Where and how to send mail.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Mail {
    /// `notification_email`.
    pub to: Vec<String>,
    /// `notification_email_from`; user and host of the process when absent.
    pub from: Option<String>,
    /// `smtp_server` with its port.
    pub server: Option<(String, u16)>,
    /// `smtp_helo_name`; the host name when absent.
    pub helo: Option<String>,
    /// `smtp_connect_timeout`: for each step of the dialogue; 30 s when absent.
    pub connect_timeout: Option<Interval>,
    /// `smtp_alert`.
    pub alert: Option<bool>,
    /// `smtp_alert_vrrp`: outweighs `alert` for instances and groups.
    pub alert_vrrp: Option<bool>,
    /// `smtp_alert_checker`: outweighs `alert` for services and servers.
    pub alert_checker: Option<bool>,
    /// `no_email_faults`: nothing about FAULT.
    pub no_faults: bool,
    /// `no_checker_emails`: about whole servers only, not about each check.
    pub no_checks: bool,
}

impl Mail {
    /// Whether instances and groups that say nothing send mail.
    pub fn vrrp_default(&self) -> bool {
        self.alert_vrrp.or(self.alert).unwrap_or(false)
    }

    /// Whether services or servers that say nothing send mail; `otherwise` when nothing is said.
    pub fn checker_default(&self, otherwise: AlertDefault) -> bool {
        self.alert_checker.or(self.alert).unwrap_or(match otherwise {
            AlertDefault::On => true,
            AlertDefault::Off => false,
        })
    }
}

/// What holds when no `smtp_alert` is written anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlertDefault {
    /// Of real servers, for historic reasons.
    On,
    /// Of everything else.
    Off,
}

/// A named pipe that changes are written to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fifo {
    /// `notify_fifo` and its like.
    pub path: String,
    /// Who owns it.
    pub owner: Option<ScriptUser>,
}

/// One pipe and its reader.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NotifyFifo {
    /// The pipe.
    pub fifo: Option<Fifo>,
    /// `notify_fifo_script` and its like: started with the path as its last argument.
    pub reader: Option<Script>,
}

/// The three pipes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NotifyFifos {
    /// `notify_fifo`: everything.
    pub all: NotifyFifo,
    /// `vrrp_notify_fifo`: instances and groups.
    pub vrrp: NotifyFifo,
    /// `lvs_notify_fifo`: services and servers.
    pub lvs: NotifyFifo,
    /// `fifo_write_vrrp_states_on_reload`.
    pub states_on_reload: bool,
}

/// `snmp_…`, `enable_snmp_…`, `enable_traps`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snmp {
    /// `snmp_socket`: the agent's address; `unix:/var/agentx/master` when absent.
    pub socket: Option<String>,
    /// `enable_traps`.
    pub traps: bool,
    /// `enable_snmp_vrrp`.
    pub vrrp: bool,
    /// `enable_snmp_checker`.
    pub checker: bool,
    /// `enable_snmp_rfcv2`: RFC 2787.
    pub rfc2787: bool,
    /// `enable_snmp_rfcv3`: RFC 6527.
    pub rfc6527: bool,
    /// `snmp_vs_stats_update_interval`: greatest age of a service's figures.
    pub service_figures_age: Interval,
    /// `snmp_rs_stats_update_interval`: greatest age of a server's; a service's when absent.
    pub server_figures_age: Option<Interval>,
}

impl Default for Snmp {
    fn default() -> Self {
        Self {
            socket: None,
            traps: false,
            vrrp: false,
            checker: false,
            rfc2787: false,
            rfc6527: false,
            service_figures_age: Interval::from_secs(5),
            server_figures_age: None,
        }
    }
}

/// Where an SNMP master agent is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AgentAddress {
    /// `unix:PATH` or `/PATH`.
    Unix(PathBuf),
    /// `tcp:HOST:PORT` or `HOST:PORT`.
    Tcp(String),
}

impl AgentAddress {
    /// Where snmpd listens unless told otherwise.
    pub fn usual() -> Self {
        Self::Unix("/var/agentx/master".into())
    }
}

impl fmt::Display for AgentAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Tcp(name) => write!(f, "{name}"),
        }
    }
}

/// `enable_dbus` and `dbus_…`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dbus {
    /// `enable_dbus`.
    pub enabled: bool,
    /// `dbus_service_name`.
    pub service_name: String,
    /// `dbus_no_interface_name`: in paths of instances without an interface.
    pub no_interface_name: String,
}

impl Default for Dbus {
    fn default() -> Self {
        Self {
            enabled: false,
            service_name: "org.keepalived.Vrrp1".to_owned(),
            no_interface_name: "none".to_owned(),
        }
    }
}

/// Which firewall keeps traffic from addresses that are not accepted for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Firewall {
    /// `vrrp_iptables`.
    pub iptables: Option<IptablesChains>,
    /// `vrrp_ipsets`.
    pub ipsets: Ipsets,
    /// `nftables`: name of the table.
    pub nftables: Option<String>,
    /// `nftables_priority` of its chains; -1 when absent.
    pub priority: Option<i32>,
    /// `nftables_ifindex`: interfaces by number.
    pub by_index: bool,
    /// `nftables_counters`.
    pub counters: bool,
    /// `nftables_ipvs`: name of the table that marks packets for groups of services.
    pub ipvs: Option<String>,
    /// `nftables_ipvs_priority` of its chain; -1 when absent.
    pub ipvs_priority: Option<i32>,
    /// `nftables_ipvs_start_fwmark`: first mark; 1000 when absent.
    pub ipvs_first_mark: Option<u32>,
}

/// Chains that rules go into.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IptablesChains {
    /// For received packets.
    pub input: String,
    /// For sent packets; none when only the first is written.
    pub output: Option<String>,
}

/// `vrrp_ipsets`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Ipsets {
    /// Sets with their usual names.
    #[default]
    Usual,
    /// `vrrp_ipsets` alone: no sets.
    Disabled,
    /// One to six names; those that are missing follow from the first.
    Names(Vec<String>),
}

/// `lvs_sync_daemon`: copies connections to another director.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncDaemon {
    /// The interface.
    pub interface: String,
    /// The instance whose state it follows.
    pub instance: Option<String>,
    /// `id`: the instance's virtual router number when absent.
    pub id: Option<u8>,
    /// `maxlen`: of a packet; the kernel's when absent.
    pub longest_packet: Option<u16>,
    /// `port`: 8848 when absent.
    pub port: Option<u16>,
    /// `ttl`: 1 when absent.
    pub ttl: Option<u8>,
    /// `group`: 224.0.0.81 when absent.
    pub group: Option<IpAddr>,
}

/// A socket's receive buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ReceiveBuffer {
    /// Bytes; the system's when absent.
    pub bytes: Option<u32>,
    /// `…_force`: beyond the system's limit.
    pub force: bool,
}

/// `…_rcv_bufs`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NetlinkBuffers {
    /// `vrrp_netlink_cmd_rcv_bufs`.
    pub vrrp_command: ReceiveBuffer,
    /// `vrrp_netlink_monitor_rcv_bufs`.
    pub vrrp_monitor: ReceiveBuffer,
    /// `lvs_netlink_cmd_rcv_bufs`.
    pub lvs_command: ReceiveBuffer,
    /// `lvs_netlink_monitor_rcv_bufs`.
    pub lvs_monitor: ReceiveBuffer,
    /// `process_monitor_rcv_bufs`.
    pub process_monitor: ReceiveBuffer,
}

/// `vrrp_rx_bufs_policy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum AdvertBufferPolicy {
    /// As the system has it.
    #[default]
    System,
    /// `MTU`: so many largest packets.
    Mtu,
    /// `ADVERT`: so many adverts.
    Advert,
    /// That many bytes.
    Bytes(u32),
}

/// `reload_…`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Reload {
    /// `reload_check_config`: file for the problems of a configuration that is not taken.
    pub check: Option<String>,
    /// `reload_time_file`: holds the time of the next reload.
    pub time_file: Option<String>,
    /// `reload_repeat`: each day.
    pub repeat: bool,
    /// `reload_file`: there while a reload goes on.
    pub marker: Option<ReloadMarker>,
}

/// Where the file is that shows a reload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReloadMarker {
    /// `keepalived.reload` beside the pid files.
    Usual,
    /// There.
    Path(String),
}

/// Names of files and directories.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Files {
    /// `config_save_dir`: copies of the configuration and state around each reload.
    pub save_directory: Option<String>,
    /// `tmp_config_directory`; memory when absent.
    pub temporary_directory: Option<String>,
    /// `data_use_instance`: dumps carry namespace and instance in their names.
    pub data_use_instance: bool,
    /// `iproute_usr_dir`.
    pub iproute_distribution: Option<String>,
    /// `iproute_etc_dir`.
    pub iproute_local: Option<String>,
    /// `state_dump_file`.
    pub state_dump: Option<String>,
    /// `stats_dump_file`.
    pub statistics_dump: Option<String>,
    /// `json_dump_file`.
    pub json_dump: Option<String>,
    /// `json_version`.
    pub json_version: JsonVersion,
    /// `umask` of files that are made; 0177 when absent.
    pub umask: Option<u16>,
}

impl Files {
    /// Bits that files which are made do not get.
    pub fn mask(&self) -> u16 {
        self.umask.unwrap_or(0o177)
    }
}

/// `json_version`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum JsonVersion {
    /// An array of instances.
    #[default]
    Array,
    /// An object with the instances in it.
    Object,
}
