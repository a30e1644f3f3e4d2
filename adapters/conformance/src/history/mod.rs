//! The oracle: what happened in a run, and whether it may have happened.
//!
//! Every participant of a run writes [`Fact`]s through a [`Recorder`]: publishers before and after each publish,
//! sinks each event they were given, nodes each notice to their host, and a [`TappedBus`] the number under which
//! each event was sent. [`judge`] then names the promises that were broken. The judge does not know what produced
//! the run: the protocol in simulated time, whole nodes in simulated time, nodes over real servers, or server
//! processes.
//!
//! [`RecordedNode`] does all of this for one node in the same process. [`StallWatch`] records when the machine,
//! not the node, was late.
//!
//! Without a tap the numbers of the events are unknown. Then any gap on an event's lane that was reported after
//! its publish accounts for the event, and the judge is that much milder.

mod fact;
mod judge;
mod log;
mod node;
mod recorder;
mod stalls;
mod tag;
mod tapped;

pub use fact::{AttachmentId, Fact, Relayed, SinkCounts, SinkOutcome};
pub use judge::{Accounting, Bounds, Check, Exemption, Exemptions, Judgement, Violation, judge};
pub use log::{History, Record};
pub use node::{RecordedConnection, RecordedNode, RecordedPublisher};
pub use recorder::Recorder;
pub use stalls::StallWatch;
pub use tag::{EventTag, hash};
pub use tapped::{TappedBus, record_frame};
