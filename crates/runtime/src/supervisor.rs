//! Named tasks: started together, restarted with back-off when they fail or panic, drained on shutdown.
//!
//! ```text
//! spawn("relay", || async { … })     ──▶ runs until it returns Ok or shutdown
//!         │ Err or panic                     │
//!         └── health: degraded, back-off ────┘ again
//! ```

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::health::{Health, PartState};
use crate::retry::Backoff;

/// The signal that everything should come to its end.
#[derive(Clone)]
pub struct Shutdown(watch::Receiver<bool>);

impl Shutdown {
    /// Waits for the signal. Safe to cancel and to call again.
    pub async fn wait(&self) {
        let mut receiver = self.0.clone();
        // The sender lives as long as the supervisor; when it is gone, that is the end too.
        let _ = receiver.wait_for(|stop| *stop).await;
    }

    pub fn is_signalled(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns the signal as a plain watch.
    pub fn receiver(&self) -> watch::Receiver<bool> {
        self.0.clone()
    }
}

type NamedTask = (String, JoinHandle<()>);

/// Runs a process's background tasks.
#[derive(Clone)]
pub struct Supervisor {
    stop: Arc<watch::Sender<bool>>,
    tasks: Arc<Mutex<Vec<NamedTask>>>,
    health: Health,
}

impl Supervisor {
    pub fn new(health: Health) -> Supervisor {
        Supervisor { stop: Arc::new(watch::Sender::new(false)), tasks: Arc::default(), health }
    }

    pub fn shutdown(&self) -> Shutdown {
        Shutdown(self.stop.subscribe())
    }

    pub fn health(&self) -> &Health {
        &self.health
    }

    /// Starts a task and keeps it alive: `make` is called again whenever its future fails or panics. `Ok` ends it for good.
    pub fn spawn<F, Fut>(&self, name: &str, make: F)
    where
        F: Fn() -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), String>> + Send + 'static,
    {
        let (name, health, shutdown) = (name.to_owned(), self.health.clone(), self.shutdown());
        let task_name = name.clone();
        health.set(&name, PartState::Up);
        let handle = tokio::spawn(async move {
            let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(30));
            loop {
                let started = tokio::time::Instant::now();
                let reason = match tokio::spawn(make()).await {
                    Ok(Ok(())) => return,
                    Ok(Err(reason)) => reason,
                    Err(panic) => format!("panicked: {panic}"),
                };
                if shutdown.is_signalled() {
                    return;
                }
                metrics::counter!(crate::metrics::TASK_FAILURES_TOTAL, "task" => name.clone()).increment(1);
                health.set(&name, PartState::Degraded(reason));
                if started.elapsed() > Duration::from_secs(60) {
                    backoff.reset();
                }
                tokio::select! {
                    () = shutdown.wait() => return,
                    () = tokio::time::sleep(backoff.next_delay()) => health.set(&name, PartState::Up),
                }
            }
        });
        self.tasks.lock().push((task_name, handle));
    }

    /// Signals the end and waits for the tasks, at most `patience`; returns the names of those that did not end.
    pub async fn drain(&self, patience: Duration) -> Vec<String> {
        self.stop.send_replace(true);
        let deadline = tokio::time::Instant::now() + patience;
        let tasks = std::mem::take(&mut *self.tasks.lock());
        let mut late = Vec::new();
        for (name, mut handle) in tasks {
            if tokio::time::timeout_at(deadline, &mut handle).await.is_err() {
                handle.abort();
                late.push(name);
            }
        }
        late
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test]
    async fn restarts_what_fails_and_drains_what_runs() {
        let supervisor = Supervisor::new(Health::default());
        let runs = Arc::new(AtomicU32::new(0));
        let (counted, shutdown) = (runs.clone(), supervisor.shutdown());
        let (up, mut is_up) = watch::channel(false);
        let up = Arc::new(up);
        supervisor.spawn("flaky", move || {
            let (counted, shutdown, up) = (counted.clone(), shutdown.clone(), up.clone());
            async move {
                match counted.fetch_add(1, Ordering::SeqCst) {
                    0 => Err("first".into()),
                    1 => panic!("second"),
                    _ => {
                        up.send_replace(true);
                        shutdown.wait().await;
                        Ok(())
                    }
                }
            }
        });
        is_up.wait_for(|up| *up).await.unwrap();
        assert_eq!(runs.load(Ordering::SeqCst), 3);
        assert!(supervisor.drain(Duration::from_secs(5)).await.is_empty());
    }
}
