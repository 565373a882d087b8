//! This node's own ballots on their way to the disk.
//!
//! A candidate asks for votes while its own ballot is still being written: one fsync less on
//! the way to a new leader. What Raft needs is that nobody is elected by a ballot that could
//! be forgotten (dissertation, section 3.8), so the answers of the others are held back until
//! it is on stable storage, and a candidate without answers wins nothing. Should the machine
//! stop before, it forgets a term in which it was never elected, and may vote in it for
//! somebody else; the votes that others gave it there elect nobody.
//!
//! A node that is the only voter needs no answer. Its entries follow the ballot in the same
//! log, so none of them is durable, and thus committed, before the ballot is.

use std::io;
use std::sync::Arc;

use tokio::sync::watch;

use super::types::Vote;
use crate::store::StoreError;

/// The last ballot that this node cast for itself.
#[derive(Debug, Clone, Default)]
struct Ballot {
    term: u64,
    /// `None` while it is being written.
    written: Option<Result<(), StoreError>>,
}

/// Cheap to clone; a clone knows the same ballots.
#[derive(Clone)]
pub struct Ballots {
    me: u64,
    last: Arc<watch::Sender<Ballot>>,
}

impl Ballots {
    /// Those of node `me`.
    pub fn new(me: u64) -> Self {
        Self { me, last: Arc::default() }
    }

    /// True for a vote of this node for itself that has not won.
    pub fn is_mine(&self, vote: &Vote) -> bool {
        !vote.committed && vote.leader_id.voted_for == self.me
    }

    /// This node votes for itself in `term`; the returned function is told how writing it ended.
    pub fn cast(&self, term: u64) -> impl FnOnce(Result<(), StoreError>) + Send + use<> {
        self.last.send_replace(Ballot { term, written: None });
        let last = Arc::clone(&self.last);
        move |result| {
            last.send_if_modified(|ballot| {
                // A failure is for ever, whatever was cast since: see `check`.
                let failed = matches!(ballot.written, Some(Err(_)));
                let outdated = ballot.term != term && result.is_ok();
                if failed || outdated {
                    return false;
                }
                ballot.written = Some(result);
                true
            });
        }
    }

    /// Waits until the ballot of `term` is on stable storage.
    ///
    /// # Errors
    /// It could not be written, or this node has voted for itself in a later term since.
    ///
    /// # Cancel safety
    /// Safe: it only waits.
    pub async fn durable(&self, term: u64) -> io::Result<()> {
        let mut last = self.last.subscribe();
        let settled = last.wait_for(|ballot| ballot.term != term || ballot.written.is_some());
        let ballot = settled.await.map_err(io::Error::other)?.clone();
        if ballot.term != term {
            return Err(io::Error::other(format!("the vote of term {term} is void")));
        }
        ballot.written.unwrap_or(Ok(())).map_err(io::Error::from)
    }

    /// Nothing may be written behind a ballot that could not be: the node must stop.
    ///
    /// # Errors
    /// The last ballot could not be written.
    pub fn check(&self) -> io::Result<()> {
        match &self.last.borrow().written {
            Some(Err(error)) => Err(error.clone().into()),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use futures_util::poll;

    use super::*;

    #[tokio::test]
    async fn a_ballot_counts_once_it_is_written() {
        let ballots = Ballots::new(1);
        let written = ballots.cast(3);
        let mut durable = Box::pin(ballots.durable(3));
        assert!(poll!(durable.as_mut()).is_pending());
        written(Ok(()));
        assert!(matches!(poll!(durable.as_mut()), Poll::Ready(Ok(()))));
    }

    #[tokio::test]
    async fn a_later_ballot_voids_an_earlier_one() {
        let ballots = Ballots::new(1);
        let _written = ballots.cast(3);
        let mut durable = Box::pin(ballots.durable(3));
        let _later = ballots.cast(4);
        assert!(matches!(poll!(durable.as_mut()), Poll::Ready(Err(_))));
        assert!(poll!(Box::pin(ballots.durable(4))).is_pending());
    }

    #[tokio::test]
    async fn a_ballot_that_could_not_be_written_stops_everything_behind_it() {
        let ballots = Ballots::new(1);
        let earlier = ballots.cast(3);
        let later = ballots.cast(4);
        let mut durable = Box::pin(ballots.durable(4));
        assert!(poll!(durable.as_mut()).is_pending());
        earlier(Err(StoreError::Io("no space left".into())));
        assert!(matches!(poll!(durable.as_mut()), Poll::Ready(Err(_))));
        later(Ok(()));
        assert!(ballots.check().is_err(), "a later success does not undo it");
        assert!(ballots.durable(4).await.is_err());
    }
}
