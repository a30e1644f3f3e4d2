//! Every check can fail: for each there is a bus with one sin that it, and its message, catches.

use std::collections::BTreeMap;
use std::future::{pending, ready};
use std::mem::{ManuallyDrop, forget};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt};
use midplane::Memory;
use midplane::bus::{Bus, BusError, BusErrorKind, Inbound, Lane, Limits, Link, Outbound, Transmit};
use midplane_conformance::suite::{self, CHECKS, Fixture, RefusedBus};
use midplane_testkit::executor::Executor;
use midplane_testkit::set_patience;

/// What a bus does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sin {
    NoEcho,
    Reorders,
    EndsAtZero,
    DropsEmpty,
    HearsEverything,
    SubscribesLate,
    DeliversPerSubscription,
    IgnoresUnsubscribe,
    IgnoresPrefix,
    RefusesTheLargest,
    SwallowsTooLarge,
    SendsUpToTooLarge,
    DiesOfTooLarge,
    Skips,
    NeverFull,
    ForgetsAtClose,
    StaysOpenAtClose,
    HangsWhenCut,
    SendsWhenDead,
    StaysDown,
    LeaksSessions,
    LeaksConnects,
    LetsEveryoneIn,
    ShowsThePassword,
    ShowsThePasswordInDebug,
    SaysDenied,
    NamesNothing,
}

/// Which check, and which part of it, catches each of them.
const CAUGHT: &[(Sin, &str, &str)] = &[
    (
        Sin::NoEcho,
        "every_link_receives_a_frame_the_sender_too",
        "the next frame: not within",
    ),
    (
        Sin::Reorders,
        "frames_of_one_sender_on_one_lane_keep_their_order",
        "the number of sender",
    ),
    (
        Sin::EndsAtZero,
        "every_byte_arrives_as_it_was_sent",
        "the next frame",
    ),
    (
        Sin::DropsEmpty,
        "every_byte_arrives_as_it_was_sent",
        "the next frame",
    ),
    (
        Sin::HearsEverything,
        "a_lane_not_subscribed_is_not_received",
        "the lane of what arrives next",
    ),
    (
        Sin::SubscribesLate,
        "what_is_sent_after_subscribe_is_received",
        "the next frame: not within",
    ),
    (
        Sin::DeliversPerSubscription,
        "subscribing_twice_delivers_once",
        "the next frame",
    ),
    (
        Sin::IgnoresUnsubscribe,
        "an_unsubscribed_lane_is_not_received",
        "the lane of what arrives next",
    ),
    (
        Sin::IgnoresUnsubscribe,
        "subscribing_twice_delivers_once",
        "the lane of what arrives next",
    ),
    (
        Sin::IgnoresPrefix,
        "another_prefix_is_not_received",
        "the next frame",
    ),
    (
        Sin::RefusesTheLargest,
        "the_largest_frame_arrives",
        "the frames are sent",
    ),
    (
        Sin::SwallowsTooLarge,
        "a_larger_frame_is_refused_and_the_link_lives",
        "one byte too many",
    ),
    (
        Sin::SendsUpToTooLarge,
        "a_larger_frame_is_refused_and_the_link_lives",
        "the next frame",
    ),
    (
        Sin::DiesOfTooLarge,
        "a_larger_frame_is_refused_and_the_link_lives",
        "the frames are sent",
    ),
    (
        Sin::Skips,
        "a_link_nobody_reads_skips_nothing",
        "is missing",
    ),
    (
        Sin::NeverFull,
        "a_link_nobody_reads_skips_nothing",
        "the link overflows",
    ),
    (
        Sin::ForgetsAtClose,
        "close_sends_what_is_buffered",
        "the next frame: not within",
    ),
    (
        Sin::StaysOpenAtClose,
        "close_sends_what_is_buffered",
        "the end of the link: not within",
    ),
    (
        Sin::HangsWhenCut,
        "a_cut_ends_every_link",
        "the end of the link: not within",
    ),
    (
        Sin::SendsWhenDead,
        "a_cut_ends_every_link",
        "a dead link sends nothing",
    ),
    (
        Sin::StaysDown,
        "connecting_works_after_the_cut_heals",
        "a link",
    ),
    (
        Sin::LeaksSessions,
        "dropping_a_link_leaves_nothing_open",
        "gone from the server: not within",
    ),
    (
        Sin::LeaksConnects,
        "dropping_a_connect_leaves_nothing_open",
        "gone from the server: not within",
    ),
    (
        Sin::LetsEveryoneIn,
        "wrong_credentials_are_denied",
        "it is not let in",
    ),
    (
        Sin::ShowsThePassword,
        "wrong_credentials_are_denied",
        "a secret is shown",
    ),
    (
        Sin::ShowsThePasswordInDebug,
        "wrong_credentials_are_denied",
        "a secret is shown",
    ),
    (
        Sin::SaysDenied,
        "a_wrong_address_is_unreachable",
        "assertion `left == right` failed",
    ),
    (
        Sin::NamesNothing,
        "a_wrong_address_is_unreachable",
        "does not name",
    ),
];

const PASSWORD: &str = "hunter2";
const SETTING: &str = "the url";

#[test]
fn each_sin_is_caught_by_the_check_that_names_it() {
    for check in CHECKS {
        suite::run(check.name, Executor::Smol, || Sinful::new(None));
    }
    // From here on most waits are in vain.
    set_patience(Duration::from_millis(300));
    for &(sin, check, message) in CAUGHT {
        let caught = std::thread::spawn(move || {
            suite::run(check, Executor::Smol, || Sinful::new(Some(sin)));
        })
        .join()
        .expect_err(&format!("{check} does not catch {sin:?}"));
        let said = caught
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| caught.downcast_ref::<&str>().copied())
            .unwrap_or_default();
        assert!(
            said.contains(message),
            "{check} fails on {sin:?}, but with: {said}"
        );
    }
    let unproven: Vec<_> = CHECKS
        .iter()
        .filter(|check| CAUGHT.iter().all(|(_, name, _)| *name != check.name))
        .collect();
    assert!(unproven.is_empty(), "{unproven:?} were never seen to fail");
}

#[derive(Debug)]
struct Sinful {
    bus: Sabotaged,
}

impl Sinful {
    fn new(sin: Option<Sin>) -> Self {
        let queue = if sin == Some(Sin::NeverFull) {
            1 << 30
        } else {
            1 << 20
        };
        Self {
            bus: Sabotaged {
                memory: Memory::new().with_frame_limit(64 << 10).with_queue(queue),
                sin,
                wrong: None,
                was_down: Arc::default(),
            },
        }
    }

    fn refused(&self, wrong: BusErrorKind) -> Option<RefusedBus> {
        Some(RefusedBus {
            bus: Arc::new(Sabotaged {
                wrong: Some(wrong),
                ..self.bus.clone()
            }),
            secrets: vec![PASSWORD.to_owned()],
            names: SETTING.to_owned(),
        })
    }
}

impl Fixture for Sinful {
    fn bus(&self) -> Arc<dyn Bus> {
        Arc::new(self.bus.clone())
    }

    fn other_prefix(&self) -> Arc<dyn Bus> {
        match self.bus.sin {
            Some(Sin::IgnoresPrefix) => self.bus(),
            sin => Self::new(sin).bus(),
        }
    }

    fn cut(&self) {
        self.bus.memory.block();
        self.bus.was_down.store(true, Ordering::Relaxed);
    }

    fn heal(&self) {
        self.bus.memory.unblock();
    }

    fn connections(&self) -> usize {
        self.bus.memory.links()
    }

    fn wrong_credentials(&self) -> Option<RefusedBus> {
        self.refused(BusErrorKind::Denied)
    }

    fn wrong_address(&self) -> Option<RefusedBus> {
        self.refused(BusErrorKind::Unreachable)
    }

    fn flood(&self) -> usize {
        3_000
    }
}

/// The memory bus, with a sin.
#[derive(Clone)]
struct Sabotaged {
    memory: Memory,
    sin: Option<Sin>,
    /// Why it lets nobody in.
    wrong: Option<BusErrorKind>,
    was_down: Arc<AtomicBool>,
}

impl std::fmt::Debug for Sabotaged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = self.sin == Some(Sin::ShowsThePasswordInDebug);
        f.write_str(if shown { PASSWORD } else { "Sabotaged" })
    }
}

#[async_trait]
impl Bus for Sabotaged {
    fn limits(&self) -> Limits {
        self.memory.limits()
    }

    async fn connect(&self) -> Result<Link, BusError> {
        if let Some(kind) = self.wrong
            && self.sin != Some(Sin::LetsEveryoneIn)
        {
            return Err(match self.sin {
                Some(Sin::ShowsThePassword) => {
                    let source = format!("AUTH {PASSWORD} was refused");
                    BusError::new(kind, "look at the url").caused_by(source)
                }
                Some(Sin::SaysDenied) => BusError::new(BusErrorKind::Denied, "look at the url"),
                Some(Sin::NamesNothing) => BusError::new(kind, "it does not work"),
                _ => BusError::new(kind, "look at the url"),
            });
        }
        if self.sin == Some(Sin::StaysDown) && self.was_down.load(Ordering::Relaxed) {
            return Err(BusError::new(BusErrorKind::Unreachable, "it was down once"));
        }
        let link = self.memory.connect().await?;
        match self.sin {
            Some(Sin::LeaksSessions) => forget(self.memory.connect().await),
            Some(Sin::LeaksConnects) => {
                let other = ManuallyDrop::new(self.memory.connect().await);
                smol::future::yield_now().await;
                drop(ManuallyDrop::into_inner(other));
            }
            _ => {}
        }
        let shared = Arc::new(Shared {
            sin: self.sin,
            ..Shared::default()
        });
        Ok(Link {
            frames: shared.clone().frames(link.frames),
            transmit: Box::new(Sender {
                inner: link.transmit,
                limit: self.limits().frame,
                shared,
                late: Vec::new(),
                buffer: Vec::new(),
            }),
        })
    }
}

/// What the halves of a link know of each other.
#[derive(Default)]
struct Shared {
    sin: Option<Sin>,
    own: Mutex<Vec<Outbound>>,
    subscriptions: Mutex<BTreeMap<Lane, usize>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nobody panics holding it")
}

type Item = Result<Inbound, BusError>;

impl Shared {
    fn frames(self: Arc<Self>, frames: BoxStream<'static, Item>) -> BoxStream<'static, Item> {
        match self.sin {
            Some(Sin::NoEcho) => frames
                .filter(move |item| {
                    let mut own = locked(&self.own);
                    let at = item.as_ref().ok().and_then(|inbound| {
                        own.iter().position(|sent| sent.frame == inbound.frame)
                    });
                    ready(at.map(|at| own.swap_remove(at)).is_none())
                })
                .boxed(),
            Some(Sin::Skips) => frames
                .enumerate()
                .filter(|(number, _)| ready(number % 100 != 99))
                .map(|(_, item)| item)
                .boxed(),
            Some(Sin::DeliversPerSubscription) => frames
                .flat_map(move |item| match item {
                    Ok(inbound) => {
                        let subscriptions = locked(&self.subscriptions);
                        let times = subscriptions.get(&inbound.lane).copied().unwrap_or(1);
                        stream::iter(vec![inbound; times].into_iter().map(Ok)).boxed()
                    }
                    Err(error) => stream::iter([Err(error)]).boxed(),
                })
                .boxed(),
            Some(Sin::HangsWhenCut) => frames
                .take_while(|item| ready(item.is_ok()))
                .chain(stream::once(pending()))
                .boxed(),
            _ => frames,
        }
    }
}

struct Sender {
    inner: Box<dyn Transmit>,
    limit: usize,
    shared: Arc<Shared>,
    /// Lanes that are said to be subscribed, and frames that are said to be sent.
    late: Vec<Lane>,
    buffer: Vec<Outbound>,
}

#[async_trait]
impl Transmit for Sender {
    async fn subscribe(&mut self, lanes: &[Lane]) -> Result<(), BusError> {
        for lane in lanes {
            *locked(&self.shared.subscriptions).entry(*lane).or_default() += 1;
        }
        match self.shared.sin {
            Some(Sin::HearsEverything) => {
                let every: Vec<_> = (0..128).map(Lane).collect();
                self.inner.subscribe(&every).await
            }
            Some(Sin::SubscribesLate) => {
                let before = std::mem::replace(&mut self.late, lanes.to_vec());
                self.inner.subscribe(&before).await
            }
            _ => self.inner.subscribe(lanes).await,
        }
    }

    async fn unsubscribe(&mut self, lanes: &[Lane]) -> Result<(), BusError> {
        match self.shared.sin {
            Some(Sin::IgnoresUnsubscribe) => Ok(()),
            _ => self.inner.unsubscribe(lanes).await,
        }
    }

    async fn send(&mut self, frames: &[Outbound]) -> Result<(), BusError> {
        let mut frames = frames.to_vec();
        let too_large = frames
            .iter()
            .position(|frame| frame.frame.len() > self.limit);
        match self.shared.sin {
            Some(Sin::NoEcho) => locked(&self.shared.own).extend(frames.iter().cloned()),
            Some(Sin::Reorders) => frames.reverse(),
            Some(Sin::EndsAtZero) => {
                for Outbound { frame, .. } in &mut frames {
                    let end = frame.iter().position(|byte| *byte == 0);
                    frame.truncate(end.unwrap_or(frame.len()));
                }
            }
            Some(Sin::DropsEmpty) => frames.retain(|frame| !frame.frame.is_empty()),
            Some(Sin::RefusesTheLargest)
                if frames.iter().any(|frame| frame.frame.len() >= self.limit) =>
            {
                return Err(BusError::new(BusErrorKind::TooLarge, "it is large"));
            }
            Some(Sin::SwallowsTooLarge) if too_large.is_some() => return Ok(()),
            Some(Sin::SendsUpToTooLarge) => {
                for frame in frames {
                    self.inner.send(&[frame]).await?;
                }
                return Ok(());
            }
            Some(Sin::DiesOfTooLarge) if too_large.is_some() => {
                let refused = self.inner.send(&frames).await;
                self.inner.close().await?;
                return refused;
            }
            Some(Sin::ForgetsAtClose) => frames = std::mem::replace(&mut self.buffer, frames),
            Some(Sin::SendsWhenDead) => {
                // The error is what is swallowed here.
                let _ = self.inner.send(&frames).await;
                return Ok(());
            }
            _ => {}
        }
        self.inner.send(&frames).await
    }

    async fn close(&mut self) -> Result<(), BusError> {
        match self.shared.sin {
            Some(Sin::StaysOpenAtClose) => Ok(()),
            _ => self.inner.close().await,
        }
    }
}
