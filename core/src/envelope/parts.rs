//! The parts that several messages have, written and read: scopes, audiences, targets, events.

use alloc::vec::Vec;

use bytes::Bytes;
use serde::Deserialize;

use super::field::{
    put_bytes, put_number, put_option, take_bool, take_byte, take_bytes, take_text, take_u32,
};
use crate::audience::{Audience, MAX_AUDIENCE};
use crate::event::Event;
use crate::target::{EventKey, Kind, Scope, Target};

/// Takes one value after the other off a message.
pub(super) struct Reader<'a> {
    frame: &'a Bytes,
    size: usize,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader of the body of a message in a frame of `size` bytes; `frame` is the memory that the message lies in.
    pub(super) fn new(frame: &'a Bytes, size: usize, body: &'a [u8]) -> Self {
        let rest = body;
        Self { frame, size, rest }
    }

    /// Takes off whatever is left: a later release may have more to say.
    pub(super) fn skip(&mut self) {
        self.rest = &[];
    }

    /// Whether everything was taken off.
    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn take<T: Deserialize<'a>>(&mut self) -> Option<T> {
        let (value, rest) = postcard::take_from_bytes(self.rest).ok()?;
        self.rest = rest;
        Some(value)
    }

    pub(super) fn scope(&mut self) -> Option<Scope> {
        Scope::from_bytes(take_bytes(&mut self.rest).ok()?)
    }

    pub(super) fn target(&mut self) -> Option<Target> {
        let kind = take_byte(&mut self.rest).ok()?;
        let id = take_text(&mut self.rest).ok()?;
        Target::of_text(Kind::from_number(kind)?, id).ok()
    }

    pub(super) fn audience(&mut self) -> Option<Audience> {
        let targets = self.count()?;
        let mut audience: Option<Audience> = None;
        // The lists are read item by item: a count is only a claim, and nothing is reserved for it.
        for _ in 0..targets {
            let target = self.target()?;
            audience = Some(match audience {
                Some(audience) => audience.or(target),
                None => target.into(),
            });
        }
        let mut audience = audience?;
        for _ in 0..self.count()? {
            let id = take_text(&mut self.rest).ok()?;
            audience = audience.except(id.parse().ok()?);
        }
        Some(audience)
    }

    pub(super) fn event(&mut self) -> Option<Event> {
        let (text, key) = self.form()?;
        self.payload(text, key)
    }

    /// What an event is beside its bytes: whether it is text, and its key.
    pub(super) fn form(&mut self) -> Option<(bool, Option<EventKey>)> {
        let text = take_bool(&mut self.rest).ok()?;
        let key = match take_bool(&mut self.rest).ok()? {
            true => Some(EventKey::new(take_text(&mut self.rest).ok()?).ok()?),
            false => None,
        };
        Some((text, key))
    }

    pub(super) fn payload(&mut self, text: bool, key: Option<EventKey>) -> Option<Event> {
        let payload = take_bytes(&mut self.rest).ok()?;
        let payload = match payload.len() < self.size / 2 {
            true => Bytes::copy_from_slice(payload),
            false => self.frame.slice_ref(payload),
        };
        let event = match text {
            true => Event::from_utf8(payload).ok()?,
            false => Event::binary(payload),
        };
        Some(match key {
            Some(key) => event.keyed(key),
            None => event,
        })
    }

    /// How many targets or exclusions there are.
    fn count(&mut self) -> Option<usize> {
        let count = usize::try_from(take_u32(&mut self.rest).ok()?).ok()?;
        (count <= MAX_AUDIENCE).then_some(count)
    }

    /// A list of at most `most`, read item by item: a count is only a claim, and nothing is reserved for it.
    pub(super) fn list<T>(
        &mut self,
        most: usize,
        read: impl Fn(&mut Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        let count = usize::try_from(self.take::<u32>()?).ok()?;
        (count <= most).then_some(())?;
        (0..count).map(|_| read(self)).collect()
    }
}

pub(super) fn append_form(bytes: &mut Vec<u8>, event: &Event) {
    bytes.push(u8::from(event.is_text()));
    put_option(bytes, event.key().map(|key| key.as_str().as_bytes()));
}

pub(super) fn append_event(bytes: &mut Vec<u8>, event: &Event) {
    append_form(bytes, event);
    put_bytes(bytes, event.bytes());
}

pub(super) fn append_scope(bytes: &mut Vec<u8>, scope: &Scope) {
    put_bytes(bytes, scope.as_bytes());
}

pub(super) fn append_target(bytes: &mut Vec<u8>, target: &Target) {
    bytes.push(target.kind() as u8);
    put_bytes(bytes, target.id().as_bytes());
}

pub(super) fn append_audience(bytes: &mut Vec<u8>, audience: &Audience) {
    put_number(bytes, audience.targets().count() as u64);
    for target in audience.targets() {
        append_target(bytes, target);
    }
    put_number(bytes, audience.excluded().len() as u64);
    for connection in audience.excluded() {
        put_bytes(bytes, connection.as_str().as_bytes());
    }
}
