//! The dashboard's files and the API's description, served from the binary. The page is
//! `page/index.html`; it loads what else is in `page` by name.

use std::sync::LazyLock;

use bytes::Bytes;
use http::StatusCode;
use http::header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::error::HttpError;
use super::{Answer, Context, origin, reply};
use crate::record::Digest;

struct File {
    name: &'static str,
    media_type: &'static str,
    text: &'static str,
}

const fn html(name: &'static str, text: &'static str) -> File {
    File { name, media_type: "text/html; charset=utf-8", text }
}

const fn css(name: &'static str, text: &'static str) -> File {
    File { name, media_type: "text/css; charset=utf-8", text }
}

const fn js(name: &'static str, text: &'static str) -> File {
    File { name, media_type: "text/javascript; charset=utf-8", text }
}

/// What each call takes and answers (OpenAPI 3.1).
pub(super) const DESCRIPTION: &str = include_str!("openapi.json");

const OPENAPI: File =
    File { name: "openapi.json", media_type: "application/json", text: DESCRIPTION };

const PAGE: &[File] = &[
    html("index.html", include_str!("page/index.html")),
    css("style.css", include_str!("page/style.css")),
    css("uPlot.min.css", include_str!("page/vendor/uPlot.min.css")),
    js("uPlot.esm.js", include_str!("page/vendor/uPlot.esm.js")),
    js("access.js", include_str!("page/access.js")),
    js("api.js", include_str!("page/api.js")),
    js("charts.js", include_str!("page/charts.js")),
    js("cluster.js", include_str!("page/cluster.js")),
    js("confirm.js", include_str!("page/confirm.js")),
    js("dom.js", include_str!("page/dom.js")),
    js("drill.js", include_str!("page/drill.js")),
    js("drop.js", include_str!("page/drop.js")),
    js("find.js", include_str!("page/find.js")),
    js("hide.js", include_str!("page/hide.js")),
    js("load.js", include_str!("page/load.js")),
    js("main.js", include_str!("page/main.js")),
    js("picture.js", include_str!("page/picture.js")),
    js("records.js", include_str!("page/records.js")),
    js("ring.js", include_str!("page/ring.js")),
    js("router.js", include_str!("page/router.js")),
    js("state.js", include_str!("page/state.js")),
    js("streams.js", include_str!("page/streams.js")),
    js("theme.js", include_str!("page/theme.js")),
    js("timeline.js", include_str!("page/timeline.js")),
    js("words.js", include_str!("page/words.js")),
];

/// One tag for all: modules of two versions must never meet in one page.
static TAG: LazyLock<String> = LazyLock::new(|| {
    let texts = PAGE.iter().chain([&OPENAPI]).map(|file| file.text);
    format!("\"{}\"", &Digest::of_parts(texts).to_string()[..16])
});

pub fn routes(with: &BoxedFilter<(Context,)>) -> BoxedFilter<(Response,)> {
    let reading = || warp::get().or(warp::head()).unify();
    let known = || warp::header::optional::<String>(IF_NONE_MATCH.as_str());
    let serve = |context: Context, known: Option<String>, file: Option<&'static File>| {
        let (status, scheme) = (context.service.status(), context.service.scheme());
        let policy = origin::content_security_policy(&status, scheme);
        context.measured("dashboard", async move { answer(file, known.as_deref(), policy) })
    };
    let page = warp::path::end()
        .and(reading())
        .and(with.clone())
        .and(known())
        .then(move |context, known| serve(context, known, Some(&PAGE[0])));
    let part = warp::path!("page" / String).and(reading()).and(with.clone()).and(known()).then(
        move |name: String, context, known| {
            serve(context, known, PAGE.iter().find(|file| file.name == name))
        },
    );
    let openapi = warp::path!("openapi.json")
        .and(reading())
        .and(with.clone())
        .and(known())
        .then(move |context, known| serve(context, known, Some(&OPENAPI)));
    page.or(part).unify().or(openapi).unify().boxed()
}

/// The file, or that the browser has it already (RFC 9110, section 13.1.2).
fn answer(file: Option<&File>, known: Option<&str>, policy: String) -> Answer {
    let Some(file) = file else { return Err(HttpError::NoSuchPath) };
    let fresh = known.is_some_and(|known| known.split(',').any(|tag| tag.trim() == *TAG));
    let mut response = if fresh {
        reply::bytes(StatusCode::NOT_MODIFIED, file.media_type, Bytes::new())
    } else {
        reply::bytes(StatusCode::OK, file.media_type, Bytes::from_static(file.text.as_bytes()))
    };
    // Also with 304: it counts for what the browser has, and the nodes may be others by now.
    reply::header(&mut response, "content-security-policy", policy);
    reply::header(&mut response, "referrer-policy", "no-referrer");
    // Asked for each time: a node that was upgraded brings a new page at once.
    response.headers_mut().insert(CACHE_CONTROL, http::HeaderValue::from_static("no-cache"));
    if let Ok(tag) = TAG.parse() {
        response.headers_mut().insert(ETAG, tag);
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of all that the page may load.
    const PAGE_BYTES_MAX: usize = 300_000;

    /// Texts between `before` and the next double quote.
    fn quoted<'a>(text: &'a str, before: &str) -> Vec<&'a str> {
        let starts = text.match_indices(before).map(|(at, _)| &text[at + before.len()..]);
        starts.filter_map(|rest| rest.split('"').next()).collect()
    }

    #[test]
    fn the_page_is_small() {
        let bytes: usize = PAGE.iter().map(|file| file.text.len()).sum();
        assert!(bytes < PAGE_BYTES_MAX, "{bytes} bytes");
    }

    #[test]
    fn all_that_is_loaded_is_served_and_all_that_is_served_is_loaded() {
        let mut loaded = vec!["index.html"];
        loaded.extend(quoted(PAGE[0].text, "=\"/page/"));
        for file in PAGE.iter().filter(|file| file.name.ends_with(".js")) {
            loaded.extend(quoted(file.text, "from \"./"));
            loaded.extend(quoted(file.text, "import(\"./"));
        }
        for name in &loaded {
            assert!(PAGE.iter().any(|file| file.name == *name), "{name} is not served");
        }
        for file in PAGE {
            assert!(loaded.contains(&file.name), "nothing loads {}", file.name);
        }
    }

    #[test]
    fn nothing_in_the_page_needs_a_weaker_policy() {
        let page = PAGE[0].text;
        for forbidden in [" style=", "<style", " onclick=", "javascript:", "http://", "https://"] {
            // The icon names the SVG name space in its own address.
            let page = page.replace("xmlns='http://www.w3.org/2000/svg'", "");
            assert!(!page.contains(forbidden), "{forbidden}");
        }
        for script in page.split("<script").skip(1) {
            assert!(script.contains(" src=\"/page/"), "an inline script");
        }
    }

    #[test]
    fn a_browser_that_has_the_page_is_not_sent_it_again() {
        let answer = |known: Option<&str>| answer(Some(&PAGE[0]), known, String::new()).unwrap();
        let first = answer(None);
        let tag = first.headers()[ETAG].to_str().unwrap().to_owned();
        let known = format!("\"x\", {tag}");
        let again = answer(Some(&known));
        assert_eq!((first.status(), again.status()), (StatusCode::OK, StatusCode::NOT_MODIFIED));
        let other = answer(Some("\"x\""));
        assert_eq!(other.status(), StatusCode::OK);
    }
}
