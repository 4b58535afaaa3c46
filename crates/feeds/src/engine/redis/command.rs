//! Commands, and batches of them that go out together.

use redis::{Cmd, Value};

use super::keys::{Bucket, Key};
use super::script::Named;

/// One command on one key, or a script on keys of one bucket.
#[derive(Clone)]
pub(super) enum Command {
    Plain(Cmd),
    /// The deadline is added when it is sent: it stands in the time of the server.
    Script {
        script: &'static Named,
        keys: Vec<Vec<u8>>,
        arguments: Vec<Vec<u8>>,
    },
}

impl Command {
    /// Writes the command out for a server whose scripts must not begin after the deadline.
    pub(super) fn to_cmd(&self, deadline_ms: i64) -> Cmd {
        match self {
            Command::Plain(cmd) => cmd.clone(),
            Command::Script { script, keys, arguments } => {
                let mut cmd = redis::cmd("EVALSHA");
                cmd.arg(script.script.get_hash()).arg(keys.len()).arg(keys).arg(deadline_ms).arg(arguments);
                cmd
            }
        }
    }
}

/// Commands with the buckets that they go to, in their order.
#[derive(Clone, Default)]
pub(super) struct Batch {
    pub(super) items: Vec<(Bucket, Command)>,
}

impl Batch {
    pub(super) fn new() -> Batch {
        Batch::default()
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Adds a command whose only key is its first argument.
    pub(super) fn plain(&mut self, name: &str, key: &Key, more: impl FnOnce(&mut Cmd) -> &mut Cmd) {
        let mut cmd = Cmd::with_capacity(4, 64);
        cmd.arg(name).arg(key.name.as_slice());
        more(&mut cmd);
        self.items.push((key.bucket, Command::Plain(cmd)));
    }

    /// Adds a script. All keys lie in the bucket of the first.
    pub(super) fn script(&mut self, script: &'static Named, keys: &[Key], arguments: &[&[u8]]) {
        debug_assert!(keys.iter().all(|key| key.bucket == keys[0].bucket), "{}: keys of several buckets", script.name);
        self.script_together(script, keys, arguments);
    }

    /// Adds a script over keys that lie together, as [`Client::together`](super::client::Client::together) says.
    pub(super) fn script_together(&mut self, script: &'static Named, keys: &[Key], arguments: &[&[u8]]) {
        let bucket = keys.first().map_or(Bucket::SITE, |key| key.bucket);
        let keys = keys.iter().map(|key| key.name.clone()).collect();
        let arguments = arguments.iter().map(|argument| argument.to_vec()).collect();
        self.items.push((bucket, Command::Script { script, keys, arguments }));
    }
}

/// Answers in the form in which they are asked for. What is of another form than expected reads as nothing.
pub(super) trait Answer {
    fn bytes(&self) -> Option<&[u8]>;
    fn list(&self) -> &[Value];
    fn int(&self) -> i64;
    /// Reads a sorted set's score.
    fn score(&self) -> Option<i64>;
}

impl Answer for Value {
    fn bytes(&self) -> Option<&[u8]> {
        match self {
            Value::BulkString(bytes) => Some(bytes),
            _ => None,
        }
    }

    fn list(&self) -> &[Value] {
        match self {
            Value::Array(values) => values,
            _ => &[],
        }
    }

    fn int(&self) -> i64 {
        match self {
            Value::Int(number) => *number,
            _ => 0,
        }
    }

    fn score(&self) -> Option<i64> {
        match self {
            Value::Double(number) => Some(*number as i64),
            Value::BulkString(bytes) => std::str::from_utf8(bytes).ok()?.parse::<f64>().ok().map(|number| number as i64),
            _ => None,
        }
    }
}
