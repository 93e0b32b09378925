//! The frozen form of a configuration: what the parent hands to its children in a sealed memory file.
//!
//! Little endian; a count is 32 bits; a text is its length and its bytes.
//!
//! ```text
//! magic (8 bytes)  config id  host name  seed (64 bits)  lines with named objects (64 bits)
//! count of files:        name, bytes
//! count of main files:   index
//! count of includes:     index of the file, checks, pattern,
//!                        0 + indices | 1 or 2 (fatal) + message
//! count of variables:    name, whether it is set, value
//! ```

use std::io;

use bytes::Bytes;

use super::{LoadError, SourceSet};
use crate::core::config::preprocess::{IncludeChecks, IncludeError};
use crate::core::diagnostics::FileId;

/// The number goes up whenever the form of the bytes changes.
const MAGIC: &[u8; 8] = b"STEADF03";

impl SourceSet {
    /// For another process.
    pub fn write_to(&self, out: impl io::Write) -> io::Result<()> {
        let mut out = Writer(out);
        out.0.write_all(MAGIC)?;
        out.text(&self.config_id)?;
        out.text(&self.host_name)?;
        out.0.write_all(&self.seed.to_le_bytes())?;
        out.0.write_all(&self.named_until.to_le_bytes())?;
        out.count(self.files.len())?;
        for (name, bytes) in &self.files {
            out.text(name)?;
            out.bytes(bytes)?;
        }
        out.ids(&self.main)?;
        out.count(self.includes.len())?;
        for ((from, checks, pattern), found) in &self.includes {
            out.count(from.0 as usize)?;
            out.count(bits(*checks))?;
            out.text(pattern)?;
            match found {
                Ok(ids) => {
                    out.count(0)?;
                    out.ids(ids)?;
                }
                Err(error) => {
                    out.count(1 + usize::from(error.fatal))?;
                    out.text(&error.message)?;
                }
            }
        }
        out.count(self.environment.len())?;
        for (name, value) in &self.environment {
            out.text(name)?;
            out.count(usize::from(value.is_some()))?;
            out.text(value.as_deref().unwrap_or_default())?;
        }
        out.0.flush()
    }

    /// The same as bytes.
    pub fn to_bytes(&self) -> Bytes {
        let mut bytes = Vec::new();
        // A vector takes all.
        let _ = self.write_to(&mut bytes);
        bytes.into()
    }

    /// What [`Self::write_to`] wrote; the texts are parts of `bytes`.
    pub fn from_bytes(bytes: &Bytes) -> Result<Self, LoadError> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(LoadError::Damaged("it begins wrongly"))?;
        let set = parse(&mut Parser { rest, whole: bytes })
            .ok_or(LoadError::Damaged("it is cut off or inconsistent"))?;
        let known = |id: &FileId| (id.0 as usize) < set.files.len();
        let sound = set.main.iter().all(known)
            && set.includes.iter().all(|((from, ..), found)| {
                known(from) && found.as_ref().map_or(true, |ids| ids.iter().all(known))
            });
        if sound { Ok(set) } else { Err(LoadError::Damaged("it names a file that is not there")) }
    }
}

fn bits(checks: IncludeChecks) -> usize {
    usize::from(checks.readable)
        | usize::from(checks.exact) << 1
        | usize::from(checks.wildcard) << 2
        | usize::from(checks.brace) << 3
}

fn checks(bits: u32) -> Option<IncludeChecks> {
    (bits < 16).then_some(IncludeChecks {
        readable: bits & 1 != 0,
        exact: bits & 2 != 0,
        wildcard: bits & 4 != 0,
        brace: bits & 8 != 0,
    })
}

struct Writer<W>(W);

impl<W: io::Write> Writer<W> {
    fn count(&mut self, count: usize) -> io::Result<()> {
        self.0.write_all(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes())
    }

    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.count(bytes.len())?;
        self.0.write_all(bytes)
    }

    fn text(&mut self, text: &str) -> io::Result<()> {
        self.bytes(text.as_bytes())
    }

    fn ids(&mut self, ids: &[FileId]) -> io::Result<()> {
        self.count(ids.len())?;
        ids.iter().try_for_each(|id| self.count(id.0 as usize))
    }
}

struct Parser<'a> {
    rest: &'a [u8],
    whole: &'a Bytes,
}

impl<'a> Parser<'a> {
    fn count(&mut self) -> Option<u32> {
        let (number, rest) = self.rest.split_first_chunk::<4>()?;
        self.rest = rest;
        Some(u32::from_le_bytes(*number))
    }

    fn number(&mut self) -> Option<u64> {
        let (number, rest) = self.rest.split_first_chunk::<8>()?;
        self.rest = rest;
        Some(u64::from_le_bytes(*number))
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.count()?).ok()?;
        let (bytes, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(bytes)
    }

    fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }

    fn ids(&mut self) -> Option<Vec<FileId>> {
        (0..self.count()?).map(|_| self.count().map(FileId)).collect()
    }
}

fn parse(bytes: &mut Parser<'_>) -> Option<SourceSet> {
    let mut set = SourceSet {
        config_id: bytes.text()?,
        host_name: bytes.text()?,
        seed: bytes.number()?,
        named_until: bytes.number()?,
        ..SourceSet::default()
    };
    for _ in 0..bytes.count()? {
        let name = bytes.text()?;
        let text = bytes.bytes()?;
        set.files.push((name, bytes.whole.slice_ref(text)));
    }
    set.main = bytes.ids()?;
    for _ in 0..bytes.count()? {
        let from = FileId(bytes.count()?);
        let key = (from, checks(bytes.count()?)?, bytes.text()?);
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
    bytes.rest.is_empty().then_some(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_bytes_are_refused() {
        let bytes = SourceSet::from_text("x", "a\n").to_bytes();
        for length in 0..bytes.len() {
            assert!(SourceSet::from_bytes(&bytes.slice(..length)).is_err());
        }
        for index in 0..bytes.len() {
            let mut damaged = bytes.to_vec();
            damaged[index] ^= 0x55;
            let _ = SourceSet::from_bytes(&damaged.into());
        }
    }
}
