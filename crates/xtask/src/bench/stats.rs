//! Medians, spreads and ratios.

use std::fmt;

/// The middle of some figures and their ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Spread {
    /// # Panics
    /// Without figures.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = figures.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            sorted[middle]
        } else {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        };
        Self { median, min: sorted[0], max: sorted[sorted.len() - 1] }
    }

    /// Of each figure to the floor's of the same round: the machine's speed drifts from round to
    /// round, and within one it drops out.
    pub fn of_ratios(figures: &[f64], floors: &[f64]) -> Self {
        Self::of(figures.iter().zip(floors).map(|(figure, floor)| figure / floor))
    }
}

/// `median [min-max]`, with as many decimals as asked for.
impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = f.precision().unwrap_or(2);
        let Self { median, min, max } = self;
        write!(f, "{median:.places$} [{min:.places$}-{max:.places$}]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_count_lies_between_the_middle_two() {
        let odd = Spread::of([3.0, 1.0, 2.0]);
        assert_eq!(odd, Spread { median: 2.0, min: 1.0, max: 3.0 });
        let even = Spread::of([4.0, 1.0, 2.0, 8.0]);
        assert_eq!(even, Spread { median: 3.0, min: 1.0, max: 8.0 });
        assert_eq!(Spread::of([5.0]), Spread { median: 5.0, min: 5.0, max: 5.0 });
    }

    #[test]
    fn a_ratio_is_taken_within_its_round() {
        // The machine is twice as slow in the second round, which no ratio shows.
        let ratios = Spread::of_ratios(&[2.0, 4.0, 2.2], &[1.0, 2.0, 1.0]);
        assert_eq!(ratios, Spread { median: 2.0, min: 2.0, max: 2.2 });
    }

    #[test]
    fn shown_with_the_decimals_asked_for() {
        let spread = Spread { median: 1.23456, min: 1.0, max: 2.0 };
        assert_eq!(format!("{spread}"), "1.23 [1.00-2.00]");
        assert_eq!(format!("{spread:.3}"), "1.235 [1.000-2.000]");
    }
}
