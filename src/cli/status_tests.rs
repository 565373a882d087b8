//! What a status amounts to, and how it is shown.

use super::super::status_table::render;
use super::*;
use crate::ident::ClusterUuid;

fn status(node: &str, role: Role, term: u64) -> ClusterStatus {
    let own = |name: &str| {
        let mut own = NodeStatus::unknown(name.parse().unwrap(), "127.0.0.1:1", "");
        (own.healthy, own.mode, own.term, own.voter) = (true, Mode::Normal, term, true);
        own.role = if name == node { role } else { Role::Follower };
        own
    };
    ClusterStatus {
        cluster_name: "test".into(),
        cluster_uuid: Some(ClusterUuid(uuid::Uuid::from_u128(1))),
        node: node.parse().ok(),
        leader_id: "n1".parse().ok(),
        term,
        quorum: true,
        can_lose: 1,
        nodes: ["n1", "n2"].map(own).into(),
        ..ClusterStatus::default()
    }
}

fn health(asked: &[Asked]) -> Health {
    judge(asked).health
}

fn refused() -> ClientError {
    let server = "http://127.0.0.1:2".to_owned();
    ClientError::NotSent { server, cause: "connection refused".into() }
}

fn text(asked: &[Asked], width: usize) -> String {
    let lines = render(&judge(asked), width);
    lines.into_iter().map(|(line, _)| line + "\n").collect()
}

#[test]
fn health_is_told_from_what_all_servers_say() {
    let leader = || status("n1", Role::Leader, 3);
    let follower = || status("n2", Role::Follower, 3);
    assert_eq!(health(&[Ok(leader()), Ok(follower())]), Health::Healthy);
    assert_eq!(health(&[Ok(leader()), Err(refused())]), Health::Degraded);
    assert_eq!(health(&[Err(refused())]), Health::Unreachable);
    let lone = ClusterStatus { quorum: false, ..leader() };
    assert_eq!(health(&[Ok(lone), Err(refused())]), Health::NoQuorum);
    assert_eq!(health(&[Ok(leader()), Ok(status("n2", Role::Leader, 3))]), Health::Conflict);
    // The old leader has not heard of the new one yet: no conflict, terms differ.
    assert_eq!(health(&[Ok(leader()), Ok(status("n2", Role::Leader, 4))]), Health::Healthy);
    let stranger =
        ClusterStatus { cluster_uuid: Some(ClusterUuid(uuid::Uuid::nil())), ..follower() };
    assert_eq!(health(&[Ok(leader()), Ok(stranger)]), Health::Conflict);
}

#[test]
fn the_table_says_who_leads_and_how_many_may_go() {
    let mut down = status("n1", Role::Leader, 3);
    down.nodes[1].healthy = false;
    down.nodes[1].trouble = Some("127.0.0.1:2 refused the connection".into());
    let text = text(&[Ok(down)], usize::MAX);
    assert!(text.starts_with("DEGRADED: cluster test, leader n1, term 3, can lose 1 more\n"));
    assert!(text.contains("n2    127.0.0.1:1  Follower  DOWN   yes"), "{text}");
    assert!(text.ends_with("\nn2 is down: 127.0.0.1:2 refused the connection\n"), "{text}");
}

#[test]
fn columns_are_left_out_until_the_table_fits() {
    let mut wide = status("n1", Role::Leader, 3);
    wide.nodes[0].version = "1.2.3-with-a-long-suffix".into();
    let asked = [Ok(wide)];
    for width in [30, 40, 60, 80, 100, 140] {
        let text = text(&asked, width);
        let table: Vec<&str> = text.lines().skip(2).take(3).collect();
        assert!(table.iter().all(|line| line.chars().count() <= width), "{width}:\n{text}");
        assert!(table[0].starts_with("NODE"), "{text}");
    }
    let at_80 = text(&asked, 80);
    let head = at_80.lines().nth(2).unwrap();
    for column in ["ROLE", "STATE", "VOTER", "TERM", "COMMIT", "LAG", "SEEN", "ACK", "FSYNC", "P95"]
    {
        assert!(head.contains(column), "{column} is missing at 80 columns: {head}");
    }
    assert!(text(&asked, usize::MAX).contains("1.2.3-with-a-long-suffix"));
}

#[test]
fn each_node_speaks_for_itself_and_contradictions_are_told() {
    let mut leader = status("n1", Role::Leader, 3);
    // Its last word of n2 is old.
    (leader.nodes[1].term, leader.nodes[1].last_contact_ms) = (2, Some(12.0));
    leader.nodes[1].healthy = false;
    leader.nodes[1].trouble = Some("127.0.0.1:2 did not answer within 300 ms".into());
    let mut other = status("n2", Role::Follower, 3);
    other.leader_id = None;
    other.nodes[1].commit = 77;
    let report = judge(&[Ok(leader), Ok(other)]);
    let n2 = &report.status.as_ref().unwrap().nodes[1];
    assert_eq!((n2.term, n2.commit, n2.last_contact_ms), (3, 77, Some(12.0)));
    assert_eq!(
        report.disagreements,
        [
            "n1 says that n1 leads, in term 3; n2 says that nobody leads, in term 3",
            "n1 does not hear n2: 127.0.0.1:2 did not answer within 300 ms",
        ]
    );
}
