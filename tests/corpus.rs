//! Real configurations: none may crash or hang, and the verdict is keepalived's but where a line of
//! `corpus-differences.tsv` says why not.
//!
//! The files are not part of the project; `STEADFAST_CORPUS` names their folder, with an `index.tsv`
//! that holds the exit status of keepalived 2.2.7's config test (interfaces, scripts and users
//! present). Without it the test says that it is skipped.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use steadfast::core::config::compile::compile;
use steadfast::core::config::handed;
use steadfast::core::config::model::Script;
use steadfast::core::config::source::{LoadOptions, SourceSet};
use steadfast::core::config::surroundings;
use steadfast::core::diagnostics::{Diagnostic, Severity, render};

const LIMIT: Duration = Duration::from_secs(5);

fn corpus() -> Option<PathBuf> {
    let folder = std::env::var_os("STEADFAST_CORPUS").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("SKIPPED: no corpus of real configurations (set STEADFAST_CORPUS)");
    }
    folder
}

/// File to exit status, of the column "rcC=N/lines".
fn verdicts(folder: &Path) -> BTreeMap<String, i32> {
    let index = std::fs::read_to_string(folder.join("index.tsv")).unwrap();
    let verdicts: BTreeMap<_, _> = index
        .lines()
        .filter_map(|line| {
            let (_, rest) = line.split_once("rcC=")?;
            let code = rest.split('/').next()?.parse().ok()?;
            Some((line.split('\t').next()?.to_owned(), code))
        })
        .collect();
    assert!(verdicts.len() > 50, "the index was not understood");
    verdicts
}

/// File, keepalived's status, ours, reason.
fn known_differences() -> BTreeMap<String, (i32, i32)> {
    include_str!("corpus-differences.tsv")
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| {
            let fields: Vec<&str> = line.split('\t').collect();
            assert!(fields.len() == 4 && !fields[3].is_empty(), "{line}");
            (fields[0].to_owned(), (fields[1].parse().unwrap(), fields[2].parse().unwrap()))
        })
        .collect()
}

fn verdict(folder: &Path, file: &str) -> (i32, String) {
    // Includes lie beside the file in a folder of their own.
    let stage = tempfile::tempdir().unwrap();
    std::fs::copy(folder.join(file), stage.path().join(file)).unwrap();
    let extra = folder.join(file.replace(".conf", ".extra"));
    if extra.is_dir() {
        let copied = std::process::Command::new("cp")
            .arg("-r")
            .arg(extra.join("."))
            .arg(stage.path())
            .status()
            .unwrap();
        assert!(copied.success());
    }
    let options = LoadOptions { config_id: Some("kav".into()), all_config: false };
    let started = Instant::now();
    let sources = SourceSet::load(&stage.path().join(file), &options).unwrap();
    let mut compiled = compile(&sources);
    // The verdicts were made where each script was there but for those beside the file.
    let is_there = |script: &Script| !script.path().starts_with(stage.path().to_str().unwrap());
    compiled.diagnostics.extend(surroundings::unsecured(&compiled, is_there));
    let missing =
        compiled.places.scripts.iter().find(|placed| placed.tracked && !is_there(&placed.script));
    compiled.diagnostics.extend(
        missing.map(|placed| Diagnostic::new(Severity::Error, "script", placed.span, "not there")),
    );
    let first = compiled
        .diagnostics
        .first()
        .map(|found| render::concise(found, &compiled.sources))
        .unwrap_or_default();
    assert!(started.elapsed() < LIMIT, "{file} took {:?}", started.elapsed());
    handed::same_at_the_other_end(&compiled.config);
    (i32::from(compiled.test_exit_code()), first)
}

#[test]
fn verdicts_on_real_configurations_are_keepaliveds_or_explained() {
    let Some(folder) = corpus() else { return };
    let (mut same, mut faults) = (0, Vec::new());
    let mut known = known_differences();
    for (file, theirs) in verdicts(&folder) {
        let (ours, first) = verdict(&folder, &file);
        let expected = known.remove(&file);
        if ours == theirs {
            same += 1;
            if expected.is_some() {
                faults.push(format!("{file}: no difference any more, remove its line"));
            }
        } else if expected == Some((theirs, ours)) {
            println!("{file}: keepalived {theirs}, ours {ours}, explained");
        } else {
            faults.push(format!("{file}\t{theirs}\t{ours}\t{first}"));
        }
    }
    println!("{same} verdicts are the same");
    faults.extend(known.keys().map(|file| format!("{file}: not in the corpus, remove its line")));
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}
