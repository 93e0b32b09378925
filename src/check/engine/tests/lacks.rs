//! What this host lacks takes nobody out and brings nobody in.

use super::*;
use crate::check::status;

fn words(rig: &Rig) -> Vec<&String> {
    let ours = |line: &&String| line.contains("Cannot check") || line.contains("could not be made");
    rig.lines.iter().filter(ours).collect()
}

#[test]
fn a_server_that_cannot_be_asked_stays_what_it_is_and_is_asked_again_each_second() {
    let mut rig = Rig::new(&config(vec![service(3)]));
    rig.dead.insert(2);
    rig.run(30);
    assert_eq!(rig.weights(), [(1, 1), (3, 1)]);
    rig.out_of_reach.extend([1, 2]);
    rig.dead.clear();
    let before = rig.probes;
    rig.run(100);
    assert_eq!(rig.weights(), [(1, 1), (3, 1)], "neither the one nor the other has been asked");
    let asked = rig.probes - before;
    // Two of them each second, once their time has come, and one every ten.
    assert!((180..=220).contains(&asked), "{asked}");
    assert!(rig.engine.unasked_probes() > 150);
    let status = status::data(&rig.engine, &crate::core::config::model::Config::default());
    assert_eq!(status.matches("TCP_CHECK: cannot be made: no file is left").count(), 2, "{status}");
    rig.out_of_reach.clear();
    rig.dead.insert(1);
    rig.run(4);
    assert_eq!(rig.weights(), [(2, 1), (3, 1)], "a check that can be made counts at once");
    assert!(
        !status::data(&rig.engine, &crate::core::config::model::Config::default())
            .contains("cannot be made")
    );
}

#[test]
fn a_lack_is_told_once_a_minute_and_what_was_not_told_is_when_it_is_over() {
    let mut rig = Rig::new(&config(vec![service(20)]));
    rig.run(30);
    rig.out_of_reach.extend(1..=20);
    rig.run(100);
    let told = words(&rig);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("Cannot check [10.1.0."), "{told:?}");
    assert!(told[0].ends_with("of VS [10.0.0.1]:tcp:80, which stays as it is"), "{told:?}");
    let count = |line: &str| line.split(' ').find_map(|word| word.parse::<u64>().ok()).unwrap();
    let first = count(told[1].split(';').nth(1).unwrap());
    assert!(first > 500, "{told:?}");
    rig.out_of_reach.clear();
    rig.run(60);
    let told = words(&rig);
    assert_eq!(told.len(), 3, "{told:?}");
    assert_eq!(2 + first + count(told[2]), rig.engine.unasked_probes(), "each is in one of them");
    rig.run(300);
    assert_eq!(words(&rig).len(), 3);
}

#[test]
fn a_new_server_that_cannot_be_asked_keeps_waiting_for_its_first_result() {
    let mut alpha = service(2);
    for server in &mut alpha.real_servers {
        let mut changed = (**server).clone();
        let checker = (*changed.checkers[0]).clone();
        changed.checkers = vec![Checker { alpha: true, ..checker }.into()];
        *server = changed.into();
    }
    let mut rig = Rig::new(&config(vec![alpha]));
    rig.out_of_reach.insert(1);
    rig.run(60);
    assert_eq!(rig.weights(), [(2, 1)]);
    rig.out_of_reach.clear();
    rig.run(3);
    assert_eq!(rig.weights(), [(1, 1), (2, 1)]);
}
