//! A receiver of traces that takes all that is sent (OTLP over HTTP), so that what it costs to send them is measured,
//! and not what it costs to keep them.

use std::{
    io::{self, BufRead, BufReader, ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// Bytes of the body of one request.
const LARGEST: u64 = 64 << 20;
/// Bytes of a line of a head, and of a whole head.
const HEAD: u64 = 64 << 10;

/// Bytes that have come.
static RECEIVED: AtomicU64 = AtomicU64::new(0);
/// Where it listens, once it is started.
static ADDRESS: OnceLock<SocketAddr> = OnceLock::new();

/// The variables by which a pod sends it the traces of a share of all emits; none for a pod that makes no traces.
pub fn variables(share: Option<&str>) -> io::Result<Vec<(&'static str, String)>> {
    let Some(share) = share else {
        return Ok(Vec::new());
    };
    let url = format!("http://{}", start()?);
    Ok(vec![
        ("OTEL_TRACES_EXPORTER", "otlp".to_owned()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf".to_owned()),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", url),
        ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio".to_owned()),
        ("OTEL_TRACES_SAMPLER_ARG", share.to_owned()),
    ])
}

/// How many bytes of traces have come.
pub fn received() -> u64 {
    RECEIVED.load(Ordering::Relaxed)
}

/// Starts it, once a process.
fn start() -> io::Result<SocketAddr> {
    if let Some(address) = ADDRESS.get() {
        return Ok(*address);
    }
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || take_all(stream));
        }
    });
    Ok(*ADDRESS.get_or_init(|| address))
}

/// Answers each request of a connection.
fn take_all(stream: TcpStream) -> io::Result<()> {
    let mut answers = stream.try_clone()?;
    let mut requests = BufReader::new(stream);
    while let Some(size) = request(&mut requests)? {
        RECEIVED.fetch_add(size, Ordering::Relaxed);
        answers.write_all(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n",
        )?;
    }
    Ok(())
}

/// Reads a request, and gives the bytes of its body; `None` at the end of the connection.
fn request(from: &mut impl BufRead) -> io::Result<Option<u64>> {
    let (mut length, mut chunked, mut first, mut head) = (0, false, true, 0);
    loop {
        let mut line = String::new();
        head += from.by_ref().take(HEAD).read_line(&mut line)? as u64;
        if line.is_empty() && first {
            return Ok(None);
        }
        if head > HEAD || !line.ends_with('\n') {
            return Err(ErrorKind::InvalidData.into());
        }
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        first = false;
        match line.split_once(':') {
            Some(("content-length", value)) => {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
            Some(("transfer-encoding", value)) => chunked = value.trim() == "chunked",
            _ => {}
        }
    }
    if !chunked {
        skip(from, length)?;
        return Ok(Some(length));
    }
    let mut sum = 0;
    loop {
        let mut line = String::new();
        from.by_ref().take(HEAD).read_line(&mut line)?;
        let size = u64::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
        sum += size;
        // The end of a line stands behind each.
        skip(from, size)?;
        skip(from, 2)?;
        if size == 0 {
            return Ok(Some(sum));
        }
    }
}

fn skip(from: &mut impl BufRead, length: u64) -> io::Result<()> {
    if length > LARGEST {
        return Err(ErrorKind::InvalidData.into());
    }
    let skipped = io::copy(&mut from.by_ref().take(length), &mut io::sink())?;
    if skipped == length { Ok(()) } else { Err(ErrorKind::UnexpectedEof.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_answered_one_after_the_other() {
        let address = start().unwrap();
        assert_eq!(start().unwrap(), address);
        let mut stream = TcpStream::connect(address).unwrap();
        stream
            .write_all(
                b"POST /v1/traces HTTP/1.1\r\nContent-Length: 5\r\n\r\nabcde\
                  POST /v1/traces HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            )
            .unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 2, "{answer}");
        assert!(received() >= 8);
    }
}
