//! A plane over the memory bus, on each executor: live when it is connected, and nothing left when it is closed.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join;
use futures::{FutureExt, StreamExt};
use midplane::bus::Bus;
use midplane::{
    AttachOptions, Builder, ConnectionEnd, Error, Event, Item, Memory, Plane, Refusal, Relay,
    State, Target,
};
use midplane_testkit::executor::Executor;
use midplane_testkit::{eventually, succeeds, within};

const EXECUTORS: [Executor; 4] = [
    Executor::Smol,
    Executor::TokioCurrent,
    Executor::TokioMulti,
    Executor::Threads,
];

fn on_every_executor<F>(check: fn() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    for executor in EXECUTORS {
        executor.run(check());
    }
}

async fn pair() -> [Plane; 2] {
    let bus = Arc::new(Memory::new());
    let connect = || succeeds("connecting", Builder::bus(bus.clone()).connect());
    [connect().await, connect().await]
}

async fn next(connection: &mut midplane::Connection) -> Option<Item> {
    within("an item", connection.next()).await
}

fn event(text: &str) -> Option<Item> {
    Some(Item::Event(Event::text(text)))
}

#[test]
fn two_planes_are_live_and_reach_each_other() {
    on_every_executor(|| async {
        let [here, there] = pair().await;
        assert_eq!((here.state(), there.state()), (State::Live, State::Live));
        let mut phone = here.attach();
        let reach = phone.associate(Target::topic("engines")).await.unwrap();
        assert_eq!(reach, midplane::Reach::Everywhere);
        let receipt = there.publish(Target::topic("engines").unwrap(), "it turns");
        assert_eq!((receipt.accepted(), receipt.is_relayed()), (0, true));
        assert_eq!(next(&mut phone).await, event("it turns"));

        // One `?` for a target, an audience and an event that may be none.
        let everyone = Target::topic("engines").unwrap();
        let others = everyone.clone().except(phone.id().clone());
        let receipt = here.try_publish(others, "but me").unwrap();
        assert_eq!(receipt.accepted(), 0);
        assert!(matches!(
            here.try_publish(Target::topic(""), "e"),
            Err(Error::Id(_))
        ));
        let answers = there
            .count(&everyone, Duration::from_secs(5))
            .await
            .unwrap();
        assert!(
            answers.is_complete() && answers.connections() == 1,
            "{answers:?}"
        );
        let tenant = here.scoped("acme").unwrap();
        let answers = tenant
            .count(&everyone, Duration::from_secs(5))
            .await
            .unwrap();
        assert_eq!(answers.connections(), 0);

        let answers = there.disconnect(&everyone, Duration::from_secs(5)).await;
        assert_eq!(answers.unwrap().connections(), 1);
        assert_eq!(
            (next(&mut phone).await, phone.end()),
            (None, Some(ConnectionEnd::Disconnected))
        );
        for plane in [here, there] {
            assert_eq!(within("the close", plane.close()).await.unsent, 0);
        }
    });
}

#[test]
fn a_closed_plane_ends_its_connections_and_refuses_what_comes() {
    on_every_executor(|| async {
        let [plane, other] = pair().await;
        let mut phone = plane.attach();
        let mut elsewhere = other.attach();
        let topic = Target::topic("t").unwrap();
        phone.associate(&topic).await.unwrap();
        elsewhere.associate(&topic).await.unwrap();
        assert_eq!(plane.publish(&topic, "last").accepted(), 1);
        // From the first moment of a close nothing leaves the node, and that is said.
        let late = plane.publish_confirmed(&topic, "late", Duration::from_secs(1));
        let (_, late) = join(plane.close(), late).await;
        assert_eq!(late.unwrap().relay, Relay::Refused(Refusal::Closed));
        plane.close().await;
        let late = plane.publish_confirmed(&topic, "later", Duration::from_secs(1));
        assert_eq!(late.await.unwrap().relay, Relay::Refused(Refusal::Closed));
        assert_eq!(other.publish(&topic, "end").accepted(), 1);
        for expected in ["last", "end"] {
            assert_eq!(next(&mut elsewhere).await, event(expected));
        }
        assert_eq!(next(&mut phone).await, event("last"));
        assert_eq!(
            (next(&mut phone).await, phone.end()),
            (None, Some(ConnectionEnd::Closed))
        );
        assert_eq!(
            plane.publish(&topic, "e").relay,
            Relay::Refused(Refusal::Closed)
        );
        assert!(matches!(plane.ready().await, Err(Error::Closed)));
        let mut late = plane.attach();
        assert_eq!(
            (next(&mut late).await, late.end()),
            (None, Some(ConnectionEnd::Closed))
        );
        assert!(matches!(
            late.associate(&topic).await,
            Err(Error::Associate(_))
        ));
    });
}

#[test]
fn a_close_takes_readiness_first_and_waits_for_last_words() {
    on_every_executor(|| async {
        let [plane, _other] = pair().await;
        let mut phone = plane.attach();
        phone.associate(Target::topic("t")).await.unwrap();
        assert!(plane.is_ready());
        plane.unready();
        assert!(!plane.is_ready() && plane.state() == State::Live);
        let (hold, mut draining) = (plane.hold(), plane.draining());
        assert!((&mut draining).now_or_never().is_none());

        let mut close = std::pin::pin!(plane.close());
        assert!(close.as_mut().now_or_never().is_none());
        within("the draining", draining).await;
        // While a hold is there the plane is as it was.
        let receipt = plane.publish(Target::topic("t").unwrap(), "last words");
        assert_eq!(receipt.accepted(), 1);
        assert_eq!(next(&mut phone).await, event("last words"));
        assert!(close.as_mut().now_or_never().is_none());
        drop(hold);
        within("the close", close).await;
        // A hold that is taken behind the close holds nothing.
        let late = plane.hold();
        within("another close", plane.close()).await;
        drop(late);
    });
}

#[test]
fn a_hold_that_stays_costs_the_deadline_and_no_more() {
    let plane = Plane::local();
    let _hold = plane.hold();
    let closed = futures::executor::block_on(plane.close_within(Duration::from_millis(20)));
    assert_eq!((closed.unsent, plane.state()), (0, State::Closed));
}

#[test]
fn a_plane_that_is_dropped_closes_and_its_connections_keep_it_open() {
    on_every_executor(|| async {
        let bus = Memory::new();
        let plane = Builder::bus(Arc::new(bus.clone())).connect().await.unwrap();
        let mut phone = plane.attach();
        let handle = phone.handle();
        let core = plane.backplane().clone();
        drop(plane);
        assert_eq!((core.state(), bus.links()), (State::Live, 1));
        handle.push("still here").unwrap();
        assert_eq!(next(&mut phone).await, event("still here"));
        drop(phone);
        eventually("the link is gone", || bus.links() == 0).await;
        assert_eq!(core.state(), State::Closed);
        assert!(handle.associate(Target::topic("t")).await.is_err());
        assert_eq!(handle.push("gone").unwrap(), midplane::Verdict::Closed);
    });
}

#[test]
fn a_connect_that_is_given_up_or_fails_leaves_nothing_open() {
    on_every_executor(|| async {
        let bus = Memory::new();
        let config = midplane::node::Config {
            heartbeat: Duration::from_secs(60),
            ..Default::default()
        };
        let builder = Builder::bus(Arc::new(bus.clone())).config(config);
        // Who is alone on the bus waits for nobody.
        let other = bus.connect().await.unwrap();
        let mut connect = Box::pin(builder.connect());
        futures::future::poll_fn(|context| {
            // The plane waits for answers of others for an eighth of a heartbeat before it is live.
            assert!(connect.poll_unpin(context).is_pending());
            context.waker().wake_by_ref();
            match bus.links() {
                1 => std::task::Poll::Pending,
                _ => std::task::Poll::Ready(()),
            }
        })
        .await;
        drop(connect);
        eventually("the link is gone", || bus.links() == 1).await;
        drop(other);

        bus.block();
        let refused = Builder::bus(Arc::new(bus.clone())).connect();
        let error = within("the refusal", refused).await.unwrap_err();
        assert!(matches!(error, Error::Connect(_)), "{error}");
        assert!(error.to_string().contains("blocked until"), "{error}");

        let degraded = Builder::bus(Arc::new(bus.clone())).start_degraded();
        let plane = degraded.connect().await.unwrap();
        assert_eq!(plane.state(), State::Degraded);
        bus.unblock();
        succeeds("the plane is live", plane.ready()).await;
        plane.close().await;
        eventually("the link is gone", || bus.links() == 0).await;
    });
}

#[test]
fn what_is_read_too_slowly_is_told_and_counted() {
    let plane = Plane::local();
    let capacity = midplane::mailbox::Capacity {
        messages: 2,
        ..Default::default()
    };
    let mut phone = plane.attach_with(AttachOptions::new().capacity(capacity));
    let own = Target::Connection(phone.id().clone());
    for text in ["a", "b", "c", "d", "e"] {
        assert_eq!(plane.publish(&own, text).accepted(), 1);
    }
    let items: Vec<_> = std::iter::from_fn(|| phone.next().now_or_never().flatten()).collect();
    assert_eq!(
        items,
        [
            Item::Lost(3),
            Item::Event(Event::text("d")),
            Item::Event(Event::text("e"))
        ]
    );
    assert_eq!(plane.status().mailboxes.dropped, 3);
    assert_eq!(plane.status().connections, 1);
    (0..4).for_each(|_| assert_eq!(plane.publish(&own, "f").accepted(), 1));
    drop(phone);
    let status = plane.status();
    assert_eq!(
        (status.mailboxes.dropped, status.mailboxes.abandoned),
        (5, 2)
    );
    assert_eq!(status.connections, 0);
}

#[test]
fn values_come_as_json_with_gaps_as_errors_between_them() {
    let plane = Plane::local();
    let phone = plane.attach();
    let handle = phone.handle();
    let mut numbers = phone.json::<u32>();
    handle.push(midplane::json(&7)).unwrap();
    handle.push("no number").unwrap();
    handle.push(midplane::json(&8)).unwrap();
    handle.detach();
    let mut next = || numbers.next().now_or_never().flatten();
    assert_eq!(next().unwrap().unwrap(), 7);
    assert!(matches!(next(), Some(Err(Error::Json(_)))));
    assert_eq!(next().unwrap().unwrap(), 8);
    assert!(next().is_none());
}

#[test]
fn what_is_no_url_of_a_bus_is_said_without_the_url() {
    for url in [
        "hunter2",
        "http://u:hunter2@h",
        "postgres://app:top@hunter2@127.0.0.1:1/db",
    ] {
        let connect = Plane::connect(url).now_or_never();
        let error = connect.expect("nothing is waited for").unwrap_err();
        assert!(matches!(error, Error::Connect(_)), "{error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }
}
