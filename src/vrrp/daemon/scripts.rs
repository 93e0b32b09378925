//! Tracked scripts that cannot be run are not tracked: keepalived does so, and a router that waits
//! for a program that is not there would be in FAULT for ever.

use std::sync::Arc;

use crate::core::config::model::Config;
use crate::core::config::model::vrrp::TrackScript;
use crate::core::notify::script::ScriptPolicy;
use crate::core::notify::security::unusable;

/// Takes out scripts that are not there, or that `enable_script_security` forbids.
pub(super) fn leave_out_unusable(config: &mut Config) {
    let policy = ScriptPolicy::of(&config.global);
    leave_out(config, |script| unusable(&script.script, &policy));
}

fn leave_out(config: &mut Config, why: impl Fn(&TrackScript) -> Option<String>) {
    let mut gone = Vec::new();
    config.vrrp.scripts.retain(|script| {
        let why = why(script);
        if let Some(why) = &why {
            tracing::warn!("Disabling track script {} since {why}", script.name);
            gone.push(script.name.clone());
        }
        why.is_none()
    });
    if gone.is_empty() {
        return;
    }
    for instance in &mut config.vrrp.instances {
        if instance.track_scripts.iter().any(|tracked| gone.contains(&tracked.name)) {
            let instance = Arc::make_mut(instance);
            instance.track_scripts.retain(|tracked| !gone.contains(&tracked.name));
        }
    }
    for group in &mut config.vrrp.sync_groups {
        group.track_scripts.retain(|tracked| !gone.contains(&tracked.name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::config::compile::compile;
    use crate::core::config::source::SourceSet;

    #[test]
    fn a_script_that_is_not_there_is_tracked_by_nobody() {
        let text = "vrrp_script gone {\nscript /nonexistent/x\n}\nvrrp_script there {\nscript /bin/true\nuser root\n}\n\
                    vrrp_instance V {\ninterface eth0\nvirtual_router_id 1\n\
                    track_script {\ngone\nthere\n}\nvirtual_ipaddress {\n10.0.0.1\n}\n}\n";
        let mut config = compile(&SourceSet::from_text("a.conf", text)).config;
        leave_out_unusable(&mut config);
        assert_eq!(config.vrrp.scripts.len(), 1);
        let tracked = &config.vrrp.instances[0].track_scripts;
        assert_eq!(tracked.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["there"]);
    }
}
