//! Every operation of every client of a drill: what was asked, when, and how it ended.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;

use crate::clock::{self, Instant};
use crate::ident::RecordId;
use crate::record::Digest;

/// Records whose writes began last, among which reads choose: few, so that each is read often
/// while it is new.
const RECENT_MAX: usize = 24;

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Act {
    /// Hide a secret, and enter the record.
    Embed,
    /// Enter a record without a picture.
    Commit,
    /// Read a record linearizably.
    Read,
}

/// Who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// A client of the load.
    Load,
    /// The drill itself, which measures.
    Probe,
    /// A client that reads what the others write.
    Reader,
}

/// How an operation ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum Ended {
    /// A write was acknowledged with this digest; `local` where by one node alone, so that the
    /// others may show it any time later.
    Ok { digest: Digest, local: bool },
    /// A read was answered: the record's digest, or that there is none.
    Found { digest: Option<Digest> },
    /// Refused, or never sent: nothing was done.
    Failed { cause: String },
    /// The client never learned whether it was done.
    Unknown { cause: String },
}

/// One operation of one client.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Operation {
    pub part: Part,
    /// Number of the server that answered, or that was asked last.
    pub server: Option<usize>,
    pub act: Act,
    pub id: RecordId,
    /// Since the drill began, in microseconds.
    #[serde(rename = "called_us", serialize_with = "micros")]
    pub called: Duration,
    #[serde(rename = "ended_us", serialize_with = "micros")]
    pub ended: Duration,
    /// Requests that were made.
    pub attempts: u32,
    #[serde(flatten)]
    pub result: Ended,
}

fn micros<S: serde::Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
}

/// An operation that has begun.
#[derive(Debug, Clone)]
pub(super) struct Call {
    part: Part,
    act: Act,
    pub id: RecordId,
    pub called: Instant,
}

/// A record whose acknowledgement reached the client, and the digest it came with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acked {
    pub id: RecordId,
    pub digest: Digest,
}

/// Writes of the load by how they ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub ok: u64,
    /// Without those whose outcome is unknown.
    pub failed: u64,
    /// The client never learned whether they were done.
    pub unknown: u64,
    /// Needed more than one attempt; also counted above.
    pub retried: u64,
}

impl Counts {
    /// What came since `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            ok: self.ok - earlier.ok,
            failed: self.failed - earlier.failed,
            unknown: self.unknown - earlier.unknown,
            retried: self.retried - earlier.retried,
        }
    }

    fn count(&mut self, operation: &Operation) {
        self.retried += u64::from(operation.attempts > 1);
        match operation.result {
            Ended::Ok { .. } | Ended::Found { .. } => self.ok += 1,
            Ended::Failed { .. } => self.failed += 1,
            Ended::Unknown { .. } => self.unknown += 1,
        }
    }
}

#[derive(Debug, Default)]
struct Written {
    operations: Vec<Operation>,
    counts: Counts,
    recent: VecDeque<RecordId>,
}

/// Shared by all clients of a drill.
#[derive(Debug)]
pub struct History {
    begun: Instant,
    written: Mutex<Written>,
}

impl Default for History {
    fn default() -> Self {
        Self { begun: clock::now(), written: Mutex::default() }
    }
}

impl History {
    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be called just before the request is made.
    pub(super) fn call(&self, part: Part, act: Act, id: RecordId) -> Call {
        if act != Act::Read {
            let mut written = self.written();
            if written.recent.len() == RECENT_MAX {
                written.recent.pop_front();
            }
            written.recent.push_back(id.clone());
        }
        Call { part, act, id, called: clock::now() }
    }

    /// To be called just after the answer. Says when that was.
    pub(super) fn end(
        &self,
        call: Call,
        server: Option<usize>,
        attempts: u32,
        result: Ended,
    ) -> Instant {
        let now = clock::now();
        let since = |at: Instant| at.saturating_duration_since(self.begun);
        let Call { part, act, id, called } = call;
        let (called, ended) = (since(called), since(now));
        let operation = Operation { part, server, act, id, called, ended, attempts, result };
        let mut written = self.written();
        if part == Part::Load {
            written.counts.count(&operation);
        }
        written.operations.push(operation);
        now
    }

    /// One of the records whose writes began last, by `draw`, which is given how many there are.
    pub(super) fn recent(&self, draw: impl FnOnce(u64) -> u64) -> Option<RecordId> {
        let written = self.written();
        let drawn = draw(written.recent.len() as u64) as usize;
        written.recent.get(drawn).cloned()
    }

    pub fn counts(&self) -> Counts {
        self.written().counts
    }

    pub fn operations(&self) -> Vec<Operation> {
        self.written().operations.clone()
    }

    /// The end of the first write of the load that was begun at `from` or later and acknowledged.
    pub(super) fn first_answer(&self, from: Instant) -> Option<Instant> {
        let since = from.saturating_duration_since(self.begun);
        let written = self.written();
        let answered = |operation: &&Operation| {
            let ok = matches!(operation.result, Ended::Ok { .. });
            operation.part == Part::Load && operation.called >= since && ok
        };
        let first = written.operations.iter().filter(answered).map(|done| done.ended).min();
        first.map(|ended| self.begun + ended)
    }
}

/// Every record that `operations` tell was acknowledged.
pub fn acked(operations: &[Operation]) -> Vec<Acked> {
    let acked = |operation: &Operation| match operation.result {
        Ended::Ok { digest, .. } => Some(Acked { id: operation.id.clone(), digest }),
        Ended::Found { .. } | Ended::Failed { .. } | Ended::Unknown { .. } => None,
    };
    operations.iter().filter_map(acked).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_load_is_counted_and_every_acknowledgement_is_kept() {
        let history = History::default();
        let id = |text: &str| text.parse::<RecordId>().unwrap();
        let digest = Digest::of(b"x");
        let ok = Ended::Ok { digest, local: false };
        let begun = clock::now();
        for (part, name, attempts, result) in [
            (Part::Load, "a", 2, ok.clone()),
            (Part::Load, "b", 1, Ended::Unknown { cause: "cut".into() }),
            (Part::Probe, "c", 1, ok.clone()),
            (Part::Probe, "d", 1, Ended::Failed { cause: "no".into() }),
        ] {
            let call = history.call(part, Act::Commit, id(name));
            history.end(call, Some(0), attempts, result);
        }
        let counts = history.counts();
        assert_eq!(counts, Counts { ok: 1, failed: 0, unknown: 1, retried: 1 });
        let known = acked(&history.operations());
        assert_eq!(known, ["a", "c"].map(|name| Acked { id: id(name), digest }));
        assert!(history.first_answer(begun).is_some());
        assert_eq!(history.first_answer(clock::now()), None);
        assert_eq!(history.recent(|many| many - 1), Some(id("d")));
        let line = serde_json::to_value(&history.operations()[1]).unwrap();
        assert_eq!((&line["part"], &line["outcome"]), (&"load".into(), &"unknown".into()));
    }
}
