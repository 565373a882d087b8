//! The dashboard's three files and the API's description, served from the binary.

use bytes::Bytes;
use http::StatusCode;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::{Context, reply};

/// Nothing but what this server sends may run or be loaded, and no script within the page.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'self'; \
     frame-ancestors 'none'";

const FILES: &[(&str, &str, &str)] = &[
    ("", "text/html; charset=utf-8", include_str!("index.html")),
    ("app.js", "text/javascript; charset=utf-8", include_str!("app.js")),
    ("style.css", "text/css; charset=utf-8", include_str!("style.css")),
    ("openapi.json", "application/json", include_str!("openapi.json")),
];

pub fn routes(with: &BoxedFilter<(Context,)>) -> BoxedFilter<(Response,)> {
    let file = |(path, content_type, text): (&'static str, &'static str, &'static str)| {
        let at = if path.is_empty() {
            warp::path::end().boxed()
        } else {
            warp::path(path).and(warp::path::end()).boxed()
        };
        at.and(warp::get().or(warp::head()).unify())
            .and(with.clone())
            .then(move |context: Context| {
                context.measured("dashboard", async move {
                    let body = Bytes::from_static(text.as_bytes());
                    let mut response = reply::bytes(StatusCode::OK, content_type, body);
                    reply::header(
                        &mut response,
                        "content-security-policy",
                        CONTENT_SECURITY_POLICY,
                    );
                    reply::header(&mut response, "x-content-type-options", "nosniff");
                    Ok(response)
                })
            })
            .boxed()
    };
    let [page, script, style, openapi] = [FILES[0], FILES[1], FILES[2], FILES[3]].map(file);
    page.or(script).unify().or(style).unify().or(openapi).unify().boxed()
}
