//! What a setting must mean, once it has the right form; and what is filled in from files.

use std::{fs, path::Path, time::Duration};

use tracing_subscriber::EnvFilter;

use super::{BackplaneKind, Config, Drain, Problem, Publish, Secret, no_effect};

/// Seconds that Linux takes for TCP_KEEPIDLE.
const KEEPALIVE: std::ops::RangeInclusive<u64> = 1..=32767;
/// Levels of arrays and objects that go from one pod to another, within an event's arguments.
pub(crate) const DEEPEST: usize = 126;
/// How to have what is insecure all the same.
const ALLOWED_BY: &str = "; for development, allow_insecure = true lets it pass";

/// Fills in what comes from files, and names what makes no sense.
pub(super) fn complete(config: &mut Config) -> Vec<Problem> {
    let mut problems = Vec::new();
    read_secret_files(config, &mut problems);
    check_listeners(config, &mut problems);
    config.admission.check(&mut problems);
    config.public.proxies.check(&mut problems);
    config.hooks.check(&mut problems);
    check_engine(config, &mut problems);
    check_limits(config, &mut problems);
    check_drain(config, &mut problems);
    check_secrets(config, &mut problems);
    config.auth.check(&mut problems);
    check_backplane(config, &mut problems);
    Publish::check(config, &mut problems);
    check_namespaces(config, &mut problems);
    check_log(config, &mut problems);
    config.telemetry.check(&mut problems);
    config.kubernetes.check(&mut problems);
    // After all files have been read.
    if !config.allow_insecure {
        problems.extend(insecure(config));
    }
    problems
}

fn read_secret_files(config: &mut Config, problems: &mut Vec<Problem>) {
    let mut read = |key: &str, file: &str| {
        if file.is_empty() {
            return None;
        }
        fs::read_to_string(Path::new(file))
            .map_err(|error| {
                problems.push(Problem::new(key, file, format!("cannot be read: {error}")))
            })
            .ok()
    };
    let keys = read("api.keys_file", &config.api.keys_file);
    if let Some(text) = read("hooks.secrets_file", &config.hooks.secrets_file) {
        let secrets = text.lines().map(str::trim).filter(|line| !line.is_empty());
        config.hooks.secrets.extend(secrets.map(Secret::new));
    }
    let url = read("backplane.url_file", &config.backplane.url_file);
    let password = read("backplane.password_file", &config.backplane.password_file);
    let sessions = read("sessions.secret_file", &config.sessions.secret_file);
    for (key, secret, file, text) in [
        ("sessions.secret", &mut config.sessions.secret, &config.sessions.secret_file, sessions),
        ("backplane.url", &mut config.backplane.url, &config.backplane.url_file, url),
        (
            "backplane.password",
            &mut config.backplane.password,
            &config.backplane.password_file,
            password,
        ),
    ] {
        let Some(text) = text else {
            continue;
        };
        if secret.is_empty() {
            *secret = Secret::new(text.trim_end_matches(['\n', '\r']));
        } else {
            let remedy = format!("{key} is set too; keep one of them");
            problems.push(Problem::new(format!("{key}_file"), file, remedy));
        }
    }
    if let Some(text) = keys {
        config.api.add_lines(&text, problems);
    }
}

fn check_listeners(config: &Config, problems: &mut Vec<Problem>) {
    for name in &config.public.kept_headers {
        if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
            let remedy = "expected the name of a header, such as \"user-agent\"";
            problems.push(Problem::new("public.kept_headers", name, remedy));
        }
    }
    let public = &config.public;
    if public.listen.is_empty() {
        let remedy = "needs at least one address";
        problems.push(Problem::new("public.listen", Vec::<String>::new(), remedy));
    }
    config.internal.check(problems);
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~/".contains(c);
    if !public.path.starts_with('/')
        || public.path.trim_matches('/').is_empty()
        || !public.path.chars().all(plain)
    {
        let remedy = "expected a path such as \"/socket.io/\", of letters, digits and -._~";
        problems.push(Problem::new("public.path", &public.path, remedy));
    }
    if !KEEPALIVE.contains(&public.tcp_keepalive.as_secs()) {
        let remedy = "the system takes whole seconds from 1s to 32767s";
        problems.push(Problem::new("public.tcp_keepalive", public.tcp_keepalive, remedy));
    }
    if public.backlog == 0 {
        problems.push(Problem::new("public.backlog", 0, "must be at least 1"));
    }
    public.cors.check(problems);
}

fn check_engine(config: &Config, problems: &mut Vec<Problem>) {
    let positive: [(&str, Duration); 11] = [
        ("engine.ping_interval", config.engine.ping_interval),
        ("engine.ping_timeout", config.engine.ping_timeout),
        ("engine.upgrade_timeout", config.engine.upgrade_timeout),
        ("engine.connect_timeout", config.engine.connect_timeout),
        ("public.request_timeout", config.public.request_timeout),
        ("limits.write_timeout", config.limits.write_timeout),
        ("sessions.forward_timeout", config.sessions.forward_timeout),
        ("backplane.request_timeout", config.backplane.request_timeout),
        ("backplane.timeout", config.backplane.timeout),
        ("backplane.heartbeat", config.backplane.heartbeat),
        ("api.idempotency_ttl", config.api.idempotency_ttl),
    ];
    for (key, duration) in positive {
        if duration.is_zero() {
            problems.push(Problem::new(key, duration, "must be longer than zero"));
        }
    }
    if config.engine.transports.is_empty() {
        let remedy = "name \"polling\", \"websocket\" or both";
        problems.push(Problem::new("engine.transports", &config.engine.transports, remedy));
    }
}

fn check_drain(config: &Config, problems: &mut Vec<Problem>) {
    let drain = &config.drain;
    if drain.timeout <= drain.window {
        let remedy = format!("must be longer than drain.window, which is {:?}", drain.window);
        problems.push(Problem::new("drain.timeout", drain.timeout, remedy));
    }
}

impl Drain {
    /// The defaults are for a pod on its own, which nobody takes over from and which should end at once.
    fn warn(&self, warnings: &mut Vec<Problem>) {
        if self.delay.is_zero() {
            let remedy = "clients are still sent here while their connections are closed, and POST /api/v1/drain cannot be \
                          taken back; set it to the time in which load balancers notice, such as \"5s\"";
            warnings.push(Problem::new("drain.delay", self.delay, remedy));
        }
        if self.window.is_zero() {
            let remedy = "all connections are closed at once, and the other pods get all of their clients in the same \
                          moment; set it to connections ÷ new connections a second that they can take, such as \"10s\"";
            warnings.push(Problem::new("drain.window", self.window, remedy));
        }
    }
}

fn check_limits(config: &Config, problems: &mut Vec<Problem>) {
    let limits = &config.limits;
    if !(1..=DEEPEST).contains(&limits.depth) {
        let remedy = format!("expected 1 to {DEEPEST}, which is what goes from one pod to another");
        problems.push(Problem::new("limits.depth", limits.depth, remedy));
    }
    for (key, value, least) in [
        ("limits.max_payload", limits.max_payload, 1024),
        ("limits.send_queue", limits.send_queue, 16),
        ("limits.send_queue_bytes", limits.send_queue_bytes, limits.max_payload),
        ("limits.name_length", limits.name_length, 16),
    ] {
        if value < least {
            problems.push(Problem::new(key, value, format!("must be at least {least}")));
        }
    }
}

fn check_secrets(config: &Config, problems: &mut Vec<Problem>) {
    config.api.check(problems);
    config.sessions.check(problems);
}

/// What works, and protects nothing: an error, unless it is allowed.
fn insecure(config: &Config) -> Vec<Problem> {
    let mut found = Vec::new();
    config.api.find_insecure(&mut found);
    config.auth.jwt.find_insecure(&mut found);
    config.sessions.find_insecure(&mut found);
    config.public.proxies.find_insecure(&mut found);
    for problem in &mut found {
        problem.remedy.push_str(ALLOWED_BY);
    }
    found
}

fn check_backplane(config: &Config, problems: &mut Vec<Problem>) {
    if config.backplane.kind() == BackplaneKind::None {
        return;
    }
    config.backplane.check(problems);
    for name in config.namespaces.keys().filter(|name| name.contains('#')) {
        let remedy = "\"#\" ends the name of a namespace in the names of channels";
        problems.push(Problem::new(format!("namespaces.{name}"), name, remedy));
    }
}

impl Config {
    /// What works and should not stay so.
    pub fn warnings(&self) -> Vec<Problem> {
        // Those are errors where they are not allowed.
        let mut warnings = insecure(self);
        self.auth.warn(&self.admission.origins, &mut warnings);
        self.public.cors.warn(&mut warnings);
        if self.engine.allow_eio3
            && !self.namespaces.is_empty()
            && !self.namespaces.contains_key("/")
        {
            let remedy = "clients of Engine.IO v3 always connect to \"/\" first, and there is none";
            warnings.push(Problem::new("engine.allow_eio3", true, remedy));
        }
        for (name, namespace) in &self.namespaces {
            for (key, url) in namespace.hook_urls() {
                self.hooks.warn_of(&format!("namespaces.{name}.{key}"), url, &mut warnings);
            }
        }
        if self.backplane.kind == BackplaneKind::None && !self.backplane.url.is_empty() {
            warnings
                .push(Problem::hidden("backplane.url", "not used by backplane.kind = \"none\""));
        }
        self.internal.warn(&self.backplane, &mut warnings);
        if self.backplane.kind() == BackplaneKind::None && !self.drain.rollout_wait.is_zero() {
            let remedy = "has no effect: with backplane.kind = \"none\" no pod knows of others that replace it";
            warnings.push(Problem::new("drain.rollout_wait", self.drain.rollout_wait, remedy));
        }
        self.kubernetes.warn(self, &mut warnings);
        if self.backplane.kind() != BackplaneKind::None {
            self.backplane.warn(&mut warnings);
            self.drain.warn(&mut warnings);
        }
        warnings
    }
}

fn check_log(config: &Config, problems: &mut Vec<Problem>) {
    if let Err(error) = EnvFilter::builder().parse(&config.log.level) {
        let remedy = format!("{error}; expected a level such as \"info\", or a filter");
        problems.push(Problem::new("log.level", &config.log.level, remedy));
    }
}

fn check_namespaces(config: &Config, problems: &mut Vec<Problem>) {
    for (name, namespace) in &config.namespaces {
        namespace.check(name, config, problems);
        no_effect::check(&format!("namespaces.{name}"), namespace, problems);
    }
}
