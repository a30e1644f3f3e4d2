//! A runtime that does not fit is an error at the start, and one that ends is a state.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use futures::executor::block_on;
use futures::future::BoxFuture;
use midplane::{
    Builder, Error, Instant, Memory, Plane, Refusal, Relay, Runtime, RuntimeError, State, Target,
    Timer,
};
use midplane_testkit::{eventually, within};

fn connect(runtime: impl Runtime) -> Result<Plane, Error> {
    let builder = Builder::bus(Arc::new(Memory::new())).runtime(runtime);
    block_on(within("connecting", builder.connect()))
}

fn refusal(runtime: impl Runtime) -> RuntimeError {
    match connect(runtime) {
        Err(Error::Runtime(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_tokio_runtime_without_a_timer_is_refused() {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let tokio = builder.worker_threads(1).build().unwrap();
    let error = refusal(midplane::tokio::Runtime::of(tokio.handle().clone()));
    assert_eq!(error, RuntimeError::Dropped);
    assert!(error.to_string().contains("enable_all"), "{error}");
}

#[test]
fn a_tokio_runtime_that_is_shut_down_is_refused() {
    let tokio = tokio::runtime::Runtime::new().unwrap();
    let runtime = midplane::tokio::Runtime::of(tokio.handle().clone());
    drop(tokio);
    assert_eq!(refusal(runtime), RuntimeError::Dropped);
}

/// Whatever tokio says of what is missing is in the error, and not in a panic of a task alone.
#[test]
fn a_tokio_runtime_without_io_is_an_error_that_says_so() {
    let tokio = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_time()
        .build();
    let runtime = midplane::tokio::Runtime::of(tokio.as_ref().unwrap().handle().clone());
    for url in ["redis://127.0.0.1:1", "nats://127.0.0.1:1"] {
        let connect = Plane::builder(url).runtime(runtime.clone()).connect();
        let error = block_on(within("connecting", connect)).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("IO is disabled"), "{url}: {text}");
    }
}

/// Keeps what is spawned, runs none of it, and wakes every sleep at once.
#[derive(Default)]
struct Idle(Mutex<Vec<BoxFuture<'static, ()>>>);

impl std::fmt::Debug for Idle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Idle")
    }
}

impl Timer for Idle {
    fn now(&self) -> Instant {
        Instant::ZERO
    }

    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        async {}.boxed()
    }
}

impl Runtime for Idle {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.0.lock().unwrap().push(task);
    }
}

#[test]
fn a_runtime_that_nobody_polls_is_refused() {
    let error = refusal(Idle::default());
    assert_eq!(error, RuntimeError::NotRunning);
}

/// Runs what is spawned, and wakes every sleep at once.
#[derive(Debug)]
struct Sleepless;

impl Timer for Sleepless {
    fn now(&self) -> Instant {
        Instant::ZERO
    }

    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        async {}.boxed()
    }
}

impl Runtime for Sleepless {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        midplane::smol::spawn(task);
    }
}

#[test]
fn a_runtime_whose_timer_does_not_wait_is_refused() {
    assert_eq!(refusal(Sleepless), RuntimeError::NoTimer);
}

/// A plane in a static outlives the runtime of the first test that used it.
#[test]
fn a_plane_whose_runtime_ends_says_so_and_closes_in_another() {
    let first = tokio::runtime::Runtime::new().unwrap();
    let plane = first.block_on(async { Plane::connect("memory:").await.unwrap() });
    let topic = Target::topic("t").unwrap();
    assert_eq!(plane.publish(&topic, "e").relay, Relay::Queued);
    drop(first);
    let second = tokio::runtime::Runtime::new().unwrap();
    second.block_on(async {
        eventually("the plane is stopped", || plane.state() == State::Stopped).await;
        let receipt = plane.publish(&topic, "e");
        assert_eq!(receipt.relay, Relay::Refused(Refusal::Stopped));
        assert!(matches!(plane.ready().await, Err(Error::Stopped { .. })));
        let mut phone = plane.attach();
        phone.associate(&topic).await.unwrap();
        assert_eq!(plane.publish(&topic, "here").accepted(), 1);
        assert!(futures::StreamExt::next(&mut phone).await.is_some());
        within("the close", plane.close()).await;
        assert_eq!(plane.state(), State::Closed);
    });
}
