//! How much memory this machine has, where a node may choose for itself.

use std::fs;

/// What a node takes at least: enough for photographs of 12 megapixels by every method.
const LEAST_MIB: u64 = 512;
/// What it takes at most: more lets larger pictures in, and helps few.
const MOST_MIB: u64 = 1024;
/// Where nothing can be learned of the machine.
const UNKNOWN_MIB: u64 = MOST_MIB;

/// A quarter of the machine's memory, or of what the control group allows: three nodes of a
/// trial may share a machine, and the page cache is of use to the database.
pub(super) fn default_mib() -> u64 {
    let allowed = [machine_bytes(), group_bytes()].into_iter().flatten().min();
    let quarter = allowed.map_or(UNKNOWN_MIB, |bytes| (bytes >> 20) / 4);
    quarter.clamp(LEAST_MIB, MOST_MIB)
}

fn machine_bytes() -> Option<u64> {
    total_of(&fs::read_to_string("/proc/meminfo").ok()?)
}

/// `MemTotal` of Linux's `/proc/meminfo`.
fn total_of(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// The limit of a container's own group (cgroup v2); `max`, where there is none, is no number.
fn group_bytes() -> Option<u64> {
    fs::read_to_string("/sys/fs/cgroup/memory.max").ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_read_and_the_default_is_within_its_bounds() {
        let text = "MemTotal:       24607000 kB\nMemFree:        1 kB\n";
        assert_eq!(total_of(text), Some(24_607_000 * 1024));
        assert_eq!((total_of(""), total_of("MemTotal: x kB")), (None, None));
        assert!((LEAST_MIB..=MOST_MIB).contains(&default_mib()));
    }
}
