//! Pages in browsers, by where they are from: what they may ask (CORS, WHATWG Fetch), and whom
//! the dashboard may ask (Content Security Policy).
//!
//! The page of one node asks the others too: that is how it lives on when its own node dies. So
//! pages of the members are as welcome as this node's own, and no other.

use std::net::Ipv6Addr;

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HOST,
    HeaderMap, HeaderValue, ORIGIN, VARY,
};
use http::{Method, Request, StatusCode};
use warp::reply::Response;

use crate::api::cluster::{ClusterStatus, NodeStatus};

/// Request headers that a page may set.
const ALLOWED_HEADERS: &str =
    "accept, authorization, content-type, idempotency-key, last-event-id, x-durability";
const ALLOWED_METHODS: &str = "GET, HEAD, POST, DELETE";
/// How long a browser may remember both, in seconds.
const REMEMBERED_S: &str = "600";
/// Answer headers that a page may read beyond those that every page may.
const EXPOSED_HEADERS: &str = "content-disposition, location, retry-after, www-authenticate, \
     x-busy-ms, x-capacity-bytes, x-changed-samples, x-cover-channels, x-cover-height, x-cover-width, \
     x-durability, x-lsb-per-channel, x-method, x-node, x-psnr-db, x-recovered-mime, x-replayed, \
     x-request-id, x-secret-size-bytes, x-stego-sha256";

/// Where a request comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// No browser's page sent it.
    Program,
    /// A page of this node or of another of the cluster, by its `Origin` header.
    Page(HeaderValue),
    Foreign,
}

/// By the request's headers, and the nodes that are known now, which browsers reach by `members`:
/// `http` or `https`.
pub fn of(headers: &HeaderMap, status: &ClusterStatus, members: &str) -> Origin {
    let Some(origin) = headers.get(ORIGIN) else { return Origin::Program };
    let Some((scheme, place)) = origin.to_str().ok().and_then(Place::of_origin) else {
        return Origin::Foreign;
    };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let own = host.and_then(|host| Place::parse(host, port_of(scheme))) == Some(place.clone());
    let member = || scheme == members && status.nodes.iter().any(|node| Place::of(node) == place);
    if own || member() { Origin::Page(origin.clone()) } else { Origin::Foreign }
}

/// Host and port, written in one way.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    host: String,
    port: u16,
}

/// The port that is left out, as browsers do.
fn port_of(scheme: &str) -> u16 {
    if scheme == "https" { 443 } else { 80 }
}

impl Place {
    fn new(host: &str, port: u16) -> Self {
        let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        // A person types the name, the configuration has the address; it is this machine.
        let host = match host.as_str() {
            "localhost" => "127.0.0.1".to_owned(),
            other => other.parse::<Ipv6Addr>().map_or(host, |ip| ip.to_string()),
        };
        Self { host, port }
    }

    fn of(node: &NodeStatus) -> Self {
        Self::new(&node.ip, node.http_port)
    }

    /// `HOST` or `HOST:PORT`, as in the header `Host`.
    fn parse(text: &str, usual: u16) -> Option<Self> {
        let authority: http::uri::Authority = text.parse().ok()?;
        if authority.as_str().contains('@') || authority.host().is_empty() {
            return None;
        }
        Some(Self::new(authority.host(), authority.port_u16().unwrap_or(usual)))
    }

    /// `SCHEME://HOST[:PORT]`, as browsers serialise an origin (RFC 6454, section 6.1).
    fn of_origin(text: &str) -> Option<(&'static str, Self)> {
        let (scheme, rest) = text.split_once("://")?;
        let scheme = ["http", "https"].into_iter().find(|known| *known == scheme)?;
        Some((scheme, Self::parse(rest, port_of(scheme))?))
    }
}

/// The answer to a browser's question whether a page may send what it is about to send.
pub fn preflight<B>(request: &Request<B>) -> Option<Response> {
    let asks = request.method() == Method::OPTIONS
        && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    asks.then(|| {
        let mut response = Response::default();
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(ALLOWED_METHODS));
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(ALLOWED_HEADERS));
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(REMEMBERED_S));
        response
    })
}

/// Lets the page that asked read the answer.
pub fn expose(response: &mut Response, origin: &Origin) {
    let headers = response.headers_mut();
    // Also where nothing is exposed: a cache must not give this answer to another page.
    headers.append(VARY, HeaderValue::from_static("origin"));
    let Origin::Page(origin) = origin else { return };
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED_HEADERS));
}

/// Nothing but what this server sends may run or be loaded, and no script within the page; it
/// may ask this server and the nodes known now, by `scheme`.
pub fn content_security_policy(status: &ClusterStatus, scheme: &str) -> String {
    let mut nodes = String::new();
    // Whatever else a host may be called, it must not end the directive.
    let plain = |node: &&NodeStatus| {
        let mut bytes = node.ip.bytes();
        bytes.all(|byte| byte.is_ascii_alphanumeric() || b".-:_".contains(&byte))
    };
    for node in status.nodes.iter().filter(plain) {
        let ip = &node.ip;
        let host = if ip.contains(':') { format!("[{ip}]") } else { ip.clone() };
        nodes.push_str(&format!(" {scheme}://{host}:{}", node.http_port));
    }
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; \
         connect-src 'self'{nodes}; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(addresses: &[&str]) -> ClusterStatus {
        let node = |address: &&str| NodeStatus::unknown("n1".parse().unwrap(), address, "x:1");
        ClusterStatus { nodes: addresses.iter().map(node).collect(), ..ClusterStatus::default() }
    }

    #[test]
    fn pages_of_this_server_and_of_members_are_told_from_foreign_ones() {
        let status = status(&["10.0.0.1:8081", "127.0.0.1:8082", "[fd00::1]:8083"]);
        for (host, origin, welcome) in [
            // Its own, under whatever name it was reached.
            ("n1.example:8081", "http://n1.example:8081", true),
            ("N1.example:8081", "http://n1.example:8081", true),
            ("n1.example", "http://n1.example", true),
            ("n1.example", "https://n1.example", true),
            ("n1.example:443", "https://n1.example", true),
            ("[::1]:8081", "http://[::1]:8081", true),
            // A member's, under its address.
            ("10.0.0.1:8081", "http://127.0.0.1:8082", true),
            ("10.0.0.1:8081", "http://localhost:8082", true),
            ("10.0.0.1:8081", "http://[fd00:0::1]:8083", true),
            ("127.0.0.1:8082", "http://10.0.0.1:8081", true),
            // Nobody's.
            ("10.0.0.1:8081", "https://10.0.0.1:8082", false),
            ("10.0.0.1:8081", "https://127.0.0.1:8082", false),
            ("10.0.0.1:8081", "http://10.0.0.1", false),
            ("10.0.0.1:8081", "http://10.0.0.1:8082", false),
            ("10.0.0.1:8081", "http://evil.example", false),
            ("10.0.0.1:8081", "http://10.0.0.1:8081@evil.example", false),
            ("10.0.0.1:8081", "null", false),
            ("10.0.0.1:8081", "file://", false),
            ("10.0.0.1:8081", "", false),
        ] {
            let headers = [(HOST, host), (ORIGIN, origin)];
            let headers =
                HeaderMap::from_iter(headers.map(|(name, value)| (name, value.parse().unwrap())));
            let found = of(&headers, &status, "http");
            let expected = if welcome {
                Origin::Page(HeaderValue::from_str(origin).unwrap())
            } else {
                Origin::Foreign
            };
            assert_eq!(found, expected, "{origin} at {host}");
        }
        assert_eq!(of(&HeaderMap::new(), &status, "http"), Origin::Program);
        // Where nodes speak TLS, a page that came without it is nobody's.
        let at = |origin: &str| HeaderMap::from_iter([(ORIGIN, origin.parse().unwrap())]);
        let (safe, plain) = ("https://127.0.0.1:8082", "http://127.0.0.1:8082");
        assert!(matches!(of(&at(safe), &status, "https"), Origin::Page(_)));
        assert_eq!(of(&at(plain), &status, "https"), Origin::Foreign);
    }

    #[test]
    fn the_page_may_ask_the_nodes_that_are_known() {
        let policy = content_security_policy(&status(&["10.0.0.1:8081", "[fd00::1]:8083"]), "http");
        let asks = "connect-src 'self' http://10.0.0.1:8081 http://[fd00::1]:8083;";
        assert!(policy.contains(asks), "{policy}");
        assert!(!content_security_policy(&ClusterStatus::default(), "http").contains("http"));
    }
}
