//! Logging in: with tokens, passwords and keys; and with a file of credentials, a JWT and a seed, on a server that an
//! operator's JWT rules.

mod common;

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::{configured, text_of};
use futures::StreamExt;
use midplane_conformance::suite::{TestLink, refusal};
use midplane_core::bus::{Bus, BusErrorKind};
use midplane_nats::Nats;
use midplane_testkit::server::Server;
use midplane_testkit::within;
use nkeys::KeyPair;
use tempfile::TempDir;

/// What the `nsc` tool keeps: the keys of an operator, which rules a server, and of an account, which has users.
struct Operator {
    key: KeyPair,
    account: KeyPair,
}

impl Operator {
    fn new() -> Self {
        Self {
            key: KeyPair::new_operator(),
            account: KeyPair::new_account(),
        }
    }

    /// A server that takes the users of this operator's account.
    fn server(&self) -> (Server, TempDir) {
        let key = self.key.public_key();
        let account = self.account.public_key();
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("operator.jwt");
        let operator = token(&self.key, &key, "operator", "", None);
        fs::write(&path, operator).expect("it is writable");
        let limits = r#""limits":{"subs":-1,"conn":-1,"leaf":-1,"imports":-1,"exports":-1,"data":-1,"payload":-1},"#;
        let (server, _, kept) = configured(&format!(
            "operator: {:?}\nresolver: MEMORY\nresolver_preload: {{ {account}: {} }}",
            text_of(&path),
            token(&self.key, &account, "account", limits, None)
        ));
        drop(kept);
        (server, directory)
    }

    /// Writes the credentials of a new user, good until then.
    fn admit(&self, path: &Path, until: Option<SystemTime>) {
        let user = KeyPair::new_user();
        let limits = r#""subs":-1,"data":-1,"payload":-1,"#;
        let token = token(&self.account, &user.public_key(), "user", limits, until);
        let seed = user.seed().expect("it is a whole key");
        let credentials = format!(
            "-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        );
        fs::write(path, credentials).expect("it is writable");
    }
}

/// A JWT in which the issuer says that the subject is of this kind, as
/// <https://docs.nats.io/running-a-nats-service/nats_admin/security/jwt> has it.
fn token(
    issuer: &KeyPair,
    subject: &str,
    kind: &str,
    limits: &str,
    until: Option<SystemTime>,
) -> String {
    let seconds = |time: SystemTime| {
        time.duration_since(UNIX_EPOCH)
            .expect("after 1970")
            .as_secs()
    };
    let until = until.map_or_else(String::new, |until| format!(r#""exp":{},"#, seconds(until)));
    let header = r#"{"typ":"JWT","alg":"ed25519-nkey"}"#;
    let claims = format!(
        r#"{{"jti":"{subject}","iat":{},{until}"iss":"{}","sub":"{subject}","name":"{kind}","nats":{{{limits}"type":"{kind}","version":2}}}}"#,
        seconds(SystemTime::now()),
        issuer.public_key()
    );
    let signed = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(claims)
    );
    let signature = issuer.sign(signed.as_bytes()).expect("it is a whole key");
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[test]
fn tokens_passwords_and_keys_log_in() {
    smol::block_on(async {
        let (server, ..) = configured("authorization { token: \"t o/k\" }");
        let address = server.address();
        TestLink::working(&Nats::new(&format!("nats://t%20o%2Fk@{address}")).unwrap()).await;
        TestLink::working(
            &Nats::new(&format!("nats://{address}"))
                .unwrap()
                .with_token("t o/k"),
        )
        .await;
        let anonymous = Nats::new(&format!("nats://{address}")).unwrap();
        let error = refusal(&anonymous).await;
        assert_eq!(error.kind(), BusErrorKind::Denied, "{error:?}");

        let (server, ..) = configured("authorization { user: ada, password: \"p@ss\" }");
        let address = server.address();
        TestLink::working(&Nats::new(&format!("nats://ada:p%40ss@{address}")).unwrap()).await;
        let bus = Nats::new(&format!("nats://{address}")).unwrap();
        TestLink::working(&bus.with_user_and_password("ada", "p@ss")).await;

        // The pair of the example in NATS's documentation of NKEYs.
        let (server, ..) = configured(
            "authorization { users = [ { nkey: \
             UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4 } ] }",
        );
        let seed = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY";
        let bus = Nats::new(&server.url()).unwrap().with_nkey_seed(seed);
        TestLink::working(&bus).await;
        assert!(!format!("{bus:?}").contains(seed));

        let bus = Nats::new(&server.url()).unwrap();
        let error = refusal(&bus.with_credentials_file("/nowhere.creds")).await;
        assert_eq!(error.kind(), BusErrorKind::Denied);
        assert!(error.to_string().contains("/nowhere.creds"), "{error}");
    });
}

#[test]
fn a_file_of_credentials_logs_in_and_is_read_again_for_each_link() {
    let operator = Operator::new();
    let (server, directory) = operator.server();
    let path = directory.path().join("user.creds");
    let bus = Nats::new(&server.url()).unwrap();
    smol::block_on(async {
        let refused = refusal(&bus).await;
        assert_eq!(refused.kind(), BusErrorKind::Denied, "{refused}");

        let bus = bus.with_credentials_file(&path);
        let missing = refusal(&bus).await;
        assert_eq!(missing.kind(), BusErrorKind::Denied, "{missing}");
        assert!(missing.to_string().contains("user.creds"), "{missing}");

        operator.admit(&path, None);
        TestLink::working(&bus).await;

        Operator::new().admit(&path, None);
        let foreign = refusal(&bus).await;
        assert_eq!(foreign.kind(), BusErrorKind::Denied, "{foreign}");
        let seed = fs::read_to_string(&path).unwrap();
        let seed = seed.lines().find(|line| line.starts_with("SU")).unwrap();
        assert!(!format!("{foreign} {foreign:?} {bus:?}").contains(seed));

        operator.admit(&path, None);
        TestLink::working(&bus).await;
    });
}

#[test]
fn credentials_that_expire_end_the_link_as_denied() {
    let operator = Operator::new();
    let (server, directory) = operator.server();
    let path = directory.path().join("user.creds");
    let bus = Nats::new(&server.url())
        .unwrap()
        .with_credentials_file(&path);
    smol::block_on(async {
        operator.admit(&path, Some(SystemTime::now() + Duration::from_secs(3)));
        let mut node = TestLink::connect(&bus).await;
        assert_eq!(node.end().await, BusErrorKind::Denied);
        // The server lets them in, and then says that they are late.
        let late = match within("an answer", bus.connect()).await {
            Ok(mut link) => {
                let end = within("the end", link.frames.next()).await;
                end.expect("an error").expect_err("no frame").kind()
            }
            Err(error) => error.kind(),
        };
        assert_eq!(late, BusErrorKind::Denied);
        operator.admit(&path, None);
        TestLink::working(&bus).await;
    });
}
