//! The limits that flags set, and what happens at them.

use midplane_testkit::until;
use serde_json::json;
use tokio_websockets::Message;

use crate::client::{Arrival, Client, error_code};
use crate::fixture::{Program, target};
use crate::http::Request;
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
