//! Watches survivors from just before the fault on: their statuses, and fresh writes that are
//! offered to each of them at a steady rate, whatever became of the earlier ones.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::board::{Board, Old, Seen};
use super::clients::commit;
use super::ground::Timing;
use super::history::History;
use super::leaders::Leaders;
use crate::client::{Client, Server, Stop};
use crate::clock::{self, Instant};
use crate::limits::SUBMIT_MAX;

/// Between two statuses of one survivor: detection and election are seen so much late. More often
/// would take a tenth of a core from what is measured.
const STATUS_EVERY: Duration = Duration::from_millis(4);
const STATUS_WITHIN: Duration = Duration::from_millis(500);
/// Between two writes offered to one survivor.
const WRITE_EVERY: Duration = Duration::from_millis(5);
/// Writes offered to one survivor that may wait for their answers at once. Beyond it none is
/// offered until one is answered: by then the survivor holds plenty to answer when it serves.
const WRITERS: usize = 16;
/// Writes go on for this long before the fault, so that connections are open as a client's are.
const LEAD_IN: Duration = Duration::from_millis(50);
/// Between two writes offered to the old leader while it is cut off, and the patience with each.
const TEMPT_EVERY: Duration = Duration::from_millis(40);
const TEMPT_MAX: Duration = Duration::from_millis(200);
/// Between two looks at Ctrl-C.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Who is watched, and with what.
pub(super) struct Watch<'a> {
    pub client: &'a Client,
    pub history: &'a History,
    pub leaders: &'a Leaders,
    pub survivors: &'a [Server],
    /// The old leader, where it can still be asked to acknowledge what it must not. What it does
    /// acknowledge is accounted for as any other record.
    pub cut_off: Option<&'a Server>,
    pub old: &'a Old,
}

impl Watch<'_> {
    /// Watches until everything was seen, `within` is over or `stop` is tripped. `fault` is
    /// called once, when all watchers run; it says when it happened.
    pub fn run<E>(
        &self,
        within: Duration,
        stop: &Stop,
        fault: impl FnOnce() -> Result<Timing, E>,
    ) -> Result<(Timing, Seen), E> {
        let (board, done) = (Board::new(self.old, self.survivors.len()), Stop::new());
        let next: Vec<Mutex<Instant>> =
            self.survivors.iter().map(|_| Mutex::new(clock::now())).collect();
        std::thread::scope(|scope| {
            let (board, done) = (&board, &done);
            let guard = done.trip_on_drop();
            for (number, (server, next)) in self.survivors.iter().zip(&next).enumerate() {
                scope.spawn(move || self.poll(number, server, board, done));
                for _ in 0..WRITERS {
                    scope.spawn(move || self.offer(server, next, board, done));
                }
            }
            if let Some(server) = self.cut_off {
                scope.spawn(move || self.tempt(server, board, done));
            }
            stop.wait(LEAD_IN);
            board.begin(clock::now());
            let timing = fault()?;
            board.happened(timing);
            let until = timing.at + within;
            while !stop.is_tripped() {
                let left = until.saturating_duration_since(clock::now());
                if left.is_zero() || board.complete().wait(left.min(LOOK_EVERY)) {
                    break;
                }
            }
            drop(guard);
            Ok((timing, board.seen()))
        })
    }

    fn poll(&self, number: usize, server: &Server, board: &Board<'_>, done: &Stop) {
        loop {
            let asked = clock::now();
            if let Ok(status) = self.client.status(server, STATUS_WITHIN) {
                self.leaders.said(&status);
                board.said(number, asked, clock::now(), &status);
            }
            if done.wait(STATUS_EVERY) {
                return;
            }
        }
    }

    /// Offers fresh small writes. Each of a survivor's writers takes the next moment that none
    /// has taken, so that a write which is held does not hold up the next.
    fn offer(&self, server: &Server, next: &Mutex<Instant>, board: &Board<'_>, done: &Stop) {
        loop {
            let due = {
                let mut next = next.lock().unwrap_or_else(PoisonError::into_inner);
                let due = (*next).max(clock::now());
                *next = due + WRITE_EVERY;
                due
            };
            if done.wait(due.saturating_duration_since(clock::now())) {
                return;
            }
            let offered = clock::now();
            // A node that holds a write answers when there is a leader, or refuses after this.
            if self.write(server, SUBMIT_MAX) {
                board.acked(offered, clock::now());
            }
        }
    }

    fn tempt(&self, server: &Server, board: &Board<'_>, done: &Stop) {
        while !done.wait(TEMPT_EVERY) {
            if board.has_happened() {
                self.write(server, TEMPT_MAX);
            }
        }
    }

    /// True where it was acknowledged.
    fn write(&self, server: &Server, within: Duration) -> bool {
        let number = self.client.servers().iter().position(|known| known == server);
        commit(self.client, self.history, number, server, within).is_some()
    }
}
