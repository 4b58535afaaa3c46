//! The thread that all servers are started from.
//!
//! A server dies with its parent, and for the kernel the parent is the *thread* that started it. A test's own thread ends before others
//! have done with a shared server; this one lives as long as the process.

use std::{
    io,
    process::{Child, Command},
    sync::{OnceLock, mpsc},
};

use anyhow::Context as _;

type Order = (Command, mpsc::Sender<io::Result<Child>>);

static STARTER: OnceLock<mpsc::Sender<Order>> = OnceLock::new();

/// Starts a program whose parent is a thread that never ends.
pub(super) fn spawn(command: Command) -> anyhow::Result<Child> {
    let description = format!("{command:?}");
    let (answer, answered) = mpsc::channel();
    STARTER.get_or_init(start).send((command, answer)).ok().context("the thread that starts servers has ended")?;
    let child = answered.recv().context("the thread that starts servers has ended")?;
    child.with_context(|| format!("starting {description}"))
}

fn start() -> mpsc::Sender<Order> {
    let (orders, incoming) = mpsc::channel::<Order>();
    std::thread::spawn(move || {
        for (mut command, answer) in incoming {
            // Nobody waits any more when the test has been given up; then the child is dropped, and ends with this process.
            let _ = answer.send(command.spawn());
        }
    });
    orders
}
