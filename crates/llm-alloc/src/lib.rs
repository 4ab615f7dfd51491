//! The allocator of programs that train.
//!
//! A training step asks for the same large blocks each time and gives them all back. An allocator
//! that hands them to the system in between pays for it twice: the system clears every page, one
//! fault at a time. On a LoRA step of 1.4 GB that is a tenth of the time, see `docs/log.md`.
//!
//! ```
//! #[global_allocator]
//! static ALLOCATOR: llm_alloc::MiMalloc = llm_alloc::MiMalloc;
//!
//! llm_alloc::keep_memory();
//! let step = vec![1.0f32; 1 << 20];
//! assert_eq!(step.len(), 1 << 20);
//! ```

pub use mimalloc::MiMalloc;

use libmimalloc_sys::{mi_option_large_os_pages, mi_option_set};

/// `mi_option_purge_delay` of mimalloc.h, which the bindings leave out.
const PURGE_DELAY: i32 = 15;
/// A delay that never ends.
const NEVER: std::ffi::c_long = -1;

/// From now on freed memory stays with the process, and new memory comes in huge pages where the
/// system gives them. For programs that use as much again soon; call it first in `main`.
///
/// The environment's `MIMALLOC_PURGE_DELAY` and `MIMALLOC_ALLOW_LARGE_OS_PAGES` come before it.
#[expect(unsafe_code, reason = "the allocator's options are C functions")]
pub fn keep_memory() {
    let asked = |name: &str| std::env::var_os(name).is_some();
    // SAFETY: both are options of this allocator's version, whose values are plain integers that it
    // reads whenever it decides; setting them touches no other memory.
    unsafe {
        if !asked("MIMALLOC_PURGE_DELAY") {
            mi_option_set(PURGE_DELAY, NEVER);
        }
        if !asked("MIMALLOC_ALLOW_LARGE_OS_PAGES") {
            mi_option_set(mi_option_large_os_pages, 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[global_allocator]
    static ALLOCATOR: MiMalloc = MiMalloc;

    #[cfg(target_os = "linux")]
    fn faults() -> u64 {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap()
            .split_whitespace()
            .collect();
        fields[7].parse().unwrap() // minor faults, field 10 of proc(5)
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_second_step_gets_the_memory_of_the_first() {
        const STEP: usize = 8;
        const BLOCK: usize = 4 << 20;
        /// Pages that other threads of the test may touch; a step has 8,192 of 4 KiB.
        const ELSEWHERE: u64 = 64;
        keep_memory();
        let step = || {
            let blocks: Vec<Vec<u8>> = (0..STEP).map(|i| vec![i as u8 + 1; BLOCK]).collect();
            assert!(blocks.iter().all(|block| block[BLOCK / 2] > 0));
        };
        step();
        // Longer than the usual delay, after which the allocator would have given the pages back.
        std::thread::sleep(std::time::Duration::from_millis(200));
        step();
        let before = faults();
        std::thread::sleep(std::time::Duration::from_millis(200));
        step();
        assert!(
            faults() - before < ELSEWHERE,
            "{} faults",
            faults() - before
        );
    }
}
