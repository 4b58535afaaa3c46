//! Open-loop load: requests leave at their intended times whether or not earlier ones were answered, and latency counts from
//! the intended time, so that a server that stalls can't hide it (no coordinated omission).
//!
//! ```text
//! intended times  |--|--|--|--|--▶   1/rate apart
//! connections     take the next time, wait for it, send, read the whole response; each keeps its socket alive
//! ```
//! When every connection is busy at an intended time, the request leaves late and the wait counts.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    Histogram,
    http::{self, Framing},
};

/// A request that takes longer than this is an error and its connection is given up.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);
const READ_BYTES: usize = 64 * 1024;

/// What to send, and how fast.
pub struct Load {
    /// `host:port`.
    pub address: String,
    pub requests_per_second: f64,
    pub duration: Duration,
    pub connections: usize,
    /// Gives the bytes of the n-th request; called on the generator's threads.
    pub request: Arc<dyn Fn(u64) -> Vec<u8> + Send + Sync>,
    /// Told of every request that has ended: when it was meant to leave, from the start, and how long it took; `None` for an error.
    pub observer: Option<Observer>,
}

pub type Observer = Arc<dyn Fn(Duration, Option<Duration>) + Send + Sync>;

/// What came of it.
#[derive(Clone, Default)]
pub struct Outcome {
    pub latencies: Histogram,
    pub errors: u64,
    /// The first error, in words.
    pub first_error: Option<String>,
    pub bytes: u64,
    pub elapsed: Duration,
}

impl Outcome {
    pub fn requests_per_second(&self) -> f64 {
        self.latencies.count() as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    fn merge(&mut self, other: Outcome) {
        self.latencies.merge(&other.latencies);
        self.errors += other.errors;
        self.first_error = self.first_error.take().or(other.first_error);
        self.bytes += other.bytes;
    }
}

/// Runs the load to its end.
pub async fn run(load: &Load) -> Outcome {
    let total = (load.requests_per_second * load.duration.as_secs_f64()).ceil() as u64;
    let next = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let mut tasks = Vec::new();
    for _ in 0..load.connections {
        let worker = Worker {
            address: load.address.clone(),
            rate: load.requests_per_second,
            total,
            started,
            next: Arc::clone(&next),
            request: Arc::clone(&load.request),
            observer: load.observer.clone(),
            outcome: Outcome::default(),
        };
        tasks.push(tokio::spawn(worker.run()));
    }
    let mut sum = Outcome::default();
    for task in tasks {
        match task.await {
            Ok(outcome) => sum.merge(outcome),
            Err(error) => {
                sum.errors += 1;
                sum.first_error.get_or_insert_with(|| error.to_string());
            }
        }
    }
    sum.elapsed = started.elapsed();
    sum
}

struct Worker {
    address: String,
    rate: f64,
    total: u64,
    started: Instant,
    next: Arc<AtomicU64>,
    request: Arc<dyn Fn(u64) -> Vec<u8> + Send + Sync>,
    observer: Option<Observer>,
    outcome: Outcome,
}

impl Worker {
    async fn run(mut self) -> Outcome {
        let mut connection = None;
        loop {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            if index >= self.total {
                return self.outcome;
            }
            let intended = self.started + Duration::from_secs_f64(index as f64 / self.rate);
            let bytes = (self.request)(index);
            tokio::time::sleep_until(intended.into()).await;
            let answered = tokio::time::timeout(REQUEST_LIMIT, exchange(&self.address, &mut connection, &bytes)).await;
            let problem = match answered {
                Ok(Ok(answer)) => {
                    self.outcome.latencies.record(intended.elapsed());
                    self.outcome.bytes += answer.bytes as u64;
                    (answer.status >= 400).then(|| format!("status {}", answer.status))
                }
                Ok(Err(error)) => Some(format!("{error:#}")),
                Err(_) => Some(format!("no answer within {} s", REQUEST_LIMIT.as_secs())),
            };
            if let Some(observer) = &self.observer {
                observer(intended - self.started, problem.is_none().then(|| intended.elapsed()));
            }
            if let Some(problem) = problem {
                connection = None;
                self.outcome.errors += 1;
                let line = String::from_utf8_lossy(&bytes).lines().next().unwrap_or_default().to_owned();
                self.outcome.first_error.get_or_insert_with(|| format!("{line}: {problem}"));
            }
        }
    }
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

struct Answer {
    status: u16,
    bytes: usize,
}

async fn exchange(address: &str, connection: &mut Option<Connection>, request: &[u8]) -> anyhow::Result<Answer> {
    // Taken out, so that a failure or a time-out between here and the end can't leave half an answer for the next request.
    let mut open = match connection.take() {
        Some(open) => open,
        None => {
            let stream = TcpStream::connect(address).await.context("connecting")?;
            stream.set_nodelay(true)?;
            Connection { stream, buffer: Vec::with_capacity(READ_BYTES) }
        }
    };
    open.stream.write_all(request).await.context("sending")?;
    open.buffer.clear();
    let head = loop {
        if let Some(head) = http::parse_head(&open.buffer)? {
            break head;
        }
        if open.stream.read_buf(&mut open.buffer).await? == 0 {
            bail!("closed before an answer");
        }
    };
    let end = match head.framing {
        Framing::Length(length) => {
            let end = head.bytes + length;
            while open.buffer.len() < end {
                if open.stream.read_buf(&mut open.buffer).await? == 0 {
                    bail!("closed within an answer");
                }
            }
            end
        }
        Framing::Chunked => loop {
            if let Some(bytes) = http::parse_chunks(&open.buffer[head.bytes..], None)? {
                break head.bytes + bytes;
            }
            if open.stream.read_buf(&mut open.buffer).await? == 0 {
                bail!("closed within an answer");
            }
        },
        Framing::UntilClose => bail!("the server closes after each answer; the load needs keep-alive"),
    };
    if !head.closes {
        *connection = Some(open);
    }
    Ok(Answer { status: head.status, bytes: end })
}

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncBufReadExt as _, net::TcpListener};

    use super::*;

    /// Answers every request after `stall`, the third with 500, in alternating framings.
    async fn server(stall: Duration) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, stall));
            }
        });
        address
    }

    async fn serve(stream: TcpStream, stall: Duration) {
        let mut stream = tokio::io::BufReader::new(stream);
        let mut line = String::new();
        let mut path = String::new();
        while stream.read_line(&mut line).await.unwrap_or(0) > 0 {
            if line.starts_with("GET") {
                path.clone_from(&line);
            } else if line == "\r\n" {
                tokio::time::sleep(stall).await;
                let answer = match path.contains("/3 ") {
                    true => "HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n",
                    false if path.contains("/1 ") => "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
                    false => "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
                };
                stream.get_mut().write_all(answer.as_bytes()).await.unwrap();
            }
            line.clear();
        }
    }

    fn load(address: String, rate: f64, connections: usize) -> Load {
        let request = Arc::new(|index: u64| format!("GET /{index} HTTP/1.1\r\nhost: x\r\n\r\n").into_bytes());
        Load { address, requests_per_second: rate, duration: Duration::from_millis(500), connections, request, observer: None }
    }

    #[tokio::test]
    async fn counts_answers_and_errors() {
        let outcome = run(&load(server(Duration::ZERO).await, 100.0, 4)).await;
        assert_eq!((outcome.latencies.count(), outcome.errors), (50, 1));
        assert_eq!(outcome.first_error.unwrap(), "GET /3 HTTP/1.1: status 500");
        assert!(outcome.elapsed >= Duration::from_millis(480), "{:?}", outcome.elapsed);
    }

    #[tokio::test]
    async fn latency_counts_from_the_intended_time() {
        // One connection, 20 ms per answer, asked for every 5 ms: the last of 100 leaves 1.5 s late.
        let outcome = run(&load(server(Duration::from_millis(20)).await, 200.0, 1)).await;
        assert!(outcome.latencies.quantile_ms(0.99) > 1_000.0, "{}", outcome.latencies.quantile_ms(0.99));
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_an_error() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        let outcome = run(&load(address, 20.0, 1)).await;
        assert_eq!((outcome.latencies.count(), outcome.errors), (0, 10));
        assert!(outcome.first_error.unwrap().contains("connecting"));
    }
}
