//! Which requirement of VRRP is shown where: by a test that carries its number in its name, by a
//! scenario of the lab, or not yet, and why.
//!
//! The numbers are those of our list of testable requirements of RFC 3768, RFC 5798 and RFC 9568.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// First and last number of each section of the list.
const ITEMS: &[(u16, u16)] = &[
    (1, 15),
    (20, 36),
    (40, 50),
    (60, 80),
    (90, 101),
    (110, 113),
    (120, 133),
    (140, 158),
    (170, 179),
    (190, 199),
    (210, 216),
    (220, 229),
];

/// Seen on the wire or in the kernel by a scenario of the lab.
const LAB: &[(&[u16], &str)] = &[
    (&[1, 2, 4, 7, 10, 11, 12], "vrrp-failover: captures judged by tshark's dissector"),
    (&[14, 15], "vrrp-faults, vrrp-failover: links go down and come back"),
    (&[120, 124, 158], "vrrp-failover: the address is on one node only"),
    (&[145, 148], "lvs-ha: connections to the virtual address while master"),
    (&[99, 100], "vrrp-faults: frozen nodes; the clock is monotonic"),
    (&[3, 8, 13, 49, 113, 121, 175], "vrrp-interop-ipv6: three nodes, judged by tshark"),
    (&[171], "vrrp-failover: clients follow broadcast requests"),
    (&[9, 140, 210, 211, 212, 213, 215], "vrrp-vmac: MACs, settings, adoption, removal"),
    (
        &[146, 147],
        "vrrp-accept: refused but for neighbour discovery, with no_accept and in strict mode",
    ),
    (&[197, 198], "config tests and vrrp-interop: twelve instances on one interface"),
    (&[223, 227], "vrrp-notify, named-keepalived: states, dumps, statistics"),
];

/// For the issue that completes VRRP.
const LEFT: &[(&[u16], &str)] = &[
    (&[141, 142], "the kernel's part: answers solicitations, joins the solicited-node group"),
    (&[70], "the first address of an IPv6 advert is not checked on receipt, as in keepalived"),
    (
        &[123, 144, 177, 178, 192],
        "virtual MAC, the kernel's part: forwarding; own ARP requests carry the physical MAC, as in keepalived",
    ),
    (&[214], "virtual MAC: the rule for membership reports is there, their way is not looked at"),
    (&[6, 133], "the kernel's part: link-local groups are not forwarded, neighbour caches learn"),
    (&[122, 143, 193], "router advertisements are left to radvd, as keepalived does"),
    (&[191, 194], "accept mode: virtual addresses accept traffic, as keepalived's default"),
    (&[190, 195], "the kernel's and the operator's part: redirects, management addresses"),
    (&[48, 50], "one family for each instance, in the order of the file: by construction"),
    (&[78], "IP options: the socket's tests; fragments are the kernel's"),
    (&[101], "ranges: the configuration's tests"),
    (&[157], "equal priorities of several backups: to be told by the linter"),
    (&[196], "version 2 and 3 at once: not in keepalived either"),
    (&[199], "255 instances on one interface: a measurement"),
    (&[228], "SNMP"),
    (&[35], "no authentication in version 3: the configuration's tests"),
];

fn items() -> BTreeSet<u16> {
    ITEMS.iter().flat_map(|(first, last)| *first..=*last).collect()
}

/// Numbers in the names of test functions: `v_080_…`, `v_090_and_v_092_…`, `v_020_to_v_030_…`.
fn tested() -> BTreeMap<u16, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/vrrp");
    let mut found = BTreeMap::new();
    let mut folders = vec![root];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
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
                for number in range {
                    found.insert(number, name.clone());
                }
            }
        }
    }
    found
}

#[test]
fn every_requirement_is_shown_somewhere_or_said_to_be_left() {
    let tested = tested();
    assert!(tested.len() > 50, "the tests were not found: {tested:?}");
    let listed = |table: &[(&[u16], &'static str)]| -> BTreeMap<u16, &'static str> {
        table.iter().flat_map(|(numbers, why)| numbers.iter().map(|n| (*n, *why))).collect()
    };
    let (lab, left) = (listed(LAB), listed(LEFT));
    let mut faults = Vec::new();
    for item in items() {
        let line = match (tested.get(&item), lab.get(&item), left.get(&item)) {
            (Some(test), _, None) => format!("test       {test}"),
            (None, Some(scenario), None) => format!("lab        {scenario}"),
            (None, None, Some(why)) => format!("left       {why}"),
            (Some(_), _, Some(_)) | (_, Some(_), Some(_)) => {
                faults.push(format!("V-{item:03} is shown, and said to be left"));
                continue;
            }
            (None, None, None) => {
                faults.push(format!("V-{item:03} is neither shown nor said to be left"));
                continue;
            }
        };
        println!("V-{item:03}  {line}");
    }
    for number in lab.keys().chain(left.keys()).chain(tested.keys()) {
        if !items().contains(number) {
            faults.push(format!("V-{number:03} is not in the list"));
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}
