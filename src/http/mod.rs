//! The client port: decodes a request, calls the service, encodes the answer, and
//! nothing else. Knows neither Raft nor files. `error` is the one table from errors to
//! statuses; `multipart` reads uploads within their limits, `body` what
//! they leave.

mod admin;
mod bench;
mod body;
mod calls;
mod cluster;
mod codec;
mod dashboard;
mod error;
mod events;
#[cfg(test)]
mod exchange_tests;
mod guard;
mod multipart;
mod origin;
mod records;
mod reply;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, HeaderValue, TRANSFER_ENCODING, X_CONTENT_TYPE_OPTIONS};
use http::{Request, StatusCode, Uri};
use hyper::body::{Body, Incoming};
use tower_service::Service as _;
use warp::filters::BoxedFilter;
use warp::reply::Response;
use warp::{Filter, Rejection};

use crate::access::Access;
use crate::api::codec::BUSY_MS;
use crate::net::crowd::{Crowd, Place};
use crate::service::Service;
use crate::{clock, limits};
use body::{BodyBounds, Upload, UploadBody};
use error::HttpError;
use origin::Origin;

/// While shut, clients are answered with 503: the fault `pause`. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct PauseGate {
    shut: Arc<AtomicBool>,
}

impl PauseGate {
    pub fn shut(&self) {
        self.shut.store(true, Ordering::Relaxed);
    }

    pub fn open(&self) {
        self.shut.store(false, Ordering::Relaxed);
    }

    pub fn is_shut(&self) -> bool {
        self.shut.load(Ordering::Relaxed)
    }
}

/// The client's address, as the accept loop saw it.
#[derive(Debug, Clone, Copy)]
struct ClientAddr(SocketAddr);

/// What every handler gets.
#[derive(Clone)]
struct Context {
    service: Service,
    pause: PauseGate,
    access: Access,
    /// Orders are taken from other machines too.
    remote_admin: bool,
    /// Who has a stream open.
    streams: Crowd,
}

/// A handler's answer.
type Answer = Result<Response, HttpError>;

impl Context {
    /// A place for a stream, to be kept as long as it is open.
    fn stream_place(&self, client: ClientAddr) -> Result<Place, HttpError> {
        self.streams.enter(client.0.ip()).map_err(HttpError::Streams)
    }

    /// Counts and times `answer`, and turns an error into its response. `call` is one
    /// of a fixed set of names, so that metrics stay bounded.
    async fn measured(self, call: &'static str, answer: impl Future<Output = Answer>) -> Response {
        let metrics = self.service.metrics();
        let started = clock::now();
        let in_progress = InProgress::begin(&self.service);
        let always = matches!(call, "admin" | "healthz" | "node" | "status" | "metrics");
        let answer =
            if self.pause.is_shut() && !always { Err(HttpError::Faulted) } else { answer.await };
        let mut response =
            answer.unwrap_or_else(|error| error::respond(&error, self.service.retry_after()));
        if matches!(call, "api_embed" | "api_extract") && response.status().is_success() {
            // A client with several nodes goes to the less busy one.
            let busy_ms = self.service.busy().as_millis() as u64;
            response.headers_mut().insert(BUSY_MS, HeaderValue::from(busy_ms));
        }
        let took = started.elapsed();
        drop(in_progress);
        metrics.http_request_seconds.with_label_values(&[call]).observe(took.as_secs_f64());
        let status = response.status();
        metrics.http_requests_total.with_label_values(&[call, status.as_str()]).inc();
        if call.starts_with("api") {
            self.service.stats().record(took);
        }
        tracing::debug!(
            call,
            status = status.as_u16(),
            elapsed_ms = clock::millis(took),
            "request"
        );
        response
    }
}

/// Counts a request while it is in progress, also one whose client hangs up.
struct InProgress<'a>(&'a Service);

impl<'a> InProgress<'a> {
    fn begin(service: &'a Service) -> Self {
        service.metrics().http_in_progress.inc();
        Self(service)
    }
}

impl Drop for InProgress<'_> {
    fn drop(&mut self) {
        self.0.metrics().http_in_progress.dec();
    }
}

fn routes(context: Context) -> BoxedFilter<(Response,)> {
    let refusing = context.clone();
    let with = warp::any().map(move || context.clone()).boxed();
    let api = codec::routes(&with).or(records::routes(&with)).unify().boxed();
    let rest = cluster::routes(&with)
        .or(events::routes(&with))
        .unify()
        .or(bench::routes(&with))
        .unify()
        .or(admin::routes(&with))
        .unify()
        .or(dashboard::routes(&with))
        .unify()
        .boxed();
    api.or(rest)
        .unify()
        .recover(move |rejection: Rejection| {
            let (context, refused) = (refusing.clone(), error::of_rejection(&rejection));
            async move { Ok::<_, Infallible>(context.measured("other", async { Err(refused) }).await) }
        })
        .unify()
        .boxed()
}

/// Answers the requests of one connection.
#[derive(Clone)]
pub struct ClientService {
    context: Context,
    routes: BoxedFilter<(Response,)>,
    bounds: BodyBounds,
    client: SocketAddr,
}

/// What a form adds to the bytes in its fields: heads, boundaries, a preamble.
const FORM_BYTES_MAX: u64 = 64 * 1024;

fn body_bounds() -> BodyBounds {
    BodyBounds {
        bytes_max: limits::BODY_BYTES_MAX + FORM_BYTES_MAX,
        discard_max: limits::BODY_DISCARD_MAX,
        pace: limits::BODY_PACE,
    }
}

impl ClientService {
    fn new(context: Context, routes: BoxedFilter<(Response,)>, client: SocketAddr) -> Self {
        Self { context, routes, bounds: body_bounds(), client }
    }

    /// # Cancel safety
    /// Safe: a client that hangs up cancels nothing that writes (see [`Service`]).
    async fn answer<B>(self, request: Request<B>) -> Response
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        // A length beside it, which does not count, may have counted for a proxy in front, and
        // then what follows is no request of the same client's (RFC 9112, section 6.1).
        let is_chunked = request.headers().contains_key(TRANSFER_ENCODING);
        let unanswerable = oversized(request.uri());
        let (mut request, upload) = Upload::wrap(request, self.bounds);
        let mut response = match unanswerable {
            Some(error) => error::respond(&error, Duration::ZERO),
            None => {
                request.extensions_mut().insert(ClientAddr(self.client));
                request.extensions_mut().insert(upload.clone());
                self.guarded(request).await
            }
        };
        let headers = response.headers_mut();
        // Nothing that was hidden may be taken for a page or a script of ours.
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if !upload.discard_rest().await || is_chunked {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// Lets the request pass to its route, if it may.
    async fn guarded(self, request: Request<UploadBody>) -> Response {
        let context = self.context.clone();
        let origin = match guard::origin_of(&self.context, &request) {
            Ok(origin) => origin,
            Err(refused) => return context.measured("other", async { Err(refused) }).await,
        };
        let is_page = matches!(origin, Origin::Page(_));
        let mut response = match origin::preflight(&request).filter(|_| is_page) {
            Some(welcome) => welcome,
            None => match guard::allow(&context, &request, self.client, is_page) {
                Ok(()) => {
                    let path = request.uri().path().to_owned();
                    let Ok(mut response) = warp::service(self.routes).call(request).await;
                    if response.status() == StatusCode::METHOD_NOT_ALLOWED {
                        response.headers_mut().insert(ALLOW, calls::allowed(&path));
                    }
                    response
                }
                Err(refused) => context.measured("other", async { Err(refused) }).await,
            },
        };
        origin::expose(&mut response, &origin);
        response
    }
}

/// What no call is longer than.
fn oversized(uri: &Uri) -> Option<HttpError> {
    let bytes = uri.path_and_query().map_or(0, |target| target.as_str().len());
    if bytes > limits::TARGET_BYTES_MAX {
        return Some(HttpError::TargetTooLong);
    }
    let parameters = uri.query().map_or(0, |query| query.split('&').count());
    (parameters > limits::QUERY_PARAMETERS_MAX).then(|| {
        let most = limits::QUERY_PARAMETERS_MAX;
        HttpError::BadRequest(format!("a query may have {most} parameters"))
    })
}

impl hyper::service::Service<Request<Incoming>> for ClientService {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let answer = self.clone().answer(request);
        Box::pin(async move { Ok(answer.await) })
    }
}

/// The service of each connection, for [`crate::net::serve::serve`]. Where `access` asks for no
/// tokens, orders are taken from this machine only, unless `remote_admin` is set.
pub fn service_for(
    service: Service,
    pause: PauseGate,
    access: Access,
    remote_admin: bool,
) -> impl Fn(SocketAddr) -> ClientService {
    let streams = Crowd::new(limits::STREAMS_MAX, limits::STREAMS_PER_ADDRESS_MAX);
    let context = Context { service, pause, access, remote_admin, streams };
    let routes = routes(context.clone());
    move |client| ClientService::new(context.clone(), routes.clone(), client)
}
