//! What of the service a form needs: its memory.

#[path = "../../src/service/admission.rs"]
pub mod admission;

pub use admission::Permit;

/// Why admission says no, as the product's error has it.
#[derive(Debug)]
pub enum ServiceError {
    Busy { requests_max: usize },
    NoMemory { bytes: u64 },
    TooCostly { bytes: u64, max_bytes: u64 },
}
