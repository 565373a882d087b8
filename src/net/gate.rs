//! Isolation on purpose: while the gate is shut, peer traffic is dropped both ways.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Shared by everything that sends to or hears from peers. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Gate {
    shut: Arc<AtomicBool>,
}

impl Gate {
    pub fn shut(&self) {
        self.shut.store(true, Ordering::Relaxed);
    }

    pub fn open(&self) {
        self.shut.store(false, Ordering::Relaxed);
    }

    pub fn is_shut(&self) -> bool {
        self.shut.load(Ordering::Relaxed)
    }
}
