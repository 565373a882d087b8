//! Free ports on loopback that stay free while a node is down.

use std::io;
use std::net::{Ipv4Addr, TcpListener};

use crate::clock;

/// Lowest port used. Below are the ports of well-known services and of our own defaults.
const LOWEST: u16 = 10_240;
/// Where the system begins to give ports to outgoing connections, if it does not say: Linux's
/// default.
const EPHEMERAL_DEFAULT: u16 = 32_768;
/// Ports tried for each one wanted.
const TRIES: usize = 200;

/// `count` different free ports.
///
/// They lie below the range of outgoing connections. While a node is down, others dial its port
/// again and again; within the range, one of these dials would some day be given that very port
/// as its own, connect to itself, and keep the node from coming back.
pub(super) fn free(count: usize) -> io::Result<Vec<u16>> {
    let below = ephemeral_from().max(LOWEST + 4096);
    // All are held until all are found, so that none is found twice.
    let mut held = Vec::with_capacity(count);
    while held.len() < count {
        held.push(free_one(below)?);
    }
    held.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

fn free_one(below: u16) -> io::Result<TcpListener> {
    let span = u128::from(below - LOWEST);
    for _ in 0..TRIES {
        // The lowest 64 bits of a random UUID are random but for two.
        let drawn = clock::fresh_uuid().as_u128() & u128::from(u32::MAX);
        // A remainder below `span` fits where `span` came from.
        let port = LOWEST + (drawn % span) as u16;
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            return Ok(listener);
        }
    }
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
}

/// The first port that the system gives to outgoing connections.
fn ephemeral_from() -> u16 {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    let first = text.ok().and_then(|text| text.split_whitespace().next()?.parse().ok());
    first.unwrap_or(EPHEMERAL_DEFAULT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_differ_and_can_be_bound() {
        let ports = free(10).unwrap();
        let mut unique = ports.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), 10);
        for port in ports {
            TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        }
    }
}
