//! In which order connections are closed: idle ones first, those that something is under way for last.

use std::collections::VecDeque;

/// How many busy ones are looked at again before each that is closed. So each of them is looked at some 64 times
/// while all are closed, however many there are.
const LOOKED_AT: usize = 64;

/// What is still to be closed.
pub(super) struct CloseOrder<T> {
    idle: VecDeque<T>,
    busy: VecDeque<T>,
}

impl<T> CloseOrder<T> {
    /// All that are to be closed.
    pub fn new(all: impl Iterator<Item = T>, is_busy: impl Fn(&T) -> bool) -> Self {
        let (busy, idle) = all.partition(is_busy);
        Self { idle, busy }
    }

    /// How many are left.
    pub fn len(&self) -> usize {
        self.idle.len() + self.busy.len()
    }

    /// The next one, as they are now.
    pub fn next(&mut self, is_busy: impl Fn(&T) -> bool) -> Option<T> {
        for _ in 0..self.busy.len().min(LOOKED_AT) {
            let open = self.busy.pop_front()?;
            let queue = if is_busy(&open) { &mut self.busy } else { &mut self.idle };
            queue.push_back(open);
        }
        while let Some(open) = self.idle.pop_front() {
            if !is_busy(&open) {
                return Some(open);
            }
            self.busy.push_back(open);
        }
        self.busy.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        cell::{Cell, RefCell},
        collections::HashSet,
    };

    use super::*;

    const MANY: usize = 500;

    fn all(mut order: CloseOrder<usize>, is_busy: impl Fn(&usize) -> bool) -> Vec<usize> {
        std::iter::from_fn(|| order.next(&is_busy)).collect()
    }

    #[test]
    fn idle_ones_go_first_however_many_are_busy() {
        // The busy ones come first, and are far more than are looked at in one turn.
        let is_busy = |open: &usize| *open < MANY;
        let order = CloseOrder::new(0..2 * MANY, is_busy);
        assert_eq!(order.len(), 2 * MANY);
        let closed = all(order, is_busy);
        assert!(closed[..MANY].iter().all(|open| !is_busy(open)), "{closed:?}");
        assert_eq!(closed.iter().collect::<HashSet<_>>().len(), 2 * MANY, "each goes once");
    }

    #[test]
    fn one_that_becomes_busy_goes_last() {
        let busy = RefCell::new(HashSet::new());
        let is_busy = |open: &usize| busy.borrow().contains(open);
        let order = CloseOrder::new(0..MANY, is_busy);
        busy.borrow_mut().extend(0..MANY / 2);
        let closed = all(order, is_busy);
        assert!(closed[..MANY / 2].iter().all(|open| !is_busy(open)), "{closed:?}");
    }

    #[test]
    fn one_that_becomes_idle_goes_before_those_that_stay_busy() {
        let turn = Cell::new(0);
        let mut order = CloseOrder::new(0..2 * MANY, |open| *open < MANY);
        // All but a hundred have what they waited for after a while.
        let is_busy = |open: &usize| *open < 100 || (turn.get() < 100 && *open < MANY);
        let closed: Vec<_> = std::iter::from_fn(|| {
            turn.set(turn.get() + 1);
            order.next(is_busy)
        })
        .collect();
        assert!(closed[..2 * MANY - 100].iter().all(|open| *open >= 100), "{closed:?}");
    }

    #[test]
    fn where_all_are_busy_all_go() {
        assert_eq!(all(CloseOrder::new(0..MANY, |_| true), |_| true).len(), MANY);
    }
}
