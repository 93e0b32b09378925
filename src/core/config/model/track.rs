//! What instances and real servers watch besides interfaces and scripts: files, processes, groups.

use serde::{Deserialize, Serialize};

use super::vrrp::TrackEffect;
use crate::core::time::Interval;

/// A `track_file`: a file whose number is a status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackFile {
    /// Its name where it is tracked.
    pub name: String,
    /// The file.
    pub path: String,
    /// `weight`, for lines that give none.
    pub effect: FileEffect,
    /// `init_file`: what to write at the start.
    pub initial: Option<InitialFile>,
}

/// What the number in a file does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum FileEffect {
    /// Weight 0: FAULT while it is not 0.
    FaultUnlessZero,
    /// Weight 0 `reverse`: FAULT while it is 0.
    FaultIfZero,
    /// The number times this is added to the priority or weight; `reverse` is worked in by
    /// negation. -254..=254, never 0.
    Times(i16),
}

/// `init_file`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitialFile {
    /// The number.
    pub value: i32,
    /// `overwrite`: also when there is a file already.
    pub overwrite: bool,
}

/// One line of a `track_file` block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackedFile {
    /// Name of a [`TrackFile`].
    pub name: String,
    /// What it does: the line's weight, else the file's.
    pub effect: FileEffect,
}

/// A `vrrp_track_process`: processes that are counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackProcess {
    /// Its name where it is tracked.
    pub name: String,
    /// The program, as the kernel names it or, with `full_command`, as it was started.
    pub command: String,
    /// Its parameters, when they count.
    pub parameters: Vec<String>,
    /// `param_match`; `None`: parameters do not count.
    pub parameter_match: Option<ParameterMatch>,
    /// `full_command`: compare with the whole command line instead of the kernel's short name.
    pub full_command: bool,
    /// `weight`.
    pub effect: TrackEffect,
    /// `quorum`: how many there must be.
    pub quorum: u32,
    /// `quorum_max`: how many there may be.
    pub quorum_max: Option<u32>,
    /// `terminate_delay`: before a lost quorum counts.
    pub terminate_delay: Interval,
    /// `fork_delay`: before a gained quorum counts.
    pub fork_delay: Interval,
}

/// `param_match`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ParameterMatch {
    /// All parameters and no others.
    Exact,
    /// `initial`: the first ones.
    Initial,
    /// `partial`: the first ones, the last of them by its beginning.
    Partial,
}

/// One line of a `track_process` or `track_bfd` block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tracked {
    /// Name of the object.
    pub name: String,
    /// What it does: the line's weight, else the object's.
    pub effect: TrackEffect,
}

/// A `track_group`: instances that track the interfaces of static entries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackGroup {
    /// Its name in static entries.
    pub name: String,
    /// Names of instances; only of existing ones, at least one.
    pub members: Vec<String>,
}
