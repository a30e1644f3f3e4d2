//! Whether a node signs its frames, and which of others it takes.

use super::keys::Keys;

/// Whether a node signs its frames, and which frames of others it takes. All nodes of a cluster are brought to it in two
/// steps: first every node [signs](Self::sign), then every node [requires](Self::require) it.
#[derive(Debug, Clone)]
pub struct Signing {
    keys: Keys,
    required: bool,
}

impl Signing {
    /// The node signs what it sends. A frame whose signature is wrong is dropped; one that has none, or one by a key that
    /// is not known here, is taken: it proves nothing, and who can write to the bus is trusted as before.
    #[must_use]
    pub const fn sign(keys: Keys) -> Self {
        let required = false;
        Self { keys, required }
    }

    /// The node signs what it sends, and drops every frame that no known key signed. [`Lane::JSON`](super::Lane::JSON) is
    /// closed, for what comes on it is not signed.
    #[must_use]
    pub const fn require(keys: Keys) -> Self {
        let required = true;
        Self { keys, required }
    }

    /// The keys.
    #[must_use]
    pub const fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Whether every frame that no known key signed is dropped.
    #[must_use]
    pub const fn is_required(&self) -> bool {
        self.required
    }
}
