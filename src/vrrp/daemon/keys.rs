//! The keys of `auth_hmac` that are in files (`key ID file:PATH`).
//!
//! They are read at the start and at each reload. A key that cannot be read, or is none, stays out: a
//! router whose active key it is waits in FAULT, since its peers would not believe its adverts. A
//! reload keeps what was read before from the same place, as it keeps everything else when it fails.

use std::sync::Arc;

use crate::core::config::model::Config;
use crate::core::config::model::hmac::{HmacKey, HmacSecret};
use crate::core::config::model::vrrp::Instance;
use crate::core::config::surroundings::{KeyFile, read_key};

/// The keys as they were read.
#[derive(Debug, Default)]
pub(super) struct KeyFiles(Vec<(String, Vec<u8>)>);

impl KeyFiles {
    /// Reads the keys that a configuration has in files.
    pub(super) fn read(&mut self, config: &mut Config) {
        let mut now = Vec::new();
        for instance in &mut config.vrrp.instances {
            if !has_file(instance) {
                continue;
            }
            let Some(hmac) = &mut Arc::make_mut(instance).hmac else { continue };
            for key in &mut hmac.keys {
                let HmacSecret::File(path) = &key.secret else { continue };
                let path = path.clone();
                if let Some(bytes) = self.key(&path, &mut now) {
                    key.secret = HmacSecret::Bytes(bytes);
                }
            }
        }
        self.0 = now;
    }

    fn key(&self, path: &str, now: &mut Vec<(String, Vec<u8>)>) -> Option<Vec<u8>> {
        let known = |list: &[(String, Vec<u8>)]| {
            list.iter().find(|(known, _)| known == path).map(|(_, bytes)| bytes.clone())
        };
        if let Some(bytes) = known(now) {
            return Some(bytes);
        }
        let bytes = match read_key(path) {
            Ok(KeyFile { bytes, exposed }) => {
                if exposed {
                    tracing::warn!("the key in {path} can be read by others than its owner");
                }
                bytes
            }
            Err(why) => {
                let before = known(&self.0);
                let then = if before.is_some() { ", the one of before is kept" } else { "" };
                tracing::error!("the key in {path} cannot be used: {why}{then}");
                before?
            }
        };
        now.push((path.to_owned(), bytes.clone()));
        Some(bytes)
    }
}

fn has_file(instance: &Instance) -> bool {
    let in_file = |key: &HmacKey| matches!(key.secret, HmacSecret::File(_));
    instance.hmac.as_ref().is_some_and(|hmac| hmac.keys.iter().any(in_file))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::core::config::compile::compile;
    use crate::core::config::source::SourceSet;

    #[test]
    fn keys_in_files_are_read_and_those_of_before_outlive_a_file_that_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let config = || {
            let text = format!(
                "vrrp_instance V {{\ninterface eth0\nvirtual_router_id 1\nauth_hmac {{\n\
                 key 1 file:{}\nkey 2 0123456789abcdef0123456789abcdef\nactive_key 1\n}}\n\
                 virtual_ipaddress {{\n10.0.0.1\n}}\n}}\n",
                path.display()
            );
            compile(&SourceSet::from_text("a.conf", text)).config
        };
        let secret = |config: &Config| {
            let hmac = config.vrrp.instances[0].hmac.clone().unwrap();
            (hmac.secret(1).map(<[u8]>::to_vec), hmac.secret(2).is_some())
        };
        let mut files = KeyFiles::default();
        let mut first = config();
        files.read(&mut first);
        assert_eq!(secret(&first), (None, true), "nothing there yet");
        fs::write(&path, format!("hex:{}\n", "4b".repeat(32))).unwrap();
        let mut second = config();
        files.read(&mut second);
        assert_eq!(secret(&second), (Some(vec![b'K'; 32]), true));
        assert_ne!(first, second, "a reload acts on another key in the same file");
        fs::write(&path, "too short").unwrap();
        for _ in 0..2 {
            let mut third = config();
            files.read(&mut third);
            assert_eq!(third, second);
        }
    }
}
