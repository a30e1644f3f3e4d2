//! The command line: every limit of the server, with its default, its unit and its range.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ContextValue;
use clap::{Parser, ValueEnum};
use midplane::mailbox::{Capacity, Overflow};
use tracing_subscriber::filter::Targets;

use crate::operators::AccessFlags;
use crate::quantity::{KIB, MIB, count, lanes, size, time};

/// A realtime server on midplane: clients hold a WebSocket, anyone publishes by HTTP.
///
/// GET / is a page that shows it, GET /ws upgrades to a WebSocket (?user= and ?org= give a demo
/// identity), POST /publish delivers an event to a target, GET /healthz and GET /readyz say how the
/// server is.
///
/// SIGTERM and SIGQUIT drain: GET /readyz says so, and connections are accepted for --drain-delay still; then none is, and
/// every client is told and closed with 1012, each at a moment of its own, and told when to come back; the process ends
/// within --drain-timeout from then. SIGINT drains without the delay. A second of these signals ends the process at once.
/// SIGHUP drains as SIGINT does where standard input or standard error is a terminal, which is gone then; elsewhere it is
/// logged, for there is nothing to read anew, as are SIGUSR1 and SIGUSR2. SIGPIPE does nothing.
///
/// Times are whole numbers with ms, s or m behind them; sizes are bytes, or have KiB or MiB behind
/// them.
#[derive(Debug, Clone, Parser)]
#[command(version)]
pub(crate) struct Config {
    /// Address and port to listen on; port 0 takes a free one, which the ready line tells.
    ///
    /// It must be a loopback address unless a proxy is there: identities are taken from the query of /ws and not
    /// authenticated. See --behind-proxy.
    #[arg(
        long,
        env = "MIDPLANE_LISTEN",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:8080"
    )]
    pub(crate) listen: SocketAddr,

    /// A name under which a proxy serves this server, beside those of loopback addresses: what the `Host` of a request
    /// may be, without a port. May be given several times.
    ///
    /// `GET /healthz` and `GET /readyz` take any `Host`, and tell others than those the status alone.
    #[arg(long, value_name = "NAME")]
    pub(crate) public_host: Vec<String>,

    #[command(flatten)]
    pub(crate) operators: AccessFlags,

    /// What is logged to standard error: a level (off, error, warn, info, debug, trace), or a list
    /// such as `info,midplane_server=debug`. The driver of NATS logs what its server says as it stands,
    /// at the level of information.
    #[arg(
        long,
        env = "MIDPLANE_LOG",
        value_name = "FILTER",
        default_value = "info,async_nats=warn"
    )]
    pub(crate) log: Targets,

    /// Where the backplane is, by which events reach the other nodes: memory:, redis://, rediss://,
    /// valkey://, nats://, tls:// or postgres://, with user and password in front of the host if
    /// need be. A password on a command line is seen by every user of the machine; in the
    /// environment it is not.
    ///
    /// Without it the environment is asked: `MIDPLANE_BACKPLANE_URL`, or `MIDPLANE_BACKPLANE`
    /// for `memory`. With none of them, events stay in this process. A backplane that is set
    /// and not open at the start ends the program; later it is tried for as long as it takes.
    #[arg(long, value_name = "URL")]
    pub(crate) backplane: Option<String>,

    /// What the names of the backplane's channels start with, `midplane` without it, or else what
    /// `MIDPLANE_BACKPLANE_PREFIX` says: services that share a server need different ones.
    #[arg(long, value_name = "PREFIX")]
    pub(crate) backplane_prefix: Option<String>,

    /// The name of the cluster, at most 64 bytes: nothing is taken of nodes with another, and both say so. A node without it
    /// agrees with all.
    #[arg(long, env = "MIDPLANE_CLUSTER_NAME", value_name = "NAME")]
    pub(crate) cluster_name: Option<String>,

    /// What this node is called in the logs and answers of the others, at most 64 bytes; `host:pid` without it.
    #[arg(long, env = "MIDPLANE_NODE_NAME", value_name = "NAME")]
    pub(crate) node_name: Option<String>,

    /// Nodes that are to hear each other at least, this one among them, for the server to be ready, 0 to 1024: the fewest
    /// that the service would go on with. Only by this nodes on two brokers that never met know of it.
    #[arg(
        long,
        env = "MIDPLANE_EXPECTED_MEMBERS",
        value_name = "COUNT",
        default_value = "0",
        value_parser = count(0..=1_024)
    )]
    pub(crate) expected_members: usize,

    /// Time for the backplane to let this node in at the start, 10ms to 10m.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = time(TIMES))]
    pub(crate) backplane_timeout: Duration,

    /// A file with the keys by which the nodes sign what they send each other: a line for each, its id (0 to 127), a colon,
    /// and 32 bytes or more in base64 or hexadecimal digits. The first key signs, up to four are known. Nobody but the
    /// nodes should be able to read it.
    ///
    /// Without it who can write to the backplane is trusted with everything.
    #[arg(long, env = "MIDPLANE_BUS_KEY_FILE", value_name = "FILE")]
    pub(crate) bus_key_file: Option<PathBuf>,

    /// Whether what other nodes send has to be signed. It takes --bus-key-file.
    ///
    /// A cluster comes to require it in two steps: all nodes sign, then all require.
    #[arg(
        long,
        env = "MIDPLANE_BUS_SIGNING",
        value_enum,
        value_name = "MODE",
        default_value = "sign"
    )]
    pub(crate) bus_signing: SigningMode,

    /// Lanes that the backplane is divided into, 1 to 65536, the same on every node.
    ///
    /// With 1 every node receives every event. With more a node subscribes to the lanes on which it has
    /// members, and lane 0.
    #[arg(long, value_name = "COUNT", default_value = "1", value_parser = lanes)]
    pub(crate) lanes: u32,

    /// Time between two heartbeats of a node, 10ms to 10m, the same on every node. One that misses
    /// two of its own is not ready.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = time(TIMES))]
    pub(crate) heartbeat: Duration,

    /// How late an event may arrive, or how long it may wait for the backplane, 10ms to 10m; one
    /// that is later is dropped, and reported as missing.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time(TIMES))]
    pub(crate) time_to_live: Duration,

    /// Time for which a lane stays subscribed after its last member has left, 10ms to 10m.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time(TIMES))]
    pub(crate) cool_down: Duration,

    /// Bytes that wait for the backplane at most, 1KiB to 256MiB; more is not relayed, and the
    /// answer to the publisher says so.
    #[arg(long, value_name = "SIZE", default_value = "8MiB", value_parser = size(KIB..=256 * MIB))]
    pub(crate) relay_queue: usize,

    /// Bytes of what was relayed that are kept at most, for --time-to-live, to be sent again to nodes
    /// that missed it, 1KiB to 256MiB.
    ///
    /// Of what was relayed while a node was away and is not kept any more, its clients are told that
    /// they missed it. An event takes some 250 bytes beside its own, and fewer where many are
    /// published at once.
    #[arg(long, value_name = "SIZE", default_value = "8MiB", value_parser = size(KIB..=256 * MIB))]
    pub(crate) repair_keep: usize,

    /// Bytes of events from other nodes that wait at most for earlier ones to be sent again, 1KiB to
    /// 256MiB; what has no room is asked for again later.
    #[arg(long, value_name = "SIZE", default_value = "8MiB", value_parser = size(KIB..=256 * MIB))]
    pub(crate) repair_hold: usize,

    /// Also deliver what any program publishes as JSON on the backplane's channel `midplane:json`
    /// (Redis, Valkey), `midplane.json` (NATS) or `midplane_json` (Postgres).
    ///
    /// A program that may publish there may publish to everyone. To be set on every node.
    #[arg(long)]
    pub(crate) json_lane: bool,

    /// WebSocket connections at most, 1 to 1000000; beyond it /ws answers 503.
    ///
    /// --max-sockets more may speak plain HTTP at once. The limit of open descriptors is raised as far as the system lets it be; where it is too low for all of
    /// these, fewer connections are taken, and the log says how many.
    #[arg(long, value_name = "COUNT", default_value = "10000", value_parser = count(1..=1_000_000))]
    pub(crate) max_connections: usize,

    /// WebSocket connections and streams of events of one address at most, together, 0 to 1000000; beyond it /ws and /events
    /// answer 429. With 0 one address may have them all.
    ///
    /// Behind a proxy every client has the proxy's address: leave it at 0, and bound clients there. All addresses of an IPv6
    /// network of 64 bits are one.
    #[arg(long, value_name = "COUNT", default_value = "0", value_parser = count(0..=1_000_000))]
    pub(crate) max_connections_per_address: usize,

    /// Sockets that speak plain HTTP at once, handshakes among them, 8 to 100000.
    ///
    /// For one more, the socket is closed that has been without a request for the longest time, of an address that has
    /// the most. Where each has a request under way, 16 more may ask for GET /healthz and GET /readyz alone.
    #[arg(long, value_name = "COUNT", default_value = "1024", value_parser = count(8..=100_000))]
    pub(crate) max_sockets: usize,

    /// Users, orgs, sessions, agents and topics one connection may be in at once, 2 to 100000.
    #[arg(long, value_name = "COUNT", default_value = "1024", value_parser = count(2..=100_000))]
    pub(crate) max_targets: usize,

    /// Largest message a WebSocket client may send, 128 bytes to 16MiB; a larger one closes with
    /// 1009.
    #[arg(long, value_name = "SIZE", default_value = "64KiB", value_parser = size(128..=16 * MIB))]
    pub(crate) max_message: usize,

    /// Largest body of POST /publish, 128 bytes to 16MiB; a larger one is answered with 413.
    #[arg(long, value_name = "SIZE", default_value = "64KiB", value_parser = size(128..=16 * MIB))]
    pub(crate) max_body: usize,

    /// Events that wait for one client at most, 1 to 1000000: a node that comes back gets what it
    /// missed in bursts, and clients that keep up are to take them.
    #[arg(long, value_name = "COUNT", default_value = "1024", value_parser = count(1..=1_000_000))]
    pub(crate) mailbox_messages: usize,

    /// Bytes of the events that wait for one client at most, with 64 more for each event, 128 bytes
    /// to 256MiB; a larger event is lost to it.
    #[arg(long, value_name = "SIZE", default_value = "1MiB", value_parser = size(128..=256 * MIB))]
    pub(crate) mailbox_bytes: usize,

    /// Bytes of the events that wait for all clients together at most, with 64 more for each event, 1MiB to 1048576MiB; an
    /// event for several clients counts for each.
    ///
    /// Up to half of that each client has its --mailbox-bytes. From there on it has its share of the other half, in equal parts:
    /// for one with more waiting it is as if its mailbox were full, and one with less goes on as before.
    #[arg(long, value_name = "SIZE", default_value = "1024MiB", value_parser = size(MIB..=MIB << 20))]
    pub(crate) max_backlog: usize,

    /// Bytes that the system holds for one client at most, 16KiB to 16MiB, beside its mailbox (`SO_SNDBUF`, of which Linux
    /// takes twice that, for its own book-keeping too).
    #[arg(long, value_name = "SIZE", default_value = "128KiB", value_parser = size(16 * KIB..=16 * MIB))]
    pub(crate) socket_buffer: usize,

    /// What happens when a client does not keep up and its mailbox is full.
    #[arg(long, value_enum, value_name = "POLICY", default_value = "drop-oldest")]
    pub(crate) overflow: OverflowPolicy,

    /// Time for a client to send the head of the first request of a connection, 10ms to 10m: it bounds the WebSocket
    /// handshake.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time(TIMES))]
    pub(crate) header_timeout: Duration,

    /// Time for which a connection is kept between two requests, until the head of the next is there, 10ms to 10m, and at
    /// least --header-timeout; answers say it. Above that of proxies, which is 60s for most, none sends a request into a
    /// connection that is being closed.
    #[arg(long, value_name = "TIME", default_value = "75s", value_parser = time(TIMES))]
    pub(crate) keep_alive: Duration,

    /// Age at which a connection that speaks plain HTTP is closed with its next answer, 10ms to 10m: so a load balancer
    /// that keeps connections comes to new servers, too.
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = time(TIMES))]
    pub(crate) max_age: Duration,

    /// Time for a client to send the whole body of a request, 10ms to 10m; then it is answered with
    /// 408.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time(TIMES))]
    pub(crate) body_timeout: Duration,

    /// Time after which a client is cut off that takes nothing of what waits to be written, 10ms to
    /// 10m. A client that reads 5 kB/s makes room every 15s, or every 50s with a receive buffer of 4 MiB.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = time(TIMES))]
    pub(crate) write_timeout: Duration,

    /// Time between two pings to a WebSocket client, 10ms to 10m.
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = time(TIMES))]
    pub(crate) ping_interval: Duration,

    /// Time after a ping has left within which a client must send something, the pong or anything else, or
    /// be cut off, 10ms to 10m. What was sent before the ping is to be read first, at 4 KiB/s or faster, and a client that takes
    /// what waits to be written lives.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time(TIMES))]
    pub(crate) pong_timeout: Duration,

    /// Time for which connections are accepted after GET /readyz says that the server drains, 0s to 10m: longer than a load
    /// balancer takes to see that. A server that was not ready anyway does not wait.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = time(Duration::ZERO..=*TIMES.end()))]
    pub(crate) drain_delay: Duration,

    /// Time a drain may take after --drain-delay, 10ms to 10m; then the connections left are cut and the exit code is 1.
    /// Clients are closed within its first half, 5ms for each. With the delay it is to be less than the time after which the
    /// process is killed, which is 10s in docker.
    #[arg(long, value_name = "TIME", default_value = "7s", value_parser = time(TIMES))]
    pub(crate) drain_timeout: Duration,
}

const TIMES: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(600);

/// What a mailbox does with events it has no room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OverflowPolicy {
    /// The oldest waiting events give way; the client learns how many by a `lost` message
    DropOldest,
    /// The new event is refused; the client learns how many by a `lost` message
    DropNewest,
    /// A waiting event gives way to a new one with its `key`; then the oldest give way
    KeepLatest,
    /// The client gets a `lost` message and is closed with 1013
    Disconnect,
}

/// What a node does with the keys that it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SigningMode {
    /// Sign, and take what is not signed too; a wrong signature is dropped
    Sign,
    /// Sign, and drop what no known key has signed; --json-lane is closed
    Require,
}

impl Config {
    /// The time for which a connection is kept between two requests.
    pub(crate) fn kept(&self) -> Duration {
        self.keep_alive.max(self.header_timeout)
    }

    /// What the command line says.
    ///
    /// # Errors
    /// When it asks for help or the version, or a value is not one the flag takes.
    pub(crate) fn from_command_line() -> Result<Self, clap::Error> {
        let config = Self::try_parse()?;
        config.check()?;
        Ok(config)
    }

    /// The error of what is of a backplane, and there is none.
    pub(crate) fn check_bus(&self, backplane: bool) -> Result<(), &'static str> {
        if self.bus_key_file.is_some() && !backplane {
            return Err("--bus-key-file is of a backplane, and there is none: set --backplane");
        }
        if self.json_lane && !backplane {
            return Err("--json-lane is of a backplane, and there is none: set --backplane");
        }
        Ok(())
    }

    fn check(&self) -> Result<(), clap::Error> {
        use clap::CommandFactory;

        if self.listen.ip().is_loopback() || self.operators.behind_proxy {
            return Ok(());
        }
        let message = format!(
            "will not listen on {}: identities are not authenticated, so only a loopback address such as \
             127.0.0.1:8080 is served, and any --behind-proxy",
            self.listen
        );
        Err(Self::command().error(clap::error::ErrorKind::ValueValidation, message))
    }

    pub(crate) fn capacity(&self) -> Capacity {
        Capacity {
            messages: self.mailbox_messages,
            bytes: self.mailbox_bytes,
            ..Capacity::default()
        }
    }

    pub(crate) fn overflow(&self) -> Overflow {
        match self.overflow {
            OverflowPolicy::DropOldest => Overflow::DropOldest,
            OverflowPolicy::DropNewest => Overflow::DropNewest,
            OverflowPolicy::KeepLatest => Overflow::KeepLatest,
            OverflowPolicy::Disconnect => Overflow::Disconnect,
        }
    }
}

/// The error without the usage and the hints that follow its first paragraph, as one line. What was given is quoted there
/// only where it cannot hold a password: the URL of a backplane may stand behind another flag, or behind none.
pub(crate) fn one_line(error: &clap::Error) -> String {
    let mut text = error.render().to_string();
    let may_hold_secret = |given: &&String| {
        let signs = ["://", "@", "pass"];
        signs.iter().any(|sign| given.contains(sign))
    };
    for (_, context) in error.context() {
        let given = match context {
            ContextValue::String(given) => std::slice::from_ref(given),
            ContextValue::Strings(given) => given.as_slice(),
            _ => continue,
        };
        for secret in given.iter().filter(may_hold_secret) {
            text = text.replace(secret.as_str(), "***");
        }
    }
    let paragraph = text.lines().take_while(|line| !line.trim().is_empty());
    paragraph.map(str::trim).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(flags: &str) -> Result<Config, String> {
        let line = ["server"].into_iter().chain(flags.split_whitespace());
        let config = Config::try_parse_from(line).map_err(|error| one_line(&error))?;
        config.check().map_err(|error| one_line(&error))?;
        Ok(config)
    }

    #[test]
    fn the_defaults_are_within_their_own_ranges() {
        let config = parse("").unwrap();
        assert_eq!(config.max_message, 64 * KIB);
        assert_eq!(config.ping_interval, Duration::from_secs(20));
    }

    #[test]
    fn units_are_read() {
        let flags = "--mailbox-bytes 3MiB --max-body 200 --pong-timeout 250ms";
        let config = parse(flags).unwrap();
        assert_eq!(config.mailbox_bytes, 3 * MIB);
        assert_eq!(config.max_body, 200);
        assert_eq!(config.pong_timeout, Duration::from_millis(250));
    }

    #[test]
    fn a_bad_value_is_one_line_that_names_the_flag() {
        for (flags, wants) in [
            ("--listen nowhere", "--listen"),
            ("--listen 0.0.0.0:80", "loopback"),
            ("--max-connections 0", "within 1 to 1000000"),
            ("--max-connections many", "whole number"),
            ("--max-message 1GiB", "KiB"),
            ("--max-message 64MiB", "within 128B to 16MiB"),
            ("--write-timeout 10", "ms, s, m"),
            ("--write-timeout 99999999999999999999s", "whole number"),
            ("--overflow explode", "drop-oldest"),
            ("--listne x", "--listne"),
        ] {
            let message = parse(flags).unwrap_err();
            assert!(message.contains(wants), "{message}");
            assert!(
                message.starts_with("error: ") && !message.contains('\n'),
                "{message}"
            );
        }
    }

    #[test]
    fn a_password_that_is_given_in_a_wrong_place_is_not_repeated() {
        let url = "redis://ada:hunter2@h:1";
        for (flags, wants) in [
            (url.to_owned(), "unexpected argument"),
            (format!("surplus {url}"), "surplus"),
            (format!("--listen {url}"), "--listen"),
            (format!("--max-message={url}"), "--max-message"),
            (format!("--overflow {url}"), "--overflow"),
            (format!("--bakplane={url}"), "unexpected argument"),
            (format!("--backplane memory: {url}"), "unexpected argument"),
            ("--listen host=h,password=hunter2".to_owned(), "--listen"),
        ] {
            let message = parse(&flags).unwrap_err();
            assert!(message.contains(wants), "{message}");
            assert!(!message.contains("hunter2"), "{message}");
        }
    }

    #[test]
    fn every_flag_is_described_with_its_default() {
        use clap::CommandFactory;

        const OPTIONAL: [&str; 9] = [
            "backplane",
            "backplane_prefix",
            "behind_proxy",
            "bus_key_file",
            "cluster_name",
            "json_lane",
            "node_name",
            "operator_token_file",
            "public_host",
        ];
        for argument in Config::command().get_arguments() {
            let name = argument.get_id().as_str();
            assert!(argument.get_help().is_some(), "{name}");
            let defaulted = !argument.get_default_values().is_empty();
            let optional = OPTIONAL.contains(&name);
            assert!(defaulted != optional, "{name}");
        }
    }
}
