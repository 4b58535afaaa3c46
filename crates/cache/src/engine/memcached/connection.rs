//! One connection to a node, shared by all callers: what they ask at the same time goes out in one write, and answers come in order.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};

use super::protocol::{Parsed, Reply, parse};

/// Calls that wait to be sent; one more is told at once that the node is busy.
const WAITING_MAX: usize = 1_024;
/// Calls that go out in one write.
const GATHERED_MAX: usize = 64;
/// Calls that are sent and not answered; more wait.
const SENT_MAX: usize = 4_096;
/// Buffers larger than this are given back after use.
const KEPT_BYTES_MAX: usize = 256 << 10;
const READ_BYTES: usize = 16 << 10;

/// Why a call has no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Failure {
    /// Too many are waiting: nothing was sent, and nothing is wrong with the node.
    Busy,
    /// The connection is gone.
    Lost,
    /// No answer in time.
    Late,
}

struct Request {
    bytes: Vec<u8>,
    count: usize,
    answer: oneshot::Sender<Vec<Reply>>,
}

/// What was sent and how many replies it still waits for.
struct Sent {
    count: usize,
    replies: Vec<Reply>,
    answer: oneshot::Sender<Vec<Reply>>,
}

/// An open connection; its task ends when it is dropped.
#[derive(Debug)]
pub(super) struct Connection {
    requests: mpsc::Sender<Request>,
    /// Differs from that of every other connection of this process.
    pub(super) number: u64,
}

impl Connection {
    /// Connects, or says why not.
    pub(super) async fn open(address: &str, limit: Duration) -> Result<Connection, String> {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let stream = match tokio::time::timeout(limit, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) => return Err(format!("no connection within {} ms", limit.as_millis())),
        };
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        let (requests, incoming) = mpsc::channel(WAITING_MAX);
        let (reader, writer) = stream.into_split();
        tokio::spawn(async move {
            let sent = Mutex::new(VecDeque::new());
            // Whichever ends first takes the other with it, and with `sent` everybody who waits for an answer.
            tokio::select! {
                () = write(writer, incoming, &sent) => {}
                why = read(reader, &sent) => tracing::debug!(why, "a connection to the cache has ended"),
            }
        });
        Ok(Connection { requests, number: LAST.fetch_add(1, Ordering::Relaxed) + 1 })
    }

    /// Sends commands and waits for their `count` replies.
    pub(super) async fn call(&self, bytes: Vec<u8>, count: usize, limit: Duration) -> Result<Vec<Reply>, Failure> {
        let (answer, answered) = oneshot::channel();
        self.requests.try_send(Request { bytes, count, answer }).map_err(|error| match error {
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

async fn write(mut writer: OwnedWriteHalf, mut incoming: mpsc::Receiver<Request>, sent: &Mutex<VecDeque<Sent>>) {
    let mut requests = Vec::with_capacity(GATHERED_MAX);
    let mut buffer = Vec::new();
    while incoming.recv_many(&mut requests, GATHERED_MAX).await > 0 {
        buffer.clear();
        buffer.shrink_to(KEPT_BYTES_MAX);
        let is_full = {
            let mut sent = sent.lock();
            for Request { bytes, count, answer } in requests.drain(..) {
                buffer.extend_from_slice(&bytes);
                sent.push_back(Sent { count, replies: Vec::with_capacity(count), answer });
            }
            sent.len() > SENT_MAX
        };
        // A node that has so much to answer and does not is as good as gone.
        if is_full || writer.write_all(&buffer).await.is_err() {
            return;
        }
    }
}

/// Reads until the connection ends; gives the reason.
async fn read(mut reader: OwnedReadHalf, sent: &Mutex<VecDeque<Sent>>) -> String {
    let mut buffer: Vec<u8> = Vec::with_capacity(READ_BYTES);
    let mut begin = 0;
    loop {
        match parse(&buffer[begin..]) {
            Parsed::Reply(reply, bytes) => {
                begin += bytes;
                if !hand_over(reply, sent) {
                    return "an answer to nothing".to_owned();
                }
            }
            Parsed::Broken(line) => return line,
            Parsed::Partial => {
                buffer.drain(..std::mem::take(&mut begin));
                buffer.shrink_to(KEPT_BYTES_MAX);
                buffer.reserve(READ_BYTES);
                match reader.read_buf(&mut buffer).await {
                    Ok(0) => return "the node has closed it".to_owned(),
                    Ok(_) => {}
                    Err(error) => return error.to_string(),
                }
            }
        }
    }
}

/// Gives a reply to the oldest call that waits for one; `false` when none does.
fn hand_over(reply: Reply, sent: &Mutex<VecDeque<Sent>>) -> bool {
    let mut sent = sent.lock();
    let Some(oldest) = sent.front_mut() else { return false };
    oldest.replies.push(reply);
    if oldest.replies.len() == oldest.count
        && let Some(Sent { replies, answer, .. }) = sent.pop_front()
    {
        // Whoever asked may have gone.
        let _ = answer.send(replies);
    }
    true
}
