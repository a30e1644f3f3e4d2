//! A WebSocket over any socket: tungstenite's protocol, with a buffer for what is sent.
//!
//! tungstenite has the whole protocol as a value that reads from and writes to what it is given.
//! It is given the socket to read from, and the buffer to write to, so what it answers by itself, pongs
//! and close frames, is in order with what the server sends. A flush writes the whole buffer, in as few writes as the
//! socket takes; a buffer of more than 256 bytes is freed afterwards, so that a connection that is idle keeps little.

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
    ahead: ReadAhead,
    /// Bytes to send, of which the first `written` are on the socket.
    output: Vec<u8>,
    written: usize,
    /// The socket has everything that was written, and may not have flushed it.
    flushing: bool,
    readiness: Arc<ReadReadiness>,
    /// Records readiness: what the socket's reads are given for a waker.
    waker: Waker,
}

/// Records that the socket may have bytes to read, and wakes the connection's task.
///
/// A task that serves a connection mostly wakes because there is something to write. Asking the socket each time whether
/// there is something to read as well costs a system call on runtimes that try a read before they wait for readiness.
#[derive(Default)]
struct ReadReadiness {
    ready: AtomicBool,
    task: AtomicWaker,
}

impl Wake for ReadReadiness {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ready.store(true, Ordering::Release);
        self.task.wake();
    }
}

/// Bytes that were read ahead of the protocol, whose own buffer is small because every connection has one. A client that
/// fills that buffer is likely to have sent more, so the next read takes more than the protocol asks for.
#[derive(Default)]
struct ReadAhead {
    bytes: Vec<u8>,
    taken: usize,
    /// Whether the last read left no room.
    filled: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// A connection after its handshake; `read` are the bytes that the parser of HTTP read past it.
    pub(crate) fn new(socket: S, read: &[u8], config: WebSocketConfig) -> Self {
        let readiness = Arc::new(ReadReadiness {
            ready: AtomicBool::new(true),
            task: AtomicWaker::new(),
        });
        Self {
            socket,
            ahead: ReadAhead::default(),
            // A copy: `read` is a slice of a buffer of several KiB, which would stay allocated with it.
            protocol: WebSocketContext::from_partially_read(
                read.to_vec(),
                Role::Server,
                Some(config),
            ),
            output: Vec::new(),
            written: 0,
            flushing: false,
            waker: readiness.clone().into(),
            readiness,
        }
    }

    /// The next message, or `None` once the connection is closed. Pings and close frames are answered,
    /// into the buffer.
    pub(crate) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Message, Error>>> {
        self.readiness.task.register(context.waker());
        if !self.readiness.ready.swap(false, Ordering::AcqRel) {
            return Poll::Pending;
        }
        let mut io = ProtocolIo {
            socket: &mut self.socket,
            ahead: &mut self.ahead,
            output: &mut self.output,
            context: &mut Context::from_waker(&self.waker),
        };
        let message = match self.protocol.read(&mut io) {
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                return Poll::Pending;
            }
            Err(Error::ConnectionClosed | Error::AlreadyClosed) => None,
            message => Some(message),
        };
        // The protocol may hold more messages, which no wake-up will announce.
        self.readiness.ready.store(true, Ordering::Release);
        Poll::Ready(message)
    }

    /// Puts a message into the buffer.
    pub(crate) fn push(&mut self, kind: Data, payload: &[u8]) {
        let header = FrameHeader {
            opcode: OpCode::Data(kind),
            ..FrameHeader::default()
        };
        let length = payload.len() as u64;
        self.output.reserve(header.len(length) + payload.len());
        // Writing to memory does not fail.
        let _ = header.format(length, &mut self.output);
        self.output.extend_from_slice(payload);
    }

    /// Puts a ping into the buffer.
    pub(crate) fn ping(&mut self) -> Result<(), Error> {
        self.write(|protocol, io| protocol.write(io, Message::Ping(tungstenite::Bytes::new())))
    }

    /// Puts a close frame into the buffer, behind which comes nothing more.
    pub(crate) fn close(&mut self, frame: CloseFrame) -> Result<(), Error> {
        self.write(|protocol, io| protocol.close(io, Some(frame)))
    }

    fn write(
        &mut self,
        write: impl FnOnce(&mut WebSocketContext, &mut ProtocolIo<'_, '_, S>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut io = ProtocolIo {
            socket: &mut self.socket,
            ahead: &mut self.ahead,
            output: &mut self.output,
            context: &mut Context::from_waker(&self.waker),
        };
        write(&mut self.protocol, &mut io)
    }

    /// How many bytes wait in the buffer.
    pub(crate) fn unsent(&self) -> usize {
        self.output.len() - self.written
    }

    /// Reserves capacity for this many more bytes.
    pub(crate) fn reserve(&mut self, bytes: usize) {
        self.output.reserve(bytes);
    }

    /// Writes the buffer out.
    pub(crate) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.output.is_empty() && !self.flushing {
            return Poll::Ready(Ok(()));
        }
        while self.written < self.output.len() {
            let bytes = &self.output[self.written..];
            match ready!(Pin::new(&mut self.socket).poll_write(context, bytes))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.written += written,
            }
        }
        self.written = 0;
        self.output.clear();
        if self.output.capacity() > KEPT {
            self.output = Vec::new();
        }
        self.flushing = true;
        ready!(Pin::new(&mut self.socket).poll_flush(context))?;
        self.flushing = false;
        Poll::Ready(Ok(()))
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
struct ProtocolIo<'a, 'b, S> {
    socket: &'a mut S,
    ahead: &'a mut ReadAhead,
    output: &'a mut Vec<u8>,
    context: &'a mut Context<'b>,
}

impl<S: AsyncRead + Unpin> ProtocolIo<'_, '_, S> {
    fn read_socket(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
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

impl<S: AsyncRead + Unpin> Read for ProtocolIo<'_, '_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ahead.bytes.is_empty() {
            if !self.ahead.filled {
                return self.read_socket(buffer);
            }
            self.ahead.filled = false;
            let mut bytes = vec![0; AHEAD];
            let read = self.read_socket(&mut bytes)?;
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

impl<S> Write for ProtocolIo<'_, '_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A socket with this input, and then more to come. It counts its reads.
    struct ScriptedSocket {
        input: Vec<u8>,
        reads: usize,
    }

    impl AsyncRead for ScriptedSocket {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            self.reads += 1;
            if self.input.is_empty() {
                return Poll::Pending;
            }
            let length = self.input.len().min(buffer.len());
            buffer[..length].copy_from_slice(&self.input[..length]);
            self.input.drain(..length);
            Poll::Ready(Ok(length))
        }
    }

    impl AsyncWrite for ScriptedSocket {
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
    fn a_burst_of_messages_is_read_in_few_reads_and_leaves_no_buffer() {
        const FRAME: usize = 6 + 100;
        let count = 3 * AHEAD / FRAME;
        let input = (0..count).flat_map(|number| {
            // The header, which masks by zeros, and 100 bytes of text.
            let head = [0x81, 0x80 | 100, 0, 0, 0, 0];
            head.into_iter().chain(text(number).into_bytes())
        });
        let socket = ScriptedSocket {
            input: input.collect(),
            reads: 0,
        };
        let config = WebSocketConfig::default().read_buffer_size(1 << 10);
        let mut websocket = WebSocket::new(socket, &[], config);
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
