//! What a process may have put onto interfaces, noted in a file for the one that comes after a crash
//! of everything: it takes away what the configuration no longer has.
//!
//! ```text
//! 1 BOOT_ID NETWORK_NAMESPACE
//! address eth0 10.0.0.1/24
//! link vrrp.51 00:00:5e:00:01:33
//! link ipvl.52 -
//! ```
//! The mark of an address in the kernel (protocol 18, from Linux 5.18) says that some process of this
//! kind has added it, but not which one, and several may run on one host. The rule: something is
//! removed when
//! - the process whose pid file we have now noted it. Pid files are locked, so that process is dead;
//! - it did so since the host was started, and in our network namespace;
//! - our configuration does not have it: what it has is adopted, as ever;
//! - no living process has noted it, too. Each keeps its file locked while it lives, and the files
//!   are in one folder;
//! - an address has the mark, an interface is a macvlan with the noted MAC, or an ipvlan.
//!
//! A file has what the configuration has, whether it is held or not: it is written at the start and
//! at a reload only, and is there before the first of it is added. An orderly stop removes it.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::{FcntlArg, fcntl};

/// Where the files of all processes are.
pub const FOLDER: &str = "/run/steadfast";
/// Of the form above.
const FORM: &str = "1";
/// Far above what any configuration has.
const LONGEST: u64 = 16 << 20;

/// An address: the interface's name, the address, its prefix length.
pub type NotedAddress = (String, IpAddr, u8);
/// An interface: its name and its MAC, which an ipvlan does not have.
pub type NotedLink = (String, Option<[u8; 6]>);

/// What is noted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Items {
    /// On interfaces.
    pub addresses: BTreeSet<NotedAddress>,
    /// Interfaces that were made.
    pub links: BTreeSet<NotedLink>,
}

impl Items {
    /// Both.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        self.addresses.extend(other.addresses.iter().cloned());
        self.links.extend(other.links.iter().cloned());
        self
    }

    /// Those that `other` does not have.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        Self { addresses: &self.addresses - &other.addresses, links: &self.links - &other.links }
    }
}

/// Our file, locked.
#[derive(Debug)]
pub struct Remains {
    path: PathBuf,
    file: File,
    place: String,
}

impl Remains {
    /// Takes the file that belongs to a pid file, and gives what is in it: a process that is dead now
    /// has noted it.
    pub fn take(folder: &Path, pid_file: &Path) -> io::Result<(Self, Items)> {
        DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
        let name = std::path::absolute(pid_file)?.display().to_string().replace('/', "!");
        let path = folder.join(name);
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.custom_flags(libc::O_NOFOLLOW).open(&path)?;
        fcntl(&file, FcntlArg::F_OFD_SETLK(&lock(libc::F_WRLCK)))?;
        let place = place()?;
        let noted = read(&file, &place)?;
        Ok((Self { path, file, place }, noted))
    }

    /// What other living processes have noted.
    pub fn of_others(&self) -> Items {
        let mut all = Items::default();
        let Some(Ok(files)) = self.path.parent().map(fs::read_dir) else { return all };
        for path in files.flatten().map(|file| file.path()).filter(|path| *path != self.path) {
            let mut options = File::options();
            options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
            let Ok(file) = options.open(&path) else { continue };
            if let (true, Ok(noted)) = (is_locked(&file), read(&file, &self.place)) {
                all = all.and(&noted);
            }
        }
        all
    }

    /// What is noted now. It is in the file only: thousands of addresses would need memory for ever.
    pub fn noted(&self) -> io::Result<Items> {
        read(&self.file, &self.place)
    }

    /// Notes this, and nothing else.
    pub fn note(&mut self, items: &Items) -> io::Result<()> {
        if *items == self.noted()? {
            return Ok(());
        }
        let text = emit(&self.place, items);
        self.file.write_all_at(text.as_bytes(), 0)?;
        self.file.set_len(text.len().try_into().map_err(io::Error::other)?)
    }

    /// Nothing is left.
    pub fn end(self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }
}

fn lock(kind: i32) -> libc::flock {
    libc::flock {
        l_type: i16::try_from(kind).unwrap_or(1),
        l_whence: 0,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

fn is_locked(file: &File) -> bool {
    let mut found = lock(libc::F_RDLCK);
    let asked = fcntl(file, FcntlArg::F_OFD_GETLK(&mut found));
    asked.is_ok() && i32::from(found.l_type) != libc::F_UNLCK
}

/// This boot of the host, and our network namespace.
fn place() -> io::Result<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    Ok(format!("{} {}", boot.trim(), fs::metadata("/proc/self/ns/net")?.ino()))
}

/// What is in a file; nothing when it is of another place, or when somebody else could have written
/// it.
fn read(mut file: &File, place: &str) -> io::Result<Items> {
    let about = file.metadata()?;
    if !about.is_file()
        || about.uid() != nix::unistd::geteuid().as_raw()
        || about.mode() & 0o22 != 0
    {
        return Ok(Items::default());
    }
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(parse(&bytes).filter(|(found, _)| found == place).map_or_else(Items::default, |read| read.1))
}

fn emit(place: &str, items: &Items) -> String {
    let addresses = items
        .addresses
        .iter()
        .map(|(interface, address, prefix)| format!("address {interface} {address}/{prefix}\n"));
    let links = items.links.iter().map(|(name, mac)| {
        let octets = mac.map(|mac| mac.map(|octet| format!("{octet:02x}")).join(":"));
        format!("link {name} {}\n", octets.as_deref().unwrap_or("-"))
    });
    std::iter::once(format!("{FORM} {place}\n")).chain(addresses).chain(links).collect()
}

/// The place, and what is noted; lines that were cut or are of no known form are passed over. `None`
/// when the form is another one.
fn parse(bytes: &[u8]) -> Option<(String, Items)> {
    let text = std::str::from_utf8(bytes).ok()?;
    // A line that does not end was cut.
    let mut lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
    let (form, place) = lines.next()?.split_once(' ')?;
    if form != FORM {
        return None;
    }
    let mut items = Items::default();
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["address", interface, address] => {
                items.addresses.extend(parse_address(interface, address));
            }
            ["link", name, "-"] => {
                items.links.insert(((*name).to_owned(), None));
            }
            ["link", name, mac] => {
                items.links.extend(parse_mac(mac).map(|mac| ((*name).to_owned(), Some(mac))));
            }
            _ => {}
        }
    }
    Some((place.to_owned(), items))
}

fn parse_address(interface: &str, text: &str) -> Option<NotedAddress> {
    let (address, prefix) = text.split_once('/')?;
    Some((interface.to_owned(), address.parse().ok()?, prefix.parse().ok()?))
}

fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let octets = text.split(':').map(|octet| u8::from_str_radix(octet, 16).ok());
    octets.collect::<Option<Vec<u8>>>()?.try_into().ok()
}

/// For the fuzzer: what is read is written and read again.
pub fn fuzz(data: &[u8]) {
    if let Some((place, items)) = parse(data) {
        assert_eq!(parse(emit(&place, &items).as_bytes()), Some((place, items)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(addresses: &[&str]) -> Items {
        let address = |text: &&str| parse_address("eth0", text).unwrap();
        Items {
            addresses: addresses.iter().map(address).collect(),
            links: [("vrrp.51".to_owned(), Some([0, 0, 0x5e, 0, 1, 51])), ("i".to_owned(), None)]
                .into(),
        }
    }

    #[test]
    fn what_a_dead_process_noted_is_found_by_the_one_with_its_pid_file() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("made");
        let pid_file = Path::new("/run/vrrp.pid");
        let (mut first, left) = Remains::take(&folder, pid_file).unwrap();
        assert_eq!(left, Items::default());
        first.note(&items(&["10.0.0.1/24", "fe80::1/64", "10.0.0.2/32"])).unwrap();
        let noted = items(&["10.0.0.1/24", "fe80::1/64"]);
        first.note(&noted).unwrap();
        assert_eq!(first.noted().unwrap(), noted);
        assert!(Remains::take(&folder, pid_file).is_err(), "it lives");
        drop(first);
        let (second, left) = Remains::take(&folder, pid_file).unwrap();
        assert_eq!(left, noted);
        second.end().unwrap();
        assert_eq!(Remains::take(&folder, pid_file).unwrap().1, Items::default());
    }

    #[test]
    fn others_count_while_they_live() {
        let folder = tempfile::tempdir().unwrap();
        let (ours, _) = Remains::take(folder.path(), Path::new("a.pid")).unwrap();
        let (mut other, _) = Remains::take(folder.path(), Path::new("b.pid")).unwrap();
        other.note(&items(&["10.0.0.1/24"])).unwrap();
        assert_eq!(ours.of_others(), items(&["10.0.0.1/24"]));
        drop(other);
        assert_eq!(ours.of_others(), Items::default(), "its own successor looks after that");
    }

    #[test]
    fn a_note_of_another_place_or_of_anybody_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let pid_file = Path::new("/x.pid");
        let path = folder.path().join("!x.pid");
        let left = |text: &str, mode: u32| {
            use std::os::unix::fs::PermissionsExt as _;
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            Remains::take(folder.path(), pid_file).unwrap().1
        };
        let noted = items(&["10.0.0.1/24"]);
        let here = emit(&place().unwrap(), &noted);
        assert_eq!(left(&here, 0o600), noted);
        assert_eq!(left(&here, 0o666), Items::default(), "anybody may have written it");
        assert_eq!(left(&emit("another-boot 1", &noted), 0o600), Items::default());
        assert_eq!(left(&here.replacen('1', "2", 1), 0o600), Items::default(), "another form");
    }

    #[test]
    fn a_line_that_was_cut_is_passed_over() {
        let text = "1 b 7\naddress eth0 10.0.0.1/24\naddress eth0 10.0.0.2/2";
        let addresses = [("eth0".to_owned(), [10, 0, 0, 1].into(), 24)].into();
        let items = Items { addresses, links: BTreeSet::new() };
        assert_eq!(parse(text.as_bytes()), Some(("b 7".to_owned(), items)));
        for length in 0..text.len() {
            fuzz(&text.as_bytes()[..length]);
        }
    }
}
