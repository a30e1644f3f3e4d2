//! Many nodes at once, in virtual time: the protocol alone, and whole nodes, each over a bus that loses nothing.
//!
//! ```no_run
//! use midplane_conformance::simulation::many::ManyNodes;
//!
//! let mut nodes = ManyNodes::start(100, 1_024);
//! nodes.settle();
//! nodes.publish_each();
//! nodes.run(10);
//! nodes.assert_accounted(); // panics with what neither came nor is told
//! ```

mod clusters;
mod nodes;

use midplane::envelope::NodeId;

pub use clusters::ManyClusters;
pub use nodes::ManyNodes;

/// The id of the node with this number: those of neighbours are far apart.
fn id(number: usize) -> NodeId {
    const ODD: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;
    NodeId((number as u128 + 1).wrapping_mul(ODD).to_be_bytes())
}
