//! Checks and the IPVS table as a whole: the real engine and plan on a kernel in memory.

#[path = "checks/bugs.rs"]
mod bugs;
#[path = "checks/flapping.rs"]
mod flapping;
#[path = "checks/model.rs"]
mod model;
#[path = "checks/reload.rs"]
mod reload;
#[path = "checks/rig.rs"]
mod rig;
