//! A load's course in time: a row for each second, or for each slice of another length.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::histogram::Latencies;

/// One second of a load, or one slice.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Second {
    /// Seconds since the load began, at the start of this one.
    pub t_s: f64,
    pub ok: u64,
    pub failed: u64,
    pub p50_ms: Option<f64>,
    #[serde(default)]
    pub p90_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    #[serde(default)]
    pub max_ms: Option<f64>,
    /// The last leader known in this second.
    pub leader: Option<String>,
}

/// Rows of one length. Answers count where they arrive.
#[derive(Debug, Clone)]
pub(super) struct Timeline {
    length: Duration,
    rows_max: usize,
    closed: Vec<Second>,
    /// Number of the open row.
    number: u64,
    open: Second,
    latencies: Latencies,
    leader: Option<String>,
}

impl Timeline {
    /// What comes after `rows_max` rows is left out.
    pub fn new(length: Duration, rows_max: usize) -> Self {
        let latencies = Latencies::new(2);
        let open = Second::default();
        Self { length, rows_max, closed: Vec::new(), number: 0, open, latencies, leader: None }
    }

    /// Closes the rows that are over at `elapsed`.
    pub fn advance(&mut self, elapsed: Duration) {
        let current = (elapsed.as_nanos() / self.length.as_nanos().max(1)) as u64;
        while self.number < current && self.closed.len() < self.rows_max {
            self.number += 1;
            let t_s = self.length.as_secs_f64() * self.number as f64;
            let next = Second { t_s, leader: self.leader.clone(), ..Second::default() };
            let closed = self.filled();
            self.closed.push(closed);
            self.open = next;
            self.latencies.clear();
        }
    }

    pub fn success(&mut self, latency: Duration) {
        self.open.ok += 1;
        self.latencies.record(latency);
    }

    pub fn failure(&mut self) {
        self.open.failed += 1;
    }

    pub fn set_leader(&mut self, leader: String) {
        self.open.leader = Some(leader.clone());
        self.leader = Some(leader);
    }

    pub fn leader(&self) -> Option<String> {
        self.leader.clone()
    }

    /// The row before the open one.
    pub fn last_closed(&self) -> Option<&Second> {
        self.closed.last()
    }

    /// All rows, the open one last unless it is empty.
    pub fn rows(&self) -> Vec<Second> {
        let mut rows = self.closed.clone();
        let room = self.closed.len() < self.rows_max;
        if room && self.open.ok + self.open.failed > 0 {
            rows.push(self.filled());
        }
        rows
    }

    fn filled(&self) -> Second {
        Second {
            p50_ms: self.latencies.quantile_ms(0.5),
            p90_ms: self.latencies.quantile_ms(0.9),
            p99_ms: self.latencies.quantile_ms(0.99),
            max_ms: self.latencies.quantile_ms(1.0),
            ..self.open.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn rows_follow_each_other_without_a_hole_and_end_at_their_number() {
        let mut timeline = Timeline::new(100 * MS, 4);
        timeline.set_leader("n1".into());
        timeline.success(7 * MS);
        timeline.advance(250 * MS);
        timeline.failure();
        let rows = timeline.rows();
        let counts: Vec<(u64, u64)> = rows.iter().map(|row| (row.ok, row.failed)).collect();
        assert_eq!(counts, [(1, 0), (0, 0), (0, 1)]);
        assert!((rows[2].t_s - 0.2).abs() < 1e-9);
        assert!(rows.iter().all(|row| row.leader.as_deref() == Some("n1")));
        assert!((rows[0].max_ms.unwrap() - 7.0).abs() < 0.1 && rows[1].max_ms.is_none());
        timeline.advance(9000 * MS);
        assert_eq!(timeline.rows().len(), 4);
        assert_eq!(timeline.last_closed().unwrap().ok, 0);
    }
}
