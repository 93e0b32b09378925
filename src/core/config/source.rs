//! The files of a configuration, read once and frozen.
//!
//! What was read, and what includes and environment gave, stays the same when the files change.

mod glob;

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use self::glob::{alternatives, glob};
use super::build;
use super::preprocess::{Files, IncludeChecks, IncludeError, preprocess_into};
use crate::core::diagnostics::{FileId, SourceMap, SourceText};

/// Files of one configuration.
const MOST_FILES: usize = 4096;
/// Bytes of all files together.
const LARGEST: u64 = 32 << 20;

/// How to read.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// `-i`; the short host name when absent.
    pub config_id: Option<String>,
    /// `-e`: a missing include is an error.
    pub all_config: bool,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// No such file.
    #[error("Config files missing '{}'.", .0.display())]
    Missing(PathBuf),
    /// It cannot be read.
    #[error("cannot read {}: {}", .0.display(), .1)]
    Unreadable(PathBuf, io::Error),
}

impl LoadError {
    /// Whether there simply is no such file.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing(_))
    }
}

/// A frozen configuration text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceSet {
    files: Vec<(String, Bytes)>,
    main: Vec<FileId>,
    includes: BTreeMap<(FileId, IncludeChecks, String), Result<Vec<FileId>, IncludeError>>,
    environment: BTreeMap<String, Option<String>>,
    config_id: String,
    host_name: String,
    seed: u64,
    /// After so many lines, as [`preprocess_into`] gives them, probably no object begins that others
    /// name: what comes then can be built at once. A guess, which nothing depends on.
    named_until: u64,
}

impl SourceSet {
    /// Reads `main` (a file, or a pattern that may match several) and all that it includes.
    pub fn load(main: &Path, options: &LoadOptions) -> Result<Self, LoadError> {
        let host_name = nix::unistd::gethostname()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let short = host_name.split('.').next().unwrap_or_default().to_owned();
        let mut reader = Reader {
            set: Self {
                config_id: options.config_id.clone().unwrap_or(short),
                host_name,
                // Differs each time; the standard library's hasher is keyed by chance.
                seed: RandomState::new().build_hasher().finish(),
                ..Self::default()
            },
            all_config: options.all_config,
            total: 0,
        };
        let main = std::path::absolute(main).unwrap_or_else(|_| main.to_owned());
        let paths = glob(&main.to_string_lossy());
        if paths.is_empty() {
            return Err(LoadError::Missing(main));
        }
        for path in paths {
            if path.is_dir() {
                let error = io::Error::from(io::ErrorKind::IsADirectory);
                return Err(LoadError::Unreadable(path, error));
            }
            let id = reader.read(&path).map_err(|error| LoadError::Unreadable(path, error))?;
            reader.set.main.push(id);
        }
        let main = reader.set.main.clone();
        // What counts is what is asked for on the way; the lines are only looked at.
        let mut survey = Survey::default();
        preprocess_into(&main, &mut reader, &mut |line| survey.look(&line.text));
        reader.set.named_until = survey.named_until;
        Ok(reader.set)
    }

    /// One text without includes, for tests and fuzzing.
    pub fn from_text(name: &str, text: impl AsRef<[u8]>) -> Self {
        Self {
            files: vec![(name.to_owned(), Bytes::copy_from_slice(text.as_ref()))],
            main: vec![FileId(0)],
            config_id: "test".to_owned(),
            host_name: "test".to_owned(),
            ..Self::default()
        }
    }

    /// The number of lines within which objects probably begin that others name.
    pub fn named_until(&self) -> u64 {
        self.named_until
    }

    /// The files to begin with.
    pub fn main(&self) -> &[FileId] {
        &self.main
    }

    /// This node's name when the set was read.
    pub fn host_name(&self) -> &str {
        &self.host_name
    }

    /// The texts, for diagnostics.
    pub fn source_map(&self) -> SourceMap {
        let texts = self
            .files
            .iter()
            .map(|(name, bytes)| SourceText { name: name.clone(), bytes: bytes.clone() });
        SourceMap { files: texts.collect() }
    }
}

/// Looks for the last line that begins an object that others name.
#[derive(Default)]
struct Survey {
    lines: u64,
    depth: usize,
    named_until: u64,
}

impl Survey {
    fn look(&mut self, text: &str) {
        self.lines += 1;
        let keyword = || text.split([' ', '\t', '{']).next().unwrap_or_default();
        if self.depth == 0 && build::is_named_by_others(keyword()) {
            self.named_until = self.lines;
        }
        for byte in text.bytes() {
            match byte {
                b'{' => self.depth += 1,
                b'}' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
    }
}

/// Answers the preprocessor from what was frozen.
#[derive(Debug)]
pub struct Frozen<'a>(pub &'a SourceSet);

impl Files for Frozen<'_> {
    fn text(&self, file: FileId) -> Bytes {
        self.0.files.get(file.0 as usize).map(|(_, text)| text.clone()).unwrap_or_default()
    }

    fn folder(&self, file: FileId) -> String {
        let name = self.0.files.get(file.0 as usize).map_or("", |(name, _)| name.as_str());
        Path::new(name).parent().map(|path| path.display().to_string()).unwrap_or_default()
    }

    fn include(
        &mut self,
        from: FileId,
        checks: IncludeChecks,
        pattern: &str,
    ) -> Result<Vec<FileId>, IncludeError> {
        let key = (from, checks, pattern.to_owned());
        self.0.includes.get(&key).cloned().unwrap_or_else(|| {
            let message = format!("Include '{pattern}' was not read");
            Err(IncludeError { message, fatal: false })
        })
    }

    fn environment(&mut self, name: &str) -> Option<String> {
        self.0.environment.get(name).cloned().flatten()
    }

    fn config_id(&self) -> &str {
        &self.0.config_id
    }

    fn seed(&self) -> u64 {
        self.0.seed
    }
}

/// Answers the preprocessor from the file system and remembers the answers.
struct Reader {
    set: SourceSet,
    all_config: bool,
    total: u64,
}

impl Reader {
    fn read(&mut self, path: &Path) -> io::Result<FileId> {
        let name = path.display().to_string();
        if let Some(known) = self.set.files.iter().position(|(file, _)| *file == name) {
            return Ok(FileId(u32::try_from(known).unwrap_or(u32::MAX)));
        }
        let left = LARGEST.saturating_sub(self.total);
        // What is read counts, not what the directory says: pipes and devices have no size.
        let file = std::fs::File::open(path)?;
        let likely = file.metadata()?.len().min(left);
        let mut bytes = Vec::with_capacity(usize::try_from(likely).unwrap_or(0) + 1);
        file.take(left.saturating_add(1)).read_to_end(&mut bytes)?;
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if self.set.files.len() >= MOST_FILES || length > left {
            return Err(io::Error::other("the configuration is too large"));
        }
        self.total += length;
        self.set.files.push((name, bytes.into()));
        Ok(FileId(u32::try_from(self.set.files.len() - 1).unwrap_or(u32::MAX)))
    }
}

impl Files for Reader {
    fn text(&self, file: FileId) -> Bytes {
        Frozen(&self.set).text(file)
    }

    fn folder(&self, file: FileId) -> String {
        Frozen(&self.set).folder(file)
    }

    fn include(
        &mut self,
        from: FileId,
        checks: IncludeChecks,
        pattern: &str,
    ) -> Result<Vec<FileId>, IncludeError> {
        let key = (from, checks, pattern.to_owned());
        if let Some(known) = self.set.includes.get(&key) {
            return known.clone();
        }
        let found = self.find(from, checks, pattern);
        self.set.includes.insert(key, found.clone());
        found
    }

    fn environment(&mut self, name: &str) -> Option<String> {
        let value = std::env::var(name).ok();
        self.set.environment.insert(name.to_owned(), value.clone());
        value
    }

    fn config_id(&self) -> &str {
        &self.set.config_id
    }

    fn seed(&self) -> u64 {
        self.set.seed
    }
}

impl Reader {
    fn find(
        &mut self,
        from: FileId,
        checks: IncludeChecks,
        pattern: &str,
    ) -> Result<Vec<FileId>, IncludeError> {
        let checks = if self.all_config { IncludeChecks::ALL } else { checks };
        let refuse = |fatal, message| Err(IncludeError { message, fatal });
        let absolute = match pattern.strip_prefix("~/") {
            Some(rest) => Path::new(&std::env::var("HOME").unwrap_or_default()).join(rest),
            None => Path::new(&self.folder(from)).join(pattern),
        };
        let mut ids = Vec::new();
        for alternative in alternatives(&absolute.to_string_lossy(), 0) {
            let paths = glob(&alternative);
            let missing = if pattern.contains('{') && checks.brace {
                true
            } else if alternative.contains(['*', '?', '[']) {
                checks.wildcard
            } else {
                checks.exact
            };
            if paths.is_empty() && missing {
                return refuse(true, format!("Include '{alternative}' matches no file"));
            }
            for path in paths {
                if let Some(fault) = unsuitable(&path) {
                    if checks.readable {
                        return refuse(true, format!("Include '{}' {fault}", path.display()));
                    }
                    continue;
                }
                match self.read(&path) {
                    Ok(id) => ids.push(id),
                    Err(error) => {
                        let message = format!("Include '{}': {error}", path.display());
                        return refuse(checks.readable, message);
                    }
                }
            }
        }
        if ids.is_empty() {
            return refuse(false, format!("Include '{pattern}' matches no file"));
        }
        Ok(ids)
    }
}

/// Includes are regular files that are not programs.
fn unsuitable(path: &Path) -> Option<&'static str> {
    use std::os::unix::fs::PermissionsExt as _;
    match std::fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() => Some("is not a regular file"),
        Ok(metadata) if metadata.permissions().mode() & 0o111 != 0 => Some("is executable"),
        Ok(_) => None,
        Err(_) => Some("cannot be read"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::config::preprocess::preprocess;

    fn load(folder: &Path, options: &LoadOptions) -> SourceSet {
        SourceSet::load(&folder.join("main.conf"), options).unwrap()
    }

    fn lines(set: &SourceSet) -> Vec<String> {
        preprocess(set.main(), &mut Frozen(set))
            .lines
            .into_iter()
            .map(|line| line.text.into())
            .collect()
    }

    #[test]
    fn includes_are_read_relative_to_their_file_and_frozen() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("d")).unwrap();
        std::fs::write(at("main.conf"), "a\ninclude d/*.conf\nb ${_ENV HOME}\n").unwrap();
        std::fs::write(at("d/2.conf"), "two\ninclude {x,y}.inc\n").unwrap();
        std::fs::write(at("d/1.conf"), "one\n").unwrap();
        std::fs::write(at("d/y.inc"), "why\n").unwrap();
        let set = load(folder.path(), &LoadOptions::default());
        let home = format!("b {}", std::env::var("HOME").unwrap_or_default());
        let expected = ["a", "one", "two", "why", home.trim()];
        assert_eq!(lines(&set), expected);
        std::fs::write(at("d/1.conf"), "changed\n").unwrap();
        assert_eq!(lines(&set), expected);
    }

    #[test]
    fn a_missing_include_is_fatal_only_where_asked() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("main.conf"), "include nothing*\n").unwrap();
        for all_config in [false, true] {
            let options = LoadOptions { all_config, ..LoadOptions::default() };
            let set = load(folder.path(), &options);
            let found = preprocess(set.main(), &mut Frozen(&set)).diagnostics;
            assert_eq!(found.len(), 1);
            let fatal = found[0].severity == crate::core::diagnostics::Severity::Fatal;
            assert_eq!(fatal, all_config);
        }
        let missing = SourceSet::load(&folder.path().join("none"), &LoadOptions::default());
        assert!(missing.unwrap_err().is_missing());
    }

    #[test]
    fn each_form_of_include_is_as_strict_as_it_says() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("there.inc"), "x\n").unwrap();
        for (line, fatal) in [
            ("include none", Some(false)),
            ("includer none", Some(false)),
            ("includer there.inc", None),
            ("includer .", Some(true)),
            ("include .", Some(false)),
            ("includem none", Some(true)),
            ("includem none*", Some(false)),
            ("includew none*", Some(true)),
            ("includeb {none,there}.inc", Some(true)),
            ("includer {none,there}.inc", None),
            ("includea there*", None),
        ] {
            std::fs::write(folder.path().join("main.conf"), line).unwrap();
            let set = load(folder.path(), &LoadOptions::default());
            let found = preprocess(set.main(), &mut Frozen(&set)).diagnostics;
            let severe = |found: &crate::core::diagnostics::Diagnostic| {
                found.severity == crate::core::diagnostics::Severity::Fatal
            };
            assert_eq!(found.first().map(severe), fatal, "{line}");
        }
    }
}
