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
    limits::{check_rate, check_size},
    wait_connected::wait_connected,
};
use crate::{
    backplane::{Adapter, Bounds, SendError, Source, count_one, encode_ack},
    config::{AuthPolicy, OverLimit},
    edge::unmark,
    gateway::{
        authentication::{
            authenticate_event::{AUTHENTICATE, authenticate},
            identify::verify,
            policy::may_act,
        },
        events::{
            event::Event,
            parser::{EventError, parse_event},
        },
        namespaces::active_socket::ActiveSocket,
        replies::{
            catch_panic::{catch_panic, catch_panic_async},
            refusal::{Refusal, codes},
            reply::{Reply, ReplyState},
        },
        sockets::{socket::Socket, state::on_send_error},
    },
    tasks,
    telemetry::{
        metrics::EVENTS,
        traces::{self, Span},
    },
};

/// Handles the events of one socket.
pub(in crate::gateway) struct Dispatcher(pub Arc<ActiveSocket>);

impl MessageHandler<Adapter, Self> for Dispatcher {
    fn call(&self, socket: Arc<IoSocket<Adapter>>, payload: Value, ack: Option<i64>) {
        let Self(active) = self;
        // Called in the loop that reads the client, which must go on.
        if tasks::attempt("event", || handle_packet(active, &socket, payload, ack)).is_none() {
            tasks::piece("event", || answer_panicked(active, ack));
        }
    }
}

fn handle_packet(
    active: &Arc<ActiveSocket>,
    socket: &Arc<IoSocket<Adapter>>,
    payload: Value,
    ack: Option<i64>,
) {
    if active.dismissal.is_dismissed() {
        return;
    }
    wait_connected(socket, &active.progress);
    let context = &active.runtime.context;
    let span = traces::event(&context.label);
    let _entered = span.enter();
    let payload = unmark(payload);
    // The rate limit comes before everything that costs more.
    let result = match check_rate(active.event_rate.as_deref(), &context.limits) {
        Ok(()) => match parse_event(&payload, Bounds::from(&context.limits)) {
            Ok(head) => {
                let socket = Socket { io: socket.clone(), state: active.state.clone() };
                let event = Event { socket, payload: &payload, head };
                catch_panic("event", || handle(active, &event)).flatten()
            }
            Err(error) => Err(refuse_malformed(socket, active, &error)),
        },
        Err(refusal) => Err(over_limit(active, refusal)),
    };
    finish(active, ack, result, span);
}

/// Answers an event that could not be handled for a bug of ours.
fn answer_panicked(active: &Arc<ActiveSocket>, ack: Option<i64>) {
    answer(active, ack, Err(Refusal::internal_error()), &Span::default());
}

/// Handles an event. The order is always: limits, packet middleware, authentication, handler, ack.
fn handle(active: &Arc<ActiveSocket>, event: &Event<'_>) -> Result<Reply, Refusal> {
    let runtime = &active.runtime;
    let namespace = &runtime.namespace;
    if let Err(refusal) = check_size(event, &runtime.context.limits) {
        return Err(over_limit(active, refusal));
    }
    for inspect in &namespace.packets {
        inspect(event)?;
    }
    if event.name() == AUTHENTICATE && namespace.policy != AuthPolicy::None {
        return authenticate(active, event);
    }
    if !may_act(active) {
        return Err(Refusal::authentication_required());
    }
    active.announce(&event.socket);
    let mut routes = namespace.handlers.iter().enumerate();
    let found = routes.find(|(number, route)| {
        route.pattern.matches(event.name()) && !(route.once && active.used_once.contains(*number))
    });
    if found.is_some_and(|(_, route)| route.auth) {
        verify(runtime, &active.state)?;
    }
    for listen in &namespace.listeners {
        listen(event);
    }
    let no_handler = || Refusal::new(codes::NO_HANDLER, "no handler takes this event");
    let (number, route) = found.ok_or_else(no_handler)?;
    if route.once {
        active.used_once.insert(number);
    }
    (route.handle)(event)
}

/// A socket has exceeded a limit of its events. The setting `limits.over` says whether it is disconnected for that.
fn over_limit(active: &ActiveSocket, refusal: Refusal) -> Refusal {
    if active.runtime.context.limits.over == OverLimit::Disconnect {
        active.emit("error", &refusal.body());
        active.dismissal.dismiss();
    }
    refusal
}

/// Refuses an event that other clients could not read. A stock client never sends a malformed packet: as on Node, such a client
/// is disconnected. It may send arguments that not every client could be given: only the event is refused then.
fn refuse_malformed(
    socket: &Arc<IoSocket<Adapter>>,
    active: &ActiveSocket,
    error: &EventError,
) -> Refusal {
    if let EventError::Unportable(_) = error {
        return Refusal::new(codes::BAD_ARGUMENTS, error.to_string());
    }
    tracing::debug!(socket = %socket.id, %error, "malformed event: disconnecting");
    // What it sent right behind is not handled, as on Node.
    active.dismissal.dismiss();
    let _ = socket.clone().disconnect();
    Refusal::new(codes::BAD_EVENT, error.to_string())
}

/// Answers an event with the result of its handler, when that is there.
fn finish(
    active: &Arc<ActiveSocket>,
    ack: Option<i64>,
    result: Result<Reply, Refusal>,
    span: Span,
) {
    match result {
        Ok(Reply(ReplyState::Ready(values))) => answer(active, ack, Ok(values), &span),
        Ok(reply) => {
            let Some(pending) = active.begin_reply() else {
                let most = active.runtime.context.limits.acks_pending;
                let message = format!("{most} events wait for their answers");
                let refusal = Refusal::new(codes::TOO_MANY_PENDING, message);
                return answer(active, ack, Err(over_limit(active, refusal)), &span);
            };
            let active = active.clone();
            let pending_ack = ack.is_some().then(|| active.state.connection.await_ack());
            let of_hook = matches!(reply.0, ReplyState::Hook(_));
            let (unanswered, held) = (active.clone(), (pending_ack, pending));
            let handled = span.scope().within(async move {
                let result = catch_panic_async("event", reply.values()).await.flatten();
                if of_hook && ack.is_some() && matches!(result, Ok(Some(_))) {
                    count_one(Source::Hook);
                }
                answer(&active, ack, result, &span);
                drop(held);
            });
            tasks::spawn_or("event", handled, async move { answer_panicked(&unanswered, ack) });
        }
        Err(refusal) => answer(active, ack, Err(refusal), &span),
    }
}

fn answer(
    active: &Arc<ActiveSocket>,
    ack: Option<i64>,
    result: Result<Option<Value>, Refusal>,
    span: &Span,
) {
    let refused = match result {
        Ok(values) => match values.map_or(Ok(()), |values| acknowledge(active, ack, values)) {
            Ok(()) => {
                active.runtime.handled.increment(1);
                None
            }
            Err(refusal) => Some(refusal),
        },
        Err(refusal) => Some(refusal),
    };
    if let Some(refusal) = refused {
        let (code, acked) = (refusal.label(), refusal.is_acked());
        span.failed(code);
        let path = active.runtime.context.label.clone();
        tracing::debug!(namespace = path, code, acked, "event refused");
        counter!(EVENTS.name, "nsp" => path, "result" => code).increment(1);
        // An ack would be the end of it for a client with `retries`, which sends again what is not acked.
        if acked && let Ok(body) = encode_ack(&refusal.body()) {
            let _ = acknowledge(active, ack, body);
        }
    }
    // After the answer: a stock client reads no ack once its socket is disconnected.
    active.disconnect_if_dismissed();
}

/// Sends an ack, if there is one to send. What not every client could be given is refused.
fn acknowledge(active: &Arc<ActiveSocket>, ack: Option<i64>, values: Value) -> Result<(), Refusal> {
    // A client that has gone gets no ack.
    let (Some(ack), Some(_)) = (ack, active.socket()) else { return Ok(()) };
    let state = &active.state;
    let sent = state.handle.acknowledge(ack, values);
    let Err(error) = sent.inspect_err(|error| on_send_error(state, error)) else { return Ok(()) };
    match error {
        SendError::Encode(error) => Err(Refusal::new(codes::BAD_ARGUMENTS, error.to_string())),
        SendError::Socket(error) => {
            tracing::debug!(%error, "the ack cannot be sent");
            Ok(())
        }
    }
}
