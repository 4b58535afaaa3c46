//! A Redis Cluster of three masters that share all slots; none has a replica.

use std::time::Duration;

use anyhow::Context as _;

use super::{Options, Server};
use crate::{private::Port, wait_for};

const MASTERS: usize = 3;
/// Of every Redis Cluster.
const SLOTS: usize = 16_384;
/// Members meet within a second or two.
const MEET_LIMIT: Duration = Duration::from_secs(60);

/// Three masters. Each can be killed, frozen and restarted by itself, and comes back with its name and its slots.
pub struct Cluster {
    servers: Vec<Server>,
}

impl Cluster {
    /// Starts a cluster and waits until all members know that it is complete.
    pub fn start(options: Options) -> anyhow::Result<Cluster> {
        let servers =
            (0..MASTERS).map(|_| Server::start_with(options.clone(), Some(Port::reserve()?))).collect::<anyhow::Result<Vec<_>>>()?;
        for (index, server) in servers.iter().enumerate() {
            let [first, end] = [index, index + 1].map(|index| index * SLOTS / MASTERS);
            server.command(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &(end - 1).to_string()])?;
            // Else all have the same, and settle it among themselves with a second's delay.
            server.command(&["CLUSTER", "SET-CONFIG-EPOCH", &(index + 1).to_string()])?;
        }
        let (first, others) = servers.split_first().context("a cluster has members")?;
        for other in others {
            let (port, bus) = (other.port().to_string(), other.bus_port()?.to_string());
            first.command(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus])?;
        }
        let cluster = Cluster { servers };
        cluster.wait_until_complete()?;
        Ok(cluster)
    }

    /// Waits until all members are there, know each other, and serve all slots.
    pub fn wait_until_complete(&self) -> anyhow::Result<()> {
        for server in &self.servers {
            wait_for("the cluster to be complete", MEET_LIMIT, || {
                let state = server.command(&["CLUSTER", "INFO"]).map_err(|error| format!("{error:#}"))?;
                let has = |line: String| state.lines().any(|other| other == line);
                let is_complete = has("cluster_state:ok".into())
                    && has(format!("cluster_known_nodes:{MASTERS}"))
                    && has(format!("cluster_slots_ok:{SLOTS}"))
                    && has(format!("cluster_size:{MASTERS}"));
                if is_complete { Ok(()) } else { Err(format!("{}: {state}", server.address())) }
            })?;
        }
        Ok(())
    }

    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// One member, by its place from 0 on.
    pub fn server_mut(&mut self, index: usize) -> &mut Server {
        &mut self.servers[index]
    }

    /// `127.0.0.1:PORT` of each member.
    pub fn addresses(&self) -> Vec<String> {
        self.servers.iter().map(Server::address).collect()
    }

    /// `redis://127.0.0.1:PORT,127.0.0.1:PORT,127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("redis://{}", self.addresses().join(","))
    }
}
