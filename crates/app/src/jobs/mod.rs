//! Outside effects and long work: one file per job, a struct whose fields are its arguments, idempotent.

mod board_pins;
mod delete_picture;
mod delete_user;
mod fan_out;
mod make_renditions;
mod merge_board;
mod purge_pin;
mod reconcile_user;
mod resume_purges;
mod send_mail;
mod sweep;

use std::marker::PhantomData;
use std::sync::Arc;

use ::jobs::{Handler, Job, JobContext, JobError, JobId, NewJob, Worker};
use async_trait::async_trait;
use model::EventKind;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

pub use board_pins::{ReconcileBoard, TrashBoardPins};
pub use delete_picture::DeletePicture;
pub use delete_user::DeleteUser;
pub use fan_out::FanOut;
pub use make_renditions::MakeRenditions;
pub use merge_board::MergeBoard;
pub use purge_pin::PurgePin;
pub use reconcile_user::ReconcileUser;
pub use resume_purges::ResumePurges;
pub use send_mail::SendMail;
pub use sweep::Sweep;

use crate::compose::App;
use crate::error::{Error, Result};

/// A job of the application.
#[async_trait]
pub trait AppJob: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Its queue: the verb and the noun.
    const QUEUE: &'static str;
    /// Jobs of this queue that one process runs at once.
    const CONCURRENCY: usize = 2;
    const PRIORITY: u8 = 5;
    const ATTEMPTS: u32 = 8;

    /// The same key while the job is kept is the same job.
    fn key(&self) -> Option<String> {
        None
    }

    async fn run(&self, app: &App, context: &JobContext) -> Result<()>;
}

impl App {
    /// Enqueues a job to run at once.
    pub async fn enqueue<J: AppJob>(&self, job: J) -> Result<()> {
        self.enqueue_after(job, 0).await
    }

    /// Enqueues a job to run after a while.
    pub async fn enqueue_after<J: AppJob>(&self, job: J, delay_ms: i64) -> Result<()> {
        let mut new = new_job(&job)?;
        if delay_ms > 0 {
            new = new.run_after(self.now().plus(delay_ms));
        }
        self.jobs.enqueue(J::QUEUE, vec![new]).await?;
        Ok(())
    }

    /// Enqueues jobs to run at once; returns their numbers, also of those that were there already.
    pub(crate) async fn enqueue_many<J: AppJob>(&self, jobs: Vec<J>) -> Result<Vec<JobId>> {
        let new = jobs.iter().map(new_job).collect::<Result<Vec<NewJob>>>()?;
        Ok(self.jobs.enqueue(J::QUEUE, new).await?)
    }

    /// Returns a worker for all of the application's jobs.
    pub fn worker(&self, name: &str) -> Worker {
        let app = self.clone();
        let worker = Worker::new(self.jobs.clone(), name).on_failure(move |job, error| {
            let details = json!({ "queue": job.queue, "job": job.id.0, "error": error.to_string() });
            app.events.emit(app.event_with(EventKind::JobFailed, None, String::new(), Vec::new(), details));
        });
        let worker = self.pool::<MakeRenditions>(worker);
        let worker = self.pool::<SendMail>(worker);
        let worker = self.pool::<PurgePin>(worker);
        let worker = self.pool::<DeletePicture>(worker);
        let worker = self.pool::<DeleteUser>(worker);
        let worker = self.pool::<ReconcileBoard>(worker);
        let worker = self.pool::<ReconcileUser>(worker);
        let worker = self.pool::<TrashBoardPins>(worker);
        let worker = self.pool::<MergeBoard>(worker);
        let worker = self.pool::<FanOut>(worker);
        let worker = self.pool::<ResumePurges>(worker);
        self.pool::<Sweep>(worker)
    }

    fn pool<J: AppJob>(&self, worker: Worker) -> Worker {
        worker.queue(J::QUEUE, J::CONCURRENCY, Arc::new(Runner::<J> { app: self.clone(), job: PhantomData }))
    }
}

fn new_job<J: AppJob>(job: &J) -> Result<NewJob> {
    let new = NewJob::new(serde_json::to_value(job)?).priority(J::PRIORITY).attempts(J::ATTEMPTS);
    Ok(match job.key() {
        Some(key) => new.idempotency_key(key),
        None => new,
    })
}

/// Runs jobs of one kind from their queue.
struct Runner<J> {
    app: App,
    job: PhantomData<fn() -> J>,
}

#[async_trait]
impl<J: AppJob> Handler for Runner<J> {
    async fn run(&self, job: &Job, context: &JobContext) -> std::result::Result<(), JobError> {
        let decoded: J = job.decode()?;
        decoded.run(&self.app, context).await.map_err(|error| match error {
            Error::Invalid(_) | Error::NotFound(_) => JobError::permanent(error),
            Error::Internal(cause) => JobError::retry(format!("{cause:#}")),
            other => JobError::retry(other),
        })
    }
}
