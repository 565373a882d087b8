//! Who leads, or why nobody does.

use super::Findings;
use super::cluster::Seen;
use crate::api::cluster::{ClusterStatus, Mode, NodeStatus};
use crate::cli::status::{Health, judge_seen, own};

/// Says who leads and what may still be lost; or what stands in the way of a leader.
pub fn look(seen: &[&Seen], findings: &mut Findings) {
    let said: Vec<&ClusterStatus> =
        seen.iter().filter_map(|seen| seen.status.as_ref().ok()).collect();
    let Some((health, best)) = judge_seen(&said) else {
        findings.problem(
            "leader",
            "no node answers, so nothing is known",
            "start the nodes; a majority of them is enough",
        );
        return;
    };
    match health {
        Health::Conflict => findings.problem(
            "leader",
            "two leaders of one term, or nodes of different clusters",
            "see stegcluster status; the nodes of the wrong cluster must get new data folders",
        ),
        Health::Healthy | Health::Degraded => led(best, findings),
        Health::NoQuorum | Health::Unreachable => unled(best, &said, findings),
    }
}

fn led(best: &ClusterStatus, findings: &mut Findings) {
    let leader = best.leader_id.as_ref().map_or("nobody", |leader| leader.as_str());
    let voters = best.nodes.iter().filter(|node| node.voter).count();
    let text = format!(
        "{leader} leads, in term {}; {voters} voters, {} more may be lost",
        best.term, best.can_lose
    );
    if voters > 1 && best.can_lose == 0 {
        let advice = "bring back the nodes that are down before another is lost";
        findings.warn("leader", text, advice);
    } else {
        findings.ok("leader", text);
    }
    if voters > 1 && voters.is_multiple_of(2) {
        let text = format!("{voters}: they survive no more failures than {}", voters - 1);
        findings.warn("number of voters", text, "1, 3 or 5 are usual: add or remove one");
    }
}

fn unled(best: &ClusterStatus, said: &[&ClusterStatus], findings: &mut Findings) {
    let words: Vec<&NodeStatus> = said.iter().filter_map(|status| own(status)).collect();
    if words.iter().all(|node| node.mode == Mode::Forming) {
        let (up, all) = (said.len(), best.nodes.len());
        let text = format!("no cluster yet: {up} of {all} configured nodes answer here");
        let advice = "start a majority of them, each with the same list of nodes";
        findings.problem("leader", text, advice);
        return;
    }
    let voters: Vec<&NodeStatus> = most_voters(said);
    let up: Vec<&NodeStatus> =
        voters.iter().copied().filter(|voter| words.iter().any(|own| own.id == voter.id)).collect();
    let quorum = voters.len() / 2 + 1;
    if up.len() < quorum {
        let down: Vec<&str> = voters
            .iter()
            .filter(|voter| !up.iter().any(|up| up.id == voter.id))
            .map(|voter| voter.id.as_str())
            .collect();
        let (up, all, down) = (up.len(), voters.len(), down.join(", "));
        findings.problem(
            "leader",
            format!("nobody can lead: {up} of {all} voters answer, {quorum} are needed"),
            format!(
                "start {down}; where a majority is lost for good, with its disks: \
                 stegcluster recover"
            ),
        );
        return;
    }
    findings.problem(
        "leader",
        format!("nobody leads, though {} of {} voters answer", up.len(), voters.len()),
        "see why below; an election takes some tens of milliseconds, so ask again first",
    );
    denials(&words, findings);
    newest_log(&words, findings);
}

/// The voters as the node knows them that knows of most.
fn most_voters<'a>(said: &[&'a ClusterStatus]) -> Vec<&'a NodeStatus> {
    let voters = |status: &&'a ClusterStatus| -> Vec<&'a NodeStatus> {
        status.nodes.iter().filter(|node| node.voter).collect()
    };
    said.iter().map(voters).max_by_key(Vec::len).unwrap_or_default()
}

fn denials(words: &[&NodeStatus], findings: &mut Findings) {
    for candidate in words {
        for denial in &candidate.denied {
            let (by, id, term) = (&denial.by, &candidate.id, denial.term);
            let advice = if denial.cause.contains("log is newer") {
                format!("{id} cannot lead before {by} does: see what keeps {by} from being elected")
            } else if denial.cause.contains("heard from a leader") {
                format!("{by} still follows somebody: see whom, with stegcluster status")
            } else if denial.cause.contains("another node") || denial.cause.contains("in term") {
                "votes were split; the next election settles it".to_owned()
            } else {
                format!("start {by}, or open its Raft port for {id}")
            };
            let text = format!("{by} {denial} {id}: {}", denial.cause);
            findings.problem(format!("votes of term {term}"), text, advice);
        }
    }
}

fn newest_log(words: &[&NodeStatus], findings: &mut Findings) {
    let Some(newest) = words.iter().max_by_key(|node| node.last_log) else { return };
    let behind = words.iter().any(|node| node.last_log < newest.last_log);
    if behind {
        let (id, log) = (&newest.id, newest.last_log);
        findings.warn(
            "logs",
            format!(
                "{id} has the newest, which ends with entry {} of term {}",
                log.index, log.term
            ),
            format!("a majority that has less can lead only without {id}; do not wipe {id}"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;
    use crate::api::cluster::{Denial, Role};
    use crate::ident::LogPosition;

    /// What `name` says in a cluster of three where nobody leads.
    fn said(name: &str, index: u64, denied: &[(&str, &str)]) -> Seen {
        let node = |id: &str| {
            let mut node = NodeStatus::unknown(id.parse().unwrap(), "127.0.0.1:1", "127.0.0.1:2");
            (node.voter, node.mode, node.term) = (true, Mode::Normal, 3);
            node.role = Role::Candidate;
            if id == name {
                node.last_log = LogPosition { term: 2, index };
                node.denied = denied
                    .iter()
                    .map(|(by, cause)| Denial {
                        by: by.parse().unwrap(),
                        term: 3,
                        answered: true,
                        cause: (*cause).to_owned(),
                    })
                    .collect();
            }
            node
        };
        let status = ClusterStatus {
            node: name.parse().ok(),
            term: 3,
            nodes: ["n1", "n2", "n3"].map(node).into(),
            ..ClusterStatus::default()
        };
        Seen {
            server: "127.0.0.1:1".parse().unwrap(),
            status: Ok(status),
            report: None,
            rtt_ms: None,
            skew_ms: None,
        }
    }

    fn found(seen: &[Seen]) -> Vec<(Level, String)> {
        let mut findings = Findings::new("cluster");
        look(&seen.iter().collect::<Vec<_>>(), &mut findings);
        findings.list.into_iter().map(|finding| (finding.level, finding.text)).collect()
    }

    #[test]
    fn a_lost_majority_is_told_from_a_lost_election() {
        let lone = found(&[said("n1", 9, &[])]);
        assert_eq!(lone.len(), 1);
        assert_eq!(lone[0].1, "nobody can lead: 1 of 3 voters answer, 2 are needed");

        let newer = "its log is newer (it ends with entry 12 of term 2)";
        let split = found(&[said("n1", 9, &[("n2", newer)]), said("n2", 12, &[])]);
        let texts: Vec<&str> = split.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(texts[0], "nobody leads, though 2 of 3 voters answer");
        assert_eq!(texts[1], format!("n2 denied n1: {newer}"));
        assert_eq!(texts[2], "n2 has the newest, which ends with entry 12 of term 2");
    }

    #[test]
    fn nodes_that_still_form_are_told_how_many_are_missing() {
        let mut lone = said("n1", 0, &[]);
        if let Ok(status) = &mut lone.status {
            status.nodes.iter_mut().for_each(|node| node.mode = Mode::Forming);
        }
        assert_eq!(found(&[lone])[0].1, "no cluster yet: 1 of 3 configured nodes answer here");
    }
}
