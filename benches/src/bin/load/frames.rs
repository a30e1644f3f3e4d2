//! WebSocket frames of a client: cut out of what a server sends, and made for it.

/// A frame of a server.
pub(crate) enum Frame<'a> {
    /// Text or binary, whole: no peer here fragments what is as small as ours.
    Message(&'a [u8]),
    /// To be answered by a pong.
    Ping,
    /// The server closes.
    Close,
    /// A pong.
    Other,
}

/// The first frame in `bytes` and its length, if it is there as a whole.
pub(crate) fn first(bytes: &[u8]) -> Option<(Frame<'_>, usize)> {
    let (&[head, short], rest) = bytes.split_first_chunk::<2>()?;
    let (length, header) = match short {
        126 => {
            let (long, _) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*long)), 4)
        }
        127 => {
            let (long, _) = rest.split_first_chunk::<8>()?;
            (usize::try_from(u64::from_be_bytes(*long)).ok()?, 10)
        }
        short => (usize::from(short), 2),
    };
    let payload = bytes.get(header..header + length)?;
    let frame = match head & 0x0f {
        1 | 2 => Frame::Message(payload),
        8 => Frame::Close,
        9 => Frame::Ping,
        _ => Frame::Other,
    };
    Some((frame, header + length))
}

/// A masked text frame, as clients have to send them. The mask is zero, which changes no byte.
pub(crate) fn text(payload: &str) -> Vec<u8> {
    masked(0x81, payload.as_bytes())
}

/// A masked pong.
pub(crate) fn pong() -> Vec<u8> {
    masked(0x8a, &[])
}

fn masked(head: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![head];
    match payload.len() {
        length @ 0..126 => frame.push(0x80 | length as u8),
        length @ 126..0x1_0000 => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}
