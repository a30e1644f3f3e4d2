//! A small workflow engine: flows of executions that wait for each other, over any store of completions.
//!
//! ```
//! use std::sync::Arc;
//!
//! use midplane::completions::MemoryStore;
//! use midplane::threads::Timer;
//! use promoter::{Plan, Run, Store};
//!
//! # futures::executor::block_on(async {
//! let timer = Arc::new(Timer::new());
//! let store = MemoryStore::new(timer.clone());
//! // Two executions that wait for nothing, and one that waits for both.
//! let plan = Plan::new(vec![vec![], vec![], vec![0, 1]]);
//! let done = Run::new("flow", plan, Store::from(store), timer).finish().await;
//! assert!(done.is_right());
//! # });
//! ```
//!
//! # How it works
//!
//! Every execution is started in the store at once, and those that wait for nothing are run. Each completion is handled by a
//! [`Listener`](midplane::completions::Listener), which runs each execution that waited for that one last. An
//! execution one of whose needs did not succeed is skipped, which is a completion too. Workers in this process do
//! the work, which is nothing here but the outcome that the plan says.
//!
//! How far a flow came is in the store and nowhere else: a run that begins anew starts every execution again, and the
//! store answers how those ended that are finished. So a process may end at any moment, and the next goes on.
//!
//! # Map
//!
//! [`Plan`] is the graph of a flow, and the model of how the flow must end; [`Run`] runs a flow; [`Carries`] loses
//! completions of a stream on purpose.

mod plan;
mod run;
mod stream;

pub use plan::Plan;
pub use run::{Done, Progress, Run, Store};
pub use stream::Carries;
