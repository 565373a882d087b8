//! Every node's `/cluster/events`, followed on a thread each, for measuring drills.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use ureq::Agent;

use super::exchange;
use super::{Server, Servers, Stop};
use crate::clock::{self, Instant};
use crate::observe::events::Event;

/// Events kept. Beyond it the oldest go: a drill asks for those since the last fault only.
const KEPT_MAX: usize = 4096;
/// Between two attempts to follow a node that is down. Short, because the events right after a
/// restart matter too.
const RECONNECT: Duration = Duration::from_millis(50);

/// An event and when it arrived here; nodes' own clocks may differ from ours.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Number of the node that sent it, in [`Servers`].
    pub server: usize,
    pub at: Instant,
    pub event: Event,
}

/// Follows every server until dropped.
#[derive(Debug)]
pub struct EventWatch {
    seen: Arc<Mutex<VecDeque<Seen>>>,
    stop: Stop,
    threads: Vec<JoinHandle<()>>,
}

impl EventWatch {
    /// Returns at once; a node that is down is followed as soon as it is up.
    pub fn open(servers: &Servers) -> Self {
        let seen = Arc::new(Mutex::new(VecDeque::new()));
        let stop = Stop::new();
        let follow = |(number, server): (usize, &Server)| {
            let (server, seen, stop) = (server.clone(), seen.clone(), stop.clone());
            let agent = exchange::agent(Duration::from_millis(300), servers);
            std::thread::spawn(move || follow(number, &server, &agent, &seen, &stop))
        };
        let threads = servers.iter().enumerate().map(follow).collect();
        Self { seen, stop, threads }
    }

    /// Events that arrived after `at`, in order of arrival.
    pub fn since(&self, at: Instant) -> Vec<Seen> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter().filter(|seen| seen.at > at).cloned().collect()
    }
}

impl Drop for EventWatch {
    fn drop(&mut self) {
        self.stop.trip();
        for thread in self.threads.drain(..) {
            // A follower that panicked has nothing left to stop.
            let _ = thread.join();
        }
    }
}

fn follow(
    number: usize,
    server: &Server,
    agent: &Agent,
    seen: &Mutex<VecDeque<Seen>>,
    stop: &Stop,
) {
    let breaking = agent.clone();
    // Ends a read that is waiting for the next event.
    stop.when_tripped(move || breaking.shutdown());
    loop {
        let request = agent.get(format!("{}/cluster/events", server.url()));
        let request = request.header("accept", "text/event-stream");
        let request = request.config().timeout_recv_response(Some(Duration::from_secs(2)));
        if let Ok(response) = request.build().call()
            && response.status().is_success()
        {
            let lines = BufReader::new(response.into_body().into_reader()).lines();
            for line in lines.map_while(Result::ok) {
                let at = clock::now();
                if let Some(event) = event_of(&line) {
                    keep(seen, Seen { server: number, at, event });
                }
            }
        }
        if stop.wait(RECONNECT) {
            return;
        }
    }
}

fn keep(seen: &Mutex<VecDeque<Seen>>, new: Seen) {
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    if seen.len() >= KEPT_MAX {
        seen.pop_front();
    }
    seen.push_back(new);
}

/// The event in one line of a server-sent stream; other lines carry none.
fn event_of(line: &str) -> Option<Event> {
    serde_json::from_str(line.strip_prefix("data:")?.trim()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::events::Change;

    #[test]
    fn only_data_lines_carry_events() {
        let line = r#"data: {"time_ms":1,"reporter":"n1","term":2,"kind":"suspected","leader":"n2","cause":"closed","attempt":1}"#;
        let event = event_of(line).unwrap();
        assert!(
            matches!(event.change, Change::Suspected { ref leader, .. } if leader.as_str() == "n2")
        );
        assert!(event_of(": keep-alive").is_none());
        assert!(event_of("data: {}").is_none());
    }
}
