//! What is said of a NATS server, here and in the log.

mod common;

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use common::configured;
use futures::StreamExt;
use midplane_conformance::suite::{TestLink, refusal};
use midplane_core::bus::{Bus, BusErrorKind};
use midplane_nats::Nats;
use midplane_testkit::error::shown;
use midplane_testkit::lock::locked;
use midplane_testkit::server::Server;
use midplane_testkit::within;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

/// The log of this process at the level of warnings, which is every test's in this file.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn start() -> Self {
        static LOG: Mutex<Option<Log>> = Mutex::new(None);

        let mut log = locked(&LOG);
        log.get_or_insert_with(|| {
            let log = Self::default();
            tracing_subscriber::fmt()
                .with_max_level(LevelFilter::WARN)
                .with_writer(log.clone())
                .init();
            log
        })
        .clone()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&locked(&self.0)).into_owned()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        locked(&self.0).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// A server that repeats what a client logs in with, in an error: at once, or behind the answer to its ping.
fn repeating(welcomes: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.expect("a client");
            // A client may be gone at any time.
            thread::spawn(move || repeat(stream, welcomes));
        }
    });
    address
}

fn repeat(stream: TcpStream, welcomes: bool) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let info = r#"INFO {"server_id":"x","version":"2.9.0","max_payload":1048576,"proto":1}"#;
    write!(stream.get_mut(), "{info}\r\n")?;
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let said = line.trim().trim_start_matches("CONNECT ").replace('\'', "");
    let welcome = if welcomes { "PONG\r\n" } else { "" };
    write!(stream.get_mut(), "{welcome}-ERR 'unknown: {said}'\r\n")?;
    io::copy(&mut stream, &mut io::sink()).map(drop)
}

#[test]
fn a_server_that_repeats_the_login_does_not_make_us_show_it() {
    let log = Log::start();
    smol::block_on(async {
        for welcomes in [false, true] {
            let address = repeating(welcomes);
            for bus in [
                Nats::new(&format!("nats://ada:hunter%222@{address}")),
                Nats::new(&format!("nats://hunter%222@{address}")),
            ] {
                let bus = bus.expect("a URL");
                let error = match within("an answer", bus.connect()).await {
                    Err(error) => error,
                    Ok(mut link) => {
                        let end = within("the end", link.frames.next()).await;
                        end.expect("an error").expect_err("no frame")
                    }
                };
                let shown = shown(&error);
                assert!(shown.contains("***"), "{shown}");
                assert!(!shown.contains("hunter"), "{shown}");
            }
        }
    });
    assert!(!log.text().contains("hunter"), "{}", log.text());
}

#[test]
fn a_server_that_is_full_says_so() {
    // A link has two connections.
    for most in [2, 3] {
        let (server, _path, _directory) = configured(&format!("max_connections: {most}"));
        let bus = Nats::new(&server.url()).expect("a URL");
        smol::block_on(async {
            let kept = TestLink::working(&bus).await;
            let error = refusal(&bus).await;
            assert_eq!(error.kind(), BusErrorKind::Unreachable, "{error}");
            assert!(
                error.to_string().contains("maximum connections exceeded"),
                "{error}"
            );
            drop(kept);
        });
    }
}

#[test]
fn the_driver_logs_no_outage_as_an_error() {
    let log = Log::start();
    let server = Server::nats_with(&[]);
    let bus = Nats::new(&server.url()).expect("a URL");
    smol::block_on(async {
        let mut node = TestLink::working(&bus).await;
        server.kill();
        assert_eq!(node.end().await, BusErrorKind::Unreachable);
        for _ in 0..3 {
            refusal(&bus).await;
        }
        server.restart();
        TestLink::working(&bus).await;
        // The driver's tasks have ended when its events have.
        drop(node);
    });
    assert_eq!(log.text(), "");
}
