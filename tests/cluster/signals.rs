//! SIGHUP: a service goes on, and a node at a terminal ends with it.

use std::process::{Command, Stdio};

use crate::support::{BINARY, Cluster, PATIENCE, poll};

#[test]
fn a_node_that_logs_to_a_file_outlives_a_hang_up() {
    for settings in [&[][..], &["supervise=true"]] {
        let mut cluster = Cluster::formed(1, settings);
        cluster.nodes[0].hang_up();
        cluster.wait("it says so", |cluster| {
            cluster.nodes[0].log().contains("SIGHUP: this node goes on").then_some(())
        });
        let reply = cluster.nodes[0].client.commit("after-it").expect("it serves");
        assert_eq!(reply.status, 200, "{settings:?}: {}", reply.text());
        assert_eq!(cluster.terminate(0), Some(0), "{settings:?}");
    }
}

#[test]
#[allow(clippy::print_stderr, reason = "says that nothing was tested")]
fn a_node_at_a_terminal_ends_when_that_is_closed() {
    let mut cluster = Cluster::configured(1, &[]);
    let line = format!("{BINARY} {}", cluster.args(0).join(" "));
    // It gives the node a terminal, which is gone when it is killed.
    let mut terminal = Command::new("script");
    terminal.args(["-qec", &line, "/dev/null"]).stdin(Stdio::null()).stdout(Stdio::null());
    let mut terminal = match terminal.spawn() {
        Ok(terminal) => terminal,
        Err(error) => {
            eprintln!("SKIPPED: a terminal needs script, of util-linux: {error}");
            return;
        }
    };
    let client = cluster.nodes[0].client.clone();
    let serves = poll(PATIENCE, || client.status());
    terminal.kill().expect("it runs");
    terminal.wait().expect("it ends");
    assert!(serves.is_some(), "the node did not start");
    let gone = poll(PATIENCE, || client.status().is_none().then_some(()));
    assert!(gone.is_some(), "it goes on without its terminal");
    // Nothing is left that holds its ports or its folder.
    cluster.start(0);
    cluster.whole();
    assert_eq!(cluster.terminate(0), Some(0));
}
