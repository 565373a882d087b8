//! `failover-drill` from end to end: every fault once, on nodes of its own.

use std::process::Stdio;

use serde_json::Value;

use crate::support::{command, turn};

const FAULTS: [&str; 5] = ["isolate", "sigkill", "sigstop", "sigterm", "transfer"];

#[test]
fn a_drill_with_every_fault_loses_nothing_and_reports_each() {
    let _turn = turn();
    let args = "failover-drill --local 3 --faults crash,term,freeze,isolate,transfer \
                --iterations 5 --load 2 --json -";
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
        assert_ne!(iteration["old_leader"], iteration["new_leader"], "{iteration:#}");
        for time in ["elect_ms", "first_commit_ms", "client_gap_ms", "rejoin_ms", "view_ms"] {
            assert!(iteration[time].is_f64(), "{time}: {iteration:#}");
        }
    }
    let summary = &report["summary"];
    for (key, none) in [("lost", 0), ("duplicated", 0), ("failed", 0), ("linearizable_missed", 0)] {
        assert_eq!(summary[key], none, "{key}: {summary:#}");
    }
    assert!(summary["acked"].as_u64() > Some(50), "{summary:#}");
    for fault in FAULTS {
        assert_eq!(summary["by_fault"][fault]["iterations"], 1, "{summary:#}");
    }
}
