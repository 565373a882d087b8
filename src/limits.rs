//! Every bound in one place: queues, bodies, connections, deadlines, retries.
//!
//! Each constant says what happens when it is reached. Relations between them
//! are checked at compile time at the end of the file.

use std::time::Duration;

/// The least that must pass while somebody is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Counted in pieces of this length.
    pub window: Duration,
    /// In each of them at least so much, or the wait ends.
    pub bytes_min: u64,
}

/// Largest request head on either port, and largest trailer, in bytes. Beyond it: 431, and the
/// connection is closed.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Most header fields of a request. Beyond it: 431, and the connection is closed.
pub const HEADERS_MAX: usize = 100;
/// Longest path and query of a request, in bytes. Beyond it: 414.
pub const TARGET_BYTES_MAX: usize = 4 * 1024;
/// Most parameters of a query. Beyond it: 400.
pub const QUERY_PARAMETERS_MAX: usize = 16;

/// Largest request body on the client port, in bytes. Beyond it: 413.
pub const BODY_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Largest form field other than a file, in bytes. Beyond it: 400.
pub const FIELD_BYTES_MAX: usize = 4 * 1024;
/// Most fields in one form. Beyond it: 400.
pub const FIELDS_MAX: usize = 16;
/// Largest head of a form's part, with what precedes it, in bytes, give or take what arrives
/// at once. Beyond it: 400.
pub const PART_HEAD_BYTES_MAX: u64 = 16 * 1024;
/// Most pixels in a cover. Beyond it: 413, before the picture is decoded.
pub const COVER_PIXELS_MAX: u64 = 64 * 1024 * 1024;
/// Most scans of a JPEG; progressive ones have some ten. Beyond it: 415. Each may take a
/// moment for every block of the picture, and only a few bytes of the file.
pub const JPEG_SCANS_MAX: usize = 64;
/// Most memory a picture decoder may allocate, in bytes. Beyond it: 413.
pub const DECODE_BYTES_MAX: u64 = 768 * 1024 * 1024;
/// Largest secret, in bytes, before and after compression. Beyond it: 413. It also
/// bounds what a hostile payload can inflate to.
pub const SECRET_BYTES_MAX: u64 = BODY_BYTES_MAX;
/// Longest passphrase, in bytes. Beyond it: 400.
pub const PASSPHRASE_BYTES_MAX: usize = 1024;
/// Keys kept that were derived from passphrases. Beyond it: the one not used for longest
/// goes.
pub const KEYS_MAX: usize = 1024;
/// How long a derived key is kept. Beyond it: derived anew, some 20 ms.
pub const KEY_AGE_MAX: Duration = Duration::from_secs(300);
/// How often keys that are too old are looked for, so that none stays in an idle node.
pub const KEY_SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// Jobs waiting for a codec thread. Beyond it: 503 with `Retry-After`.
pub const POOL_QUEUE_MAX: usize = 256;
/// How long a job may have to wait for a codec thread, by what the jobs before it are expected
/// to take. Beyond it: 503 with `Retry-After`, before the body is read.
pub const POOL_WAIT_MAX: Duration = Duration::from_secs(2);
/// A job that takes fewer pixels' work than this is a small one, and small ones have a lane of
/// their own. Beyond it: it waits in the other lane.
pub const SMALL_JOB_PIXELS_MAX: u64 = 1024 * 1024;
/// Client requests with a body, reads of the ledger and commits that are in progress at once.
/// Beyond it: 429.
pub const REQUESTS_MAX: usize = 512;
/// `Retry-After` at most, in seconds.
pub const RETRY_AFTER_S_MAX: u64 = 30;

/// Least memory that can be configured (`memory_mib`), in MiB. Below it: a configuration error.
pub const MEMORY_MIB_MIN: u64 = 256;
/// Most, in MiB: 16 TiB. Beyond it: a configuration error.
pub const MEMORY_MIB_MAX: u64 = 16 * 1024 * 1024;
/// What of `memory_mib` is for the node itself, in MiB: the database (5 columns of two 8 MiB
/// buffers each and a cache of 16), the log's cache, the buffers of connections, the built-in
/// pictures, code, threads, and what the allocator holds back. Requests and covers share the rest.
pub const MEMORY_OWN_MIB: u64 = 128;
/// What of the requests' memory those may hold together which need more than a sixteenth of it
/// each, in hundredths. Beyond it: 503 with `Retry-After`; small requests find room meanwhile.
pub const LARGE_PERCENT: u64 = 75;
pub const LARGE_FRACTION: u64 = 16;

/// Open client connections, if nothing else is configured. Beyond it: 503 with `Retry-After`,
/// and the connection is closed.
pub const CLIENT_CONNECTIONS_MAX: usize = 4096;
/// Those of one address (of one /64 network with IPv6), if nothing else is configured: a load
/// balancer is one address, and half of all is for others. Beyond it: 429 with `Retry-After`,
/// and the connection is closed.
pub const CLIENT_CONNECTIONS_PER_ADDRESS_MAX: usize = 2048;
/// Most connections that can be configured. Beyond it: a configuration error.
pub const CONNECTIONS_CONFIGURED_MAX: usize = 1024 * 1024;
/// Open streams: events, and exports of the ledger. Beyond it: 503 with `Retry-After`.
pub const STREAMS_MAX: usize = 256;
/// Those of one address. Beyond it: 429 with `Retry-After`.
pub const STREAMS_PER_ADDRESS_MAX: usize = 128;
/// Open peer connections. Beyond it: 503, and the connection is closed.
pub const PEER_CONNECTIONS_MAX: usize = 2560;
/// Those of one address: all nodes may be on one machine. Beyond it: 429, and the connection is
/// closed; another machine's nodes still find a place.
pub const PEER_CONNECTIONS_PER_ADDRESS_MAX: usize = 2304;
/// Buffer of a client connection each way, in bytes. Beyond it: the sender waits.
pub const CLIENT_BUFFER_BYTES: usize = 64 * 1024;
/// The same of a peer connection, over which entries are replicated.
pub const PEER_BUFFER_BYTES: usize = 512 * 1024;

/// A client must finish its request head within this, and begin its next request, or is
/// disconnected.
pub const HEADER_READ_MAX: Duration = Duration::from_secs(10);
/// How long a caller may take to show who it is, before its first request. Two round trips, and a
/// few milliseconds of arithmetic.
pub const HANDSHAKE_MAX: Duration = Duration::from_secs(3);
/// A client must deliver a request body within this. Beyond it: 408.
pub const BODY_READ_MAX: Duration = Duration::from_secs(60);
/// And at least at this pace. Below it: 408.
pub const BODY_PACE: Pace = Pace { window: Duration::from_secs(5), bytes_min: 16 * 1024 };
/// A client must take its answer at least at this pace. Below it: the connection is closed.
pub const ANSWER_PACE: Pace = Pace { window: Duration::from_secs(10), bytes_min: 32 * 1024 };
/// How long the rest of a body is read and dropped when its request was refused, so that
/// the client hears why. Beyond it, or beyond as much again as a body may have, the
/// connection is closed.
pub const BODY_DISCARD_MAX: Duration = Duration::from_secs(5);

/// Largest message between peers but for snapshots, in bytes. Beyond it: refused.
pub const PEER_BODY_BYTES_MAX: usize = 32 * 1024 * 1024;
/// The same from a node that belongs to no cluster, and for forming and joining one. Beyond it:
/// refused.
pub const NEWCOMER_BODY_BYTES_MAX: usize = 64 * 1024;
/// A peer must deliver a message within this, snapshots aside. Beyond it: refused.
pub const PEER_BODY_READ_MAX: Duration = Duration::from_secs(30);
/// Idle connections kept for each peer and lane. Beyond it: closed after use.
pub const PEER_IDLE_MAX: usize = 16;
/// How long opening a connection to a peer may take.
pub const PEER_DIAL_MAX: Duration = Duration::from_millis(500);

/// How long a node retries to commit a record before it answers 503.
pub const SUBMIT_MAX: Duration = Duration::from_secs(8);
/// How long a linearizable read may wait for its read index. Beyond it: 503.
pub const READ_MAX: Duration = Duration::from_secs(5);
/// How long a stopping node still takes connections, and closes each only behind an
/// answer: whoever just sends something is answered and told to go elsewhere.
pub const LINGER: Duration = Duration::from_millis(250);
/// How long a shutting-down node waits for requests in progress.
pub const DRAIN_MAX: Duration = Duration::from_secs(5);

/// Free space on the data folder's disk, in bytes, below which a node hands over and calls
/// itself full: room for the write-ahead log of one memtable of each column and a compaction.
pub const DISK_LOW_BYTES: u64 = 64 * 1024 * 1024;
/// Free space at which it is well again, and a node that ran out of room starts again.
pub const DISK_ENOUGH_BYTES: u64 = 96 * 1024 * 1024;

/// Jobs queued for the log writer. Beyond it: the sender waits.
pub const LOG_WRITER_QUEUE_MAX: usize = 4096;
/// Jobs queued for the journal's writer. Beyond it: the sender waits.
pub const JOURNAL_QUEUE_MAX: usize = 1024;
/// Records that a node without a quorum acknowledges alone. Beyond it: 503.
pub const JOURNAL_RECORDS_MAX: u64 = 100_000;
/// Their keys and values together, in bytes. Beyond it: 503.
pub const JOURNAL_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Recent log entries kept in memory for replication. Older ones are read from disk.
pub const LOG_CACHE_ENTRIES_MAX: usize = 8192;
/// Events kept for a slow subscriber. Beyond it: it is told how many it missed.
pub const EVENTS_MAX: usize = 1024;
/// Past events that a new subscriber may ask for, and that are kept. Beyond it the oldest go.
pub const EVENTS_HISTORY_MAX: usize = 500;
/// Peer addresses whose traffic is counted. Beyond it: not counted.
pub const TRAFFIC_PEERS_MAX: usize = 64;
/// Largest file of tokens, in bytes. Beyond it: refused.
pub const TOKENS_FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Most tokens in it. Beyond it: refused.
pub const TOKENS_MAX: usize = 1000;
/// Length of a token, in bytes: too long to guess, and short enough for a header. Beyond it:
/// refused.
pub const TOKEN_BYTES_MIN: usize = 16;
pub const TOKEN_BYTES_MAX: usize = 512;
/// Clients of a load that a node runs. Beyond it: 400, as for the three that follow.
pub const BENCH_CLIENTS_MAX: usize = 64;
/// Requests of each of them.
pub const BENCH_REQUESTS_MAX: u64 = 100_000;
/// How long such a load may take.
pub const BENCH_DURATION_MAX: Duration = Duration::from_secs(600);
/// Requests a second in an open loop.
pub const BENCH_RATE_MAX: f64 = 10_000.0;
/// Ticks that are kept, four a second. Beyond it a load runs on unseen.
pub const BENCH_TICKS_MAX: usize = 4 * 620;
/// Records that one search looks at. Beyond it the answer says where to go on.
pub const SEARCH_RECORDS_MAX: usize = 20_000;
/// Longest text to search for, in bytes. Beyond it: 400.
pub const SEARCH_BYTES_MAX: usize = 256;
/// Most codec threads that can be configured. Beyond it: a configuration error.
pub const CODEC_THREADS_MAX: usize = 1024;
/// Largest configurable cache of covers, in MiB: a TiB. Beyond it: a configuration error.
pub const COVER_CACHE_MIB_MAX: u64 = 1024 * 1024;
/// Covers in the cache, however small. Beyond it: the one used longest ago is dropped.
pub const COVERS_MAX: usize = 1024;
/// Longest configurable interval of Raft or the detector, in milliseconds: an hour.
/// Beyond it: a configuration error, and sums of timings cannot overflow.
pub const TIMING_MS_MAX: u64 = 3_600_000;
/// Most failed probes that can be asked for. Beyond it: a configuration error.
pub const PROBE_MISSES_MAX: u32 = 1000;
/// Longest cluster name, in characters. Beyond it: a configuration error.
pub const CLUSTER_NAME_MAX: usize = 64;
/// Records on one page of the ledger, by default and at most.
pub const RECORDS_PAGE: usize = 100;
pub const RECORDS_PAGE_MAX: usize = 1000;

const _: () = {
    assert!(RECORDS_PAGE <= RECORDS_PAGE_MAX);
    assert!(PEER_DIAL_MAX.as_millis() < SUBMIT_MAX.as_millis());
    assert!(DISK_LOW_BYTES < DISK_ENOUGH_BYTES);
    assert!(READ_MAX.as_millis() < SUBMIT_MAX.as_millis());
    assert!(CLIENT_CONNECTIONS_PER_ADDRESS_MAX < CLIENT_CONNECTIONS_MAX);
    assert!(STREAMS_PER_ADDRESS_MAX < STREAMS_MAX);
    assert!(PEER_CONNECTIONS_PER_ADDRESS_MAX < PEER_CONNECTIONS_MAX);
    assert!(TARGET_BYTES_MAX < HEAD_BYTES_MAX);
    assert!(MEMORY_OWN_MIB < MEMORY_MIB_MIN);
    // A picture of the largest size, eight bytes a pixel, must fit the decoder's budget.
    assert!(COVER_PIXELS_MAX * 8 <= DECODE_BYTES_MAX);
};
