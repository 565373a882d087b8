//! Bugs planted on purpose: the checks must catch each, or they would prove nothing.

use stegcluster::sim::sabotage::Bug;

use crate::run::{Options, run};
use crate::schedule::Mix;

/// Seeds that may be tried until a bug shows.
const TRIES: u64 = 300;

/// Runs seeds with the bug until one fails in the expected way.
fn is_caught(bug: Bug, mix: Mix, expected: &[&str]) {
    for seed in 1..=TRIES {
        let outcome = run(seed, Options { mix, bug: Some(bug) });
        if let Some(first) = outcome.violations.first() {
            assert!(
                expected.iter().any(|part| first.contains(part)),
                "{bug:?} shows in another way: {}",
                crate::seeds::report(seed, &outcome)
            );
            println!("{bug:?} was caught by seed {seed}: {first}");
            return;
        }
    }
    panic!("{bug:?} was not caught by {TRIES} seeds");
}

#[test]
fn a_vote_without_evidence_is_caught() {
    is_caught(Bug::VoteWithoutEvidence, Mix::Silence, &["did not hold dead"]);
}

#[test]
fn an_acknowledgement_before_the_fsync_is_caught() {
    // A ballot may be what is forgotten, too.
    let expected = ["lost", "missed", "log reversion", "two leaders"];
    is_caught(Bug::AcknowledgeBeforeFsync, Mix::Power, &expected);
}

#[test]
fn a_drain_under_new_ids_is_caught() {
    let expected = ["nobody submitted", "lost", "missed"];
    is_caught(Bug::DrainUnderNewIds, Mix::Alone, &expected);
}

#[test]
fn a_read_without_a_read_index_is_caught() {
    is_caught(Bug::ReadWithoutIndex, Mix::Silence, &["a linearizable read"]);
}
