//! The network as an engine: storage that runs in another process, or in several.
//!
//! ```text
//! get · edges · counts · ranges · name    reads  ┐ client.rs
//! write · reserve · …                     writes ├─▶ targets.rs: which address ─▶ session.rs ─▶ service (server.rs) ─▶ front ─▶ engine
//! scan · outbox · check · …, large reads  large  ┘
//! watch ◀─ watch.rs ◀────────────────────────────────────────────────────────── service
//! ```
//!
//! What is known when there is no answer
//! - Nobody could be reached: it did not happen (`Unavailable`). Another address is tried before that is said.
//! - A read was lost: it is asked once more, elsewhere if there is an elsewhere. Then `Unavailable`.
//! - A write was lost: it may have happened (`Unknown`). It is not sent again, because it may have no idempotency key.

mod client;
mod session;
mod targets;
mod watch;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use model::{Assoc, Id, Kind, NameKind, Shard, Timestamp};

use crate::audit::AuditRow;
use crate::batch::Written;
use crate::engine::{Engine, EngineStats, Prepared};
use crate::error::{Error, Result};
use crate::limits::{DEADLINE, LONG_DEADLINE};
use crate::row::{Edge, Freshness, Name, Range, Row, StaleClaim};
use crate::wire::proto::{self, read::What as Question, write::What as Intent};
use crate::wire::{self, Piece, answer_of};
use client::Client;

pub use grpc::Identity;
use targets::Lane;

/// Reads that are gathered have at most this many look-ups or rows. Larger ones go alone, so that small ones don't wait for them.
const SMALL_MAX: usize = 256;
/// Bytes that an operation has on the wire besides its data, about.
const OP_BYTES: usize = 64;
/// Bytes that a question has on the wire, and those of each id in it, about.
const QUESTION_BYTES: usize = 32;
const ID_BYTES: usize = 8;

/// Storage in another process.
pub struct RemoteEngine {
    client: Arc<Client>,
    freshness: Option<Freshness>,
}

impl RemoteEngine {
    /// Prepares calls to `HOST:PORT[,HOST:PORT…]`. Nothing is connected yet: a service that is away is no reason not to start.
    pub fn open(addresses: &str, identity: &Identity) -> Result<RemoteEngine> {
        Ok(RemoteEngine { client: Client::open(addresses, identity)?, freshness: None })
    }

    /// Asks a question: together with others when it is small.
    async fn ask(&self, question: Question, size: usize) -> Result<Vec<Piece>> {
        if size > SMALL_MAX {
            return self.ask_alone(question, DEADLINE).await;
        }
        self.client.ask(Lane::Reads, question, self.freshness.as_ref(), QUESTION_BYTES + ID_BYTES * size, DEADLINE).await
    }

    async fn ask_alone(&self, question: Question, patience: Duration) -> Result<Vec<Piece>> {
        self.client.ask(Lane::Large, question, self.freshness.as_ref(), QUESTION_BYTES, patience).await
    }

    async fn want_number(&self, intent: Intent, bytes: usize) -> Result<u64> {
        match self.client.want(intent, bytes).await? {
            Piece::Result(number) => Ok(number),
            _ => Err(Error::Unknown("The storage service did not answer with a number.".to_owned())),
        }
    }
}

#[async_trait]
impl Engine for RemoteEngine {
    async fn reserve(&self, shard: Shard, kind: Kind, count: u64) -> Result<u64> {
        let reserve = proto::write::Reserve { shard: u32::from(shard.0), table: kind.table().to_owned(), count };
        self.want_number(Intent::Reserve(reserve), OP_BYTES).await
    }

    async fn get(&self, ids: &[Id]) -> Result<Vec<Option<Row>>> {
        let question = Question::Get(proto::read::Get { ids: ids.iter().map(|id| id.as_u64()).collect() });
        answer_of::found(self.ask(question, ids.len()).await?, ids.len())
    }

    async fn write(&self, batch: Prepared) -> Result<Written> {
        let bytes = batch.bytes + OP_BYTES * (batch.ops.len() + batch.conditions.len() + 1);
        let batch = proto::Batch {
            shard: u32::from(batch.shard.0),
            idempotency_key: batch.idempotency.map(|idempotency| idempotency.key).unwrap_or_default(),
            conditions: wire::conditions_to(&batch.conditions),
            ops: wire::ops_to(batch.ops),
        };
        match self.client.want(Intent::Batch(batch), bytes).await? {
            Piece::Written(written) => answer_of::written(written),
            _ => Err(Error::Unknown("The storage service did not say what the batch did.".to_owned())),
        }
    }

    async fn ranges(&self, assoc: Assoc, froms: &[Id], range: Range) -> Result<Vec<Vec<Edge>>> {
        let question = Question::Ranges(wire::ranges_to(assoc, froms, range));
        answer_of::ranges(self.ask(question, froms.len().saturating_mul(range.limit)).await?, froms.len())
    }

    async fn edges(&self, assoc: Assoc, from: Id, tos: &[Id]) -> Result<Vec<Option<i64>>> {
        let edges =
            proto::read::Edges { assoc: assoc.table().to_owned(), from: from.as_u64(), tos: tos.iter().map(|to| to.as_u64()).collect() };
        answer_of::sequences(self.ask(Question::Edges(edges), tos.len()).await?, tos.len())
    }

    async fn counts(&self, wanted: &[(Assoc, Id)]) -> Result<Vec<u64>> {
        let count = |(assoc, from): &(Assoc, Id)| proto::read::counts::Wanted { assoc: assoc.table().to_owned(), from: from.as_u64() };
        let question = Question::Counts(proto::read::Counts { wanted: wanted.iter().map(count).collect() });
        answer_of::counts(self.ask(question, wanted.len()).await?, wanted.len())
    }

    /// The shard of a name follows from its kind and key, and so is not sent.
    async fn name(&self, _shard: Shard, kind: NameKind, key: &str) -> Result<Option<Name>> {
        let question = Question::Name(proto::read::NameHolder { kind: kind.as_str().to_owned(), key: key.to_owned() });
        answer_of::name(self.ask(question, 1).await?)
    }

    async fn names_of(&self, owner: Id, kind: NameKind, limit: usize) -> Result<Vec<(String, Id)>> {
        let names = proto::read::NamesOf { owner: owner.as_u64(), kind: kind.as_str().to_owned(), limit: limit as u32 };
        answer_of::names_of(self.ask_alone(Question::NamesOf(names), DEADLINE).await?)
    }

    async fn stale_claims(&self, before: Timestamp, after: Option<&StaleClaim>, limit: usize) -> Result<Vec<StaleClaim>> {
        let held =
            |claim: &StaleClaim| proto::HeldName { kind: claim.kind.as_str().to_owned(), key: claim.key.clone(), id: claim.id.as_u64() };
        let claims = proto::read::StaleClaims { before: before.0, after: after.map(held), limit: limit as u32 };
        answer_of::claims(self.ask_alone(Question::StaleClaims(claims), DEADLINE).await?)
    }

    async fn scan(&self, kind: Kind, after: Option<Id>, limit: usize) -> Result<Vec<Row>> {
        let scan = proto::read::Scan { table: kind.table().to_owned(), after: after.map_or(0, Id::as_u64), limit: limit as u32 };
        answer_of::rows(self.ask_alone(Question::Scan(scan), DEADLINE).await?)
    }

    async fn outbox(&self, limit: usize) -> Result<Vec<(i64, String)>> {
        let outbox = proto::read::Outbox { limit: limit as u32 };
        answer_of::events(self.ask_alone(Question::Outbox(outbox), DEADLINE).await?)
    }

    async fn outbox_forget(&self, positions: &[i64]) -> Result<()> {
        let forget = proto::write::OutboxForget { positions: positions.to_vec() };
        self.want_number(Intent::OutboxForget(forget), OP_BYTES + ID_BYTES * positions.len()).await.map(drop)
    }

    fn view(&self, freshness: &Freshness) -> Option<Arc<dyn Engine>> {
        Some(Arc::new(RemoteEngine { client: self.client.clone(), freshness: Some(freshness.clone()) }))
    }

    fn has_front(&self) -> bool {
        true
    }

    fn watch(&self) -> tokio::sync::watch::Receiver<u64> {
        self.client.watches.all.subscribe()
    }

    fn watch_others(&self) -> tokio::sync::watch::Receiver<u64> {
        self.client.watches.others.subscribe()
    }

    async fn audit_log(&self, shard: Shard, after: u64, limit: usize) -> Result<Vec<AuditRow>> {
        let log = proto::read::AuditLog { shard: u32::from(shard.0), after, limit: limit as u32 };
        answer_of::audit(self.ask_alone(Question::AuditLog(log), DEADLINE).await?)
    }

    async fn audit_recent(&self, limit: usize) -> Result<Vec<AuditRow>> {
        let recent = proto::read::AuditRecent { limit: limit as u32 };
        answer_of::audit(self.ask_alone(Question::AuditRecent(recent), DEADLINE).await?)
    }

    async fn sweep_idempotency(&self, before: Timestamp) -> Result<u64> {
        let sweep = proto::write::SweepIdempotency { before: before.0 };
        self.want_number(Intent::SweepIdempotency(sweep), OP_BYTES).await
    }

    async fn stats(&self) -> Result<EngineStats> {
        answer_of::figures(self.ask_alone(Question::Stats(proto::read::Stats {}), LONG_DEADLINE).await?)
    }

    async fn check(&self) -> Result<Vec<String>> {
        answer_of::findings(self.ask_alone(Question::Check(proto::read::Check {}), LONG_DEADLINE).await?)
    }

    /// Closes this client. The service and its other clients go on.
    async fn close(&self) -> Result<()> {
        self.client.close();
        Ok(())
    }
}
