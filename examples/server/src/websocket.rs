//! A WebSocket over any socket: tungstenite's protocol, with a buffer for what is sent.
//!
//! tungstenite has the whole protocol as a value that reads from and writes to what it is given.
//! It is given the socket to read from, and the buffer to write to, so what it answers by itself, pongs
//! and close frames, is in order with what the server sends. The buffer goes out by one write and
//! is not kept: a connection that is idle has none.

use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker, ready};

use futures::task::AtomicWaker;
use futures::{AsyncRead, AsyncWrite};
use tungstenite::protocol::frame::coding::{Data, OpCode};
use tungstenite::protocol::frame::{CloseFrame, FrameHeader};
use tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Error, Message};

/// A buffer that was written out is kept if it has room for no more than this.
const KEPT: usize = 256;

/// What is read ahead at once, in bytes, of a client that sends more than the protocol's own buffer holds.
const AHEAD: usize = 16 << 10;

/// The server's end of a WebSocket.
pub(crate) struct WebSocket<S> {
    socket: S,
    protocol: WebSocketContext,
    ahead: Ahead,
    /// What is to be sent, of which `sent` bytes are.
    unsent: Vec<u8>,
    sent: usize,
    readable: Arc<ReadFlag>,
    /// Sets the flag.
    waker: Waker,
}

/// Whether the socket may have something to read.
///
/// A task that serves a connection mostly wakes because there is something to write. Asking the socket each
/// time whether there is something to read as well costs a system call on runtimes that try first.
#[derive(Default)]
struct ReadFlag {
    set: AtomicBool,
    task: AtomicWaker,
}

impl Wake for ReadFlag {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.set.store(true, Ordering::Release);
        self.task.wake();
    }
}

/// What was read and is not with the protocol, whose own buffer is small because every connection has one. A
/// client that fills it has more to say, and one system call for each KiB would be a fifth of what it costs.
#[derive(Default)]
struct Ahead {
    bytes: Vec<u8>,
    taken: usize,
    /// Whether the last read left no room.
    filled: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// A connection after its handshake, of which `read` was read too far.
    pub(crate) fn new(socket: S, read: &[u8], config: WebSocketConfig) -> Self {
        let readable = Arc::new(ReadFlag {
            set: AtomicBool::new(true),
            task: AtomicWaker::new(),
        });
        Self {
            socket,
            ahead: Ahead::default(),
            // A copy, for what was read stands in a buffer of HTTP's, some KiB large, that it would keep.
            protocol: WebSocketContext::from_partially_read(
                read.to_vec(),
                Role::Server,
                Some(config),
            ),
            unsent: Vec::new(),
            sent: 0,
            waker: readable.clone().into(),
            readable,
        }
    }

    /// The next message, or `None` once the connection is closed. Pings and close frames are answered,
    /// into the buffer.
    pub(crate) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Message, Error>>> {
        self.readable.task.register(context.waker());
        if !self.readable.set.swap(false, Ordering::AcqRel) {
            return Poll::Pending;
        }
        let mut ends = Ends {
            socket: &mut self.socket,
            ahead: &mut self.ahead,
            unsent: &mut self.unsent,
            context: &mut Context::from_waker(&self.waker),
        };
        let message = match self.protocol.read(&mut ends) {
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                return Poll::Pending;
            }
            Err(Error::ConnectionClosed | Error::AlreadyClosed) => None,
            message => Some(message),
        };
        // There may be more to read, for which no wake-up comes.
        self.readable.set.store(true, Ordering::Release);
        Poll::Ready(message)
    }

    /// Puts a message into the buffer.
    pub(crate) fn push(&mut self, kind: Data, payload: &[u8]) {
        let header = FrameHeader {
            opcode: OpCode::Data(kind),
            ..FrameHeader::default()
        };
        let length = payload.len() as u64;
        self.unsent.reserve(header.len(length) + payload.len());
        // Writing to memory does not fail.
        let _ = header.format(length, &mut self.unsent);
        self.unsent.extend_from_slice(payload);
    }

    /// Puts a ping into the buffer.
    pub(crate) fn ping(&mut self) -> Result<(), Error> {
        self.write(|protocol, ends| protocol.write(ends, Message::Ping(tungstenite::Bytes::new())))
    }

    /// Puts a close frame into the buffer, behind which comes nothing more.
    pub(crate) fn close(&mut self, frame: CloseFrame) -> Result<(), Error> {
        self.write(|protocol, ends| protocol.close(ends, Some(frame)))
    }

    fn write(
        &mut self,
        write: impl FnOnce(&mut WebSocketContext, &mut Ends<'_, '_, S>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut ends = Ends {
            socket: &mut self.socket,
            ahead: &mut self.ahead,
            unsent: &mut self.unsent,
            context: &mut Context::from_waker(&self.waker),
        };
        write(&mut self.protocol, &mut ends)
    }

    /// How many bytes wait in the buffer.
    pub(crate) fn unsent(&self) -> usize {
        self.unsent.len() - self.sent
    }

    /// Makes room for this many bytes more.
    pub(crate) fn reserve(&mut self, bytes: usize) {
        self.unsent.reserve(bytes);
    }

    /// Writes the buffer out.
    pub(crate) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.unsent.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while self.sent < self.unsent.len() {
            let bytes = &self.unsent[self.sent..];
            match ready!(Pin::new(&mut self.socket).poll_write(context, bytes))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.sent += written,
            }
        }
        self.sent = 0;
        self.unsent.clear();
        if self.unsent.capacity() > KEPT {
            self.unsent = Vec::new();
        }
        Pin::new(&mut self.socket).poll_flush(context)
    }

    /// [`poll_read`](Self::poll_read) as a future.
    pub(crate) async fn next(&mut self) -> Option<Result<Message, Error>> {
        poll_fn(|context| self.poll_read(context)).await
    }

    /// [`poll_flush`](Self::poll_flush) as a future.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|context| self.poll_flush(context)).await
    }

    /// The socket itself.
    pub(crate) fn into_inner(self) -> S {
        self.socket
    }
}

/// What the protocol reads from and writes to.
struct Ends<'a, 'b, S> {
    socket: &'a mut S,
    ahead: &'a mut Ahead,
    unsent: &'a mut Vec<u8>,
    context: &'a mut Context<'b>,
}

impl<S: AsyncRead + Unpin> Ends<'_, '_, S> {
    fn socket(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match Pin::new(&mut *self.socket).poll_read(self.context, buffer) {
            Poll::Ready(outcome) => {
                let read = outcome?;
                self.ahead.filled = read == buffer.len();
                Ok(read)
            }
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl<S: AsyncRead + Unpin> Read for Ends<'_, '_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ahead.bytes.is_empty() {
            if !self.ahead.filled {
                return self.socket(buffer);
            }
            self.ahead.filled = false;
            let mut bytes = vec![0; AHEAD];
            let read = self.socket(&mut bytes)?;
            bytes.truncate(read);
            self.ahead.bytes = bytes;
        }
        let left = &self.ahead.bytes[self.ahead.taken..];
        let length = left.len().min(buffer.len());
        buffer[..length].copy_from_slice(&left[..length]);
        self.ahead.taken += length;
        if self.ahead.taken == self.ahead.bytes.len() {
            // An idle connection keeps none of it.
            self.ahead.bytes = Vec::new();
            self.ahead.taken = 0;
        }
        Ok(length)
    }
}

impl<S> Write for Ends<'_, '_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.unsent.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A peer that has said this, and more later. It counts how often it was read.
    struct Peer {
        said: Vec<u8>,
        reads: usize,
    }

    impl AsyncRead for Peer {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            self.reads += 1;
            if self.said.is_empty() {
                return Poll::Pending;
            }
            let length = self.said.len().min(buffer.len());
            buffer[..length].copy_from_slice(&self.said[..length]);
            self.said.drain(..length);
            Poll::Ready(Ok(length))
        }
    }

    impl AsyncWrite for Peer {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn text(number: usize) -> String {
        format!("{number:0100}")
    }

    #[test]
    fn what_a_client_says_at_once_is_read_in_few_pieces_and_none_is_kept() {
        let count = 3 * AHEAD / 106;
        let said = (0..count).flat_map(|number| {
            // A text of 100 bytes, masked by zeros.
            let head = [0x81, 0x80 | 100, 0, 0, 0, 0];
            head.into_iter().chain(text(number).into_bytes())
        });
        let peer = Peer {
            said: said.collect(),
            reads: 0,
        };
        let config = WebSocketConfig::default().read_buffer_size(1 << 10);
        let mut websocket = WebSocket::new(peer, &[], config);
        let context = &mut Context::from_waker(Waker::noop());
        for number in 0..count {
            let Poll::Ready(Some(Ok(Message::Text(found)))) = websocket.poll_read(context) else {
                panic!("message {number} is missing");
            };
            assert_eq!(found.as_str(), text(number));
        }
        assert!(websocket.poll_read(context).is_pending());
        let reads = websocket.socket.reads;
        assert!(reads < 10, "{reads} reads");
        assert_eq!(websocket.ahead.bytes.capacity(), 0);
    }
}
