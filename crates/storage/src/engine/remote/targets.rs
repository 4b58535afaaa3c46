//! Where the storage service runs: addresses, their connections, and the sessions of each.
//!
//! ```text
//! question ─▶ grpc::Addresses chooses ─▶ session of its lane ─▶ connection ─▶ service
//! ```

use std::sync::{Arc, Weak};
use std::time::Duration;

use grpc::{Addresses, Identity};
use parking_lot::Mutex;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use super::session::{Flow, Session};
use crate::error::{Error, Result};
use crate::limits::BATCH_BYTES_MAX;
use crate::metrics as names;
use crate::wire::MESSAGE_BYTES_MAX;
use crate::wire::proto::storage_client::StorageClient;

const SERVICE: grpc::Service = grpc::Service { name: "storage", lost_total: names::REMOTE_LOST_TOTAL };
/// Connections per address. One connection's frames are written by one task, so two make use of two cores.
const CONNECTIONS: usize = 2;

/// What a question or a write shares its way with. Each lane of an address is a session of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Lane {
    /// Look-ups that take less than a millisecond.
    Reads,
    Writes,
    /// Lists and look-ups of many: small ones don't wait for them.
    Large,
}

const LANES: [Lane; 3] = [Lane::Reads, Lane::Writes, Lane::Large];

impl Lane {
    fn flow(self) -> Flow {
        match self {
            // What waits for one of two messages goes together, and becomes one statement.
            Lane::Reads => Flow { messages_max: 2, turn: Duration::from_millis(5), items_max: 1_024, bytes_max: 64 << 10 },
            // A message lasts as long as the slowest commit in it, and what waits here is missing in the groups of the service.
            Lane::Writes => Flow { messages_max: usize::MAX, turn: Duration::ZERO, items_max: 512, bytes_max: BATCH_BYTES_MAX },
            Lane::Large => Flow { messages_max: usize::MAX, turn: Duration::ZERO, items_max: 1, bytes_max: BATCH_BYTES_MAX },
        }
    }
}

/// All addresses of the service.
pub(super) struct Targets {
    addresses: Arc<Addresses<Link>>,
    /// Tells this client's commits from those of others.
    client: u64,
}

/// What is held of one address.
struct Link {
    connections: Vec<StorageClient<Channel>>,
    /// The session of each lane, once somebody has asked.
    sessions: [Mutex<Option<Arc<Session>>>; LANES.len()],
}

/// One question's hold on an address; counts as outstanding until it is dropped.
pub(super) struct Held {
    targets: Arc<Targets>,
    held: grpc::Held<Link>,
    pub(super) index: usize,
}

impl Targets {
    /// Reads `HOST:PORT[,HOST:PORT…]`. Connections are made when they are needed, inside the runtime that calls this.
    pub(super) fn parse(addresses: &str, identity: &Identity, client: u64) -> Result<Targets> {
        let addresses = Addresses::parse(SERVICE, addresses, identity, Link::new).map_err(Error::Invalid)?;
        Ok(Targets { addresses: Arc::new(addresses), client })
    }

    /// Chooses an address for a question.
    pub(super) fn hold(self: &Arc<Targets>, except: Option<usize>) -> Held {
        let held = self.addresses.hold(except);
        Held { targets: self.clone(), index: held.index, held }
    }

    pub(super) fn count(&self) -> usize {
        self.addresses.count()
    }

    /// Takes no more questions; what was asked is answered.
    pub(super) fn close(&self) {
        for session in self.addresses.all().flat_map(|link| &link.sessions) {
            if let Some(session) = session.lock().take() {
                session.close();
            }
        }
    }

    /// Runs a session until one of its ends goes. The client may go meanwhile, so it is not held.
    fn converse(self: &Arc<Targets>, link: &Link, index: usize, lane: Lane, session: &Session) {
        let (table, targets) = (session.table(), Arc::downgrade(self));
        let mut service = link.connections[lane as usize % CONNECTIONS].clone();
        let request = self.addresses.request(table.clone().messages());
        tokio::spawn(async move {
            let failure = match service.converse(request).await {
                Err(status) => Failure::of(&status),
                Ok(response) => {
                    with(&targets, index, Held::answered);
                    let mut answers = response.into_inner();
                    loop {
                        match answers.message().await {
                            Ok(Some(message)) => table.deliver(message),
                            Ok(None) => break Failure::Lost("the service ended".to_owned()),
                            Err(status) => break Failure::of(&status),
                        }
                    }
                }
            };
            // Before those who wait are told: they look for another address then.
            if let Failure::NotSent(reason) | Failure::Lost(reason) = &failure
                && table.has_waiting()
            {
                with(&targets, index, |held| held.lost(reason));
            }
            table.end(&failure);
        });
    }
}

/// Does something with an address, if its client is still there.
fn with(targets: &Weak<Targets>, index: usize, work: impl FnOnce(&Held)) {
    if let Some(targets) = targets.upgrade() {
        let held = targets.addresses.hold_at(index);
        work(&Held { targets, held, index });
    }
}

impl Link {
    fn new(endpoint: Endpoint) -> Link {
        let connect = |_| {
            StorageClient::new(endpoint.connect_lazy())
                .max_decoding_message_size(MESSAGE_BYTES_MAX)
                .max_encoding_message_size(MESSAGE_BYTES_MAX)
        };
        Link { connections: (0..CONNECTIONS).map(connect).collect(), sessions: LANES.map(|_| Mutex::default()) }
    }
}

impl Held {
    pub(super) fn address(&self) -> &str {
        self.held.name()
    }

    /// Returns the session of a lane; begins one when there is none, or no longer.
    pub(super) fn session(&self, lane: Lane) -> Arc<Session> {
        let link = self.held.at();
        let mut slot = link.sessions[lane as usize].lock();
        if let Some(session) = slot.as_ref().filter(|session| session.is_open()) {
            return session.clone();
        }
        let session = Arc::new(Session::new(self.targets.client, lane.flow()));
        self.targets.converse(link, self.index, lane, &session);
        *slot = Some(session.clone());
        session
    }

    /// Returns a connection and a request for a call that is no session.
    pub(super) fn call<T>(&self, message: T) -> (StorageClient<Channel>, Request<T>) {
        (self.held.at().connections[0].clone(), self.targets.addresses.request(message))
    }

    /// Notes that the service answered.
    pub(super) fn answered(&self) {
        self.held.answered();
    }

    /// Notes that the service did not answer: it is left out for a while.
    pub(super) fn lost(&self, reason: &str) {
        self.held.lost(reason);
    }
}

/// Why there is no answer, or none that helps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The service answered that it can't be done.
    Answered(Error),
    /// It never left this process: nobody could be reached.
    NotSent(String),
    /// The service may have got it, and does not answer.
    Lost(String),
    /// The service, or this client, says that such a call can't be.
    Refused(String),
}

impl Failure {
    /// Reads what a call's status tells. The status of a call is never about one question in it.
    pub(super) fn of(status: &Status) -> Failure {
        match grpc::Failure::of(status) {
            grpc::Failure::NotSent(reason) => Failure::NotSent(reason),
            grpc::Failure::Lost(reason) => Failure::Lost(reason),
            grpc::Failure::Refused(message) => Failure::Refused(message),
        }
    }
}
