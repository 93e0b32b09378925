//! The files of a configuration, read once and frozen.
//!
//! The parent reads them; what was read, and what includes and environment gave, travels to the
//! children, who see the same even when the files have changed since.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::preprocess::{Files, IncludeError, preprocess};
use crate::core::diagnostics::{FileId, SourceMap, SourceText};

/// Files of one configuration.
const MOST_FILES: usize = 4096;
/// Bytes of all files together.
const LARGEST: u64 = 128 << 20;
const MAGIC: &[u8; 8] = b"STEADF01";

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
    /// Bytes that were not made by [`SourceSet::to_bytes`].
    #[error("the frozen configuration is damaged: {0}")]
    Damaged(&'static str),
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
    files: Vec<(String, Arc<[u8]>)>,
    main: Vec<FileId>,
    includes: BTreeMap<(FileId, String, String), Result<Vec<FileId>, IncludeError>>,
    environment: BTreeMap<String, Option<String>>,
    config_id: String,
    host_name: String,
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
        // The result is thrown away: what counts is what was asked for on the way.
        preprocess(&main, &mut reader);
        Ok(reader.set)
    }

    /// One text without includes, for tests and fuzzing.
    pub fn from_text(name: &str, text: impl AsRef<[u8]>) -> Self {
        Self {
            files: vec![(name.to_owned(), Arc::from(text.as_ref()))],
            main: vec![FileId(0)],
            config_id: "test".to_owned(),
            host_name: "test".to_owned(),
            ..Self::default()
        }
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
            .map(|(name, bytes)| SourceText { name: name.clone(), bytes: Arc::clone(bytes) });
        SourceMap { files: texts.collect() }
    }

    /// For another process.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer(MAGIC.to_vec());
        out.text(&self.config_id);
        out.text(&self.host_name);
        out.count(self.files.len());
        for (name, bytes) in &self.files {
            out.text(name);
            out.bytes(bytes);
        }
        out.ids(&self.main);
        out.count(self.includes.len());
        for ((from, keyword, pattern), found) in &self.includes {
            out.count(from.0 as usize);
            out.text(keyword);
            out.text(pattern);
            match found {
                Ok(ids) => {
                    out.count(0);
                    out.ids(ids);
                }
                Err(error) => {
                    out.count(1 + usize::from(error.fatal));
                    out.text(&error.message);
                }
            }
        }
        out.count(self.environment.len());
        for (name, value) in &self.environment {
            out.text(name);
            out.count(usize::from(value.is_some()));
            out.text(value.as_deref().unwrap_or_default());
        }
        out.0
    }

    /// What [`Self::to_bytes`] made.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LoadError> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(LoadError::Damaged("it begins wrongly"))?;
        let set =
            parse(&mut Bytes(rest)).ok_or(LoadError::Damaged("it is cut off or inconsistent"))?;
        let known = |id: &FileId| (id.0 as usize) < set.files.len();
        let sound = set.main.iter().all(known)
            && set.includes.iter().all(|((from, ..), found)| {
                known(from) && found.as_ref().map_or(true, |ids| ids.iter().all(known))
            });
        if sound { Ok(set) } else { Err(LoadError::Damaged("it names a file that is not there")) }
    }
}

/// Answers the preprocessor from what was frozen.
#[derive(Debug)]
pub struct Frozen<'a>(pub &'a SourceSet);

impl Files for Frozen<'_> {
    fn text(&self, file: FileId) -> Arc<[u8]> {
        self.0
            .files
            .get(file.0 as usize)
            .map_or_else(|| Arc::from([]), |(_, text)| Arc::clone(text))
    }

    fn folder(&self, file: FileId) -> String {
        let name = self.0.files.get(file.0 as usize).map_or("", |(name, _)| name.as_str());
        Path::new(name).parent().map(|path| path.display().to_string()).unwrap_or_default()
    }

    fn include(
        &mut self,
        from: FileId,
        keyword: &str,
        pattern: &str,
    ) -> Result<Vec<FileId>, IncludeError> {
        let key = (from, keyword.to_owned(), pattern.to_owned());
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
        let size = std::fs::metadata(path)?.len();
        self.total = self.total.saturating_add(size);
        if self.set.files.len() >= MOST_FILES || self.total > LARGEST {
            return Err(io::Error::other("the configuration is too large"));
        }
        let bytes = std::fs::read(path)?;
        self.set.files.push((name, bytes.into()));
        Ok(FileId(u32::try_from(self.set.files.len() - 1).unwrap_or(u32::MAX)))
    }
}

impl Files for Reader {
    fn text(&self, file: FileId) -> Arc<[u8]> {
        Frozen(&self.set).text(file)
    }

    fn folder(&self, file: FileId) -> String {
        Frozen(&self.set).folder(file)
    }

    fn include(
        &mut self,
        from: FileId,
        keyword: &str,
        pattern: &str,
    ) -> Result<Vec<FileId>, IncludeError> {
        let key = (from, keyword.to_owned(), pattern.to_owned());
        if let Some(known) = self.set.includes.get(&key) {
            return known.clone();
        }
        let found = self.find(from, keyword, pattern);
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
}

impl Reader {
    fn find(
        &mut self,
        from: FileId,
        keyword: &str,
        pattern: &str,
    ) -> Result<Vec<FileId>, IncludeError> {
        let strict =
            self.all_config || matches!(keyword, "includea" | "includem" | "includew" | "includeb");
        let absolute = match pattern.strip_prefix("~/") {
            Some(rest) => Path::new(&std::env::var("HOME").unwrap_or_default()).join(rest),
            None => Path::new(&self.folder(from)).join(pattern),
        };
        let mut ids = Vec::new();
        for path in glob(&absolute.to_string_lossy()) {
            if let Some(fault) = unsuitable(&path) {
                if strict || keyword == "includer" {
                    let message = format!("Include '{}' {fault}", path.display());
                    return Err(IncludeError { message, fatal: true });
                }
                continue;
            }
            match self.read(&path) {
                Ok(id) => ids.push(id),
                Err(error) => {
                    let message = format!("Include '{}' cannot be read: {error}", path.display());
                    return Err(IncludeError { message, fatal: strict || keyword == "includer" });
                }
            }
        }
        if ids.is_empty() {
            let message = format!("Include '{pattern}' matches no file");
            return Err(IncludeError { message, fatal: strict });
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

/// The existing paths that match a pattern with `*`, `?`, `[…]` and `{a,b}`, in order.
fn glob(pattern: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for alternative in alternatives(pattern, 0) {
        let mut paths = vec![PathBuf::from("/")];
        for part in alternative.split('/').filter(|part| !part.is_empty()) {
            paths = paths.iter().flat_map(|base| children(base, part)).take(MOST_FILES).collect();
        }
        found.extend(paths.into_iter().filter(|path| path.exists()));
    }
    found
}

fn children(base: &Path, part: &str) -> Vec<PathBuf> {
    if !part.contains(['*', '?', '[']) {
        return vec![base.join(part)];
    }
    let Ok(entries) = std::fs::read_dir(base) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| !name.starts_with('.') || part.starts_with('.'))
        .filter(|name| matches(part.as_bytes(), name.as_bytes()))
        .collect();
    names.sort();
    names.iter().map(|name| base.join(name)).collect()
}

/// `{a,b}` spelled out; nested too.
fn alternatives(pattern: &str, depth: usize) -> Vec<String> {
    let whole = || vec![pattern.to_owned()];
    let Some(open) = pattern.find('{').filter(|_| depth < 8) else {
        return whole();
    };
    let (mut level, mut parts, mut from) = (0usize, Vec::new(), open + 1);
    for (at, character) in pattern.char_indices().skip_while(|(at, _)| *at < open) {
        match character {
            '{' => level += 1,
            ',' if level == 1 => {
                parts.push(pattern.get(from..at).unwrap_or_default());
                from = at + 1;
            }
            '}' if level == 1 => {
                parts.push(pattern.get(from..at).unwrap_or_default());
                let (before, after) = (
                    pattern.get(..open).unwrap_or_default(),
                    pattern.get(at + 1..).unwrap_or_default(),
                );
                return parts
                    .iter()
                    .flat_map(|part| alternatives(&format!("{before}{part}{after}"), depth + 1))
                    .take(256)
                    .collect();
            }
            '}' => level = level.saturating_sub(1),
            _ => {}
        }
    }
    whole()
}

/// Whether a name matches `*`, `?` and `[a-z]`; linear in practice, no recursion.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        let step = match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
                continue;
            }
            Some(b'?') => Some(1),
            Some(b'[') => class(pattern.get(p..).unwrap_or_default(), name.get(n).copied()),
            Some(byte) => (Some(byte) == name.get(n)).then_some(1),
            None => None,
        };
        match (step, star) {
            (Some(length), _) => {
                p += length;
                n += 1;
            }
            (None, Some((at, eaten))) => {
                star = Some((at, eaten + 1));
                p = at + 1;
                n = eaten + 1;
            }
            (None, None) => return false,
        }
    }
    pattern.get(p..).unwrap_or_default().iter().all(|byte| *byte == b'*')
}

/// `[abc]`, `[a-c]`, `[!a]`: the length of the class when the byte is in it.
fn class(pattern: &[u8], byte: Option<u8>) -> Option<usize> {
    let byte = byte?;
    let close = pattern.iter().skip(2).position(|c| *c == b']')? + 2;
    let inside = pattern.get(1..close)?;
    let (negated, inside) = match inside.split_first() {
        Some((b'!' | b'^', rest)) => (true, rest),
        Some(_) | None => (false, inside),
    };
    let mut found = false;
    let mut rest = inside;
    while let Some((first, more)) = rest.split_first() {
        if let [b'-', last, after @ ..] = more {
            found |= (*first..=*last).contains(&byte);
            rest = after;
        } else {
            found |= *first == byte;
            rest = more;
        }
    }
    (found != negated).then_some(close + 1)
}

/// What the fuzzer runs: bytes are refused, or come back the same and compile.
pub fn fuzz(data: &[u8]) {
    if let Ok(set) = SourceSet::from_bytes(data) {
        assert_eq!(SourceSet::from_bytes(&set.to_bytes()).ok(), Some(set.clone()));
        let _ = super::parse(&set);
    }
}

struct Writer(Vec<u8>);

impl Writer {
    fn count(&mut self, count: usize) {
        self.0.extend(u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.0.extend(bytes);
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn ids(&mut self, ids: &[FileId]) {
        self.count(ids.len());
        for id in ids {
            self.count(id.0 as usize);
        }
    }
}

struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn count(&mut self) -> Option<u32> {
        let (number, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*number))
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.count()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }

    fn ids(&mut self) -> Option<Vec<FileId>> {
        (0..self.count()?).map(|_| self.count().map(FileId)).collect()
    }
}

fn parse(bytes: &mut Bytes<'_>) -> Option<SourceSet> {
    let mut set =
        SourceSet { config_id: bytes.text()?, host_name: bytes.text()?, ..SourceSet::default() };
    for _ in 0..bytes.count()? {
        set.files.push((bytes.text()?, bytes.bytes()?.into()));
    }
    set.main = bytes.ids()?;
    for _ in 0..bytes.count()? {
        let key = (FileId(bytes.count()?), bytes.text()?, bytes.text()?);
        let found = match bytes.count()? {
            0 => Ok(bytes.ids()?),
            kind => Err(IncludeError { message: bytes.text()?, fatal: kind == 2 }),
        };
        set.includes.insert(key, found);
    }
    for _ in 0..bytes.count()? {
        let (name, present, value) = (bytes.text()?, bytes.count()?, bytes.text()?);
        set.environment.insert(name, (present == 1).then_some(value));
    }
    bytes.0.is_empty().then_some(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(folder: &Path, options: &LoadOptions) -> SourceSet {
        SourceSet::load(&folder.join("main.conf"), options).unwrap()
    }

    fn lines(set: &SourceSet) -> Vec<String> {
        preprocess(set.main(), &mut Frozen(set)).lines.into_iter().map(|line| line.text).collect()
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
        let copy = SourceSet::from_bytes(&set.to_bytes()).unwrap();
        assert_eq!(copy, set);
        assert_eq!(lines(&copy), expected);
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
    fn patterns_match_as_in_a_shell() {
        for (pattern, name, expected) in [
            ("*.conf", "a.conf", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
            ("[a-c]?", "bz", true),
            ("[!a-c]?", "bz", false),
            ("*", "", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
        assert_eq!(alternatives("a{b,c{d,e}}f", 0), ["abf", "acdf", "acef"]);
    }

    #[test]
    fn damaged_bytes_are_refused() {
        let bytes = SourceSet::from_text("x", "a\n").to_bytes();
        for length in 0..bytes.len() {
            assert!(SourceSet::from_bytes(&bytes[..length]).is_err());
        }
        for index in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[index] ^= 0x55;
            let _ = SourceSet::from_bytes(&damaged);
        }
    }
}
