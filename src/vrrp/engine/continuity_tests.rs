//! A router that was away: its process died, or its machine slept.

use super::*;

#[test]
fn a_new_process_goes_on_where_the_dead_one_was_master() {
    let mut held = instance("V", 100);
    held.track_scripts.push(TrackedScript { name: "s".into(), effect: TrackEffect::Fault });
    let config = VrrpConfig { instances: vec![Arc::new(held)], ..VrrpConfig::default() };
    let mut rig = Rig::after(&["V"], config);
    assert_eq!(rig.state(), State::Master, "the script's first result is not waited for");
    assert_eq!(rig.sent.len(), 1, "an advert at once");
    let masters = rig.engine.take_masters();
    assert_eq!(masters, Some(vec!["V".to_owned()]));
    assert_eq!(rig.engine.take_masters(), None);
    // A router that was not master begins as ever.
    let config =
        VrrpConfig { instances: vec![Arc::new(instance("V", 100))], ..VrrpConfig::default() };
    let rig = Rig::after(&["W"], config);
    assert_eq!(rig.state(), State::Backup);
}

/// The clock jumps as after a suspend; then one interval is listened.
fn away(instance: Instance) -> Rig {
    let mut rig = Rig::master(instance);
    rig.run(Interval::from_secs(3));
    rig.forget();
    rig.now += Interval::from_secs(60);
    rig.engine.handle_timeout(rig.now);
    rig.pump();
    assert!(rig.sent.is_empty(), "nothing is said before the others had their chance");
    rig
}

#[test]
fn after_a_pause_a_master_listens_before_it_speaks() {
    let mut rig = away(instance("V", 100));
    rig.run(Interval::from_secs(2));
    assert_eq!(rig.state(), State::Master, "nobody was there");
    assert!(!rig.sent.is_empty() && !rig.announced.is_empty());

    let mut rig = away(instance("V", 100));
    rig.receive(101);
    assert_eq!(rig.state(), State::Backup);
    assert!(rig.sent.is_empty());

    // A router that may preempt need not step down first: one election, not two.
    let mut rig = away(instance("V", 100));
    rig.receive(99);
    assert_eq!(rig.state(), State::Master);
    assert!(!rig.sent.is_empty());

    let mut never = instance("V", 100);
    never.preemption = Preemption::Never;
    let mut rig = away(never);
    rig.receive(99);
    assert_eq!(rig.state(), State::Backup, "who may not preempt has lost its place");
    assert!(rig.sent.is_empty());
}

#[test]
fn a_late_advert_within_the_patience_of_the_others_is_just_sent() {
    let mut rig = Rig::master(instance("V", 100));
    rig.run(Interval::from_secs(3));
    rig.forget();
    rig.now += Interval::from_millis(1900);
    rig.engine.handle_timeout(rig.now);
    rig.pump();
    assert_eq!(rig.sent.len(), 1);
}

#[test]
fn a_backup_that_was_away_listens_before_it_takes_over() {
    let asleep = || {
        let mut rig = Rig::new(vec![instance("V", 100)]);
        rig.receive(150);
        rig.forget();
        rig.now += Interval::from_secs(60);
        rig.engine.handle_timeout(rig.now);
        rig.pump();
        assert_eq!((rig.state(), rig.sent.len()), (State::Backup, 0));
        rig
    };
    let mut rig = asleep();
    rig.run(Interval::from_millis(900));
    rig.receive(150);
    rig.run(Interval::from_millis(3500));
    assert_eq!(
        (rig.state(), rig.sent.len()),
        (State::Backup, 0),
        "the master was there all the time"
    );
    // One interval, a sixteenth for clocks that differ (the simulator's seed 1000425), and our skew later
    // than it woke up, if nobody is there.
    let mut rig = asleep();
    assert_eq!(
        rig.time_until(State::Master),
        Interval::from_secs(1) + Interval::from_secs(1).fraction(16 + 156, 256)
    );
    // A little late is no reason to wait.
    let mut rig = Rig::new(vec![instance("V", 100)]);
    rig.receive(150);
    rig.now += Interval::from_secs(7);
    rig.engine.handle_timeout(rig.now);
    rig.pump();
    assert_eq!(rig.state(), State::Master);
}

/// The simulator's seed 1016: a reload made a group of a master and a backup, and they never agreed.
#[test]
fn a_reload_that_makes_a_group_brings_its_members_together() {
    let with_group = group();
    let mut apart = with_group.clone();
    apart.sync_groups.clear();
    let mut rig = Rig::with(apart);
    let eth1 =
        Input::Link { interface: "eth1".into(), state: LinkState::Up, own: own([10, 1, 0, 10]) };
    rig.input(eth1);
    // The first one hears a better master, the second one nobody.
    for _ in 0..5 {
        rig.run(Interval::from_secs(1));
        rig.receive(200);
    }
    let states =
        |rig: &Rig| -> Vec<State> { rig.engine.routers().map(|router| router.state).collect() };
    assert_eq!(states(&rig), [State::Backup, State::Master]);
    rig.sent.clear();
    rig.input(Input::Reconfigure(Box::new((Global::default(), with_group.clone()))));
    // Who hears a better master would be sent back by it at once.
    assert_eq!(states(&rig), [State::Backup, State::Backup]);
    assert_eq!(rig.priorities_sent(), [0], "the backups of the other one wait for the skew only");
    assert_eq!(rig.sent[0].1.instance.name, "W");
    // The second one waits in vain, and says so once.
    rig.forget();
    for _ in 0..20 {
        rig.receive(200);
        rig.run(Interval::from_secs(1));
    }
    let timeouts = rig.lines.iter().filter(|line| line.contains("Receive advertisement timeout"));
    assert_eq!(timeouts.count(), 1);
    assert!(rig.sent.is_empty());
}

#[test]
fn a_reload_leaves_a_group_alone_that_it_does_not_change() {
    let mut before = group();
    let mut rig = Rig::with(before.clone());
    let eth1 =
        Input::Link { interface: "eth1".into(), state: LinkState::Up, own: own([10, 1, 0, 10]) };
    rig.input(eth1);
    rig.run(Interval::from_secs(4));
    assert_eq!(rig.state(), State::Master);
    // Somebody better comes, and on this link only.
    let better = carried(&rig.advert(200));
    rig.input(Input::Packet(better));
    assert!(rig.engine.routers().all(|router| router.state == State::Backup));
    let second = rig.engine.routers.keys().last().copied().unwrap();
    rig.engine.routers.get_mut(&second).unwrap().state = State::Master;
    rig.forget();
    let states =
        |rig: &Rig| -> Vec<State> { rig.engine.routers().map(|router| router.state).collect() };
    Arc::make_mut(&mut before.instances[0]).garp.repeat += 1;
    rig.input(Input::Reconfigure(Box::new((Global::default(), before.clone()))));
    assert_eq!(states(&rig), [State::Backup, State::Master]);
    before.sync_groups[0].members.reverse();
    rig.input(Input::Reconfigure(Box::new((Global::default(), before))));
    assert_eq!(states(&rig), [State::Backup, State::Backup]);
}

#[test]
fn a_reload_of_interval_and_priority_leaves_a_wait_one_of_the_old_interval() {
    let of = |priority: u8, seconds: u64| Instance {
        advert_interval: Interval::from_secs(seconds),
        version: VrrpVersion::V3,
        ..instance("V", priority)
    };
    let mut rig = Rig::new(vec![of(200, 4)]);
    let config = VrrpConfig { instances: vec![Arc::new(of(100, 10))], ..VrrpConfig::default() };
    rig.run(Interval::from_secs(1));
    rig.input(Input::Reconfigure(Box::new((Global::default(), config))));
    // Three intervals of 4 s and a skew of 156/256 of one; 1 s of that is over.
    assert_eq!(rig.time_until(State::Master).as_micros(), 12_000_000 + 2_437_500 - 1_000_000);
}

/// The simulator's seed 15663: it sent adverts of its base priority, and a backup preempted it.
#[test]
fn a_new_process_keeps_the_priority_of_the_one_before_it_until_its_scripts_speak() {
    let mut held = instance("V", 100);
    held.track_scripts.push(TrackedScript { name: "s".into(), effect: TrackEffect::Weight(30) });
    let config = VrrpConfig { instances: vec![Arc::new(held)], ..VrrpConfig::default() };
    let priority = |rig: &Rig| rig.engine.routers().next().unwrap().priority.get();
    let rig = Rig::after(&[], config.clone());
    assert_eq!(priority(&rig), 100, "a fresh one waits for the result");
    let mut rig = Rig::after(&["V"], config);
    assert_eq!((rig.state(), priority(&rig)), (State::Master, 130));
    rig.input(Input::Script { name: "s".into(), good: false });
    assert_eq!(priority(&rig), 100);
}

/// The simulator's seed 2026780: a delay that was in the file no more was waited for all the same.
#[test]
fn a_reload_without_the_preempt_delay_ends_the_wait() {
    let mut slow = instance("V", 150);
    slow.preemption = Preemption::After(Interval::from_secs(1000));
    let mut rig = Rig::new(vec![slow]);
    let hear_a_lower_one = |rig: &mut Rig| {
        for _ in 0..4 {
            rig.run(Interval::from_secs(1));
            rig.receive(100);
        }
    };
    hear_a_lower_one(&mut rig);
    hear_a_lower_one(&mut rig);
    assert_eq!(rig.state(), State::Backup);
    let instances = vec![Arc::new(instance("V", 150))];
    let config = VrrpConfig { instances, ..VrrpConfig::default() };
    rig.input(Input::Reconfigure(Box::new((Global::default(), config))));
    hear_a_lower_one(&mut rig);
    assert_eq!(rig.state(), State::Master);
}

/// keepalived begins to announce at once, and never stops.
#[test]
fn a_reload_that_sets_a_refresh_is_heeded_by_a_master() {
    let with_refresh = |seconds| {
        let mut held = instance("V", 100);
        held.garp.refresh = Interval::from_secs(seconds);
        held.garp.delay = Interval::ZERO;
        VrrpConfig { instances: vec![Arc::new(held)], ..VrrpConfig::default() }
    };
    let mut rig = Rig::with(with_refresh(0));
    rig.run(Interval::from_secs(5));
    let announced = |rig: &mut Rig, seconds| {
        rig.announced.clear();
        rig.run(Interval::from_secs(seconds));
        rig.announced.len()
    };
    assert_eq!(announced(&mut rig, 10), 0);
    let reload = |seconds| Input::Reconfigure(Box::new((Global::default(), with_refresh(seconds))));
    rig.input(reload(2));
    assert_eq!(announced(&mut rig, 10), 5);
    rig.input(reload(0));
    assert_eq!(announced(&mut rig, 10), 0);
}

/// A master would say a priority that nothing speaks for, until the script has run.
#[test]
fn a_script_that_comes_back_is_judged_by_its_new_results() {
    let with = |weight: Option<i16>| {
        let mut held = instance("V", 100);
        let tracked = weight
            .map(|weight| TrackedScript { name: "s".into(), effect: TrackEffect::Weight(weight) });
        held.track_scripts.extend(tracked);
        VrrpConfig {
            instances: vec![Arc::new(held)],
            scripts: weight.map(|_| script("s")).into_iter().collect(),
            ..VrrpConfig::default()
        }
    };
    let mut rig = Rig::with(with(Some(-30)));
    rig.input(Input::Script { name: "s".into(), good: false });
    let reload = |weight| Input::Reconfigure(Box::new((Global::default(), with(weight))));
    let priority = |rig: &Rig| rig.engine.routers().next().unwrap().priority.get();
    assert_eq!(priority(&rig), 70);
    rig.input(reload(None));
    rig.input(reload(Some(-30)));
    assert_eq!(priority(&rig), 100);
    rig.input(Input::Script { name: "s".into(), good: false });
    rig.input(reload(Some(-40)));
    assert_eq!(priority(&rig), 60, "the same script, and what it said last");
}

/// The daemon closes sockets and removes virtual interfaces before the engine has the new configuration.
#[test]
fn what_a_reload_removes_resigns_before_its_socket_goes() {
    let mut rig = Rig::master(instance("V", 100));
    rig.input(Input::Keep([identity(&instance("V", 100))].into()));
    assert_eq!((rig.state(), rig.priorities_sent()), (State::Master, vec![]));
    rig.input(Input::Keep(BTreeSet::new()));
    assert_eq!(rig.priorities_sent(), [0]);
    rig.input(Input::Reconfigure(Box::new((Global::default(), VrrpConfig::default()))));
    assert_eq!((rig.priorities_sent(), rig.notices.len()), (vec![0], 1), "once");
}

#[test]
fn what_a_frozen_process_finds_after_its_startup_delay_keeps_it_quiet() {
    let mut rig = delayed_by_20_s();
    rig.now += Interval::from_secs(22);
    rig.receive(200);
    assert_eq!(rig.time_until(State::Master).as_micros(), 3_609_375);
}
