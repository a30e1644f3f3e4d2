//! Names that nothing had before.

use std::hash::{BuildHasher, RandomState};
use std::io;

use midplane_core::ConnectionId;
use midplane_core::envelope::NodeId;

/// Sixteen bytes from the operating system's source of randomness: what a
/// [`Cluster`](crate::Cluster) wants for every start.
///
/// # Errors
/// When the operating system has none to give.
pub fn fresh_node_id() -> io::Result<NodeId> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(io::Error::from)?;
    Ok(NodeId(id))
}

/// The name of this process for people, `host:pid`: what a node is called unless it is given another name.
#[must_use]
pub fn process_name() -> String {
    let kept = |path| std::fs::read_to_string(path).ok();
    let host = kept("/proc/sys/kernel/hostname").or_else(|| kept("/etc/hostname"));
    let said = || {
        ["HOSTNAME", "COMPUTERNAME"]
            .iter()
            .find_map(|name| std::env::var(name).ok())
    };
    let host = host.or_else(said).unwrap_or_default();
    // The process is told apart by its end, which a long name is not to push out.
    let host: String = host
        .trim()
        .chars()
        .filter(char::is_ascii_graphic)
        .take(52)
        .collect();
    let host = if host.is_empty() { "host" } else { &host };
    format!("{host}:{}", std::process::id())
}

/// An id of 32 hex digits, which nobody guesses where the operating system gives random bytes.
pub(crate) fn fresh_id() -> ConnectionId {
    let NodeId(bytes) = fresh_node_id().unwrap_or_else(|_| {
        // Different in each process and for each call, if not beyond guessing.
        let half = || RandomState::new().hash_one(std::time::Instant::now());
        NodeId((u128::from(half()) << 64 | u128::from(half())).to_le_bytes())
    });
    let id = ConnectionId::new(NodeId(bytes));
    id.unwrap_or_else(|_| unreachable!("32 digits are an id"))
}
