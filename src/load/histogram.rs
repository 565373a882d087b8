//! Latencies in an HDR histogram: constant memory, three significant digits.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// From 1 µs; anything longer than two minutes counts as two minutes.
const MICROS_MAX: u64 = 120_000_000;
/// Lines of an `.hgrm` file to each halving of the distance to 100 %: what HdrHistogram's own
/// tools use.
const HGRM_TICKS: u32 = 5;

/// Latencies of successful requests.
#[derive(Debug, Clone, PartialEq)]
pub struct Latencies {
    micros: Histogram<u64>,
}

/// In milliseconds; absent where nothing was recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Percentiles {
    pub mean: Option<f64>,
    pub p50: Option<f64>,
    pub p90: Option<f64>,
    pub p95: Option<f64>,
    pub p99: Option<f64>,
    pub p999: Option<f64>,
    pub p9999: Option<f64>,
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
            mean: (!self.micros.is_empty()).then(|| self.micros.mean() / 1e3),
            p50: self.quantile_ms(0.5),
            p90: self.quantile_ms(0.9),
            p95: self.quantile_ms(0.95),
            p99: self.quantile_ms(0.99),
            p999: self.quantile_ms(0.999),
            p9999: self.quantile_ms(0.9999),
            max: self.quantile_ms(1.0),
        }
    }

    /// The percentile distribution in milliseconds, as HdrHistogram's own
    /// `outputPercentileDistribution` writes it (`.hgrm`), which its plotters read: five steps to
    /// each halving of what is left to 100 %.
    pub fn hgrm(&self) -> String {
        let mut text = format!(
            "{:>12} {:>14} {:>10} {:>14}\n\n",
            "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
        );
        let mut total = 0;
        for step in self.micros.iter_quantiles(HGRM_TICKS) {
            total += step.count_since_last_iteration();
            let value = step.value_iterated_to() as f64 / 1e3;
            let quantile = step.quantile_iterated_to();
            text += &format!("{value:12.3} {quantile:2.12} {total:10}");
            if quantile < 1.0 {
                text += &format!(" {:14.2}", 1.0 / (1.0 - quantile));
            }
            text.push('\n');
        }
        let buckets = self.micros.buckets();
        let sub_buckets = (2 * 10u32.pow(u32::from(self.micros.sigfig()))).next_power_of_two();
        text += &format!(
            "#[Mean    = {:12.3}, StdDeviation   = {:12.3}]\n\
             #[Max     = {:12.3}, Total count    = {:12}]\n\
             #[Buckets = {buckets:12}, SubBuckets     = {sub_buckets:12}]\n",
            self.micros.mean() / 1e3,
            self.micros.stdev() / 1e3,
            self.micros.max() as f64 / 1e3,
            self.micros.len(),
        );
        text
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
    fn the_percentile_file_is_as_hdrhistogram_writes_it() {
        let mut latencies = Latencies::new(3);
        (1..=1000).for_each(|ms| latencies.record(Duration::from_millis(ms)));
        let text = latencies.hgrm();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "       Value     Percentile TotalCount 1/(1-Percentile)");
        assert_eq!(lines[1], "");
        assert_eq!(lines[2], "       1.000 0.000000000000          1           1.00");
        let half = lines.iter().find(|line| line.contains("0.500000000000")).unwrap();
        assert_eq!(
            half.split_whitespace().skip(1).collect::<Vec<_>>(),
            ["0.500000000000", "500", "2.00"]
        );
        assert_eq!(lines[lines.len() - 4].split_whitespace().count(), 3);
        assert!(lines[lines.len() - 3].starts_with("#[Mean    =      500."), "{text}");
        assert!(lines[lines.len() - 2].ends_with("Total count    =         1000]"), "{text}");
        assert!(Latencies::new(3).hgrm().contains("Total count    =            0]"));
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
