//! Which traces are recorded. It is decided before there is a span: what nobody wants costs next to nothing.

use opentelemetry::trace::TraceId;

use super::Trace;

/// Which traces are recorded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampler {
    /// Those that begin here; without `parent_based`, all.
    pub rule: Rule,
    /// Those that began elsewhere as it was decided there.
    pub parent_based: bool,
}

/// A rule for traces on their own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// All.
    Always,
    /// None.
    Never,
    /// This share, chosen by the id of the trace, so that all that see it choose the same.
    Share(f64),
}

impl Rule {
    fn takes(self, id: TraceId) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Share(share) => {
                let [.., a, b, c, d, e, f, g, h] = id.to_bytes();
                let low = u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 1;
                // As all SDKs of OpenTelemetry compute it. A share of 1 is all.
                share >= 1.0 || low < (share * (1_u64 << 63) as f64) as u64
            }
        }
    }
}

impl Sampler {
    /// Whether something that this trace has caused is recorded.
    pub fn takes_child(&self, parent: &Trace) -> bool {
        self.takes_child_of(parent.is_sampled(), parent.id())
    }

    pub(super) fn takes_child_of(&self, sampled: bool, id: TraceId) -> bool {
        if self.parent_based { sampled } else { self.rule.takes(id) }
    }

    /// The id of a trace that begins now and is recorded; nothing if it is not.
    pub fn root(&self) -> Option<TraceId> {
        if self.rule == Rule::Never {
            return None;
        }
        // 0 is no id.
        let id = TraceId::from(fastrand::u128(1..));
        self.rule.takes(id).then_some(id)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn trace(flags: &str) -> Trace {
        let id = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331";
        Trace::read(&format!("00-{id}-{flags}"), None).unwrap()
    }

    #[test]
    fn the_parent_decides_where_it_may() {
        let by_parent = Sampler { rule: Rule::Never, parent_based: true };
        assert!(by_parent.takes_child(&trace("01")) && !by_parent.takes_child(&trace("00")));
        assert_eq!(by_parent.root(), None);
        let always = Sampler { rule: Rule::Always, parent_based: false };
        assert!(always.takes_child(&trace("00")));
        let never = Sampler { rule: Rule::Never, parent_based: false };
        assert!(!never.takes_child(&trace("01")));
    }

    #[test]
    fn a_share_is_a_share() {
        let roots = |share| {
            let sampler = Sampler { rule: Rule::Share(share), parent_based: true };
            (0..10_000).filter(|_| sampler.root().is_some()).count()
        };
        assert_eq!((roots(0.0), roots(1.0)), (0, 10_000));
        assert!((800..1200).contains(&roots(0.1)));
    }
}
