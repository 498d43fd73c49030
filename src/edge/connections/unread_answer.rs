//! Answers to polls that clients do not read: the HTTP connection ends for it, and the session with it.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::{close_reason::CloseReason, connection::Connection, service::Service};

/// The last answer to a poll of an HTTP connection, for as long as that lives. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct PollAnswer(Arc<Mutex<Option<Answer>>>);

struct Answer {
    service: Service,
    connection: Weak<Connection>,
}

impl PollAnswer {
    /// Notes that the last answer is of this connection.
    pub fn note(&self, service: &Service, connection: &Arc<Connection>) {
        let (service, connection) = (service.clone(), Arc::downgrade(connection));
        *self.0.lock() = Some(Answer { service, connection });
    }

    /// Ends the session, as its client does not read the answer.
    pub async fn close_unread(&self) {
        let Some(Answer { service, connection }) = self.0.lock().take() else { return };
        if let Some(connection) = connection.upgrade()
            && let Some(sid) = connection.polling_sid()
            && !connection.is_websocket()
        {
            connection.close.set_reason(CloseReason::WriteTimeout);
            service.end_polling(&connection, sid).await;
        }
    }
}
