//! The handle that services hold.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use midplane_core::{
    Answers, Ask, Attachment, Audience, Backplane, CloseReport, ConnectionId, Event, Notice,
    Receipt, Relay, Runtime, Sink, State, Status, Timer,
};

use crate::drain::{Drain, Hold};
use crate::error::Error;
use crate::fresh::fresh_id;
use crate::host::{Cluster, Local};
use crate::into::{IntoAudience, IntoEvent, IntoTarget};
use crate::log;
use crate::mailboxes::Mailboxes;
use crate::runtime::bounded;

/// How long [`Plane::close`] takes at most.
const DEADLINE: Duration = Duration::from_secs(5);

/// A backplane: what connections are attached to, and what events are published on. A clone is another handle.
///
/// A handle is in one scope, that of everybody unless it is [`scoped`](Self::scoped). What a call that returns a `Result`
/// takes may itself be a `Result`: `associate(Target::topic(name))` has one `?`, at its end.
///
/// When the last handle and the last [`Connection`](crate::Connection) are dropped without a [`close`](Self::close), the plane closes in the
/// background, if its runtime still runs.
#[derive(Clone)]
pub struct Plane {
    backplane: Arc<dyn Backplane>,
    shared: Arc<PlaneShared>,
}

/// What every handle of a plane shares.
struct PlaneShared {
    /// The backplane in the scope of everybody.
    root: Arc<dyn Backplane>,
    runtime: Option<Arc<dyn Runtime>>,
    node: Node,
    drain: Drain,
    mailboxes: Mailboxes,
    /// Whether a program has the plane: until then nothing is published on it.
    opened: AtomicBool,
}

/// What a plane is over.
pub(crate) enum Node {
    Local(Local),
    Cluster(Cluster),
    /// Somebody else's, which the plane does not close unless it is asked to.
    Other,
}

/// What came of a close.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Closed {
    /// Events that were to go to other nodes and did not: see [`CloseReport`].
    pub unsent: usize,
}

impl Plane {
    /// A plane of one node, which needs no runtime.
    #[must_use]
    pub fn local() -> Self {
        let local = Local::new();
        Self::over(Arc::new(local.clone()), None, Node::Local(local))
    }

    /// A plane over any backplane, on this runtime. Dropping the last handle does not close that backplane.
    ///
    /// Without a runtime a [`close`](Self::close) that waits for a [`Hold`] keeps its deadline on a thread of its own.
    #[must_use]
    pub fn of(backplane: Arc<dyn Backplane>, runtime: Option<Arc<dyn Runtime>>) -> Self {
        Self::over(backplane, runtime, Node::Other)
    }

    pub(crate) fn over(
        backplane: Arc<dyn Backplane>,
        runtime: Option<Arc<dyn Runtime>>,
        node: Node,
    ) -> Self {
        let shared = PlaneShared {
            root: backplane.clone(),
            runtime,
            node,
            drain: Drain::new(),
            mailboxes: Mailboxes::default(),
            opened: AtomicBool::new(true),
        };
        Self {
            backplane,
            shared: Arc::new(shared),
        }
    }

    /// A plane that is being opened: dropped before it is [`opened`](Self::opened) it closes at once.
    pub(crate) fn opening(
        backplane: Arc<dyn Backplane>,
        runtime: Option<Arc<dyn Runtime>>,
        node: Node,
    ) -> Self {
        let plane = Self::over(backplane, runtime, node);
        plane.shared.opened.store(false, Ordering::Relaxed);
        plane
    }

    pub(crate) fn opened(&self) {
        self.shared.opened.store(true, Ordering::Relaxed);
    }

    /// Attaches a closure, which runs in the publisher's call: see [`Sink`]. Unlike a [`Connection`](crate::Connection) the attachment does
    /// not keep the plane open.
    pub fn attach_sink(&self, sink: Sink) -> Attachment {
        self.backplane.attach(fresh_id(), sink)
    }

    /// Attaches a closure under this id: see [`Backplane::attach`].
    pub fn attach_sink_as(&self, id: ConnectionId, sink: Sink) -> Attachment {
        self.backplane.attach(id, sink)
    }

    /// Publishes the event to every connection of the audience on every node. It waits for nothing and cannot fail: the
    /// receipt says what came of it.
    #[must_use = "the receipt says whether the event was delivered and relayed"]
    pub fn publish(&self, audience: impl Into<Audience>, event: impl Into<Event>) -> Receipt {
        self.backplane.publish(&audience.into(), &event.into())
    }

    /// [`publish`](Self::publish) for who treats an event that does not reach other nodes as an error.
    ///
    /// # Errors
    /// When there is no such audience or event, and then nothing was done; or when the event is not relayed, and then the
    /// connections of this node have it.
    pub fn try_publish(
        &self,
        audience: impl IntoAudience,
        event: impl IntoEvent,
    ) -> Result<Receipt, Error> {
        let (audience, event) = (audience.into_audience()?, event.into_event()?);
        let receipt = self.backplane.publish(&audience, &event);
        match receipt.relay {
            Relay::Refused(refusal) => Err(refusal.into()),
            _ => Ok(receipt),
        }
    }

    /// Publishes the event and waits for every node to say how many of its connections took it, or until `within` has
    /// passed. The answers name the nodes that did not answer, which may deliver it all the same.
    ///
    /// # Errors
    /// When there is no such audience or event. Nothing was done.
    pub async fn publish_confirmed(
        &self,
        audience: impl IntoAudience + Send,
        event: impl IntoEvent + Send,
        within: Duration,
    ) -> Result<Answers, Error> {
        let (audience, event) = (audience.into_audience()?, event.into_event()?);
        Ok(self
            .backplane
            .publish_confirmed(&audience, &event, within)
            .await)
    }

    /// How many connections there are in the audience, and on which nodes. It waits until every node has answered, or until
    /// `within` has passed; count a node in [`silent`](Answers::silent) as unknown, not as zero.
    ///
    /// # Errors
    /// When there is no such audience. Nobody was asked.
    pub async fn count(
        &self,
        audience: impl IntoAudience + Send,
        within: Duration,
    ) -> Result<Answers, Error> {
        let audience = audience.into_audience()?;
        Ok(self.backplane.count(&audience, within).await)
    }

    /// Detaches the connections of the audience on every node, and says how many there were. It waits until every node has
    /// answered, or until `within` has passed; a node in [`silent`](Answers::silent) may do so all the same.
    ///
    /// # Errors
    /// When there is no such audience. Nothing was done.
    pub async fn disconnect(
        &self,
        audience: impl IntoAudience + Send,
        within: Duration,
    ) -> Result<Answers, Error> {
        let audience = audience.into_audience()?;
        Ok(self.backplane.disconnect(&audience, within).await)
    }

    /// Joins the connections of the audience to the target, on whichever node they are, and says how many were joined. It waits
    /// until every node has answered, or until `within` has passed; a node in [`silent`](Answers::silent) may do so all the same.
    ///
    /// # Errors
    /// When there is no such audience or target. Nothing was done.
    pub async fn associate(
        &self,
        audience: impl IntoAudience + Send,
        target: impl IntoTarget + Send,
        within: Duration,
    ) -> Result<Answers, Error> {
        let (audience, target) = (audience.into_audience()?, target.into_target()?);
        Ok(self.backplane.associate(&audience, &target, within).await)
    }

    /// Takes the connections of the audience out of the target, on whichever node they are, and says how many were in it. It
    /// waits until every node has answered, or until `within` has passed; a node in [`silent`](Answers::silent) may do so all the
    /// same.
    ///
    /// # Errors
    /// When there is no such audience or target. Nothing was done.
    pub async fn dissociate(
        &self,
        audience: impl IntoAudience + Send,
        target: impl IntoTarget + Send,
        within: Duration,
    ) -> Result<Answers, Error> {
        let (audience, target) = (audience.into_audience()?, target.into_target()?);
        Ok(self.backplane.dissociate(&audience, &target, within).await)
    }

    /// A handle inside the scope that `label` names within this handle's own, for one tenant. It names nothing beside or
    /// above it.
    ///
    /// # Errors
    /// When the label is empty or the path of labels grows past 255 bytes.
    pub fn scoped(&self, label: &str) -> Result<Self, Error> {
        Ok(Self {
            backplane: self.backplane.scoped(label)?,
            shared: self.shared.clone(),
        })
    }

    /// Waits until the plane is [live](State::Live), for as long as that takes.
    ///
    /// # Errors
    /// [`Error::Closed`] when it closes first, and [`Error::Stopped`] when its driver ends.
    pub async fn ready(&self) -> Result<(), Error> {
        let mut notices = self.notices();
        while let Some(notice) = notices.next().await {
            match notice {
                Notice::State(State::Live) => return Ok(()),
                Notice::State(State::Stopped) => return Err(Error::Stopped { panic: None }),
                _ => {}
            }
        }
        Err(Error::Closed)
    }

    /// What a readiness check answers: whether the plane is linked and not draining, and no other node is to be preferred. A
    /// node that died makes the others [`State::Degraded`] for a while, and not unready.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let ready = match self.shared.node {
            Node::Other => self.state() == State::Live,
            Node::Local(_) | Node::Cluster(_) => self.status().ready,
        };
        ready && !self.is_unready()
    }

    /// Whether readiness was taken away, by [`unready`](Self::unready) or a drain.
    #[must_use]
    pub fn is_unready(&self) -> bool {
        self.shared.drain.is_unready()
    }

    /// What the plane can do at this moment.
    #[must_use]
    pub fn state(&self) -> State {
        self.backplane.state()
    }

    /// What happens from now on that a host should know, the state first. With the feature `tracing` it is logged, and
    /// nobody has to listen. Up to 1,024 notices wait for a listener; what is dropped beyond is told as [`Notice::Lagged`].
    #[must_use]
    pub fn notices(&self) -> BoxStream<'static, Notice> {
        self.backplane.notices()
    }

    /// The state of this node and every count that is kept of it. Over [any backplane](Self::of) it is the state and the
    /// counts of mailboxes.
    #[must_use]
    pub fn status(&self) -> Status {
        let mut status = match &self.shared.node {
            Node::Local(local) => local.status(),
            Node::Cluster(cluster) => cluster.status(),
            Node::Other => Status::default(),
        };
        status.state = self.state();
        status.mailboxes = self.shared.mailboxes.counters();
        status
    }

    /// Takes readiness away, for a load balancer to see; all else goes on.
    pub fn unready(&self) {
        self.shared.drain.unready();
    }

    /// Takes readiness away and resolves [`draining`](Self::draining): what writes to clients says goodbye. Events still
    /// come.
    pub fn drain(&self) {
        self.drain_over(Duration::ZERO);
    }

    /// [Drains](Self::drain), each client at a moment of its own within this time, so that all do not come back at once.
    pub fn drain_over(&self, spread: Duration) {
        self.shared.drain.drain(spread);
    }

    /// Within which time clients are told that the plane drains: what writes to one waits for its own share of it behind
    /// [`draining`](Self::draining).
    #[must_use]
    pub fn spread(&self) -> Duration {
        self.shared.drain.spread()
    }

    /// Whether the plane has begun to drain. That takes no lock.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.shared.drain.is_draining()
    }

    /// Resolves when the plane begins to drain, at once if it has. It keeps nothing open.
    pub fn draining(&self) -> impl Future<Output = ()> + Send + Unpin + use<> {
        self.shared.drain.draining()
    }

    /// Makes [`close`](Self::close) wait until the hold is dropped, within its deadline: for last words to a client. One that
    /// is taken after the close began is not waited for.
    pub fn hold(&self) -> Hold {
        self.shared.drain.hold()
    }

    /// Closes the plane for every handle within 5 s: see [`close_within`](Self::close_within).
    pub async fn close(&self) -> Closed {
        self.close_within(DEADLINE).await
    }

    /// Closes the plane for every handle: it [drains](Self::drain), waits for [holds](Self::hold), hands what was
    /// published to the bus, and ends every connection. Closing twice is fine. Dropping the future undoes nothing: what was
    /// begun goes on without its deadline.
    pub async fn close_within(&self, deadline: Duration) -> Closed {
        let shared = &self.shared;
        shared.drain.drain(Duration::ZERO);
        let released = shared.drain.released();
        let left = match &shared.runtime {
            Some(runtime) => {
                let before = runtime.now();
                let timer: &dyn Timer = &**runtime;
                timer.within(deadline, released).await;
                deadline.saturating_sub(runtime.now() - before)
            }
            None => {
                let before = std::time::Instant::now();
                bounded(deadline, released).await;
                deadline.saturating_sub(before.elapsed())
            }
        };
        let CloseReport { unsent, .. } = shared.root.close(left).await;
        log::closed(unsent);
        Closed { unsent }
    }

    /// The backplane of the core that this handle is over.
    #[must_use]
    pub fn backplane(&self) -> &Arc<dyn Backplane> {
        &self.backplane
    }

    pub(crate) fn mailboxes(&self) -> &Mailboxes {
        &self.shared.mailboxes
    }
}

impl Drop for PlaneShared {
    fn drop(&mut self) {
        if matches!(self.node, Node::Other) || self.root.state() == State::Closed {
            return;
        }
        let root = self.root.clone();
        let deadline = match self.opened.load(Ordering::Relaxed) {
            true => DEADLINE,
            false => Duration::ZERO,
        };
        let closing = async move {
            let CloseReport { unsent, .. } = root.close(deadline).await;
            log::closed(unsent);
        };
        match &self.runtime {
            Some(runtime) => {
                if let Node::Cluster(cluster) = &self.node {
                    log::dropped(cluster.status().queued);
                }
                runtime.spawn(closing.boxed());
            }
            // A node of its own closes at once.
            None => drop(closing.now_or_never()),
        }
    }
}

impl fmt::Debug for Plane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plane")
            .field("backplane", &self.backplane)
            .field("runtime", &self.shared.runtime)
            .field("ready", &self.is_ready())
            .finish()
    }
}
