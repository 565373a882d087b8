//! A bound on requests in progress: beyond it they are turned away before their
//! bodies are read, so that overload costs neither memory nor time.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::ServiceError;

/// Gives out [`Permit`]s.
#[derive(Debug)]
pub(super) struct Admission {
    places: Arc<Semaphore>,
    requests_max: usize,
}

/// A place among the requests in progress, given back when dropped.
#[derive(Debug)]
pub struct Permit(#[allow(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

impl Admission {
    pub(super) fn new(requests_max: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(requests_max)), requests_max }
    }

    /// Never waits: a client that is told to come again can go to another node.
    pub(super) fn admit(&self) -> Result<Permit, ServiceError> {
        match Arc::clone(&self.places).try_acquire_owned() {
            Ok(place) => Ok(Permit(place)),
            Err(_) => Err(ServiceError::Busy { requests_max: self.requests_max }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_bound_requests_are_turned_away_until_one_ends() {
        let admission = Admission::new(2);
        let first = admission.admit().unwrap();
        let _second = admission.admit().unwrap();
        assert!(matches!(admission.admit(), Err(ServiceError::Busy { requests_max: 2 })));
        drop(first);
        assert!(admission.admit().is_ok());
    }
}
