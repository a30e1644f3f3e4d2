//! Every check of a store of completions can fail: for each there is a store with one sin that it, and its
//! message, catches.

use std::collections::{HashMap, HashSet};
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::executor::block_on;
use futures::stream::{self, StreamExt};
use midplane::Backoff;
use midplane::completions::{
    BackendError, BackendErrorKind, Capabilities, Change, Claim, Completion, CompletionBackend,
    CompletionStream, Cursor, CursorError, Entry, Execution, ExecutionId, Filter, Follower,
    Journal, JournalReader, Ledger, MemoryStore, MemoryTransaction, Outcome, Pace, Page,
    ProduceError, Producer, ReadError, Scan, Scanned, StreamItem, SubscribeError,
};
use midplane_completions_suite::{CHECKS, Fixture, Transaction, run};
use midplane_testkit::executor::Executor;
use midplane_testkit::set_patience;

/// What a store does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sin {
    SubscribesLate,
    LosesEmptyBytes,
    ForgetsTheFlow,
    Reorders,
    SkipsToTheEnd,
    AllowsOneListener,
    SticksAtPoison,
    SwallowsPoison,
    EmitsBeforeCommit,
    SkipsLateCommits,
    CollapsesEqualPayloads,
    EndsWhenCut,
    SaysNothingOfCuts,
    ForgetsItsPlace,
    SwallowsSetUpErrors,
    ShowsThePassword,
    SaysUnreachable,
    LeaksConnections,
    LeaksReconnections,
    ResumesAtTheCursor,
    StaysBehindTheFilter,
    TakesForeignCursors,
    TakesMalformedCursors,
    TakesExpiredCursors,
    SkipsExpiredHistory,
    FiltersByCase,
    MissingMatches,
    OneOfTwoMatches,
    StreamsUnfiltered,
    HandledIsForgotten,
    LedgerForgetsHistory,
    IgnoresStaleness,
    SkipsAtPageEnds,
    TheHeadTakesPlaces,
    ClaimsAnything,
    LeasesForEver,
    IgnoresTokens,
    ForgetsFailures,
    NeverPauses,
    LosesWhatACutHides,
    ShowsAnEmptyLedger,
    DoesTwice,
    AllowsEveryTransition,
}

use Sin::*;

const NOTHING: &str = "the next item: not within";
const NEXT: &str = "the execution of the next completion";

/// Which check, and which part of it, catches each of them.
const CAUGHT: &[(Sin, &str, &str)] = &[
    (
        SubscribesLate,
        "a_subscription_is_live_when_the_call_returns",
        NOTHING,
    ),
    (
        LosesEmptyBytes,
        "every_outcome_arrives_as_it_was_produced",
        "the bytes",
    ),
    (
        ForgetsTheFlow,
        "every_outcome_arrives_as_it_was_produced",
        "the flow",
    ),
    (
        Reorders,
        "completions_of_one_producer_keep_their_order",
        NEXT,
    ),
    (SkipsToTheEnd, "an_unread_stream_misses_nothing", NOTHING),
    (
        AllowsOneListener,
        "each_subscription_is_independent",
        "the next item should be",
    ),
    (
        SticksAtPoison,
        "a_poison_record_is_surfaced_and_passed",
        NOTHING,
    ),
    (
        SwallowsPoison,
        "a_poison_record_is_surfaced_and_passed",
        "the poison should be surfaced",
    ),
    (EmitsBeforeCommit, "what_is_rolled_back_is_never_seen", NEXT),
    (
        SkipsLateCommits,
        "what_commits_late_is_not_skipped",
        NOTHING,
    ),
    (
        CollapsesEqualPayloads,
        "equal_payloads_of_one_transaction_both_arrive",
        NOTHING,
    ),
    (EndsWhenCut, "a_stream_outlives_a_cut", "the stream goes on"),
    (
        SaysNothingOfCuts,
        "a_stream_outlives_a_cut",
        "the notice of a new subscription",
    ),
    (ForgetsItsPlace, "a_stream_outlives_a_cut", NOTHING),
    (
        ForgetsItsPlace,
        "a_cut_before_anything_arrived_loses_nothing",
        NOTHING,
    ),
    (
        SwallowsSetUpErrors,
        "a_wrong_set_up_is_the_errors_of_the_call",
        "nothing to subscribe to",
    ),
    (
        ShowsThePassword,
        "a_wrong_set_up_is_the_errors_of_the_call",
        "shows hunter2",
    ),
    (
        SaysUnreachable,
        "a_wrong_set_up_is_the_errors_of_the_call",
        "assertion `left == right`",
    ),
    (
        LeaksConnections,
        "dropping_an_idle_stream_releases_its_connection",
        "closed: not within",
    ),
    (
        LeaksReconnections,
        "dropping_a_stream_that_is_cut_off_leaves_nothing",
        "closed: not within",
    ),
    (
        ResumesAtTheCursor,
        "resuming_yields_strictly_later_completions",
        NEXT,
    ),
    (
        StaysBehindTheFilter,
        "resuming_passes_what_the_filter_leaves_out",
        NOTHING,
    ),
    (
        TakesForeignCursors,
        "a_foreign_cursor_is_refused",
        "the cursor should be refused",
    ),
    (
        TakesMalformedCursors,
        "a_malformed_cursor_is_refused",
        "the cursor should be refused",
    ),
    (
        TakesExpiredCursors,
        "an_expired_cursor_is_refused",
        "the cursor should be refused",
    ),
    (
        SkipsExpiredHistory,
        "a_stream_whose_place_expired_says_so_and_goes_on",
        "skipped untold",
    ),
    (FiltersByCase, "a_filter_is_exact_or_refused", NEXT),
    (MissingMatches, "a_filter_is_exact_or_refused", NEXT),
    (OneOfTwoMatches, "a_filter_is_exact_or_refused", NEXT),
    (
        StreamsUnfiltered,
        "a_filter_is_exact_or_refused",
        "it cannot filter",
    ),
    (
        HandledIsForgotten,
        "what_finished_is_scanned_until_it_is_handled",
        "handled is for good",
    ),
    (
        LedgerForgetsHistory,
        "what_finished_is_scanned_until_it_is_handled",
        "assertion `left == right`",
    ),
    (
        IgnoresStaleness,
        "what_finished_just_now_is_not_stale",
        "it finished just now",
    ),
    (SkipsAtPageEnds, "pages_show_everything_once", "in pages of"),
    (
        TheHeadTakesPlaces,
        "pages_show_everything_once",
        "takes no place",
    ),
    (
        ClaimsAnything,
        "a_claim_excludes_every_other",
        "cannot be claimed",
    ),
    (
        LeasesForEver,
        "a_lease_that_ended_can_be_claimed_and_the_old_claim_is_void",
        "the lease ends: not within",
    ),
    (
        IgnoresTokens,
        "a_lease_that_ended_can_be_claimed_and_the_old_claim_is_void",
        "the old claim settled nothing",
    ),
    (
        ForgetsFailures,
        "released_work_waits_and_comes_back",
        "the failures are counted",
    ),
    (
        NeverPauses,
        "released_work_waits_and_comes_back",
        "it waits for another try",
    ),
    (
        EmitsBeforeCommit,
        "a_listener_handles_everything",
        "was rolled back and handled",
    ),
    (
        LosesWhatACutHides,
        "a_listener_that_is_cut_off_handles_everything",
        "everything committed is handled: not within",
    ),
    (
        ShowsAnEmptyLedger,
        "a_listener_without_a_stream_handles_everything",
        "everything committed is handled: not within",
    ),
    (
        DoesTwice,
        "every_call_may_be_repeated",
        "assertion `left == right`",
    ),
    (
        AllowsEveryTransition,
        "an_illegal_transition_is_refused_and_changes_nothing",
        "it finished already",
    ),
];

#[test]
fn each_sin_is_caught_by_the_check_that_names_it() {
    for check in CHECKS {
        run(check.name, Executor::Smol, || Sinful::new(None));
    }
    // From here on most waits are in vain.
    set_patience(Duration::from_millis(500));
    let mut uncaught = Vec::new();
    for &(sin, check, message) in CAUGHT {
        let caught = std::thread::spawn(move || {
            run(check, Executor::Smol, || Sinful::new(Some(sin)));
        })
        .join();
        let Err(caught) = caught else {
            uncaught.push(format!("{check} does not catch {sin:?}"));
            continue;
        };
        let said = caught
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| caught.downcast_ref::<&str>().copied())
            .unwrap_or_default();
        if !said.contains(message) {
            uncaught.push(format!("{check} fails on {sin:?}, but with: {said}"));
        }
    }
    assert!(uncaught.is_empty(), "{uncaught:#?}");
    let unproven: Vec<_> = CHECKS
        .iter()
        .filter(|check| CAUGHT.iter().all(|(_, name, _)| *name != check.name))
        .collect();
    assert!(unproven.is_empty(), "{unproven:?} were never seen to fail");
}

/// The store in memory, and what spoils it.
#[derive(Debug, Clone)]
struct Sinful {
    store: MemoryStore,
    sin: Option<Sin>,
    notes: Arc<Notes>,
}

#[derive(Debug, Default)]
struct Notes {
    cut: AtomicBool,
    /// Somebody connected.
    connected: AtomicBool,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// By the cursor of each completion that was read, the completion.
    read: HashMap<Cursor, Completion>,
    hidden: HashSet<ExecutionId>,
    paused: HashSet<ExecutionId>,
    places: HashMap<ExecutionId, Cursor>,
    handled: HashSet<ExecutionId>,
    forgotten: HashSet<ExecutionId>,
    tokens: HashMap<ExecutionId, u64>,
}

impl Sinful {
    fn new(sin: Option<Sin>) -> Self {
        Self {
            store: MemoryStore::new(Arc::new(midplane::threads::Timer::new())),
            sin,
            notes: Arc::default(),
        }
    }

    fn is(&self, sin: Sin) -> bool {
        self.sin == Some(sin)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.notes.inner.lock().unwrap()
    }

    fn follower(&self) -> Follower {
        let mut pace = Pace::default();
        pace.poll = Duration::from_millis(100);
        pace.backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(50));
        let timer = Arc::new(midplane::threads::Timer::new());
        Follower::new(Arc::new(self.clone()), timer).with_pace(pace)
    }

    fn head(&self) -> Cursor {
        block_on(async {
            let mut reader = self.store.connect(&Filter::all()).await.unwrap();
            reader.head().await.unwrap()
        })
    }

    fn refused(&self, kind: BackendErrorKind) -> Option<Arc<dyn CompletionBackend>> {
        let kind = match self.is(SaysUnreachable) {
            true => BackendErrorKind::Unreachable,
            false => kind,
        };
        let shown = if self.is(ShowsThePassword) {
            "hunter2"
        } else {
            "it"
        };
        Some(Arc::new(Refused { kind, shown }))
    }
}

#[derive(Debug)]
struct Refused {
    kind: BackendErrorKind,
    shown: &'static str,
}

#[async_trait]
impl CompletionBackend for Refused {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new()
    }

    async fn subscribe_completions(&self) -> Result<CompletionStream, SubscribeError> {
        let message = format!("{} is refused", self.shown);
        Err(BackendError::new(self.kind, message).into())
    }

    async fn subscribe_completions_filtered(
        &self,
        _: &Filter,
    ) -> Result<CompletionStream, SubscribeError> {
        Err(SubscribeError::CannotFilter)
    }

    async fn subscribe_from(
        &self,
        _: &Cursor,
        _: &Filter,
    ) -> Result<CompletionStream, SubscribeError> {
        Err(SubscribeError::NotDurable)
    }
}

#[async_trait]
impl Fixture for Sinful {
    fn backend(&self) -> Arc<dyn CompletionBackend> {
        Arc::new(Spoilt(self.clone()))
    }

    fn producer(&self) -> Arc<dyn Producer> {
        Arc::new(self.clone())
    }

    fn ledger(&self) -> Arc<dyn Ledger> {
        Arc::new(self.clone())
    }

    async fn begin(&self) -> Option<Box<dyn Transaction>> {
        Some(Box::new(Begun {
            sinful: self.clone(),
            transaction: self.store.begin(),
            finished: Vec::new(),
            head: None,
        }))
    }

    fn cut(&self) {
        self.notes.cut.store(true, Ordering::SeqCst);
        self.store.block();
    }

    fn heal(&self) {
        self.notes.cut.store(false, Ordering::SeqCst);
        self.store.unblock();
    }

    fn connections(&self) -> usize {
        self.store.connections()
    }

    async fn expire_history(&self) {
        self.store.trim();
        if self.is(LedgerForgetsHistory) {
            let page = self
                .store
                .scan(&Scan::new(Duration::ZERO, 1_000))
                .await
                .unwrap();
            let ids = page.completions.into_iter().map(|found| found.execution);
            self.inner().forgotten.extend(ids);
        }
    }

    async fn poison(&self) {
        self.store.poison("it was made so");
    }

    fn intruder(&self) -> Option<(Arc<dyn CompletionBackend>, Vec<String>)> {
        Some((
            self.refused(BackendErrorKind::Denied)?,
            vec!["hunter2".into()],
        ))
    }

    fn bare(&self) -> Option<Arc<dyn CompletionBackend>> {
        self.refused(BackendErrorKind::NotInstalled)
    }
}

/// The backend, with the sins of streams.
#[derive(Debug)]
struct Spoilt(Sinful);

impl Spoilt {
    async fn spoil(
        &self,
        subscribed: Result<CompletionStream, SubscribeError>,
    ) -> Result<CompletionStream, SubscribeError> {
        match (self.0.sin, subscribed) {
            (Some(SwallowsSetUpErrors), Err(_)) => Ok(CompletionStream::new(stream::pending())),
            (Some(EndsWhenCut), Ok(stream)) => {
                Ok(CompletionStream::new(stream.take_while(|item| {
                    std::future::ready(*item != StreamItem::Resync)
                })))
            }
            (Some(SaysNothingOfCuts), Ok(stream)) => {
                Ok(CompletionStream::new(stream.filter(|item| {
                    std::future::ready(*item != StreamItem::Resync)
                })))
            }
            (_, subscribed) => subscribed,
        }
    }
}

#[async_trait]
impl CompletionBackend for Spoilt {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    async fn subscribe_completions(&self) -> Result<CompletionStream, SubscribeError> {
        let follower = self.0.follower();
        if self.0.is(SubscribesLate) {
            let later = async move { follower.subscribe_completions().await.unwrap() };
            return Ok(CompletionStream::new(stream::once(later).flatten()));
        }
        self.spoil(follower.subscribe_completions().await).await
    }

    async fn subscribe_completions_filtered(
        &self,
        filter: &Filter,
    ) -> Result<CompletionStream, SubscribeError> {
        if self.0.is(StreamsUnfiltered) {
            return self.subscribe_completions().await;
        }
        let follower = self.0.follower();
        self.spoil(follower.subscribe_completions_filtered(filter).await)
            .await
    }

    async fn subscribe_from(
        &self,
        cursor: &Cursor,
        filter: &Filter,
    ) -> Result<CompletionStream, SubscribeError> {
        let follower = self.0.follower();
        let subscribed = follower.subscribe_from(cursor, filter).await;
        match (self.0.sin, subscribed) {
            (
                Some(TakesForeignCursors),
                Err(SubscribeError::Cursor(CursorError::Foreign { .. })),
            )
            | (Some(TakesMalformedCursors), Err(SubscribeError::Cursor(CursorError::Malformed)))
            | (Some(TakesExpiredCursors), Err(SubscribeError::Cursor(CursorError::Expired))) => {
                follower.subscribe_completions().await
            }
            (_, subscribed) => self.spoil(subscribed).await,
        }
    }
}

#[async_trait]
impl Journal for Sinful {
    fn capabilities(&self) -> Capabilities {
        match self.is(StreamsUnfiltered) {
            true => Capabilities::new().with_resume(),
            false => self.store.capabilities(),
        }
    }

    async fn connect(&self, filter: &Filter) -> Result<Box<dyn JournalReader>, BackendError> {
        if self.is(AllowsOneListener) {
            self.store.cut();
        }
        let lenient = [
            FiltersByCase,
            MissingMatches,
            OneOfTwoMatches,
            StaysBehindTheFilter,
        ];
        let asked = match self.sin.is_some_and(|sin| lenient.contains(&sin)) {
            true => &Filter::all(),
            false => filter,
        };
        let connected = self.store.connect(asked).await;
        if connected.is_err() && self.is(LeaksReconnections) {
            let store = self.store.clone();
            std::thread::spawn(move || {
                loop {
                    if let Ok(reader) = block_on(store.connect(&Filter::all())) {
                        std::mem::forget(reader);
                        break;
                    }
                }
            });
        }
        Ok(Box::new(Reader {
            reader: ManuallyDrop::new(connected?),
            filter: filter.clone(),
            again: self.notes.connected.swap(true, Ordering::SeqCst),
            first: true,
            sinful: self.clone(),
        }))
    }
}

struct Reader {
    reader: ManuallyDrop<Box<dyn JournalReader>>,
    filter: Filter,
    /// It is not the first connection of all.
    again: bool,
    /// Nothing was read on it.
    first: bool,
    sinful: Sinful,
}

impl Drop for Reader {
    fn drop(&mut self) {
        if !self.sinful.is(LeaksConnections) {
            // Traded for another, it can be dropped without the `unsafe` of `ManuallyDrop::drop`.
            let empty: Box<dyn JournalReader> = Box::new(Nobody);
            drop(std::mem::replace(&mut *self.reader, empty));
        }
    }
}

struct Nobody;

#[async_trait]
impl JournalReader for Nobody {
    async fn head(&mut self) -> Result<Cursor, BackendError> {
        unreachable!()
    }

    async fn read(&mut self, _: &Cursor, _: usize) -> Result<Page, ReadError> {
        unreachable!()
    }

    async fn wait(&mut self) -> Result<(), BackendError> {
        unreachable!()
    }
}

impl Reader {
    fn lets_through(&self, completion: &Completion) -> bool {
        let (namespace, tag) = (self.filter.namespace(), self.filter.tag());
        let like = |wanted: Option<&str>, found: Option<&str>| match (wanted, found) {
            (None, _) => true,
            (Some(wanted), Some(found)) if self.sinful.is(FiltersByCase) => {
                wanted.eq_ignore_ascii_case(found)
            }
            (Some(_), None) => self.sinful.is(MissingMatches),
            (wanted, found) => wanted == found,
        };
        let namespaces = like(
            namespace.map(|wanted| wanted.as_str()),
            completion.namespace.as_ref().map(|found| found.as_str()),
        );
        let tags = like(
            tag.map(|wanted| wanted.as_str()),
            completion.tag.as_ref().map(|found| found.as_str()),
        );
        match self.sinful.sin {
            Some(OneOfTwoMatches) if namespace.is_some() && tag.is_some() => namespaces || tags,
            _ => namespaces && tags,
        }
    }

    fn spoil(&mut self, after: &Cursor, page: &mut Page) {
        let first = std::mem::take(&mut self.first);
        let mut inner = self.sinful.inner();
        match self.sinful.sin {
            Some(LosesEmptyBytes | ForgetsTheFlow) => {
                for entry in &mut page.entries {
                    if let Entry::Completion(completion) = entry {
                        if self.sinful.is(ForgetsTheFlow) {
                            completion.flow = None;
                        } else {
                            completion.bytes.take_if(|bytes| bytes.is_empty());
                        }
                    }
                }
            }
            Some(Reorders) => page.entries.reverse(),
            Some(SkipsToTheEnd) if page.more => {
                page.entries.clear();
                page.position = self.sinful.head();
                page.more = false;
            }
            Some(SticksAtPoison) => {
                let poison = |entry: &Entry| matches!(entry, Entry::Poison(_));
                if let Some(at) = page.entries.iter().position(poison) {
                    page.entries.truncate(at);
                    page.position = after.clone();
                    if let Some(Entry::Completion(last)) = page.entries.last() {
                        page.position = last.cursor.clone().unwrap();
                    }
                }
            }
            Some(SwallowsPoison) => page
                .entries
                .retain(|entry| matches!(entry, Entry::Completion(_))),
            Some(SkipsLateCommits | LosesWhatACutHides) => page.entries.retain(|entry| {
                !matches!(entry, Entry::Completion(completion) if inner.hidden.contains(&completion.execution))
            }),
            Some(CollapsesEqualPayloads) => page.entries.dedup_by(|one, other| {
                matches!((one, other), (Entry::Completion(one), Entry::Completion(other))
                    if one.bytes.is_some() && one.bytes == other.bytes)
            }),
            Some(ForgetsItsPlace) if first && self.again => {
                page.entries.clear();
                page.position = self.sinful.head();
                page.more = false;
            }
            Some(ResumesAtTheCursor) if first => {
                let own = inner.read.get(after).cloned().map(Entry::Completion);
                page.entries.splice(..0, own);
            }
            Some(
                FiltersByCase | MissingMatches | OneOfTwoMatches | StaysBehindTheFilter,
            ) => {
                page.entries.retain(|entry| {
                    matches!(entry, Entry::Completion(completion) if self.lets_through(completion))
                });
                if self.sinful.is(StaysBehindTheFilter) && page.entries.is_empty() {
                    page.position = after.clone();
                    page.more = false;
                }
            }
            _ => {}
        }
        for entry in &page.entries {
            if let Entry::Completion(completion) = entry
                && let Some(cursor) = &completion.cursor
            {
                inner.read.insert(cursor.clone(), completion.clone());
            }
        }
    }
}

#[async_trait]
impl JournalReader for Reader {
    async fn head(&mut self) -> Result<Cursor, BackendError> {
        self.reader.head().await
    }

    async fn read(&mut self, after: &Cursor, most: usize) -> Result<Page, ReadError> {
        match self.reader.read(after, most).await {
            Ok(mut page) => {
                self.spoil(after, &mut page);
                Ok(page)
            }
            Err(ReadError::Expired { oldest, .. }) if self.sinful.is(SkipsExpiredHistory) => {
                Ok(Page::new(Vec::new(), oldest, true))
            }
            Err(error) => Err(error),
        }
    }

    async fn wait(&mut self) -> Result<(), BackendError> {
        self.reader.wait().await
    }
}

struct Begun {
    sinful: Sinful,
    transaction: MemoryTransaction,
    finished: Vec<ExecutionId>,
    /// Where the history ended when the first was finished.
    head: Option<Cursor>,
}

#[async_trait]
impl Transaction for Begun {
    async fn finish(
        &mut self,
        execution: &ExecutionId,
        outcome: &Outcome,
        bytes: Option<Bytes>,
    ) -> Result<(), ProduceError> {
        self.finished.push(execution.clone());
        if self.sinful.is(SkipsLateCommits) && self.head.is_none() {
            self.head = Some(self.sinful.head());
        }
        if self.sinful.is(EmitsBeforeCommit) {
            self.sinful.store.finish(execution, outcome, bytes).await?;
            return Ok(());
        }
        self.transaction.finish(execution, outcome, bytes)
    }

    async fn commit(self: Box<Self>) -> Result<(), ProduceError> {
        if self.sinful.is(SkipsLateCommits) && self.head != Some(self.sinful.head()) {
            self.sinful.inner().hidden.extend(self.finished);
        }
        self.transaction.commit()
    }

    async fn rollback(self: Box<Self>) {}
}

#[async_trait]
impl Producer for Sinful {
    async fn start(&self, execution: &Execution) -> Result<Change, ProduceError> {
        self.spoil_change(self.store.start(execution).await)
    }

    async fn finish(
        &self,
        execution: &ExecutionId,
        outcome: &Outcome,
        bytes: Option<Bytes>,
    ) -> Result<Change, ProduceError> {
        if self.is(LosesWhatACutHides) && self.notes.cut.load(Ordering::SeqCst) {
            self.inner().hidden.insert(execution.clone());
        }
        self.spoil_change(self.store.finish(execution, outcome, bytes).await)
    }
}

impl Sinful {
    fn spoil_change(&self, change: Result<Change, ProduceError>) -> Result<Change, ProduceError> {
        match (self.sin, change) {
            (Some(DoesTwice), Ok(_)) => Ok(Change::Made),
            (Some(AllowsEveryTransition), Err(ProduceError::Illegal { .. })) => Ok(Change::Made),
            (_, change) => change,
        }
    }
}

#[async_trait]
impl Ledger for Sinful {
    async fn scan(&self, scan: &Scan) -> Result<Scanned, BackendError> {
        let mut scan = scan.clone();
        if self.is(IgnoresStaleness) {
            scan.stale = Duration::ZERO;
        }
        let mut page = self.store.scan(&scan).await?;
        let mut inner = self.inner();
        for found in &page.completions {
            let place = found.cursor.clone().unwrap();
            inner.places.insert(found.execution.clone(), place);
        }
        match self.sin {
            Some(ShowsAnEmptyLedger) => page.completions.clear(),
            Some(SkipsAtPageEnds) if page.next.is_some() => drop(page.completions.pop()),
            Some(TheHeadTakesPlaces)
                if scan.after.is_none() && inner.paused.len() >= scan.most.max(1) =>
            {
                page.completions.clear();
                let places = inner.paused.iter().map(|id| &inner.places[id]);
                page.next = places.max_by_key(|place| place.to_string()).cloned();
            }
            Some(LosesWhatACutHides) => page
                .completions
                .retain(|found| !inner.hidden.contains(&found.execution)),
            Some(LedgerForgetsHistory) => page
                .completions
                .retain(|found| !inner.forgotten.contains(&found.execution)),
            _ => {}
        }
        Ok(page)
    }

    async fn claim(
        &self,
        executions: &[ExecutionId],
        lease: Duration,
    ) -> Result<Vec<Claim>, BackendError> {
        let lease = match self.is(LeasesForEver) {
            true => Duration::from_secs(1_000_000),
            false => lease,
        };
        let mut claims = self.store.claim(executions, lease).await?;
        let mut inner = self.inner();
        for claim in &mut claims {
            inner.tokens.insert(claim.execution.clone(), claim.token);
            if self.is(ForgetsFailures) {
                claim.failures = 0;
            }
        }
        let given: HashSet<_> = claims.iter().map(|claim| claim.execution.clone()).collect();
        for execution in executions.iter().filter(|id| !given.contains(*id)) {
            if self.is(ClaimsAnything)
                || (self.is(HandledIsForgotten) && inner.handled.contains(execution))
            {
                claims.push(Claim::new(execution.clone(), u64::MAX, 0));
            }
        }
        Ok(claims)
    }

    async fn handled(&self, claims: &[Claim]) -> Result<(), BackendError> {
        let claims = self.tokens(claims);
        let ids = claims.iter().map(|claim| claim.execution.clone());
        self.inner().handled.extend(ids);
        self.store.handled(&claims).await
    }

    async fn release(&self, claims: &[Claim], pause: Duration) -> Result<(), BackendError> {
        let pause = match self.is(NeverPauses) {
            true => Duration::ZERO,
            false => pause,
        };
        let ids = claims.iter().map(|claim| claim.execution.clone());
        self.inner().paused.extend(ids);
        self.store.release(&self.tokens(claims), pause).await
    }
}

impl Sinful {
    /// The claims, or whoever's claims there are.
    fn tokens(&self, claims: &[Claim]) -> Vec<Claim> {
        let inner = self.inner();
        let mut claims = claims.to_vec();
        if self.is(IgnoresTokens) {
            for claim in &mut claims {
                claim.token = inner.tokens[&claim.execution];
            }
        }
        claims
    }
}
