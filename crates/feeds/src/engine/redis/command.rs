//! Commands, and batches of them that go out together: written out once, as Redis takes them, one behind the other.
//!
//! ```text
//! *3␍␊ $4␍␊MGET␍␊ $26␍␊{f7b}:p:241294629943640797␍␊ …          a command: how many words, and each with its length
//! … $7␍␊EVALSHA␍␊ $40␍␊hash␍␊ $1␍␊1␍␊ $…␍␊key␍␊ $13␍␊0000000000000␍␊ …    a script's deadline is filled in where it is sent
//! ```

use super::keys::{self, Bucket, Key};
use super::script::Named;

/// Digits of a deadline: milliseconds since 1970, until the year 2286.
const DEADLINE_DIGITS: usize = 13;

/// A command of a batch, and whether it carries a deadline.
#[derive(Clone, Copy)]
struct Item {
    bucket: Bucket,
    start: usize,
    end: usize,
    /// Where the digits stand, from the command's start.
    deadline: Option<usize>,
}

/// Commands with the buckets that they go to, in their order.
#[derive(Clone, Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    items: Vec<Item>,
}

/// One command, as it lies in its batch.
#[derive(Clone, Copy)]
pub(super) struct Command<'a> {
    bytes: &'a [u8],
    deadline: Option<usize>,
}

impl Command<'_> {
    /// Writes the command out for a server whose scripts must not begin after the deadline: it stands in the time of the server.
    pub(super) fn write(&self, deadline_ms: i64, to: &mut Vec<u8>) {
        let start = to.len();
        to.extend_from_slice(self.bytes);
        if let Some(place) = self.deadline {
            let mut left = deadline_ms.max(0);
            for digit in to[start + place..start + place + DEADLINE_DIGITS].iter_mut().rev() {
                *digit = b'0' + (left % 10) as u8;
                left /= 10;
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }
}

/// A command while it is written.
pub(super) struct Words {
    bytes: Vec<u8>,
    count: usize,
}

impl Words {
    pub(super) fn arg(&mut self, word: impl Word) -> &mut Words {
        self.count += 1;
        word.write(&mut self.bytes);
        self
    }
}

/// What can stand in a command.
pub(super) trait Word: Sync {
    fn write(&self, to: &mut Vec<u8>);
}

impl Word for [u8] {
    fn write(&self, to: &mut Vec<u8>) {
        to.push(b'$');
        keys::decimal(to, self.len() as u64);
        to.extend_from_slice(b"\r\n");
        to.extend_from_slice(self);
        to.extend_from_slice(b"\r\n");
    }
}

impl Word for Vec<u8> {
    fn write(&self, to: &mut Vec<u8>) {
        self[..].write(to);
    }
}

impl Word for str {
    fn write(&self, to: &mut Vec<u8>) {
        self.as_bytes().write(to);
    }
}

fn write_number(is_negative: bool, number: u64, to: &mut Vec<u8>) {
    let mut text = Vec::with_capacity(20);
    if is_negative {
        text.push(b'-');
    }
    keys::decimal(&mut text, number);
    text.write(to);
}

impl Word for i64 {
    fn write(&self, to: &mut Vec<u8>) {
        write_number(*self < 0, self.unsigned_abs(), to);
    }
}

impl Word for u64 {
    fn write(&self, to: &mut Vec<u8>) {
        write_number(false, *self, to);
    }
}

impl Word for i32 {
    fn write(&self, to: &mut Vec<u8>) {
        i64::from(*self).write(to);
    }
}

impl Word for usize {
    fn write(&self, to: &mut Vec<u8>) {
        (*self as u64).write(to);
    }
}

impl<T: Word + ?Sized> Word for &T {
    fn write(&self, to: &mut Vec<u8>) {
        (*self).write(to);
    }
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

    pub(super) fn bucket(&self, place: usize) -> Bucket {
        self.items[place].bucket
    }

    pub(super) fn command(&self, place: usize) -> Command<'_> {
        let Item { start, end, deadline, .. } = self.items[place];
        Command { bytes: &self.bytes[start..end], deadline }
    }

    pub(super) fn commands(&self) -> Vec<Command<'_>> {
        (0..self.len()).map(|place| self.command(place)).collect()
    }

    /// Adds a command whose only key is its first argument.
    pub(super) fn plain(&mut self, name: &str, key: &Key, more: impl FnOnce(&mut Words) -> &mut Words) {
        self.add(key.bucket, |words| {
            more(words.arg(name).arg(&key.name));
            None
        });
    }

    /// Adds a command that has no key, for a server that is named.
    pub(super) fn keyless(&mut self, words: &[&dyn Word]) {
        self.add(Bucket::SITE, |command| {
            words.iter().for_each(|word| {
                command.arg(*word);
            });
            None
        });
    }

    /// Adds a script. All keys lie in the bucket of the first.
    pub(super) fn script(&mut self, script: &'static Named, keys: &[Key], arguments: &[&[u8]]) {
        debug_assert!(keys.iter().all(|key| key.bucket == keys[0].bucket), "{}: keys of several buckets", script.name);
        self.script_together(script, keys.iter(), arguments);
    }

    /// Adds a script over keys that lie together, as [`Client::together`](super::client::Client::together) says.
    pub(super) fn script_together<'a>(
        &mut self,
        script: &'static Named,
        keys: impl ExactSizeIterator<Item = &'a Key> + Clone,
        arguments: &[&[u8]],
    ) {
        let bucket = keys.clone().next().map_or(Bucket::SITE, |key| key.bucket);
        self.add(bucket, |words| {
            words.arg("EVALSHA").arg(script.hash.as_str()).arg(keys.len());
            keys.for_each(|key| {
                words.arg(&key.name);
            });
            words.arg(&[b'0'; DEADLINE_DIGITS][..]);
            let deadline = words.bytes.len() - DEADLINE_DIGITS - 2;
            arguments.iter().for_each(|argument| {
                words.arg(*argument);
            });
            Some(deadline)
        });
    }

    /// Adds a command; `write` tells where in all bytes its deadline stands.
    fn add(&mut self, bucket: Bucket, write: impl FnOnce(&mut Words) -> Option<usize>) {
        let start = self.bytes.len();
        let mut words = Words { bytes: std::mem::take(&mut self.bytes), count: 0 };
        let deadline = write(&mut words);
        let Words { mut bytes, count } = words;
        let body = bytes.len();
        // How many words there are is known last and stands first.
        bytes.push(b'*');
        keys::decimal(&mut bytes, count as u64);
        bytes.extend_from_slice(b"\r\n");
        let head = bytes.len() - body;
        bytes[start..].rotate_right(head);
        let deadline = deadline.map(|place| place - start + head);
        self.items.push(Item { bucket, start, end: bytes.len(), deadline });
        self.bytes = bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::super::script::PUT;
    use super::*;

    fn written(batch: &Batch, deadline_ms: i64) -> String {
        let mut bytes = Vec::new();
        batch.commands().iter().for_each(|command| command.write(deadline_ms, &mut bytes));
        String::from_utf8(bytes).expect("commands of text")
    }

    #[test]
    fn commands_are_written_as_drawn() {
        let key = Key { bucket: Bucket(7), name: b"k".to_vec() };
        let mut batch = Batch::new();
        batch.plain("LRANGE", &key, |words| words.arg(0_usize).arg(-1_i64));
        batch.plain("GET", &key, |words| words);
        batch.keyless(&[&"SCAN", &"0"]);
        let expected =
            "*4\r\n$6\r\nLRANGE\r\n$1\r\nk\r\n$1\r\n0\r\n$2\r\n-1\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*2\r\n$4\r\nSCAN\r\n$1\r\n0\r\n";
        assert_eq!(written(&batch, 5), expected);
        assert_eq!((batch.len(), batch.bucket(0), batch.bucket(2)), (3, Bucket(7), Bucket::SITE));
        assert_eq!(batch.command(1).len(), "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n".len());
    }

    #[test]
    fn a_script_carries_the_deadline_of_whoever_sends_it() {
        let key = Key { bucket: Bucket(7), name: b"k".to_vec() };
        let mut batch = Batch::new();
        batch.plain("GET", &key, |words| words);
        batch.script(&PUT, std::slice::from_ref(&key), &[b"value", b"9"]);
        for deadline in [1_764_158_400_123, 7] {
            let script = format!(
                "*7\r\n$7\r\nEVALSHA\r\n$40\r\n{}\r\n$1\r\n1\r\n$1\r\nk\r\n$13\r\n{deadline:013}\r\n$5\r\nvalue\r\n$1\r\n9\r\n",
                PUT.hash.as_str()
            );
            assert!(written(&batch, deadline).ends_with(&script), "{}", written(&batch, deadline));
        }
    }
}
