//! What is delivered.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

use crate::target::EventKey;

/// One message: bytes, whether they are text, and an optional key.
///
/// A clone shares everything, so an event that waits in 100,000 mailboxes is in memory once.
///
/// ```
/// use midplane_core::{Event, EventKey};
///
/// let price = Event::text(r#"{"price":41}"#).keyed(EventKey::new("ACME")?);
/// assert_eq!(price.as_text(), Some(r#"{"price":41}"#));
/// assert!(!Event::binary(vec![0xff]).is_text());
/// # Ok::<(), midplane_core::IdError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Event(Arc<Content>);

#[derive(Clone, PartialEq, Eq)]
struct Content {
    bytes: Bytes,
    text: bool,
    key: Option<EventKey>,
}

impl Event {
    /// An event of text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(text.into().into(), true)
    }

    /// An event of bytes with no meaning to midplane.
    #[must_use]
    pub fn binary(bytes: impl Into<Bytes>) -> Self {
        Self::new(bytes.into(), false)
    }

    /// An event of text that is bytes already; they are checked and not copied.
    ///
    /// # Errors
    /// When the bytes are not UTF-8. The error gives them back.
    pub fn from_utf8(bytes: impl Into<Bytes>) -> Result<Self, NotUtf8> {
        let bytes = bytes.into();
        match core::str::from_utf8(&bytes) {
            Ok(_) => Ok(Self::new(bytes, true)),
            Err(source) => Err(NotUtf8 { bytes, source }),
        }
    }

    fn new(bytes: Bytes, text: bool) -> Self {
        Self(Arc::new(Content {
            bytes,
            text,
            key: None,
        }))
    }

    /// Makes the event the latest value of `key`: a mailbox that keeps the latest replaces an older event
    /// of that key which still waits.
    #[must_use]
    pub fn keyed(self, key: EventKey) -> Self {
        let mut content = Arc::unwrap_or_clone(self.0);
        content.key = Some(key);
        Self(Arc::new(content))
    }

    /// The bytes, exactly as they were published.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.0.bytes
    }

    /// Whether the bytes are text.
    #[must_use]
    pub fn is_text(&self) -> bool {
        self.0.text
    }

    /// The text, for an event of text.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        self.0
            .text
            .then(|| core::str::from_utf8(&self.0.bytes).ok())
            .flatten()
    }

    /// What this event is the latest value of.
    #[must_use]
    pub fn key(&self) -> Option<&EventKey> {
        self.0.key.as_ref()
    }
}

/// Text of text.
impl From<&str> for Event {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

/// Text of text.
impl From<String> for Event {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

/// Binary of bytes: [`Event::from_utf8`] makes text of bytes.
impl From<Bytes> for Event {
    fn from(bytes: Bytes) -> Self {
        Self::binary(bytes)
    }
}

/// Binary of bytes: [`Event::from_utf8`] makes text of bytes.
impl From<Vec<u8>> for Event {
    fn from(bytes: Vec<u8>) -> Self {
        Self::binary(bytes)
    }
}

/// Another handle to the event.
impl From<&Self> for Event {
    fn from(event: &Self) -> Self {
        event.clone()
    }
}

/// Says the size and the key, never the content: what users send stays out of logs.
impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("bytes", &self.0.bytes.len())
            .field("text", &self.0.text)
            .field("key", &self.0.key)
            .finish()
    }
}

/// The bytes given for a text are not UTF-8.
#[derive(Clone, PartialEq, Eq)]
pub struct NotUtf8 {
    /// The bytes, given back.
    pub bytes: Bytes,
    source: core::str::Utf8Error,
}

impl fmt::Debug for NotUtf8 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NotUtf8")
            .field("bytes", &self.bytes.len())
            .field("source", &self.source)
            .finish()
    }
}

impl fmt::Display for NotUtf8 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a text event must be UTF-8: valid up to byte {}",
            self.source.valid_up_to()
        )
    }
}

impl core::error::Error for NotUtf8 {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        Some(&self.source)
    }
}
