//! The token that goes along with each request, where nodes ask for one.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use ureq::http::header::{AUTHORIZATION, HeaderValue};
use ureq::http::{Request, Response};
use ureq::middleware::{Middleware, MiddlewareNext};
use ureq::{Body, SendBody};
use zeroize::Zeroizing;

use crate::limits::{TOKEN_BYTES_MAX, TOKEN_BYTES_MIN};

/// What is no token. Does not show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a token has {TOKEN_BYTES_MIN} to {TOKEN_BYTES_MAX} letters, digits and -._~+/=")]
pub struct NoToken;

/// A bearer token (RFC 6750). Wiped from memory when dropped; `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Arc<Zeroizing<String>>);

impl FromStr for Token {
    type Err = NoToken;

    /// Space around it, such as the end of a line, does not belong to it.
    fn from_str(text: &str) -> Result<Self, NoToken> {
        let text = text.trim();
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        let bounds = TOKEN_BYTES_MIN..=TOKEN_BYTES_MAX;
        if !bounds.contains(&text.len()) || !text.bytes().all(allowed) {
            return Err(NoToken);
        }
        Ok(Self(Arc::new(Zeroizing::new(text.to_owned()))))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token([hidden])")
    }
}

impl Middleware for Token {
    fn handle(
        &self,
        mut request: Request<SendBody>,
        next: MiddlewareNext,
    ) -> Result<Response<Body>, ureq::Error> {
        let value = Zeroizing::new(format!("Bearer {}", self.0.as_str()));
        if let Ok(mut value) = HeaderValue::from_str(&value) {
            value.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        next.handle(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_checked_and_hidden() {
        let token: Token = " abcdefghijklmnop-._~+/=\n".parse().unwrap();
        assert_eq!(token.0.as_str(), "abcdefghijklmnop-._~+/=");
        assert_eq!(format!("{token:?}"), "Token([hidden])");
        for bad in ["", "short", "with a space in the middle", "0123456789abcdef\u{e9}"] {
            assert_eq!(bad.parse::<Token>(), Err(NoToken), "{bad}");
        }
    }
}
