//! Scenarios with hosts as network namespaces on this machine's kernel (`tests/lab`).
//!
//! They need root, tcpdump, tshark and the real keepalived (`tests/lab/deps`), and take minutes; so
//! they run only with `STEADFAST_LAB=1` in the environment, as `make test` sets it.

#[path = "lab/driver.rs"]
mod lab;

use lab::scenario;

#[test]
fn two_directors_fail_over_and_back() {
    scenario("vrrp-failover-2");
}

#[test]
fn three_directors_fail_over_and_back() {
    scenario("vrrp-failover-3");
}

#[test]
fn five_directors_fail_over_and_back_in_version_3() {
    scenario("vrrp-failover-5");
}

#[test]
fn the_real_keepalived_as_one_of_three_in_every_role() {
    scenario("vrrp-interop");
}

#[test]
fn the_real_keepalived_as_one_of_three_in_every_role_behind_authentication_headers() {
    scenario("vrrp-interop-ah");
}

#[test]
fn the_real_keepalived_as_one_of_three_in_every_role_over_ipv6() {
    scenario("vrrp-interop-ipv6");
}

/// IPv4 and IPv6, versions 2 and 3, multicast and unicast, with and without virtual MACs.
#[test]
fn every_kind_of_instance_beside_the_real_keepalived_has_one_master() {
    scenario("vrrp-matrix");
}

#[test]
fn every_kind_of_instance_beside_vrrpd_of_frr_has_one_master() {
    scenario("vrrp-frr");
}

#[test]
fn keyed_trailers_are_right_rotate_and_are_believed_once() {
    scenario("vrrp-hmac");
}

#[test]
fn files_and_processes_move_priorities_or_cause_fault() {
    scenario("vrrp-track");
}

#[test]
fn interfaces_of_addresses_routes_and_rules_count_as_with_keepalived() {
    scenario("vrrp-needs");
}

#[test]
fn what_no_keyword_names_is_as_with_keepalived() {
    scenario("vrrp-alike");
}

#[test]
fn flapping_links_missing_sources_and_late_timers_are_treated_as_configured() {
    scenario("vrrp-words");
}

/// keepalived and FRR's bfdd, IPv4 and IPv6.
#[test]
fn bfd_sessions_with_other_implementations_come_up_and_notice_cuts() {
    scenario("bfd-interop");
}

#[test]
fn bfd_sessions_over_a_router_come_up_as_far_as_max_hops_allows() {
    scenario("bfd-multihop");
}

#[test]
fn a_lost_bfd_session_moves_the_address_within_the_detection_time() {
    scenario("bfd-track");
}

#[test]
fn virtual_macs_come_and_go_with_the_daemon_and_move_with_the_address() {
    scenario("vrrp-vmac");
}

/// V-178, V-190, V-192: proxy ARP, redirects and solicitations, beside keepalived.
#[test]
fn hosts_learn_from_their_next_hop_what_keepalived_s_kernel_would_tell_them() {
    scenario("vrrp-nexthop");
}

/// V-216: switches learn where the virtual MAC of an address on another interface is.
#[test]
fn addresses_on_other_interfaces_have_virtual_macs_and_are_announced_as_by_keepalived() {
    scenario("vrrp-announce");
}

/// Links that go, come and are renamed by chance, under a seed, and what somebody else removes.
#[test]
fn routers_are_in_fault_for_as_long_as_a_reason_holds_and_the_kernel_has_what_they_want() {
    scenario("vrrp-links");
}

/// Groups of services by firewall marks (`nftables_ipvs`).
#[test]
fn packets_to_groups_of_services_are_marked() {
    scenario("lvs-marks");
}

/// V-146: a router that does not accept for its addresses.
#[test]
fn addresses_that_are_not_accepted_for_are_refused_by_the_firewall() {
    scenario("vrrp-accept");
}

/// V-080: a rejected packet touches no timer.
#[test]
fn hostile_version_2_adverts_disturb_no_master() {
    scenario("vrrp-reject-v2");
}

/// V-080: a rejected packet touches no timer.
#[test]
fn hostile_version_3_adverts_disturb_no_master() {
    scenario("vrrp-reject-v3");
}

#[test]
fn killed_processes_leave_nothing_behind() {
    scenario("vrrp-children");
}

#[test]
fn a_reload_changes_only_what_differs() {
    scenario("vrrp-reload");
}

#[test]
fn routes_and_rules_go_with_the_master_and_static_ones_stand() {
    scenario("vrrp-routes");
}

#[test]
fn notify_scripts_run_with_the_arguments_and_order_of_keepalived() {
    scenario("vrrp-notify");
}

/// The same configuration as the real keepalived's; an agent that is killed, and one that hangs.
#[test]
fn a_walk_over_snmp_and_its_notifications_are_those_of_keepalived() {
    scenario("snmp-vrrp");
}

#[test]
fn the_data_file_of_instances_has_keepalived_s_lines_in_its_order() {
    scenario("vrrp-data");
}

#[test]
fn one_way_cuts_and_a_frozen_master_end_with_one_master() {
    scenario("vrrp-faults");
}

#[test]
fn started_as_keepalived_it_looks_like_keepalived() {
    scenario("named-keepalived");
}

#[test]
fn a_kernel_without_ipvs_does_not_stop_vrrp() {
    scenario("no-ipvs");
}

#[test]
fn fifos_get_the_lines_of_keepalived() {
    scenario("vrrp-tell");
}
