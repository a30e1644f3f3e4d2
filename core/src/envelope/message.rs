//! One message of a frame, and how it is written and read.

use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

use super::contact::Contact;
use super::departures::Departures;
use super::error::{DecodeError, EncodeError};
use super::field::{append, put_bytes};
use super::heartbeat::{Ask, Heartbeat};
use super::introduction::Introduction;
use super::parts::{Reader, append_audience, append_form, append_scope};
use super::question::{UnknownKind, append_answer, append_question, read_answer, read_question};
use crate::audience::{Audience, MAX_AUDIENCE};
use crate::event::Event;
use crate::node_id::NodeId;
use crate::question::{Answer, Question};
use crate::receipt::TooMany;
use crate::target::Scope;

/// Kinds from here on have no sequence number: they carry no event, so a node that misses one, or does not know the
/// kind, misses none.
const UNNUMBERED: u8 = 128;

const PUBLISH: u8 = 1;
/// A question that publishes an event.
const CONFIRM: u8 = 2;
/// Stands for an event under its number.
const WITHDRAWN: u8 = 3;
const HEARTBEAT: u8 = 128;
const ASK: u8 = 129;
const QUESTION: u8 = 130;
const ANSWER: u8 = 131;
const INTRODUCTION: u8 = 132;
const CONTACT: u8 = 133;
const DEPARTURES: u8 = 134;

/// Whether a message in bytes has a sequence number. One without a kind has, for it is none.
pub(super) fn is_numbered(message: &[u8]) -> bool {
    message.first().is_none_or(|kind| *kind < UNNUMBERED)
}

/// One message of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Message {
    /// An event for an audience.
    Publish {
        /// The scope of the audience.
        scope: Scope,
        /// The audience of the event.
        audience: Audience,
        /// The event.
        event: Event,
    },
    /// What stands under the number of an event that the bus does not take: nothing else will come under it. To a release that
    /// does not know it, it is a gap of one as well.
    Withdrawn,
    /// The sign of life of a node; always on lane 0.
    Heartbeat(Heartbeat),
    /// Who a node is and how it is set, in front of its heartbeat; always on lane 0.
    Introduction(Introduction),
    /// The members that a node does not hear, in front of its heartbeat; always on lane 0.
    Contact(Contact),
    /// How far back the lists go by which a heartbeat names nodes that left, in front of it; always on lane 0.
    Departures(Departures),
    /// A request to send events again; always on lane 0.
    Ask(Ask),
    /// A question to every node; always on lane 0. One that publishes has a sequence number.
    Question {
        /// The number that the answer is to name, chosen by the asking node.
        id: u64,
        /// The scope of what the question names.
        scope: Scope,
        /// The question.
        question: Question,
    },
    /// The answer of the origin; always on lane 0.
    Answer {
        /// The node that asked.
        to: NodeId,
        /// The number of the question.
        id: u64,
        /// The answer.
        answer: Answer,
    },
    /// A kind that this release does not know, or a question or an answer of such a kind, to be counted and skipped.
    Unknown {
        /// The number of the kind.
        kind: u8,
        /// What follows the kind.
        body: Bytes,
    },
}

impl Message {
    /// The bytes of this message, without its length.
    ///
    /// # Errors
    /// When its audience has more than [`MAX_AUDIENCE`] targets or exclusions, or it is unknown but of a
    /// known kind.
    pub fn encode(&self) -> Result<Encoded, EncodeError> {
        let mut body = Vec::new();
        match self {
            Self::Publish {
                scope,
                audience,
                event,
            } => return Ok(Encoded::publish(scope, audience, event)?),
            Self::Withdrawn => body.push(WITHDRAWN),
            Self::Heartbeat(heartbeat) => {
                body.push(HEARTBEAT);
                heartbeat.append(&mut body);
            }
            Self::Introduction(introduction) => {
                body.push(INTRODUCTION);
                introduction.append(&mut body);
            }
            Self::Contact(contact) => {
                body.push(CONTACT);
                contact.append(&mut body);
            }
            Self::Departures(departures) => {
                body.push(DEPARTURES);
                departures.append(&mut body);
            }
            Self::Ask(ask) => {
                body.push(ASK);
                ask.append(&mut body);
            }
            Self::Question {
                id,
                scope,
                question,
            } => {
                bounded(question.audience())?;
                body.push(match question {
                    Question::Publish(..) => CONFIRM,
                    _ => QUESTION,
                });
                append(&mut body, id);
                append_question(&mut body, scope, question);
            }
            Self::Answer { to, id, answer } => {
                body.push(ANSWER);
                append(&mut body, &(to, id));
                append_answer(&mut body, answer);
            }
            Self::Unknown {
                kind:
                    kind @ (PUBLISH | WITHDRAWN | HEARTBEAT | ASK | INTRODUCTION | CONTACT | DEPARTURES),
                ..
            } => return Err(EncodeError::KnownKind(*kind)),
            Self::Unknown {
                kind,
                body: unknown,
            } => {
                body.push(*kind);
                body.extend_from_slice(unknown);
            }
        }
        Ok(Encoded(body))
    }
}

/// A message in bytes, to be put into a frame.
#[derive(Clone, PartialEq, Eq)]
pub struct Encoded(Vec<u8>);

impl Encoded {
    /// The bytes of a [`Message::Publish`], without taking its parts.
    ///
    /// # Errors
    /// When the audience has more than [`MAX_AUDIENCE`] targets or exclusions.
    pub fn publish(scope: &Scope, audience: &Audience, event: &Event) -> Result<Self, TooMany> {
        bounded(audience)?;
        // One target with a short id and the lengths fit the first figure; then nothing is moved.
        let size = 96 + scope.as_bytes().len() + event.bytes().len();
        let mut body = Vec::with_capacity(size);
        body.push(PUBLISH);
        append_publish(&mut body, scope, audience, event);
        Ok(Self(body))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The most that the message adds to a frame, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        // A length has at most five bytes more.
        self.0.len() + 5
    }
}

impl fmt::Debug for Encoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Encoded").field(&self.0.len()).finish()
    }
}

fn bounded(audience: &Audience) -> Result<(), TooMany> {
    let count = audience.targets().count().max(audience.excluded().len());
    if count > MAX_AUDIENCE {
        return Err(TooMany { count });
    }
    Ok(())
}

/// Reads one message of a frame of `size` bytes; `frame` is the memory that the message lies in.
pub(super) fn read(frame: &Bytes, size: usize, message: &[u8]) -> Result<Message, DecodeError> {
    let [kind, body @ ..] = message else {
        return Err(DecodeError::Malformed);
    };
    let unknown = || Message::Unknown {
        kind: *kind,
        body: frame.slice_ref(body),
    };
    let mut reader = Reader::new(frame, size, body);
    let message = match *kind {
        PUBLISH => publish(&mut reader),
        WITHDRAWN => Some(Message::Withdrawn),
        HEARTBEAT => Heartbeat::read(&mut reader).map(Message::Heartbeat),
        INTRODUCTION => Introduction::read(&mut reader).map(Message::Introduction),
        CONTACT => Contact::read(&mut reader).map(Message::Contact),
        DEPARTURES => Departures::read(&mut reader).map(Message::Departures),
        ASK => Ask::read(&mut reader).map(Message::Ask),
        CONFIRM | QUESTION => match asked(&mut reader) {
            Some(Ok(asked)) => Some(asked),
            Some(Err(_)) => return Ok(unknown()),
            None => None,
        },
        ANSWER => match answered(&mut reader) {
            Some(Ok(answered)) => Some(answered),
            Some(Err(_)) => return Ok(unknown()),
            None => None,
        },
        _ => return Ok(unknown()),
    };
    // A question that publishes travels under a number, and no other does.
    let numbered = |question: &Question| matches!(question, Question::Publish(..));
    let fits = |message: &Message| match message {
        Message::Question { question, .. } => numbered(question) == (*kind == CONFIRM),
        _ => true,
    };
    let whole = message.filter(|message| reader.is_empty() && fits(message));
    whole.ok_or(DecodeError::Malformed)
}

fn publish(reader: &mut Reader<'_>) -> Option<Message> {
    let scope = reader.scope()?;
    let (text, key) = reader.form()?;
    let audience = reader.audience()?;
    let event = reader.payload(text, key)?;
    Some(Message::Publish {
        scope,
        audience,
        event,
    })
}

fn asked(reader: &mut Reader<'_>) -> Option<Result<Message, UnknownKind>> {
    let id = reader.take()?;
    let asked = read_question(reader)?;
    Some(asked.map(|(scope, question)| Message::Question {
        id,
        scope,
        question,
    }))
}

fn answered(reader: &mut Reader<'_>) -> Option<Result<Message, UnknownKind>> {
    let (to, id) = reader.take()?;
    let answer = read_answer(reader)?;
    Some(answer.map(|answer| Message::Answer { to, id, answer }))
}

fn append_publish(bytes: &mut Vec<u8>, scope: &Scope, audience: &Audience, event: &Event) {
    append_scope(bytes, scope);
    append_form(bytes, event);
    append_audience(bytes, audience);
    put_bytes(bytes, event.bytes());
}
