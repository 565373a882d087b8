//! What may go wrong with a call, told apart by what a caller may conclude from it.

use std::time::Duration;

use crate::api::problem::{Code, Problem};
use crate::clock;

/// One exchange with one server failed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ClientError {
    /// No connection: the server has seen nothing of the request.
    #[error("{server}: {cause}")]
    NotSent { server: String, cause: String },
    /// Nothing was sent either: whoever is there is not believed, or does not speak as was asked.
    #[error("{server}: {cause}")]
    Untrusted { server: String, cause: String },
    /// The connection broke or the time ran out: the server may have acted.
    #[error("{server}: no answer: {cause}")]
    NoAnswer { server: String, cause: String },
    /// The server said no.
    #[error("{server}: {status}: {message}")]
    Refused {
        server: String,
        status: u16,
        /// Absent where the answer was not one of ours.
        code: Option<Code>,
        message: String,
        retry_after: Option<Duration>,
        /// `HOST:PORT` of the leader, in a redirect.
        leader_address: Option<String>,
    },
    /// The server said yes in words that make no sense.
    #[error("{server}: answer not understood: {cause}")]
    BadAnswer { server: String, cause: String },
    /// Told to stop before anything was sent.
    #[error("stopped before a server was asked")]
    Stopped,
}

impl ClientError {
    /// Reads a refusal: our JSON where it is that, the first line otherwise.
    pub(crate) fn refused(
        server: &str,
        status: u16,
        retry_after: Option<Duration>,
        location: Option<&str>,
        body: &[u8],
    ) -> Self {
        let problem: Option<Problem> = serde_json::from_slice(body).ok();
        let (code, message, leader_address) = match problem {
            Some(problem) => (Some(problem.code), problem.error, problem.leader_address),
            None => {
                let text = String::from_utf8_lossy(&body[..body.len().min(200)]);
                let line = text.lines().next().unwrap_or_default().trim().to_owned();
                (None, if line.is_empty() { "no reason given".to_owned() } else { line }, None)
            }
        };
        let leader_address = leader_address.or_else(|| {
            let (_, authority) = location?.split_once("//")?;
            let authority = authority.split('/').next()?;
            Some(authority.to_owned())
        });
        Self::Refused {
            server: server.to_owned(),
            status,
            code,
            message,
            retry_after,
            leader_address,
        }
    }

    /// True where another server, or the same one later, may say yes.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NotSent { .. } | Self::Untrusted { .. } | Self::NoAnswer { .. } => true,
            Self::Refused { status, .. } => matches!(status, 307 | 429 | 502 | 503 | 504),
            Self::BadAnswer { .. } | Self::Stopped => false,
        }
    }

    /// True where the server may have done what was asked.
    pub fn outcome_unknown(&self) -> bool {
        match self {
            Self::NotSent { .. } | Self::Untrusted { .. } | Self::Stopped => false,
            Self::NoAnswer { .. } | Self::BadAnswer { .. } => true,
            // A node that is busy, paused or not yet in a cluster refuses at the door. Without a
            // quorum it has proposed the record, and the proposal may still be committed.
            Self::Refused { code: Some(Code::Busy | Code::NotReady | Code::Faulted), .. } => false,
            Self::Refused { status, .. } => *status >= 500,
        }
    }

    /// True where no server could be talked to, as against one that said no.
    pub fn is_unreachable(&self) -> bool {
        match self {
            Self::NotSent { .. }
            | Self::Untrusted { .. }
            | Self::NoAnswer { .. }
            | Self::Stopped => true,
            Self::Refused { .. } | Self::BadAnswer { .. } => false,
        }
    }

    /// How long the server asked to be left alone.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// A call failed for good, after every retry it was allowed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{last}{}", tries(*.attempts, *.elapsed))]
pub struct CallError {
    /// Why the last attempt failed.
    #[source]
    pub last: ClientError,
    /// Requests that were made, the last included.
    pub attempts: u32,
    pub elapsed: Duration,
    /// True where any attempt may have done what was asked: a retry under the same id is safe,
    /// a retry under a fresh one may double it.
    pub outcome_unknown: bool,
}

fn tries(attempts: u32, elapsed: Duration) -> String {
    if attempts <= 1 {
        return String::new();
    }
    format!(" (gave up after {attempts} attempts in {:.0} ms)", clock::millis(elapsed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, body: &str) -> ClientError {
        ClientError::refused("http://a:1", status, None, None, body.as_bytes())
    }

    #[test]
    fn a_refusal_names_the_server_and_the_reason() {
        let error = refused(413, r#"{"error":"cover holds 5 bytes","code":"cover_too_small"}"#);
        assert_eq!(error.to_string(), "http://a:1: 413: cover holds 5 bytes");
        assert!(!error.is_retryable());
        assert_eq!(refused(502, "").to_string(), "http://a:1: 502: no reason given");
        assert_eq!(refused(500, "oops\nmore").to_string(), "http://a:1: 500: oops");
    }

    #[test]
    fn only_refusals_at_the_door_have_a_known_outcome() {
        let busy = r#"{"error":"x","code":"busy"}"#;
        let no_quorum = r#"{"error":"x","code":"no_quorum"}"#;
        for (status, body, unknown, retryable) in [
            (503, busy, false, true),
            (503, no_quorum, true, true),
            (504, "", true, true),
            (429, "", false, true),
            (500, "", true, false),
            (400, "", false, false),
        ] {
            let error = refused(status, body);
            assert_eq!(error.outcome_unknown(), unknown, "{status} {body}");
            assert_eq!(error.is_retryable(), retryable, "{status} {body}");
        }
    }

    #[test]
    fn a_redirect_tells_where_to_by_body_or_by_header() {
        let by_body =
            refused(307, r#"{"error":"x","code":"not_leader","leader_address":"10.0.0.1:8081"}"#);
        let by_header =
            ClientError::refused("http://a:1", 307, None, Some("http://10.0.0.1:8081/x"), b"");
        for error in [by_body, by_header] {
            let ClientError::Refused { leader_address, .. } = error else { panic!("{error:?}") };
            assert_eq!(leader_address.as_deref(), Some("10.0.0.1:8081"));
        }
    }
}
