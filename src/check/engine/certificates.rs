//! `expiry_warning`: a certificate that ends soon is told of once a day, and its server stays up. The
//! urls of one checker may be of hosts with a certificate each.

use std::collections::{BTreeMap, BTreeSet};

use super::{CheckEngine, CheckerId, Event, Importance, Output};
use crate::core::time::{Interval, Timestamp};

const DAY: Interval = Interval::from_secs(86_400);
/// Certificates of one checker that are told apart; a server may have another one at each probe.
const MOST: usize = 64;

/// A certificate that ends soon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// Which one: its digest.
    pub certificate: String,
    /// What is to be told.
    pub words: String,
}

/// What good probes of a checker have said of certificates.
#[derive(Debug, Clone, Default)]
pub(super) struct Warnings {
    /// By url: words of the last probe.
    current: BTreeMap<usize, String>,
    /// By certificate: when it was told of last. It counts also after a good one.
    told: BTreeMap<String, Timestamp>,
}

impl Warnings {
    /// What there is to warn of at present.
    pub(super) fn texts(&self) -> BTreeSet<&str> {
        self.current.values().map(String::as_str).collect()
    }

    /// Takes in what was found at a url; whether it is to be told.
    fn take(&mut self, now: Timestamp, url: usize, ending: &Ending) -> bool {
        self.current.insert(url, ending.words.clone());
        self.told.retain(|_, told| now < *told + DAY);
        if self.told.contains_key(&ending.certificate) || self.told.len() >= MOST {
            return false;
        }
        self.told.insert(ending.certificate.clone(), now);
        true
    }
}

impl CheckEngine {
    /// Takes in what a good probe of a url says of the certificate.
    pub(super) fn warned(
        &mut self,
        now: Timestamp,
        id: CheckerId,
        url: usize,
        ending: Option<&Ending>,
    ) {
        let Some(checker) = self.checker(id) else { return };
        let Some(ending) = ending else {
            if let Some(before) = &mut checker.warnings {
                before.current.remove(&url);
            }
            return;
        };
        if checker.warnings.get_or_insert_default().take(now, url, ending) {
            self.tell_of_certificate(id, &ending.words);
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
