//! Limits that refuse nobody, and so have no counter of refusals: how often each was reached, and how near some are.

use metrics::{counter, gauge};

use super::metrics::{LIMIT_USED, LIMITS_REACHED};

/// A limit over which something is done in another way, and nobody is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// The name of an event does not end in what is looked at of its frame.
    EventName,
    /// A client asks to be let in more namespaces at once than are waited for.
    NamespacesAtOnce,
    /// A WebSocket that its session has no use for did not go in time.
    WebsocketFarewell,
    /// As many large answers to polls are being compressed as there are processors.
    HttpCompression,
    /// The answers of clients to one emit are larger than is kept.
    ClientAnswers,
    /// Answers are forgotten before their idempotency keys end.
    IdempotencyNotes,
}

impl Reached {
    /// Counts it.
    pub fn count(self) {
        counter!(LIMITS_REACHED.name, "limit" => self.name()).increment(1);
    }

    fn name(self) -> &'static str {
        match self {
            Self::EventName => "event name",
            Self::NamespacesAtOnce => "namespaces at once",
            Self::WebsocketFarewell => "websocket farewell",
            Self::HttpCompression => "http compression",
            Self::ClientAnswers => "client answers",
            Self::IdempotencyNotes => "idempotency notes",
        }
    }
}

/// A total of the pod, by the setting that limits it where there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Total {
    /// Connections.
    Connections,
    /// Memory.
    Memory,
    /// Connections that the kernel has made, and that are not accepted.
    Backlog,
    /// What is kept for idempotency keys, without Redis.
    IdempotencyNotes,
}

impl Total {
    /// Shows how much of it is in use: 1 is all. Without a limit it is 0.
    pub fn uses(self, used: f64, limit: f64) {
        let share = if limit > 0.0 { used / limit } else { 0.0 };
        gauge!(LIMIT_USED.name, "limit" => self.name()).set(share);
    }

    fn name(self) -> &'static str {
        match self {
            Self::Connections => "admission.max_connections",
            Self::Memory => "limits.memory",
            Self::Backlog => "public.backlog",
            Self::IdempotencyNotes => "idempotency notes",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_has_a_series_from_the_start() {
        use Reached::*;
        let mut reached = [
            EventName,
            NamespacesAtOnce,
            WebsocketFarewell,
            HttpCompression,
            ClientAnswers,
            IdempotencyNotes,
        ]
        .map(Reached::name);
        reached.sort_unstable();
        assert_eq!(reached.as_slice(), LIMITS_REACHED.values_of("limit"));
        let totals = [Total::Connections, Total::Memory, Total::Backlog, Total::IdempotencyNotes];
        let mut totals = totals.map(Total::name);
        totals.sort_unstable();
        assert_eq!(totals.as_slice(), LIMIT_USED.values_of("limit"));
    }
}
