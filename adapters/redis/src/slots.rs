//! How a cluster divides its channels: into slots, which its shards own.

use std::collections::BTreeMap;

use redis::Value;

/// How many slots there are.
const SLOTS: u16 = 16_384;

/// The slot of a channel, which is that of a key of the same name: of what stands between its first `{` and the
/// next `}`, if that is anything, else of the whole of it.
pub(crate) fn slot(channel: &str) -> u16 {
    let tag = channel
        .split_once('{')
        .and_then(|(_, rest)| rest.split_once('}'))
        .map(|(tag, _)| tag)
        .filter(|tag| !tag.is_empty());
    crc16(tag.unwrap_or(channel).as_bytes()) % SLOTS
}

/// CRC-16/XMODEM, as the cluster's specification has it: <https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/>.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, &byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| {
            (crc << 1) ^ if crc & 0x8000 == 0 { 0 } else { 0x1021 }
        })
    })
}

/// Which master owns each slot, by its place in [`masters`](Self::masters).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Slots {
    /// The last slot of each range that is owned, to its first and its owner.
    ranges: BTreeMap<u16, (u16, usize)>,
    /// Host and port of each.
    masters: Vec<(String, u16)>,
}

impl Slots {
    /// What a node answers to `CLUSTER SLOTS`: ranges, each with its first slot, its last and its nodes, the master
    /// before the replicas. A host that the node does not know is the one it was itself asked at.
    pub(crate) fn parse(answer: &Value, asked: &str) -> Option<Self> {
        let mut slots = Self {
            ranges: BTreeMap::new(),
            masters: Vec::new(),
        };
        for range in answer.as_sequence()? {
            let [first, last, master, ..] = range.as_sequence()? else {
                return None;
            };
            let [host, port, ..] = master.as_sequence()? else {
                return None;
            };
            let host = match host {
                Value::Nil => asked,
                host => Some(text(host)?)
                    .filter(|host| !host.is_empty())
                    .unwrap_or(asked),
            };
            let master = (host.to_owned(), number(port)?);
            let owner = slots.masters.iter().position(|known| *known == master);
            let owner = owner.unwrap_or_else(|| {
                slots.masters.push(master);
                slots.masters.len() - 1
            });
            slots.ranges.insert(number(last)?, (number(first)?, owner));
        }
        Some(slots)
    }

    pub(crate) fn masters(&self) -> &[(String, u16)] {
        &self.masters
    }

    /// The owner of a slot, if it has one.
    pub(crate) fn owner(&self, slot: u16) -> Option<usize> {
        let (_, &(first, owner)) = self.ranges.range(slot..).next()?;
        (first <= slot).then_some(owner)
    }
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

fn number(value: &Value) -> Option<u16> {
    match value {
        Value::Int(number) => u16::try_from(*number).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_that_of_the_tag_or_of_the_whole() {
        // The check value of CRC-16/XMODEM.
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(slot("123456789"), 0x31c3);
        assert_eq!(slot("chat{123456789}:7"), 0x31c3);
        assert_eq!(slot("{123456789"), crc16(b"{123456789") % SLOTS);
        assert_eq!(slot("{}123456789"), crc16(b"{}123456789") % SLOTS);
        assert_eq!(slot(""), 0);
    }

    fn parsed(answer: &str) -> Option<Slots> {
        let answer = answer.replace(' ', "\r\n") + "\r\n";
        let answer = redis::parse_redis_value(answer.as_bytes()).expect("resp");
        Slots::parse(&answer, "asked")
    }

    #[test]
    fn the_owner_of_a_slot_is_the_master_of_its_range() {
        let slots = parsed(
            "*3 *4 :0 :99 *3 $1 a :1 $1 x *3 $1 r :9 $1 y \
             *3 :200 :299 *3 $-1 :2 $1 x \
             *3 :100 :150 *3 $1 a :1 $1 x",
        )
        .expect("slots");
        assert_eq!(
            slots.masters(),
            [("a".to_owned(), 1), ("asked".to_owned(), 2)]
        );
        for (slot, owner) in [
            (0, Some(0)),
            (99, Some(0)),
            (100, Some(0)),
            (150, Some(0)),
            (151, None),
            (199, None),
            (200, Some(1)),
            (299, Some(1)),
            (300, None),
        ] {
            assert_eq!(slots.owner(slot), owner, "{slot}");
        }
    }

    #[test]
    fn what_are_no_slots_is_not_taken_for_them() {
        assert_eq!(parsed("*0").expect("none").owner(7), None);
        for answer in [
            "+OK",
            "*1 :1",
            "*1 *2 :0 :1",
            "*1 *3 :0 :1 *1 $1 a",
            "*1 *3 :0 :1 *2 :1 :1",
            "*1 *3 :0 :70000 *2 $1 a :1",
            "*1 *3 :0 :1 *2 $1 a :-1",
        ] {
            assert_eq!(parsed(answer), None, "{answer}");
        }
    }
}
