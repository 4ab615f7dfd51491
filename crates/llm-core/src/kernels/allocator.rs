//! A global allocator that counts, for the step profile.
//!
//! ```
//! use std::alloc::System;
//!
//! use llm_core::kernels::allocator::{Counting, allocated, count_while};
//!
//! #[global_allocator]
//! static ALLOCATOR: Counting<System> = Counting(System);
//!
//! let before = allocated();
//! let values = count_while(|| vec![0u8; 4096]);
//! let after = allocated();
//! assert!(after.calls > before.calls && after.bytes >= before.bytes + values.len() as u64);
//! drop(vec![0u8; 4096]); // nobody counts any more
//! assert_eq!(allocated(), after);
//! ```

use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

static COUNTING: AtomicBool = AtomicBool::new(false);
static CALLS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

/// Passes everything on to `A` and counts what is asked for inside [`count_while`]; outside, an
/// allocation costs one relaxed load more.
#[derive(Clone, Copy, Debug)]
pub struct Counting<A>(pub A);

/// What all threads of the process have asked for while somebody counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allocated {
    /// Calls that asked for memory.
    pub calls: u64,
    /// The bytes they asked for.
    pub bytes: u64,
}

/// The counts so far; they stay at zero unless [`Counting`] is the global allocator.
pub fn allocated() -> Allocated {
    Allocated {
        calls: CALLS.load(Relaxed),
        bytes: BYTES.load(Relaxed),
    }
}

/// Counts the allocations of all threads while `work` runs.
pub fn count_while<R>(work: impl FnOnce() -> R) -> R {
    struct Stop(bool);
    impl Drop for Stop {
        fn drop(&mut self) {
            COUNTING.store(self.0, Relaxed);
        }
    }
    let _stop = Stop(COUNTING.swap(true, Relaxed));
    work()
}

fn count(bytes: usize) {
    if COUNTING.load(Relaxed) {
        CALLS.fetch_add(1, Relaxed);
        BYTES.fetch_add(bytes as u64, Relaxed);
    }
}

// SAFETY: every call goes unchanged to `A`, which keeps the contract; counting touches atomics only
// and neither allocates nor unwinds.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Counting<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promise is the one that `A` asks for.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: as in `alloc`.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, start: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        // SAFETY: as in `alloc`; `start` came from `A`, as everything does.
        unsafe { self.0.realloc(start, layout, size) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        // SAFETY: as in `realloc`.
        unsafe { self.0.dealloc(start, layout) }
    }
}
