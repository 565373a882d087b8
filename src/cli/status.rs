//! `stegcluster status`: every node asked at the same time, one table.

use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;

use super::servers::ServersArgs;
use super::{exit, output};
use crate::api::cluster::{ClusterStatus, Mode, NodeStatus, Role};
use crate::client::ClientError;

/// Show the cluster: who leads, who is up, and how many nodes it can still lose
///
/// Asks every server at the same time. Exit codes: 0 healthy, 1 degraded, 2 no quorum,
/// 3 conflict, 4 unreachable.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  stegcluster status
  stegcluster status --servers 10.0.0.1:8081,10.0.0.2:8081,10.0.0.3:8081
  stegcluster status --json | jq .leader_id")]
pub struct StatusArgs {
    #[command(flatten)]
    servers: ServersArgs,
    /// Print JSON instead of the table
    #[arg(long)]
    json: bool,
    /// Milliseconds to wait for each server
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    timeout_ms: u64,
}

/// What a look at all servers amounts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Health {
    Healthy,
    Degraded,
    NoQuorum,
    Conflict,
    Unreachable,
}

impl Health {
    fn code(self) -> u8 {
        match self {
            Self::Healthy => exit::OK,
            Self::Degraded => exit::DEGRADED,
            Self::NoQuorum => exit::NO_QUORUM,
            Self::Conflict => exit::CONFLICT,
            Self::Unreachable => exit::UNREACHABLE,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "DEGRADED",
            Self::NoQuorum => "NO QUORUM",
            Self::Conflict => "CONFLICT",
            Self::Unreachable => "UNREACHABLE",
        }
    }
}

/// The best informed status, and what all of them amount to.
#[derive(Debug, Serialize)]
struct Report<'a> {
    health: Health,
    #[serde(flatten)]
    status: Option<&'a ClusterStatus>,
    /// Why servers did not answer.
    errors: Vec<String>,
}

/// Prints the table, or JSON.
///
/// # Errors
/// None that a script should tell from an unreachable cluster.
pub fn run(args: StatusArgs) -> anyhow::Result<ExitCode> {
    let (client, _) = args.servers.client(Duration::from_secs(5))?;
    let asked = client.statuses(Duration::from_millis(args.timeout_ms));
    let report = judge(&asked);
    if args.json {
        output::print(&output::json(&report)?);
    } else {
        output::print(&render(&report));
        report.errors.iter().for_each(|error| output::complain(error));
    }
    Ok(ExitCode::from(report.health.code()))
}

fn judge(asked: &[Result<ClusterStatus, ClientError>]) -> Report<'_> {
    let said: Vec<&ClusterStatus> = asked.iter().flatten().collect();
    let errors: Vec<String> =
        asked.iter().filter_map(|asked| asked.as_ref().err()).map(ToString::to_string).collect();
    // A node with a quorum knows more than one without; then the later term.
    let best = said.iter().copied().max_by_key(|status| (status.quorum, status.term));
    let health = match best {
        None => Health::Unreachable,
        Some(_) if in_conflict(&said) => Health::Conflict,
        Some(best) if !best.quorum || best.leader_id.is_none() => Health::NoQuorum,
        Some(best) => {
            // A node that nobody asked may be down too; one that was asked and is silent is.
            let whole = best.nodes.iter().all(|node| node.healthy) && errors.is_empty();
            let settled = said.iter().all(|status| status.quorum);
            if whole && settled { Health::Healthy } else { Health::Degraded }
        }
    };
    Report { health, status: best, errors }
}

/// Two leaders of one term, or nodes of different clusters.
fn in_conflict(said: &[&ClusterStatus]) -> bool {
    let mut uuids = said.iter().filter_map(|status| status.cluster_uuid);
    let first = uuids.next();
    let strangers = uuids.any(|uuid| Some(uuid) != first);
    // A node's own word only: what others believe of it may be old. A solo node calls itself
    // leader, of nobody and of no term.
    let mut leaders: Vec<(u64, &str)> = said.iter().copied().filter_map(leads).collect();
    leaders.sort_unstable();
    leaders.dedup();
    strangers || leaders.windows(2).any(|pair| pair[0].0 == pair[1].0)
}

fn leads(status: &ClusterStatus) -> Option<(u64, &str)> {
    let own = status.nodes.iter().find(|node| Some(&node.id) == status.node.as_ref())?;
    let leads = own.role == Role::Leader && own.mode == Mode::Normal;
    leads.then(|| (own.term, own.id.as_str()))
}

fn render(report: &Report<'_>) -> String {
    let Some(status) = report.status else {
        return format!("{}: no server answered\n", report.health.words());
    };
    let leader = status.leader_id.as_ref().map_or("none".to_owned(), ToString::to_string);
    let quorum = if status.quorum {
        format!("can lose {} more", status.can_lose)
    } else {
        "no quorum".to_owned()
    };
    let mut text = format!(
        "{}: cluster {}, leader {leader}, term {}, {quorum}\n\n",
        report.health.words(),
        status.cluster_name,
        status.term
    );
    let head = [
        "NODE", "ADDRESS", "ROLE", "HEALTH", "MODE", "TERM", "COMMIT", "APPLIED", "LAG", "CPU%",
        "MEM%", "QPS", "P95 MS", "VERSION",
    ];
    let rows: Vec<Vec<String>> = status.nodes.iter().map(row).collect();
    text += &output::table(&head, &rows);
    for node in status.nodes.iter().filter(|node| node.journal > 0) {
        text += &format!(
            "{}: {} records acknowledged by it alone wait for a quorum\n",
            node.id, node.journal
        );
    }
    text
}

fn row(node: &NodeStatus) -> Vec<String> {
    let up = |text: String| if node.healthy { text } else { "-".to_owned() };
    vec![
        node.id.to_string(),
        format!("{}:{}", node.ip, node.http_port),
        node.role.to_string(),
        if node.healthy { "up".to_owned() } else { "DOWN".to_owned() },
        up(node.mode.to_string()),
        up(node.term.to_string()),
        up(node.commit.to_string()),
        up(node.applied.to_string()),
        up(node.lag.to_string()),
        up(format!("{:.0}", node.cpu_pct)),
        up(format!("{:.0}", node.mem_pct)),
        up(format!("{:.1}", node.qps_1m)),
        up(output::ms(Some(node.p95_ms))),
        up(node.version.clone()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ident::ClusterUuid;

    fn status(node: &str, role: Role, term: u64) -> ClusterStatus {
        let own = |name: &str| {
            let mut own = NodeStatus::unknown(name.parse().unwrap(), "127.0.0.1:1", "");
            (own.healthy, own.mode, own.term) = (true, Mode::Normal, term);
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

    fn health(asked: &[Result<ClusterStatus, ClientError>]) -> Health {
        judge(asked).health
    }

    fn refused() -> ClientError {
        let server = "http://127.0.0.1:2".to_owned();
        ClientError::NotSent { server, cause: "connection refused".into() }
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
        let asked = [Ok(down)];
        let text = render(&judge(&asked));
        assert!(text.starts_with("DEGRADED: cluster test, leader n1, term 3, can lose 1 more"));
        assert!(text.contains("n2    127.0.0.1:1  Follower  DOWN"), "{text}");
    }
}
