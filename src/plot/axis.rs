//! From values to places along an axis, and where its ticks are. Pure.

/// How values become places.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Scale {
    #[default]
    Linear,
    /// To base ten. Values that are not positive have no place.
    Log,
    /// A name for each of 0, 1, 2, ...
    Names(Vec<String>),
}

/// A tick: its value, and what is written there.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tick {
    pub value: f64,
    pub label: String,
}

/// A scale with its ends. `place` and `ticks` agree.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ruler {
    scale: Scale,
    from: f64,
    to: f64,
}

impl Ruler {
    /// Ends that hold `values`, unless `from` or `to` say otherwise; a free end of a linear axis
    /// goes up to the next tick where `round` is set.
    pub fn around(
        scale: &Scale,
        ends: (Option<f64>, Option<f64>),
        values: impl Iterator<Item = f64>,
        round: bool,
    ) -> Self {
        let usable = |value: &f64| value.is_finite() && (*scale != Scale::Log || *value > 0.0);
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.chain([ends.0, ends.1].into_iter().flatten()).filter(usable) {
            (low, high) = (low.min(value), high.max(value));
        }
        if let Scale::Names(names) = scale {
            (low, high) = (-0.6, names.len().max(1) as f64 - 0.4);
        } else if low > high {
            (low, high) = if *scale == Scale::Log { (1.0, 10.0) } else { (0.0, 1.0) };
        }
        let mut ruler = Self {
            scale: scale.clone(),
            from: ends.0.filter(usable).unwrap_or(low),
            to: ends.1.filter(usable).unwrap_or(high),
        };
        ruler.widen(ends.0.is_none(), ends.1.is_none(), round);
        ruler
    }

    fn widen(&mut self, low_free: bool, high_free: bool, round: bool) {
        match self.scale {
            Scale::Names(_) => {}
            Scale::Log => {
                // A little air above and below, and never less than one decade.
                if low_free {
                    self.from /= 1.25;
                }
                if high_free {
                    self.to *= 1.25;
                }
                if self.to / self.from < 10.0 {
                    let middle = (self.to * self.from).sqrt();
                    let half = 10f64.sqrt();
                    (self.from, self.to) = (middle / half, middle * half);
                }
            }
            Scale::Linear => {
                if self.to <= self.from {
                    self.to = self.from + 1.0;
                }
                let step = step(self.to - self.from, TICKS);
                if high_free && round {
                    self.to = (self.to / step - 1e-9).ceil() * step;
                }
                if low_free && round {
                    self.from = (self.from / step + 1e-9).floor() * step;
                }
            }
        }
    }

    /// 0 at the beginning, 1 at the end; values beyond are at the ends. `None` for what has no
    /// place.
    pub fn place(&self, value: f64) -> Option<f32> {
        let share = match self.scale {
            Scale::Log if value <= 0.0 => return None,
            Scale::Log => (value / self.from).ln() / (self.to / self.from).ln(),
            Scale::Linear | Scale::Names(_) => (value - self.from) / (self.to - self.from),
        };
        share.is_finite().then_some(share.clamp(0.0, 1.0) as f32)
    }

    pub fn ticks(&self) -> Vec<Tick> {
        match &self.scale {
            Scale::Linear => self.linear_ticks(),
            Scale::Log => self.log_ticks(),
            Scale::Names(names) => {
                let every = names.len().div_ceil(NAMES_MAX).max(1);
                let tick =
                    |(at, name): (usize, &String)| Tick { value: at as f64, label: name.clone() };
                names.iter().enumerate().step_by(every).map(tick).collect()
            }
        }
    }

    fn linear_ticks(&self) -> Vec<Tick> {
        let step = step(self.to - self.from, TICKS);
        let decimals = (-step.log10().floor()).clamp(0.0, 9.0) as usize;
        let first = (self.from / step - 1e-9).ceil() as i64;
        let last = (self.to / step + 1e-9).floor() as i64;
        let values = (first..=last).map(|number| number as f64 * step);
        values.map(|value| Tick { value, label: grouped(&format!("{value:.decimals$}")) }).collect()
    }

    fn log_ticks(&self) -> Vec<Tick> {
        let decades = (self.to / self.from).log10();
        let within: &[f64] = if decades < 3.5 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let first = self.from.log10().floor() as i32;
        let last = self.to.log10().ceil() as i32;
        let every = ((f64::from(last - first) / 8.0).ceil() as usize).max(1);
        let mut ticks = Vec::new();
        for power in (first..=last).step_by(every) {
            for factor in within {
                let value = factor * 10f64.powi(power);
                if value >= self.from * (1.0 - 1e-9) && value <= self.to * (1.0 + 1e-9) {
                    let decimals = (-power).max(0) as usize;
                    let label = grouped(&format!("{value:.decimals$}"));
                    ticks.push(Tick { value, label });
                }
            }
        }
        ticks
    }
}

/// Ticks aimed at on a linear axis.
const TICKS: f64 = 6.0;
/// Names written along an axis; of more, every second or third is.
const NAMES_MAX: usize = 30;

/// 1, 2 or 5 times a power of ten, so that about `ticks` of them make `span`.
fn step(span: f64, ticks: f64) -> f64 {
    let rough = span / ticks;
    let power = 10f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * power >= rough);
    factor.unwrap_or(10.0) * power
}

/// A number's text with commas between thousands.
pub(super) fn grouped(number: &str) -> String {
    let digits_from = usize::from(number.starts_with('-'));
    let point = number.find('.').unwrap_or(number.len());
    let mut text = number[..digits_from].to_owned();
    for (at, digit) in number[digits_from..point].char_indices() {
        if at > 0 && (point - digits_from - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text + &number[point..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scale: Scale, ends: (Option<f64>, Option<f64>), values: &[f64]) -> Vec<String> {
        let ruler = Ruler::around(&scale, ends, values.iter().copied(), true);
        ruler.ticks().into_iter().map(|tick| tick.label).collect()
    }

    #[test]
    fn ticks_are_round_numbers() {
        let linear = |values: &[f64]| labels(Scale::Linear, (Some(0.0), None), values);
        assert_eq!(linear(&[3.0, 1169.0]), ["0", "200", "400", "600", "800", "1,000", "1,200"]);
        assert_eq!(linear(&[0.5]), ["0.0", "0.1", "0.2", "0.3", "0.4", "0.5"]);
        assert_eq!(linear(&[]), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        let log = |values: &[f64]| labels(Scale::Log, (None, None), values);
        assert_eq!(log(&[0.8, 25.0]), ["1", "2", "5", "10", "20"]);
        assert_eq!(log(&[0.05, 2000.0]), ["0.1", "1", "10", "100", "1,000"]);
        assert_eq!(log(&[0.0, f64::NAN]), ["1", "2", "5", "10"]);
        let names = Scale::Names(vec!["crash".into(), "freeze".into()]);
        assert_eq!(labels(names, (None, None), &[7.0]), ["crash", "freeze"]);
    }

    #[test]
    fn places_are_between_the_ends() {
        let ruler = Ruler::around(&Scale::Log, (Some(1.0), Some(100.0)), [].into_iter(), true);
        assert_eq!(ruler.place(10.0), Some(0.5));
        assert_eq!((ruler.place(1e9), ruler.place(0.1)), (Some(1.0), Some(0.0)));
        assert_eq!((ruler.place(0.0), ruler.place(f64::NAN)), (None, None));
        let ruler = Ruler::around(&Scale::Linear, (None, None), [2.0, 4.0].into_iter(), false);
        assert_eq!((ruler.place(2.0), ruler.place(4.0)), (Some(0.0), Some(1.0)));
    }

    #[test]
    fn thousands_are_grouped() {
        for (number, text) in
            [("0", "0"), ("999", "999"), ("1000", "1,000"), ("-1234567.50", "-1,234,567.50")]
        {
            assert_eq!(grouped(number), text);
        }
    }
}
