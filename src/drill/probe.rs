//! Watches survivors from the fault on: their statuses, and the first write that one of them
//! acknowledges.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use super::history::{Acked, History};
use crate::api::cluster::ClusterStatus;
use crate::client::{Client, Server, Stop, shows_new_leader};
use crate::clock::{self, Instant};
use crate::ident::{RecordId, Term};

/// Between two statuses of one survivor.
const STATUS_EVERY: Duration = Duration::from_millis(2);
const STATUS_WITHIN: Duration = Duration::from_millis(500);
/// Between two writes offered to one survivor.
const WRITE_EVERY: Duration = Duration::from_millis(5);
/// Threads that offer writes to one survivor, in turn. Several, because a survivor may hold a
/// write until there is a leader, and another may be answered sooner; few, because each write
/// held is one more to commit.
const WRITERS: u32 = 4;

/// Who was killed.
#[derive(Debug, Clone)]
pub(super) struct Fallen {
    pub leader: String,
    pub term: Term,
    pub at: Instant,
}

/// What survivors showed. Each is the first moment seen.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    pub detected: Option<Instant>,
    pub elected: Option<Instant>,
    pub new_leader: Option<String>,
    pub term: u64,
    pub first_commit: Option<Instant>,
}

impl Seen {
    fn is_complete(&self) -> bool {
        self.elected.is_some() && self.first_commit.is_some()
    }
}

enum Sign {
    Status(Instant, Box<ClusterStatus>),
    Acked(Instant),
}

/// Watches until everything was seen, `within` is over or `stop` is tripped. `watching` is
/// called once, when all watchers run: that is where the fault happens. It says who fell.
pub(super) fn watch<E>(
    client: &Client,
    survivors: &[Server],
    history: &History,
    within: Duration,
    stop: &Stop,
    watching: impl FnOnce() -> Result<Fallen, E>,
) -> Result<(Fallen, Seen), E> {
    // A bound, so that a slow reader slows the watchers and not the machine.
    let (sender, receiver) = sync_channel(64);
    let done = Stop::new();
    std::thread::scope(|scope| {
        let guard = done.trip_on_drop();
        let fallen = watching()?;
        for server in survivors {
            let (done, signs) = (&done, sender.clone());
            scope.spawn(move || poll(client, server, done, &signs));
            for number in 0..WRITERS {
                let sender = sender.clone();
                scope.spawn(move || offer(client, server, number, done, history, &sender));
            }
        }
        drop(sender);
        let (until, mut seen) = (fallen.at + within, Seen::default());
        while !seen.is_complete() && !stop.is_tripped() {
            let left = until.saturating_duration_since(clock::now());
            if left.is_zero() {
                break;
            }
            match receiver.recv_timeout(left.min(Duration::from_millis(50))) {
                Ok(Sign::Acked(at)) => {
                    seen.first_commit = Some(seen.first_commit.map_or(at, |first| first.min(at)));
                }
                Ok(Sign::Status(at, status)) => take_in(&mut seen, &fallen, at, &status),
                // Nothing for a moment; the loop looks at the time and at `stop`.
                Err(_) => {}
            }
        }
        drop(guard);
        // The writers' last answers must not wait for a reader that is gone.
        drop(receiver);
        Ok((fallen, seen))
    })
}

fn take_in(seen: &mut Seen, fallen: &Fallen, at: Instant, status: &ClusterStatus) {
    seen.term = seen.term.max(status.term);
    let elected = shows_new_leader(status, &fallen.leader, fallen.term);
    if seen.detected.is_none() && (elected || holds_dead(status, &fallen.leader)) {
        seen.detected = Some(at);
    }
    if elected && seen.elected.is_none() {
        seen.elected = Some(at);
        seen.new_leader = status.leader_id.as_ref().map(ToString::to_string);
    }
}

/// True where the node that answers no longer takes the old leader for alive: it follows nobody,
/// or its detector's words say so.
fn holds_dead(status: &ClusterStatus, old_leader: &str) -> bool {
    if status.leader_id.as_ref().is_none_or(|leader| leader.as_str() != old_leader) {
        return true;
    }
    let own = status.nodes.iter().find(|node| Some(&node.id) == status.node.as_ref());
    own.is_some_and(|own| {
        let words = own.detector.to_ascii_lowercase();
        ["suspected", "crashed", "silent"].iter().any(|word| words.contains(word))
    })
}

fn poll(client: &Client, server: &Server, done: &Stop, sender: &SyncSender<Sign>) {
    loop {
        if let Ok(status) = client.status(server, STATUS_WITHIN) {
            let _ = sender.try_send(Sign::Status(clock::now(), Box::new(status)));
        }
        if done.wait(STATUS_EVERY) {
            return;
        }
    }
}

/// Offers fresh small writes to one survivor until one is acknowledged by any.
fn offer(
    client: &Client,
    server: &Server,
    number: u32,
    done: &Stop,
    history: &History,
    sender: &SyncSender<Sign>,
) {
    if done.wait(WRITE_EVERY * number) {
        return;
    }
    loop {
        let id = RecordId::from(clock::fresh_time_ordered_uuid());
        // A node that holds a write answers when there is a leader, or refuses after this.
        if let Ok(record) = client.commit_once(server, &id, crate::limits::SUBMIT_MAX) {
            let at = clock::now();
            history.acknowledge(Acked { id, digest: record.stego_sha256 });
            // Fails only where the watch is over and nobody asks any more.
            let _ = sender.send(Sign::Acked(at));
        }
        if done.wait(WRITE_EVERY * WRITERS) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(leader: Option<&str>, term: u64, detector: &str) -> ClusterStatus {
        let mut own = crate::api::cluster::NodeStatus::unknown("n2".parse().unwrap(), "", "");
        detector.clone_into(&mut own.detector);
        ClusterStatus {
            node: "n2".parse().ok(),
            leader_id: leader.and_then(|leader| leader.parse().ok()),
            term,
            nodes: vec![own],
            ..ClusterStatus::default()
        }
    }

    #[test]
    fn detection_comes_before_election_and_a_live_leader_is_neither() {
        let fallen = Fallen { leader: "n1".into(), term: Term(3), at: clock::now() };
        let mut seen = Seen::default();
        let at = |ms| fallen.at + Duration::from_millis(ms);
        take_in(&mut seen, &fallen, at(1), &status(Some("n1"), 3, "leader alive"));
        assert_eq!((seen.detected, seen.elected), (None, None));
        take_in(&mut seen, &fallen, at(7), &status(Some("n1"), 3, "leader crashed"));
        take_in(&mut seen, &fallen, at(9), &status(None, 4, ""));
        assert_eq!((seen.detected, seen.elected), (Some(at(7)), None));
        take_in(&mut seen, &fallen, at(20), &status(Some("n2"), 4, "leader alive"));
        take_in(&mut seen, &fallen, at(30), &status(Some("n2"), 4, "leader alive"));
        assert_eq!((seen.elected, seen.new_leader.as_deref()), (Some(at(20)), Some("n2")));
        assert!(!seen.is_complete());
    }
}
