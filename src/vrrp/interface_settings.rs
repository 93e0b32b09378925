//! Settings of the kernel's for as long as something needs them (`promote_secondaries`,
//! `disable_local_igmp`, the interfaces beneath virtual MACs); afterwards they are what they were.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::core::config::model::Config;

const INET: &str = "/proc/sys/net/ipv4/conf";
/// Whether groups that no router forwards (224.0.0.0/24) are reported to switches.
const LOCAL_REPORTS: &str = "/proc/sys/net/ipv4/igmp_link_local_mcast_reports";

/// The file of an IPv4 setting of an interface.
pub fn inet_setting(interface: &str, setting: &str) -> PathBuf {
    Path::new(INET).join(interface).join(setting)
}

/// Files of settings, and what is to be in them.
pub type Settings = BTreeMap<PathBuf, &'static str>;

/// What a configuration needs, virtual MACs aside.
pub fn configured(config: &Config) -> Settings {
    let promoting = config.vrrp.instances.iter().filter(|found| found.promote_secondaries);
    let interfaces = promoting.filter_map(|instance| instance.interface.as_deref());
    let promote = interfaces.map(|name| (inet_setting(name, "promote_secondaries"), "1"));
    let local = config.global.vrrp.no_local_igmp.then(|| (LOCAL_REPORTS.into(), "0"));
    promote.chain(local).collect()
}

/// Those that are ours for now.
#[derive(Debug, Default)]
pub struct InterfaceSettings {
    /// What they were before.
    before: BTreeMap<PathBuf, String>,
    /// What was refused is told once.
    told: BTreeSet<String>,
}

impl InterfaceSettings {
    /// Makes these settings what they should be, and the others of ours what they were. One whose
    /// interface is not there is left for later.
    pub fn want(&mut self, wanted: &Settings) {
        let done: Vec<PathBuf> =
            self.before.keys().filter(|path| !wanted.contains_key(*path)).cloned().collect();
        for path in done {
            // With its interface the setting goes.
            if let Some(value) = self.before.remove(&path).filter(|_| path.exists()) {
                self.set(&path, &value);
            }
        }
        for (path, value) in wanted {
            if self.before.contains_key(path) {
                continue;
            }
            let Ok(before) = fs::read_to_string(path) else { continue };
            let before = before.trim().to_owned();
            if before != *value {
                self.set(path, value);
            }
            self.before.insert(path.clone(), before);
        }
    }

    /// An interface is gone; one of the same name has settings of its own.
    pub fn forget(&mut self, interface: &str) {
        let of_interface = |path: &PathBuf| {
            path.parent().and_then(Path::file_name).is_some_and(|name| name == interface)
        };
        self.before.retain(|path, _| !of_interface(path));
    }

    /// Writes one, and looks: in a container it may be refused without a word.
    fn set(&mut self, path: &Path, value: &str) {
        let written = fs::write(path, value).and_then(|()| fs::read_to_string(path));
        let line = match written {
            Ok(found) if found.trim() == value => return,
            Ok(found) => format!("{} is still {}, not {value}", path.display(), found.trim()),
            Err(error) => format!("cannot write {value} to {}: {error}", path.display()),
        };
        if self.told.insert(line.clone()) {
            tracing::warn!("{line}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_put_back_when_nothing_needs_it_any_more() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).join("promote_secondaries");
        for name in ["eth0", "eth1"] {
            fs::create_dir(folder.path().join(name)).unwrap();
            fs::write(path(name), "0\n").unwrap();
        }
        let read = |name: &str| fs::read_to_string(path(name)).unwrap().trim().to_owned();
        let mut settings = InterfaceSettings::default();
        let wanted = |names: &[&str]| names.iter().map(|name| (path(name), "1")).collect();
        settings.want(&wanted(&["eth0", "eth1", "eth2"]));
        assert_eq!((read("eth0"), read("eth1")), ("1".to_owned(), "1".to_owned()));
        settings.want(&wanted(&["eth1"]));
        assert_eq!((read("eth0"), read("eth1")), ("0".to_owned(), "1".to_owned()));
        // Made anew, the interface begins with the kernel's own.
        fs::write(path("eth1"), "0\n").unwrap();
        settings.forget("eth1");
        settings.want(&wanted(&["eth1"]));
        assert_eq!(read("eth1"), "1");
        settings.want(&Settings::new());
        assert_eq!(read("eth1"), "0");
    }
}
