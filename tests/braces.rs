//! Nothing after a broken block changes its meaning: each brace of each real configuration is taken
//! away, and doubled, and every other root block must come out of the tree as it was.
//!
//! `STEADFAST_CORPUS` names the folder of the real files; the example is always there.
//!
//! Left out are files whose braces do not match to begin with, and braces of definitions, which stand
//! for as many as there are uses. Root blocks that the dialect does not know may get lost: nothing
//! tells them from the rest of the block before them, and nobody acts on them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use steadfast::core::config::keywords;
use steadfast::core::config::parse;
use steadfast::core::config::source::SourceSet;
use steadfast::core::config::tree::Statement;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Damage {
    Missing,
    Doubled,
}

fn texts() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = vec![root.join("keepalived.conf.example")];
    match std::env::var_os("STEADFAST_CORPUS").map(PathBuf::from) {
        None => eprintln!("no corpus of real configurations (set STEADFAST_CORPUS)"),
        Some(folder) => {
            let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
            files.extend(entries.filter(|path| path.extension().is_some_and(|e| e == "conf")));
        }
    }
    files.sort();
    let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    files
        .iter()
        .filter_map(|path| Some((name(path), std::fs::read_to_string(path).ok()?)))
        .collect()
}

/// Places of braces outside of quotes, comments and definitions.
fn braces(text: &str) -> Vec<usize> {
    let (mut found, mut start, mut defines) = (Vec::new(), 0, false);
    for line in text.split_inclusive('\n') {
        let special = line.trim_start().starts_with(['$', '~', '@']);
        if !defines && !special {
            let (mut quoted, mut comment) = (false, false);
            for (at, byte) in line.bytes().enumerate() {
                match byte {
                    b'"' if !comment => quoted = !quoted,
                    b'#' | b'!' if !quoted => comment = true,
                    b'{' | b'}' if !quoted && !comment => found.push(start + at),
                    _ => {}
                }
            }
        }
        defines = (defines || special) && line.trim_end().ends_with('\\');
        start += line.len();
    }
    found
}

fn has_sound_braces(text: &str) -> bool {
    let found = parse(&SourceSet::from_text("a.conf", text.as_bytes())).diagnostics;
    !found.iter().any(|found| matches!(found.code, "missing-brace" | "unexpected-brace"))
}

fn shape(statement: &Statement) -> String {
    let words: Vec<_> = statement.words.iter().map(|word| &*word.text).collect();
    let block: Vec<_> = statement.children().iter().map(shape).collect();
    format!("{} {{{}}}", words.join(" "), block.join(";"))
}

/// Where each root statement begins, and what it says.
fn roots(text: &str) -> Vec<(usize, String)> {
    let tree = parse(&SourceSet::from_text("a.conf", text.as_bytes())).tree;
    let begin = |statement: &Statement| statement.span.start as usize;
    tree.statements.iter().map(|statement| (begin(statement), shape(statement))).collect()
}

/// What is not there any more of the blocks around the damaged one.
fn lost(text: &str, sound: &[(usize, String)], at: usize, damage: Damage) -> Vec<String> {
    let mut damaged = text.to_owned();
    match damage {
        Damage::Missing => _ = damaged.remove(at),
        Damage::Doubled => damaged.insert_str(at, &text[at..=at]),
    }
    let mut there: BTreeMap<String, usize> = BTreeMap::new();
    for (_, shape) in roots(&damaged) {
        *there.entry(shape).or_default() += 1;
    }
    let own = sound.partition_point(|(begin, _)| *begin <= at).saturating_sub(1);
    let others = sound.iter().enumerate().filter(|(place, _)| *place != own);
    others
        .filter(|(_, (_, shape))| {
            let keyword = shape.split(' ').next().unwrap_or_default();
            keywords::lookup(keywords::ROOT, keyword).is_some()
        })
        .filter(|(_, (_, shape))| match there.get_mut(shape) {
            Some(count) if *count > 0 => {
                *count -= 1;
                false
            }
            Some(_) | None => true,
        })
        .map(|(_, (_, shape))| shape.clone())
        .collect()
}

#[test]
fn a_brace_too_few_or_too_many_changes_no_other_block() {
    let mut texts = texts();
    texts.retain(|(_, text)| has_sound_braces(text));
    let mut variants = Vec::new();
    for (name, text) in &texts {
        for at in braces(text) {
            for damage in [Damage::Missing, Damage::Doubled] {
                variants.push((name, text, at, damage));
            }
        }
    }
    let mut sound: BTreeMap<&str, Vec<(usize, String)>> = BTreeMap::new();
    let (tried, mut faults) = (variants.len(), Vec::new());
    for (name, text, at, damage) in variants {
        let sound = sound.entry(name.as_str()).or_insert_with(|| roots(text));
        for lost in lost(text, sound, at, damage) {
            let line = text[..at].matches('\n').count() + 1;
            let what = &text[at..=at];
            let short: String = lost.chars().take(60).collect();
            faults.push(format!("{name}:{line}: {what} {damage:?}: {short}"));
        }
    }
    println!("{tried} variants of {} files, {} faults", texts.len(), faults.len());
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}
