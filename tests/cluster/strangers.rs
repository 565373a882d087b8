//! Strangers at the ports of clusters that know their own by certificates or by a secret.

#![allow(clippy::unwrap_used, reason = "a panic is how a test says that something went wrong")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use stegcluster::client::{Client, ClientError, EmbedRequest, Patience, Servers, Stop};
use stegcluster::clock;
use stegcluster::fleet::{Fleet, FleetPlan};
use stegcluster::ident::{NodeName, RecordId};
use stegcluster::trust::make::{self, Authority};
use stegcluster::trust::{ClusterSecret, Roots, Tls, TlsFiles, words};
use tempfile::TempDir;

use crate::support::{BINARY, PATIENCE, Process, command, free_port, poll, turn};

fn started(plan: FleetPlan) -> (Fleet, Client) {
    let plan = FleetPlan { binary: Some(BINARY.into()), ..plan };
    let mut fleet = Fleet::new(plan, &Stop::new()).unwrap();
    fleet.start_all().unwrap();
    fleet.wait_formed(PATIENCE, &Stop::new()).unwrap();
    let client = Client::new(fleet.servers().clone(), Patience::default(), Stop::new());
    (fleet, client)
}

fn name(name: &str) -> NodeName {
    name.parse().unwrap()
}

fn log(fleet: &Fleet, node: &str) -> String {
    std::fs::read_to_string(fleet.folder().join(format!("{node}.log"))).unwrap_or_default()
}

/// Waits until some node's log has `text`.
fn wait_logged(fleet: &Fleet, text: &str) -> String {
    let nodes = ["n1", "n2", "n3"];
    let line = poll(PATIENCE, || {
        let logs: String = nodes.map(|node| log(fleet, node)).concat();
        logs.lines().find(|line| line.contains(text)).map(str::to_owned)
    });
    line.unwrap_or_else(|| {
        panic!("no {text:?} in\n{}", nodes.map(|node| log(fleet, node)).concat())
    })
}

/// What comes back for plain bytes.
fn plainly(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    // What ends in a reset has been read before it.
    let _ = stream.read_to_string(&mut answer);
    answer
}

/// A message to a Raft port, as the node `from` would send it.
fn message(from: &str) -> String {
    let crc = crc32fast::hash(b"null");
    format!(
        "POST /node/status HTTP/1.1\r\nHost: x\r\nx-stegcluster-wire: 2\r\nx-stegcluster-from: {from}\r\n\
         x-stegcluster-crc32: {crc}\r\nContent-Length: 4\r\nConnection: close\r\n\r\nnull"
    )
}

/// What comes back over TLS, shown the certificate in `folder` as node `bearer`.
fn as_bearer(folder: &Path, bearer: &str, address: &str, request: &str) -> Result<String, String> {
    let files = TlsFiles {
        ca: folder.join(make::CA_CERT),
        cert: folder.join(make::NODE_CERT),
        key: folder.join(make::NODE_KEY),
        client: None,
    };
    let tls = Tls::read(name(bearer), files).map_err(|error| error.to_string())?;
    over(tls.peer_client(), address, request)
}

fn over(
    config: std::sync::Arc<rustls::ClientConfig>,
    address: &str,
    request: &str,
) -> Result<String, String> {
    let host = "localhost".try_into().unwrap();
    let connection = rustls::ClientConnection::new(config, host).unwrap();
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut stream = rustls::StreamOwned::new(connection, stream);
    let said = |error: std::io::Error| words::of(&error).unwrap_or_else(|| error.to_string());
    stream.write_all(request.as_bytes()).map_err(said)?;
    let mut answer = String::new();
    match stream.read_to_string(&mut answer) {
        Err(error) if answer.is_empty() => Err(said(error)),
        _ => Ok(answer),
    }
}

/// Starts a node of its own beside `fleet`, which never knew of it.
fn fourth(fleet: &Fleet, id: &str, folder: &TempDir, more: &[&str]) -> (Process, PathBuf) {
    let (client, raft) = (free_port(), free_port());
    let mut peers = vec![format!("{id}=127.0.0.1:{client}/{raft}")];
    for (number, server) in fleet.servers().iter().enumerate() {
        let raft = fleet.raft_address(number).rsplit(':').next().unwrap();
        peers.push(format!("{}={}/{raft}", fleet.name(number), server.address()));
    }
    let data = folder.path().join("data").display().to_string();
    let args = ["serve", "--id", id, "--data-dir", &data, "--peers", &peers.join(",")];
    let args: Vec<String> = args.iter().chain(more).map(|arg| (*arg).to_owned()).collect();
    let log = folder.path().join("log");
    (Process::start(&args, &log, None, &[]), log)
}

fn wait_in(log: &Path, text: &str) {
    let found = poll(PATIENCE, || {
        let log = std::fs::read_to_string(log).unwrap_or_default();
        log.contains(text).then_some(())
    });
    let log = std::fs::read_to_string(log).unwrap_or_default();
    found.unwrap_or_else(|| panic!("no {text:?} in\n{log}"));
}

/// Connections of those who do not know what the port speaks: noise behind first bytes of all kinds,
/// and `hello` with one byte changed.
fn make_noise(addresses: &[&str], hello: &[u8]) {
    const ROUNDS: u64 = 300;
    const FIRST: [u8; 6] = [0x16, 0x01, b'G', b'P', 0, 0xff];
    // Xorshift (Marsaglia 2003); the same noise each time.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    for round in 0..ROUNDS {
        for address in addresses {
            let bytes = if round % 3 == 0 {
                let mut hello = hello.to_vec();
                let at = draw(hello.len() as u64) as usize;
                hello[at] ^= 1 << draw(8);
                hello
            } else {
                let (first, length) = (FIRST[draw(6) as usize], draw(400));
                let noise = (0..length).map(|_| draw(256) as u8);
                std::iter::once(first).chain(noise).collect()
            };
            let mut stream = TcpStream::connect(address).unwrap();
            // It may have been turned away already.
            let _ = stream.write_all(&bytes);
            if round % 7 == 0 {
                let _ = stream.shutdown(std::net::Shutdown::Write);
                let _ = stream.set_read_timeout(Some(PATIENCE));
                let _ = stream.read_to_end(&mut Vec::new());
            }
        }
    }
}

fn terms(client: &Client) -> Vec<u64> {
    client.statuses(PATIENCE).into_iter().map(|status| status.unwrap().term).collect()
}

fn members(fleet: &Fleet, client: &Client) -> Vec<String> {
    let status = client.status(fleet.servers().nth(0), PATIENCE).unwrap();
    status.nodes.iter().map(|node| node.id.to_string()).collect()
}

/// Embeds by each node, and finds it again by the next.
fn hide_and_find(client: &Client) {
    for first in 0..3 {
        let request = EmbedRequest { secret: b"a secret", ..EmbedRequest::default() };
        let picture = client
            .embed_png(first, &RecordId::from(clock::fresh_time_ordered_uuid()), &request)
            .unwrap()
            .value;
        assert_eq!(client.extract_bytes(first + 1, &picture, None).unwrap().value, b"a secret");
    }
}

#[test]
fn a_cluster_with_certificates_lets_in_its_nodes_and_nobody_else() {
    let _turn = turn();
    let (fleet, client) = started(FleetPlan { tls: true, ..FleetPlan::new(3) });
    hide_and_find(&client);
    let server = fleet.servers().nth(0).address().to_owned();
    let (raft, tls) = (fleet.raft_address(0).to_owned(), fleet.folder().join("tls"));

    // Without TLS, at either port.
    let get = "GET /cluster/status HTTP/1.1\r\nHost: x\r\n\r\n";
    let said = plainly(&server, get);
    assert!(said.starts_with("HTTP/1.1 400") && said.contains("this port speaks TLS"), "{said}");
    let said = plainly(&raft, &message("n2"));
    assert!(said.starts_with("HTTP/1.1 403") && said.contains("it speaks TLS"), "{said}");
    let here: Servers = format!("http://{server}").parse().unwrap();
    let plain = Client::new(here.clone(), Patience::default(), Stop::new());
    let refused = plain.status(here.nth(0), PATIENCE).unwrap_err().to_string();
    assert!(refused.contains("write https:// before the address"), "{refused}");

    // Without a certificate, with a client's, with one of another CA, and as another node.
    let roots = Roots::read(&tls.join(make::CA_CERT)).unwrap();
    let stream = TcpStream::connect(&raft).unwrap();
    let mut stream = roots.open(("127.0.0.1", 1), stream).unwrap();
    let ended = stream.write_all(message("n2").as_bytes()).and_then(|()| {
        let mut answer = String::new();
        stream.read_to_string(&mut answer)
    });
    let said = words::of(&ended.unwrap_err());
    assert_eq!(said.as_deref(), Some("it asks for a node's certificate, and we showed none"));

    let ca = Authority::open(&tls).unwrap();
    let outside = TempDir::new().unwrap();
    let host = outside.path().join("host");
    make::write_node(&host, ca.cert(), &ca.host("proxy", &[], 1).unwrap()).unwrap();
    let refused = as_bearer(&host, "n2", &raft, &message("n2")).unwrap_err();
    assert!(refused.contains("this certificate names no node, and this node is n2"), "{refused}");
    let said = over(bare_client(&host), &raft, &message("n2")).unwrap_err();
    assert_eq!(said, "it does not accept our certificate");
    // Not each is told of: one a second.
    let told = poll(PATIENCE, || {
        over(bare_client(&host), &raft, &message("n2")).unwrap_err();
        let log = log(&fleet, "n1");
        log.lines().find(|line| line.contains("names no node of stegcluster")).map(str::to_owned)
    });
    let told = told.expect("the leader or a follower tells of it");
    assert!(told.contains("a connection to the Raft port was turned away"), "{told}");

    let own = |node: &str| tls.join(node);
    let said = as_bearer(&own("n2"), "n2", &raft, &message("n2")).unwrap();
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    let said = as_bearer(&own("n2"), "n2", &raft, &message("n3")).unwrap();
    assert!(said.starts_with("HTTP/1.1 403"), "{said}");
    assert!(said.contains("the sender calls itself n3, and its certificate is for n2"), "{said}");
    // A member's certificate does not make its Raft port a client port, nor the reverse.
    let records = "GET /api/records HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let said = as_bearer(&own("n2"), "n2", &raft, records).unwrap();
    assert!(said.starts_with("HTTP/1.1 404") && said.contains("this is a Raft port"), "{said}");
    let said = as_bearer(&own("n2"), "n2", &server, &message("n2")).unwrap();
    assert!(said.starts_with("HTTP/1.1 404"), "{said}");

    let (other, issued) = Authority::new("another", 1).unwrap();
    let strange = outside.path().join("strange");
    make::write_node(&strange, other.cert(), &other.node(&name("n4"), &[], 1).unwrap()).unwrap();
    let folder = strange.display().to_string();
    let (_stranger, said) = fourth(&fleet, "n4", &outside, &["--tls-dir", &folder]);
    wait_in(&said, "its certificate is not of the CA that is trusted here");
    let file = outside.path().join("other.pem");
    std::fs::write(&file, issued.cert).unwrap();
    let mistaken = fleet.servers().clone().trusting(Roots::read(&file).unwrap());
    let mistaken = Client::new(mistaken, Patience::default(), Stop::new());
    let error = mistaken.records(0, None, 1, Default::default()).unwrap_err();
    assert!(matches!(error.last, ClientError::Untrusted { .. }) && error.attempts == 3, "{error}");
    assert_eq!(members(&fleet, &client), ["n1", "n2", "n3"]);

    let before = terms(&client);
    let host = "localhost".try_into().unwrap();
    let mut connection = rustls::ClientConnection::new(bare_client(&own("n2")), host).unwrap();
    let mut hello = Vec::new();
    connection.write_tls(&mut hello).unwrap();
    make_noise(&[&raft, &server], &hello);
    assert_eq!(terms(&client), before);
    hide_and_find(&client);
}

/// Shows the certificate in `folder` and believes any node of its CA, whatever it is itself.
fn bare_client(folder: &Path) -> std::sync::Arc<rustls::ClientConfig> {
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};

    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.join(make::CA_CERT)).unwrap()).unwrap();
    let chain = vec![CertificateDer::from_pem_file(folder.join(make::NODE_CERT)).unwrap()];
    let key = PrivateKeyDer::from_pem_file(folder.join(make::NODE_KEY)).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key);
    std::sync::Arc::new(config.unwrap())
}

#[test]
fn certificates_are_renewed_without_a_restart() {
    let _turn = turn();
    let (fleet, client) = started(FleetPlan { tls: true, ..FleetPlan::new(3) });
    let tls = fleet.folder().join("tls");
    let ca = Authority::open(&tls).unwrap();
    let roots = Roots::read(&tls.join(make::CA_CERT)).unwrap();
    let shown = |number: usize| {
        let address = fleet.servers().nth(number).address().to_owned();
        let port = address.rsplit(':').next().unwrap().parse().unwrap();
        let stream = TcpStream::connect(address).unwrap();
        let stream = roots.open(("127.0.0.1", port), stream).unwrap();
        stream.conn.peer_certificates().unwrap()[0].to_vec()
    };
    let replace = |file: PathBuf, content: &[u8]| {
        let beside = file.with_extension("new");
        std::fs::write(&beside, content).unwrap();
        std::fs::rename(&beside, &file).unwrap();
    };
    let at_first = terms(&client);
    let before: Vec<_> = (0..3).map(shown).collect();
    for (number, node) in ["n1", "n2", "n3"].into_iter().enumerate() {
        let issued = ca.node(&name(node), &[], 1).unwrap();
        replace(tls.join(node).join(make::NODE_KEY), issued.key.as_bytes());
        replace(tls.join(node).join(make::NODE_CERT), issued.cert.as_bytes());
        poll(PATIENCE, || (shown(number) != before[number]).then_some(()))
            .unwrap_or_else(|| panic!("{node} still shows its old certificate"));
    }
    hide_and_find(&client);
    // What cannot be used is told, and changes nothing.
    let newest = shown(0);
    replace(tls.join("n1").join(make::NODE_CERT), b"no certificate\n");
    let told = wait_logged(&fleet, "the old ones stay");
    assert!(told.contains("holds no certificate in PEM form"), "{told}");
    assert_eq!(shown(0), newest);
    hide_and_find(&client);
    assert_eq!(terms(&client), at_first);
}

#[test]
fn a_node_does_not_start_with_the_certificate_of_another() {
    let _turn = turn();
    let folder = TempDir::new().unwrap();
    let (ca, _) = Authority::new("test", 1).unwrap();
    let wrong = folder.path().join("n2");
    make::write_node(&wrong, ca.cert(), &ca.node(&name("n2"), &[], 1).unwrap()).unwrap();
    let args = ["serve", "--id", "n1", "--tls-dir", &wrong.display().to_string()];
    let output = command(&args.map(str::to_owned)).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("this certificate names node n2, and this node is n1"), "{said}");
    assert!(said.contains("stegcluster certs node n1"), "{said}");
}

#[test]
fn a_leader_of_a_cluster_with_certificates_may_crash_under_load() {
    let _turn = turn();
    let args = "failover-drill --local 3 --tls --iterations 3 --load 4 --json -";
    let args: Vec<String> = args.split_whitespace().map(str::to_owned).collect();
    let output = command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    let report: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {errors}"));
    assert_eq!(output.status.code(), Some(0), "{report:#}\n{errors}");
    let summary = &report["summary"];
    for key in ["lost", "duplicated", "failed", "spurious_elections"] {
        assert_eq!(summary[key], 0, "{key}: {summary:#}");
    }
    // Not the silent leader's 150 ms or the election timer's second: the crash was seen.
    let worst = summary["first_commit_ms"]["max"].as_f64().unwrap();
    assert!(worst < 1000.0, "{summary:#}");
}

#[test]
fn a_cluster_with_a_secret_lets_in_who_knows_it() {
    let _turn = turn();
    let folder = TempDir::new().unwrap();
    let (ours, theirs) = (folder.path().join("ours"), folder.path().join("theirs"));
    make::write_new(&ours, b"the secret of this cluster\n", 0o600).unwrap();
    make::write_new(&theirs, b"the secret of another one\n", 0o600).unwrap();
    let secret = |file: &Path| ["--secret-file".to_owned(), file.display().to_string()];
    let extra_args = secret(&ours).map(Into::into).to_vec();
    let (fleet, client) = started(FleetPlan { extra_args, ..FleetPlan::new(3) });
    hide_and_find(&client);

    let said = plainly(fleet.raft_address(0), &message("n2"));
    assert!(said.starts_with("HTTP/1.1 403"), "{said}");
    assert!(said.contains("asks for the cluster's secret: set secret_file"), "{said}");

    let before = terms(&client);
    let mut hello = vec![0x01];
    hello.extend(ClusterSecret::of(b"the secret of this cluster").unwrap().shake(true).say());
    make_noise(&[fleet.raft_address(0), fleet.raft_address(1)], &hello);
    // One that was recorded, sent again: it is answered, and opens nothing.
    let mut replayed = TcpStream::connect(fleet.raft_address(0)).unwrap();
    replayed.write_all(&hello).unwrap();
    let mut answer = [0; 49];
    replayed.read_exact(&mut answer).unwrap();
    assert_eq!(answer[0], 0x02);
    replayed.write_all(&[&[0, 40][..], &[7; 40]].concat()).unwrap();
    let mut rest = Vec::new();
    let _ = replayed.read_to_end(&mut rest);
    assert_eq!(rest, b"");
    assert_eq!(terms(&client), before);

    let [flag, file] = secret(&theirs);
    let (stranger, said) = fourth(&fleet, "n4", &folder, &[&flag, &file]);
    wait_in(&said, "it has another cluster secret (secret_file)");
    wait_logged(&fleet, "it has another cluster secret (secret_file)");
    drop(stranger);
    assert_eq!(members(&fleet, &client), ["n1", "n2", "n3"]);

    let outside = TempDir::new().unwrap();
    let (without, said) = fourth(&fleet, "n4", &outside, &[]);
    wait_in(&said, "asks for the cluster's secret");
    drop(without);
    assert_eq!(members(&fleet, &client), ["n1", "n2", "n3"]);

    let outside = TempDir::new().unwrap();
    let [flag, file] = secret(&ours);
    let (_friend, _) = fourth(&fleet, "n4", &outside, &[&flag, &file]);
    let joined =
        poll(PATIENCE, || members(&fleet, &client).contains(&"n4".to_owned()).then_some(()));
    joined.expect("a node that knows the secret joins");
    hide_and_find(&client);
    let statuses = client.statuses(Duration::from_secs(2));
    let warned = statuses.into_iter().flatten().find(|status| !status.warnings.is_empty());
    assert_eq!(warned.map(|status| status.warnings), None);
}

#[test]
fn a_node_open_to_the_network_says_so_loudly() {
    let _turn = turn();
    let folder = TempDir::new().unwrap();
    let (client, raft) = (free_port(), free_port());
    let [listen, raft] = [client, raft].map(|port| format!("0.0.0.0:{port}"));
    let data = folder.path().join("data").display().to_string();
    let args = ["serve", "--listen", &listen, "--raft-listen", &raft, "--data-dir", &data];
    let log = folder.path().join("log");
    let _node = Process::start(&args.map(str::to_owned), &log, None, &[]);
    wait_in(&log, "NO PEER AUTHENTICATION");
    let here: Servers = format!("127.0.0.1:{client}").parse().unwrap();
    let asked = Client::new(here.clone(), Patience::default(), Stop::new());
    let status = poll(PATIENCE, || asked.status(here.nth(0), PATIENCE).ok()).unwrap();
    assert!(status.warnings[0].contains("whoever reaches n1's Raft port"), "{status:?}");
    for question in ["status", "doctor"] {
        let args = [question, "--servers", here.nth(0).address()];
        let output = command(&args.map(str::to_owned)).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains("NO PEER AUTHENTICATION"), "{question}: {said}");
    }
}
