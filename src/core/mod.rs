//! What every process shares.
//!
//! Pure: [`time`], [`diagnostics`], [`config`] (but for reading files), [`reconcile`],
//! [`shared`], [`seldom`], [`bfd_news`]. The rest is
//! rim: it talks to the kernel, to children and to people. Start with [`config`] for what a file
//! means, with [`supervisor`] for how the processes live.

pub mod bfd_news;
pub mod config;
pub mod data_file;
pub mod diagnostics;
pub mod file_limit;
pub mod iproute;
pub mod key_files;
pub mod linkbeat;
pub mod log;
pub mod netlink;
pub mod notify;
pub mod receive_buffer;
pub mod reconcile;
pub mod runtime;
pub mod saved;
pub mod seldom;
pub mod shared;
pub mod supervisor;
pub mod time;
pub mod track;
