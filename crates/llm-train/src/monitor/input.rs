//! How long a run waits for its data.
//!
//! The loop holds a [`timed`] guard while it makes the batches of a step; [`take`] gives the time
//! since it was last called. Times belong to a thread, guards may stand inside one another.

use std::cell::Cell;
use std::marker::PhantomData;
use std::time::{Duration, Instant};

thread_local! {
    static SPENT: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    static OPEN: Cell<u32> = const { Cell::new(0) };
    static SLOW: Cell<bool> = const { Cell::new(false) };
    /// When this thread last had its input; for a planted slow disk.
    static READY: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// The shortest wait of a planted slow disk.
const SHORTEST_WAIT: Duration = Duration::from_millis(10);

/// Counts the time until it is dropped.
#[derive(Debug)]
pub struct Timed {
    begun: Instant,
    /// It belongs to the thread that made it.
    here: PhantomData<*const ()>,
}

/// Begins to count input time on this thread.
pub fn timed() -> Timed {
    let begun = Instant::now();
    OPEN.set(OPEN.get() + 1);
    if SLOW.get() {
        let computed = READY.get().map_or(Duration::ZERO, |ready| ready.elapsed());
        std::thread::sleep(computed.max(SHORTEST_WAIT));
    }
    Timed {
        begun,
        here: PhantomData,
    }
}

impl Drop for Timed {
    fn drop(&mut self) {
        OPEN.set(OPEN.get().saturating_sub(1));
        if OPEN.get() == 0 {
            SPENT.set(SPENT.get() + self.begun.elapsed());
            READY.set(Some(Instant::now()));
        }
    }
}

/// The input time of this thread since the last call.
pub fn take() -> Duration {
    SPENT.replace(Duration::ZERO)
}

/// Makes every later [`timed`] on this thread wait as long as was computed since the last one: a
/// planted slow disk, which takes half of the time of any run.
pub(super) fn slow(on: bool) {
    SLOW.set(on);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guards_inside_one_another_count_once() {
        take();
        let begun = Instant::now();
        {
            let _outer = timed();
            let _inner = timed();
            std::thread::sleep(Duration::from_millis(5));
        }
        let spent = take();
        assert!(spent >= Duration::from_millis(5) && spent <= begun.elapsed());
        assert_eq!(take(), Duration::ZERO);
    }
}
