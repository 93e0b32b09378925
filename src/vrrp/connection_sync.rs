//! `lvs_sync_daemon`: which connection sync daemon of the kernel should run, by the state of the
//! instance that it follows.

use crate::core::config::model::Config;
use crate::core::config::model::vrrp::Instance;
use crate::ipvs::sync::{SyncRole, SyncSettings, Wish};

/// How the daemon works, and the name of the instance that it follows. The old way to write it,
/// within an instance, is the second choice; without an instance there is nothing to follow.
pub fn followed(config: &Config) -> Option<(SyncSettings, String)> {
    let instances = &config.vrrp.instances;
    let settings = |instance: &Instance, interface: &str| SyncSettings {
        interface: interface.to_owned(),
        id: instance.vrid.get(),
        longest_packet: None,
        port: None,
        ttl: None,
        group: None,
    };
    if let Some(daemon) = &config.global.sync_daemon {
        let name = daemon.instance.clone()?;
        let instance = instances.iter().find(|instance| instance.name == name)?;
        let usual = settings(instance, &daemon.interface);
        let settings = SyncSettings {
            id: daemon.id.unwrap_or(usual.id),
            longest_packet: daemon.longest_packet,
            port: daemon.port,
            ttl: daemon.ttl,
            group: daemon.group,
            ..usual
        };
        return Some((settings, name));
    }
    let found = |instance: &Instance| {
        let settings = settings(instance, instance.lvs_sync_interface.as_deref()?);
        Some((settings, instance.name.clone()))
    };
    instances.iter().find_map(|instance| found(instance))
}

/// A master sends what connections there are, everybody else listens.
pub fn wish(followed: Option<&(SyncSettings, String)>, is_master: impl Fn(&str) -> bool) -> Wish {
    let (settings, name) = followed?;
    let role = if is_master(name) { SyncRole::Master } else { SyncRole::Backup };
    Some((role, settings.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::config::compile::compile;
    use crate::core::config::source::SourceSet;

    fn config(global: &str, instance: &str) -> Config {
        let text = format!(
            "global_defs {{\n{global}\n}}\nvrrp_instance V {{\ninterface eth0\n{instance}\n\
             virtual_router_id 51\nvirtual_ipaddress {{\n10.0.0.1\n}}\n}}\n"
        );
        compile(&SourceSet::from_text("test.conf", &text)).config
    }

    #[test]
    fn the_daemon_follows_its_instance_with_all_that_is_written() {
        let line = "lvs_sync_daemon eth1 inst V id 7 maxlen 1400 port 9000 ttl 2 group 224.0.0.99";
        let (role, settings) =
            wish(followed(&config(line, "")).as_ref(), |name| name == "V").unwrap();
        assert_eq!((role, settings.interface.as_str(), settings.id), (SyncRole::Master, "eth1", 7));
        assert_eq!((settings.longest_packet, settings.port), (Some(1400), Some(9000)));
        assert_eq!((settings.ttl, settings.group), (Some(2), Some([224, 0, 0, 99].into())));
        let (role, settings) =
            wish(followed(&config("lvs_sync_daemon eth1 V", "")).as_ref(), |_| false).unwrap();
        assert_eq!((role, settings.id), (SyncRole::Backup, 51), "the number of the instance");
    }

    #[test]
    fn the_old_word_of_an_instance_is_the_second_choice() {
        let old = "lvs_sync_daemon_interface eth2";
        let interface = |global| followed(&config(global, old)).unwrap().0.interface;
        assert_eq!(interface(""), "eth2");
        assert_eq!(interface("lvs_sync_daemon eth1 V"), "eth1");
        assert_eq!(followed(&config("", "")), None);
        assert_eq!(followed(&config("lvs_sync_daemon eth1", "")), None, "nobody to follow");
    }
}
