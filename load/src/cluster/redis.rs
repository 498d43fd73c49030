//! A Redis of the benchmark's own, and a connection to it that says no more than the benchmark needs.

use std::{
    io::{self, BufRead, BufReader, ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::pause;
use crate::peer;

/// Longest wait for anything from Redis.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running `redis-server` that keeps nothing on disk.
pub struct Redis {
    pub address: SocketAddr,
    process: Child,
    /// Its working directory, removed with it.
    _folder: TempDir,
}

impl Redis {
    /// Starts one with its own defaults, on a free port.
    pub fn start() -> io::Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let folder = tempfile::tempdir()?;
        let mut server = peer::command("redis-server");
        server.args(["--port", &address.port().to_string(), "--bind", "127.0.0.1"]);
        server.args(["--save", "", "--appendonly", "no", "--dir"]).arg(folder.path());
        let process = server.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
        let mut redis = Self { address, process, _folder: folder };
        let begun = Instant::now();
        loop {
            match Connection::open(address).and_then(|mut redis| redis.ask(&["PING"])) {
                Ok(Reply::Text(_)) => return Ok(redis),
                answer if begun.elapsed() > PATIENCE || redis.process.try_wait()?.is_some() => {
                    let why = format!("redis-server does not answer: {answer:?}");
                    return Err(io::Error::other(why));
                }
                _ => pause(Duration::from_millis(10)),
            }
        }
    }

    /// Its address, as clients are given it.
    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// One value of RESP2.
#[derive(Debug, PartialEq)]
pub enum Reply {
    Text(Vec<u8>),
    Number(i64),
    Many(Vec<Reply>),
}

/// A connection that asks and waits.
pub struct Connection(BufReader<TcpStream>);

impl Connection {
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Sends a command, and waits for its answer.
    pub fn ask<W: AsRef<[u8]>>(&mut self, words: &[W]) -> io::Result<Reply> {
        self.0.get_mut().write_all(&command(words))?;
        self.next()
    }

    /// The next answer, or message of a subscription.
    pub fn next(&mut self) -> io::Result<Reply> {
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        let (kind, rest) = line.trim_end().split_at_checked(1).ok_or(ErrorKind::UnexpectedEof)?;
        let number = || rest.parse::<i64>().map_err(io::Error::other);
        match kind {
            "+" => Ok(Reply::Text(rest.into())),
            ":" => Ok(Reply::Number(number()?)),
            "$" => {
                let mut text = vec![0; usize::try_from(number()?).map_err(io::Error::other)? + 2];
                self.0.read_exact(&mut text)?;
                text.truncate(text.len() - 2);
                Ok(Reply::Text(text))
            }
            "*" => (0..number()?).map(|_| self.next()).collect::<io::Result<_>>().map(Reply::Many),
            _ => Err(io::Error::other(format!("Redis says {line}"))),
        }
    }
}

/// A command on the wire.
pub fn command<W: AsRef<[u8]>>(words: &[W]) -> Vec<u8> {
    let mut wire = format!("*{}\r\n", words.len()).into_bytes();
    for word in words.iter().map(AsRef::as_ref) {
        wire.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        wire.extend_from_slice(word);
        wire.extend_from_slice(b"\r\n");
    }
    wire
}
