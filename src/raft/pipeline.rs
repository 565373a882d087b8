//! Entries on their way to a follower, message behind message: the next leaves while those before
//! it are still being written there (pipelining; dissertation, section 10.2.1, writes to the
//! leader's own disk in parallel in the same way).
//!
//! The first message of a session is a question of its own, since most sessions are over then: the
//! search for the last entry in common, or the news that something was committed. With the second
//! one the exchange is opened. Its order is TCP's, so the follower sees messages as they were sent;
//! whatever goes wrong ends it, and openraft begins a session anew where the follower is.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use http::StatusCode;
use openraft::RaftNetworkV2;
use openraft::base::{BoxFuture, BoxStream};
use openraft::entry::RaftEntry;
use openraft::errors::RPCError;
use openraft::network::RPCOption;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, StreamAppendResult};
use tokio::sync::{Notify, Semaphore};

use super::network::{APPEND_ALL, Appended, Connection, rpc_error};
use super::types::{LogId, TypeConfig};
use crate::clock::{self, Instant};
use crate::peer::PeerError;
use crate::peer::exchange::{Listener, Speaker};

/// Messages that may be unanswered. With more, they would be small: what waits for the next one goes
/// in it.
pub(super) const UNANSWERED_MAX: usize = 8;

type Request = AppendEntriesRequest<TypeConfig>;
type Answer = Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>;

/// Sends `requests`, and gives the answers in their order. Ends with the first one that is not a
/// success, and where nothing is answered for the time that `option` gives one message.
pub(super) fn send<'s, S>(
    connection: &'s mut Connection,
    requests: S,
    option: RPCOption,
) -> BoxStream<'s, Answer>
where
    S: Stream<Item = Request> + Send + Unpin + 'static,
{
    let asking = Asking { connection, requests, option, way: Way::Unknown };
    let stage = Some(Stage::Asking(asking));
    Box::pin(futures_util::stream::unfold(stage, |stage| async move {
        match stage? {
            Stage::Asking(asking) => asking.next().await,
            Stage::Flowing(flow) => flow.next().await,
        }
    }))
}

enum Stage<'s, S> {
    Asking(Asking<'s, S>),
    Flowing(Box<Flow>),
}

type Step<'s, S> = Option<(Answer, Option<Stage<'s, S>>)>;

/// How the next message goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// None was sent yet: as a question.
    Unknown,
    /// In an exchange.
    Exchange,
    /// As a question: the follower's version knows no exchange.
    Questions,
}

/// One question, one answer.
struct Asking<'s, S> {
    connection: &'s mut Connection,
    requests: S,
    option: RPCOption,
    way: Way,
}

impl<'s, S> Asking<'s, S>
where
    S: Stream<Item = Request> + Send + Unpin + 'static,
{
    async fn next(mut self) -> Step<'s, S> {
        let request = self.requests.next().await?;
        if self.way == Way::Exchange {
            let within = self.option.soft_ttl();
            match self.connection.entries.open(APPEND_ALL, within).await {
                Ok(exchange) => {
                    return Flow::new(exchange, request, self.requests, within).next().await;
                }
                Err(PeerError::Rejected { status, .. }) if status == StatusCode::NOT_FOUND => {
                    self.way = Way::Questions;
                }
                Err(error) => return Some((Err(rpc_error(error)), None)),
            }
        }
        if self.way == Way::Unknown {
            self.way = Way::Exchange;
        }
        let sent = Sent::of(&request);
        match self.connection.append_entries(request, self.option.clone()).await {
            Ok(response) => {
                let (answer, goes_on) = sent.answered(response);
                Some((answer, goes_on.then_some(Stage::Asking(self))))
            }
            Err(error) => Some((Err(error), None)),
        }
    }
}

/// What a message said of the log.
#[derive(Debug, Clone, Copy)]
struct Sent {
    prev: Option<LogId>,
    last: Option<LogId>,
}

impl Sent {
    fn of(request: &Request) -> Self {
        let last = request.entries.last().map(RaftEntry::log_id);
        Self { prev: request.prev_log_id, last: last.or(request.prev_log_id) }
    }

    /// The answer for openraft, and whether those that follow may still be successes.
    fn answered(self, response: AppendEntriesResponse<TypeConfig>) -> (Answer, bool) {
        let goes_on = match &response {
            AppendEntriesResponse::Success => true,
            AppendEntriesResponse::PartialSuccess(last) => *last == self.last,
            AppendEntriesResponse::Conflict | AppendEntriesResponse::HigherVote(_) => false,
        };
        if self.prev.is_none() && response.is_conflict() {
            // Every log holds what is before the first entry.
            let error = PeerError::Unreadable {
                peer: "the follower".into(),
                cause: "it says that its log conflicts with an empty one".into(),
            };
            return (Err(rpc_error(error)), false);
        }
        (Ok(response.into_stream_result(self.prev, self.last)), goes_on)
    }
}

/// The messages that have no answer yet.
struct Unanswered {
    queue: Mutex<Queue>,
    /// One for each message that may still leave.
    slots: Semaphore,
    /// Told when the first message enters an empty queue.
    began: Notify,
}

struct Queue {
    sent: VecDeque<Sent>,
    /// When the first of them began to wait for its answer and no other.
    since: Instant,
}

impl Unanswered {
    fn new() -> Self {
        let queue = Mutex::new(Queue { sent: VecDeque::new(), since: clock::now() });
        Self { queue, slots: Semaphore::new(UNANSWERED_MAX), began: Notify::new() }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, sent: Sent) {
        let mut queue = self.queue();
        if queue.sent.is_empty() {
            queue.since = clock::now();
            self.began.notify_one();
        }
        queue.sent.push_back(sent);
    }

    fn pop(&self) -> Option<Sent> {
        let mut queue = self.queue();
        queue.since = clock::now();
        let sent = queue.sent.pop_front()?;
        self.slots.add_permits(1);
        Some(sent)
    }

    fn len(&self) -> usize {
        self.queue().sent.len()
    }

    /// Waits until a message has waited for its answer for `max`.
    ///
    /// # Cancel safety
    /// Safe: it only waits.
    async fn overdue(&self, max: Duration) {
        loop {
            let since = {
                let queue = self.queue();
                (!queue.sent.is_empty()).then_some(queue.since)
            };
            match since {
                None => self.began.notified().await,
                Some(since) if since.elapsed() >= max => return,
                Some(since) => tokio::time::sleep_until(since + max).await,
            }
        }
    }
}

/// An open exchange.
struct Flow {
    /// Says one message after the other; `None` once there are no more.
    saying: Option<BoxFuture<'static, Result<(), PeerError>>>,
    listener: Listener,
    unanswered: Arc<Unanswered>,
    answer_max: Duration,
}

impl Flow {
    fn new<S>(
        (speaker, listener): (Speaker, Listener),
        first: Request,
        rest: S,
        answer_max: Duration,
    ) -> Self
    where
        S: Stream<Item = Request> + Send + Unpin + 'static,
    {
        let unanswered = Arc::new(Unanswered::new());
        let saying = say_all(speaker, first, rest, Arc::clone(&unanswered));
        Self { saying: Some(Box::pin(saying)), listener, unanswered, answer_max }
    }

    async fn next<'s, S>(mut self) -> Step<'s, S> {
        loop {
            let saying = async {
                match self.saying.as_mut() {
                    Some(saying) => saying.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                heard = self.listener.hear::<Appended>() => return self.heard(heard),
                said = saying => {
                    self.saying = None;
                    // What is still unanswered tells more than that the connection is gone.
                    if self.unanswered.len() == 0 {
                        return said.err().map(|error| (Err(rpc_error(error)), None));
                    }
                }
                () = self.unanswered.overdue(self.answer_max) => {
                    let (peer, ms) = (self.listener.peer(), self.answer_max.as_millis());
                    return self.failed(PeerError::Timeout { peer, ms });
                }
            }
        }
    }

    fn heard<'s, S>(self, heard: Result<Option<Appended>, PeerError>) -> Step<'s, S> {
        let appended = match heard {
            Ok(Some(appended)) => appended,
            // It stops, and has answered everything.
            Ok(None) if self.unanswered.len() == 0 => return None,
            Ok(None) => {
                let (peer, cause) = (self.listener.peer(), "it ended the exchange".into());
                return self.failed(PeerError::Unreachable { peer, cause });
            }
            Err(error) => return self.failed(error),
        };
        let Some(sent) = self.unanswered.pop() else {
            let (peer, cause) = (self.listener.peer(), "an answer to nothing".into());
            return self.failed(PeerError::Unreadable { peer, cause });
        };
        let (answer, goes_on) = sent.answered(appended.response);
        if !goes_on {
            self.listener.lost(self.unanswered.len());
        }
        Some((answer, goes_on.then(|| Stage::Flowing(Box::new(self)))))
    }

    fn failed<'s, S>(self, error: PeerError) -> Step<'s, S> {
        self.listener.lost(self.unanswered.len());
        Some((Err(rpc_error(error)), None))
    }
}

/// Says `first`, then `rest`, each once there is a slot for it.
async fn say_all(
    speaker: Speaker,
    first: Request,
    mut rest: impl Stream<Item = Request> + Unpin,
    unanswered: Arc<Unanswered>,
) -> Result<(), PeerError> {
    let mut next = Some(first);
    while let Some(request) = next {
        // Nobody closes the semaphore. Whoever pops gives the slot back.
        if let Ok(slot) = unanswered.slots.acquire().await {
            slot.forget();
        }
        unanswered.push(Sent::of(&request));
        speaker.say(&request).await?;
        next = rest.next().await;
    }
    Ok(())
}

#[cfg(test)]
#[cfg(not(sim))]
#[path = "pipeline_tests.rs"]
mod tests;
