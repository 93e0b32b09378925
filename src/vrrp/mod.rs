//! (being built)
pub mod daemon;
pub mod socket;
