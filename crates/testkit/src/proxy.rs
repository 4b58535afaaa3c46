//! A way to a server that can be cut: one party loses it, while others still reach it by ways of their own.
//!
//! ```text
//! client ◀──▶ 127.0.0.1:PORT ── open ──────▶ server
//!                            ── refuse       connections are dropped; new ones are closed as soon as they come
//!                            ── black hole   connections stay, new ones are accepted, and nothing passes
//! ```
//! Like in a network that heals, what was held back in a black hole passes once the way is open again.

use std::{
    collections::HashMap,
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::Context as _;

/// A server on this machine accepts at once, or is so full that the client may as well be dropped.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How much of one direction is held back at most, beside what the kernel buffers.
const BUFFER_BYTES: usize = 64 * 1024;

/// How a way is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Connections end at once, as when the server's process has died.
    Refuse,
    /// Nothing passes and nothing is said, as when a cable is cut.
    BlackHole,
}

/// A way to one server; closed when dropped.
pub struct Proxy {
    address: SocketAddr,
    way: Arc<Way>,
    acceptor: Option<JoinHandle<()>>,
}

/// What the proxy's threads share.
struct Way {
    server: SocketAddr,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    cut: Option<Cut>,
    is_closed: bool,
    /// Both ends of every connection, so that they can be dropped.
    connections: HashMap<u64, Vec<TcpStream>>,
    /// Counts all connections that ever came.
    accepted: u64,
}

impl Proxy {
    /// Opens a way to `server` on a free port.
    pub fn start(server: SocketAddr) -> anyhow::Result<Proxy> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("listening for a proxy")?;
        let address = listener.local_addr()?;
        let state = State { cut: None, is_closed: false, connections: HashMap::new(), accepted: 0 };
        let way = Arc::new(Way { server, state: Mutex::new(state), changed: Condvar::new() });
        let accepting = Arc::clone(&way);
        let acceptor = thread::spawn(move || accept(&listener, &accepting));
        Ok(Proxy { address, way, acceptor: Some(acceptor) })
    }

    /// `127.0.0.1:PORT`, to be used in place of the server's address.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    pub fn socket_address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts the way, until [`Proxy::reconnect`].
    pub fn cut_off(&self, cut: Cut) {
        let mut state = self.way.lock();
        state.cut = Some(cut);
        if cut == Cut::Refuse {
            state.drop_connections();
        }
        self.way.changed.notify_all();
    }

    /// Opens the way again.
    pub fn reconnect(&self) {
        self.way.lock().cut = None;
        self.way.changed.notify_all();
    }

    /// Counts the connections that are open now, held back or not.
    pub fn connections_count(&self) -> usize {
        self.way.lock().connections.len()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        {
            let mut state = self.way.lock();
            state.is_closed = true;
            state.drop_connections();
            self.way.changed.notify_all();
        }
        // A last connection wakes the acceptor, which then sees that the way is closed.
        let _ = TcpStream::connect_timeout(&self.address, CONNECT_LIMIT);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

impl Way {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while the way is a black hole. Gives whether it is open then.
    fn wait_while_black(&self) -> bool {
        let is_black = |state: &mut State| state.cut == Some(Cut::BlackHole) && !state.is_closed;
        let state = self.changed.wait_while(self.lock(), is_black).unwrap_or_else(PoisonError::into_inner);
        !state.is_closed && state.cut.is_none()
    }

    /// Remembers one end of a connection; `false` when it must not be, because the way has been cut meanwhile.
    fn keep(&self, connection: u64, end: &TcpStream) -> bool {
        let Ok(end) = end.try_clone() else { return false };
        let mut state = self.lock();
        if state.is_closed || state.cut == Some(Cut::Refuse) {
            return false;
        }
        state.connections.entry(connection).or_default().push(end);
        true
    }
}

impl State {
    fn drop_connections(&mut self) {
        for end in self.connections.drain().flat_map(|(_, ends)| ends) {
            // Fails only when the other side was faster.
            let _ = end.shutdown(Shutdown::Both);
        }
    }
}

fn accept(listener: &TcpListener, way: &Arc<Way>) {
    let mut running: Vec<JoinHandle<()>> = Vec::new();
    for client in listener.incoming() {
        let connection = {
            let mut state = way.lock();
            if state.is_closed {
                break;
            }
            state.accepted += 1;
            state.accepted
        };
        let Ok(client) = client else { continue };
        if !way.keep(connection, &client) {
            continue;
        }
        let carrying = Arc::clone(way);
        running.retain(|thread| !thread.is_finished());
        running.push(thread::spawn(move || {
            carry(&carrying, connection, &client);
            carrying.lock().connections.remove(&connection);
        }));
    }
    for thread in running {
        let _ = thread.join();
    }
}

/// Carries one connection until one side ends it or the way is cut.
fn carry(way: &Arc<Way>, connection: u64, client: &TcpStream) {
    if !way.wait_while_black() {
        return;
    }
    let Ok(server) = TcpStream::connect_timeout(&way.server, CONNECT_LIMIT) else { return };
    if !way.keep(connection, &server) {
        return;
    }
    // Small packets must not wait for each other: a proxy that adds 40 ms would be measured instead of the server.
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    thread::scope(|scope| {
        scope.spawn(|| pump(way, &server, client));
        pump(way, client, &server);
    });
}

/// Passes bytes on in one direction; ends both sides when one has ended.
fn pump(way: &Way, mut from: &TcpStream, mut to: &TcpStream) {
    let mut buffer = vec![0; BUFFER_BYTES];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if !way.wait_while_black() || to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    // Nobody learns through a black hole that the other side is gone.
    way.wait_while_black();
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait_for;

    const LIMIT: Duration = Duration::from_secs(20);
    /// What is held back does not come, however long one waits; this is long enough to see it come by mistake.
    const SILENCE: Duration = Duration::from_millis(50);

    /// A server that sends back what it gets.
    fn echo() -> SocketAddr {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                thread::spawn(move || std::io::copy(&mut &stream, &mut &stream));
            }
        });
        address
    }

    fn connect(proxy: &Proxy) -> TcpStream {
        let stream = TcpStream::connect(proxy.socket_address()).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream
    }

    fn answer(mut stream: &TcpStream, word: &[u8; 4]) -> std::io::Result<[u8; 4]> {
        stream.write_all(word)?;
        let mut back = [0; 4];
        stream.read_exact(&mut back)?;
        Ok(back)
    }

    #[test]
    fn an_open_way_carries_both_directions() {
        let proxy = Proxy::start(echo()).unwrap();
        let [first, second] = [connect(&proxy), connect(&proxy)];
        assert_eq!(&answer(&first, b"ping").unwrap(), b"ping");
        assert_eq!(&answer(&second, b"pong").unwrap(), b"pong");
        assert_eq!(proxy.connections_count(), 2);
        drop(first);
        wait_for("the end to be noticed", LIMIT, || match proxy.connections_count() {
            1 => Ok(()),
            count => Err(format!("{count} connections")),
        })
        .unwrap();
    }

    #[test]
    fn a_refusing_way_drops_old_and_new_connections() {
        let server = echo();
        let [cut, other] = [Proxy::start(server).unwrap(), Proxy::start(server).unwrap()];
        let [old, idle, unharmed] = [connect(&cut), connect(&cut), connect(&other)];
        for stream in [&old, &idle] {
            assert_eq!(&answer(stream, b"ping").unwrap(), b"ping");
        }
        cut.cut_off(Cut::Refuse);
        assert_eq!((&idle).read(&mut [0]).unwrap(), 0, "who says nothing learns of it as well");
        assert!(answer(&old, b"ping").is_err());
        assert!(answer(&connect(&cut), b"ping").is_err());
        assert_eq!(&answer(&unharmed, b"ping").unwrap(), b"ping");
        cut.reconnect();
        assert!(answer(&old, b"ping").is_err(), "what was dropped stays dropped");
        assert_eq!(&answer(&connect(&cut), b"ping").unwrap(), b"ping");
    }

    #[test]
    fn a_black_hole_holds_back_until_the_way_is_open_again() {
        let proxy = Proxy::start(echo()).unwrap();
        let old = connect(&proxy);
        assert_eq!(&answer(&old, b"ping").unwrap(), b"ping");
        proxy.cut_off(Cut::BlackHole);
        let new = connect(&proxy);
        for mut stream in [&old, &new] {
            stream.set_read_timeout(Some(SILENCE)).unwrap();
            let error = answer(stream, b"held").unwrap_err();
            assert!(matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut), "{error}");
            stream.set_read_timeout(Some(LIMIT)).unwrap();
            let _ = stream.flush();
        }
        proxy.reconnect();
        for mut stream in [&old, &new] {
            let mut back = [0; 4];
            stream.read_exact(&mut back).unwrap();
            assert_eq!(&back, b"held");
        }
    }

    #[test]
    fn dropping_a_black_hole_ends_its_connections() {
        let proxy = Proxy::start(echo()).unwrap();
        let stream = connect(&proxy);
        proxy.cut_off(Cut::BlackHole);
        drop(proxy);
        assert!(answer(&stream, b"ping").is_err());
    }
}
