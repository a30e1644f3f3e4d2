//! A figure, and the goal that it is held against.

use serde::{Deserialize, Serialize};

/// A measured figure and its goal.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Goal {
    /// What was measured; the first word is the part that measures it.
    pub(crate) figure: String,
    pub(crate) value: f64,
    pub(crate) unit: String,
    /// The floor's figure of the same run.
    pub(crate) floor: Option<f64>,
    /// The best peer's figure of the same run.
    pub(crate) peer: Option<f64>,
    /// The value to what the goal names.
    pub(crate) ratio: Option<f64>,
    /// What the value is held against; a figure may have no goal.
    pub(crate) goal: Option<String>,
    pub(crate) met: Option<bool>,
}

impl Goal {
    /// A figure without a goal; [`at_most`](Self::at_most) and its siblings give it one.
    pub(crate) fn new(figure: impl Into<String>, value: f64, unit: &str) -> Self {
        Self {
            figure: figure.into(),
            value,
            unit: unit.into(),
            floor: None,
            peer: None,
            ratio: None,
            goal: None,
            met: None,
        }
    }

    pub(crate) fn floor(mut self, floor: f64) -> Self {
        self.floor = Some(floor);
        self
    }

    pub(crate) fn peer(mut self, peer: f64) -> Self {
        self.peer = Some(peer);
        self
    }

    /// The value is to be no larger.
    pub(crate) fn at_most(mut self, bound: f64) -> Self {
        self.goal = Some(format!("at most {bound} {}", self.unit));
        self.met = Some(self.value <= bound);
        self
    }

    /// The ratio to what `of` names is to be no larger.
    pub(crate) fn ratio_at_most(mut self, ratio: f64, bound: f64, of: &str) -> Self {
        self.ratio = Some(ratio);
        self.goal = Some(format!("at most {bound} x {of}"));
        self.met = Some(ratio <= bound);
        self
    }

    /// The ratio to what `of` names is to be no smaller.
    pub(crate) fn ratio_at_least(mut self, ratio: f64, bound: f64, of: &str) -> Self {
        self.ratio = Some(ratio);
        self.goal = Some(format!("at least {bound} x {of}"));
        self.met = Some(ratio >= bound);
        self
    }
}
