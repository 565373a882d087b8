//! How a leader is killed, and how it comes back.

use super::DrillError;
use crate::api::cluster::{FailRequest, FaultAction};
use crate::client::{Client, ClientError, Servers};
use crate::clock::{self, Instant};
use crate::fleet::Fleet;

/// Where the drill takes place.
#[derive(Debug)]
pub enum Ground {
    /// Own processes: killed with SIGKILL, restarted by us.
    Local(Box<Fleet>),
    /// Somebody's cluster: crashed through `/admin/fail`, restarted by its supervisor or by
    /// people.
    Remote(Servers),
}

impl Ground {
    pub fn servers(&self) -> &Servers {
        match self {
            Self::Local(fleet) => fleet.servers(),
            Self::Remote(servers) => servers,
        }
    }

    /// The report's word for the fault.
    pub fn fault(&self) -> &'static str {
        match self {
            Self::Local(_) => "sigkill",
            Self::Remote(_) => "crash",
        }
    }

    /// Crashes node `number` and says when; counted from just before, so that times are never
    /// too short.
    pub(super) fn crash(&mut self, client: &Client, number: usize) -> Result<Instant, DrillError> {
        match self {
            Self::Local(fleet) => Ok(fleet.kill(number)?),
            Self::Remote(servers) => {
                let request = FailRequest { action: FaultAction::Crash, duration_ms: None };
                let at = clock::now();
                match client.fail(servers.nth(number), &request) {
                    // A crash may leave no time to answer.
                    Ok(_) | Err(ClientError::NoAnswer { .. }) => Ok(at),
                    Err(error) => Err(DrillError::NotReady(error.to_string())),
                }
            }
        }
    }

    /// Starts what does not run, where that is ours to do.
    pub(super) fn restart(&mut self) -> Result<(), DrillError> {
        match self {
            Self::Local(fleet) => Ok(fleet.start_all()?),
            Self::Remote(_) => Ok(()),
        }
    }
}
