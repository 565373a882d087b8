//! The routes against their description: what `openapi.json` lists is what is mounted.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::Empty;
use serde_json::Value;
use tokio::sync::watch;

use super::*;
use crate::api::cluster::ClusterStatus;
use crate::ledger::query::Ledger;
use crate::observe::events::Events;
use crate::observe::metrics::Metrics;
use crate::pool::Pool;
use crate::record::{Durability, Record};
use crate::rt::ClientRt;
use crate::service::operate::Operator;
use crate::service::submit::Submitted;
use crate::service::{LedgerAccess, LedgerFuture, RequestStats, ServiceParts};
use crate::solo::Journal;

/// Every call, by method and path. A new route is added here and in `openapi.json`.
const ROUTES: &[(&str, &str)] = &[
    ("get", "/"),
    ("head", "/"),
    ("get", "/app.js"),
    ("head", "/app.js"),
    ("get", "/style.css"),
    ("head", "/style.css"),
    ("get", "/openapi.json"),
    ("head", "/openapi.json"),
    ("post", "/admin/fail"),
    ("post", "/admin/members"),
    ("post", "/admin/records"),
    ("post", "/admin/restore"),
    ("post", "/admin/transfer-leader"),
    ("get", "/api/capacity"),
    ("post", "/api/capacity"),
    ("post", "/api/commit"),
    ("get", "/api/dataset/{index}"),
    ("post", "/api/embed"),
    ("post", "/api/extract"),
    ("get", "/api/ledger"),
    ("get", "/api/records"),
    ("get", "/api/records/{id}"),
    ("post", "/api/verify"),
    ("get", "/cluster/node"),
    ("head", "/cluster/node"),
    ("get", "/cluster/events"),
    ("head", "/cluster/events"),
    ("get", "/cluster/status"),
    ("head", "/cluster/status"),
    ("get", "/healthz"),
    ("head", "/healthz"),
    ("get", "/leaderz"),
    ("head", "/leaderz"),
    ("get", "/metrics"),
    ("head", "/metrics"),
    ("get", "/readyz"),
    ("head", "/readyz"),
];

/// A ledger that acknowledges everything and keeps nothing.
struct Forgetful;

impl LedgerAccess for Forgetful {
    fn put(&self, record: Record, durability: Durability) -> LedgerFuture<'_, Submitted> {
        Box::pin(async move { Ok(Submitted { record, replayed: false, durability }) })
    }

    fn barrier(&self) -> LedgerFuture<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn ledger(&self) -> Option<Ledger> {
        None
    }

    fn journal(&self) -> Option<Journal> {
        None
    }
}

/// A node's routes without a node. Operator commands find it stopped.
fn mounted(pause: &PauseGate) -> BoxedFilter<(Response,)> {
    mounted_with(pause, false)
}

fn mounted_with(pause: &PauseGate, remote_admin: bool) -> BoxedFilter<(Response,)> {
    let metrics = Arc::new(Metrics::new());
    let node: crate::ident::NodeName = "n1".parse().unwrap();
    let status = Arc::new(ClusterStatus { node: Some(node.clone()), ..ClusterStatus::default() });
    let service = Service::new(ServiceParts {
        rt: ClientRt::new(tokio::runtime::Handle::current()),
        node: node.clone(),
        ledger: Arc::new(Forgetful),
        pool: Pool::new(1, 4, Arc::clone(&metrics)),
        default_cover: Bytes::from_static(crate::stego::default_cover()),
        covers: crate::stego::Covers::new(1024 * 1024),
        memory_bytes: 64 * 1024 * 1024,
        metrics,
        stats: RequestStats::default(),
        status: watch::channel(status).1,
        operator: Operator::channel(1).0,
        events: Events::new(node),
        about: crate::service::About::default(),
    });
    let streams = Crowd::new(8, 8);
    routes(Context { service, pause: pause.clone(), remote_admin, streams })
}

async fn call(routes: &BoxedFilter<(Response,)>, method: &str, target: &str) -> Response {
    call_from(routes, method, target, &[], (Ipv4Addr::LOCALHOST, 9).into()).await
}

async fn call_from(
    routes: &BoxedFilter<(Response,)>,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    client: SocketAddr,
) -> Response {
    let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.extension(ClientAddr(client)).body(Empty::<Bytes>::new()).unwrap();
    let (mut request, upload) = Upload::wrap(request, body_bounds());
    request.extensions_mut().insert(upload);
    warp::service(routes.clone()).call(request).await.unwrap()
}

async fn status_of(routes: &BoxedFilter<(Response,)>, method: &str, target: &str) -> StatusCode {
    call(routes, method, target).await.status()
}

fn description() -> Value {
    serde_json::from_str(include_str!("dashboard/openapi.json")).unwrap()
}

#[test]
fn the_description_lists_every_route_and_no_other() {
    let description = description();
    let mut described = BTreeSet::new();
    for (path, calls) in description["paths"].as_object().unwrap() {
        for method in calls.as_object().unwrap().keys() {
            described.insert((method.as_str(), path.as_str()));
        }
    }
    assert_eq!(described, ROUTES.iter().copied().collect());
    assert_eq!(description["openapi"], "3.1.0");
    assert_eq!(description["info"]["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn every_reference_in_the_description_resolves() {
    fn check(value: &Value, whole: &Value) {
        match value {
            Value::Object(fields) => {
                if let Some(target) = fields.get("$ref").and_then(Value::as_str) {
                    let pointer = target.strip_prefix('#').unwrap();
                    assert!(whole.pointer(pointer).is_some(), "{target} is not there");
                }
                fields.values().for_each(|value| check(value, whole));
            }
            Value::Array(values) => values.iter().for_each(|value| check(value, whole)),
            _ => {}
        }
    }
    let description = description();
    check(&description, &description);
}

#[tokio::test]
async fn what_is_described_is_mounted_and_other_methods_are_refused() {
    let routes = mounted(&PauseGate::default());
    let paths: BTreeSet<&str> = ROUTES.iter().map(|(_, path)| *path).collect();
    for path in paths {
        let target = path.replace("{index}", "0").replace("{id}", "some-record");
        for method in ["get", "head", "post", "put", "delete", "patch"] {
            let status = status_of(&routes, method, &target).await;
            assert_ne!(status, StatusCode::NOT_FOUND, "{method} {path}");
            let refused = status == StatusCode::METHOD_NOT_ALLOWED;
            assert_eq!(refused, !ROUTES.contains(&(method, path)), "{method} {path}: {status}");
        }
    }
    for unknown in ["/api", "/api/embed/x", "/cluster", "/index.html", "/healthz/x"] {
        assert_eq!(status_of(&routes, "get", unknown).await, StatusCode::NOT_FOUND, "{unknown}");
    }
}

#[tokio::test]
async fn a_mistake_is_named_where_the_path_also_has_another_method() {
    let routes = mounted(&PauseGate::default());
    for (method, target) in [
        ("post", "/api/capacity"),
        ("get", "/api/capacity?bits=many"),
        ("get", "/api/capacity?unknown=1"),
        ("get", "/api/records?limit=0"),
        ("get", "/api/records?consistency=maybe"),
        ("post", "/api/embed"),
    ] {
        let status = status_of(&routes, method, target).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{method} {target}");
    }
}

#[tokio::test]
async fn admin_calls_are_for_this_machine_only() {
    let routes = mounted(&PauseGate::default());
    for (client, expected) in [
        ("127.0.0.1:9", StatusCode::SERVICE_UNAVAILABLE),
        ("[::1]:9", StatusCode::SERVICE_UNAVAILABLE),
        ("[::ffff:127.0.0.1]:9", StatusCode::SERVICE_UNAVAILABLE),
        ("192.0.2.1:9", StatusCode::FORBIDDEN),
        ("[2001:db8::1]:9", StatusCode::FORBIDDEN),
    ] {
        let response =
            call_from(&routes, "post", "/admin/restore", &[], client.parse().unwrap()).await;
        assert_eq!(response.status(), expected, "{client}");
    }
}

#[tokio::test]
async fn with_remote_admin_orders_come_from_anywhere_but_from_a_page() {
    let routes = mounted_with(&PauseGate::default(), true);
    let page = ("origin", "http://192.0.2.1");
    for (headers, expected) in
        [(&[][..], StatusCode::SERVICE_UNAVAILABLE), (&[page], StatusCode::FORBIDDEN)]
    {
        let client = "192.0.2.1:9".parse().unwrap();
        let response = call_from(&routes, "post", "/admin/restore", headers, client).await;
        assert_eq!(response.status(), expected, "{headers:?}");
    }
}

#[tokio::test]
async fn a_paused_node_answers_only_status_checks_and_admin_calls() {
    let pause = PauseGate::default();
    pause.shut();
    let routes = mounted(&pause);
    for target in ["/healthz", "/metrics", "/cluster/status"] {
        assert_eq!(status_of(&routes, "get", target).await, StatusCode::OK, "{target}");
    }
    for (method, target) in [("post", "/api/commit"), ("get", "/"), ("get", "/cluster/events")] {
        let response = call(&routes, method, target).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "{target}");
        assert!(response.headers().contains_key("retry-after"), "{target}");
    }
    pause.open();
    assert_eq!(status_of(&routes, "get", "/").await, StatusCode::OK);
}

#[tokio::test]
async fn headers_of_a_commit_are_checked() {
    let routes = mounted(&PauseGate::default());
    let client = (Ipv4Addr::LOCALHOST, 9).into();
    for (name, value, expected) in [
        ("idempotency-key", "my-id", StatusCode::OK),
        ("idempotency-key", "my/id", StatusCode::BAD_REQUEST),
        ("x-durability", "quorum", StatusCode::OK),
        ("x-durability", "local", StatusCode::OK),
        ("x-durability", "none", StatusCode::BAD_REQUEST),
    ] {
        let response = call_from(&routes, "post", "/api/commit", &[(name, value)], client).await;
        assert_eq!(response.status(), expected, "{name}: {value}");
    }
}

#[tokio::test]
async fn the_page_may_load_nothing_from_elsewhere() {
    let routes = mounted(&PauseGate::default());
    let page = call(&routes, "get", "/").await;
    let policy = page.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    let files = [
        include_str!("dashboard/index.html"),
        include_str!("dashboard/app.js"),
        include_str!("dashboard/style.css"),
    ];
    assert!(files.iter().map(|file| file.len()).sum::<usize>() < 40_000);
    for forbidden in ["<style", " style=", "onclick=", "onsubmit=", "https://", "//cdn"] {
        assert!(!files.iter().any(|file| file.contains(forbidden)), "{forbidden}");
    }
}
