//! Whether the server throws away what it was given.

use midplane_completions::{BackendErrorKind, Trouble};
use redis::aio::MultiplexedConnection;

use crate::error::ErrorContext;

/// What is wrong with the server's `maxmemory-policy`; `None` where nothing is, or where the user may not ask.
pub(super) async fn trouble(
    connection: &mut MultiplexedConnection,
    context: &ErrorContext,
) -> Option<Trouble> {
    let mut info = redis::cmd("INFO");
    info.arg("memory");
    let answer = info.query_async::<String>(connection).await.ok()?;
    let policy = evicting(&answer)?;
    let text = format!(
        "redis at {} evicts keys when it is full (maxmemory-policy {policy}), and completions with them: set \
         maxmemory-policy noeviction",
        context.address
    );
    Some(Trouble::new(BackendErrorKind::Misconfigured, text))
}

/// The policy, if the server evicts keys without a time to live, as those of a store are.
fn evicting(info: &str) -> Option<&str> {
    let field = |name| {
        let mut lines = info.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
    };
    let bounded = field("maxmemory").is_some_and(|bytes| bytes.trim() != "0");
    let policy = field("maxmemory_policy")?.trim();
    (bounded && policy.starts_with("allkeys-")).then_some(policy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bounded_server_that_evicts_any_key_is_at_fault() {
        for (bytes, policy, evicts) in [
            ("100", "allkeys-lru", true),
            ("100", "allkeys-random", true),
            ("0", "allkeys-lru", false),
            ("100", "volatile-lru", false),
            ("100", "noeviction", false),
        ] {
            let info = format!(
                "# Memory\r\nused_memory:1\r\nmaxmemory:{bytes}\r\nmaxmemory_human:1B\r\nmaxmemory_policy:{policy}\r\n"
            );
            assert_eq!(evicting(&info), evicts.then_some(policy));
        }
        assert_eq!(evicting(""), None);
    }
}
