//! `failover-drill` from end to end: every fault once, on nodes of its own.

use std::process::Stdio;

use serde_json::Value;

use crate::support::{command, turn};

const FAULTS: [&str; 11] = [
    "disk-full",
    "disk-slow",
    "isolate",
    "isolate-oneway",
    "kill-both-followers",
    "rolling-restart",
    "sigkill",
    "sigstop",
    "sigterm",
    "transfer",
    "wipe",
];
/// Of these, those that leave the leader in place, or take every node in turn.
const STAY: [&str; 3] = ["kill-both-followers", "rolling-restart", "wipe"];

#[test]
fn a_drill_with_every_fault_loses_nothing_and_reports_each() {
    let _turn = turn();
    let args = "failover-drill --local 3 --faults all --rounds 1 --load 2 --json -";
    let args: Vec<String> = args.split_whitespace().map(str::to_owned).collect();
    let output = command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).output();
    let output = output.expect("the binary runs");
    let (said, errors) = (output.stdout, String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&said).unwrap_or_else(|e| panic!("{e}: {errors}"));
    assert_eq!(output.status.code(), Some(0), "{report:#}\n{errors}");

    let iterations = report["iterations"].as_array().expect("a list");
    let mut faults: Vec<&str> = iterations.iter().filter_map(|i| i["fault"].as_str()).collect();
    faults.sort_unstable();
    assert_eq!(faults, FAULTS, "{report:#}");
    for iteration in iterations {
        for time in ["client_gap_ms", "first_answer_ms", "rejoin_ms", "caught_up_ms"] {
            assert!(iteration[time].is_f64(), "{time}: {iteration:#}");
        }
        assert!(iteration["timeline"].as_array().is_some_and(|moments| moments.len() > 2));
        if STAY.iter().any(|fault| iteration["fault"] == *fault) {
            continue;
        }
        assert_ne!(iteration["old_leader"], iteration["new_leader"], "{iteration:#}");
        for time in ["elect_ms", "first_commit_ms", "view_ms"] {
            assert!(iteration[time].is_f64(), "{time}: {iteration:#}");
        }
    }
    let summary = &report["summary"];
    for key in ["lost", "duplicated", "failed", "linearizable_missed", "terms_conflicting"] {
        assert_eq!(summary[key], 0, "{key}: {summary:#}");
    }
    assert_eq!(summary["linearizable"], true, "{summary:#}");
    assert!(summary["acked"].as_u64() > Some(50), "{summary:#}");
    for fault in FAULTS {
        assert_eq!(summary["by_fault"][fault]["iterations"], 1, "{summary:#}");
    }
}
