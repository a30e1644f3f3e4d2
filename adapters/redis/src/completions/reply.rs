//! The answers of the functions.

use std::time::Duration;

use bytes::Bytes;
use midplane_completions::{
    Claim, Completion, Cursor, CursorError, Entry, ErrorText, ExecutionId, FlowId, GroupName,
    Namespace, Outcome, Page, Poison, ReadError, Scanned, Tag, Taken, Timestamp,
};
use redis::Value;

use super::place::HistoryPlace;

/// The answer of `head`: the number of the store, and the end of its history.
pub(super) fn head(value: &Value) -> Option<(u64, HistoryPlace)> {
    let [store, place @ ..] = value.as_sequence()? else {
        return None;
    };
    Some((self::store(store)?, self::place(place)?))
}

/// What `groups` says of one group, and the position up to which it has listed what finished.
pub(super) struct GroupAnswer {
    pub(super) name: Option<GroupName>,
    pub(super) keep: Option<Duration>,
    pub(super) position: u64,
    pub(super) unhandled: u64,
    pub(super) dead: u64,
}

/// The answer of `groups`.
pub(super) fn groups(value: &Value) -> Option<Vec<GroupAnswer>> {
    value.as_sequence()?.iter().map(group).collect()
}

fn group(value: &Value) -> Option<GroupAnswer> {
    let [name, keep, position, unhandled, dead] = value.as_sequence()? else {
        return None;
    };
    let keep = some(keep)?.map(str::parse).transpose().ok()?;
    Some(GroupAnswer {
        name: some(name)?.map(GroupName::new).transpose().ok()?,
        keep: keep.map(Duration::from_micros),
        position: number(position)?,
        unhandled: number(unhandled)?,
        dead: number(dead)?,
    })
}

/// The answer of `count` and `prune`: two numbers, and whether there is more.
pub(super) fn counts(value: &Value) -> Option<(u64, u64, bool)> {
    let [first, second, more] = value.as_sequence()? else {
        return None;
    };
    Some((number(first)?, number(second)?, number(more)? != 0))
}

/// The number of the store.
pub(super) fn store(value: &Value) -> Option<u64> {
    u64::from_str_radix(text(value)?, 16).ok()
}

/// The answer of `read` by the store that was asked; `None` where the answer is unexpected.
pub(super) fn read(value: &Value, store: u64) -> Option<Result<Page, ReadError>> {
    let [answering, kind, rest @ ..] = value.as_sequence()? else {
        return None;
    };
    if self::store(answering)? != store {
        return None;
    }
    Some(match (text(kind)?, rest) {
        ("page", [place @ .., more, entries]) => {
            let position = self::place(place)?.cursor(store);
            let entries = entries.as_sequence()?.iter();
            let entries = entries.map(|value| entry(value, store));
            Ok(Page::new(
                entries.collect::<Option<_>>()?,
                position,
                number(more)? != 0,
            ))
        }
        ("expired", [place @ .., missed]) => Err(ReadError::Expired {
            oldest: self::place(place)?.cursor(store),
            missed: Some(number(missed)?),
        }),
        // The place is of a history that is no more: only the reconciler knows what was missed.
        ("replaced", []) => Err(CursorError::Expired.into()),
        _ => return None,
    })
}

/// The answer of `scan`.
pub(super) fn scanned(value: &Value) -> Option<Scanned> {
    let [answering, next, executions] = value.as_sequence()? else {
        return None;
    };
    let next = match text(next)? {
        "" => None,
        number => Some(scan_place(number.parse().ok()?).cursor(store(answering)?)),
    };
    let (mut completions, mut errors) = (Vec::new(), Vec::new());
    for listed in executions.as_sequence()? {
        let [execution, error] = listed.as_sequence()? else {
            return None;
        };
        // An execution whose record is no completion is passed: reading the history surfaces it.
        let Some(completion) = completion(execution) else {
            continue;
        };
        let error = text(error).map(ErrorText::new);
        errors.extend(error.map(|error| (completion.execution.clone(), error)));
        completions.push(completion);
    }
    Some(Scanned::new(completions, next).with_errors(errors))
}

/// The place of an entry with this number, as scans know it.
pub(super) fn scan_place(number: u64) -> HistoryPlace {
    HistoryPlace {
        number,
        sequence: 0,
        check: String::new(),
    }
}

/// The answer of `take`.
pub(super) fn taken(value: &Value) -> Option<Taken> {
    let [_, more, leases] = value.as_sequence()? else {
        return None;
    };
    let mut work = Vec::new();
    for lease in leases.as_sequence()? {
        let [token, failures, execution] = lease.as_sequence()? else {
            return None;
        };
        // An execution whose record is no completion is passed: reading the history surfaces it.
        let Some(completion) = completion(execution) else {
            continue;
        };
        let failures = u32::try_from(number(failures)?).unwrap_or(u32::MAX);
        let claim = Claim::new(completion.execution.clone(), number(token)?, failures);
        work.push((completion, claim));
    }
    Some(Taken::new(work, number(more)? != 0))
}

/// The answer of `renew`: tokens.
pub(super) fn tokens(value: &Value) -> Option<Vec<u64>> {
    value.as_sequence()?.iter().map(number).collect()
}

/// A number, as a number or as text.
pub(super) fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        value => text(value)?.parse().ok(),
    }
}

fn entry(value: &Value, store: u64) -> Option<Entry> {
    let [place @ .., what] = value.as_sequence()? else {
        return None;
    };
    let cursor = self::place(place)?.cursor(store);
    let poison = |cursor: Cursor, reason: &str| Entry::Poison(Poison::new(cursor, reason));
    Some(match text(what) {
        Some(reason) => poison(cursor, reason),
        None => match completion(what) {
            Some(completion) => Entry::Completion(completion.with_cursor(cursor)),
            None => poison(
                cursor,
                "the record of the execution is not fit for a completion",
            ),
        },
    })
}

fn place(values: &[Value]) -> Option<HistoryPlace> {
    let [number, sequence, check] = values else {
        return None;
    };
    Some(HistoryPlace {
        number: self::number(number)?,
        sequence: self::number(sequence)?,
        check: text(check)?.to_owned(),
    })
}

fn completion(value: &Value) -> Option<Completion> {
    let [execution, outcome, at, flow, namespace, tag, bytes] = value.as_sequence()? else {
        return None;
    };
    let mut completion = Completion::new(
        ExecutionId::new(text(execution)?).ok()?,
        Outcome::from(text(outcome)?),
        Timestamp::from_micros(number(at)?),
    );
    completion.flow = some(flow)?.map(FlowId::new).transpose().ok()?;
    completion.namespace = some(namespace)?.map(Namespace::new).transpose().ok()?;
    completion.tag = some(tag)?.map(Tag::new).transpose().ok()?;
    completion.bytes = match bytes {
        Value::BulkString(bytes) => Some(Bytes::copy_from_slice(bytes)),
        _ => None,
    };
    Some(completion)
}

/// The text, as `None` where it is empty; the outer `None` where there is no text.
fn some(value: &Value) -> Option<Option<&str>> {
    Some(Some(text(value)?).filter(|text| !text.is_empty()))
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}
