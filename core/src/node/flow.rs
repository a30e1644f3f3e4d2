//! What comes of one origin on one lane: in order, with what is missing asked for, and reported if it does not come.

use alloc::vec::Vec;
use core::time::Duration;

use super::hold::{Held, Hold};
use super::run::Run;
use super::view::View;
use super::wait::Wait;
use crate::envelope::{AskedRun, Frame, LaneProgress};
use crate::time::Instant;

/// How many links may die after the same numbers were asked for, before these are given up: what is sent again may be what
/// kills the link, as where a server cuts off subscribers whose backlog is larger than the frame.
const FRUITLESS: u32 = 8;

/// The receiver's half of one lane of one origin.
///
/// Whatever happens, `next` rises over every number once: with a frame that is delivered, with a report that the number
/// will not come, or in silence where the number was used before it was ours to receive. Order is judged by stamps of
/// the origin alone: a heartbeat that was made after a frame reports at least that frame, whatever the delays.
#[derive(Debug)]
pub(super) struct Flow {
    /// Every number below is settled.
    next: u64,
    /// Whether some numbers from `next` on may have been used before they were ours to receive: those of frames that were
    /// stamped before `fresh`.
    joining: bool,
    fresh: Duration,
    /// The stamp of the heartbeat that refuted numbers which were forged, or with which a forgotten origin came back: what
    /// was stamped before is not received.
    refuted: Duration,
    /// When the event of the last number below `next` was published, or before: what comes behind it is younger.
    settled: Duration,
    /// The newest stamp that was heard when `next` moved last: a heartbeat that was made later knows better.
    top: Duration,
    /// The newest stamp of a frame that came on the lane.
    newest: Duration,
    /// What the newest heartbeat reported of the lane, and the heartbeat's stamp.
    claim: Option<(LaneProgress, Duration)>,
    /// What was used before this is known from a heartbeat that did not list the lane, or reported as unknown.
    known: Duration,
    /// Whether the newest heartbeat listed what those before it deny.
    denied: bool,
    /// Frames that came before others in front of them, by their first number.
    held: Hold,
    wait: Option<Wait>,
    /// How many links died after the numbers from here on were asked for.
    fruitless: (u64, u32),
}

/// How some numbers of a flow were settled, in their order.
#[derive(Debug)]
pub(super) enum Settled {
    /// The messages of the frame from this number on are to be delivered.
    Frame(Frame, u64),
    /// Exactly these numbers will not come; they were used between these moments.
    Gap(Run, Instant, Instant),
    /// Exactly these numbers came too late; they were used between these moments.
    Stale(Run, Instant, Instant),
    /// Any number of numbers that were used between these moments will not come.
    Unknown(Instant, Instant),
}

/// Until when it is known whether a lane was used that is ours from then on, where every lane that was used between these
/// stamps was listed.
pub(super) fn known_until(from: Duration, listed: (Duration, Duration)) -> Duration {
    match from >= listed.0 {
        true => from.max(listed.1),
        false => from,
    }
}

impl Flow {
    /// A flow of which nothing was heard, of an origin of which nothing is received that was stamped before `refuted`.
    pub(super) fn new(refuted: Duration) -> Self {
        Self {
            next: 1,
            joining: true,
            fresh: Duration::ZERO,
            refuted,
            settled: Duration::ZERO,
            top: Duration::ZERO,
            newest: Duration::ZERO,
            claim: None,
            known: Duration::ZERO,
            denied: false,
            held: Hold::default(),
            wait: None,
            fruitless: (0, 0),
        }
    }

    /// What is stamped before this is not to be received.
    pub(super) fn begin_at(&mut self, stamp: Duration) {
        self.refuted = self.refuted.max(stamp);
    }

    /// Whether a frame with this first number can be delivered at once.
    pub(super) fn is_next(&self, first: u64, proven: bool) -> bool {
        first == self.next && proven && !self.joining && self.held.is_empty()
    }

    /// The next frame was delivered; it ends with this number. True if the flow waited for numbers.
    pub(super) fn passed(&mut self, last: u64, stamp: Duration, waited: Duration) -> bool {
        self.next = last.saturating_add(1);
        (self.settled, self.top) = (stamp.saturating_sub(waited), self.top.max(stamp));
        self.newest = self.newest.max(stamp);
        self.wait.is_some()
    }

    /// Holds a frame that ends with this number. False if its numbers are settled.
    pub(super) fn hold(&mut self, now: Instant, frame: Frame, last: u64) -> bool {
        let stamp = frame.header().stamp;
        if last < self.next {
            return false;
        }
        if stamp < self.newest
            && let Some(wait) = &mut self.wait
        {
            wait.progressed(now);
        }
        self.newest = self.newest.max(stamp);
        self.held.insert(Held { frame, last });
        true
    }

    /// What was received is stamped before this.
    pub(super) fn behind(&self) -> Duration {
        let newest = self.newest.saturating_add(Duration::from_micros(1));
        newest.max(self.refuted)
    }

    /// The bytes that are held.
    pub(super) fn held_bytes(&self) -> usize {
        self.held.bytes()
    }

    /// Drops the newest frame that is held; the oldest would be given up for good, and this one can be asked for again.
    pub(super) fn drop_newest(&mut self) -> bool {
        self.held.take_last().is_some()
    }

    /// Whatever was stamped later than this was forged: the origin's clock does not show as much yet.
    pub(super) fn distrust(&mut self, latest: Duration) {
        self.held.drop_forged(|held| held.stamp() > latest);
        self.claim = self.claim.filter(|(_, sent)| *sent <= latest);
        for stamp in [&mut self.refuted, &mut self.top, &mut self.newest] {
            *stamp = latest.min(*stamp);
        }
    }

    /// A heartbeat that was stamped `sent` lists the lane. Numbers that those before it would have named are believed when
    /// the next one names them, too: who forged them is not heard by then.
    pub(super) fn listed(
        &mut self,
        view: &View<'_>,
        progress: LaneProgress,
        sent: Duration,
        out: &mut Vec<Settled>,
    ) {
        let claim = self.claim.as_ref();
        let new = claim.is_none_or(|(claim, _)| claim.last < progress.last);
        // A lane that we asked for is listed whenever it was used.
        let denied = new && view.is_listed(progress.at) && self.wait.is_none();
        if !core::mem::replace(&mut self.denied, denied) && denied {
            return;
        }
        self.report(view, progress, sent, out);
    }

    /// A heartbeat that was stamped `sent` reports the lane.
    fn report(
        &mut self,
        view: &View<'_>,
        progress: LaneProgress,
        sent: Duration,
        out: &mut Vec<Settled>,
    ) {
        if self.claim.is_some_and(|(_, before)| sent <= before) {
            return;
        }
        // A frame that was stamped before and is not reported was forged.
        self.held
            .drop_forged(|held| held.first() > progress.last && held.stamp() < sent);
        if sent > self.top && progress.last.saturating_add(1) < self.next {
            // What moved `next` was forged. What comes now is new, but what was asked for before must not come twice.
            out.push(Settled::Unknown(
                view.clock.ours_at_least(self.top.min(sent)),
                view.now,
            ));
            self.next = progress.last + 1;
            self.joining = true;
            self.refuted = sent;
            self.fresh = self.fresh.max(sent);
            (self.settled, self.top) = (sent, sent);
        }
        self.claim = Some((progress, sent));
        self.advance(view, out);
    }

    /// A heartbeat that was stamped `sent`, and lists every lane that was used from `since` on, does not list this one.
    pub(super) fn unlisted(
        &mut self,
        view: &View<'_>,
        lane: u32,
        (since, sent): (Duration, Duration),
        listed: (Duration, Duration),
        out: &mut Vec<Settled>,
    ) {
        self.denied = false;
        self.miss_before(view, since, listed, out);
        self.known = sent;
        let never = LaneProgress {
            lane,
            last: 0,
            at: Duration::ZERO,
            keeps: 0,
            gone: Duration::ZERO,
        };
        match self.claim {
            _ if since.is_zero() => self.report(view, never, sent, out),
            Some((claim, _)) if claim.at < since => self.report(view, claim, sent, out),
            // It would be listed, had it been used then: who said so was not the origin.
            Some(_) => self.report(view, never, sent, out),
            None if self.top >= since => self.report(view, never, sent, out),
            // Numbers may have been used before the list begins: nothing is disproved.
            None => self.advance(view, out),
        }
    }

    /// A list of every lane that was used from `since` on does not name this one: what was used before and is not known of may
    /// be forgotten.
    pub(super) fn miss_before(
        &self,
        view: &View<'_>,
        since: Duration,
        listed: (Duration, Duration),
        out: &mut Vec<Settled>,
    ) {
        let known = self.claim.map(|(_, before)| before);
        let known = known.unwrap_or_else(|| view.owed_from());
        let known = known_until(known, listed).max(self.known);
        if known < since {
            let until = view.clock.ours_at_most(since).unwrap_or(view.now);
            let until = until.min(view.now);
            out.push(Settled::Unknown(view.clock.ours_at_least(known), until));
        }
    }

    /// Another node says, or the origin did with its goodbye, that the origin left behind this number of the lane.
    pub(super) fn left(&mut self, lane: u32, last: u64, at: Duration) {
        let sent = self.claim.map_or(Duration::ZERO, |(_, sent)| sent);
        if self.claim.is_none_or(|(claim, _)| claim.last < last) {
            let (keeps, gone) = (last, Duration::ZERO);
            let claim = LaneProgress {
                lane,
                last,
                at,
                keeps,
                gone,
            };
            self.claim = Some((claim, sent.max(at)));
        }
    }

    /// The link is gone: nothing comes, and nobody can be asked.
    pub(super) fn disconnected(&mut self) {
        if self.wait.take().is_some_and(|wait| wait.is_asked()) {
            let before = match self.fruitless {
                (next, links) if next == self.next => links,
                _ => 0,
            };
            self.fruitless = (self.next, before + 1);
        }
    }

    /// Settles what can be.
    pub(super) fn advance(&mut self, view: &View<'_>, out: &mut Vec<Settled>) {
        if !view.proven {
            return;
        }
        if self.joining {
            self.fresh = view.owed_from().max(self.refuted);
        }
        while self.step(view, out) || self.is_fruitless(view, out) {}
        self.set_wait(view);
    }

    /// Gives up the numbers in front if link after link died of asking for them.
    fn is_fruitless(&mut self, view: &View<'_>, out: &mut Vec<Settled>) -> bool {
        let (next, links) = self.fruitless;
        if next != self.next || links < FRUITLESS {
            return false;
        }
        let end = self.hole_end();
        end.inspect(|end| self.give_up(view, *end, out)).is_some()
    }

    /// The number behind those that are missing in front: of a frame that is held, or behind the last that was reported.
    fn hole_end(&self) -> Option<u64> {
        let held = self.held.first().map(Held::first);
        let claimed = self.claim.map(|(claim, _)| claim.last.saturating_add(1));
        held.or(claimed).filter(|end| *end > self.next)
    }

    /// What `fresh` is for a frame with this stamp. One that may come of a clock that stood is as old as it seems, or was
    /// sent so much later.
    fn fresh_for(&self, view: &View<'_>, stamp: Duration) -> Duration {
        match view.is_dated(stamp) {
            true => self.fresh,
            false => {
                let fresh = self.fresh.saturating_sub(view.clock.age(view.now, stamp));
                fresh.max(self.refuted)
            }
        }
    }

    /// Settles the numbers in front, if that can be done.
    fn step(&mut self, view: &View<'_>, out: &mut Vec<Settled>) -> bool {
        let Some(held) = self.held.first() else {
            return self.step_over_claim(view, out);
        };
        let (first, last, stamp, before) = (held.first(), held.last, held.stamp(), held.before());
        let fresh = self.fresh_for(view, stamp);
        let denied = self.claim.is_none() && view.is_listed(stamp);
        if self.joining && (stamp < fresh || denied) {
            // It is not ours, and what it says of numbers may be forged.
            self.held.take_first();
            return true;
        }
        if first <= self.next {
            if self.joining && (fresh..self.fresh).contains(&stamp) {
                // The next heartbeat tells whether it is ours.
                return self.step_over_claim(view, out);
            }
            if let Some(held) = self.held.take_first()
                && last >= self.next
            {
                self.take(view, held, stamp, out);
            }
            return true;
        }
        if self.joining && before < fresh {
            self.move_to(first, before.saturating_sub(view.time_to_live));
            return true;
        }
        if view.is_stale(&held.frame) {
            // Without a heartbeat that was made later it may be forged.
            match self.claim.is_some_and(|(_, sent)| sent > stamp) {
                true => self.give_up(view, first, out),
                false => drop(self.held.take_first()),
            }
            return true;
        }
        self.step_over_claim(view, out)
    }

    /// Settles the numbers of a frame that is in front.
    fn take(&mut self, view: &View<'_>, held: Held, stamp: Duration, out: &mut Vec<Settled>) {
        let from = self.next;
        self.next = held.last.saturating_add(1);
        (self.settled, self.top) = (held.published(), self.top.max(stamp));
        self.joining = false;
        if view.is_stale(&held.frame) {
            let made = view.clock.ours_at_least(stamp) - held.frame.header().waited;
            let (first, last) = (from, held.last);
            let until = view.until(stamp);
            out.push(Settled::Stale(Run { first, last }, made.min(until), until));
        } else {
            out.push(Settled::Frame(held.frame, from));
        }
    }

    /// Settles the numbers that the origin cannot send again, or that are not ours.
    fn step_over_claim(&mut self, view: &View<'_>, out: &mut Vec<Settled>) -> bool {
        let Some((claim, sent)) = self.claim.filter(|(claim, _)| claim.last >= self.next) else {
            return false;
        };
        let floor = claim.last.saturating_add(1) - claim.keeps;
        if self.joining && claim.at < self.fresh {
            // Nothing up to the last number is ours; what was sent after the heartbeat is.
            let published = claim.at.saturating_sub(view.time_to_live);
            self.move_to(claim.last.saturating_add(1), published);
            self.joining = sent < self.fresh;
            return true;
        }
        if floor <= self.next {
            return false;
        }
        if self.joining && claim.gone < self.fresh {
            self.move_to(floor, claim.gone.saturating_sub(view.time_to_live));
            return true;
        }
        // A frame in front waits for the heartbeat that tells whether it is ours: nothing is missing before it.
        let in_front = self.held.first();
        if in_front.is_some_and(|held| held.first() <= self.next) {
            return false;
        }
        // The heartbeat may have overtaken what was sent last and is not kept.
        let young = view.clock.age(view.now, claim.gone) < view.heartbeat;
        if young && in_front.is_none() && self.newest < claim.gone {
            return false;
        }
        self.give_up(view, floor, out);
        true
    }

    /// Passes over numbers, of which the last was published at `settled` or later.
    fn move_to(&mut self, next: u64, settled: Duration) {
        self.next = self.next.max(next);
        self.settled = settled;
        let sent = self.claim.map_or(Duration::ZERO, |(_, sent)| sent);
        self.top = self.top.max(self.newest).max(sent);
    }

    /// Reports the numbers in front of this one that are not held.
    fn give_up(&mut self, view: &View<'_>, next: u64, out: &mut Vec<Settled>) {
        let held = self.held.first();
        let end = held.map_or(next, |held| next.min(held.first()));
        let (first, last) = (self.next, end.saturating_sub(1));
        let since = view
            .clock
            .ours_at_least(self.settled)
            .max(match self.joining {
                true => view.since,
                false => Instant::ZERO,
            });
        let noticed = self.wait.as_ref().and_then(|wait| wait.noticed(last));
        // The last of them was used before the frame behind them, or when the origin says so.
        let behind = held.filter(|held| held.first() == end).map(Held::before);
        let claimed = self.claim.map(|(claim, _)| match end > claim.last {
            true => claim.at,
            false => claim.gone,
        });
        let used = behind.or(claimed);
        let used = used.and_then(|used| view.clock.ours_at_most(used));
        let until = [noticed, used].into_iter().flatten().min();
        let until = until.map_or(view.now, |until| until.min(view.now));
        out.push(match self.joining {
            true => Settled::Unknown(since.min(until), until),
            false => Settled::Gap(Run { first, last }, since.min(until), until),
        });
        self.move_to(end, self.settled);
    }

    /// Reports everything that is missing, and delivers what is held behind it: nobody will send it again.
    pub(super) fn settle(&mut self, view: &View<'_>, out: &mut Vec<Settled>) {
        if !view.proven {
            return;
        }
        loop {
            while self.step(view, out) {}
            match self.hole_end() {
                Some(end) => self.give_up(view, end, out),
                None if self.give_up_front(view, out) => {}
                None => break,
            }
        }
        self.wait = None;
    }

    /// Reports the frame in front, of which no heartbeat will tell any more whether it is ours.
    fn give_up_front(&mut self, view: &View<'_>, out: &mut Vec<Settled>) -> bool {
        let Some(held) = self.held.take_first() else {
            return false;
        };
        let until = view.until(held.stamp());
        out.push(Settled::Unknown(view.since.min(until), until));
        self.move_to(held.last.saturating_add(1), held.published());
        true
    }

    fn set_wait(&mut self, view: &View<'_>) {
        let Some(end) = self.hole_end() else {
            self.wait = None;
            return;
        };
        let (last, blocked) = (end - 1, !self.held.is_empty());
        let next = self.next;
        let wait = self.wait.take().filter(|wait| wait.is_of(next));
        let mut wait = wait.unwrap_or_else(|| {
            // A heartbeat may have overtaken the frames that it reports.
            let pause = match blocked {
                true => Duration::ZERO,
                false => view.heartbeat / 16,
            };
            Wait::new(view.now, last, view.now + view.jitter + pause)
        });
        wait.reaches(last);
        if blocked {
            wait.blocks(view.now + view.jitter);
        }
        self.wait = Some(wait);
    }

    /// Whether numbers are missing.
    pub(super) fn waits(&self) -> bool {
        self.wait.is_some()
    }

    /// When something is to be done that depends on the time alone.
    pub(super) fn due(&self, view: &View<'_>) -> Option<Instant> {
        let wait = self.wait.as_ref()?;
        let stale = self.held.first().map(|held| view.stale_at(&held.frame));
        [Some(wait.ask_at()), self.gives_up(view), stale]
            .into_iter()
            .flatten()
            .min()
    }

    /// When what is missing in front of held frames is given up, as far as is known.
    fn gives_up(&self, view: &View<'_>) -> Option<Instant> {
        let wait = self.wait.as_ref().filter(|_| !self.held.is_empty())?;
        wait.gives_up(view.heartbeat, view.round_trip(), self.newest)
    }

    /// Does what is due; true if what is missing is to be asked for.
    pub(super) fn tick(&mut self, view: &View<'_>, out: &mut Vec<Settled>) -> bool {
        if self.gives_up(view).is_some_and(|at| at <= view.now)
            && let Some(end) = self.hole_end()
        {
            self.give_up(view, end, out);
        }
        self.advance(view, out);
        self.is_asking(view.now)
    }

    /// Whether what is missing is to be asked for by then.
    pub(super) fn is_asking(&self, by: Instant) -> bool {
        self.wait.as_ref().is_some_and(|wait| wait.ask_at() <= by)
    }

    /// The runs to ask for, at most so many, in an ask that is stamped `stamp`.
    pub(super) fn ask(
        &mut self,
        view: &View<'_>,
        lane: u32,
        stamp: Duration,
        most: usize,
        runs: &mut Vec<AskedRun>,
    ) {
        let Some(wait) = &mut self.wait else {
            return;
        };
        wait.asked(view.now, stamp, view.heartbeat, view.round_trip());
        let after = if self.joining {
            self.fresh
        } else {
            Duration::ZERO
        };
        let claimed = self.claim.map_or(0, |(claim, _)| claim.last);
        let ends = self.held.iter().map(|held| (held.first(), held.last));
        let mut next = self.next;
        for (first, last) in ends.chain([(claimed.saturating_add(1), u64::MAX)]) {
            if runs.len() >= most {
                return;
            }
            if next < first {
                let last = first - 1;
                runs.push(AskedRun {
                    lane,
                    first: next,
                    last,
                    after,
                });
            }
            next = next.max(last.saturating_add(1));
        }
    }

    /// The origin has heard our ask or heartbeat of the moment `heard`, as it says in a heartbeat stamped `sent`.
    pub(super) fn confirmed(&mut self, view: &View<'_>, heard: Duration, sent: Duration) {
        if let Some(wait) = &mut self.wait {
            wait.confirmed(view.now, heard, sent, view.heartbeat, view.round_trip());
        }
    }

    /// Another node asks the origin for this run: what we miss of it will come.
    pub(super) fn overheard(&mut self, view: &View<'_>, run: &AskedRun) {
        let joining = self.joining;
        if let Some(wait) = &mut self.wait
            && run.first <= self.next
            && wait.ends_by(run.last)
            && !joining
            && run.after.is_zero()
        {
            wait.put_off(view.now + view.round_trip() + view.heartbeat / 16);
        }
    }

    /// The origin has come back: what we asked meanwhile it never heard.
    pub(super) fn ask_again(&mut self, view: &View<'_>) {
        if let Some(wait) = &mut self.wait {
            *wait = wait.anew(view.now + view.jitter);
        }
    }

    /// Whether a confirmed ask brought nothing for this long.
    pub(super) fn is_deaf(&self, now: Instant, patience: Duration) -> bool {
        self.wait
            .as_ref()
            .is_some_and(|wait| wait.is_unanswered(now, patience))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::{Decoded, FrameWriter, Header, Message};
    use crate::node::clock::{PeerClock, Windows};
    use crate::node_id::NodeId;

    /// A frame of one event with this number.
    fn frame(first: u64, stamp: Duration) -> Frame {
        let header = Header {
            stamp,
            ..Header::new(NodeId([7; 16]), 0, first)
        };
        let mut writer = FrameWriter::new(header, 1_000).unwrap();
        writer.push(&Message::Withdrawn).unwrap();
        match Frame::decode(&writer.finish(), 1_000) {
            Ok(Decoded::Frame(frame)) => frame,
            other => panic!("{other:?}"),
        }
    }

    /// Of an origin that lives, with a heartbeat of 1 s, on a lane that is ours since then.
    fn view(clock: &PeerClock, now: Duration, since: Duration) -> View<'_> {
        View {
            now: Instant::from_origin(now),
            heartbeat: Duration::from_secs(1),
            time_to_live: Duration::from_secs(30),
            since: Instant::from_origin(since),
            clock,
            dated: Duration::ZERO,
            listed: (Duration::ZERO, Duration::ZERO),
            proven: true,
            jitter: Duration::ZERO,
        }
    }

    /// A forged heartbeat may report the largest number there is, and its origin be gone before another disproves it.
    #[test]
    fn the_largest_number_is_settled_once() {
        let clock = PeerClock::default();
        let second = Duration::from_secs(1);
        let view = View {
            dated: second,
            ..view(&clock, second * 9, Duration::ZERO)
        };
        let progress = LaneProgress {
            lane: 0,
            last: u64::MAX,
            at: second,
            keeps: 0,
            gone: second,
        };
        let mut flow = Flow::new(Duration::ZERO);
        let mut settled = Vec::new();
        flow.report(&view, progress, second, &mut settled);
        flow.settle(&view, &mut settled);
        assert_eq!(settled.len(), 1, "{settled:?}");
    }

    /// A frame waits for the heartbeat that tells whether it is ours, and its origin dies before that.
    #[test]
    fn a_frame_that_nothing_tells_of_any_more_is_reported_with_what_is_behind_it() {
        let mut clock = PeerClock::default();
        let second = Duration::from_secs(1);
        let windows = Windows {
            now: second * 4,
            lately: second * 30,
        };
        clock.heard(Instant::from_origin(second), second * 3, windows);
        clock.heard(Instant::from_origin(second * 3), second * 3, windows);
        let view = view(&clock, second * 4, second * 4);
        let mut flow = Flow::new(Duration::ZERO);
        let mut settled = Vec::new();
        for (first, stamp) in [(1, 3), (3, 6)] {
            flow.hold(view.now, frame(first, second * stamp), first);
        }
        flow.advance(&view, &mut settled);
        assert!(settled.is_empty() && !flow.waits(), "{settled:?}");
        flow.settle(&view, &mut settled);
        assert!(
            matches!(
                settled[..],
                [
                    Settled::Unknown(..),
                    Settled::Unknown(..),
                    Settled::Frame(_, 3)
                ]
            ),
            "{settled:?}"
        );
    }
}
