//! Status, health checks and metrics.

use std::sync::Arc;

use http::StatusCode;
use serde_json::json;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::error::HttpError;
use super::{Answer, Context, reply};

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
    report
        .or(get("cluster/status", "status", |context| {
            context.service.note_reader();
            Ok(reply::ok(&*context.service.status()))
        }))
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
    let metrics = context.service.metrics();
    metrics.count_messages(context.service.traffic());
    let text = metrics.render();
    let permit = Arc::new(context.service.admit(text.len() as u64)?);
    let text = reply::held(text.into(), &permit);
    Ok(reply::bytes(StatusCode::OK, "text/plain; version=0.0.4", text))
}
