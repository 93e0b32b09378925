//! The names that iproute2 gives to numbers on this host: `rt_tables` and its like.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::config::model::route::{NameTable, Named};
use super::config::model::services::Files;

/// What a distribution ships, unless `iproute_usr_dir` says otherwise.
const DISTRIBUTION: &str = "/usr/share/iproute2";
/// What the host's operator writes, unless `iproute_etc_dir` says otherwise.
const LOCAL: &str = "/etc/iproute2";
/// Nobody has a larger table of names; more is not read.
const LARGEST: u64 = 1 << 20;

/// Looks names up; each table is read when it is first asked for.
#[derive(Debug)]
pub struct Names {
    folders: [String; 2],
    tables: RefCell<BTreeMap<NameTable, BTreeMap<String, u32>>>,
}

impl Default for Names {
    fn default() -> Self {
        Self::of(&Files::default())
    }
}

impl Names {
    /// The tables in the folders that a configuration names.
    pub fn of(files: &Files) -> Self {
        let folder =
            |named: &Option<String>, usual: &str| named.clone().unwrap_or_else(|| usual.to_owned());
        Self {
            folders: [
                folder(&files.iproute_distribution, DISTRIBUTION),
                folder(&files.iproute_local, LOCAL),
            ],
            tables: RefCell::default(),
        }
    }

    /// The number of a name; the operator's word outweighs the distribution's.
    pub fn number(&self, table: NameTable, name: &str) -> Option<u32> {
        let folders = &self.folders;
        let mut tables = self.tables.borrow_mut();
        let names = tables.entry(table).or_insert_with(|| {
            let mut names = BTreeMap::new();
            for folder in folders {
                read(&Path::new(folder).join(table.file()), &mut names);
            }
            names
        });
        names.get(name).copied()
    }

    /// The number of what a line of the configuration says.
    pub fn resolve(&self, named: &Named) -> Option<u32> {
        match named {
            Named::Number(number) => Some(*number),
            Named::Name { table, name } => self.number(*table, name),
        }
    }
}

/// A table, and the `.conf` files in the folder of its name with `.d`.
fn read(path: &Path, names: &mut BTreeMap<String, u32>) {
    add(path, names);
    let mut parts = path.as_os_str().to_owned();
    parts.push(".d");
    let Ok(entries) = fs::read_dir(parts) else { return };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "conf"));
    paths.sort();
    for path in paths {
        add(&path, names);
    }
}

/// `NUMBER NAME` on each line, `#` for comments.
fn add(path: &Path, names: &mut BTreeMap<String, u32>) {
    if !fs::metadata(path).is_ok_and(|data| data.is_file() && data.len() <= LARGEST) {
        return;
    }
    let text = fs::read(path).unwrap_or_default();
    for line in String::from_utf8_lossy(&text).lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        if let (Some(number), Some(name)) = (words.next(), words.next())
            && let Some(number) = parse(number)
        {
            names.insert(name.to_owned(), number);
        }
    }
}

fn parse(word: &str) -> Option<u32> {
    match word.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => word.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operators_names_outweigh_the_distributions_and_folders_add_to_files() {
        let stage = tempfile::tempdir().unwrap();
        let (usr, etc) = (stage.path().join("usr"), stage.path().join("etc"));
        fs::create_dir_all(usr.join("rt_tables.d")).unwrap();
        fs::create_dir(&etc).unwrap();
        fs::write(usr.join("rt_tables"), "# comment\n100 uplink\n0x65 backup # too\nx y\n")
            .unwrap();
        fs::write(usr.join("rt_tables.d/a.conf"), "7 seven\n").unwrap();
        fs::write(usr.join("rt_tables.d/a.txt"), "8 eight\n").unwrap();
        fs::write(etc.join("rt_tables"), "200 uplink\n").unwrap();
        let text = |path: &Path| Some(path.display().to_string());
        let names = Names::of(&Files {
            iproute_distribution: text(&usr),
            iproute_local: text(&etc),
            ..Files::default()
        });
        for (name, number) in
            [("uplink", Some(200)), ("backup", Some(101)), ("seven", Some(7)), ("eight", None)]
        {
            let named = Named::Name { table: NameTable::Tables, name: name.into() };
            assert_eq!(names.resolve(&named), number, "{name}");
        }
        assert_eq!(names.number(NameTable::Scopes, "uplink"), None);
        assert_eq!(names.resolve(&Named::Number(5)), Some(5));
    }
}
