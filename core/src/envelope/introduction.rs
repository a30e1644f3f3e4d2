//! Who a node is and how it is set, said in front of each of its heartbeats.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use super::field::{append, micros};
use super::parts::Reader;
use crate::member::{AgreedSettings, KeyIds, SigningMode, SigningSettings};
use crate::node_id::NodeId;

/// The most bytes of each text of an [`Introduction`].
pub const MAX_NAME: usize = 64;

/// The most bytes of the text that says which broker a node is connected to.
pub const MAX_BROKER: usize = 128;

/// The most lanes, and the longest times.
const MAX_LANES: u32 = 65_536;
const MAX_HEARTBEAT: Duration = Duration::from_secs(60 * 60);
const MAX_TIME_TO_LIVE: Duration = Duration::from_secs(24 * 60 * 60);

const JSON_LANE: u8 = 1;

/// Who a node is and how it is set. What later releases say behind this is skipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Introduction {
    /// The settings that nodes should agree on.
    pub settings: AgreedSettings,
    /// The node's name for people; at most [`MAX_NAME`] bytes, without control characters.
    pub name: String,
    /// The name of the cluster, or nothing; at most [`MAX_NAME`] bytes.
    pub cluster: String,
    /// The identity of the broker, or nothing; at most [`MAX_BROKER`] bytes.
    pub broker: String,
}

impl Introduction {
    /// The introduction of a node with these settings that says no name.
    #[must_use]
    pub const fn new(settings: AgreedSettings) -> Self {
        Self {
            settings,
            name: String::new(),
            cluster: String::new(),
            broker: String::new(),
        }
    }

    /// The name for people of the node with this id: as the node says, or else the id.
    pub(crate) fn name_of(&self, node: NodeId) -> String {
        match self.name.is_empty() {
            true => node.to_string(),
            false => self.name.clone(),
        }
    }

    /// The text as it may be said: without control characters, and cut to this many bytes.
    #[must_use]
    pub fn text(text: &str, most: usize) -> String {
        let mut said = String::new();
        for character in text.chars().filter(|character| !character.is_control()) {
            if said.len() + character.len_utf8() > most {
                break;
            }
            said.push(character);
        }
        said
    }

    pub(super) fn append(&self, bytes: &mut Vec<u8>) {
        let AgreedSettings {
            lanes,
            heartbeat,
            time_to_live,
            json_lane,
            signing,
        } = self.settings;
        let times = (
            micros(heartbeat.min(MAX_HEARTBEAT)),
            micros(time_to_live.min(MAX_TIME_TO_LIVE)),
        );
        append(bytes, &(u8::from(json_lane) * JSON_LANE, lanes, times));
        append(bytes, &(&self.name, &self.cluster, &self.broker));
        if let Some(SigningSettings { mode, keys }) = signing {
            append(bytes, &(mode.number(), keys.as_slice()));
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let (flags, lanes, (heartbeat, time_to_live)): (u8, u32, (u64, u64)) = reader.take()?;
        let mut settings = AgreedSettings {
            lanes: Some(lanes).filter(|lanes| (1..=MAX_LANES).contains(lanes))?,
            heartbeat: bounded(heartbeat, MAX_HEARTBEAT)?,
            time_to_live: bounded(time_to_live, MAX_TIME_TO_LIVE)?,
            json_lane: flags & JSON_LANE > 0,
            signing: None,
        };
        let name = text(reader, MAX_NAME)?;
        let cluster = text(reader, MAX_NAME)?;
        let broker = text(reader, MAX_BROKER)?;
        settings.signing = signing(reader);
        reader.skip();
        Some(Self {
            settings,
            name,
            cluster,
            broker,
        })
    }
}

/// How the node signs, if it says so in a way that is known.
fn signing(reader: &mut Reader<'_>) -> Option<SigningSettings> {
    let (mode, ids): (u8, &[u8]) = reader.take()?;
    let mode = SigningMode::from_number(mode)?;
    let keys = KeyIds::new(ids.iter().copied());
    Some(SigningSettings { mode, keys })
}

fn bounded(micros: u64, most: Duration) -> Option<Duration> {
    let time = Duration::from_micros(micros);
    (!time.is_zero() && time <= most).then_some(time)
}

/// A text that may be shown and logged as it is.
fn text(reader: &mut Reader<'_>, most: usize) -> Option<String> {
    let text: &str = reader.take()?;
    let sound = text.len() <= most && !text.chars().any(char::is_control);
    sound.then(|| text.into())
}
