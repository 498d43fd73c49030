//! What the gateway knows of a socket.

use std::{
    cell::Cell,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use metrics::{Counter, gauge};
use parking_lot::{Mutex, Once};
use serde_json::{Value, json};
use socketioxide::socket::Socket as IoSocket;
use socketioxide_core::{Sid, Value as Payload};

use super::{
    Children, Claims, Namespace, Socket, Tokens, connect,
    deadlines::{Deadline, Deadlines},
    decide::{Act, Who},
    guarded::guarded,
    limits::Pace,
    outgoing::Outgoing,
};
use crate::{
    backplane::{Adapter, Backplane, Occupant, Watch},
    config::{Limits, Secret},
    edge::{InNamespace, Sessions},
    telemetry::metrics::SOCKETS,
};

/// Time between the last words to a socket and its end. An event that comes when the socket is no longer there ends
/// the whole connection, as on Node; there, the client is still told before. What a client sent in the same breath is
/// read in this time, and passed over.
const LAST_WORDS: Duration = Duration::from_millis(50);

/// What is shared by the sockets of one namespace.
pub(super) struct Runtime {
    /// Its name; `namespace.path` is the same, or for the child of a dynamic namespace that of its parent.
    pub path: String,
    pub namespace: Arc<Namespace>,
    /// The children that it is one of.
    pub children: Option<Children>,
    pub backplane: Backplane,
    pub limits: Limits,
    /// Where the connections of sockets are.
    pub sessions: Arc<Sessions>,
    /// Events that were handled, looked up once: it is on the way of every message.
    pub handled: Counter,
    pub tokens: Option<Tokens>,
    /// When sockets must have authenticated, or again.
    pub deadlines: Deadlines,
    /// Whether the log says already that a socket was not put in all of its rooms.
    pub rooms_left_out: AtomicBool,
}

/// What the gateway knows of a socket. The socket's handlers hold it, and it dies with them.
pub(super) struct Member {
    pub runtime: Arc<Runtime>,
    pub connection: InNamespace,
    pub id: Sid,
    /// The socket that this belongs to.
    socket: Weak<IoSocket<Adapter>>,
    /// Itself.
    this: Weak<Member>,
    /// What only some sockets have.
    state: Mutex<Option<Box<State>>>,
    /// How fast it may send, if that is limited.
    pub pace: Option<Box<Pace>>,
    /// Events that wait for their answers.
    pending: AtomicU32,
    /// Whether it was seen to be connected.
    connected: AtomicBool,
    /// Whether all that letting it in takes is done.
    let_in: AtomicBool,
    /// Whether it has been announced to the program, or never will be.
    announced: Once,
    /// Whether a token that it showed is being checked.
    authenticating: AtomicBool,
    /// Whether it is to go once its event is answered: nothing that it sends counts any longer.
    dismissed: AtomicBool,
    /// Whether it is about to be put out.
    going: AtomicBool,
    /// Whether the backplane has forgotten it.
    departed: AtomicBool,
}

/// What only some sockets have. It is a box in the member: most sockets are idle, and many have none of it.
#[derive(Default)]
struct State {
    identity: Option<Arc<Identity>>,
    /// When it must have authenticated, or again.
    deadline: Option<Deadline>,
    /// What handlers noted of it.
    noted: Value,
    /// What its client sent in `auth`, where that is kept.
    auth: Value,
    /// The numbers of the handlers that it may have once, and has had.
    had: Vec<usize>,
    /// The id that its client had before, by its own word.
    previous: Option<String>,
    /// Whether its connection moved to a WebSocket before it was announced.
    upgraded: bool,
    /// Rooms that it gets once it has authenticated.
    owed: Vec<String>,
    /// Rooms of which a hook is being asked whether it may join them, each with the number of its question.
    asked: Vec<(u64, String)>,
    /// The number of the next question.
    question: u64,
    /// How fast it may ask who is in a room, once it has asked.
    questions: Option<Option<Box<Pace>>>,
}

/// Who a client is.
pub(super) struct Identity {
    pub claims: Claims,
    /// Whether it showed that: by a token, or to what says who clients are. Else it was given claims as a guest.
    pub shown: bool,
    /// Its token, where that is checked again.
    pub token: Option<Secret>,
    /// When it is no longer who it was.
    pub until: Option<Instant>,
}

impl Identity {
    /// Somebody with claims that end with nothing.
    pub fn without_token(claims: Claims, shown: bool) -> Self {
        Self { claims, shown, token: None, until: None }
    }
}

impl std::ops::Deref for Member {
    type Target = Runtime;

    fn deref(&self) -> &Runtime {
        &self.runtime
    }
}

impl Member {
    /// A socket that is about to be let in.
    pub fn new(
        runtime: &Arc<Runtime>,
        socket: &Arc<IoSocket<Adapter>>,
        connection: InNamespace,
    ) -> Arc<Self> {
        gauge!(SOCKETS.name, "nsp" => runtime.namespace.path.clone()).increment(1);
        Arc::new_cyclic(|this| Self {
            runtime: runtime.clone(),
            connection,
            id: socket.id,
            socket: Arc::downgrade(socket),
            this: this.clone(),
            state: Mutex::new(None),
            pace: Pace::new(&runtime.limits).map(Box::new),
            pending: AtomicU32::new(0),
            connected: AtomicBool::new(false),
            let_in: AtomicBool::new(false),
            announced: Once::new(),
            authenticating: AtomicBool::new(false),
            dismissed: AtomicBool::new(false),
            going: AtomicBool::new(false),
            departed: AtomicBool::new(false),
        })
    }

    /// Itself, as the backplane knows it.
    pub fn occupant(&self) -> Weak<dyn Occupant> {
        self.this.clone()
    }

    /// The socket, as handlers see it; nothing once it has gone.
    pub fn socket(&self) -> Option<Socket> {
        Some(Socket { socket: self.socket.upgrade()?, member: self.this.upgrade()? })
    }

    /// The backplane need not know it any longer.
    pub fn depart(&self) {
        // Once: the last of it may be dropped while its namespace is taken away.
        if self.departed.swap(true, Ordering::AcqRel) {
            return;
        }
        self.deadlines.forget(self);
        self.backplane.depart(&self.path, self.id, &self.occupant());
        if let Some(children) = &self.children {
            children.left(&self.path);
        }
    }

    /// Looks at its state; what it lacks is as it would be at first.
    fn read<T>(&self, read: impl FnOnce(&State) -> T) -> Option<T> {
        self.state.lock().as_deref().map(read)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(self.state.lock().get_or_insert_default())
    }

    /// Who it is.
    pub fn identity(&self) -> Option<Arc<Identity>> {
        self.read(|state| state.identity.clone()).flatten()
    }

    /// Who it showed to be.
    pub fn shown(&self) -> Option<Arc<Identity>> {
        self.identity().filter(|identity| identity.shown)
    }

    /// Whether it showed who it is.
    pub fn is_authenticated(&self) -> bool {
        self.shown().is_some()
    }

    /// Asks something with who it is now.
    pub fn as_who<T>(&self, ask: impl FnOnce(Who<'_>) -> T) -> T {
        let identity = self.identity();
        ask(Who {
            claims: identity.as_deref().map(|identity| &identity.claims),
            authenticated: identity.as_deref().is_some_and(|identity| identity.shown),
            ids: &self.backplane,
        })
    }

    /// Whether it may ask now who is in a room, as often as it does.
    pub fn may_question(&self) -> bool {
        let limits = &self.limits;
        let pace = || Pace::of(limits.presence_per_second, 0).map(Box::new);
        self.change(|state| {
            state.questions.get_or_insert_with(pace).as_ref().is_none_or(|pace| pace.allows())
        })
    }

    /// It is this, or nobody any longer.
    pub fn identify(&self, identity: Option<Arc<Identity>>) {
        if identity.is_some() || self.identity().is_some() {
            self.change(|state| state.identity = identity);
        }
    }

    /// Its deadline.
    pub fn deadline(&self) -> Option<Deadline> {
        self.read(|state| state.deadline).flatten()
    }

    /// Notes its deadline, and gives the one before.
    pub fn exchange_deadline(&self, deadline: Option<Deadline>) -> Option<Deadline> {
        let before = self.deadline();
        if deadline != before {
            self.change(|state| state.deadline = deadline);
        }
        before
    }

    /// What its client sent in `auth`, if it was kept.
    pub fn auth(&self) -> Value {
        self.read(|state| state.auth.clone()).unwrap_or_default()
    }

    /// Keeps that.
    pub fn keep_auth(&self, auth: Value) {
        if !auth.is_null() {
            self.change(|state| state.auth = auth);
        }
    }

    /// Notes the id that its client had before.
    pub fn came_from(&self, previous: String) {
        self.change(|state| state.previous = Some(previous));
    }

    /// Announces it to the program, once, before its first event is handled.
    pub fn announce(&self, socket: &Socket) {
        let mut now = false;
        self.announced.call_once(|| {
            now = true;
            let namespace = &self.namespace;
            let previous = self.read(|state| state.previous.is_some()).unwrap_or_default();
            let previous = previous.then(|| self.change(|state| state.previous.take())).flatten();
            // A panic here must not poison the flag: every later event would panic too.
            let _ = guarded("on_connect", || match (&namespace.on_reconnect, previous) {
                (Some(again), Some(previous)) => again(socket, &previous),
                _ => namespace.on_connect.iter().for_each(|first| first(socket)),
            });
        });
        if now && self.namespace.on_upgrade.is_some() && self.change(|state| state.upgraded) {
            self.hear_upgrade(socket);
        }
    }

    fn hear_upgrade(&self, socket: &Socket) {
        if let Some(hear) = &self.namespace.on_upgrade {
            let _ = guarded("on_upgrade", || hear(socket));
        }
    }

    /// Whether it was seen to be connected, and may have gone since.
    pub fn was_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }

    /// It has been seen to be.
    pub fn note_connected(&self) {
        self.connected.store(true, Ordering::Relaxed);
    }

    /// Whether all that letting it in takes is done.
    pub fn is_let_in(&self) -> bool {
        self.let_in.load(Ordering::Acquire)
    }

    /// Whether it has been announced to the program.
    pub fn is_announced(&self) -> bool {
        self.announced.state().done()
    }

    /// It has gone: it is not announced any more. If it is being announced, this waits for the end of that.
    pub fn withdraw(&self) {
        self.announced.call_once(|| ());
    }

    /// Begins to check a token that it showed, until the answer is dropped; nothing if one is being checked.
    pub fn begin_authenticating(self: &Arc<Self>) -> Option<Authenticating> {
        let begun = !self.authenticating.swap(true, Ordering::AcqRel);
        begun.then(|| Authenticating(self.clone()))
    }

    /// It is to go once the event that it is told of is answered.
    pub fn dismiss(&self) {
        self.dismissed.store(true, Ordering::Release);
    }

    /// Whether it is.
    pub fn is_dismissed(&self) -> bool {
        self.dismissed.load(Ordering::Acquire)
    }

    /// Puts it out if it is to go, once the client has had the time to read why.
    pub fn go_if_dismissed(self: &Arc<Self>) {
        if !self.is_dismissed() || self.going.swap(true, Ordering::AcqRel) {
            return;
        }
        let member = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(LAST_WORDS).await;
            if let Some(socket) = member.socket() {
                socket.disconnect(false);
            }
        });
    }

    /// It gets these rooms once it has authenticated.
    pub fn owe(&self, rooms: Vec<String>) {
        if !rooms.is_empty() {
            self.change(|state| state.owed = rooms);
        }
    }

    /// Gives what it is owed.
    pub fn take_owed(&self) -> Vec<String> {
        self.change(|state| std::mem::take(&mut state.owed))
    }

    /// A hook is asked about rooms, until the answer is dropped.
    pub fn begin_asking(self: &Arc<Self>, rooms: &[String]) -> Asking {
        let question = self.change(|state| {
            state.question += 1;
            let question = state.question;
            state.asked.extend(rooms.iter().map(|room| (question, room.clone())));
            question
        });
        Asking { member: self.clone(), question }
    }

    /// It does not want to be in rooms any longer that a hook is asked about.
    pub fn give_up(&self, rooms: &[String]) {
        if self.read(|state| !state.asked.is_empty()).unwrap_or_default() {
            self.change(|state| state.asked.retain(|(_, asked)| !rooms.contains(asked)));
        }
    }

    /// An event begins to wait for its answer, until this is dropped; nothing if too many do.
    pub fn begin_pending(self: &Arc<Self>) -> Option<Pending> {
        let most = self.limits.acks_pending;
        let begun = self.pending.fetch_update(Ordering::AcqRel, Ordering::Acquire, |pending| {
            (pending < most).then_some(pending + 1)
        });
        begun.ok().map(|_| Pending(self.clone()))
    }

    /// What handlers noted of it.
    pub fn noted(&self) -> Value {
        self.read(|state| state.noted.clone()).unwrap_or_default()
    }

    /// Notes something.
    pub fn note(&self, data: Value) {
        self.change(|state| state.noted = data);
    }

    /// Whether it has had the handler of a number that is for its first event only.
    pub fn has_had(&self, handler: usize) -> bool {
        self.read(|state| state.had.contains(&handler)).unwrap_or_default()
    }

    /// It has that now.
    pub fn has(&self, handler: usize) {
        self.change(|state| state.had.push(handler));
    }

    /// Sends it an event of the gateway's own.
    pub fn tell(&self, event: &str, argument: &Value) {
        // That it was not sent has been counted.
        let _ = self.socket().map(|socket| socket.emit(event, argument));
    }
}

/// A token is being checked.
pub(super) struct Authenticating(Arc<Member>);

impl Drop for Authenticating {
    fn drop(&mut self) {
        self.0.authenticating.store(false, Ordering::Release);
    }
}

/// A hook is asked about rooms.
pub(super) struct Asking {
    member: Arc<Member>,
    question: u64,
}

impl Asking {
    /// Whether the socket has not left a room again meanwhile.
    pub fn wants(&self, room: &str) -> bool {
        let ours = |(question, asked): &(u64, String)| *question == self.question && asked == room;
        self.member.read(|state| state.asked.iter().any(ours)).unwrap_or_default()
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.member.change(|state| {
            state.asked.retain(|(question, _)| *question != self.question);
            // What a long question took is given back.
            state.asked.shrink_to_fit();
        });
    }
}

/// An event waits for its answer.
pub(super) struct Pending(Arc<Member>);

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.pending.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Occupant for Member {
    fn connected(&self) {
        if let Some(socket) = self.socket() {
            connect::connected(&socket);
        }
        self.note_connected();
        self.let_in.store(true, Ordering::Release);
        self.connection.connected(&self.runtime.path);
    }

    fn is_connected(&self) -> bool {
        self.is_let_in() && self.socket.upgrade().is_some_and(|socket| socket.connected())
    }

    fn upgraded(&self) {
        if self.namespace.on_upgrade.is_none() {
            return;
        }
        // One that has not been announced hears of it right after that.
        let now = self.change(|state| {
            state.upgraded = !self.is_announced();
            !state.upgraded
        });
        if now && let Some(socket) = self.socket() {
            self.hear_upgrade(&socket);
        }
    }

    fn handshake(&self) -> Value {
        let socket = self.socket.upgrade();
        let uri = socket.as_ref().map(|socket| &socket.req_parts().uri);
        self.connection.handshake(uri)
    }

    fn data(&self) -> Value {
        let mut data = match self.noted() {
            Value::Object(noted) => noted,
            Value::Null => serde_json::Map::new(),
            // What a handler noted is seen as it is, as on Node: a text has no place for claims.
            other => return other,
        };
        if let Some(identity) = self.identity() {
            data.entry("claims").or_insert_with(|| json!(identity.claims));
        }
        Value::Object(data)
    }

    fn claims(&self) -> Option<Value> {
        let fits = match self.noted() {
            Value::Object(noted) => !noted.contains_key("claims"),
            noted => noted.is_null(),
        };
        self.identity().filter(|_| !fits).map(|identity| json!(identity.claims))
    }

    fn is_told_of(&self, room: &str) -> bool {
        let Some(rules) = &self.namespace.rules else { return true };
        self.as_who(|who| rules.decides(who, Act::Presence, room))
    }

    fn close_connection(&self) {
        self.connection.close();
    }

    fn overflowed(&self) {
        self.connection.overflowed();
    }

    fn watch(&self, watch: &Arc<Watch>) -> bool {
        self.connection.watch(watch)
    }

    fn heartbeat(&self, time: u64) {
        if self.is_authenticated() {
            self.tell("heartbeat", &json!({ "time": time }));
        }
    }

    fn outgoing(&self, event: &Payload) {
        let Some(outgoing) = self.socket().and_then(|socket| Outgoing::new(socket, event)) else {
            return;
        };
        // What a listener emits itself is heard by none: it would never end.
        thread_local!(static LISTENING: Cell<bool> = const { Cell::new(false) });
        if LISTENING.replace(true) {
            return;
        }
        for listen in &self.namespace.outgoing_listeners {
            let _ = guarded("on_any_outgoing", || listen(&outgoing));
        }
        LISTENING.set(false);
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // Also for a socket whose connection ended before it was let in.
        self.depart();
        gauge!(SOCKETS.name, "nsp" => self.namespace.path.clone()).decrement(1);
    }
}
