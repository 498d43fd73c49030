//! A publisher that costs next to nothing: it sends the very commands that the emitter sends, with the
//! digits of each message written over. A Node that publishes as fast as the servers can deliver would take
//! from them the processors they are measured on.

use std::{
    io::{self, BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    emitter::{Emitter, Order, Publish},
    kind::Mode,
    mark::{self, LENGTH, Mark, PAYLOAD},
    pause,
    redis::{Connection, Redis, Reply, command},
};

/// How often messages that are due are sent.
const TICK: Duration = Duration::from_millis(1);
/// Longest wait for Redis to take what was sent.
const PATIENCE: Duration = Duration::from_secs(20);

/// A publisher that repeats what an emitter has said.
pub struct Replay {
    stream: TcpStream,
    /// Lines that Redis has answered: one for each message.
    answered: Arc<AtomicU64>,
    sent: u64,
    /// For each room.
    templates: Vec<Template>,
}

/// The command that publishes a message, and where its digits are.
struct Template {
    command: Vec<u8>,
    digits: usize,
}

impl Replay {
    /// Lets the emitter publish one message to each room, and listens to what Redis carries.
    pub fn record(
        emitter: &mut Emitter,
        mode: Mode,
        redis: &Redis,
        rooms: usize,
    ) -> io::Result<Self> {
        let (subscribe, publish) = match mode {
            Mode::Pubsub => ("SUBSCRIBE", "PUBLISH"),
            Mode::Sharded => ("SSUBSCRIBE", "SPUBLISH"),
        };
        let mut listener = Connection::open(redis.address)?;
        for room in 0..rooms {
            listener.ask(&[subscribe, &format!("socket.io#/#public-{room}#")])?;
        }
        emitter.publish(Order { run: 0, rate: f64::from(u16::MAX), total: rooms as u64 })?;
        let templates = (0..rooms)
            .map(|room| match listener.next()? {
                Reply::Many(parts) => template(publish, &parts, room),
                other => Err(io::Error::other(format!("expected a message, got {other:?}"))),
            })
            .collect::<io::Result<_>>()?;
        Self::new(redis.address, templates)
    }

    fn new(redis: SocketAddr, templates: Vec<Template>) -> io::Result<Self> {
        let stream = TcpStream::connect(redis)?;
        stream.set_nodelay(true)?;
        let answered = Arc::new(AtomicU64::new(0));
        let answers = BufReader::new(stream.try_clone()?);
        // Ends with the connection.
        std::thread::spawn({
            let answered = answered.clone();
            move || count_answers(answers, &answered)
        });
        Ok(Self { stream, answered, sent: 0, templates })
    }

    fn wait_for_answers(&self) -> io::Result<()> {
        let begun = Instant::now();
        while self.answered.load(Ordering::Relaxed) < self.sent {
            if begun.elapsed() > PATIENCE {
                return Err(io::Error::other("Redis did not take all that was published"));
            }
            pause(TICK);
        }
        Ok(())
    }
}

impl Publish for Replay {
    fn publish(&mut self, Order { run, rate, total }: Order) -> io::Result<Duration> {
        let begun = Instant::now();
        let rooms = self.templates.len() as u64;
        let (mut sent, mut batch) = (0, Vec::new());
        while sent < total {
            let due = (begun.elapsed().as_secs_f64() * rate) as u64 + 1;
            let stamp = mark::now();
            batch.clear();
            for message in sent..due.min(total) {
                let (sequence, room) = (message / rooms, message % rooms);
                let Template { command, digits } = &mut self.templates[room as usize];
                let mark = Mark { stamp, run, room: room as u16, sequence: sequence as u32 };
                mark.write(&mut command[*digits..])?;
                batch.extend_from_slice(command);
            }
            self.stream.write_all(&batch)?;
            sent = due.min(total);
            pause(TICK);
        }
        self.sent += total;
        self.wait_for_answers()?;
        Ok(begun.elapsed())
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }
}

fn count_answers(mut answers: impl BufRead, answered: &AtomicU64) {
    // An error of Redis is not counted, so that the run fails.
    let mut line = Vec::new();
    while answers.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        if line[0] == b':' {
            answered.fetch_add(1, Ordering::Relaxed);
        }
        line.clear();
    }
}

/// The command that led to a message of a subscription: its kind, the channel and what it carried.
fn template(publish: &str, message: &[Reply], room: usize) -> io::Result<Template> {
    let [Reply::Text(_), Reply::Text(channel), Reply::Text(carried)] = message else {
        return Err(io::Error::other(format!("expected a message, got {message:?}")));
    };
    let command = command(&[publish.as_bytes(), channel, carried]);
    let filling = [b'x'; PAYLOAD - LENGTH];
    let digits = command
        .windows(filling.len())
        .position(|window| window == filling)
        .and_then(|filling| filling.checked_sub(LENGTH))
        .filter(|digits| {
            Mark::read(&command[*digits..]).is_some_and(|mark| usize::from(mark.room) == room)
        });
    match digits {
        Some(digits) => Ok(Template { command, digits }),
        None => Err(io::Error::other("the emitter published something else than it should")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_replayed_is_what_was_recorded_but_for_its_digits() {
        let redis = Redis::start().unwrap();
        let mut listener = Connection::open(redis.address).unwrap();
        listener.ask(&["SUBSCRIBE", "a room"]).unwrap();

        let mut payload = [b'x'; PAYLOAD];
        Mark { stamp: 1, run: 2, room: 0, sequence: 3 }.write(&mut payload).unwrap();
        let carried = [b"before".as_slice(), &payload, b"behind"].concat();
        let recorded = ["message".as_bytes(), b"a room", &carried];
        let recorded: Vec<_> = recorded.iter().map(|text| Reply::Text(text.to_vec())).collect();
        let template = template("PUBLISH", &recorded, 0).unwrap();

        let mut replay = Replay::new(redis.address, vec![template]).unwrap();
        let before = mark::now();
        replay.publish(Order { run: 9, rate: 100_000.0, total: 500 }).unwrap();
        for expected in 0..500 {
            let Reply::Many(parts) = listener.next().unwrap() else { panic!("no message") };
            let [_, _, Reply::Text(got)] = parts.as_slice() else { panic!("{parts:?}") };
            let Mark { stamp, run, room, sequence } = Mark::read(&got[6..]).unwrap();
            assert_eq!((run, room, sequence), (9, 0, expected));
            assert!((before..=mark::now()).contains(&stamp));
            assert_eq!(got[..6], carried[..6]);
            assert_eq!(got[6 + LENGTH..], carried[6 + LENGTH..]);
        }
    }

    #[test]
    fn a_recording_for_another_room_is_refused() {
        let mut payload = [b'x'; PAYLOAD];
        Mark { stamp: 1, run: 2, room: 5, sequence: 3 }.write(&mut payload).unwrap();
        let recorded = ["message".as_bytes(), b"a room", &payload];
        let recorded: Vec<_> = recorded.iter().map(|text| Reply::Text(text.to_vec())).collect();
        assert!(template("PUBLISH", &recorded, 4).is_err());
        assert!(template("PUBLISH", &recorded, 5).is_ok());
    }
}
