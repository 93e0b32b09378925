//! What virtual routers watch: [`script`] runs `vrrp_script`s at their intervals.

pub mod script;
