//! Faults that users of keepalived met in VRRP and around it, each with the test that would find it
//! here. Those of checks and of the IPVS table are in `tests/checks/bugs.rs`.

use std::path::Path;

/// keepalived's commit or issue, what went wrong, file and name of a test or of a lab scenario.
const FAULTS: &[(&str, &str, &str, &str)] = &[
    (
        "516032ec",
        "lines of a broken block went to the object before it",
        "tests/braces.rs",
        "a_brace_too_few_or_too_many_changes_no_other_block",
    ),
    (
        "7e04261d, e15990e1",
        "the tree of running scripts was damaged when one timed out around a reload",
        "src/core/track/script.rs",
        "an_unchanged_script_keeps_its_worker_through_a_reload",
    ),
    (
        "94d40e3b",
        "a script that was still running was started again",
        "src/core/track/script.rs",
        "a_script_that_outlasts_its_interval_never_runs_twice_at_once",
    ),
    (
        "b7cb693d",
        "something slow in the same process delayed adverts",
        "src/vrrp/engine/engine_tests.rs",
        "v_150_and_v_098_adverts_come_each_interval_without_drift",
    ),
    (
        "58483b22, 1056f747, 26074dfc, 0d91c74b, 4a55ebf5",
        "a reload during the startup delay left instances behind, or let them begin too early",
        "src/vrrp/engine/known_fault_tests.rs",
        "a_reload_at_any_moment_of_the_startup_delay_neither_shortens_it_nor_leaves_anyone_behind",
    ),
    (
        "f7c08052, a0e88035",
        "the reasons for FAULT were counted, and the count drifted",
        "src/vrrp/engine/known_fault_tests.rs",
        "a_router_is_in_fault_when_there_is_a_reason_now_and_only_then",
    ),
    (
        "bd7cc2b8",
        "the removal of another prefix of an address was taken for its loss",
        "src/vrrp/engine/known_fault_tests.rs",
        "losing_another_prefix_of_the_same_address_is_not_losing_it",
    ),
    (
        "5769d4a2",
        "script security looked at the link, not at where it leads",
        "src/core/notify/script.rs",
        "links_are_followed_before_a_script_runs_unless_they_are_to_be_kept",
    ),
    (
        "79e3cfb2",
        "rejected packets made old log lines be told again",
        "src/vrrp/engine/known_fault_tests.rs",
        "packets_of_others_do_not_make_an_old_line_be_told_again",
    ),
    (
        "1b0e8c11, 10d8ff6b",
        "with auth_hmac a corrected clock left two masters for good",
        "src/vrrp/engine/hmac_tests.rs",
        "wrong_clocks_that_are_set_right_leave_one_master_within_two_windows",
    ),
    (
        "03d30c5e",
        "padding of a frame was taken for a bad length",
        "src/vrrp/packet/advert.rs",
        "v_063_a_cut_message_is_refused_and_v_064_padding_is_not",
    ),
    (
        "90555872",
        "TTL and source were not looked at when the list of addresses was skipped",
        "src/vrrp/engine/known_fault_tests.rs",
        "whoever_skips_the_list_of_addresses_looks_at_the_rest_all_the_same",
    ),
    (
        "8419149a, aaef636a",
        "two owners of priority 255 were masters for ever",
        "src/vrrp/engine/known_fault_tests.rs",
        "of_two_owners_one_is_left_whoever_begins_and_both_are_told_once",
    ),
    (
        "b2f3b1d5",
        "predefined names of the configuration crashed",
        "src/core/config/preprocess/tests.rs",
        "predefined_names_are_known_and_may_be_redefined",
    ),
    (
        "36f6d9d4",
        "large numbers were cut",
        "tests/parity/numbers.rs",
        "numbers_are_taken_where_the_real_keepalived_takes_them",
    ),
    (
        "7b32ab3c, f7341ee0",
        "an optimising compiler made wrong checksums",
        "src/vrrp/packet/advert.rs",
        "v_020_to_v_030_a_version_2_message_is_these_bytes",
    ),
    (
        "2c4cd3b9",
        "two daemons could start at once",
        "src/core/supervisor/pid_file.rs",
        "a_second_holder_is_refused_until_the_first_is_gone",
    ),
    (
        "d9c5f4ba",
        "the groups of a script's user were not found",
        "src/core/notify/script.rs",
        "a_user_s_other_groups_come_only_when_asked_for",
    ),
    (
        "#2159, #349",
        "a reload dropped addresses that had not changed",
        "src/vrrp/engine/engine_tests.rs",
        "an_unchanged_reload_says_and_changes_nothing",
    ),
    (
        "#542, #2066, #1529",
        "a machine that had slept was a second master",
        "src/vrrp/engine/continuity_tests.rs",
        "after_a_pause_a_master_listens_before_it_speaks",
    ),
    (
        "found in 2.2.7",
        "a rejected packet armed the master's timer anew and silenced it",
        "src/vrrp/engine/engine_tests.rs",
        "v_080_a_rejected_packet_touches_no_timer_of_a_master",
    ),
];

/// The same, by scenarios with real processes and kernels: what one of their checks says.
const SCENARIOS: &[(&str, &str, &str, &str)] = &[
    (
        "7cb09b22, 2103ba27",
        "the pid file of a new process was missing",
        "vrrp-children",
        "child_new d1 vrrp",
    ),
    (
        "67aba04b",
        "a reload told the FIFO a wrong state",
        "vrrp-tell",
        "a reload: where everything is",
    ),
    (
        "#2564, #2479, #1385",
        "what others removed stayed away",
        "vrrp-routes",
        "static entries are put back",
    ),
    (
        "#1772, #2361",
        "what a killed process left stayed in the kernel",
        "vrrp-routes",
        "what the crash left is removed by the next start",
    ),
];

#[test]
fn every_fault_has_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (known_as, what, file, test) in FAULTS {
        let text = std::fs::read_to_string(root.join(file)).unwrap();
        assert!(text.contains(&format!("fn {test}(")), "{known_as} {what}: {file} {test}");
        println!("{known_as}: {what}: {test}");
    }
    for (known_as, what, scenario, check) in SCENARIOS {
        let path = root.join("tests/lab/scenarios").join(format!("{scenario}.sh"));
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.contains(check), "{known_as} {what}: {scenario}: {check}");
        println!("{known_as}: {what}: lab: {scenario}");
    }
}
