//! The ranges of numbers, tried out on the real keepalived.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};

use super::{Row, rows};

/// Numbers around the limits that programs have.
const NUMBERS: &[&str] = &[
    "-1",
    "0",
    "0.001",
    "0.5",
    "1",
    "2",
    "100",
    "256",
    "3600",
    "4295",
    "65536",
    "4294968",
    "2147483648",
    "4294967295",
    "4294967296",
];

/// Who takes a number that the other one complains of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Taken {
    Here,
    There,
}
use Taken::{Here, There};

/// Last part of the block, word, who takes more, and why that is left so.
const KNOWN: &[(&str, &str, Taken, &str)] = &[
    (
        "garp_group",
        "garp_interval",
        Here,
        "above half an hour; the other limit is one of a signed number",
    ),
    ("garp_group", "gna_interval", Here, "as garp_interval"),
    ("bfd_instance", "min_rx", There, "a warning only, as 2.4.3 gives it"),
    ("bfd_instance", "min_tx", There, "a warning only, as 2.4.3 gives it"),
    ("bfd_instance", "idle_tx", There, "a warning only, as 2.4.3 gives it"),
    ("route_line", "table", There, "-1 is no table"),
    ("route_line", "rto_min", There, "what the kernel takes at least"),
    ("rule_line", "table", There, "-1 is no table"),
    ("rule_line", "UNKNOWN", There, "-1 is no table"),
    ("rule_line", "suppress_ifgroup", Here, "a number of 32 bits"),
    ("rule_line", "suppress_ifgroup", There, "more than 32 bits"),
    ("vrrp_script", "interval", Here, "fractions, as in 2.4.3"),
    ("vrrp_script", "timeout", Here, "fractions, as in 2.4.3"),
    ("vrrp_script", "rise", Here, "a number of 32 bits"),
    ("vrrp_script", "fall", Here, "a number of 32 bits"),
    ("vrrp_instance", "use_vmac", There, "not a name of a group"),
    ("vrrp_instance", "garp_lower_prio_repeat", Here, "a number of 32 bits"),
    ("global_defs", "vrrp_garp_lower_prio_repeat", Here, "a number of 32 bits"),
    ("unicast_peer", "PEER_ENTRY", Here, "all packets would be thrown away: seen by `config lint`"),
    ("global_defs", "smtp_server", Here, "a number may be a host's name"),
    (
        "global_defs",
        "vrrp_cpu_affinity",
        Here,
        "whether there is such a processor is seen at the start",
    ),
    ("global_defs", "checker_cpu_affinity", Here, "as vrrp_cpu_affinity"),
    ("global_defs", "bfd_cpu_affinity", Here, "as vrrp_cpu_affinity"),
    ("virtual_server_group", "ADDRESS_ENTRY", There, "port 0, an error in 2.4.3"),
    ("virtual_server", "sorry_server", There, "port 0, an error in 2.4.3"),
    ("MISC_CHECK", "misc_timeout", Here, "fractions, and as long as delay_loop"),
    ("url", "regex_min_offset", There, "not a number"),
    ("url", "regex_max_offset", There, "not a number"),
    ("url", "regex_stack", There, "not a number, or a stack that begins above its limit"),
];

/// What keepalived says of a file, its own noise left out.
fn judged(text: &str) -> BTreeSet<String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let output = Command::new("keepalived")
        .args(["-t", "-f"])
        .arg(file.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let lines = String::from_utf8_lossy(&output.stderr).into_owned();
    let name = file.path().display().to_string();
    lines.lines().map(|line| line.replace(&name, "")).collect()
}

#[test]
fn numbers_are_taken_where_the_real_keepalived_takes_them() {
    if std::env::var_os("STEADFAST_LAB").is_none() {
        eprintln!("SKIPPED: set STEADFAST_LAB=1");
        return;
    }
    let rows = rows();
    let mut known: BTreeMap<(&str, &str, Taken), bool> =
        KNOWN.iter().map(|(block, word, taken, _)| ((*block, *word, *taken), false)).collect();
    let mut differences = Vec::new();
    for row in &rows {
        let mut words: Vec<&str> = row.good.split(' ').collect();
        let last = words.pop().unwrap();
        if last.parse::<f64>().is_err() {
            continue;
        }
        let line = |number: &str| [words.as_slice(), &[number]].concat().join(" ");
        let theirs_of = |number: &str| judged(&row.text(&line(number)));
        let fine = theirs_of(last);
        if fine.iter().any(|line| line.contains("nknown keyword")) {
            continue;
        }
        let ours_fine = ours(row, &line(last));
        for number in NUMBERS {
            let theirs = theirs_of(number);
            let theirs: Vec<&String> = theirs.difference(&fine).collect();
            let ours = ours(row, &line(number));
            let ours: Vec<&String> = ours.difference(&ours_fine).collect();
            let taken = match (ours.is_empty(), theirs.is_empty()) {
                (true, false) => Here,
                (false, true) => There,
                (true, true) | (false, false) => continue,
            };
            let block = row.block.rsplit('/').next().unwrap();
            match known.get_mut(&(block, row.word.as_str(), taken)) {
                Some(seen) => *seen = true,
                None => {
                    differences
                        .push(format!("{block} {}: {number}: {ours:?} {theirs:?}", row.word));
                }
            }
        }
    }
    let unseen: Vec<_> = known.iter().filter(|(_, seen)| !**seen).map(|(key, _)| key).collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(unseen.is_empty(), "these differences are gone: {unseen:?}");
}

fn ours(row: &Row, line: &str) -> BTreeSet<String> {
    row.read(line)
        .diagnostics
        .iter()
        .map(|found| format!("{:?} {}", found.severity, found.message))
        .collect()
}
