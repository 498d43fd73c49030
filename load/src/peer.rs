//! A server under test, in a process of its own.

use std::{
    ffi::OsStr,
    fs, io,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// A running server.
pub struct Peer {
    pub name: &'static str,
    pub address: SocketAddr,
    process: Child,
}

impl Peer {
    /// Starts `roomcast`, as a release with the settings of its documentation, more of them as
    /// `KEY=VALUE`, and these variables of its environment.
    pub fn roomcast(settings: &[String], variables: &[(&str, String)]) -> io::Result<Self> {
        Self::roomcast_of(&sibling("roomcast")?, settings, variables)
    }

    /// The same for a binary elsewhere.
    pub fn roomcast_of(
        binary: &Path,
        settings: &[String],
        variables: &[(&str, String)],
    ) -> io::Result<Self> {
        let mut command = command(binary);
        // Those of whoever runs this are not meant for it.
        let own = std::env::vars_os().map(|(name, _)| name);
        own.filter(|name| name.to_string_lossy().starts_with("OTEL_")).for_each(|name| {
            command.env_remove(name);
        });
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        command.args(["--listen", "127.0.0.1:0", "--internal-listen", "127.0.0.1:0"]);
        command.args(["--set", "log.format=json", "-c"]).arg(settings_file());
        command.args(settings.iter().flat_map(|setting| ["--set", setting]));
        command.stderr(Stdio::piped()).stdin(Stdio::null());
        let mut process = command.spawn()?;
        let lines = BufReader::new(process.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?);
        let address = first_address("roomcast", lines, |line| {
            let line: serde_json::Value = serde_json::from_str(line).ok()?;
            line["message"]
                .as_str()?
                .starts_with("public")
                .then(|| line["address"].as_str()?.parse().ok())?
        })?;
        Ok(Self { name: "roomcast", address, process })
    }

    /// Starts plain socketioxide.
    pub fn plain() -> io::Result<Self> {
        Self::program("plain socketioxide", command(sibling("plain-socketioxide")?))
    }

    /// Starts a program that prints the address it listens on, and ends with its standard input.
    pub fn program(name: &'static str, mut command: Command) -> io::Result<Self> {
        command.stdout(Stdio::piped()).stdin(Stdio::piped());
        let mut process = command.spawn()?;
        let lines = BufReader::new(process.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?);
        let address = first_address(name, lines, |line| line.parse().ok())?;
        Ok(Self { name, address, process })
    }

    /// Memory of the process that is in RAM, in bytes.
    pub fn rss(&self) -> io::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        Ok(kib.ok_or(io::ErrorKind::InvalidData)? * 1024)
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A program that the kernel ends when this one is gone, however that came about. It keeps its process id:
/// `setpriv` (util-linux) becomes the program.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// A binary that was built beside this one.
fn sibling(name: &str) -> io::Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    path.exists().then_some(path.clone()).ok_or_else(|| {
        io::Error::other(format!(
            "{} is not built; `make bench` builds all it needs",
            path.display()
        ))
    })
}

fn settings_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("roomcast.toml")
}

/// The first line that names an address. The rest is read on, so that the server never blocks.
fn first_address(
    name: &str,
    mut lines: impl BufRead + Send + 'static,
    parse: impl Fn(&str) -> Option<SocketAddr>,
) -> io::Result<SocketAddr> {
    let (mut line, mut last) = (String::new(), String::new());
    while lines.read_line(&mut line)? > 0 {
        if let Some(address) = parse(line.trim()) {
            std::thread::spawn(move || io::copy(&mut lines, &mut io::sink()));
            return Ok(address);
        }
        std::mem::swap(&mut line, &mut last);
        line.clear();
    }
    Err(io::Error::other(format!("{name} ended before it listened: {}", last.trim())))
}
