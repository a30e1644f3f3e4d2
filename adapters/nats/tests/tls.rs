//! TLS, with certificates that are trusted and others.

mod common;

use common::configured;
use midplane_conformance::suite::{TestLink, refusal};
use midplane_core::bus::BusErrorKind;
use midplane_nats::Nats;
use midplane_testkit::certificates::Authority;
use midplane_testkit::server::Server;

#[test]
fn tls_is_spoken_to_a_server_that_is_trusted_and_no_other() {
    let authority = Authority::new();
    let signed = authority.sign(&["localhost", "127.0.0.1"]);
    let (certificate, key) = (&signed.certificate_file, &signed.key_file);
    let configuration = format!("tls {{ cert_file: {certificate:?}, key_file: {key:?} }}");
    let (server, ..) = configured(&configuration);
    let address = server.address();
    smol::block_on(async {
        for scheme in ["tls", "nats"] {
            let bus = Nats::new(&format!("{scheme}://{address}")).unwrap();
            TestLink::working(&bus.clone().with_root_certificates(authority.file())).await;
            let error = refusal(&bus).await;
            assert_eq!(error.kind(), BusErrorKind::Unreachable, "{error:?}");
        }
        let plain = Server::nats();
        let bus = Nats::new(&format!("tls://{}", plain.address())).unwrap();
        let bus = bus.with_root_certificates(authority.file());
        // It speaks in the clear.
        refusal(&bus).await;
        let bus = bus.with_root_certificates("/nowhere.pem");
        let error = refusal(&bus).await;
        assert!(
            error.to_string().contains("`with_root_certificates`"),
            "{error}"
        );
    });
}
