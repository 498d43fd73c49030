//! The least of WebSocket (RFC 6455) and Engine.IO that a listener needs: the generator shares the machine
//! with the servers, so a frame costs no more than its header and the digits it is looked at for.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use super::mark::EVENT;

/// Longest wait for any packet while a connection is made.
const PATIENCE: Duration = Duration::from_secs(20);
/// Engine.IO's pong: one masked text frame. A mask of zeros leaves the text as it is.
pub const PONG: [u8; 7] = [0x81, 0x81, 0, 0, 0, 0, b'3'];

/// What one frame of a server is.
#[derive(Debug, PartialEq)]
pub enum Frame<'a> {
    /// The first argument of an event of the benchmark, from behind its opening quote.
    Event(&'a [u8]),
    /// Engine.IO's ping.
    Ping,
    /// The server closes.
    Close,
    /// Any other text, such as an answer.
    Other(&'a [u8]),
}

/// The first frame in what was received, and its length on the wire; nothing before all of it is there.
pub fn first(received: &[u8]) -> Option<(Frame<'_>, usize)> {
    // Servers do not mask, and Socket.IO does not split messages into frames.
    let (header, length) = match *received.get(1)? {
        126 => (4, usize::from(u16::from_be_bytes(received.get(2..4)?.try_into().ok()?))),
        127 => (10, u64::from_be_bytes(received.get(2..10)?.try_into().ok()?) as usize),
        short => (2, usize::from(short)),
    };
    let end = header + length;
    let body = received.get(header..end)?;
    let frame = match (received[0], body) {
        (0x88, _) => Frame::Close,
        (0x81, b"2") => Frame::Ping,
        _ => match argument(body) {
            Some(argument) => Frame::Event(argument),
            None => Frame::Other(body),
        },
    };
    Some((frame, end))
}

/// `42["news","…`
fn argument(body: &[u8]) -> Option<&[u8]> {
    body.strip_prefix(b"42[\"")?.strip_prefix(EVENT.as_bytes())?.strip_prefix(b"\",\"")
}

/// Connects, joins `/` and a room, and gives the stream with what came behind the answer.
pub fn connect(address: SocketAddr, room: &str) -> io::Result<(TcpStream, Vec<u8>)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let request = format!(
        "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {address}\r\n\
         Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut received = Vec::new();
    let body = loop {
        let end = received.windows(4).position(|window| window == b"\r\n\r\n");
        if let Some(end) = end {
            break end + 4;
        }
        more(&mut stream, &mut received)?;
    };
    if !received.starts_with(b"HTTP/1.1 101 ") {
        return Err(refused("a WebSocket", &received));
    }
    received.drain(..body);

    expect(&mut stream, &mut received, b"0{")?;
    send(&mut stream, "40")?;
    expect(&mut stream, &mut received, b"40{")?;
    send(&mut stream, &format!(r#"420["join",{{"rooms":["{room}"]}}]"#))?;
    expect(&mut stream, &mut received, format!(r#"430[{{"joined":["{room}"]"#).as_bytes())?;
    Ok((stream, received))
}

/// Waits for a packet that begins so, and answers pings meanwhile.
fn expect(stream: &mut TcpStream, received: &mut Vec<u8>, prefix: &[u8]) -> io::Result<()> {
    loop {
        let Some((frame, length)) = first(received) else {
            more(stream, received)?;
            continue;
        };
        let found = match frame {
            Frame::Other(body) if body.starts_with(prefix) => true,
            Frame::Ping => {
                stream.write_all(&PONG)?;
                false
            }
            _ => return Err(refused(&String::from_utf8_lossy(prefix), received)),
        };
        received.drain(..length);
        if found {
            return Ok(());
        }
    }
}

fn send(stream: &mut TcpStream, text: &str) -> io::Result<()> {
    let length = u8::try_from(text.len()).ok().filter(|length| *length < 126);
    let length = length.ok_or(ErrorKind::InvalidInput)?;
    let mut frame = vec![0x81, 0x80 | length, 0, 0, 0, 0];
    frame.extend_from_slice(text.as_bytes());
    stream.write_all(&frame)
}

fn more(stream: &mut TcpStream, received: &mut Vec<u8>) -> io::Result<()> {
    let mut piece = [0; 4096];
    match stream.read(&mut piece)? {
        0 => Err(ErrorKind::UnexpectedEof.into()),
        length => {
            received.extend_from_slice(&piece[..length]);
            Ok(())
        }
    }
}

fn refused(what: &str, received: &[u8]) -> io::Error {
    let received = String::from_utf8_lossy(received);
    io::Error::other(format!("expected {what}, got {received}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(text: &str) -> Vec<u8> {
        let mut frame = vec![0x81];
        match text.len() {
            length @ ..126 => frame.push(length as u8),
            length @ 126..=0xffff => {
                frame.push(126);
                frame.extend((length as u16).to_be_bytes());
            }
            length => {
                frame.push(127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend(text.as_bytes());
        frame
    }

    #[test]
    fn frames_of_each_length_are_told_apart() {
        for length in [1, 117, 118, 200, 66_000] {
            let text = format!("42[\"news\",\"{}\"]", "7".repeat(length));
            let wire = frame(&text);
            let (found, end) = first(&wire).unwrap();
            assert_eq!(found, Frame::Event(&text.as_bytes()[11..]));
            assert_eq!(end, wire.len());
        }
        assert_eq!(first(&frame("2")), Some((Frame::Ping, 3)));
        assert_eq!(first(&frame("430[]")), Some((Frame::Other(b"430[]"), 7)));
        assert_eq!(first(&[0x88, 2, 3, 232]), Some((Frame::Close, 4)));
    }

    #[test]
    fn a_frame_that_is_not_complete_waits() {
        let wire = frame(&format!("42[\"news\",\"{}\"]", "7".repeat(200)));
        for length in 0..wire.len() {
            assert_eq!(first(&wire[..length]), None);
        }
    }
}
