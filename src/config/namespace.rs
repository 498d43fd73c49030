//! What a namespace allows: who may connect, which rooms may be joined, what becomes of events.

use std::{collections::BTreeMap, time::Duration};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Config, HookUrl, Limits, Problem, values};

/// Events that Roomcast sends itself, which clients believe for that: they are never relayed.
pub(crate) const OWN_EVENTS: [&str; 6] =
    ["authenticated", "unauthenticated", "presence:join", "presence:leave", "heartbeat", "error"];

/// Most values of `require` and most wildcards in a pattern.
const MOST_WILDCARDS: usize = 4;

/// One namespace.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Namespace {
    /// Who may connect.
    #[serde(default)]
    #[schemars(extend("default" = "required"))]
    pub auth: AuthPolicy,
    /// How long a client has to authenticate after it has connected; none: it must when it connects.
    #[serde(default, deserialize_with = "values::AsOptionalDuration::deserialize")]
    #[schemars(with = "values::AsOptionalDuration")]
    pub auth_timeout: Option<Duration>,
    /// Rooms that each socket is put in; `{claim}` stands for what its token says.
    #[serde(default, deserialize_with = "values::AsList::<String>::deserialize")]
    #[schemars(with = "values::AsList::<String>")]
    pub default_rooms: Vec<String>,
    /// How often authenticated sockets get the event `heartbeat`; none: never.
    #[serde(default, deserialize_with = "values::AsOptionalDuration::deserialize")]
    #[schemars(with = "values::AsOptionalDuration")]
    pub heartbeat: Option<Duration>,
    /// What `join` may do.
    #[serde(default)]
    pub rooms: Vec<RoomRule>,
    /// What events without a rule of a room may do.
    #[serde(default)]
    pub events: Vec<EventRule>,
    /// Limits of its own, in the place of those of all.
    #[serde(default)]
    pub limits: NamespaceLimits,
    /// Services that decide, or are told.
    #[serde(default)]
    pub hooks: NamespaceHooks,
}

/// Who may connect to a namespace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AuthPolicy {
    /// Clients with a valid token.
    #[default]
    Required,
    /// Clients with a valid token or none.
    Optional,
    /// Any client; a token is not looked at.
    None,
}

impl AuthPolicy {
    /// As it is written in the configuration.
    fn name(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Optional => "optional",
            Self::None => "none",
        }
    }
}

/// Rooms that match a pattern, and what they allow.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RoomRule {
    /// Name of the room; `*` stands for any characters, `{claim}` for what the token says.
    pub pattern: String,
    /// Who may join.
    pub join: JoinPolicy,
    /// The service that decides, for `join = "hook"`.
    #[serde(default)]
    pub hook: Option<HookUrl>,
    /// Claims that the token must have, and their values.
    #[serde(default)]
    pub require: BTreeMap<String, String>,
    /// Events (or patterns of them) that members may emit to the room.
    #[serde(default, deserialize_with = "values::AsList::<String>::deserialize")]
    #[schemars(with = "values::AsList::<String>")]
    pub relay: Vec<String>,
    /// Whether members may ask who is in it, and are told who comes and goes.
    #[serde(default)]
    pub presence: bool,
}

/// Who may join a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum JoinPolicy {
    /// Sockets are put in it when they have authenticated; they may leave it and join it again.
    Auto,
    /// Any socket of the namespace.
    Anyone,
    /// Sockets that showed a valid token.
    Authenticated,
    /// Sockets whose claims fill the pattern.
    Claim,
    /// Those that a service lets in.
    Hook,
}

/// Events that match a pattern, and what becomes of them.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EventRule {
    /// Name of the event; `*` stands for any characters.
    pub name: String,
    /// What becomes of it, unless a hook answers it.
    #[serde(default)]
    pub action: Option<EventAction>,
    /// The service that answers it.
    #[serde(default)]
    pub hook: Option<HookUrl>,
    /// Whether the token is checked again each time.
    #[serde(default)]
    pub auth: bool,
    /// Claims that the token must have, and their values.
    #[serde(default)]
    pub require: BTreeMap<String, String>,
}

/// What becomes of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EventAction {
    /// It goes to every other socket of the namespace.
    Relay,
    /// It is refused, whatever rules follow.
    Deny,
}

/// Limits of one namespace; those that are left out are as in `[limits]`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NamespaceLimits {
    /// Events that one socket may send in a second.
    #[serde(default)]
    pub events_per_second: Option<u32>,
    /// How many of them at once.
    #[serde(default)]
    pub events_burst: Option<u32>,
    /// Bytes of one event.
    #[serde(default, deserialize_with = "values::AsOptionalSize::deserialize")]
    #[schemars(with = "values::AsOptionalSize")]
    pub max_payload: Option<usize>,
    /// Bytes of the name of a room or event.
    #[serde(default)]
    pub name_length: Option<usize>,
    /// Rooms that one socket may join.
    #[serde(default)]
    pub rooms_per_socket: Option<usize>,
    /// Events of one socket that may wait for their answers.
    #[serde(default)]
    pub acks_pending: Option<u32>,
    /// Questions who is in a room, that one socket may ask in a second.
    #[serde(default)]
    pub presence_per_second: Option<u32>,
    /// What happens over a limit.
    #[serde(default)]
    pub over: Option<OverLimit>,
}

/// What happens to a socket that goes over the limits of its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OverLimit {
    /// The event is refused, with an error ack.
    Refuse,
    /// It is told the code in the event `error`, and disconnected.
    Disconnect,
}

/// Services that decide who may come in, or are told who has gone.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NamespaceHooks {
    /// Says who a client is, in the place of tokens.
    #[serde(default)]
    pub authenticate: Option<HookUrl>,
    /// Says whether a socket may connect.
    #[serde(default)]
    pub connect: Option<HookUrl>,
    /// Is told that a socket has gone.
    #[serde(default)]
    pub disconnect: Option<HookUrl>,
}

impl NamespaceLimits {
    /// The limits of all, with those of the namespace in their place.
    pub fn over(&self, all: &Limits) -> Limits {
        let mut limits = all.clone();
        let Self {
            events_per_second,
            events_burst,
            max_payload,
            name_length,
            rooms_per_socket,
            acks_pending,
            presence_per_second,
            over,
        } = self;
        set(&mut limits.events_per_second, events_per_second);
        set(&mut limits.events_burst, events_burst);
        set(&mut limits.max_payload, max_payload);
        set(&mut limits.name_length, name_length);
        set(&mut limits.rooms_per_socket, rooms_per_socket);
        set(&mut limits.acks_pending, acks_pending);
        set(&mut limits.presence_per_second, presence_per_second);
        set(&mut limits.over, over);
        limits
    }
}

fn set<T: Copy>(limit: &mut T, own: &Option<T>) {
    if let Some(own) = own {
        *limit = *own;
    }
}

impl Namespace {
    /// Each hook that it names, with its key.
    pub(crate) fn hook_urls(&self) -> Vec<(String, &HookUrl)> {
        let NamespaceHooks { authenticate, connect, disconnect } = &self.hooks;
        let own = [
            ("hooks.authenticate", authenticate),
            ("hooks.connect", connect),
            ("hooks.disconnect", disconnect),
        ];
        let own = own.into_iter().map(|(key, url)| (key.to_owned(), url));
        let rooms = self.rooms.iter().enumerate();
        let rooms = rooms.map(|(index, rule)| (format!("rooms.{index}.hook"), &rule.hook));
        let events = self.events.iter().enumerate();
        let events = events.map(|(index, rule)| (format!("events.{index}.hook"), &rule.hook));
        let all = own.chain(rooms).chain(events);
        all.filter_map(|(key, url)| Some((key, url.as_ref()?))).collect()
    }

    /// Whether a name stands for those of children, made when clients ask for them.
    pub(crate) fn is_dynamic(name: &str) -> bool {
        name.contains(['*', '{'])
    }

    /// Names what makes no sense in the namespace of this name.
    pub(super) fn check(&self, name: &str, config: &Config, problems: &mut Vec<Problem>) {
        let key = |rest: &str| format!("namespaces.{name}{rest}");
        // The separators of the wire format end a name.
        if !name.starts_with('/') || name.contains([',', '?']) {
            let remedy = "the name of a namespace starts with \"/\", without \",\" or \"?\"; \"*\" and \"{id}\" stand for parts of many names";
            problems.push(Problem::new(key(""), name, remedy));
        }
        if self.auth != AuthPolicy::None
            && !config.auth.jwt.is_set()
            && self.hooks.authenticate.is_none()
        {
            let remedy = "needs auth.jwt.secret (or secret_file), public_key_file or jwks_url to check tokens with, \
                          or hooks.authenticate; or set this to \"none\" to let any client in";
            problems.push(Problem::new(key(".auth"), self.auth.name(), remedy));
        }
        for (setting, duration) in
            [("auth_timeout", self.auth_timeout), ("heartbeat", self.heartbeat)]
        {
            if duration.is_some_and(|duration| duration.is_zero()) {
                let remedy = "must be longer than zero; leave it out for none";
                problems.push(Problem::new(key(&format!(".{setting}")), Duration::ZERO, remedy));
            }
        }
        for (rest, url) in self.hook_urls() {
            config.hooks.check_use(&key(&format!(".{rest}")), url, problems);
        }
        self.rooms.iter().enumerate().for_each(|(index, rule)| {
            rule.check(&key(&format!(".rooms.{index}")), problems);
        });
        self.events.iter().enumerate().for_each(|(index, rule)| {
            rule.check(&key(&format!(".events.{index}")), problems);
        });
    }
}

impl RoomRule {
    fn check(&self, key: &str, problems: &mut Vec<Problem>) {
        let pattern = &self.pattern;
        let mut wrong = |remedy: &str| {
            problems.push(Problem::new(format!("{key}.pattern"), pattern, remedy));
        };
        if pattern.is_empty() {
            wrong("expected the name of a room; \"*\" stands for any characters");
        }
        if pattern.matches('{').count() != pattern.matches('}').count() {
            wrong("expected \"}\" behind each \"{\": \"user:{sub}\"");
        }
        if ["}*", "*{", "}{"].iter().any(|beside| pattern.contains(beside)) {
            wrong(
                "expected \":\" between a claim and what is beside it, for it to end somewhere: \"user:{sub}:*\"",
            );
        }
        if pattern.matches('*').count() > MOST_WILDCARDS {
            wrong("at most four \"*\"");
        }
        if self.join == JoinPolicy::Auto && pattern.contains('*') {
            wrong("a room that sockets are put in has a name without \"*\"");
        }
        if self.join == JoinPolicy::Claim && !pattern.contains('{') {
            wrong("join = \"claim\" needs a claim: \"team:{teams}\"");
        }
        if (self.join == JoinPolicy::Hook) != self.hook.is_some() {
            let remedy = "join = \"hook\" and hook = \"https://…\" belong together";
            problems.push(Problem::new(format!("{key}.hook"), &self.hook, remedy));
        }
        for event in self.relay.iter().filter(|event| OWN_EVENTS.contains(&event.as_str())) {
            problems.push(Problem::new(format!("{key}.relay"), event, NEVER_RELAYED));
        }
    }
}

const NEVER_RELAYED: &str =
    "Roomcast sends this event itself, and never relays it: clients could make it up";

impl EventRule {
    fn check(&self, key: &str, problems: &mut Vec<Problem>) {
        if self.name.is_empty() {
            let remedy = "expected the name of an event; \"*\" stands for any characters";
            problems.push(Problem::new(format!("{key}.name"), "", remedy));
        }
        if self.action.is_some() == self.hook.is_some() {
            let remedy = "expected either action = \"relay\" or \"deny\", or hook = \"https://…\"";
            problems.push(Problem::new(format!("{key}.action"), self.action, remedy));
        }
        let own = OWN_EVENTS.contains(&self.name.as_str());
        if own && self.action == Some(EventAction::Relay) {
            problems.push(Problem::new(format!("{key}.name"), &self.name, NEVER_RELAYED));
        }
    }
}
