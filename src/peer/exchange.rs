//! An exchange of many messages and as many answers over one connection, in which nobody waits for
//! an answer before the next message. Begin with [`Link::open`](super::link::Link::open).

use std::io;

use bytes::Bytes;
use hyper::body::Incoming;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use super::PeerError;
use super::frames::{FrameError, Frames, frame};
use super::link::Link;
use crate::net::gate::Way;
use crate::observe::traffic::{Kind, Outcome};

/// Frames that wait for the connection; beyond it the sender waits.
pub(super) const WAITING_MAX: usize = 2;

/// The way there. The other side learns that no more comes when this is dropped.
pub struct Speaker {
    link: Link,
    kind: Kind,
    frames: mpsc::Sender<Result<Bytes, io::Error>>,
}

/// The way back.
pub struct Listener {
    link: Link,
    kind: Kind,
    answers: Frames<Incoming>,
    /// Came, and waits for the gate.
    held: Option<Bytes>,
}

pub(super) fn new(
    link: &Link,
    kind: Kind,
    frames: mpsc::Sender<Result<Bytes, io::Error>>,
    answers: Incoming,
) -> (Speaker, Listener) {
    let answers = Frames::new(answers);
    (
        Speaker { link: link.clone(), kind, frames },
        Listener { link: link.clone(), kind, answers, held: None },
    )
}

impl Speaker {
    /// Sends `message` behind those before it.
    ///
    /// # Errors
    /// The connection is gone, or the message is nothing that JSON can say.
    ///
    /// # Cancel safety
    /// Whether the message leaves is unknown then.
    pub async fn say<M: Serialize>(&self, message: &M) -> Result<(), PeerError> {
        let frame = frame(message)
            .map_err(|error| self.link.unreadable(format!("our own message: {error}")))?;
        self.link.counts().sent(self.kind);
        self.link.pass_gate(Way::Out).await;
        let sent = self.frames.send(Ok(frame)).await;
        sent.map_err(|_| self.link.unreachable("the connection is gone"))
    }
}

impl Listener {
    /// The next answer; `None` where the other side has ended the exchange.
    ///
    /// # Errors
    /// The connection broke, or what came cannot be read.
    ///
    /// # Cancel safety
    /// Safe: what came stays for the next call.
    pub async fn hear<A: DeserializeOwned>(&mut self) -> Result<Option<A>, PeerError> {
        if self.held.is_none() {
            self.held = self.answers.next().await.map_err(|error| match error {
                FrameError::Broken(_) => self.link.unreachable(error),
                other => self.link.unreadable(other),
            })?;
        }
        self.link.pass_gate(Way::In).await;
        let Some(json) = self.held.take() else { return Ok(None) };
        self.link.counts().ended(self.kind, Outcome::Answered);
        serde_json::from_slice(&json).map(Some).map_err(|error| self.link.unreadable(error))
    }

    /// Where the other side is, for what is said of it.
    pub fn peer(&self) -> String {
        self.link.addr().to_owned()
    }

    /// `messages` have no answer and will have none.
    pub fn lost(&self, messages: usize) {
        for _ in 0..messages {
            self.link.counts().ended(self.kind, Outcome::Lost);
        }
    }
}
