//! `expiry_warning`: a certificate that ends soon is told of once a day, and its server stays up.

use super::{CheckEngine, CheckerId, Event, Importance, Output};
use crate::core::time::{Interval, Timestamp};

const DAY: Interval = Interval::from_secs(86_400);

/// What the last good probe of a checker said of the certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Its words; `None` when there is nothing to warn of any more.
    pub text: Option<String>,
    /// When they were told last. It counts also after a good certificate: the urls of one checker may
    /// be of hosts with a certificate each.
    told: Timestamp,
}

impl CheckEngine {
    /// Takes in what a good probe says of the certificate.
    pub(super) fn warned(&mut self, now: Timestamp, id: CheckerId, warning: Option<&String>) {
        let Some(checker) = self.checker(id) else { return };
        let Some(text) = warning else {
            if let Some(before) = &mut checker.warning {
                before.text = None;
            }
            return;
        };
        let told = checker.warning.as_ref().map(|before| before.told);
        let tell = told.is_none_or(|told| now >= told + DAY);
        let told = if tell { now } else { told.unwrap_or(now) };
        checker.warning = Some(Box::new(Warning { text: Some(text.clone()), told }));
        if tell {
            self.tell_of_certificate(id, text);
        }
    }

    fn tell_of_certificate(&mut self, id: CheckerId, words: &str) {
        let Some((service, server, _)) = self.places.get(id) else { return };
        let Some(service) = self.services.get(service) else { return };
        let Some(server) = service.servers.get(server) else { return };
        let (name, service_name) = (service.server_name(&server.config), service.name());
        let text = format!("Server {name} of VS {service_name}: {words}");
        let mail = service.server_mail(&server.config, server.up, words, true);
        self.outputs.push_back(Output::Log(Event {
            importance: Importance::Warning,
            text,
            cause: None,
        }));
        self.outputs.extend(mail);
    }
}
