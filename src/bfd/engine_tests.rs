//! The engine on a clock of the test's, most of it as two engines with a wire between them.

use super::*;
use crate::bfd::packet::{Diagnostic, Malformed, Sequence};
use crate::bfd::session::tests::config;

const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

fn at(millis: u64) -> Timestamp {
    Timestamp::ZERO + Interval::from_millis(millis)
}

/// 20 ms, 10 ms, multiplier 5: 100 ms.
fn session(neighbour: IpAddr) -> BfdSession {
    BfdSession { neighbour, ..config(if neighbour == B { "to-b" } else { "to-a" }) }
}

/// Two hosts and their wire.
struct Pair {
    now: Timestamp,
    hosts: [BfdEngine; 2],
    wire: bool,
    ttl: u8,
    /// Who sent, when, what.
    packets: Vec<(usize, Timestamp, packet::ControlPacket)>,
    news: [Vec<News>; 2],
    lines: Vec<String>,
}

impl Pair {
    fn new(sessions: [BfdSession; 2]) -> Self {
        let [first, second] = sessions;
        let mut pair = Self {
            now: at(1000),
            hosts: [
                BfdEngine::new(at(1000), vec![first], 1),
                BfdEngine::new(at(1000), vec![second], 2),
            ],
            wire: true,
            ttl: 255,
            packets: Vec::new(),
            news: [Vec::new(), Vec::new()],
            lines: Vec::new(),
        };
        pair.deliver();
        pair
    }

    fn up() -> Self {
        let mut pair = Self::new([session(B), session(A)]);
        pair.run(4000);
        assert_eq!(pair.states(), [State::Up, State::Up]);
        pair.packets.clear();
        pair.news = [Vec::new(), Vec::new()];
        pair
    }

    fn deliver(&mut self) {
        let mut quiet = false;
        while !quiet {
            quiet = true;
            for host in 0..2 {
                while let Some(output) = self.hosts[host].poll_output() {
                    quiet = false;
                    match output {
                        Output::Transmit { payload, .. } => {
                            let packet = packet::parse(&payload).unwrap();
                            self.packets.push((host, self.now, packet));
                            let (from, to) = if host == 0 { (A, B) } else { (B, A) };
                            let received = ReceivedPacket {
                                from,
                                to: Some(to),
                                ttl: Some(self.ttl),
                                hop: Hop::Single,
                                payload: payload.to_vec(),
                            };
                            if self.wire {
                                self.hosts[1 - host].handle(self.now, Input::Packet(received));
                            }
                        }
                        Output::News(_, news) => self.news[host].push(news),
                        Output::Log(event) => self.lines.push(format!("{host} {event}")),
                        Output::Close(_) => {}
                    }
                }
            }
        }
    }

    fn run(&mut self, millis: u64) {
        let end = self.now + Interval::from_millis(millis);
        while let Some(next) =
            self.hosts.iter().filter_map(BfdEngine::poll_timeout).min().filter(|at| *at <= end)
        {
            self.now = next;
            for host in 0..2 {
                self.hosts[host].handle_timeout(next);
            }
            self.deliver();
        }
        self.now = end;
    }

    fn states(&self) -> [State; 2] {
        [0, 1].map(|host| {
            self.hosts[host].sessions().next().map_or(State::AdminDown, |found| found.state)
        })
    }

    fn sent(&self, host: usize) -> Vec<(Timestamp, packet::ControlPacket)> {
        let of = |(by, at, packet): &(usize, Timestamp, packet::ControlPacket)| {
            (*by == host).then_some((*at, *packet))
        };
        self.packets.iter().filter_map(of).collect()
    }
}

#[test]
fn two_neighbours_come_up_and_stay_up() {
    let mut pair = Pair::new([session(B), session(A)]);
    pair.run(3000);
    assert_eq!(pair.states(), [State::Up, State::Up]);
    pair.run(60_000);
    assert_eq!(
        pair.news,
        [[News { name: "to-b".into(), up: true }], [News { name: "to-a".into(), up: true }]]
    );
    assert!(pair.lines.contains(&"0 (to-b) Entering Up state".to_owned()));
}

#[test]
fn packets_leave_at_the_agreed_rate_with_jitter() {
    let mut pair = Pair::up();
    pair.run(10_000);
    let times: Vec<_> = pair.sent(0).into_iter().map(|(at, _)| at).collect();
    let gaps: Vec<_> = times.windows(2).map(|two| two[1].since(two[0])).collect();
    // Ours every 10 ms, but the neighbour can receive every 20 ms only.
    let (least, most) = (gaps.iter().min().unwrap(), gaps.iter().max().unwrap());
    assert!(*least >= Interval::from_millis(15) && *most <= Interval::from_millis(20));
    assert!(*most - *least > Interval::from_millis(4), "jitter: {least} to {most}");
}

#[test]
fn a_cut_wire_is_noticed_within_the_detection_time() {
    let mut pair = Pair::up();
    pair.wire = false;
    pair.run(84);
    assert_eq!(pair.states(), [State::Up, State::Up], "100 ms since the last packet are not over");
    pair.run(16);
    assert_eq!(pair.states(), [State::Down, State::Down]);
    assert_eq!(pair.news[0], [News { name: "to-b".into(), up: false }]);
    let line = "0 (to-b) Expired after 100 ms (0 usec overdue)";
    assert!(pair.lines.iter().any(|found| found == line), "{:?}", pair.lines);
    pair.wire = true;
    pair.run(3000);
    assert_eq!(pair.states(), [State::Up, State::Up]);
}

#[test]
fn one_end_that_hears_nothing_takes_the_other_down_at_once() {
    let mut pair = Pair::up();
    let id = *pair.hosts[0].entries.keys().next().unwrap();
    let now = pair.now;
    pair.hosts[0].expire(now, now, id);
    pair.deliver();
    let line = "1 (to-a) Entering Down state (Local diagnostic - Neighbor Signaled \
                Session Down, Remote diagnostic - Control Detection Time Expired)";
    assert!(pair.lines.iter().any(|found| found == line), "{:?}", pair.lines);
}

#[test]
fn after_a_stall_packets_count_before_timers() {
    let mut pair = Pair::up();
    // For a second, nobody has run; what was sent meanwhile waits.
    let mut packet = pair.hosts[1].sessions().next().unwrap().packet();
    packet.sequence = Sequence::None;
    let now = pair.now + Interval::from_secs(1);
    let received = ReceivedPacket {
        from: B,
        to: Some(A),
        ttl: Some(255),
        hop: Hop::Single,
        payload: packet::emit(&packet).to_vec(),
    };
    pair.hosts[0].handle(now, Input::Packet(received));
    pair.hosts[0].handle_timeout(now);
    assert_eq!(pair.states()[0], State::Up);
}

#[test]
fn a_reload_without_a_change_is_not_seen_by_the_neighbour() {
    let mut pair = Pair::up();
    let before = pair.hosts[0].sessions().next().unwrap().discriminator;
    pair.hosts[0].handle(pair.now, Input::Reconfigure(vec![session(B)]));
    let mut renamed = session(A);
    renamed.name = "other".into();
    pair.hosts[1].handle(pair.now, Input::Reconfigure(vec![renamed]));
    pair.deliver();
    assert_eq!(pair.packets, [], "nothing was said");
    pair.run(5000);
    assert!(pair.packets.iter().all(|(_, _, packet)| packet.state == State::Up));
    assert!(pair.packets.iter().all(|(_, _, packet)| packet.sequence == Sequence::None));
    assert_eq!(pair.hosts[0].sessions().next().unwrap().discriminator, before);
    assert_eq!(pair.hosts[1].news().next().unwrap().1, News { name: "other".into(), up: true });
}

#[test]
fn other_rates_go_through_a_poll_sequence_and_the_session_stays_up() {
    let mut pair = Pair::up();
    let mut slow = session(B);
    slow.transmit_interval = Interval::from_millis(200);
    slow.receive_interval = Interval::from_millis(300);
    pair.hosts[0].handle(pair.now, Input::Reconfigure(vec![slow]));
    pair.deliver();
    let sequences: Vec<_> =
        pair.packets.iter().map(|(by, _, packet)| (*by, packet.sequence)).collect();
    assert_eq!(sequences[..2], [(0, Sequence::Poll), (1, Sequence::Final)]);
    pair.packets.clear();
    pair.run(20_000);
    assert!(pair.packets.iter().all(|(_, _, packet)| packet.state == State::Up));
    let sent = [pair.sent(0).len(), pair.sent(1).len()];
    // Jitter: 87.5 % of 200 ms and of 300 ms on average.
    assert!((100..135).contains(&sent[0]), "{sent:?}");
    assert!((66..90).contains(&sent[1]), "{sent:?}");
    assert_eq!(pair.news, [[], []]);
}

#[test]
fn a_session_that_a_reload_removes_says_so_for_a_while() {
    let mut pair = Pair::up();
    pair.hosts[0].handle(pair.now, Input::Reconfigure(vec![]));
    pair.deliver();
    let first = pair.packets[0].2;
    assert_eq!(
        (first.state, first.diagnostic),
        (State::AdminDown, Diagnostic::AdministrativelyDown)
    );
    assert_eq!(pair.states()[1], State::Down);
    assert_eq!(pair.news[1], [News { name: "to-a".into(), up: false }]);
    assert_eq!(pair.news[0], [], "who tracked it does not any more");
    pair.run(5000);
    let farewells = pair.sent(0).len();
    assert!((5..8).contains(&farewells), "{farewells}");
    pair.packets.clear();
    pair.run(10_000);
    assert_eq!(pair.sent(0), [], "enough");
    pair.hosts[0].handle(pair.now, Input::Reconfigure(vec![session(B)]));
    pair.run(3000);
    assert_eq!(pair.states(), [State::Up, State::Up], "back");
}

#[test]
fn a_session_that_comes_back_during_its_farewell_is_a_new_one() {
    let mut pair = Pair::up();
    pair.hosts[0].handle(pair.now, Input::Reconfigure(vec![]));
    pair.deliver();
    pair.run(100);
    pair.hosts[0].handle(pair.now, Input::Reconfigure(vec![session(B)]));
    pair.run(3000);
    assert_eq!(pair.states(), [State::Up, State::Up]);
}

#[test]
fn the_end_of_the_process_takes_the_neighbours_end_down_and_tells_nobody_here() {
    let mut pair = Pair::up();
    pair.hosts[0].handle(pair.now, Input::Shutdown);
    pair.deliver();
    assert_eq!(pair.states()[1], State::Down);
    assert_eq!(pair.news[0], []);
    pair.hosts[0].handle(pair.now, Input::Reconfigure(vec![session(B)]));
    assert_eq!(pair.states()[0], State::AdminDown, "it is over");
}

#[test]
fn a_neighbour_that_is_not_there_is_told_after_a_while() {
    let mut pair = Pair::new([session(B), session(A)]);
    pair.wire = false;
    pair.hosts = [
        BfdEngine::new(pair.now, vec![session(B)], 1),
        BfdEngine::new(pair.now, vec![session(A)], 2),
    ];
    pair.news = [Vec::new(), Vec::new()];
    pair.run(2999);
    assert_eq!((&pair.news[0][..], pair.hosts[0].news().count()), (&[][..], 0));
    pair.run(1);
    assert_eq!(pair.news[0], [News { name: "to-b".into(), up: false }]);
    assert_eq!(pair.hosts[0].news().count(), 1);
}

#[test]
fn a_process_that_is_started_again_is_up_before_anybody_hears_of_it() {
    let mut pair = Pair::up();
    let now = pair.now;
    pair.hosts[0] = BfdEngine::new(now, vec![session(B)], 99);
    pair.deliver();
    pair.run(3000);
    assert_eq!(pair.states(), [State::Up, State::Up]);
    assert_eq!(pair.news[0], [News { name: "to-b".into(), up: true }]);
    let last = pair.news[1].last();
    assert_eq!(last, Some(&News { name: "to-a".into(), up: true }), "the neighbour saw it go");
}

#[test]
fn a_process_that_is_quick_enough_goes_on_and_nobody_notices() {
    for (gone, seen) in [(60, false), (150, true)] {
        let mut pair = Pair::up();
        let left: Vec<Inheritance> = pair.hosts[0].inheritance().collect();
        // It is killed.
        pair.hosts[0] = BfdEngine::new(pair.now, Vec::new(), 1);
        pair.run(gone);
        let (now, away) = (pair.now, Interval::from_millis(gone));
        pair.hosts[0] = BfdEngine::after(now, vec![session(B)], 99, &left, away);
        pair.deliver();
        pair.run(5000);
        assert_eq!(pair.states(), [State::Up, State::Up]);
        assert_eq!(!pair.news[1].is_empty(), seen, "{gone} ms: {:?}", pair.news[1]);
        assert_eq!(pair.news[0], [News { name: "to-b".into(), up: true }]);
        let resumed = pair.lines.iter().any(|line| line.contains("going on"));
        assert_eq!(resumed, !seen);
        assert!(!pair.hosts[0].sessions().next().unwrap().is_polling(), "all is confirmed");
    }
}

#[test]
fn what_was_left_of_a_session_that_is_configured_no_more_is_forgotten() {
    let pair = Pair::up();
    let left: Vec<Inheritance> = pair.hosts[0].inheritance().collect();
    let mut elsewhere = session(B);
    elsewhere.multihop = true;
    let engine = BfdEngine::after(pair.now, vec![elsewhere], 99, &left, Interval::ZERO);
    assert_eq!(engine.sessions().next().unwrap().state, State::Down);
}

#[test]
fn a_resumed_session_whose_neighbour_is_gone_ends_in_its_detection_time() {
    let mut pair = Pair::up();
    let left: Vec<Inheritance> = pair.hosts[0].inheritance().collect();
    pair.wire = false;
    let now = pair.now;
    pair.hosts[0] = BfdEngine::after(now, vec![session(B)], 99, &left, Interval::from_millis(10));
    pair.deliver();
    pair.run(101);
    assert_eq!(pair.states()[0], State::Down);
}

#[test]
fn a_passive_end_is_silent_until_it_is_spoken_to() {
    let mut passive = session(B);
    passive.passive = true;
    let mut both = session(A);
    both.passive = true;
    let mut pair = Pair::new([passive.clone(), both]);
    pair.run(10_000);
    assert_eq!(pair.packets, []);
    let mut pair = Pair::new([passive, session(A)]);
    pair.run(3000);
    assert_eq!(pair.states(), [State::Up, State::Up]);
}

fn received(payload: &[u8]) -> ReceivedPacket {
    ReceivedPacket {
        from: B,
        to: Some(A),
        ttl: Some(255),
        hop: Hop::Single,
        payload: payload.to_vec(),
    }
}

fn down_packet() -> packet::ControlPacket {
    packet::ControlPacket {
        state: State::Down,
        your_discriminator: 0,
        ..crate::bfd::packet::tests::sample()
    }
}

fn rejection(engine: &mut BfdEngine, packet: &ReceivedPacket) -> Option<Rejection> {
    engine.handle_packet(at(0), packet).err()
}

#[test]
fn each_check_of_a_packet_has_its_name() {
    let mut engine = BfdEngine::new(at(0), vec![session(B)], 1);
    let good = packet::emit(&down_packet());
    assert_eq!(
        rejection(&mut engine, &received(&good[..20])),
        Some(Rejection::Malformed(Malformed::Short(20)))
    );
    let stranger = ReceivedPacket { from: A, ..received(&good) };
    assert_eq!(rejection(&mut engine, &stranger), Some(Rejection::NoSession(0)));
    let other_port = ReceivedPacket { hop: Hop::Multi, ..received(&good) };
    assert_eq!(rejection(&mut engine, &other_port), Some(Rejection::NoSession(0)));
    let wrong = packet::emit(&packet::ControlPacket { your_discriminator: 9, ..down_packet() });
    assert_eq!(rejection(&mut engine, &received(&wrong)), Some(Rejection::NoSession(9)));
    let ours = engine.sessions().next().unwrap().discriminator;
    let right = packet::emit(&packet::ControlPacket { your_discriminator: ours, ..down_packet() });
    let stranger = ReceivedPacket { from: A, ..received(&right) };
    assert_eq!(rejection(&mut engine, &stranger), Some(Rejection::Neighbour(ours)));
    let near = ReceivedPacket { ttl: Some(254), ..received(&good) };
    assert_eq!(rejection(&mut engine, &near), Some(Rejection::Ttl { ttl: 254, least: 255 }));
    let unknown = ReceivedPacket { ttl: None, ..received(&good) };
    assert_eq!(rejection(&mut engine, &unknown), Some(Rejection::NoTtl));
    assert_eq!(engine.sessions().next().unwrap().state, State::Down, "nothing has happened");
    assert_eq!((engine.strays(), engine.sessions().next().unwrap().counters.rejected), (5, 2));
    assert_eq!(rejection(&mut engine, &received(&right)), None);
    assert_eq!(engine.sessions().next().unwrap().state, State::Init);
}

#[test]
fn a_bad_packet_is_told_once() {
    let mut engine = BfdEngine::new(at(0), vec![session(B)], 1);
    while engine.poll_output().is_some() {}
    for _ in 0..10 {
        engine.handle(at(0), Input::Packet(received(&[0; 5])));
    }
    let lines: Vec<_> = std::iter::from_fn(|| engine.poll_output()).collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
}

#[test]
fn a_multihop_session_may_be_some_hops_away() {
    let far = BfdSession { multihop: true, max_hops: Some(5), ..session(B) };
    let mut engine = BfdEngine::new(at(0), vec![far.clone()], 1);
    let good = packet::emit(&down_packet());
    let packet = |ttl| ReceivedPacket { hop: Hop::Multi, ttl, ..received(&good) };
    let least = 250;
    assert_eq!(
        rejection(&mut engine, &packet(Some(249))),
        Some(Rejection::Ttl { ttl: 249, least })
    );
    assert_eq!(rejection(&mut engine, &packet(Some(250))), None);
    let any = BfdSession { max_hops: None, ..far };
    engine.handle(at(0), Input::Reconfigure(vec![any]));
    assert_eq!(rejection(&mut engine, &packet(None)), None);
}

#[test]
fn two_sessions_with_one_neighbour_are_told_apart_by_our_address() {
    let from = |name: &str, source: IpAddr| BfdSession {
        name: name.to_owned(),
        source: Some(source),
        ..session(B)
    };
    let other = IpAddr::from([10, 0, 0, 3]);
    let mut engine = BfdEngine::new(at(0), vec![from("one", A), from("two", other)], 1);
    let good = packet::emit(&down_packet());
    assert_eq!(
        rejection(&mut engine, &ReceivedPacket { to: Some(other), ..received(&good) }),
        None
    );
    let states: Vec<_> = engine.sessions().map(|session| session.state).collect();
    assert_eq!(states, [State::Down, State::Init]);
}

#[test]
fn polls_are_answered_at_once_beside_the_periodic_packets() {
    let mut pair = Pair::up();
    let mut packet = pair.hosts[1].sessions().next().unwrap().packet();
    packet.sequence = Sequence::Poll;
    let next = pair.hosts[0].poll_timeout();
    pair.hosts[0].handle(pair.now, Input::Packet(received(&packet::emit(&packet))));
    assert_eq!(pair.hosts[0].poll_timeout(), next, "its own timer goes on");
    pair.deliver();
    assert_eq!(pair.sent(0)[0].1.sequence, Sequence::Final);
}

/// An engine lives through anything.
fn torture(steps: &[(u16, u8, u8, u8)]) {
    let mut engine = BfdEngine::new(at(0), vec![session(B)], 3);
    let mut now = at(0);
    for (millis, state, flags, ttl) in steps {
        now += Interval::from_millis((*millis).into());
        let mut bytes = packet::emit(&crate::bfd::packet::tests::sample());
        bytes[1] = (state & 0xc0) | (flags & 0x3e);
        let your = engine.sessions().next().map_or(0, |found| found.discriminator);
        bytes[8..12].copy_from_slice(&your.to_be_bytes());
        bytes[12..20].fill(*flags);
        let ttl = Some((*ttl).max(200).max(if *ttl < 200 { 255 } else { 0 }));
        engine.handle(now, Input::Packet(ReceivedPacket { ttl, ..received(&bytes) }));
        if *millis % 7 == 0 {
            let mut changed = session(B);
            changed.multiplier = (*flags).max(1);
            changed.transmit_interval = Interval::from_millis(u64::from(*state) + 1);
            engine.handle(now, Input::Reconfigure(vec![changed]));
        }
        engine.handle_timeout(now);
        let mut count = 0;
        while engine.poll_output().is_some() {
            count += 1;
        }
        assert!(count < 20, "{count} outputs of one packet");
        assert!(engine.poll_timeout().is_none_or(|next| next > now), "a timer that is always due");
    }
}

proptest::proptest! {
    #[test]
    fn any_packets_at_any_times_keep_the_engine_sane(
        steps in proptest::collection::vec(
            (0u16..5000, proptest::num::u8::ANY, proptest::num::u8::ANY, proptest::num::u8::ANY),
            1..60,
        ),
    ) {
        torture(&steps);
    }
}
