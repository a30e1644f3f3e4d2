//! Ids: opaque text that names one thing.

use core::fmt;

/// The longest id, in bytes of UTF-8. Ids are kept per connection and travel in every envelope, so
/// they are names, not documents; 255 also lets a length fit one byte.
pub const MAX_ID_BYTES: usize = 255;

/// Why a text is not an id. Nothing was created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdError {
    /// The text is empty.
    Empty,
    /// The text has more than [`MAX_ID_BYTES`] bytes.
    TooLong {
        /// How many bytes the text has.
        bytes: usize,
    },
}

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("an id must not be empty"),
            Self::TooLong { bytes } => {
                write!(
                    f,
                    "an id has at most {MAX_ID_BYTES} bytes, this one has {bytes}"
                )
            }
        }
    }
}

impl core::error::Error for IdError {}

/// Whether `text` can be an id, as every type that [`id!`](crate::id) defines asks.
///
/// # Errors
/// When the text is empty or longer than [`MAX_ID_BYTES`].
pub const fn check_id(text: &str) -> Result<(), IdError> {
    match text.len() {
        0 => Err(IdError::Empty),
        bytes if bytes > MAX_ID_BYTES => Err(IdError::TooLong { bytes }),
        _ => Ok(()),
    }
}

/// The text of an id while it is written: an id is often a number or a UUID, and needs no allocation until it is sound.
#[doc(hidden)]
#[derive(Debug)]
pub struct IdText {
    bytes: [u8; MAX_ID_BYTES],
    /// How many bytes were written, also those for which there was no place.
    length: usize,
}

impl IdText {
    /// What `id` displays.
    #[must_use]
    pub fn of(id: impl fmt::Display) -> Self {
        let mut text = Self {
            bytes: [0; MAX_ID_BYTES],
            length: 0,
        };
        // Writing never fails here, and a text whose own display fails is what it wrote until then.
        let _ = fmt::write(&mut text, format_args!("{id}"));
        text
    }

    /// The text, if it is an id.
    ///
    /// # Errors
    /// When the text is empty or longer than [`MAX_ID_BYTES`].
    pub fn check(&self) -> Result<&str, IdError> {
        let bytes = self.length;
        let text = self.bytes.get(..bytes).ok_or(IdError::TooLong { bytes })?;
        // Whole texts were written one behind the other.
        let text = core::str::from_utf8(text).unwrap_or_default();
        check_id(text).map(|()| text)
    }
}

impl fmt::Write for IdText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length.saturating_add(text.len());
        if let Some(place) = self.bytes.get_mut(self.length..end) {
            place.copy_from_slice(text.as_bytes());
        }
        self.length = end;
        Ok(())
    }
}

/// Defines a type of ids: `id! { /// What it names. Name }`.
///
/// The calling crate depends on `serde` with `derive` and declares `extern crate alloc`.
#[macro_export]
macro_rules! id {
    ($(#[doc = $doc:literal])+ $name:ident) => {
        $(#[doc = $doc])+
        ///
        /// Opaque text of 1 to 255 bytes (`MAX_ID_BYTES`): any character may stand in it, and none has a meaning. A
        /// clone shares the text.
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, ::serde::Serialize)]
        #[serde(transparent)]
        pub struct $name(::alloc::sync::Arc<str>);

        impl $name {
            /// The id that `id` displays: a text, a number, a UUID.
            ///
            /// # Errors
            /// When the text is empty or longer than `MAX_ID_BYTES`.
            pub fn new(id: impl ::core::fmt::Display) -> Result<Self, $crate::IdError> {
                let text = $crate::IdText::of(id);
                Ok(Self(text.check()?.into()))
            }

            /// The text of the id.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl ::core::fmt::Display for $name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl ::core::fmt::Debug for $name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                write!(f, "{}({:?})", stringify!($name), &self.0)
            }
        }

        impl ::core::str::FromStr for $name {
            type Err = $crate::IdError;
            fn from_str(text: &str) -> Result<Self, $crate::IdError> {
                $crate::check_id(text)?;
                Ok(Self(text.into()))
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $name {
            fn deserialize<D: ::serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = <::alloc::string::String as ::serde::Deserialize>::deserialize(from)?;
                text.parse().map_err(::serde::de::Error::custom)
            }
        }
    };
}
