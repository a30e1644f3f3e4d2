//! What a program says that was compiled for tokio alone and connects to Redis elsewhere: run by
//! `cargo test -p midplane --features redis,tokio,threads --test outside_tokio`.

#![cfg(all(feature = "redis", feature = "tokio", not(feature = "smol")))]

use midplane::connect::{ConnectError, Settings};
use midplane::threads::Timer;

#[test]
fn a_redis_outside_of_tokio_is_an_error_that_names_the_feature() {
    let settings = Settings::parse("redis://:hunter2@127.0.0.1:1").expect("a url");
    let refused = futures::executor::block_on(settings.open(&Timer::new()));
    let error = refused.expect_err("no runtime is current");
    assert!(matches!(error, ConnectError::Refused { .. }), "{error:?}");
    let shown = format!("{error} {error:?}");
    assert!(shown.contains("outside of a tokio runtime"), "{shown}");
    assert!(shown.contains("`smol`"), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
}
