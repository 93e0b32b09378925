//! A life: a cluster is drawn, starts, is disturbed again and again, and comes to rest each time.

use std::fmt::Write as _;
use std::panic::AssertUnwindSafe;

use steadfast::core::time::Interval;

use super::faults::Tally;
use super::world::{Verdict, Violation, World};

/// What was lived through.
#[derive(Debug, Default, Clone)]
pub struct Account {
    /// Milliseconds of the advert interval, simulated nanoseconds, disturbances, rests.
    pub classes: std::collections::BTreeMap<u64, Class>,
    pub tally: Tally,
    pub events: u64,
    pub lives: u64,
}

#[derive(Debug, Default, Clone, Copy)]
pub struct Class {
    pub lives: u64,
    pub nanoseconds: u128,
    pub disturbances: u64,
    pub rests: u64,
}

impl Account {
    pub fn hours(&self) -> f64 {
        let all: u128 = self.classes.values().map(|class| class.nanoseconds).sum();
        all as f64 / 3.6e12
    }

    /// For people.
    pub fn report(&self, from: u64, to: u64, seconds: u64, failures: &[String]) -> String {
        let mut text = format!(
            "seeds {from} to {to}: {} lives, {:.0} cluster-hours, {} events, {seconds} s, {} failures\n",
            self.lives,
            self.hours(),
            self.events,
            failures.len(),
        );
        text.push_str("interval (s) | lives | hours | disturbances | an hour | rests checked\n");
        for (milliseconds, class) in &self.classes {
            let hours = class.nanoseconds as f64 / 3.6e12;
            let _ = writeln!(
                text,
                "{} | {} | {hours:.1} | {} | {:.1} | {}",
                Interval::from_millis(*milliseconds),
                class.lives,
                class.disturbances,
                class.disturbances as f64 / hours.max(1e-9),
                class.rests,
            );
        }
        for (name, count) in &self.tally {
            let _ = writeln!(text, "{name}: {count}");
        }
        for failure in failures {
            let _ = writeln!(text, "{failure}");
        }
        text
    }
}

/// Lives the life of a seed; a failure ends the test.
pub fn live(seed: u64, account: &mut Account) {
    if let Err(words) = try_live(seed, account) {
        panic!("{words}");
    }
}

/// Lives the life of a seed. A failure tells the seed and what came before.
pub fn try_live(seed: u64, account: &mut Account) -> Result<(), String> {
    let verbose = std::env::var_os("STEADFAST_CLUSTER_SEED").is_some();
    let mut world = World::new(seed, verbose);
    let mut class = Class::default();
    let began = world.now;
    let lived = std::panic::catch_unwind(AssertUnwindSafe(|| {
        all_of_it(&mut world, &mut account.tally, &mut class)
    }));
    let words = match lived {
        Ok(Ok(())) => None,
        Ok(Err(Violation(words))) => Some(words),
        Err(fault) => {
            let words = fault.downcast_ref::<String>().cloned();
            let words = words.or_else(|| fault.downcast_ref::<&str>().map(|words| (*words).into()));
            Some(format!("a panic: {}", words.unwrap_or_default()))
        }
    };
    if let Some(words) = words {
        let history: Vec<String> = world.history.into_iter().collect();
        return Err(format!(
            "seed {seed} at {:.6} s: {words}\nnodes {}, routers {:?}, interval {} s, adverts {}\n{}\n\
             seed {seed}: {words}\nTo see all of it: STEADFAST_CLUSTER_SEED={seed} cargo nextest run \
             --no-capture -E 'test(a_life_by_seed)'",
            world.now as f64 / 1e9,
            world.plan.nodes,
            world.plan.routers,
            world.plan.interval,
            world.plan.adverts,
            history.join("\n"),
        ));
    }
    class.lives = 1;
    class.nanoseconds = u128::from(world.now - began);
    let sum = account.classes.entry(world.plan.interval.as_millis()).or_default();
    sum.lives += 1;
    sum.nanoseconds += class.nanoseconds;
    sum.disturbances += class.disturbances;
    sum.rests += class.rests;
    account.events += world.events;
    account.lives += 1;
    Ok(())
}

const EPISODES: u64 = 10;

fn all_of_it(world: &mut World, tally: &mut Tally, class: &mut Class) -> Verdict {
    for place in 0..world.nodes.len() {
        world.act(super::world::Deed::Boot(place))?;
        let wait = world.chance.below(world.plan.interval.as_nanos() / 2);
        world.run(Interval::from_nanos(wait))?;
    }
    world.rest()?;
    for _ in 0..EPISODES {
        let before = tally.values().sum::<u64>();
        if world.chance.one_in(2) {
            for _ in 0..=world.chance.below(6) {
                world.disturb(tally)?;
                let permille = world.chance.below(3000);
                world.run(world.plan.interval.fraction(permille, 1000))?;
            }
            world.calm()?;
            world.rest()?;
        } else {
            world.single_failure(tally)?;
        }
        class.rests += 1;
        if world.chance.one_in(3) {
            // More of it before everything is repaired.
            world.disturb(tally)?;
        }
        world.heal()?;
        world.rest()?;
        class.rests += 1;
        class.disturbances += tally.values().sum::<u64>() - before;
    }
    Ok(())
}
