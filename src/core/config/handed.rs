//! The model as bytes: what the parent hands over to a child, who need not read the text again.
//!
//! ```text
//! piece: who made the bytes, for whom
//! a piece for each object: virtual servers for the check process, instances for the vrrp process
//! an empty piece
//! piece: the rest of the child's part; nothing for the bfd process
//! piece: global_defs, track files, BFD sessions
//! ```
//!
//! Virtual servers go out one by one while the text is read: the parent never has them all.
//!
//! A piece is the count of its bytes (32 bits, little endian), then the bytes: a value in postcard's
//! form. Only the very program that has made them reads them: they have no versions.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use super::model::Config;
use super::model::check::{Probe, Url, VirtualServer};
use super::model::vrrp::{AddressOptions, Instance, InstanceOptions};
use crate::core::shared::Shared;

/// Whom the bytes are for: everybody gets what concerns everybody, and a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Instances and what belongs to them.
    Vrrp,
    /// Virtual servers and what belongs to them.
    Check,
    /// No more.
    Bfd,
}

impl Part {
    const fn name(self) -> &'static str {
        match self {
            Self::Vrrp => "vrrp",
            Self::Check => "check",
            Self::Bfd => "bfd",
        }
    }
}

/// Why bytes are no configuration.
#[derive(Debug, thiserror::Error)]
pub enum HandedError {
    /// They cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// Another program, or the same for somebody else.
    #[error("it was made by {0}, this is {1}")]
    Stranger(String, String),
    /// A piece is not what it should be.
    #[error("it is damaged: {0}")]
    Damaged(#[from] postcard::Error),
    /// There is something after a value.
    #[error("it is damaged: something follows the {0}")]
    Surplus(&'static str),
}

/// Writes the part of `config`; `maker` is this very program.
pub fn write(config: &Config, part: Part, maker: &str, out: impl Write) -> io::Result<()> {
    let mut writer = Writer::begin(part, maker, out)?;
    match part {
        Part::Vrrp => {
            config.vrrp.instances.iter().try_for_each(|instance| writer.piece(instance))?;
        }
        Part::Check => {
            config.check.virtual_servers.iter().try_for_each(|service| writer.service(service))?;
        }
        Part::Bfd => {}
    }
    writer.finish(config).map(|_| ())
}

/// Writes a part whose objects are not all there yet.
#[derive(Debug)]
pub struct Writer<W> {
    part: Part,
    out: W,
    /// Used again for each piece.
    piece: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// `maker` is this very program.
    pub fn begin(part: Part, maker: &str, out: W) -> io::Result<Self> {
        let mut writer = Self { part, out, piece: Vec::new() };
        writer.piece(&(maker, part.name()))?;
        Ok(writer)
    }

    /// The next virtual server of the check process's part.
    pub fn service(&mut self, service: &VirtualServer) -> io::Result<()> {
        self.piece(service)
    }

    /// There are no more objects: what else there is.
    pub fn finish(mut self, config: &Config) -> io::Result<W> {
        self.piece(&())?;
        match self.part {
            Part::Vrrp => self.piece(&config.vrrp)?,
            Part::Check => self.piece(&config.check)?,
            Part::Bfd => {}
        }
        self.piece(&(&config.global, &config.track_files, &config.bfd))?;
        Ok(self.out)
    }

    fn piece(&mut self, value: &impl Serialize) -> io::Result<()> {
        let mut piece = std::mem::take(&mut self.piece);
        piece.clear();
        self.piece = postcard::to_extend(value, piece).map_err(io::Error::other)?;
        let length = u32::try_from(self.piece.len()).map_err(io::Error::other)?;
        self.out.write_all(&length.to_le_bytes())?;
        self.out.write_all(&self.piece)
    }
}

/// Reads what was handed over, at the start and at each reload. An object whose bytes are those of
/// one of the time before is that one: it is not made anew, and stays where it was.
#[derive(Debug, Default)]
pub struct Reader {
    services: BTreeMap<Sum, Shared<VirtualServer>>,
    instances: BTreeMap<Sum, Arc<Instance>>,
}

/// SHA-256 of the bytes of an object.
type Sum = [u8; 32];

impl Reader {
    /// Reads what [`write`] has written; `maker` is this very program.
    pub fn read(
        &mut self,
        part: Part,
        maker: &str,
        input: impl Read,
    ) -> Result<Config, HandedError> {
        let mut input = Pieces { input, piece: Vec::new() };
        let (theirs, name): (String, String) = input.value("maker")?;
        if (theirs.as_str(), name.as_str()) != (maker, part.name()) {
            let ours = format!("{maker} for {}", part.name());
            return Err(HandedError::Stranger(format!("{theirs} for {name}"), ours));
        }
        let mut config = Config::default();
        match part {
            Part::Vrrp => {
                let mut common = Common::default();
                let share = |instance: &mut Instance| common.share(instance);
                let instances = input.objects(&mut self.instances, share)?;
                config.vrrp = input.value("part")?;
                config.vrrp.instances = instances;
            }
            Part::Check => {
                let mut urls = Shared::default();
                let share = |service: &mut VirtualServer| {
                    share_defaults(service);
                    share_urls(service, &mut urls);
                };
                let services = input.objects(&mut self.services, share)?;
                config.check = input.value("part")?;
                config.check.virtual_servers = services;
            }
            Part::Bfd => input.end_of_objects()?,
        }
        (config.global, config.track_files, config.bfd) = input.value("rest")?;
        Ok(config)
    }
}

/// Most servers have their service's, which are in memory once.
fn share_defaults(service: &mut VirtualServer) {
    for server in &mut service.real_servers {
        if server.defaults == service.defaults {
            server.defaults = service.defaults.clone();
        }
    }
}

/// Servers are mostly asked for the same urls as the ones before: these are in memory once.
fn share_urls(service: &mut VirtualServer, last: &mut Shared<Vec<Url>>) {
    for server in &mut service.real_servers {
        for checker in &mut server.checkers {
            if !matches!(checker.probe, Probe::Http(_)) {
                continue;
            }
            if let Probe::Http(http) = &mut checker.probe {
                share(last, &mut http.urls);
            }
        }
    }
}

/// What instances mostly have in common with the ones before: it is in memory once.
#[derive(Default)]
struct Common {
    instance: Shared<InstanceOptions>,
    address: Shared<AddressOptions>,
    interface: Option<Arc<str>>,
}

impl Common {
    fn share(&mut self, instance: &mut Instance) {
        for address in instance.addresses.iter_mut().filter_map(Arc::get_mut) {
            share(&mut self.address, &mut address.options);
            share(&mut self.interface, &mut address.interface);
        }
        share(&mut self.instance, &mut instance.options);
    }
}

fn share<T: PartialEq + Clone>(last: &mut T, this: &mut T) {
    if this == last {
        this.clone_from(last);
    } else {
        last.clone_from(this);
    }
}

struct Pieces<R> {
    input: R,
    /// The piece at hand.
    piece: Vec<u8>,
}

impl<R: Read> Pieces<R> {
    fn next(&mut self) -> io::Result<()> {
        let mut length = [0; 4];
        self.input.read_exact(&mut length)?;
        let length = u64::from(u32::from_le_bytes(length));
        self.piece.clear();
        let found = (&mut self.input).take(length).read_to_end(&mut self.piece)?;
        let whole = u64::try_from(found).is_ok_and(|found| found == length);
        if whole { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    fn value<T: DeserializeOwned>(&mut self, what: &'static str) -> Result<T, HandedError> {
        self.next()?;
        self.decode(what)
    }

    fn decode<T: DeserializeOwned>(&self, what: &'static str) -> Result<T, HandedError> {
        match postcard::take_from_bytes(&self.piece)? {
            (value, []) => Ok(value),
            (_, _) => Err(HandedError::Surplus(what)),
        }
    }

    fn end_of_objects(&mut self) -> Result<(), HandedError> {
        self.next()?;
        if self.piece.is_empty() { Ok(()) } else { Err(HandedError::Surplus("maker")) }
    }

    /// The objects up to the empty piece; `known` are those of the last time, and then these.
    fn objects<T, H>(
        &mut self,
        known: &mut BTreeMap<Sum, H>,
        mut settle: impl FnMut(&mut T),
    ) -> Result<Vec<H>, HandedError>
    where
        T: DeserializeOwned,
        H: From<T> + Clone,
    {
        let mut objects = Vec::new();
        let mut sums = BTreeMap::new();
        loop {
            self.next()?;
            if self.piece.is_empty() {
                *known = sums;
                return Ok(objects);
            }
            let sum = Sha256::digest(&self.piece).into();
            let object = match known.get(&sum) {
                Some(object) => object.clone(),
                None => {
                    let mut object = self.decode("object")?;
                    settle(&mut object);
                    object.into()
                }
            };
            sums.insert(sum, object.clone());
            objects.push(object);
        }
    }
}

/// What the fuzzer runs: bytes are refused, or the configuration that they are comes back the same.
pub fn fuzz(data: &[u8]) {
    for part in [Part::Vrrp, Part::Check, Part::Bfd] {
        let mut maker = Vec::new();
        // A vector takes all.
        let _ = Writer::begin(part, "fuzz", &mut maker);
        if let Ok(config) = Reader::default().read(part, "fuzz", maker.chain(data)) {
            assert_eq!(config, travelled(&config, part, &mut Reader::default()));
        }
    }
}

/// For tests: each part of `config` comes back the same, also the second time.
pub fn same_at_the_other_end(config: &Config) {
    for part in [Part::Vrrp, Part::Check, Part::Bfd] {
        let mut reader = Reader::default();
        let (first, second) =
            (travelled(config, part, &mut reader), travelled(config, part, &mut reader));
        let mut expected = config.clone();
        if part != Part::Vrrp {
            expected.vrrp = Config::default().vrrp;
        }
        if part != Part::Check {
            expected.check = Config::default().check;
        }
        assert_eq!(first, expected, "{part:?}");
        assert_eq!(second, expected, "{part:?}");
    }
}

fn travelled(config: &Config, part: Part, reader: &mut Reader) -> Config {
    let mut bytes = Vec::new();
    write(config, part, "fuzz", &mut bytes).expect("a vector takes all");
    reader.read(part, "fuzz", bytes.as_slice()).expect("what was written can be read")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::config::compile::compile;
    use crate::core::config::model::check::RealServer;
    use crate::core::config::model::vrrp::VirtualAddress;
    use crate::core::config::source::SourceSet;

    const TEXT: &str = "\
global_defs {\nrouter_id here\n}\n\
vrrp_instance A {\ninterface lo\nvirtual_router_id 1\nvirtual_ipaddress {\n10.0.0.1\n}\n}\n\
vrrp_instance B {\ninterface lo\nvirtual_router_id 2\nvirtual_ipaddress {\n10.0.0.2\n}\n}\n\
virtual_server 10.0.0.1 80 {\nlb_algo rr\nlb_kind NAT\nprotocol TCP\n\
real_server 10.1.0.1 80 {\nHTTP_GET {\nurl {\npath /\nstatus_code 200\n}\n}\n}\n\
real_server 10.1.0.2 80 {\nHTTP_GET {\nurl {\npath /\nstatus_code 200\n}\n}\n}\n}\n\
virtual_server 10.0.0.2 80 {\nlb_algo rr\nlb_kind NAT\nprotocol TCP\n\
real_server 10.1.0.1 80 {\nHTTP_GET {\nurl {\npath /\nstatus_code 200\n}\n}\n}\n}\n";

    fn config(text: &str) -> Config {
        compile(&SourceSet::from_text("a.conf", text)).config
    }

    fn bytes(config: &Config, part: Part) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(config, part, "this", &mut bytes).unwrap();
        bytes
    }

    fn read(reader: &mut Reader, part: Part, bytes: &[u8]) -> Result<Config, HandedError> {
        reader.read(part, "this", bytes)
    }

    #[test]
    fn each_child_gets_its_part() {
        let config = config(TEXT);
        same_at_the_other_end(&config);
        assert_eq!((config.vrrp.instances.len(), config.check.virtual_servers.len()), (2, 2));
    }

    #[test]
    fn what_has_not_changed_is_not_made_anew() {
        let mut reader = Reader::default();
        let mut take = |text: &str| {
            let config = config(text);
            let check = read(&mut reader, Part::Check, &bytes(&config, Part::Check)).unwrap();
            let vrrp = read(&mut reader, Part::Vrrp, &bytes(&config, Part::Vrrp)).unwrap();
            (check.check.virtual_servers, vrrp.vrrp.instances)
        };
        let (services, instances) = take(TEXT);
        let changed = TEXT.replace("vrrp_instance A", "vrrp_instance C").replacen(
            "10.1.0.2 80 {\n",
            "10.1.0.2 80 {\nweight 7\n",
            1,
        );
        let (new_services, new_instances) = take(&changed);
        let same = |place: usize| {
            let services = [&services, &new_services].map(|list| &raw const *list[place]);
            let instances = [&instances, &new_instances].map(|list| Arc::as_ptr(&list[place]));
            (services[0] == services[1], instances[0] == instances[1])
        };
        assert_eq!((same(0), same(1)), ((false, false), (true, true)));
        assert_eq!(new_services[0].real_servers[1].weight, 7);
        assert_eq!(new_instances[0].name, "C");
        let (services, _) = take(TEXT);
        assert_eq!(services[0].real_servers[1].weight, 1, "that of the time before is gone");
    }

    #[test]
    fn equal_urls_are_in_memory_once() {
        let bytes = bytes(&config(TEXT), Part::Check);
        let config = read(&mut Reader::default(), Part::Check, &bytes).unwrap();
        let servers = config.check.virtual_servers.iter().flat_map(|service| &service.real_servers);
        let urls = servers.flat_map(|server| &server.checkers).filter_map(|checker| {
            let http = checker.probe.as_http()?;
            Some(http.urls.as_ptr())
        });
        let urls: Vec<_> = urls.collect();
        assert_eq!(urls, [urls[0]; 3]);
    }

    #[test]
    fn what_instances_have_in_common_is_in_memory_once() {
        let text = TEXT.replace("10.0.0.2\n", "10.0.0.2 label lo:1\n");
        let places = |text: &str| {
            let bytes = bytes(&config(text), Part::Vrrp);
            let instances =
                read(&mut Reader::default(), Part::Vrrp, &bytes).unwrap().vrrp.instances;
            let [first, second] = [0, 1].map(|place| instances[place].clone());
            let [one, other] = [&first, &second].map(|instance| instance.addresses[0].clone());
            let name = |address: &VirtualAddress| address.interface.clone().unwrap().as_ptr();
            let same = std::ptr::eq(&raw const *first.options, &raw const *second.options);
            let plain = std::ptr::eq(&raw const *one.options, &raw const *other.options);
            (same, plain, name(&one) == name(&other))
        };
        assert_eq!(places(TEXT), (true, true, true));
        assert_eq!(places(&text), (true, false, true), "a label is another option");
        let text = TEXT.replacen("interface lo\n", "interface lo\ngarp_master_delay 7\n", 1);
        assert_eq!(places(&text), (false, true, true));
        assert!(size_of::<Instance>() <= 256 && size_of::<VirtualAddress>() <= 64);
    }

    #[test]
    fn what_servers_have_of_their_service_is_in_memory_once() {
        let bytes = bytes(&config(TEXT), Part::Check);
        let config = read(&mut Reader::default(), Part::Check, &bytes).unwrap();
        for service in &config.check.virtual_servers {
            let same = |server: &RealServer| {
                std::ptr::eq(&raw const *server.defaults, &raw const *service.defaults)
            };
            assert!(service.real_servers.iter().all(|server| same(server)));
        }
    }

    #[test]
    fn strangers_and_damaged_bytes_are_refused() {
        let config = config(TEXT);
        for part in [Part::Vrrp, Part::Check, Part::Bfd] {
            let bytes = bytes(&config, part);
            for length in 0..bytes.len() {
                assert!(read(&mut Reader::default(), part, &bytes[..length]).is_err());
            }
            for index in 0..bytes.len() {
                let mut damaged = bytes.clone();
                damaged[index] ^= 0x55;
                let _ = read(&mut Reader::default(), part, &damaged);
            }
            let other = Reader::default().read(part, "another", bytes.as_slice()).unwrap_err();
            let name = part.name();
            let told = format!("it was made by this for {name}, this is another for {name}");
            assert_eq!(other.to_string(), told);
        }
        let wrong = read(&mut Reader::default(), Part::Vrrp, &bytes(&config, Part::Check));
        assert!(matches!(wrong, Err(HandedError::Stranger(..))));
    }
}
