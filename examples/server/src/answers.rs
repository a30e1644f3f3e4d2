//! What every node answered to a question, as JSON.

use std::collections::BTreeMap;
use std::time::Duration;

use midplane::{Answer, Answers};
use serde::Serialize;

/// How long nodes have for an answer unless a request says so, and the longest a request may say.
pub(crate) const WITHIN: Duration = Duration::from_secs(2);
pub(crate) const LONGEST: Duration = Duration::from_secs(30);

/// The connections of every node that an answer is about.
#[derive(Debug, Serialize)]
pub(crate) struct Counted {
    /// On all nodes that answered.
    connections: usize,
    /// On this node.
    here: usize,
    /// On each other node that answered.
    others: BTreeMap<String, usize>,
    /// The nodes that did not answer in time. They may have carried it out.
    silent: Vec<String>,
    /// Whether every node answered: that there are no connections elsewhere is known only then.
    complete: bool,
}

impl From<&Answers> for Counted {
    fn from(answers: &Answers) -> Self {
        let count = |answer: &Answer| match answer {
            Answer::Connections(count) => *count,
            Answer::Delivered(delivered) => delivered.accepted,
            _ => 0,
        };
        let others = answers.others.iter();
        Self {
            connections: answers.connections(),
            here: count(&answers.here),
            others: others
                .map(|(node, answer)| (node.to_string(), count(answer)))
                .collect(),
            silent: answers.silent.iter().map(ToString::to_string).collect(),
            complete: answers.is_complete(),
        }
    }
}

/// The time that the value of this name says, in milliseconds; or what it is to say.
pub(crate) fn milliseconds(name: &str, value: Option<&str>) -> Result<Duration, String> {
    let time = value.and_then(|value| value.parse().ok());
    time.map(Duration::from_millis)
        .filter(|time| (Duration::from_millis(1)..=LONGEST).contains(time))
        .ok_or_else(|| no_time(name))
}

/// What is said of a time that is none.
pub(crate) fn no_time(name: &str) -> String {
    format!("{name} is 1 to {} milliseconds", LONGEST.as_millis())
}
