//! What is made of the settings before anything is connected.

mod common;

use std::fs;

use common::{is_child, said_in_environment};
use midplane::Builder;
use midplane::connect::{BusKind, Settings};
use midplane::threads::Timer;
use midplane_conformance::suite::TestLink;
use midplane_testkit::error::shown;

#[test]
fn a_url_says_which_bus_it_is_of() {
    for (url, kind) in [
        ("memory:", BusKind::Memory),
        ("memory:chat", BusKind::Memory),
        ("memory://chat", BusKind::Memory),
        ("redis://h", BusKind::Redis),
        ("rediss://h", BusKind::Redis),
        ("unix:///run/redis.sock", BusKind::Redis),
        ("valkey://u:hunter2@h:1/2", BusKind::Valkey),
        ("valkeys://h", BusKind::Valkey),
        ("redis+cluster://u:hunter2@a,b:1", BusKind::Redis),
        ("Valkeys+Sentinel://:hunter2@a,b:1/chat", BusKind::Valkey),
        ("nats://h", BusKind::Nats),
        ("nats://a:1, tls://b:2", BusKind::Nats),
        ("tls://h", BusKind::Nats),
        ("postgres://u:hunter2@h/d", BusKind::Postgres),
        ("postgresql://h/d?password=hunter2", BusKind::Postgres),
        (" REDIS://h\n", BusKind::Redis),
        ("Postgres://h", BusKind::Postgres),
        ("postgres://h?sslmode=verify-full", BusKind::Postgres),
    ] {
        let settings = Settings::parse(url).unwrap_or_else(|error| panic!("{url}: {error}"));
        assert_eq!(settings.kind(), kind, "{url}");
        assert!(!format!("{settings:?}").contains("hunter2"), "{url}");
        settings.with_prefix("chat-1").expect(url);
    }
}

#[test]
fn a_bad_url_is_refused_without_being_shown() {
    for (url, expected) in [
        ("", "is empty"),
        (" ", "is empty"),
        ("hunter2", "must start with"),
        ("localhost:6379", "must start with"),
        ("hunter2:x@localhost", "must start with"),
        ("http://u:hunter2@localhost", "must start with"),
        ("amqp://u:hunter2@localhost", "must start with"),
        ("://hunter2", "must start with"),
        ("memory:hunter2@x", "memory:name"),
        ("memory://hunter2/", "memory:name"),
        ("redis:hunter2", "must start with"),
        ("redis://", "must be like redis://"),
        ("redis:///hunter2", "must be like redis://"),
        ("redis://u:hunter2@h:port", "must be like redis://"),
        (
            "redis://u:hunter2@h/?protocol=hunter2",
            "parameter `protocol` of",
        ),
        ("redis+ring://hunter2@h", "must start with"),
        ("nats+cluster://hunter2@h", "must start with"),
        ("redis+cluster://:hunter2@h:port", "must be like redis://"),
        ("redis+sentinel://:hunter2@h", "must be like redis://"),
        ("nats:hunter2", "must start with"),
        ("nats://", "must be like nats://"),
        ("nats://u:hunter2@h:port", "must be like nats://"),
        ("nats://u:hunter2@h/path", "must be like nats://"),
        (
            "nats://u:hunter2@a,nats://v:hunter2@b",
            "different credentials",
        ),
        ("nats://u:hunter2@a,redis://b", "must be like nats://"),
        ("postgres:hunter2", "must start with"),
        ("postgres://", "must be like postgres://"),
        ("postgres://u:hunter2@h:port/d", "must be like postgres://"),
        (
            "postgres://h/d?password=hunter2&hunter2=1",
            "a parameter of",
        ),
        (
            "postgres://u:hunter2@h/?target_session_attrs=read-only",
            "primary",
        ),
    ] {
        let error = Settings::parse(url).expect_err(url);
        let message = error.to_string();
        assert!(message.contains("the url"), "{url}: {message}");
        assert!(message.contains(expected), "{url}: {message}");
        assert!(!shown(&error).contains("hunter2"), "{url}: {error:?}");
    }
}

/// Each with what the message must name.
#[test]
fn settings_that_make_no_bus_are_loud() {
    const BACKPLANE: &str = "MIDPLANE_BACKPLANE ";
    const URL: &str = "MIDPLANE_BACKPLANE_URL";
    const PREFIX: &str = "MIDPLANE_BACKPLANE_PREFIX";
    let refused = |backplane, url, prefix, expected: [&str; 2]| {
        let set = (backplane, url, prefix);
        let Err(error) = Settings::named(backplane, url, prefix) else {
            panic!("{set:?} is taken");
        };
        let message = error.to_string();
        for expected in expected {
            assert!(message.contains(expected), "{set:?}: {message}");
        }
        assert!(!shown(&error).contains("hunter2"), "{error:?}");
    };
    for (backplane, expected) in [
        ("", [BACKPLANE, "is empty"]),
        ("hunter2", [BACKPLANE, "one of memory"]),
        ("local", [BACKPLANE, "one of memory"]),
        ("redis,nats", [BACKPLANE, "one of memory"]),
        ("redis://:hunter2@h", [BACKPLANE, URL]),
        ("redis", [URL, "not set"]),
        ("valkey", [URL, "valkey://"]),
        ("nats", [URL, "nats://"]),
        ("POSTGRES", [URL, "postgres://"]),
    ] {
        refused(Some(backplane), None, None, expected);
    }
    for (backplane, url, expected) in [
        ("  ", "memory:", [BACKPLANE, "is empty"]),
        ("redis", " ", [URL, "is empty"]),
        ("redis", "nats://hunter2@h", ["is redis", "that of nats"]),
        ("nats", "rediss://:hunter2@h", ["is nats", "that of redis"]),
        (
            "memory",
            "redis://:hunter2@h",
            ["is memory", "that of redis"],
        ),
        ("postgres", "memory:", ["is postgres", "that of memory"]),
        ("redis", "http://hunter2@h", [URL, "must start with"]),
        ("redis", "redis://:hunter2@h:port", [URL, "not usable"]),
    ] {
        refused(Some(backplane), Some(url), None, expected);
    }
    refused(None, Some(""), None, [URL, "is empty"]);
    refused(None, None, Some("chat"), [PREFIX, "no backplane"]);
    for (url, prefix, expected) in [
        ("nats://h", "", [PREFIX, "is empty"]),
        ("memory:", "a b", [PREFIX, "not usable"]),
        ("nats://h", "a b", [PREFIX, "not usable"]),
        ("postgres://h", "a.b", [PREFIX, "not usable"]),
    ] {
        refused(None, Some(url), Some(prefix), expected);
    }
}

#[test]
fn settings_that_agree_are_taken() {
    for (backplane, url, kind) in [
        (None, None, None),
        (Some(" Memory\n"), None, Some(BusKind::Memory)),
        (Some("MEMORY"), Some("memory:chat"), Some(BusKind::Memory)),
        (Some("Redis"), Some("redis://h"), Some(BusKind::Redis)),
        (Some("valkey"), Some("rediss://h"), Some(BusKind::Redis)),
        (Some("redis"), Some("valkey://h"), Some(BusKind::Valkey)),
        (Some("nats"), Some("tls://h"), Some(BusKind::Nats)),
        (
            Some("postgres"),
            Some("postgresql://h"),
            Some(BusKind::Postgres),
        ),
        (None, Some("nats://h"), Some(BusKind::Nats)),
    ] {
        let settings = Settings::named(backplane, url, None).expect("it is sound");
        let found = settings.map(|settings| settings.kind());
        assert_eq!(found, kind, "{backplane:?} {url:?}");
    }
}

#[test]
fn a_name_in_memory_is_shared_and_no_name_is_not() {
    futures::executor::block_on(async {
        let reaches = async |url: &str, from: &str, prefix: Option<&str>| {
            let timer = Timer::new();
            let here = Settings::parse(url)
                .expect("a url")
                .with_prefix("a")
                .expect("a prefix");
            let here = here.open(&timer).await.expect("a bus");
            let there = Settings::named(None, Some(from), prefix)
                .expect("sound")
                .expect("a bus");
            let there = there.open(&timer).await.expect("a bus");
            let mut receiver = TestLink::on(&*here, &[0]).await;
            TestLink::connect(&*there).await.send(0, "other").await;
            TestLink::connect(&*here).await.send(0, "own").await;
            let (_, first) = receiver.next().await;
            first == "other"
        };
        assert!(reaches("memory:chat", "memory:chat", Some("a")).await);
        assert!(!reaches("memory:chat", "memory:chat", Some("b")).await);
        assert!(!reaches("memory:chat", "memory:chat", None).await);
        assert!(!reaches("memory:chat", "memory:news", Some("a")).await);
        assert!(!reaches("memory:", "memory:", Some("a")).await);
    });
}

/// What the next test, run by itself in this environment, makes of it.
fn in_environment(variables: &[(&str, &str)]) -> String {
    said_in_environment("what_the_environment_says_is_printed", variables)
}

#[test]
fn what_the_environment_says_is_printed() {
    if !is_child() {
        return;
    }
    let said = match Settings::from_env() {
        Ok(Some(settings)) => settings.kind().to_string(),
        Ok(None) => "no backplane".to_owned(),
        Err(error) => error.to_string(),
    };
    println!("environment: {said}");
}

#[test]
fn the_environment_is_read() {
    const BACKPLANE: &str = "MIDPLANE_BACKPLANE";
    const URL: &str = "MIDPLANE_BACKPLANE_URL";
    assert_eq!(in_environment(&[]), "no backplane");
    assert_eq!(in_environment(&[(BACKPLANE, " Memory ")]), "memory");
    assert_eq!(in_environment(&[(URL, "tls://h")]), "nats");
    assert_eq!(
        in_environment(&[(BACKPLANE, "Valkey"), (URL, "valkey://h")]),
        "valkey"
    );
    for (variables, expected) in [
        (
            &[(BACKPLANE, "")][..],
            "MIDPLANE_BACKPLANE is set and is empty",
        ),
        (
            &[(BACKPLANE, "nats")][..],
            "MIDPLANE_BACKPLANE_URL is not set",
        ),
        (
            &[("MIDPLANE_BACKPLANE_PREFIX", "a")][..],
            "MIDPLANE_BACKPLANE_PREFIX is set",
        ),
    ] {
        let said = in_environment(variables);
        assert!(said.contains(expected), "{variables:?}: {said}");
    }
}

/// What the next test, run by itself in this environment, makes of the node.
fn node_in_environment(variables: &[(&str, &str)]) -> String {
    said_in_environment("what_the_environment_says_of_a_node_is_printed", variables)
}

#[test]
fn what_the_environment_says_of_a_node_is_printed() {
    if !is_child() {
        return;
    }
    let builder = match Builder::from_env() {
        Ok(Some(builder)) => builder.runtime(midplane::threads::Runtime::new()),
        Ok(None) => return println!("environment: a single node"),
        Err(error) => return println!("environment: {error}"),
    };
    let builder = builder.start_degraded().with(|parts| {
        println!("environment: {parts:?}");
        parts
    });
    futures::executor::block_on(builder.connect()).expect("a plane");
}

#[test]
fn the_environment_says_who_a_node_is() {
    const MEMORY: (&str, &str) = ("MIDPLANE_BACKPLANE", "memory");
    const NODE: (&str, &str) = ("MIDPLANE_NODE_NAME", "ada");
    let directory = tempfile::tempdir().expect("a directory");
    let (keys, broken) = (directory.path().join("keys"), directory.path().join("none"));
    fs::write(&keys, format!("7: {}", "ab".repeat(32))).expect("a file");
    fs::write(&broken, "7: hunter2").expect("a file");
    let file = |path: &std::path::Path| path.to_str().expect("text").to_owned();
    let (keys, broken) = (file(&keys), file(&broken));
    let keys = ("MIDPLANE_BUS_KEY_FILE", &*keys);

    assert_eq!(node_in_environment(&[NODE]), "a single node");
    let said = node_in_environment(&[MEMORY]);
    for part in ["expected_members: 0", "cluster: \"\"", "signing: None"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let all = [
        MEMORY,
        NODE,
        ("MIDPLANE_CLUSTER_NAME", "chat"),
        ("MIDPLANE_EXPECTED_MEMBERS", "3"),
        keys,
        ("MIDPLANE_BUS_SIGNING", "require"),
    ];
    let said = node_in_environment(&all);
    for part in [
        "node: \"ada\"",
        "cluster: \"chat\"",
        "expected_members: 3",
        "keys: Keys([7])",
        "required: true",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(node_in_environment(&[MEMORY, keys]).contains("required: false"));

    let long = "x".repeat(65);
    for (variable, value, expected) in [
        ("MIDPLANE_NODE_NAME", "", "is empty"),
        ("MIDPLANE_NODE_NAME", &*long, "64 bytes"),
        (
            "MIDPLANE_CLUSTER_NAME",
            "a\nb",
            "without control characters",
        ),
        ("MIDPLANE_EXPECTED_MEMBERS", "1025", "from 0 to 1024"),
        ("MIDPLANE_EXPECTED_MEMBERS", "some", "from 0 to 1024"),
        ("MIDPLANE_BUS_SIGNING", "never", "sign or require"),
        (
            "MIDPLANE_BUS_SIGNING",
            "sign",
            "MIDPLANE_BUS_KEY_FILE is not",
        ),
        ("MIDPLANE_BUS_KEY_FILE", &*broken, "line 1 is no"),
        ("MIDPLANE_BUS_KEY_FILE", "/no/such/file", "/no/such/file"),
    ] {
        let said = node_in_environment(&[MEMORY, (variable, value)]);
        assert!(said.contains(variable), "{variable}={value}: {said}");
        assert!(said.contains(expected), "{variable}={value}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
    // What is of a cluster is never a single node in silence.
    for alone in [
        ("MIDPLANE_CLUSTER_NAME", "chat"),
        ("MIDPLANE_EXPECTED_MEMBERS", "2"),
        keys,
    ] {
        let said = node_in_environment(&[alone]);
        assert!(said.contains(alone.0), "{said}");
        assert!(said.contains("no backplane is"), "{said}");
    }
}
