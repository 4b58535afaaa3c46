//! The checkpointer: one thread that puts the write-ahead log into the file beside the writer, so that no commit has to wait for it.
//!
//! A passive checkpoint waits for nobody and stops where a reader needs the log; it can't begin the log anew while the writer goes
//! on. That the writer does itself, when the log has grown to [`crate::schema::WAL_PAGES_MAX`], with little left to put in then.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use rusqlite::Connection;

use crate::error::{Error, Result};
use crate::file::Options;
use crate::schema::open_checkpointer;

/// Least time between two checkpoints. Small ones keep the disk's queue short: behind a large one, commits wait for their turn.
const EVERY: Duration = Duration::from_millis(30);

/// Tells the checkpointer that something was committed. It ends when this is dropped.
pub(crate) struct Bell(SyncSender<()>);

impl Bell {
    pub(crate) fn ring(&self) {
        // A full bell has been rung already; one without a listener has no use.
        let _ = self.0.try_send(());
    }
}

/// Starts the thread of one file.
pub(crate) fn start(path: &Path, name: &str, options: &Options) -> Result<Bell> {
    let connection = open_checkpointer(path, options)?;
    let (sender, rung) = sync_channel(1);
    let file = name.to_owned();
    std::thread::Builder::new()
        .name(format!("wal {name}"))
        .spawn(move || serve(&connection, &rung, &file))
        .map_err(|error| Error::Unavailable(format!("The checkpointer's thread could not be started: {error}.")))?;
    Ok(Bell(sender))
}

fn serve(connection: &Connection, rung: &Receiver<()>, file: &str) {
    while rung.recv().is_ok() {
        std::thread::sleep(EVERY);
        let _ = rung.try_recv();
        if let Err(error) = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
            tracing::warn!(file, %error, "the write-ahead log was not put into the file now; it will be after the next commits");
        }
    }
}
