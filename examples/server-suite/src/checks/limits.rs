//! The limits that flags set, and what happens at them.

use serde_json::json;
use tokio_websockets::Message;

use crate::client::{Arrival, Client, error_code};
use crate::fixture::{Program, flags, target};
use crate::http::Request;
use crate::{flood, until};

/// With every connection taken an upgrade is answered with 503, health checks and publishers still
/// get through, and who leaves makes room.
pub async fn connections_beyond_the_limit_are_503(program: Program) {
    let server = program.start(flags::FEW_OF_ALL);
    let first = Client::connect(&server, "user=u").await;
    let mut second = Client::connect(&server, "user=u").await;
    let upgrade = Request::upgrade("/ws?user=u");
    let answer = upgrade.send(server.address).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(server.publish(&target("user", "u"), "1").await, 2);
    assert_eq!(server.connections().await, 2);
    first.close().await;
    until("there is room again", async || {
        (upgrade.send(server.address).await.status == 101).then_some(())
    })
    .await;
    assert_eq!(second.events(&server).await, ["1"]);
}

/// A client is in so many targets at most; what it is in it stays in, and leaving one makes room.
pub async fn targets_beyond_the_limit_are_refused(program: Program) {
    let server = program.start(flags::FEW_OF_ALL);
    let mut client = Client::connect(&server, "user=u&org=o").await;
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
    assert_eq!(
        joined, 4,
        "eight, less the user, the org, the session and the agent"
    );
    client
        .refused(json!({"request": "create_session", "agent": "b"}))
        .await;
    assert_eq!(server.publish(&target("agent", "b"), "0").await, 0);
    for target in [
        target("user", "u"),
        target("session", &session),
        target("topic", "t0"),
        target("topic", "t3"),
    ] {
        assert_eq!(server.publish(&target, "1").await, 1, "{target}");
    }
    assert_eq!(client.events(&server).await, ["1"; 4]);
    assert_eq!(server.publish(&target("topic", "t4"), "2").await, 0);
    client.leave("t0").await;
    client.join("t4").await;
    assert_eq!(server.publish(&target("topic", "t4"), "3").await, 1);
    assert_eq!(client.events(&server).await, ["3"]);
}

/// Where the policy is to disconnect, a client that falls behind is told that it lost something and
/// closed with 1013.
pub async fn falling_behind_may_disconnect(program: Program) {
    let server = program.start(flags::DISCONNECT);
    let mut behind = Client::narrow(&server, "user=u").await;
    let mut publisher = Client::connect(&server, "user=u").await;
    flood::publish(
        &mut publisher,
        &target("user", "u"),
        0..2_048,
        8 * 1024,
        None,
    )
    .await;
    assert_eq!(server.publish(&behind.target(), "1").await, 0);
    let mut next = 0;
    loop {
        match behind.next().await {
            Arrival::Event(event) => {
                assert_eq!(flood::number(&event), next);
                next += 1;
            }
            Arrival::Own(lost) => {
                assert_eq!(lost["midplane"], "lost", "{lost}");
                break;
            }
            end => panic!("{end:?} without a word"),
        }
    }
    assert_eq!(behind.next().await, Arrival::Close(1013));
    drop(behind);
    server.settles_at(1).await;
    assert_eq!(publisher.events(&server).await, [""; 0]);
}

/// Text that is not UTF-8 is closed with 1007: no later message of that client means anything.
pub async fn text_that_is_not_utf8_is_closed(program: Program) {
    let server = program.start(&[]);
    let mut other = Client::connect(&server, "").await;
    let mut client = Client::connect(&server, "").await;
    client.join("t").await;
    client.try_send(Message::text(&b"\"\xff\""[..])).await;
    assert_eq!(client.next().await, Arrival::Close(1007));
    drop(client);
    server.settles_at(1).await;
    assert_eq!(server.publish(&target("topic", "t"), "1").await, 0);
    assert_eq!(other.events(&server).await, [""; 0]);
}
