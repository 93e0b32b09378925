//! `vrrp_sync_group`.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::context::Context;
use super::global::set;
use super::track::{Objects, track_interfaces};
use super::vrrp::notify;
use crate::core::config::model::track::FileEffect;
use crate::core::config::model::vrrp::{SyncGroup, TrackEffect};
use crate::core::config::model::{Config, vrrp::VrrpConfig};
use crate::core::config::tree::Statement;
use crate::core::diagnostics::{Diagnostic, Severity};

const GROUP: &str = "vrrp_sync_group";

/// A `vrrp_sync_group` block; instances are known by now.
pub fn build(context: &mut Context, block: &Statement, whole: &mut Config) {
    let config = &whole.vrrp;
    let Some(name) = context.text(block) else {
        return;
    };
    if config.sync_groups.iter().any(|group| group.name == name) {
        let message = format!("vrrp_sync_group {name} is defined twice, the first counts");
        return context.error("duplicate", block.span, message);
    }
    let mut group = SyncGroup {
        name: name.clone(),
        notify_priority_changes: whole.global.vrrp.notify_priority_changes,
        smtp_alert: whole.global.mail.vrrp_default(),
        ..SyncGroup::default()
    };
    let objects = Objects::of(whole);
    let mut priority_notices = None;
    for statement in block.children() {
        match statement.keyword() {
            "group" if !group.members.is_empty() => {
                let message =
                    format!("vrrp_sync_group {name} lists its members twice, the first counts");
                context.error("duplicate", statement.span, message);
            }
            "group" => members(context, statement, &mut group, config),
            "track_interface" => {
                track_interfaces(context, statement, &mut group.track_interfaces);
            }
            "track_script" => {
                objects.scripts(context, statement, &mut group.track_scripts);
            }
            "track_file" => objects.files(context, statement, &mut group.track_files),
            "track_process" => objects.processes(context, statement, &mut group.track_processes),
            "track_bfd" => objects.bfd(context, statement, &mut group.track_bfd),
            "notify_priority_changes" => {
                priority_notices = context.boolean(statement).or(priority_notices);
            }
            "smtp_alert" => set(&mut group.smtp_alert, context.boolean(statement)),
            "sync_group_tracking_weight" => group.tracking_weight = true,
            "global_tracking" => {
                let message = "global_tracking is deprecated, use sync_group_tracking_weight";
                context.error("deprecated", statement.span, message);
                group.tracking_weight = true;
            }
            _ => notify(context, GROUP, statement, &mut group.notify),
        }
    }
    if let Some(notices) = priority_notices {
        group.notify_priority_changes = notices;
        let said = &context.own_priority_notices;
        let members = whole.vrrp.instances.iter_mut();
        for member in members.filter(|found| group.members.contains(&found.name)) {
            if !said.contains(&member.name) && member.notify_priority_changes != notices {
                Arc::make_mut(member).notify_priority_changes = notices;
            }
        }
    }
    if !group.tracking_weight {
        tell_lost_weights(context, block, &group, &whole.vrrp);
    }
    match group.members.len() {
        0 => {
            let message = format!("vrrp_sync_group {name} has no members, it is left out");
            context.error("empty-group", block.span, message);
        }
        1 => {
            let message = format!("vrrp_sync_group {name} has only one member");
            context.error("lone-member", block.span, message);
            whole.vrrp.sync_groups.push(group);
        }
        _ => whole.vrrp.sync_groups.push(group),
    }
}

/// Members move together, so that their own weights mean nothing.
fn tell_lost_weights(
    context: &mut Context,
    block: &Statement,
    group: &SyncGroup,
    config: &VrrpConfig,
) {
    let members = config.instances.iter().filter(|found| group.members.contains(&found.name));
    for instance in members {
        let weighted = |effect: &TrackEffect| matches!(effect, TrackEffect::Weight(_));
        let mut effects = (instance.track_interfaces.iter().map(|tracked| &tracked.effect))
            .chain(instance.track_scripts.iter().map(|tracked| &tracked.effect))
            .chain(instance.track_processes.iter().map(|tracked| &tracked.effect))
            .chain(instance.track_bfd.iter().map(|tracked| &tracked.effect));
        let files = instance.track_files.iter();
        if effects.any(weighted)
            || files.into_iter().any(|file| matches!(file.effect, FileEffect::Times(_)))
        {
            let message = format!(
                "({}) what it tracks with a weight does not count in vrrp_sync_group {}",
                instance.name, group.name
            );
            context.push(
                Diagnostic::new(Severity::Error, "group-weight", block.span, message)
                    .with_help("track it in the group, or add `sync_group_tracking_weight`"),
            );
        }
    }
}

fn members(context: &mut Context, block: &Statement, group: &mut SyncGroup, config: &VrrpConfig) {
    let grouped: BTreeSet<&String> =
        config.sync_groups.iter().flat_map(|group| &group.members).collect();
    for token in context.entries(block).iter().flat_map(|statement| &statement.words) {
        let name = token.text.to_string();
        let known = config.instances.iter().any(|instance| instance.name == name);
        let fault = if !known {
            Some("is not defined")
        } else if grouped.contains(&name) || group.members.contains(&name) {
            Some("is in a group already")
        } else {
            None
        };
        match fault {
            Some(fault) => {
                let message = format!(
                    "vrrp_sync_group {}: {} {fault}, it is skipped",
                    group.name, token.text
                );
                context.error("sync-group-member", token.span, message);
            }
            None => group.members.push(name),
        }
    }
}
