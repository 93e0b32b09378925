//! One mistake in a real configuration: the first word of the config test is about its line, and
//! nothing outside of the damaged object changes.
//!
//! The files are not part of the project; `STEADFAST_CORPUS` names their folder. Without it the tests
//! say that they are skipped.

use std::collections::BTreeMap;
use std::path::PathBuf;

use steadfast::core::config::compile::{Compiled, compile};
use steadfast::core::config::keywords;
use steadfast::core::config::parse;
use steadfast::core::config::source::SourceSet;
use steadfast::core::config::tree::Statement;
use steadfast::core::diagnostics::{Diagnostic, Severity, Span};
use steadfast::tool::diff;

/// Variants to make of each kind.
const EACH: usize = 60;
/// Of a hundred, how many first diagnostics must be about the right line.
const RIGHT: usize = 95;

/// A small generator; the same seed gives the same variants.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }

    fn of<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }
}

/// Texts in which nothing is wrong, and that consist of one file without definitions: there, lines of
/// the file are lines of the configuration.
fn clean() -> Vec<(String, String)> {
    let Some(folder) = std::env::var_os("STEADFAST_CORPUS").map(PathBuf::from) else {
        eprintln!("SKIPPED: no corpus of real configurations (set STEADFAST_CORPUS)");
        return Vec::new();
    };
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut found = Vec::new();
    for file in files.iter().filter(|path| path.extension().is_some_and(|e| e == "conf")) {
        let Ok(text) = std::fs::read_to_string(file) else { continue };
        let plain = !text.contains('$')
            && !text.lines().any(|line| line.trim().starts_with(['@', '~']))
            && !text.lines().any(|line| line.trim().starts_with("include"));
        if plain && worst(&compiled(&text)) < Some(Severity::Error) && text.lines().count() > 15 {
            found.push((file.file_name().unwrap().to_string_lossy().into_owned(), text));
        }
    }
    assert!(found.len() > 20, "{} clean files", found.len());
    found
}

fn compiled(text: &str) -> Compiled {
    compile(&SourceSet::from_text("a.conf", text.as_bytes()))
}

fn worst(compiled: &Compiled) -> Option<Severity> {
    compiled.diagnostics.iter().map(|found| found.severity).max()
}

fn line_of(text: &str, span: Span) -> usize {
    text.get(..span.start as usize).map_or(0, |before| before.matches('\n').count())
}

/// A statement on a line of its own, with the root block around it.
#[derive(Clone)]
struct Spot {
    block: String,
    line: usize,
    statement: Statement,
    /// First and last line of the root block.
    root: (usize, usize),
}

fn spots(text: &str) -> Vec<Spot> {
    let tree = parse(&SourceSet::from_text("a.conf", text.as_bytes())).tree;
    let starts: Vec<usize> =
        tree.statements.iter().map(|statement| line_of(text, statement.span)).collect();
    let mut found = Vec::new();
    for (place, root) in tree.statements.iter().enumerate() {
        let last = starts.get(place + 1).map_or(text.lines().count(), |next| next - 1);
        let around = (starts[place], last);
        let block = keywords::child_block(keywords::ROOT, root.keyword());
        collect(text, &block, root.children(), around, &mut found);
    }
    found
}

fn collect(
    text: &str,
    block: &str,
    children: &[Statement],
    root: (usize, usize),
    found: &mut Vec<Spot>,
) {
    for statement in children {
        let line = line_of(text, statement.span);
        found.push(Spot { block: block.to_owned(), line, statement: statement.clone(), root });
        let inner = keywords::child_block(block, statement.keyword());
        collect(text, &inner, statement.children(), root, found);
    }
}

/// What a variant is, for messages.
struct Variant {
    kind: &'static str,
    text: String,
    /// Lines that a first diagnostic may be about.
    right: (usize, usize),
    root: (usize, usize),
}

fn with_line(text: &str, line: usize, change: impl Fn(&str) -> String) -> String {
    let lines: Vec<String> = text
        .lines()
        .enumerate()
        .map(|(number, old)| if number == line { change(old) } else { old.to_owned() })
        .collect();
    lines.join("\n") + "\n"
}

fn misspelt(text: &str, spots: &[Spot], chance: &mut Chance) -> Option<Variant> {
    let known: Vec<&Spot> = spots
        .iter()
        .filter(|spot| {
            let word = spot.statement.keyword();
            word.len() > 5 && keywords::lookup(&spot.block, word).is_some()
        })
        .collect();
    let spot = *(!known.is_empty()).then(|| chance.of(&known))?;
    let word = spot.statement.keyword();
    let at = 1 + chance.below(word.len() - 2);
    let wrong = format!("{}q{}", &word[..at], &word[at + 1..]);
    if keywords::lookup(&spot.block, &wrong).is_some() {
        return None;
    }
    Some(Variant {
        kind: "misspelt word",
        text: with_line(text, spot.line, |old| old.replacen(word, &wrong, 1)),
        right: (spot.line, spot.line),
        root: spot.root,
    })
}

fn bad_number(text: &str, spots: &[Spot], chance: &mut Chance) -> Option<Variant> {
    let known: Vec<&Spot> = spots
        .iter()
        .filter(|spot| {
            spot.statement.block.is_none()
                && keywords::lookup(&spot.block, spot.statement.keyword())
                    .is_some_and(|row| row.range.contains("int"))
                && spot
                    .statement
                    .arguments()
                    .first()
                    .is_some_and(|word| word.text.chars().all(|c| c.is_ascii_digit()))
        })
        .collect();
    let spot = *(!known.is_empty()).then(|| chance.of(&known))?;
    let old = spot.statement.arguments()[0].text.to_string();
    let keyword = spot.statement.keyword().to_owned();
    Some(Variant {
        kind: "bad number",
        text: with_line(text, spot.line, |line| {
            let (head, tail) = line.split_once(&keyword).unwrap();
            format!("{head}{keyword}{}", tail.replacen(&old, "12x", 1))
        }),
        right: (spot.line, spot.line),
        root: spot.root,
    })
}

/// An address that begins a line, or follows `real_server`.
fn bad_address(text: &str, spots: &[Spot], chance: &mut Chance) -> Option<Variant> {
    let address = |spot: &Spot| {
        let words = &spot.statement.words;
        let word = words.iter().take(2).find(|word| {
            let host = word.text.split('/').next().unwrap_or_default();
            host.parse::<std::net::Ipv4Addr>().is_ok()
        })?;
        let fits = spot.block.ends_with("ipaddress")
            || spot.block.ends_with("unicast_peer")
            || matches!(spot.statement.keyword(), "real_server" | "sorry_server" | "connect_ip");
        fits.then(|| word.text.to_string())
    };
    let known: Vec<(&Spot, String)> =
        spots.iter().filter_map(|spot| Some((spot, address(spot)?))).collect();
    let (spot, old) = (!known.is_empty()).then(|| chance.of(&known))?;
    Some(Variant {
        kind: "bad address",
        text: with_line(text, spot.line, |line| line.replacen(old.as_str(), "10.0.999.1", 1)),
        right: (spot.line, spot.line),
        root: spot.root,
    })
}

fn wrong_block(text: &str, spots: &[Spot], chance: &mut Chance) -> Option<Variant> {
    let known: Vec<&Spot> = spots
        .iter()
        .filter(|spot| {
            // A word that belongs to a neighbouring kind of block, where words are keywords.
            keywords::has_keywords(&spot.block)
                && spot.statement.block.is_none()
                && keywords::lookup(&spot.block, "quorum").is_none()
        })
        .collect();
    let spot = *(!known.is_empty()).then(|| chance.of(&known))?;
    Some(Variant {
        kind: "wrong block",
        text: with_line(text, spot.line, |old| format!("{old}\n    quorum 2")),
        right: (spot.line + 1, spot.line + 1),
        root: (spot.root.0, spot.root.1 + 1),
    })
}

fn missing_brace(text: &str, spots: &[Spot], chance: &mut Chance) -> Option<Variant> {
    let lines: Vec<&str> = text.lines().collect();
    let roots: Vec<(usize, usize)> = spots.iter().map(|spot| spot.root).collect();
    let root = *(!roots.is_empty()).then(|| chance.of(&roots))?;
    let braces: Vec<usize> = (root.0..=root.1)
        .filter(|line| lines.get(*line).is_some_and(|l| l.trim() == "}"))
        .collect();
    let line = *(!braces.is_empty()).then(|| chance.of(&braces))?;
    Some(Variant {
        kind: "missing brace",
        text: with_line(text, line, |_| String::new()),
        // Where the block begins, up to where the next one shows that it was not closed.
        right: (root.0, root.1 + 1),
        root,
    })
}

fn variant(kind: usize, text: &str, chance: &mut Chance) -> Option<Variant> {
    let spots = spots(text);
    match kind {
        0 => misspelt(text, &spots, chance),
        1 => bad_number(text, &spots, chance),
        2 => bad_address(text, &spots, chance),
        3 => wrong_block(text, &spots, chance),
        _ => missing_brace(text, &spots, chance),
    }
}

/// What is new, worst and first first.
fn first_new<'a>(before: &Compiled, after: &'a Compiled) -> Option<&'a Diagnostic> {
    let mut known: BTreeMap<&str, usize> = BTreeMap::new();
    for found in &before.diagnostics {
        *known.entry(&found.message).or_default() += 1;
    }
    after.diagnostics.iter().find(|found| match known.get_mut(found.message.as_str()) {
        Some(count) if *count > 0 => {
            *count -= 1;
            false
        }
        Some(_) | None => found.span.is_some(),
    })
}

/// Names of the objects between two lines.
fn objects(text: &str, root: (usize, usize)) -> Vec<String> {
    let tree = parse(&SourceSet::from_text("a.conf", text.as_bytes())).tree;
    tree.statements
        .iter()
        .filter(|statement| (root.0..=root.1).contains(&line_of(text, statement.span)))
        .map(|statement| {
            let words: Vec<&str> = statement.arguments().iter().map(|word| &*word.text).collect();
            let name = match words.as_slice() {
                ["group" | "fwmark", name, ..] | [name, ..] => name,
                [] => "",
            };
            format!("{} {name}", statement.keyword())
        })
        .collect()
}

#[test]
fn three_hundred_mistakes_are_found_where_they_are_and_stay_there() {
    let files = clean();
    if files.is_empty() {
        return;
    }
    let mut chance = Chance(20);
    let (mut made, mut right, mut wrong, mut spread) = (0, 0, Vec::new(), Vec::new());
    for kind in 0..5 {
        let mut of_kind = 0;
        for _ in 0..EACH * 20 {
            if of_kind == EACH {
                break;
            }
            let (name, text) = chance.of(&files);
            let Some(variant) = variant(kind, text, &mut chance) else { continue };
            of_kind += 1;
            made += 1;
            let (before, after) = (compiled(text), compiled(&variant.text));
            match first_new(&before, &after) {
                Some(found) => {
                    let line = line_of(&variant.text, found.span.unwrap());
                    if (variant.right.0..=variant.right.1).contains(&line) {
                        right += 1;
                    } else {
                        wrong.push(format!(
                            "{name}: {} at line {}: said of line {}: {}",
                            variant.kind,
                            variant.right.0 + 1,
                            line + 1,
                            found.message
                        ));
                    }
                }
                None => wrong.push(format!(
                    "{name}: {} at line {}: nothing said",
                    variant.kind,
                    variant.right.0 + 1
                )),
            }
            let damaged = objects(text, variant.root);
            let global = damaged.iter().any(|object| object.starts_with("global_defs"));
            for line in diff::difference(&before.config, &after.config).lines() {
                let own = damaged.iter().any(|object| belongs(line, object));
                if !own && !global {
                    spread.push(format!("{name}: {} in {damaged:?}: {line}", variant.kind));
                }
            }
        }
        assert_eq!(of_kind, EACH, "variants of kind {kind}");
    }
    eprintln!("{right} of {made} first diagnostics are about the right line");
    assert!(made >= 300 && right * 100 >= made * RIGHT, "{right} of {made}\n{}", wrong.join("\n"));
    assert!(spread.is_empty(), "{}", spread.join("\n"));
}

/// Whether a line of a comparison is about the damaged object, or about what refers to it.
fn belongs(line: &str, object: &str) -> bool {
    let (keyword, name) = object.split_once(' ').unwrap_or((object, ""));
    let named = match keyword {
        "virtual_server" => {
            line.contains(&format!("virtual_server [{name}]:")) || line.contains("FWM")
        }
        _ => line.starts_with(&format!("{keyword} {name}")),
    };
    // A group, a script or a file that is lost is lost to its users too.
    let refers = matches!(
        keyword,
        "vrrp_script"
            | "vrrp_sync_group"
            | "virtual_server_group"
            | "track_file"
            | "vrrp_track_process"
    ) || (keyword == "vrrp_instance" && line.starts_with("vrrp_sync_group"));
    named || refers
}
