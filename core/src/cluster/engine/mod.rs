//! The driver's inside: the one place where the protocol, the bus and the clock meet.

mod alarm;
mod dropped;
mod in_flight;
mod incident;
mod interest;
mod questions;
mod turn;
mod uplink;

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::Future;
use core::pin::Pin;
use core::sync::atomic::Ordering;
use core::task::{Context, Poll};

use futures::channel::oneshot;

use super::external::ExternalSubscription;
use super::lanes::Lanes;
use super::names::Names;
use super::outgoing::{Answered, Backlog, Command};
use super::polled_link::Job;
use super::shared::ClusterShared;
use crate::bus::{Bus, Inbound, Lane, Signing};
use crate::host::Host;
use crate::member::Reason;
use crate::missed::Missed;
use crate::node::{News, Node, Queued};
use crate::notice::Notice;
use crate::receipt::State;
use crate::time::Instant;
use alarm::Alarm;
use dropped::DroppedFrameReports;
use in_flight::{Batch, InFlight};
use incident::Incidents;
use interest::Interest;
use questions::OpenQuestions;
use turn::Turn;
use uplink::{Progress, Uplink};

/// Steps taken in one poll before others on the same executor get a turn.
const STEPS: usize = 64;

pub(super) struct Engine<H: Host> {
    shared: Arc<ClusterShared<H>>,
    node: Node,
    uplink: Uplink,
    interest: Interest<H>,
    in_flight: InFlight,
    questions: OpenQuestions,
    external: Option<ExternalSubscription>,
    incidents: Incidents,
    dropped: DroppedFrameReports,
    alarm: Alarm,
    closing: Option<Closing>,
    messages: Vec<Queued>,
    commands: Vec<Command>,
    /// What was passed on in this poll.
    turn: Turn,
    /// The next step does what is due as well: once a poll, and when the alarm rings.
    looks_at_clock: bool,
}

/// A close that is under way.
struct Closing {
    answer: oneshot::Sender<()>,
    /// The node has said goodbye to the others.
    left: bool,
}

impl<H: Host> Engine<H> {
    pub(super) fn new(
        shared: Arc<ClusterShared<H>>,
        bus: Arc<dyn Bus>,
        lanes: Arc<Lanes<H>>,
        external: Option<ExternalSubscription>,
        (names, signing): (&Names, Option<&Signing>),
    ) -> Self {
        let (id, config) = (shared.id, shared.config);
        let seed = u128::from_le_bytes(id.0) as u64;
        let required = signing.is_some_and(Signing::is_required);
        let mut node = Node::new(id, config, bus.limits());
        if let Some(signing) = signing {
            node = node.with_signing(signing, bus.prefix());
        }
        node.introduce(&names.node, &names.cluster, external.is_some());
        Self {
            node,
            uplink: Uplink::new(bus, config.heartbeat, seed),
            interest: Interest::new(lanes, external.is_some(), config.cool_down),
            in_flight: InFlight::default(),
            questions: OpenQuestions::default(),
            external,
            incidents: Incidents::new(config.heartbeat, config.lanes),
            dropped: DroppedFrameReports::new(config.heartbeat, required),
            alarm: Alarm::new(shared.timer.clone()),
            closing: None,
            messages: Vec::new(),
            commands: Vec::new(),
            turn: Turn::default(),
            looks_at_clock: false,
            shared,
        }
    }

    /// Takes what the handles left. False if the driver is to end at once.
    fn take_in(&mut self, now: Instant) -> bool {
        let held = self.held();
        let outgoing = &self.shared.outgoing;
        let lost = self.in_flight.lost();
        let goes_on = outgoing.take(held, lost, &mut self.messages, &mut self.commands);
        if self.shared.notices.state() == State::Stopped {
            // The driver is polled for the first time, and late.
            self.shared.notices.report(&Notice::State(State::Degraded));
        }
        for queued in self.messages.drain(..) {
            self.node.enqueue(queued);
        }
        for command in core::mem::take(&mut self.commands) {
            match command {
                Command::Flush { until, answer } => self.in_flight.flush(until, answer),
                Command::Subscribe { lane, answer } => self.interest.ask(lane, answer),
                Command::Ask {
                    until,
                    scope,
                    question,
                    answer,
                } => {
                    let asked = self.node.ask(now, until, &scope, &question);
                    self.questions.asked(asked, answer);
                }
                Command::Close { answer } => {
                    let left = false;
                    self.closing = Some(Closing { answer, left });
                }
            }
        }
        self.interest.take_changes(now);
        goes_on
    }

    /// The next frame of the link. What came before is passed on before more is taken.
    fn arrived(&mut self, context: &mut Context<'_>) -> Option<Result<Inbound, String>> {
        match self.node.has_news() {
            true => None,
            false => self.uplink.poll_frame(context),
        }
    }

    /// Does one thing of each sort that is to be done; false if there is nothing to do before something happens.
    fn step(
        &mut self,
        now: Instant,
        arrived: Option<Result<Inbound, String>>,
        context: &mut Context<'_>,
    ) -> bool {
        let mut moved = arrived.is_some();
        if let Some(progress) = self.uplink.poll_work(now, context) {
            self.proceed(now, progress);
            moved = true;
        }
        match arrived {
            Some(Ok(inbound)) => self.receive(now, &inbound),
            Some(Err(reason)) if self.uplink.is_open() => self.fail_link(now, reason),
            Some(Err(_)) | None => {}
        }
        if self.uplink.is_idle()
            && let Some(job) = self.next_job(now)
        {
            self.uplink.start(now, job);
            moved = true;
        }
        if core::mem::take(&mut self.looks_at_clock) {
            self.on_time(now);
        }
        while self.turn.goes_on()
            && let Some(news) = self.node.news()
        {
            // What is missing is gathered, so that a connection gets one report of an incident.
            if !matches!(news, News::Gap { .. } | News::Deaf { .. }) {
                self.turn.passed();
            }
            self.report(now, news);
            moved = true;
        }
        self.interest.answer(self.uplink.is_open());
        self.in_flight.answer(|| self.node.oldest());
        if self.closing.is_some() && !self.uplink.is_open() && self.held() == Backlog::default() {
            self.end();
        }
        moved
    }

    /// What was accepted for the bus, taken, and is not with it.
    fn held(&self) -> Backlog {
        self.in_flight.backlog()
            + Backlog {
                messages: self.node.queued(),
                bytes: self.node.queued_bytes(),
            }
    }

    /// Does what is due at this time.
    fn on_time(&mut self, now: Instant) {
        if self.uplink.is_pausing() || self.expires().is_some_and(|due| due <= now) {
            self.expire(now);
        }
        if self.node.tick_due().is_some_and(|due| due <= now) {
            self.node.tick(now);
        }
    }

    fn proceed(&mut self, now: Instant, progress: Progress) {
        match progress {
            Progress::Opened => {
                self.keep_limits();
                let broker = self.uplink.broker();
                self.node.connected_to(&broker);
                self.shared.status.lock().broker = broker;
                let lanes = self.interest.first();
                self.uplink.start(now, Job::Subscribe(lanes));
            }
            Progress::Subscribed(lanes) => self.took(now, lanes),
            Progress::Full(lanes, reason) => self.refused(now, lanes, reason),
            Progress::Unsubscribed => {}
            Progress::Sent => self.in_flight.sent(),
            Progress::Rejected(reason) => {
                // The bus takes less than its limits say. Others are told of the events that will not come.
                self.in_flight.rejected(|frame| self.node.refused(frame));
                self.keep_limits();
                self.shared.notices.report(&Notice::Bus(reason));
            }
            Progress::Closed => self.end(),
            Progress::Failed(reason) => self.fail_link(now, reason),
        }
    }

    /// The server may take less than it did, or more again: events are refused, and frames are filled, by what it takes now.
    fn keep_limits(&mut self) {
        let frame = self.uplink.limits().frame;
        self.node.limit_frames(frame);
        self.shared.frame.store(frame, Ordering::Relaxed);
    }

    /// The server took these lanes.
    fn took(&mut self, now: Instant, lanes: Vec<Lane>) {
        let lanes = self.interest.took(lanes);
        if !lanes.is_empty() {
            self.subscribed(now, lanes);
        }
    }

    /// The server does not take all of these lanes. Of several, each is asked for alone next.
    fn refused(&mut self, now: Instant, lanes: Vec<Lane>, reason: String) {
        self.interest.refused(lanes);
        if self.interest.asks_alone() {
            return;
        }
        self.took(now, Vec::new());
        if self.interest.is_unsubscribed() {
            // Not even one.
            self.fail_link(now, reason);
        }
    }

    fn subscribed(&mut self, now: Instant, mut lanes: Vec<Lane>) {
        // The lane of external publishers has no members and no numbers, and stays subscribed.
        lanes.retain(|lane| *lane != Lane::JSON);
        if self.interest.is_unsubscribed() {
            let before: Vec<Lane> = self.node.lanes().collect();
            let lost = before.iter().filter(|lane| !lanes.contains(lane));
            lost.for_each(|lane| self.node.unsubscribed(*lane));
            self.node.connected(now);
            if self.uplink.is_alone() {
                self.node.connected_alone();
            }
        }
        for lane in &lanes {
            let since = self.interest.owed_since(now, *lane);
            self.node.subscribed(since, *lane);
        }
        self.interest.subscribed(now, &lanes);
    }

    /// What the idle link does next.
    fn next_job(&mut self, now: Instant) -> Option<Job> {
        if let Some(lane) = self.interest.next_alone() {
            return Some(Job::Subscribe(Vec::from([lane])));
        }
        let missing = self.interest.missing();
        if !missing.is_empty() {
            return Some(Job::Subscribe(missing));
        }
        let cooled = self.interest.cooled(now);
        if !cooled.is_empty() {
            cooled.iter().for_each(|lane| self.node.unsubscribed(*lane));
            return Some(Job::Unsubscribe(cooled));
        }
        if let Some(single) = self.in_flight.take_single() {
            return Some(self.send(single));
        }
        if let Some(closing) = &mut self.closing
            && !closing.left
            && self.node.queued() == 0
        {
            closing.left = true;
            self.node.leave(now);
        }
        self.expire(now);
        let batch = Batch::gather(&mut self.node, now);
        if !batch.frames.is_empty() {
            return Some(self.send(batch));
        }
        let left = self.closing.is_some() && self.node.has_left() && self.node.queued() == 0;
        left.then_some(Job::Close)
    }

    /// Gives up what is older than its time to live.
    fn expire(&mut self, now: Instant) {
        self.in_flight.lose(self.node.expire(now));
        self.in_flight.expire(now, self.shared.config.time_to_live);
    }

    fn send(&mut self, batch: Batch) -> Job {
        let frames = batch.frames.clone();
        self.in_flight.send(batch);
        Job::Send(frames)
    }

    fn receive(&mut self, now: Instant, inbound: &Inbound) {
        if inbound.lane != Lane::JSON {
            self.node.receive(now, inbound.lane, &inbound.frame);
        } else if let Some(external) = &mut self.external {
            external.receive(inbound, self.node.is_stalled(now), &self.shared.registry);
        }
    }

    /// The link is dead or is to be dropped.
    fn fail_link(&mut self, now: Instant, reason: String) {
        self.in_flight.link_failed();
        self.uplink.pause(now);
        self.node.disconnected();
        self.interest.link_lost();
        self.shared.notices.report(&Notice::Bus(reason));
    }

    fn end(&mut self) {
        self.uplink.end();
        if let Some(closing) = self.closing.take() {
            let _ = closing.answer.send(());
        }
    }

    /// Passes on what the node says.
    fn report(&mut self, now: Instant, news: News) {
        let registry = &self.shared.registry;
        match news {
            News::Event {
                scope,
                audience,
                event,
            } => {
                let missed = self.incidents.before_event(&scope, &audience);
                self.pass_on(&missed);
                let registry = &self.shared.registry;
                let tally = registry.fan_out(&scope, &audience, &event);
                self.turn.delivered(&tally);
            }
            News::Gap {
                origin,
                lane,
                run,
                since,
                until,
            } => {
                let numbers = (run.last - run.first + 1, lane);
                self.incidents.gap(now, origin, numbers, (since, until));
            }
            News::Deaf {
                origin,
                lane,
                since,
                until,
            } => self.incidents.deaf(now, origin, lane, (since, until)),
            News::Live => {
                self.uplink.live();
                self.in_flight.live();
                self.record_members(now);
            }
            News::Down => self.record_members(now),
            News::Asked {
                origin,
                id,
                scope,
                question,
            } => {
                let answer = registry.answer(&scope, &question);
                // One that cannot be written is an answer that does not come, and the asker says so.
                let _ = self.node.answer(now, origin, id, answer);
            }
            News::Answered {
                id,
                answers,
                silent,
                live,
            } => {
                let answered = Answered {
                    others: answers,
                    silent,
                    live,
                };
                self.questions.answered(id, answered);
            }
            News::Joined(node) => self.report_member(now, &Notice::Joined(node)),
            News::Left(node) => self.report_member(now, &Notice::Left(node)),
            News::Silent(node) => self.report_member(now, &Notice::Silent(node)),
            News::Differs(difference) => self.report_member(now, &Notice::Differs(difference)),
            News::Reconnect => {
                let reason = "our own heartbeats do not come back: the subscription is deaf";
                self.fail_link(now, String::from(reason));
            }
        }
    }

    /// Reports what was found missing, and the incident that is over.
    fn report_missed(&mut self, now: Instant) {
        let missed = self.incidents.take_unreported();
        self.pass_on(&missed);
        if let Some(incident) = self.incidents.take_over(now) {
            self.shared.notices.report(&Notice::Missed(incident));
        }
    }

    /// Reports to the connections here what may be missing.
    fn pass_on(&mut self, missed: &[Missed]) {
        if !missed.is_empty() {
            let delivered = self.shared.registry.missed_on_lanes(missed);
            self.incidents.reported(delivered.accepted);
        }
    }

    /// Reports what other nodes do, once the status has it.
    fn report_member(&mut self, now: Instant, notice: &Notice) {
        self.record_members(now);
        self.shared.notices.report(notice);
    }

    /// Records who the other nodes are and what that makes of this one, if there is news of it.
    fn record_members(&mut self, now: Instant) {
        if self.node.take_changed() {
            let members = self.node.known_nodes().collect();
            let reasons = self.node.reasons(now);
            let sure = !reasons.iter().any(Reason::degrades);
            let live = self.node.is_live() && sure;
            {
                let mut status = self.shared.status.lock();
                (status.members, status.reasons) = (members, reasons);
                status.ready = self.node.is_ready();
            }
            self.interest.set_live(live);
            let state = if live { State::Live } else { State::Degraded };
            self.shared.notices.report(&Notice::State(state));
        }
    }

    /// Records for operators how the node is, and says what it dropped.
    fn record_status(&mut self, now: Instant) {
        let counters = self.node.counters();
        if let Some(dropped) = self.dropped.look(now, &counters) {
            self.shared.notices.report(&Notice::DroppedFrames(dropped));
        }
        let mut status = self.shared.status.lock();
        status.lost = self.in_flight.lost();
        status.peers = self.node.peers();
        status.counters = counters;
        status.missed = self.incidents.counts();
        if let Some(external) = &self.external
            && status.external != *external.counts()
        {
            status.external.clone_from(external.counts());
        }
    }

    /// When the next thing expires that a flush waits for.
    fn expires(&self) -> Option<Instant> {
        let time_to_live = self.shared.config.time_to_live;
        self.in_flight.due(|| self.node.oldest(), time_to_live)
    }

    /// When something is due next.
    fn due(&self) -> Option<Instant> {
        let idle = self.uplink.is_idle();
        let cooled = self.interest.due().filter(|_| idle);
        let node = match idle {
            true => self.node.timeout(),
            false => self.node.tick_due(),
        };
        let due = [
            self.uplink.due(),
            cooled,
            node,
            self.expires(),
            self.incidents.due(),
        ];
        due.into_iter().flatten().min()
    }
}

impl<H: Host> Future for Engine<H> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let engine = &mut *self;
        engine.shared.outgoing.register(context.waker());
        engine.turn = Turn::default();
        engine.looks_at_clock = true;
        for _ in 0..STEPS {
            // The clock is read behind the frame: what was read before may show a time at which the frame was not sent yet,
            // and the clock of its origin would be taken for one that is ahead.
            let arrived = engine.arrived(context);
            let now = engine.shared.timer.now();
            if !engine.take_in(now) {
                engine.end();
            }
            if engine.step(now, arrived, context) {
                if !engine.turn.goes_on() {
                    break;
                }
                continue;
            }
            engine.report_missed(now);
            engine.record_members(now);
            if engine.uplink.is_done() {
                return Poll::Ready(());
            }
            engine.record_status(now);
            let Some(due) = engine.due() else {
                return Poll::Pending;
            };
            if engine.alarm.poll(now, due, context).is_pending() {
                return Poll::Pending;
            }
            engine.looks_at_clock = true;
        }
        let now = engine.shared.timer.now();
        engine.report_missed(now);
        engine.record_status(now);
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Without its driver a cluster is one node, and says so.
impl<H: Host> Drop for Engine<H> {
    fn drop(&mut self) {
        self.shared.outgoing.stop();
        if let Some(incident) = self.incidents.take_over(Instant::MAX) {
            self.shared.notices.report(&Notice::Missed(incident));
        }
        self.shared.notices.report(&Notice::State(State::Stopped));
    }
}
