//! Records on their way to the leader, which this node may be: what waits together goes together.
//!
//! While few groups are on their way the next leaves at once, with all that waits by then. So a
//! record alone waits for nothing, and under load groups grow instead of becoming more (as in
//! RFC 896, where one packet is on its way at a time). A group shares all that a commit costs: a
//! message to the leader, its place in the log, the fsyncs, the messages to followers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, oneshot};

use super::submit::{Attempt, Submitted, put_all_here};
use crate::clock;
use crate::limits::SUBMIT_MAX;
use crate::observe::metrics::Metrics;
use crate::peer::PeerError;
use crate::peer::link::Link;
use crate::raft::Consensus;
use crate::record::Record;
use crate::rt::RaftRt;

/// One record, answered with [`Submitted`].
pub(super) const PUT: &str = "/service/put";
/// An array of records, answered with as many [`Entered`]. Nodes before it answer 404.
pub(super) const PUT_ALL: &str = "/service/put-all";

/// Groups of this node's in its log that are not committed yet: one for each of these that a commit
/// takes at least. Where it takes less, a second group would only make fsyncs be shared by fewer
/// records; where the ways are long, the disks would be idle without it.
const FLIGHT_EACH: Duration = Duration::from_millis(4);
const FLIGHTS_HERE_MAX: usize = 4;
/// Commits by which the least time of one is judged. Longer ones may have waited for a processor.
const COMMITS_JUDGED: usize = 8;
/// Messages on their way to a leader elsewhere, where they make one group with what else waits.
const FLIGHTS_THERE_MAX: usize = 4;
/// Where so many records are likely to come soon, the next group leaves once most are there.
const CROWD: usize = 8;
/// But no later. By tokio's timer it is up to a millisecond more.
const CROWD_WAIT_MAX: Duration = Duration::from_millis(1);
/// The same while jobs wait for the codec's threads: what it costs to commit a record alone is
/// better spent on those.
const BUSY_WAIT_MAX: Duration = Duration::from_millis(2);
/// Records in one group: some 80 kB.
const RECORDS_MAX: usize = 256;
/// What waited for so long leaves whatever else is on its way, which may be stuck.
const WAIT_MAX: Duration = Duration::from_millis(20);

/// What became of one record of [`PUT_ALL`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Entered {
    Submitted(Submitted),
    /// Not now. Another attempt may succeed.
    Refused(String),
}

/// Where records are committed.
#[derive(Clone)]
pub(super) enum Leader {
    Here(Consensus),
    /// Over a link of the service's lane.
    There(Link),
}

impl Leader {
    /// Its address; empty for this node.
    fn key(&self) -> &str {
        match self {
            Self::Here(_) => "",
            Self::There(link) => link.addr(),
        }
    }
}

type Answer = Result<Submitted, Attempt>;

struct Waiting {
    record: Record,
    answer: oneshot::Sender<Answer>,
}

impl Waiting {
    fn answer(self, answer: Answer) {
        // Whoever asked may have gone.
        let _ = self.answer.send(answer);
    }
}

/// What is for one leader.
#[derive(Default)]
struct Way {
    waiting: VecDeque<Waiting>,
    /// Tasks that take one group after the other until nothing waits.
    flights: usize,
    /// Told once so many records wait.
    awaited: Option<(usize, Arc<Notify>)>,
}

/// How long the last groups of this node took to be committed.
#[derive(Debug, Default)]
struct Pace(VecDeque<Duration>);

impl Pace {
    fn took(&mut self, time: Duration) {
        self.0.truncate(COMMITS_JUDGED - 1);
        self.0.push_front(time);
    }

    /// How many groups may be on their way at once.
    fn flights(&self) -> usize {
        let least = self.0.iter().min().filter(|_| self.0.len() == COMMITS_JUDGED);
        let flights = least.map_or(1, |least| least.as_nanos() / FLIGHT_EACH.as_nanos());
        usize::try_from(flights).unwrap_or(usize::MAX).clamp(1, FLIGHTS_HERE_MAX)
    }
}

/// See the module. Cheap to clone.
#[derive(Clone)]
pub(super) struct Groups {
    rt: RaftRt,
    metrics: Arc<Metrics>,
    /// By [`Leader::key`]. Only those for which something waits or flies.
    ways: Arc<Mutex<BTreeMap<String, Way>>>,
    pace: Arc<Mutex<Pace>>,
}

impl Groups {
    pub fn new(rt: RaftRt, metrics: Arc<Metrics>) -> Self {
        Self { rt, metrics, ways: Arc::default(), pace: Arc::default() }
    }

    /// Gives `record` to the leader, once.
    ///
    /// # Cancel safety
    /// A record that has not left yet does not; one that has may be entered.
    pub async fn put(&self, leader: &Leader, record: Record) -> Answer {
        let mut answers = self.put_all(leader, [record]).await;
        answers.pop().unwrap_or(Err(Attempt::Again))
    }

    /// The same for all of `records`, with an answer for each, in their order.
    pub async fn put_all(
        &self,
        leader: &Leader,
        records: impl IntoIterator<Item = Record>,
    ) -> Vec<Answer> {
        let mut answers = join_all(self.enqueue(leader, records));
        let flights_max = match leader {
            Leader::Here(_) => self.pace().flights(),
            Leader::There(_) => FLIGHTS_THERE_MAX,
        };
        self.fly(leader, flights_max);
        let answers = match tokio::time::timeout(WAIT_MAX, &mut answers).await {
            Ok(answers) => answers,
            Err(_) => {
                self.fly(leader, usize::MAX);
                answers.await
            }
        };
        // The task that would have answered may have ended with its runtime.
        answers.into_iter().map(|answer| answer.unwrap_or(Err(Attempt::Again))).collect()
    }

    fn enqueue(
        &self,
        leader: &Leader,
        records: impl IntoIterator<Item = Record>,
    ) -> Vec<oneshot::Receiver<Answer>> {
        let mut ways = self.ways();
        let way = ways.entry(leader.key().to_owned()).or_default();
        let enqueue = |record| {
            let (answer, answered) = oneshot::channel();
            way.waiting.push_back(Waiting { record, answer });
            answered
        };
        let answered = records.into_iter().map(enqueue).collect();
        if let Some((most, gathered)) = &way.awaited
            && way.waiting.len() >= *most
        {
            gathered.notify_one();
        }
        answered
    }

    /// One more flight, where anything waits and there are fewer than `flights_max`.
    fn fly(&self, leader: &Leader, flights_max: usize) {
        match self.ways().get_mut(leader.key()) {
            Some(way) if !way.waiting.is_empty() && way.flights < flights_max => way.flights += 1,
            _ => return,
        }
        let (this, leader) = (self.clone(), leader.clone());
        self.rt.spawn("commit", async move {
            while let Some(group) = this.next(leader.key()) {
                match &leader {
                    Leader::Here(consensus) => {
                        let (records, left) = (group.len(), clock::now());
                        enter(consensus, group).await;
                        this.pace().took(left.elapsed());
                        this.gather(leader.key(), records).await;
                    }
                    Leader::There(link) => send(link, group).await,
                }
            }
        });
    }

    /// What leaves next; `None` where nothing waits, and the flight is over.
    fn next(&self, key: &str) -> Option<Vec<Waiting>> {
        let mut ways = self.ways();
        let way = ways.get_mut(key)?;
        let mut group = Vec::new();
        while group.len() < RECORDS_MAX
            && let Some(waiting) = way.waiting.pop_front()
        {
            // Whoever brought it may have gone to the next leader.
            if !waiting.answer.is_closed() {
                group.push(waiting);
            }
        }
        if !group.is_empty() {
            return Some(group);
        }
        way.flights -= 1;
        if way.flights == 0 {
            ways.remove(key);
        }
        None
    }

    /// Waits a little after `answered` records were answered, where others are likely to come: whoever
    /// was just answered often comes again.
    async fn gather(&self, key: &str, answered: usize) {
        let Some((gathered, within)) = self.await_others(key, answered) else { return };
        // An error means that no more came in time.
        let _ = tokio::time::timeout(within, gathered.notified()).await;
        if let Some(way) = self.ways().get_mut(key) {
            way.awaited = None;
        }
    }

    fn await_others(&self, key: &str, answered: usize) -> Option<(Arc<Notify>, Duration)> {
        let busy = self.metrics.codec_queue.get() > 0;
        let mut ways = self.ways();
        let way = ways.get_mut(key)?;
        let crowd = answered + way.waiting.len();
        let most = crowd.max(CROWD) * 3 / 4;
        if (crowd < CROWD && !busy) || way.waiting.len() >= most {
            return None;
        }
        let gathered = Arc::new(Notify::new());
        way.awaited = Some((most, Arc::clone(&gathered)));
        Some((gathered, if busy { BUSY_WAIT_MAX } else { CROWD_WAIT_MAX }))
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A poisoned map is as good as another: nothing panics while it is held.
    fn ways(&self) -> MutexGuard<'_, BTreeMap<String, Way>> {
        self.ways.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Enters a group into this node's log.
async fn enter(consensus: &Consensus, group: Vec<Waiting>) {
    let records = group.iter().map(|waiting| waiting.record.clone()).collect();
    let answers = put_all_here(consensus, records).await;
    for (waiting, answer) in group.into_iter().zip(answers) {
        waiting.answer(answer.map_err(Attempt::from));
    }
}

/// Sends a group to the leader's node.
async fn send(link: &Link, mut group: Vec<Waiting>) {
    if group.len() == 1 {
        for waiting in group.drain(..) {
            send_one(link, waiting).await;
        }
        return;
    }
    let records: Vec<&Record> = group.iter().map(|waiting| &waiting.record).collect();
    match link.call::<_, Vec<Entered>>(PUT_ALL, &records, SUBMIT_MAX).await {
        // Whose answer is missing is told by the dropped sender.
        Ok(answers) => {
            for (waiting, entered) in group.into_iter().zip(answers) {
                waiting.answer(match entered {
                    Entered::Submitted(submitted) => Ok(submitted),
                    Entered::Refused(_) => Err(Attempt::Again),
                });
            }
        }
        Err(PeerError::Rejected { status, .. }) if status == StatusCode::NOT_FOUND.as_u16() => {
            join_all(group.into_iter().map(|waiting| send_one(link, waiting))).await;
        }
        Err(error) => {
            tracing::debug!(records = group.len(), cause = %error, "the leader did not take them");
            let attempt = Attempt::from(error);
            group.into_iter().for_each(|waiting| waiting.answer(Err(attempt)));
        }
    }
}

async fn send_one(link: &Link, waiting: Waiting) {
    let answer = link.call(PUT, &waiting.record, SUBMIT_MAX).await;
    waiting.answer(answer.map_err(|error| {
        tracing::debug!(cause = %error, "the leader did not take a record");
        Attempt::from(error)
    }));
}

#[cfg(test)]
#[cfg(not(sim))]
#[path = "groups_tests.rs"]
mod tests;
