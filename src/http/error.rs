//! The one table from errors to statuses. Every variant is matched, without `_`, so
//! that a new error cannot become a 500 unseen.

use std::path::PathBuf;
use std::time::Duration;

use http::StatusCode;
use http::header::{HeaderValue, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use warp::Rejection;
use warp::reply::Response;

use super::reply;
use crate::access::Role;
use crate::api::problem::{Code, CoverSize, Problem};
use crate::ident::NodeName;
use crate::limits;
use crate::net::crowd::Crowded;
use crate::pool::PoolError;
use crate::service::operate::OperateError;
use crate::service::submit::SubmitError;
use crate::service::{BenchError, ServiceError};
use crate::solo::JournalError;
use crate::stego::StegoError;
use crate::store::StoreError;

/// Why a request was not answered with what it asked for.
#[derive(Debug, Clone, thiserror::Error)]
pub enum HttpError {
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// Malformed, in a sentence that names the part.
    #[error("{0}")]
    BadRequest(String),
    #[error("the request body is larger than {} bytes", limits::BODY_BYTES_MAX)]
    BodyTooLarge,
    #[error(
        "the request body did not arrive within {} s, or came at less than {} bytes in {} s",
        limits::BODY_READ_MAX.as_secs(),
        limits::BODY_PACE.bytes_min,
        limits::BODY_PACE.window.as_secs()
    )]
    BodyTooSlow,
    #[error("the path and query have more than {} bytes", limits::TARGET_BYTES_MAX)]
    TargetTooLong,
    /// No place for one more stream.
    #[error("{}", match .0 {
        Crowded::All => "all streams of this node are in use; try again shortly",
        Crowded::Client => "too many streams from this address; close one first",
    })]
    Streams(Crowded),
    #[error(
        "orders are taken from this machine only; a node started with --remote-admin takes them \
         from other machines too, and one with --tokens from whoever has a token for them"
    )]
    NotLocal,
    #[error(
        "orders from a web page need this node's admin token, which is in {} on its machine",
        file.display()
    )]
    NoOwnToken { file: PathBuf },
    #[error("this call needs a token with the role {needed}: Authorization: Bearer TOKEN")]
    NoToken { needed: Role },
    #[error("this node does not know this token")]
    UnknownToken,
    #[error("this token has the role {has}; this call needs {needed}")]
    RoleTooSmall { has: Role, needed: Role },
    #[error(
        "this page is from no node of this cluster; open the dashboard at an address that the \
         nodes have for each other (stegcluster status)"
    )]
    ForeignOrigin,
    #[error("this node is paused on purpose; use another, or POST /admin/restore")]
    Faulted,
    #[error("there is nothing at this path; GET /openapi.json lists the calls")]
    NoSuchPath,
    #[error(
        "this path takes another method (see the header Allow); GET /openapi.json lists the calls"
    )]
    WrongMethod,
    #[error("send the body as multipart/form-data")]
    NotMultipart,
    #[error("this node is not the leader")]
    NotLeader { leader: Option<NodeName>, address: Option<String>, redirect: Option<String> },
    #[error("this node cannot serve yet: no leader is known, or no quorum reached")]
    NotReady,
}

/// When a client may try again: where something is in the way that is soon over, or when what
/// waits before it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Again {
    Soon,
    WhenDone,
}

/// Seconds that a client which may come soon should wait.
const SOON_S: u64 = 1;

impl Again {
    /// In whole seconds, since the header has no others.
    fn after_s(self, queue: Duration) -> u64 {
        match self {
            Self::Soon => SOON_S,
            Self::WhenDone => {
                let s = queue.as_secs() + u64::from(queue.subsec_nanos() > 0);
                s.clamp(SOON_S, limits::RETRY_AFTER_S_MAX)
            }
        }
    }
}

/// Status, code, and when to come again.
fn classify(error: &HttpError) -> (StatusCode, Code, Option<Again>) {
    use StatusCode as S;
    let soon = Some(Again::Soon);
    match error {
        HttpError::Service(error) => classify_service(error),
        HttpError::BadRequest(_) => (S::BAD_REQUEST, Code::BadRequest, None),
        HttpError::BodyTooLarge => (S::PAYLOAD_TOO_LARGE, Code::TooLarge, None),
        HttpError::BodyTooSlow => (S::REQUEST_TIMEOUT, Code::RequestTimeout, None),
        HttpError::TargetTooLong => (S::URI_TOO_LONG, Code::TooLarge, None),
        HttpError::Streams(Crowded::All) => (S::SERVICE_UNAVAILABLE, Code::Busy, soon),
        HttpError::Streams(Crowded::Client) => (S::TOO_MANY_REQUESTS, Code::Busy, soon),
        HttpError::NotLocal | HttpError::ForeignOrigin | HttpError::RoleTooSmall { .. } => {
            (S::FORBIDDEN, Code::Forbidden, None)
        }
        HttpError::NoOwnToken { .. } | HttpError::NoToken { .. } | HttpError::UnknownToken => {
            (S::UNAUTHORIZED, Code::Unauthorized, None)
        }
        HttpError::Faulted => (S::SERVICE_UNAVAILABLE, Code::Faulted, soon),
        HttpError::NoSuchPath => (S::NOT_FOUND, Code::NotFound, None),
        HttpError::WrongMethod => (S::METHOD_NOT_ALLOWED, Code::MethodNotAllowed, None),
        HttpError::NotMultipart => (S::BAD_REQUEST, Code::BadRequest, None),
        HttpError::NotLeader { redirect: Some(_), .. } => {
            (S::TEMPORARY_REDIRECT, Code::NotLeader, None)
        }
        HttpError::NotLeader { redirect: None, .. } => {
            (S::SERVICE_UNAVAILABLE, Code::NotLeader, soon)
        }
        HttpError::NotReady => (S::SERVICE_UNAVAILABLE, Code::NotReady, soon),
    }
}

fn classify_service(error: &ServiceError) -> (StatusCode, Code, Option<Again>) {
    use StatusCode as S;
    let soon = Some(Again::Soon);
    let when_done = Some(Again::WhenDone);
    match error {
        ServiceError::Busy { .. } => (S::TOO_MANY_REQUESTS, Code::Busy, when_done),
        ServiceError::NoMemory { .. }
        | ServiceError::Overloaded { .. }
        | ServiceError::Stego(StegoError::NoRoom) => {
            (S::SERVICE_UNAVAILABLE, Code::Busy, when_done)
        }
        ServiceError::TooCostly { .. } => (S::PAYLOAD_TOO_LARGE, Code::TooLarge, None),
        ServiceError::IdempotencyConflict { .. } => (S::CONFLICT, Code::IdempotencyConflict, None),
        ServiceError::RecordNotFound { .. } | ServiceError::NoSuchPicture { .. } => {
            (S::NOT_FOUND, Code::NotFound, None)
        }
        ServiceError::Stego(error) => classify_stego(error),
        ServiceError::Pool(PoolError::Full) => (S::SERVICE_UNAVAILABLE, Code::Busy, soon),
        ServiceError::Pool(PoolError::Stopped) | ServiceError::Stopping => {
            (S::SERVICE_UNAVAILABLE, Code::NotReady, soon)
        }
        ServiceError::Pool(PoolError::Panicked) | ServiceError::Panicked => {
            (S::INTERNAL_SERVER_ERROR, Code::Internal, None)
        }
        ServiceError::Submit(SubmitError::NotReady | SubmitError::Stopped) => {
            (S::SERVICE_UNAVAILABLE, Code::NotReady, soon)
        }
        ServiceError::Submit(SubmitError::Draining { .. }) => {
            (S::SERVICE_UNAVAILABLE, Code::NotReady, soon)
        }
        ServiceError::Submit(SubmitError::Journal(JournalError::Full { .. })) => {
            (S::SERVICE_UNAVAILABLE, Code::JournalFull, soon)
        }
        ServiceError::Submit(
            SubmitError::NoQuorum { .. } | SubmitError::Unwell { .. } | SubmitError::Solo,
        ) => (S::SERVICE_UNAVAILABLE, Code::NoQuorum, soon),
        ServiceError::Submit(SubmitError::Journal(JournalError::Store(error)))
        | ServiceError::Store(error) => classify_store(error),
        ServiceError::Bench(BenchError::Running) => (S::CONFLICT, Code::BenchRunning, None),
        ServiceError::Bench(BenchError::None) => (S::NOT_FOUND, Code::NotFound, None),
        ServiceError::Bench(BenchError::Refused(_)) => (S::BAD_REQUEST, Code::BadRequest, None),
        ServiceError::Bench(BenchError::Threads(_)) => (S::SERVICE_UNAVAILABLE, Code::Busy, soon),
        ServiceError::Operate(OperateError::Refused(_)) => (S::BAD_REQUEST, Code::BadRequest, None),
        ServiceError::Operate(OperateError::NotLeader) => {
            (S::SERVICE_UNAVAILABLE, Code::NotLeader, soon)
        }
        ServiceError::Operate(OperateError::Busy) => (S::SERVICE_UNAVAILABLE, Code::Busy, soon),
        ServiceError::Operate(OperateError::Unavailable(_) | OperateError::Stopped) => {
            (S::SERVICE_UNAVAILABLE, Code::NotReady, soon)
        }
    }
}

fn classify_store(error: &StoreError) -> (StatusCode, Code, Option<Again>) {
    match error {
        StoreError::Io(_)
        | StoreError::Full(_)
        | StoreError::Locked(_)
        | StoreError::Corrupt { .. }
        | StoreError::Lost { .. } => (StatusCode::INTERNAL_SERVER_ERROR, Code::Internal, None),
    }
}

fn classify_stego(error: &StegoError) -> (StatusCode, Code, Option<Again>) {
    use StatusCode as S;
    match error {
        StegoError::NotAPicture { .. } => (S::UNSUPPORTED_MEDIA_TYPE, Code::NotAPicture, None),
        StegoError::TooManyPixels { .. }
        | StegoError::TooLarge { .. }
        | StegoError::SecretTooLarge { .. } => (S::PAYLOAD_TOO_LARGE, Code::TooLarge, None),
        StegoError::NoRoom => (S::SERVICE_UNAVAILABLE, Code::Busy, Some(Again::WhenDone)),
        StegoError::CoverTooSmall { .. } => (S::PAYLOAD_TOO_LARGE, Code::CoverTooSmall, None),
        StegoError::NoPayload | StegoError::UnsupportedVersion { .. } => {
            (S::UNPROCESSABLE_ENTITY, Code::NoPayload, None)
        }
        StegoError::UnsupportedMethod
        | StegoError::UnsupportedBits { .. }
        | StegoError::OneBitOnly { .. }
        | StegoError::PassphraseLength { .. } => (S::BAD_REQUEST, Code::BadRequest, None),
    }
}

/// The error as a response, with what a client needs to act on it. `queue` is how long what
/// waits for a codec thread will take.
pub fn respond(error: &HttpError, queue: Duration) -> Response {
    let (status, code, again) = classify(error);
    if status == StatusCode::INTERNAL_SERVER_ERROR {
        tracing::error!(cause = %error, "a request failed");
    }
    let mut problem = Problem::new(code, error.to_string());
    let mut location = None;
    if let HttpError::Service(ServiceError::Stego(StegoError::CoverTooSmall {
        needed_bytes,
        available_bytes,
        fits,
        larger,
    })) = error
    {
        problem.needed_bytes = Some(*needed_bytes);
        problem.available_bytes = Some(*available_bytes);
        problem.fits = Some(fits.clone());
        problem.cover_size_needed = larger.map(|(width, height)| CoverSize { width, height });
    } else if let HttpError::Service(ServiceError::Stego(StegoError::SecretTooLarge {
        bytes,
        max_bytes,
    })) = error
    {
        problem.needed_bytes = Some(*bytes);
        problem.available_bytes = Some(*max_bytes);
    } else if let HttpError::Service(ServiceError::TooCostly { bytes, max_bytes }) = error {
        problem.needed_bytes = Some(*bytes);
        problem.available_bytes = Some(*max_bytes);
    } else if let HttpError::Service(ServiceError::Submit(SubmitError::NoQuorum {
        leader, ..
    })) = error
    {
        problem.current_leader.clone_from(leader);
    } else if let HttpError::NotLeader { leader, address, redirect } = error {
        problem.current_leader.clone_from(leader);
        problem.leader_address.clone_from(address);
        location.clone_from(redirect);
    }
    let mut response = reply::json(status, &problem);
    if status == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static("Bearer realm=\"stegcluster\"");
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    if let Some(again) = again {
        response.headers_mut().insert(RETRY_AFTER, again.after_s(queue).into());
    }
    if let Some(location) = location.and_then(|location| location.parse().ok()) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// What warp's own filters reject, in our words.
pub fn of_rejection(rejection: &Rejection) -> HttpError {
    use warp::reject;
    if rejection.is_not_found() {
        HttpError::NoSuchPath
    } else if rejection.find::<reject::PayloadTooLarge>().is_some() {
        HttpError::BodyTooLarge
    } else if rejection.find::<reject::InvalidQuery>().is_some() {
        HttpError::BadRequest("the query is malformed: see GET /openapi.json".into())
    } else if rejection.find::<reject::MissingHeader>().is_some()
        || rejection.find::<reject::InvalidHeader>().is_some()
        || rejection.find::<reject::UnsupportedMediaType>().is_some()
    {
        HttpError::NotMultipart
    } else if let Some(error) = rejection.find::<warp::filters::body::BodyDeserializeError>() {
        HttpError::BadRequest(error.to_string())
    } else if rejection.find::<reject::MethodNotAllowed>().is_some() {
        // Last, since a path with two methods rejects each for the other's sake, and
        // the mistake in the right one is what the client should hear of.
        HttpError::WrongMethod
    } else {
        tracing::debug!(cause = ?rejection, "request rejected");
        HttpError::BadRequest("the request is malformed: see GET /openapi.json".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::codec::MethodCapacity;
    use crate::detector::introspect::Condition;
    use crate::record::Method;

    fn too_small() -> StegoError {
        let fits = vec![MethodCapacity { method: Method::Lsb, bits: 2, capacity_bytes: 99 }];
        let larger = Some((40, 30));
        StegoError::CoverTooSmall { needed_bytes: 70, available_bytes: 50, fits, larger }
    }

    fn not_leader(redirect: Option<&str>) -> HttpError {
        HttpError::NotLeader {
            leader: Some("n2".parse().unwrap()),
            address: Some("127.0.0.1:8082".into()),
            redirect: redirect.map(str::to_owned),
        }
    }

    /// What is answered, and whether it says when to come again.
    fn answer(error: &HttpError) -> (u16, bool) {
        let response = respond(error, Duration::ZERO);
        (response.status().as_u16(), response.headers().contains_key(RETRY_AFTER))
    }

    #[test]
    fn errors_of_the_request_have_their_status() {
        for (error, status, retry) in [
            (HttpError::BadRequest("x".into()), 400, false),
            (HttpError::NotMultipart, 400, false),
            (HttpError::NoOwnToken { file: "admin.token".into() }, 401, false),
            (HttpError::NoToken { needed: Role::Read }, 401, false),
            (HttpError::UnknownToken, 401, false),
            (HttpError::NotLocal, 403, false),
            (HttpError::ForeignOrigin, 403, false),
            (HttpError::RoleTooSmall { has: Role::Read, needed: Role::Admin }, 403, false),
            (HttpError::NoSuchPath, 404, false),
            (HttpError::WrongMethod, 405, false),
            (HttpError::BodyTooSlow, 408, false),
            (HttpError::BodyTooLarge, 413, false),
            (HttpError::TargetTooLong, 414, false),
            (HttpError::Streams(Crowded::All), 503, true),
            (HttpError::Streams(Crowded::Client), 429, true),
            (HttpError::Faulted, 503, true),
            (HttpError::NotReady, 503, true),
            (not_leader(Some("http://127.0.0.1:8082/admin/restore")), 307, false),
            (not_leader(None), 503, true),
        ] {
            assert_eq!(answer(&error), (status, retry), "{error:?}");
        }
    }

    #[test]
    fn errors_of_the_service_have_their_status() {
        let id: crate::ident::RecordId = "some".parse().unwrap();
        let waited = Duration::from_secs(8);
        for (error, status, retry) in [
            (ServiceError::Busy { requests_max: 1 }, 429, true),
            (ServiceError::NoMemory { bytes: 1 }, 503, true),
            (ServiceError::Overloaded { wait: waited }, 503, true),
            (ServiceError::TooCostly { bytes: 2, max_bytes: 1 }, 413, false),
            (StegoError::NoRoom.into(), 503, true),
            (ServiceError::IdempotencyConflict { id: id.clone() }, 409, false),
            (ServiceError::RecordNotFound { id }, 404, false),
            (ServiceError::NoSuchPicture { index: "50".into(), count: 50 }, 404, false),
            (PoolError::Full.into(), 503, true),
            (PoolError::Stopped.into(), 503, true),
            (PoolError::Panicked.into(), 500, false),
            (SubmitError::NotReady.into(), 503, true),
            (SubmitError::Stopped.into(), 503, true),
            (SubmitError::NoQuorum { waited, leader: None }.into(), 503, true),
            (SubmitError::Unwell { condition: Condition::StuckDisk }.into(), 503, true),
            (SubmitError::Solo.into(), 503, true),
            (SubmitError::Draining { records: 1 }.into(), 503, true),
            (SubmitError::Journal(JournalError::Full { records: 1, bytes: 1 }).into(), 503, true),
            (SubmitError::Journal(StoreError::Io("x".into()).into()).into(), 500, false),
            (BenchError::Running.into(), 409, false),
            (BenchError::None.into(), 404, false),
            (BenchError::Refused("x".into()).into(), 400, false),
            (BenchError::Threads("x".into()).into(), 503, true),
            (OperateError::Refused("x".into()).into(), 400, false),
            (OperateError::Unavailable("x".into()).into(), 503, true),
            (OperateError::NotLeader.into(), 503, true),
            (OperateError::Busy.into(), 503, true),
            (OperateError::Stopped.into(), 503, true),
            (ServiceError::Stopping, 503, true),
            (ServiceError::Panicked, 500, false),
        ] {
            let error = HttpError::Service(error);
            assert_eq!(answer(&error), (status, retry), "{error:?}");
        }
    }

    #[test]
    fn errors_of_the_codec_have_their_status() {
        for (error, status) in [
            (StegoError::NotAPicture { cause: "x".into() }, 415),
            (StegoError::TooManyPixels { pixels: 2, max: 1 }, 413),
            (StegoError::TooLarge { max_bytes: 1 }, 413),
            (StegoError::SecretTooLarge { bytes: 2, max_bytes: 1 }, 413),
            (too_small(), 413),
            (StegoError::NoPayload, 422),
            (StegoError::UnsupportedVersion { version: 9 }, 422),
            (StegoError::UnsupportedMethod, 400),
            (StegoError::UnsupportedBits { bits: 9 }, 400),
            (StegoError::OneBitOnly { method: Method::Spread, bits: 2 }, 400),
            (StegoError::PassphraseLength { bytes: 2, max_bytes: 1 }, 400),
        ] {
            let error = HttpError::Service(error.into());
            assert_eq!(answer(&error), (status, false), "{error:?}");
        }
    }

    #[test]
    fn who_is_turned_away_is_told_when_the_queue_is_done() {
        let busy = HttpError::Service(ServiceError::NoMemory { bytes: 1 });
        let after = |error: &HttpError, queue_s: f64| {
            let response = respond(error, Duration::from_secs_f64(queue_s));
            response.headers()[RETRY_AFTER].to_str().unwrap().to_owned()
        };
        let told = [0.0, 1.0, 1.2, 7.0, 1000.0].map(|queue_s| after(&busy, queue_s));
        assert_eq!(told, ["1", "1", "2", "7", "30"]);
        assert_eq!(after(&HttpError::NotReady, 7.0), "1");
    }

    async fn problem(error: HttpError) -> Problem {
        use http_body_util::BodyExt;
        let body = respond(&error, Duration::ZERO).into_body().collect().await.unwrap().to_bytes();
        serde_json::from_slice(&body).unwrap()
    }

    #[tokio::test]
    async fn a_cover_too_small_is_told_in_numbers() {
        let problem = problem(HttpError::Service(too_small().into())).await;
        assert_eq!(problem.code, Code::CoverTooSmall);
        assert_eq!((problem.needed_bytes, problem.available_bytes), (Some(70), Some(50)));
        assert_eq!(problem.fits.unwrap()[0].capacity_bytes, 99);
        assert_eq!(problem.cover_size_needed, Some(CoverSize { width: 40, height: 30 }));
    }

    #[tokio::test]
    async fn a_redirect_names_the_leader() {
        let target = "http://127.0.0.1:8082/admin/transfer-leader";
        let error = not_leader(Some(target));
        assert_eq!(respond(&error, Duration::ZERO).headers()[LOCATION], target);
        let problem = problem(error).await;
        assert_eq!(problem.current_leader, Some("n2".parse().unwrap()));
        assert_eq!(problem.leader_address.as_deref(), Some("127.0.0.1:8082"));
    }
}
