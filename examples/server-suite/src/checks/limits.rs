//! The limits that flags set, and what happens at them.

use futures::future::join_all;
use midplane_testkit::{succeeds, until, within};
use serde_json::json;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio_websockets::Message;

use crate::client::{Arrival, Client, error_code};
use crate::fixture::{Program, target};
use crate::http::{Answer, Request, connect, connect_from};
use crate::{flags, flood};

/// With every connection taken an upgrade is answered with 503, health checks and publishers still
/// get through, and a client that leaves makes room.
pub async fn connections_beyond_the_limit_are_503(program: Program) {
    let (server, [first, mut second]) = program
        .start_with(flags::FEW_OF_ALL, ["user=u", "user=u"])
        .await;
    let upgrade = Request::upgrade("/ws?user=u");
    upgrade.answered(&server, 503).await;
    server.delivers(&target("user", "u"), "1", 2).await;
    assert_eq!(server.connections().await, 2);
    first.close().await;
    until("there is room again", async || {
        (upgrade.send(server.address).await.status == 101).then_some(())
    })
    .await;
    second.got(&["1"]).await;
}

/// One address has its share of the connections and no more, streams of events among them, and others have theirs. A client
/// that leaves makes room.
pub async fn one_address_does_not_take_every_place(program: Program) {
    let (server, [first, mut second]) = program
        .start_with(flags::FEW_FOR_EACH, ["user=u", "user=u"])
        .await;
    let upgrade = Request::upgrade("/ws?user=u");
    let refused = upgrade.answered(&server, 429).await.json();
    assert_eq!(refused["error"], "too_many_connections", "{refused}");
    let events = Request::new("GET", "/events?user=u");
    events.answered(&server, 429).await;
    let mut other = BufReader::new(connect_from(2, server.address).await);
    let bytes = upgrade.bytes(server.address);
    succeeds("the upgrade leaves", other.write_all(&bytes)).await;
    let answer = within("an answer", Answer::read(&mut other)).await;
    assert_eq!(answer.status, 101);
    server.delivers(&second.target(), "1", 1).await;
    first.close().await;
    until("there is room again", async || {
        (upgrade.send(server.address).await.status == 101).then_some(())
    })
    .await;
    second.got(&["1"]).await;
}

/// The limit of descriptors is raised as far as it may be. Where that is too low for the connections the log says so, and
/// some are kept for those that ask whether the server is well.
pub async fn descriptors_are_raised_and_some_are_kept(program: Program) {
    const SOME: usize = 300;
    let server = program.start_limited(128, 4_096, "--max-connections 2000");
    let clients = join_all((0..SOME).map(|_| Client::connect(&server, ""))).await;
    assert_eq!(server.connections().await, SOME as u64);
    assert!(!server.child.log().contains("--max-connections"));
    drop((clients, server));
    let server = program.start_limited(128, 256, "--max-connections 2000");
    until("the log says so", async || {
        let log = server.child.log();
        log.contains("descriptor limit too low for --max-connections")
            .then_some(())
    })
    .await;
    let mut client = Client::connect(&server, "").await;
    let upgrade = Request::upgrade("/ws").bytes(server.address);
    let mut held = Vec::new();
    let refused = loop {
        let mut stream = BufReader::new(connect(server.address).await);
        succeeds("the upgrade leaves", stream.write_all(&upgrade)).await;
        let answer = within("an answer", Answer::read(&mut stream)).await;
        if answer.status != 101 {
            break answer.status;
        }
        held.push(stream);
        assert!(held.len() < 256);
    };
    assert_eq!(refused, 503);
    assert!(held.len() > 100, "{}", held.len());
    let limit = format!("midplane_server_connections_limit {}", held.len() + 1);
    let metrics = server.get("/metrics", 200).await;
    assert!(metrics.text().contains(&limit), "{}", metrics.text());
    server.get("/readyz", 200).await;
    server.delivers(&client.target(), "1", 1).await;
    client.got(&["1"]).await;
    let mut refused = program.spawn_limited(100, 100, "");
    assert_eq!(refused.exit().await.code(), Some(1));
    assert!(refused.log().contains("ulimit -n"), "{}", refused.log());
}

/// A client is in a number of targets at most; what it is in it stays in, and leaving one makes room.
pub async fn targets_beyond_the_limit_are_refused(program: Program) {
    let (server, [mut client]) = program
        .start_with(flags::FEW_OF_ALL, ["user=u&org=o"])
        .await;
    let session = client.create_session("a").await;
    let join = |n: u32| json!({"request": "join", "topic": format!("t{n}")});
    let mut joined = 0;
    while joined < 100 {
        let said = client.request(join(joined)).await;
        if said["midplane"] == "error" {
            assert_eq!(error_code(&said), "too_many_targets");
            break;
        }
        joined += 1;
    }
    // Eight, less the user, the org, the session and the agent.
    assert_eq!(joined, 4);
    let another = json!({"request": "create_session", "agent": "b"});
    client.refused(another).await;
    server.delivers(&target("agent", "b"), "0", 0).await;
    for target in [
        target("user", "u"),
        target("session", &session),
        target("topic", "t0"),
        target("topic", "t3"),
    ] {
        server.delivers(&target, "1", 1).await;
    }
    client.got(&["1"; 4]).await;
    server.delivers(&target("topic", "t4"), "2", 0).await;
    client.leave("t0").await;
    client.join("t4").await;
    server.delivers(&target("topic", "t4"), "3", 1).await;
    client.got(&["3"]).await;
}

/// Where the policy is to disconnect, a client that falls behind is told that it lost something and
/// closed with 1013.
pub async fn falling_behind_may_disconnect(program: Program) {
    let server = program.start(flags::DISCONNECT);
    let mut behind = Client::narrow(&server, "user=u").await;
    let mut publisher = Client::connect(&server, "user=u").await;
    let user = target("user", "u");
    flood::publish(&mut publisher, &user, 0..2_048, 8 * 1024, None).await;
    server.delivers(&behind.target(), "1", 0).await;
    flood::take_until_lost(&mut behind, &mut 0).await;
    assert_eq!(behind.next().await, Arrival::Close(1013));
    drop(behind);
    server.settles_at(1).await;
    publisher.got_nothing().await;
}

/// Text that is not UTF-8 is closed with 1007: no later message of that client means anything.
pub async fn text_that_is_not_utf8_is_closed(program: Program) {
    let (server, [mut other, mut client]) = program.start_with("", ["", ""]).await;
    client.join("t").await;
    client.try_send(Message::text(&b"\"\xff\""[..])).await;
    assert_eq!(client.next().await, Arrival::Close(1007));
    drop(client);
    server.settles_at(1).await;
    server.delivers(&target("topic", "t"), "1", 0).await;
    other.got_nothing().await;
}
