//! What a node holds of what it shares with all others on a Postgres server: backends, the lock of `NOTIFY`, the queue of
//! notifications and the horizon of vacuum.

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll};
use std::thread;

use common::sql;
use futures::StreamExt;
use futures::task::{ArcWake, noop_waker_ref, waker};
use midplane_conformance::suite::{TestLink, outbound};
use midplane_core::bus::BusErrorKind;
use midplane_postgres::Postgres;
use midplane_testkit::lock::locked;
use midplane_testkit::server::Server;
use midplane_testkit::{eventually, within};
use tokio_postgres::NoTls;

/// More than the server's and our own buffers of a connection hold, in frames of 5 kB.
const FLOOD: usize = 6_000;

fn bus(server: &Server, name: &str) -> Postgres {
    let url = format!("{}?application_name={name}", server.url());
    Postgres::new(&url).unwrap().with_prefix(name).unwrap()
}

/// How many backends of this name there are for which this holds.
fn backends(server: &Server, name: &str, condition: &str) -> usize {
    let query = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = '{name}' AND {condition}"
    );
    let count = sql(&server.url(), &query).expect("a count");
    count.parse().expect("a number")
}

/// How much of the queue of notifications waits for somebody.
fn queue(server: &Server) -> f64 {
    let usage = sql(&server.url(), "SELECT pg_notification_queue_usage()");
    usage.expect("a share").parse().expect("a number")
}

/// Sends more than the buffers of a connection hold.
async fn flood(server: &Server, name: &str) {
    let mut sender = TestLink::connect(&bus(server, name)).await;
    let frames: Vec<_> = (0..100).map(|_| outbound(1, vec![7; 5_000])).collect();
    for _ in 0..FLOOD / frames.len() {
        sender.send_all(&frames).await;
    }
    sender.transmit.close().await.expect("it is closed");
}

/// Runs SQL in the clear that does not end before the server does, on a connection and a thread of its own.
fn hold(url: &str, text: &'static str) {
    let url = url.to_owned();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(&url, NoTls).await.expect("SQL");
            let connection = tokio::spawn(connection);
            // The server is killed meanwhile.
            let _ = client.simple_query(text).await;
            drop(client);
            let _ = connection.await;
        });
    });
}

/// A server whose lock of `NOTIFY` somebody has, for ever: a commit that waits for a standby which does not exist.
fn locked_server() -> Server {
    let server = Server::postgres_with(&["synchronous_standby_names=nobody"]);
    hold(&server.url(), "CREATE TABLE held (); NOTIFY held");
    smol::block_on(eventually("the lock", || {
        let query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
        sql(&server.url(), query).as_deref() == Some("1")
    }));
    server
}

#[test]
fn what_is_given_up_does_not_go_on_waiting_on_the_server() {
    let server = locked_server();
    let bus = bus(&server, "patient");
    let waiting = "wait_event_type = 'Lock'";
    smol::block_on(async {
        for _ in 0..4 {
            let mut node = TestLink::on(&bus, &[0]).await;
            let frames = [outbound(0, "never")];
            let mut sending = node.transmit.send(&frames);
            // The driver gives a link up that does not answer, and opens the next.
            within("the wait for the lock", async {
                while backends(&server, "patient", waiting) == 0 {
                    let mut cx = Context::from_waker(noop_waker_ref());
                    assert!(sending.as_mut().poll(&mut cx).is_pending());
                }
            })
            .await;
            drop(sending);
            drop(node);
            eventually("the backend ends", || {
                backends(&server, "patient", "true") == 0
            })
            .await;
        }
    });
}

#[test]
fn a_lock_that_is_not_had_ends_the_link_as_unreachable() {
    let server = locked_server();
    smol::block_on(async {
        let mut node = TestLink::on(&bus(&server, "locked"), &[0]).await;
        let sent = within("sending", node.transmit.send(&[outbound(0, "never")])).await;
        let error = sent.expect_err("somebody has the lock");
        assert_eq!(error.kind(), BusErrorKind::Unreachable, "{error}");
        assert!(error.to_string().contains("lock timeout"), "{error}");
    });
}

/// A node that is stopped, as by a debugger, keeps its connection and reads nothing.
#[test]
fn a_node_that_stands_still_holds_the_queue_and_the_horizon_for_seconds() {
    let server = Server::postgres_with(&[]);
    smol::block_on(async {
        let still = TestLink::on(&bus(&server, "still"), &[1]).await;
        // The flood's own prefix is the listener's.
        flood(&server, "still").await;
        let holds = "backend_xmin IS NOT NULL AND wait_event = 'ClientWrite'";
        eventually("the listener's backend is stuck", || {
            backends(&server, "still", holds) == 1
        })
        .await;
        assert!(queue(&server) > 0.0);
        eventually("the backend ends", || {
            backends(&server, "still", "true") == 0
        })
        .await;
        assert!(queue(&server) == 0.0);
        drop(still);
    });
}

/// A node that lives and takes one frame each time it is woken.
#[test]
fn a_slow_node_takes_in_what_comes_and_holds_nothing_back() {
    static STOP: AtomicBool = AtomicBool::new(false);

    struct Woken(Mutex<mpsc::Sender<()>>);

    impl ArcWake for Woken {
        fn wake_by_ref(this: &Arc<Self>) {
            // Nobody waits any more.
            let _ = locked(&this.0).send(());
        }
    }

    let server = Server::postgres_with(&[]);
    let slow = bus(&server, "slow").with_queue(64 << 20);
    let mut node = smol::block_on(TestLink::on(&slow, &[1]));
    let (sender, woken) = mpsc::channel();
    let waker = waker(Arc::new(Woken(Mutex::new(sender.clone()))));
    let read = thread::scope(|scope| {
        let reading = scope.spawn(move || {
            let mut read = 0;
            while woken.recv() == Ok(()) {
                let mut cx = Context::from_waker(&waker);
                match node.frames.poll_next_unpin(&mut cx) {
                    Poll::Ready(Some(Ok(_))) => read += 1,
                    Poll::Ready(Some(Err(error))) => panic!("{error}"),
                    Poll::Ready(None) => break,
                    Poll::Pending => {}
                }
                if STOP.load(Ordering::Relaxed) {
                    break;
                }
            }
            read
        });
        sender.send(()).expect("it is held");
        smol::block_on(async {
            flood(&server, "slow").await;
            eventually("the queue is empty", || queue(&server) == 0.0).await;
        });
        STOP.store(true, Ordering::Relaxed);
        sender.send(()).expect("it is held");
        reading.join().expect("it reads")
    });
    // What was not read waits in the node.
    assert!(read < FLOOD / 2, "{read} of {FLOOD} were read");
}
