//! Runs one scenario of the lab and shows what it said.

use std::path::Path;
use std::process::Command;

/// Runs `tests/lab/run NAME` with the program of this build.
///
/// Without `STEADFAST_LAB=1` it says loudly that it was skipped: these scenarios need root and take
/// minutes. The scenario has a deadline of its own and cleans up after itself however it ends.
///
/// # Panics
/// If the scenario failed; its output is shown above, its artefacts are in `lab-artefacts/NAME`.
pub fn scenario(name: &str) {
    if std::env::var_os("STEADFAST_LAB").is_none_or(|value| value != "1") {
        eprintln!("SKIPPED: {name} (set STEADFAST_LAB=1, as root, or use `make test`)");
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(root.join("tests/lab/run"));
    command.arg(name).current_dir(root);
    if std::env::var_os("LAB_DAEMON").is_none() {
        command.env("LAB_DAEMON", env!("CARGO_BIN_EXE_steadfast"));
    }
    let status = command.status().expect("tests/lab/run can be started");
    assert!(status.success(), "{name}: {status}; see lab-artefacts/{name}");
}
