//! The executions that were handled lately.

use alloc::collections::VecDeque;

use hashbrown::HashSet;

use crate::ExecutionId;

/// The last `size` executions that this listener handled, the oldest forgotten first.
#[derive(Debug)]
pub(super) struct Window {
    known: HashSet<ExecutionId>,
    order: VecDeque<ExecutionId>,
    size: usize,
}

impl Window {
    pub(super) fn new(size: usize) -> Self {
        Self {
            known: HashSet::new(),
            order: VecDeque::new(),
            size,
        }
    }

    pub(super) fn contains(&self, execution: &ExecutionId) -> bool {
        self.known.contains(execution)
    }

    pub(super) fn insert(&mut self, execution: &ExecutionId) {
        if self.size == 0 || !self.known.insert(execution.clone()) {
            return;
        }
        if self.order.len() == self.size
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.order.push_back(execution.clone());
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The model: a list, of which the last entries count.
        #[test]
        fn promise_9_the_window_knows_the_last_ones_and_no_more(
            ids in proptest::collection::vec(0..20_u8, 0..200),
            size in 0..10_usize,
        ) {
            let name = |id: &u8| ExecutionId::new(format!("{id}")).unwrap();
            let mut window = Window::new(size);
            let mut model: Vec<u8> = Vec::new();
            for id in &ids {
                window.insert(&name(id));
                if !model.contains(id) {
                    model.push(*id);
                    model.drain(..model.len().saturating_sub(size));
                }
                for id in 0..20 {
                    prop_assert_eq!(window.contains(&name(&id)), model.contains(&id));
                }
                prop_assert!(window.known.len() <= size && window.order.len() <= size);
            }
        }
    }
}
