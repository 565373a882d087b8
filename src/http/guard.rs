//! Whether a request may pass at all: where its page is from, and what its token allows. The one
//! place that decides this, before any route sees the request.

use std::net::SocketAddr;

use http::header::{AUTHORIZATION, COOKIE, HeaderMap};
use http::{Method, Request};

use super::Context;
use super::error::HttpError;
use super::origin::{self, Origin};
use crate::access::Role;

/// What a call needs where tokens are asked for.
fn role_for(method: &Method, path: &str) -> Option<Role> {
    let reads = method == Method::GET || method == Method::HEAD;
    // The first part that is not empty: what any route could take it for.
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    match (parts.next(), parts.next()) {
        (Some("admin"), _) => Some(Role::Admin),
        (Some("api"), Some("capacity" | "verify")) => Some(Role::Read),
        (Some("api"), _) => Some(if reads { Role::Read } else { Role::Embed }),
        (Some("cluster" | "metrics"), _) => Some(Role::Read),
        // Health checks, the page's own files, and paths that are not there.
        _ => None,
    }
}

/// Where the request comes from.
///
/// # Errors
/// A page from elsewhere wants more than to look.
pub(super) fn origin_of<B>(context: &Context, request: &Request<B>) -> Result<Origin, HttpError> {
    let headers = request.headers();
    let origin = origin::of(headers, &context.service.status(), context.service.scheme());
    let looks = request.method() == Method::GET || request.method() == Method::HEAD;
    let bare = !headers.contains_key(AUTHORIZATION) && !headers.contains_key(COOKIE);
    let admin = role_for(request.method(), request.uri().path()) == Some(Role::Admin);
    match origin {
        // A browser does not let such a page see the answer, as nothing in it says that it may.
        Origin::Foreign if !(looks && bare) || admin => Err(HttpError::ForeignOrigin),
        origin => Ok(origin),
    }
}

/// Whether the request's token allows it.
///
/// # Errors
/// It has none, one that is not known, or one for less.
pub(super) fn allow<B>(
    context: &Context,
    request: &Request<B>,
    client: SocketAddr,
    from_page: bool,
) -> Result<(), HttpError> {
    let Some(needed) = role_for(request.method(), request.uri().path()) else { return Ok(()) };
    let asks = context.access.asks_for_tokens();
    if !asks && needed < Role::Admin {
        return Ok(());
    }
    let near = context.remote_admin || client.ip().to_canonical().is_loopback();
    // Whatever token such a program brings, it needs none.
    if !asks && near && !from_page {
        return Ok(());
    }
    match bearer(request.headers())? {
        Some(token) => match context.access.role_of(token) {
            None => Err(HttpError::UnknownToken),
            Some(has) if has < needed => Err(HttpError::RoleTooSmall { has, needed }),
            Some(_) => Ok(()),
        },
        None if asks => Err(HttpError::NoToken { needed }),
        // A browser names the page that asks. None may fail a node without the token that is in
        // its folder, or one that rebinds its name to this machine could.
        None if from_page => {
            Err(HttpError::NoOwnToken { file: context.access.own_path().to_owned() })
        }
        None => Err(HttpError::NotLocal),
    }
}

/// The token of `Authorization: Bearer TOKEN` (RFC 6750, section 2.1).
pub(super) fn bearer(headers: &HeaderMap) -> Result<Option<&str>, HttpError> {
    let Some(value) = headers.get(AUTHORIZATION) else { return Ok(None) };
    let text = value.to_str().map_err(|_| HttpError::UnknownToken)?;
    let (scheme, token) = text.split_once(' ').ok_or(HttpError::UnknownToken)?;
    if scheme.eq_ignore_ascii_case("bearer") {
        Ok(Some(token.trim()))
    } else {
        Err(HttpError::UnknownToken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_call_needs_its_role() {
        let of =
            |method: &str, path| role_for(&Method::from_bytes(method.as_bytes()).unwrap(), path);
        for (method, path, expected) in [
            ("GET", "/", None),
            ("GET", "/app.js", None),
            ("GET", "/openapi.json", None),
            ("GET", "/healthz", None),
            ("GET", "/readyz", None),
            ("GET", "/leaderz", None),
            ("GET", "/metrics", Some(Role::Read)),
            ("GET", "/cluster/status", Some(Role::Read)),
            ("HEAD", "/cluster/events", Some(Role::Read)),
            ("GET", "/api/records", Some(Role::Read)),
            ("GET", "/api/ledger", Some(Role::Read)),
            ("POST", "/api/verify", Some(Role::Read)),
            ("POST", "/api/capacity", Some(Role::Read)),
            ("POST", "/api/embed", Some(Role::Embed)),
            ("POST", "/api/extract", Some(Role::Embed)),
            ("POST", "/api/commit", Some(Role::Embed)),
            ("POST", "/admin/fail", Some(Role::Admin)),
            ("GET", "/admin/bench", Some(Role::Admin)),
            ("DELETE", "/admin/bench", Some(Role::Admin)),
            ("POST", "//admin//fail", Some(Role::Admin)),
        ] {
            assert_eq!(of(method, path), expected, "{method} {path}");
        }
    }

    #[test]
    fn a_token_is_read_from_its_header_and_nothing_else() {
        for (value, expected) in [
            ("Bearer abc", Ok(Some("abc"))),
            ("bearer  abc ", Ok(Some("abc"))),
            ("Basic abc", Err(())),
            ("abc", Err(())),
        ] {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())]);
            assert_eq!(bearer(&headers).map_err(|_| ()), expected, "{value}");
        }
        assert!(bearer(&HeaderMap::new()).unwrap().is_none());
    }
}
