//! Which server the Sentinels name as the master.

use std::time::Duration;

use futures::future::join_all;
use midplane_core::bus::{BusError, BusErrorKind};
use redis::{ConnectionInfo, ProtocolVersion, RedisConnectionInfo};

use crate::server::Server;
use crate::topology::no_seed;
use crate::url;

/// How long a Sentinel may take to be reached, and as long again to answer: the others do not wait for one that is gone.
const PATIENCE: Duration = Duration::from_secs(1);

/// The master of this name. Every Sentinel is asked, and those that answer must agree: one that was cut off names the old
/// master, and nodes on two masters do not hear each other.
pub(crate) async fn master(seeds: &[ConnectionInfo], name: &str) -> Result<Server, BusError> {
    let answers = join_all(seeds.iter().map(|seed| ask(seed, name))).await;
    let (mut failure, mut named) = (no_seed(), Vec::new());
    for (seed, answer) in seeds.iter().zip(answers) {
        match answer {
            Ok(master) => named.push((seed, master)),
            Err(error) => failure = error,
        }
    }
    let Some((first, master)) = named.first() else {
        return Err(failure);
    };
    if let Some((other, differs)) = named.iter().find(|(_, named)| named != master) {
        let message = format!(
            "the sentinels differ over the master {name}: the one at {} names {}:{}, the one at {} names {}:{}; no link is \
             made until they agree",
            first.addr(),
            master.0,
            master.1,
            other.addr(),
            differs.0,
            differs.1
        );
        return Err(BusError::new(BusErrorKind::Unreachable, message));
    }
    Ok(Server::new(url::moved(first, &master.0, master.1)))
}

/// Host and port of the master that a Sentinel knows by this name.
async fn ask(seed: &ConnectionInfo, name: &str) -> Result<(String, u16), BusError> {
    // The credentials are the master's.
    let nobody = RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP3);
    let sentinel = Server::new(seed.clone().set_redis_settings(nobody));
    // The link does not depend on this connection.
    let dialled = sentinel.dial_within(Some(PATIENCE), |_| {}).await;
    let mut asking = dialled.map_err(|error| sentinel.context.error("connect", error))?;
    let mut question = redis::cmd("SENTINEL");
    question.arg("GET-MASTER-ADDR-BY-NAME").arg(name);
    let answer: Option<(String, u16)> = question
        .query_async(&mut asking)
        .await
        .map_err(|error| sentinel.context.error("name the master", error))?;
    answer.ok_or_else(|| {
        let message = format!(
            "the sentinel at {} knows no master called {name}: is that the name behind the slash of the url?",
            sentinel.context.address
        );
        BusError::new(BusErrorKind::Unreachable, message)
    })
}
