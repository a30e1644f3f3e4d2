//! The members that a node does not hear, said in front of each of its heartbeats.

use alloc::vec::Vec;

use super::field::append;
use super::parts::Reader;
use crate::node_id::NodeId;

/// The most nodes of each list.
pub const MAX_CONTACT: usize = 8;

const READY: u8 = 1;
const MORE: u8 = 2;
const BLAMED: u8 = 4;

/// The members that a node does not hear, and how it stands itself. What later releases say behind this is skipped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contact {
    /// Whether the node is ready for new clients.
    pub ready: bool,
    /// Whether the node knows that it misses a member that lives, or that most of the others do not hear it.
    pub blamed: bool,
    /// How many members and the node hear each other.
    pub rank: u32,
    /// Members that it does not hear any more, at most [`MAX_CONTACT`], and whether there are more.
    pub lost: Vec<NodeId>,
    /// Whether there are more of them.
    pub more_lost: bool,
    /// Members that it would like to hear soon, at most [`MAX_CONTACT`].
    pub asks: Vec<NodeId>,
}

impl Contact {
    pub(super) fn append(&self, bytes: &mut Vec<u8>) {
        let flags = u8::from(self.ready) * READY + u8::from(self.more_lost) * MORE;
        let flags = flags + u8::from(self.blamed) * BLAMED;
        append(bytes, &(flags, self.rank));
        for nodes in [&self.lost, &self.asks] {
            append(bytes, nodes);
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let (flags, rank): (u8, u32) = reader.take()?;
        let contact = Self {
            ready: flags & READY > 0,
            blamed: flags & BLAMED > 0,
            rank,
            lost: reader.list(MAX_CONTACT, Reader::take)?,
            more_lost: flags & MORE > 0,
            asks: reader.list(MAX_CONTACT, Reader::take)?,
        };
        reader.skip();
        Some(contact)
    }
}
