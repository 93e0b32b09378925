//! Tree to model. One file for each root block; [`context`] holds what they share: diagnostics,
//! arguments with their faults, keywords that are not acted on.

pub mod address;
pub mod bfd;
pub mod check;
pub mod checker;
pub mod context;
pub mod global;
pub mod hmac;
pub mod link;
pub mod names;
pub mod needed;
pub mod route;
pub mod rule;
pub mod services;
pub mod strict;
pub mod sync_group;
pub mod track;
pub mod tracked;
pub mod vrrp;
pub mod words;

use super::compile::ServiceSink;
use super::keywords::ROOT;
use super::model::Config;
use super::model::route::NameTable;
use super::tree::Statement;
use crate::core::diagnostics::{Diagnostic, Severity, Span};
use context::Context;
use route::Owner;

/// What a tree means.
#[derive(Debug, Default, PartialEq, Eq)]
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
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    /// Interfaces that must exist, with what needs them.
    pub interfaces: Vec<(String, Span, Need)>,
    /// Scripts.
    pub scripts: Vec<PlacedScript>,
    /// Names of iproute2 that this host must define.
    pub names: Vec<(NameTable, String, Span)>,
    /// Files with keys of `auth_hmac`.
    pub keys: Vec<(String, Span)>,
    /// Paths of notify FIFOs.
    pub fifos: Vec<(String, Span)>,
    /// The `lvs_sync_daemon` line.
    pub sync_daemon: Option<Span>,
}

/// A script that the configuration names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedScript {
    /// What is run.
    pub script: super::model::Script,
    /// Where.
    pub span: Span,
    /// That of a `vrrp_script`: keepalived complains of it when it is not there, of others not.
    pub tracked: bool,
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

/// An object that others name has come too late: the guess was wrong, everything starts over.
#[derive(Debug, PartialEq, Eq)]
pub struct Late;

/// Makes the model of root statements, in the order of the file.
///
/// Defaults and objects that others name are worked in first, wherever they stand in the file. Until
/// they are all there statements are held; then each is built and dropped as it comes, so that a
/// large file is never in memory as a whole.
#[derive(Debug)]
pub struct Assembly {
    context: Context,
    config: Config,
    held: Vec<Statement>,
    groups: Vec<Statement>,
    settled: bool,
}

impl Assembly {
    /// `host_name` is the default of `router_id`.
    pub fn new(host_name: &str) -> Self {
        let mut config = Config::default();
        host_name.clone_into(&mut config.global.router_id);
        let (held, groups) = (Vec::new(), Vec::new());
        Self { context: Context::default(), config, held, groups, settled: false }
    }

    /// The next statement.
    pub fn add(&mut self, statement: Statement) -> Result<(), Late> {
        if !self.settled {
            self.held.push(statement);
        } else if is_named_by_others(statement.keyword()) {
            return Err(Late);
        } else {
            self.other(statement);
        }
        Ok(())
    }

    /// No object that others name is to come.
    pub fn settle(&mut self) {
        if std::mem::replace(&mut self.settled, true) {
            return;
        }
        let held = std::mem::take(&mut self.held);
        global::build(&mut self.context, &held, &mut self.config.global);
        for statement in &held {
            named_object(&mut self.context, statement, &mut self.config);
        }
        for statement in held {
            self.other(statement);
        }
    }

    fn other(&mut self, statement: Statement) {
        other_object(&mut self.context, &statement, &mut self.config);
        self.context.tell_not_acted_on(ROOT, std::slice::from_ref(&statement));
        if statement.keyword() == "vrrp_sync_group" {
            self.groups.push(statement);
        }
    }

    /// Gives the virtual servers away that have been built.
    pub fn give_services(&mut self, services: &mut dyn ServiceSink) {
        for service in self.config.check.virtual_servers.drain(..) {
            services.give(service);
        }
    }

    /// There are no more statements.
    pub fn finish(mut self) -> Built {
        self.settle();
        let Self { mut context, mut config, groups, .. } = self;
        for statement in &groups {
            sync_group::build(&mut context, statement, &mut config);
        }
        vrrp::finish(&mut context, &mut config);
        tracked::settle_groups(&mut context, &mut config.vrrp);
        needed::settle(&mut config.vrrp.instances);
        services::finish(&mut context, &mut config);
        let firewall = &config.global.firewall;
        config.check.shared_checks = config.global.shared_checks;
        config.check.first_mark =
            firewall.ipvs.is_some().then(|| firewall.ipvs_first_mark.unwrap_or(FIRST_MARK));
        context.unsupported.sort_by_key(|found| found.span);
        Built {
            config,
            diagnostics: context.diagnostics,
            places: context.places,
            unsupported: context.unsupported,
        }
    }
}

/// Of groups with `nftables_ipvs`, when nothing else is written.
const FIRST_MARK: u32 = 1000;

/// Whether a root block holds what other objects name, or defaults of others.
pub fn is_named_by_others(keyword: &str) -> bool {
    matches!(
        keyword,
        "global_defs"
            | "vrrp_script"
            | "vrrp_track_process"
            | "track_file"
            | "vrrp_track_file"
            | "track_group"
            | "bfd_instance"
            | "virtual_server_group"
            | "SSL"
    )
}

/// Objects that other objects name.
fn named_object(context: &mut Context, statement: &Statement, config: &mut Config) {
    match statement.keyword() {
        "vrrp_script" => tracked::script(context, statement, &mut config.vrrp),
        "vrrp_track_process" => tracked::process(context, statement, &mut config.vrrp),
        "track_file" | "vrrp_track_file" => tracked::file(context, statement, config),
        "track_group" => tracked::group(context, statement, &mut config.vrrp),
        "bfd_instance" => bfd::build(context, statement, &mut config.bfd),
        "virtual_server_group" => check::group(context, statement, &mut config.check),
        "SSL" => check::tls(context, statement, &mut config.check.tls),
        _ => {}
    }
}

fn other_object(context: &mut Context, statement: &Statement, config: &mut Config) {
    match statement.keyword() {
        keyword if is_named_by_others(keyword) => {}
        "vrrp_sync_group" => {}
        "vrrp_instance" => vrrp::instance(context, statement, config),
        "virtual_server" => check::service(context, statement, config),
        "static_ipaddress" => address::statics(context, statement, config),
        "static_routes" => {
            route::routes(context, statement, Owner::Static, &mut config.vrrp.static_routes);
        }
        "static_rules" => {
            rule::rules(context, statement, Owner::Static, &mut config.vrrp.static_rules);
        }
        "garp_group" => link::garp_group(context, statement, &mut config.vrrp),
        "interface_up_down_delays" => link::delays(context, statement, &mut config.vrrp),
        "linkbeat_interfaces" => link::linkbeat(context, statement, &mut config.vrrp),
        "linkbeat_use_polling" => config.vrrp.linkbeat_polling = true,
        _ if global::root(context, statement, &mut config.global) => {}
        _ => context.unknown(ROOT, statement),
    }
}
