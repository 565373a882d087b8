//! This node's side of forming: look for a cluster, else for a majority, then propose.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::acceptor::{ACCEPT, DECIDED, FormationError, HELLO, Mounts, PREPARE};
use super::message::{Accept, Hello, Vote};
use super::{Ballot, Charter, Founder, Membership, join};
use crate::clock;
use crate::config::PeerConfig;
use crate::ident::Term;
use crate::ident::{ClusterUuid, NodeName, RaftId};
use crate::observe::events::{Change, Events};
use crate::peer::PeerError;
use crate::peer::link::{Lane, Links};

/// Between two looks around.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// How long a majority waits for the rest, so that nodes started together found together.
const GATHER: Duration = Duration::from_millis(400);
const ANSWER_MAX: Duration = Duration::from_millis(500);
/// Head start of the proposer with the lowest name, for each rank behind it.
const TURN: Duration = Duration::from_millis(250);
/// How often the log says that the node still waits.
const REMIND: Duration = Duration::from_secs(5);

/// See [`Formation::run`].
pub struct Formation {
    pub mounts: Mounts,
    pub links: Links,
    /// The other configured nodes.
    pub peers: Vec<PeerConfig>,
    pub events: Events,
}

/// Where looking around leads.
enum Sight {
    /// A cluster exists; these are its nodes' Raft addresses.
    Cluster(Vec<String>, Option<Charter>),
    /// Nodes without a cluster, this one included.
    Fresh(Vec<Hello>),
}

impl Formation {
    /// Waits until this node belongs to a cluster, and says as what. What it learns is
    /// on stable storage before it returns.
    ///
    /// # Errors
    /// The data folder failed. Everything else is tried again.
    pub async fn run(&self) -> Result<Membership, FormationError> {
        if let Some(membership) = self.known() {
            return Ok(membership);
        }
        if self.peers.is_empty() {
            return self.found_alone().await;
        }
        tracing::info!(
            peers = self.peers.len(),
            "looking for a cluster, or a majority to form one"
        );
        let mut majority_since = None;
        let mut reminded = clock::now();
        let mut round = 0;
        loop {
            if let Some(charter) = self.mounts.charter()
                && let Some(membership) = self.adopt(charter).await?
            {
                return Ok(membership);
            }
            match self.look().await {
                Sight::Cluster(_, Some(charter)) if self.founds(&charter) => {
                    if let Some(membership) = self.adopt(charter).await? {
                        return Ok(membership);
                    }
                }
                Sight::Cluster(addrs, _) => {
                    if let Some(membership) = self.join(&addrs).await? {
                        return Ok(membership);
                    }
                }
                Sight::Fresh(seen) if seen.len() >= self.quorum() => {
                    let since = *majority_since.get_or_insert_with(clock::now);
                    let all = seen.len() == self.peers.len() + 1;
                    let turn = TURN * self.rank(&seen);
                    if since.elapsed() >= if all { turn } else { GATHER + turn } {
                        round += 1;
                        self.propose(round, seen).await?;
                        majority_since = None;
                        continue;
                    }
                }
                Sight::Fresh(seen) => {
                    majority_since = None;
                    if reminded.elapsed() >= REMIND {
                        reminded = clock::now();
                        tracing::warn!(
                            seen = seen.len(),
                            needed = self.quorum(),
                            "still waiting for a majority of the configured nodes"
                        );
                    }
                }
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    fn quorum(&self) -> usize {
        self.peers.len().div_ceil(2) + 1
    }

    fn known(&self) -> Option<Membership> {
        let identity = self.mounts.identity();
        let (cluster, raft_id) = (identity.cluster_uuid?, identity.raft_id?);
        let founders = self.mounts.charter().filter(|charter| self.founds(charter));
        Some(Membership {
            cluster,
            raft_id,
            founders: founders.map_or_else(Arc::default, |charter| charter.founders.into()),
        })
    }

    fn founds(&self, charter: &Charter) -> bool {
        charter.founder(self.mounts.identity().instance).is_some()
    }

    /// Position of this node's name among the names seen.
    fn rank(&self, seen: &[Hello]) -> u32 {
        let me = self.mounts.identity().node;
        seen.iter().filter(|hello| hello.name < me).count() as u32
    }

    async fn found_alone(&self) -> Result<Membership, FormationError> {
        let charter = self.charter_of(vec![self.mounts.hello()]);
        let decided = charter.clone();
        self.mounts.change(move |promises| promises.charter = Some(decided)).await?;
        tracing::info!("no peers configured: a cluster of one");
        let founders = charter.founders.clone().into();
        self.become_member(charter.cluster, RaftId(1), founders).await
    }

    fn charter_of(&self, mut seen: Vec<Hello>) -> Charter {
        seen.sort_by(|a, b| a.name.cmp(&b.name));
        let founders = seen.into_iter().zip(1..).map(|(hello, number)| Founder {
            raft_id: RaftId(number),
            name: hello.name,
            instance: hello.instance,
            http_addr: hello.http_addr,
            raft_addr: hello.raft_addr,
        });
        Charter { cluster: ClusterUuid(clock::fresh_uuid()), founders: founders.collect() }
    }

    /// Asks every configured node who it is.
    async fn look(&self) -> Sight {
        let mut fresh = vec![self.mounts.hello()];
        let mut cluster = Vec::new();
        let mut known_charter = None;
        for (_, hello) in self.ask::<_, Hello>(HELLO, &()).await {
            if hello.name == fresh[0].name {
                tracing::warn!(
                    peer = %hello.name, "another node has this node's name; give each its own --id"
                );
            } else if hello.cluster.is_some() {
                cluster.push(hello.raft_addr);
                known_charter = hello.charter.or(known_charter);
            } else {
                fresh.push(hello);
            }
        }
        if cluster.is_empty() {
            Sight::Fresh(fresh)
        } else {
            Sight::Cluster(cluster, known_charter)
        }
    }

    /// Sends `message` to all peers at once and gathers the answers that come in time.
    async fn ask<Q, A>(&self, path: &'static str, message: &Q) -> BTreeMap<NodeName, A>
    where
        Q: Serialize,
        A: DeserializeOwned,
    {
        let asking: FuturesUnordered<_> = self
            .peers
            .iter()
            .map(|peer| async move {
                let link = self.links.to(&peer.raft_addr, Lane::Service);
                let answer = link.call::<_, A>(path, message, ANSWER_MAX).await;
                if let Err(error @ (PeerError::Rejected { .. } | PeerError::Untrusted { .. })) =
                    &answer
                {
                    tracing::warn!(peer = %peer.name, cause = %error, "the peer turned us away");
                }
                answer.ok().map(|answer| (peer.name.clone(), answer))
            })
            .collect();
        asking.filter_map(|answer| async { answer }).collect().await
    }

    /// One attempt to have a decision. Its outcome, if any, is in the promises.
    async fn propose(&self, round: u64, seen: Vec<Hello>) -> Result<(), FormationError> {
        let proposer = self.mounts.identity().node;
        let highest = self.mounts.change(|promises| promises.promised.clone()).await?;
        let round = highest.map_or(round, |ballot| round.max(ballot.round + 1));
        let ballot = Ballot { round, proposer };

        let mine = ballot.clone();
        let own = self.mounts.change(move |promises| promises.prepare(&mine)).await?;
        let mut votes: Vec<Vote> = self.ask(PREPARE, &ballot).await.into_values().collect();
        votes.push(own);
        if self.learn(&votes).await? {
            return Ok(());
        }
        let yes: Vec<_> = votes
            .into_iter()
            .filter_map(
                |vote| if let Vote::Yes { accepted } = vote { Some(accepted) } else { None },
            )
            .collect();
        if yes.len() < self.quorum() {
            return Ok(());
        }
        let charter = choose(yes.into_iter().flatten(), || self.charter_of(seen));

        let accept = Accept { ballot, charter: charter.clone() };
        let mine = accept.clone();
        let own = self.mounts.change(move |promises| promises.accept(&mine)).await?;
        let mut votes: Vec<Vote> = self.ask(ACCEPT, &accept).await.into_values().collect();
        votes.push(own);
        if self.learn(&votes).await? {
            return Ok(());
        }
        let accepted = votes.iter().filter(|vote| matches!(vote, Vote::Yes { .. })).count();
        if accepted >= self.quorum() {
            let decided = charter.clone();
            self.mounts.change(move |promises| promises.charter = Some(decided)).await?;
            // Who misses this learns it from the next hello.
            let _: BTreeMap<NodeName, ()> = self.ask(DECIDED, &charter).await;
        }
        Ok(())
    }

    /// True if somebody knew of a decision already.
    async fn learn(&self, votes: &[Vote]) -> Result<bool, FormationError> {
        let mut decided = false;
        for vote in votes {
            if let Vote::Decided { charter } = vote {
                decided = true;
                if let Some(charter) = charter.clone() {
                    let learn = move |promises: &mut super::Promises| {
                        promises.charter.get_or_insert(charter);
                    };
                    self.mounts.change(learn).await?;
                }
            }
        }
        Ok(decided)
    }

    /// Becomes the founder that the charter names, or joins the founders.
    async fn adopt(&self, charter: Charter) -> Result<Option<Membership>, FormationError> {
        let identity = self.mounts.identity();
        let Some(founder) = charter.founder(identity.instance) else {
            let addrs: Vec<_> = charter.founders.iter().map(|f| f.raft_addr.clone()).collect();
            return self.join(&addrs).await;
        };
        let raft_id = founder.raft_id;
        let members = charter.founders.iter().map(|founder| founder.name.clone()).collect();
        let decided = charter.clone();
        self.mounts.change(move |promises| promises.charter = Some(decided)).await?;
        let founders: Arc<[Founder]> = charter.founders.into();
        tracing::info!(
            cluster = %charter.cluster, founders = founders.len(),
            "a majority agreed: the cluster is formed"
        );
        self.events.emit(Term(0), Change::Formed { members });
        self.become_member(charter.cluster, raft_id, founders).await.map(Some)
    }

    async fn join(&self, addrs: &[String]) -> Result<Option<Membership>, FormationError> {
        let Hello { name, instance, http_addr, raft_addr, .. } = self.mounts.hello();
        let newcomer = join::Newcomer { name, instance, http_addr, raft_addr };
        match join::ask_for_number(&self.links, &newcomer, addrs).await {
            Ok((cluster, raft_id)) => {
                tracing::info!(%cluster, raft_id = raft_id.0, "joining the cluster");
                self.become_member(cluster, raft_id, Arc::default()).await.map(Some)
            }
            Err(error) => {
                tracing::debug!(cause = %error, "could not join yet");
                Ok(None)
            }
        }
    }

    async fn become_member(
        &self,
        cluster: ClusterUuid,
        raft_id: RaftId,
        founders: Arc<[Founder]>,
    ) -> Result<Membership, FormationError> {
        let mut identity = self.mounts.identity();
        identity.cluster_uuid = Some(cluster);
        identity.raft_id = Some(raft_id);
        let datadir = Arc::clone(&self.mounts.datadir);
        self.mounts.rt.blocking(move || datadir.save_identity(&identity)).await?;
        Ok(Membership { cluster, raft_id, founders })
    }
}

/// Paxos phase 2a: the value accepted under the highest ballot, else one's own.
pub(super) fn choose(
    accepted: impl Iterator<Item = (Ballot, Charter)>,
    own: impl FnOnce() -> Charter,
) -> Charter {
    accepted.max_by(|(a, _), (b, _)| a.cmp(b)).map_or_else(own, |(_, charter)| charter)
}
