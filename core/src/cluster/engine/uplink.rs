//! The node's way to the bus: connecting, one open link at a time, and the pauses between attempts.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::error::Error;
use core::task::{Context, Poll};
use core::time::Duration;

use futures::future::{BoxFuture, FutureExt};

use crate::backoff::Backoff;
use crate::bus::{Bus, BusError, BusErrorKind, Inbound, Lane, Limits, Link};
use crate::cluster::polled_link::{Job, PolledLink};
use crate::random::Random;
use crate::time::Instant;

/// How many heartbeats a connect may take, and every job of an open link.
const TO_CONNECT: u32 = 5;
const TO_WORK: u32 = 2;

/// How much longer a subscription may take for each of its lanes: some servers confirm one lane after the other.
const PER_LANE: Duration = Duration::from_millis(1);

pub(super) struct Uplink {
    bus: Arc<dyn Bus>,
    heartbeat: Duration,
    phase: Phase,
    backoff: Backoff,
    /// Attempts since the node was live.
    failures: u32,
    random: Random,
}

enum Phase {
    Pausing(Instant),
    Connecting(Instant, BoxFuture<'static, Result<Link, BusError>>),
    Open(PolledLink),
    Done,
}

/// What came of the work of a link, or of opening one.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// A link is open, and is to subscribe its first lanes.
    Opened,
    Subscribed(Vec<Lane>),
    /// The server takes no more lanes, for this reason. None of these was subscribed, and the link lives.
    Full(Vec<Lane>, String),
    Unsubscribed,
    Sent,
    /// A frame is larger than the bus takes. None of the batch was sent, and the link lives.
    Rejected(String),
    Closed,
    /// There is no link: it failed or was not opened, for this reason.
    Failed(String),
}

impl Uplink {
    pub(super) fn new(bus: Arc<dyn Bus>, heartbeat: Duration, seed: u64) -> Self {
        Self {
            bus,
            heartbeat,
            phase: Phase::Pausing(Instant::ZERO),
            backoff: Backoff::new(heartbeat / 8, heartbeat * 5 / 2),
            failures: 0,
            random: Random::new(seed),
        }
    }

    /// What the bus takes at this moment.
    pub(super) fn limits(&self) -> Limits {
        self.bus.limits()
    }

    /// The identity of the broker, as far as the bus can tell.
    pub(super) fn broker(&self) -> String {
        self.bus.broker().unwrap_or_default()
    }

    /// Whether nobody else is linked with the bus, as far as the bus can tell.
    pub(super) fn is_alone(&self) -> bool {
        self.bus.is_alone()
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open(_))
    }

    /// Whether an open link waits for its next job.
    pub(super) fn is_idle(&self) -> bool {
        matches!(&self.phase, Phase::Open(link) if link.is_idle())
    }

    pub(super) fn is_pausing(&self) -> bool {
        matches!(self.phase, Phase::Pausing(_))
    }

    pub(super) fn is_done(&self) -> bool {
        matches!(self.phase, Phase::Done)
    }

    /// Connects when the pause is over, and polls what is under way.
    pub(super) fn poll_work(
        &mut self,
        now: Instant,
        context: &mut Context<'_>,
    ) -> Option<Progress> {
        if let Phase::Pausing(until) = self.phase
            && now >= until
        {
            let bus = self.bus.clone();
            let work = async move { bus.connect().await };
            let until = now + self.heartbeat * TO_CONNECT;
            self.phase = Phase::Connecting(until, work.boxed());
        }
        match &mut self.phase {
            Phase::Pausing(_) | Phase::Done => None,
            Phase::Connecting(until, work) => match work.poll_unpin(context) {
                Poll::Ready(Ok(link)) => {
                    self.phase = Phase::Open(PolledLink::new(link));
                    Some(Progress::Opened)
                }
                Poll::Ready(Err(error)) => Some(Progress::Failed(explain(&error))),
                Poll::Pending if now >= *until => {
                    let reason = late("connecting", self.heartbeat * TO_CONNECT);
                    Some(Progress::Failed(reason))
                }
                Poll::Pending => None,
            },
            Phase::Open(link) => match link.poll_work(context) {
                Poll::Ready((job, outcome)) => Some(progress(job, outcome)),
                Poll::Pending if link.until().is_some_and(|until| now >= until) => {
                    let reason = late("answering", self.heartbeat * TO_WORK);
                    Some(Progress::Failed(reason))
                }
                Poll::Pending => None,
            },
        }
    }

    /// The next frame of the open link, or why the link failed.
    pub(super) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Option<Result<Inbound, String>> {
        let Phase::Open(link) = &mut self.phase else {
            return None;
        };
        match link.poll_frame(context) {
            Poll::Ready(Some(Ok(inbound))) => Some(Ok(inbound)),
            Poll::Ready(Some(Err(error))) => Some(Err(explain(&error))),
            Poll::Ready(None) => Some(Err(String::from("the bus ended the link"))),
            Poll::Pending => None,
        }
    }

    /// Gives the idle link its next job.
    pub(super) fn start(&mut self, now: Instant, job: Job) {
        let lanes = match &job {
            Job::Subscribe(lanes) => lanes.len() as u32,
            _ => 0,
        };
        let until = now + self.heartbeat * TO_WORK + PER_LANE * lanes;
        if let Phase::Open(link) = &mut self.phase {
            link.start(job, until);
        }
    }

    /// Drops the link and pauses before the next attempt.
    pub(super) fn pause(&mut self, now: Instant) {
        let wait = self.backoff.wait(self.failures, &mut self.random);
        self.failures = self.failures.saturating_add(1);
        self.phase = Phase::Pausing(now + wait);
    }

    /// The node is live: the next pause is short again.
    pub(super) fn live(&mut self) {
        self.failures = 0;
    }

    /// Ends it for good.
    pub(super) fn end(&mut self) {
        self.phase = Phase::Done;
    }

    /// When something is due next.
    pub(super) fn due(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Pausing(until) | Phase::Connecting(until, _) => Some(*until),
            Phase::Open(link) => link.until(),
            Phase::Done => None,
        }
    }
}

fn progress(job: Job, outcome: Result<(), BusError>) -> Progress {
    match (job, outcome) {
        (Job::Subscribe(lanes), Ok(())) => Progress::Subscribed(lanes),
        (Job::Unsubscribe(_), Ok(())) => Progress::Unsubscribed,
        (Job::Send(_), Ok(())) => Progress::Sent,
        (Job::Close, Ok(())) => Progress::Closed,
        (Job::Subscribe(lanes), Err(error)) if error.kind() == BusErrorKind::TooManyLanes => {
            Progress::Full(lanes, explain(&error))
        }
        (Job::Send(_), Err(error)) if error.kind() == BusErrorKind::TooLarge => {
            Progress::Rejected(explain(&error))
        }
        (_, Err(error)) => Progress::Failed(explain(&error)),
    }
}

fn explain(error: &BusError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

fn late(doing: &str, within: Duration) -> String {
    alloc::format!("the bus took longer than {within:?} for {doing}")
}

#[cfg(test)]
mod tests {
    use alloc::boxed::Box;
    use alloc::vec;

    use async_trait::async_trait;
    use futures::stream::{self, StreamExt};
    use futures::task::noop_waker_ref;

    use super::*;
    use crate::bus::{Outbound, Transmit};

    const HEARTBEAT: Duration = Duration::from_secs(2);

    /// A bus whose links do what their name says with every job.
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Scripted {
        Refuses,
        Hangs,
        Works,
        Fails(BusErrorKind),
    }

    #[async_trait]
    impl Bus for Scripted {
        fn limits(&self) -> Limits {
            Limits::new(1_024)
        }

        fn prefix(&self) -> &str {
            "scripted"
        }

        async fn connect(&self) -> Result<Link, BusError> {
            match self {
                Self::Refuses => Err(BusError::new(BusErrorKind::Denied, "refused")),
                Self::Hangs => futures::future::pending().await,
                _ => Ok(Link {
                    transmit: Box::new(*self),
                    frames: stream::pending().boxed(),
                }),
            }
        }
    }

    impl Scripted {
        fn outcome(self) -> Result<(), BusError> {
            match self {
                Self::Fails(kind) => Err(BusError::new(kind, "failed")),
                _ => Ok(()),
            }
        }
    }

    #[async_trait]
    impl Transmit for Scripted {
        async fn subscribe(&mut self, _: &[Lane]) -> Result<(), BusError> {
            self.outcome()
        }
        async fn unsubscribe(&mut self, _: &[Lane]) -> Result<(), BusError> {
            self.outcome()
        }
        async fn send(&mut self, _: &[Outbound]) -> Result<(), BusError> {
            self.outcome()
        }
        async fn close(&mut self) -> Result<(), BusError> {
            self.outcome()
        }
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_origin(Duration::from_secs(seconds))
    }

    fn poll(uplink: &mut Uplink, now: Instant) -> Option<Progress> {
        uplink.poll_work(now, &mut Context::from_waker(noop_waker_ref()))
    }

    fn uplink(bus: Scripted) -> Uplink {
        Uplink::new(Arc::new(bus), HEARTBEAT, 7)
    }

    fn failed(reason: &str) -> Option<Progress> {
        Some(Progress::Failed(String::from(reason)))
    }

    #[test]
    fn a_link_does_one_job_after_the_other_until_it_is_closed() {
        let mut uplink = uplink(Scripted::Works);
        assert_eq!(poll(&mut uplink, at(1)), Some(Progress::Opened));
        for (job, done) in [
            (
                Job::Subscribe(vec![Lane(3)]),
                Progress::Subscribed(vec![Lane(3)]),
            ),
            (Job::Send(Arc::default()), Progress::Sent),
            (Job::Unsubscribe(vec![Lane(3)]), Progress::Unsubscribed),
            (Job::Close, Progress::Closed),
        ] {
            assert!(uplink.is_idle());
            uplink.start(at(1), job);
            assert!(!uplink.is_idle());
            assert_eq!(poll(&mut uplink, at(1)), Some(done));
        }
    }

    #[test]
    fn a_connect_that_fails_or_takes_too_long_is_followed_by_a_pause_and_another() {
        let mut refused = uplink(Scripted::Refuses);
        assert_eq!(poll(&mut refused, at(1)), failed("refused"));
        refused.pause(at(1));
        let again = refused.due().unwrap();
        assert!(refused.is_pausing() && again <= at(1) + HEARTBEAT * 5 / 2);
        assert_eq!(poll(&mut refused, again), failed("refused"));

        let mut hangs = uplink(Scripted::Hangs);
        assert_eq!(poll(&mut hangs, at(1)), None);
        assert_eq!(hangs.due(), Some(at(11)));
        assert_eq!(
            poll(&mut hangs, at(11)),
            failed("the bus took longer than 10s for connecting")
        );
    }

    #[test]
    fn a_frame_that_is_too_large_costs_the_batch_and_any_other_failure_the_link() {
        for (kind, rejected) in [
            (BusErrorKind::TooLarge, true),
            (BusErrorKind::Unreachable, false),
        ] {
            let mut uplink = uplink(Scripted::Fails(kind));
            poll(&mut uplink, at(1));
            uplink.start(at(1), Job::Send(Arc::default()));
            let progress = poll(&mut uplink, at(1));
            assert_eq!(
                matches!(progress, Some(Progress::Rejected(_))),
                rejected,
                "{progress:?}"
            );
        }
    }

    #[test]
    fn lanes_that_the_server_does_not_take_cost_nothing_else() {
        let mut uplink = uplink(Scripted::Fails(BusErrorKind::TooManyLanes));
        poll(&mut uplink, at(1));
        uplink.start(at(1), Job::Subscribe(vec![Lane(3)]));
        let full = Progress::Full(vec![Lane(3)], String::from("failed"));
        assert_eq!(poll(&mut uplink, at(1)), Some(full));
        assert!(uplink.is_idle());
    }

    #[test]
    fn the_work_of_a_link_has_two_heartbeats_and_a_millisecond_for_each_lane() {
        let mut uplink = uplink(Scripted::Works);
        poll(&mut uplink, at(1));
        uplink.start(at(1), Job::Subscribe(vec![Lane(0); 1_000]));
        assert_eq!(uplink.due(), Some(at(6)));
    }
}
