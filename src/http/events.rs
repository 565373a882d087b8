//! `/cluster/events`: server-sent events (WHATWG HTML, section 9.2).
//!
//! `change` with each event, numbered; `status` with the whole state; and, for whoever asks,
//! `traffic` with what this node sent to the others.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use serde::Deserialize;
use tokio::sync::watch;
use tokio_stream::wrappers::{BroadcastStream, errors::BroadcastStreamRecvError};
use warp::Filter;
use warp::Reply;
use warp::filters::BoxedFilter;
use warp::filters::sse;
use warp::reply::Response;

use super::error::HttpError;
use super::{Answer, ClientAddr, Context, reply};
use crate::api::cluster::{ClusterStatus, NodeStatus, TrafficReport};
use crate::clock;
use crate::ident::Term;
use crate::limits::EVENTS_HISTORY_MAX;
use crate::net::crowd::Place;
use crate::observe::events::{Change, Event, Numbered};
use crate::observe::traffic::TrafficWatch;
use crate::service::Service;

/// Between two states that differ in figures only, and between two reports of traffic: ten a
/// second look alive, and no browser has to draw each commit.
const CALM_INTERVAL: Duration = Duration::from_millis(100);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EventsQuery {
    history: Option<usize>,
    traffic: Option<u8>,
}

pub fn routes(with: &BoxedFilter<(Context,)>) -> BoxedFilter<(Response,)> {
    warp::path!("cluster" / "events")
        .and(warp::get().or(warp::head()).unify())
        .and(with.clone())
        .and(warp::ext::get::<ClientAddr>())
        .and(warp::header::optional::<String>("last-event-id"))
        .and(warp::query())
        .then(|context: Context, client, last: Option<String>, query| {
            let answer = context.clone();
            context.measured("events", async move {
                events(&answer.service, last, &query, answer.stream_place(client)?)
            })
        })
        .boxed()
}

type Frame = Result<sse::Event, serde_json::Error>;

fn events(service: &Service, last: Option<String>, query: &EventsQuery, place: Place) -> Answer {
    let history = query.history.unwrap_or(0);
    if history > EVENTS_HISTORY_MAX {
        let most = format!("history is 0 to {EVENTS_HISTORY_MAX}");
        return Err(HttpError::BadRequest(most));
    }
    let traffic = match query.traffic {
        None | Some(0) => None,
        Some(1) => Some(service.traffic().watch()),
        Some(_) => return Err(HttpError::BadRequest("traffic is 0 or 1".into())),
    };
    let traffic = stream::iter(traffic).flat_map({
        let service = service.clone();
        move |watch| traffic_events(service.clone(), watch)
    });
    service.note_reader();
    let reader = service.clone();
    let states = statuses(service.status_rx()).inspect(move |_| reader.note_reader());
    let shown = stream::select(states, traffic);
    // A change is never behind a state that waits to be sent.
    let all = stream::select_with_strategy(
        changes(service, history, last.as_deref()),
        shown,
        |(): &mut ()| stream::PollNext::Left,
    );
    let stopped = service.stopping().clone().cancelled_owned();
    let all = all.take_until(stopped).inspect(move |_| {
        let _held = &place;
    });
    let mut response = sse::reply(sse::keep_alive().stream(assert_send(all))).into_response();
    reply::header(&mut response, "cache-control", "no-store");
    Ok(response)
}

/// Each change from now on, after `history` earlier ones, or after all that are kept of those
/// that came after the one that the client saw last.
fn changes(
    service: &Service,
    history: usize,
    last: Option<&str>,
) -> impl Stream<Item = Frame> + use<> {
    let started_ms = service.events().started_ms();
    // Of another life of this process: all of this one is news.
    let seen = last.and_then(|last| last.split_once('-')).map(|(life, number)| {
        let ours = life.parse() == Ok(started_ms);
        if ours { number.parse().unwrap_or(0) } else { 0_u64 }
    });
    let wanted = if seen.is_some() { EVENTS_HISTORY_MAX } else { history };
    let (mut past, coming) = service.events().subscribe(wanted);
    past.retain(|past| seen.is_none_or(|seen| past.number > seen));
    let service = service.clone();
    let coming = BroadcastStream::new(coming).map(move |event| match event {
        Ok(event) => (Some(event.number), event.event),
        Err(BroadcastStreamRecvError::Lagged(events)) => {
            let missed = Event {
                time_ms: clock::unix_ms(),
                reporter: service.node().clone(),
                term: Term(service.status().term),
                change: Change::Missed { events },
            };
            (None, missed)
        }
    });
    let past = stream::iter(past).map(|Numbered { number, event }| (Some(number), event));
    past.chain(coming).map(move |(number, event)| {
        let frame = sse::Event::default().event("change").json_data(&event)?;
        Ok(match number {
            Some(number) => frame.id(format!("{started_ms}-{number}")),
            None => frame,
        })
    })
}

/// The state at once, then whenever it is published: at once where it says something new of who
/// leads or who is well, and every [`CALM_INTERVAL`] at the most where only figures changed.
///
/// The watch channel holds the newest only, so a slow client gets fewer states, never old ones.
fn statuses(statuses: watch::Receiver<Arc<ClusterStatus>>) -> impl Stream<Item = Frame> {
    struct Sent {
        statuses: watch::Receiver<Arc<ClusterStatus>>,
        last: Option<(Arc<ClusterStatus>, clock::Instant)>,
    }
    stream::unfold(Sent { statuses, last: None }, |mut sent| async move {
        if let Some((last, at)) = &sent.last {
            let due = *at + CALM_INTERVAL;
            sent.statuses.changed().await.ok()?;
            while !is_news(last, &sent.statuses.borrow_and_update()) && clock::now() < due {
                tokio::select! {
                    () = tokio::time::sleep_until(due) => {}
                    changed = sent.statuses.changed() => changed.ok()?,
                }
            }
        }
        let status = Arc::clone(&sent.statuses.borrow_and_update());
        let frame = sse::Event::default().event("status").json_data(&*status);
        sent.last = Some((status, clock::now()));
        Some((frame, sent))
    })
}

/// True where people want to see it now.
fn is_news(before: &ClusterStatus, now: &ClusterStatus) -> bool {
    fn node(node: &NodeStatus) -> impl PartialEq + '_ {
        let doing = (&node.role, &node.mode, node.healthy, node.voter, node.raft_id);
        (&node.id, doing, &node.leader, &node.condition, &node.detector, node.handing_over)
    }
    let whole = |status: &ClusterStatus| (status.term, status.quorum, status.can_lose);
    whole(before) != whole(now)
        || before.leader_id != now.leader_id
        || before.leader_since_ms != now.leader_since_ms
        || before.warnings != now.warnings
        || before.nodes.len() != now.nodes.len()
        || before.nodes.iter().zip(&now.nodes).any(|(before, now)| node(before) != node(now))
}

/// What this node sent, every [`CALM_INTERVAL`] if it sent anything; messages of elections at
/// once.
fn traffic_events(service: Service, watch: TrafficWatch) -> impl Stream<Item = Frame> {
    let mut ticks = tokio::time::interval(CALM_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    stream::unfold((service, watch, ticks), |(service, mut watch, mut ticks)| async move {
        let sent = loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = watch.urgent() => {}
            }
            let sent = watch.news();
            if !sent.is_empty() {
                break sent;
            }
        };
        let report =
            TrafficReport { time_ms: clock::unix_ms(), node: service.node().clone(), sent };
        let frame = sse::Event::default().event("traffic").json_data(&report);
        Some((frame, (service, watch, ticks)))
    })
}

/// Names the bound that warp's own error message hides.
fn assert_send<S: Stream + Send + 'static>(stream: S) -> S {
    stream
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::cluster::Role;

    fn published(term: u64, commit: u64) -> Arc<ClusterStatus> {
        let mut node = NodeStatus::unknown("n1".parse().unwrap(), "127.0.0.1:1", "127.0.0.1:2");
        node.commit = commit;
        Arc::new(ClusterStatus { term, nodes: vec![node], ..ClusterStatus::default() })
    }

    async fn text(frames: &mut (impl Stream<Item = Frame> + Unpin)) -> String {
        frames.next().await.unwrap().unwrap().to_string()
    }

    #[tokio::test(start_paused = true)]
    async fn figures_wait_and_a_new_leader_does_not() {
        let (publish, receiver) = watch::channel(published(1, 0));
        let mut frames = Box::pin(statuses(receiver));
        assert!(text(&mut frames).await.contains("\"commit\":0"));
        let started = clock::now();
        // The newest of many figures, once, when it is time.
        for commit in 1..=50 {
            publish.send_replace(published(1, commit));
            let waits = futures_util::poll!(frames.next()).is_pending();
            assert!(waits, "{commit}");
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        assert!(text(&mut frames).await.contains("\"commit\":50"));
        let waited = started.elapsed();
        assert!(waited >= CALM_INTERVAL && waited < CALM_INTERVAL * 2, "{waited:?}");
        // And at once what people wait for, even right after the last.
        publish.send_replace(published(1, 51));
        assert!(futures_util::poll!(frames.next()).is_pending());
        publish.send_replace(published(2, 51));
        let sent = clock::now();
        assert!(text(&mut frames).await.contains("\"term\":2"));
        assert_eq!(sent.elapsed(), Duration::ZERO);
    }

    #[test]
    fn who_leads_and_who_is_well_is_news_and_figures_are_not() {
        let before = published(1, 1);
        let with = |change: fn(&mut ClusterStatus)| {
            let mut now = (*before).clone();
            change(&mut now);
            is_news(&before, &now)
        };
        assert!(!with(|_| {}));
        assert!(!with(|now| now.nodes[0].applied = 7));
        assert!(!with(|now| now.nodes[0].cpu_pct = 7.0));
        assert!(with(|now| now.leader_id = Some("n1".parse().unwrap())));
        assert!(with(|now| now.nodes[0].role = Role::Leader));
        assert!(with(|now| now.nodes[0].healthy = true));
        assert!(with(|now| now.quorum = true));
        assert!(with(|now| now.nodes.clear()));
    }
}
