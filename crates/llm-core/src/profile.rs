//! Where the time of a step goes, operation by operation.
//!
//! Operations open a [`span`] around their forward and backward pass and say what they compute. The
//! recorder is off by default: a span then costs one relaxed load. While [`record`] runs, a span
//! counts its own time, without that of spans inside it, so the times of all rows add up to the
//! time of the outermost span.
//!
//! ```
//! use llm_core::profile::{Cost, record, span};
//! let (_, profile) = record(|| {
//!     let _step = span("everything else", || Cost::default());
//!     for _ in 0..3 {
//!         let _product = span("product", || Cost { flops: 10, bytes: 4 });
//!     }
//! });
//! let row = profile.row("product").unwrap();
//! assert_eq!((row.calls, row.flops, row.bytes), (3, 30, 12));
//! ```

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::kernels::allocator::{Allocated, allocated, count_while};

/// How many threads record.
static RECORDING: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// What this thread has recorded; `None` while it does not.
    static ROWS: RefCell<Option<Recording>> = const { RefCell::new(None) };
    /// What the closed spans inside the one that is open on this thread have used.
    static INSIDE: Cell<Used> = const { Cell::new(Used::NOTHING) };
}

/// What an operation computes and touches, from its shapes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Floating-point operations of matrix products: two for each multiply-add. Elementwise
    /// arithmetic counts as none, it is the bytes that cost.
    pub flops: u64,
    /// Bytes of the tensors that are read and written, each once.
    pub bytes: u64,
}

impl Cost {
    /// Touching `elements` of type `E` once, without arithmetic worth counting.
    pub fn touch<E>(elements: usize) -> Self {
        Self {
            flops: 0,
            bytes: (elements * size_of::<E>()) as u64,
        }
    }

    /// A matrix product `[m, k] · [k, n]`.
    pub fn product<E>(m: usize, k: usize, n: usize) -> Self {
        Self {
            flops: 2 * (m * k * n) as u64,
            ..Self::touch::<E>(m * k + k * n + m * n)
        }
    }

    /// `times` as much arithmetic and traffic.
    #[must_use]
    pub fn times(self, times: usize) -> Self {
        Self {
            flops: self.flops * times as u64,
            bytes: self.bytes * times as u64,
        }
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            flops: self.flops + other.flops,
            bytes: self.bytes + other.bytes,
        }
    }
}

/// Time and memory between two moments.
#[derive(Clone, Copy)]
struct Used {
    time: Duration,
    allocated: Allocated,
}

impl Used {
    const NOTHING: Self = Self {
        time: Duration::ZERO,
        allocated: Allocated { calls: 0, bytes: 0 },
    };

    fn without(self, other: Self) -> Self {
        Self {
            time: self.time.saturating_sub(other.time),
            allocated: Allocated {
                calls: self.allocated.calls.saturating_sub(other.allocated.calls),
                bytes: self.allocated.bytes.saturating_sub(other.allocated.bytes),
            },
        }
    }

    fn and(self, other: Self) -> Self {
        Self {
            time: self.time + other.time,
            allocated: Allocated {
                calls: self.allocated.calls + other.allocated.calls,
                bytes: self.allocated.bytes + other.allocated.bytes,
            },
        }
    }
}

/// All spans of one name.
#[derive(Clone, Copy, Debug, Default)]
pub struct Row {
    /// How many there were.
    pub calls: u64,
    /// Their time, without that of spans inside them.
    pub time: Duration,
    /// Floating-point operations.
    pub flops: u64,
    /// Bytes read and written.
    pub bytes: u64,
    /// Memory asked for, without that of spans inside; zero unless the process counts it.
    pub allocated: Allocated,
}

impl Row {
    fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.time += other.time;
        self.flops += other.flops;
        self.bytes += other.bytes;
        self.allocated.calls += other.allocated.calls;
        self.allocated.bytes += other.allocated.bytes;
    }
}

/// One span as it happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its name.
    pub name: &'static str,
    /// When it began, after the recording did.
    pub start: Duration,
    /// How long it was open, spans inside it included.
    pub time: Duration,
    /// What it computed and touched.
    pub cost: Cost,
}

/// Spans that a recording keeps one by one; later ones only count in their rows.
const MOST_EVENTS: usize = 1 << 18;

/// What a thread is recording.
#[derive(Debug)]
struct Recording {
    begun: Instant,
    rows: BTreeMap<&'static str, Row>,
    events: Vec<Event>,
}

/// What [`record`] saw.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    /// Rows by name, the longest time first.
    pub rows: Vec<(&'static str, Row)>,
    /// The spans one by one, in the order in which they ended; for a trace.
    pub events: Vec<Event>,
}

impl Profile {
    /// The row called `name`.
    pub fn row(&self, name: &str) -> Option<&Row> {
        self.rows
            .iter()
            .find(|(own, _)| *own == name)
            .map(|(_, row)| row)
    }

    /// All rows together.
    pub fn total(&self) -> Row {
        let mut total = Row::default();
        for (_, row) in &self.rows {
            total.add(row);
        }
        total
    }
}

/// Runs `work` with the recorder on for this thread, on which operations start; their kernels may
/// use others. A recording inside a recording takes over what happens in it. Allocations are those
/// of all threads.
pub fn record<R>(work: impl FnOnce() -> R) -> (R, Profile) {
    struct Off(Option<Recording>);
    impl Drop for Off {
        fn drop(&mut self) {
            RECORDING.fetch_sub(1, Relaxed);
            ROWS.set(self.0.take());
        }
    }
    RECORDING.fetch_add(1, Relaxed);
    let _off = Off(ROWS.replace(Some(Recording {
        begun: Instant::now(),
        rows: BTreeMap::new(),
        // Room for a step of a large model, so that growing is not counted as the model's.
        events: Vec::with_capacity(1 << 14),
    })));
    let result = count_while(work);
    let Some(recording) = ROWS.take() else {
        return (result, Profile::default());
    };
    let mut rows: Vec<_> = recording.rows.into_iter().collect();
    rows.sort_by_key(|(_, row)| std::cmp::Reverse(row.time));
    let events = recording.events;
    (result, Profile { rows, events })
}

/// Counts what happens until the result is dropped under `name`; `cost` is asked only while a
/// recording runs.
#[must_use = "a span ends when it is dropped: bind it to a name"]
pub fn span(name: &'static str, cost: impl FnOnce() -> Cost) -> Option<Span> {
    if RECORDING.load(Relaxed) == 0 || ROWS.with_borrow(Option::is_none) {
        return None;
    }
    Some(Span {
        name,
        cost: cost(),
        around: INSIDE.replace(Used::NOTHING),
        memory: allocated(),
        start: Instant::now(),
    })
}

/// An open span; dropping it closes it.
#[derive(Debug)]
pub struct Span {
    name: &'static str,
    cost: Cost,
    /// What the enclosing span had inside it before this one.
    around: Used,
    memory: Allocated,
    start: Instant,
}

impl std::fmt::Debug for Used {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}, {:?}", self.time, self.allocated)
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        let before = Used {
            time: Duration::ZERO,
            allocated: self.memory,
        };
        let whole = Used {
            time: self.start.elapsed(),
            allocated: allocated(),
        }
        .without(before);
        let own = whole.without(INSIDE.get());
        INSIDE.set(self.around.and(whole));
        ROWS.with_borrow_mut(|recording| {
            let Some(recording) = recording else { return };
            if recording.events.len() < MOST_EVENTS {
                recording.events.push(Event {
                    name: self.name,
                    start: self.start.saturating_duration_since(recording.begun),
                    time: whole.time,
                    cost: self.cost,
                });
            }
            recording.rows.entry(self.name).or_default().add(&Row {
                calls: 1,
                time: own.time,
                flops: self.cost.flops,
                bytes: self.cost.bytes,
                allocated: own.allocated,
            });
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rest() -> Option<Span> {
        span("rest", Cost::default)
    }

    #[test]
    fn own_times_of_nested_spans_add_up_to_the_outermost() {
        let (whole, profile) = record(|| {
            let start = Instant::now();
            {
                let _rest = rest();
                for _ in 0..4 {
                    let _outer = span("outer", Cost::default);
                    let _inner = span("inner", || Cost { flops: 3, bytes: 5 });
                    std::hint::black_box((0..10_000).sum::<u64>());
                }
            }
            start.elapsed()
        });
        let total = profile.total();
        assert_eq!((total.calls, total.flops, total.bytes), (9, 12, 20));
        assert!(total.time <= whole, "{:?} of {whole:?}", total.time);
        let ends = |event: &Event| event.start + event.time;
        let rest = *profile.events.last().unwrap();
        assert_eq!((rest.name, profile.events.len()), ("rest", 9));
        let inside = |event: &Event| event.start >= rest.start && ends(event) <= ends(&rest);
        assert!(profile.events.iter().all(inside), "{:?}", profile.events);
        assert!(profile.events.is_sorted_by_key(ends));
        let outer = profile.row("outer").unwrap();
        let inner = profile.row("inner").unwrap();
        assert_eq!((outer.calls, inner.calls), (4, 4));
        // Spans touch: what lies between them belongs to the one around them.
        let mut times: Vec<_> = profile.rows.iter().map(|row| row.1.time).collect();
        assert!(times.is_sorted_by(|a, b| a >= b), "{times:?}");
        times.retain(|time| !time.is_zero());
        assert!(!times.is_empty());
    }

    #[test]
    fn nothing_is_recorded_outside_a_recording() {
        let (_, empty) = record(|| ());
        assert!(empty.rows.is_empty() && empty.row("rest").is_none());
        let (_, one) = record(|| drop(rest()));
        assert_eq!(one.rows.len(), 1);
    }
}
