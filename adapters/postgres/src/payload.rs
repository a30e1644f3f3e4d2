//! Frames as the text that `NOTIFY` carries.
//!
//! A payload is a colon and the base64, without padding, of one byte and the frame. The byte is the frame's
//! number within its transaction: two equal payloads of one transaction would arrive as one.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use midplane_core::bus::Limits;

/// Postgres takes less than 8,000 bytes.
const MAX_PAYLOAD_BYTES: usize = 7_999;

/// The largest frame: what base64 makes of it, its number and the colon is a payload of 7,999 bytes.
const MAX_FRAME_BYTES: usize = (MAX_PAYLOAD_BYTES - 1) * 3 / 4 - 1;

/// What the bus takes.
pub(crate) const LIMITS: Limits = Limits::new(MAX_FRAME_BYTES);

/// How many frames can be told apart in one transaction.
pub(crate) const MAX_FRAMES: usize = 256;

/// Appends the payload of a frame. It needs no escaping between single quotes.
pub(crate) fn encode(number: u8, frame: &[u8], text: &mut String) {
    let mut bytes = Vec::with_capacity(1 + frame.len());
    bytes.push(number);
    bytes.extend_from_slice(frame);
    text.push(':');
    STANDARD_NO_PAD.encode_string(bytes, text);
}

/// The frame in a payload. What was not encoded here is a frame as it stands, for the reader to judge.
pub(crate) fn decode(payload: &str) -> Bytes {
    let decoded = payload
        .strip_prefix(':')
        .and_then(|text| STANDARD_NO_PAD.decode(text).ok())
        .filter(|bytes| !bytes.is_empty());
    match decoded {
        Some(bytes) => Bytes::from(bytes).slice(1..),
        None => Bytes::copy_from_slice(payload.as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_frame_survives_and_the_largest_fits() {
        for size in [0, 1, 2, 3, 4, MAX_FRAME_BYTES - 1, MAX_FRAME_BYTES] {
            let frame: Vec<u8> = (0..size).map(|byte| byte as u8).collect();
            let mut text = String::new();
            encode(255, &frame, &mut text);
            assert!(text.len() <= MAX_PAYLOAD_BYTES, "{}", text.len());
            assert_eq!(decode(&text), frame);
        }
        let mut text = String::new();
        encode(0, &[0; MAX_FRAME_BYTES + 1], &mut text);
        assert!(text.len() > MAX_PAYLOAD_BYTES);
        assert_eq!(MAX_FRAME_BYTES, 5_997);
    }

    #[test]
    fn equal_frames_of_one_transaction_differ() {
        let (mut one, mut two) = (String::new(), String::new());
        encode(1, b"same", &mut one);
        encode(2, b"same", &mut two);
        assert_ne!(one, two);
    }

    #[test]
    fn what_external_publishers_wrote_is_handed_on_as_it_stands() {
        for text in ["", ":", "{\"target\":1}", ":not base64!", "AAAA"] {
            assert_eq!(decode(text), text.as_bytes());
        }
    }
}
