//! The oracle judged: it lets good histories pass, and finds in a bad one what was done to it.

mod mutations;
mod sins;
mod world;

use midplane_conformance::history::judge;
use world::{TERMS, World};

#[test]
fn good_histories_pass() {
    for seed in 0..500 {
        let found = judge(&World::random(seed), &TERMS);
        assert!(found.is_empty(), "seed {seed}: {found:#?}");
    }
}
