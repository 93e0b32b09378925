//! Each checker beside each thing that a server may do: the verdict, the time that it takes, and the
//! reason in the log and in the status. The probes are real, the servers are on loopback.

#[path = "checkers/cuts.rs"]
mod cuts;
#[path = "checkers/files.rs"]
mod files;
#[path = "checkers/http2.rs"]
mod http2;
#[path = "checkers/http2_servers.rs"]
mod http2_servers;
#[path = "checkers/lacks.rs"]
mod lacks;
#[path = "checkers/matrix.rs"]
mod matrix;
#[path = "checkers/rig.rs"]
mod rig;
#[path = "checkers/servers.rs"]
mod servers;
