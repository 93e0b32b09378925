//! Sources to model, with everything that is to be said about them.

use super::build::{Assembly, Built, Late, Places, Unsupported};
use super::model::Config;
use super::model::check::VirtualServer;
use super::preprocess::preprocess_into;
use super::source::{Frozen, SourceSet};
use super::tree::TreeBuilder;
use crate::core::diagnostics::{Diagnostic, Severity, SourceMap};
use crate::core::shared::Shared;

/// A compiled configuration.
#[derive(Debug)]
pub struct Compiled {
    /// What the daemons act on.
    pub config: Config,
    /// What spans point into.
    pub sources: SourceMap,
    /// What was wrong, and what is not acted on.
    pub diagnostics: Vec<Diagnostic>,
    /// Where objects of the model were written.
    pub places: Places,
    /// Keywords that are understood but not acted on.
    pub unsupported: Vec<Unsupported>,
}

/// Takes virtual servers as they are built: of these there may be very many.
pub trait ServiceSink {
    /// None has been given, whatever was.
    fn begin(&mut self);
    /// The next one, in the order of the file.
    fn give(&mut self, service: Shared<VirtualServer>);
}

impl ServiceSink for Vec<Shared<VirtualServer>> {
    fn begin(&mut self) {
        self.clear();
    }

    fn give(&mut self, service: Shared<VirtualServer>) {
        self.push(service);
    }
}

/// Whoever only wants to know what is wrong needs none of them.
impl ServiceSink for () {
    fn begin(&mut self) {}

    fn give(&mut self, _service: Shared<VirtualServer>) {}
}

/// Compiles; never fails: what cannot be used is left out and told.
pub fn compile(sources: &SourceSet) -> Compiled {
    let mut services = Vec::new();
    let mut compiled = compile_into(sources, &mut services);
    compiled.config.check.virtual_servers = services;
    compiled
}

/// The same with the virtual servers given away.
pub fn compile_into(sources: &SourceSet, services: &mut dyn ServiceSink) -> Compiled {
    let (built, mut diagnostics) = assemble(sources, sources.named_until(), services)
        .or_else(|Late| assemble(sources, u64::MAX, services))
        .unwrap_or_default();
    diagnostics.extend(built.diagnostics);
    // More would not be read.
    diagnostics.extend(built.unsupported.iter().take(1000).map(Unsupported::diagnostic));
    Compiled {
        config: built.config,
        sources: sources.source_map(),
        diagnostics,
        places: built.places,
        unsupported: built.unsupported,
    }
}

/// Reads, and builds on the way: objects that others name begin within the first `named_until` lines.
fn assemble(
    sources: &SourceSet,
    named_until: u64,
    services: &mut dyn ServiceSink,
) -> Result<(Built, Vec<Diagnostic>), Late> {
    services.begin();
    let mut builder = TreeBuilder::default();
    let mut assembly = Assembly::new(sources.host_name());
    let mut done = Ok(());
    // What the line at `named_until` belongs to is complete when one more root statement is.
    let (mut all_begun, mut settled) = (false, false);
    let mut found = preprocess_into(sources.main(), &mut Frozen(sources), &mut |line| {
        if done.is_err() {
            return;
        }
        builder.push(line);
        for statement in builder.completed() {
            done = assembly.add(statement);
            if done.is_err() {
                return;
            }
            if all_begun && !settled {
                settled = true;
                assembly.settle();
            }
            assembly.give_services(services);
        }
        all_begun |= builder.lines_read() > named_until && builder.is_between_blocks();
    });
    done?;
    // Thousands of lines: what is built of them does not wait for the last one either.
    while builder.read_on() {
        for statement in builder.completed() {
            assembly.add(statement)?;
            assembly.give_services(services);
        }
    }
    let (rest, faults) = builder.finish();
    for statement in rest {
        assembly.add(statement)?;
    }
    found.extend(faults);
    assembly.settle();
    assembly.give_services(services);
    Ok((assembly.finish(), found))
}

impl Compiled {
    fn has(&self, severity: Severity) -> bool {
        self.diagnostics.iter().any(|found| found.severity == severity)
    }

    /// keepalived's exit status of a config test: 2 a mandatory word is missing, 6 script security
    /// (it outweighs errors in keepalived 2.2.7, which was measured), 5 errors, 4 cannot run and
    /// nothing else, 0 nothing that keepalived would speak of.
    pub fn test_exit_code(&self) -> u8 {
        let codes = [
            (Severity::Missing, 2),
            (Severity::ScriptSecurity, 6),
            (Severity::Error, 5),
            (Severity::Fatal, 4),
        ];
        codes.into_iter().find(|(severity, _)| self.has(*severity)).map_or(0, |(_, code)| code)
    }

    /// Why a daemon must not run with this, if it must not.
    pub fn refusal(&self) -> Option<Severity> {
        [Severity::Missing, Severity::Fatal].into_iter().find(|severity| self.has(*severity))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::config::source::LoadOptions;
    use crate::core::config::tree::FARTHEST_LOOK;

    /// So many harmless lines that those before them can be built.
    fn followed_by_much(text: &str) -> String {
        text.to_owned() + &"linkbeat_use_polling\n".repeat(FARTHEST_LOOK + 1)
    }

    /// The text built on the way from each `step`th of its lines on, against all of it built at the
    /// end; whether it was late from any line.
    fn same_from_any_line(text: &str, step: usize) -> bool {
        let sources = SourceSet::from_text("a.conf", followed_by_much(text));
        let assemble = |until| {
            let mut services = Vec::new();
            assemble(&sources, until, &mut services).map(|built| (built, services))
        };
        let whole = assemble(u64::MAX).unwrap();
        let mut late = false;
        for line in (0..=text.lines().count() as u64).step_by(step) {
            match assemble(line) {
                Ok(early) => assert_eq!(early, whole, "from line {line} of\n{text}"),
                Err(Late) => late = true,
            }
        }
        late
    }

    const SERVICE: &str = "virtual_server 10.0.0.1 80 {\nlb_algo rr\nlb_kind DR\nprotocol TCP\n\
                           real_server 10.0.0.2 80 {\nFILE_CHECK {\ntrack_file F\n}\n}\n}\n";
    const FILE: &str = "track_file F {\nfile /tmp/f\n}\n";
    const INSTANCE: &str = "vrrp_instance V {\ninterface eth0\nvirtual_router_id 51\n\
                            track_file {\nF\n}\nvirtual_ipaddress {\n10.0.0.1\n}\n}\n";
    const GROUP: &str = "vrrp_sync_group G {\ngroup {\nV\n}\n}\n";

    #[test]
    fn the_order_of_objects_does_not_matter_and_building_on_the_way_neither() {
        let orders = [
            [FILE, INSTANCE, SERVICE, GROUP],
            [SERVICE, GROUP, INSTANCE, FILE],
            [GROUP, FILE, SERVICE, INSTANCE],
        ];
        let mut configs = orders.map(|order| {
            let text = order.concat();
            assert_eq!(same_from_any_line(&text, 1), order[0] != FILE);
            compile(&SourceSet::from_text("a.conf", &text)).config
        });
        for config in &mut configs {
            config.global.router_id.clear();
        }
        assert_eq!(configs[0], configs[1]);
        assert_eq!(configs[0], configs[2]);
        assert!(!configs[0].check.virtual_servers[0].real_servers[0].extras.file_checks.is_empty());
    }

    #[test]
    fn damaged_braces_make_no_difference_to_building_on_the_way() {
        let text = [FILE, INSTANCE, GROUP, SERVICE, FILE, SERVICE].concat();
        for (at, _) in text.match_indices(['{', '}']) {
            let mut damaged = text.clone();
            damaged.remove(at);
            same_from_any_line(&damaged, 20);
            same_from_any_line(&format!("{}}}{}", &text[..at], &text[at..]), 20);
        }
    }

    #[test]
    fn a_file_is_built_on_the_way_after_its_last_named_object() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.conf");
        let text = [SERVICE, FILE, INSTANCE, SERVICE].concat();
        std::fs::write(&path, followed_by_much(&text)).unwrap();
        let sources = SourceSet::load(&path, &LoadOptions::default()).unwrap();
        let until = SERVICE.lines().count() as u64 + 1;
        assert_eq!(sources.named_until(), until, "nested words of the same name do not count");
        assert!(assemble(&sources, until, &mut Vec::new()).is_ok());
        assert_eq!(assemble(&sources, 0, &mut Vec::new()), Err(Late));
    }
}
