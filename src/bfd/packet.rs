//! BFD Control packets (RFC 5880 section 4.1), without authentication.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |Vers |  Diag   |Sta|P|F|C|A|D|M|  Detect Mult  |    Length     |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                       My Discriminator                        |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                      Your Discriminator                       |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                    Desired Min TX Interval                    |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                   Required Min RX Interval                    |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                 Required Min Echo RX Interval                 |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```
//!
//! Intervals are microseconds.

use std::fmt;

use crate::core::time::Interval;

/// Bytes of a packet without authentication.
pub const LENGTH: usize = 24;
const VERSION: u8 = 1;
const POLL: u8 = 0x20;
const FINAL: u8 = 0x10;
const CONTROL_PLANE_INDEPENDENT: u8 = 0x08;
const AUTHENTICATION: u8 = 0x04;
const DEMAND: u8 = 0x02;
const MULTIPOINT: u8 = 0x01;

/// State of a session (RFC 5880 section 4.1, Sta).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Taken down by a human.
    AdminDown,
    /// The neighbour is not heard, or does not hear us.
    Down,
    /// The neighbour is heard; it does not hear us yet.
    Init,
    /// Both hear the other.
    Up,
}

impl State {
    const fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::AdminDown,
            1 => Self::Down,
            2 => Self::Init,
            _ => Self::Up,
        }
    }

    const fn bits(self) -> u8 {
        match self {
            Self::AdminDown => 0,
            Self::Down => 1,
            Self::Init => 2,
            Self::Up => 3,
        }
    }

    /// As in logs and dumps.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AdminDown => "AdminDown",
            Self::Down => "Down",
            Self::Init => "Init",
            Self::Up => "Up",
        }
    }
}

/// Why a session last left Up (RFC 5880 section 4.1, Diag).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Diagnostic {
    Nothing,
    DetectionTimeExpired,
    EchoFailed,
    NeighbourSignalledDown,
    ForwardingPlaneReset,
    PathDown,
    ConcatenatedPathDown,
    AdministrativelyDown,
    ReverseConcatenatedPathDown,
    /// 9 to 31: reserved.
    Reserved(u8),
}

impl Diagnostic {
    const fn from_bits(bits: u8) -> Self {
        match bits & 0x1f {
            0 => Self::Nothing,
            1 => Self::DetectionTimeExpired,
            2 => Self::EchoFailed,
            3 => Self::NeighbourSignalledDown,
            4 => Self::ForwardingPlaneReset,
            5 => Self::PathDown,
            6 => Self::ConcatenatedPathDown,
            7 => Self::AdministrativelyDown,
            8 => Self::ReverseConcatenatedPathDown,
            other => Self::Reserved(other),
        }
    }

    const fn bits(self) -> u8 {
        match self {
            Self::Nothing => 0,
            Self::DetectionTimeExpired => 1,
            Self::EchoFailed => 2,
            Self::NeighbourSignalledDown => 3,
            Self::ForwardingPlaneReset => 4,
            Self::PathDown => 5,
            Self::ConcatenatedPathDown => 6,
            Self::AdministrativelyDown => 7,
            Self::ReverseConcatenatedPathDown => 8,
            Self::Reserved(other) => other & 0x1f,
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "No Diagnostic",
            Self::DetectionTimeExpired => "Control Detection Time Expired",
            Self::EchoFailed => "Echo Function Failed",
            Self::NeighbourSignalledDown => "Neighbor Signaled Session Down",
            Self::ForwardingPlaneReset => "Forwarding Plane Reset",
            Self::PathDown => "Path Down",
            Self::ConcatenatedPathDown => "Concatenated Path Down",
            Self::AdministrativelyDown => "Administratively Down",
            Self::ReverseConcatenatedPathDown => "Reverse Concatenated Path Down",
            Self::Reserved(_) => "a reserved diagnostic",
        })
    }
}

/// What the P and F bits say. Both at once is forbidden (RFC 5880 section 6.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sequence {
    /// Neither.
    None,
    /// "Do you know what I have said?"
    Poll,
    /// "I know."
    Final,
}

/// A control packet as fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ControlPacket {
    /// Why the sender last left Up.
    pub diagnostic: Diagnostic,
    /// The sender's state.
    pub state: State,
    /// P and F.
    pub sequence: Sequence,
    /// C: the sender's BFD does not share the fate of its control plane.
    pub control_plane_independent: bool,
    /// D: the sender wants no periodic packets while the session is up.
    pub demand: bool,
    /// How many of the sender's packets may be lost; not 0.
    pub multiplier: u8,
    /// The sender's name of the session; not 0.
    pub my_discriminator: u32,
    /// The receiver's name of the session; 0 while the sender does not know it.
    pub your_discriminator: u32,
    /// The fastest that the sender wants to send.
    pub desired_min_tx: Interval,
    /// The fastest that the sender can receive; zero: send nothing periodically.
    pub required_min_rx: Interval,
    /// The fastest that the sender can receive of echoes; zero: none.
    pub required_min_echo_rx: Interval,
}

/// Which check of a received packet failed, in the order of RFC 5880 section 6.8.6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Malformed {
    /// The datagram is too short for any packet.
    Short(usize),
    /// Not version 1.
    Version(u8),
    /// The length field is below the least, or says more than the datagram holds.
    Length(u8),
    /// The detection multiplier is zero.
    Multiplier,
    /// The multipoint bit is set.
    Multipoint,
    /// The sender's discriminator is zero.
    MyDiscriminator,
    /// Our discriminator is missing in a state where the sender must know it.
    YourDiscriminator(State),
    /// There is an authentication section, and we use none.
    Authentication,
    /// Both P and F (section 6.5 forbids it; keepalived drops such packets as well).
    PollAndFinal,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short(length) => write!(f, "it has {length} bytes only"),
            Self::Version(version) => write!(f, "version {version}"),
            Self::Length(length) => write!(f, "the length field is {length}"),
            Self::Multiplier => write!(f, "the detection multiplier is zero"),
            Self::Multipoint => write!(f, "the multipoint flag is set"),
            Self::MyDiscriminator => write!(f, "its discriminator is zero"),
            Self::YourDiscriminator(state) => {
                write!(f, "our discriminator is zero in state {}", state.name())
            }
            Self::Authentication => write!(f, "it is authenticated, which is not in use"),
            Self::PollAndFinal => write!(f, "both poll and final are set"),
        }
    }
}

fn word(bytes: &[u8; LENGTH], at: usize) -> u32 {
    let word = bytes.get(at..at + 4).and_then(|word| word.try_into().ok());
    u32::from_be_bytes(word.unwrap_or_default())
}

fn interval(bytes: &[u8; LENGTH], at: usize) -> Interval {
    Interval::from_micros(word(bytes, at).into())
}

/// Reads the payload of a datagram.
pub fn parse(datagram: &[u8]) -> Result<ControlPacket, Malformed> {
    let Some(bytes) = datagram.first_chunk::<LENGTH>() else {
        return Err(Malformed::Short(datagram.len()));
    };
    let [first, flags, multiplier, length, ..] = *bytes;
    if first >> 5 != VERSION {
        return Err(Malformed::Version(first >> 5));
    }
    // An authentication section has two bytes at least.
    let least = if flags & AUTHENTICATION == 0 { LENGTH } else { LENGTH + 2 };
    if usize::from(length) < least || usize::from(length) > datagram.len() {
        return Err(Malformed::Length(length));
    }
    if multiplier == 0 {
        return Err(Malformed::Multiplier);
    }
    if flags & MULTIPOINT != 0 {
        return Err(Malformed::Multipoint);
    }
    let state = State::from_bits(flags >> 6);
    let (my_discriminator, your_discriminator) = (word(bytes, 4), word(bytes, 8));
    if my_discriminator == 0 {
        return Err(Malformed::MyDiscriminator);
    }
    if your_discriminator == 0 {
        match state {
            State::AdminDown | State::Down => {}
            State::Init | State::Up => return Err(Malformed::YourDiscriminator(state)),
        }
    }
    if flags & AUTHENTICATION != 0 {
        return Err(Malformed::Authentication);
    }
    let sequence = match (flags & POLL != 0, flags & FINAL != 0) {
        (false, false) => Sequence::None,
        (true, false) => Sequence::Poll,
        (false, true) => Sequence::Final,
        (true, true) => return Err(Malformed::PollAndFinal),
    };
    Ok(ControlPacket {
        diagnostic: Diagnostic::from_bits(first),
        state,
        sequence,
        control_plane_independent: flags & CONTROL_PLANE_INDEPENDENT != 0,
        demand: flags & DEMAND != 0,
        multiplier,
        my_discriminator,
        your_discriminator,
        desired_min_tx: interval(bytes, 12),
        required_min_rx: interval(bytes, 16),
        required_min_echo_rx: interval(bytes, 20),
    })
}

fn micros(interval: Interval) -> [u8; 4] {
    u32::try_from(interval.as_micros()).unwrap_or(u32::MAX).to_be_bytes()
}

/// Writes the payload of a datagram. Intervals beyond the field's 71 minutes are cut off.
pub fn emit(packet: &ControlPacket) -> [u8; LENGTH] {
    let sequence = match packet.sequence {
        Sequence::None => 0,
        Sequence::Poll => POLL,
        Sequence::Final => FINAL,
    };
    let flag = |set: bool, bit: u8| if set { bit } else { 0 };
    let flags = packet.state.bits() << 6
        | sequence
        | flag(packet.control_plane_independent, CONTROL_PLANE_INDEPENDENT)
        | flag(packet.demand, DEMAND);
    let mut bytes = [0; LENGTH];
    // The length of a packet without authentication fits its byte.
    #[allow(clippy::cast_possible_truncation)]
    let head = [VERSION << 5 | packet.diagnostic.bits(), flags, packet.multiplier, LENGTH as u8];
    let words = [
        head,
        packet.my_discriminator.to_be_bytes(),
        packet.your_discriminator.to_be_bytes(),
        micros(packet.desired_min_tx),
        micros(packet.required_min_rx),
        micros(packet.required_min_echo_rx),
    ];
    for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word);
    }
    bytes
}

/// What the fuzzer runs: whatever is read is written the same again.
pub fn fuzz(data: &[u8]) {
    if let Ok(packet) = parse(data) {
        assert_eq!(parse(&emit(&packet)), Ok(packet));
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A packet that passes every check.
    pub fn sample() -> ControlPacket {
        ControlPacket {
            diagnostic: Diagnostic::Nothing,
            state: State::Up,
            sequence: Sequence::None,
            control_plane_independent: false,
            demand: false,
            multiplier: 3,
            my_discriminator: 0x0102_0304,
            your_discriminator: 0x0506_0708,
            desired_min_tx: Interval::from_millis(10),
            required_min_rx: Interval::from_millis(20),
            required_min_echo_rx: Interval::ZERO,
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_rfc() {
        let packet = ControlPacket { sequence: Sequence::Poll, ..sample() };
        let bytes = emit(&packet);
        assert_eq!(
            bytes,
            [
                0x20, 0xe0, 3, 24, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0x27, 0x10, 0, 0, 0x4e, 0x20, 0,
                0, 0, 0
            ]
        );
        assert_eq!(parse(&bytes), Ok(packet));
    }

    #[test]
    fn each_check_has_its_error() {
        let good = emit(&sample());
        let changed = |at: usize, value: u8| {
            let mut bytes = good;
            bytes[at] = value;
            parse(&bytes)
        };
        assert_eq!(parse(&good[..23]), Err(Malformed::Short(23)));
        assert_eq!(changed(0, 0x40), Err(Malformed::Version(2)));
        assert_eq!(changed(0, 0x00), Err(Malformed::Version(0)));
        assert_eq!(changed(3, 23), Err(Malformed::Length(23)));
        assert_eq!(changed(3, 25), Err(Malformed::Length(25)), "more than there is");
        assert_eq!(changed(2, 0), Err(Malformed::Multiplier));
        assert_eq!(changed(1, 0xc1), Err(Malformed::Multipoint));
        let mut bytes = good;
        bytes[4..8].fill(0);
        assert_eq!(parse(&bytes), Err(Malformed::MyDiscriminator));
        for (bits, state) in [(0x80, State::Init), (0xc0, State::Up)] {
            let mut bytes = good;
            bytes[8..12].fill(0);
            bytes[1] = bits;
            assert_eq!(parse(&bytes), Err(Malformed::YourDiscriminator(state)));
        }
        assert_eq!(changed(1, 0xc4), Err(Malformed::Length(24)), "too short to be authenticated");
        let mut long = [0; 26];
        long[..24].copy_from_slice(&good);
        (long[1], long[3]) = (0xc4, 26);
        assert_eq!(parse(&long), Err(Malformed::Authentication));
        assert_eq!(changed(1, 0xf0), Err(Malformed::PollAndFinal));
    }

    #[test]
    fn a_neighbour_that_is_down_need_not_know_our_discriminator() {
        for state in [State::AdminDown, State::Down] {
            let packet = ControlPacket { state, your_discriminator: 0, ..sample() };
            assert_eq!(parse(&emit(&packet)), Ok(packet));
        }
    }

    #[test]
    fn bytes_after_the_packet_are_padding() {
        let mut long = emit(&sample()).to_vec();
        long.extend([0xff; 22]);
        assert_eq!(parse(&long), Ok(sample()));
    }

    #[test]
    fn reserved_diagnostics_are_kept() {
        for bits in 0..32 {
            assert_eq!(Diagnostic::from_bits(bits).bits(), bits);
        }
    }

    #[test]
    fn an_interval_too_long_for_the_field_is_cut_off() {
        let packet = ControlPacket { desired_min_tx: Interval::from_secs(100_000), ..sample() };
        let longest = Interval::from_micros(u32::MAX.into());
        assert_eq!(parse(&emit(&packet)).unwrap().desired_min_tx, longest);
    }

    proptest::proptest! {
        #[test]
        fn garbage_is_refused_or_read_the_same_again(
            data in proptest::collection::vec(proptest::num::u8::ANY, 0..64),
        ) {
            fuzz(&data);
        }

        #[test]
        fn nearly_good_packets_are_refused_or_read_the_same_again(
            at in 0..LENGTH, value in proptest::num::u8::ANY, cut in 0..=LENGTH,
        ) {
            let mut bytes = emit(&sample());
            bytes[at] = value;
            fuzz(&bytes);
            fuzz(&bytes[..cut]);
        }
    }
}
