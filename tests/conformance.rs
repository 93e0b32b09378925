//! Which requirement of VRRP is shown where: by a test that carries its number in its name, by a
//! scenario of the lab; which one is the kernel's part, and which one is not met, on purpose.
//!
//! The requirements are in `conformance.tsv`. The result is a table for people,
//! `target/conformance.md`, made anew by each run (`cargo nextest run --test conformance`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

/// Seen on the wire or in the kernel by a scenario of the lab.
const LAB: &[(&[u16], &str)] = &[
    (&[1, 2, 4, 7, 10, 11, 12], "vrrp-failover: captures judged by tshark's dissector"),
    (&[14, 15], "vrrp-faults, vrrp-failover: links go down and come back"),
    (&[36], "vrrp-hmac: three directors, judged by Python's hmac"),
    (&[120, 124, 158], "vrrp-failover: the address is on one node only"),
    (&[145, 148], "lvs-ha: connections to the virtual address while master"),
    (&[99, 100], "vrrp-faults: frozen nodes; the clock is monotonic"),
    (&[3, 8, 13, 49, 113, 121, 175], "vrrp-interop-ipv6: three nodes, judged by tshark"),
    (&[133], "vrrp-interop-ipv6: a backup's neighbour cache follows the addresses"),
    (&[171], "vrrp-failover: clients follow broadcast requests"),
    (
        &[9, 140, 210, 211, 212, 213, 214, 215],
        "vrrp-vmac: MACs, settings, adoption, removal, membership reports",
    ),
    (&[6], "vrrp-vmac: two routers forward between two networks, and no advert gets to the other"),
    (&[141, 142], "vrrp-vmac: solicitations are answered, the solicited-node group is joined"),
    (&[144], "vrrp-vmac: a client's way to another network is the virtual address"),
    (
        &[177],
        "vrrp-vmac: no question of the kernel's names a virtual address with the physical MAC",
    ),
    (&[178], "vrrp-nexthop: proxy ARP on the virtual interface answers with the virtual MAC"),
    (&[194, 195], "vrrp-vmac: no address is made of a virtual MAC; real addresses have real MACs"),
    (
        &[146, 147],
        "vrrp-accept: refused but for neighbour discovery, with no_accept and in strict mode",
    ),
    (&[197, 198], "config tests and vrrp-interop: twelve instances on one interface"),
    (&[223, 227], "vrrp-notify, named-keepalived: states, dumps, statistics"),
    (
        &[228],
        "snmp-vrrp, snmp-check: KEEPALIVED-MIB, RFC 2787 and RFC 6527, object by object beside keepalived's",
    ),
];

/// What the kernel does, or leaves undone, with what it is given.
const KERNEL: &[(&[u16], &str)] = &[(
    &[190],
    "redirects are the kernel's: from the virtual address where `icmp_errors_use_inbound_ifaddr` is set \
         and the way on is by the virtual interface, else from the router's own, which hosts pass over; as \
         with keepalived (vrrp-nexthop)",
)];

/// Not met, and why.
const ON_PURPOSE: &[(&[u16], &str)] = &[
    (
        &[123],
        "a backup that routes forwards what a switch floods to it for the virtual MAC, as with keepalived: \
         a rule against it would have to go before the first announcement of every takeover, and one that \
         stayed would cut the master off",
    ),
    (
        &[70],
        "keepalived sends such lists unless it is strict, and does not look: refused in strict mode \
         only, where the RFC is promised, else told once. To drop them would make two masters",
    ),
    (&[122, 143, 193], "router advertisements are left to radvd, as keepalived does"),
    (
        &[192],
        "what the kernel solicits, for itself and for what it forwards, leaves by the interface beneath with \
         its address and MAC, by its routing table: seen in vrrp-nexthop, and the same of keepalived",
    ),
    (
        &[191],
        "virtual addresses accept traffic unless no_accept or strict mode say otherwise, as with \
         keepalived: IPVS needs it",
    ),
    (
        &[196],
        "optional, and not in keepalived either: a router speaks one version; a reload moves it to the \
         other as master",
    ),
];

/// Not there yet.
const OPEN: &[(&[u16], &str)] = &[];

struct Requirement {
    number: u16,
    level: String,
    what: String,
    section: String,
}

fn requirements() -> Vec<Requirement> {
    let text = include_str!("conformance.tsv");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let fields = lines.map(|line| line.split('\t').map(str::to_owned).collect::<Vec<_>>());
    fields
        .map(|fields| {
            let [number, level, what, section] = fields.try_into().unwrap();
            Requirement { number: number.parse().unwrap(), level, what, section }
        })
        .collect()
}

/// Numbers in the names of test functions: `v_080_…`, `v_090_and_v_092_…`, `v_020_to_v_030_…`.
fn tested() -> BTreeMap<u16, BTreeSet<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found: BTreeMap<u16, BTreeSet<String>> = BTreeMap::new();
    let mut folders = vec![root.join("src"), root.join("tests")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for line in text.lines() {
                let Some(rest) = line.trim_start().strip_prefix("fn v_") else { continue };
                let name = format!("v_{}", rest.split('(').next().unwrap());
                let words: Vec<&str> = name.split('_').collect();
                let numbers: Vec<u16> = words
                    .windows(2)
                    .filter(|pair| pair[0] == "v")
                    .filter_map(|pair| pair[1].parse().ok())
                    .collect();
                assert!(!numbers.is_empty(), "{name}");
                let range = match (words.contains(&"to") && words[2] == "to", numbers.as_slice()) {
                    (true, [first, last, ..]) => (*first..=*last).collect(),
                    _ => numbers,
                };
                let place = path.strip_prefix(root).unwrap().display().to_string();
                for number in range {
                    found.entry(number).or_default().insert(format!("`{name}` ({place})"));
                }
            }
        }
    }
    found
}

fn listed(table: &[(&[u16], &'static str)]) -> BTreeMap<u16, &'static str> {
    table.iter().flat_map(|(numbers, why)| numbers.iter().map(|n| (*n, *why))).collect()
}

#[test]
fn every_requirement_is_shown_somewhere_or_said_why_not() {
    let (tested, requirements) = (tested(), requirements());
    assert!(tested.len() > 50, "the tests were not found: {tested:?}");
    let (lab, kernel) = (listed(LAB), listed(KERNEL));
    let (purpose, open) = (listed(ON_PURPOSE), listed(OPEN));
    let mut faults = Vec::new();
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    let mut rows = String::new();
    for Requirement { number, level, what, section } in &requirements {
        let mut places: Vec<String> =
            tested.get(number).map(|tests| tests.iter().cloned().collect()).unwrap_or_default();
        places.extend(lab.get(number).map(|scenario| format!("lab: {scenario}")));
        let others =
            [("kernel's part", &kernel), ("differs on purpose", &purpose), ("open", &open)];
        let other: Vec<_> = others
            .into_iter()
            .filter_map(|(kind, table)| Some((kind, *table.get(number)?)))
            .collect();
        let kind = match (other.as_slice(), places.as_slice()) {
            ([], []) => {
                faults.push(format!("V-{number:03} is neither shown nor said why not"));
                continue;
            }
            // The kernel's part may have been looked at all the same.
            ([], _) | ([("kernel's part", _)], [_, ..]) => "passes",
            // What is done instead may have a test.
            ([(kind @ "differs on purpose", why)], _) | ([(kind, why)], []) => {
                places.insert(0, (*why).to_owned());
                *kind
            }
            (_, _) => {
                faults.push(format!("V-{number:03} is said to be several things"));
                continue;
            }
        };
        *counts.entry(kind).or_default() += 1;
        let what = what.replace('|', "\\|");
        writeln!(
            rows,
            "| V-{number:03} | {level} | {what} | {section} | {kind} | {} |",
            places.join("; ")
        )
        .unwrap();
    }
    let known: BTreeSet<u16> = requirements.iter().map(|found| found.number).collect();
    assert_eq!(known.len(), requirements.len(), "a number stands twice");
    let tables = [&lab, &kernel, &purpose, &open];
    let named = tables.into_iter().flat_map(BTreeMap::keys).chain(tested.keys());
    for number in named.filter(|number| !known.contains(number)) {
        faults.push(format!("V-{number:03} is not in the list"));
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));

    let sums: Vec<String> = counts.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let table = format!(
        "# VRRP: requirements and where they are shown\n\n{} of {}.\n\n\
         | number | level | requirement | section | result | where, or why not |\n\
         |---|---|---|---|---|---|\n{rows}",
        sums.join(", "),
        requirements.len()
    );
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("conformance.md"), &table).unwrap();
    println!("{table}");
}
