//! What virtual routers watch: [`script`] runs `vrrp_script`s at their intervals, [`file`] reads the
//! numbers in files, [`process`] counts processes, [`bfd`]
//! hears of sessions.

pub mod bfd;
pub mod file;
pub mod process;
pub mod script;
