//! A blocking client of the public API, for our own commands and tests. It knows the JSON of
//! `api` and nothing of how a node answers. Begin with [`Client`]; `retry` has the rules for
//! which server comes next, `error` what may be concluded from a failure.
//!
//! Every call that may act carries an id, and every retry carries the same one, so that a
//! request which was carried out but not answered is never carried out twice.

mod bodies;
mod error;
pub mod events;
mod exchange;
mod multipart;
mod notice;
mod retry;
mod secured;
mod servers;
mod stop;
mod token;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ureq::Agent;

pub use error::{CallError, ClientError};
pub use servers::{Server, ServerError, Servers};
pub use stop::{Interrupt, Stop, TripOnDrop};
pub use token::{NoToken, Token};

use crate::api::cluster::{
    AdminResponse, ClusterStatus, FailRequest, MembersRequest, NodeReport, RestoreResponse,
    TransferRequest,
};
use crate::api::codec::{
    CapacityResponse, Consistency, EmbedResponse, ExtractResponse, RecordView, RecordsResponse,
    VerifyResponse,
};
use crate::clock;
use crate::ident::{RecordId, Term};
use crate::record::{Durability, Method, Record};
use bodies::{commit, embed_form, json, percent_encode, picture_form, records_path, word};
use exchange::{Outgoing, Reply, exchange};
use multipart::Form;
use notice::{Notice, Waiting};
use retry::{Against, Refusing, asked_pause, choose, jittered, less_busy, pause};

/// A server that could not be reached comes after the others for this long: a dead host costs
/// one connect timeout a second, not one a request.
const AVOID: Duration = Duration::from_secs(1);

/// How long a call may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For a connection. A node on the same network answers in a few ms or is down.
    pub connect_max: Duration,
    /// For one server's whole answer.
    pub attempt_max: Duration,
    /// For the call with all its retries.
    pub deadline: Duration,
    /// For all servers to refuse the connection, or not to be there. `None`: the deadline.
    pub refused_max: Option<Duration>,
    /// Requests that one call makes.
    pub attempts_max: u32,
}

impl Default for Patience {
    /// An attempt outlasts the node's own retries ([`crate::limits::SUBMIT_MAX`]), so that a slow
    /// commit is waited for rather than repeated.
    fn default() -> Self {
        Self {
            connect_max: Duration::from_millis(300),
            attempt_max: Duration::from_secs(10),
            deadline: Duration::from_secs(30),
            refused_max: None,
            attempts_max: u32::MAX,
        }
    }
}

/// A call's result, and what it took.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer<T> {
    pub value: T,
    /// URL of the server that answered.
    pub server: String,
    /// Its number in [`Servers`], unless it was reached through a redirect.
    pub server_index: Option<usize>,
    /// Requests that were made, 1 if the first was answered.
    pub attempts: u32,
    pub elapsed: Duration,
}

/// What to hide, and in what.
#[derive(Clone, Copy, Default)]
pub struct EmbedRequest<'a> {
    pub secret: &'a [u8],
    /// `None`: the node's default cover.
    pub cover: Option<&'a [u8]>,
    pub passphrase: Option<&'a str>,
    /// `None`: the node's choice.
    pub method: Option<Method>,
    /// Low bits of each colour sample to use; `None`: the node's choice.
    pub bits: Option<u8>,
    /// Keep the cover's texts, camera notes and dates, which can tell where it is from.
    pub keep_metadata: bool,
    /// Ask for [`EmbedResponse::quality`].
    pub report: bool,
}

/// A stego picture and how far its acknowledgement reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    pub png: Vec<u8>,
    /// `None` where the server did not say.
    pub durability: Option<Durability>,
}

/// Calls the nodes in [`Servers`]. A clone shares connections and what is known of the servers.
#[derive(Clone)]
pub struct Client {
    servers: Servers,
    agent: Agent,
    patience: Patience,
    stop: Stop,
    known: Arc<Mutex<Vec<Against>>>,
    /// What [`Client::break_off_on`] was told, for clients made of this one.
    breaking: Arc<Mutex<Vec<Stop>>>,
    /// Hears of calls that wait.
    notice: Option<Notice>,
}

impl Client {
    /// Once `stop` is tripped, no further attempt is made; one that is under way goes on.
    pub fn new(servers: Servers, patience: Patience, stop: Stop) -> Self {
        let known = Arc::new(Mutex::new(vec![Against::default(); servers.len()]));
        let agent = exchange::agent(patience.connect_max, &servers);
        Self { agent, servers, patience, stop, known, breaking: Arc::default(), notice: None }
    }

    /// The same with another patience for one server's answer.
    pub fn with_attempt_max(mut self, attempt_max: Duration) -> Self {
        self.patience.attempt_max = attempt_max;
        self
    }

    /// The same, that tells `notice` in a sentence what a call waits for which has no answer
    /// after a second.
    pub fn telling(self, notice: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self { notice: Some(Arc::new(notice)), ..self }
    }

    /// The same for other servers, with the same token.
    pub fn to(self, servers: Servers) -> Self {
        let servers = servers.with_token(self.servers.token().cloned());
        let known = Arc::new(Mutex::new(vec![Against::default(); servers.len()]));
        Self { servers, known, ..self }
    }

    pub fn servers(&self) -> &Servers {
        &self.servers
    }

    /// Also breaks off attempts that are under way when `stop` is tripped.
    pub fn break_off_on(&self, stop: &Stop) {
        self.breaking.lock().unwrap_or_else(PoisonError::into_inner).push(stop.clone());
        let agent = self.agent.clone();
        stop.when_tripped(move || agent.shutdown());
    }

    /// The same client with connections that no other has, for a thread among thousands: a pool
    /// that all share is searched by one thread at a time. What is known of the servers stays
    /// shared, and what breaks this one off breaks off the other.
    pub fn with_own_connections(&self) -> Self {
        let agent = exchange::small_agent(self.patience.connect_max, &self.servers);
        for stop in self.breaking.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let agent = agent.clone();
            stop.when_tripped(move || agent.shutdown());
        }
        Self { agent, ..self.clone() }
    }

    /// Hides a secret and returns JSON with the picture in it. `first` is the number of the
    /// server to begin with.
    pub fn embed(
        &self,
        first: usize,
        id: &RecordId,
        request: &EmbedRequest<'_>,
    ) -> Result<Answer<EmbedResponse>, CallError> {
        let outgoing = embed_form(id, request).header("accept", "application/json");
        self.call(first, &outgoing, |reply| reply.json())
    }

    /// Hides a secret and returns the PNG alone.
    pub fn embed_png(
        &self,
        first: usize,
        id: &RecordId,
        request: &EmbedRequest<'_>,
    ) -> Result<Answer<Vec<u8>>, CallError> {
        let outgoing = embed_form(id, request).header("accept", "image/png");
        self.call(first, &outgoing, |reply| Ok(reply.body))
    }

    /// [`Client::embed_png`], with how far the acknowledgement reaches.
    pub fn embed_picture(
        &self,
        first: usize,
        id: &RecordId,
        request: &EmbedRequest<'_>,
    ) -> Result<Answer<Picture>, CallError> {
        let outgoing = embed_form(id, request).header("accept", "image/png");
        let picture = |reply: Reply| Ok(Picture { png: reply.body, durability: reply.durability });
        self.call(first, &outgoing, picture)
    }

    /// Finds a secret and returns JSON with it and its type.
    pub fn extract(
        &self,
        first: usize,
        picture: &[u8],
        passphrase: Option<&str>,
    ) -> Result<Answer<ExtractResponse>, CallError> {
        let outgoing = picture_form("/api/extract", picture, passphrase);
        self.call(first, &outgoing.header("accept", "application/json"), |reply| reply.json())
    }

    /// Finds a secret and returns its bytes alone.
    pub fn extract_bytes(
        &self,
        first: usize,
        picture: &[u8],
        passphrase: Option<&str>,
    ) -> Result<Answer<Vec<u8>>, CallError> {
        let outgoing = picture_form("/api/extract", picture, passphrase)
            .header("accept", "application/octet-stream");
        self.call(first, &outgoing, |reply| Ok(reply.body))
    }

    /// What a cover can carry by each method; of the node's own for `None`. The secret stays
    /// here.
    pub fn capacity(
        &self,
        first: usize,
        cover: Option<&[u8]>,
        encrypted: bool,
    ) -> Result<Answer<CapacityResponse>, CallError> {
        let outgoing = match cover {
            None => Outgoing::get(format!("/api/capacity?encrypted={encrypted}")),
            Some(cover) => {
                let form = Form::new().text("encrypted", &encrypted.to_string());
                let (content_type, body) = form.file("cover", cover).finish();
                Outgoing::post("/api/capacity", &content_type, body)
            }
        };
        self.call(first, &outgoing, |reply| reply.json())
    }

    /// Is this picture in the ledger?
    pub fn verify(
        &self,
        first: usize,
        picture: &[u8],
    ) -> Result<Answer<VerifyResponse>, CallError> {
        self.call(first, &picture_form("/api/verify", picture, None), |reply| reply.json())
    }

    /// Enters a record without a picture: the smallest write there is.
    pub fn commit(&self, first: usize, id: &RecordId) -> Result<Answer<Record>, CallError> {
        self.call(first, &commit(id), |reply| reply.json())
    }

    /// [`Client::commit`] on one server, once, for at most `attempt_max`.
    pub fn commit_once(
        &self,
        server: &Server,
        id: &RecordId,
        attempt_max: Duration,
    ) -> Result<Record, ClientError> {
        exchange(&self.agent, server.url(), &commit(id), attempt_max)?.json()
    }

    /// One record, as fresh as acknowledged.
    pub fn record(&self, first: usize, id: &RecordId) -> Result<Answer<RecordView>, CallError> {
        let path = format!("/api/records/{}", percent_encode(id.as_str()));
        self.call(first, &Outgoing::get(path), |reply| reply.json())
    }

    /// One page of the ledger from any server.
    pub fn records(
        &self,
        first: usize,
        after: Option<&RecordId>,
        limit: usize,
        consistency: Consistency,
    ) -> Result<Answer<RecordsResponse>, CallError> {
        let outgoing = Outgoing::get(records_path(after, limit, consistency));
        self.call(first, &outgoing, |reply| reply.json())
    }

    /// One page of the ledger from this server and no other.
    pub fn records_of(
        &self,
        server: &Server,
        after: Option<&RecordId>,
        limit: usize,
        consistency: Consistency,
    ) -> Result<RecordsResponse, ClientError> {
        let outgoing = Outgoing::get(records_path(after, limit, consistency));
        exchange(&self.agent, server.url(), &outgoing, self.patience.attempt_max)?.json()
    }

    /// One record from this server and no other, once.
    pub fn record_of(&self, server: &Server, id: &RecordId) -> Result<RecordView, ClientError> {
        let path = format!("/api/records/{}", percent_encode(id.as_str()));
        exchange(&self.agent, server.url(), &Outgoing::get(path), self.patience.attempt_max)?.json()
    }

    /// A built-in test picture, by number (0 to 49).
    pub fn dataset(&self, first: usize, number: usize) -> Result<Answer<Vec<u8>>, CallError> {
        let outgoing = Outgoing::get(format!("/api/dataset/{number}"));
        self.call(first, &outgoing, |reply| Ok(reply.body))
    }

    /// What `server` knows of the cluster; asked once, for at most `within`.
    pub fn status(&self, server: &Server, within: Duration) -> Result<ClusterStatus, ClientError> {
        exchange(&self.agent, server.url(), &Outgoing::get("/cluster/status"), within)?.json()
    }

    /// What `server` runs with, and what its machine gives it; asked once.
    pub fn report(&self, server: &Server, within: Duration) -> Result<NodeReport, ClientError> {
        exchange(&self.agent, server.url(), &Outgoing::get("/cluster/node"), within)?.json()
    }

    /// [`Client::status`] of every server, asked at the same time, in their order.
    pub fn statuses(&self, within: Duration) -> Vec<Result<ClusterStatus, ClientError>> {
        std::thread::scope(|scope| {
            let ask = |server| scope.spawn(move || self.status(server, within));
            let asked: Vec<_> = self.servers.iter().map(ask).collect();
            asked
                .into_iter()
                .map(|asked| asked.join().unwrap_or(Err(ClientError::Stopped)))
                .collect()
        })
    }

    /// A fault on purpose. A crash may leave no time to answer: see
    /// [`ClientError::NoAnswer`].
    pub fn fail(
        &self,
        server: &Server,
        request: &FailRequest,
    ) -> Result<AdminResponse, ClientError> {
        self.admin(server, "/admin/fail", json(request))
    }

    /// Ends faults made by [`Client::fail`].
    pub fn restore(&self, server: &Server) -> Result<AdminResponse, ClientError> {
        self.admin(server, "/admin/restore", b"{}".to_vec())
    }

    /// Hands leadership over. Any member takes the order; `attempt_max` outlasts it.
    pub fn transfer(
        &self,
        server: &Server,
        request: &TransferRequest,
    ) -> Result<AdminResponse, ClientError> {
        self.admin(server, "/admin/transfer-leader", json(request))
    }

    /// Changes the members. Any member takes the order; `attempt_max` must outlast it.
    pub fn members(
        &self,
        server: &Server,
        request: &MembersRequest,
    ) -> Result<AdminResponse, ClientError> {
        self.admin(server, "/admin/members", json(request))
    }

    /// Enters records of a backup, given as JSON lines.
    pub fn restore_records(
        &self,
        server: &Server,
        lines: Vec<u8>,
    ) -> Result<RestoreResponse, ClientError> {
        self.admin(server, "/admin/records", lines)
    }

    /// Writes the whole ledger of `server` to `sink` as it comes. Bytes written.
    ///
    /// # Errors
    /// Of the exchange, of the connection while it lasts, and of the sink.
    pub fn ledger(
        &self,
        server: &Server,
        consistency: Consistency,
        sink: &mut dyn std::io::Write,
    ) -> Result<u64, ClientError> {
        let path = format!("/api/ledger?consistency={}", word(consistency));
        exchange::download(&self.agent, server.url(), &path, self.patience.attempt_max, sink)
    }

    fn admin<T: serde::de::DeserializeOwned>(
        &self,
        server: &Server,
        path: &str,
        body: Vec<u8>,
    ) -> Result<T, ClientError> {
        let outgoing = Outgoing::post(path, "application/json", body);
        exchange(&self.agent, server.url(), &outgoing, self.patience.attempt_max)?.json()
    }

    /// Asks one server after the other until one says yes, one says a final no, or the deadline
    /// has passed.
    fn call<T>(
        &self,
        first: usize,
        outgoing: &Outgoing,
        read: impl Fn(Reply) -> Result<T, ClientError>,
    ) -> Result<Answer<T>, CallError> {
        let started = clock::now();
        let until = started + self.patience.deadline;
        let mut asked_until = vec![None; self.servers.len()];
        let mut redirect: Option<String> = None;
        let mut attempts: u32 = 0;
        let mut outcome_unknown = false;
        let mut last = ClientError::Stopped;
        let mut refusing = Refusing::new(self.patience.refused_max, started);
        let waiting = self.notice.clone().map(|notice| Waiting::start(notice, self.patience));
        while !self.stop.is_tripped() && attempts < self.patience.attempts_max {
            let left = until.saturating_duration_since(clock::now());
            if left.is_zero() {
                break;
            }
            let choice = choose(first + attempts as usize, &self.known(&asked_until), clock::now());
            if redirect.is_none() && !choice.wait.is_zero() {
                if choice.wait >= left || self.stop.wait(choice.wait) {
                    break;
                }
                continue;
            }
            let server_index = redirect.is_none().then_some(choice.server);
            let listed = self.servers.nth(choice.server).url();
            let server = redirect.take().unwrap_or_else(|| listed.to_owned());
            if let Some(waiting) = &waiting {
                waiting.asks(&server);
            }
            attempts += 1;
            let attempt_max = self.patience.attempt_max.min(left);
            let reply = exchange(&self.agent, &server, outgoing, attempt_max);
            if let Ok(Reply { busy: Some(busy), .. }) = &reply {
                self.learn_busy(server_index, *busy);
            }
            let result = reply.and_then(&read);
            let error = match result {
                Ok(value) => {
                    self.learn(server_index, false);
                    let elapsed = clock::now() - started;
                    return Ok(Answer { value, server, server_index, attempts, elapsed });
                }
                Err(error) => error,
            };
            outcome_unknown |= error.outcome_unknown();
            self.learn(server_index, error.is_unreachable());
            if let (Some(index), Some(wait)) = (server_index, error.retry_after()) {
                asked_until[index] = Some(clock::now() + asked_pause(wait));
            }
            // Another server may be believed; one that was not will not be in a moment either.
            let hopeless = matches!(error, ClientError::Untrusted { .. })
                && attempts as usize >= self.servers.len();
            let retryable = error.is_retryable() && !hopeless;
            redirect = redirect_of(&error, listed, server_index.is_some());
            if let Some(waiting) = &waiting {
                waiting.failed(&error);
            }
            let given_up = refusing.for_too_long(&error, clock::now());
            last = error;
            if !retryable || given_up {
                break;
            }
            if redirect.is_none() {
                self.stop.wait(jittered(pause(attempts), 0.5).min(left));
            }
        }
        Err(CallError { last, attempts, elapsed: clock::now() - started, outcome_unknown })
    }

    /// What is known against each server, with what it asked for during this call.
    fn known(&self, asked_until: &[Option<clock::Instant>]) -> Vec<Against> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let with_asked = |(against, asked): (&Against, &Option<clock::Instant>)| Against {
            asked_until: *asked,
            ..*against
        };
        known.iter().zip(asked_until).map(with_asked).collect()
    }

    /// The number of the server that a call should begin with which could begin with `first`: that
    /// one, or another that said lately that it is less busy.
    pub fn less_busy(&self, first: usize) -> usize {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // As random as for the pauses.
        let random = clock::fresh_uuid().as_u128() as u32;
        less_busy(first, &known, clock::now(), f64::from(random) / f64::from(u32::MAX))
    }

    fn learn_busy(&self, server: Option<usize>, busy: Duration) {
        let Some(server) = server else { return };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known[server].busy = Some((busy, clock::now()));
    }

    fn learn(&self, server: Option<usize>, unreachable: bool) {
        let Some(server) = server else { return };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known[server].unreachable_until = unreachable.then(|| clock::now() + AVOID);
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("servers", &self.servers).finish_non_exhaustive()
    }
}

/// Where a redirect leads. One that answers a redirected request is not followed: two nodes
/// that each believe in the other would send a client round for ever.
/// It leads by the way that the first server, `asked`, was asked.
fn redirect_of(error: &ClientError, asked: &str, may_follow: bool) -> Option<String> {
    match error {
        ClientError::Refused { status: 307, leader_address: Some(address), .. } if may_follow => {
            let scheme = asked.split_once("://").map_or("http", |(scheme, _)| scheme);
            let server: Server = format!("{scheme}://{address}").parse().ok()?;
            Some(server.url().to_owned())
        }
        _ => None,
    }
}

/// True where `status` shows a leader after `old_leader` of `old_term` was lost: another node,
/// or the same one elected anew.
pub fn shows_new_leader(status: &ClusterStatus, old_leader: &str, old_term: Term) -> bool {
    let Some(leader) = &status.leader_id else { return false };
    let elected_anew = || {
        status.nodes.iter().any(|node| {
            node.id == *leader
                && node.role == crate::api::cluster::Role::Leader
                && node.term > old_term.0
        })
    };
    status.term > old_term.0 && (leader.as_str() != old_leader || elected_anew())
}

#[cfg(test)]
mod tests;
