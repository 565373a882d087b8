//! The `stegcluster` binary: parse, run, exit code. Everything else is in the library.

use std::process::ExitCode;

/// The kernel closes a killed process's connections only after it has taken back its memory,
/// page by page, and until then nobody can know that the process is gone. jemalloc is told (in
/// `.cargo/config.toml`) to ask for huge pages, of which there are few.
#[cfg(not(sim))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    stegcluster::cli::run()
}
