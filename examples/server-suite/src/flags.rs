//! The sets of flags that the checks give a server, each with what it is for.

/// A peer that is half-way through a request and silent is cut off soon.
pub(crate) const IMPATIENT_HANDSHAKE: &str = "--header-timeout 2s --body-timeout 2s";

/// A client that answers no ping is cut off soon, and one that is merely slow to is not.
pub(crate) const IMPATIENT_PINGS: &str =
    "--ping-interval 100ms --pong-timeout 2s --write-timeout 10m";

/// A client is asked for signs of life all the time, and has little time to give one.
pub(crate) const ALWAYS_ASKED: &str =
    "--ping-interval 100ms --pong-timeout 300ms --mailbox-bytes 256KiB";

/// A client that takes nothing of what is written is cut off soon.
pub(crate) const IMPATIENT_WRITES: &str = "--write-timeout 1s --ping-interval 10m";

/// Nobody is cut off for being slow, so a client that is held up stays so.
pub(crate) const PATIENT: &str = "--write-timeout 10m --ping-interval 10m";

/// Little waits for a client, the oldest is dropped, and nobody is cut off for being slow.
pub(crate) const SMALL_MAILBOX: &str = "--mailbox-messages 16 --mailbox-bytes 1MiB \
     --overflow drop-oldest --write-timeout 10m --ping-interval 10m";

/// Little waits for all clients together, and nobody is cut off for being slow.
pub(crate) const SMALL_BACKLOG: &str = "--max-backlog 4MiB --mailbox-bytes 1MiB --socket-buffer 16KiB \
     --write-timeout 10m --ping-interval 10m";

/// All that a check publishes waits for a client, for as long as the check lasts.
pub(crate) const LARGE_MAILBOX: &str = "--mailbox-messages 1000000 --mailbox-bytes 256MiB \
     --write-timeout 10m --ping-interval 10m --drain-timeout 10m";

/// A drain ends soon even if a client holds it up, and nothing else ends a connection.
pub(crate) const SHORT_DRAIN: &str =
    "--drain-timeout 500ms --write-timeout 10m --ping-interval 10m";

/// A drain lasts as long as a client holds it up, for nothing ends a connection.
pub(crate) const LONG_DRAIN: &str = "--drain-timeout 10m --write-timeout 10m \
     --ping-interval 10m --header-timeout 10m --body-timeout 10m";

/// A drain that lasts until something else ends it.
pub(crate) const LONG_DELAY: &str = "--drain-delay 10m --drain-timeout 10m";

/// Few sockets that speak HTTP, which are kept for longer than any check lasts.
pub(crate) const FEW_SOCKETS: &str =
    "--max-sockets 8 --keep-alive 10m --header-timeout 10m --body-timeout 10m";

/// A connection that speaks HTTP is old at once.
pub(crate) const OLD_SOCKETS: &str = "--max-age 10ms";

/// Two connections, and eight targets for each.
pub(crate) const FEW_OF_ALL: &str = "--max-connections 2 --max-targets 8";

/// A client whose mailbox is full is closed, and none for any other slowness.
pub(crate) const DISCONNECT: &str =
    "--overflow disconnect --mailbox-messages 64 --write-timeout 10m --ping-interval 10m";

/// A handful of events is kept to be sent again.
pub(crate) const SMALL_REPAIR: &str = "--repair-keep 1KiB --repair-hold 1KiB";

/// The names of all flags in these sets, each once.
pub(crate) fn names() -> Vec<&'static str> {
    let sets = [
        IMPATIENT_HANDSHAKE,
        IMPATIENT_PINGS,
        ALWAYS_ASKED,
        IMPATIENT_WRITES,
        PATIENT,
        SMALL_MAILBOX,
        SMALL_BACKLOG,
        LARGE_MAILBOX,
        SHORT_DRAIN,
        LONG_DRAIN,
        LONG_DELAY,
        FEW_SOCKETS,
        OLD_SOCKETS,
        FEW_OF_ALL,
        DISCONNECT,
        SMALL_REPAIR,
    ];
    let words = sets.into_iter().flat_map(str::split_whitespace);
    let mut names: Vec<_> = words.filter(|word| word.starts_with("--")).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// What was published while a node was cut off is counted: heartbeats list it for three more than the time to live, which is
/// longer than a busy machine takes to connect again.
pub(crate) const LISTED_FOR_LONG: &str = "--heartbeat 2s";

/// Two connections of each address, where 0 is no limit.
pub(crate) const FEW_FOR_EACH: &str = "--max-connections 8 --max-connections-per-address 2";
