//! Status, events, health checks and metrics.

use std::sync::Arc;

use futures_util::{Stream, StreamExt, stream};
use http::StatusCode;
use serde_json::json;
use tokio_stream::wrappers::{BroadcastStream, WatchStream, errors::BroadcastStreamRecvError};
use warp::Filter;
use warp::Reply;
use warp::filters::BoxedFilter;
use warp::filters::sse;
use warp::reply::Response;

use super::error::HttpError;
use super::{Answer, ClientAddr, Context, reply};
use crate::clock;
use crate::ident::Term;
use crate::net::crowd::Place;
use crate::observe::events::{Change, Event};
use crate::service::Service;

pub fn routes(with: &BoxedFilter<(Context,)>) -> BoxedFilter<(Response,)> {
    let get = |path: &'static str, call: &'static str, answer: fn(&Context) -> Answer| {
        // A path of one or two parts.
        let mut parts = path.split('/');
        let first = parts.next().unwrap_or_default();
        let filter = warp::path(first).boxed();
        let filter = match parts.next() {
            Some(second) => filter.and(warp::path(second)).boxed(),
            None => filter,
        };
        filter
            .and(warp::path::end())
            .and(warp::get().or(warp::head()).unify())
            .and(with.clone())
            .then(move |context: Context| {
                context.clone().measured(call, async move { answer(&context) })
            })
            .boxed()
    };
    let report = warp::path!("cluster" / "node")
        .and(warp::get().or(warp::head()).unify())
        .and(with.clone())
        .then(|context: Context| {
            context
                .clone()
                .measured("node", async move { Ok(reply::ok(&context.service.about().await)) })
        })
        .boxed();
    let events = warp::path!("cluster" / "events")
        .and(warp::get().or(warp::head()).unify())
        .and(with.clone())
        .and(warp::ext::get::<ClientAddr>())
        .then(|context: Context, client| {
            context.clone().measured("events", async move {
                Ok(events(&context.service, context.stream_place(client)?))
            })
        })
        .boxed();
    report
        .or(get("cluster/status", "status", |context| Ok(reply::ok(&*context.service.status()))))
        .unify()
        .or(events)
        .unify()
        .or(get("healthz", "healthz", healthz))
        .unify()
        .or(get("readyz", "readyz", readyz))
        .unify()
        .or(get("leaderz", "leaderz", leaderz))
        .unify()
        .or(get("metrics", "metrics", metrics))
        .unify()
        .boxed()
}

fn healthz(context: &Context) -> Answer {
    let node = context.service.node();
    Ok(reply::ok(&json!({ "status": "ok", "node": node, "version": env!("CARGO_PKG_VERSION") })))
}

fn readyz(context: &Context) -> Answer {
    let status = context.service.status();
    if status.quorum || context.service.serves_alone() {
        let alone = !status.quorum;
        let leader = &status.leader_id;
        Ok(reply::ok(&json!({ "status": "ready", "leader": leader, "solo": alone })))
    } else {
        Err(HttpError::NotReady)
    }
}

fn leaderz(context: &Context) -> Answer {
    if context.service.leads() {
        return Ok(reply::ok(&json!({ "status": "leader", "node": context.service.node() })));
    }
    let status = context.service.status();
    Err(HttpError::NotLeader {
        leader: status.leader_id.clone(),
        address: status.leader_address.clone(),
        redirect: None,
    })
}

fn metrics(context: &Context) -> Answer {
    let text = context.service.metrics().render();
    let permit = Arc::new(context.service.admit(text.len() as u64)?);
    let text = reply::held(text.into(), &permit);
    Ok(reply::bytes(StatusCode::OK, "text/plain; version=0.0.4", text))
}

/// Server-sent events (WHATWG HTML, section 9.2): `status` with the whole state
/// whenever it is published, and `change` with each event.
fn events(service: &Service, place: Place) -> Response {
    let statuses = WatchStream::new(service.status_rx())
        .map(|status| sse::Event::default().event("status").json_data(&*status));
    let changes = BroadcastStream::new(service.events().subscribe());
    let service_of_missed = service.clone();
    let changes = changes.map(move |event| {
        let event = event.unwrap_or_else(|BroadcastStreamRecvError::Lagged(events)| Event {
            time_ms: clock::unix_ms(),
            reporter: service_of_missed.node().clone(),
            term: Term(service_of_missed.status().term),
            change: Change::Missed { events },
        });
        sse::Event::default().event("change").json_data(&event)
    });
    let stopped = service.stopping().clone().cancelled_owned();
    let all = stream::select(statuses, changes).take_until(stopped).inspect(move |_| {
        let _held = &place;
    });
    let mut response = sse::reply(sse::keep_alive().stream(assert_send(all))).into_response();
    reply::header(&mut response, "cache-control", "no-store");
    response
}

/// Names the bound that warp's own error message hides.
fn assert_send<S: Stream + Send + 'static>(stream: S) -> S {
    stream
}
