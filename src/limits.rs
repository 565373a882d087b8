//! Every bound in one place: queues, bodies, connections, deadlines, retries.
//!
//! Each constant says what happens when it is reached. Relations between them
//! are checked at compile time at the end of the file.

use std::time::Duration;

/// Largest request body on the client port, in bytes. Beyond it: 413.
pub const BODY_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Largest form field other than a file, in bytes. Beyond it: 400.
pub const FIELD_BYTES_MAX: usize = 4 * 1024;
/// Most fields in one form. Beyond it: 400.
pub const FIELDS_MAX: usize = 16;
/// Most pixels in a cover. Beyond it: 413, before the picture is decoded.
pub const COVER_PIXELS_MAX: u64 = 64 * 1024 * 1024;
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
/// Client requests with a body that are in progress at once. Beyond it: 429.
pub const REQUESTS_MAX: usize = 512;
/// Open client connections. Beyond it a connection waits in the listen backlog.
pub const CLIENT_CONNECTIONS_MAX: usize = 4096;
/// Open peer connections. Beyond it a connection waits in the listen backlog.
pub const PEER_CONNECTIONS_MAX: usize = 512;
/// A client must finish its request head within this, or is disconnected.
pub const HEADER_READ_MAX: Duration = Duration::from_secs(10);
/// A client must deliver a request body within this. Beyond it: 408.
pub const BODY_READ_MAX: Duration = Duration::from_secs(60);
/// How long the rest of a body is read and dropped when its request was refused, so that
/// the client hears why. Beyond it, or beyond as much again as a body may have, the
/// connection is closed.
pub const BODY_DISCARD_MAX: Duration = Duration::from_secs(5);

/// Largest message between peers but for snapshots, in bytes. Beyond it: refused.
pub const PEER_BODY_BYTES_MAX: usize = 32 * 1024 * 1024;
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
    // A picture of the largest size, eight bytes a pixel, must fit the decoder's budget.
    assert!(COVER_PIXELS_MAX * 8 <= DECODE_BYTES_MAX);
};
