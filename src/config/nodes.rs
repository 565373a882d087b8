//! Node lists and addresses: what `--peers` and `nodes:` mean, where this node
//! listens and under which addresses the others reach it. Text in, addresses out;
//! nothing here opens a socket.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;

use super::PeerConfig;
use super::raw::{ConfigError, Source, Sourced};
use crate::ident::NodeName;

/// How far the default Raft port lies below the client port: 8081 goes with 5001.
pub const RAFT_PORT_BELOW: u16 = 3080;

/// Where clients connect unless something else is said. Loopback: a service that
/// asks for no password does not open itself to a network unasked.
pub const LISTEN_DEFAULT: &str = "127.0.0.1:8081";

/// One node as written, unchecked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeEntry {
    pub name: String,
    /// `HOST:PORT` of the client port.
    pub address: String,
    /// `HOST:PORT` or only the port of the Raft port.
    pub raft: Option<String>,
    pub source: Source,
}

/// A host, by name or address, and a port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// Without brackets.
    pub host: String,
    pub port: u16,
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains("://") {
            return Err(format!("{text:?} is a URL; write only HOST:PORT, without http://"));
        }
        let wrong = || format!("{text:?} is no HOST:PORT, such as 127.0.0.1:8081");
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().map_err(|_| wrong())?;
        let host = match host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')) {
            Some(inner) => inner.parse::<Ipv6Addr>().map_err(|_| wrong())?.to_string(),
            None => host.to_owned(),
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        let good =
            !host.is_empty() && (host.chars().all(is_name) || host.parse::<IpAddr>().is_ok());
        if good && (host.contains(':') == text.starts_with('[')) {
            Ok(Self { host, port })
        } else {
            Err(wrong())
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl Endpoint {
    /// The address if the host is one; `localhost` counts as 127.0.0.1.
    fn ip(&self) -> Option<IpAddr> {
        match self.host.as_str() {
            "localhost" => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            host => host.parse().ok(),
        }
    }

    fn is_loopback(&self) -> bool {
        self.ip().is_some_and(|ip| ip.is_loopback())
    }

    /// The address to bind for `--listen`. A name is looked up, IPv4 first.
    fn bind(&self) -> Result<SocketAddr, String> {
        if let Some(ip) = self.ip() {
            return Ok(SocketAddr::new(ip, self.port));
        }
        let found = (self.host.as_str(), self.port).to_socket_addrs();
        let mut found: Vec<SocketAddr> =
            found.map_err(|cause| format!("host {:?} is unknown: {cause}", self.host))?.collect();
        found.sort_by_key(SocketAddr::is_ipv6);
        found.first().copied().ok_or_else(|| format!("host {:?} has no address", self.host))
    }

    /// The address to bind behind a published one: loopback stays private; for any
    /// other the node listens on all interfaces, since the published host may be a
    /// name or belong to a router in front of this machine.
    fn bind_behind(&self) -> SocketAddr {
        let ip = match self.ip() {
            Some(ip) if ip.is_loopback() => ip,
            Some(IpAddr::V6(_)) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            Some(IpAddr::V4(_)) | None => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        };
        SocketAddr::new(ip, self.port)
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Self { host: address.ip().to_string(), port: address.port() }
    }
}

/// Splits `NAME=HOST:PORT[/RAFT_PORT],...`.
pub(super) fn parse_peers(text: &str, at: &Source) -> Result<Vec<NodeEntry>, ConfigError> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let nodes = parts
        .map(|part| {
            let Some((name, address)) = part.split_once('=') else {
                let cause = format!(
                    "{part:?} is no NAME=HOST:PORT[/RAFT_PORT]; write, for instance, n1=10.0.0.1:8081,n2=10.0.0.2:8082"
                );
                return Err(ConfigError::Nodes { at: at.clone(), cause });
            };
            let (address, raft) = match address.split_once('/') {
                // A URL is left whole, for the message to say so.
                Some((address, raft)) if !raft.starts_with('/') => (address, Some(raft.to_owned())),
                _ => (address, None),
            };
            let (name, address) = (name.trim().to_owned(), address.trim().to_owned());
            Ok(NodeEntry { name, address, raft, source: at.clone() })
        })
        .collect::<Result<Vec<_>, _>>()?;
    if nodes.is_empty() {
        let cause = "names no node; leave it out for a cluster of one".to_owned();
        return Err(ConfigError::Nodes { at: at.clone(), cause });
    }
    Ok(nodes)
}

/// A node with both of its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Node {
    http: Endpoint,
    raft: Endpoint,
    source: Source,
}

/// Where this node listens, how it is reached, and whom it knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placement {
    pub listen: Sourced<SocketAddr>,
    pub raft_listen: Sourced<SocketAddr>,
    pub advertise: Sourced<String>,
    pub raft_advertise: Sourced<String>,
    pub peers: Vec<PeerConfig>,
    pub warnings: Vec<String>,
}

/// Places this node among the configured ones.
///
/// # Errors
/// Addresses that do not parse, that two nodes share, or that leave this node
/// unreachable for the others.
pub(super) fn place(
    id: &NodeName,
    nodes: Option<&Sourced<Vec<NodeEntry>>>,
    listen: Option<&Sourced<String>>,
    raft_listen: Option<&Sourced<String>>,
) -> Result<Placement, ConfigError> {
    let mut known = read_nodes(nodes)?;
    let own = known.remove(id);
    let listen = match (listen, &own) {
        (Some(given), _) => bind_given(given, "listen")?,
        (None, Some(own)) => Sourced { value: own.http.bind_behind(), source: own_entry(id, own) },
        (None, None) => {
            let address = Endpoint { host: Ipv4Addr::LOCALHOST.to_string(), port: 8081 };
            Sourced { value: address.bind_behind(), source: Source::Default }
        }
    };
    let advertise = match &own {
        Some(own) => Sourced { value: own.http.clone(), source: own_entry(id, own) },
        None => advertise_listen(id, &listen, &known)?,
    };
    let raft_listen = match (raft_listen, &own) {
        (Some(given), _) => bind_given(given, "raft_listen")?,
        (None, Some(own)) => {
            let address = SocketAddr::new(listen.value.ip(), own.raft.port);
            Sourced { value: address, source: own_entry(id, own) }
        }
        (None, None) => {
            let port = default_raft_port(listen.value.port()).map_err(|cause| {
                ConfigError::Value { at: listen.source.clone(), field: "listen".to_owned(), cause }
            })?;
            let source = Source::Derived("listen's port - 3080".to_owned());
            Sourced { value: SocketAddr::new(listen.value.ip(), port), source }
        }
    };
    let raft_advertise = match &own {
        Some(own) => Sourced { value: own.raft.clone(), source: own_entry(id, own) },
        None => {
            let host = advertise.value.host.clone();
            let value = Endpoint { host, port: raft_listen.value.port() };
            Sourced { value, source: Source::Derived("advertise's host".to_owned()) }
        }
    };
    if listen.value == raft_listen.value && listen.value.port() != 0 {
        let cause = format!("clients and other nodes cannot share {}", listen.value);
        let at = raft_listen.source;
        return Err(ConfigError::Value { at, field: "raft_listen".to_owned(), cause });
    }
    let this = Node {
        http: advertise.value.clone(),
        raft: raft_advertise.value.clone(),
        source: advertise.source.clone(),
    };
    refuse_shared_addresses(id, &this, &known)?;
    let warnings = warnings(&known, &raft_advertise.value, &raft_listen);
    let peers = known
        .into_iter()
        .map(|(name, node)| PeerConfig {
            name,
            http_addr: node.http.to_string(),
            raft_addr: node.raft.to_string(),
        })
        .collect();
    Ok(Placement {
        listen,
        raft_listen,
        advertise: as_text(advertise),
        raft_advertise: as_text(raft_advertise),
        peers,
        warnings,
    })
}

fn as_text(endpoint: Sourced<Endpoint>) -> Sourced<String> {
    Sourced { value: endpoint.value.to_string(), source: endpoint.source }
}

fn own_entry(id: &NodeName, own: &Node) -> Source {
    Source::Derived(format!("{id}'s entry, {}", own.source))
}

fn read_nodes(
    nodes: Option<&Sourced<Vec<NodeEntry>>>,
) -> Result<BTreeMap<NodeName, Node>, ConfigError> {
    let mut known = BTreeMap::new();
    let Some(nodes) = nodes else { return Ok(known) };
    if nodes.value.is_empty() {
        let cause = "nodes: names no node; leave it out for a cluster of one".to_owned();
        return Err(ConfigError::Nodes { at: nodes.source.clone(), cause });
    }
    for entry in &nodes.value {
        let at = entry.source.clone();
        let name: NodeName = entry
            .name
            .parse()
            .map_err(|error| ConfigError::Nodes { at: at.clone(), cause: format!("{error}") })?;
        let wrong = |cause: String| {
            let field = format!("node {name}");
            ConfigError::Value { at: at.clone(), field, cause }
        };
        let http: Endpoint = entry.address.parse().map_err(wrong)?;
        if http.port == 0 {
            return Err(wrong("its port must be a fixed one, not 0".to_owned()));
        }
        if http.ip().is_some_and(|ip| ip.is_unspecified()) {
            let cause = format!("{http} is no address that other machines can connect to");
            return Err(wrong(cause));
        }
        let raft = raft_endpoint(&http, entry.raft.as_deref()).map_err(wrong)?;
        let node = Node { http, raft, source: at.clone() };
        if known.insert(name.clone(), node).is_some() {
            let cause = format!("node {name} is listed twice");
            return Err(ConfigError::Nodes { at, cause });
        }
    }
    Ok(known)
}

/// A node's Raft address: as written, or beside its client port.
fn raft_endpoint(http: &Endpoint, raft: Option<&str>) -> Result<Endpoint, String> {
    let port = match raft {
        None => default_raft_port(http.port)?,
        Some(text) if text.contains(':') => return text.parse(),
        Some(text) => match text.trim().parse() {
            Ok(0) | Err(_) => return Err(format!("{text:?} is no Raft port, 1 to 65535")),
            Ok(port) => port,
        },
    };
    Ok(Endpoint { host: http.host.clone(), port })
}

/// Port 0 stays 0: the system then chooses both.
fn default_raft_port(client: u16) -> Result<u16, String> {
    match client.checked_sub(RAFT_PORT_BELOW) {
        _ if client == 0 => Ok(0),
        Some(port) if port > 0 => Ok(port),
        _ => Err(format!(
            "the default Raft port, {client} - {RAFT_PORT_BELOW}, is below 1; give one with --raft-listen, \
             and as HOST:PORT/RAFT_PORT in --peers"
        )),
    }
}

fn bind_given(given: &Sourced<String>, field: &str) -> Result<Sourced<SocketAddr>, ConfigError> {
    let bound = given.value.parse::<Endpoint>().and_then(|endpoint| endpoint.bind());
    let source = given.source.clone();
    match bound {
        Ok(value) => Ok(Sourced { value, source }),
        Err(cause) => Err(ConfigError::Value { at: source, field: field.to_owned(), cause }),
    }
}

/// The address of a node that has no entry of its own: where it listens, if the
/// others can connect to that.
fn advertise_listen(
    id: &NodeName,
    listen: &Sourced<SocketAddr>,
    peers: &BTreeMap<NodeName, Node>,
) -> Result<Sourced<Endpoint>, ConfigError> {
    let address = listen.value;
    let refuse = |why: &str| {
        let cause = format!(
            "{why}; add this node to the node list ({id}=HOST:{}), or --listen on the address that the others connect to",
            address.port()
        );
        Err(ConfigError::Value { at: listen.source.clone(), field: "listen".to_owned(), cause })
    };
    let source = Source::Derived("listen".to_owned());
    if peers.is_empty() {
        // Nobody redirects to a cluster of one; this is what its own status shows.
        let ip = match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            ip => ip,
        };
        let value = Endpoint::from(SocketAddr::new(ip, address.port()));
        return Ok(Sourced { value, source });
    }
    if address.port() == 0 {
        return refuse("the other nodes cannot know a port that the system chooses");
    }
    if address.ip().is_unspecified() {
        return refuse(&format!("the other nodes cannot connect to {address}"));
    }
    if address.ip().is_loopback() && peers.values().any(|peer| !peer.http.is_loopback()) {
        return refuse(&format!("nodes on other machines cannot connect to {address}"));
    }
    Ok(Sourced { value: address.into(), source })
}

fn refuse_shared_addresses(
    id: &NodeName,
    this: &Node,
    peers: &BTreeMap<NodeName, Node>,
) -> Result<(), ConfigError> {
    let mut owners: BTreeMap<&Endpoint, &NodeName> = BTreeMap::new();
    // This node last, so that its peers' list is blamed only for its own mistakes.
    for (name, node) in peers.iter().chain([(id, this)]) {
        for endpoint in [&node.http, &node.raft] {
            if endpoint.port == 0 {
                continue;
            }
            if let Some(owner) = owners.insert(endpoint, name) {
                let cause = format!("nodes {owner} and {name} have the same address {endpoint}");
                let cause = match (owner == name, name == id) {
                    (true, _) => format!("node {name} has {endpoint} for clients and for Raft"),
                    (false, true) => format!("{cause}; is this node really {id}? see --id"),
                    (false, false) => cause,
                };
                return Err(ConfigError::Nodes { at: node.source.clone(), cause });
            }
        }
    }
    Ok(())
}

fn warnings(
    peers: &BTreeMap<NodeName, Node>,
    raft_advertise: &Endpoint,
    raft_listen: &Sourced<SocketAddr>,
) -> Vec<String> {
    let mut warnings = Vec::new();
    let count = peers.len() + 1;
    if count.is_multiple_of(2) {
        warnings.push(format!(
            "{count} nodes survive no more failures than {}; 1, 3 or 5 are usual",
            count - 1
        ));
    }
    if !peers.is_empty() && raft_advertise.port != raft_listen.value.port() {
        warnings.push(format!(
            "the other nodes connect to {raft_advertise}, but {} listens on port {}; \
             right only where something forwards the one to the other",
            raft_listen.source,
            raft_listen.value.port()
        ));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flag(name: &str, value: &str) -> Sourced<String> {
        Sourced { value: value.to_owned(), source: Source::Flag(name.to_owned()) }
    }

    fn placed(
        id: &str,
        peers: &str,
        listen: &str,
        raft_listen: &str,
    ) -> Result<Placement, ConfigError> {
        let at = Source::Flag("--peers".to_owned());
        let nodes = match peers {
            "" => None,
            text => Some(Sourced { value: parse_peers(text, &at)?, source: at }),
        };
        let given = |name: &str, text: &str| (!text.is_empty()).then(|| flag(name, text));
        let (listen, raft_listen) =
            (given("--listen", listen), given("--raft-listen", raft_listen));
        place(&id.parse().unwrap(), nodes.as_ref(), listen.as_ref(), raft_listen.as_ref())
    }

    /// One line: listen, raft_listen, advertise, raft_advertise, then the peers.
    fn shown(placement: &Placement) -> String {
        let mut text = format!(
            "{} {} {} {}",
            placement.listen.value,
            placement.raft_listen.value,
            placement.advertise.value,
            placement.raft_advertise.value
        );
        for peer in &placement.peers {
            text += &format!(" {}={}/{}", peer.name, peer.http_addr, peer.raft_addr);
        }
        text
    }

    #[test]
    fn a_node_finds_its_place() {
        let one = "127.0.0.1:8081 127.0.0.1:5001 127.0.0.1:8081 127.0.0.1:5001";
        let three = "n1=10.0.0.1:8081,n2=10.0.0.2:8082,n3=host-3:8083/6003";
        let local = "n1=127.0.0.1:8081,n2=localhost:8082";
        let table = [
            ("n1", "", "", "", one),
            (
                "n1",
                "",
                "0.0.0.0:9000",
                "",
                "0.0.0.0:9000 0.0.0.0:5920 127.0.0.1:9000 127.0.0.1:5920",
            ),
            ("n1", "", "127.0.0.1:0", "", "127.0.0.1:0 127.0.0.1:0 127.0.0.1:0 127.0.0.1:0"),
            (
                "n1",
                "",
                "127.0.0.1:80",
                "127.0.0.1:81",
                "127.0.0.1:80 127.0.0.1:81 127.0.0.1:80 127.0.0.1:81",
            ),
            ("n1", "", "[::1]:8081", "", "[::1]:8081 [::1]:5001 [::1]:8081 [::1]:5001"),
            (
                "n1",
                three,
                "",
                "",
                "0.0.0.0:8081 0.0.0.0:5001 10.0.0.1:8081 10.0.0.1:5001 \
                 n2=10.0.0.2:8082/10.0.0.2:5002 n3=host-3:8083/host-3:6003",
            ),
            (
                "n3",
                three,
                "",
                "",
                "0.0.0.0:8083 0.0.0.0:6003 host-3:8083 host-3:6003 \
                 n1=10.0.0.1:8081/10.0.0.1:5001 n2=10.0.0.2:8082/10.0.0.2:5002",
            ),
            // Its own entry is what the others use; --listen only says where to bind.
            (
                "n1",
                three,
                "10.0.0.9:7000",
                "",
                "10.0.0.9:7000 10.0.0.9:5001 10.0.0.1:8081 10.0.0.1:5001 \
                 n2=10.0.0.2:8082/10.0.0.2:5002 n3=host-3:8083/host-3:6003",
            ),
            (
                "n2",
                local,
                "",
                "",
                "127.0.0.1:8082 127.0.0.1:5002 localhost:8082 localhost:5002 n1=127.0.0.1:8081/127.0.0.1:5001",
            ),
            // Without an own entry.
            (
                "n3",
                local,
                "127.0.0.1:8083",
                "",
                "127.0.0.1:8083 127.0.0.1:5003 127.0.0.1:8083 127.0.0.1:5003 \
                 n1=127.0.0.1:8081/127.0.0.1:5001 n2=localhost:8082/localhost:5002",
            ),
        ];
        for (id, peers, listen, raft_listen, expected) in table {
            let placement = placed(id, peers, listen, raft_listen).unwrap();
            assert_eq!(shown(&placement), expected, "{id} {peers} {listen} {raft_listen}");
        }
    }

    #[test]
    fn a_wrong_place_is_answered_with_what_to_do() {
        let table = [
            ("n1", "n2:8082", "", "--peers: \"n2:8082\" is no NAME=HOST:PORT[/RAFT_PORT]"),
            ("n1", ",", "", "--peers: names no node; leave it out for a cluster of one"),
            ("n1", "n1=http://a:1", "", "--peers: node n1: \"http://a:1\" is a URL"),
            ("n1", "n1=a:8081,n1=b:8081", "", "--peers: node n1 is listed twice"),
            ("n1", "n1=a:80", "", "--peers: node n1: the default Raft port, 80 - 3080, is below 1"),
            ("n1", "n1=a:8081/0", "", "--peers: node n1: \"0\" is no Raft port"),
            ("n1", "n1=a:0", "", "--peers: node n1: its port must be a fixed one"),
            ("n1", "n1=0.0.0.0:8081", "", "--peers: node n1: 0.0.0.0:8081 is no address"),
            ("n1", "n 1=a:8081", "", "--peers: node name \"n 1\" must be"),
            (
                "n1",
                "n2=a:8081,n3=a:8081",
                "127.0.0.1:1",
                "nodes on other machines cannot connect to 127.0.0.1:1",
            ),
            (
                "n1",
                "n1=a:8080,n2=a:8081,n3=a:8081",
                "",
                "--peers: nodes n2 and n3 have the same address a:8081",
            ),
            ("n1", "n1=a:8081/8081", "", "cannot share 0.0.0.0:8081"),
            (
                "n9",
                "n1=127.0.0.1:8081",
                "",
                "nodes n1 and n9 have the same address 127.0.0.1:8081; is this node",
            ),
            ("n3", "n1=a:8081", "", "add this node to the node list (n3=HOST:8081)"),
            ("n3", "n1=a:8081", "0.0.0.0:8083", "cannot connect to 0.0.0.0:8083; add this node"),
            ("n3", "n1=127.0.0.1:8081", "127.0.0.1:0", "a port that the system chooses"),
            ("n1", "", "8081", "--listen: listen: \"8081\" is no HOST:PORT"),
            ("n1", "", "127.0.0.1:80", "--listen: listen: the default Raft port, 80 - 3080"),
        ];
        for (id, peers, listen, expected) in table {
            let error = placed(id, peers, listen, "").unwrap_err().to_string();
            assert!(error.contains(expected), "{id} {peers} {listen}: {error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }

    #[test]
    fn odd_choices_are_only_warned_of() {
        let even = placed("n1", "n1=127.0.0.1:8081,n2=127.0.0.1:8082", "", "").unwrap();
        assert_eq!(even.warnings, ["2 nodes survive no more failures than 1; 1, 3 or 5 are usual"]);
        let three = "n1=127.0.0.1:8081,n2=127.0.0.1:8082,n3=127.0.0.1:8083";
        assert!(placed("n1", three, "", "").unwrap().warnings.is_empty());
        let forwarded = placed("n1", three, "", "127.0.0.1:6001").unwrap();
        assert!(forwarded.warnings[0].contains("--raft-listen listens on port 6001"));
    }

    #[test]
    fn endpoints_survive_printing() {
        for text in ["a:1", "10.0.0.1:65535", "[::1]:8081", "my-host.example:80"] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
        for text in ["", ":80", "a", "a:", "a:65536", "::1:80", "[::1]", "[a]:80", "a b:1", "a/b:1"]
        {
            assert!(text.parse::<Endpoint>().is_err(), "{text:?} was accepted");
        }
    }
}
