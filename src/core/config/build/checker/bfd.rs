//! `BFD_CHECK`: a session that must be up.

use crate::core::config::build::check::Inherited;
use crate::core::config::build::context::Context;
use crate::core::config::build::global::set;
use crate::core::config::model::check::BfdCheck;
use crate::core::config::tree::Statement;

/// The block of a real server.
pub fn build(context: &mut Context, block: &Statement, inherited: &Inherited) -> Option<BfdCheck> {
    let mut name = None;
    let mut alpha = inherited.alpha;
    for statement in block.children() {
        match statement.keyword() {
            "name" => {
                if let Some(found) = context.text(statement) {
                    if inherited.sessions.contains(&found) {
                        name = Some(found);
                    } else {
                        let message = format!("bfd_instance {found} is not known");
                        context.error("unknown-object", statement.span, message);
                    }
                }
            }
            "alpha" => set(&mut alpha, context.boolean(statement)),
            _ => context.unknown("virtual_server/real_server/BFD_CHECK", statement),
        }
    }
    let Some(name) = name else {
        context.error("no-session", block.span, "BFD_CHECK without name, it is left out");
        return None;
    };
    Some(BfdCheck { name, alpha })
}
