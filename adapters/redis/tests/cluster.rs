//! A cluster, of Redis or of Valkey, keeps every promise of a bus.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use midplane::node::Config;
use midplane::{Backplane, Cluster, ConnectionId, Event, Sink, Target, fresh_node_id};
use midplane_conformance::suite::{BusFixture, RefusedBus, TestLink, outbound};
use midplane_core::bus::{Bus, BusErrorKind, Lane, Outbound};
use midplane_redis::Redis;
use midplane_testkit::executor::Executor;
use midplane_testkit::proxy::Proxy;
use midplane_testkit::server::{Lease, RedisCluster, SharedServer};
use midplane_testkit::{eventually, succeeds, within};

static CLUSTER: SharedServer<RedisCluster> = SharedServer::new(RedisCluster::start);
static VALKEY: SharedServer<RedisCluster> = SharedServer::new(RedisCluster::valkey);

/// The tests share a cluster, and each has a user of its own, by which its connections are counted and killed. The user
/// may do what the documentation says it must be allowed to, and no more. Who connects anew comes through a proxy,
/// which refuses while the user is cut.
struct OverCluster {
    cluster: Lease<RedisCluster>,
    proxy: Proxy,
    user: String,
}

impl OverCluster {
    fn on(cluster: Lease<RedisCluster>) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);

        let user = format!("check-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let command = format!(
            "ACL SETUSER {user} on >right resetchannels &{user}* \
             +hello +cluster|slots +ssubscribe +sunsubscribe +spublish"
        );
        cluster.everywhere(&command.split(' ').collect::<Vec<_>>());
        Self {
            proxy: Proxy::start(cluster.nodes()[0].address()),
            cluster,
            user,
        }
    }

    fn with_prefix(&self, prefix: String) -> Arc<dyn Bus> {
        let url = format!(
            "redis+cluster://{}:right@{}",
            self.user,
            self.proxy.address()
        );
        let bus = Redis::new(&url).expect("a url");
        let bus = bus.with_prefix(prefix).expect("a prefix");
        Arc::new(bus.with_queue(4 << 20))
    }
}

impl BusFixture for OverCluster {
    fn bus(&self) -> Arc<dyn Bus> {
        self.with_prefix(self.user.clone())
    }

    fn other_prefix(&self) -> Arc<dyn Bus> {
        self.with_prefix(format!("{}-too", self.user))
    }

    fn cut(&self) {
        self.proxy.refuse();
        self.cluster
            .everywhere(&["CLIENT", "KILL", "USER", &self.user]);
    }

    fn heal(&self) {
        self.proxy.accept();
    }

    fn connections(&self) -> usize {
        let user = format!(" user={} ", self.user);
        let lists = self.cluster.everywhere(&["CLIENT", "LIST"]);
        lists.iter().map(|list| list.matches(&user).count()).sum()
    }

    fn wrong_credentials(&self) -> Option<RefusedBus> {
        let url = format!(
            "redis+cluster://intruder:hunter2@{}",
            self.cluster.addresses()
        );
        Some(RefusedBus {
            bus: Arc::new(Redis::new(&url).expect("a url")),
            secrets: vec!["hunter2".to_owned()],
            names: "user and password of the url".to_owned(),
        })
    }

    fn wrong_address(&self) -> Option<RefusedBus> {
        // Ports 1 and 2 are nobody's.
        let url = "redis+cluster://:hunter2@127.0.0.1:1,127.0.0.1:2";
        Some(RefusedBus {
            bus: Arc::new(Redis::new(url).expect("a url")),
            secrets: vec!["hunter2".to_owned()],
            names: "127.0.0.1:2, as the url has it".to_owned(),
        })
    }

    fn flood(&self) -> usize {
        6_000
    }
}

impl Drop for OverCluster {
    fn drop(&mut self) {
        self.cluster.everywhere(&["ACL", "DELUSER", &self.user]);
    }
}

midplane_conformance::bus_suite!(|| OverCluster::on(CLUSTER.get()));

mod valkey {
    use super::{OverCluster, VALKEY};

    midplane_conformance::bus_suite!(|| OverCluster::on(VALKEY.get()));
}

// What a cluster does to its links.

const EXECUTORS: [Executor; 3] = [Executor::Smol, Executor::TokioMulti, Executor::Threads];

fn bus(cluster: &RedisCluster) -> Redis {
    Redis::new(&format!("redis+cluster://{}", cluster.addresses())).expect("a url")
}

/// A bus whose lane 1 is on the first master.
fn on_the_first(cluster: &RedisCluster) -> (Redis, u16) {
    let prefixes = (0..).map(|number| format!("midplane-{number}"));
    for prefix in prefixes {
        let slot = cluster.slot(&format!("{prefix}:1"));
        if slot < 5_000 {
            let bus = bus(cluster).with_prefix(prefix).expect("a prefix");
            return (bus, slot);
        }
    }
    unreachable!("some prefix leads there")
}

#[test]
fn lanes_are_spread_over_the_shards_and_each_is_heard_once() {
    const LANES: u32 = 64;
    for executor in EXECUTORS {
        executor.run(async {
            let cluster = CLUSTER.get();
            let bus = bus(&cluster).with_prefix("spread").expect("a prefix");
            let lanes: Vec<_> = (0..LANES).map(Lane).collect();
            let mut receiver = TestLink::connect(&bus).await;
            succeeds("subscribing", receiver.transmit.subscribe(&lanes)).await;
            let counts: Vec<usize> = cluster
                .everywhere(&["PUBSUB", "SHARDCHANNELS", "spread:*"])
                .iter()
                .map(|answer| answer.matches("spread:").count())
                .collect();
            assert!(counts.iter().all(|&count| count > 0), "{counts:?}");
            assert_eq!(counts.iter().sum::<usize>(), LANES as usize, "{counts:?}");

            let mut sending = TestLink::connect(&bus).await;
            let frames: Vec<_> = lanes
                .iter()
                .map(|&lane| Outbound {
                    lane,
                    frame: lane.0.to_string().into(),
                    echo: false,
                })
                .collect();
            succeeds("sending", sending.transmit.send(&frames)).await;
            let mut heard = Vec::new();
            for _ in 0..LANES {
                let frame = within("a frame", receiver.frames.next()).await;
                let frame = frame.expect("a link").expect("a frame");
                assert_eq!(frame.frame, frame.lane.0.to_string());
                heard.push(frame.lane);
            }
            heard.sort_unstable();
            assert_eq!(heard, lanes);
        });
    }
}

#[test]
fn what_a_program_that_is_no_node_publishes_is_heard() {
    Executor::Smol.run(async {
        let cluster = CLUSTER.get();
        let bus = bus(&cluster).with_prefix("foreign").expect("a prefix");
        let mut node = TestLink::connect(&bus).await;
        succeeds("subscribing", node.transmit.subscribe(&[Lane::JSON])).await;
        // All but one of the shards send it on to that one.
        let heard: Vec<_> = cluster
            .everywhere(&["SPUBLISH", "foreign:json", "{}"])
            .into_iter()
            .filter(|answer| !answer.starts_with("-MOVED"))
            .collect();
        assert_eq!(heard, [":1\r\n"]);
        let frame = within("the frame", node.frames.next()).await;
        let frame = frame.expect("a link").expect("a frame");
        assert_eq!((frame.lane, &frame.frame[..]), (Lane::JSON, &b"{}"[..]));
    });
}

#[test]
fn a_slot_that_moves_ends_the_links_of_its_lane() {
    let cluster = Arc::new(RedisCluster::start());
    let (bus, slot) = on_the_first(&cluster);
    for (executor, from, to) in [(Executor::Smol, 0, 1), (Executor::TokioMulti, 1, 2)] {
        let (cluster, bus) = (cluster.clone(), bus.clone());
        executor.run(async move {
            let mut listening = TestLink::working(&bus).await;
            let mut publishing = TestLink::connect(&bus).await;
            let sent = publishing.transmit.send(&[outbound(1, "before")]).await;
            sent.expect("it is sent");
            let heard = within("the frame", listening.frames.next()).await;
            assert_eq!(heard.expect("a link").expect("a frame").frame, "before");
            cluster.move_slot(slot, from, to);
            // Nobody sends or subscribes anything.
            assert_eq!(listening.end().await, BusErrorKind::Unreachable);
            let sent = within("sending", publishing.transmit.send(&[outbound(1, "lost")])).await;
            let error = sent.expect_err("the slot has moved");
            assert_eq!(error.kind(), BusErrorKind::Unreachable, "{error}");
            publishing.end().await;
            heals(&bus, &cluster).await;
        });
    }
}

/// Nodes learn in their own time which of them owns a slot now, and until then name the old owner, which refuses. Each
/// link asks the next of them: all know it once as many links in a row are good.
async fn heals(bus: &Redis, cluster: &RedisCluster) {
    within("the heal", async {
        let mut good = 0;
        while good < cluster.nodes().len() {
            match again(bus).await {
                Ok(()) => good += 1,
                Err(error) => {
                    assert_eq!(error, BusErrorKind::Unreachable);
                    good = 0;
                }
            }
        }
    })
    .await;
}

async fn again(bus: &Redis) -> Result<(), BusErrorKind> {
    let mut link = bus.connect().await.map_err(|error| error.kind())?;
    let subscribed = link.transmit.subscribe(&[Lane(1)]).await;
    subscribed.map_err(|error| error.kind())?;
    let sent = link.transmit.send(&[outbound(1, "again")]).await;
    sent.map_err(|error| error.kind())?;
    let heard = within("the frame", link.frames.next()).await;
    assert_eq!(heard.expect("a link").expect("a frame").frame, "again");
    Ok(())
}

/// The driver of the core opens the next link, and subscribes all lanes anew.
#[test]
fn nodes_heal_by_themselves_when_their_slots_move() {
    Executor::Threads.run(async {
        let cluster = RedisCluster::start();
        let config = Config {
            heartbeat: Duration::from_secs(1),
            lanes: 16,
            ..Config::default()
        };
        let nodes = [0; 2].map(|_| {
            let timer = Arc::new(midplane::threads::Timer::new());
            let id = fresh_node_id().expect("an id");
            let (node, driver) = Cluster::new(id, Arc::new(bus(&cluster)), timer, config);
            midplane::threads::spawn(driver);
            node
        });
        let topic = Target::topic("t").expect("a topic");
        let heard = Arc::new(Mutex::new(BTreeSet::new()));
        let kept = heard.clone();
        let sink = Sink::new(move |event: &Event| {
            kept.lock()
                .expect("nobody panics")
                .insert(event.as_text().map(str::to_owned));
        });
        let phone = nodes[1].attach(ConnectionId::new("phone").expect("an id"), sink);
        succeeds("associating", phone.associate(&topic)).await;
        let crosses = async |what: &str| {
            let event = Event::text(what);
            eventually(what, || {
                // It is not relayed while the bus is away.
                let _ = nodes[0].publish(&topic.clone().into(), &event);
                let text = Some(what.to_owned());
                heard.lock().expect("nobody panics").contains(&text)
            })
            .await;
        };
        crosses("before").await;
        let lanes = cluster.everywhere(&["PUBSUB", "SHARDCHANNELS", "midplane:*"]);
        for (owner, lanes) in lanes.iter().enumerate() {
            for channel in lanes.lines().filter(|line| line.starts_with("midplane:")) {
                cluster.move_slot(cluster.slot(channel), owner, (owner + 1) % 3);
            }
        }
        crosses("after").await;
    });
}

#[test]
fn a_master_that_dies_ends_the_link_and_its_replica_is_found() {
    let cluster = RedisCluster::with_replicas(1);
    let (bus, _) = on_the_first(&cluster);
    Executor::TokioCurrent.run(async move {
        let mut node = TestLink::working(&bus).await;
        cluster.nodes()[0].kill();
        assert_eq!(node.end().await, BusErrorKind::Unreachable);
        // The others are there, and send us to the dead one.
        let error = again(&bus).await.expect_err("nobody has the slot");
        assert_eq!(error, BusErrorKind::Unreachable);
        cluster.promote(3, Some(0));
        heals(&bus, &cluster).await;
    });
}

#[test]
fn a_master_that_is_demoted_ends_the_link() {
    let cluster = RedisCluster::with_replicas(1);
    let (bus, _) = on_the_first(&cluster);
    Executor::Smol.run(async move {
        let mut node = TestLink::working(&bus).await;
        cluster.promote(3, None);
        // Nobody sends or subscribes anything.
        assert_eq!(node.end().await, BusErrorKind::Unreachable);
        heals(&bus, &cluster).await;
    });
}

/// The servers end what carries nothing for a second: the connection that named them, those that publish on quiet shards, and
/// those that were subscribed there and are not any more.
#[test]
fn servers_that_end_quiet_connections_end_no_link() {
    let cluster = Arc::new(RedisCluster::start());
    cluster.everywhere(&["CONFIG", "SET", "timeout", "1"]);
    for executor in [Executor::Smol, Executor::TokioMulti] {
        let cluster = cluster.clone();
        executor.run(async move {
            let connections = || -> usize {
                let nodes = cluster.nodes().iter();
                nodes.map(|node| node.redis_connections()).sum()
            };
            // The servers' own to each other are not of clients.
            eventually("nobody is there", || connections() == 0).await;
            let lanes: Vec<u32> = (0..64).collect();
            let mut node = TestLink::on(&bus(&cluster), &lanes).await;
            eventually("a subscribed one to each", || connections() == 3).await;
            for &lane in &lanes {
                node.send(lane, "here").await;
                node.receives(lane, "here").await;
            }
            eventually("those that publish are ended", || connections() == 3).await;
            node.unsubscribe(&lanes[1..]).await;
            eventually("the subscribed one of lane 0", || connections() == 1).await;
            node.subscribe(&lanes).await;
            for &lane in &lanes {
                node.send(lane, "again").await;
                node.receives(lane, "again").await;
            }
        });
    }
}

#[test]
fn a_server_that_is_no_cluster_is_refused() {
    Executor::Smol.run(async {
        let server = midplane_testkit::server::Server::redis_with(&[]);
        let url = format!("redis+cluster://{}", server.address());
        let refused = Redis::new(&url).expect("a url").connect().await;
        let error = refused.expect_err("it is no cluster");
        assert_eq!(error.kind(), BusErrorKind::Protocol, "{error}");
        assert!(error.to_string().contains("cluster"), "{error}");
    });
}
