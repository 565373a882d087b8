//! Incoming messages: the envelope is opened, the body bounded and decoded, and the
//! handler that the owning room registered is called. `node` mounts the handlers.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt};
use http::{Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full, Limited};
use hyper::body::{Frame, Incoming};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Sleep;

use super::envelope::{self, Envelope, Sender};
use crate::clock::Instant;
use crate::limits::{NEWCOMER_BODY_BYTES_MAX, PEER_BODY_BYTES_MAX, PEER_BODY_READ_MAX};
use crate::net::gate::{Gate, Peer, Way};
use crate::net::serve::Caller;
use crate::trust::Proven;

/// An answer to a peer.
pub type PeerResponse = Response<BoxBody<Bytes, io::Error>>;
type Answer = Pin<Box<dyn Future<Output = PeerResponse> + Send>>;
type Handler = Arc<dyn Fn(Envelope, Incoming) -> Answer + Send + Sync>;

/// A handler says no, in a sentence that the sender's log will show.
#[derive(Debug, Clone)]
pub struct Refusal {
    pub status: StatusCode,
    pub reason: String,
}

impl Refusal {
    /// This node cannot do that now; another time or another node may.
    pub fn unavailable(reason: impl Into<String>) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, reason: reason.into() }
    }

    pub fn bad_request(reason: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, reason: reason.into() }
    }
}

/// What is let in from a node that belongs to no cluster, or when this one does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admit {
    /// Members of the same cluster only.
    Members,
    /// Also nodes without a cluster: formation and joining.
    Newcomers,
}

struct Route {
    admit: Admit,
    /// Let in and answered in spite of faults on purpose: [`super::link::Lane::Order`].
    past_gate: bool,
    handler: Handler,
}

/// Paths and their handlers.
#[derive(Default)]
pub struct Routes {
    routes: BTreeMap<&'static str, Route>,
}

impl Routes {
    /// Mounts a handler that takes and gives JSON.
    pub fn json<Q, A, F, Fut>(&mut self, path: &'static str, admit: Admit, handle: F)
    where
        Q: DeserializeOwned + Send + 'static,
        A: Serialize + 'static,
        F: Fn(Envelope, Q) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<A, Refusal>> + Send + 'static,
    {
        self.raw(path, admit, move |envelope, body| {
            let handle = handle.clone();
            // Whoever names no cluster may be anybody.
            let bytes_max = match (admit, envelope.cluster) {
                (Admit::Members, Some(_)) => PEER_BODY_BYTES_MAX,
                (Admit::Newcomers, _) | (_, None) => NEWCOMER_BODY_BYTES_MAX,
            };
            async move {
                let reading = Limited::new(body, bytes_max).collect();
                let bytes = tokio::time::timeout(PEER_BODY_READ_MAX, reading)
                    .await
                    .map_err(|_| Refusal::bad_request("body: it did not arrive in time"))?
                    .map_err(|error| Refusal::bad_request(format!("body: {error}")))?
                    .to_bytes();
                if !envelope.fits(&bytes) {
                    return Err(Refusal::bad_request("message: its checksum is wrong or missing"));
                }
                let message = serde_json::from_slice(&bytes)
                    .map_err(|error| Refusal::bad_request(format!("message: {error}")))?;
                let answer = handle(envelope, message).await?;
                json_response(&answer)
            }
        });
    }

    /// Mounts a handler that reads the body and makes the response itself.
    pub fn raw<F, Fut>(&mut self, path: &'static str, admit: Admit, handle: F)
    where
        F: Fn(Envelope, Incoming) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<PeerResponse, Refusal>> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |envelope, body| {
            let answer = handle(envelope, body);
            Box::pin(async move { answer.await.unwrap_or_else(refuse) })
        });
        self.routes.insert(path, Route { admit, past_gate: false, handler });
    }

    /// Faults on purpose do not hold back what is mounted at `path`.
    pub fn let_past_gate(&mut self, path: &'static str) {
        if let Some(route) = self.routes.get_mut(path) {
            route.past_gate = true;
        }
    }

    /// The service of each connection, for [`crate::net::serve::serve`].
    pub fn service_for(self, sender: Sender, gate: Gate) -> impl Fn(Caller) -> PeerService {
        let routes = Arc::new(self);
        move |caller| PeerService {
            routes: Arc::clone(&routes),
            sender: sender.clone(),
            gate: gate.clone(),
            proven: caller.proven,
        }
    }

    async fn dispatch(
        &self,
        sender: &Sender,
        gate: &Gate,
        proven: &Proven,
        request: Request<Incoming>,
    ) -> PeerResponse {
        let (parts, body) = request.into_parts();
        let Some(route) = self.routes.get(parts.uri.path()) else {
            let reason = "this is a Raft port, for peers only; clients use the client port";
            return refuse(Refusal { status: StatusCode::NOT_FOUND, reason: reason.into() });
        };
        let envelope = match sender.open(&parts.headers, proven) {
            Ok(envelope) => envelope,
            Err(error) => {
                tracing::warn!(cause = %error, "a message on the Raft port was refused");
                return refuse(Refusal {
                    status: StatusCode::FORBIDDEN,
                    reason: error.to_string(),
                });
            }
        };
        let from = envelope.from.clone();
        // As silent as a pulled cable: the peer's own deadline ends its wait.
        if !route.past_gate {
            gate.passes(Peer::Name(&from), Way::In).await;
        }
        let members = envelope.cluster.is_some() && sender.cluster().is_some();
        if route.admit == Admit::Members && !members {
            let reason =
                format!("{} and {} are not in one cluster yet", envelope.from, sender.name());
            return refuse(Refusal::unavailable(reason));
        }
        let answer = (route.handler)(envelope, body).await;
        if !route.past_gate {
            gate.passes(Peer::Name(&from), Way::Out).await;
        }
        answer
    }
}

/// Answers the messages of one connection.
#[derive(Clone)]
pub struct PeerService {
    routes: Arc<Routes>,
    sender: Sender,
    gate: Gate,
    proven: Proven,
}

impl hyper::service::Service<Request<Incoming>> for PeerService {
    type Response = PeerResponse;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<PeerResponse, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let Self { routes, sender, gate, proven } = self.clone();
        Box::pin(async move {
            let mut response = routes.dispatch(&sender, &gate, &proven, request).await;
            sender.announce(response.headers_mut());
            Ok(response)
        })
    }
}

pub(crate) fn json_response<A: Serialize>(answer: &A) -> Result<PeerResponse, Refusal> {
    let json = serde_json::to_vec(answer).map_err(|error| Refusal {
        status: StatusCode::INTERNAL_SERVER_ERROR,
        reason: format!("our own answer: {error}"),
    })?;
    let crc = crc32fast::hash(&json);
    let mut response = respond(StatusCode::OK, json);
    envelope::put_checksum(response.headers_mut(), crc);
    Ok(response)
}

fn refuse(refusal: Refusal) -> PeerResponse {
    respond(refusal.status, refusal.reason)
}

fn respond(status: StatusCode, body: impl Into<Bytes>) -> PeerResponse {
    let mut response =
        Response::new(Full::new(body.into()).map_err(|never| match never {}).boxed());
    *response.status_mut() = status;
    response
}

/// A response that stays open until `until` ends: the other side learns at once when
/// this process, or this node, goes away. `beat` is called at `first`, and then each time when it
/// said; what it gives is sent.
pub fn held_open(
    until: impl Future<Output = ()> + Send + Sync + 'static,
    first: Instant,
    beat: impl FnMut() -> (Option<Bytes>, Instant) + Send + Sync + 'static,
) -> PeerResponse {
    let due = Box::pin(tokio::time::sleep_until(first));
    Response::new(Held { until: Box::pin(until), due, beat: Box::new(beat) }.boxed())
}

struct Held<F> {
    until: Pin<Box<F>>,
    due: Pin<Box<Sleep>>,
    beat: Box<dyn FnMut() -> (Option<Bytes>, Instant) + Send + Sync>,
}

impl<F: Future<Output = ()>> hyper::body::Body for Held<F> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.until.as_mut().poll(context).is_ready() {
            return Poll::Ready(None);
        }
        while self.due.as_mut().poll(context).is_ready() {
            let (bytes, next) = (self.beat)();
            self.due.as_mut().reset(next);
            if let Some(bytes) = bytes {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
        }
        Poll::Pending
    }
}

/// A response whose body is what `chunks` gives, for as long as it gives any.
pub fn streamed(chunks: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> PeerResponse {
    let frames = chunks.map(|chunk| chunk.map(Frame::data));
    Response::new(Streamed(Mutex::new(frames.boxed())).boxed())
}

/// In a mutex that nobody locks: a body is shared between threads by its type alone.
struct Streamed(Mutex<BoxStream<'static, io::Result<Frame<Bytes>>>>);

impl hyper::body::Body for Streamed {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let chunks = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        chunks.as_mut().poll_next(context)
    }
}

/// An empty answer.
pub fn done() -> PeerResponse {
    Response::new(Empty::new().map_err(|never| match never {}).boxed())
}
