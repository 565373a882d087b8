//! What clients ask for: one kind of request, or several in proportion.

use std::fmt;
use std::str::FromStr;

use super::random::Random;

/// What clients do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// Hide a secret in the node's default cover, or one that was given.
    Embed,
    /// Find one again.
    Extract,
    /// Hide one, find it again, compare.
    Roundtrip,
    /// Enter a record without a picture.
    Commit,
}

impl Mode {
    /// Every mode, for help texts.
    pub const ALL: [Self; 4] = [Self::Embed, Self::Extract, Self::Roundtrip, Self::Commit];
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Embed => "embed",
            Self::Extract => "extract",
            Self::Roundtrip => "roundtrip",
            Self::Commit => "commit",
        })
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|mode| mode.to_string() == text);
        known.ok_or_else(|| {
            format!("unknown mode {text:?}; known: embed, extract, roundtrip, commit")
        })
    }
}

/// Modes with their weights: at least one, each once, no weight 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mix(Vec<(Mode, u32)>);

impl Mix {
    pub fn modes(&self) -> impl Iterator<Item = Mode> + '_ {
        self.0.iter().map(|(mode, _)| *mode)
    }

    pub fn has(&self, mode: Mode) -> bool {
        self.modes().any(|each| each == mode)
    }

    /// Draws one, each as often as its weight says. Of one mode nothing is drawn, so that a seed
    /// gives the same secrets whether it is called a mix or not.
    pub(crate) fn pick(&self, random: &mut Random) -> Mode {
        let [(first, _), rest @ ..] = &self.0[..] else { return Mode::Embed };
        if rest.is_empty() {
            return *first;
        }
        let total = self.0.iter().map(|(_, weight)| u64::from(*weight)).sum();
        let mut left = random.below(total);
        for (mode, weight) in &self.0 {
            match left.checked_sub(u64::from(*weight)) {
                None => return *mode,
                Some(less) => left = less,
            }
        }
        *first
    }
}

impl From<Mode> for Mix {
    fn from(mode: Mode) -> Self {
        Self(vec![(mode, 1)])
    }
}

impl fmt::Display for Mix {
    /// As it is read: `embed`, or `embed=70,extract=30`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [(mode, _)] = &self.0[..] {
            return mode.fmt(f);
        }
        let parts: Vec<String> =
            self.0.iter().map(|(mode, weight)| format!("{mode}={weight}")).collect();
        f.pad(&parts.join(","))
    }
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(mode) = text.parse::<Mode>() {
            return Ok(mode.into());
        }
        let mut parts: Vec<(Mode, u32)> = Vec::new();
        for part in text.split(',') {
            let (name, weight) = match part.split_once('=') {
                Some(split) => split,
                // The whole text is one word that is no mode, or a mix without weights.
                None if !text.contains(',') => (part, "1"),
                None => {
                    return Err(format!("{part:?} has no weight; write {part}=50, for instance"));
                }
            };
            let mode = name.trim().parse::<Mode>()?;
            let weight = weight.trim().parse().ok().filter(|weight| *weight > 0);
            let weight =
                weight.ok_or_else(|| format!("{part:?}: a weight is a whole number from 1"))?;
            if parts.iter().any(|(known, _)| *known == mode) {
                return Err(format!("{mode} is given twice"));
            }
            parts.push((mode, weight));
        }
        Ok(Self(parts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_and_mixes_are_read_as_they_are_written() {
        for mode in Mode::ALL {
            assert_eq!(mode.to_string().parse(), Ok(mode));
            assert_eq!(mode.to_string().parse::<Mix>(), Ok(mode.into()));
        }
        let mix: Mix = "embed=70, extract=30".parse().unwrap();
        assert_eq!(mix.to_string(), "embed=70,extract=30");
        assert!(mix.has(Mode::Extract) && !mix.has(Mode::Commit));
    }

    #[test]
    fn what_is_no_mix_is_refused_with_the_reason() {
        for (text, reason) in [
            ("flood", "known: embed"),
            ("embed,extract", "has no weight"),
            ("embed=0", "from 1"),
            ("embed=1,embed=2", "given twice"),
            ("embed=1,", "has no weight"),
        ] {
            let refused = text.parse::<Mix>().unwrap_err();
            assert!(refused.contains(reason), "{text}: {refused}");
        }
    }

    #[test]
    fn modes_are_drawn_as_often_as_their_weights_say() {
        let mix: Mix = "embed=70,extract=20,commit=10".parse().unwrap();
        let mut random = Random::new(3);
        let drawn: Vec<Mode> = (0..10_000).map(|_| mix.pick(&mut random)).collect();
        for (mode, share) in [(Mode::Embed, 7000), (Mode::Extract, 2000), (Mode::Commit, 1000)] {
            let found = drawn.iter().filter(|each| **each == mode).count();
            assert!(found.abs_diff(share) < 200, "{mode}: {found}");
        }
        assert_eq!(Mix::from(Mode::Commit).pick(&mut random), Mode::Commit);
    }
}
