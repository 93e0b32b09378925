//! (being built)
pub mod daemon;
