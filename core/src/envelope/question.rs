//! The wire format of questions and answers.

use alloc::vec::Vec;

use super::field::append;
use super::parts::{Reader, append_audience, append_event, append_scope, append_target};
use crate::question::{Answer, Question};
use crate::receipt::Delivered;
use crate::target::Scope;

const QUESTION_COUNT: u8 = 1;
const QUESTION_DISCONNECT: u8 = 2;
const QUESTION_ASSOCIATE: u8 = 3;
const QUESTION_DISSOCIATE: u8 = 4;
const QUESTION_PUBLISH: u8 = 5;

const ANSWER_CONNECTIONS: u8 = 1;
const ANSWER_DELIVERED: u8 = 2;

/// Writes the kind, the scope in which the question is asked, the audience, and then the target (associate, dissociate)
/// or the event (publish).
pub(super) fn append_question(bytes: &mut Vec<u8>, scope: &Scope, question: &Question) {
    let kind = match question {
        Question::Count(_) => QUESTION_COUNT,
        Question::Disconnect(_) => QUESTION_DISCONNECT,
        Question::Associate(..) => QUESTION_ASSOCIATE,
        Question::Dissociate(..) => QUESTION_DISSOCIATE,
        Question::Publish(..) => QUESTION_PUBLISH,
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

/// `None` when the bytes are malformed. The fields of an unknown kind are not read.
pub(super) fn read_question(
    reader: &mut Reader<'_>,
) -> Option<Result<(Scope, Question), UnknownKind>> {
    let kind: u8 = reader.take()?;
    if !(QUESTION_COUNT..=QUESTION_PUBLISH).contains(&kind) {
        return Some(Err(UnknownKind));
    }
    let scope = reader.scope()?;
    let audience = reader.audience()?;
    let question = match kind {
        QUESTION_COUNT => Question::Count(audience),
        QUESTION_DISCONNECT => Question::Disconnect(audience),
        QUESTION_ASSOCIATE => Question::Associate(audience, reader.target()?),
        QUESTION_DISSOCIATE => Question::Dissociate(audience, reader.target()?),
        // QUESTION_PUBLISH: every other kind was turned away above.
        _ => Question::Publish(audience, reader.event()?),
    };
    Some(Ok((scope, question)))
}

/// Writes the kind, and then the count of connections, or one count for each verdict. A `usize` is written as a `u64` is.
pub(super) fn append_answer(bytes: &mut Vec<u8>, answer: &Answer) {
    match answer {
        Answer::Connections(count) => append(bytes, &(ANSWER_CONNECTIONS, count)),
        Answer::Delivered(delivered) => {
            let Delivered {
                accepted,
                full,
                closed,
                panicked,
            } = delivered;
            append(bytes, &(ANSWER_DELIVERED, accepted, full, closed, panicked));
        }
    }
}

/// `None` when the bytes are malformed. The fields of an unknown kind are not read.
pub(super) fn read_answer(reader: &mut Reader<'_>) -> Option<Result<Answer, UnknownKind>> {
    let read_count = |reader: &mut Reader<'_>| usize::try_from(reader.take::<u64>()?).ok();
    Some(match reader.take()? {
        ANSWER_CONNECTIONS => Ok(Answer::Connections(read_count(reader)?)),
        ANSWER_DELIVERED => Ok(Answer::Delivered(Delivered {
            accepted: read_count(reader)?,
            full: read_count(reader)?,
            closed: read_count(reader)?,
            panicked: read_count(reader)?,
        })),
        _ => Err(UnknownKind),
    })
}
