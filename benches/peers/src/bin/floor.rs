//! The floor of the WebSocket servers: one thread, one epoll loop, and a write of a ready-made frame to each socket. No
//! queue, no timer, no limit; a client that does not keep up is cut off.

use std::collections::HashMap;
use std::io::{self, Read, Write};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

const LISTENER: Token = Token(usize::MAX);

/// The answer to the key of RFC 6455's example, which the load generator sends.
const UPGRADE: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

struct Client {
    stream: TcpStream,
    open: bool,
    unread: Vec<u8>,
}

fn main() -> io::Result<()> {
    let mut listener = TcpListener::bind(([127, 0, 0, 1], 0).into())?;
    peers::announce(listener.local_addr()?)?;
    let mut poll = Poll::new()?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut ready = Events::with_capacity(1_024);
    let mut clients: HashMap<usize, Client> = HashMap::new();
    let mut members: Vec<usize> = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    let mut frame = Vec::new();
    let mut next = 0;
    loop {
        poll.poll(&mut ready, None)?;
        for event in &ready {
            let Token(token) = event.token();
            if event.token() == LISTENER {
                while let Ok((mut stream, _)) = listener.accept() {
                    stream.set_nodelay(true)?;
                    let interest = Interest::READABLE;
                    poll.registry()
                        .register(&mut stream, Token(next), interest)?;
                    let client = Client {
                        stream,
                        open: false,
                        unread: Vec::new(),
                    };
                    clients.insert(next, client);
                    next += 1;
                }
                continue;
            }
            let Some(client) = clients.get_mut(&token) else {
                continue;
            };
            let gone = loop {
                match client.stream.read(&mut buffer) {
                    Ok(0) => break true,
                    Ok(read) => client.unread.extend_from_slice(&buffer[..read]),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break false,
                    Err(_) => break true,
                }
            };
            if gone {
                clients.remove(&token);
                members.retain(|member| *member != token);
                continue;
            }
            if !client.open {
                let unread = &client.unread;
                let Some(end) = unread.windows(4).position(|four| four == b"\r\n\r\n") else {
                    continue;
                };
                client.open = true;
                client.stream.write_all(UPGRADE)?;
                if !unread.starts_with(b"GET /ws?publisher") {
                    members.push(token);
                }
                client.unread.drain(..end + 4);
            }
            let mut unread = std::mem::take(&mut client.unread);
            while let Some(length) = unmask(&mut unread, &mut frame) {
                unread.drain(..length);
                members.retain(|member| {
                    let Some(client) = clients.get_mut(member) else {
                        return false;
                    };
                    client.stream.write_all(&frame).is_ok()
                });
            }
            if let Some(client) = clients.get_mut(&token) {
                client.unread = unread;
            }
        }
    }
}

/// Makes of the first frame, which is masked by zeros, one that a server sends.
fn unmask(bytes: &mut [u8], frame: &mut Vec<u8>) -> Option<usize> {
    let (&mut [head, short], rest) = bytes.split_first_chunk_mut::<2>()?;
    let (length, header) = match short & 0x7f {
        126 => {
            let (long, _) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*long)), 4)
        }
        short => (usize::from(short), 2),
    };
    let payload = bytes.get(header + 4..header + 4 + length)?;
    frame.clear();
    frame.push(head);
    frame.push(short & 0x7f);
    frame.extend_from_slice(&bytes[2..header]);
    frame.extend_from_slice(payload);
    Some(header + 4 + length)
}
