//! Which process has a port, as far as the system tells this user. Linux only; elsewhere
//! nobody is named.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;

/// A process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    pub pid: u32,
    /// Its name, as `ps` shows it.
    pub name: String,
}

/// The process that listens on the port of `address`; `None` where the system does not tell.
pub fn holder(address: SocketAddr) -> Option<Holder> {
    let mut inodes = BTreeSet::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = fs::read_to_string(table).unwrap_or_default();
        inodes.extend(listening(&text, address.port()));
    }
    if inodes.is_empty() {
        return None;
    }
    let pids = fs::read_dir("/proc").ok()?.flatten();
    let mut pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let pid = pids.find(|pid| has_one_of(*pid, &inodes))?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    Some(Holder { pid, name: name.trim().to_owned() })
}

/// Inodes of the sockets that listen on `port`, from a table as in `proc_net_tcp(5)`: the
/// second column is the local address in hexadecimal, the fourth the state (0A: listening),
/// the tenth the inode.
fn listening(table: &str, port: u16) -> Vec<String> {
    let socket = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let (_, local_port) = columns.get(1)?.rsplit_once(':')?;
        let here = u16::from_str_radix(local_port, 16).ok()? == port;
        (here && *columns.get(3)? == "0A").then(|| columns.get(9).map(ToString::to_string))?
    };
    table.lines().skip(1).filter_map(socket).collect()
}

fn has_one_of(pid: u32, inodes: &BTreeSet<String>) -> bool {
    // Of another user's process the links cannot be read.
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    files.flatten().filter_map(|file| fs::read_link(file.path()).ok()).any(|link| {
        let link = link.to_string_lossy();
        let inode = link.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
        inode.is_some_and(|inode| inodes.contains(inode))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listening_sockets_of_the_port_count() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1
   1: 0100007F:1F91 0100007F:9C40 01 00000000:00000000 00:00000000 00000000  1000        0 4712 1
   2: 0100007F:1F92 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4713 1";
        assert_eq!(listening(table, 8081), ["4711"]);
        assert_eq!(listening(table, 9), [""; 0]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_port_of_this_process_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let found = holder(listener.local_addr().unwrap()).unwrap();
        assert_eq!(found.pid, std::process::id());
    }
}
