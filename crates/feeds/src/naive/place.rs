//! Where the engine under test keeps what it holds, and whether it is asked through a service.

use std::path::PathBuf;
use std::sync::Arc;

use model::time::ManualClock;

use super::LIMITS;
use crate::contract::live::Servers;
use crate::contract::service::Service;
use crate::engine::{MemoryEngine, RedisEngine};

/// Where the engine keeps what it holds.
pub(super) enum Place {
    Snapshot(PathBuf),
    Servers(Arc<Servers>),
    /// The memory of a service, and nothing else.
    Service,
    ServersThroughService(Arc<Servers>),
}

impl Place {
    pub(super) fn url(&self) -> String {
        match self {
            Place::Snapshot(path) => format!("memory:?snapshot={}", path.display()),
            Place::Servers(servers) | Place::ServersThroughService(servers) => servers.url(),
            Place::Service => "memory:".to_owned(),
        }
    }

    pub(super) fn servers(&self) -> Option<&Servers> {
        match self {
            Place::Servers(servers) | Place::ServersThroughService(servers) => Some(servers),
            Place::Snapshot(_) | Place::Service => None,
        }
    }

    /// Starts the service that belongs to the place, if one does.
    pub(super) fn service(&self, clock: &Arc<ManualClock>) -> Option<Service> {
        match self {
            Place::Service => Some(Service::start(Arc::new(MemoryEngine::open(None, clock.clone(), LIMITS)))),
            Place::ServersThroughService(servers) => {
                Some(Service::start(Arc::new(RedisEngine::open(&servers.url(), clock.clone(), LIMITS).expect("an engine"))))
            }
            Place::Snapshot(_) | Place::Servers(_) => None,
        }
    }
}
