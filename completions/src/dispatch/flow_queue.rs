//! The queue before the handlers: one execution after the other within a flow.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use hashbrown::HashMap;

use super::work::FlowKey;

/// Work in the order of its arrival, except that the next of a flow waits until the one before is done.
#[derive(Debug)]
pub(super) struct FlowQueue<T> {
    /// What may start.
    ready: VecDeque<(Option<FlowKey>, T)>,
    /// The flows of which one item is ready or started, and what waits behind that item.
    flows: HashMap<FlowKey, VecDeque<T>>,
    waiting: usize,
}

impl<T> FlowQueue<T> {
    pub(super) fn new() -> Self {
        Self {
            ready: VecDeque::new(),
            flows: HashMap::new(),
            waiting: 0,
        }
    }

    /// How many items wait.
    pub(super) fn len(&self) -> usize {
        self.waiting
    }

    pub(super) fn push(&mut self, flow: Option<FlowKey>, work: T) {
        self.waiting += 1;
        let Some(flow) = flow else {
            self.ready.push_back((None, work));
            return;
        };
        if let Some(behind) = self.flows.get_mut(&flow) {
            behind.push_back(work);
        } else {
            self.flows.insert(flow.clone(), VecDeque::new());
            self.ready.push_back((Some(flow), work));
        }
    }

    /// The item that starts next. Its flow must be [done](Self::done) when the item is.
    pub(super) fn start(&mut self) -> Option<(Option<FlowKey>, T)> {
        let next = self.ready.pop_front()?;
        self.waiting -= 1;
        Some(next)
    }

    /// Lets the next item of this flow start.
    pub(super) fn done(&mut self, flow: Option<&FlowKey>) {
        let Some(flow) = flow else { return };
        match self.flows.get_mut(flow).map(VecDeque::pop_front) {
            Some(Some(next)) => self.ready.push_back((Some(flow.clone()), next)),
            Some(None) => {
                self.flows.remove(flow);
            }
            None => {}
        }
    }

    /// Ends this flow, whose item that was started failed, and takes out what waits behind that.
    pub(super) fn give_up(&mut self, flow: Option<&FlowKey>) -> VecDeque<T> {
        let behind = flow.and_then(|flow| self.flows.remove(flow));
        let behind = behind.unwrap_or_default();
        self.waiting -= behind.len();
        behind
    }

    /// Takes out the items that wait and are lost, and what waits behind them in their flows.
    pub(super) fn take_lost(&mut self, is_lost: impl Fn(&T) -> bool) -> Vec<T> {
        let mut out = Vec::new();
        for (flow, work) in core::mem::take(&mut self.ready) {
            if is_lost(&work) {
                out.push(work);
                out.extend(
                    flow.and_then(|flow| self.flows.remove(&flow))
                        .into_iter()
                        .flatten(),
                );
            } else {
                self.ready.push_back((flow, work));
            }
        }
        for behind in self.flows.values_mut() {
            if let Some(first) = behind.iter().position(&is_lost) {
                out.extend(behind.drain(first..));
            }
        }
        self.waiting -= out.len();
        out
    }

    /// Takes out everything that waits, in no order.
    pub(super) fn clear(&mut self) -> impl Iterator<Item = T> + use<T> {
        self.waiting = 0;
        let behind = core::mem::take(&mut self.flows).into_values().flatten();
        let ready = core::mem::take(&mut self.ready);
        ready.into_iter().map(|(_, work)| work).chain(behind)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;
    use crate::{Completion, ExecutionId, FlowId, Outcome, Timestamp};

    #[derive(Debug, Clone)]
    enum Step {
        Push(Option<u8>),
        Start,
        /// Ends what was started, at this place of all that is.
        Done(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            proptest::option::of(0..4_u8).prop_map(Step::Push),
            Just(Step::Start),
            any::<usize>().prop_map(Step::Done),
        ]
    }

    proptest! {
        /// The model: a list of everything, each new, started or done.
        #[test]
        fn promise_9_a_flow_has_one_at_a_time_in_order_and_nothing_waits_for_another_flow(
            steps in proptest::collection::vec(step(), 0..200),
        ) {
            let flow = |id: u8| {
                let done = Completion::new(
                    ExecutionId::new("e").unwrap(),
                    Outcome::Success,
                    Timestamp::default(),
                );
                FlowKey::of(&done.with_flow(FlowId::new(id).unwrap())).unwrap()
            };
            let mut queue = FlowQueue::new();
            let mut model: Vec<(Option<u8>, u8)> = Vec::new();
            const NEW: u8 = 0;
            const STARTED: u8 = 1;
            const DONE: u8 = 2;
            for step in steps {
                match step {
                    Step::Push(id) => {
                        queue.push(id.map(flow), model.len());
                        model.push((id, NEW));
                    }
                    Step::Start => {
                        let may = |at: usize| {
                            let (id, state) = model[at];
                            let ahead = &model[..at];
                            state == NEW
                                && (id.is_none() || ahead.iter().all(|(other, state)| *other != id || *state == DONE))
                        };
                        match queue.start() {
                            Some((started, at)) => {
                                prop_assert!(may(at), "{} may not start", at);
                                prop_assert_eq!(started, model[at].0.map(flow));
                                model[at].1 = STARTED;
                            }
                            None => prop_assert!(!(0..model.len()).any(may), "something may start"),
                        }
                    }
                    Step::Done(which) => {
                        let started: Vec<_> =
                            (0..model.len()).filter(|at| model[*at].1 == STARTED).collect();
                        if let Some(at) = started.get(which % started.len().max(1)) {
                            model[*at].1 = DONE;
                            queue.done(model[*at].0.map(flow).as_ref());
                        }
                    }
                }
                let new = model.iter().filter(|(_, state)| *state == NEW).count();
                prop_assert_eq!(queue.len(), new);
            }
            // What is left of flows is what is started or waits.
            for (id, state) in model.iter().filter(|(_, state)| *state == STARTED) {
                prop_assert_eq!(*state, STARTED);
                queue.done(id.map(flow).as_ref());
            }
            let mut left = queue.len();
            while let Some((id, _)) = queue.start() {
                queue.done(id.as_ref());
                left -= 1;
            }
            prop_assert_eq!(left, 0);
            prop_assert!(queue.flows.is_empty(), "flows that are over are forgotten");
        }
    }
}
