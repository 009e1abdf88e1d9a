//! Several measurements of one thing.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Measurements, in the order they were taken
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Series(Vec<f64>);

impl Series {
    /// Adds one
    pub fn push(&mut self, sample: f64) {
        self.0.push(sample);
    }

    /// The middle one, or the mean of the middle two
    pub fn median(&self) -> Option<f64> {
        let sorted = self.sorted();
        let (upper, lower) = (sorted.len() / 2, sorted.len().checked_sub(1)? / 2);
        Some(f64::midpoint(*sorted.get(lower)?, *sorted.get(upper)?))
    }

    /// The least
    pub fn low(&self) -> Option<f64> {
        self.sorted().first().copied()
    }

    /// The greatest
    pub fn high(&self) -> Option<f64> {
        self.sorted().last().copied()
    }

    /// The ratios to what was measured beside each: what changes with the machine's load falls out
    #[must_use]
    pub fn ratios_to(&self, other: &Self) -> Self {
        let pairs = self.0.iter().zip(&other.0);
        pairs.map(|(own, other)| own / other).collect()
    }

    /// The median of these ratios
    pub fn ratio_to(&self, other: &Self) -> Option<f64> {
        self.ratios_to(other).median()
    }

    /// Between what the middle half of them lies
    pub fn middle_half(&self) -> Option<(f64, f64)> {
        let sorted = self.sorted();
        let last = sorted.len().checked_sub(1)?;
        Some((*sorted.get(last / 4)?, *sorted.get(last - last / 4)?))
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }
}

/// The median, and the lowest and the highest where they differ
impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Some(median), Some(low), Some(high)) = (self.median(), self.low(), self.high()) else {
            return f.write_str("–");
        };
        f.write_str(&short(median))?;
        if low < high {
            write!(f, " ({}–{})", short(low), short(high))?;
        }
        Ok(())
    }
}

/// About three digits
fn short(number: f64) -> String {
    let decimals = match number.abs() {
        100.0.. => 0,
        10.0.. => 1,
        1.0.. => 2,
        _ => 3,
    };
    format!("{number:.decimals$}")
}

impl FromIterator<f64> for Series {
    fn from_iter<I: IntoIterator<Item = f64>>(samples: I) -> Self {
        Self(samples.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(samples: &[f64]) -> Series {
        samples.iter().copied().collect()
    }

    #[test]
    fn the_median_is_the_middle_one_or_between_the_middle_two() {
        assert_eq!(series(&[]).median(), None);
        assert_eq!(series(&[7.0]).median(), Some(7.0));
        assert_eq!(series(&[9.0, 1.0, 2.0]).median(), Some(2.0));
        assert_eq!(series(&[9.0, 1.0, 2.0, 4.0]).median(), Some(3.0));
    }

    #[test]
    fn people_see_the_median_and_the_spread() {
        assert_eq!(series(&[]).to_string(), "–");
        assert_eq!(series(&[1234.5]).to_string(), "1234");
        assert_eq!(series(&[12.34, 0.5, 99.9]).to_string(), "12.3 (0.500–99.9)");
    }

    #[test]
    fn a_quarter_is_left_out_on_either_side() {
        assert_eq!(series(&[]).middle_half(), None);
        assert_eq!(series(&[3.0]).middle_half(), Some((3.0, 3.0)));
        assert_eq!(series(&[1.0, 2.0, 9.0]).middle_half(), Some((1.0, 9.0)));
        assert_eq!(series(&[9.0, 4.0, 1.0, 3.0, 2.0]).middle_half(), Some((2.0, 4.0)));
    }

    #[test]
    fn a_ratio_is_taken_round_by_round() {
        let (own, other) = (series(&[1.0, 8.0, 3.0]), series(&[2.0, 8.0, 6.0]));
        assert_eq!(own.ratio_to(&other), Some(0.5));
        assert_eq!(own.ratio_to(&series(&[])), None);
    }
}
