//! A name for this start of this process.

use midplane_core::envelope::NodeId;

/// Sixteen bytes from the operating system's source of randomness: what a
/// [`Cluster`](crate::Cluster) wants for every start.
///
/// # Errors
/// When the operating system has none to give.
pub fn fresh_node_id() -> std::io::Result<NodeId> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(std::io::Error::from)?;
    Ok(NodeId(id))
}
