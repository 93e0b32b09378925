//! Whole clusters in one process: the real engines in a model of the daemon's loop, on virtual
//! networks, driven by a seed.
//!
//! [`plan`] draws the cluster and what each node's file says, [`node`] is a host, [`world`] the network
//! and true time, [`faults`] what happens at random, [`failures`] one failure at a time with what must
//! follow, [`oracle`] what must always hold, [`rest`] what must hold when nothing has happened for a
//! while, [`life`] one seed's life. `SEEDS.md` lists the seeds of the bugs that were found so,
//! `MUTANTS.md` the faults put into the engine on purpose, and what catches each.

// Times are nanoseconds in whatever integer suits, and never near its limits.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss
)]

#[path = "cluster/chance.rs"]
mod chance;
#[path = "cluster/failures.rs"]
mod failures;
#[path = "cluster/faults.rs"]
mod faults;
#[path = "cluster/life.rs"]
mod life;
#[path = "cluster/node.rs"]
mod node;
#[path = "cluster/oracle.rs"]
mod oracle;
#[path = "cluster/plan.rs"]
mod plan;
#[path = "cluster/rest.rs"]
mod rest;
#[path = "cluster/world.rs"]
mod world;

use life::{Account, live, try_live};

fn lives(seeds: std::ops::Range<u64>) {
    let mut account = Account::default();
    for seed in seeds {
        live(seed, &mut account);
    }
    println!("{account:#?}\n{:.0} hours", account.hours());
}

#[test]
fn clusters_of_the_first_seeds_live_through_anything() {
    lives(0..150);
}

#[test]
fn clusters_of_the_next_seeds_live_through_anything() {
    lives(150..300);
}

/// `STEADFAST_CLUSTER_SEED=N`: that one, with everything that happens.
#[test]
fn a_life_by_seed() {
    if let Some(seed) =
        std::env::var("STEADFAST_CLUSTER_SEED").ok().and_then(|seed| seed.parse().ok())
    {
        live(seed, &mut Account::default());
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|words| words.parse().ok()).unwrap_or(default)
}

/// The soak: `STEADFAST_CLUSTER_HOURS` of simulated time from seed `STEADFAST_CLUSTER_FROM` on, progress
/// in the file `STEADFAST_CLUSTER_PROGRESS`. It goes on after a failure, and fails at the end.
#[test]
#[ignore = "a million hours take a while: cargo test --release --test cluster -- --ignored long_run"]
fn long_run() {
    let hours = number("STEADFAST_CLUSTER_HOURS", 1_000_000);
    let from = number("STEADFAST_CLUSTER_FROM", 1_000_000);
    let most = number("STEADFAST_CLUSTER_FAILURES", 20);
    let progress = std::env::var_os("STEADFAST_CLUSTER_PROGRESS");
    let mut account = Account::default();
    let mut failures = Vec::new();
    let began = std::time::Instant::now();
    for seed in from.. {
        if let Err(words) = try_live(seed, &mut account) {
            let headline = words.lines().next().unwrap_or_default().to_owned();
            println!("{headline}");
            failures.push(headline);
        }
        let done = account.hours() >= hours as f64 || failures.len() as u64 >= most;
        if done || (seed - from) % 500 == 499 {
            let spent = began.elapsed().as_secs();
            let words = account.report(from, seed, spent, &failures);
            if let Some(path) = &progress {
                std::fs::write(path, &words).expect("the progress file can be written");
            }
            if done {
                println!("{words}");
                break;
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}
