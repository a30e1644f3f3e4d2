//! The master is found through real Sentinels.

use midplane_conformance::suite::{TestLink, refusal};
use midplane_core::bus::{Bus, BusErrorKind, Lane};
use midplane_redis::Redis;
use midplane_testkit::executor::Executor;
use midplane_testkit::server::Server;
use midplane_testkit::{eventually, within};

/// A master, its replica, and a Sentinel that knows both.
async fn watched() -> (Server, Server, Server) {
    let flags = ["--requirepass", "secret", "--masterauth", "secret"];
    let [master, replica] = [Server::redis_with(&flags), Server::redis_with(&flags)];
    let port = master.address().port().to_string();
    let answer = replica.redis_command(&["REPLICAOF", "127.0.0.1", &port]);
    assert_eq!(answer, "+OK\r\n");
    // It asks the master once at first, and then every ten seconds.
    eventually("the master knows the replica", || {
        let known = master.redis_command(&["INFO", "replication"]);
        known.contains("state=online")
    })
    .await;
    let sentinel = Server::redis_sentinel("chat", &master);
    // Before that it has no replica to promote.
    eventually("the sentinel knows the replica", || {
        let known = sentinel.redis_command(&["SENTINEL", "REPLICAS", "chat"]);
        known.contains("\r\nslave\r\n") && known.contains("master-link-status\r\n$2\r\nok\r\n")
    })
    .await;
    (master, replica, sentinel)
}

/// The first Sentinel of the URL is not there, as may be.
fn bus(sentinel: &Server) -> Redis {
    let url = format!(
        "redis+sentinel://:secret@127.0.0.1:1,{}/chat",
        sentinel.address()
    );
    Redis::new(&url).expect("a url")
}

/// The bus works again, and it is this server that carries it.
async fn heals(bus: &Redis, server: &Server) {
    within("the heal", async {
        loop {
            // While the master is being demoted, both fail.
            let Ok(mut link) = bus.connect().await else {
                continue;
            };
            let subscribed = link.transmit.subscribe(&[Lane(1)]).await.is_ok();
            let channels = || server.redis_command(&["PUBSUB", "CHANNELS"]);
            if subscribed && channels().contains("midplane:1") {
                return;
            }
        }
    })
    .await;
    TestLink::working(bus).await;
}

#[test]
fn a_master_that_dies_is_replaced() {
    for executor in [Executor::Smol, Executor::TokioMulti] {
        executor.run(async {
            let (master, replica, sentinel) = watched().await;
            let bus = bus(&sentinel);
            let mut node = TestLink::working(&bus).await;
            master.kill();
            assert_eq!(node.end().await, BusErrorKind::Unreachable);
            heals(&bus, &replica).await;
        });
    }
}

#[test]
fn a_master_that_is_demoted_loses_its_links() {
    Executor::Threads.run(async {
        let (_master, replica, sentinel) = watched().await;
        let bus = bus(&sentinel);
        let mut node = TestLink::working(&bus).await;
        let answer = sentinel.redis_command(&["SENTINEL", "FAILOVER", "chat"]);
        assert_eq!(answer, "+OK\r\n");
        // The Sentinel kills the clients of the master that it demotes.
        assert_eq!(node.end().await, BusErrorKind::Unreachable);
        heals(&bus, &replica).await;
    });
}

#[test]
fn sentinels_that_differ_are_not_believed() {
    Executor::Smol.run(async {
        let masters = [Server::redis_with(&[]), Server::redis_with(&[])];
        let sentinels = masters
            .each_ref()
            .map(|master| Server::redis_sentinel("chat", master));
        let [one, two] = sentinels.each_ref().map(Server::address);
        let bus = Redis::new(&format!("redis+sentinel://{one},{two}/chat")).expect("a url");
        // Whichever is asked first.
        for _ in 0..2 {
            let error = refusal(&bus).await;
            assert_eq!(error.kind(), BusErrorKind::Unreachable, "{error}");
            for server in masters.iter().chain(&sentinels) {
                let address = server.address().to_string();
                assert!(error.to_string().contains(&address), "{error}");
            }
        }
        // One that is gone has no say, whether it refuses or is silent.
        let [_, stale] = &sentinels;
        stale.stop();
        TestLink::working(&bus).await;
    });
}

#[test]
fn a_name_that_no_sentinel_knows_is_said() {
    Executor::Smol.run(async {
        let master = Server::redis_with(&[]);
        let sentinel = Server::redis_sentinel("chat", &master);
        let bus = Redis::new(&sentinel.url()).expect("a url");
        TestLink::connect(&bus)
            .await
            .send(1, "received by nobody")
            .await;
        let url = sentinel.url().replace("/chat", "/news");
        let error = refusal(&Redis::new(&url).expect("a url")).await;
        assert_eq!(error.kind(), BusErrorKind::Unreachable, "{error}");
        assert!(
            error.to_string().contains("no master called news"),
            "{error}"
        );
    });
}
