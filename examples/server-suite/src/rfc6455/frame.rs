//! Frames as a client sends them, sound or not, and as a server's are read.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

pub(super) const CONTINUATION: u8 = 0;
pub(super) const TEXT: u8 = 1;
pub(super) const BINARY: u8 = 2;
pub(super) const CLOSE: u8 = 8;
pub(super) const PING: u8 = 9;
pub(super) const PONG: u8 = 10;

/// What a client masks with: any four bytes will do.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A frame (RFC 6455, 5.2), with nothing of it checked.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Frame {
    pub(super) is_last: bool,
    /// The three reserved bits, as a number.
    pub(super) reserved: u8,
    pub(super) opcode: u8,
    pub(super) payload: Vec<u8>,
}

impl Frame {
    /// A frame that is a message, or a control frame, by itself.
    pub(super) fn new(opcode: u8, payload: impl AsRef<[u8]>) -> Self {
        Self {
            is_last: true,
            reserved: 0,
            opcode,
            payload: payload.as_ref().to_vec(),
        }
    }

    /// A close frame with this code and reason.
    pub(super) fn close(code: u16, reason: impl AsRef<[u8]>) -> Self {
        Self::new(CLOSE, [&code.to_be_bytes(), reason.as_ref()].concat())
    }

    /// The frame as one that others continue.
    pub(super) fn unfinished(mut self) -> Self {
        self.is_last = false;
        self
    }

    /// The frame with these reserved bits.
    pub(super) fn reserved(mut self, bits: u8) -> Self {
        self.reserved = bits;
        self
    }

    /// The frame on the wire, masked.
    pub(super) fn masked(&self) -> Vec<u8> {
        let mut bytes = vec![u8::from(self.is_last) << 7 | self.reserved << 4 | self.opcode];
        let length = self.payload.len();
        match (u8::try_from(length), u16::try_from(length)) {
            (Ok(short @ ..126), _) => bytes.push(0x80 | short),
            (_, Ok(medium)) => {
                bytes.push(0x80 | 126);
                bytes.extend(medium.to_be_bytes());
            }
            _ => {
                bytes.push(0x80 | 127);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        bytes.extend(MASK);
        let masked = self.payload.iter().zip(MASK.iter().cycle());
        bytes.extend(masked.map(|(byte, mask)| byte ^ mask));
        bytes
    }

    /// Reads a frame of a server, which masks nothing.
    pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Self> {
        let [first, second] = stream.read_u16().await?.to_be_bytes();
        assert!(second < 0x80, "a server masks no frame");
        let length = match second {
            126 => stream.read_u16().await?.into(),
            127 => stream.read_u64().await?,
            short => short.into(),
        };
        let mut payload = vec![0; usize::try_from(length).expect("a frame fits into memory")];
        stream.read_exact(&mut payload).await?;
        Ok(Self {
            is_last: first >= 0x80,
            reserved: first >> 4 & 7,
            opcode: first & 15,
            payload,
        })
    }
}
