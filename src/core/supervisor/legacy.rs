//! What a child leaves to its successor when it dies: who was master, or which BFD sessions were up,
//! until when its packets were in time, and the latest trailer of `auth_hmac` that it sent. A piece of
//! memory that the parent holds, so that it outlives the child.
//!
//! ```text
//!  alive: u64, ns of the clock since boot | stamp: u64 | length: u32 | one line each
//! ```
//! The length is 0 while the lines are being written: a child killed in the middle leaves nothing.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;

use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::core::time::Timestamp;

const STAMP_AT: u64 = 8;
const LENGTH_AT: u64 = 16;
const NAMES_AT: u64 = 20;
/// Far above the names of any number of instances.
const LONGEST: u32 = 16 << 20;

/// Memory that outlives a process.
#[derive(Debug)]
pub struct Legacy {
    file: File,
}

impl Legacy {
    /// Makes one that says nothing.
    pub fn new() -> io::Result<Self> {
        let file = File::from(memfd_create("legacy", MFdFlags::MFD_CLOEXEC)?);
        file.write_all_at(&[0; 20], 0)?;
        Ok(Self { file })
    }

    /// From the other process.
    pub fn from_descriptor(descriptor: OwnedFd) -> Self {
        Self { file: descriptor.into() }
    }

    /// For the other process.
    pub fn descriptor(&self) -> io::Result<OwnedFd> {
        Ok(self.file.try_clone()?.into())
    }

    /// Everything that was due until `now` has been sent.
    pub fn alive(&self, now: Timestamp) -> io::Result<()> {
        self.file.write_all_at(&now.as_nanos().to_le_bytes(), 0)
    }

    /// No trailer that was sent is later than this. 0 says that none was.
    pub fn set_stamp(&self, bits: u64) -> io::Result<()> {
        self.file.write_all_at(&bits.to_le_bytes(), STAMP_AT)
    }

    /// The latest trailer; 0 when none was sent.
    pub fn stamp(&self) -> io::Result<u64> {
        let mut bits = [0; 8];
        self.file.read_exact_at(&mut bits, STAMP_AT)?;
        Ok(u64::from_le_bytes(bits))
    }

    /// The names of those that are master now; the BFD sessions that are up.
    pub fn set_lines(&self, lines: &[String]) -> io::Result<()> {
        let text = lines.join("\n");
        let length = u32::try_from(text.len()).map_err(io::Error::other)?;
        self.file.write_all_at(&0u32.to_le_bytes(), LENGTH_AT)?;
        self.file.write_all_at(text.as_bytes(), NAMES_AT)?;
        self.file.write_all_at(&length.to_le_bytes(), LENGTH_AT)
    }

    /// When the process was last in time, and the lines that it left.
    pub fn read(&self) -> io::Result<(Timestamp, Vec<String>)> {
        let (mut alive, mut length) = ([0; 8], [0; 4]);
        self.file.read_exact_at(&mut alive, 0)?;
        self.file.read_exact_at(&mut length, LENGTH_AT)?;
        let length = u32::from_le_bytes(length).min(LONGEST);
        let mut text = vec![0; usize::try_from(length).unwrap_or(0)];
        self.file.read_exact_at(&mut text, NAMES_AT)?;
        let names = String::from_utf8_lossy(&text).lines().map(str::to_owned).collect();
        Ok((Timestamp::from_nanos(u64::from_le_bytes(alive)), names))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_writes_the_next_reads() {
        let legacy = Legacy::new().unwrap();
        assert_eq!(legacy.read().unwrap(), (Timestamp::ZERO, Vec::new()));
        let child = Legacy::from_descriptor(legacy.descriptor().unwrap());
        let names = vec!["VI_1".to_owned(), "a name with blanks".to_owned()];
        child.set_lines(&names).unwrap();
        child.alive(Timestamp::from_nanos(7)).unwrap();
        assert_eq!(legacy.read().unwrap(), (Timestamp::from_nanos(7), names.clone()));
        child.set_stamp(9).unwrap();
        assert_eq!(legacy.stamp().unwrap(), 9);
        assert_eq!(legacy.read().unwrap(), (Timestamp::from_nanos(7), names));
        child.set_lines(&[]).unwrap();
        assert_eq!(legacy.read().unwrap().1, Vec::<String>::new());
    }
}
