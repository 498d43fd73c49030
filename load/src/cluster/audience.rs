//! The listeners: connections that join a room each, and one thread that reads them all.
//!
//! One thread with `epoll` and one large buffer, for the generator must leave the processors to the servers.
//! Where highest rates are looked for it also takes a breath after each round, so that it reads several
//! messages of a connection at once, and no server is slowed by waking it for each.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, Token, net::TcpStream};

use super::{
    frames::{self, Frame, PONG},
    mark, pause,
    tally::Tally,
};

/// Bytes that are read from one connection at once.
const BUFFER: usize = 256 << 10;
/// Longest that the thread waits before it looks whether it shall end.
const GLANCE: Duration = Duration::from_millis(100);
/// How often progress is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Connections that listen, spread evenly over pods and rooms.
pub struct Audience {
    tally: Arc<Mutex<Tally>>,
    signs: Arc<Signs>,
    reader: Option<JoinHandle<io::Result<()>>>,
    /// How many listen in each room.
    pub members: Vec<u64>,
}

/// What the thread that reads is told.
#[derive(Default)]
struct Signs {
    stop: AtomicBool,
    /// How long it waits after each round, in microseconds.
    breath: AtomicU64,
}

/// One listener.
struct Listener {
    stream: Option<TcpStream>,
    room: u16,
    /// The beginning of a frame that is not complete.
    rest: Vec<u8>,
}

impl Audience {
    /// Opens the connections, each to the next pod and each to the next room.
    pub fn gather(pods: &[SocketAddr], connections: usize, rooms: usize) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut members = vec![0; rooms];
        let mut listeners = Vec::with_capacity(connections);
        for index in 0..connections {
            // Each room has members on all pods.
            let room = index / pods.len() % rooms;
            members[room] += 1;
            let (stream, rest) =
                frames::connect(pods[index % pods.len()], &format!("public-{room}"))?;
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            poll.registry().register(&mut stream, Token(index), Interest::READABLE)?;
            listeners.push(Listener { stream: Some(stream), room: room as u16, rest });
        }
        let tally = Arc::new(Mutex::new(Tally::new(connections)?));
        let signs = Arc::new(Signs::default());
        let reader = std::thread::spawn({
            let (tally, signs) = (tally.clone(), signs.clone());
            move || read_all(poll, listeners, &tally, &signs)
        });
        Ok(Self { tally, signs, reader: Some(reader), members })
    }

    /// Begins a run: all that is counted from now on belongs to it. A message may be counted as much as
    /// `breath` late.
    pub fn begin(&self, run: u16, breath: Duration) -> io::Result<()> {
        self.signs.breath.store(breath.as_micros() as u64, Ordering::Relaxed);
        self.tally().begin(run).map(drop)
    }

    /// Waits until as many messages have come, or none for so long, and gives what has.
    pub fn finish(&self, expected: u64, silence: Duration) -> io::Result<Tally> {
        let (mut got, mut since) = (0, Instant::now());
        loop {
            let mut tally = self.tally();
            if tally.got >= expected || since.elapsed() > silence {
                // Run 0 is never measured: what still comes is late.
                return tally.begin(0);
            }
            if tally.got != got {
                (got, since) = (tally.got, Instant::now());
            }
            drop(tally);
            if self.reader.as_ref().is_none_or(JoinHandle::is_finished) {
                return Err(io::Error::other("the thread that reads has ended"));
            }
            pause(LOOK);
        }
    }

    /// The count as it is now.
    pub fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Audience {
    fn drop(&mut self) {
        self.signs.stop.store(true, Ordering::Relaxed);
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

fn read_all(
    mut poll: Poll,
    mut listeners: Vec<Listener>,
    tally: &Mutex<Tally>,
    signs: &Signs,
) -> io::Result<()> {
    let mut events = Events::with_capacity(listeners.len());
    let mut buffer = vec![0; BUFFER];
    while !signs.stop.load(Ordering::Relaxed) {
        match poll.poll(&mut events, Some(GLANCE)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            result => result?,
        }
        let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
        for event in &events {
            let Token(index) = event.token();
            let listener = &mut listeners[index];
            if listener.stream.is_some() && listener.read(index, &mut buffer, &mut tally).is_err() {
                listener.stream = None;
                tally.ended += 1;
            }
        }
        drop(tally);
        let breath = signs.breath.load(Ordering::Relaxed);
        if breath > 0 {
            pause(Duration::from_micros(breath));
        }
    }
    Ok(())
}

impl Listener {
    /// Reads what has come, all of it: `epoll` does not tell of it again.
    fn read(&mut self, index: usize, buffer: &mut [u8], tally: &mut Tally) -> io::Result<()> {
        let stream = self.stream.as_mut().ok_or(ErrorKind::NotConnected)?;
        loop {
            let held = self.rest.len();
            buffer[..held].copy_from_slice(&self.rest);
            let length = match stream.read(&mut buffer[held..]) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            let now = mark::now();
            let mut received = &buffer[..held + length];
            while let Some((frame, end)) = frames::first(received) {
                match frame {
                    Frame::Event(payload) => tally.count(index, self.room, payload, now),
                    Frame::Ping => stream.write_all(&PONG)?,
                    Frame::Close => return Err(ErrorKind::ConnectionReset.into()),
                    Frame::Other(_) => tally.astray += 1,
                }
                received = &received[end..];
            }
            self.rest.clear();
            self.rest.extend_from_slice(received);
            // A read that did not fill the buffer has emptied the socket (epoll(7), question 9).
            if held + length < buffer.len() {
                return Ok(());
            }
            if received.len() == buffer.len() {
                return Err(io::Error::other("a frame that is larger than the buffer"));
            }
        }
    }
}
