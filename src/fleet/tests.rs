//! The fleet with stand-ins for a node: what is tested here is the handling of processes. Real
//! nodes are in `tests/`.

use super::*;

/// A fleet whose nodes are shell scripts.
fn fleet_of(script: &str) -> (Fleet, tempfile::TempDir) {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let binary = folder.path().join("node.sh");
    std::fs::write(&binary, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&binary, std::fs::Permissions::from_mode(0o755)).unwrap();
    let plan = FleetPlan { binary: Some(binary), ..FleetPlan::new(2) };
    (Fleet::new(plan, &Stop::new()).unwrap(), folder)
}

fn runs(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

const LONG: Duration = Duration::from_secs(20);

#[test]
fn dropping_the_fleet_leaves_no_process_and_no_folder() {
    let (mut fleet, _script) = fleet_of("exec sleep 60");
    fleet.start_all().unwrap();
    let (pids, folder) =
        ([fleet.pid(0).unwrap(), fleet.pid(1).unwrap()], fleet.folder().to_owned());
    assert!(pids.iter().all(|pid| runs(*pid)));
    drop(fleet);
    assert!(!pids.iter().any(|pid| runs(*pid)));
    assert!(!folder.exists());
}

#[test]
fn a_panic_leaves_no_process() {
    let (mut fleet, _script) = fleet_of("exec sleep 60");
    fleet.start(0).unwrap();
    let pid = fleet.pid(0).unwrap();
    let panicked = std::thread::spawn(move || {
        let _fleet = fleet;
        panic!("on purpose");
    });
    assert!(panicked.join().is_err());
    assert!(!runs(pid));
}

#[test]
fn a_node_that_ends_by_itself_is_named_with_its_last_words() {
    let (mut fleet, _script) = fleet_of("echo 'address in use'; exit 2");
    fleet.start(1).unwrap();
    let error = fleet.wait("nothing", LONG, &Stop::new(), |_| false).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, FleetError::Ended { .. }), "{text}");
    assert!(text.contains("n2") && text.contains("address in use"), "{text}");
    assert!(matches!(fleet.kill(1), Err(FleetError::NotRunning(_))));
}

#[test]
fn a_node_is_told_its_place_and_its_peers_and_nothing_of_our_environment() {
    let (mut fleet, _script) = fleet_of("echo \"$@\"; env; exit 0");
    fleet.start(0).unwrap();
    let ended = fleet.wait("its end", LONG, &Stop::new(), |_| false).unwrap_err();
    assert!(matches!(ended, FleetError::Ended { .. }), "{ended}");
    let log = std::fs::read_to_string(fleet.folder().join("n1.log")).unwrap();
    let args = log.lines().next().unwrap();
    assert!(args.starts_with("serve --id n1 --listen 127.0.0.1:"), "{args}");
    let n2 = format!("n2={}/", fleet.servers().nth(1).address());
    assert!(args.contains("--peers n1=127.0.0.1:") && args.contains(&n2), "{args}");
    assert!(!log.contains("STEGCLUSTER_"), "{log}");
}

#[test]
fn stop_asks_first() {
    let (mut fleet, _script) =
        fleet_of("trap 'exit 0' TERM; echo ready; while :; do sleep 0.01; done");
    fleet.start(0).unwrap();
    let log = fleet.folder().join("n1.log");
    let ready = |_: &[Option<ClusterStatus>]| {
        std::fs::read_to_string(&log).is_ok_and(|text| text.contains("ready"))
    };
    fleet.wait("the trap", LONG, &Stop::new(), ready).unwrap();
    assert!(fleet.stop(0, LONG).unwrap());
    assert!(fleet.pid(0).is_none());
}

#[test]
fn waits_end_with_a_sentence_or_when_stopped() {
    let (mut fleet, _script) = fleet_of("exit 0");
    let late = fleet.wait("spring", Duration::from_millis(1), &Stop::new(), whole).unwrap_err();
    assert!(late.to_string().contains("for spring, in vain: no answer; no answer"), "{late}");
    let stop = Stop::new();
    stop.trip();
    assert!(matches!(fleet.wait("spring", LONG, &stop, whole), Err(FleetError::Stopped)));
    let none = Fleet::new(FleetPlan::new(0), &Stop::new());
    assert!(matches!(none, Err(FleetError::Size { .. })));
}

#[test]
fn a_frozen_node_does_nothing_until_it_is_thawed() {
    let (mut fleet, _script) = fleet_of("while :; do echo tick; sleep 0.01; done");
    fleet.start(0).unwrap();
    let log = fleet.folder().join("n1.log");
    let length = || std::fs::metadata(&log).map_or(0, |log| log.len());
    fleet.wait("a tick", LONG, &Stop::new(), |_| length() > 0).unwrap();
    fleet.freeze(0).unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", fleet.pid(0).unwrap()));
    // Linux only: elsewhere there is no such file, and the ticks below must do.
    assert!(stat.map_or(true, |stat| stat.contains(") T ")));
    let before = length();
    let wait = Duration::from_millis(60);
    let late = fleet.wait("a tick", wait, &Stop::new(), |_| length() > before);
    assert!(matches!(late, Err(FleetError::Late { .. })), "it ticks while it is frozen");
    fleet.thaw(0).unwrap();
    fleet.wait("a tick", LONG, &Stop::new(), |_| length() > before).unwrap();
    assert!(matches!(fleet.freeze(1), Err(FleetError::NotRunning(_))));
}
