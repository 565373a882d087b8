//! openraft's messages over our peer links. Nothing here dials before it sends.

use std::future::Future;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use openraft::base::{BoxFuture, BoxStream};
use openraft::entry::RaftEntry;
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{Backoff, RPCOption};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{AnyError, OptionalSend, RaftNetworkFactory, RaftNetworkV2};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::ballots::Ballots;
use super::denials::Denials;
use super::log_store::LogView;
use super::pipeline;
use super::state_machine::SnapshotData;
use super::types::{LogId, MemberNode, Snapshot, SnapshotHead, TypeConfig, Vote};
use crate::ident::{NodeName, RaftId};
use crate::observe::traffic::Kind;
use crate::peer::PeerError;
use crate::peer::link::{Lane, Link, Links, streaming_body};

pub const APPEND: &str = "/raft/append";
/// An exchange of what [`APPEND`] is one of. Nodes before it answer 404.
pub const APPEND_ALL: &str = "/raft/append-all";
pub const VOTE: &str = "/raft/vote";
pub const PRE_VOTE: &str = "/raft/pre-vote";
pub const SNAPSHOT: &str = "/raft/snapshot";
/// Answered once a node can vote.
pub const READY: &str = "/raft/ready";
pub const TRANSFER: &str = "/raft/transfer";

/// Between attempts to reach a peer that cannot be reached. openraft's own 200 ms to
/// 1 s would keep a returning node waiting for nothing.
const BACKOFF: Duration = Duration::from_millis(20);

/// How long the news that something was committed waits for entries that it can go along with.
/// Followers need it for nothing but their own ledgers.
const COMMIT_ALONE_AFTER: Duration = Duration::from_millis(2);

/// How long one snapshot may take to be sent and taken.
const SNAPSHOT_MAX: Duration = Duration::from_secs(120);

/// The answer to [`APPEND`], and how far the follower's log reaches beyond what was asked; the
/// latter is not said in an exchange, where more is on its way.
#[derive(Serialize, Deserialize)]
pub struct Appended {
    pub response: AppendEntriesResponse<TypeConfig>,
    /// The last entry that the follower has on stable storage.
    pub durable_last: Option<LogId>,
}

impl Appended {
    /// openraft looks for the last entry that it has in common with a follower by halving, eight
    /// entries a probe, and a new leader knows nothing of its followers: with a thousand entries
    /// that is seven round trips before the first commit. But two logs that hold the same entry
    /// are the same up to it (log matching, dissertation, section 3.5). So where the leader holds
    /// the last entry that a follower has on stable storage, one probe tells all.
    ///
    /// openraft asserts in debug builds that no answer reaches beyond its probe (Cargo.toml turns
    /// that off); the rule that it keeps, that a follower has all entries up to the answer as the
    /// leader has them, holds.
    fn told(self, last_sent: Option<LogId>, log: &LogView) -> AppendEntriesResponse<TypeConfig> {
        match (&self.response, self.durable_last) {
            (AppendEntriesResponse::Success, Some(durable))
                if last_sent.is_some_and(|sent| sent < durable) && log.holds(durable) =>
            {
                AppendEntriesResponse::PartialSuccess(Some(durable))
            }
            _ => self.response,
        }
    }
}

/// Makes the ways to peers.
pub struct Network {
    links: Links,
    ballots: Ballots,
    log: LogView,
    denials: Denials,
}

impl Network {
    pub fn new(links: Links, ballots: Ballots, log: LogView, denials: Denials) -> Self {
        Self { links, ballots, log, denials }
    }

    fn connection(&self, target: u64, node: &MemberNode, entries: Lane) -> Connection {
        let to = |lane| self.links.to_member(RaftId(target), &node.raft_addr, lane);
        Connection {
            name: node.name.clone(),
            entries: to(entries),
            vote: to(Lane::Vote),
            snapshot: to(Lane::Snapshot),
            ballots: self.ballots.clone(),
            log: self.log.clone(),
            denials: self.denials.clone(),
        }
    }
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Connection;

    async fn new_client(&mut self, target: u64, node: &MemberNode) -> Connection {
        self.connection(target, node, Lane::Entries)
    }

    async fn new_heartbeat_client(&mut self, target: u64, node: &MemberNode) -> Connection {
        self.connection(target, node, Lane::Heartbeat)
    }
}

/// The ways to one peer.
pub struct Connection {
    name: NodeName,
    pub(super) entries: Link,
    vote: Link,
    snapshot: Link,
    ballots: Ballots,
    log: LogView,
    denials: Denials,
}

type RpcError = RPCError<TypeConfig>;

/// Everything that went wrong on the way is worth a retry after the back-off.
fn unreachable(error: &PeerError) -> Unreachable<TypeConfig> {
    Unreachable::new(&AnyError::new(error))
}

pub(super) fn rpc_error(error: PeerError) -> RPCError<TypeConfig> {
    match error {
        // The message may have been cut short by a stale connection: try again at once.
        PeerError::Unreachable { .. } => RPCError::Network(NetworkError::new(&error)),
        other => RPCError::Unreachable(unreachable(&other)),
    }
}

impl RaftNetworkV2<TypeConfig> for Connection {
    type SnapshotData = SnapshotData;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        let answer = self.entries.call::<_, Appended>(APPEND, &rpc, option.soft_ttl()).await;
        // A message without entries brings the commit index only.
        let last_sent = rpc.entries.last().map(RaftEntry::log_id);
        answer.map(|appended| appended.told(last_sent, &self.log)).map_err(rpc_error)
    }

    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        option: RPCOption,
    ) -> BoxFuture<
        's,
        Result<BoxStream<'s, Result<StreamAppendResult<TypeConfig>, RpcError>>, RpcError>,
    >
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
    {
        let sending = pipeline::send(self, Box::pin(joined(input)), option);
        Box::pin(async move { Ok(sending) })
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let term = rpc.vote.leader_id.term;
        let asking = self.vote.call(VOTE, &rpc, option.soft_ttl());
        // No answer counts before this node's own ballot is on stable storage: see `ballots`.
        let (answer, durable): (Result<VoteResponse<TypeConfig>, _>, _) =
            tokio::join!(asking, self.ballots.durable(term));
        durable.map_err(|error| RPCError::Unreachable(Unreachable::new(&error)))?;
        self.denials.note(&self.name, &rpc, &answer);
        match &answer {
            Ok(answer) if answer.vote_granted => {
                self.vote.granted(Kind::Vote);
                tracing::info!(peer = %self.name, term, "received a vote");
            }
            Ok(_) => tracing::info!(peer = %self.name, term, "vote denied"),
            Err(error) => tracing::info!(peer = %self.name, term, cause = %error, "no vote"),
        }
        answer.map_err(rpc_error)
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let answer: Result<VoteResponse<TypeConfig>, _> =
            self.vote.call(PRE_VOTE, &rpc, option.soft_ttl()).await;
        self.denials.note(&self.name, &rpc, &answer);
        if answer.as_ref().is_ok_and(|answer| answer.vote_granted) {
            self.vote.granted(Kind::Prevote);
        }
        answer.map_err(rpc_error)
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot<SnapshotData>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let head = SnapshotHead { vote, meta: snapshot.meta };
        let SnapshotData::Outgoing(ledger) = snapshot.snapshot else {
            let error = AnyError::error("a received snapshot is never sent on");
            return Err(StreamingError::Unreachable(Unreachable::new(&error)));
        };
        let chunks = with_head(&self.snapshot, &head, ledger)?;
        let sending = self.snapshot.call_streaming(SNAPSHOT, streaming_body(chunks), SNAPSHOT_MAX);
        tokio::select! {
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = sending => sent.map_err(|error| StreamingError::Unreachable(unreachable(&error))),
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.vote.call(TRANSFER, &request, option.soft_ttl()).await.map_err(rpc_error)
    }

    fn backoff(&self) -> Option<Backoff> {
        Some(Backoff::new(std::iter::repeat(BACKOFF)))
    }
}

/// `requests` without those that would bring nothing but a commit index, where one with a newer
/// index comes soon. openraft takes the answer to a request as the answer to those before it.
fn joined(
    requests: impl Stream<Item = AppendEntriesRequest<TypeConfig>> + Unpin,
) -> impl Stream<Item = AppendEntriesRequest<TypeConfig>> {
    futures_util::stream::unfold(requests.fuse(), |mut requests| async move {
        let mut request = requests.next().await?;
        while request.entries.is_empty() {
            match tokio::time::timeout(COMMIT_ALONE_AFTER, requests.next()).await {
                Ok(Some(next)) => request = next,
                Ok(None) | Err(_) => break,
            }
        }
        Some((request, requests))
    })
}

type Chunks = mpsc::Receiver<Result<Bytes, io::Error>>;

/// Puts the head's line before the ledger's chunks.
fn with_head(
    link: &Link,
    head: &SnapshotHead,
    mut ledger: Chunks,
) -> Result<Chunks, StreamingError<TypeConfig>> {
    let mut line = serde_json::to_vec(head)
        .map_err(|error| StreamingError::Unreachable(Unreachable::new(&AnyError::new(&error))))?;
    line.push(b'\n');
    let (sender, chunks) = mpsc::channel(2);
    link.rt().spawn("snapshot sender", async move {
        let mut next = Some(Ok(Bytes::from(line)));
        while let Some(chunk) = next {
            // The connection is gone: dropping `ledger` ends its reader.
            if sender.send(chunk).await.is_err() {
                return;
            }
            next = ledger.recv().await;
        }
    });
    Ok(chunks)
}

#[cfg(test)]
mod tests {
    use openraft::storage::RaftLogStorageExt as _;
    use openraft::vote::RaftLeaderId as _;

    use super::*;
    use crate::raft::log_store::LogStore;
    use crate::raft::log_writer::LogWriter;
    use crate::raft::types::Entry;
    use crate::rt::RaftRt;
    use crate::store::MemoryStore;

    fn id(term: u64, index: u64) -> LogId {
        let leader = openraft::impls::leader_id_std::LeaderId::new(term, 1);
        LogId::new(leader.to_committed(), index)
    }

    fn told(log: &LogView, sent: u64, durable: LogId) -> AppendEntriesResponse<TypeConfig> {
        let response = AppendEntriesResponse::Success;
        Appended { response, durable_last: Some(durable) }.told(Some(id(1, sent)), log)
    }

    fn request(index: u64, entries: u64, committed: u64) -> AppendEntriesRequest<TypeConfig> {
        AppendEntriesRequest {
            vote: Vote::new_committed(1, 1),
            prev_log_id: Some(id(1, index)),
            entries: (1..=entries).map(|next| Entry::new_blank(id(1, index + next))).collect(),
            leader_commit: Some(id(1, committed)),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_commit_goes_along_with_entries_where_any_come_in_time() {
        let (sender, requests) = mpsc::channel(8);
        let requests = tokio_stream::wrappers::ReceiverStream::new(requests);
        let mut joined = std::pin::pin!(joined(requests));
        for news in [request(5, 0, 4), request(5, 0, 5), request(5, 2, 5), request(7, 0, 6)] {
            sender.send(news).await.unwrap();
        }
        let mut next = async || joined.next().await.map(|r| (r.entries.len(), r.leader_commit));
        assert_eq!(next().await, Some((2, Some(id(1, 5)))));
        let started = tokio::time::Instant::now();
        assert_eq!(next().await, Some((0, Some(id(1, 6)))));
        assert_eq!(started.elapsed(), COMMIT_ALONE_AFTER);
        sender.send(request(7, 0, 7)).await.unwrap();
        drop(sender);
        assert_eq!(next().await, Some((0, Some(id(1, 7)))));
        assert_eq!(next().await, None);
    }

    #[tokio::test]
    async fn a_follower_matches_as_far_as_both_hold_the_same_entry() {
        let store: std::sync::Arc<dyn crate::store::Store> =
            std::sync::Arc::new(MemoryStore::default());
        let rt = RaftRt::new(tokio::runtime::Handle::current());
        let writer = LogWriter::start(std::sync::Arc::clone(&store), Default::default()).unwrap();
        let mut log = LogStore::open(rt, store, writer, Ballots::new(1)).unwrap();
        let entries = (1..=9).map(|index| Entry::new_blank(id(1, index)));
        log.blocking_append(entries).await.unwrap();
        let view = log.view();
        assert_eq!(view.durable_last(), Some(id(1, 9)));
        let beyond = AppendEntriesResponse::PartialSuccess;
        assert_eq!(told(&view, 3, id(1, 7)), beyond(Some(id(1, 7))));
        // An entry of another leader's, or one that this log does not have, proves nothing.
        for durable in [id(0, 7), id(2, 7), id(1, 10), id(1, 3), id(1, 2)] {
            assert_eq!(told(&view, 3, durable), AppendEntriesResponse::Success, "{durable}");
        }
        let conflict =
            Appended { response: AppendEntriesResponse::Conflict, durable_last: Some(id(1, 7)) };
        assert_eq!(conflict.told(Some(id(1, 3)), &view), AppendEntriesResponse::Conflict);
    }
}
