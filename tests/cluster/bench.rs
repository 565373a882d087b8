//! `bench` from end to end: what its figures and files say of a real node, and of one that stops
//! for a second.

use std::path::Path;
use std::process::{Child, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::support::{Cluster, command, poll};

/// How long the node is frozen.
const FREEZE: Duration = Duration::from_secs(1);

fn bench(cluster: &Cluster, args: &str) -> Child {
    let servers: Vec<String> =
        cluster.nodes.iter().map(|node| format!("127.0.0.1:{}", node.http_port)).collect();
    let args = format!("bench --servers {} {args}", servers.join(","));
    let args: Vec<String> = args.split_whitespace().map(str::to_owned).collect();
    let child = command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    child.expect("the binary runs")
}

/// Its report, and what it said.
fn finished(child: Child, code: i32) -> (Value, Output) {
    let output = child.wait_with_output().expect("it ends");
    let errors = String::from_utf8_lossy(&output.stderr);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(code), "{said}\n{errors}");
    let report = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (report, output)
}

/// Freezes the only node for a second once the load has entered `records`, and thaws it.
fn freeze_under_load(cluster: &Cluster, records: u64) {
    let node = &cluster.nodes[0];
    cluster.wait("the load is under way", |cluster| {
        cluster.own(0).filter(|own| own.records >= records)
    });
    node.freeze();
    // The stop itself is what is measured: it lasts as long as it does.
    assert!(poll(FREEZE, || None::<()>).is_none());
    node.thaw();
}

#[test]
fn in_an_open_loop_a_stop_of_a_second_shows_in_the_percentiles() {
    let cluster = Cluster::formed(1, &[]);
    // Two clients: a stop holds up two requests that were sent, and 200 that were due.
    let args = "--mode commit --rate 200 --duration 5s --clients 2 --json -";
    let child = bench(&cluster, args);
    freeze_under_load(&cluster, 100);
    let (report, _) = finished(child, 0);
    let ms = |part: &str, name: &str| report[part][name].as_f64().unwrap_or_default();
    assert_eq!((report["model"].as_str(), report["requests"].as_u64()), (Some("open"), Some(1000)));
    for name in ["p999", "p9999", "max"] {
        let found = ms("latency_ms", name);
        assert!((900.0..1400.0).contains(&found), "{name}: {found}\n{report:#}");
    }
    assert!(ms("latency_ms", "p90") > 200.0 && ms("latency_ms", "p50") < 200.0, "{report:#}");
    let gap = report["max_gap_ms"].as_f64().unwrap_or_default();
    assert!((900.0..1400.0).contains(&gap), "{report:#}");
    // What a closed loop would have seen: the same stop in two requests, and no percentile knows.
    assert!(ms("service_ms", "p99") < 200.0 && ms("service_ms", "max") > 900.0, "{report:#}");
}

#[test]
fn a_mix_is_verified_and_its_files_agree_with_the_report() {
    let cluster = Cluster::formed(1, &[]);
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let secrets = path("secrets");
    std::fs::create_dir(&secrets).expect("a folder in it");
    std::fs::write(secrets.join("a.txt"), "one").expect("written");
    std::fs::write(secrets.join("b.bin"), [7; 3000]).expect("written");
    let args = format!(
        "--mode embed=50,extract=30,roundtrip=10,commit=10 --clients 4 --reqs 15 --verify \
         --secret {} --cover {} --json {} --csv {} --hdr-out {} --plot {}",
        secrets.display(),
        Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/astronaut.png").display(),
        path("run.json").display(),
        path("run.csv").display(),
        path("run.hgrm").display(),
        path("run.png").display(),
    );
    let (_, output) = finished(bench(&cluster, &args), 0);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.starts_with("closed loop: embed=50,extract=30"), "{said}");
    assert!(said.contains("read back and compared: 60 right, 0 wrong"), "{said}");

    let text = |name: &str| std::fs::read_to_string(path(name)).expect("it was written");
    let report: Value = serde_json::from_str(&text("run.json")).expect("JSON");
    assert_eq!((report["ok"].as_u64(), report["verified"].as_u64()), (Some(60), Some(60)));
    let modes = report["by_mode"].as_object().expect("modes");
    let of_mode = |mode: &Value| mode["ok"].as_u64().unwrap_or_default();
    assert_eq!(modes.values().map(of_mode).sum::<u64>(), 60, "{report:#}");
    assert_eq!(report["per_node"]["n1"]["ok"], 60, "{report:#}");
    assert_eq!((report["covers"].as_u64(), report["secrets"].as_u64()), (Some(1), Some(2)));

    let of_second = |line: &str| line.split(',').nth(1)?.parse::<u64>().ok();
    assert_eq!(text("run.csv").lines().skip(1).filter_map(of_second).sum::<u64>(), 60);
    assert!(text("run.hgrm").contains("Total count    =           60]"), "{}", text("run.hgrm"));
    let png = std::fs::read(path("run.png")).expect("it was written");
    assert!(png.starts_with(b"\x89PNG") && png.len() > 10_000);
}

#[test]
fn a_load_that_cannot_be_made_says_why_before_it_begins() {
    let table = [
        ("--json /nonexistent/run.json", "cannot write /nonexistent/run.json"),
        ("--secret /nonexistent/letter", "cannot read /nonexistent/letter"),
        ("--clients 2", "no server answered: http://127.0.0.1:1"),
    ];
    for (args, expected) in table {
        let args = format!("bench --servers 127.0.0.1:1 {args}");
        let args: Vec<String> = args.split_whitespace().map(str::to_owned).collect();
        let output = command(&args).output().expect("the binary runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{errors}");
        assert!(errors.contains(expected) && errors.lines().count() == 1, "{errors}");
    }
}
