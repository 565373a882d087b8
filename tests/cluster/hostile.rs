//! Bytes that no honest client sends, over raw sockets: each bound has its answer, and a node
//! that was sent all of it serves on.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use stegcluster::clock;
use stegcluster::limits;

use crate::support::{Cluster, PATIENCE, poll};

/// Longer than any answer that is waited for.
const ANSWER_MAX: Duration = Duration::from_secs(20);

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("the port is open");
    stream.set_read_timeout(Some(ANSWER_MAX)).expect("a timeout is set");
    stream.set_write_timeout(Some(ANSWER_MAX)).expect("a timeout is set");
    stream
}

/// Everything that comes until the other side closes.
fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset comes behind what was sent before it.
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into()
}

/// The status of the first answer to `request`, 0 for none; and all that came.
fn ask(port: u16, request: &[u8]) -> (u16, String) {
    let mut stream = connect(port);
    // The server may have heard enough before the end.
    let _ = stream.write_all(request);
    let answer = rest(&mut stream);
    (status(&answer), answer)
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n")
}

/// The head of a form of so many bytes.
fn form_head(length: usize) -> String {
    format!(
        "POST /api/embed HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: \
         multipart/form-data; boundary=B\r\ncontent-length: {length}\r\n\r\n"
    )
}

const PART: &str = "--B\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n";

/// What a node answers to, and what it makes of it.
fn table() -> Vec<(&'static str, Vec<u8>, u16)> {
    let long = |bytes: usize| "a".repeat(bytes);
    let many = "x-y: z\r\n".repeat(limits::HEADERS_MAX + 1);
    let chunked = "POST /api/verify HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
                   transfer-encoding: chunked\r\n";
    let parameters = "a=1&".repeat(limits::QUERY_PARAMETERS_MAX + 1);
    let preamble = long(200_000);
    let parts: String = (0..20).map(|_| PART).collect();
    let nul = "--B\r\nContent-Disposition: form-data; name=\"passphrase\"\r\n\r\na\0b\r\n--B--";
    let mut table = vec![
        ("a usual request", get("/healthz", ""), 200),
        ("a request line without end", format!("GET /{}", long(1 << 20)), 431),
        ("a long path", get(&format!("/{}", long(5000)), ""), 414),
        ("a long query", get(&format!("/api/records?after={}", long(5000)), ""), 414),
        ("a query of many parameters", get(&format!("/api/records?{parameters}"), ""), 400),
        ("a header of 64 KiB", get("/healthz", &format!("x: {}\r\n", long(65536))), 431),
        ("a header without end", format!("GET / HTTP/1.1\r\nx: {}", long(1 << 20)), 431),
        ("many headers", get("/healthz", &many), 431),
        ("a NUL in a header", get("/healthz", "x: a\0b\r\n"), 400),
        ("no HTTP", "\0\x01\x02 hello\r\n\r\n".into(), 400),
        ("TLS", "\x16\x03\x01\x02\0\x01\0\x01\u{fc}\x03\x03".into(), 400),
        ("an id with a line end in it", get("/api/records/a%0Ab", ""), 400),
        ("an id with a NUL in it", get("/api/records/a%00b", ""), 400),
        ("a long id", get(&format!("/api/records/{}", long(129)), ""), 400),
        ("a limit beyond numbers", get("/api/records?limit=99999999999999999999", ""), 400),
        ("a limit of nothing", get("/api/records?limit=0", ""), 400),
        ("a picture beyond the last", get("/api/dataset/50", ""), 404),
        ("a picture beyond numbers", get("/api/dataset/99999999999999999999", ""), 404),
        ("a picture before the first", get("/api/dataset/-1", ""), 404),
        ("a body said to be too large", form_head(1 << 40), 413),
        (
            "a length beyond numbers",
            "POST /api/verify HTTP/1.1\r\nhost: x\r\ncontent-length: \
            99999999999999999999\r\n\r\n"
                .into(),
            400,
        ),
        (
            "two lengths",
            "POST /api/verify HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\
            content-length: 2\r\n\r\nab"
                .into(),
            400,
        ),
        (
            "a negative length",
            "POST /api/verify HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n".into(),
            400,
        ),
        (
            "an encoding that is not chunked",
            "POST /api/verify HTTP/1.1\r\nhost: x\r\n\
            transfer-encoding: chunked, gzip\r\n\r\n"
                .into(),
            400,
        ),
        ("a chunk that is no number", format!("{chunked}\r\nxyz\r\n"), 400),
        ("a chunk beyond numbers", format!("{chunked}\r\nfffffffffffffffffff\r\n"), 400),
        ("a trailer without end", format!("{chunked}\r\n0\r\nx: {}", long(1 << 20)), 400),
        ("a preamble without end", format!("{}{preamble}", form_head(preamble.len())), 400),
        (
            "a part's head without end",
            format!("{}--B\r\nx: {preamble}", form_head(preamble.len() + 8)),
            400,
        ),
        ("many parts", format!("{}{parts}", form_head(parts.len())), 400),
        ("a NUL in a passphrase, and no file", format!("{}{nul}", form_head(nul.len())), 400),
    ];
    let mut deep = "[".repeat(100_000);
    deep.insert_str(0, &format!(
        "POST /admin/fail HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", 100_000
    ));
    table.push(("JSON of 100 kB on an admin call", deep, 413));
    let nested = "[".repeat(10_000);
    table.push(("JSON nested 10,000 deep", format!(
        "POST /admin/fail HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 10000\r\n\r\n{nested}"
    ), 400));
    table.into_iter().map(|(name, request, status)| (name, request.into_bytes(), status)).collect()
}

#[test]
fn what_no_client_sends_is_refused_and_the_node_serves_on() {
    let cluster = Cluster::formed(1, &[]);
    let node = &cluster.nodes[0];
    let mut wrong = Vec::new();
    for (name, request, expected) in table() {
        let started = clock::now();
        let (status, answer) = ask(node.http_port, &request);
        if status != expected || started.elapsed() > Duration::from_secs(8) {
            let answer: String = answer.chars().take(200).collect();
            wrong.push(format!(
                "{name}: {status}, not {expected}, {:?}: {answer}",
                started.elapsed()
            ));
        }
        // Nothing of a request that was refused is taken for the next one.
        let answers = answer.matches("HTTP/1.1 ").count();
        if answers > 1 {
            wrong.push(format!("{name}: {answers} answers"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert_eq!(node.client.commit("after-all-that").expect("an answer").status, 200);
    assert!(!node.log().contains("panicked"), "{}", node.log());
}

/// What follows a request with both lengths may be a request to this server and part of a body
/// to a proxy in front of it: it is not answered.
#[test]
fn nothing_is_smuggled_behind_a_body_with_two_lengths() {
    let cluster = Cluster::formed(1, &[]);
    let port = cluster.nodes[0].http_port;
    for both in [
        "content-length: 4\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 4\r\n",
    ] {
        let request = format!(
            "POST /api/verify HTTP/1.1\r\nhost: x\r\n{both}\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\n\
             host: x\r\n\r\n"
        );
        let (_, answer) = ask(port, request.as_bytes());
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{both}: {answer}");
        assert!(answer.contains("connection: close"), "{both}: {answer}");
    }
}

#[test]
fn who_sends_or_takes_too_slowly_is_given_up() {
    let cluster = Cluster::formed(1, &[]);
    let port = cluster.nodes[0].http_port;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let started = clock::now();
            let mut silent = connect(port);
            assert_eq!(rest(&mut silent), "", "a connection on which nothing is said");
            assert!(started.elapsed() < limits::HEADER_READ_MAX * 3 / 2);
        });
        scope.spawn(|| {
            let mut idle = connect(port);
            idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").expect("it is sent");
            let started = clock::now();
            assert_eq!(status(&rest(&mut idle)), 200, "and then nothing more is asked");
            assert!(started.elapsed() < limits::HEADER_READ_MAX * 3 / 2);
        });
        scope.spawn(|| dribbles(port, "GET /healthz HTTP/1.1\r\nx: ", limits::HEADER_READ_MAX, 0));
        scope.spawn(|| {
            let head = form_head(1 << 20) + PART;
            dribbles(port, &head, limits::BODY_PACE.window * 2, 408);
        });
        scope.spawn(|| {
            let mut reader = connect(port);
            // More than all buffers between hold, and not a byte is read.
            let ask = "GET /api/dataset/3 HTTP/1.1\r\nhost: x\r\n\r\n".repeat(64);
            let _ = reader.write_all(ask.as_bytes());
            let within = limits::ANSWER_PACE.window * 3;
            let closed = poll(within, || reader.write_all(b"GET").is_err().then_some(()));
            assert!(closed.is_some(), "a reader that takes nothing still has its connection");
        });
    });
    assert_eq!(cluster.nodes[0].client.commit("after-all-that").expect("an answer").status, 200);
}

/// Sends `head`, and then a byte now and then, until the server has had enough.
fn dribbles(port: u16, head: &str, within: Duration, expected: u16) {
    let mut stream = connect(port);
    stream.write_all(head.as_bytes()).expect("it is sent");
    stream.set_read_timeout(Some(Duration::from_millis(300))).expect("a timeout is set");
    let started = clock::now();
    let mut answer = Vec::new();
    let ended = poll(within * 2, || {
        let mut piece = [0; 1024];
        let written = stream.write_all(b"x").is_ok();
        match stream.read(&mut piece) {
            Ok(0) => Some(()),
            Ok(bytes) => {
                answer.extend_from_slice(&piece[..bytes]);
                None
            }
            Err(_) => (!written).then_some(()),
        }
    });
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(
        ended.is_some() || status(&answer) == expected,
        "{head:?} after {:?}",
        started.elapsed()
    );
    assert_eq!(status(&answer), expected, "{answer}");
}

#[test]
fn connections_and_streams_of_one_client_are_counted() {
    let settings = ["connections_max=200", "connections_per_client_max=150"];
    let cluster = Cluster::formed(1, &settings);
    let port = cluster.nodes[0].http_port;
    let mut streams = Vec::new();
    let mut refused = String::new();
    for _ in 0..=limits::STREAMS_PER_ADDRESS_MAX {
        let mut stream = connect(port);
        stream.write_all(b"GET /cluster/events HTTP/1.1\r\nhost: x\r\n\r\n").expect("it is sent");
        let mut begin = [0; 512];
        let bytes = stream.read(&mut begin).expect("an answer");
        refused = String::from_utf8_lossy(&begin[..bytes]).into();
        streams.push(stream);
    }
    assert_eq!(status(&refused), 429, "{refused}");
    assert!(refused.contains("retry-after"), "{refused}");

    let idle: Vec<_> = (0..60).map(|_| connect(port)).collect();
    let told = poll(PATIENCE, || {
        let (status, answer) = ask(port, b"");
        (status == 429).then_some(answer)
    });
    let told = told.expect("one connection more is refused");
    assert!(told.contains("retry-after: 1") && told.contains("\"code\":\"busy\""), "{told}");
    drop((streams, idle));
    let again = || ask(port, get("/healthz", "").as_bytes()).0 == 200;
    poll(PATIENCE, || again().then_some(())).expect("there is room again");
}

/// A stranger's body is not waited for, and a newcomer's is small.
#[test]
fn the_raft_port_refuses_strangers_before_their_body() {
    let cluster = Cluster::formed(1, &[]);
    let port = cluster.nodes[0].raft_port;
    let from = "x-stegcluster-wire: 2\r\nx-stegcluster-from: n9\r\n";
    let stranger = "x-stegcluster-cluster: 00000000-0000-4000-8000-00000000abcd\r\n";
    let post = |path: &str, headers: &str, length: usize| {
        format!("POST {path} HTTP/1.1\r\nhost: x\r\n{headers}content-length: {length}\r\n\r\n")
    };
    // Of none of these a body is sent, and they are answered at once.
    for (name, request, expected) in [
        ("a client's call", post("/api/embed", "", 1 << 30), 404),
        ("no envelope", post("/raft/append", "", 1 << 30), 403),
        ("another cluster's", post("/raft/append", &format!("{from}{stranger}"), 1 << 30), 403),
        ("a newcomer's entries", post("/raft/append", from, 1 << 30), 503),
        ("a newcomer's exchange", post("/raft/append-all", from, 1 << 30), 503),
        (
            "a forged name",
            post("/formation/hello", "x-stegcluster-wire: 2\r\nx-stegcluster-from: a\tb\r\n", 9),
            403,
        ),
    ] {
        let started = clock::now();
        let (status, answer) = ask(port, request.as_bytes());
        assert_eq!(status, expected, "{name}: {answer}");
        assert!(started.elapsed() < Duration::from_secs(5), "{name}: {:?}", started.elapsed());
    }
    let large = vec![b' '; limits::NEWCOMER_BODY_BYTES_MAX + 2];
    // As it should be but for what it says.
    let whole = |body: &[u8]| format!("{from}x-stegcluster-crc32: {}\r\n", crc32fast::hash(body));
    let mut request = post("/formation/join", &whole(&large), large.len()).into_bytes();
    request.extend_from_slice(&large);
    assert_eq!(ask(port, &request).0, 400, "a newcomer's long body");
    let deep = "[".repeat(50_000);
    let head = post("/formation/join", &whole(deep.as_bytes()), deep.len());
    let request = format!("{head}{deep}");
    assert_eq!(ask(port, request.as_bytes()).0, 400, "a newcomer's deep body");
    assert_eq!(cluster.nodes[0].client.commit("after-all-that").expect("an answer").status, 200);
}

/// A picture of nothing: some kilobytes for megabytes of samples.
fn blank(width: u32, height: u32) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    let mut writer = encoder.write_header().expect("a header is written");
    let samples = vec![0; width as usize * height as usize * 3];
    writer.write_image_data(&samples).expect("samples are written");
    writer.finish().expect("the end is written");
    file
}

/// Pictures that are small files and large in memory, more at once than there is room for; and
/// small requests beside them.
#[cfg(target_os = "linux")]
#[test]
fn giants_stay_within_the_memory_and_starve_nobody() {
    const MEMORY_MIB: u64 = 320;
    let memory = format!("memory_mib={MEMORY_MIB}");
    let cluster = Cluster::formed(1, &[&memory, "cover_cache_mib=0", "codec_threads=2"]);
    let node = &cluster.nodes[0];
    let too_large = blank(8000, 8000);
    let refused = node.client.form("/api/embed", &[], &[("file", b"x"), ("cover", &too_large)]);
    let refused = refused.expect("an answer");
    assert_eq!(refused.status, 413, "{}", refused.text());
    assert!(refused.text().contains("memory_mib"), "{}", refused.text());

    let covers: Vec<_> = (0..8).map(|more| blank(3000, 2000 + more)).collect();
    let tally = std::sync::Mutex::new(std::collections::BTreeMap::new());
    let count = |kind: &'static str, status: u16| {
        *tally.lock().expect("nobody panicked").entry((kind, status)).or_insert(0) += 1;
    };
    std::thread::scope(|scope| {
        for cover in &covers {
            scope.spawn(|| {
                for path in ["/api/embed", "/api/extract", "/api/embed"] {
                    let fields: [(&str, &[u8]); 2] = [("file", b"x"), ("cover", cover)];
                    let fields =
                        if path == "/api/embed" { &fields[..] } else { &[("file", &cover[..])] };
                    let reply = node.client.form(path, &[], fields).expect("an answer");
                    count("large", reply.status);
                }
            });
        }
        scope.spawn(|| {
            for number in 0..40 {
                let started = clock::now();
                let small = match number % 2 {
                    0 => node.client.commit(&format!("beside-{number}")),
                    _ => node.client.form("/api/embed", &[], &[("file", b"small")]),
                };
                count("small", small.expect("an answer").status);
                assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
            }
        });
    });
    let tally = tally.into_inner().expect("nobody panicked");
    assert_eq!(tally.get(&("small", 200)), Some(&40), "{tally:?}");
    let odd = tally.keys().find(|(_, status)| !matches!(status, 200 | 422 | 429 | 503));
    assert_eq!(odd, None, "{tally:?}");
    assert!(tally.get(&("large", 200)).is_some_and(|served| *served > 0), "{tally:?}");
    let peak = node.peak_mib();
    assert!(peak <= MEMORY_MIB, "{peak} MiB: {tally:?}");
}
