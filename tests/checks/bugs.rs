//! Faults that users of keepalived and of its neighbours met in checks and the IPVS table, each with
//! the test that would find it here. Those of VRRP stand with VRRP.

use std::path::Path;

use steadfast::check::engine::{CheckEngine, Input};
use steadfast::core::time::Timestamp;
use steadfast::ipvs::model::Table;

use super::rig::{Kernel, Rig, read};

/// keepalived's commit or issue, what went wrong, file and name of a test.
const FAULTS: &[(&str, &str, &str, &str)] = &[
    (
        "238bf177",
        "a reload looked for each of 37 000 servers among all of them",
        "tests/checks/bugs.rs",
        "a_reload_of_a_hundred_thousand_servers_is_not_quadratic",
    ),
    (
        "516032ec",
        "lines of a broken block went to the object before it",
        "tests/mutations.rs",
        "three_hundred_mistakes_are_found_where_they_are_and_stay_there",
    ),
    (
        "d2f5e559, PR2362, PR2363",
        "a check whose program was lost was never run again",
        "tests/checks/bugs.rs",
        "every_checker_is_asked_again_and_again_whatever_happens",
    ),
    (
        "b7cb693d",
        "closing a socket blocked for seconds",
        "tests/checks/bugs.rs",
        "no_socket_lingers",
    ),
    (
        "da0291cd",
        "SMTP_CHECK with several hosts never came to rest",
        "tests/checks/bugs.rs",
        "several_hosts_of_one_check_are_asked_once_in_each_interval",
    ),
    (
        "ec984192",
        "a match across two reads wrote beyond its buffer",
        "src/check/probe/answer.rs",
        "an_answer_cut_at_every_byte_says_the_same_as_a_whole_one",
    ),
    (
        "8b98595e, 764d7734, 13c1d5c4, d07d1224, 034a500e",
        "sorry server, inhibit, groups and a reload left or removed the wrong entries",
        "tests/checks/model.rs",
        "the_table_is_right_in_every_state_of_two_servers",
    ),
    (
        "#2720, PR2721",
        "a weight from a program grew without end",
        "src/check/engine/tests.rs",
        "a_dynamic_weight_is_recomputed_never_added_up",
    ),
    (
        "PR2718, 79e3cfb2",
        "a fault that stays filled the log",
        "tests/checks/bugs.rs",
        "a_server_that_stays_dead_is_told_once",
    ),
    (
        "67aba04b",
        "a reload told the FIFO a wrong state",
        "src/check/engine/tests.rs",
        "fifos_and_mails_are_told_of_servers_and_of_the_quorum",
    ),
    (
        "#1018",
        "a table that somebody flushed was not mended",
        "src/check/kernel_table.rs",
        "what_others_change_in_our_part_is_mended_and_theirs_is_left_alone",
    ),
    (
        "#2318, #2253, #2345, #1904",
        "a reload gave dead servers traffic or took it from living ones",
        "tests/checks/reload.rs",
        "each_option_asks_the_kernel_for_what_it_needs_and_keeps_what_is_known",
    ),
    (
        "found here",
        "another name or place of a service forgot who was dead",
        "tests/checks/reload.rs",
        "a_server_that_is_known_elsewhere_is_known",
    ),
    (
        "found here",
        "the verdict on a server that resets at once depended on who was quicker",
        "src/check/probe/plain.rs",
        "a_connection_that_is_reset_at_once_was_one",
    ),
    (
        "#1772, #2361",
        "what a killed process left in the kernel was doubled or lost",
        "tests/checks/bugs.rs",
        "a_process_that_is_killed_at_any_time_has_a_successor_that_finds_its_way",
    ),
    (
        "#2115, #1679, #1637",
        "a server that gives no result at all stayed up",
        "src/check/engine/tests.rs",
        "a_probe_that_never_reports_counts_as_failed",
    ),
    (
        "dpvs 751, dpvs PR891",
        "a reload removed and added what had not changed",
        "src/check/engine/tests.rs",
        "an_unchanged_reload_in_another_order_changes_nothing_and_asks_nobody",
    ),
];

#[test]
fn every_fault_has_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (known_as, what, file, test) in FAULTS {
        let text = std::fs::read_to_string(root.join(file)).unwrap();
        assert!(text.contains(&format!("fn {test}()")), "{known_as} {what}: {file} {test}");
        println!("{known_as}: {what}: {test}");
    }
}

fn service(servers: &str) -> String {
    format!(
        "virtual_server 10.0.0.1 80 {{\nlb_algo rr\nlb_kind NAT\nprotocol TCP\ndelay_loop 10\n{servers}}}\n"
    )
}

fn checked(last: u8, check: &str) -> String {
    format!("real_server 10.1.0.{last} 80 {{\n{check}\n}}\n")
}

const TCP: &str = "TCP_CHECK {\nconnect_timeout 3\n}";

#[test]
fn a_reload_of_a_hundred_thousand_servers_is_not_quadratic() {
    let mut config = read(&service(&checked(1, TCP))).config.check;
    let servers = &mut config.virtual_servers[0].real_servers;
    let one = servers.pop().unwrap();
    for number in 0..100_000u32 {
        let mut server = one.clone();
        server.address.set_ip(std::net::Ipv4Addr::from_bits(0x0a10_0000 + number).into());
        servers.push(server);
    }
    let mut engine = CheckEngine::new(Timestamp::ZERO, &config, &Table::new(), 1);
    let mut after = config.clone();
    after.virtual_servers[0].real_servers.reverse();
    after.virtual_servers[0].real_servers[7].weight = 9;
    let begun = std::time::Instant::now();
    engine.handle(Timestamp::ZERO, Input::Reconfigure(Box::new(after)));
    let taken = begun.elapsed();
    println!("{taken:?}");
    // A second without optimisation; were each looked for among all others, minutes.
    assert!(taken < std::time::Duration::from_secs(20), "{taken:?}");
    assert_eq!(engine.services()[0].servers.len(), 100_000);
}

/// Servers die, fall silent and come back, reloads come between: after every turn each checker has
/// been asked within the longest time that its own limits allow.
#[test]
fn every_checker_is_asked_again_and_again_whatever_happens() {
    let texts: Vec<String> = [3u8, 4, 2]
        .iter()
        .map(|servers| {
            let all: Vec<String> = (1..=*servers).map(|last| checked(last, TCP)).collect();
            service(&all.concat())
        })
        .collect();
    let mut chance = 12_345u32;
    let mut pick = |below: u32| {
        chance = chance.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (chance >> 16) % below
    };
    let mut rig = Rig::new(&texts[0]);
    for turn in 0..3000 {
        let address = format!("10.1.0.{}", pick(4) + 1);
        match pick(5) {
            0 => rig.kill(&address),
            1 => rig.revive(&address),
            2 => drop(rig.silent.insert(format!("[{address}]:"))),
            3 => rig.silent.clear(),
            _ => rig.reload(&texts[usize::try_from(pick(3)).unwrap()]),
        }
        rig.run(u64::from(pick(4)));
        if turn % 10 == 0 {
            rig.seen.probes.clear();
            // Interval, connection, and the margin after which a silent probe is given up.
            rig.run(10 + 3 + 5 + 1);
            for (meaning, checker) in rig.checkers() {
                assert!(rig.seen.probes.contains_key(&checker.id), "turn {turn}: {meaning}");
            }
        }
    }
}

#[test]
fn several_hosts_of_one_check_are_asked_once_in_each_interval() {
    let hosts = [
        "",
        "host {\n}",
        "host {\nconnect_ip 10.1.0.5\n}\nhost {\nconnect_ip 10.1.0.6\n}",
        "host {\nconnect_port 26\n}\nhost {\nconnect_port 26\n}",
    ];
    for hosts in hosts {
        let check = format!("SMTP_CHECK {{\nwarmup 0\n{hosts}\n}}");
        let mut rig = Rig::new(&service(&checked(1, &check)));
        rig.run(100);
        let asked: Vec<usize> = rig.seen.probes.values().copied().collect();
        assert!(
            !asked.is_empty() && asked.iter().all(|count| (10..=11).contains(count)),
            "{asked:?}"
        );
    }
}

#[test]
fn a_server_that_stays_dead_is_told_once() {
    let mut rig = Rig::new(&service(&(checked(1, TCP) + &checked(2, TCP))));
    rig.run(60);
    rig.kill("10.1.0.1");
    rig.seen.lines.clear();
    rig.run(100_000);
    let told = rig.seen.lines.iter().filter(|line| line.contains("Removing")).count();
    assert_eq!(told, 1, "{:?}", rig.seen.lines);
}

/// Killed before or after each single request to the kernel: the successor adopts what is there, and
/// a server that is dead gets no traffic from it.
#[test]
fn a_process_that_is_killed_at_any_time_has_a_successor_that_finds_its_way() {
    let text = service(&(1..=3).map(|last| checked(last, TCP)).collect::<String>());
    let mut first = Rig::new(&text);
    let whole = first.operations();
    first.kill("10.1.0.2");
    first.run(60);
    let removal = first.operations();
    let all = [whole, removal].concat();
    for cut in 0..=all.len() {
        let kernel = Kernel::default();
        for operation in &all[..cut] {
            steadfast::ipvs::fake::apply(&mut kernel.0.borrow_mut().table, operation).unwrap();
        }
        let mut rig = Rig::over(&text, kernel);
        rig.kill("10.1.0.2");
        rig.run(60);
        assert_eq!(rig.weights(), [("10.1.0.1".into(), 1), ("10.1.0.3".into(), 1)], "{cut}");
        if cut == all.len() {
            assert_eq!(rig.operations(), [], "it was all there");
        }
    }
}

/// A socket that lingers makes its owner wait in `close`.
#[test]
fn no_socket_lingers() {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            assert!(!code.contains("linger"), "{}", path.display());
        }
    }
}
