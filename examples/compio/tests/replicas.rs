//! Two processes on compio over a real Redis.

use std::process::Command;

use midplane_testkit::child::Child;
use midplane_testkit::server::Server;

const EVENT: &str = "Event(Event { bytes: 8, text: true, key: None })";

#[test]
fn two_replicas_on_a_runtime_by_hand_get_what_either_publishes() {
    let redis = Server::redis();
    let start = || Child::start(Command::new(env!("CARGO_BIN_EXE_on-compio")).arg(redis.url()));
    let first = start().expect("the program starts");
    assert_eq!(first.line().as_deref(), Some(EVENT), "{}", first.log());
    let second = start().expect("the program starts");
    assert_eq!(second.line().as_deref(), Some(EVENT), "{}", second.log());
    assert_eq!(first.line().as_deref(), Some(EVENT), "{}", first.log());
}
