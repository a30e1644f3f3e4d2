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
//! // Two that wait for nothing, and one that waits for both.
//! let plan = Plan::new(vec![vec![], vec![], vec![0, 1]]);
//! let done = Run::new("flow", plan, Store::from(store), timer).finish().await;
//! assert!(done.is_right());
//! # });
//! ```
//!
//! # How it works
//!
//! An execution that waits for nothing is started at once. Each completion is handled by a
//! [`Listener`](midplane::completions::Listener), which starts whatever waited for that one last. An execution one of
//! whose needs did not succeed is skipped, which is a completion too. The work itself is done by workers in
//! this process, and here is nothing but the outcome that the plan says.
//!
//! The plan and how far it is are in memory: whoever keeps flows across restarts puts them into tables of the
//! store, and reads them in the handler.
//!
//! # Map
//!
//! [`Plan`] is what waits for what, and the model of how it must end; [`Run`] is a flow on its way;
//! [`Carries`] makes a stream worse than it is.

mod plan;
mod run;
mod stream;

pub use plan::Plan;
pub use run::{Done, Progress, Run, Store};
pub use stream::Carries;
