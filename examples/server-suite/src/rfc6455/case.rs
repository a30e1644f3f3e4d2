//! One case: what a client sends, and what it must get.

use std::io;
use std::iter;

use futures::channel::oneshot;
use futures::future;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};

use midplane_testkit::{succeeds, within};

use super::frame::{BINARY, CLOSE, CONTINUATION, Frame, PING, PONG, TEXT};
use crate::endpoint::Endpoint;
use crate::http::{Answer as Handshake, Request, connect};

/// The pieces in which frames go to the socket.
#[derive(Debug, Clone, Copy)]
pub(super) enum Chop {
    /// Each frame by itself.
    Frames,
    /// Pieces of so many bytes, whatever frame they are of.
    Bytes(usize),
}

pub(super) const WHOLE: Chop = Chop::Bytes(usize::MAX);
pub(super) const OCTETS: Chop = Chop::Bytes(1);

/// What the server answers to a message.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Answer {
    /// The text that a request had for its id.
    Echo(String),
    /// An error with this code.
    Error(String),
    /// A pong with this payload.
    Pong(Vec<u8>),
}

/// How a connection ends.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum End {
    /// Everything was sound: the client closes with 1000 when all is answered, and is answered so.
    Sound,
    /// The client's last frame closes, and the server answers with one of these codes; 1005 is a close without one.
    Closed(&'static [u16]),
    /// The server fails the connection with one of these codes. What was sound before may be answered.
    Failed(&'static [u16]),
}

pub(super) const BROKEN: End = End::Failed(&[1002]);

/// A case of the protocol.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) chop: Chop,
    pub(super) sent: Vec<Frame>,
    pub(super) answers: Vec<Answer>,
    pub(super) end: End,
}

impl Case {
    /// A case in which nothing is sent yet.
    pub(super) fn new(name: impl Into<String>, end: End) -> Self {
        Self {
            name: name.into(),
            chop: WHOLE,
            sent: Vec::new(),
            answers: Vec::new(),
            end,
        }
    }

    /// The case with its frames in these pieces.
    pub(super) fn chopped(mut self, chop: Chop) -> Self {
        self.name += &format!(", {chop:?}");
        self.chop = chop;
        self
    }

    /// The case with this frame more, to which there is no answer.
    pub(super) fn send(mut self, frame: Frame) -> Self {
        self.sent.push(frame);
        self
    }

    /// The case with a request more that has this text in it, which the server answers with.
    pub(super) fn echo(self, text: impl Into<String>) -> Self {
        let text = text.into();
        self.send(Frame::new(TEXT, request(&text)))
            .expect(Answer::Echo(text))
    }

    /// The case with such a request in as many frames as there are between frames, each before the last followed by the
    /// frames that stand there.
    pub(super) fn echo_around(mut self, text: &str, between: &[&[Frame]]) -> Self {
        let request = request(text).into_bytes();
        let length = request.len().div_ceil(between.len() + 1);
        let fragments = fragments(&request, length);
        let between = between.iter().copied().chain(iter::once(&[][..]));
        for (fragment, between) in fragments.into_iter().zip(between) {
            self.sent.push(fragment);
            for frame in between {
                if frame.opcode == PING {
                    self.answers.push(Answer::Pong(frame.payload.clone()));
                }
                self.sent.push(frame.clone());
            }
        }
        self.expect(Answer::Echo(text.into()))
    }

    /// The case with a binary message more, which the server refuses in words.
    pub(super) fn binary(self, payload: impl AsRef<[u8]>) -> Self {
        self.send(Frame::new(BINARY, payload))
            .expect(Answer::Error("binary".into()))
    }

    /// The case with a ping more.
    pub(super) fn ping(self, payload: impl AsRef<[u8]>) -> Self {
        let pong = Answer::Pong(payload.as_ref().to_vec());
        self.send(Frame::new(PING, payload)).expect(pong)
    }

    /// The case with this answer more to come.
    pub(super) fn expect(mut self, answer: Answer) -> Self {
        self.answers.push(answer);
        self
    }

    /// Plays the case to its end, and says what was wrong.
    pub(super) async fn play(self, server: Endpoint) -> Result<(), String> {
        let stream = connect(server.address).await;
        succeeds("no delay", async { stream.set_nodelay(true) }).await;
        let mut stream = BufReader::new(stream);
        let upgrade = Request::upgrade("/ws").bytes(server.address);
        succeeds("the handshake leaves", stream.get_mut().write_all(&upgrade)).await;
        let handshake = within("the handshake", Handshake::read(&mut stream)).await;
        assert_eq!(handshake.status, 101);
        succeeds("the welcome", Frame::read(&mut stream)).await;
        let (mut reader, mut writer) = tokio::io::split(stream);
        let (all_came, answered) = oneshot::channel();
        let talk = future::join(
            self.write(&mut writer, answered),
            take(&mut reader, self.answers.len(), all_came),
        );
        let (_, (answers, close)) = within(&self.name, talk).await;
        let (sound, codes) = match self.end {
            End::Sound => (true, &[1000][..]),
            End::Closed(codes) => (true, codes),
            End::Failed(codes) => (false, codes),
        };
        let as_expected = if sound {
            answers == self.answers
        } else {
            self.answers.starts_with(&answers)
        };
        if as_expected && close.is_some_and(|code| codes.contains(&code)) {
            return Ok(());
        }
        let Self { name, end, .. } = self;
        let shown: String = format!("{answers:?}").chars().take(200).collect();
        Err(format!(
            "{name}: closed with {close:?} and not {end:?}, after {shown}"
        ))
    }

    /// Sends what the case sends, and after a sound one a close when all is `answered`. That the server closes meanwhile is for
    /// the reader to judge.
    async fn write(
        &self,
        writer: &mut (impl AsyncWrite + Unpin),
        answered: oneshot::Receiver<()>,
    ) -> io::Result<()> {
        let mut frames: Vec<_> = self.sent.iter().map(Frame::masked).collect();
        if let Chop::Bytes(length) = self.chop {
            let bytes = frames.concat();
            frames = bytes.chunks(length).map(<[u8]>::to_vec).collect();
        }
        for piece in frames {
            writer.write_all(&piece).await?;
            writer.flush().await?;
        }
        if self.end == End::Sound && answered.await.is_ok() {
            writer.write_all(&Frame::close(1000, "").masked()).await?;
            writer.flush().await?;
        }
        Ok(())
    }
}

/// Everything the server says until the connection is gone: the answers, and the code of its close frame. Says when as many
/// answers came as are `expected`.
async fn take(
    reader: &mut (impl AsyncRead + Unpin),
    expected: usize,
    all_came: oneshot::Sender<()>,
) -> (Vec<Answer>, Option<u16>) {
    let (mut answers, mut close, mut all_came) = (Vec::new(), None, Some(all_came));
    loop {
        if answers.len() >= expected
            && let Some(all_came) = all_came.take()
        {
            // Nobody waits for it where the client closes anyway.
            let _ = all_came.send(());
        }
        let Ok(frame) = Frame::read(reader).await else {
            return (answers, close);
        };
        assert!(
            close.is_none(),
            "nothing comes after a close frame: {frame:?}"
        );
        assert!(frame.is_last && frame.reserved == 0, "{frame:?}");
        match frame.opcode {
            CLOSE => {
                let code = frame.payload.first_chunk().copied();
                close = Some(code.map_or(1005, u16::from_be_bytes));
            }
            PONG => answers.push(Answer::Pong(frame.payload)),
            PING => {}
            TEXT => answers.extend(answer(&frame.payload)),
            _ => panic!("the server sends no such frame: {frame:?}"),
        }
    }
}

/// What a text says, if it is an answer.
fn answer(text: &[u8]) -> Option<Answer> {
    let said: Value = serde_json::from_slice(text).expect("the server speaks JSON");
    let word = |key: &str| said[key].as_str().map(String::from);
    match said["midplane"].as_str() {
        Some("pong") => word("id").map(Answer::Echo),
        Some("error") => word("code").map(Answer::Error),
        _ => None,
    }
}

/// A request whose answer has this text.
pub(super) fn request(text: &str) -> String {
    json!({"request": "ping", "id": text}).to_string()
}

/// A text message in frames of this many bytes.
pub(super) fn fragments(message: &[u8], length: usize) -> Vec<Frame> {
    let count = message.len().div_ceil(length);
    let frames = message
        .chunks(length)
        .enumerate()
        .map(|(index, piece)| Frame {
            is_last: index + 1 == count,
            ..Frame::new(if index == 0 { TEXT } else { CONTINUATION }, piece)
        });
    frames.collect()
}
