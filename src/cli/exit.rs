//! The exit codes of every subcommand: the one table, also printed in the man pages.

/// A code and what it means, in a few words.
pub type Meaning = (u8, &'static str);

/// Every command: wrong flags or configuration. Clap uses the same code.
pub const USAGE: u8 = 2;
/// Done, and all is well.
pub const OK: u8 = 0;
/// What was asked was not done, or only in part.
pub const FAILED: u8 = 1;
/// `bench` and `failover-drill`: the tool itself could not do its work.
pub const COULD_NOT_RUN: u8 = 3;
/// No server answered.
pub const UNREACHABLE: u8 = 4;

/// `status`: some node is down, but the cluster serves.
pub const DEGRADED: u8 = 1;
/// `status`: nodes answer, but no majority follows a leader. Shares its number with wrong
/// usage, which says so on standard error and prints no table.
pub const NO_QUORUM: u8 = 2;
/// `status`: two leaders of one term, or nodes of different clusters.
pub const CONFLICT: u8 = 3;

/// `serve`: a write to the disk did not end.
pub const DISK_STUCK: u8 = 5;

/// `serve`: stopped as a drill asked by `/admin/fail`, to be started again.
pub const RESTART: u8 = 6;

/// `serve`: an operator removed this node from its cluster. Its supervisor lets it be.
pub const REMOVED: u8 = 7;

/// `serve`: what the node had promised is damaged or lost, and there is nothing to heal it from, or
/// its disk did that too often. To start it again would not help.
pub const DAMAGED: u8 = 8;

/// `failover-drill`: an acknowledged record was lost, doubled or changed, or a linearizable
/// read missed it.
pub const LOST: u8 = 1;
/// `failover-drill`: nothing was lost, but a target was missed.
pub const TARGET_MISSED: u8 = 2;

/// `doctor`: nothing is broken, but something should be looked at.
pub const WARNED: u8 = 1;
/// `doctor`: something does not work.
pub const BROKEN: u8 = 3;

/// `analyze`: every picture was read, and in one there is a payload.
pub const PAYLOAD_FOUND: u8 = 3;

const WRONG_USAGE: Meaning = (USAGE, "wrong usage");
const NOBODY: Meaning = (UNREACHABLE, "no server could be reached");

/// For each subcommand, its codes in rising order.
pub const TABLE: &[(&str, &[Meaning])] = &[
    (
        "serve",
        &[
            (OK, "stopped as asked"),
            (FAILED, "stopped by an error"),
            (USAGE, "could not start"),
            (DISK_STUCK, "a write to the disk took longer than timings.fsync_exit_ms"),
            (RESTART, "stopped as a drill asked, to be started again"),
            (REMOVED, "an operator removed this node from its cluster"),
            (DAMAGED, "its data are damaged, and there is nothing to heal them from"),
        ],
    ),
    (
        "status",
        &[
            (OK, "healthy"),
            (DEGRADED, "degraded: a node is down, the cluster serves"),
            (NO_QUORUM, "no quorum (or wrong usage)"),
            (CONFLICT, "conflict: two leaders of one term, or different clusters"),
            NOBODY,
        ],
    ),
    (
        "doctor",
        &[
            (OK, "nothing to do"),
            (WARNED, "something should be looked at"),
            WRONG_USAGE,
            (BROKEN, "something does not work"),
            NOBODY,
        ],
    ),
    (
        "kill-leader",
        &[
            (OK, "a new leader took over"),
            (FAILED, "no new leader in time, or there was none to kill"),
            WRONG_USAGE,
            NOBODY,
        ],
    ),
    (
        "transfer-leader",
        &[
            (OK, "the node that was asked for leads, or any other where none was named"),
            (FAILED, "leadership was not handed over, or not as asked"),
            WRONG_USAGE,
            NOBODY,
        ],
    ),
    (
        "bench",
        &[
            (OK, "every request succeeded; compare: nothing is worse beyond noise"),
            (FAILED, "some requests failed; compare: something is worse beyond noise"),
            WRONG_USAGE,
            (COULD_NOT_RUN, "the benchmark could not run, or a report not be read or written"),
        ],
    ),
    (
        "failover-drill",
        &[
            (OK, "nothing lost, nothing doubled"),
            (LOST, "a record was lost, doubled, changed or read stale, or two nodes led one term"),
            (TARGET_MISSED, "a target was missed (or wrong usage)"),
            (COULD_NOT_RUN, "the drill itself failed, or its report could not be written"),
        ],
    ),
    ("members", &[(OK, "done"), (FAILED, "refused, or not done in time"), WRONG_USAGE, NOBODY]),
    (
        "recover",
        &[
            (OK, "recovered, or with --dry-run: it could be"),
            (FAILED, "nothing was changed, or the disk failed"),
            WRONG_USAGE,
        ],
    ),
    (
        "verify",
        &[
            (OK, "every picture is in the ledger"),
            (FAILED, "some picture is not, or could not be read"),
            WRONG_USAGE,
            NOBODY,
        ],
    ),
    ("backup", &[(OK, "done"), (FAILED, "refused or failed"), WRONG_USAGE, NOBODY]),
    (
        "restore",
        &[
            (OK, "every record is in the ledger"),
            (FAILED, "the file is not whole, or some record differs from what is there"),
            WRONG_USAGE,
            NOBODY,
        ],
    ),
    ("certs", &[(OK, "done"), (FAILED, "nothing was written, or not all of it"), WRONG_USAGE]),
    ("embed", &[(OK, "done"), (FAILED, "refused or failed"), WRONG_USAGE, NOBODY]),
    ("extract", &[(OK, "done"), (FAILED, "refused or failed"), WRONG_USAGE, NOBODY]),
    ("records", &[(OK, "done"), (FAILED, "refused or failed"), WRONG_USAGE, NOBODY]),
    ("capacity", &[(OK, "done"), (FAILED, "refused or failed"), WRONG_USAGE, NOBODY]),
    (
        "analyze",
        &[
            (OK, "no payload was found in any picture"),
            (FAILED, "a picture could not be read; the others were analyzed"),
            WRONG_USAGE,
            (PAYLOAD_FOUND, "a payload was found in a picture"),
        ],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_is_listed_once_with_rising_codes() {
        let mut names: Vec<&str> = TABLE.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), TABLE.len());
        for (name, codes) in TABLE {
            assert!(codes.is_sorted_by(|a, b| a.0 < b.0), "{name}");
            assert_eq!(codes[0].0, OK, "{name}");
        }
    }
}
