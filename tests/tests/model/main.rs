//! The model of delivery (`docs/delivery.md`): an agent, two aggregators and a store under virtual
//! time and a network that loses, delays, doubles and reorders, explored at random.
//!
//! What decides is the product's own code: `tail` with its journal, the agent's packing and
//! judging, `wire`, the aggregator's workers with framing and rules, and `buffer`. The network, the
//! clock, the order of things and the store are the model's. `SEED=n` runs one seed again, with all
//! that the product logs; `SEEDS=n` runs so many.

#![expect(clippy::unwrap_used, reason = "the model fails by panicking")]

mod agent;
mod aggregator;
mod store;
mod world;

use world::World;

/// Steps of one run: enough for some crashes of everything and some rotations.
const STEPS: u32 = 250;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn every_record_arrives_once_whatever_crashes_is_lost_comes_late_or_twice() {
    let seeds = match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SEEDS").unwrap_or(60),
    };
    if number("SEED").is_some() {
        telemetry::logging::init("debug", telemetry::logging::Format::Text);
    }
    let mut done = world::Done::default();
    for seed in seeds {
        let mut world = World::new(seed);
        for _ in 0..STEPS {
            world.step();
        }
        world.settle();
        done.add(&world.done);
    }
    println!("{done:?}");
    // A model in which nothing goes wrong shows nothing.
    if number("SEED").is_none() {
        done.assert_all_met();
    }
}
