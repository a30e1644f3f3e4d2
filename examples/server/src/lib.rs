//! The application that the example servers share: HTTP, WebSocket, page.
//!
//! No async runtime is in it. A server is this library and a `main.rs` that brings one: how to
//! spawn, how to tell the time, and how to accept sockets. This is one on smol:
//!
//! ```no_run
//! use std::io;
//! use std::net::{SocketAddr, TcpListener};
//! use std::process::ExitCode;
//!
//! use futures::stream::{self, Stream};
//! use midplane::smol::{Timer, spawn};
//! use midplane_server::{Runtime, Socket};
//!
//! fn main() -> ExitCode {
//!     midplane_server::main(|server| {
//!         smol::block_on(server.run(Runtime::new(spawn, Timer::new()), accept))
//!     })
//! }
//!
//! fn accept(listener: TcpListener) -> io::Result<impl Stream<Item = io::Result<(impl Socket, SocketAddr)>>> {
//!     let listener = smol::net::TcpListener::try_from(listener)?;
//!     Ok(stream::unfold(listener, async |listener| {
//!         let accepted = listener.accept().await;
//!         Some((accepted, listener))
//!     }))
//! }
//! ```
//!
//! # The protocol
//!
//! `GET /ws?user=ada&org=engines` upgrades. The query is the connection's identity; requests cannot
//! change it. Events arrive as text messages, byte for byte as they were published. A message that
//! is an object with the key `midplane` is the server's own; no event can be one. The first is the
//! welcome:
//!
//! ```json
//! {"midplane":"welcome","connection":"8c1f...","user":"ada","org":"engines","reach":"everywhere"}
//! ```
//!
//! A client sends requests as text messages, and each is answered, in their order. An `id`, any
//! JSON, is echoed as it was written. A join is answered once publishers on every node reach the client
//! there, and then its `reach` is `everywhere`; or at once with the `reach` `here` where the bus between the
//! nodes is away, and then only what is published on this node comes for now. See [below](#what-a-client-may-miss).
//!
//! | request | answer |
//! |---|---|
//! | `{"request":"create_session","agent":"a1"}` (the agent is optional) | `{"midplane":"session","session":"...","agent":"a1","reach":"everywhere"}` |
//! | `{"request":"resume_session","session":"...","agent":"a1"}` (likewise) | the same |
//! | `{"request":"join","topic":"t"}` | `{"midplane":"joined","topic":"t","reach":"everywhere"}` |
//! | `{"request":"leave","topic":"t"}` | `{"midplane":"left","topic":"t"}`, also if it was not in it |
//! | `{"request":"publish","target":{"type":"topic","id":"t"},"event":...}` | `{"midplane":"published","accepted":1,"full":0,"closed":0,"panicked":0,"relay":"not_configured"}` |
//! | `{"request":"ping"}` | `{"midplane":"pong"}` |
//! | anything else | `{"midplane":"error","code":"...","message":"..."}` |
//!
//! A `publish` may have `"exclude_self":true`, and a `"key"` that says what the event is the latest
//! value of, which matters under `--overflow keep-latest`. `relay` is `not_configured`, `queued`,
//! `refused` or `refused_closed`. An event published after an answer was written comes after that
//! answer. The codes of errors:
//!
//! | code | the request |
//! |---|---|
//! | `malformed` | is not a JSON object with a `request` |
//! | `unknown_request` | has a name there is no request of |
//! | `invalid` | misses a field, has an unknown one, or one that is not what it has to be |
//! | `reserved` | publishes an object with the key `midplane` |
//! | `not_allowed` | publishes to a target the client is not in |
//! | `too_many_targets` | joins more than `--max-targets` |
//! | `binary` | is a binary message |
//! | `closing` | comes while the server shuts down |
//! | `internal` | failed through no fault of the client |
//!
//! Unasked come `{"midplane":"lost","count":3}`, where that many events were dropped because the
//! client did not keep up, `missed` and `reach` as [below](#what-a-client-may-miss), and
//! `{"midplane":"closing","reason":"...","return_after_ms":1480}` before the server shuts down and closes with 1012: the client
//! is to come back that long afterwards, each has another time. It closes with 1013 a client that lost events under `--overflow
//! disconnect`, and with 1009, 1007 or 1002 one that sends too large a message, text that is not
//! UTF-8, or breaks the protocol.
//!
//! `POST /publish` takes `{"target":{"type":"user","id":"ada"},"event":...}`, with a `"key"` if need
//! be, and answers
//! `{"delivered":1,"accepted":1,"full":0,"closed":0,"panicked":0,"relay":"not_configured"}`. An event
//! that is not relayed to the other nodes was delivered here all the same; the answer then has a
//! `reason`, and the status is 413 where it is too large for the backplane and else 503, as it is while
//! the server shuts down, when the relay is `refused_closed`. `delivered` and `accepted` count the connections of this node;
//! `relay` says what becomes of the event elsewhere: `queued` is on its way to every other node. Every error of HTTP is
//! `{"error":"code","message":"..."}`; where it lies in the body, `line` and `column` say where.
//!
//! With an `"idempotency_key"`, 1 to 255 bytes of text, a publication that is repeated on the same node within two minutes gets
//! the first answer again and publishes nothing, so that a proxy may try again; the last 10,000 keys are known. Another
//! publication with the key is refused with 409, and one that was answered with 503 may be repeated.
//!
//! `POST /publish?confirm=2000` waits for that many milliseconds at most, 1 to 30000, until every node has said how many of its
//! connections took the event, and answers with `"confirmed":{"connections":3,"here":1,"others":{"NODE":2},"silent":[],
//! "complete":true}` beside the rest. A node in `silent` did not answer, and may have delivered; only where it is `complete` are
//! there no more connections than these. It does not go together with an `idempotency_key`.
//!
//! `GET /events?user=ada&org=engines&topic=a&topic=b` is a connection too, of the same identity, that joins these topics and has
//! its events as server-sent events: a block without a name for each event, and for the server's own messages blocks named
//! `welcome`, `joined`, `reach`, `lost`, `missed` and `closing`, whose data is the message. `closing` comes where an operator
//! disconnected it, and the client is not to come back; a server that drains ends the stream with `retry`. A browser comes back by
//! itself, to another `welcome`, behind which it fetches what it may have missed.
//!
//! `POST /flows` takes `{"session":"...","executions":24}` (the number is optional) and answers 202 and
//! `{"flow":"...","executions":24}`: this node runs a flow of that many executions that wait for each other,
//! and the session is sent an event for each of their steps, on every node that has a connection of it:
//! `{"flow":"...","execution":3,"state":"started","finished":0,"of":24}`, and in the end one whose state is
//! `success`, `failure` or `skipped`. While 16 flows run the answer is 503.
//!
//! `GET /midplane.js` is a client for browsers, one file to import or to copy: it connects again with jitter, joins and resumes
//! again, and says what may have been missed meanwhile. The page uses it.
//!
//! # Operators
//!
//! `GET /nodes` is this node's state and the other nodes, those that went silent in the last ten minutes among them.
//! `GET /count?type=topic&id=t` counts the connections of a target on every node, as `confirmed` does, and `POST /disconnect` of
//! `{"target":{"type":"user","id":"ada"}}` closes them with 4001; `within=`, `within_ms` in the body, is the time for answers.
//! `GET /metrics` is for Prometheus. Operators are who asks from this machine, directly; with a `--public-host` a proxy asks from
//! there for anybody, so operators are who has the token of `--operator-token-file` alone. They need no known `Host`.
//!
//! `GET /healthz` is 200 and tells counts, the other nodes, what waits for the backplane and what came of
//! it. `GET /readyz` is 200 while events of every node come, and else 503 with `draining`, or with
//! `degraded` and the reason. While it is `degraded`, new clients are still taken, and what they publish
//! to each other arrives. Those that are no operators are told the status alone.
//!
//! # What a client may miss
//!
//! What another node published comes once and in order, late if need be: nodes repair what a fault of the bus cost. Where
//! nothing can be repaired any more, every client that may be concerned is told, in the place where the events would have
//! been, whatever `--overflow` is:
//!
//! ```json
//! {"midplane":"missed","events":17,"exact":true,"since_ms_ago":41200,"until_ms_ago":30950,"targets":["topic:news"]}
//! ```
//!
//! This server knows that `events` events are missing, whatever target they were for, and with `"exact":true` that no others
//! are. They were published between `since_ms_ago` and `until_ms_ago` milliseconds before the message was written. `targets`
//! are those of the client that may be concerned; without it, all that it is or was in. A client that then fetches the
//! state of these targets from where it is kept has all that was published before.
//!
//! `reach`, in a welcome and in the answer to a request that joins, says of whom events come: `everywhere` for those
//! published on any node, `here` for those published on this node alone, while the bus is away. When that changes for all
//! that the client is in, `{"midplane":"reach","reach":"everywhere"}` comes, or one with `here`, once for each change.
//!
//! # Other nodes
//!
//! With `--backplane redis://...`, or `MIDPLANE_BACKPLANE_URL` in the environment, what is published on
//! one server reaches the clients of all. With `--json-lane` it does so, too, when any program publishes
//! it on the backplane's channel as [`midplane::json`](mod@midplane::json) has it:
//!
//! ```text
//! redis-cli PUBLISH midplane:json '{"target":{"type":"topic","id":"t"},"event":{"hello":1}}'
//! ```
//!
//! # Who may connect
//!
//! The identities are for a demonstration: nothing proves them, so [`main`] refuses to listen on
//! any but a loopback address unless it is told to be `--behind-proxy`, which proves them and writes the query. Every path also refuses (403) what a foreign web page makes a browser
//! send: the `Host` must name a loopback address or a `--public-host`, and an `Origin` must be that host's. The two
//! paths of health answer probes all the same, whose `Host` is anything or missing.
//!
//! # Map
//!
//! `config` is the command line, `quantity` what its values are, `descriptors` how many clients they leave places for, `backplane` what joins the nodes, `notices` and `notice_log` what it says, `health` how the
//! nodes are. `runtime` is the seam to tokio or smol. `serve` accepts and drains, `signals` says when. `http` has the routes,
//! `posting` and `events` two of them, `operations` those of `operators`, `response` their answers and `answers` what all nodes
//! say, `query` reads a query, `guard` says which requests may come in, `upgrade` makes a WebSocket of one.
//! `connection` is the task that owns a client's socket and its pump, `websocket` the protocol on that
//! socket; `flows` bridges completions to sessions; `client` carries out its requests; `request` is their JSON, `message` that of the answers; `identity` has the ids, `idempotency` what is not published twice.
//! `bounded` and `clock` are the deadlines. `log` writes what is logged, and waits for nobody. `state` is what they all share; a `gauge` counts what is open, `connections` those of
//! each address, `sockets` those that speak HTTP, and says which gives way. `leave` takes time over it, `repeats` counts lines of the log that say the same.

mod answers;
mod backplane;
mod bounded;
mod client;
mod clock;
mod config;
mod connection;
mod connection_reach;
mod connections;
mod descriptors;
mod error;
mod events;
mod flows;
mod gauge;
mod guard;
mod health;
mod http;
mod idempotency;
mod identity;
mod leave;
mod live_watch;
mod log;
mod message;
mod notice_log;
mod notices;
mod operations;
mod operators;
mod posting;
mod quantity;
mod query;
mod repeats;
mod request;
mod response;
mod runtime;
mod serve;
mod signals;
mod sockets;
mod state;
mod upgrade;
mod websocket;

use std::io::{self, IsTerminal, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::sync::Arc;

use futures::Stream;
use socket2::SockRef;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

pub use error::RunError;
pub use runtime::{Runtime, Socket};

use backplane::{BusSettings, Plane};
use config::Config;
use descriptors::Places;
use operators::Operators;
use state::App;

/// Bytes that the system takes of a client's messages before they are sent. What is written next, a ping say, waits behind
/// no more than these and what is on its way.
const NOT_SENT: u32 = 16 << 10;

/// A server that listens and does not accept yet.
#[derive(Debug)]
pub struct Server {
    config: Config,
    listener: TcpListener,
    backplane: Option<BusSettings>,
    operators: Operators,
}

impl Server {
    fn bind(
        config: Config,
        backplane: Option<BusSettings>,
        operators: Operators,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(config.listen)?;
        listener.set_nonblocking(true)?;
        // The sockets that are accepted have these of the socket that listens.
        let options = SockRef::from(&listener);
        options.set_send_buffer_size(config.socket_buffer)?;
        options.set_tcp_notsent_lowat(NOT_SENT)?;
        Ok(Self {
            config,
            listener,
            backplane,
            operators,
        })
    }

    /// Accepts sockets by `accept`, which gets the listening socket in non-blocking mode, and
    /// serves them until a signal; then drains.
    ///
    /// # Errors
    /// When it cannot start, and when the drain takes longer than it may: then what it spawned
    /// still holds sockets, and the program should end.
    pub async fn run<S: Socket, I: Stream<Item = io::Result<(S, SocketAddr)>>>(
        self,
        runtime: Runtime,
        accept: impl FnOnce(TcpListener) -> io::Result<I>,
    ) -> Result<(), RunError> {
        let Self {
            config,
            listener,
            backplane,
            operators,
        } = self;
        let address = listener.local_addr()?;
        let signal = signals::first()?;
        let wanted = Places {
            sockets: config.max_sockets,
            connections: config.max_connections,
        };
        let places = descriptors::places(wanted).map_err(io::Error::other)?;
        let incoming = Box::pin(accept(listener)?);
        let plane = Plane::open(&config, &runtime, backplane.as_ref()).await?;
        let says = plane.to_string();
        let app = Arc::new(App::new(config, places, runtime, plane, operators));
        app.runtime.spawn(notices::watch(app.clone()));
        // The starter of the server may have closed its end of the pipe; that is no reason not to serve.
        if let Err(error) = writeln!(io::stdout(), "listening on http://{address}\n{says}") {
            tracing::warn!(%error, "ready line not written");
        }
        serve::serve(app, incoming, signal).await
    }
}

/// The `main` of a server: reads the command line, starts the log, listens, and hands the server to
/// `run`, which brings the runtime.
pub fn main(run: impl FnOnce(Server) -> Result<(), RunError>) -> ExitCode {
    let config = match Config::from_command_line() {
        Ok(config) => config,
        // Help and version are errors to clap, and go to standard output.
        Err(error) if !error.use_stderr() => {
            let printed = error.print();
            return if printed.is_ok() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            };
        }
        Err(error) => return fail(2, &config::one_line(&error)),
    };
    let log = tracing_subscriber::fmt::layer()
        .with_writer(log::start())
        .with_ansi(io::stderr().is_terminal())
        .with_filter(config.log.clone());
    // Where several servers are in one process, the log of the first serves all.
    let _ = tracing_subscriber::registry().with(log).try_init();
    let backplane = match backplane::settings(&config) {
        Ok(backplane) => backplane,
        Err(error) => return fail(2, &format!("error: {error}")),
    };
    if let Err(error) = config.check_bus(backplane.is_some()) {
        return fail(2, &format!("error: {error}"));
    }
    let operators = match Operators::of(&config) {
        Ok(operators) => operators,
        Err(error) => return fail(2, &format!("error: {error}")),
    };
    let address = config.listen;
    let server = match Server::bind(config, backplane, operators) {
        Ok(server) => server,
        Err(error) => return fail(1, &format!("error: cannot listen on {address}: {error}")),
    };
    match run(server) {
        Ok(()) => {
            log::flush();
            ExitCode::SUCCESS
        }
        Err(error) => fail(1, &format!("error: {error}")),
    }
}

/// Says why in one line.
fn fail(code: u8, line: &str) -> ExitCode {
    // Where nobody reads standard error, the exit code has to do.
    log::end(line);
    ExitCode::from(code)
}
