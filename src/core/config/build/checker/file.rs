//! `FILE_CHECK`: the number in a `track_file` moves a server's weight, or takes it out.

use crate::core::config::build::check::Inherited;
use crate::core::config::build::context::Context;
use crate::core::config::model::check::{FileCheck, FileCheckEffect};
use crate::core::config::model::track::FileEffect;
use crate::core::config::tree::Statement;
use crate::core::config::values;

/// The block of a real server.
pub fn build(context: &mut Context, block: &Statement, inherited: &Inherited) -> Option<FileCheck> {
    let (mut file, mut weight) = (None, None);
    for statement in block.children() {
        match statement.keyword() {
            "track_file" => {
                if let Some(name) = context.text(statement) {
                    let known = inherited.files.iter().find(|(known, _)| *known == name);
                    match known {
                        Some(known) => file = Some(known.clone()),
                        None => {
                            let message = format!("track_file {name} is not known");
                            context.error("unknown-object", statement.span, message);
                        }
                    }
                }
            }
            "weight" => {
                let grammar = |word: &str| values::signed(word, -i32::MAX..=i32::MAX);
                weight = context.parse(statement, grammar).map(|weight| {
                    let reverse = statement.arguments().get(1).map(|word| &*word.text);
                    (i64::from(weight), reverse == Some("reverse"))
                });
            }
            _ => context.unknown("virtual_server/real_server/FILE_CHECK", statement),
        }
    }
    let Some((file, own)) = file else {
        context.error("no-file", block.span, "FILE_CHECK without track_file, it is left out");
        return None;
    };
    let effect = match (weight, own) {
        (Some((0, false)), _) | (None, FileEffect::FaultUnlessZero) => {
            FileCheckEffect::DownUnlessZero
        }
        (Some((0, true)), _) | (None, FileEffect::FaultIfZero) => FileCheckEffect::DownIfZero,
        (Some((times, true)), _) => FileCheckEffect::Times(-times),
        (Some((times, false)), _) => FileCheckEffect::Times(times),
        (None, FileEffect::Times(times)) => FileCheckEffect::Times(i64::from(times)),
    };
    Some(FileCheck { file, effect })
}
