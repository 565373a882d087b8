//! How many are here at once, in all and of one client. Knows addresses only.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts places; a clone counts the same ones.
#[derive(Debug, Clone)]
pub struct Crowd {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    all_max: usize,
    each_max: usize,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    all: usize,
    by_client: HashMap<IpAddr, usize>,
}

/// Why nobody more is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crowded {
    /// All places are taken.
    All,
    /// This client has as many as one may have.
    Client,
}

/// A place, given back when dropped.
#[derive(Debug)]
pub struct Place {
    shared: Arc<Shared>,
    client: IpAddr,
}

impl Crowd {
    /// At most `all_max` places, of which one client may have `each_max`.
    pub fn new(all_max: usize, each_max: usize) -> Self {
        let inside = Mutex::default();
        Self { shared: Arc::new(Shared { all_max, each_max, inside }) }
    }

    /// # Errors
    /// There is no place now.
    pub fn enter(&self, address: IpAddr) -> Result<Place, Crowded> {
        let client = household(address);
        let mut inside = self.shared.lock();
        if inside.all >= self.shared.all_max {
            return Err(Crowded::All);
        }
        let own = inside.by_client.entry(client).or_default();
        if *own >= self.shared.each_max {
            return Err(Crowded::Client);
        }
        *own += 1;
        inside.all += 1;
        Ok(Place { shared: Arc::clone(&self.shared), client })
    }
}

impl Shared {
    /// The critical sections cannot panic half-way, so a poisoned count is right.
    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inside = self.shared.lock();
        inside.all -= 1;
        if let Some(own) = inside.by_client.get_mut(&self.client) {
            *own -= 1;
            // Or there would be an entry for every address that ever came.
            if *own == 0 {
                inside.by_client.remove(&self.client);
            }
        }
    }
}

/// Who has one IPv6 address has the 2^64 of its network.
fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let mut octets = address.octets();
            octets[8..].fill(0);
            IpAddr::from(octets)
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_client_cannot_take_all_places() {
        let crowd = Crowd::new(3, 2);
        let (a, b, c) = (ip("10.0.0.1"), ip("10.0.0.2"), ip("10.0.0.3"));
        let first = crowd.enter(a).unwrap();
        let _second = crowd.enter(a).unwrap();
        assert_eq!(crowd.enter(a).unwrap_err(), Crowded::Client);
        let third = crowd.enter(b).unwrap();
        assert_eq!(crowd.enter(c).unwrap_err(), Crowded::All);
        drop(first);
        assert!(crowd.enter(a).is_ok());
        drop(third);
        assert_eq!(crowd.shared.lock().by_client.len(), 1);
    }

    #[test]
    fn a_network_of_ipv6_is_one_client_and_mapped_ipv4_is_ipv4() {
        let crowd = Crowd::new(9, 1);
        let _own = crowd.enter(ip("2001:db8:1:2:3::4")).unwrap();
        assert_eq!(crowd.enter(ip("2001:db8:1:2::9")).unwrap_err(), Crowded::Client);
        assert!(crowd.enter(ip("2001:db8:1:3::9")).is_ok());
        let _mapped = crowd.enter(ip("::ffff:10.0.0.1")).unwrap();
        assert_eq!(crowd.enter(ip("10.0.0.1")).unwrap_err(), Crowded::Client);
    }
}
