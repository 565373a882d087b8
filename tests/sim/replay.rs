//! One seed, one run: twice the same seed gives twice the same trace, line by line.

use crate::run::{Options, run};

#[test]
fn a_seed_replays_its_run_exactly() {
    for seed in [1, 2, 3, 4, 5, 6] {
        let first = run(seed, Options::default());
        let second = run(seed, Options::default());
        assert!(first.trace.len() > 100, "seed {seed} hardly ran: {:?}", first.violations);
        for (number, (one, other)) in first.trace.iter().zip(&second.trace).enumerate() {
            assert_eq!(one, other, "seed {seed} took another way at line {number}");
        }
        assert_eq!(first.trace.len(), second.trace.len(), "seed {seed}");
    }
    assert_ne!(run(1, Options::default()).trace, run(2, Options::default()).trace);
}
