//! Names that a host gives to numbers of routing, in iproute2's files (`rt_tables` and its like).

use std::collections::BTreeMap;
use std::path::Path;

use crate::core::config::model::route::Named;

/// iproute2's files; each may have a directory `NAME.d` of `*.conf` beside it.
const FILES: [&str; 6] =
    ["rt_tables", "rt_protos", "rt_scopes", "rt_dsfield", "rt_realms", "group"];

/// What a name is the name of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NameKind {
    /// `rt_tables`.
    Table,
    /// `rt_protos`.
    Protocol,
    /// `rt_scopes`.
    Scope,
    /// `rt_dsfield`.
    Service,
    /// `rt_realms`.
    Realm,
    /// `group`: of interfaces.
    Group,
}

impl NameKind {
    const ALL: [Self; 6] =
        [Self::Table, Self::Protocol, Self::Scope, Self::Service, Self::Realm, Self::Group];
}

/// The host's own names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NameTables {
    numbers: BTreeMap<(NameKind, String), u32>,
}

impl NameTables {
    /// Reads the files of several directories; what a later one says counts. Files that are not
    /// there or cannot be read have no names.
    pub fn read(directories: &[&Path]) -> Self {
        let mut tables = Self::default();
        for directory in directories {
            for (kind, file) in NameKind::ALL.into_iter().zip(FILES) {
                tables.add_file(kind, &directory.join(file));
                let Ok(entries) = std::fs::read_dir(directory.join(format!("{file}.d"))) else {
                    continue;
                };
                let mut parts: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
                parts.retain(|path| path.extension().is_some_and(|ending| ending == "conf"));
                parts.sort();
                for part in parts {
                    tables.add_file(kind, &part);
                }
            }
        }
        tables
    }

    fn add_file(&mut self, kind: NameKind, path: &Path) {
        if let Ok(bytes) = std::fs::read(path) {
            self.add(kind, &String::from_utf8_lossy(&bytes));
        }
    }

    /// Lines of `NUMBER NAME`; `#` begins a comment.
    pub fn add(&mut self, kind: NameKind, text: &str) {
        for line in text.lines() {
            let plain = line.split('#').next().unwrap_or_default();
            let mut words = plain.split_whitespace();
            let (Some(number), Some(name)) = (words.next(), words.next()) else { continue };
            let number = match number.strip_prefix("0x") {
                Some(digits) => u32::from_str_radix(digits, 16),
                None => number.parse(),
            };
            if let Ok(number) = number {
                self.numbers.insert((kind, name.to_owned()), number);
            }
        }
    }

    /// The number of a name; `None` when the host has no such name.
    pub fn number(&self, kind: NameKind, named: &Named) -> Option<u32> {
        match named {
            Named::Number(number) => Some(*number),
            Named::Name(name) => self.numbers.get(&(kind, name.clone())).copied(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_both_bases_and_comments_are_not() {
        let mut tables = NameTables::default();
        tables
            .add(NameKind::Table, "# of ours\n100 uplink\n0x65\tdownlink # second\nbad line\n7\n");
        let number = |name: &str| tables.number(NameKind::Table, &Named::Name(name.to_owned()));
        assert_eq!(number("uplink"), Some(100));
        assert_eq!(number("downlink"), Some(0x65));
        assert_eq!(number("line"), None);
        assert_eq!(tables.number(NameKind::Realm, &Named::Name("uplink".to_owned())), None);
        assert_eq!(tables.number(NameKind::Realm, &Named::Number(9)), Some(9));
    }
}
