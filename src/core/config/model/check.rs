//! Virtual services, the servers behind them and how these are probed.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::{Family, Script};
use crate::core::seldom::{Seldom, Usual};
use crate::core::shared::Shared;
use crate::core::time::Interval;

/// What the check process acts on, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CheckConfig {
    /// `virtual_server` blocks. They travel one by one, see [`handed`](crate::core::config::handed).
    #[serde(skip)]
    pub virtual_servers: Vec<Shared<VirtualServer>>,
    /// `virtual_server_group` blocks.
    pub groups: Vec<VirtualServerGroup>,
    /// `nftables_ipvs`: groups are known to the kernel by firewall marks, from this one on.
    pub first_mark: Option<u32>,
    /// `shared_checks`: identical checks of one server share their probes. Not in keepalived.
    pub shared_checks: bool,
    /// `SSL` block: client key and certificates of SSL_GET.
    pub tls: TlsIdentity,
}

impl CheckConfig {
    /// Takes over what is equal in `old`, whose pieces are held elsewhere too: after a reload there
    /// is one copy of what has not changed, and it stays where it was.
    pub fn share_with(&mut self, old: &Self) {
        let services: BTreeMap<&Target, &Shared<VirtualServer>> =
            old.virtual_servers.iter().map(|service| (&service.target, service)).collect();
        for service in &mut self.virtual_servers {
            let Some(old) = services.get(&service.target) else { continue };
            if service == *old {
                service.clone_from(old);
                continue;
            }
            let servers: BTreeMap<SocketAddr, &Shared<RealServer>> =
                old.real_servers.iter().map(|server| (server.address, server)).collect();
            for server in &mut service.real_servers {
                let Some(old) = servers.get(&server.address) else { continue };
                if server == *old {
                    server.clone_from(old);
                    continue;
                }
                for checker in &mut server.checkers {
                    if let Some(old) = old.checkers.iter().find(|old| *old == checker) {
                        checker.clone_from(old);
                    }
                }
            }
        }
    }
}

/// The `SSL` block.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TlsIdentity {
    /// `password` of the key.
    pub password: Option<String>,
    /// `ca`: file.
    pub ca: Option<String>,
    /// `certificate`: file.
    pub certificate: Option<String>,
    /// `key`: file.
    pub key: Option<String>,
}

/// What a `virtual_server` block names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Target {
    /// An address and a port (0: every port).
    Address {
        /// Address and port.
        address: SocketAddr,
        /// Protocol.
        protocol: Protocol,
    },
    /// Packets that the firewall has marked.
    Fwmark {
        /// The mark.
        mark: u32,
        /// `ip_family`, else that of the first real server.
        family: Family,
    },
    /// Every entry of a `virtual_server_group`.
    Group {
        /// Its name.
        name: String,
        /// Protocol of its addresses.
        protocol: Protocol,
    },
}

/// One entry of a `virtual_server_group`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum GroupEntry {
    /// `ADDRESS[-RANGE] PORT`: one entry for each address.
    Addresses {
        /// First address and the port.
        first: SocketAddr,
        /// How many consecutive addresses, at least 1.
        count: u32,
    },
    /// `fwmark N [inet|inet6]`.
    Fwmark {
        /// The mark.
        mark: u32,
        /// Its family, else the service's.
        family: Option<Family>,
    },
}

/// A `virtual_server_group`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtualServerGroup {
    /// Its name.
    pub name: String,
    /// In the order of the file.
    pub entries: Vec<GroupEntry>,
}

/// Transport protocol of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Protocol {
    /// 6.
    Tcp,
    /// 17.
    Udp,
    /// 132.
    Sctp,
}

impl Protocol {
    /// The number in the IP header.
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }

    /// Upper-case name, as the dialect and `ipvsadm` write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        }
    }
}

/// `lb_kind`: how a packet gets to the real server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Forwarding {
    /// `NAT`.
    Masquerade,
    /// `DR`.
    DirectRouting,
    /// `TUN`.
    Tunnel(Tunnel),
}

/// Encapsulation of `lb_kind TUN`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Tunnel {
    /// IP in IP.
    Ipip,
    /// Generic UDP encapsulation to a port.
    Gue {
        /// UDP port.
        port: u16,
        /// Checksums.
        checksum: TunnelChecksum,
    },
    /// Generic routing encapsulation.
    Gre {
        /// Checksums.
        checksum: TunnelChecksum,
    },
}

/// Checksum option of a tunnel.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub enum TunnelChecksum {
    /// `nocsum`.
    #[default]
    None,
    /// `csum`.
    Outer,
    /// `remcsum` (GUE only).
    Remote,
}

/// Kernel scheduler of a service with its flags.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scheduler {
    /// Kernel name: `rr`, `wrr`, `lc`, `wlc`, `lblc`, `lblcr`, `sh`, `mh`, `dh`, `fo`, `ovf`, `sed`, `nq`, `twos`.
    pub name: String,
    /// IP_VS_SVC_F_SCHED1 (0x08), SCHED2 (0x10), SCHED3 (0x20): `sh-port`, `sh-fallback`, `mh-…`, `flag-N`.
    pub flags: u32,
}

/// `persistence_timeout` and its companions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Persistence {
    /// Seconds.
    pub timeout: u32,
    /// `persistence_granularity` as a prefix length: 32 or 128 for single clients.
    pub granularity: u8,
    /// `persistence_engine`: `sip`.
    pub engine: Option<String>,
}

/// `uthreshold` and `lthreshold`: connections; 0 for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Thresholds {
    /// No new connections above this.
    pub upper: u32,
    /// New connections again below this.
    pub lower: u32,
}

/// A `virtual_server`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtualServer {
    /// What it names.
    pub target: Target,
    /// `lb_algo`.
    pub scheduler: Scheduler,
    /// `ops`: one packet, one schedule (UDP).
    pub one_packet: bool,
    /// `lb_kind`: of real servers that name none.
    pub forwarding: Forwarding,
    /// `persistence_timeout`.
    pub persistence: Option<Persistence>,
    /// `quorum`: total weight of live servers needed.
    pub quorum: u32,
    /// `hysteresis`.
    pub hysteresis: u32,
    /// `quorum_up`.
    pub quorum_up: Option<Shared<Script>>,
    /// `quorum_down`.
    pub quorum_down: Option<Shared<Script>>,
    /// `sorry_server`: gets the traffic while there is no quorum.
    pub sorry_server: Option<SorryServer>,
    /// `alpha`: servers start as down.
    pub alpha: bool,
    /// `omega`: run the down scripts at the end of the process.
    pub omega: bool,
    /// `ha_suspend`: probe only while the address is on this node.
    pub ha_suspend: bool,
    /// `smtp_alert`, else `smtp_alert_checker`, else the global one.
    pub smtp_alert: bool,
    /// `snmp_name`.
    pub snmp_name: Option<String>,
    /// `real_server` blocks, in order.
    pub real_servers: Vec<Shared<RealServer>>,
    /// What its servers and checkers inherit.
    pub defaults: Shared<Defaults>,
}

/// What a service gives its servers, and these their checkers. All of it is worked in to them; this is
/// for those who look at it from outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Defaults {
    /// `virtualhost`; of a server only if it has its own.
    pub virtualhost: Option<String>,
    /// `delay_loop`.
    pub delay_loop: Interval,
    /// `retry`; 0 when each kind of checker has its own.
    pub retry: u32,
    /// `delay_before_retry`; zero when each kind of checker has its own.
    pub delay_before_retry: Interval,
    /// `warmup`; zero when not written.
    pub warmup: Interval,
    /// `connect_timeout`.
    pub connect_timeout: Interval,
    /// `weight` of servers that have none.
    pub weight: u32,
    /// `inhibit_on_failure`.
    pub inhibit: bool,
    /// `alpha`.
    pub alpha: bool,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            virtualhost: None,
            delay_loop: Interval::from_secs(60),
            retry: 0,
            delay_before_retry: Interval::ZERO,
            warmup: Interval::ZERO,
            connect_timeout: Interval::from_secs(5),
            weight: 1,
            inhibit: false,
            alpha: false,
        }
    }
}

/// `sorry_server` with its options.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SorryServer {
    /// Where.
    pub address: SocketAddr,
    /// `sorry_server_lvs_method`, else the service's.
    pub forwarding: Forwarding,
    /// `sorry_server_inhibit`: stays in the table with weight 0.
    pub inhibit: bool,
}

/// A `real_server`. Defaults of the enclosing service are already worked in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RealServer {
    /// Address and port (0: the service's port, whatever it is).
    pub address: SocketAddr,
    /// `weight`.
    pub weight: u32,
    /// `lb_kind` / `lvs_method`.
    pub forwarding: Forwarding,
    /// `inhibit_on_failure`: weight 0 instead of removal.
    pub inhibit_on_failure: bool,
    /// `uthreshold` / `lthreshold`.
    pub thresholds: Thresholds,
    /// `smtp_alert`, else `smtp_alert_checker`, else the global one, else on.
    pub smtp_alert: bool,
    /// Probes; the server is up when all of them succeed.
    pub checkers: Vec<Shared<Checker>>,
    /// What few servers have, of tens of thousands.
    pub extras: Seldom<Extras>,
    /// What its checkers inherit; its service's unless it says something of its own.
    pub defaults: Shared<Defaults>,
}

/// What few servers have.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Extras {
    /// `notify_up`.
    pub notify_up: Option<Shared<Script>>,
    /// `notify_down`.
    pub notify_down: Option<Shared<Script>>,
    /// `snmp_name`.
    pub snmp_name: Option<String>,
    /// `slow_start`: in this time it gets its weight when it comes back; at once unless written.
    pub slow_start: Interval,
    /// `drain_time`: when a reload takes it out, its connections have this long; nothing unless written.
    pub drain_time: Interval,
    /// `FILE_CHECK`: what the numbers in files do to it.
    pub file_checks: Vec<FileCheck>,
    /// `BFD_CHECK`: sessions that must be up.
    pub bfd_checks: Vec<BfdCheck>,
}

impl Usual for Extras {
    const USUAL: &'static Self = &Self {
        notify_up: None,
        notify_down: None,
        snmp_name: None,
        slow_start: Interval::ZERO,
        drain_time: Interval::ZERO,
        file_checks: Vec::new(),
        bfd_checks: Vec::new(),
    };
}

/// `BFD_CHECK`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BfdCheck {
    /// Name of the `bfd_instance`.
    pub name: String,
    /// Down until the session is up.
    pub alpha: bool,
}

/// `FILE_CHECK`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileCheck {
    /// Name of the `track_file`.
    pub file: String,
    /// What its number does.
    pub effect: FileCheckEffect,
}

/// What the number in a file does to a real server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileCheckEffect {
    /// Weight 0: down while it is not 0.
    DownUnlessZero,
    /// Weight 0 `reverse`: down while it is 0.
    DownIfZero,
    /// The number times this is added to the weight; `reverse` is worked in by negation.
    Times(i64),
}

/// One probe of a real server with its timing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Checker {
    /// What it does.
    pub probe: Probe,
    /// `delay_loop`: from probe to probe.
    pub delay_loop: Interval,
    /// `retry`: failures tolerated after the first.
    pub retry: u32,
    /// `delay_before_retry`: from a failure to the next probe.
    pub delay_before_retry: Interval,
    /// `warmup`: upper bound of the random wait before the first probe.
    pub warmup: Interval,
    /// `alpha`: bad until proved good.
    pub alpha: bool,
    /// `log_all_failures`.
    pub log_all_failures: bool,
    /// `rise`: successes in a row that a server which is out must show; 1 unless written.
    pub rise: u32,
    /// `reentry`: for how long they must have gone on; no time unless written.
    pub reentry: Interval,
}

/// What a probe does. Those that seldom come by the thousand are no larger than the others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Probe {
    /// `TCP_CHECK`: the connection succeeds.
    Tcp(Connect),
    /// `TCP_CHECK` with `send`, `expect` or `tls`, which keepalived does not have.
    Dialogue(Box<DialogueProbe>),
    /// `HTTP_GET` and `SSL_GET`.
    Http(HttpProbe),
    /// `SMTP_CHECK`: greeting and HELO.
    Smtp(Box<SmtpProbe>),
    /// `DNS_CHECK`: a query is answered.
    Dns(Box<DnsProbe>),
    /// `UDP_CHECK`: a datagram is answered, or at least not refused.
    Udp(Box<UdpProbe>),
    /// `PING_CHECK`: an echo comes back; the port has no meaning.
    Ping(Connect),
    /// `MISC_CHECK`: a program's exit status.
    Misc(Box<MiscProbe>),
    /// `AGENT_CHECK`: an agent says how much traffic the server may have. Not in keepalived.
    Agent(Box<AgentProbe>),
    /// `GRPC_CHECK`: the health service of gRPC says that all is well. Not in keepalived.
    Grpc(Box<GrpcProbe>),
}

/// How the log tells that a checker has used up its retries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GivenUp {
    /// In a line of its own: `WORD on service SERVER failed after N retries.`
    Line(&'static str),
    /// In such a line that names the virtual server too.
    LineOf(&'static str),
    /// At the end of the cause's own line.
    Suffix,
    /// Not at all.
    Nothing,
}

impl Probe {
    /// The dialect's word for it.
    pub const fn keyword(&self) -> &'static str {
        match self {
            Self::Tcp(_) | Self::Dialogue(_) => "TCP_CHECK",
            Self::Http(HttpProbe { tls: Some(_), .. }) => "SSL_GET",
            Self::Http(_) => "HTTP_GET",
            Self::Smtp(_) => "SMTP_CHECK",
            Self::Dns(_) => "DNS_CHECK",
            Self::Udp(_) => "UDP_CHECK",
            Self::Ping(_) => "PING_CHECK",
            Self::Misc(_) => "MISC_CHECK",
            Self::Agent(_) => "AGENT_CHECK",
            Self::Grpc(_) => "GRPC_CHECK",
        }
    }

    /// keepalived's way to tell that retries are used up.
    pub const fn given_up(&self) -> GivenUp {
        match self {
            Self::Tcp(_) | Self::Dialogue(_) => GivenUp::Line("TCP_CHECK"),
            Self::Http(_) => GivenUp::Line("HTTP_CHECK"),
            Self::Udp(_) => GivenUp::Line("UDP_CHECK"),
            Self::Ping(_) => GivenUp::LineOf("ICMP CHECK"),
            Self::Smtp(_) | Self::Dns(_) => GivenUp::Suffix,
            Self::Misc(_) => GivenUp::Nothing,
            Self::Agent(_) => GivenUp::Line("AGENT_CHECK"),
            Self::Grpc(_) => GivenUp::Line("GRPC_CHECK"),
        }
    }

    /// The probe, if it is one of HTTP.
    pub const fn as_http(&self) -> Option<&HttpProbe> {
        match self {
            Self::Http(http) => Some(http),
            Self::Tcp(_)
            | Self::Dialogue(_)
            | Self::Smtp(_)
            | Self::Dns(_)
            | Self::Udp(_)
            | Self::Ping(_)
            | Self::Agent(_)
            | Self::Grpc(_)
            | Self::Misc(_) => None,
        }
    }

    /// `connect_timeout`, or what stands in its place.
    pub const fn connect_timeout(&self) -> Interval {
        match self {
            Self::Tcp(connect) | Self::Ping(connect) => connect.timeout,
            Self::Dialogue(talk) => talk.connect.timeout,
            Self::Agent(agent) => agent.connect.timeout,
            Self::Dns(dns) => dns.connect.timeout,
            Self::Udp(udp) => udp.connect.timeout,
            Self::Http(http) => http.connect.timeout,
            Self::Smtp(smtp) => smtp.connect.timeout,
            Self::Grpc(grpc) => grpc.connect.timeout,
            Self::Misc(misc) => misc.timeout,
        }
    }

    /// No probe takes longer than this by its own limits.
    pub fn longest(&self) -> Interval {
        match self {
            Self::Tcp(connect) | Self::Ping(connect) => connect.timeout,
            Self::Dns(dns) => dns.connect.timeout,
            Self::Udp(udp) => udp.connect.timeout,
            // Connection and answer.
            Self::Agent(agent) => agent.connect.timeout * 2,
            // Connection, handshake and answer.
            Self::Dialogue(talk) => talk.connect.timeout * 3,
            Self::Grpc(grpc) => grpc.connect.timeout * 3,
            // Connection, handshake, answer and goodbye have a limit each; likewise connection,
            // greeting, answer to HELO and goodbye.
            Self::Http(http) => http.connect.timeout * 4,
            Self::Smtp(smtp) => smtp.connect.timeout * 4,
            Self::Misc(misc) => misc.timeout + Interval::from_secs(2),
        }
    }
}

/// Where and how a probe connects.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Connect {
    /// `connect_ip` and `connect_port`, else the real server's.
    pub destination: SocketAddr,
    /// `connect_timeout`.
    pub timeout: Interval,
    /// What few have.
    pub options: Seldom<ConnectOptions>,
}

/// What few probes say about their socket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct ConnectOptions {
    /// `bindto` and `bind_port`.
    pub source: Option<(Option<IpAddr>, u16)>,
    /// `bind_if`.
    pub interface: Option<String>,
    /// `fwmark` of the probe's packets.
    pub fwmark: u32,
}

impl Usual for ConnectOptions {
    const USUAL: &'static Self = &Self { source: None, interface: None, fwmark: 0 };
}

/// `TCP_CHECK` that says something, or listens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DialogueProbe {
    /// Where and how.
    pub connect: Connect,
    /// `tls`: shake hands first; the name is `sni_name`, else the virtual host.
    pub tls: Option<TlsProbe>,
    /// `send`: said when the connection is there.
    pub send: Vec<u8>,
    /// `expect`: what the answer must match.
    pub expect: Option<Regex>,
}

/// `AGENT_CHECK`. Not in keepalived.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AgentProbe {
    /// Where and how.
    pub connect: Connect,
    /// What it is asked.
    pub request: AgentRequest,
}

/// `GRPC_CHECK`. Not in keepalived.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GrpcProbe {
    /// Where and how.
    pub connect: Connect,
    /// `tls`, else in plain text with prior knowledge.
    pub tls: Option<TlsProbe>,
    /// `service`: whom the health service is asked about; the whole server if empty.
    pub service: String,
    /// `authority` of the check, else `virtualhost` of the server, else of the service; the
    /// destination if none.
    pub authority: Option<String>,
}

/// How an agent is asked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum AgentRequest {
    /// Over TCP.
    Tcp {
        /// `send`: said first; often nothing.
        send: Vec<u8>,
    },
    /// Over HTTP.
    Http {
        /// `path`.
        path: String,
    },
}

/// `HTTP_GET` and `SSL_GET`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HttpProbe {
    /// Where and how.
    pub connect: Connect,
    /// TLS, for SSL_GET.
    pub tls: Option<Box<TlsProbe>>,
    /// `http_protocol`.
    pub version: HttpVersion,
    /// `url` blocks, at least one; one request for each.
    pub urls: Shared<Vec<Url>>,
    /// `fast_recovery`: the first success after a failure is enough.
    pub fast_recovery: bool,
}

/// TLS of an SSL_GET, a TCP_CHECK or a GRPC_CHECK.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TlsProbe {
    /// `enable_sni`: name the virtual host in the handshake.
    pub sni: bool,
    /// `sni_name`: the name to say instead.
    pub name: Option<String>,
    /// `verify`: the certificate must be vouched for, and of the host's name. Not in keepalived.
    pub verify: bool,
    /// `expiry_warning`: so long before its end a certificate is told of; never if zero. Not in
    /// keepalived.
    pub expiry_warning: Interval,
}

/// `http_protocol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub enum HttpVersion {
    /// `1.0`.
    #[default]
    V1_0,
    /// `1.1`.
    V1_1,
    /// `1.0C`: 1.0 with `Connection: close`.
    V1_0Close,
    /// `1.1C`: 1.1 with `Connection: close`.
    V1_1Close,
    /// `2`: over plain TCP with prior knowledge, over TLS agreed on by ALPN. Not in keepalived.
    V2,
}

/// A `url` block: one request and what its answer must be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Url {
    /// `path`.
    pub path: String,
    /// `virtualhost` of the url, else the check's, else the server's, else the service's.
    pub virtualhost: Option<String>,
    /// `digest`: MD5 of the body.
    pub digest: Option<[u8; 16]>,
    /// `status_code`: inclusive ranges; 200..=299 unless configured.
    pub status: Vec<(u16, u16)>,
    /// `regex` with its options.
    pub regex: Option<Regex>,
    /// `tls_compliant` of the url or its check: say goodbye in order.
    pub orderly_close: bool,
}

/// `regex` and its options.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Regex {
    /// Perl-compatible pattern.
    pub pattern: String,
    /// `regex_no_match`: a match is a failure.
    pub negate: bool,
    /// `regex_options`, names as written.
    pub options: Vec<String>,
    /// `regex_min_offset`: where in the body a match may start.
    pub min_offset: usize,
    /// `regex_max_offset`: where in the body a match must have ended; 0 for no limit.
    pub max_offset: usize,
    /// `regex_stack`: bytes that the matcher may use, when it says so.
    pub stack: Option<usize>,
}

/// `MISC_CHECK`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MiscProbe {
    /// `misc_path`.
    pub script: Script,
    /// `misc_timeout`.
    pub timeout: Interval,
    /// `misc_dynamic`: exit status 2..=255 sets the weight to status - 2.
    pub dynamic: bool,
    /// `expect`: what its output must match. Not in keepalived.
    pub expect: Option<Regex>,
    /// What `%h` and `%p` among its arguments stand for, where there is an `expect`.
    pub server: SocketAddr,
}

/// `SMTP_CHECK`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SmtpProbe {
    /// Where and how.
    pub connect: Connect,
    /// `helo_name`: how the probe introduces itself.
    pub helo: String,
}

/// `DNS_CHECK`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DnsProbe {
    /// Where and how.
    pub connect: Connect,
    /// `type`.
    pub record: RecordType,
    /// `name`, as labels of 1 to 63 bytes; none for the root.
    pub name: Vec<String>,
}

/// `type` of a `DNS_CHECK`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub enum RecordType {
    /// 1 (RFC 1035).
    A,
    /// 2 (RFC 1035).
    Ns,
    /// 5 (RFC 1035).
    Cname,
    /// 6 (RFC 1035).
    #[default]
    Soa,
    /// 15 (RFC 1035).
    Mx,
    /// 16 (RFC 1035).
    Txt,
    /// 28 (RFC 3596).
    Aaaa,
    /// 46 (RFC 4034).
    Rrsig,
    /// 48 (RFC 4034).
    Dnskey,
}

impl RecordType {
    /// The number in a query.
    pub const fn number(self) -> u16 {
        match self {
            Self::A => 1,
            Self::Ns => 2,
            Self::Cname => 5,
            Self::Soa => 6,
            Self::Mx => 15,
            Self::Txt => 16,
            Self::Aaaa => 28,
            Self::Rrsig => 46,
            Self::Dnskey => 48,
        }
    }
}

/// `UDP_CHECK`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct UdpProbe {
    /// Where and how.
    pub connect: Connect,
    /// `payload`: the datagram, else a few random bytes.
    pub payload: Option<Vec<u8>>,
    /// `require_reply`: without it, a server that does not refuse the datagram is well.
    pub reply: Option<UdpReply>,
}

/// What the answer to a `UDP_CHECK` must be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct UdpReply {
    /// Its first bytes.
    pub start: Vec<MaskedByte>,
    /// `min_reply_length`, bytes.
    pub shortest: u16,
    /// `max_reply_length`, bytes.
    pub longest: u16,
}

/// A byte of which not every half counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MaskedByte {
    /// The bits.
    pub value: u8,
    /// Those that count: 0xff, 0xf0, 0x0f or 0.
    pub mask: u8,
}
