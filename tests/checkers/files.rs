//! `FILE_CHECK`: whatever stands in the place of the file.

use std::path::Path;
use std::time::Duration;

use steadfast::core::config::model::track::{FileEffect, TrackFile};
use steadfast::core::track::file::FileTracker;
use tokio::sync::mpsc;

use super::rig::block_on;

/// What the tracker reads; `FILE_CHECK` of weight 0 takes the server out unless it is 0.
fn number_of(path: &Path) -> i64 {
    let file = TrackFile {
        name: "f".into(),
        path: path.display().to_string(),
        effect: FileEffect::FaultUnlessZero,
        initial: None,
    };
    block_on(async {
        let (results, mut inbox) = mpsc::channel(4);
        let mut tracker = FileTracker::new(results);
        tracker.set(&[file]);
        let change = tokio::time::timeout(Duration::from_secs(10), inbox.recv()).await;
        change.expect("a number in time").unwrap().value
    })
}

#[test]
fn every_manner_of_a_file_is_a_number_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for (name, text) in [("up", "0\n"), ("down", "1\n"), ("garbage", "\u{0}x\u{7f}"), ("empty", "")]
    {
        std::fs::write(path(name), text).unwrap();
    }
    std::fs::write(path("words"), "17 and more").unwrap();
    std::fs::write(path("beyond"), "9".repeat(40)).unwrap();
    // Hundreds of megabytes, of which the first bytes count.
    std::fs::write(path("huge"), "5\n").unwrap();
    std::fs::File::options().write(true).open(path("huge")).unwrap().set_len(1 << 29).unwrap();
    std::fs::create_dir(path("folder")).unwrap();
    nix::unistd::mkfifo(&path("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    std::os::unix::fs::symlink("loop", path("loop")).unwrap();
    for (name, number) in [
        ("up", 0),
        ("down", 1),
        ("garbage", 0),
        ("empty", 0),
        ("words", 17),
        ("beyond", i64::MAX),
        ("huge", 5),
        ("folder", 0),
        ("fifo", 0),
        ("loop", 0),
        ("absent", 0),
    ] {
        let found = number_of(&path(name));
        println!("FILE_CHECK {name:<10} {found}");
        assert_eq!(found, number, "{name}");
    }
}
