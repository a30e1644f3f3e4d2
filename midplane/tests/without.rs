//! What a program says that was compiled without a bus: run by
//! `cargo test -p midplane --no-default-features --test without`.

#![cfg(not(any(feature = "redis", feature = "nats", feature = "postgres")))]

use midplane::connect::{BusKind, ConnectError, Settings};

#[test]
fn a_bus_that_is_not_compiled_in_is_named_with_its_feature() {
    for (backplane, url, expected) in [
        ("redis", "redis://:hunter2@h", "redis"),
        ("redis", "rediss://:hunter2@h", "redis"),
        ("valkey", "valkey://:hunter2@h", "redis"),
        ("nats", "nats://hunter2@h", "nats"),
        ("postgres", "postgres://u:hunter2@h", "postgres"),
    ] {
        for error in [
            Settings::named(Some(backplane), Some(url), None).expect_err(url),
            Settings::parse(url).expect_err(url),
        ] {
            let ConnectError::NotCompiledIn { feature, .. } = error else {
                panic!("{url}: {error:?}");
            };
            assert_eq!(feature, expected);
            let shown = format!("{error} {error:?}");
            assert!(shown.contains(&format!("`{feature}`")), "{shown}");
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
}

#[test]
fn the_bus_in_memory_is_always_there() {
    let settings = Settings::named(Some("memory"), None, None).expect("it is sound");
    assert_eq!(settings.expect("it is set").kind(), BusKind::Memory);
}
