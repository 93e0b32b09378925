//! Additions and removals of addresses, and the announcements that follow them.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, mpsc};
use std::thread;

use super::sockets::tell_announced;
use super::{Daemon, RETRY, RETRY_LIMIT, Refusal, place_of};
use crate::core::netlink::NetlinkError;
use crate::core::netlink::address::{AddressOperation, KernelAddress};
use crate::core::runtime::Scheduling;
use crate::core::time::Timestamp;
use crate::vrrp::desired::DesiredAddress;
use crate::vrrp::engine::Input;
use crate::vrrp::socket::{Frame, FrameSocket};

/// With as many operations, the first addresses are announced while the last are still to come.
const MANY: usize = 256;
/// As many are announced at once then.
const PORTION: usize = 64;
/// Sending needs little.
const STACK: usize = 128 << 10;

impl Daemon<'_> {
    /// Carries operations out and tells the engine which addresses are there, `present` among them.
    pub(super) fn carry_out(
        &mut self,
        now: Timestamp,
        operations: &[AddressOperation],
        present: Vec<DesiredAddress>,
    ) {
        if operations.len() >= MANY
            && let Ok(announcer) = Announcer::start(Arc::clone(&self.frames))
        {
            self.carry_out_many(now, operations, present, announcer);
        } else {
            self.carry_out_portion(now, operations, present);
        }
    }

    /// The kernel takes some 20 us for an address, and about as long for the frame that announces it:
    /// both go on at the same time.
    fn carry_out_many(
        &mut self,
        now: Timestamp,
        operations: &[AddressOperation],
        mut present: Vec<DesiredAddress>,
        announcer: Announcer,
    ) {
        let (mut said, mut repeated) = (Vec::new(), Vec::new());
        for portion in operations.chunks(PORTION) {
            self.carry_out_portion(now, portion, std::mem::take(&mut present));
            let mut announcements = Vec::new();
            while let Some(output) = self.engine.poll_output() {
                announcements.extend(self.act_on(output));
            }
            // No address is announced twice before all have been announced once.
            let mut seen = BTreeSet::new();
            let (first, rest): (Vec<_>, Vec<_>) =
                announcements.into_iter().partition(|address| seen.insert(address.clone()));
            repeated.extend(rest);
            let (frames, what) = self.announcements(first);
            announcer.send(frames);
            said.extend(what);
        }
        let refused = announcer.finish();
        self.announce(&mut repeated);
        tell_announced(&said, refused);
    }

    fn carry_out_portion(
        &mut self,
        now: Timestamp,
        operations: &[AddressOperation],
        mut present: Vec<DesiredAddress>,
    ) {
        let results = self.route.apply(operations);
        for (operation, result) in operations.iter().zip(results) {
            present.extend(self.applied(now, operation, result));
        }
        if !present.is_empty() {
            self.engine.handle(now, Input::AddressesPresent(present));
        }
    }

    /// Takes note of an operation; gives the address that is there now.
    fn applied(
        &mut self,
        now: Timestamp,
        operation: &AddressOperation,
        result: Result<(), NetlinkError>,
    ) -> Option<DesiredAddress> {
        match operation {
            AddressOperation::Remove { index, address, prefix } => {
                let place = (*index, *address, *prefix);
                if let Err(error) = result {
                    tracing::error!("cannot remove {address}/{prefix}: {error}");
                }
                // Failed or not: asking again and again would not help.
                self.actual.remove(&place);
                self.managed.remove(&place);
                None
            }
            AddressOperation::Add { index, address } => {
                let interface = self.links.get(index)?.name.as_str().into();
                let wanted = DesiredAddress { interface, address: address.clone() };
                if let Err(error) = result {
                    tracing::error!("cannot add {}/{}: {error}", address.address, address.prefix);
                    let wait = self
                        .refusals
                        .get(&wanted)
                        .map_or(RETRY, |refusal| (refusal.wait * 2).min(RETRY_LIMIT));
                    self.refusals.insert(wanted, Refusal { again: now + wait, wait });
                    return None;
                }
                self.refusals.remove(&wanted);
                let found = KernelAddress::added(*index, address);
                self.managed.insert(place_of(&found));
                self.actual.insert(place_of(&found), found);
                Some(wanted)
            }
        }
    }
}

/// Sends frames while the process does other things, for as long as these take.
struct Announcer {
    queue: mpsc::Sender<Vec<Frame>>,
    sender: thread::JoinHandle<Vec<(usize, io::Error)>>,
}

impl Announcer {
    fn start(socket: Arc<FrameSocket>) -> io::Result<Self> {
        let (queue, frames) = mpsc::channel::<Vec<Frame>>();
        let scheduling = Scheduling::current();
        let sender = thread::Builder::new().name("announcer".to_owned()).stack_size(STACK).spawn(
            move || {
                scheduling.take();
                let (mut done, mut refused) = (0, Vec::new());
                for frames in frames {
                    let failed = socket.send(&frames).into_iter();
                    refused.extend(failed.map(|(place, error)| (done + place, error)));
                    done += frames.len();
                }
                refused
            },
        )?;
        Ok(Self { queue, sender })
    }

    fn send(&self, frames: Vec<Frame>) {
        // It listens until the queue is closed.
        let _ = self.queue.send(frames);
    }

    /// Waits until all have left; gives those that were refused, by their place.
    fn finish(self) -> Vec<(usize, io::Error)> {
        drop(self.queue);
        self.sender.join().unwrap_or_else(|_| vec![(0, io::Error::other("sending panicked"))])
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    #[test]
    fn what_is_refused_is_told_by_its_place_among_all() {
        let Ok(socket) = FrameSocket::over(None) else {
            eprintln!("SKIPPED: no packet sockets here");
            return;
        };
        let frame = |interface| Frame {
            interface: NonZeroU32::new(interface).unwrap(),
            // To the loopback interface, of a protocol that nobody speaks.
            bytes: [vec![0; 12], vec![0x88, 0xb5], vec![0; 46]].concat(),
        };
        let nowhere = i32::MAX.unsigned_abs();
        let announcer = Announcer::start(Arc::new(socket)).unwrap();
        announcer.send(vec![frame(1), frame(nowhere)]);
        announcer.send(Vec::new());
        announcer.send(vec![frame(nowhere), frame(1)]);
        let refused: Vec<usize> = announcer.finish().into_iter().map(|(place, _)| place).collect();
        assert_eq!(refused, [1, 2]);
    }
}
