//! The keys of `auth_hmac` that are in files (`key ID file:PATH`).
//!
//! They are read at the start and at each reload, by other threads. The old configuration goes on with
//! the old keys until the new ones are there. A key that cannot be read, or is none, stays out: a router
//! whose active key it is waits in FAULT, since its peers would not believe its adverts. A reload keeps
//! what was read before from the same place, as it keeps everything else when it fails.
//!
//! A file system may hang. After [`PATIENCE`] the daemon starts without such a key, and a reload goes on
//! with what was read before from the same place; where nothing was, the old configuration stays in
//! force until the key comes, or another reload. A key that comes late is taken when it comes.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::core::config::model::Config;
use crate::core::config::model::hmac::{HmacKey, HmacSecret};
use crate::core::config::model::vrrp::Instance;
use crate::core::config::surroundings::KeyFile;
use crate::core::key_files::{self, KeyRead, PATIENCE};
use crate::core::runtime;
use crate::core::time::{Interval, Timestamp};

/// The keys as they were read, and those that are being read.
#[derive(Debug)]
pub(super) struct KeyFiles {
    known: BTreeMap<String, Vec<u8>>,
    reading: Option<Reading>,
    /// Of the latest configuration: what was begun for an older one does not count.
    round: u64,
    sender: mpsc::Sender<(u64, KeyRead)>,
    inbox: mpsc::Receiver<(u64, KeyRead)>,
}

/// A configuration that waits for its keys.
#[derive(Debug)]
struct Reading {
    /// As it is written.
    config: Config,
    missing: BTreeSet<String>,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing was done yet.
    Waiting { until: Timestamp },
    /// The same; there is nothing to go on with.
    Held,
    /// It is in force, with the keys of before. `true` when something has come since.
    Late(bool),
}

/// A configuration with its keys.
#[derive(Debug)]
pub(super) enum Keyed {
    /// A new one.
    New(Config),
    /// The one that is in force, with keys that came late.
    Again(Config),
}

impl Default for KeyFiles {
    fn default() -> Self {
        let (sender, inbox) = mpsc::channel(64);
        Self { known: BTreeMap::new(), reading: None, round: 0, sender, inbox }
    }
}

impl KeyFiles {
    /// Waits for the keys of the first configuration.
    pub(super) async fn start(&mut self, config: Config) -> Config {
        self.begin(config, runtime::now());
        loop {
            // Each round waits for one file, and there are as many rounds as files at most.
            let late = tokio::time::timeout(PATIENCE, self.next()).await.is_err();
            let now = runtime::now();
            let now = if late { self.deadline().map_or(now, |until| until.max(now)) } else { now };
            if let Some(Keyed::New(config) | Keyed::Again(config)) = self.ready(now) {
                return config;
            }
        }
    }

    /// Begins to read the keys of a configuration, in place of any that still waits for its own.
    pub(super) fn begin(&mut self, config: Config, now: Timestamp) {
        let missing = paths(&config);
        self.round += 1;
        let (round, sender) = (self.round, self.sender.clone());
        if !missing.is_empty() {
            key_files::begin(missing.clone(), move |read| {
                // The process ends: nobody listens.
                let _ = sender.blocking_send((round, read));
            });
        }
        let patience = Interval::from_micros(PATIENCE.as_micros().try_into().unwrap_or(u64::MAX));
        let stage = Stage::Waiting { until: now + patience };
        self.reading = Some(Reading { config, missing, stage });
    }

    /// Waits until something has come; for ever when nothing is to come.
    pub(super) async fn next(&mut self) {
        if self.reading.as_ref().is_some_and(|reading| reading.missing.is_empty()) {
            return;
        }
        if let Some((round, read)) = self.inbox.recv().await
            && round == self.round
        {
            self.take(read);
        }
    }

    fn take(&mut self, (path, read): KeyRead) {
        let Some(reading) = &mut self.reading else { return };
        reading.missing.remove(&path);
        match read {
            Ok(KeyFile { bytes, exposed }) => {
                if exposed {
                    tracing::warn!("the key in {path} can be read by others than its owner");
                }
                if let Stage::Late(come) = &mut reading.stage {
                    tracing::info!("the key in {path} has come");
                    *come = true;
                }
                self.known.insert(path, bytes);
            }
            Err(why) => self.unusable(&path, &why),
        }
    }

    fn unusable(&self, path: &str, why: &io::Error) {
        let kept = self.known.contains_key(path);
        let then = if kept { ", the one of before is kept" } else { "" };
        tracing::error!("the key in {path} cannot be used: {why}{then}");
    }

    /// When [`Self::ready`] has something to say in any case.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        match self.reading.as_ref()?.stage {
            Stage::Waiting { until } => Some(until),
            Stage::Held | Stage::Late(_) => None,
        }
    }

    /// A configuration that need not wait any longer.
    pub(super) fn ready(&mut self, now: Timestamp) -> Option<Keyed> {
        let mut reading = self.reading.take()?;
        let complete = reading.missing.is_empty();
        let due = match reading.stage {
            Stage::Waiting { until } => complete || until <= now,
            Stage::Held => complete,
            Stage::Late(come) => come,
        };
        let first = self.round == 1;
        if due && !complete && !first && reading.stage != Stage::Late(true) {
            let mut nowhere = reading.missing.iter().filter(|path| !self.known.contains_key(*path));
            if let Some(path) = nowhere.next() {
                tracing::error!(
                    "the key in {path} cannot be read, its file system does not answer; \
                     the old configuration stays until it does"
                );
                reading.stage = Stage::Held;
                self.reading = Some(reading);
                return None;
            }
        }
        if !due {
            self.reading = (!complete || reading.stage != Stage::Late(false)).then_some(reading);
            return None;
        }
        if matches!(reading.stage, Stage::Waiting { .. } | Stage::Held) {
            for path in &reading.missing {
                self.unusable(path, &key_files::hangs());
            }
            let wanted = paths(&reading.config);
            self.known.retain(|path, _| wanted.contains(path));
        }
        let stage = std::mem::replace(&mut reading.stage, Stage::Late(false));
        let mut config = if complete {
            reading.config
        } else {
            let config = reading.config.clone();
            self.reading = Some(reading);
            config
        };
        self.fill(&mut config);
        Some(match stage {
            Stage::Waiting { .. } | Stage::Held => Keyed::New(config),
            Stage::Late(_) => Keyed::Again(config),
        })
    }

    fn fill(&self, config: &mut Config) {
        for instance in &mut config.vrrp.instances {
            if files(instance).next().is_none() {
                continue;
            }
            let Some(hmac) = &mut Arc::make_mut(instance).hmac else { continue };
            for key in &mut hmac.keys {
                if let HmacSecret::File(path) = &key.secret
                    && let Some(bytes) = self.known.get(path)
                {
                    key.secret = HmacSecret::Bytes(bytes.clone());
                }
            }
        }
    }
}

fn paths(config: &Config) -> BTreeSet<String> {
    config.vrrp.instances.iter().flat_map(|instance| files(instance)).cloned().collect()
}

fn files(instance: &Instance) -> impl Iterator<Item = &String> {
    let keys = instance.hmac.iter().flat_map(|hmac| &hmac.keys);
    keys.filter_map(|HmacKey { secret, .. }| match secret {
        HmacSecret::File(path) => Some(path),
        HmacSecret::Bytes(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::core::config::compile::compile;
    use crate::core::config::source::SourceSet;

    fn config(path: &std::path::Path) -> Config {
        let text = format!(
            "vrrp_instance V {{\ninterface eth0\nvirtual_router_id 1\nauth_hmac {{\n\
             key 1 file:{}\nkey 2 0123456789abcdef0123456789abcdef\nactive_key 1\n}}\n\
             virtual_ipaddress {{\n10.0.0.1\n}}\n}}\n",
            path.display()
        );
        compile(&SourceSet::from_text("a.conf", text)).config
    }

    fn secret(config: &Config) -> (Option<Vec<u8>>, bool) {
        let hmac = config.vrrp.instances[0].hmac.clone().unwrap();
        (hmac.secret(1).map(<[u8]>::to_vec), hmac.secret(2).is_some())
    }

    fn key(byte: u8) -> KeyFile {
        KeyFile { bytes: vec![byte; 32], exposed: false }
    }

    #[tokio::test]
    async fn keys_in_files_are_read_and_those_of_before_outlive_a_file_that_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let mut files = KeyFiles::default();
        let first = files.start(config(&path)).await;
        assert_eq!(secret(&first), (None, true), "nothing there yet");
        fs::write(&path, format!("hex:{}\n", "4b".repeat(32))).unwrap();
        let second = files.start(config(&path)).await;
        assert_eq!(secret(&second), (Some(vec![b'K'; 32]), true));
        assert_ne!(first, second, "a reload acts on another key in the same file");
        fs::write(&path, "too short").unwrap();
        for _ in 0..2 {
            assert_eq!(files.start(config(&path)).await, second);
        }
    }

    /// Files that nothing reads: results are given by hand.
    fn waiting(now: Timestamp) -> (KeyFiles, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let mut files = KeyFiles::default();
        files.begin(config(&path), now);
        (files, path.display().to_string())
    }

    #[test]
    fn the_old_configuration_goes_on_until_the_keys_are_there() {
        let now = runtime::now();
        let (mut files, path) = waiting(now);
        let until = files.deadline().unwrap();
        assert!(until > now && files.ready(now).is_none());
        files.take((path, Ok(key(b'K'))));
        let Some(Keyed::New(config)) = files.ready(now) else { panic!("it is complete") };
        assert_eq!(secret(&config), (Some(vec![b'K'; 32]), true));
        assert!(files.ready(until).is_none() && files.deadline().is_none());
    }

    #[test]
    fn a_key_that_hangs_is_taken_when_it_comes() {
        let now = runtime::now();
        let (mut files, path) = waiting(now);
        files.known.insert(path.clone(), vec![b'O'; 32]);
        let until = files.deadline().unwrap();
        let Some(Keyed::New(config)) = files.ready(until) else { panic!("it has waited enough") };
        assert_eq!(secret(&config).0, Some(vec![b'O'; 32]), "the one of before");
        assert!(files.ready(until).is_none() && files.deadline().is_none(), "no second time");
        files.take((path, Ok(key(b'K'))));
        let Some(Keyed::Again(config)) = files.ready(until) else { panic!("it has come") };
        assert_eq!(secret(&config).0, Some(vec![b'K'; 32]));
        assert!(files.ready(until).is_none() && files.reading.is_none());
    }

    #[test]
    fn a_reload_to_a_key_that_hangs_waits_for_it() {
        let now = runtime::now();
        let (mut files, path) = waiting(now);
        files.round = 2;
        let until = files.deadline().unwrap();
        assert!(files.ready(until).is_none(), "nothing to go on with");
        assert!(files.deadline().is_none() && files.ready(until).is_none());
        files.take((path, Ok(key(b'K'))));
        let Some(Keyed::New(config)) = files.ready(until) else { panic!("it has come") };
        assert_eq!(secret(&config).0, Some(vec![b'K'; 32]));
    }

    #[test]
    fn a_key_that_comes_late_and_is_none_changes_nothing() {
        let now = runtime::now();
        let (mut files, path) = waiting(now);
        assert!(matches!(files.ready(files.deadline().unwrap()), Some(Keyed::New(_))));
        files.take((path, Err(io::ErrorKind::NotFound.into())));
        assert!(files.ready(now).is_none() && files.reading.is_none());
    }

    #[tokio::test]
    async fn what_was_read_for_an_older_configuration_does_not_count() {
        let now = runtime::now();
        let (mut files, path) = waiting(now);
        files.begin(Config::default(), now);
        assert!(matches!(files.ready(now), Some(Keyed::New(_))), "it has no files");
        files.begin(config(std::path::Path::new("/nowhere")), now);
        let sender = files.sender.clone();
        sender.send((1, (path, Ok(key(b'K'))))).await.unwrap();
        while files.ready(now).is_none() {
            files.next().await;
        }
        assert!(files.known.is_empty());
    }
}
