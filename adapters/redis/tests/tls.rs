//! TLS, on both runtimes of the driver.

use midplane_conformance::suite::{TestLink, refusal};
use midplane_core::bus::BusErrorKind;
use midplane_redis::{Redis, SettingsError};
use midplane_testkit::certificates::Authority;
use midplane_testkit::executor::Executor;
use midplane_testkit::server::Server;

#[test]
fn a_certificate_is_required_and_trusted() {
    let authority = Authority::new();
    let signed = authority.sign(&["localhost", "127.0.0.1"]);
    // The first `--port`, which the fixture gives, is taken back: only TLS is spoken.
    let server = Server::redis_with(&[
        "--port",
        "0",
        "--tls-port",
        "{port}",
        "--tls-cert-file",
        &signed.certificate_file,
        "--tls-key-file",
        &signed.key_file,
        "--tls-auth-clients",
        "no",
    ]);
    let url = format!("rediss://{}", server.address());
    for executor in [Executor::Smol, Executor::TokioMulti, Executor::Threads] {
        let distrusting = Redis::new(&url).expect("a url");
        let bus = distrusting
            .clone()
            .with_root_certificate(authority.certificate())
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
