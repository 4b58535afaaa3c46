//! Gathering: what waits while calls are under way goes together in the next one.
//!
//! ```text
//! idle:   a ─▶ call(a) at once
//! busy:   b, c, d wait ─▶ as soon as a call ends: call(b, c, d)
//! ```
//!
//! There is no timer to wait for: an idle client's question goes out at once, and the busier the client is the more each call carries.
//! A call that is slow gives its place away after a while, so that a question that takes long does not hold up those behind it.

use std::collections::VecDeque;

use parking_lot::Mutex;

/// What waits to be sent, and how many carriers take it away.
pub(super) struct Gather<T> {
    state: Mutex<State<T>>,
    limits: Limits,
}

/// How much one call carries, and how many calls there are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Carriers at a time, those that gave their place away not counted.
    pub(super) carriers_max: usize,
    /// Items of one call.
    pub(super) items_max: usize,
    /// Bytes of one call; an item that is larger goes alone.
    pub(super) bytes_max: usize,
}

struct State<T> {
    waiting: VecDeque<(usize, T)>,
    carriers: usize,
}

impl<T> Gather<T> {
    pub(super) fn new(limits: Limits) -> Gather<T> {
        Gather { state: Mutex::new(State { waiting: VecDeque::new(), carriers: 0 }), limits }
    }

    /// Adds an item of about `bytes`. True: start a carrier, which [`Gather::take`]s until there is nothing more.
    #[must_use]
    pub(super) fn push(&self, bytes: usize, item: T) -> bool {
        let mut state = self.state.lock();
        state.waiting.push_back((bytes, item));
        self.admit(&mut state)
    }

    /// Takes what goes into the next call: the oldest items that `alike` lets go together with the very oldest, as the limits allow.
    /// `None`: nothing waits, and the carrier has ended.
    pub(super) fn take(&self, alike: impl Fn(&T, &T) -> bool) -> Option<Vec<T>> {
        let mut state = self.state.lock();
        let Some((mut bytes, first)) = state.waiting.pop_front() else {
            state.carriers -= 1;
            return None;
        };
        let mut taken = vec![first];
        while taken.len() < self.limits.items_max
            && let Some((more, item)) = state.waiting.pop_front()
        {
            if bytes + more > self.limits.bytes_max || !alike(&taken[0], &item) {
                state.waiting.push_front((more, item));
                break;
            }
            bytes += more;
            taken.push(item);
        }
        Some(taken)
    }

    /// Gives a carrier's place away while its call goes on. True: start another carrier.
    #[must_use]
    pub(super) fn give_way(&self) -> bool {
        let mut state = self.state.lock();
        state.carriers -= 1;
        !state.waiting.is_empty() && self.admit(&mut state)
    }

    fn admit(&self, state: &mut State<T>) -> bool {
        let is_free = state.carriers < self.limits.carriers_max;
        state.carriers += usize::from(is_free);
        is_free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gather(carriers_max: usize) -> Gather<u32> {
        Gather::new(Limits { carriers_max, items_max: 3, bytes_max: 100 })
    }

    #[test]
    fn the_first_goes_at_once_and_the_rest_together() {
        let gather = gather(1);
        let any = |_: &u32, _: &u32| true;
        assert!(gather.push(1, 1), "idle: a carrier starts");
        assert_eq!(gather.take(any), Some(vec![1]));
        assert!(!gather.push(1, 2), "busy: it waits");
        assert!(!gather.push(1, 3));
        assert_eq!(gather.take(any), Some(vec![2, 3]));
        assert_eq!(gather.take(any), None);
        assert!(gather.push(1, 4), "idle again");
    }

    #[test]
    fn calls_have_limits_and_keep_the_order() {
        let gather = gather(1);
        let starts: Vec<bool> = [(1, 10), (1, 12), (1, 14), (1, 16), (60, 18), (60, 20), (500, 22), (1, 23), (1, 24)]
            .map(|(bytes, item)| gather.push(bytes, item))
            .into();
        assert_eq!(starts.iter().filter(|start| **start).count(), 1);
        let mut calls = Vec::new();
        while let Some(call) = gather.take(|first, other| first % 2 == other % 2) {
            calls.push(call);
        }
        assert_eq!(calls, [vec![10, 12, 14], vec![16, 18], vec![20], vec![22], vec![23], vec![24]]);
    }

    #[test]
    fn a_slow_call_gives_its_place_away() {
        let gather = gather(1);
        let any = |_: &u32, _: &u32| true;
        assert!(gather.push(1, 1));
        assert_eq!(gather.take(any), Some(vec![1]));
        assert!(!gather.push(1, 2));
        assert!(gather.give_way(), "somebody waits: another carrier starts");
        assert_eq!(gather.take(any), Some(vec![2]));
        assert!(!gather.give_way(), "nobody waits");
        assert!(gather.push(1, 3));
    }
}
