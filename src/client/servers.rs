//! Where the nodes are: `--servers`, parsed.

use std::fmt;
use std::str::FromStr;

use ureq::http::Uri;

use super::token::Token;
use crate::trust::Roots;

/// Why a text names no server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServerError {
    #[error("{0:?} is no server; write HOST:PORT, https://HOST:PORT or http://HOST:PORT")]
    Malformed(String),
    #[error("{0:?}: only https:// and http:// are spoken here")]
    Scheme(String),
    #[error("{0:?} has no port; write HOST:PORT, for instance {0}:8081")]
    NoPort(String),
    #[error("no server given")]
    None,
}

/// The client address of one node. Prints as its URL.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Server {
    /// `http://HOST:PORT` or `https://HOST:PORT`, without a slash at the end.
    url: String,
    /// The scheme was left out.
    bare: bool,
}

impl Server {
    pub fn url(&self) -> &str {
        &self.url
    }

    /// `HOST:PORT`.
    pub fn address(&self) -> &str {
        self.url.split_once("://").map_or(&self.url, |(_, address)| address)
    }

    pub fn is_https(&self) -> bool {
        self.url.starts_with("https://")
    }

    /// The same at `https://`, unless a scheme was written.
    fn securely(self) -> Self {
        if self.bare {
            Self { url: format!("https://{}", self.address()), bare: false }
        } else {
            self
        }
    }
}

impl FromStr for Server {
    type Err = ServerError;

    fn from_str(text: &str) -> Result<Self, ServerError> {
        let text = text.trim();
        let (scheme, address, bare) = match text.split_once("://") {
            Some((scheme @ ("http" | "https"), address)) => (scheme, address, false),
            Some(_) => return Err(ServerError::Scheme(text.to_owned())),
            None => ("http", text, true),
        };
        let address = address.trim_end_matches('/');
        let malformed = || ServerError::Malformed(text.to_owned());
        let url = format!("{scheme}://{address}");
        let uri: Uri = url.parse().map_err(|_| malformed())?;
        let authority = uri.authority().ok_or_else(malformed)?;
        let only_address = authority.as_str() == address && !address.contains('@');
        if !only_address || authority.host().is_empty() {
            return Err(malformed());
        }
        match authority.port_u16() {
            Some(0) => Err(malformed()),
            Some(_) => Ok(Self { url, bare }),
            None => Err(ServerError::NoPort(text.to_owned())),
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.url)
    }
}

/// At least one server, each once, in the order given, and the token that they ask for, if any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Servers {
    list: Vec<Server>,
    token: Option<Token>,
    /// By what they are believed at `https://`.
    roots: Option<Roots>,
}

impl Servers {
    /// # Errors
    /// [`ServerError::None`] if there is none.
    pub fn new(servers: impl IntoIterator<Item = Server>) -> Result<Self, ServerError> {
        let mut list: Vec<Server> = Vec::new();
        for server in servers {
            if !list.contains(&server) {
                list.push(server);
            }
        }
        if list.is_empty() {
            Err(ServerError::None)
        } else {
            Ok(Self { list, token: None, roots: None })
        }
    }

    /// The same, with a token that goes along with every request to them.
    pub fn with_token(self, token: Option<Token>) -> Self {
        Self { token, ..self }
    }

    pub fn token(&self) -> Option<&Token> {
        self.token.as_ref()
    }

    /// The same, believed by `roots`: those that were written without a scheme are asked over TLS.
    pub fn trusting(self, roots: Roots) -> Self {
        let list = self.list.into_iter().map(Server::securely).collect();
        Self { list, roots: Some(roots), ..self }
    }

    pub fn roots(&self) -> Option<&Roots> {
        self.roots.as_ref()
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Never: there is at least one. Here because clippy expects it beside `len`.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Server> {
        self.list.iter()
    }

    /// The server with this number, counted round and round.
    pub fn nth(&self, number: usize) -> &Server {
        &self.list[number % self.list.len()]
    }
}

impl FromStr for Servers {
    type Err = ServerError;

    /// Servers with commas between them.
    fn from_str(text: &str) -> Result<Self, ServerError> {
        let parts = text.split(',').filter(|part| !part.trim().is_empty());
        Self::new(parts.map(str::parse).collect::<Result<Vec<Server>, _>>()?)
    }
}

impl fmt::Display for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let urls: Vec<&str> = self.list.iter().map(Server::url).collect();
        f.write_str(&urls.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read_with_and_without_a_scheme() {
        let servers: Servers =
            "127.0.0.1:8081, http://n2.example:8082/,http://[::1]:8083,127.0.0.1:8081"
                .parse()
                .unwrap();
        let urls: Vec<&str> = servers.iter().map(Server::url).collect();
        assert_eq!(urls, ["http://127.0.0.1:8081", "http://n2.example:8082", "http://[::1]:8083"]);
        assert_eq!(servers.nth(4).address(), "n2.example:8082");
    }

    #[test]
    fn https_is_asked_for_by_scheme_or_by_naming_a_ca() {
        let servers: Servers = "a:1,http://b:2,https://c:3".parse().unwrap();
        let urls =
            |servers: &Servers| servers.iter().map(|s| s.url().to_owned()).collect::<Vec<_>>();
        assert_eq!(urls(&servers), ["http://a:1", "http://b:2", "https://c:3"]);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        let (_, ca) = crate::trust::make::Authority::new("test", 1).unwrap();
        std::fs::write(&file, ca.cert).unwrap();
        let servers = servers.trusting(Roots::read(&file).unwrap());
        assert_eq!(urls(&servers), ["https://a:1", "http://b:2", "https://c:3"]);
        assert_eq!(servers.nth(2).address(), "c:3");
    }

    #[test]
    fn what_is_no_server_is_refused_with_the_reason() {
        let refused = |text: &str| text.parse::<Server>().unwrap_err();
        assert!(matches!(refused("ftp://a:1"), ServerError::Scheme(_)));
        assert!(matches!(refused("localhost"), ServerError::NoPort(_)));
        for bad in ["", "http://", "a b:1", "a:1/x", "a:0", "a:99999", "u@a:1", ":1"] {
            assert!(matches!(refused(bad), ServerError::Malformed(_) | ServerError::NoPort(_)));
        }
        assert_eq!(" , ".parse::<Servers>(), Err(ServerError::None));
    }
}
