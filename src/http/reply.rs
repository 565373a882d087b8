//! Answers: JSON, raw bytes, and what a client prefers.

use bytes::Bytes;
use http::StatusCode;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use warp::reply::Response;

/// Whether the client would rather have `wanted` (`image/png`) than JSON. A range such
/// as `*/*` alone is no such wish (RFC 9110, section 12.5.1).
pub fn prefers(headers: &HeaderMap, wanted: &str) -> bool {
    let (family, _) = wanted.split_once('/').unwrap_or((wanted, ""));
    let family = format!("{family}/*");
    let raw = quality(headers, |range| range == wanted || range == family);
    let json = quality(headers, |range| range == "application/json");
    raw > 0.0 && raw >= json
}

/// The highest `q` among the media ranges that match; 0 where none does.
fn quality(headers: &HeaderMap, matches: impl Fn(&str) -> bool) -> f32 {
    let ranges = headers.get_all(ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
    let ranges = ranges.flat_map(|value| value.split(','));
    let qualities = ranges.filter_map(|range| {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next()?.to_ascii_lowercase();
        let q = parts.find_map(|parameter| parameter.strip_prefix("q="));
        matches(&name).then(|| q.map_or(1.0, |q| q.parse().unwrap_or(0.0)))
    });
    qualities.fold(0.0, f32::max)
}

pub fn json<T: Serialize>(status: StatusCode, body: &T) -> Response {
    match serde_json::to_vec(body) {
        Ok(body) => bytes(status, "application/json", body.into()),
        Err(error) => {
            tracing::error!(cause = %error, "an answer could not be written as JSON");
            bytes(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", Bytes::from_static(b"a bug"))
        }
    }
}

pub fn ok<T: Serialize>(body: &T) -> Response {
    json(StatusCode::OK, body)
}

pub fn bytes(status: StatusCode, content_type: &'static str, body: Bytes) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Adds a header whose value is plain ASCII by construction; another is left out.
pub fn header(response: &mut Response, name: &'static str, value: impl ToString) {
    if let Ok(value) = HeaderValue::from_str(&value.to_string()) {
        response.headers_mut().insert(HeaderName::from_static(name), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_bytes_are_given_only_to_who_asks() {
        for (accept, expected) in [
            (None, false),
            (Some("*/*"), false),
            (Some("application/json"), false),
            (Some("image/png"), true),
            (Some("IMAGE/PNG;q=0.5"), true),
            (Some("text/html, image/PNG;q=0.9"), true),
            (Some("image/*, */*;q=0.1"), true),
            (Some("application/json, image/png;q=0.9"), false),
            (Some("application/json;q=0.3, image/png;q=0.9"), true),
            (Some("image/png;q=0"), false),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(ACCEPT, HeaderValue::from_static(accept));
            }
            assert_eq!(prefers(&headers, "image/png"), expected, "{accept:?}");
        }
    }
}
