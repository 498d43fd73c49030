//! Children of dynamic namespaces, which come and go: which names they may have, and how they end.

use super::{Joined, namespaces::Namespaces};

/// The children of dynamic namespaces.
#[derive(Clone, Copy)]
pub struct ChildNames<'a>(pub(super) &'a Namespaces);

impl ChildNames<'_> {
    /// Which names they may have: what is for one of them goes to the other pods also where nobody of this pod is in it.
    pub fn may_be(self, may_be: impl Fn(&str) -> bool + Send + Sync + 'static) {
        self.0.may_be(Box::new(may_be));
    }

    /// Whether a name may be that of a child.
    pub fn contain(self, namespace: &str) -> bool {
        self.0.comes_and_goes(namespace)
    }

    /// Takes one out, if nobody is in it; `end` takes it out of socketioxide.
    pub fn remove(self, namespace: &str, end: impl FnOnce()) -> bool {
        self.0.remove(namespace, end)
    }

    /// Tells when other servers are heard in all namespaces of now.
    pub fn heard(self) -> Joined {
        self.0.shared.namespaces_changed()
    }
}
