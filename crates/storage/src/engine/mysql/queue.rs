//! What waits to be written to one server, and when it is worth a transaction of its own.
//!
//! ```text
//! nothing is being written   whatever waits goes at once; while writes come thick and fast, fewer than four wait 2 ms for company
//! a group is being written   the next one begins beside it once it would be half as large, and no smaller than four; else when it has ended
//! ```
//! A commit costs the server some 400 µs whatever is in it, and 20 µs a row: small groups beside a large one take more than they give. Half
//! as large came out best of a half, two thirds and as large (docs/benchmarks.md). Who writes alone, or one thing after the other, never waits.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

/// Items in one group. More would make the first wait long for the last.
const GROUP_ITEMS_MAX: usize = 256;
/// Bytes of data in one group; an item that is larger goes alone.
const GROUP_BYTES_MAX: usize = 4 << 20;
/// The smallest group that is written beside another one.
const BESIDE_MIN: usize = 4;
/// How long a smaller group waits for company.
const COMPANY_WAIT: Duration = Duration::from_millis(2);
/// Writes come thick and fast when so many have come within so long: more than one person's doing makes.
const BUSY_ITEMS: usize = 8;
const BUSY_WITHIN: Duration = Duration::from_millis(20);
/// Items that wait; the next caller waits to be let in.
const WAITING_MAX: usize = 1_024;

pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    /// Wakes one of those who take.
    wake: Notify,
    room: Semaphore,
}

struct State<T> {
    /// What waits, with its bytes and since when.
    waiting: VecDeque<(T, usize, Instant)>,
    /// When the last few came.
    came: VecDeque<Instant>,
    /// Sizes of the groups that are being written.
    writing: Vec<usize>,
    is_closed: bool,
}

/// What there is for who takes.
enum Next<T> {
    Group(Vec<T>),
    /// A small group that waits for company until then.
    After(Instant),
    /// Nothing before something changes.
    Nothing,
}

/// A group that is being written, until this is dropped.
pub(super) struct Taken<'a, T> {
    queue: &'a Queue<T>,
    size: usize,
    pub group: Vec<T>,
}

impl<T> Drop for Taken<'_, T> {
    fn drop(&mut self) {
        let mut state = self.queue.state.lock();
        if let Some(place) = state.writing.iter().position(|size| *size == self.size) {
            state.writing.swap_remove(place);
        }
        drop(state);
        self.queue.wake.notify_one();
    }
}

impl<T> Default for Queue<T> {
    fn default() -> Queue<T> {
        let state = State { waiting: VecDeque::new(), came: VecDeque::with_capacity(BUSY_ITEMS), writing: Vec::new(), is_closed: false };
        Queue { state: Mutex::new(state), wake: Notify::new(), room: Semaphore::new(WAITING_MAX) }
    }
}

impl<T> State<T> {
    fn push(&mut self, item: T, bytes: usize, now: Instant) {
        if self.came.len() == BUSY_ITEMS {
            self.came.pop_front();
        }
        self.came.push_back(now);
        self.waiting.push_back((item, bytes, now));
    }

    fn next(&mut self, now: Instant) -> Next<T> {
        let enough = self.writing.iter().map(|size| size.div_ceil(2).max(BESIDE_MIN)).max().unwrap_or(1);
        let Some((_, _, since)) = self.waiting.front().filter(|_| self.waiting.len() >= enough) else { return Next::Nothing };
        let is_busy = self.came.len() == BUSY_ITEMS && self.came.front().is_some_and(|first| now - *first < BUSY_WITHIN);
        if is_busy && self.waiting.len() < BESIDE_MIN && now - *since < COMPANY_WAIT && !self.is_closed {
            return Next::After(*since + COMPANY_WAIT);
        }
        let (mut group, mut bytes) = (Vec::with_capacity(self.waiting.len().min(GROUP_ITEMS_MAX)), 0);
        while group.len() < GROUP_ITEMS_MAX
            && let Some((_, more, _)) = self.waiting.front()
            && (group.is_empty() || bytes + more <= GROUP_BYTES_MAX)
        {
            bytes += more;
            group.extend(self.waiting.pop_front().map(|(item, ..)| item));
        }
        self.writing.push(group.len());
        Next::Group(group)
    }
}

impl<T> Queue<T> {
    /// Lets an item of so many bytes wait. False: the queue is closed.
    pub async fn push(&self, item: T, bytes: usize) -> bool {
        let Ok(room) = self.room.acquire().await else { return false };
        room.forget();
        self.state.lock().push(item, bytes, Instant::now());
        self.wake.notify_one();
        true
    }

    /// Waits for the next group. `None`: the queue is closed, and nothing waits any more.
    pub async fn take(&self) -> Option<Taken<'_, T>> {
        loop {
            let company_by = {
                let mut state = self.state.lock();
                let company_by = match state.next(Instant::now()) {
                    Next::Group(group) => {
                        self.room.add_permits(group.len());
                        return Some(Taken { queue: self, size: group.len(), group });
                    }
                    Next::After(then) => Some(then),
                    Next::Nothing => None,
                };
                if state.is_closed && state.waiting.is_empty() {
                    drop(state);
                    // The next one that takes learns of it too.
                    self.wake.notify_one();
                    return None;
                }
                company_by
            };
            match company_by {
                // Woken or not, it is looked again.
                Some(then) => drop(tokio::time::timeout_at(then, self.wake.notified()).await),
                None => self.wake.notified().await,
            }
        }
    }

    /// Lets nobody in any more; what waits is still written.
    pub fn close(&self) {
        self.room.close();
        self.state.lock().is_closed = true;
        self.wake.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::FutureExt;

    use super::*;

    async fn queue(items: usize) -> Queue<usize> {
        let queue = Queue::default();
        for item in 0..items {
            assert!(queue.push(item, 1).await);
        }
        queue
    }

    fn take(queue: &Queue<usize>) -> Option<Taken<'_, usize>> {
        queue.take().now_or_never().map(|taken| taken.expect("open"))
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_goes_together_and_the_next_group_begins_when_it_is_half_as_large() {
        let queue = queue(9).await;
        let first = take(&queue).expect("nothing is being written");
        assert_eq!(first.group, [0, 1, 2, 3, 4, 5, 6, 7, 8]);
        for item in 9..13 {
            queue.push(item, 1).await;
        }
        assert!(take(&queue).is_none(), "four beside nine");
        queue.push(13, 1).await;
        let second = take(&queue).expect("five beside nine");
        assert_eq!(second.group, [9, 10, 11, 12, 13]);
        for item in 14..17 {
            queue.push(item, 1).await;
        }
        drop(first);
        assert!(take(&queue).is_none(), "three beside five, which are too few for a transaction beside another");
        queue.push(17, 1).await;
        drop(take(&queue).expect("four beside five"));
        tokio::time::advance(BUSY_WITHIN).await;
        queue.push(18, 1).await;
        drop(second);
        assert_eq!(take(&queue).expect("nothing is being written").group, [18]);
    }

    #[tokio::test(start_paused = true)]
    async fn while_writes_come_thick_and_fast_a_small_group_waits_for_company() {
        let queue = queue(BUSY_ITEMS).await;
        drop(take(&queue).expect("many"));
        queue.push(8, 1).await;
        assert!(take(&queue).is_none(), "others will come");
        queue.push(9, 1).await;
        let since = Instant::now();
        assert_eq!(queue.take().await.expect("open").group, [8, 9]);
        assert_eq!(since.elapsed(), COMPANY_WAIT);
        for item in 10..14 {
            queue.push(item, 1).await;
        }
        drop(take(&queue).expect("company enough"));
        tokio::time::advance(BUSY_WITHIN).await;
        queue.push(14, 1).await;
        drop(take(&queue).expect("alone again"));
    }

    #[tokio::test]
    async fn groups_have_limits() {
        let queue = queue(GROUP_ITEMS_MAX * 2 + 1).await;
        let groups = [take(&queue), take(&queue), take(&queue)];
        let sizes = groups.iter().map(|group| group.as_ref().map(|group| group.group.len()));
        assert!(sizes.eq([Some(GROUP_ITEMS_MAX), Some(GROUP_ITEMS_MAX), None]));
        drop(groups);
        let queue = Queue::default();
        for bytes in [GROUP_BYTES_MAX + 1, GROUP_BYTES_MAX, 1] {
            queue.push(bytes, bytes).await;
        }
        for wanted in [GROUP_BYTES_MAX + 1, GROUP_BYTES_MAX, 1] {
            assert_eq!(take(&queue).expect("a group").group, [wanted]);
        }
    }

    #[tokio::test]
    async fn who_finds_it_full_waits_and_who_finds_it_closed_is_told() {
        let queue = queue(WAITING_MAX).await;
        assert!(queue.push(0, 1).now_or_never().is_none());
        drop(take(&queue));
        assert!(queue.push(0, 1).await);
        queue.close();
        assert!(!queue.push(0, 1).await);
        let mut left = 0;
        while let Some(taken) = queue.take().await {
            left += taken.group.len();
        }
        assert_eq!(left, WAITING_MAX - GROUP_ITEMS_MAX + 1);
    }
}
