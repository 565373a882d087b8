//! Outgoing messages. Each peer has several *lanes*, with connections of their own,
//! so that a large batch of entries or a snapshot never delays a heartbeat or a vote.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http1::SendRequest;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::PeerError;
use super::envelope::{self, Sender};
use super::exchange::{self, Listener, Speaker};
use crate::clock::{self, Instant};
use crate::ident::{NodeName, RaftId};
use crate::limits::{PEER_BODY_BYTES_MAX, PEER_DIAL_MAX, PEER_IDLE_MAX};
use crate::net::dial::{self, Body, DialError};
use crate::net::gate::{Gate, Peer, Way};
use crate::observe::traffic::{Kind, Outcome, PeerCounts, Traffic};
use crate::rt::RaftRt;
use crate::trust::{PeerTrust, words};

/// What a connection is for. Messages of one lane may wait for each other, those of
/// two lanes never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    Entries,
    Heartbeat,
    Vote,
    Snapshot,
    /// Forwarded records and reads, formation, status.
    Service,
    Probe,
    Watch,
    /// An operator's order to another node. It passes the gate of faults on purpose, since it may
    /// be what ends them.
    Order,
}

/// Connections that wait for their next message, by address and lane.
type Idle = BTreeMap<(String, Lane), Vec<SendRequest<Body>>>;

/// Everything that sends to peers shares one of these. Cheap to clone.
#[derive(Clone)]
pub struct Links {
    rt: RaftRt,
    sender: Sender,
    gate: Gate,
    trust: PeerTrust,
    /// Which node listens where, as far as is known.
    names: Arc<RwLock<BTreeMap<String, NodeName>>>,
    idle: Arc<Mutex<Idle>>,
    traffic: Traffic,
    heard: Arc<Mutex<BTreeMap<String, Heard>>>,
}

/// What a peer said of itself when it last answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// The newest wire format that it reads.
    pub newest: u32,
    pub at: Instant,
}

impl Links {
    pub fn new(rt: RaftRt, sender: Sender, gate: Gate) -> Self {
        let (trust, names, idle) = (PeerTrust::Open, Arc::default(), Arc::default());
        Self {
            rt,
            sender,
            gate,
            trust,
            names,
            idle,
            heard: Arc::default(),
            traffic: Traffic::default(),
        }
    }

    /// The same, with peers that are known by `trust`.
    pub fn trusting(self, trust: PeerTrust) -> Self {
        Self { trust, ..self }
    }

    pub fn trust(&self) -> &PeerTrust {
        &self.trust
    }

    /// From here on, where nodes have certificates, only node `name` is believed at `addr`.
    pub fn expect(&self, addr: &str, name: &NodeName) {
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        if names.get(addr) != Some(name) {
            names.insert(addr.to_owned(), name.clone());
        }
    }

    fn expected(&self, addr: &str) -> Option<NodeName> {
        self.names.read().unwrap_or_else(PoisonError::into_inner).get(addr).cloned()
    }

    /// What the peer at `addr` last said of itself.
    pub fn heard(&self, addr: &str) -> Option<Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).get(addr).copied()
    }

    fn hear(&self, addr: &str, newest: u32) {
        let heard = Heard { newest, at: clock::now() };
        let mut all = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        match all.get_mut(addr) {
            Some(known) => *known = heard,
            None => drop(all.insert(addr.to_owned(), heard)),
        }
    }

    pub fn sender(&self) -> &Sender {
        &self.sender
    }

    pub fn rt(&self) -> &RaftRt {
        &self.rt
    }

    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// What goes out by all ways.
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// A way to one peer. Dials only when something is sent.
    pub fn to(&self, addr: impl Into<String>, lane: Lane) -> Link {
        let addr = addr.into();
        let counts = self.traffic.peer(&addr);
        Link { links: self.clone(), addr, lane, to: None, counts }
    }

    /// A way to one member: another one at the same address refuses what comes by it.
    pub fn to_member(&self, member: RaftId, addr: impl Into<String>, lane: Lane) -> Link {
        Link { to: Some(member), ..self.to(addr, lane) }
    }

    fn take_idle(&self, key: &(String, Lane)) -> Option<SendRequest<Body>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let senders = idle.get_mut(key)?;
        while let Some(sender) = senders.pop() {
            if sender.is_ready() {
                return Some(sender);
            }
        }
        None
    }

    fn put_idle(&self, key: (String, Lane), sender: SendRequest<Body>) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let senders = idle.entry(key).or_default();
        senders.retain(|sender| !sender.is_closed());
        if senders.len() < PEER_IDLE_MAX {
            senders.push(sender);
        }
    }
}

/// A way to one peer on one lane. Cheap to clone.
#[derive(Clone)]
pub struct Link {
    links: Links,
    addr: String,
    lane: Lane,
    to: Option<RaftId>,
    counts: PeerCounts,
}

impl Link {
    pub fn rt(&self) -> &RaftRt {
        &self.links.rt
    }

    pub fn addr(&self) -> &str {
        &self.addr
    }

    /// Counts a yes: only the room that sent the question can read the answer.
    pub fn granted(&self, kind: Kind) {
        self.counts.granted(kind);
    }

    /// Sends `message` to `path` and reads the answer, all within `within`.
    ///
    /// # Errors
    /// See [`PeerError`]. After all but `Refused` and `Rejected` the message may have
    /// arrived.
    pub async fn call<Q, A>(
        &self,
        path: &str,
        message: &Q,
        within: Duration,
    ) -> Result<A, PeerError>
    where
        Q: Serialize + ?Sized,
        A: DeserializeOwned,
    {
        let json = serde_json::to_vec(message)
            .map_err(|error| self.unreadable(format!("our own message: {error}")))?;
        let json = Bytes::from(json);
        let exchange = async {
            let response = self.send_whole(Method::POST, path, json).await?;
            self.read(response).await
        };
        self.counted(kind_of(self.lane, path), self.within(within, exchange)).await
    }

    /// Like [`Link::call`], with a body that streams and headers of the caller's.
    ///
    /// # Errors
    /// See [`PeerError`].
    pub async fn call_streaming<A: DeserializeOwned>(
        &self,
        path: &str,
        body: Body,
        within: Duration,
    ) -> Result<A, PeerError> {
        let exchange = async {
            let sent = self.send(Method::POST, path, body, None).await?;
            self.read(sent.response).await
        };
        self.counted(kind_of(self.lane, path), self.within(within, exchange)).await
    }

    /// Opens a response whose body is held open by the peer for as long as it lives.
    ///
    /// # Errors
    /// See [`PeerError`].
    pub async fn hold(&self, path: &str, within: Duration) -> Result<Incoming, PeerError> {
        self.within(within, async {
            let response = self.send_whole(Method::GET, path, Bytes::new()).await?;
            match response.status() {
                StatusCode::OK => Ok(response.into_body()),
                status => Err(self.rejected(status, String::new())),
            }
        })
        .await
    }

    /// Opens an exchange in which messages do not wait for answers. The other side must have
    /// answered that it takes part `within` this.
    ///
    /// # Errors
    /// See [`PeerError`]. No message was sent.
    pub async fn open(
        &self,
        path: &str,
        within: Duration,
    ) -> Result<(Speaker, Listener), PeerError> {
        let (frames, waiting) = tokio::sync::mpsc::channel(exchange::WAITING_MAX);
        self.within(within, async {
            let sent = self.send(Method::POST, path, streaming_body(waiting), None).await?;
            match sent.response.status() {
                StatusCode::OK => {
                    let answers = sent.response.into_body();
                    Ok(exchange::new(self, kind_of(self.lane, path), frames, answers))
                }
                status => Err(self.rejected(status, "it takes part in no exchange".into())),
            }
        })
        .await
    }

    pub(super) fn counts(&self) -> &PeerCounts {
        &self.counts
    }

    /// True where what comes from the peer now is not dropped on purpose.
    pub fn hears(&self) -> bool {
        self.lane == Lane::Order || self.links.gate.lets(Peer::RaftAddr(&self.addr), Way::In)
    }

    async fn counted<T>(
        &self,
        kind: Kind,
        exchange: impl Future<Output = Result<T, PeerError>>,
    ) -> Result<T, PeerError> {
        self.counts.sent(kind);
        let answer = exchange.await;
        self.counts.ended(kind, outcome_of(&answer));
        answer
    }

    async fn within<T>(
        &self,
        within: Duration,
        exchange: impl Future<Output = Result<T, PeerError>>,
    ) -> Result<T, PeerError> {
        match tokio::time::timeout(within, exchange).await {
            Ok(result) => result,
            Err(_) => Err(PeerError::Timeout { peer: self.addr.clone(), ms: within.as_millis() }),
        }
    }

    /// Sends one request, and again where another version answers than before, which refused the
    /// wire format before it read on.
    async fn send_whole(
        &self,
        method: Method,
        path: &str,
        bytes: Bytes,
    ) -> Result<Response<Incoming>, PeerError> {
        let crc = crc32fast::hash(&bytes);
        let body = || Full::new(bytes.clone()).map_err(|never| match never {}).boxed();
        let sent = self.send(method.clone(), path, body(), Some(crc)).await?;
        if sent.misjudged && sent.response.status() == StatusCode::FORBIDDEN {
            return Ok(self.send(method, path, body(), Some(crc)).await?.response);
        }
        Ok(sent.response)
    }

    /// Sends one request. A connection goes back to the idle ones once its answer was
    /// read to the end (see `read`), which the response's `SendRequest` extension allows.
    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Body,
        crc: Option<u32>,
    ) -> Result<Sent, PeerError> {
        self.pass_gate(Way::Out).await;
        let mut sender = match self.links.take_idle(&(self.addr.clone(), self.lane)) {
            Some(sender) => sender,
            None => self.dial().await?,
        };
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() =
            path.parse().map_err(|error| self.unreadable(format!("path {path}: {error}")))?;
        let headers = request.headers_mut();
        let host = http::HeaderValue::from_str(&self.addr).map_err(|e| self.unreachable(e))?;
        headers.insert(http::header::HOST, host);
        let newest = self.links.heard(&self.addr).map(|heard| heard.newest);
        let wire = self.links.sender.format_for(newest);
        self.links.sender.seal(headers, self.to, wire);
        if let Some(crc) = crc {
            envelope::put_checksum(headers, crc);
        }
        let mut response =
            sender.send_request(request).await.map_err(|error| self.broken(&error))?;
        self.pass_gate(Way::In).await;
        let newest = envelope::newest_of(response.headers());
        self.links.hear(&self.addr, newest);
        let misjudged = self.links.sender.format_for(Some(newest)) != wire;
        response.extensions_mut().insert(Reusable(Arc::new(Mutex::new(Some(sender)))));
        Ok(Sent { response, misjudged })
    }

    pub(super) async fn pass_gate(&self, way: Way) {
        if self.lane != Lane::Order {
            self.links.gate.passes(Peer::RaftAddr(&self.addr), way).await;
        }
    }

    async fn dial(&self) -> Result<SendRequest<Body>, PeerError> {
        // A connection needs the peer's answer.
        self.pass_gate(Way::In).await;
        let Links { rt, trust, .. } = &self.links;
        let expected = self.links.expected(&self.addr);
        let dialled = dial::http(rt, &self.addr, PEER_DIAL_MAX, trust, expected.as_ref()).await;
        dialled.map_err(|error| match error {
            DialError::Refused => PeerError::Refused { peer: self.addr.clone() },
            DialError::Untrusted(cause) => PeerError::Untrusted { peer: self.addr.clone(), cause },
            other => self.unreachable(other),
        })
    }

    async fn read<A: DeserializeOwned>(
        &self,
        mut response: Response<Incoming>,
    ) -> Result<A, PeerError> {
        let status = response.status();
        let crc = envelope::checksum_of(response.headers());
        let reusable = response.extensions_mut().remove::<Reusable>();
        let body = Limited::new(response.into_body(), PEER_BODY_BYTES_MAX)
            .collect()
            .await
            .map_err(|error| self.unreachable(error))?
            .to_bytes();
        let sender = reusable
            .and_then(|reusable| reusable.0.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(sender) = sender {
            self.links.put_idle((self.addr.clone(), self.lane), sender);
        }
        if status != StatusCode::OK {
            return Err(self.rejected(status, String::from_utf8_lossy(&body).into_owned()));
        }
        if crc.is_some_and(|crc| crc != crc32fast::hash(&body)) {
            return Err(self.unreadable("the checksum of the answer is wrong"));
        }
        serde_json::from_slice(&body).map_err(|error| self.unreadable(error))
    }

    fn rejected(&self, status: StatusCode, reason: String) -> PeerError {
        PeerError::Rejected { peer: self.addr.clone(), status: status.as_u16(), reason }
    }

    /// The connection ended under a message. In TLS 1.3 whoever is let in hears only then that he
    /// is not (RFC 8446 section 4.4.2.4).
    fn broken(&self, error: &(dyn StdError + 'static)) -> PeerError {
        match words::of(error) {
            Some(cause) => PeerError::Untrusted { peer: self.addr.clone(), cause },
            None => self.unreachable(error),
        }
    }

    pub(super) fn unreachable(&self, cause: impl std::fmt::Display) -> PeerError {
        PeerError::Unreachable { peer: self.addr.clone(), cause: cause.to_string() }
    }

    pub(super) fn unreadable(&self, cause: impl std::fmt::Display) -> PeerError {
        PeerError::Unreadable { peer: self.addr.clone(), cause: cause.to_string() }
    }
}

/// What watchers of the traffic see. The rooms own the paths; this only tells apart what people
/// want to tell apart.
fn kind_of(lane: Lane, path: &str) -> Kind {
    match (lane, path) {
        (Lane::Heartbeat, _) => Kind::Heartbeat,
        (Lane::Probe, _) => Kind::Probe,
        (Lane::Snapshot, _) => Kind::Snapshot,
        (_, "/raft/append" | "/raft/append-all") => Kind::Append,
        (_, "/raft/vote") => Kind::Vote,
        (_, "/raft/pre-vote") => Kind::Prevote,
        (_, "/raft/transfer") => Kind::Transfer,
        (_, "/detector/suspect") => Kind::Preround,
        (Lane::Entries | Lane::Vote | Lane::Service | Lane::Watch | Lane::Order, _) => Kind::Other,
    }
}

fn outcome_of<T>(answer: &Result<T, PeerError>) -> Outcome {
    match answer {
        Ok(_) => Outcome::Answered,
        Err(
            PeerError::Refused { .. } | PeerError::Rejected { .. } | PeerError::Untrusted { .. },
        ) => Outcome::Refused,
        Err(
            PeerError::Unreachable { .. }
            | PeerError::Timeout { .. }
            | PeerError::Unreadable { .. },
        ) => Outcome::Lost,
    }
}

/// An answer, whose body was not read yet.
struct Sent {
    response: Response<Incoming>,
    /// It was sent in another wire format than the peer is known to read by now.
    misjudged: bool,
}

/// The connection behind a response, on its way back to the idle ones.
#[derive(Clone)]
struct Reusable(Arc<Mutex<Option<SendRequest<Body>>>>);

/// A body from chunks that arrive on a channel. The channel's bound is the only buffer.
pub fn streaming_body(chunks: tokio::sync::mpsc::Receiver<Result<Bytes, io::Error>>) -> Body {
    ChannelBody(chunks).boxed()
}

struct ChannelBody(tokio::sync::mpsc::Receiver<Result<Bytes, io::Error>>);

impl hyper::body::Body for ChannelBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.0.poll_recv(context).map(|chunk| chunk.map(|chunk| chunk.map(Frame::data)))
    }
}

#[cfg(test)]
#[cfg(not(sim))]
mod tests {
    use http::HeaderMap;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::peer::envelope::{NEWEST, OLDEST};
    use crate::peer::routes::{Admit, Routes};
    use crate::peer::testing;

    /// A peer of version `newest` on a port of its own, until the token is cancelled.
    async fn peer(rt: &RaftRt, newest: u32, oldest: u32) -> (String, CancellationToken) {
        let mut routes = Routes::default();
        routes.json("/double", Admit::Newcomers, |_, n: u64| async move { Ok(2 * n) });
        let sender = Sender::speaking("n2".parse().unwrap(), newest);
        sender.require(oldest);
        testing::serve(rt, routes, sender).await
    }

    #[tokio::test]
    async fn neighbouring_versions_speak_what_both_can() {
        let rt = RaftRt::new(tokio::runtime::Handle::current());
        for (mine, theirs, required, works) in [
            (NEWEST, NEWEST, OLDEST, true),
            (NEWEST, OLDEST, OLDEST, true),
            (OLDEST, NEWEST, OLDEST, true),
            // Its cluster has moved on. A new node finds that out, an old one is refused.
            (NEWEST, NEWEST, NEWEST, true),
            (OLDEST, NEWEST, NEWEST, false),
        ] {
            let (addr, _stop) = peer(&rt, theirs, required).await;
            let sender = Sender::speaking("n1".parse().unwrap(), mine);
            let links = Links::new(rt.clone(), sender, Gate::default());
            let link = links.to(addr.clone(), Lane::Service);
            for number in 0..3_u64 {
                let answer = link.call::<_, u64>("/double", &number, PEER_DIAL_MAX).await;
                assert_eq!(answer.is_ok(), works, "{mine} to {theirs}: {answer:?}");
                match answer {
                    Ok(answer) => assert_eq!(answer, 2 * number),
                    Err(error) => {
                        let text = error.to_string();
                        assert!(text.contains("n1 writes wire format 1, and"), "{text}");
                    }
                }
            }
            assert_eq!(links.heard(&addr).unwrap().newest, theirs);
        }
    }

    #[tokio::test]
    async fn a_peer_that_went_back_is_written_to_as_before_at_once() {
        let rt = RaftRt::new(tokio::runtime::Handle::current());
        let links = Links::new(rt.clone(), Sender::new("n1".parse().unwrap()), Gate::default());
        let (addr, _stop) = peer(&rt, OLDEST, OLDEST).await;
        // What it said before it went back.
        links.hear(&addr, NEWEST);
        let link = links.to(addr.clone(), Lane::Service);
        assert_eq!(link.call::<_, u64>("/double", &4, PEER_DIAL_MAX).await.unwrap(), 8);
        assert_eq!(links.heard(&addr).unwrap().newest, OLDEST);
        assert_eq!(envelope::newest_of(&HeaderMap::new()), OLDEST);
    }
}
