//! Starts pods on free ports of 127.0.0.1, and stops them by pid.

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::NamedTempFile;

pub const API_KEY: &str = "a-key-for-the-tests-only";
/// Longest wait for anything.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Rooms that anyone may join, and an event that members may relay.
pub const OPEN: &str = r#"
api.keys = ["a-key-for-the-tests-only"]
[namespaces."/"]
auth = "none"
[[namespaces."/".rooms]]
pattern = "public-*"
join = "anyone"
relay = ["chat"]
"#;

pub fn roomcast() -> Command {
    Command::new(env!("CARGO_BIN_EXE_roomcast"))
}

pub fn config_file(text: &str) -> NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

/// A running pod.
pub struct Pod {
    child: Child,
    logs: Arc<Mutex<Vec<Value>>>,
    pub public: String,
    pub internal: String,
    _config: NamedTempFile,
}

impl Pod {
    pub fn start(config: &str) -> Self {
        Self::start_with_log(config, "debug")
    }

    pub fn start_with_log(config: &str, level: &str) -> Self {
        Self::start_on("127.0.0.1:0", config, level)
    }

    /// On an address of its own, such as that of a pod that has ended.
    pub fn start_on(listen: &str, config: &str, level: &str) -> Self {
        Self::start_by(roomcast(), listen, config, level)
    }

    /// With variables of its environment.
    pub fn start_with(config: &str, variables: &[(&str, &str)]) -> Self {
        let mut command = roomcast();
        command.envs(variables.iter().copied());
        Self::start_by(command, "127.0.0.1:0", config, "debug")
    }

    /// The same, with its internal listener on this address.
    pub fn start_at(internal: &str, config: &str, variables: &[(&str, &str)]) -> Self {
        let mut command = roomcast();
        command.envs(variables.iter().copied());
        Self::start_both(command, "127.0.0.1:0", internal, config, "debug")
    }

    /// With so many open files at most.
    pub fn start_within_files(config: &str, files: u32) -> Self {
        let mut command = Command::new("sh");
        let limited = format!("ulimit -n {files}; exec \"$0\" \"$@\"");
        command.args(["-c", &limited, env!("CARGO_BIN_EXE_roomcast")]);
        Self::start_by(command, "127.0.0.1:0", config, "info")
    }

    fn start_by(command: Command, listen: &str, config: &str, level: &str) -> Self {
        Self::start_both(command, listen, "127.0.0.1:0", config, level)
    }

    fn start_both(
        mut command: Command,
        listen: &str,
        internal: &str,
        config: &str,
        level: &str,
    ) -> Self {
        let file = config_file(config);
        let mut child = command
            .args(["--listen", listen, "--internal-listen", internal])
            .args(["--set", "log.format=json", "--set", &format!("log.level={level}")])
            .arg("--config")
            .arg(file.path())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let logs = Arc::new(Mutex::new(Vec::new()));
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        std::thread::spawn({
            let logs = logs.clone();
            move || {
                for line in lines.map_while(Result::ok) {
                    let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                    logs.lock().unwrap().push(line);
                }
            }
        });
        let mut address = |listener: &str| {
            wait_for(listener, || {
                let ended = child.try_wait().unwrap();
                assert!(ended.is_none(), "the pod ended: {:?}", logs.lock().unwrap());
                let logs = logs.lock().unwrap();
                logs.iter().find_map(|line| {
                    line["message"].as_str()?.starts_with(listener).then_some(())?;
                    Some(line["address"].as_str()?.to_owned())
                })
            })
        };
        let (public, internal) = (address("public"), address("internal"));
        Self { child, logs, public, internal, _config: file }
    }

    /// The id of its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: &str) {
        let status =
            Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for the end of the process.
    pub fn wait(&mut self) -> ExitStatus {
        wait_for("the end of the pod", || self.child.try_wait().unwrap())
    }

    /// The log so far.
    pub fn logs(&self) -> Vec<Value> {
        self.logs.lock().unwrap().clone()
    }

    pub async fn readyz(&self) -> u16 {
        get(&format!("http://{}/readyz", self.internal)).await.0
    }

    pub async fn publish(&self, body: &Value) -> (u16, Value) {
        self.publish_raw(Some(API_KEY), body.to_string()).await
    }

    pub async fn publish_raw(&self, key: Option<&str>, body: String) -> (u16, Value) {
        let request = reqwest::Client::new().post(format!("http://{}/api/v1/emit", self.internal));
        let request = match key {
            Some(key) => request.bearer_auth(key),
            None => request,
        };
        let response = request.body(body).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    /// Posts to a path of the API, with an `Idempotency-Key` if there is one.
    pub async fn post(&self, path: &str, key: Option<&str>, body: String) -> (u16, Value) {
        let url = format!("http://{}/api/v1/{path}", self.internal);
        let mut request = reqwest::Client::new().post(url).bearer_auth(API_KEY);
        if let Some(key) = key {
            request = request.header("idempotency-key", key.as_bytes());
        }
        let response = request.body(body).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    /// Asks a path of the API.
    pub async fn ask(&self, path: &str) -> (u16, Value) {
        let url = format!("http://{}/api/v1/{path}", self.internal);
        let response = reqwest::Client::new().get(url).bearer_auth(API_KEY).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    /// The sum of the lines of `/metrics` that begin so.
    pub async fn metric(&self, prefix: &str) -> f64 {
        let (_, page) = get(&format!("http://{}/metrics", self.internal)).await;
        page.lines()
            .filter(|line| line.starts_with(prefix))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// Waits until the lines of `/metrics` that begin so add up to a value.
    pub async fn metric_reaches(&self, prefix: &str, value: f64) {
        let begun = Instant::now();
        loop {
            let now = self.metric(prefix).await;
            if now >= value {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{prefix} is {now}, and should reach {value}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A real Redis that keeps nothing on disk, on a free port.
pub struct Redis {
    child: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Redis {
    pub fn start() -> Self {
        // A port that was free a moment ago may be another one's by then: its process ends, and there is another port.
        for _ in 0..5 {
            let folder = tempfile::tempdir().unwrap();
            let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let port = free.local_addr().unwrap().port();
            drop(free);
            let mut redis = Self { child: Self::spawn(port, &folder), port, folder };
            if redis.answers() {
                return redis;
            }
        }
        panic!("redis-server ended, on each of five ports");
    }

    /// Starts it again after its end, where it was, with nothing in it.
    pub fn restart(&mut self) {
        self.child = Self::spawn(self.port, &self.folder);
        assert!(self.answers(), "redis-server ended");
    }

    fn spawn(port: u16, folder: &tempfile::TempDir) -> Child {
        Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no", "--dir"])
            .arg(folder.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is needed (Debian: apt-get install redis-server)")
    }

    /// Waits until it answers, and not another program: false if it has ended.
    fn answers(&mut self) -> bool {
        let this = format!("process_id:{}\r\n", self.child.id());
        wait_for("redis-server", || match self.child.try_wait().unwrap() {
            Some(_) => Some(false),
            None => self.says("INFO server\r\n")?.contains(&this).then_some(true),
        })
    }

    /// What the port answers to a command, as far as it comes at once.
    fn says(&self, command: &str) -> Option<String> {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.write_all(command.as_bytes()).ok()?;
        let mut answer = [0; 4096];
        let length = stream.read(&mut answer).ok()?;
        Some(String::from_utf8_lossy(&answer[..length]).into_owned())
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Lets it do a command, which it must accept.
    pub fn command(&self, line: &str) {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.write_all(format!("{line}\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        assert!(answer.starts_with(['+', ':']), "{line}: {answer}");
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

pub async fn get(url: &str) -> (u16, String) {
    let response = reqwest::get(url).await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

pub fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(begun.elapsed() < PATIENCE, "not in {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
