//! One request to one server, and what became of it. No retries here.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ureq::config::Config;
use ureq::http::{HeaderMap, Uri};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{Connector as _, DefaultConnector, NextTimeout};
use ureq::{Agent, Timeout};

use super::error::ClientError;
use super::secured::{self, TlsIfAsked};
use super::servers::Servers;
use crate::api::codec::{BUSY_MS, DURABILITY};
use crate::limits::BODY_BYTES_MAX;
use crate::record::Durability;
use crate::trust::words;

/// Largest answer that is read, in bytes: a picture of the largest size in base64, and some.
/// Beyond it the answer is not understood.
const ANSWER_BYTES_MAX: u64 = 2 * BODY_BYTES_MAX;
/// Idle connections kept, by server and in all: one for each thread of a large load test.
const IDLE_MAX: usize = 1024;
/// Two for each connection: what is read or written at once.
const BUFFER_BYTES: usize = 128 * 1024;
/// Where there are thousands: 2,000 connections took 880 MB with the larger ones.
const SMALL_BUFFER_BYTES: usize = 16 * 1024;

/// What is asked, the same for every server. `Debug` shows only where.
#[derive(Clone)]
pub(crate) struct Outgoing {
    /// With query, beginning with a slash.
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// A GET has none.
    pub body: Option<Vec<u8>>,
}

impl std::fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Bodies hold secrets and passphrases, headers tokens.
        f.debug_struct("Outgoing").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Outgoing {
    pub fn get(path: impl Into<String>) -> Self {
        Self { path: path.into(), headers: Vec::new(), body: None }
    }

    pub fn post(path: impl Into<String>, content_type: &str, body: Vec<u8>) -> Self {
        let headers = vec![("content-type", content_type.to_owned())];
        Self { path: path.into(), headers, body: Some(body) }
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// A 2xx answer. `Debug` shows only whose.
pub(crate) struct Reply {
    pub server: String,
    /// How far an acknowledged embed reaches, where the answer is a picture.
    pub durability: Option<Durability>,
    /// How long a job would wait there, where the server says so.
    pub busy: Option<Duration>,
    pub body: Vec<u8>,
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reply").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Reply {
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, ClientError> {
        serde_json::from_slice(&self.body).map_err(|error| ClientError::BadAnswer {
            server: self.server.clone(),
            cause: error.to_string(),
        })
    }
}

/// An agent for many threads: keep-alive connections, no proxy, no redirects of its own.
/// It believes servers at `https://` by the roots of `servers`, and brings their token.
pub(crate) fn agent(connect_max: Duration, servers: &Servers) -> Agent {
    built(connect_max, servers, BUFFER_BYTES)
}

/// The same for one of thousands of threads, with less memory.
pub(crate) fn small_agent(connect_max: Duration, servers: &Servers) -> Agent {
    built(connect_max, servers, SMALL_BUFFER_BYTES)
}

fn built(connect_max: Duration, servers: &Servers, buffer_bytes: usize) -> Agent {
    let config = Agent::config_builder()
        .input_buffer_size(buffer_bytes)
        .output_buffer_size(buffer_bytes)
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        // Nodes are neighbours: a proxy meant for the Internet cannot reach them.
        .proxy(None)
        .timeout_connect(Some(connect_max))
        .max_idle_connections(IDLE_MAX)
        .max_idle_connections_per_host(IDLE_MAX)
        .user_agent(concat!("stegcluster/", env!("CARGO_PKG_VERSION")));
    let config = match servers.token() {
        Some(token) => config.middleware(token.clone()),
        None => config,
    };
    let connector = DefaultConnector::default().chain(TlsIfAsked(servers.roots().cloned()));
    Agent::with_parts(config.build(), connector, AddressFirst::default())
}

/// Takes an IP address as it is, and looks up only names: ureq's own resolver starts a thread
/// for each request that has a deadline, and all of ours do.
#[derive(Debug, Default)]
struct AddressFirst {
    names: DefaultResolver,
}

impl Resolver for AddressFirst {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        match (host.parse::<IpAddr>(), uri.port_u16()) {
            (Ok(ip), Some(port)) => {
                let mut addresses = self.empty();
                addresses.push(SocketAddr::new(ip, port));
                Ok(addresses)
            }
            _ => self.names.resolve(uri, config, timeout),
        }
    }
}

/// Asks `server` (a URL without path) once, for at most `attempt_max`.
pub(crate) fn exchange(
    agent: &Agent,
    server: &str,
    outgoing: &Outgoing,
    attempt_max: Duration,
) -> Result<Reply, ClientError> {
    let url = format!("{server}{}", outgoing.path);
    let sent = match &outgoing.body {
        None => {
            let mut request = agent.get(&url);
            for (name, value) in &outgoing.headers {
                request = request.header(*name, value);
            }
            request.config().timeout_global(Some(attempt_max)).build().call()
        }
        Some(body) => {
            let mut request = agent.post(&url);
            for (name, value) in &outgoing.headers {
                request = request.header(*name, value);
            }
            request.config().timeout_global(Some(attempt_max)).build().send(&body[..])
        }
    };
    let mut response = sent.map_err(|error| failed(server, &error))?;
    let status = response.status().as_u16();
    let retry_after = retry_after(response.headers());
    let location = text_header(response.headers(), "location");
    let durability = text_header(response.headers(), DURABILITY);
    let busy = text_header(response.headers(), BUSY_MS);
    let busy = busy.and_then(|ms| ms.parse().ok()).map(Duration::from_millis);
    // Whatever the status says, a body cut short is an answer lost.
    let body = response
        .body_mut()
        .with_config()
        .limit(ANSWER_BYTES_MAX)
        .read_to_vec()
        .map_err(|error| failed(server, &error))?;
    if (200..300).contains(&status) {
        let durability = durability.and_then(|word| match word.as_str() {
            "local" => Some(Durability::Local),
            "quorum" => Some(Durability::Quorum),
            _ => None,
        });
        Ok(Reply { server: server.to_owned(), durability, busy, body })
    } else {
        Err(ClientError::refused(server, status, retry_after, location.as_deref(), &body))
    }
}

/// Writes the answer to a GET to `sink` as it comes, however long. Only the wait for its
/// beginning is bounded, by `begin_max`.
pub(crate) fn download(
    agent: &Agent,
    server: &str,
    path: &str,
    begin_max: Duration,
    sink: &mut dyn io::Write,
) -> Result<u64, ClientError> {
    let request = agent.get(format!("{server}{path}"));
    let request = request.config().timeout_recv_response(Some(begin_max)).build();
    let mut response = request.call().map_err(|error| failed(server, &error))?;
    let status = response.status().as_u16();
    if !(200..300).contains(&status) {
        let body = response.body_mut().read_to_vec().map_err(|error| failed(server, &error))?;
        return Err(ClientError::refused(server, status, None, None, &body));
    }
    let mut reader = response.into_body().into_reader();
    io::copy(&mut reader, sink).map_err(|error| ClientError::NoAnswer {
        server: server.to_owned(),
        cause: format!("the answer broke off: {}", plain(&error)),
    })
}

fn text_header(headers: &HeaderMap, name: &str) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}

/// `Retry-After` in seconds (RFC 9110 section 10.2.3); a date is not honoured.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    text_header(headers, "retry-after")?.trim().parse().ok().map(Duration::from_secs)
}

/// Tells a request that never left from one whose fate is unknown.
pub(crate) fn failed(server: &str, error: &ureq::Error) -> ClientError {
    let server = server.to_owned();
    if let Some(cause) = secured::mistrust(error) {
        return ClientError::Untrusted { server, cause };
    }
    if let ureq::Error::Io(error) = error
        && let Some(cause) = words::of(error)
    {
        // In TLS 1.3 whoever is let in hears only then that he is not.
        let cause = format!("{cause}; is this a Raft port?");
        return ClientError::Untrusted { server, cause };
    }
    let cause = match error {
        ureq::Error::Io(error) => plain(error),
        ureq::Error::Timeout(Timeout::Connect) => "no connection in time".to_owned(),
        ureq::Error::Timeout(Timeout::Resolve) => "host name not looked up in time".to_owned(),
        ureq::Error::Timeout(_) => "timed out".to_owned(),
        ureq::Error::HostNotFound => "host not found".to_owned(),
        other => other.to_string(),
    };
    let not_sent = match error {
        ureq::Error::HostNotFound
        | ureq::Error::ConnectionFailed
        | ureq::Error::BadUri(_)
        | ureq::Error::Timeout(Timeout::Connect | Timeout::Resolve) => true,
        // Only a connect can be refused; the other kinds may also end an open connection.
        ureq::Error::Io(error) => {
            matches!(
                error.kind(),
                io::ErrorKind::ConnectionRefused | io::ErrorKind::AddrNotAvailable
            )
        }
        _ => false,
    };
    if not_sent {
        ClientError::NotSent { server, cause }
    } else {
        ClientError::NoAnswer { server, cause }
    }
}

/// The error without the operating system's number.
fn plain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::ConnectionReset => "connection reset".to_owned(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe => "connection closed".to_owned(),
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => "timed out".to_owned(),
        _ => error.to_string(),
    }
}
