//! A seeded random walk over the core: everything a program, a server and a network can do, in any order, with the
//! laws asserted after every step. `WALK_SEED` and `WALK_STEPS` walk one way again, or further.

mod commands;
mod events;
mod frames;
mod laws;
mod model;
mod replies;
mod visits;
mod world;

use self::{visits::Visits, world::World};

const SEEDS: [u64; 4] = [1, 7, 42, 1_000_003];
const STEPS: usize = 400_000;

// C-27, M-5, Q-10, Q-14, T-19
#[test]
fn the_laws_hold_wherever_the_walk_goes() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seeds = number("WALK_SEED").map_or_else(|| SEEDS.to_vec(), |seed| vec![seed]);
    let steps = number("WALK_STEPS").map_or(STEPS, |steps| usize::try_from(steps).expect("fits"));
    let mut visits = Visits::default();
    for seed in &seeds {
        visits = walk(*seed, steps / seeds.len(), visits);
    }
    if steps >= STEPS {
        visits.assert_enough(500);
    }
}

fn walk(seed: u64, steps: usize, visits: Visits) -> Visits {
    let mut world = World::new(seed, visits);
    let mut trace = Trace { seed, steps: Vec::new() };
    for _ in 0..steps {
        world.step(&mut trace.steps);
    }
    world.finish(&mut trace.steps);
    world.into_visits()
}

/// Tells the way to a failure.
struct Trace {
    seed: u64,
    steps: Vec<String>,
}

impl Drop for Trace {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let tail = self.steps.len().saturating_sub(40);
            eprintln!("WALK_SEED={} step {}; the last of them:", self.seed, self.steps.len());
            for step in &self.steps[tail..] {
                eprintln!("  {step}");
            }
        }
    }
}
