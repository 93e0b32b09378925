//! Reloads of blocks of one target.

use super::*;

/// A block with these servers; all blocks have one target.
fn block(servers: &[u8]) -> VirtualServer {
    let mut block = service(0);
    block.real_servers = servers
        .iter()
        .map(|last| {
            let script = |verb| Some(Script { words: vec![format!("{verb} {last}")], user: None });
            let mut server = server(*last);
            server.checkers[0].alpha = true;
            server.extras.notify_up = script("up").map(Shared::from);
            server.extras.notify_down = script("down").map(Shared::from);
            server.into()
        })
        .collect();
    block
}

fn blocks(blocks: &[&[u8]]) -> CheckConfig {
    config(blocks.iter().map(|servers| block(servers)).collect())
}

/// After a while with 2 and 4 dead, and a reload: the weights at once, and what was told.
fn reloaded(before: &[&[u8]], after: &CheckConfig) -> (Vec<u8>, Vec<String>) {
    let mut rig = Rig::new(&blocks(before));
    rig.dead.extend([2, 4]);
    rig.run(30);
    rig.scripts.clear();
    rig.told.clear();
    rig.engine.handle(rig.now, Input::Reconfigure(Box::new(after.clone())));
    let there: Vec<u8> = rig.weights().into_iter().map(|(last, _)| last).collect();
    rig.run(0);
    let told = rig.told.into_iter().filter(|line| line.starts_with("RS")).collect();
    (there, [rig.scripts, told].concat())
}

#[test]
fn blocks_of_one_target_keep_what_they_are_wherever_they_stand() {
    let nothing: Vec<String> = Vec::new();
    for (before, after) in [
        // Swapped.
        (&[&[1u8, 2][..], &[3, 4]][..], &[&[3u8, 4][..], &[1, 2]][..]),
        // One is split, two are joined.
        (&[&[1, 2, 3, 4]], &[&[1, 2], &[3, 4]]),
        (&[&[1, 2], &[3, 4]], &[&[4, 3, 2, 1]]),
        // The dead one, and the living one, go to the other block, both ways.
        (&[&[1, 2], &[3, 4]], &[&[1], &[2, 3, 4]]),
        (&[&[1, 2], &[3, 4]], &[&[2], &[1, 3, 4]]),
        (&[&[1, 2], &[3, 4]], &[&[1, 2, 3], &[4]]),
        (&[&[1, 2], &[3, 4]], &[&[1, 4], &[3, 2]]),
    ] {
        assert_eq!(reloaded(before, &blocks(after)), (vec![1, 3], nothing.clone()), "{after:?}");
    }
    // Swapped and changed.
    let mut changed = blocks(&[&[3, 4], &[1, 2]]);
    for service in &mut changed.virtual_servers {
        service.quorum = 2;
        for server in &mut service.real_servers {
            server.weight = 1;
            server.checkers[0].delay_loop = Interval::from_secs(7);
        }
    }
    assert_eq!(reloaded(&[&[1, 2], &[3, 4]], &changed), (vec![1, 3], nothing.clone()));
    // One before the others begins by itself.
    let more = blocks(&[&[5, 6], &[1, 2], &[3, 4]]);
    assert_eq!(reloaded(&[&[1, 2], &[3, 4]], &more), (vec![1, 3], nothing));
    // The first goes: only its own are told of.
    let (there, told) = reloaded(&[&[1, 2], &[3, 4]], &blocks(&[&[3, 4]]));
    let line = "RS [10.1.0.1]:tcp:80 [10.0.0.1]:tcp:80 DOWN\n";
    assert_eq!((there, told), (vec![3], vec!["down 1".to_owned(), line.to_owned()]));
}

#[test]
fn a_server_that_leaves_a_suspended_block_is_probed_again() {
    let asleep = |servers| VirtualServer { ha_suspend: true, ..block(servers) };
    for after in [vec![block(&[3, 1])], vec![block(&[3]), block(&[1])]] {
        let after = [vec![asleep(&[2])], after].concat();
        let mut rig = Rig::new(&config(vec![asleep(&[1, 2]), block(&[3])]));
        rig.run(30);
        rig.engine.handle(rig.now, Input::Addresses(BTreeSet::new()));
        rig.run(30);
        rig.engine.handle(rig.now, Input::Reconfigure(Box::new(config(after))));
        rig.dead.insert(1);
        rig.run(30);
        assert_eq!(rig.weights(), [(2, 1), (3, 1)]);
    }
}
