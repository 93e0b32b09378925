//! The sockets of the vrrp process: raw ones for adverts ([`inet`], [`inet6`]), packet sockets for
//! announcements ([`frame`]).
//!
//! Adverts have sockets of their own, for each interface and family, so that they never queue behind
//! anything else.

mod batch;
mod frame;
mod inet;
mod inet6;
mod listener;
mod room;

use std::cell::Cell;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::time::TimeSpec;

pub use frame::{Frame, FrameSocket};
pub use listener::Listener;
pub use room::Room;

use super::engine::{SocketName, Transmit};
use super::packet::ah;
use crate::core::config::model::Family;
use crate::core::config::model::services::ReceiveBuffer;
use crate::core::receive_buffer;
use crate::core::runtime;
use crate::core::time::{Interval, Timestamp};

/// IP protocol number of VRRP (RFC 9568 section 5.1.1.4).
const VRRP: u8 = 112;
/// When a packet seems older than this, somebody has set the wall clock, which the kernel's stamps are of.
const OLDEST: Interval = Interval::from_millis(100);
/// Two clocks are read one after the other; more than this between them is a clock that was set.
const SET: Interval = Interval::from_millis(1);
/// A socket that fails so often in a row is left until it has something new.
const MOST_ERRORS: usize = 4;

/// An interface, by its number in the kernel and its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct InterfaceId {
    /// The kernel's number; another one after the interface is made anew.
    pub index: u32,
    /// The name.
    pub name: String,
}

/// An advert as it came from the network, IP header taken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// When it came. A busy machine may have kept it waiting, and its sender's silence begins here.
    pub arrived: Timestamp,
    /// Sender.
    pub source: IpAddr,
    /// Group or own address.
    pub destination: IpAddr,
    /// Remaining TTL.
    pub ttl: u8,
    /// IP identification, over IPv4.
    pub id: u16,
    /// The VRRP message and whatever follows it.
    pub payload: &'a [u8],
}

/// Receives and sends the adverts of one family on one interface (or, without one, of unicast on
/// any).
#[derive(Debug)]
pub enum AdvertSocket {
    /// IPv4.
    Inet(inet::InetSocket),
    /// IPv6.
    Inet6(inet6::Inet6Socket),
}

impl AdvertSocket {
    /// Opens what is needed. Needs CAP_NET_RAW.
    pub fn open(name: &SocketName, interface: Option<&InterfaceId>) -> io::Result<Self> {
        Ok(match name.family {
            Family::Inet => {
                let protocol = if name.authenticated { ah::PROTOCOL } else { VRRP };
                Self::Inet(inet::InetSocket::open(interface, protocol)?)
            }
            Family::Inet6 => Self::Inet6(inet6::Inet6Socket::open(interface)?),
        })
    }

    /// Gives it another receive buffer than the usual one, which has room for a burst of adverts of
    /// many virtual routers while the process is busy.
    pub fn set_receive_buffer(&self, wanted: ReceiveBuffer) {
        match self {
            Self::Inet(socket) => receive_buffer::set(socket.receiver(), wanted, "adverts"),
            Self::Inet6(socket) => receive_buffer::set(socket.receiver(), wanted, "adverts"),
        }
    }

    /// Bytes of its receive buffer.
    pub fn receive_buffer(&self) -> io::Result<usize> {
        match self {
            Self::Inet(socket) => receive_buffer::size(socket.receiver()),
            Self::Inet6(socket) => receive_buffer::size(socket.receiver()),
        }
    }

    /// Joins a multicast group on the interface; joining again is not an error.
    pub fn join(&self, group: IpAddr, interface: &InterfaceId) -> io::Result<()> {
        match (self, group) {
            (Self::Inet(socket), IpAddr::V4(group)) => socket.join(group, interface),
            (Self::Inet6(socket), IpAddr::V6(group)) => socket.join(group, interface),
            (Self::Inet(_), IpAddr::V6(_)) | (Self::Inet6(_), IpAddr::V4(_)) => {
                Err(io::ErrorKind::Unsupported.into())
            }
        }
    }

    /// Takes what has arrived, some `most` packets at the most, without waiting. Gives whether there
    /// may be more. Packets that are not VRRP are passed over.
    pub fn receive(
        &self,
        space: &mut Space,
        most: usize,
        each: &mut dyn FnMut(Datagram<'_>),
    ) -> bool {
        let (mut taken, mut failed) = (0, 0);
        while taken < most {
            let look = match self {
                Self::Inet(socket) => {
                    socket.receive(&mut space.0, each).map(|count| (count, count < inet::LOOK))
                }
                Self::Inet6(socket) => socket.receive(&mut space.0, each).map(|()| (1, false)),
            };
            match look {
                Ok((_, true)) => return false,
                Ok((count, false)) => taken += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                // ENETDOWN and the like come once: the link event says what happened.
                Err(error) => {
                    tracing::debug!("receiving adverts: {error}");
                    failed += 1;
                    if failed == MOST_ERRORS {
                        return false;
                    }
                }
            }
        }
        true
    }

    /// Sends adverts. Gives those that were refused, by their place.
    pub fn send(&self, adverts: &[Transmit]) -> Vec<(usize, io::Error)> {
        match self {
            Self::Inet(socket) => socket.send(adverts),
            Self::Inet6(socket) => socket.send(adverts),
        }
    }
}

impl AsFd for AdvertSocket {
    /// Of what receives.
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Inet(socket) => socket.receiver().as_fd(),
            Self::Inet6(socket) => socket.receiver().as_fd(),
        }
    }
}

/// Where packets are put while they are looked at.
#[derive(Debug)]
pub struct Space(Vec<u8>);

impl Default for Space {
    fn default() -> Self {
        Self(vec![0; inet::SPACE.max(inet6::LARGEST)])
    }
}

/// The kernel's two clocks at one moment.
struct Clocks {
    now: Timestamp,
    wall: Interval,
    /// Stamps are of the clock that the wall has now.
    trusted: bool,
}

impl Clocks {
    fn read() -> Self {
        thread_local!(static WALL_CLOCK: Cell<WallClock> = const { Cell::new(WallClock::NEW) });
        let mut clock = WALL_CLOCK.get();
        let clocks = clock.look(runtime::now(), runtime::wall_clock());
        WALL_CLOCK.set(clock);
        clocks
    }

    /// When a packet came, by the kernel's stamp on it. The clocks were read after it was.
    fn arrival(&self, stamp: Option<TimeSpec>) -> Timestamp {
        let since_1970 = |stamp: TimeSpec| Interval::from_duration(stamp.into());
        let age = stamp.map_or(Interval::ZERO, |stamp| self.wall - since_1970(stamp));
        if self.trusted && age <= OLDEST { self.now.before(age) } else { self.now }
    }
}

/// Whether the wall clock was set while a packet waited. Corrections of its rate move both clocks, and so
/// does a suspended machine: the difference changes when somebody sets it, and not otherwise.
#[derive(Debug, Clone, Copy)]
struct WallClock {
    /// By how much it was ahead of ours when this was last asked, in nanoseconds.
    ahead: Option<u64>,
    /// Stamps may be of another clock until then: a doubtful packet has come now.
    doubtful_until: Timestamp,
}

impl WallClock {
    const NEW: Self = Self { ahead: None, doubtful_until: Timestamp::ZERO };

    fn look(&mut self, now: Timestamp, wall: Interval) -> Clocks {
        let ahead = wall.as_nanos().wrapping_sub(now.as_nanos());
        let before = self.ahead.replace(ahead).unwrap_or(ahead);
        if ahead.wrapping_sub(before).cast_signed().unsigned_abs() > SET.as_nanos() {
            self.doubtful_until = now + OLDEST;
        }
        Clocks { now, wall, trusted: now >= self.doubtful_until }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_came_when_its_stamp_says_unless_the_clock_was_set() {
        let stamped = |nanos: u64| {
            Clocks::read().arrival(Some(Interval::from_nanos(nanos).to_duration().into()))
        };
        let wall = runtime::wall_clock().as_nanos();
        let now = runtime::now();
        let waited = runtime::now().since(stamped(wall - 30_000_000));
        assert!(waited >= Interval::from_millis(30), "{waited}");
        for unbelievable in [wall - 3_600_000_000_000, wall + 3_600_000_000_000] {
            assert!(stamped(unbelievable) >= now);
        }
        assert!(Clocks::read().arrival(None) >= now);
    }

    #[test]
    fn a_packet_that_waited_while_the_clock_was_set_has_come_now() {
        let ms = Interval::from_millis;
        let mut clock = WallClock::NEW;
        let mut waited = |at: u64, wall: u64, stamp: u64| {
            let now = Timestamp::ZERO + ms(at);
            let stamp = TimeSpec::from_duration(ms(stamp).to_duration());
            now.since(clock.look(now, ms(wall)).arrival(Some(stamp)))
        };
        assert_eq!(waited(1000, 900_000, 899_980), ms(20));
        assert_eq!(waited(2000, 901_060, 901_000), ms(0), "set by 60 ms");
        assert_eq!(waited(2099, 901_159, 901_149), ms(0), "more of the same queue");
        assert_eq!(waited(2100, 901_160, 901_150), ms(10));
        assert_eq!(waited(3000, 902_000, 902_000), ms(0), "set back");
        assert_eq!(waited(3200, 902_200, 902_170), ms(30));
    }
}
