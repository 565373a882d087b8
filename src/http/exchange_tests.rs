//! Whole exchanges in memory: a request in, its answer out, over a real ledger and a
//! real codec, without a socket.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use serde_json::Value;

use super::body::BodyBounds;
use super::{ClientService, PauseGate, service_for};
use crate::access::Access;
use crate::api::cluster::Role;
use crate::ident::Term;
use crate::observe::events::Change;
use crate::service::testing::Bench;

const BOUNDARY: &str = "x-test-boundary";

struct Fixture {
    bench: Bench,
    port: ClientService,
}

/// A form field's name and content.
type Field<'a> = (&'a str, &'a [u8]);

/// An answer with its body read to the end.
struct Answer {
    head: Response<()>,
    body: Bytes,
}

impl Answer {
    fn status(&self) -> u16 {
        self.head.status().as_u16()
    }

    fn header(&self, name: impl http::header::AsHeaderName) -> &str {
        self.head.headers().get(name).map_or("", |value| value.to_str().unwrap())
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    /// Status, code and sentence of a problem.
    #[track_caller]
    fn problem(&self) -> (u16, String, String) {
        let json = self.json();
        let text = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
        (self.status(), text("code"), text("error"))
    }
}

impl Fixture {
    fn new() -> Self {
        let bench = Bench::new();
        let folder = tempfile::tempdir().unwrap();
        let access = Access::open(None, folder.path(), Default::default()).unwrap();
        let port = service_for(bench.service.clone(), PauseGate::default(), access, false);
        Self { bench, port: port("127.0.0.1:5555".parse().unwrap()) }
    }

    fn bounded(bytes_max: u64) -> Self {
        let mut fixture = Self::new();
        fixture.port.bounds =
            BodyBounds { bytes_max, discard_max: Duration::from_secs(5), ..super::body_bounds() };
        fixture
    }

    async fn send(&self, request: Request<BoxBody<Bytes, Infallible>>) -> Answer {
        let (parts, body) = self.port.clone().answer(request).await.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { head: Response::from_parts(parts, ()), body }
    }

    async fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let body = Full::new(Bytes::copy_from_slice(body)).boxed();
        self.send(request(method, path, headers, body)).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[], b"").await
    }

    async fn form(&self, path: &str, headers: &[(&str, &str)], fields: &[Field<'_>]) -> Answer {
        let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
        let mut headers = headers.to_vec();
        headers.push(("content-type", &content_type));
        self.call("POST", path, &headers, &form(fields)).await
    }
}

fn request(
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: BoxBody<Bytes, Infallible>,
) -> Request<BoxBody<Bytes, Infallible>> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body).unwrap()
}

fn form(fields: &[Field<'_>]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, content) in fields {
        let head =
            format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    body
}

#[tokio::test]
async fn a_secret_goes_in_and_comes_out() {
    let fixture = Fixture::new();
    let fields: &[Field<'_>] = &[("file", b"hidden"), ("passphrase", b"open")];
    let embedded = fixture.form("/api/embed", &[("idempotency-key", "k1")], fields).await;
    let json = embedded.json();
    assert_eq!(embedded.status(), 200, "{json}");
    assert_eq!(
        (json["request_id"].as_str(), json["secret_size_bytes"].as_u64()),
        (Some("k1"), Some(6))
    );
    assert_eq!(
        (json["durability"].as_str(), json["method"].as_str()),
        (Some("quorum"), Some("adaptive"))
    );
    assert_eq!(json["cover_info"]["width"], 320);

    let headers = [("idempotency-key", "k1"), ("accept", "image/png")];
    let again = fixture.form("/api/embed", &headers, fields).await;
    assert_eq!((again.header(CONTENT_TYPE), again.header("x-request-id")), ("image/png", "k1"));
    assert_eq!((again.header("x-durability"), again.header("x-replayed")), ("quorum", "true"));
    assert_eq!(again.header("x-cover-width"), "320");
    assert_eq!(again.header("x-content-type-options"), "nosniff");
    assert_eq!(again.header("x-stego-sha256"), json["sha256"].as_str().unwrap());
    assert_eq!(BASE64_STANDARD.encode(&again.body), json["stego_image_b64"].as_str().unwrap());

    let fields: &[Field<'_>] = &[("file", &again.body), ("passphrase", b"open")];
    let found =
        fixture.form("/api/extract", &[("accept", "application/octet-stream")], fields).await;
    assert_eq!((found.status(), &found.body[..]), (200, &b"hidden"[..]));
    assert_eq!(found.header("content-disposition"), "attachment");
    let found = fixture.form("/api/extract", &[], fields).await.json();
    assert_eq!(found["recovered_b64"], BASE64_STANDARD.encode(b"hidden"));
    let wrong: &[Field<'_>] = &[("file", &again.body), ("passphrase", b"wrong")];
    let refused = fixture.form("/api/extract", &[], wrong).await.problem();
    assert_eq!((refused.0, &*refused.1), (422, "no_payload"));

    let by_form = fixture.form("/api/verify", &[], &[("file", &again.body)]).await.json();
    let by_body = fixture.call("POST", "/api/verify", &[], &again.body).await.json();
    assert_eq!(by_form, by_body);
    assert_eq!((&by_form["known"], &by_form["record"]["id"]), (&true.into(), &"k1".into()));
    let unknown = fixture.call("POST", "/api/verify", &[], b"something else").await.json();
    assert_eq!((&unknown["known"], &unknown["record"]), (&false.into(), &Value::Null));
}

#[tokio::test]
async fn notes_on_where_a_cover_is_from_are_kept_only_where_asked_for() {
    let fixture = Fixture::new();
    let mut cover = Vec::new();
    let mut encoder = png::Encoder::new(&mut cover, 64, 64);
    encoder.set_color(png::ColorType::Rgb);
    encoder.add_text_chunk("Author".into(), "somebody known".into()).unwrap();
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&[7; 64 * 64 * 3]).unwrap();
    writer.finish().unwrap();
    for (keep, kept) in [(None, false), (Some("false"), false), (Some("true"), true)] {
        let mut fields: Vec<Field<'_>> = vec![("file", b"hidden"), ("cover", &cover)];
        fields.extend(keep.map(|keep| ("keep_metadata", keep.as_bytes())));
        let answer = fixture.form("/api/embed", &[("accept", "image/png")], &fields).await;
        let found = answer.body.windows(14).any(|bytes| bytes == b"somebody known");
        assert_eq!(found, kept, "{keep:?}");
    }
}

#[tokio::test]
async fn a_report_is_part_of_the_json_where_it_is_asked_for() {
    let fixture = Fixture::new();
    let fields: &[Field<'_>] = &[("file", b"hidden"), ("method", b"lsb"), ("report", b"true")];
    let quality = fixture.form("/api/embed", &[], fields).await.json()["quality"].take();
    assert!(quality["changed_samples"].as_u64().unwrap() > 0, "{quality}");
    assert!(quality["psnr_db"].as_f64().unwrap() > 60.0, "{quality}");
    assert!(quality["advice"][0].as_str().unwrap().contains("comparing the two"), "{quality}");
    for picture in ["before", "after"] {
        for name in ["sample_pairs", "rs", "ws"] {
            assert!(quality[picture][name]["rate"].is_f64(), "{picture} {name}: {quality}");
        }
    }
    let without = fixture.form("/api/embed", &[], &fields[..2]).await.json();
    assert_eq!(without.get("quality"), None);
    let as_png = fixture.form("/api/embed", &[("accept", "image/png")], fields).await.problem();
    assert_eq!(as_png.0, 400, "{}", as_png.2);
    assert!(as_png.2.contains("a report comes as JSON"), "{}", as_png.2);
}

#[tokio::test]
async fn the_ledger_is_read_in_pages_and_by_id() {
    let fixture = Fixture::new();
    for id in ["a", "b:1", "c"] {
        let entered = fixture.call("POST", "/api/commit", &[("idempotency-key", id)], b"{}").await;
        assert_eq!((entered.status(), entered.json()["replayed"].as_bool()), (200, Some(false)));
    }
    let again = fixture.call("POST", "/api/commit", &[("idempotency-key", "a")], b"").await.json();
    assert_eq!((&again["replayed"], &again["method"]), (&true.into(), &"none".into()));
    let page = fixture.get("/api/records?limit=2").await.json();
    assert_eq!((&page["next"], &page["total"]), (&"b:1".into(), &3.into()));
    assert_eq!(page["consistency"], "linearizable");
    let page = fixture.get("/api/records?limit=2&after=b%3A1&consistency=stale").await.json();
    assert_eq!(page["records"][0]["id"], "c");
    assert_eq!(page.get("next"), None);
    assert_eq!(fixture.get("/api/records/b%3A1").await.json()["id"], "b:1");
    assert_eq!(fixture.get("/api/records/zzz").await.problem().0, 404);
    for bad in ["?limit=0", "?limit=1001", "?limit=x", "?consistency=soon", "?afer=a", "?after="] {
        let problem = fixture.get(&format!("/api/records{bad}")).await.problem();
        assert_eq!((problem.0, &*problem.1), (400, "bad_request"), "{bad}: {}", problem.2);
    }
}

#[tokio::test]
async fn malformed_forms_are_refused_by_name() {
    let fixture = Fixture::new();
    let long = vec![b'x'; crate::limits::FIELD_BYTES_MAX + 1];
    let file = ("file", &b"hidden"[..]);
    let table: &[(&[Field<'_>], &str)] = &[
        (&[("bits", b"1")], "the field `file` is missing"),
        (&[file, ("colour", b"red")], "no field \"colour\" here; known: file, cover"),
        (&[file, file], "`file` was given twice"),
        (&[file, ("bits", b"nine")], "the field `bits`"),
        (&[file, ("bits", b"9")], "9 bits per sample"),
        (&[file, ("method", b"none")], "unknown method \"none\""),
        (&[file, ("method", b"spread"), ("bits", b"2")], "spread uses one bit of a sample, not 2"),
        (&[file, ("method", &long)], "longer than 4096 bytes"),
        (&[file, ("passphrase", b"\xff")], "UTF-8"),
    ];
    for (fields, expected) in table {
        let (status, code, sentence) = fixture.form("/api/embed", &[], fields).await.problem();
        assert_eq!((status, &*code), (400, "bad_request"), "{expected}");
        assert!(sentence.contains(expected), "{sentence:?} lacks {expected:?}");
    }
    let not_a_picture = fixture.form("/api/embed", &[], &[file, ("cover", b"text")]).await;
    assert_eq!(
        (not_a_picture.status(), not_a_picture.json()["code"].as_str()),
        (415, Some("not_a_picture"))
    );
    let no_form = fixture.call("POST", "/api/embed", &[("content-type", "text/plain")], b"x").await;
    assert_eq!(no_form.problem().0, 400);
    assert_eq!(fixture.call("POST", "/api/embed", &[], b"x").await.problem().0, 400);
    for header in [("idempotency-key", "a b"), ("x-durability", "maybe")] {
        let problem = fixture.form("/api/embed", &[header], &[file]).await.problem();
        assert_eq!(problem.0, 400, "{}", problem.2);
    }
    let mut cut = form(&[file]);
    cut.truncate(cut.len() - 12);
    let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
    let cut = fixture.call("POST", "/api/embed", &[("content-type", &content_type)], &cut).await;
    assert_eq!(cut.problem().0, 400);
    assert!(fixture.bench.ledger.records().is_empty());
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_as_it_streams_and_read_to_its_end() {
    let fixture = Fixture::bounded(1000);
    let (answer, taken, chunks) = send_in_chunks(&fixture, 1500).await;
    let problem = answer.problem();
    assert_eq!((problem.0, &*problem.1), (413, "too_large"), "{}", problem.2);
    assert_eq!(taken, chunks, "the client could send all of it");
    assert_eq!(answer.header(CONNECTION), "", "and use its connection again");
    // Not without end, though.
    let (answer, taken, chunks) = send_in_chunks(&fixture, 5000).await;
    assert_eq!((answer.status(), answer.header(CONNECTION)), (413, "close"));
    assert!(taken < chunks, "{taken} of {chunks} chunks were read");
}

/// Sends a file of so many bytes, 100 at a time; says how many chunks of how many were taken.
async fn send_in_chunks(fixture: &Fixture, file_bytes: usize) -> (Answer, usize, usize) {
    let body = form(&[("file", &vec![7; file_bytes])]);
    let chunks: Vec<Bytes> = body.chunks(100).map(Bytes::copy_from_slice).collect();
    let count = chunks.len();
    let taken = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&taken);
    let frames = stream::iter(chunks).map(move |chunk| {
        counter.fetch_add(1, Ordering::SeqCst);
        Ok(Frame::data(chunk))
    });
    let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
    let headers = [("content-type", &*content_type)];
    let body = BoxBody::new(StreamBody::new(frames));
    let answer = fixture.send(request("POST", "/api/embed", &headers, body)).await;
    (answer, taken.load(Ordering::SeqCst), count)
}

#[tokio::test]
async fn overload_is_answered_before_the_body_is_read() {
    let fixture = Fixture::new();
    let permits: Vec<_> = std::iter::from_fn(|| fixture.bench.service.admit(0).ok()).collect();
    assert_eq!(permits.len(), crate::limits::REQUESTS_MAX);
    for path in ["/api/embed", "/api/extract", "/api/verify", "/api/capacity"] {
        let answer = fixture.form(path, &[], &[("file", b"x")]).await;
        assert_eq!((answer.status(), answer.header(RETRY_AFTER)), (429, "1"), "{path}");
        assert_eq!(answer.json()["code"], "busy");
    }
    drop(permits);
    assert_eq!(fixture.form("/api/embed", &[], &[("file", b"x")]).await.status(), 200);
}

#[tokio::test]
async fn health_readiness_and_leadership_are_told_apart() {
    let fixture = Fixture::new();
    let statuses = async |fixture: &Fixture| {
        let of = async |path| fixture.get(path).await.status();
        [of("/healthz").await, of("/readyz").await, of("/leaderz").await]
    };
    assert_eq!(statuses(&fixture).await, [200, 503, 503]);
    fixture.bench.lead(Some("n2"));
    assert_eq!(statuses(&fixture).await, [200, 200, 503]);
    let answer = fixture.get("/leaderz").await;
    let json = answer.json();
    assert_eq!((&json["code"], &json["current_leader"]), (&"not_leader".into(), &"n2".into()));
    assert_eq!(json["leader_address"], "127.0.0.1:9999");
    fixture.bench.lead(Some("n1"));
    assert_eq!(statuses(&fixture).await, [200, 200, 200]);
}

#[tokio::test]
async fn events_begin_with_the_state_and_end_with_the_node() {
    let fixture = Fixture::new();
    fixture.bench.lead(Some("n1"));
    let body = Full::new(Bytes::new()).boxed();
    let request = request("GET", "/cluster/events", &[], body);
    let response = fixture.port.clone().answer(request).await;
    assert_eq!(response.headers()[CONTENT_TYPE], "text/event-stream");
    let mut frames = response.into_body().into_data_stream();
    let first = String::from_utf8(frames.next().await.unwrap().unwrap().to_vec()).unwrap();
    assert!(first.starts_with("event:status\ndata:{"), "{first}");
    assert!(first.contains("\"leader_id\":\"n1\""), "{first}");
    let node = fixture.bench.service.node().clone();
    let role = Role::Leader.to_string();
    fixture.bench.service.events().emit(Term(4), Change::RoleChanged { node, role });
    let next = String::from_utf8(frames.next().await.unwrap().unwrap().to_vec()).unwrap();
    assert!(next.starts_with("event:change\ndata:{"), "{next}");
    assert!(next.contains("\"kind\":\"role_changed\""), "{next}");
    assert!(next.contains("\nid:"), "{next}");
    fixture.bench.rt.stop().await;
    assert!(frames.next().await.is_none());
}

#[tokio::test]
async fn what_passes_is_503_with_retry_after_and_counted() {
    let fixture = Fixture::new();
    fixture.bench.pool.shutdown();
    let answer = fixture.form("/api/embed", &[], &[("file", b"x")]).await;
    assert_eq!((answer.status(), answer.header(RETRY_AFTER)), (503, "1"));
    let metrics = fixture.bench.service.metrics();
    assert_eq!(metrics.http_in_progress.get(), 0);
    assert_eq!(metrics.http_requests_total.with_label_values(&["api_embed", "503"]).get(), 1);
    assert!(fixture.bench.service.stats().p95_ms() > 0.0);
}
