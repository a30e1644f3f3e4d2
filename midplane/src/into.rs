//! What a call takes that can fail anyway: a target, an audience or an event, or the `Result` of making one.

use bytes::Bytes;
use midplane_core::{Audience, Event, IdError, NotUtf8, Target};

use crate::error::Error;

mod sealed {
    #[expect(unnameable_types, reason = "a seal is what nobody outside can name")]
    pub trait Sealed {}
}

use sealed::Sealed;

/// A target, or the `Result` of making one: `associate(Target::topic(name))` has one `?`, at its end.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a target",
    label = "text names no kind of target by itself: write `Target::topic(..)`, `Target::user(..)` or another"
)]
pub trait IntoTarget: Sealed {
    #[doc(hidden)]
    fn into_target(self) -> Result<Target, Error>;
}

/// A target or an audience, or the `Result` of making one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an audience",
    label = "text names no kind of target by itself: write `Target::topic(..)`, `Target::user(..)` or another"
)]
pub trait IntoAudience: Sealed {
    #[doc(hidden)]
    fn into_audience(self) -> Result<Audience, Error>;
}

/// An event, or what becomes one: text of text, binary of bytes, or the `Result` of making an event.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event",
    label = "an event is text or bytes; with the feature `json`, write `midplane::json(&value)`"
)]
pub trait IntoEvent: Sealed {
    #[doc(hidden)]
    fn into_event(self) -> Result<Event, Error>;
}

macro_rules! into {
    ($trait:ident $method:ident $of:ident: $($from:ty),+) => {
        $(
            impl $trait for $from {
                fn $method(self) -> Result<$of, Error> {
                    Ok($of::from(self))
                }
            }
        )+
    };
}

macro_rules! sealed {
    ($($of:ty),+) => {
        $(impl Sealed for $of {})+
    };
}

sealed!(
    Target,
    &Target,
    Audience,
    &Audience,
    Event,
    &Event,
    &str,
    String,
    Bytes,
    Vec<u8>
);
sealed!(Result<Target, IdError>, Result<Audience, IdError>, Result<Event, Error>, Result<Event, NotUtf8>);

into!(IntoAudience into_audience Audience: Target, &Target, Audience, &Audience);
into!(IntoEvent into_event Event: Event, &Event, &str, String, Bytes, Vec<u8>);

impl IntoTarget for Target {
    fn into_target(self) -> Result<Target, Error> {
        Ok(self)
    }
}

impl IntoTarget for &Target {
    fn into_target(self) -> Result<Target, Error> {
        Ok(self.clone())
    }
}

impl IntoTarget for Result<Target, IdError> {
    fn into_target(self) -> Result<Target, Error> {
        self.map_err(Error::Id)
    }
}

impl IntoAudience for Result<Target, IdError> {
    fn into_audience(self) -> Result<Audience, Error> {
        self.map(Audience::from).map_err(Error::Id)
    }
}

impl IntoAudience for Result<Audience, IdError> {
    fn into_audience(self) -> Result<Audience, Error> {
        self.map_err(Error::Id)
    }
}

impl IntoEvent for Result<Event, Error> {
    fn into_event(self) -> Result<Event, Error> {
        self
    }
}

impl IntoEvent for Result<Event, NotUtf8> {
    fn into_event(self) -> Result<Event, Error> {
        self.map_err(Error::NotUtf8)
    }
}
