//! Is the ledger, as its clients saw it, linearizable? (M. Herlihy, J. Wing, "Linearizability: A
//! Correctness Condition for Concurrent Objects", 1990.)
//!
//! The ledger is a map from ids to records, and each operation of a drill touches one id. So the
//! history is linearizable if and only if that of each id is (locality, section 3.1 of the same
//! paper), and these are short enough to be searched completely. The search is `todc-utils`' (Wing
//! and Gong's, with Lowe's memory of states that led nowhere).
//!
//! - A write that was acknowledged took effect between its call and its answer.
//! - A write whose outcome is unknown took effect any time after its call, or never.
//! - So did one that a node acknowledged alone: others show it once a quorum is back.
//! - A write that failed did not; a read that found its record has read what nobody wrote.
//! - A read that was not answered says nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use todc_utils::{Action, History, Specification, WGLChecker};

use super::history::{Ended, Operation};
use crate::ident::RecordId;
use crate::record::Digest;

/// Examples kept, for people; the rest are only counted.
const EXAMPLES_MAX: usize = 5;

/// What the check showed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Linear {
    /// Operations with a known answer.
    pub checked: u64,
    /// Of these, reads.
    pub reads: u64,
    /// Records whose history is not linearizable.
    pub missed: u64,
    /// The first few of these, a sentence each.
    pub examples: Vec<String>,
}

impl Linear {
    /// True only if there was something to check.
    pub fn holds(&self) -> bool {
        self.reads > 0 && self.missed == 0
    }
}

/// One id of the ledger: empty, then for ever what was put there first.
struct Place;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Put(Digest),
    Get(Option<Digest>),
}

impl Specification for Place {
    type State = Option<Digest>;
    type Operation = Step;

    fn init() -> Self::State {
        None
    }

    fn apply(step: &Step, held: &Self::State) -> (bool, Self::State) {
        match (step, held) {
            (Step::Put(digest), None) => (true, Some(*digest)),
            (Step::Put(digest), Some(before)) => (digest == before, *held),
            (Step::Get(seen), _) => (seen == held, *held),
        }
    }
}

/// Checks every record of `operations`.
pub fn check(operations: &[Operation]) -> Linear {
    let mut by_id: BTreeMap<&RecordId, Vec<&Operation>> = BTreeMap::new();
    for operation in operations {
        by_id.entry(&operation.id).or_default().push(operation);
    }
    let mut linear = Linear::default();
    for (id, operations) in by_id {
        let is_read = |operation: &&&Operation| matches!(operation.result, Ended::Found { .. });
        let answered = |operation: &&&Operation| {
            matches!(operation.result, Ended::Ok { .. } | Ended::Found { .. })
        };
        linear.reads += operations.iter().filter(is_read).count() as u64;
        linear.checked += operations.iter().filter(answered).count() as u64;
        if !is_linearizable(&operations) {
            linear.missed += 1;
            if linear.examples.len() < EXAMPLES_MAX {
                linear.examples.push(example(id, &operations));
            }
        }
    }
    linear
}

fn is_linearizable(operations: &[&Operation]) -> bool {
    // What a write with an unknown outcome would have put there: whatever was read.
    let seen = operations.iter().find_map(|operation| match operation.result {
        Ended::Found { digest } => digest,
        _ => None,
    });
    let mut moments: Vec<(Duration, bool, usize, Step)> = Vec::new();
    for (process, operation) in operations.iter().enumerate() {
        let (step, ended) = match &operation.result {
            Ended::Ok { digest, local } => {
                (Step::Put(*digest), if *local { Duration::MAX } else { operation.ended })
            }
            Ended::Found { digest } => (Step::Get(*digest), operation.ended),
            Ended::Unknown { .. } => match seen {
                Some(digest) => (Step::Put(digest), Duration::MAX),
                None => continue,
            },
            Ended::Failed { .. } => continue,
        };
        moments.push((operation.called, false, process, step));
        moments.push((ended, true, process, step));
    }
    if moments.is_empty() {
        return true;
    }
    // At the same moment calls come first: the two may have overlapped.
    moments.sort_by_key(|(at, is_end, ..)| (*at, *is_end));
    let action = |(_, is_end, process, step): (Duration, bool, usize, Step)| {
        (process, if is_end { Action::Response(step) } else { Action::Call(step) })
    };
    // The checker wants the processes that take part numbered without holes.
    let mut numbers = BTreeMap::new();
    let mut actions = Vec::with_capacity(moments.len());
    for (process, action) in moments.into_iter().map(action) {
        let next = numbers.len();
        actions.push((*numbers.entry(process).or_insert(next), action));
    }
    WGLChecker::<Place>::is_linearizable(History::from_actions(actions))
}

fn example(id: &RecordId, operations: &[&Operation]) -> String {
    let mut operations = operations.to_vec();
    operations.sort_by_key(|operation| operation.called);
    let told = |operation: &&Operation| {
        let ms = |at: Duration| format!("{:.1}", at.as_secs_f64() * 1e3);
        let how = match &operation.result {
            Ended::Ok { local: true, .. } => "written on one node".to_owned(),
            Ended::Ok { .. } => "written".to_owned(),
            Ended::Found { digest: Some(_) } => "read".to_owned(),
            Ended::Found { digest: None } => "read as missing".to_owned(),
            Ended::Failed { .. } => "write failed".to_owned(),
            Ended::Unknown { .. } => "write of unknown outcome".to_owned(),
        };
        let server =
            operation.server.map_or(String::new(), |number| format!(" at #{}", number + 1));
        format!("{how}{server} ({} to {} ms)", ms(operation.called), ms(operation.ended))
    };
    let told: Vec<String> = operations.iter().map(told).collect();
    format!("{id} is not linearizable: {}", told.join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::history::{Act, Part};
    use super::*;

    /// One operation on the record `a`, from one millisecond to another.
    fn operation(called: u64, ended: u64, result: Ended) -> Operation {
        let act = if matches!(result, Ended::Found { .. }) { Act::Read } else { Act::Commit };
        Operation {
            part: Part::Load,
            server: Some(0),
            act,
            id: "a".parse().unwrap(),
            called: Duration::from_millis(called),
            ended: Duration::from_millis(ended),
            attempts: 1,
            result,
        }
    }

    fn digest() -> Digest {
        Digest::of(b"a")
    }

    fn put(called: u64, ended: u64) -> Operation {
        operation(called, ended, Ended::Ok { digest: digest(), local: false })
    }

    fn found(called: u64, ended: u64) -> Operation {
        operation(called, ended, Ended::Found { digest: Some(digest()) })
    }

    fn missing(called: u64, ended: u64) -> Operation {
        operation(called, ended, Ended::Found { digest: None })
    }

    fn unknown(called: u64, ended: u64) -> Operation {
        operation(called, ended, Ended::Unknown { cause: "cut".into() })
    }

    #[test]
    fn reads_during_a_write_may_go_either_way_but_not_back() {
        let holds = |operations: &[Operation]| check(operations).missed == 0;
        assert!(holds(&[
            put(10, 20),
            missing(0, 5),
            missing(11, 12),
            found(13, 14),
            found(30, 31)
        ]));
        assert!(!holds(&[put(10, 20), found(11, 12), missing(13, 14)]), "it was there before");
    }

    #[test]
    fn a_planted_stale_read_is_caught() {
        let linear = check(&[put(10, 20), missing(25, 30)]);
        assert_eq!((linear.missed, linear.reads, linear.checked, linear.holds()), (1, 1, 2, false));
        assert!(linear.examples[0].contains("read as missing at #1 (25.0 to 30.0 ms)"));
        let other = operation(25, 30, Ended::Found { digest: Some(Digest::of(b"b")) });
        assert_eq!(check(&[put(10, 20), other]).missed, 1, "another digest");
    }

    #[test]
    fn a_write_of_unknown_outcome_takes_effect_late_or_never() {
        let holds = |operations: &[Operation]| check(operations).missed == 0;
        assert!(holds(&[unknown(10, 20), missing(25, 30)]), "never");
        assert!(holds(&[unknown(10, 20), missing(25, 30), found(40, 50)]), "late");
        assert!(!holds(&[unknown(10, 20), found(25, 30), missing(40, 50)]), "and stays");
        assert!(!holds(&[unknown(10, 20), found(1, 5)]), "not before its call");
    }

    #[test]
    fn what_failed_or_was_never_written_cannot_be_read() {
        let failed = operation(10, 20, Ended::Failed { cause: "busy".into() });
        assert_eq!(check(&[failed.clone(), missing(30, 40)]).missed, 0);
        assert_eq!(check(&[failed, found(30, 40)]).missed, 1);
        assert_eq!(check(&[found(30, 40)]).missed, 1);
    }

    #[test]
    fn what_one_node_acknowledged_alone_may_show_later() {
        let local = operation(10, 20, Ended::Ok { digest: digest(), local: true });
        assert_eq!(check(&[local.clone(), missing(30, 40), found(50, 60)]).missed, 0);
        assert_eq!(check(&[local, found(50, 60), missing(70, 80)]).missed, 1);
    }

    #[test]
    fn nothing_checked_is_nothing_shown() {
        assert!(!check(&[]).holds());
        assert!(!check(&[put(0, 1)]).holds());
        assert!(check(&[put(0, 1), found(2, 3)]).holds());
    }
}
