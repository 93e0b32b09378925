//! What a process may have put into the kernel, noted in a file for the one that comes after a crash
//! of everything: it takes away what the configuration no longer has.
//!
//! ```text
//! 1 BOOT_ID NETWORK_NAMESPACE
//! address eth0 10.0.0.1/24
//! link vrrp.51 00:00:5e:00:01:33
//! link ipvl.52 -
//! table keepalived
//! route 0218000012ff000100000000080001000a640000
//! rule 0200000064000001000000000800060000000400050015001200000000
//! ```
//! A route is the message that finds it again, whatever its next hops; a rule is the message that made
//! it (`rtnetlink(7)`, without the header, in the byte order of the host). Both have the mark.
//!
//! The mark of an address in the kernel (protocol 18, from Linux 5.18) says that some process of this
//! kind has added it, but not which one, and several may run on one host. The rule: something is
//! removed when
//! - the process whose pid file we have now noted it. Pid files are locked, so that process is dead;
//! - it did so since the host was started, and in our network namespace;
//! - our configuration does not have it: what it has is adopted, as ever;
//! - no living process has noted it, too. Each keeps its file locked while it lives, and the files
//!   are in one folder;
//! - an address, a route or a rule has the mark, an interface is a macvlan with the noted MAC, or an
//!   ipvlan. A table of nftables has no mark: the note alone says whose it is.
//!
//! A file has what the configuration has, whether it is held or not: it is written at the start and
//! at a reload only, and is there before the first of it is added. An orderly stop removes it. A route
//! of a VRF that is not there yet is in it from the next reload on.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};

/// Where the files of all processes are.
pub const FOLDER: &str = "/run/steadfast";
/// Of the form above.
const FORM: &str = "1";
/// Far above what any configuration has.
const LONGEST: u64 = 16 << 20;
/// Far above what finds a route or makes a rule.
const LONGEST_MESSAGE: usize = 512;

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
    /// Names of nftables' tables.
    pub tables: BTreeSet<String>,
    /// Messages that find routes.
    pub routes: BTreeSet<Vec<u8>>,
    /// Messages that make rules.
    pub rules: BTreeSet<Vec<u8>>,
}

impl Items {
    /// Both.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        self.addresses.extend(other.addresses.iter().cloned());
        self.links.extend(other.links.iter().cloned());
        self.tables.extend(other.tables.iter().cloned());
        self.routes.extend(other.routes.iter().cloned());
        self.rules.extend(other.rules.iter().cloned());
        self
    }

    /// Those that `other` does not have.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        Self {
            addresses: &self.addresses - &other.addresses,
            links: &self.links - &other.links,
            tables: &self.tables - &other.tables,
            routes: &self.routes - &other.routes,
            rules: &self.rules - &other.rules,
        }
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
    /// has noted it. [`io::ErrorKind::WouldBlock`] says that the process lives.
    pub fn take(folder: &Path, pid_file: &Path) -> io::Result<(Self, Items)> {
        DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
        let name = std::path::absolute(pid_file)?.display().to_string().replace('/', "!");
        let path = folder.join(name);
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.custom_flags(libc::O_NOFOLLOW).open(&path)?;
        match fcntl(&file, FcntlArg::F_OFD_SETLK(&lock(libc::F_WRLCK))) {
            Err(Errno::EAGAIN | Errno::EACCES) => return Err(io::ErrorKind::WouldBlock.into()),
            locked => locked?,
        };
        // The process before this one may have removed it after it was opened.
        if !fs::metadata(&path).is_ok_and(|there| is_same(&there, &file)) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
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

fn is_same(there: &fs::Metadata, file: &File) -> bool {
    file.metadata().is_ok_and(|ours| (ours.dev(), ours.ino()) == (there.dev(), there.ino()))
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
    let tables = items.tables.iter().map(|name| format!("table {name}\n"));
    let message = |kind: &'static str| {
        move |bytes: &Vec<u8>| {
            let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{kind} {}\n", digits.concat())
        }
    };
    std::iter::once(format!("{FORM} {place}\n"))
        .chain(addresses)
        .chain(links)
        .chain(tables)
        .chain(items.routes.iter().map(message("route")))
        .chain(items.rules.iter().map(message("rule")))
        .collect()
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
            ["table", name] if !name.is_empty() => {
                items.tables.insert((*name).to_owned());
            }
            ["route", digits] => items.routes.extend(parse_message(digits)),
            ["rule", digits] => items.rules.extend(parse_message(digits)),
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

fn parse_message(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2).map(|pair| match pair {
        [high, low] => {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            u8::try_from(digit(*high)? << 4 | digit(*low)?).ok()
        }
        _ => None,
    });
    let bytes = pairs.collect::<Option<Vec<u8>>>()?;
    (1..=LONGEST_MESSAGE).contains(&bytes.len()).then_some(bytes)
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
            tables: ["keepalived".to_owned()].into(),
            routes: [vec![2, 16, 0xff]].into(),
            rules: [vec![10, 0]].into(),
        }
    }

    #[test]
    fn a_file_that_was_removed_after_it_was_opened_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let pid_file = Path::new("/x.pid");
        let (first, _) = Remains::take(folder.path(), pid_file).unwrap();
        let path = first.path.clone();
        let opened = File::options().read(true).write(true).open(&path).unwrap();
        first.end().unwrap();
        assert!(!fs::metadata(&path).is_ok_and(|there| is_same(&there, &opened)), "gone");
        let (_second, _) = Remains::take(folder.path(), pid_file).unwrap();
        assert!(!fs::metadata(&path).is_ok_and(|there| is_same(&there, &opened)), "another one");
        assert!(is_same(&opened.metadata().unwrap(), &opened));
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
        let held = Remains::take(&folder, pid_file).unwrap_err();
        assert_eq!(held.kind(), io::ErrorKind::WouldBlock, "it lives");
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
        let items = Items { addresses, ..Items::default() };
        assert_eq!(parse(text.as_bytes()), Some(("b 7".to_owned(), items)));
        for length in 0..text.len() {
            fuzz(&text.as_bytes()[..length]);
        }
    }
}
