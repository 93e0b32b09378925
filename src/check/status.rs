//! What SIGUSR1 writes for the check process, in keepalived's layout.

use std::fmt::Write as _;

use super::engine::{CheckEngine, ServiceState};
use super::health::Health;

/// The data file.
pub fn data(engine: &CheckEngine) -> String {
    let mut text = String::from("------< LVS Topology >------\n");
    if let Some(saved) = engine.saved_probes() {
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(text, " Shared checks: {saved} probes saved");
    }
    if engine.unasked_probes() > 0 {
        let _ = writeln!(text, " Checks that could not be made: {}", engine.unasked_probes());
    }
    for service in engine.services() {
        service_data(&mut text, service, engine);
    }
    text
}

fn service_data(text: &mut String, service: &ServiceState, engine: &CheckEngine) {
    let config = &service.config;
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(text, " ------< Virtual server >------");
    let _ = writeln!(text, "   {}", service.name());
    let _ = writeln!(text, "   lb_algo = {}", config.scheduler.name);
    let _ = writeln!(text, "   lb_kind = {:?}", config.forwarding);
    if let Some(persistence) = &config.persistence {
        let _ = writeln!(text, "   persistence timeout = {}", persistence.timeout);
    }
    let _ = writeln!(text, "   quorum = {}, hysteresis = {}", config.quorum, config.hysteresis);
    let _ = writeln!(text, "   quorum {}", if service.quorum { "up" } else { "down" });
    if service.suspended {
        let _ = writeln!(text, "   suspended: its addresses are not on this host");
    }
    if let Some(sorry) = &config.sorry_server {
        let _ = writeln!(text, "   sorry server = {}", sorry.address);
    }
    for leaving in &service.leaving {
        let name = service.server_name(&leaving.config);
        let _ = writeln!(text, "   draining: {name}");
    }
    for server in &service.servers {
        let state = if server.up { "UP" } else { "DOWN" };
        let name = service.server_name(&server.config);
        let _ = writeln!(text, "   ------< Real server >------");
        let _ = writeln!(text, "     {name} {state}");
        let _ = writeln!(
            text,
            "     weight = {}, configured {}",
            server.weight(),
            server.config.weight
        );
        for name in server.sessions() {
            let state = match engine.session(name) {
                Some(true) => "up",
                Some(false) => "down",
                None => "not known yet",
            };
            let _ = writeln!(text, "     BFD_CHECK {name}: {state}");
        }
        for checker in &server.checkers {
            let kind = checker.config.probe.keyword();
            let health = match checker.memory.health {
                Health::Unproved { up: true } => "no result yet, taken as up".to_owned(),
                Health::Unproved { up: false } => "no result yet, taken as down".to_owned(),
                Health::Up { failures: 0 } => "up".to_owned(),
                Health::Up { failures } => format!("up, {failures} failures"),
                Health::Down => "down".to_owned(),
            };
            for warning in checker.warnings() {
                let _ = writeln!(text, "     {kind}: {warning}");
            }
            if let Some(why) = checker.unasked() {
                let _ = writeln!(text, "     {kind}: cannot be made: {why}");
            }
            let _ = match checker.fault() {
                Some(fault) => writeln!(text, "     {kind}: {health}: {fault}"),
                None => writeln!(text, "     {kind}: {health}"),
            };
        }
    }
}
