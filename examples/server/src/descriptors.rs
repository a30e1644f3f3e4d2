//! How many files and sockets the process may have open, and what for.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors for what is not a client: the log, the signals, the runtime, links with the bus.
const OWN: usize = 64;

/// The fewest sockets that make a server.
const FEWEST: usize = 64;

/// The places that clients are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Places {
    /// Sockets that speak HTTP at once.
    pub(crate) sockets: usize,
    /// WebSocket connections.
    pub(crate) connections: usize,
}

impl Places {
    /// As many as are wanted, or as the limit of descriptors leaves; `None` where it leaves none. Some are kept for HTTP
    /// whatever the connections take, health checks among it.
    fn within(self, limit: usize) -> Option<Self> {
        let left = limit.saturating_sub(OWN);
        if self.sockets + self.connections <= left {
            return Some(self);
        }
        let sockets = self.sockets.min(left / 4);
        let connections = self.connections.min(left - sockets);
        (left >= FEWEST).then_some(Self {
            sockets,
            connections,
        })
    }
}

/// Raises the limit of descriptors as far as the system lets it be, and gives the places that it leaves of those wanted.
///
/// # Errors
/// When the limit leaves no places; the message names it.
pub(crate) fn places(wanted: Places) -> Result<Places, String> {
    let limit = raise();
    let Some(places) = wanted.within(limit) else {
        let least = OWN + FEWEST;
        return Err(format!(
            "the process may open {limit} descriptors and needs {least} or more: raise the limit (`ulimit -n`, LimitNOFILE=)"
        ));
    };
    if places != wanted {
        let needed = wanted.sockets + wanted.connections + OWN;
        tracing::warn!(
            limit,
            needed,
            connections = places.connections,
            sockets = places.sockets,
            "descriptor limit too low for --max-connections"
        );
    }
    Ok(places)
}

/// The limit of descriptors, raised.
fn raise() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    // What cannot be raised is as it was.
    let limit = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => maximum,
        Err(_) => current,
    };
    limit.map_or(usize::MAX, |limit| {
        usize::try_from(limit).unwrap_or(usize::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_what_is_wanted_or_what_is_left() {
        let wanted = Places {
            sockets: 1_024,
            connections: 10_000,
        };
        assert_eq!(wanted.within(11_088), Some(wanted));
        let few = Places {
            sockets: 48,
            connections: 144,
        };
        assert_eq!(wanted.within(256), Some(few));
        assert_eq!(wanted.within(100), None);
    }
}
