//! What happened in a run, line by line, with the simulated time. Two runs of one seed
//! must agree in every line, and in the random numbers drawn until then.

use std::cell::RefCell;

use stegcluster::clock::{self, Instant};
use stegcluster::sim::random::{self, Random};

thread_local! {
    static TRACE: RefCell<(Option<Instant>, Vec<String>)> = const { RefCell::new((None, Vec::new())) };
}

/// Begins a run's trace at the present.
pub fn begin() {
    TRACE.set((Some(clock::now()), Vec::new()));
}

/// Adds a line. The number in front tells how far the random numbers are.
pub fn line(text: impl std::fmt::Display) {
    // A look at the stream, without drawing from it.
    let drawn = random::draw(|random: &mut Random| random.clone().next_u64() & 0xffff);
    TRACE.with_borrow_mut(|(start, lines)| {
        let ms = start.map_or(0.0, |start| clock::millis(start.elapsed()));
        lines.push(format!("{ms:>9.1} {drawn:04x} {text}"));
    });
}

/// Ends the trace and gives its lines.
pub fn take() -> Vec<String> {
    TRACE.take().1
}
