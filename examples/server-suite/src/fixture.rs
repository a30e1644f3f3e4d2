//! A server as a child process.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::ops::Deref;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use midplane_testkit::process;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid,
};
use serde_json::Value;
use tokio::task::spawn_blocking;

use crate::http::{self, Answer};
use crate::{PATIENCE, until, within};

/// What the ready line of a server says before its address.
const READY: &str = "listening on http://";

/// The program of a server.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    path: &'static str,
}

impl Program {
    pub(crate) fn new(path: &'static str) -> Self {
        Self { path }
    }

    /// Starts the server on a free port, with these flags as well.
    pub(crate) fn start(self, flags: &[&str]) -> Server {
        self.start_at("127.0.0.1:0", flags)
    }

    /// Starts the server at an address and waits until it says that it listens.
    pub(crate) fn start_at(self, address: &str, flags: &[&str]) -> Server {
        let child = self.child(&[&["--listen", address], flags].concat());
        let site = child.site();
        Server { child, site }
    }

    /// Runs the program to its end, which must come by itself.
    pub(crate) async fn end(self, flags: &[&str]) -> End {
        self.end_within(&[], flags).await
    }

    /// The same with these in its environment.
    pub(crate) async fn end_within(self, environment: &[(&str, &str)], flags: &[&str]) -> End {
        let mut command = self.command(flags);
        command.envs(environment.iter().copied());
        let mut child = Running::start(command);
        let status = child.exit().await;
        End {
            status,
            stdout: child.stdout.iter().collect::<Vec<_>>().join("\n"),
            stderr: child.stderr(),
        }
    }

    fn child(self, arguments: &[&str]) -> Running {
        Running::start(self.command(arguments))
    }

    /// The program as nobody configured it but the check.
    fn command(self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.path);
        command.args(arguments);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("MIDPLANE_") {
                command.env_remove(name);
            }
        }
        command
    }
}

/// How a program ended.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A child process whose output is read as it comes, so that it never blocks on a full pipe. It is
/// killed and reaped at the end; when the check fails, what it wrote to stderr is shown.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    /// The lines of standard output.
    pub(crate) stdout: Receiver<String>,
    stderr: Option<thread::JoinHandle<()>>,
    captured: Arc<Mutex<String>>,
    /// Whether the child leads a process group, which ends with it.
    leads: bool,
}

impl Running {
    /// Starts a program that itself starts others: all of them are killed at the end.
    pub(crate) fn start_with_descendants(mut command: Command) -> Self {
        command.process_group(0);
        let mut running = Self::start(command);
        running.leads = true;
        running
    }

    /// Starts a program with these flags and nothing else.
    pub(crate) fn of(program: Program, flags: &[&str]) -> Self {
        program.child(flags)
    }

    pub(crate) fn start(mut command: Command) -> Self {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        let (lines, stdout) = channel();
        let out = child.stdout.take().expect("stdout is piped");
        // The thread ends with the pipe; that the receiver may be gone is no concern of the child.
        thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let _ = lines.send(line);
            }
        });
        let captured = Arc::new(Mutex::new(String::new()));
        let mut err = child.stderr.take().expect("stderr is piped");
        let sink = captured.clone();
        let stderr = thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = err.read(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..read]);
                sink.lock()
                    .expect("nobody panics holding it")
                    .push_str(&text);
            }
        });
        Self {
            child,
            stdout,
            stderr: Some(stderr),
            captured,
            leads: false,
        }
    }

    /// Waits until the child says that it listens, and where.
    pub(crate) fn site(&self) -> Site {
        loop {
            match self.stdout.recv_timeout(PATIENCE) {
                Ok(line) => {
                    if let Some((_, address)) = line.split_once(READY) {
                        let address = address.trim().parse();
                        let address = address.expect("the ready line has an address");
                        return Site { address };
                    }
                }
                Err(error) => panic!("no ready line ({error}); stderr: {}", self.stderr()),
            }
        }
    }

    /// What the child wrote to stderr: all of it once the child was seen to end.
    pub(crate) fn stderr(&self) -> String {
        self.captured
            .lock()
            .expect("nobody panics holding it")
            .clone()
    }

    /// Whether the child ended, and how.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.try_wait().expect("the child is ours")?;
        if let Some(reader) = self.stderr.take() {
            reader.join().expect("the reader does not panic");
        }
        Some(status)
    }

    /// Waits until the child ends by itself.
    pub(crate) async fn exit(&mut self) -> ExitStatus {
        let pid = Pid::from_child(&self.child);
        let ends = spawn_blocking(move || {
            waitid(
                WaitId::Pid(pid),
                WaitIdOptions::EXITED | WaitIdOptions::NOWAIT,
            )
        });
        within("the process ends", ends)
            .await
            .expect("the wait does not panic")
            .expect("the child is ours");
        self.ended().expect("the child ended")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the child is ours");
    }

    /// Lets it open no more descriptors, or again as many as may be.
    pub(crate) fn may_open(&self, more: bool) {
        let below = if more { None } else { Some(0) };
        process::limit_descriptors(self.child.id(), below).expect("the child is ours");
    }

    /// How many bytes of its memory are resident.
    pub(crate) fn resident(&self) -> u64 {
        process::resident_memory(self.child.id()).expect("the child lives")
    }

    /// How much processor time its threads have taken.
    pub(crate) fn processor_time(&self) -> Duration {
        process::processor_time(self.child.id()).expect("the child lives")
    }
}

impl Drop for Running {
    #[expect(
        clippy::print_stderr,
        reason = "it is shown with the failure of the test"
    )]
    fn drop(&mut self) {
        if self.leads {
            // Before the child is reaped, for then the number of its group may be another's.
            let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        }
        if self.ended().is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if thread::panicking() {
            eprintln!("stderr of the child:\n{}", self.stderr());
        }
    }
}

/// A server that listens.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) child: Running,
    pub(crate) site: Site,
}

impl Deref for Server {
    type Target = Site;

    fn deref(&self) -> &Site {
        &self.site
    }
}

/// Where a server is reached.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) address: SocketAddr,
}

impl Site {
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        http::Request::new("GET", path).send(self.address).await
    }

    /// Posts a body to `/publish`.
    pub(crate) async fn post(&self, body: impl AsRef<[u8]>) -> Answer {
        http::Request::new("POST", "/publish")
            .header("content-type", "application/json")
            .body(body)
            .send(self.address)
            .await
    }

    /// Publishes an event, written as JSON, to a target, and returns how many connections got it.
    pub(crate) async fn publish(&self, target: &Value, event: &str) -> u64 {
        let receipt = self.receipt(target, event).await;
        receipt["delivered"]
            .as_u64()
            .unwrap_or_else(|| panic!("no count in {receipt}"))
    }

    /// Publishes an event and returns the whole answer.
    pub(crate) async fn receipt(&self, target: &Value, event: &str) -> Value {
        let answer = self.post(publication(target, event)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// How many connections the server says it has.
    pub(crate) async fn connections(&self) -> u64 {
        let answer = self.get("/healthz").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["connections"]
            .as_u64()
            .unwrap_or_else(|| panic!("no count of connections: {answer:?}"))
    }

    /// Waits until the server has this many connections.
    pub(crate) async fn settles_at(&self, connections: u64) {
        until(format!("{connections} connections"), async || {
            (self.connections().await == connections).then_some(())
        })
        .await;
    }
}

/// The body of a publish request. The event goes in as it is written, to the byte.
pub(crate) fn publication(target: &Value, event: &str) -> String {
    format!(r#"{{"target":{target},"event":{event}}}"#)
}

/// A target as JSON.
pub(crate) fn target(kind: &str, id: &str) -> Value {
    serde_json::json!({ "type": kind, "id": id })
}

/// The flags the checks use, each with what it is for.
pub(crate) mod flags {
    /// A peer that is half-way through a request and silent is cut off soon.
    pub(crate) const IMPATIENT_HANDSHAKE: &[&str] =
        &["--header-timeout", "2s", "--body-timeout", "2s"];

    /// A client that answers no ping is cut off soon, and one that is merely slow to is not.
    pub(crate) const IMPATIENT_PINGS: &[&str] = &[
        "--ping-interval",
        "100ms",
        "--pong-timeout",
        "2s",
        "--write-timeout",
        "10m",
    ];

    /// A client that takes nothing of what is written is cut off soon.
    pub(crate) const IMPATIENT_WRITES: &[&str] =
        &["--write-timeout", "1s", "--ping-interval", "10m"];

    /// Nobody is cut off for being slow, so whoever a slow client holds up stays held up.
    pub(crate) const PATIENT: &[&str] = &["--write-timeout", "10m", "--ping-interval", "10m"];

    /// Little waits for a client, the oldest is dropped, and nobody is cut off for being slow.
    pub(crate) const SMALL_MAILBOX: &[&str] = &[
        "--mailbox-messages",
        "16",
        "--mailbox-bytes",
        "1MiB",
        "--overflow",
        "drop-oldest",
        "--write-timeout",
        "10m",
        "--ping-interval",
        "10m",
    ];

    /// All that a check publishes waits for a client, for as long as the check lasts.
    pub(crate) const LARGE_MAILBOX: &[&str] = &[
        "--mailbox-messages",
        "1000000",
        "--mailbox-bytes",
        "256MiB",
        "--write-timeout",
        "10m",
        "--ping-interval",
        "10m",
        "--drain-timeout",
        "10m",
    ];

    /// A drain ends soon whoever holds it up, and nothing else ends a connection.
    pub(crate) const SHORT_DRAIN: &[&str] = &[
        "--drain-timeout",
        "500ms",
        "--write-timeout",
        "10m",
        "--ping-interval",
        "10m",
    ];

    /// A drain lasts as long as somebody holds it up, for nothing ends a connection.
    pub(crate) const LONG_DRAIN: &[&str] = &[
        "--drain-timeout",
        "10m",
        "--write-timeout",
        "10m",
        "--ping-interval",
        "10m",
        "--header-timeout",
        "10m",
        "--body-timeout",
        "10m",
    ];

    /// Two connections, and eight targets for each.
    pub(crate) const FEW_OF_ALL: &[&str] = &["--max-connections", "2", "--max-targets", "8"];

    /// A client whose mailbox is full is closed, and none for any other slowness.
    pub(crate) const DISCONNECT: &[&str] = &[
        "--overflow",
        "disconnect",
        "--mailbox-messages",
        "64",
        "--write-timeout",
        "10m",
        "--ping-interval",
        "10m",
    ];

    /// All of them.
    pub(crate) const SETS: [&[&str]; 10] = [
        IMPATIENT_HANDSHAKE,
        IMPATIENT_PINGS,
        IMPATIENT_WRITES,
        PATIENT,
        SMALL_MAILBOX,
        LARGE_MAILBOX,
        SHORT_DRAIN,
        LONG_DRAIN,
        FEW_OF_ALL,
        DISCONNECT,
    ];
}
