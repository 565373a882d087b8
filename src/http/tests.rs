//! The routes against their description: what `openapi.json` lists is what is mounted.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::Empty;
use serde_json::Value;
use tokio::sync::watch;

use super::*;
use crate::api::cluster::{ClusterStatus, NodeStatus};
use crate::ledger::query::Ledger;
use crate::observe::events::Events;
use crate::observe::metrics::Metrics;
use crate::observe::recent::Recent;
use crate::observe::traffic::Traffic;
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
    ("get", "/page/{name}"),
    ("head", "/page/{name}"),
    ("get", "/openapi.json"),
    ("head", "/openapi.json"),
    ("delete", "/admin/bench"),
    ("get", "/admin/bench"),
    ("post", "/admin/bench"),
    ("get", "/admin/bench/events"),
    ("post", "/admin/fail"),
    ("post", "/admin/members"),
    ("post", "/admin/records"),
    ("post", "/admin/restore"),
    ("post", "/admin/transfer-leader"),
    ("get", "/api/capacity"),
    ("post", "/api/capacity"),
    ("post", "/api/commit"),
    ("post", "/api/compare"),
    ("get", "/api/cover"),
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
fn mounted(pause: &PauseGate) -> ClientService {
    mounted_with(pause, false)
}

fn mounted_with(pause: &PauseGate, remote_admin: bool) -> ClientService {
    let folder = tempfile::tempdir().unwrap();
    let access = Access::open(None, folder.path(), Default::default()).unwrap();
    mounted_for(pause, access, remote_admin)
}

fn mounted_for(pause: &PauseGate, access: Access, remote_admin: bool) -> ClientService {
    let metrics = Arc::new(Metrics::new());
    let node: crate::ident::NodeName = "n1".parse().unwrap();
    let other = NodeStatus::unknown("n2".parse().unwrap(), "192.0.2.2:8082", "192.0.2.2:5002");
    let status =
        ClusterStatus { node: Some(node.clone()), nodes: vec![other], ..Default::default() };
    let status = Arc::new(status);
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
        readers: Recent::new(std::time::Duration::from_secs(3)),
        operator: Operator::channel(1).0,
        events: Events::new(node),
        traffic: Traffic::default(),
        about: crate::service::About::default(),
        ca: None,
    });
    service_for(service, pause.clone(), access, remote_admin)((Ipv4Addr::LOCALHOST, 9).into())
}

async fn call(routes: &ClientService, method: &str, target: &str) -> Response {
    call_from(routes, method, target, &[], (Ipv4Addr::LOCALHOST, 9).into()).await
}

async fn call_from(
    routes: &ClientService,
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
    let request = request.body(Empty::<Bytes>::new()).unwrap();
    ClientService { client, ..routes.clone() }.answer(request).await
}

async fn status_of(routes: &ClientService, method: &str, target: &str) -> StatusCode {
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
        let taken = ROUTES.iter().filter(|(_, other)| *other == path);
        let taken: Vec<_> = taken.map(|(method, _)| method.to_uppercase()).collect();
        let target = path.replace("{index}", "0").replace("{id}", "some-record");
        let target = target.replace("{name}", "main.js");
        for method in ["get", "head", "post", "put", "delete", "patch"] {
            let answer = call(&routes, method, &target).await;
            let status = answer.status();
            // Where no load has run there is none to show.
            let none = path.starts_with("/admin/bench") && status == StatusCode::NOT_FOUND;
            assert!(none || status != StatusCode::NOT_FOUND, "{method} {path}");
            let refused = status == StatusCode::METHOD_NOT_ALLOWED;
            assert_eq!(refused, !ROUTES.contains(&(method, path)), "{method} {path}: {status}");
            let allowed = answer.headers().get(ALLOW).map(|methods| methods.to_str().unwrap());
            assert_eq!(allowed, refused.then_some(taken.join(", ")).as_deref(), "{method} {path}");
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
    let member = ("origin", "http://192.0.2.2:8082");
    let foreign = ("origin", "http://192.0.2.1");
    for (headers, expected) in [
        (&[][..], StatusCode::SERVICE_UNAVAILABLE),
        (&[member], StatusCode::UNAUTHORIZED),
        (&[foreign], StatusCode::FORBIDDEN),
    ] {
        let client = "192.0.2.1:9".parse().unwrap();
        let response = call_from(&routes, "post", "/admin/restore", headers, client).await;
        assert_eq!(response.status(), expected, "{headers:?}");
    }
}

#[tokio::test]
async fn a_pages_order_needs_the_nodes_own_token_and_no_foreign_page_gives_one() {
    let folder = tempfile::tempdir().unwrap();
    let access = Access::open(None, folder.path(), Default::default()).unwrap();
    let token = std::fs::read_to_string(access.own_path()).unwrap();
    let bearer = format!("Bearer {}", token.trim());
    let routes = mounted_for(&PauseGate::default(), access, false);
    let (own, member) = ("http://localhost:8081", "http://192.0.2.2:8082");
    let near = "127.0.0.1:9".parse().unwrap();
    let far = "192.0.2.7:9".parse().unwrap();
    for (origin, token, client, expected) in [
        (None, None, near, 503),
        (None, None, far, 403),
        (None, Some(&*bearer), far, 503),
        (None, Some("Bearer wrong"), near, 503),
        (None, Some("Bearer wrong"), far, 401),
        (Some(own), None, near, 401),
        (Some(own), Some(&*bearer), far, 503),
        (Some(member), None, near, 401),
        (Some(member), Some(&*bearer), near, 503),
        (Some("http://evil.example"), None, near, 403),
        (Some("http://evil.example"), Some(&*bearer), near, 403),
        (Some("null"), Some(&*bearer), near, 403),
    ] {
        let mut headers = vec![("host", "127.0.0.1:8081")];
        headers.extend(origin.map(|origin| ("origin", origin)));
        headers.extend(token.map(|token| ("authorization", token)));
        let response = call_from(&routes, "post", "/admin/restore", &headers, client).await;
        assert_eq!(response.status(), expected, "{origin:?} {token:?} {client}");
        let challenged = response.headers().contains_key("www-authenticate");
        assert_eq!(challenged, expected == 401);
    }
}

#[tokio::test]
async fn members_pages_may_read_the_answers_and_foreign_ones_may_not() {
    let routes = mounted(&PauseGate::default());
    let near = "127.0.0.1:9".parse().unwrap();
    let member = "http://192.0.2.2:8082";
    let ask = ("access-control-request-method", "POST");
    for (method, target, origin, expected, welcome) in [
        ("get", "/cluster/status", member, 200, true),
        ("get", "/api/records?limit=0", member, 400, true),
        ("post", "/api/commit", member, 200, true),
        ("options", "/api/embed", member, 204, true),
        ("options", "/admin/fail", member, 204, true),
        ("get", "/cluster/status", "http://evil.example", 200, false),
        ("post", "/api/commit", "http://evil.example", 403, false),
        ("options", "/api/embed", "http://evil.example", 403, false),
    ] {
        let headers = [("host", "127.0.0.1:8081"), ("origin", origin), ask];
        let response = call_from(&routes, method, target, &headers, near).await;
        assert_eq!(response.status(), expected, "{method} {target} {origin}");
        let headers = response.headers();
        let allowed = headers.get("access-control-allow-origin").map(|v| v.to_str().unwrap());
        assert_eq!(allowed, welcome.then_some(origin), "{method} {target}");
        if method == "options" && welcome {
            let of = |name: &str| headers[name].to_str().unwrap().to_owned();
            assert!(of("access-control-allow-headers").contains("authorization"));
            assert!(of("access-control-allow-methods").contains("DELETE"));
        }
        if welcome {
            assert_eq!(headers["vary"], "origin");
            assert!(
                headers["access-control-expose-headers"].to_str().unwrap().contains("retry-after")
            );
        }
    }
    let cookie = [("origin", "http://evil.example"), ("authorization", "Bearer x")];
    let response = call_from(&routes, "get", "/cluster/status", &cookie, near).await;
    assert_eq!(response.status(), 403, "credentials of a foreign page");
}

#[tokio::test]
async fn with_tokens_each_call_needs_its_role() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens");
    let token = |role: &str| format!("{role}-token-0123456789");
    let line = |role: &&str| format!("{role} {role} {}\n", token(role));
    std::fs::write(&file, ["read", "embed", "admin"].iter().map(line).collect::<String>()).unwrap();
    let access = Access::open(Some(&file), folder.path(), Default::default()).unwrap();
    let own = std::fs::read_to_string(access.own_path()).unwrap();
    let routes = mounted_for(&PauseGate::default(), access, true);
    let near = "127.0.0.1:9".parse().unwrap();
    for (method, target, needs) in [
        ("get", "/healthz", None),
        ("get", "/", None),
        ("get", "/openapi.json", None),
        ("get", "/cluster/status", Some(0)),
        ("get", "/metrics", Some(0)),
        ("post", "/api/commit", Some(1)),
        ("post", "/admin/restore", Some(2)),
    ] {
        let roles = [None, Some("read"), Some("embed"), Some("admin"), Some("nobody")];
        for (has, role) in roles.into_iter().enumerate() {
            let bearer = role.map(|role| format!("Bearer {}", token(role)));
            let headers: Vec<_> = bearer.iter().map(|token| ("authorization", &**token)).collect();
            let status = call_from(&routes, method, target, &headers, near).await.status().as_u16();
            let refused = match needs {
                None => None,
                Some(_) if has == 0 || role == Some("nobody") => Some(401),
                Some(needs) if has - 1 < needs => Some(403),
                Some(_) => None,
            };
            match refused {
                Some(expected) => assert_eq!(status, expected, "{method} {target} {role:?}"),
                None => {
                    assert!(![401, 403].contains(&status), "{method} {target} {role:?}: {status}")
                }
            }
        }
    }
    let own = format!("Bearer {}", own.trim());
    let headers = [("authorization", &*own)];
    let response = call_from(&routes, "post", "/admin/restore", &headers, near).await;
    assert_eq!(response.status(), 401, "the node's own token counts without a file only");
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
}
