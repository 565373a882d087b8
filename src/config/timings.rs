//! The patience of Raft and of the failure detector: presets, single values, and the
//! relations between them that keep the fast path in front of the slow one.

use std::time::Duration;

use serde::Serialize;

use super::raw::{ConfigError, Source, Sourced, key};
use super::resolve::{Merge, require, show_patience};
use crate::limits;

/// Where all timings begin.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub enum Preset {
    /// One machine, one rack, one site: round trips under some 10 ms.
    #[default]
    Lan,
    /// Sites far apart: round trips up to some 300 ms.
    Wan,
}

impl Preset {
    pub const fn timings(self) -> Timings {
        match self {
            Self::Lan => Timings::LAN,
            Self::Wan => Timings::WAN,
        }
    }

    /// Longer than any election, short enough for a lone machine to be useful again.
    pub const fn solo_after(self) -> Duration {
        match self {
            Self::Lan => Duration::from_secs(5),
            Self::Wan => Duration::from_secs(20),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Lan => "lan",
            Self::Wan => "wan",
        }
    }
}

impl std::str::FromStr for Preset {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "lan" => Ok(Self::Lan),
            "wan" => Ok(Self::Wan),
            other => Err(format!("{other:?} is neither lan nor wan")),
        }
    }
}

/// Intervals and patience of Raft and of the failure detector, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Timings {
    /// Leader to followers.
    pub heartbeat_interval_ms: u64,
    /// Raft's own election timer: the floor under the detector.
    pub election_timeout_min_ms: u64,
    pub election_timeout_max_ms: u64,
    /// Follower to leader; and leader to follower, the pulses that spare most probes.
    pub probe_interval_ms: u64,
    /// How long an answer to a probe may take.
    pub probe_timeout_ms: u64,
    /// Probes, or dials, in a row that must fail before a leader is held dead.
    pub probe_misses: u32,
    /// Between the dials that confirm a closed watch.
    pub confirm_interval_ms: u64,
    /// How long the other voters have to answer whether they hold the leader dead too.
    pub preround_timeout_ms: u64,
    /// Head start of each better candidate over the next: an election takes less.
    pub turn_ms: u64,
    /// Between two campaigns of one node.
    pub campaign_spacing_ms: u64,
    /// A leader with a write of the log unfinished for longer hands over.
    pub fsync_handover_ms: u64,
    /// A node with a write of the log unfinished for longer ends.
    pub fsync_exit_ms: u64,
}

impl Timings {
    const LAN: Self = Self {
        // Four to an election timeout: one or two lost heartbeats change nothing. News of commits
        // does not wait for them, and the detector finds a silent leader by pulses.
        heartbeat_interval_ms: 250,
        // The detector is the fast path; this floor only has to outlast any pause
        // that a busy but healthy machine makes.
        election_timeout_min_ms: 1000,
        election_timeout_max_ms: 2000,
        probe_interval_ms: 25,
        // A healthy Raft runtime answers in well under 1 ms even on a saturated machine.
        probe_timeout_ms: 50,
        probe_misses: 3,
        // A refusal is the word of a kernel and no guess; three only rule out a moment.
        confirm_interval_ms: 1,
        // A third of it, in which a voter's own evidence may ripen, is a little more than two
        // followers' probes of a silent leader can be apart.
        preround_timeout_ms: 250,
        // Who goes first is alive, as its answer showed; on a busy machine its ballot's fsync
        // alone took 95 ms, and votes that are split cost far more than waiting.
        turn_ms: 150,
        campaign_spacing_ms: 300,
        // Some hundred times what an fsync takes: a disk that is only busy stays below.
        fsync_handover_ms: 500,
        // Others lead by then. A journal of a file system that is being flooded may hold an
        // fsync for seconds, and a node that would have recovered should not be gone.
        fsync_exit_ms: 10_000,
    };

    /// Every patience outlasts a few round trips of 300 ms.
    const WAN: Self = Self {
        heartbeat_interval_ms: 500,
        election_timeout_min_ms: 5000,
        election_timeout_max_ms: 10_000,
        probe_interval_ms: 250,
        probe_timeout_ms: 1000,
        probe_misses: 3,
        confirm_interval_ms: 50,
        preround_timeout_ms: 4000,
        turn_ms: 1000,
        campaign_spacing_ms: 3000,
        // A disk is as near as on a LAN, but a hand-over takes longer.
        fsync_handover_ms: 1000,
        fsync_exit_ms: 20_000,
    };

    /// Between two pulses of a leader that is asked nothing, in milliseconds: a few probe intervals,
    /// where that adds little to the election timer's floor.
    pub const fn calm_pulse_ms(&self) -> u64 {
        let calm = self.probe_interval_ms.saturating_mul(4);
        let most = self.election_timeout_min_ms / 8;
        let calm = if calm < most { calm } else { most };
        if calm > self.probe_interval_ms { calm } else { self.probe_interval_ms }
    }

    /// The longest that the detector needs to suspect a silent leader, in milliseconds. From a calm
    /// one the first missing pulse may be longer in coming.
    pub const fn suspect_after_ms(&self) -> u64 {
        (self.probe_misses as u64)
            .saturating_mul(self.probe_interval_ms.saturating_add(self.probe_timeout_ms))
    }

    /// How long a voter lets its own evidence ripen before it answers a suspicion: less
    /// than the asker waits.
    pub const fn ripen_ms(&self) -> u64 {
        self.preround_timeout_ms / 3
    }
}

impl Default for Timings {
    fn default() -> Self {
        Preset::default().timings()
    }
}

/// The settings whose relations are checked, with their sources.
struct Checked {
    heartbeat: Sourced<u64>,
    least: Sourced<u64>,
    most: Sourced<u64>,
    interval: Sourced<u64>,
    timeout: Sourced<u64>,
    misses: Sourced<u32>,
    handover: Sourced<u64>,
    exit: Sourced<u64>,
}

impl Merge<'_> {
    pub(super) fn preset(&mut self) -> Result<Sourced<Preset>, ConfigError> {
        let name = |preset: &Preset| preset.name().to_owned();
        self.parsed(key::PRESET, Preset::default(), name, str::parse)
    }

    pub(super) fn timings(
        &mut self,
        preset: &Sourced<Preset>,
        solo: &Sourced<Option<Duration>>,
    ) -> Result<Timings, ConfigError> {
        let base = preset.value.timings();
        let least =
            self.milliseconds(key::ELECTION_TIMEOUT_MIN_MS, base.election_timeout_min_ms)?;
        // Who only wants another election timeout gets heartbeats that suit it.
        let beat = base.heartbeat_interval_ms.min(least.value / 4).max(1);
        let heartbeat = self.milliseconds(key::HEARTBEAT_INTERVAL_MS, beat)?;
        // Once more, since values are shown in the order of the settings.
        let least =
            self.milliseconds(key::ELECTION_TIMEOUT_MIN_MS, base.election_timeout_min_ms)?;
        let most = self.milliseconds(key::ELECTION_TIMEOUT_MAX_MS, base.election_timeout_max_ms)?;
        let interval = self.milliseconds(key::PROBE_INTERVAL_MS, base.probe_interval_ms)?;
        let timeout = self.milliseconds(key::PROBE_TIMEOUT_MS, base.probe_timeout_ms)?;
        let misses =
            self.whole(key::PROBE_MISSES, base.probe_misses, 1, limits::PROBE_MISSES_MAX)?;
        let confirm = self.milliseconds(key::CONFIRM_INTERVAL_MS, base.confirm_interval_ms)?;
        let preround = self.milliseconds(key::PREROUND_TIMEOUT_MS, base.preround_timeout_ms)?;
        let turn = self.milliseconds(key::TURN_MS, base.turn_ms)?;
        // Less would let the votes of one election meet those of the next.
        let spacing = self.whole(
            key::CAMPAIGN_SPACING_MS,
            base.campaign_spacing_ms,
            Timings::LAN.campaign_spacing_ms,
            limits::TIMING_MS_MAX,
        )?;
        let handover = self.milliseconds(key::FSYNC_HANDOVER_MS, base.fsync_handover_ms)?;
        let exit = self.milliseconds(key::FSYNC_EXIT_MS, base.fsync_exit_ms)?;
        let timings = Timings {
            heartbeat_interval_ms: heartbeat.value,
            election_timeout_min_ms: least.value,
            election_timeout_max_ms: most.value,
            probe_interval_ms: interval.value,
            probe_timeout_ms: timeout.value,
            probe_misses: misses.value,
            confirm_interval_ms: confirm.value,
            preround_timeout_ms: preround.value,
            turn_ms: turn.value,
            campaign_spacing_ms: spacing.value,
            fsync_handover_ms: handover.value,
            fsync_exit_ms: exit.value,
        };
        let set = Checked { heartbeat, least, most, interval, timeout, misses, handover, exit };
        timings.check(&set, solo)?;
        Ok(timings)
    }
}

impl Timings {
    fn check(&self, set: &Checked, solo: &Sourced<Option<Duration>>) -> Result<(), ConfigError> {
        let (least, most) = (set.least.value, set.most.value);
        let suspect = self.suspect_after_ms();
        require(
            suspect < least,
            format!(
                "probe_misses * (probe_interval_ms + probe_timeout_ms) = {suspect} must be under \
                 election_timeout_min_ms = {least}, or the slow timer beats the detector"
            ),
            &[
                (key::PROBE_MISSES, &set.misses.source),
                (key::PROBE_INTERVAL_MS, &set.interval.source),
                (key::PROBE_TIMEOUT_MS, &set.timeout.source),
                (key::ELECTION_TIMEOUT_MIN_MS, &set.least.source),
            ],
        )?;
        require(
            set.heartbeat.value * 3 < least,
            format!(
                "heartbeat_interval_ms * 3 = {} must be under election_timeout_min_ms = {least}, \
                 or one late heartbeat starts an election",
                set.heartbeat.value * 3,
            ),
            &[
                (key::HEARTBEAT_INTERVAL_MS, &set.heartbeat.source),
                (key::ELECTION_TIMEOUT_MIN_MS, &set.least.source),
            ],
        )?;
        require(
            least < most,
            format!(
                "election_timeout_min_ms = {least} must be under election_timeout_max_ms = \
                 {most}, so that nodes do not campaign in step"
            ),
            &[
                (key::ELECTION_TIMEOUT_MIN_MS, &set.least.source),
                (key::ELECTION_TIMEOUT_MAX_MS, &set.most.source),
            ],
        )?;
        require(
            self.fsync_handover_ms * 2 < self.fsync_exit_ms,
            format!(
                "fsync_handover_ms * 2 = {} must be under fsync_exit_ms = {}, \
                 or a leader ends before another can take over",
                self.fsync_handover_ms * 2,
                self.fsync_exit_ms
            ),
            &[
                (key::FSYNC_HANDOVER_MS, &set.handover.source),
                (key::FSYNC_EXIT_MS, &set.exit.source),
            ],
        )?;
        let blamed: [(&'static str, &Source); 2] =
            [(key::SOLO_AFTER, &solo.source), (key::ELECTION_TIMEOUT_MAX_MS, &set.most.source)];
        require(
            solo.value.is_none_or(|time| time > Duration::from_millis(most)),
            format!(
                "solo_after = {} must be over election_timeout_max_ms = {most}, \
                 or nodes go solo during an election",
                show_patience(&solo.value),
            ),
            &blamed,
        )
    }
}

// The same relations, for the presets.
const _: () = {
    let presets = [Preset::Lan, Preset::Wan];
    let mut next = 0;
    while next < presets.len() {
        let t = presets[next].timings();
        assert!(t.suspect_after_ms() + t.calm_pulse_ms() * 9 / 8 < t.election_timeout_min_ms);
        assert!(t.heartbeat_interval_ms * 3 < t.election_timeout_min_ms);
        assert!(t.election_timeout_min_ms < t.election_timeout_max_ms);
        assert!(presets[next].solo_after().as_millis() > t.election_timeout_max_ms as u128);
        assert!(t.fsync_handover_ms * 2 < t.fsync_exit_ms);
        // Two followers may come to the same verdict this far apart.
        assert!(t.ripen_ms() > t.probe_interval_ms + t.probe_timeout_ms);
        // A candidate's turn is over before the election timers of others are.
        assert!(t.turn_ms < t.campaign_spacing_ms);
        next += 1;
    }
};
