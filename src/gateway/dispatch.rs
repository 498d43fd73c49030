//! Handles events in the order in which a client sent them.
//!
//! Gap: socketioxide spawns a task for each event that is handled by a function, so that handlers of
//! one client overtake each other (most of 5000 events in batches of 10 did). Way round: a handler of
//! our own type is called in the loop that reads the client, one event after another. No upstream issue asks for
//! ordered handlers yet; when there is such an option, this can become an ordinary handler.

use std::sync::Arc;

use metrics::counter;
use socketioxide::{handler::MessageHandler, socket::Socket as IoSocket};
use socketioxide_core::Value;

use super::{
    Event, Refusal, Reply, Socket,
    authentication::{self, AUTHENTICATE},
    codes,
    connect::may_act,
    early::hear_out,
    guarded::{guarded, guarded_later},
    limits,
    member::Member,
    payload::{Malformed, inspect},
    reply::When,
    socket::unsent,
};
use crate::{
    backplane::{Adapter, Bounds, SendError, Source, count_one, encode_ack},
    config::{AuthPolicy, OverLimit},
    edge::unmark,
    telemetry::{
        metrics::EVENTS,
        traces::{self, Span},
    },
};

/// Handles the events of one socket.
pub(super) struct Dispatcher(pub Arc<Member>);

impl MessageHandler<Adapter, Self> for Dispatcher {
    fn call(&self, socket: Arc<IoSocket<Adapter>>, payload: Value, ack: Option<i64>) {
        let Self(member) = self;
        if member.is_dismissed() {
            return;
        }
        hear_out(&socket, member);
        let span = traces::event(&member.namespace.path);
        let _here = span.enter();
        let payload = unmark(payload);
        let io = || Socket { socket: socket.clone(), member: member.clone() };
        // The pace comes before all that costs something.
        let result = match limits::check_pace(member) {
            Ok(()) => match inspect(&payload, Bounds::from(&member.limits)) {
                Ok(head) => {
                    let event = Event { socket: io(), payload: &payload, head };
                    guarded("event", || handle(&event)).flatten()
                }
                Err(malformed) => Err(refuse_malformed(&socket, member, &malformed)),
            },
            Err(refusal) => Err(over_limit(&io(), refusal)),
        };
        finish(&socket, member, ack, result, span);
    }
}

/// The one order in which an event is looked at: limits, packet middleware, authentication, handler, ack.
fn handle(event: &Event<'_>) -> Result<Reply, Refusal> {
    let member = &event.socket.member;
    let namespace = &member.namespace;
    if let Err(refusal) = limits::check(event) {
        return Err(over_limit(&event.socket, refusal));
    }
    for inspect in &namespace.packets {
        inspect(event)?;
    }
    if event.name() == AUTHENTICATE && namespace.policy != AuthPolicy::None {
        return authentication::authenticate(event);
    }
    if !may_act(member) {
        return Err(Refusal::authentication_required());
    }
    member.announce(&event.socket);
    let mut routes = namespace.handlers.iter().enumerate();
    let found = routes.find(|(number, route)| {
        route.pattern.matches(event.name()) && !(route.once && member.has_had(*number))
    });
    let route = found.map(|(_, route)| route);
    if route.is_some_and(|route| route.auth) {
        authentication::verify(&event.socket)?;
    }
    for listen in &namespace.listeners {
        listen(event);
    }
    let no_handler = || Refusal::new(codes::NO_HANDLER, "no handler takes this event");
    let (number, route) = found.ok_or_else(no_handler)?;
    if route.once {
        member.has(number);
    }
    (route.handle)(event)
}

/// A socket is over a limit of its events: it may have to go.
fn over_limit(socket: &Socket, refusal: Refusal) -> Refusal {
    if socket.member.limits.over == OverLimit::Disconnect {
        socket.member.tell("error", &refusal.body());
        socket.member.dismiss();
    }
    refusal
}

/// No rule allows an event.
pub(super) fn event_denied() -> Refusal {
    Refusal::new(codes::EVENT_DENIED, "no rule allows this event")
}

/// A stock client never sends such a packet: as on Node, it ends there. What it may send, and not all clients could be
/// given, is refused alone.
fn refuse_malformed(
    socket: &Arc<IoSocket<Adapter>>,
    member: &Member,
    malformed: &Malformed,
) -> Refusal {
    if let Malformed::Unportable(_) = malformed {
        return Refusal::new(codes::BAD_ARGUMENTS, malformed.to_string());
    }
    tracing::debug!(socket = %socket.id, error = %malformed, "malformed event: disconnecting");
    // What it sent right behind is not handled, as on Node.
    member.dismiss();
    let _ = socket.clone().disconnect();
    Refusal::new(codes::BAD_EVENT, malformed.to_string())
}

fn finish(
    socket: &Arc<IoSocket<Adapter>>,
    member: &Arc<Member>,
    ack: Option<i64>,
    result: Result<Reply, Refusal>,
    span: Span,
) {
    match result {
        Ok(Reply(When::Now(values))) => answer(member, ack, Ok(values), &span),
        Ok(reply) => {
            let Some(begun) = member.begin_pending() else {
                let most = member.limits.acks_pending;
                let message = format!("{most} events wait for their answers");
                let refusal = Refusal::new(codes::TOO_MANY_PENDING, message);
                let io = Socket { socket: socket.clone(), member: member.clone() };
                return answer(member, ack, Err(over_limit(&io, refusal)), &span);
            };
            let member = member.clone();
            let pending = ack.is_some().then(|| member.connection.await_ack());
            let of_hook = matches!(reply.0, When::Hook(_));
            tokio::spawn(span.scope().within(async move {
                let result = guarded_later("event", reply.values()).await.flatten();
                if of_hook && ack.is_some() && matches!(result, Ok(Some(_))) {
                    count_one(Source::Hook);
                }
                answer(&member, ack, result, &span);
                drop((pending, begun));
            }));
        }
        Err(refusal) => answer(member, ack, Err(refusal), &span),
    }
}

fn answer(
    member: &Arc<Member>,
    ack: Option<i64>,
    result: Result<Option<Value>, Refusal>,
    span: &Span,
) {
    let refused = match result {
        Ok(values) => match values.map_or(Ok(()), |values| acknowledge(member, ack, values)) {
            Ok(()) => {
                member.handled.increment(1);
                None
            }
            Err(refusal) => Some(refusal),
        },
        Err(refusal) => Some(refusal),
    };
    if let Some(refusal) = refused {
        let (code, acked) = (refusal.label(), refusal.is_acked());
        span.failed(code);
        let path = member.namespace.path.clone();
        tracing::debug!(namespace = path, code, acked, "event refused");
        counter!(EVENTS.name, "nsp" => path, "result" => code).increment(1);
        // An ack would be the end of it for a client with `retries`, which sends again what is not acked.
        if acked && let Ok(body) = encode_ack(&refusal.body()) {
            let _ = acknowledge(member, ack, body);
        }
    }
    // After the answer: the stock client reads none once it is out.
    member.go_if_dismissed();
}

/// Sends an ack, if there is one to send. What not every client could be given is refused.
fn acknowledge(member: &Arc<Member>, ack: Option<i64>, values: Value) -> Result<(), Refusal> {
    // One that has gone hears nothing.
    let (Some(ack), Some(socket)) = (ack, member.socket()) else { return Ok(()) };
    let sent = member.backplane.acknowledge(socket.namespace(), member.id, ack, values);
    let Err(error) = sent.inspect_err(|error| unsent(member, error)) else { return Ok(()) };
    match error {
        SendError::Encode(error) => Err(Refusal::new(codes::BAD_ARGUMENTS, error.to_string())),
        SendError::Socket(error) => {
            tracing::debug!(%error, "the ack cannot be sent");
            Ok(())
        }
    }
}
