//! The state machine, driven by hand.

use super::*;
use crate::bfd::packet::tests::sample;
use crate::core::config::model::bfd::BfdListeners;
use crate::core::config::model::vrrp::TrackEffect;

const START: Timestamp = Timestamp::ZERO;

pub fn config(name: &str) -> BfdSession {
    BfdSession {
        name: name.to_owned(),
        neighbour: [10, 0, 0, 2].into(),
        source: None,
        receive_interval: Interval::from_millis(20),
        transmit_interval: Interval::from_millis(10),
        idle_interval: Interval::from_secs(1),
        multiplier: 5,
        passive: false,
        ttl: 255,
        max_hops: Some(0),
        multihop: false,
        effect: TrackEffect::Fault,
        listeners: BfdListeners::Both,
    }
}

fn session() -> Session {
    Session::new(START, config("B"), 7)
}

/// A packet of the neighbour's.
fn theirs(state: State) -> ControlPacket {
    ControlPacket { state, your_discriminator: 7, ..sample() }
}

fn up() -> Session {
    let mut session = session();
    session.receive(START, &theirs(State::Init));
    assert_eq!(session.state, State::Up);
    session.receive(START, &ControlPacket { sequence: Sequence::Final, ..theirs(State::Up) });
    assert!(!session.is_polling());
    session
}

#[test]
fn every_transition_of_the_rfc_and_no_other() {
    use State::{AdminDown, Down, Init, Up};
    let cases = [
        (Down, AdminDown, Down),
        (Down, Down, Init),
        (Down, Init, Up),
        (Down, Up, Down),
        (Init, AdminDown, Down),
        (Init, Down, Init),
        (Init, Init, Up),
        (Init, Up, Up),
        (Up, AdminDown, Down),
        (Up, Down, Down),
        (Up, Init, Up),
        (Up, Up, Up),
        (AdminDown, AdminDown, AdminDown),
        (AdminDown, Down, AdminDown),
        (AdminDown, Init, AdminDown),
        (AdminDown, Up, AdminDown),
    ];
    for (from, received, to) in cases {
        let mut session = session();
        session.state = from;
        let reaction = session.receive(START, &theirs(received));
        assert_eq!(session.state, to, "{from:?} hears {received:?}");
        let moved = (from != to).then_some(Transition { from, to });
        assert_eq!(reaction.transition, moved);
        let expected = match (from, to) {
            (Init | Up, Down) => Diagnostic::NeighbourSignalledDown,
            _ => Diagnostic::Nothing,
        };
        assert_eq!(session.diagnostic, expected, "{from:?} hears {received:?}");
    }
}

#[test]
fn silence_ends_a_session_in_init_or_up_and_the_neighbour_is_forgotten() {
    for from in [State::Init, State::Up] {
        let mut session = up();
        session.state = from;
        let moved = session.expire(START);
        assert_eq!(moved, Some(Transition { from, to: State::Down }));
        assert_eq!(session.diagnostic, Diagnostic::DetectionTimeExpired);
        assert_eq!(session.remote.discriminator, 0);
        assert_eq!(session.detection_time(), None);
        assert!(!session.is_polling(), "nobody would answer");
    }
    let mut session = session();
    session.receive(START, &theirs(State::AdminDown));
    assert_eq!((session.expire(START), session.remote.discriminator), (None, 0));
}

#[test]
fn until_it_is_up_a_session_is_slow() {
    let mut session = session();
    assert_eq!(session.transmit_interval(), Some(Interval::from_secs(1)));
    assert_eq!(session.packet().desired_min_tx, Interval::from_secs(1));
    session.receive(START, &theirs(State::Down));
    assert_eq!(session.state, State::Init);
    assert_eq!(session.transmit_interval(), Some(Interval::from_secs(1)));
    session.receive(START, &theirs(State::Up));
    assert_eq!(session.transmit_interval(), Some(Interval::from_millis(20)), "the neighbour's");
    assert_eq!(session.packet().desired_min_tx, Interval::from_millis(10));
    assert_eq!(session.packet().sequence, Sequence::Poll, "its rate is another one now");
    session.expire(START);
    assert_eq!(session.transmit_interval(), Some(Interval::from_secs(1)), "slow again");
}

#[test]
fn the_detection_time_is_the_neighbours_multiplier_times_the_slower_rate() {
    let mut session = up();
    // Theirs: multiplier 3, sends every 10 ms at best; we can receive every 20 ms.
    assert_eq!(session.detection_time(), Some(Interval::from_millis(60)));
    let slower = ControlPacket {
        desired_min_tx: Interval::from_millis(100),
        multiplier: 4,
        ..theirs(State::Up)
    };
    session.receive(START, &slower);
    assert_eq!(session.detection_time(), Some(Interval::from_millis(400)));
}

#[test]
fn packets_leave_at_the_slower_of_our_and_the_neighbours_rate() {
    let mut session = up();
    let faster = ControlPacket { required_min_rx: Interval::from_millis(1), ..theirs(State::Up) };
    session.receive(START, &faster);
    assert_eq!(session.transmit_interval(), Some(Interval::from_millis(10)));
    let none = ControlPacket { required_min_rx: Interval::ZERO, ..theirs(State::Up) };
    session.receive(START, &none);
    assert_eq!(session.transmit_interval(), None, "it wants no periodic packets");
}

#[test]
fn a_slower_rate_counts_when_the_neighbour_knows_of_it() {
    let mut session = up();
    let mut slow = config("B");
    slow.transmit_interval = Interval::from_millis(500);
    assert!(session.reconfigure(slow));
    assert_eq!(session.packet().desired_min_tx, Interval::from_millis(500));
    assert_eq!(session.packet().sequence, Sequence::Poll);
    assert_eq!(session.transmit_interval(), Some(Interval::from_millis(20)), "as it was told");
    session.receive(START, &theirs(State::Up));
    assert!(session.is_polling(), "that was no answer");
    session.receive(START, &ControlPacket { sequence: Sequence::Final, ..theirs(State::Up) });
    assert!(!session.is_polling());
    assert_eq!(session.transmit_interval(), Some(Interval::from_millis(500)));
}

#[test]
fn a_shorter_detection_time_counts_when_the_neighbour_knows_of_it() {
    let mut session = up();
    let mut fast = config("B");
    fast.receive_interval = Interval::from_millis(5);
    session.reconfigure(fast);
    assert_eq!(session.packet().required_min_rx, Interval::from_millis(5));
    assert_eq!(session.detection_time(), Some(Interval::from_millis(60)));
    session.receive(START, &ControlPacket { sequence: Sequence::Final, ..theirs(State::Up) });
    assert_eq!(session.detection_time(), Some(Interval::from_millis(30)));
}

#[test]
fn a_change_during_a_poll_is_polled_for_again() {
    let mut session = up();
    let mut slow = config("B");
    slow.transmit_interval = Interval::from_millis(500);
    session.reconfigure(slow.clone());
    slow.transmit_interval = Interval::from_millis(800);
    session.reconfigure(slow);
    let answer = ControlPacket { sequence: Sequence::Final, ..theirs(State::Up) };
    session.receive(START, &answer);
    assert!(session.is_polling(), "this answer was perhaps to the first change");
    assert_eq!(session.transmit_interval(), Some(Interval::from_millis(20)));
    session.receive(START, &answer);
    assert_eq!(session.transmit_interval(), Some(Interval::from_millis(800)));
}

#[test]
fn a_reload_without_a_change_says_nothing_new() {
    let mut session = up();
    assert!(!session.reconfigure(config("B")));
    assert!(!session.is_polling());
    let mut patient = config("B");
    patient.multiplier = 9;
    assert!(session.reconfigure(patient), "told at once");
    assert!(!session.is_polling(), "no poll is needed for the multiplier");
}

#[test]
fn a_poll_is_answered_even_during_a_poll_and_never_with_both_bits() {
    let mut session = up();
    let mut slow = config("B");
    slow.transmit_interval = Interval::from_millis(500);
    session.reconfigure(slow);
    let poll = ControlPacket { sequence: Sequence::Poll, ..theirs(State::Up) };
    assert!(session.receive(START, &poll).answer);
    assert_eq!(session.answer().sequence, Sequence::Final);
    assert!(session.is_polling(), "ours goes on");
}

#[test]
fn a_passive_session_waits_for_the_neighbour() {
    let mut passive = config("B");
    passive.passive = true;
    let mut session = Session::new(START, passive, 7);
    assert_eq!(session.transmit_interval(), None);
    session.receive(START, &theirs(State::Down));
    assert_eq!(session.transmit_interval(), Some(Interval::from_secs(1)));
    session.expire(START);
    assert_eq!(session.transmit_interval(), None, "silent again");
}

#[test]
fn a_neighbour_in_demand_mode_gets_packets_only_while_something_is_open() {
    let mut session = up();
    let demand = ControlPacket { demand: true, ..theirs(State::Up) };
    session.receive(START, &demand);
    assert_eq!(session.transmit_interval(), None);
    let mut slow = config("B");
    slow.transmit_interval = Interval::from_millis(500);
    session.reconfigure(slow);
    assert!(session.transmit_interval().is_some(), "a poll");
    session.receive(START, &ControlPacket { state: State::Init, ..demand });
    assert!(session.transmit_interval().is_some(), "it does not know that we are up");
}

#[test]
fn a_session_that_is_taken_down_says_so_and_stays_down() {
    let mut session = up();
    assert!(session.take_down(START).is_some());
    let packet = session.packet();
    assert_eq!(packet.state, State::AdminDown);
    assert_eq!(packet.diagnostic, Diagnostic::AdministrativelyDown);
    assert_eq!(packet.sequence, Sequence::None);
    assert_eq!(packet.desired_min_tx, Interval::from_secs(1));
}

#[test]
fn coming_up_clears_the_diagnostic_and_counts() {
    let mut session = up();
    session.expire(START);
    session.receive(START, &theirs(State::Init));
    assert_eq!(session.diagnostic, Diagnostic::Nothing);
    assert_eq!((session.counters.ups, session.counters.downs), (2, 1));
}

proptest::proptest! {
    #[test]
    fn jitter_takes_a_quarter_at_most_and_with_multiplier_one_a_tenth_at_least(
        chance in proptest::num::u32::ANY, millis in 1u64..10_000,
    ) {
        let interval = Interval::from_millis(millis);
        let mut session = session();
        let wait = session.jittered(interval, chance);
        proptest::prop_assert!(wait >= interval.fraction(75, 100) && wait <= interval);
        session.config.multiplier = 1;
        let wait = session.jittered(interval, chance);
        proptest::prop_assert!(wait >= interval.fraction(75, 100));
        proptest::prop_assert!(wait <= interval.fraction(90, 100));
    }
}
