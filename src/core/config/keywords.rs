//! THE table of the dialect: every keyword, where it may stand, what it takes.
//!
//! It tells an unknown word from one that is known but not acted on, makes the suggestions, and
//! knows which words open blocks. Words that keepalived does not have are a list of their own.

mod additions;
mod effects;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

/// How common a keyword is in real files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// Ordinary.
    A,
    /// Occasional.
    B,
    /// Rare.
    C,
}

/// One row.
#[derive(Debug, Clone, Copy)]
pub struct Keyword {
    /// Where it stands: `(root)`, `vrrp_instance`, `virtual_server/real_server/HTTP_GET/url`, …
    pub block: &'static str,
    /// The word.
    pub name: &'static str,
    /// What follows it.
    pub arguments: &'static str,
    /// Type and range of the arguments.
    pub range: &'static str,
    /// When absent.
    pub default: &'static str,
    /// What it does.
    pub help: &'static str,
    /// How common.
    pub tier: Tier,
}

/// The name of the outermost level in [`Keyword::block`].
pub const ROOT: &str = "(root)";

/// Every row, in the order of the manual.
pub fn all() -> &'static [Keyword] {
    table::TABLE
}

/// Words that keepalived does not have, in the order of the manual. They are not of [`all`].
pub fn additions() -> &'static [Keyword] {
    additions::ADDITIONS
}

struct Index {
    by_block: BTreeMap<&'static str, BTreeMap<&'static str, &'static Keyword>>,
    opens_block: BTreeSet<(&'static str, &'static str)>,
}

fn index() -> &'static Index {
    static INDEX: OnceLock<Index> = OnceLock::new();
    INDEX.get_or_init(|| {
        let mut by_block: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        let mut opens_block = BTreeSet::new();
        for keyword in all().iter().chain(additions()) {
            by_block.entry(keyword.block).or_default().insert(keyword.name, keyword);
            if keyword.arguments.contains('{') || keyword.range.contains("block") {
                opens_block.insert((keyword.block, keyword.name));
            }
        }
        Index { by_block, opens_block }
    })
}

/// The row of `name` in `block`.
pub fn lookup(block: &str, name: &str) -> Option<&'static Keyword> {
    index().by_block.get(block)?.get(name).copied()
}

/// Whether `name` opens a block where it stands.
pub fn opens_block(block: &str, name: &str) -> bool {
    index().opens_block.contains(&(block, name))
}

/// Whether `name` has an effect where it stands; if not, its value is in the model all the same.
pub fn is_acted_on(block: &str, name: &str) -> bool {
    let words = effects::NOT_ACTED_ON.iter().filter(|(known, _)| *known == block);
    !words.into_iter().any(|(_, words)| words.contains(&name))
}

/// Whether keepalived goes on when the argument of `name` is missing.
pub fn goes_on_without_argument(name: &str) -> bool {
    effects::OPTIONAL_AT_A_COST.contains(&name)
}

/// Whether the lines of `block` begin with a keyword (and not with a name or an address).
pub fn has_keywords(block: &str) -> bool {
    index().by_block.get(block).is_some_and(|rows| {
        rows.keys().any(|name| name.chars().next().is_some_and(char::is_alphanumeric))
            && !rows.keys().any(|name| name.ends_with("_ENTRY") || *name == "ADDRESS")
    })
}

/// The block that `name` opens within `block`.
pub fn child_block(block: &str, name: &str) -> String {
    match (block, name) {
        (ROOT, "vrrp_track_file") => "track_file".to_owned(),
        (ROOT, name) => name.to_owned(),
        (block, name) => [block, "/", name].concat(),
    }
}

/// The word of `block` that is most like `name`, if any is like it at all.
pub fn suggest(block: &str, name: &str) -> Option<&'static str> {
    let name: Vec<char> = name.chars().take(LONGEST_KEYWORD + 4).collect();
    let limit = name.len().div_ceil(4).clamp(1, 3);
    index()
        .by_block
        .get(block)?
        .keys()
        // Most words are out of the question by their length alone.
        .filter(|candidate| candidate.len().abs_diff(name.len()) <= limit)
        .map(|candidate| (distance(&name, candidate), *candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Characters of the longest keyword.
const LONGEST_KEYWORD: usize = 40;

/// Edits between two words: insert, delete, replace, or swap two neighbours.
fn distance(left: &[char], right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    // Rows of the table: the one before the last, the last, and the one at hand. Each begins with
    // the edits from nothing.
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    let mut previous_left = None;
    for (row, from) in left.iter().enumerate() {
        let mut current = vec![row + 1];
        let mut previous_right = None;
        let diagonals = last.iter().zip(last.iter().skip(1));
        for (column, (to, (diagonal, above))) in right.iter().zip(diagonals).enumerate() {
            let beside = current.last().copied().unwrap_or(row + 1);
            let mut best = (above + 1).min(beside + 1);
            best = best.min(diagonal + usize::from(from != to));
            if previous_left == Some(to)
                && previous_right == Some(from)
                && let Some(two_before) = column.checked_sub(1).and_then(|at| before.get(at))
            {
                best = best.min(two_before + 1);
            }
            current.push(best);
            previous_right = Some(to);
        }
        before = std::mem::replace(&mut last, current);
        previous_left = Some(from);
    }
    last.last().copied().unwrap_or(left.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_every_row_once() {
        let mut seen = BTreeSet::new();
        for keyword in all() {
            assert!(seen.insert((keyword.block, keyword.name)), "{keyword:?} twice");
        }
        assert_eq!(all().len(), 690);
        let longest = |keyword: &Keyword| keyword.name.chars().count();
        let blocks = all().iter().filter(|keyword| keyword.block != "syntax");
        assert!(blocks.map(longest).max() <= Some(LONGEST_KEYWORD));
    }

    #[test]
    fn our_own_words_are_none_of_keepaliveds_and_say_so() {
        let mut seen: BTreeSet<_> = all().iter().map(|row| (row.block, row.name)).collect();
        for keyword in additions() {
            assert!(seen.insert((keyword.block, keyword.name)), "{keyword:?} twice");
            assert!(keyword.help.ends_with("Not in keepalived."), "{keyword:?}");
            assert!(lookup(keyword.block, keyword.name).is_some());
        }
    }

    #[test]
    fn words_are_found_where_they_stand_only() {
        assert!(lookup("vrrp_instance", "virtual_router_id").is_some());
        assert!(lookup("virtual_server", "virtual_router_id").is_none());
        assert!(opens_block(ROOT, "vrrp_instance"));
        assert!(opens_block("virtual_server/real_server/HTTP_GET", "url"));
        assert!(!opens_block("vrrp_instance", "priority"));
        assert!(has_keywords("vrrp_instance") && !has_keywords("vrrp_instance/track_script"));
    }

    #[test]
    fn misspelt_words_get_a_suggestion_and_strange_ones_none() {
        assert_eq!(suggest("vrrp_instance", "virtual_router_di"), Some("virtual_router_id"));
        assert_eq!(suggest("virtual_server", "lb_alg"), Some("lb_algo"));
        assert_eq!(suggest("vrrp_instance", "prioritty"), Some("priority"));
        assert_eq!(suggest("vrrp_instance", "xyzzy"), None);
        assert_eq!(suggest("vrrp_instance", &"x".repeat(100_000)), None);
        assert_eq!(suggest("vrrp_instance", ""), None);
    }

    #[test]
    fn a_swap_of_neighbours_is_one_edit() {
        for (left, right, edits) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("abc", "abc", 0),
            ("abc", "acb", 1),
            ("abcd", "badc", 2),
            ("kitten", "sitting", 3),
            ("state", "stat", 1),
        ] {
            let left: Vec<char> = left.chars().collect();
            assert_eq!(distance(&left, right), edits, "{right}");
        }
    }
}
