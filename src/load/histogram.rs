//! Latencies in an HDR histogram: constant memory, three significant digits.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// From 1 µs; anything longer than two minutes counts as two minutes.
const MICROS_MAX: u64 = 120_000_000;

/// Latencies of successful requests.
#[derive(Debug, Clone)]
pub struct Latencies {
    micros: Histogram<u64>,
}

/// In milliseconds; absent where nothing was recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Percentiles {
    pub p50: Option<f64>,
    pub p90: Option<f64>,
    pub p95: Option<f64>,
    pub p99: Option<f64>,
    pub p999: Option<f64>,
    pub max: Option<f64>,
}

impl Latencies {
    /// `digits` significant digits, 1 to 3: two keep a per-second histogram small.
    pub fn new(digits: u8) -> Self {
        let micros = Histogram::new_with_bounds(1, MICROS_MAX, digits.clamp(1, 3));
        Self { micros: micros.expect("1 to two minutes at 1 to 3 digits are valid bounds") }
    }

    pub fn record(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(MICROS_MAX);
        self.micros.saturating_record(micros.clamp(1, MICROS_MAX));
    }

    pub fn count(&self) -> u64 {
        self.micros.len()
    }

    pub fn clear(&mut self) {
        self.micros.clear();
    }

    /// Milliseconds within which this share (0 to 1) of the requests were answered.
    pub fn quantile_ms(&self, quantile: f64) -> Option<f64> {
        (!self.micros.is_empty()).then(|| self.micros.value_at_quantile(quantile) as f64 / 1e3)
    }

    pub fn percentiles(&self) -> Percentiles {
        Percentiles {
            p50: self.quantile_ms(0.5),
            p90: self.quantile_ms(0.9),
            p95: self.quantile_ms(0.95),
            p99: self.quantile_ms(0.99),
            p999: self.quantile_ms(0.999),
            max: self.quantile_ms(1.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_within_a_thousandth() {
        let mut latencies = Latencies::new(3);
        assert_eq!(latencies.percentiles(), Percentiles::default());
        (1..=1000).for_each(|ms| latencies.record(Duration::from_millis(ms)));
        let close = |found: Option<f64>, expected: f64| {
            let found = found.unwrap();
            assert!((found - expected).abs() <= expected / 500.0, "{found} for {expected}");
        };
        let percentiles = latencies.percentiles();
        close(percentiles.p50, 500.0);
        close(percentiles.p99, 990.0);
        close(percentiles.max, 1000.0);
        assert_eq!(latencies.count(), 1000);
    }

    #[test]
    fn what_is_out_of_range_counts_at_its_edge() {
        let mut latencies = Latencies::new(2);
        latencies.record(Duration::ZERO);
        latencies.record(Duration::from_secs(3600));
        assert_eq!(latencies.count(), 2);
        assert!(latencies.percentiles().max.unwrap() >= 119_000.0);
    }
}
