//! What other nodes ask while a cluster forms or a node joins. The rules of the
//! acceptor are a pure function on [`Promises`]; this file makes them durable.

use std::sync::{Arc, Mutex, PoisonError};

use super::message::{Accept, Hello, Vote};
use super::{Ballot, Charter, FILE, Promises};
use crate::datadir::{DataDir, DataDirError, Identity};
use crate::peer::PeerError;
use crate::peer::routes::{Admit, Refusal, Routes};
use crate::raft::LateConsensus;
use crate::rt::RaftRt;

pub(super) const HELLO: &str = "/formation/hello";
pub(super) const PREPARE: &str = "/formation/prepare";
pub(super) const ACCEPT: &str = "/formation/accept";
pub(super) const DECIDED: &str = "/formation/decided";

/// The cluster could not be formed or joined.
#[derive(Debug, thiserror::Error)]
pub enum FormationError {
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error(transparent)]
    Peer(#[from] PeerError),
    #[error("the leader gave no number: {0}")]
    Refused(String),
}

impl Promises {
    /// Paxos phase 1b: promises not to accept a lower ballot.
    pub(super) fn prepare(&mut self, ballot: &Ballot) -> Vote {
        match &self.promised {
            Some(promised) if promised > ballot => Vote::No { promised: promised.clone() },
            _ => {
                self.promised = Some(ballot.clone());
                Vote::Yes { accepted: self.accepted.clone() }
            }
        }
    }

    /// Paxos phase 2b: accepts unless a higher ballot was promised.
    pub(super) fn accept(&mut self, accept: &Accept) -> Vote {
        match &self.promised {
            Some(promised) if *promised > accept.ballot => Vote::No { promised: promised.clone() },
            _ => {
                self.promised = Some(accept.ballot.clone());
                self.accepted = Some((accept.ballot.clone(), accept.charter.clone()));
                Vote::Yes { accepted: self.accepted.clone() }
            }
        }
    }
}

/// What the formation's handlers and its proposer share. Cheap to clone.
#[derive(Clone)]
pub struct Mounts {
    pub(super) rt: RaftRt,
    pub(super) datadir: Arc<DataDir>,
    pub(super) http_addr: String,
    pub(super) raft_addr: String,
    promises: Arc<Mutex<Promises>>,
}

impl Mounts {
    /// # Errors
    /// The data folder cannot be read.
    pub fn new(
        rt: RaftRt,
        datadir: Arc<DataDir>,
        http_addr: String,
        raft_addr: String,
    ) -> Result<Self, FormationError> {
        let promises = datadir.load(FILE)?.unwrap_or_default();
        Ok(Self { rt, datadir, http_addr, raft_addr, promises: Arc::new(Mutex::new(promises)) })
    }

    pub(super) fn identity(&self) -> Identity {
        self.datadir.identity()
    }

    pub(super) fn charter(&self) -> Option<Charter> {
        self.lock().charter.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Promises> {
        self.promises.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the promises, and answers only when the change is on stable storage.
    pub(super) async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Promises) -> T + Send + 'static,
    ) -> Result<T, DataDirError> {
        let mounts = self.clone();
        self.rt
            .blocking(move || {
                // The lock is held across the write on purpose: answers must leave in the
                // order in which they are durable. Only blocking threads wait for it long.
                let mut promises = mounts.lock();
                let mut changed = promises.clone();
                let answer = change(&mut changed);
                if changed != *promises {
                    mounts.datadir.save(FILE, &changed)?;
                    *promises = changed;
                }
                Ok(answer)
            })
            .await
    }

    pub(super) fn hello(&self) -> Hello {
        let identity = self.identity();
        Hello {
            name: identity.node,
            instance: identity.instance,
            http_addr: self.http_addr.clone(),
            raft_addr: self.raft_addr.clone(),
            cluster: identity.cluster_uuid,
            charter: self.charter(),
        }
    }
}

/// Mounts the handlers of formation and joining.
pub fn mount(routes: &mut Routes, mounts: &Mounts, late: &LateConsensus) {
    let m = mounts.clone();
    routes.json(HELLO, Admit::Newcomers, move |_, (): ()| {
        let hello = m.hello();
        async move { Ok(hello) }
    });
    let m = mounts.clone();
    routes.json(PREPARE, Admit::Newcomers, move |_, ballot: Ballot| {
        let m = m.clone();
        async move { vote(&m, move |promises| promises.prepare(&ballot)).await }
    });
    let m = mounts.clone();
    routes.json(ACCEPT, Admit::Newcomers, move |_, accept: Accept| {
        let m = m.clone();
        async move { vote(&m, move |promises| promises.accept(&accept)).await }
    });
    let m = mounts.clone();
    routes.json(DECIDED, Admit::Newcomers, move |_, charter: Charter| {
        let m = m.clone();
        async move {
            if m.identity().cluster_uuid.is_none() {
                let learn = move |promises: &mut Promises| {
                    promises.charter.get_or_insert(charter);
                };
                m.change(learn).await.map_err(broken)?;
            }
            Ok(())
        }
    });
    super::join::mount(routes, late);
}

async fn vote(
    mounts: &Mounts,
    change: impl FnOnce(&mut Promises) -> Vote + Send + 'static,
) -> Result<Vote, Refusal> {
    let charter = mounts.charter();
    if charter.is_some() || mounts.identity().cluster_uuid.is_some() {
        return Ok(Vote::Decided { charter });
    }
    mounts.change(change).await.map_err(broken)
}

fn broken(error: DataDirError) -> Refusal {
    tracing::error!(cause = %error, "a promise could not be kept");
    Refusal::unavailable(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formation::Founder;
    use crate::ident::{ClusterUuid, InstanceUuid, RaftId};
    use proptest::prelude::*;
    use uuid::Uuid;

    fn ballot(round: u64, proposer: usize) -> Ballot {
        Ballot { round, proposer: format!("n{proposer}").parse().unwrap() }
    }

    fn charter(number: u128) -> Charter {
        let founder = Founder {
            raft_id: RaftId(1),
            name: "n1".parse().unwrap(),
            instance: InstanceUuid(Uuid::from_u128(number)),
            http_addr: String::new(),
            raft_addr: String::new(),
        };
        Charter { cluster: ClusterUuid(Uuid::from_u128(number)), founders: vec![founder] }
    }

    /// One proposer's whole attempt against the acceptors that it reaches in each phase.
    fn attempt(
        acceptors: &mut [Promises],
        ballot: &Ballot,
        own: Charter,
        phase1: &[bool],
        phase2: &[bool],
    ) -> Option<Charter> {
        let quorum = acceptors.len() / 2 + 1;
        let mut seen: Vec<Option<(Ballot, Charter)>> = Vec::new();
        for (acceptor, reached) in acceptors.iter_mut().zip(phase1) {
            if *reached && let Vote::Yes { accepted } = acceptor.prepare(ballot) {
                seen.push(accepted);
            }
        }
        if seen.len() < quorum {
            return None;
        }
        let charter = super::super::propose::choose(seen.into_iter().flatten(), || own);
        let accept = Accept { ballot: ballot.clone(), charter: charter.clone() };
        let mut accepted = 0;
        for (acceptor, reached) in acceptors.iter_mut().zip(phase2) {
            accepted +=
                usize::from(*reached && matches!(acceptor.accept(&accept), Vote::Yes { .. }));
        }
        (accepted >= quorum).then_some(charter)
    }

    proptest! {
        /// Whoever proposes, whatever is lost: no two decisions differ.
        #[test]
        fn at_most_one_cluster_is_ever_decided(
            attempts in proptest::collection::vec(
                (0..5_u64, 0..5_usize,
                 proptest::collection::vec(any::<bool>(), 5),
                 proptest::collection::vec(any::<bool>(), 5)),
                1..30,
            ),
            nodes in prop_oneof![Just(1_usize), Just(3), Just(5)],
        ) {
            let mut acceptors = vec![Promises::default(); nodes];
            let mut decided: Option<Charter> = None;
            for (number, (round, proposer, phase1, phase2)) in attempts.into_iter().enumerate() {
                // Rounds differ between a proposer's attempts, as they do in `propose`.
                let ballot = ballot(round + 10 * number as u64 % 25, proposer);
                let own = charter(number as u128 + 1);
                let result =
                    attempt(&mut acceptors, &ballot, own, &phase1[..nodes], &phase2[..nodes]);
                if let Some(result) = result {
                    if let Some(before) = &decided {
                        prop_assert_eq!(before, &result);
                    }
                    decided = Some(result);
                }
            }
        }
    }
}
