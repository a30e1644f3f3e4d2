//! What a client is told of other nodes: how far it reaches, and what it may have missed.

use midplane_testkit::server::Server as Broker;
use serde_json::{Value, json};

use crate::client::Client;
use crate::cluster::nodes::{Nodes, listener};
use crate::fixture::{Program, target};

/// Topics of different names lie on different lanes.
const LANES: &str = "--lanes 4096";

/// Two nodes of the program on a broker of their own.
async fn pair(program: Program, flags: &str) -> (Nodes, Broker) {
    let broker = Broker::redis_with(&[]);
    let nodes = Nodes::start([program; 2], 2, &broker.url(), flags).await;
    (nodes, broker)
}

/// Joins a topic and gives the reach that the answer says.
async fn join(client: &mut Client, topic: &str) -> Value {
    let request = json!({"request": "join", "topic": topic});
    client.must(request, "joined").await["reach"].clone()
}

/// The welcome and every answer that joins say whether publishers on all nodes reach the client, and while the broker
/// is dead or stands still they say at once that those on its own node do. When that changes, a client is told once.
pub async fn a_join_says_how_far_it_reaches(program: Program) {
    let (nodes, broker) = pair(program, LANES).await;
    let [near, far] = &nodes.servers[..] else {
        panic!("there are two");
    };
    let mut client = Client::connect(near, "user=u&org=o").await;
    assert_eq!(client.welcome["reach"], "everywhere");
    assert_eq!(join(&mut client, "before").await, "everywhere");
    for (topic, hurt, heal) in [
        (
            "dead",
            Broker::kill as fn(&Broker),
            Broker::restart as fn(&Broker),
        ),
        ("still", Broker::stop, Broker::thaw),
    ] {
        hurt(&broker);
        // While the broker is away for good, an answer that waited for it would not come.
        assert_eq!(join(&mut client, topic).await, "here");
        let session = json!({"request": "create_session", "agent": topic});
        assert_eq!(client.must(session, "session").await["reach"], "here");
        let mut other = Client::connect(near, "").await;
        assert_eq!(other.welcome["reach"], "here");
        near.delivers(&target("topic", topic), "1", 1).await;
        assert_eq!(client.event().await, "1");
        heal(&broker);
        let reach = client.reach().await;
        // It was told so by the answer if that came first.
        let reach = match &*reach {
            "here" => client.reach().await,
            _ => reach,
        };
        assert_eq!(reach, "everywhere");
        assert_eq!(other.reach().await, "everywhere");
        // It reaches where it said it does.
        far.is_ready().await;
        far.delivers(&target("topic", topic), "2", 0).await;
        assert_eq!(client.event().await, "2");
        for client in [&mut client, &mut other] {
            client.got_nothing().await;
            client.reaches_as_before();
        }
    }
    let mut late = listener(near, "").await;
    assert_eq!(late.welcome["reach"], "everywhere");
    late.got_nothing().await;
    late.reaches_as_before();
}
