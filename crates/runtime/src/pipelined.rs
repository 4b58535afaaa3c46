//! One connection to a server, shared by all callers: what they ask at the same time goes out in one write, and answers come in order.
//!
//! ```text
//! caller ─┐                ┌─▶ one write ─▶ server ─▶ bytes ─▶ framing ─┐
//! caller ─┼─▶ requests ─▶ gathered; noted: who waits for how many ◀─────┴─▶ its replies to the oldest who waits
//! caller ─┘
//! ```
//! Of the protocol this knows only where a reply ends ([`Framing`]); the caller reads its replies by itself.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};

/// Calls that wait to be sent; one more is told at once that the server is busy.
const WAITING_MAX: usize = 1_024;
/// Calls that go out in one write.
const GATHERED_MAX: usize = 64;
/// Calls that are sent and not answered. A server that has so much to answer and does not is as good as gone.
const SENT_MAX: usize = 16_384;
/// Buffers larger than this are given back after use.
const KEPT_BYTES_MAX: usize = 256 << 10;
const READ_BYTES: usize = 16 << 10;

/// What is at the head of the bytes that have come.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Framed {
    /// A reply of so many bytes.
    Whole(usize),
    /// More must be read first.
    Partial,
    /// This is not the protocol: nothing behind it can be understood.
    Broken(String),
}

/// Finds the end of the first reply. It is asked again with the same bytes and more behind them while the reply is not whole, and may
/// remember how far it has looked.
pub trait Framing: FnMut(&[u8]) -> Framed + Send + 'static {}

impl<F: FnMut(&[u8]) -> Framed + Send + 'static> Framing for F {}

/// Why a call has no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// Too many are waiting: nothing was sent, and nothing is wrong with the server.
    Busy,
    /// The connection is gone.
    Lost,
    /// No answer in time.
    Late,
}

struct Request {
    bytes: Vec<u8>,
    waiting: Waiting,
}

/// Who waits, and for how many replies still.
struct Waiting {
    count: usize,
    answer: oneshot::Sender<Vec<u8>>,
}

/// An open connection; its task ends when it is dropped.
#[derive(Debug)]
pub struct Pipelined {
    requests: mpsc::Sender<Request>,
    /// Differs from that of every other connection of this process.
    pub number: u64,
}

impl Pipelined {
    /// Connects to `HOST:PORT`, or says why not.
    pub async fn open(address: &str, limit: Duration, framing: impl Framing) -> Result<Pipelined, String> {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let (host, port) = address.rsplit_once(':').ok_or("the address has no port")?;
        let port: u16 = port.parse().map_err(|_| format!("'{port}' is no port"))?;
        // An address of version 6 comes with brackets or, out of a cluster's map, without.
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let stream = match tokio::time::timeout(limit, TcpStream::connect((host, port))).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) => return Err(format!("no connection within {} ms", limit.as_millis())),
        };
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        let (requests, incoming) = mpsc::channel(WAITING_MAX);
        let (reader, writer) = stream.into_split();
        let peer = address.to_owned();
        tokio::spawn(async move {
            let sent = Mutex::new(VecDeque::new());
            // Whichever ends first takes the other with it, and with `sent` everybody who waits for an answer.
            tokio::select! {
                () = write(writer, incoming, &sent) => {}
                why = read(reader, framing, &sent) => tracing::debug!(peer, why, "a connection has ended"),
            }
        });
        Ok(Pipelined { requests, number: LAST.fetch_add(1, Ordering::Relaxed) + 1 })
    }

    /// Sends requests and waits for their `count` replies, which are returned one behind the other.
    pub async fn call(&self, bytes: Vec<u8>, count: usize, limit: Duration) -> Result<Vec<u8>, Failure> {
        if count == 0 {
            return Ok(Vec::new());
        }
        let (answer, answered) = oneshot::channel();
        self.requests.try_send(Request { bytes, waiting: Waiting { count, answer } }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Failure::Busy,
            mpsc::error::TrySendError::Closed(_) => Failure::Lost,
        })?;
        match tokio::time::timeout(limit, answered).await {
            Ok(Ok(replies)) => Ok(replies),
            Ok(Err(_)) => Err(Failure::Lost),
            Err(_) => Err(Failure::Late),
        }
    }
}

async fn write(mut writer: OwnedWriteHalf, mut incoming: mpsc::Receiver<Request>, sent: &Mutex<VecDeque<Waiting>>) {
    let mut requests = Vec::with_capacity(GATHERED_MAX);
    let mut buffer = Vec::new();
    while incoming.recv_many(&mut requests, GATHERED_MAX).await > 0 {
        buffer.clear();
        buffer.shrink_to(KEPT_BYTES_MAX);
        let is_full = {
            let mut sent = sent.lock();
            for Request { bytes, waiting } in requests.drain(..) {
                buffer.extend_from_slice(&bytes);
                sent.push_back(waiting);
            }
            sent.len() > SENT_MAX
        };
        if is_full || writer.write_all(&buffer).await.is_err() {
            return;
        }
    }
}

/// Reads until the connection ends; gives the reason.
async fn read(mut reader: OwnedReadHalf, mut framing: impl Framing, sent: &Mutex<VecDeque<Waiting>>) -> String {
    let mut buffer: Vec<u8> = Vec::with_capacity(READ_BYTES);
    // Where the replies to the oldest call begin, and the end of those that are whole.
    let (mut begin, mut end) = (0, 0);
    loop {
        match framing(&buffer[end..]) {
            Framed::Whole(bytes) => {
                end += bytes;
                let mut sent = sent.lock();
                let Some(oldest) = sent.front_mut() else { return "an answer to nothing".to_owned() };
                oldest.count -= 1;
                if oldest.count == 0
                    && let Some(Waiting { answer, .. }) = sent.pop_front()
                {
                    // Whoever asked may have gone.
                    let _ = answer.send(buffer[begin..end].to_vec());
                    begin = end;
                }
            }
            Framed::Broken(why) => return why,
            Framed::Partial => {
                buffer.drain(..begin);
                (begin, end) = (0, end - begin);
                buffer.shrink_to(KEPT_BYTES_MAX);
                buffer.reserve(READ_BYTES);
                match reader.read_buf(&mut buffer).await {
                    Ok(0) => return "the server has closed it".to_owned(),
                    Ok(_) => {}
                    Err(error) => return error.to_string(),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    const LIMIT: Duration = Duration::from_secs(5);

    /// Replies are lines; an empty one is none.
    fn lines(bytes: &[u8]) -> Framed {
        match bytes.iter().position(|byte| *byte == b'\n') {
            Some(0) => Framed::Broken("an empty line".to_owned()),
            Some(end) => Framed::Whole(end + 1),
            None => Framed::Partial,
        }
    }

    async fn connected() -> (Pipelined, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (opened, accepted) = tokio::join!(Pipelined::open(&address, LIMIT, lines), listener.accept());
        (opened.unwrap(), accepted.unwrap().0)
    }

    #[tokio::test]
    async fn everybody_gets_their_own_replies_however_they_come() {
        let (pipelined, mut server) = connected().await;
        let serving = tokio::spawn(async move {
            let mut asked = Vec::new();
            while asked.iter().filter(|byte| **byte == b'\n').count() < 6 {
                server.read_buf(&mut asked).await.unwrap();
            }
            // Byte by byte: no reply comes in one piece.
            for byte in asked {
                server.write_all(&[byte]).await.unwrap();
                tokio::task::yield_now().await;
            }
            server
        });
        let (one, three, two) = tokio::join!(
            pipelined.call(b"a\n".to_vec(), 1, LIMIT),
            pipelined.call(b"b\nc\nd\n".to_vec(), 3, LIMIT),
            pipelined.call(b"e\nf\n".to_vec(), 2, LIMIT),
        );
        assert_eq!((one.unwrap(), three.unwrap(), two.unwrap()), (b"a\n".to_vec(), b"b\nc\nd\n".to_vec(), b"e\nf\n".to_vec()));
        assert_eq!(pipelined.call(Vec::new(), 0, LIMIT).await, Ok(Vec::new()), "nothing is asked, and nobody waits");
        drop(serving.await.unwrap());
    }

    #[tokio::test]
    async fn whoever_waits_is_told_that_the_connection_is_gone() {
        for bytes in [&b"\n"[..], b"a\nb\n", b""] {
            let (pipelined, mut server) = connected().await;
            let call = pipelined.call(b"a\n".to_vec(), 1, LIMIT);
            let serving = async {
                let mut asked = [0; 2];
                server.read_exact(&mut asked).await.unwrap();
                server.write_all(bytes).await.unwrap();
                drop(server);
            };
            let (answer, ()) = tokio::join!(call, serving);
            assert_eq!(answer, if bytes.len() > 1 { Ok(b"a\n".to_vec()) } else { Err(Failure::Lost) });
            while !pipelined.requests.is_closed() {
                tokio::task::yield_now().await;
            }
            assert_eq!(pipelined.call(b"c\n".to_vec(), 1, LIMIT).await, Err(Failure::Lost), "what came behind belonged to nobody");
        }
    }

    #[tokio::test]
    async fn a_late_answer_is_nobody_elses() {
        let (pipelined, mut server) = connected().await;
        assert_eq!(pipelined.call(b"a\n".to_vec(), 1, Duration::from_millis(5)).await, Err(Failure::Late));
        let (second, ()) = tokio::join!(pipelined.call(b"b\n".to_vec(), 1, LIMIT), async {
            server.write_all(b"late\nb\n").await.unwrap();
        });
        assert_eq!(second.unwrap(), b"b\n");
    }

    #[tokio::test]
    async fn addresses_of_both_versions_lead_somewhere() {
        for bound in ["127.0.0.1:0", "[::1]:0"] {
            // Machines without version 6 exist.
            let Ok(listener) = TcpListener::bind(bound).await else { continue };
            let address = listener.local_addr().unwrap().to_string();
            for written in [address.clone(), address.replace(['[', ']'], "")] {
                assert!(Pipelined::open(&written, LIMIT, lines).await.is_ok(), "{written}");
            }
        }
        for (wrong, why) in [("localhost", "the address has no port"), ("localhost:x", "'x' is no port")] {
            assert_eq!(Pipelined::open(wrong, LIMIT, lines).await.unwrap_err(), why);
        }
    }

    #[tokio::test]
    async fn too_many_are_told_at_once() {
        let (pipelined, _server) = connected().await;
        // A request that the kernel can't take keeps the writer busy.
        let _stuck: Vec<_> = (0..WAITING_MAX + GATHERED_MAX + 1)
            .map(|_| {
                let (answer, answered) = oneshot::channel();
                let _ = pipelined.requests.try_send(Request { bytes: vec![b'a'; 1 << 20], waiting: Waiting { count: 1, answer } });
                answered
            })
            .collect();
        assert_eq!(pipelined.call(b"a\n".to_vec(), 1, LIMIT).await, Err(Failure::Busy));
    }
}
