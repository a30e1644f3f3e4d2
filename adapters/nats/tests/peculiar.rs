//! What NATS has that other buses do not.

mod common;

use std::fs;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use common::{configured, connect, end, outbound, text_of, works};
use futures::StreamExt;
use futures::future::{Either, select};
use midplane_core::bus::{Bus, BusErrorKind, Lane};
use midplane_nats::Nats;
use midplane_testkit::proxy::Proxy;
use midplane_testkit::server::Server;
use midplane_testkit::{eventually, within};

fn permitting(subjects: &str) -> String {
    format!(
        "authorization {{ users = [ {{ user: ada, password: pw, permissions: {{ \
         publish: [{subjects}], subscribe: [{subjects}] }} }} ] }}"
    )
}

#[test]
fn lanes_are_all_that_must_be_permitted_and_one_that_is_not_is_denied() {
    let (server, _path, _directory) = configured(&permitting("\"midplane.0\", \"midplane.1\""));
    let bus = Nats::new(&format!("nats://ada:pw@{}", server.address())).unwrap();
    smol::block_on(async {
        works(&bus).await;
        // Not once by luck: the refusal comes before the proof would, and nothing but the proof resolves it.
        for _ in 0..20 {
            let mut link = connect(&bus).await.unwrap();
            link.transmit.subscribe(&[Lane(1), Lane(0)]).await.unwrap();
            let refused = link.transmit.subscribe(&[Lane(2)]);
            let error = within("the refusal", refused).await.unwrap_err();
            assert_eq!(error.kind(), BusErrorKind::Denied, "{error}");
            assert!(error.to_string().contains("midplane.2"), "{error}");
            assert_eq!(end(&mut link).await, BusErrorKind::Denied);
        }
        let mut link = connect(&bus).await.unwrap();
        link.transmit.send(&outbound(2)).await.unwrap();
        assert_eq!(end(&mut link).await, BusErrorKind::Denied);
    });
}

#[test]
fn a_permission_that_is_taken_away_ends_the_link() {
    let (server, path, _directory) = configured(&permitting("\"midplane.*\""));
    let bus = Nats::new(&format!("nats://ada:pw@{}", server.address())).unwrap();
    smol::block_on(async {
        let mut link = connect(&bus).await.unwrap();
        link.transmit.subscribe(&[Lane(0)]).await.unwrap();
        fs::write(&path, permitting("\"other.*\"")).unwrap();
        server.reload();
        assert_eq!(end(&mut link).await, BusErrorKind::Denied);
        let mut link = connect(&bus).await.unwrap();
        assert!(
            within("no", link.transmit.subscribe(&[Lane(0)]))
                .await
                .is_err()
        );
        fs::write(&path, permitting("\"midplane.*\"")).unwrap();
        server.reload();
        eventually("the reload", || {
            server
                .log()
                .matches("Reloaded server configuration")
                .count()
                == 2
        })
        .await;
        works(&bus).await;
    });
}

#[test]
fn a_lost_connection_is_never_mended_behind_our_back() {
    let server = Server::nats();
    let proxy = Proxy::start(server.address());
    let bus = Nats::new(&server.url_at(proxy.address())).unwrap();
    smol::block_on(async {
        for _ in 0..20 {
            let mut link = connect(&bus).await.unwrap();
            link.transmit.subscribe(&[Lane(0)]).await.unwrap();
            // The server is there again before anyone notices that it was gone.
            proxy.refuse();
            proxy.accept();
            assert_eq!(end(&mut link).await, BusErrorKind::Unreachable);
            assert!(link.frames.next().await.is_none());
            assert!(link.transmit.send(&outbound(0)).await.is_err());
            assert!(link.transmit.close().await.is_err());
            // Nor is it kept open: the one connection is that of the next link.
            let next = connect(&bus).await.unwrap();
            eventually("one connection", || proxy.connections() == 1).await;
            drop((link, next));
        }
    });
}

#[test]
fn a_server_that_takes_less_than_a_frame_is_refused() {
    let (server, _path, _directory) = configured("max_payload: 4096");
    let bus = Nats::new(&server.url()).unwrap();
    smol::block_on(async {
        let error = connect(&bus).await.unwrap_err();
        assert_eq!(error.kind(), BusErrorKind::Protocol);
        assert!(error.to_string().contains("`with_frame_limit`"), "{error}");
        let bus = bus.with_frame_limit(4096);
        assert_eq!(bus.limits().frame, 4096);
        works(&bus).await;
    });
}

#[test]
fn the_first_server_of_a_cluster_that_answers_is_taken() {
    let server = Server::nats();
    let dead = Server::nats_with(&[]);
    dead.kill();
    let urls = format!("nats://{}, {}", dead.address(), server.url());
    smol::block_on(async {
        let bus = Nats::new(&urls).unwrap();
        for _ in 0..10 {
            works(&bus).await;
        }
    });
}

#[test]
fn the_servers_of_a_cluster_carry_frames_to_each_other() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let route = format!("nats://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let name = ["--cluster_name", "shop"];
    let one = Server::nats_with(&[&name[..], &["--cluster", &route]].concat());
    let joining = ["--cluster", "nats://127.0.0.1:-1", "--routes", &route];
    let two = Server::nats_with(&[&name[..], &joining].concat());
    smol::block_on(async {
        let mut near = connect(&Nats::new(&one.url()).unwrap()).await.unwrap();
        let mut far = connect(&Nats::new(&two.url()).unwrap()).await.unwrap();
        near.transmit.subscribe(&[Lane(0)]).await.unwrap();
        // The servers find each other, and hear of the subscription, in their own time.
        within("a frame through both", async {
            let mut heard = near.frames.next();
            loop {
                far.transmit.send(&outbound(0)).await.unwrap();
                let wait = smol::Timer::after(Duration::from_millis(20));
                match select(heard, wait).await {
                    Either::Left((frame, _)) => break assert!(matches!(frame, Some(Ok(_)))),
                    Either::Right((_, still)) => heard = still,
                }
            }
        })
        .await;
    });
}

#[test]
fn a_runtime_that_is_gone_ends_the_links_that_ran_on_it() {
    let server = Server::nats();
    let bus = Nats::new(&server.url()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut link = runtime.block_on(async {
        let mut link = connect(&bus).await.unwrap();
        link.transmit.subscribe(&[Lane(0)]).await.unwrap();
        link
    });
    drop(runtime);
    smol::block_on(async {
        assert_eq!(end(&mut link).await, BusErrorKind::Unreachable);
        assert!(link.transmit.send(&outbound(0)).await.is_err());
        works(&bus).await;
    });
}

#[test]
fn tokens_passwords_and_keys_log_in() {
    smol::block_on(async {
        let (server, ..) = configured("authorization { token: \"t o/k\" }");
        let address = server.address();
        works(&Nats::new(&format!("nats://t%20o%2Fk@{address}")).unwrap()).await;
        works(
            &Nats::new(&format!("nats://{address}"))
                .unwrap()
                .with_token("t o/k"),
        )
        .await;
        let stranger = Nats::new(&format!("nats://{address}")).unwrap();
        let error = connect(&stranger).await.unwrap_err();
        assert_eq!(error.kind(), BusErrorKind::Denied, "{error:?}");

        let (server, ..) = configured("authorization { user: ada, password: \"p@ss\" }");
        let address = server.address();
        works(&Nats::new(&format!("nats://ada:p%40ss@{address}")).unwrap()).await;
        let bus = Nats::new(&format!("nats://{address}")).unwrap();
        works(&bus.with_user_and_password("ada", "p@ss")).await;

        // The pair of the example in NATS's documentation of NKEYs.
        let (server, ..) = configured(
            "authorization { users = [ { nkey: \
             UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4 } ] }",
        );
        let seed = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY";
        let bus = Nats::new(&server.url()).unwrap().with_nkey_seed(seed);
        works(&bus).await;
        assert!(!format!("{bus:?}").contains(seed));

        let bus = Nats::new(&server.url()).unwrap();
        let error = connect(&bus.with_credentials_file("/nowhere.creds"))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), BusErrorKind::Denied);
        assert!(error.to_string().contains("/nowhere.creds"), "{error}");
    });
}

#[test]
fn tls_is_spoken_to_a_server_that_is_trusted_and_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let pair = rcgen::generate_simple_self_signed(vec!["localhost".into(), "127.0.0.1".into()]);
    let pair = pair.unwrap();
    let certificate = directory.path().join("certificate.pem");
    let key = directory.path().join("key.pem");
    fs::write(&certificate, pair.cert.pem()).unwrap();
    fs::write(&key, pair.signing_key.serialize_pem()).unwrap();
    let (certificate, key) = (text_of(&certificate), text_of(&key));
    let server = Server::nats_with(&["--tls", "--tlscert", certificate, "--tlskey", key]);
    let address = server.address();
    smol::block_on(async {
        for scheme in ["tls", "nats"] {
            let bus = Nats::new(&format!("{scheme}://{address}")).unwrap();
            works(&bus.clone().with_root_certificates(certificate)).await;
            let error = connect(&bus).await.unwrap_err();
            assert_eq!(error.kind(), BusErrorKind::Unreachable, "{error:?}");
        }
        let plain = Server::nats();
        let bus = Nats::new(&format!("tls://{}", plain.address())).unwrap();
        let bus = bus.with_root_certificates(certificate);
        assert!(connect(&bus).await.is_err(), "it speaks in the clear");
        let bus: Arc<dyn Bus> = Arc::new(bus.with_root_certificates("/nowhere.pem"));
        let error = bus.connect().await.unwrap_err();
        assert!(
            error.to_string().contains("`with_root_certificates`"),
            "{error}"
        );
    });
}
