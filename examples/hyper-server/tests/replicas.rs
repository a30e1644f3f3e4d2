//! Two processes over a real Redis: each kind of client gets what either publishes, and its last words.

#[path = "../../axum-app/tests/common/mod.rs"]
mod common;

use common::{Program, RESTART, block, close_code, data, text};
use midplane_testkit::server::Server;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_without_a_framework_reach_each_others_clients() {
    let redis = Server::redis();
    let start = || Program::start(env!("CARGO_BIN_EXE_hyper-server"), Some(&redis.url()));
    let (one, two) = (start(), start());
    let (mut socket, mut events) = (one.socket("/ws").await, two.events("/sse").await);
    one.succeeds("GET /readyz", "").await;
    for (program, said) in [(&one, "of one"), (&two, "of two")] {
        program.succeeds("POST /publish", said).await;
        assert_eq!(text(&mut socket).await, said);
        assert_eq!(data(&mut events).await, said);
    }
    one.stop();
    two.stop();
    assert_eq!(close_code(&mut socket).await, RESTART);
    assert_eq!(block(&mut events).await.expect("a last word").0, "retry");
    drop((socket, events));
    one.stopped().await;
    two.stopped().await;
}
