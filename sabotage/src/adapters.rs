//! The sins against the adapters.

use crate::sins::Sin;

pub(crate) const SINS: &[Sin] = &[
    Sin {
        name: "connect: a missing url is a single node",
        file: "adapters/connect/src/settings.rs",
        sound: "(Some(backplane), None) => return Err(ConnectError::MissingUrl { backplane }),",
        broken: "(Some(_), None) => return Ok(None),",
        package: "midplane-connect",
        suite: &["--test", "settings"],
        test: "settings_that_make_no_bus_are_loud",
    },
    Sin {
        name: "connect: nobody looks whether the server is there",
        file: "adapters/connect/src/settings.rs",
        sound: "answer.map_err(|source| ConnectError::Refused { setting, source })?;",
        broken: "drop(answer);",
        package: "midplane-connect",
        suite: &["--test", "servers"],
        test: "a_redis_comes_and_goes",
    },
    Sin {
        name: "connect: a silent server is waited for",
        file: "adapters/connect/src/settings.rs",
        sound: "timer.sleep(self.deadline)",
        broken: "timer.sleep(self.deadline * 10_000)",
        package: "midplane-connect",
        suite: &["--test", "servers"],
        test: "a_server_that_is_silent_is_given_up_at_the_deadline",
    },
    Sin {
        name: "redis: a slot that moves leaves its lane deaf",
        file: "adapters/redis/src/pushes.rs",
        sound: "PushKind::Unsubscribe | PushKind::SUnsubscribe => {",
        broken: "PushKind::Unsubscribe | PushKind::SUnsubscribe if true => {}\n            PushKind::Unsubscribe | PushKind::SUnsubscribe => {",
        package: "midplane-redis",
        suite: &["--test", "cluster"],
        test: "a_slot_that_moves_ends_the_sessions_of_its_lane",
    },
    Sin {
        name: "redis: a master that was demoted is not asked",
        file: "adapters/redis/src/session.rs",
        sound: "self.asked.elapsed() >= TRUSTED",
        broken: "self.asked.elapsed() >= TRUSTED * 100",
        package: "midplane-redis",
        suite: &["--test", "conformance"],
        test: "a_master_that_is_demoted_ends_the_session_at_its_next_send",
    },
    Sin {
        name: "postgres: any name is good for verify-full",
        file: "adapters/postgres/src/tls.rs",
        sound: "if security.mode == Mode::VerifyFull {",
        broken: "if security.mode == Mode::VerifyFull && security.roots.is_none() {",
        package: "midplane-postgres",
        suite: &["--features", "tls", "--test", "tls"],
        test: "a_server_is_trusted_as_far_as_sslmode_says",
    },
    Sin {
        name: "postgres: who demands tls takes none",
        file: "adapters/postgres/src/options.rs",
        sound: "_ => SslMode::Require,",
        broken: "_ => SslMode::Prefer,",
        package: "midplane-postgres",
        suite: &["--features", "tls", "--test", "tls"],
        test: "a_server_is_trusted_as_far_as_sslmode_says",
    },
];
