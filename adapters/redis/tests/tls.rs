//! TLS, on both runtimes of the driver.

use std::fs;

use midplane_conformance::suite::{TestLink, refusal};
use midplane_core::bus::BusErrorKind;
use midplane_redis::{Redis, SettingsError};
use midplane_testkit::executor::Executor;
use midplane_testkit::server::Server;

#[test]
fn a_certificate_is_required_and_trusted() {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let signed = rcgen::generate_simple_self_signed(names).expect("a certificate");
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| {
        let path = directory.path().join(name);
        path.to_str().expect("a path of text").to_owned()
    };
    fs::write(path("cert"), signed.cert.pem()).expect("it is written");
    fs::write(path("key"), signed.signing_key.serialize_pem()).expect("it is written");
    // The first `--port`, which the fixture gives, is taken back: only TLS is spoken.
    let server = Server::redis_with(&[
        "--port",
        "0",
        "--tls-port",
        "{port}",
        "--tls-cert-file",
        &path("cert"),
        "--tls-key-file",
        &path("key"),
        "--tls-auth-clients",
        "no",
    ]);
    let url = format!("rediss://{}", server.address());
    for executor in [Executor::Smol, Executor::TokioMulti, Executor::Threads] {
        let distrusting = Redis::new(&url).expect("a url");
        let bus = distrusting
            .clone()
            .with_root_certificate(signed.cert.pem())
            .expect("a certificate");
        executor.run(async move {
            // Nobody the system trusts signed it.
            let error = refusal(&distrusting).await;
            assert_eq!(error.kind(), BusErrorKind::Unreachable, "{error}");
            let mut node = TestLink::on(&bus, &[0]).await;
            let frame = vec![7; 100_000];
            node.send(0, frame.clone()).await;
            node.receives(0, frame).await;
        });
    }
}

#[test]
fn a_certificate_without_tls_is_a_mistake() {
    let plain = Redis::new("redis://localhost").expect("a url");
    let refused = plain.with_root_certificate("no pem");
    let Err(SettingsError::Value { setting, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(setting, "root certificate");
}
