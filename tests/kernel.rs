//! Scenarios on a real IPVS kernel: user-mode Linux, with hosts as network namespaces in it
//! (`tests/lab`).
//!
//! They need root and user-mode Linux (`tests/lab/deps`), and take minutes; so they run only with
//! `STEADFAST_LAB=1` in the environment, as `make test` sets it.

#[path = "lab/driver.rs"]
mod lab;

use lab::scenario;

#[test]
fn nat_direct_routing_and_tunnels_carry_real_http() {
    scenario("lvs-modes");
}

#[test]
fn sorry_server_quorum_inhibit_persistence_fwmark_udp_and_ipv6() {
    scenario("lvs-services");
}

#[test]
fn instances_run_within_a_vrf_and_virtual_macs_join_it() {
    scenario("vrrp-vrf");
}

#[test]
fn a_reload_is_exactly_the_operations_that_differ() {
    scenario("lvs-reload");
}

#[test]
fn a_killed_check_child_leaves_the_table_and_the_traffic_alone() {
    scenario("lvs-children");
}

#[test]
fn the_master_killed_under_load_is_replaced() {
    scenario("lvs-ha");
}

#[test]
fn the_connection_sync_daemon_follows_the_instance() {
    scenario("lvs-sync");
}

#[test]
fn the_systemd_unit_starts_reloads_restarts_and_stops() {
    scenario("systemd-unit");
}

#[test]
fn servers_go_and_come_with_their_bfd_sessions() {
    scenario("lvs-bfd");
}

#[test]
fn servers_and_services_are_told_to_fifos_and_by_mail() {
    scenario("lvs-tell");
}

#[test]
fn services_begin_as_keepaliveds_and_tell_the_same_of_it() {
    scenario("lvs-begin");
}

#[test]
fn each_checker_judges_each_manner_of_a_server_as_keepalived_or_for_a_reason() {
    scenario("lvs-checkers");
}

#[test]
fn answers_that_never_end_are_judged_in_time_and_in_bounded_memory() {
    scenario("lvs-checkers-huge");
}

#[test]
fn every_forwarding_family_protocol_and_scheduler_carries_requests() {
    scenario("lvs-forwarding");
}

/// `drain_time` and `slow_start`.
#[test]
fn a_server_that_is_taken_out_drains_and_one_that_comes_back_starts_slowly() {
    scenario("lvs-drain");
}

/// `net_namespace_ipvs`.
#[test]
fn the_table_is_made_in_the_namespace_that_it_belongs_to() {
    scenario("lvs-namespace");
}

/// `AGENT_CHECK`, and `MISC_CHECK` with `expect`.
#[test]
fn what_an_agent_or_a_program_says_becomes_the_weight_of_its_server() {
    scenario("lvs-agent");
}

/// `GRPC_CHECK`, and `HTTP_GET` with `http_protocol 2`.
#[test]
fn what_the_health_service_of_grpc_says_decides_of_its_server() {
    scenario("lvs-grpc");
}

/// `GRPC_CHECK` beside the gRPC library.
#[test]
fn servers_of_the_real_grpc_library_are_judged_by_what_they_say() {
    scenario("lvs-grpc-library");
}

#[test]
fn what_the_kernel_refuses_is_told_in_words_and_stops_nothing_else() {
    scenario("lvs-refused");
}

#[test]
fn services_servers_and_their_figures_are_shown_over_snmp_as_by_keepalived() {
    scenario("snmp-check");
}

#[test]
fn the_data_file_of_services_has_keepalived_s_lines_in_its_order() {
    scenario("lvs-data");
}
