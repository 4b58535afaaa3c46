//! How far an operation is, for people: a line on the terminal that counts; elsewhere nothing but what is worth a line.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use parking_lot::Mutex;

/// Shows what a storage operation tells.
pub struct Terminal {
    bar: Mutex<ProgressBar>,
}

impl Terminal {
    pub fn new() -> Terminal {
        Terminal { bar: Mutex::new(ProgressBar::hidden()) }
    }
}

impl storage::Progress for Terminal {
    fn begin(&self, what: &str, total: Option<u64>) {
        let mut bar = self.bar.lock();
        bar.finish_and_clear();
        let (new, template) = match total {
            Some(total) => (ProgressBar::new(total), "{bar:30} {pos}/{len}  {per_sec}  {eta} left  {msg}"),
            None => (ProgressBar::new_spinner(), "{spinner} {msg}  {pos}"),
        };
        *bar = new.with_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message(what.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
    }

    fn advance(&self, units: u64) {
        self.bar.lock().inc(units);
    }

    fn say(&self, line: &str) {
        self.bar.lock().suspend(|| eprintln!("{line}"));
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.bar.lock().finish_and_clear();
    }
}
