//! The configuration in memory that nobody can change, ready for each child.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Seek as _, Write};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::fcntl::{FcntlArg, OFlag, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::command_line::Role;
use crate::core::config::compile::ServiceSink;
use crate::core::config::handed::{self, Part, Writer};
use crate::core::config::model::Config;
use crate::core::config::model::check::VirtualServer;
use crate::core::shared::Shared;

/// Bytes that are written or read at once.
const AT_ONCE: usize = 64 << 10;

/// What the children get: each its part.
#[derive(Debug)]
pub(super) struct Sealed {
    check: OwnedFd,
    vrrp: OwnedFd,
    bfd: OwnedFd,
}

impl Sealed {
    /// `services` were built with `config`.
    pub(super) fn of(config: &Config, services: SealedServices) -> io::Result<Self> {
        let maker = maker()?;
        let part = |part: Part| {
            let mut memory = Memory::new()?;
            handed::write(config, part, &maker, &mut memory)?;
            keep(config, memory)
        };
        let check = keep(config, services.finish(config)?)?;
        Ok(Self { check, vrrp: part(Part::Vrrp)?, bfd: part(Part::Bfd)? })
    }

    /// That of a child.
    pub(super) const fn part(&self, role: Role) -> &OwnedFd {
        match role {
            Role::Check => &self.check,
            Role::Vrrp => &self.vrrp,
            Role::Bfd => &self.bfd,
        }
    }
}

/// `tmp_config_directory`, else the memory that it is in.
fn keep(config: &Config, memory: Memory) -> io::Result<OwnedFd> {
    let sealed = memory.seal()?;
    let Some(folder) = &config.global.files.temporary_directory else {
        return Ok(sealed);
    };
    seal_in(Path::new(folder), sealed.try_clone()?).or_else(|error| {
        tracing::error!("nothing can be kept in {folder}, memory is used: {error}");
        Ok(sealed)
    })
}

/// Virtual servers, written while the text is read.
#[derive(Debug, Default)]
pub(super) struct SealedServices {
    /// Nothing before the beginning; then why not, if it went wrong.
    written: Option<io::Result<Writer<Memory>>>,
    count: usize,
}

impl ServiceSink for SealedServices {
    fn begin(&mut self) {
        let begun = || Writer::begin(Part::Check, &maker()?, Memory::new()?);
        *self = Self { written: Some(begun()), count: 0 };
    }

    fn give(&mut self, service: Shared<VirtualServer>) {
        self.count += 1;
        if let Some(Ok(writer)) = &mut self.written
            && let Err(error) = writer.service(&service)
        {
            self.written = Some(Err(error));
        }
    }
}

impl SealedServices {
    /// How many there are.
    pub(super) const fn count(&self) -> usize {
        self.count
    }

    fn finish(self, config: &Config) -> io::Result<Memory> {
        match self.written {
            Some(writer) => writer?.finish(config),
            None => Err(io::Error::other("nothing has been compiled")),
        }
    }
}

/// Memory that can be sealed when all is written.
#[derive(Debug)]
pub struct Memory(BufWriter<File>);

impl Memory {
    /// Empty.
    pub fn new() -> io::Result<Self> {
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let file = File::from(memfd_create("configuration", flags)?);
        Ok(Self(BufWriter::with_capacity(AT_ONCE, file)))
    }

    /// From now on nobody can change it.
    pub fn seal(self) -> io::Result<OwnedFd> {
        let file = self.0.into_inner()?;
        let seals = SealFlag::F_SEAL_SEAL
            | SealFlag::F_SEAL_SHRINK
            | SealFlag::F_SEAL_GROW
            | SealFlag::F_SEAL_WRITE;
        fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
        Ok(file.into())
    }
}

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// The same in a file of `folder` (`tmp_config_directory`) that has no name, and that only we can
/// open: what comes back can be read, and nobody has kept what could be written to.
fn seal_in(folder: &Path, sealed: OwnedFd) -> io::Result<OwnedFd> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600).custom_flags(libc::O_TMPFILE);
    let mut file = options.open(folder)?;
    io::copy(&mut unseal(sealed)?, &mut file)?;
    let reader = File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    Ok(reader.into())
}

/// Whether nobody can change it: sealed memory, or a file without a name, open for reading. Some file
/// systems know seals of files too, so that having none says nothing.
fn is_sealed(descriptor: &OwnedFd) -> io::Result<bool> {
    let seals = fcntl(descriptor.as_fd(), FcntlArg::F_GET_SEALS).unwrap_or(0);
    let wanted = SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_SHRINK;
    if SealFlag::from_bits_truncate(seals).contains(wanted) {
        return Ok(true);
    }
    let mode = OFlag::from_bits_truncate(fcntl(descriptor.as_fd(), FcntlArg::F_GETFL)?);
    let found = nix::sys::stat::fstat(descriptor)?;
    Ok(found.st_nlink == 0 && mode & OFlag::O_ACCMODE == OFlag::O_RDONLY)
}

/// What was sealed, from its beginning.
pub fn unseal(descriptor: OwnedFd) -> io::Result<BufReader<File>> {
    if !is_sealed(&descriptor)? {
        return Err(io::Error::other("the configuration that was handed over is not sealed"));
    }
    let mut file = File::from(descriptor);
    // The descriptor shares its position with the sender's.
    file.rewind()?;
    Ok(BufReader::with_capacity(AT_ONCE, file))
}

/// What tells this program from any other: only the very same one understands the bytes that it hands
/// over. A child is executed as `/proc/self/exe`, which stays the same when an upgrade puts another
/// program in its place.
pub fn maker() -> io::Result<String> {
    let program = std::fs::metadata("/proc/self/exe")?;
    let (size, seconds, nanoseconds) = (program.size(), program.mtime(), program.mtime_nsec());
    Ok(format!(
        "version {} ({size} bytes of {seconds}.{nanoseconds:09})",
        env!("CARGO_PKG_VERSION")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(text: &str) -> OwnedFd {
        let mut memory = Memory::new().unwrap();
        memory.write_all(text.as_bytes()).unwrap();
        memory.seal().unwrap()
    }

    #[test]
    fn an_ordinary_file_is_not_taken_for_a_configuration() {
        let file = tempfile::tempfile().unwrap();
        assert!(unseal(file.into()).is_err(), "it could be written to");
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(unseal(File::open(file.path()).unwrap().into()).is_err(), "it has a name");
    }

    #[test]
    fn a_configuration_may_travel_in_a_file_of_a_folder() {
        // The second one is in memory, where files have seals.
        for place in [std::env::temp_dir(), "/dev/shm".into()] {
            let folder = tempfile::tempdir_in(place).unwrap();
            let sealed = seal_in(folder.path(), sealed("text")).unwrap();
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "it has no name");
            let mut writer = File::from(sealed.try_clone().unwrap());
            assert!(writer.write_all(b"x").is_err());
            assert_eq!(io::read_to_string(unseal(sealed).unwrap()).unwrap(), "text");
        }
        assert!(seal_in(Path::new("/nonexistent"), sealed("text")).is_err());
    }

    #[test]
    fn each_child_reads_its_part_whether_in_memory_or_in_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().to_str().map(str::to_owned);
        for temporary_directory in [None, folder] {
            let mut config = Config::default();
            config.global.files.temporary_directory = temporary_directory;
            let mut services = SealedServices::default();
            services.begin();
            let sealed = Sealed::of(&config, services).unwrap();
            for role in Role::ALL {
                let part = sealed.part(role).try_clone().unwrap();
                let read = handed::Reader::default().read(
                    role.part(),
                    &maker().unwrap(),
                    unseal(part).unwrap(),
                );
                assert_eq!(read.unwrap(), config);
            }
        }
    }
}
