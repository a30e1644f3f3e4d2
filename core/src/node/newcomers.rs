//! The nodes that nothing proves yet, in the order in which they give way to others.

use alloc::collections::{BTreeMap, BTreeSet};

use crate::node_id::NodeId;

/// Names that were heard once, and those that were heard again or named by a member, each in the order in which they came. Where
/// there is no room the class that is larger gives way: names that are made up for one frame each take half of the room at
/// most from those that go on to speak, and these, which may be made up as well, as much from those that have just come.
#[derive(Debug, Default)]
pub(super) struct Newcomers {
    places: BTreeMap<NodeId, (Class, u64)>,
    once: BTreeSet<(u64, NodeId)>,
    again: BTreeSet<(u64, NodeId)>,
    last: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Once,
    Again,
}

impl Newcomers {
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// A node came for the first time.
    pub(super) fn came(&mut self, id: NodeId) {
        self.put(id, Class::Once);
    }

    /// A newcomer was heard again, or is named by a member.
    pub(super) fn came_again(&mut self, id: NodeId) {
        let place = self.places.get(&id);
        if place.is_some_and(|(class, _)| *class == Class::Once) {
            self.put(id, Class::Again);
        }
    }

    /// The node is no newcomer any more.
    pub(super) fn remove(&mut self, id: NodeId) {
        if let Some((class, number)) = self.places.remove(&id) {
            self.class(class).remove(&(number, id));
        }
    }

    /// The one that gives way to another.
    pub(super) fn first(&self) -> Option<NodeId> {
        let larger = match self.once.len() < self.again.len() {
            true => &self.again,
            false => &self.once,
        };
        larger.first().map(|(_, id)| *id)
    }

    fn put(&mut self, id: NodeId, class: Class) {
        self.remove(id);
        self.last += 1;
        let number = self.last;
        self.places.insert(id, (class, number));
        self.class(class).insert((number, id));
    }

    fn class(&mut self, class: Class) -> &mut BTreeSet<(u64, NodeId)> {
        match class {
            Class::Once => &mut self.once,
            Class::Again => &mut self.again,
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn id(node: u8) -> NodeId {
        NodeId([node; 16])
    }

    /// Makes room this number of times. Gives who gave way.
    fn give_way(newcomers: &mut Newcomers, times: usize) -> Vec<NodeId> {
        let first = |_| {
            let id = newcomers.first().expect("a newcomer");
            newcomers.remove(id);
            id
        };
        (0..times).map(first).collect()
    }

    #[test]
    fn the_larger_class_gives_way_and_of_it_who_came_first() {
        let mut newcomers = Newcomers::default();
        (1..=5).rev().for_each(|node| newcomers.came(id(node)));
        // They were heard a third time as well.
        for node in [4, 5, 4, 9] {
            newcomers.came_again(id(node));
        }
        assert_eq!(newcomers.len(), 5);
        assert_eq!(give_way(&mut newcomers, 5), [3, 2, 4, 1, 5].map(id));
        assert_eq!((newcomers.len(), newcomers.first()), (0, None));
    }

    #[test]
    fn neither_names_of_one_frame_nor_those_that_speak_on_take_all_room() {
        for class in [Class::Once, Class::Again] {
            let mut newcomers = Newcomers::default();
            for node in 0..8 {
                newcomers.put(id(node), Class::Once);
                newcomers.put(id(node + 8), Class::Again);
            }
            for node in 16..=255 {
                give_way(&mut newcomers, 1);
                newcomers.put(id(node), class);
            }
            let others = match class {
                Class::Once => &newcomers.again,
                Class::Again => &newcomers.once,
            };
            assert!(others.len() >= 7, "{class:?}: {} are left", others.len());
        }
    }
}
