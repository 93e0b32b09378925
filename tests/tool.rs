//! `steadfast config` over real configurations.
//!
//! The files are not part of the project; `STEADFAST_CORPUS` names their folder. Without it the tests
//! say that they are skipped.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use steadfast::core::config::compile::compile;
use steadfast::core::config::parse;
use steadfast::core::config::source::{LoadOptions, SourceSet};
use steadfast::tool::{diff, dump};

/// Where a file lies, and with it what it includes.
struct Staged {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

fn corpus() -> Vec<Staged> {
    let Some(folder) = std::env::var_os("STEADFAST_CORPUS").map(PathBuf::from) else {
        eprintln!("SKIPPED: no corpus of real configurations (set STEADFAST_CORPUS)");
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "conf"))
        .collect();
    files.sort();
    assert!(files.len() > 50, "the corpus was not found");
    files.iter().map(|file| stage(file)).collect()
}

fn stage(file: &Path) -> Staged {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(file.file_name().unwrap());
    std::fs::copy(file, &path).unwrap();
    let extra = file.with_extension("extra");
    if extra.is_dir() {
        let copied = Command::new("cp").arg("-r").arg(extra.join(".")).arg(folder.path()).status();
        assert!(copied.unwrap().success());
    }
    Staged { _folder: folder, path }
}

fn load(path: &Path) -> SourceSet {
    SourceSet::load(path, &LoadOptions::default()).unwrap()
}

fn text_of(sources: &SourceSet) -> String {
    dump::tree(&parse(sources).tree, false)
}

#[test]
fn a_dump_of_a_dump_is_the_same_and_means_the_same() {
    for staged in corpus() {
        let sources = load(&staged.path);
        let once = text_of(&sources);
        let dumped = staged.path.with_extension("dumped");
        std::fs::write(&dumped, &once).unwrap();
        let again = load(&dumped);
        assert_eq!(text_of(&again), once, "{}", staged.path.display());
        let difference = diff::difference(&compile(&sources).config, &compile(&again).config);
        assert_eq!(difference, "", "{}", staged.path.display());
    }
}

/// The exit status of the real keepalived's config test; `None` when it hangs or kills itself.
fn keepalived(path: &Path) -> Option<i32> {
    let mut child = Command::new("keepalived")
        .arg("-t")
        .arg("-f")
        .arg(path)
        .current_dir(path.parent().unwrap())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        if Instant::now() > until {
            child.kill().unwrap();
            child.wait().unwrap();
            return None;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Round trip through the original: what is dumped gets the same verdict as what was read.
#[test]
fn the_real_keepalived_judges_a_dump_as_it_judges_the_file() {
    if Command::new("keepalived").arg("-v").output().is_err() {
        return eprintln!("SKIPPED: keepalived is not installed");
    }
    let (mut same, mut different) = (0, Vec::new());
    for staged in corpus() {
        let dumped = staged.path.with_extension("dumped");
        std::fs::write(&dumped, text_of(&load(&staged.path))).unwrap();
        let (file, dump) = (keepalived(&staged.path), keepalived(&dumped));
        let name = staged.path.file_name().unwrap().to_string_lossy().into_owned();
        // A lost brace is repaired in the dump, so that keepalived finds the scripts behind it.
        let repaired = name == "169-issue-1139.conf" && (file, dump) == (Some(5), Some(6));
        if file == dump || file.is_none() || repaired {
            same += 1;
        } else {
            different.push(format!("{name}: {file:?}, its dump {dump:?}"));
        }
    }
    eprintln!("{same} the same");
    assert!(different.is_empty(), "{different:#?}");
}
