//! A service in a runtime of its own, which can be killed as a process is: its sockets close, whatever is going on.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::Runtime;

use crate::engine::{Engine, Faulty};
use crate::{AccessList, Feeds};

/// A busy machine frees a port within this time.
const PORT_LIMIT: Duration = Duration::from_secs(20);

pub(crate) struct Service {
    runtime: Option<Runtime>,
    pub(crate) address: SocketAddr,
    pub(crate) faults: Arc<Faulty>,
}

impl Service {
    pub(crate) fn start(engine: Arc<dyn Engine>) -> Service {
        Service::start_at(engine, None, "127.0.0.1:0".parse().expect("an address"))
    }

    /// Starts on an address, perhaps that of one that was killed.
    pub(crate) fn start_at(engine: Arc<dyn Engine>, access: Option<AccessList>, address: SocketAddr) -> Service {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let faults = Arc::new(Faulty::new(engine));
        let feeds = Feeds::with_engine(faults.clone());
        let address = std::thread::scope(|scope| {
            let listen = async move {
                let listener = tokio::time::timeout(PORT_LIMIT, listen_on(address)).await.expect("the port");
                let address = listener.local_addr().expect("an address");
                tokio::spawn(crate::serve(listener, feeds, access, std::future::pending()));
                address
            };
            scope.spawn(|| runtime.block_on(listen)).join().expect("a listening service")
        });
        Service { runtime: Some(runtime), address, faults }
    }

    pub(crate) fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("remote:{}", self.address)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Listens on an address; that of a killed service takes a moment to be free.
async fn listen_on(address: SocketAddr) -> TcpListener {
    loop {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("an option");
        if socket.bind(address).is_ok()
            && let Ok(listener) = socket.listen(64)
        {
            return listener;
        }
        tokio::task::yield_now().await;
    }
}
