//! Tells of those who were turned away at a port, but not of each: a stranger must not fill the log.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::secured::{Guard, Untrusted};
use crate::clock::{self, Instant};

/// Between two lines about strangers at one port.
const EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<Told>);

#[derive(Debug, Default)]
struct Told {
    last: Option<Instant>,
    /// Turned away since, without a line.
    untold: u64,
}

impl Refusals {
    pub fn tell(&self, guard: &Guard, client: SocketAddr, error: &Untrusted) {
        // A connection that just ends is a port scan or a health check, and no news.
        let (Guard::Peers(_), Untrusted::Said(cause)) = (guard, error) else {
            tracing::debug!(%client, cause = %error, "a connection was turned away");
            return;
        };
        let untold = {
            let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if told.last.is_some_and(|last| last.elapsed() < EVERY) {
                told.untold += 1;
                return;
            }
            told.last = Some(clock::now());
            std::mem::take(&mut told.untold)
        };
        tracing::warn!(
            peer = %client, cause = %cause, others_meanwhile = untold,
            "a connection to the Raft port was turned away"
        );
    }
}
