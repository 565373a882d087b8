//! The client against small responders on loopback.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;

use super::*;
use crate::ident::NodeName;

/// What a responder does with a request.
#[derive(Clone)]
enum Reaction {
    Say(String),
    /// Reads the request, then closes without a word.
    HangUp,
}

fn say(status: &str, headers: &str, body: &str) -> Reaction {
    let length = body.len();
    Reaction::Say(format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{headers}\r\n{body}"))
}

/// Answers requests with the reactions in turn, the last one again and again.
struct Responder {
    server: Server,
    requests: Arc<Mutex<Vec<String>>>,
    stop: Stop,
    address: std::net::SocketAddr,
}

impl Responder {
    fn start(reactions: Vec<Reaction>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let stop = Stop::new();
        let (seen, stopped) = (requests.clone(), stop.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.is_tripped() {
                    return;
                }
                let mut stream = stream.unwrap();
                let number = seen.lock().unwrap().len();
                let Some(request) = read_request(&mut stream) else { continue };
                seen.lock().unwrap().push(request);
                match &reactions[number.min(reactions.len() - 1)] {
                    Reaction::Say(text) => {
                        let text = text.replacen("\r\n", "\r\nconnection: close\r\n", 1);
                        stream.write_all(text.as_bytes()).unwrap();
                    }
                    Reaction::HangUp => {}
                }
            }
        });
        let server = address.to_string().parse().unwrap();
        Self { server, requests, stop, address }
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.stop.trip();
        let _ = TcpStream::connect(self.address);
    }
}

fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        head.push_str(&line);
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(head + &String::from_utf8_lossy(&body))
}

fn dead_server() -> Server {
    // The listener is dropped, so the port refuses.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string().parse().unwrap()
}

fn client(servers: &[&Server]) -> Client {
    let servers = Servers::new(servers.iter().map(|server| (*server).clone())).unwrap();
    let patience = Patience { deadline: Duration::from_millis(500), ..Patience::default() };
    Client::new(servers, patience, Stop::new())
}

fn id() -> RecordId {
    "key-1".parse().unwrap()
}

fn record_json() -> String {
    let digest = "0".repeat(64);
    format!(
        r#"{{"id":"key-1","time_ms":1,"node":"n1","method":"lsb","secret_bytes":0,"cover_bytes":0,
            "stego_bytes":0,"cover_sha256":"{digest}","stego_sha256":"{digest}",
            "durability":"quorum","time":"1970-01-01T00:00:00Z"}}"#
    )
}

#[test]
fn a_retry_goes_to_another_server_with_the_same_key() {
    let silent = Responder::start(vec![Reaction::HangUp]);
    let busy = Responder::start(vec![say("503 Service Unavailable", "", "busy")]);
    let good = Responder::start(vec![say("200 OK", "", &record_json())]);
    let client = client(&[&silent.server, &busy.server, &good.server]);
    let answer = client.commit(0, &id()).unwrap();
    assert_eq!(answer.attempts, 3);
    assert_eq!(answer.server_index, Some(2));
    assert_eq!(answer.value.id, id());
    for responder in [&silent, &busy, &good] {
        let requests = responder.requests();
        assert_eq!(requests.len(), 1);
        assert!(requests[0].to_ascii_lowercase().contains("idempotency-key: key-1\r\n"));
    }
}

#[test]
fn a_dead_server_is_passed_over_afterwards() {
    let good = Responder::start(vec![say("200 OK", "", &record_json())]);
    let dead = dead_server();
    let client = client(&[&dead, &good.server]);
    assert_eq!(client.commit(0, &id()).unwrap().attempts, 2);
    assert_eq!(client.commit(0, &id()).unwrap().attempts, 1);
}

#[test]
fn a_final_no_is_not_retried() {
    let body = r#"{"error":"wrong passphrase","code":"no_payload"}"#;
    let strict = Responder::start(vec![say("422 Unprocessable Content", "", body)]);
    let client = client(&[&strict.server]);
    let error = client.extract_bytes(0, b"x", Some("p")).unwrap_err();
    assert_eq!((error.attempts, error.outcome_unknown), (1, false));
    assert_eq!(error.to_string(), format!("{}: 422: wrong passphrase", strict.server));
}

#[test]
fn a_redirect_is_followed_to_the_leader_once() {
    let leader = Responder::start(vec![say("200 OK", "", &record_json())]);
    let body = format!(
        r#"{{"error":"x","code":"not_leader","current_leader":"n1","leader_address":"{}"}}"#,
        leader.server.address()
    );
    let follower = Responder::start(vec![say("307 Temporary Redirect", "", &body)]);
    let client = client(&[&follower.server]);
    let answer = client.commit(0, &id()).unwrap();
    assert_eq!((answer.attempts, answer.server_index), (2, None));
    assert_eq!(answer.server, leader.server.url());
}

#[test]
fn an_unanswered_write_is_unknown_and_a_refused_one_is_not() {
    let silent = Responder::start(vec![Reaction::HangUp]);
    let error = client(&[&silent.server]).commit(0, &id()).unwrap_err();
    assert!(error.outcome_unknown && error.attempts > 1, "{error}");
    assert!(matches!(error.last, ClientError::NoAnswer { .. }));

    let error = client(&[&dead_server()]).commit(0, &id()).unwrap_err();
    assert!(!error.outcome_unknown);
    assert!(error.to_string().contains("connection refused"), "{error}");
}

#[test]
fn retry_after_beyond_the_deadline_ends_the_call() {
    let busy = Responder::start(vec![say("429 Too Many Requests", "retry-after: 60\r\n", "{}")]);
    let error = client(&[&busy.server]).commit(0, &id()).unwrap_err();
    assert_eq!(error.attempts, 1);
    assert!(error.elapsed < Duration::from_millis(400));
    assert!(!error.outcome_unknown);
}

#[test]
fn a_tripped_client_asks_nobody() {
    let good = Responder::start(vec![say("200 OK", "", &record_json())]);
    let servers = Servers::new([good.server.clone()]).unwrap();
    let stop = Stop::new();
    let client = Client::new(servers, Patience::default(), stop.clone());
    stop.trip();
    let error = client.commit(0, &id()).unwrap_err();
    assert_eq!((error.attempts, error.last), (0, ClientError::Stopped));
    assert!(good.requests().is_empty());
}

#[test]
fn an_answer_that_makes_no_sense_names_its_server() {
    let odd = Responder::start(vec![say("200 OK", "", "<html>")]);
    let client = client(&[&odd.server]);
    let error = client.status(&odd.server, Duration::from_secs(1)).unwrap_err();
    assert!(matches!(error, ClientError::BadAnswer { .. }));
    assert!(error.to_string().starts_with(odd.server.url()));
}

#[test]
fn an_embed_sends_its_fields_and_its_key() {
    let good = Responder::start(vec![say("200 OK", "", "png")]);
    let client = client(&[&good.server]);
    let request = EmbedRequest {
        secret: b"the secret",
        cover: Some(b"the cover"),
        passphrase: Some("pass"),
        method: None,
        bits: Some(2),
        keep_metadata: true,
        report: true,
    };
    assert_eq!(client.embed_png(0, &id(), &request).unwrap().value, b"png");
    let sent = good.requests().remove(0);
    assert!(sent.starts_with("POST /api/embed HTTP/1.1\r\n"));
    let parts = [
        "accept: image/png",
        "name=\"bits\"",
        "the secret",
        "the cover",
        "name=\"passphrase\"",
        "name=\"keep_metadata\"\r\n\r\ntrue",
        "name=\"report\"\r\n\r\ntrue",
        "key-1",
    ];
    for part in parts {
        assert!(sent.contains(part), "{part} is not in {sent}");
    }
    assert!(!sent.contains("name=\"method\""));
}

#[test]
fn ids_are_escaped_in_paths() {
    let good = Responder::start(vec![say("200 OK", "", &record_json())]);
    let client = client(&[&good.server]);
    client.record(0, &"a?b#c%d".parse().unwrap()).unwrap();
    assert!(good.requests()[0].starts_with("GET /api/records/a%3Fb%23c%25d "));
    let after: RecordId = "x&y".parse().unwrap();
    let path = records_path(Some(&after), 10, Consistency::Stale);
    assert_eq!(path, "/api/records?limit=10&consistency=stale&after=x%26y");
}

#[test]
fn a_new_leader_needs_a_higher_term() {
    let status = |leader: &str, term| ClusterStatus {
        leader_id: leader.parse::<NodeName>().ok(),
        term,
        ..ClusterStatus::default()
    };
    assert!(shows_new_leader(&status("n2", 6), "n1", Term(5)));
    assert!(!shows_new_leader(&status("n2", 5), "n1", Term(5)));
    assert!(!shows_new_leader(&status("n1", 6), "n1", Term(5)));
    assert!(!shows_new_leader(&status("", 6), "n1", Term(5)));
}
