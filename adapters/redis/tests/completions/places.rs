//! Where else a store may be: on a cluster, behind Sentinels, on a master that is one no more.

use futures::StreamExt;
use midplane::completions::{
    CompletionStream, Execution, ExecutionId, Group, GroupName, GroupStart, Groups, Outcome,
    Producer, StreamItem,
};
use midplane_completions_suite::script;
use midplane_redis::RedisStore;
use midplane_testkit::executor::Executor;
use midplane_testkit::proxy::Proxy;
use midplane_testkit::server::{RedisCluster, Server};
use midplane_testkit::{eventually, succeeds, within};

use crate::test_store::{prompt_backend, store};

async fn listening(store: &RedisStore) -> CompletionStream {
    succeeds("installing", store.install()).await;
    script::subscribe(&prompt_backend(store)).await
}

/// Finishes an execution, as soon as that works.
async fn run(store: &RedisStore, id: &str) {
    let id = ExecutionId::new(id).expect("an id");
    within("finishing", async {
        while store.start(&Execution::new(id.clone())).await.is_err() {}
        while store.finish(&id, &Outcome::Success, None).await.is_err() {}
    })
    .await;
}

/// What comes until this completion does.
async fn expect(stream: &mut CompletionStream, id: &str) {
    within(id, async {
        loop {
            match stream.next().await.expect("the stream goes on") {
                StreamItem::Completion(completion) if completion.execution.as_str() == id => return,
                _ => {}
            }
        }
    })
    .await;
}

/// The keys are on one of three shards, for most prefixes not on the one that is asked first.
#[test]
fn a_store_is_on_one_shard_of_a_cluster() {
    Executor::TokioMulti.run(async {
        let cluster = RedisCluster::start();
        let seeds: Vec<_> = cluster.nodes().iter().map(Server::address).collect();
        for prefix in ["one", "two", "three", "four"] {
            let url = format!("redis+cluster://{}", seeds[0]);
            let store = store(&url, prefix);
            let mut stream = listening(&store).await;
            for round in 0..20 {
                let id = format!("job {round}");
                run(&store, &id).await;
                expect(&mut stream, &id).await;
            }
            // The work of a group, whatever its name, is on the same shard.
            for name in ["group", "{else}where"] {
                let beginning = Group::new(GroupName::new(name).expect("an id"));
                let beginning = beginning.starting(GroupStart::Beginning);
                let ledger = succeeds("registering", store.register(&beginning)).await;
                let name = beginning.name;
                let [early, late] = ["early", "late"].map(|time| format!("{time} of {name}"));
                run(&store, &early).await;
                script::handle(&*ledger, &[&early]).await;
                run(&store, &late).await;
                succeeds("trimming", store.trim(0)).await;
                script::handle(&*ledger, &[&late]).await;
                assert!(succeeds("removing", store.remove(Some(&name))).await);
            }
        }
    });
}

/// The store follows the new master, and so do its streams.
#[test]
fn a_stream_outlives_the_demotion_of_its_master() {
    Executor::Smol.run(async {
        let (old, new) = (Server::redis_with(&[]), Server::redis_with(&[]));
        let before = store(&old.url(), "jobs");
        let mut stream = listening(&before).await;
        run(&before, "first").await;
        expect(&mut stream, "first").await;
        follow(&new, &old).await;
        let answer = new.redis_command(&["REPLICAOF", "NO", "ONE"]);
        assert!(answer.starts_with('+'), "{answer}");
        follow(&old, &new).await;
        let after = store(&new.url(), "jobs");
        run(&after, "second").await;
        expect(&mut stream, "second").await;
    });
}

/// A replica is promoted that had not got the last completions, and gives their numbers out again.
#[test]
fn a_replica_that_lacked_the_tail_is_noticed() {
    Executor::Smol.run(async {
        let (master, replica) = (Server::redis_with(&[]), Server::redis_with(&[]));
        let proxy = Proxy::start(master.address());
        let before = store(&master.url(), "jobs");
        let mut stream = listening(&store(&master.url_at(proxy.address()), "jobs")).await;
        run(&before, "kept").await;
        script::expect(&mut stream, "kept").await;
        follow(&replica, &master).await;
        replica.redis_does(&["REPLICAOF", "NO", "ONE"]);
        for id in ["lost 1", "lost 2"] {
            run(&before, id).await;
            script::expect(&mut stream, id).await;
        }
        let after = store(&replica.url(), "jobs");
        for id in ["other 1", "other 2", "other 3"] {
            run(&after, id).await;
        }
        master.kill();
        proxy.lead_to(replica.address());
        // Once for the connection, and once for the history.
        for _ in 0..2 {
            assert_eq!(script::next_item(&mut stream).await, StreamItem::Resync);
        }
        run(&after, "after").await;
        script::expect(&mut stream, "after").await;
    });
}

#[test]
fn a_store_behind_a_sentinel_follows_the_master() {
    Executor::TokioMulti.run(async {
        let (master, replica) = (Server::redis_with(&[]), Server::redis_with(&[]));
        let sentinel = Server::redis_sentinel("jobs", &master);
        let store = store(&sentinel.url(), "jobs");
        let mut stream = listening(&store).await;
        run(&store, "first").await;
        expect(&mut stream, "first").await;
        follow(&replica, &master).await;
        let port = replica.address().port().to_string();
        eventually("the sentinel knows the replica", || {
            let known = sentinel.redis_command(&["SENTINEL", "REPLICAS", "jobs"]);
            known.contains(&port)
        })
        .await;
        master.kill();
        run(&store, "second").await;
        expect(&mut stream, "second").await;
    });
}

/// Makes one a replica of the other, and waits until it has everything.
async fn follow(replica: &Server, master: &Server) {
    let port = master.address().port().to_string();
    let answer = replica.redis_command(&["REPLICAOF", "127.0.0.1", &port]);
    assert!(answer.starts_with('+'), "{answer}");
    eventually("replicating", || {
        let known = replica.redis_command(&["INFO", "replication"]);
        known.contains("master_link_status:up")
    })
    .await;
}
