//! The rules of the house, as tests: who may depend on whom, what a pure file may name, how large a
//! file may grow.

use std::fs;
use std::path::{Path, PathBuf};

/// Files that know no kernel, clock, file, thread or chance. Folders end with a slash.
const PURE: &[&str] = &[
    "src/core/time.rs",
    "src/core/bfd_news.rs",
    "src/core/data_file.rs",
    "src/core/reconcile.rs",
    "src/core/diagnostics/",
    "src/core/config/preprocess",
    "src/core/config/lexer.rs",
    "src/core/config/tree.rs",
    "src/core/config/keywords",
    "src/core/config/pattern.rs",
    "src/core/config/values",
    "src/core/config/model/",
    "src/core/config/build/",
    "src/core/config/diff.rs",
    "src/core/supervisor/respawn.rs",
    "src/vrrp/packet/",
    "src/vrrp/router",
    "src/vrrp/sync_group.rs",
    "src/vrrp/priority.rs",
    "src/vrrp/announce.rs",
    "src/vrrp/losses.rs",
    "src/vrrp/pacer.rs",
    "src/vrrp/engine",
    "src/vrrp/event.rs",
    "src/vrrp/desired.rs",
    "src/vrrp/statistics.rs",
    "src/vrrp/status.rs",
    "src/vrrp/json.rs",
    "src/vrrp/mib/instances.rs",
    "src/vrrp/mib/notifications.rs",
    "src/vrrp/mib/rfc",
    "src/vrrp/mib/routes.rs",
    "src/vrrp/mib/rules.rs",
    "src/vrrp/mib/tracked.rs",
    "src/bfd/packet.rs",
    "src/bfd/session",
    "src/bfd/engine",
    "src/bfd/event.rs",
    "src/bfd/inheritance.rs",
    "src/check/health.rs",
    "src/check/marks.rs",
    "src/check/places.rs",
    "src/check/virtual_server.rs",
    "src/check/wish.rs",
    "src/check/engine",
    "src/check/event.rs",
    "src/check/mib/notifications.rs",
    "src/check/probe/agent_reply.rs",
    "src/check/probe/answer.rs",
    "src/check/probe/dns_message.rs",
    "src/check/probe/echo.rs",
    "src/check/probe/expect.rs",
    "src/check/probe/grpc_health.rs",
    "src/check/probe/smtp_reply.rs",
    "src/snmp/answer.rs",
    "src/snmp/base.rs",
    "src/snmp/pdu.rs",
    "src/snmp/value.rs",
    "src/snmp/view.rs",
    "src/ipvs/model.rs",
    "src/ipvs/plan.rs",
    "src/ipvs/listing.rs",
];

/// What a pure file must not name.
const IMPURE: &[&str] = &[
    "tokio",
    "nix::",
    "socket2",
    "neli",
    "libc::",
    "std::fs",
    "std::process",
    "std::thread",
    "std::os",
    "std::env",
    "TcpStream",
    "UdpSocket",
    "UnixDatagram",
    "Instant::",
    "SystemTime",
    "rand::",
];

/// A path must not name any of these modules of the crate.
const FORBIDDEN: &[(&str, &[&str])] = &[
    ("src/vrrp/", &["crate::check", "crate::bfd", "crate::core::supervisor::parent"]),
    // Of IPVS, vrrp knows the connection sync daemon and nothing else.
    ("src/vrrp/", &["ipvs::client", "ipvs::model", "ipvs::plan", "ipvs::message", "ipvs::fake"]),
    ("src/check/", &["crate::vrrp", "crate::bfd", "crate::core::supervisor::parent"]),
    (
        "src/bfd/",
        &["crate::vrrp", "crate::check", "crate::ipvs", "crate::core::supervisor::parent"],
    ),
    ("src/ipvs/", &["crate::vrrp", "crate::check", "crate::bfd", "crate::core::supervisor"]),
    ("src/snmp/", &["crate::vrrp", "crate::check", "crate::bfd", "crate::ipvs", "crate::tool"]),
    (
        "src/core/",
        &["crate::vrrp", "crate::check", "crate::bfd", "crate::ipvs", "crate::tool", "crate::snmp"],
    ),
    ("src/tool/", &["crate::vrrp::daemon", "crate::check::daemon", "crate::bfd", "crate::ipvs"]),
];

/// Files that may hold `unsafe`, each block with its reason.
const UNSAFE: &[&str] = &[
    "src/core/linkbeat.rs",
    "src/core/log.rs",
    "src/core/netlink/socket.rs",
    "src/core/notify/script.rs",
    "src/core/runtime.rs",
    "src/core/supervisor/handover.rs",
    "src/vrrp/socket/batch.rs",
];

/// A file is one concept.
const LONGEST: usize = 1000;

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Each file's path from the project's root, and its text without tests and comments.
fn code() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let list: Vec<_> = sources(&root.join("src"))
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(root).unwrap().display().to_string();
            let text = fs::read_to_string(&path).unwrap();
            let text = text.split("#[cfg(test)]").next().unwrap_or_default();
            let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            (name, lines.collect::<Vec<_>>().join("\n"))
        })
        .collect();
    assert!(list.len() > 20, "the sources were not found");
    list
}

fn report(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn pure_files_name_nothing_impure() {
    let mut faults = Vec::new();
    for (name, text) in code() {
        if !PURE.iter().any(|pure| name.starts_with(pure)) {
            continue;
        }
        for word in IMPURE {
            for line in text.lines().filter(|line| line.contains(word)) {
                faults.push(format!("{name}: `{word}` in a pure file: {}", line.trim()));
            }
        }
    }
    report(&faults);
}

#[test]
fn the_rooms_depend_on_one_another_in_one_direction_only() {
    let mut faults = Vec::new();
    for (name, text) in code() {
        for (room, forbidden) in FORBIDDEN {
            for word in forbidden.iter().filter(|_| name.starts_with(room)) {
                if text.contains(word) {
                    faults.push(format!("{name} names {word}"));
                }
            }
        }
    }
    report(&faults);
}

#[test]
fn unsafe_stands_only_where_it_is_listed_and_says_why() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut faults = Vec::new();
    for (name, text) in code() {
        let blocks = text.matches("unsafe {").count();
        if blocks == 0 {
            continue;
        }
        if !UNSAFE.contains(&name.as_str()) {
            faults.push(format!("{name} holds `unsafe` and is not listed"));
        }
        let reasons = fs::read_to_string(root.join(&name)).unwrap().matches("// SAFETY:").count();
        if reasons < blocks {
            faults.push(format!("{name}: {blocks} unsafe blocks, {reasons} reasons"));
        }
    }
    report(&faults);
}

#[test]
fn a_file_is_one_concept() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut faults = Vec::new();
    for (name, _) in code() {
        // A table is data.
        if name.contains("keywords/table") {
            continue;
        }
        let lines = fs::read_to_string(root.join(&name)).unwrap().lines().count();
        if lines > LONGEST {
            faults.push(format!("{name} has {lines} lines"));
        }
        let file = name.rsplit('/').next().unwrap_or_default();
        if ["utils.rs", "util.rs", "helpers.rs", "common.rs", "misc_utils.rs"].contains(&file) {
            faults.push(format!("{name}: a drawer for everything"));
        }
    }
    report(&faults);
}

#[test]
fn nothing_unfinished_is_left() {
    let mut faults = Vec::new();
    for (name, text) in code() {
        for word in ["todo!", "unimplemented!", "dbg!(", "(being built)"] {
            if text.contains(word) {
                faults.push(format!("{name}: {word}"));
            }
        }
    }
    report(&faults);
}
