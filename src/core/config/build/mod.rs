//! Tree to model. One file for each root block; [`context`] holds what they share: diagnostics,
//! arguments with their faults, keywords that are not acted on.

pub mod address;
pub mod check;
pub mod checker;
pub mod context;
pub mod global;
pub mod track;
pub mod vrrp;

use super::keywords::ROOT;
use super::model::Config;
use super::tree::Tree;
use crate::core::diagnostics::{Diagnostic, Severity, Span};
use context::Context;

/// What a tree means.
#[derive(Debug, Default)]
pub struct Built {
    /// The model.
    pub config: Config,
    /// What was wrong.
    pub diagnostics: Vec<Diagnostic>,
    /// Where objects were written.
    pub places: Places,
    /// What is not acted on.
    pub unsupported: Vec<Unsupported>,
}

/// Where objects of the model were written, for remarks that need the machine to be looked at.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// Interfaces that must exist, with what needs them.
    pub interfaces: Vec<(String, Span, Need)>,
    /// Scripts.
    pub scripts: Vec<(super::model::Script, Span)>,
}

/// How badly an interface is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// An instance's own: without it nothing runs.
    Instance,
    /// Tracked, or named in an address line.
    Mentioned,
}

/// A keyword that is understood but not acted on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsupported {
    /// The block it stands in.
    pub block: String,
    /// The word.
    pub keyword: String,
    /// Where.
    pub span: Span,
}

impl Unsupported {
    /// Tells the operator, without an effect on the exit status.
    pub fn diagnostic(&self) -> Diagnostic {
        let message = format!("`{}` is accepted, but not acted on in this version", self.keyword);
        Diagnostic::new(Severity::Warning, "not-acted-on", self.span, message)
    }
}

/// Makes the model. `host_name` is the default of `router_id`.
pub fn build(tree: &Tree, host_name: &str) -> Built {
    let mut context = Context::default();
    let mut config = Config::default();
    host_name.clone_into(&mut config.global.router_id);
    // Defaults first, whatever the order in the file.
    for statement in &tree.statements {
        if statement.keyword() == "global_defs" {
            global::build(&mut context, statement, &mut config.global);
        }
    }
    for statement in &tree.statements {
        match statement.keyword() {
            "vrrp_script" => vrrp::script(&mut context, statement, &mut config.vrrp),
            "virtual_server_group" => check::group(&mut context, statement, &mut config.check),
            "SSL" => check::tls(&mut context, statement, &mut config.check.tls),
            _ => {}
        }
    }
    for statement in &tree.statements {
        match statement.keyword() {
            "global_defs" | "vrrp_script" | "virtual_server_group" | "SSL" | "vrrp_sync_group" => {}
            "vrrp_instance" => vrrp::instance(&mut context, statement, &mut config),
            "virtual_server" => check::service(&mut context, statement, &mut config),
            _ if global::root(&mut context, statement, &mut config.global) => {}
            _ => context.unknown(ROOT, statement),
        }
    }
    for statement in &tree.statements {
        if statement.keyword() == "vrrp_sync_group" {
            vrrp::sync_group(&mut context, statement, &mut config.vrrp);
        }
    }
    vrrp::finish(&mut context, &mut config);
    Built {
        config,
        diagnostics: context.diagnostics,
        places: context.places,
        unsupported: context.unsupported,
    }
}
