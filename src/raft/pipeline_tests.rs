//! Exchanges with followers that answer as they are told, over real connections.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::stream;
use openraft::RaftNetworkFactory as _;
use openraft::vote::RaftLeaderId as _;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::net::gate::Gate;
use crate::observe::traffic::Kind;
use crate::peer::envelope::Sender;
use crate::peer::frames::{Frames, frame};
use crate::peer::link::Links;
use crate::peer::routes::{Admit, Refusal, Routes, streamed};
use crate::peer::testing;
use crate::raft::ballots::Ballots;
use crate::raft::log_store::LogStore;
use crate::raft::log_writer::LogWriter;
use crate::raft::network::{APPEND, Network};
use crate::raft::types::{Entry, MemberNode, Vote};
use crate::rt::RaftRt;
use crate::store::MemoryStore;

/// Longer than anything here takes, but where nothing is answered.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a follower does with the messages of an exchange.
#[derive(Clone)]
enum Manner {
    /// It is of a version that knows none.
    Old,
    /// It answers nothing before it may, and then everything with a yes.
    Patient(watch::Receiver<bool>),
    /// Its log conflicts with message number this.
    Conflicting(usize),
    /// It ends the exchange in the place of answer number this.
    Leaving(usize),
}

struct Follower {
    connection: Connection,
    links: Links,
    questions: Arc<AtomicUsize>,
    messages: watch::Receiver<usize>,
    _stop: CancellationToken,
}

fn appended(number: usize, manner: &Manner) -> Option<Appended> {
    let response = match manner {
        Manner::Conflicting(at) if *at == number => AppendEntriesResponse::Conflict,
        Manner::Leaving(at) if *at == number => return None,
        _ => AppendEntriesResponse::Success,
    };
    Some(Appended { response, durable_last: None })
}

async fn follower(manner: Manner) -> Follower {
    let rt = RaftRt::new(tokio::runtime::Handle::current());
    let (questions, mut routes) = (Arc::new(AtomicUsize::new(0)), Routes::default());
    let count = Arc::clone(&questions);
    routes.json(APPEND, Admit::Newcomers, move |_, _: Request| {
        count.fetch_add(1, Ordering::Relaxed);
        async { Ok(Appended { response: AppendEntriesResponse::Success, durable_last: None }) }
    });
    let (came, messages) = watch::channel(0);
    if !matches!(manner, Manner::Old) {
        let reading = rt.clone();
        routes.raw(APPEND_ALL, Admit::Newcomers, move |_, body| {
            let (came, manner, rt) = (came.clone(), manner.clone(), reading.clone());
            // Read as it comes, whatever becomes of the answers.
            let (sender, numbers) = mpsc::channel(64);
            rt.spawn("follower", async move {
                let mut frames = Frames::new(body);
                while let Ok(Some(json)) = frames.next().await {
                    serde_json::from_slice::<Request>(&json).unwrap();
                    came.send_modify(|came| *came += 1);
                    let number = *came.borrow();
                    let _ = sender.send(number).await;
                }
            });
            let answers = stream::unfold((numbers, manner), |(mut numbers, manner)| async move {
                let number = numbers.recv().await?;
                if let Manner::Patient(may) = &manner {
                    may.clone().wait_for(|may| *may).await.unwrap();
                }
                let answer = appended(number, &manner)?;
                Some((Ok(frame(&answer).unwrap()), (numbers, manner)))
            });
            async move { Ok::<_, Refusal>(streamed(answers)) }
        });
    }
    let (addr, stop) = testing::serve(&rt, routes, Sender::new("n2".parse().unwrap())).await;
    let links = Links::new(rt.clone(), Sender::new("n1".parse().unwrap()), Gate::default());
    links.traffic().set_names([(addr.clone(), "n2".parse().unwrap())].into());
    let store: Arc<dyn crate::store::Store> = Arc::new(MemoryStore::default());
    let writer = LogWriter::start(Arc::clone(&store), Default::default()).unwrap();
    let log = LogStore::open(rt, store, writer, Ballots::new(1)).unwrap().view();
    let mut network = Network::new(links.clone(), Ballots::new(1), log, Default::default());
    let node = MemberNode {
        name: "n2".parse().unwrap(),
        http_addr: "127.0.0.1:1".into(),
        raft_addr: addr.clone(),
    };
    let connection = network.new_client(2, &node).await;
    Follower { connection, links, questions, messages, _stop: stop }
}

fn id(index: u64) -> LogId {
    LogId::new(openraft::impls::leader_id_std::LeaderId::new(1, 1).to_committed(), index)
}

/// Messages with the entries from `first` on, one each.
fn requests(first: u64, count: u64) -> impl Stream<Item = Request> + Send + Unpin + 'static {
    stream::iter((first..first + count).map(|index| AppendEntriesRequest {
        vote: Vote::new_committed(1, 1),
        prev_log_id: index.checked_sub(1).map(id),
        entries: vec![Entry::new_blank(id(index))],
        leader_commit: None,
    }))
}

fn option() -> RPCOption {
    RPCOption::new(PATIENCE)
}

/// The last entry of each success, and whether an error ended them.
async fn all(mut answers: BoxStream<'_, Answer>) -> (Vec<Option<LogId>>, Option<String>) {
    let mut successes = Vec::new();
    while let Some(answer) = answers.next().await {
        match answer {
            Ok(Ok(last)) => successes.push(last),
            Ok(Err(no)) => return (successes, Some(no.to_string())),
            Err(error) => return (successes, Some(error.to_string())),
        }
    }
    (successes, None)
}

fn ids(range: std::ops::Range<u64>) -> Vec<Option<LogId>> {
    range.map(|index| Some(id(index))).collect()
}

#[tokio::test]
async fn messages_leave_without_the_answers_to_those_before_up_to_a_bound() {
    let (let_answer, may) = watch::channel(false);
    let mut follower = follower(Manner::Patient(may)).await;
    let (mut messages, count) = (follower.messages.clone(), 3 * UNANSWERED_MAX as u64);
    let mut answers = send(&mut follower.connection, requests(1, 1 + count), option());
    assert_eq!(answers.next().await.unwrap().unwrap().unwrap(), Some(id(1)));
    // The second answer is waited for while the follower gets what may leave without it.
    let waiting = async {
        let second = answers.next().await;
        (second, all(answers).await)
    };
    let watching = async {
        messages.wait_for(|came| *came == UNANSWERED_MAX).await.unwrap();
        let more = messages.wait_for(|came| *came > UNANSWERED_MAX);
        let more = tokio::time::timeout(Duration::from_millis(50), more).await;
        assert!(more.is_err(), "more than may be unanswered: {more:?}");
        let_answer.send(true).unwrap();
    };
    let ((second, (others, end)), ()) = tokio::join!(waiting, watching);
    assert_eq!(second.unwrap().unwrap().unwrap(), Some(id(2)));
    assert_eq!((others, end), (ids(3..count + 2), None));
    assert_eq!(follower.questions.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn an_older_follower_is_asked_one_by_one() {
    let mut follower = follower(Manner::Old).await;
    let answers = send(&mut follower.connection, requests(1, 5), option());
    assert_eq!(all(answers).await, (ids(1..6), None));
    assert_eq!(follower.questions.load(Ordering::Relaxed), 5);
}

#[tokio::test]
async fn a_conflict_ends_the_session_with_its_place() {
    let mut follower = follower(Manner::Conflicting(3)).await;
    let answers = send(&mut follower.connection, requests(1, 9), option());
    let (successes, end) = all(answers).await;
    assert_eq!(successes, ids(1..4));
    assert_eq!(end.as_deref(), Some(format!("Conflict({})", id(3)).as_str()));
    // A log that holds nothing yet has nothing to be in conflict with.
    let nothing = Sent { prev: None, last: Some(id(0)) };
    assert!(nothing.answered(AppendEntriesResponse::Conflict).0.is_err());
}

#[tokio::test]
async fn a_follower_that_goes_or_falls_silent_ends_the_session_with_an_error() {
    let mut leaving = follower(Manner::Leaving(2)).await;
    let (successes, end) = all(send(&mut leaving.connection, requests(1, 9), option())).await;
    assert_eq!(successes, ids(1..3));
    assert!(end.unwrap().contains("it ended the exchange"));

    let (_let_answer, may) = watch::channel(false);
    let mut silent = follower(Manner::Patient(may)).await;
    let short = RPCOption::new(Duration::from_millis(200));
    let more = requests(1, 3).chain(stream::pending());
    let (successes, end) = all(send(&mut silent.connection, more, short)).await;
    assert_eq!(successes, ids(1..2));
    assert!(end.unwrap().contains("did not answer within 150 ms"));
    let lost: u64 = silent
        .links
        .traffic()
        .endings()
        .iter()
        .filter(|ended| ended.kind == Kind::Append)
        .map(|ended| ended.lost)
        .sum();
    assert_eq!(lost, 2);
}
