//! The dashboard's files and the API's description, served from the binary. The page is
//! `page/index.html`; it loads what else is in `page` by name.

use std::io::Read;
use std::sync::LazyLock;

use bytes::Bytes;
use http::StatusCode;
use http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, ETAG, IF_NONE_MATCH, VARY};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::error::HttpError;
use super::{Answer, Context, origin, reply};
use crate::record::Digest;

/// Packed by `build.rs` (RFC 1952), which saves 0.4 MB of the binary, and a browser over a
/// slow line three quarters of the wait.
struct File {
    name: &'static str,
    media_type: &'static str,
    packed: &'static [u8],
}

impl File {
    /// What was packed.
    fn text(&self) -> String {
        let mut text = String::new();
        // Packed by our own build: it cannot fail, and what is missing would show in every test.
        let _ = flate2::read::GzDecoder::new(self.packed).read_to_string(&mut text);
        text
    }
}

macro_rules! packed {
    ($media_type:expr, $name:literal) => {
        File {
            name: $name,
            media_type: $media_type,
            packed: include_bytes!(concat!(env!("OUT_DIR"), "/page/", $name, ".gz")),
        }
    };
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";

const OPENAPI: File = packed!("application/json", "openapi.json");

/// What each call takes and answers (OpenAPI 3.1).
pub(super) fn description() -> String {
    OPENAPI.text()
}

const PAGE: &[File] = &[
    packed!(HTML, "index.html"),
    packed!(CSS, "style.css"),
    packed!(CSS, "uPlot.min.css"),
    packed!(JS, "uPlot.esm.js"),
    packed!(JS, "access.js"),
    packed!(JS, "api.js"),
    packed!(JS, "charts.js"),
    packed!(JS, "cluster.js"),
    packed!(JS, "confirm.js"),
    packed!(JS, "dom.js"),
    packed!(JS, "drill.js"),
    packed!(JS, "drop.js"),
    packed!(JS, "find.js"),
    packed!(JS, "hide.js"),
    packed!(JS, "load.js"),
    packed!(JS, "main.js"),
    packed!(JS, "picture.js"),
    packed!(JS, "records.js"),
    packed!(JS, "ring.js"),
    packed!(JS, "router.js"),
    packed!(JS, "state.js"),
    packed!(JS, "streams.js"),
    packed!(JS, "theme.js"),
    packed!(JS, "timeline.js"),
    packed!(JS, "words.js"),
];

/// One tag for all: modules of two versions must never meet in one page.
static TAG: LazyLock<String> = LazyLock::new(|| {
    let files = PAGE.iter().chain([&OPENAPI]).map(|file| file.packed);
    // Weak, since packed and unpacked have the same one (RFC 9110, section 8.8.1).
    format!("W/\"{}\"", &Digest::of_parts(files).to_string()[..16])
});

/// What a browser says of itself.
struct Asking {
    /// Tags of what it has.
    known: Option<String>,
    /// Codings that it takes.
    codings: Option<String>,
}

impl Asking {
    fn has_it(&self) -> bool {
        let known = self.known.iter().flat_map(|known| known.split(','));
        known.map(str::trim).any(|tag| tag == *TAG || tag == "*")
    }

    /// RFC 9110, section 12.5.3.
    fn takes_gzip(&self) -> bool {
        let codings = self.codings.iter().flat_map(|codings| codings.split(','));
        codings.map(|coding| coding.split_once(';').unwrap_or((coding, ""))).any(
            |(name, weight)| {
                let weight = weight.trim().strip_prefix("q=").map_or(Ok(1.0), str::parse::<f32>);
                name.trim().eq_ignore_ascii_case("gzip") && weight.is_ok_and(|weight| weight > 0.0)
            },
        )
    }
}

pub fn routes(with: &BoxedFilter<(Context,)>) -> BoxedFilter<(Response,)> {
    let reading = || warp::get().or(warp::head()).unify();
    let asking = || {
        warp::header::optional::<String>(IF_NONE_MATCH.as_str())
            .and(warp::header::optional::<String>(ACCEPT_ENCODING.as_str()))
            .map(|known, codings| Asking { known, codings })
    };
    let serve = |context: Context, asking: Asking, file: Option<&'static File>| {
        let (status, scheme) = (context.service.status(), context.service.scheme());
        let policy = origin::content_security_policy(&status, scheme);
        context.measured("dashboard", async move { answer(file, &asking, policy) })
    };
    let page = warp::path::end()
        .and(reading())
        .and(with.clone())
        .and(asking())
        .then(move |context, asking| serve(context, asking, Some(&PAGE[0])));
    let part = warp::path!("page" / String).and(reading()).and(with.clone()).and(asking()).then(
        move |name: String, context, asking| {
            serve(context, asking, PAGE.iter().find(|file| file.name == name))
        },
    );
    let openapi = warp::path!("openapi.json")
        .and(reading())
        .and(with.clone())
        .and(asking())
        .then(move |context, asking| serve(context, asking, Some(&OPENAPI)));
    page.or(part).unify().or(openapi).unify().boxed()
}

/// The file, or that the browser has it already (RFC 9110, section 13.1.2).
fn answer(file: Option<&File>, asking: &Asking, policy: String) -> Answer {
    let Some(file) = file else { return Err(HttpError::NoSuchPath) };
    let is_packed = asking.takes_gzip();
    let (status, body) = if asking.has_it() {
        (StatusCode::NOT_MODIFIED, Bytes::new())
    } else if is_packed {
        (StatusCode::OK, Bytes::from_static(file.packed))
    } else {
        (StatusCode::OK, file.text().into())
    };
    let mut response = reply::bytes(status, file.media_type, body);
    if is_packed && status == StatusCode::OK {
        response.headers_mut().insert(CONTENT_ENCODING, http::HeaderValue::from_static("gzip"));
    }
    response.headers_mut().insert(VARY, http::HeaderValue::from_static("accept-encoding"));
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
    fn quoted(text: &str, before: &str) -> Vec<String> {
        let starts = text.match_indices(before).map(|(at, _)| &text[at + before.len()..]);
        starts.filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect()
    }

    #[test]
    fn the_page_is_small() {
        let bytes: usize = PAGE.iter().map(|file| file.text().len()).sum();
        assert!(bytes < PAGE_BYTES_MAX, "{bytes} bytes");
    }

    #[test]
    fn all_that_is_loaded_is_served_and_all_that_is_served_is_loaded() {
        let mut loaded = vec!["index.html".to_owned()];
        loaded.extend(quoted(&PAGE[0].text(), "=\"/page/"));
        for file in PAGE.iter().filter(|file| file.name.ends_with(".js")) {
            loaded.extend(quoted(&file.text(), "from \"./"));
            loaded.extend(quoted(&file.text(), "import(\"./"));
        }
        for name in &loaded {
            assert!(PAGE.iter().any(|file| file.name == name), "{name} is not served");
        }
        for file in PAGE {
            assert!(loaded.iter().any(|name| name == file.name), "nothing loads {}", file.name);
        }
    }

    #[test]
    fn nothing_in_the_page_needs_a_weaker_policy() {
        let page = PAGE[0].text();
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
        let answer = |known: Option<&str>| {
            let asking = Asking { known: known.map(str::to_owned), codings: None };
            answer(Some(&PAGE[0]), &asking, String::new()).unwrap()
        };
        let first = answer(None);
        let tag = first.headers()[ETAG].to_str().unwrap().to_owned();
        let known = format!("\"x\", {tag}");
        let again = answer(Some(&known));
        assert_eq!((first.status(), again.status()), (StatusCode::OK, StatusCode::NOT_MODIFIED));
        let other = answer(Some("\"x\""));
        assert_eq!(other.status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn a_file_is_sent_packed_to_whoever_takes_it_so() {
        use http_body_util::BodyExt;
        let answer = async |codings: Option<&str>| {
            let asking = Asking { known: None, codings: codings.map(str::to_owned) };
            let response = answer(Some(&OPENAPI), &asking, String::new()).unwrap();
            let coding = response.headers().get(CONTENT_ENCODING).cloned();
            (coding, response.into_body().collect().await.unwrap().to_bytes())
        };
        let plain = include_bytes!("openapi.json");
        for codings in [None, Some("br"), Some("gzip;q=0, br"), Some("gzip;q=much"), Some("")] {
            let (coding, body) = answer(codings).await;
            assert_eq!((coding, &body[..]), (None, &plain[..]), "{codings:?}");
        }
        for codings in ["gzip", "br, GZIP;q=0.5", "deflate , gzip ; q=1"] {
            let (coding, body) = answer(Some(codings)).await;
            assert_eq!(coding.unwrap(), "gzip", "{codings}");
            let mut unpacked = Vec::new();
            flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut unpacked).unwrap();
            assert!(unpacked == plain && body.len() < plain.len() / 4, "{codings}");
        }
    }
}
