//! What the checks of a run must see from inside, because no message tells it.

use std::cell::RefCell;

use crate::clock::Instant;
use crate::ident::{RaftId, Term};

/// A voter was asked for its vote: what it held at that moment.
#[derive(Debug, Clone)]
pub struct VoteAsked {
    pub voter: Option<RaftId>,
    pub leader: Option<RaftId>,
    pub term: Term,
    /// Of the vote that was asked for.
    pub for_term: Term,
    /// Its own detector held the leader dead, or the leader itself hands over.
    pub excused: bool,
    pub asked: Instant,
    /// When it last heard from the leader.
    pub heard: Option<Instant>,
}

thread_local! {
    static GRANTED: RefCell<Vec<VoteAsked>> = const { RefCell::new(Vec::new()) };
}

pub(super) fn forget_all() {
    GRANTED.take();
}

impl VoteAsked {
    /// What became of it.
    pub fn answered(self, granted: bool) {
        if granted {
            GRANTED.with_borrow_mut(|all| all.push(self));
        }
    }
}

/// The votes granted since the last call.
pub fn granted() -> Vec<VoteAsked> {
    GRANTED.take()
}
