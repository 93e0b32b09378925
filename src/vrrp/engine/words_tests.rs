//! Words that an instance, its group or its interface may have.

use super::*;
use crate::core::config::model::link::InterfaceDelay;
use crate::core::config::model::vrrp::OldChecksum;

fn delayed(down: u64, up: u64) -> VrrpConfig {
    let delay = InterfaceDelay { interface: "eth0".into(), down: ms(down), up: ms(up) };
    VrrpConfig {
        instances: vec![Arc::new(instance("V", 100))],
        interface_delays: vec![delay],
        ..VrrpConfig::default()
    }
}

#[test]
fn a_link_that_flaps_within_its_delays_moves_nobody() {
    let mut rig = Rig::with(delayed(1500, 500));
    rig.run(Interval::from_secs(10));
    rig.forget();
    for _ in 0..20 {
        rig.link(LinkState::Down);
        rig.run(ms(1499));
        rig.link(LinkState::Up);
        rig.run(ms(10));
    }
    assert_eq!((rig.state(), rig.statistics().release_master), (State::Master, 0));
    assert_eq!(rig.lines[0], "eth0 is down, which counts when it has lasted 1.5 s");
    rig.forget();
    rig.link(LinkState::Down);
    assert_eq!(rig.time_until(State::Fault), ms(1500));
    assert_eq!(rig.priorities_sent().last(), Some(&0));
    rig.link(LinkState::Up);
    assert_eq!(rig.time_until(State::Backup), ms(500));
    // Who is gone is gone at once.
    rig.link(LinkState::Absent);
    assert_eq!(rig.state(), State::Fault);
    rig.link(LinkState::Up);
    assert_eq!(rig.state(), State::Backup, "and its first time up counts at once");
}

#[test]
fn a_reload_in_the_middle_of_a_delay_keeps_or_ends_it() {
    let mut rig = Rig::with(delayed(1500, 0));
    rig.run(Interval::from_secs(10));
    rig.link(LinkState::Down);
    rig.run(ms(1000));
    let mut changed = delayed(1500, 0);
    Arc::make_mut(&mut changed.instances[0]).advert_interval = Interval::from_secs(2);
    rig.input(Input::Reconfigure(Box::new((Global::default(), changed))));
    assert_eq!(rig.time_until(State::Fault), ms(500));
    rig.link(LinkState::Up);
    rig.run(Interval::from_secs(10));
    rig.link(LinkState::Down);
    let without = VrrpConfig { interface_delays: Vec::new(), ..delayed(0, 0) };
    rig.input(Input::Reconfigure(Box::new((Global::default(), without))));
    assert_eq!(rig.time_until(State::Fault), Interval::ZERO);
}

#[test]
fn a_router_is_in_fault_while_its_source_address_is_missing() {
    let source = IpAddr::from([10, 0, 0, 10]);
    let tracked =
        |track_source| Instance { source: Some(source), track_source, ..instance("V", 100) };
    let missing = || Input::MissingSources(BTreeSet::from([(Some("eth0".into()), source)]));
    let mut rig = Rig::master(tracked(true));
    rig.input(missing());
    assert_eq!((rig.state(), rig.priorities_sent()), (State::Fault, vec![0]));
    assert!(rig.lines.contains(&"(V) fault: the source address 10.0.0.10 is not there".to_owned()));
    rig.input(missing());
    rig.input(Input::MissingSources(BTreeSet::new()));
    assert_eq!(rig.state(), State::Backup);
    // Another one's address, and without the word.
    let other = Input::MissingSources(BTreeSet::from([(Some("eth1".into()), source)]));
    rig.input(other);
    assert_eq!(rig.state(), State::Backup);
    let mut rig = Rig::master(tracked(false));
    rig.input(missing());
    assert_eq!(rig.state(), State::Master);
}

/// A master whose clock jumps so far beyond the time of its next advert.
fn late(group: bool, late: Interval) -> Rig {
    let router = |name: &str, vrid| Instance {
        vrid: Vrid::new(vrid).unwrap(),
        preemption: Preemption::Never,
        timer_expired_backup: Some(Priority::new(200)),
        ..instance(name, 100)
    };
    let config = VrrpConfig {
        instances: vec![Arc::new(router("V", 51)), Arc::new(router("W", 52))],
        sync_groups: Vec::from_iter(group.then(|| SyncGroup {
            name: "G".into(),
            members: vec!["V".into(), "W".into()],
            ..SyncGroup::default()
        })),
        ..VrrpConfig::default()
    };
    let mut rig = Rig::with(config);
    rig.run(Interval::from_secs(10));
    assert!(rig.engine.routers().all(|router| router.state == State::Master));
    rig.forget();
    rig.now = rig.engine.timer_of("V").unwrap() + late;
    rig.engine.handle_timeout(rig.now);
    rig.pump();
    rig
}

#[test]
fn a_timer_so_late_that_a_rival_must_have_taken_over_makes_a_backup() {
    // Three adverts and the skew of priority 200, less the interval that had passed.
    let patience = Interval::from_micros(2_218_750);
    for group in [false, true] {
        let rig = late(group, patience);
        assert!(rig.engine.routers().all(|router| router.state == State::Backup));
        assert!(rig.sent.is_empty(), "a backup says nothing");
        assert!(rig.notices.iter().any(|notice| notice.state == "BACKUP"));
        let mut rig = late(group, patience - Interval::from_micros(1));
        assert!(rig.engine.routers().all(|router| router.state == State::Master), "it listens");
        let statistics = rig.statistics();
        assert_eq!(statistics.advert_late, 1);
        assert_eq!(statistics.advert_latest, patience - Interval::from_micros(1));
        rig.run(Interval::from_secs(5));
        assert_eq!(rig.statistics().advert_late, 1, "the others were in time");
    }
}

fn unicast3(checksum: OldChecksum) -> Instance {
    let peer = |n| UnicastPeer { address: [10, 0, 0, n].into(), min_ttl: None, max_ttl: None };
    Instance {
        version: VrrpVersion::V3,
        transport: Transport::Unicast {
            peers: vec![peer(20), peer(30)],
            ttl: 255,
            check_source: false,
        },
        old_unicast_checksum: checksum,
        ..instance("V", 100)
    }
}

/// An advert of a unicast peer, with `summed_for` in the pseudo header of its checksum.
fn from_peer(rig: &Rig, from: [u8; 4], priority: u8, summed_for: [u8; 4]) -> ReceivedPacket {
    let form = ChecksumForm::PseudoHeader;
    let payload = advert::emit(&rig.advert(priority), form, from.into(), summed_for.into());
    let packet = carried(&rig.advert(priority));
    ReceivedPacket { source: from.into(), destination: OWN.into(), payload, ..packet }
}

#[test]
fn a_peer_that_sums_up_as_of_old_is_believed_and_answered_likewise() {
    let mut rig = Rig::master(unicast3(OldChecksum::Detect));
    let sums = |rig: &Rig| -> Vec<bool> {
        let last = &rig.sent[rig.sent.len() - 2..];
        let good = |sent: &Transmit, summed_for| {
            advert::parse(&sent.payload, sent.source, summed_for).is_ok()
        };
        last.iter().map(|(_, sent)| good(sent, sent.destination)).collect()
    };
    rig.run(Interval::from_secs(1));
    assert_eq!(sums(&rig), [true, true]);
    // A lower one, so that it is answered; another one sums up right.
    let old = from_peer(&rig, PEER, 50, GROUP);
    rig.input(Input::Packet(old.clone()));
    assert_eq!(sums(&rig), [false, true]);
    let (_, sent) = &rig.sent[rig.sent.len() - 2];
    assert!(advert::parse(&sent.payload, sent.source, GROUP.into()).is_ok(), "with the group");
    assert_eq!(rig.statistics().checksum_other_form, 1);
    rig.input(Input::Packet(old));
    let told = rig.lines.iter().filter(|line| line.contains("as keepalived before 1.3")).count();
    assert_eq!(told, 1);
    // It has been renewed.
    let right = from_peer(&rig, PEER, 50, OWN);
    rig.input(Input::Packet(right));
    assert_eq!(sums(&rig), [true, true]);
    assert_eq!(rig.statistics().checksum_err, 0);
}

#[test]
fn v_045_the_old_checksum_is_used_always_or_never_where_that_is_written() {
    let mut rig = Rig::master(unicast3(OldChecksum::Always));
    rig.run(Interval::from_secs(1));
    for (_, sent) in &rig.sent {
        assert!(advert::parse(&sent.payload, sent.source, GROUP.into()).is_ok());
    }
    let right = from_peer(&rig, PEER, 200, OWN);
    rig.input(Input::Packet(right));
    assert_eq!(rig.state(), State::Backup, "who sums up right is believed all the same");

    let mut rig = Rig::master(unicast3(OldChecksum::Never));
    let old = from_peer(&rig, PEER, 200, GROUP);
    rig.input(Input::Packet(old));
    assert_eq!((rig.state(), rig.statistics().checksum_err), (State::Master, 1));
}

#[test]
fn a_router_without_a_unicast_peer_is_in_fault_where_that_is_asked_for() {
    let lonely = Instance {
        transport: Transport::Unicast { peers: Vec::new(), ttl: 255, check_source: false },
        fault_without_peer: true,
        ..instance("V", 100)
    };
    let mut rig = Rig::new(vec![lonely]);
    rig.run(Interval::from_secs(10));
    assert_eq!(rig.state(), State::Fault);
    assert!(rig.sent.is_empty());
    let with = Instance { fault_without_peer: true, ..unicast3(OldChecksum::Detect) };
    let config = VrrpConfig { instances: vec![Arc::new(with)], ..VrrpConfig::default() };
    rig.input(Input::Reconfigure(Box::new((Global::default(), config))));
    assert_eq!(rig.state(), State::Backup);
    assert_eq!(rig.time_until(State::Master).as_micros(), 3_609_375);
}

#[test]
fn v_070_a_first_address_that_is_not_link_local_is_told_and_in_strict_mode_refused() {
    for strict in [false, true] {
        let address = |text: &str| {
            let mut address = VirtualAddress::new(text.parse().unwrap(), 64);
            address.interface = Some("eth0".into());
            Arc::new(address)
        };
        let six = Instance {
            version: VrrpVersion::V3,
            family: Family::Inet6,
            transport: Transport::Multicast { group: "ff02::12".parse().unwrap() },
            addresses: vec![address("fe80::100"), address("2001:db8::100")],
            strict,
            ..instance("V", 100)
        };
        let config = VrrpConfig { instances: vec![Arc::new(six)], ..VrrpConfig::default() };
        let mut engine = VrrpEngine::new(Timestamp::ZERO, Global::default(), config);
        let own = OwnAddresses { inet: None, inet6: Some("fe80::a".parse().unwrap()) };
        let up = Input::Link { interface: "eth0".into(), state: LinkState::Up, own };
        engine.handle(Timestamp::ZERO, up);
        engine.handle(Timestamp::ZERO, Input::Start);
        let router = engine.routers().next().unwrap();
        let source: IpAddr = "fe80::b".parse().unwrap();
        let group: IpAddr = "ff02::12".parse().unwrap();
        let good = Advert {
            version: VrrpVersion::V3,
            vrid: 51,
            priority: Priority::new(200),
            interval: Interval::from_secs(1),
            addresses: router.instance.addresses.iter().map(|found| found.address).collect(),
            authentication: (0, [0; 8]),
        };
        let mut bad = good.clone();
        bad.addresses.reverse();
        let packet = |advert: &Advert| ReceivedPacket {
            interface: Some("eth0".into()),
            source,
            destination: group,
            ttl: 255,
            sealed: None,
            payload: advert::emit(advert, ChecksumForm::PseudoHeader, source, group),
        };
        for advert in [&good, &bad, &bad] {
            engine.handle(Timestamp::ZERO, Input::Packet(packet(advert)));
        }
        let statistics = engine.routers().next().unwrap().statistics.clone();
        let expected = if strict { (1, 2) } else { (3, 0) };
        assert_eq!((statistics.advert_rcvd, statistics.addr_list_err), expected);
        let lines = std::iter::from_fn(|| engine.poll_output());
        let told = lines.filter(|output| match output {
            Output::Log(event) => event.to_string().contains("link-local"),
            Output::Transmit(_) | Output::Announce(_) | Output::Notify(_) => false,
        });
        assert_eq!(told.count(), 1);
    }
}

#[test]
fn v_199_all_numbers_of_both_families_on_one_interface_work_side_by_side() {
    let routers = (1..=255).flat_map(|vrid| {
        let address = |address: IpAddr, prefix| {
            let interface = Some("eth0".into());
            Arc::new(VirtualAddress { interface, ..VirtualAddress::new(address, prefix) })
        };
        let four = Instance {
            vrid: Vrid::new(vrid).unwrap(),
            addresses: vec![address([10, 0, 1, vrid].into(), 32)],
            ..instance(&format!("four{vrid}"), 100)
        };
        let six = Instance {
            version: VrrpVersion::V3,
            family: Family::Inet6,
            transport: Transport::Multicast { group: "ff02::12".parse().unwrap() },
            vrid: Vrid::new(vrid).unwrap(),
            addresses: vec![address([0xfe80, 0, 0, 0, 0, 0, 1, u16::from(vrid)].into(), 64)],
            ..instance(&format!("six{vrid}"), 100)
        };
        [Arc::new(four), Arc::new(six)]
    });
    let config = VrrpConfig { instances: routers.collect(), ..VrrpConfig::default() };
    let mut engine = VrrpEngine::new(Timestamp::ZERO, Global::default(), config);
    let own = OwnAddresses { inet: Some(OWN.into()), inet6: Some("fe80::a".parse().unwrap()) };
    let up = Input::Link { interface: "eth0".into(), state: LinkState::Up, own };
    engine.handle(Timestamp::ZERO, up);
    engine.handle(Timestamp::ZERO, Input::Start);
    let end = Timestamp::ZERO + Interval::from_secs(14);
    let mut sent: BTreeMap<(bool, u8), u32> = BTreeMap::new();
    while let Some(next) = engine.poll_timeout().filter(|next| next.at <= end) {
        engine.handle_timeout(next.at);
        while let Some(output) = engine.poll_output() {
            if let Output::Transmit(advert) = output {
                *sent.entry((advert.source.is_ipv6(), advert.payload[1])).or_default() += 1;
            }
        }
    }
    assert_eq!(sent.len(), 510);
    assert!(sent.values().all(|count| (10..=12).contains(count)), "{sent:?}");
    assert!(engine.routers().all(|router| router.state == State::Master));
    // One that a better one takes leaves the others alone.
    let better = ReceivedPacket {
        payload: {
            let advert = Advert {
                version: VrrpVersion::V2,
                vrid: 77,
                priority: Priority::new(200),
                interval: Interval::from_secs(1),
                addresses: vec![[10, 0, 1, 77].into()],
                authentication: (0, [0; 8]),
            };
            advert::emit(&advert, ChecksumForm::Message, PEER.into(), GROUP.into())
        },
        interface: Some("eth0".into()),
        source: PEER.into(),
        destination: GROUP.into(),
        ttl: 255,
        sealed: None,
    };
    engine.handle(end, Input::Packet(better));
    let gone = engine.routers().filter(|router| router.state != State::Master);
    assert_eq!(gone.map(|router| router.instance.name.clone()).collect::<Vec<_>>(), ["four77"]);
}

#[test]
fn v_196_a_router_speaks_one_version_and_a_reload_moves_it_to_the_other_as_master() {
    let mut rig = Rig::master(instance("V", 100));
    let three = Instance { version: VrrpVersion::V3, ..instance("V", 100) };
    let mut other = rig.advert(200);
    other.version = VrrpVersion::V3;
    let packet = carried(&other);
    rig.input(Input::Packet(packet.clone()));
    assert_eq!(rig.state(), State::Master, "the other version is not heard");
    let config = VrrpConfig { instances: vec![Arc::new(three)], ..VrrpConfig::default() };
    rig.input(Input::Reconfigure(Box::new((Global::default(), config))));
    rig.run(Interval::from_secs(3));
    assert_eq!((rig.state(), rig.statistics().release_master), (State::Master, 0));
    assert_eq!(rig.sent.last().unwrap().1.payload[0], 0x31);
    rig.input(Input::Packet(packet));
    assert_eq!(rig.state(), State::Backup);
}
