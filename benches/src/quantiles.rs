//! Quantiles of measured values.

/// Values in order.
#[derive(Debug)]
pub struct Quantiles(Vec<f64>);

impl Quantiles {
    /// Sorts the values, of which there must be at least one.
    pub fn new(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    /// The number of values.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The value below which this fraction of all values lies.
    #[must_use]
    pub fn at(&self, fraction: f64) -> f64 {
        self.0[((self.0.len() - 1) as f64 * fraction).round() as usize]
    }
}
