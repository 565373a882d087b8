//! Answers: JSON, raw bytes, and what a client prefers.

use std::convert::Infallible;
use std::io::Write;
use std::sync::Arc;

use base64::prelude::BASE64_STANDARD;
use base64::write::EncoderWriter;
use bytes::Bytes;
use futures_util::stream;
use http::StatusCode;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use warp::Reply;
use warp::reply::Response;

use crate::service::Permit;

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
    json_bytes(status, serde_json::to_vec(body))
}

/// `body` as JSON, with one more field: `slices`, as one text in standard base64. They are
/// neither joined before nor copied after they are encoded. `body` is a struct with at
/// least one field, and without this one.
pub fn json_with_base64<'a, T: Serialize>(
    body: &T,
    field: &str,
    slices: impl ExactSizeIterator<Item = &'a Bytes> + Clone,
) -> serde_json::Result<Vec<u8>> {
    let size: usize = slices.clone().map(Bytes::len).sum();
    let mut json = serde_json::to_vec(body)?;
    json.reserve_exact(size.div_ceil(3) * 4 + field.len() + 8);
    // The closing brace comes after the field.
    json.pop();
    json.extend_from_slice(b",\"");
    json.extend_from_slice(field.as_bytes());
    json.extend_from_slice(b"\":\"");
    let mut encoder = EncoderWriter::new(json, &BASE64_STANDARD);
    for slice in slices {
        encoder.write_all(slice).map_err(serde_json::Error::io)?;
    }
    let mut json = encoder.finish().map_err(serde_json::Error::io)?;
    json.extend_from_slice(b"\"}");
    Ok(json)
}

/// JSON that was written already.
pub fn json_bytes(status: StatusCode, body: serde_json::Result<Vec<u8>>) -> Response {
    match body {
        Ok(body) => bytes(status, "application/json", body.into()),
        Err(error) => {
            tracing::error!(cause = %error, "an answer could not be written as JSON");
            bytes(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", Bytes::from_static(b"a bug"))
        }
    }
}

/// `bytes`, whose memory `permit` holds until they were sent.
pub fn held(bytes: Bytes, permit: &Arc<Permit>) -> Bytes {
    struct Held {
        bytes: Bytes,
        _permit: Arc<Permit>,
    }
    impl AsRef<[u8]> for Held {
        fn as_ref(&self) -> &[u8] {
            &self.bytes
        }
    }
    Bytes::from_owner(Held { bytes, _permit: Arc::clone(permit) })
}

/// [`json_bytes`], whose memory `permit` holds until they were sent.
pub fn held_json(
    status: StatusCode,
    body: serde_json::Result<Vec<u8>>,
    permit: Arc<Permit>,
) -> Response {
    match body {
        Ok(body) => bytes(status, "application/json", held(body.into(), &permit)),
        error => json_bytes(status, error),
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

/// A body in several pieces, which are written as they are.
pub fn slices(status: StatusCode, content_type: &'static str, body: Vec<Bytes>) -> Response {
    let size: usize = body.iter().map(Bytes::len).sum();
    let body = stream::iter(body.into_iter().map(Ok::<_, Infallible>));
    let mut response = warp::reply::stream(body).into_response();
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    // Without it the answer would be chunked, and a client could not tell how much comes.
    headers.insert(CONTENT_LENGTH, HeaderValue::from(size));
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
    fn slices_are_one_text_in_base64() {
        #[derive(Serialize)]
        struct Answer {
            name: &'static str,
        }
        let whole: Vec<u8> = (0..=255).collect();
        for cuts in [[0, 0], [1, 2], [4, 200], [3, 256]] {
            let slices = [&whole[..cuts[0]], &whole[cuts[0]..cuts[1]], &whole[cuts[1]..]];
            let slices = slices.map(Bytes::copy_from_slice);
            let answer = Answer { name: "a\"b" };
            let body = json_with_base64(&answer, "picture", slices.iter()).unwrap();
            let expected = serde_json::json!({
                "name": "a\"b",
                "picture": base64::Engine::encode(&BASE64_STANDARD, &whole),
            });
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(body, expected, "{cuts:?}");
        }
    }

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
