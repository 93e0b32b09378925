//! `config explain`: rows of the keyword table.

use std::fmt::Write as _;

use super::{Answer, EXIT_FOUND, EXIT_OK, Trouble};
use crate::core::config::keywords::{self, Keyword, Tier};

/// `KEYWORD...`; a keyword may be written with its block, as in `vrrp_instance/priority`.
pub fn run(words: &[&str]) -> Answer {
    if words.is_empty() {
        return Err(Trouble::Usage("explain which keyword?".to_owned()));
    }
    let (mut text, mut status) = (String::new(), EXIT_OK);
    for word in words {
        let found: Vec<&Keyword> = rows().filter(|row| is_meant(row, word)).collect();
        if found.is_empty() {
            status = EXIT_FOUND;
            let _ = match nearest(word) {
                Some(near) => writeln!(text, "{word}: no such keyword; did you mean {near}?"),
                None => writeln!(text, "{word}: no such keyword"),
            };
        }
        for row in alike(&found) {
            text.push_str(&row);
        }
    }
    Ok((text, status))
}

/// keepalived's and our own.
fn rows() -> impl Iterator<Item = &'static Keyword> {
    keywords::all().iter().chain(keywords::additions())
}

fn is_meant(row: &Keyword, word: &str) -> bool {
    row.name == word || word.rsplit_once('/') == Some((row.block, row.name))
}

/// Rows that say the same are shown once, with all their blocks.
fn alike(rows: &[&Keyword]) -> Vec<String> {
    let mut shown: Vec<(&Keyword, Vec<&str>)> = Vec::new();
    for row in rows {
        let same = shown.iter_mut().find(|(known, _)| {
            (known.arguments, known.range, known.default, known.help)
                == (row.arguments, row.range, row.default, row.help)
        });
        match same {
            Some((_, blocks)) => blocks.push(row.block),
            None => shown.push((row, vec![row.block])),
        }
    }
    shown.iter().map(|(row, blocks)| one(row, blocks)).collect()
}

fn one(row: &Keyword, blocks: &[&str]) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(text, "{} {}", row.name, row.arguments);
    let _ = writeln!(text, "    {}", row.help);
    for block in blocks {
        let place = if *block == keywords::ROOT { "outside of all blocks" } else { block };
        let _ = writeln!(text, "    in       {place}");
    }
    for (label, value) in [("range", row.range), ("default", row.default)] {
        if !value.is_empty() {
            let _ = writeln!(text, "    {label:<8} {value}");
        }
    }
    let usual = match row.tier {
        Tier::A => "ordinary",
        Tier::B => "occasional",
        Tier::C => "rare",
    };
    let _ = writeln!(text, "    use      {usual}");
    if blocks.iter().any(|block| !acts(block, row.name)) {
        let _ = writeln!(text, "    NOTE     understood, but not acted on in this version");
    }
    text
}

/// Whether a keyword, and every block that it stands in, is acted on.
pub(super) fn acts(block: &str, name: &str) -> bool {
    if !keywords::is_acted_on(block, name) {
        return false;
    }
    let mut path = block;
    loop {
        match path.rsplit_once('/') {
            Some((outer, inner)) => {
                if !keywords::is_acted_on(outer, inner) {
                    return false;
                }
                path = outer;
            }
            None => return keywords::is_acted_on(keywords::ROOT, path),
        }
    }
}

fn nearest(word: &str) -> Option<&'static str> {
    let blocks: std::collections::BTreeSet<&str> = rows().map(|row| row.block).collect();
    blocks.into_iter().find_map(|block| keywords::suggest(block, word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_keyword_can_be_explained() {
        for row in rows() {
            let path = format!("{}/{}", row.block, row.name);
            let (text, status) = run(&[path.as_str()]).unwrap();
            assert_eq!(status, EXIT_OK, "{path}");
            assert!(text.contains(row.help), "{path}");
        }
    }

    #[test]
    fn a_word_that_is_none_gets_a_suggestion() {
        let (text, status) = run(&["prioritty"]).unwrap();
        assert_eq!(status, EXIT_FOUND);
        assert!(text.contains("did you mean priority?"), "{text}");
        let (text, _) = run(&["delay_loop"]).unwrap();
        assert!(text.contains("in       virtual_server\n"), "{text}");
    }
}
