//! The filter of a listener.

use crate::{Completion, Namespace, Tag};

/// Which completions a listener wants: of one namespace, with one tag, of both, or all.
///
/// Namespace and tag are compared exactly, and both must match. A completion without a namespace or a tag never
/// matches a filter that asks for one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Filter {
    namespace: Option<Namespace>,
    tag: Option<Tag>,
}

impl Filter {
    /// The filter that lets everything through, which costs nothing.
    #[must_use]
    pub const fn all() -> Self {
        Self {
            namespace: None,
            tag: None,
        }
    }

    /// Lets only completions of this namespace through.
    #[must_use]
    pub fn with_namespace(mut self, namespace: Namespace) -> Self {
        self.namespace = Some(namespace);
        self
    }

    /// Lets only completions with this tag through.
    #[must_use]
    pub fn with_tag(mut self, tag: Tag) -> Self {
        self.tag = Some(tag);
        self
    }

    /// The namespace that the filter asks for.
    #[must_use]
    pub fn namespace(&self) -> Option<&Namespace> {
        self.namespace.as_ref()
    }

    /// The tag that the filter asks for.
    #[must_use]
    pub fn tag(&self) -> Option<&Tag> {
        self.tag.as_ref()
    }

    /// Whether the filter lets everything through.
    #[must_use]
    pub const fn is_all(&self) -> bool {
        self.namespace.is_none() && self.tag.is_none()
    }

    /// Whether the filter lets the completion through.
    #[must_use]
    pub fn matches(&self, completion: &Completion) -> bool {
        self.is_all()
            || (asked(&self.namespace, &completion.namespace) && asked(&self.tag, &completion.tag))
    }
}

fn asked<T: PartialEq>(wanted: &Option<T>, found: &Option<T>) -> bool {
    wanted.is_none() || wanted == found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ExecutionId, Outcome, Timestamp};

    /// Every filter against every completion over the values none, "a", "ab" and "A".
    #[test]
    fn promise_9_a_filter_is_exact_and_a_missing_value_never_matches() {
        const VALUES: [Option<&str>; 4] = [None, Some("a"), Some("ab"), Some("A")];

        let every = || {
            VALUES
                .iter()
                .flat_map(|first| VALUES.iter().map(move |second| (*first, *second)))
        };
        for (namespace, tag) in every() {
            let filter = Filter {
                namespace: namespace.map(|text| Namespace::new(text).unwrap()),
                tag: tag.map(|text| Tag::new(text).unwrap()),
            };
            for found in every() {
                let mut completion = Completion::new(
                    ExecutionId::new("e").unwrap(),
                    Outcome::Success,
                    Timestamp::default(),
                );
                completion.namespace = found.0.map(|text| Namespace::new(text).unwrap());
                completion.tag = found.1.map(|text| Tag::new(text).unwrap());
                let expected = match (namespace, tag) {
                    (None, None) => true,
                    (Some(_), None) => found.0 == namespace,
                    (None, Some(_)) => found.1 == tag,
                    (Some(_), Some(_)) => found == (namespace, tag),
                };
                assert_eq!(
                    filter.matches(&completion),
                    expected,
                    "{filter:?} {found:?}"
                );
            }
        }
    }
}
