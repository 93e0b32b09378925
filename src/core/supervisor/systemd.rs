//! What systemd is told: READY, RELOADING, STOPPING, STATUS, WATCHDOG.

use sd_notify::NotifyState;

use crate::core::time::Interval;

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!("systemd was not told: {error}");
    }
}

/// Everything is up.
pub fn ready(status: &str) {
    send(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// A reload begins.
pub fn reloading() {
    let mut states = vec![NotifyState::Reloading];
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        states.push(now);
    }
    states.push(NotifyState::Status("Reloading"));
    send(&states);
}

/// The end begins.
pub fn stopping() {
    send(&[NotifyState::Stopping, NotifyState::Status("Stopping")]);
}

/// All processes are alive.
pub fn alive() {
    send(&[NotifyState::Watchdog]);
}

/// How often `alive` must be said: half of what systemd allows.
pub fn watchdog_interval() -> Option<Interval> {
    let limit = sd_notify::watchdog_enabled()?;
    Some(Interval::from_duration(limit / 2))
}
