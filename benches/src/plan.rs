//! What is to be measured, and about how long that takes.

use std::path::PathBuf;
use std::time::Duration;

use crate::figure::Measure;
use crate::names;
use crate::path::Way;
use crate::rest::Patience;
use crate::taking::Lengths;

/// What is to be measured, and how thoroughly
#[derive(Debug, Clone)]
pub struct Plan {
    pub(crate) rounds: u16,
    /// How often flow set-ups are measured
    pub(crate) setups: u16,
    pub(crate) ways: Vec<Way>,
    pub(crate) measures: Vec<Measure>,
    pub(crate) lengths: Lengths,
    pub(crate) patience: Patience,
    /// How long each way to ask for names lasts
    pub(crate) names: Duration,
    pub(crate) boringtun: Option<PathBuf>,
}

impl Plan {
    /// Everything, for numbers to decide by
    pub fn full() -> Self {
        Self {
            rounds: 7,
            setups: 5,
            ways: Way::ALL
                .into_iter()
                .filter(|way| *way != Way::Boringtun)
                .collect(),
            measures: Measure::ALL.to_vec(),
            lengths: Lengths::FULL,
            patience: Patience::FULL,
            names: Duration::from_secs(2),
            boringtun: None,
        }
    }

    /// Everything, for a first look
    pub fn quick() -> Self {
        Self {
            rounds: 2,
            setups: 1,
            measures: Measure::ALL
                .into_iter()
                .filter(|measure| !matches!(measure, Measure::Streams | Measure::Containers))
                .collect(),
            lengths: Lengths::QUICK,
            patience: Patience::QUICK,
            names: Duration::from_millis(500),
            ..Self::full()
        }
    }

    /// With another number of rounds, if one is told
    #[must_use]
    pub fn rounds(self, rounds: Option<u16>) -> Self {
        Self {
            rounds: rounds.unwrap_or(self.rounds),
            setups: rounds.unwrap_or(self.setups),
            ..self
        }
    }

    /// With boringtun, if its program is told
    #[must_use]
    pub fn boringtun(mut self, program: Option<PathBuf>) -> Self {
        if program.is_some() {
            self.ways.push(Way::Boringtun);
        }
        self.boringtun = program;
        self
    }

    /// These ways alone and the yardstick, if any are told
    #[must_use]
    pub fn only(mut self, ways: &[Way]) -> Self {
        if !ways.is_empty() {
            self.ways
                .retain(|way| *way == Way::KernelVxlan || ways.contains(way));
        }
        self
    }

    /// These measurements alone, if any are told
    #[must_use]
    pub fn measuring(mut self, measures: &[Measure]) -> Self {
        if !measures.is_empty() {
            self.measures = measures.to_vec();
            self.measures.sort_unstable();
        }
        self
    }

    /// Pairs of containers that are attached
    pub(crate) fn newcomers(&self) -> u8 {
        u8::try_from(self.setups * 2).unwrap_or(u8::MAX)
    }

    pub(crate) fn wants(&self, measure: Measure) -> bool {
        self.measures.contains(&measure)
    }

    /// About how long one round of one way takes
    pub(crate) fn round(&self) -> Duration {
        let measures = self.measures.iter().map(|measure| self.lengths.of(*measure));
        measures.sum()
    }

    /// About how long what follows the ways takes
    pub(crate) fn tail(&self, has_open_vswitch: bool) -> Duration {
        let each = |measure, takes| match self.wants(measure) && has_open_vswitch {
            true => takes * u32::from(self.setups),
            false => Duration::ZERO,
        };
        let newcomers = match self.wants(Measure::Newcomers) {
            true => NEWCOMERS * u32::from(self.newcomers()),
            false => Duration::ZERO,
        };
        let setups = newcomers + each(Measure::Flood, FLOOD) + each(Measure::Setups, SETUPS);
        let rest = match self.wants(Measure::Rest) {
            true => self.patience.expected(),
            false => Duration::ZERO,
        };
        let names = match self.wants(Measure::Names) {
            true => names::expected(self.setups, self.names),
            false => Duration::ZERO,
        };
        let containers = match self.wants(Measure::Containers) && !has_open_vswitch {
            true => STARTS * u32::from(self.rounds),
            false => Duration::ZERO,
        };
        setups + rest + names + containers
    }
}

/// About how long one start of each kind takes with each Docker, with what comes before and after it
const STARTS: Duration = Duration::from_secs(5);

/// About how long one pair of containers takes
const NEWCOMERS: Duration = Duration::from_secs(1);

/// About how long one round beside a flood takes
const FLOOD: Duration = Duration::from_secs(6);

/// About how long one measurement of flow set-ups takes
const SETUPS: Duration = Duration::from_secs(7);
