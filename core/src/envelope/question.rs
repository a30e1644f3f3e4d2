//! How questions and answers are written and read.

use alloc::vec::Vec;

use super::field::append;
use super::message::{Reader, append_audience, append_event, append_scope, append_target};
use crate::question::{Answer, Question};
use crate::receipt::Delivered;
use crate::target::Scope;

const COUNT: u8 = 1;
const DISCONNECT: u8 = 2;
const ASSOCIATE: u8 = 3;
const DISSOCIATE: u8 = 4;
const PUBLISH: u8 = 5;

const CONNECTIONS: u8 = 1;
const DELIVERED: u8 = 2;

pub(super) fn append_question(bytes: &mut Vec<u8>, scope: &Scope, question: &Question) {
    let kind = match question {
        Question::Count(_) => COUNT,
        Question::Disconnect(_) => DISCONNECT,
        Question::Associate(..) => ASSOCIATE,
        Question::Dissociate(..) => DISSOCIATE,
        Question::Publish(..) => PUBLISH,
    };
    bytes.push(kind);
    append_scope(bytes, scope);
    append_audience(bytes, question.audience());
    match question {
        Question::Count(_) | Question::Disconnect(_) => {}
        Question::Associate(_, target) | Question::Dissociate(_, target) => {
            append_target(bytes, target);
        }
        Question::Publish(_, event) => append_event(bytes, event),
    }
}

/// A kind of question or answer that this release does not know.
pub(super) struct UnknownKind;

pub(super) fn read_question(
    reader: &mut Reader<'_>,
) -> Option<Result<(Scope, Question), UnknownKind>> {
    let kind: u8 = reader.take()?;
    if !(COUNT..=PUBLISH).contains(&kind) {
        return Some(Err(UnknownKind));
    }
    let scope = reader.scope()?;
    let audience = reader.audience()?;
    let question = match kind {
        COUNT => Question::Count(audience),
        DISCONNECT => Question::Disconnect(audience),
        ASSOCIATE => Question::Associate(audience, reader.target()?),
        DISSOCIATE => Question::Dissociate(audience, reader.target()?),
        _ => Question::Publish(audience, reader.event()?),
    };
    Some(Ok((scope, question)))
}

pub(super) fn append_answer(bytes: &mut Vec<u8>, answer: &Answer) {
    match answer {
        Answer::Connections(count) => append(bytes, &(CONNECTIONS, count)),
        Answer::Delivered(delivered) => {
            let Delivered {
                accepted,
                full,
                closed,
                panicked,
            } = delivered;
            append(bytes, &(DELIVERED, accepted, full, closed, panicked));
        }
    }
}

pub(super) fn read_answer(reader: &mut Reader<'_>) -> Option<Result<Answer, UnknownKind>> {
    let count = |reader: &mut Reader<'_>| usize::try_from(reader.take::<u64>()?).ok();
    Some(match reader.take()? {
        CONNECTIONS => Ok(Answer::Connections(count(reader)?)),
        DELIVERED => Ok(Answer::Delivered(Delivered {
            accepted: count(reader)?,
            full: count(reader)?,
            closed: count(reader)?,
            panicked: count(reader)?,
        })),
        _ => Err(UnknownKind),
    })
}
