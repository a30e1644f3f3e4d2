//! What a server logs, as facts of a history.

use std::time::{Duration, SystemTime};

use midplane::envelope::NodeId;
use midplane_conformance::history::{Fact, Record};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// What a node told its host, as the host logged it. The history's clock began at `epoch`. What the node missed is not
/// among it: its clients were told.
pub(crate) fn records(node: NodeId, log: &str, epoch: SystemTime) -> Vec<Record> {
    let record = |line: &str| {
        let at = moment(line, epoch)?;
        let fact = fact(node, line)?;
        Some(Record { at, fact })
    };
    log.lines().filter_map(record).collect()
}

/// An id, as it is logged.
pub(crate) fn node_id(text: &str) -> Option<NodeId> {
    let number = u128::from_str_radix(text, 16).ok()?;
    (text.len() == 32).then_some(NodeId(number.to_be_bytes()))
}

fn fact(node: NodeId, line: &str) -> Option<Fact> {
    let says = |words: &str| line.contains(words);
    let other = || node_id(field(line, " node=")?);
    Some(if says("backplane live") {
        Fact::State { node, live: true }
    } else if says("backplane degraded") || says("backplane closed") {
        Fact::State { node, live: false }
    } else if says("node joined") {
        let origin = other()?;
        Fact::Joined { node, origin }
    } else if says("node silent") {
        let origin = other()?;
        Fact::Silent { node, origin }
    } else if says("notices dropped") {
        Fact::Lagged(node)
    } else {
        return None;
    })
}

/// What stands behind this name.
fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(name)?;
    rest.split([' ', ',']).next()
}

/// The moment that a line begins with: `2000-12-31T23:59:59.123456Z`.
fn moment(line: &str, epoch: SystemTime) -> Option<Duration> {
    let (time, _) = line.split_once(' ')?;
    let time = OffsetDateTime::parse(time, &Rfc3339).ok()?;
    SystemTime::from(time).duration_since(epoch).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_logged_is_read() {
        let node = NodeId([7; 16]);
        let other = NodeId([0xab; 16]);
        // Ten seconds before midnight.
        let epoch = SystemTime::UNIX_EPOCH + Duration::from_secs(3 * 24 * 60 * 60 - 10);
        let log = format!(
            "1970-01-03T23:59:51.500000Z  INFO midplane_server::backplane: backplane live\n\
             1970-01-04T00:00:00.000000Z  WARN midplane_server::backplane: events missed events=3 exact=true\n\
             1970-01-04T00:00:07.000000Z  WARN midplane_server::backplane: node silent node={other}\n\
             error: something else\n"
        );
        let seconds = Duration::from_secs_f64;
        let expected = [
            (1.5, Fact::State { node, live: true }),
            (
                17.0,
                Fact::Silent {
                    node,
                    origin: other,
                },
            ),
        ]
        .map(|(at, fact)| Record {
            at: seconds(at),
            fact,
        });
        assert_eq!(records(node, &log, epoch), expected);
    }
}
