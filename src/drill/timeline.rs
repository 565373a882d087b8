//! What happened in one iteration, in order: for people, and for pictures.

use serde::Serialize;

use crate::clock::{Instant, millis};

/// Something that happened, so long after the fault.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Moment {
    pub t_ms: f64,
    /// In a few words, such as `first commit`.
    pub what: String,
}

/// Moments of one iteration.
#[derive(Debug, Clone)]
pub(super) struct Timeline {
    fault: Instant,
    moments: Vec<Moment>,
}

impl Timeline {
    /// Begins with `fault` at zero.
    pub fn new(fault: Instant, what: impl Into<String>) -> Self {
        Self { fault, moments: vec![Moment { t_ms: 0.0, what: what.into() }] }
    }

    /// Milliseconds from the fault to `at`.
    pub fn ms(&self, at: Instant) -> f64 {
        millis(at.saturating_duration_since(self.fault))
    }

    pub fn at(&mut self, at: Instant, what: impl Into<String>) {
        let t_ms = self.ms(at);
        self.after(Some(t_ms), what);
    }

    /// Adds nothing for `None`, which is what was not seen.
    pub fn after(&mut self, t_ms: Option<f64>, what: impl Into<String>) {
        if let Some(t_ms) = t_ms {
            self.moments.push(Moment { t_ms, what: what.into() });
        }
    }

    /// In order of time.
    pub fn into_moments(mut self) -> Vec<Moment> {
        self.moments.sort_by(|a, b| a.t_ms.total_cmp(&b.t_ms));
        self.moments
    }
}

/// The moments on lines of at most `width` characters, each line but the first indented.
pub fn lines(moments: &[Moment], width: usize) -> String {
    const INDENT: &str = "    ";
    let ms = |ms: f64| if ms < 10.0 { format!("{ms:.1}") } else { format!("{ms:.0}") };
    let (mut text, mut column) = (INDENT.to_owned(), INDENT.len());
    for (number, moment) in moments.iter().enumerate() {
        let words = if number == 0 {
            format!("0 ms {}", moment.what)
        } else {
            format!("{} {}", ms(moment.t_ms), moment.what)
        };
        let length = words.chars().count() + 3;
        if number > 0 && column + length > width {
            text += &format!("\n{INDENT}> ");
            column = INDENT.len();
        } else if number > 0 {
            text += " > ";
        }
        text += &words;
        column += length;
    }
    text + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use std::time::Duration;

    #[test]
    fn moments_are_told_in_order_and_lines_are_not_too_long() {
        let fault = clock::now();
        let mut timeline = Timeline::new(fault, "sigkill of n1");
        timeline.at(fault + Duration::from_millis(20), "first commit");
        timeline.after(Some(5.25), "n2 suspects");
        timeline.after(None, "nothing");
        let moments = timeline.into_moments();
        let whole = "    0 ms sigkill of n1 > 5.2 n2 suspects > 20 first commit\n";
        assert_eq!(lines(&moments, 80), whole);
        let text = lines(&moments, 40);
        assert!(text.lines().all(|line| line.chars().count() <= 40), "{text}");
        assert_eq!(text.lines().count(), 2);
    }
}
