//! Work shared out over threads, with results that do not depend on how many there are.
//!
//! The threads are those of Candle's barrier pool: a second pool beside it would spin against its
//! workers. Work comes as numbered items, each of which computes its outputs alone from inputs that
//! nobody writes; so which thread takes an item, and how many items it takes at once, cannot
//! change a bit. Sums across items are the caller's, in item order.
//!
//! ```
//! # fn main() -> llm_core::Result<()> {
//! let threads = llm_core::kernels::pool::set_threads(2)?;
//! assert!(threads == 1 || threads == 2);
//! assert!(llm_core::kernels::pool::set_threads(0).is_err());
//! # Ok(()) }
//! ```

use std::cell::Cell;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use candle_core::utils::barrier_pool;

use super::simd::Real;
use crate::{Error, Result};

/// How many portions of work there are for each thread: more lets a fast thread take over from a
/// slow one, fewer touches the shared counter less.
const PORTIONS_PER_THREAD: usize = 8;

/// The most threads that work is given to, the caller's included.
static LIMIT: AtomicUsize = AtomicUsize::new(usize::MAX);
/// Whether the pool has its threads, whose number is then final.
static STARTED: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// Whether this thread is inside [`parallel`]; the pool's lock is not reentrant.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Limits all kernels of this process to `n` threads and returns how many there will be.
///
/// Call it first in `main`: as long as the process has no other thread, the pool is made with
/// `n` threads, even if that is more than the machine has cores. Later it can only lower the
/// number. The bits of every result are the same for every `n`.
///
/// # Errors
/// `n` is 0.
pub fn set_threads(n: usize) -> Result<usize> {
    if n == 0 {
        return Err(Error::input("--threads", "is 0, expected at least 1"));
    }
    if !STARTED.load(Ordering::SeqCst) && only_thread() {
        let value = n.to_string();
        for key in ["RAYON_NUM_THREADS", "CANDLE_NUM_THREADS"] {
            // SAFETY: this thread is the only one of the process, so none reads the environment
            // at the same time.
            unsafe { std::env::set_var(key, &value) };
        }
    }
    LIMIT.store(n, Ordering::SeqCst);
    Ok(threads())
}

/// How many threads kernels run on.
pub fn threads() -> usize {
    STARTED.store(true, Ordering::SeqCst);
    (barrier_pool().n_workers() + 1).min(LIMIT.load(Ordering::Relaxed))
}

/// Whether the process is known to have this thread alone.
#[cfg(target_os = "linux")]
fn only_thread() -> bool {
    std::fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() == 1)
}

/// Whether setting the environment is sound: always on Windows, unknown elsewhere.
#[cfg(not(target_os = "linux"))]
fn only_thread() -> bool {
    cfg!(windows)
}

/// Calls `work` with ranges that cover `0..items` once, on as many threads as there are.
///
/// `grain` is the fewest items that are worth handing to another thread; no more items than that
/// run on the caller's. Nested calls run on the thread they come from.
pub(crate) fn parallel(items: usize, grain: usize, work: impl Fn(Range<usize>) + Sync) {
    let grain = grain.max(1);
    if items == 0 {
        return;
    }
    if items <= grain || INSIDE.get() {
        return work(0..items);
    }
    let threads = threads().min(items.div_ceil(grain));
    if threads == 1 {
        return work(0..items);
    }
    let portion = items.div_ceil(threads * PORTIONS_PER_THREAD).max(grain);
    let next = AtomicUsize::new(0);
    let workers = barrier_pool().n_workers();
    barrier_pool().execute(|id| {
        // The caller comes last in Candle's numbering; it is always among those who work.
        if (id + 1) % (workers + 1) >= threads {
            return;
        }
        let _inside = Inside::enter();
        loop {
            let start = next.fetch_add(portion, Ordering::Relaxed);
            if start >= items {
                return;
            }
            work(start..items.min(start + portion));
        }
    });
}

/// Marks the thread as being inside [`parallel`] until dropped.
struct Inside;

impl Inside {
    fn enter() -> Self {
        INSIDE.set(true);
        Self
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.set(false);
    }
}

/// Outputs that fall into numbered pieces, no two of which overlap.
///
/// # Safety
/// For different `index` below `count`, the pieces share no memory, and the memory is the
/// implementor's alone while it lives.
pub(crate) unsafe trait Split: Sync {
    /// One piece, to be written by one thread.
    type Piece;

    /// The number of pieces.
    fn count(&self) -> usize;

    /// The piece `index`.
    ///
    /// # Safety
    /// `index` is below `count`, and no other use of that piece or of the whole is alive as long
    /// as what is returned.
    unsafe fn piece(&self, index: usize) -> Self::Piece;
}

/// Calls `work` with each piece of `outputs` and its index, in parallel; see [`parallel`] for
/// `grain`. Several outputs go together as a tuple.
pub(crate) fn for_each<S: Split>(outputs: S, grain: usize, work: impl Fn(usize, S::Piece) + Sync) {
    parallel(outputs.count(), grain, |range| {
        for index in range {
            // SAFETY: `parallel` gives each index below `count` to one thread, once.
            work(index, unsafe { outputs.piece(index) });
        }
    });
}

/// A slice in chunks of `chunk` elements; the last may be shorter.
pub(crate) struct Chunks<'a, T> {
    start: *mut T,
    len: usize,
    chunk: usize,
    slice: PhantomData<&'a mut [T]>,
}

impl<'a, T> Chunks<'a, T> {
    pub(crate) fn new(slice: &'a mut [T], chunk: usize) -> Self {
        let (len, chunk) = (slice.len(), chunk.max(1));
        Self {
            start: slice.as_mut_ptr(),
            len,
            chunk,
            slice: PhantomData,
        }
    }
}

// SAFETY: it is a `&mut [T]` handed out in disjoint parts, so sharing it is sending those parts.
unsafe impl<T: Send> Sync for Chunks<'_, T> {}

// SAFETY: piece i is the elements from i · chunk up to the next piece, of a slice that is
// borrowed mutably for the life of `Chunks`.
unsafe impl<'a, T: Send> Split for Chunks<'a, T> {
    type Piece = &'a mut [T];

    fn count(&self) -> usize {
        self.len.div_ceil(self.chunk)
    }

    unsafe fn piece(&self, index: usize) -> &'a mut [T] {
        let from = index * self.chunk;
        let len = self.chunk.min(self.len - from);
        // SAFETY: from < len of the slice since index < count, and the caller owns the piece.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(from), len) }
    }
}

// SAFETY: pieces of each part are disjoint, so pairs of them are.
unsafe impl<A: Split, B: Split> Split for (A, B) {
    type Piece = (A::Piece, B::Piece);

    fn count(&self) -> usize {
        self.0.count().min(self.1.count())
    }

    unsafe fn piece(&self, index: usize) -> Self::Piece {
        // SAFETY: index is below both counts, and the caller owns the piece.
        unsafe { (self.0.piece(index), self.1.piece(index)) }
    }
}

// SAFETY: as for pairs.
unsafe impl<A: Split, B: Split, C: Split> Split for (A, B, C) {
    type Piece = (A::Piece, B::Piece, C::Piece);

    fn count(&self) -> usize {
        self.0.count().min(self.1.count()).min(self.2.count())
    }

    unsafe fn piece(&self, index: usize) -> Self::Piece {
        // SAFETY: index is below all counts, and the caller owns the piece.
        unsafe {
            (
                self.0.piece(index),
                self.1.piece(index),
                self.2.piece(index),
            )
        }
    }
}

/// A row-major matrix in tiles, numbered down the columns of tiles: all row blocks of the first
/// column block, then of the next.
pub(crate) struct Tiles<'a, T> {
    start: *mut T,
    rows: usize,
    columns: usize,
    /// The columns that are tiled.
    within: Range<usize>,
    tile_rows: usize,
    tile_columns: usize,
    slice: PhantomData<&'a mut [T]>,
}

impl<'a, T> Tiles<'a, T> {
    /// Tiles of at most `tile` = (rows, columns) over `slice`, which holds `shape` = (rows,
    /// columns).
    pub(crate) fn new(slice: &'a mut [T], shape: (usize, usize), tile: (usize, usize)) -> Self {
        let (rows, columns) = shape;
        assert!(
            slice.len() == rows * columns,
            "a slice of another size than its matrix"
        );
        let (tile_rows, tile_columns) = (tile.0.max(1), tile.1.max(1));
        let start = slice.as_mut_ptr();
        Self {
            start,
            rows,
            columns,
            within: 0..columns,
            tile_rows,
            tile_columns,
            slice: PhantomData,
        }
    }

    /// Tiles of these columns alone.
    pub(crate) fn within(self, columns: Range<usize>) -> Self {
        assert!(
            columns.start <= columns.end && columns.end <= self.columns,
            "columns outside the matrix"
        );
        Self {
            within: columns,
            ..self
        }
    }

    /// How many tiles lie one below the other.
    pub(crate) fn row_blocks(&self) -> usize {
        self.rows.div_ceil(self.tile_rows)
    }
}

// SAFETY: it is a `&mut [T]` handed out in disjoint parts, so sharing it is sending those parts.
unsafe impl<T: Send> Sync for Tiles<'_, T> {}

// SAFETY: two tiles differ in their rows or in their columns, of a slice that is borrowed mutably
// for the life of `Tiles`; a tile gives out references to its own columns of its own rows only.
unsafe impl<'a, T: Send> Split for Tiles<'a, T> {
    type Piece = Tile<'a, T>;

    fn count(&self) -> usize {
        self.row_blocks() * self.within.len().div_ceil(self.tile_columns)
    }

    unsafe fn piece(&self, index: usize) -> Tile<'a, T> {
        let row = index % self.row_blocks() * self.tile_rows;
        let column = self.within.start + index / self.row_blocks() * self.tile_columns;
        Tile {
            // SAFETY: row < rows and column < within.end since index < count.
            start: unsafe { self.start.add(row * self.columns + column) },
            row,
            column,
            rows: self.tile_rows.min(self.rows - row),
            columns: self.tile_columns.min(self.within.end - column),
            stride: self.columns,
            matrix: PhantomData,
        }
    }
}

/// A rectangle of a row-major matrix.
pub(crate) struct Tile<'a, T> {
    start: *mut T,
    /// The first row and column of the tile in the matrix.
    pub(crate) row: usize,
    pub(crate) column: usize,
    /// The size of the tile.
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    stride: usize,
    matrix: PhantomData<&'a mut [T]>,
}

impl<T> Tile<'_, T> {
    /// `count` columns of `R` rows, from (row, column) `at` of the tile on.
    pub(crate) fn rows_mut<const R: usize>(
        &mut self,
        at: (usize, usize),
        count: usize,
    ) -> [&mut [T]; R] {
        assert!(
            at.0 + R <= self.rows && at.1 + count <= self.columns,
            "rows outside the tile"
        );
        std::array::from_fn(|r| {
            // SAFETY: the rows are inside the tile, which this value has for itself, and no two of
            // them overlap, as a row's columns are fewer than the stride.
            unsafe {
                let start = self.start.add((at.0 + r) * self.stride + at.1);
                std::slice::from_raw_parts_mut(start, count)
            }
        })
    }
}

/// A new vector of `len` elements in chunks of `chunk`, each written by one call of `work`, in
/// parallel. A chunk is zeroed by the thread that fills it, just before: for rows that fit the
/// first-level cache that costs next to nothing, where zeroing the whole vector first does.
pub(crate) fn build<E: Real>(
    len: usize,
    chunk: usize,
    grain: usize,
    work: impl Fn(usize, &mut [E]) + Sync,
) -> Vec<E> {
    let mut values: Vec<E> = Vec::with_capacity(len);
    let spare = &mut values.spare_capacity_mut()[..len];
    for_each(Chunks::new(spare, chunk), grain, |index, chunk| {
        for value in chunk.iter_mut() {
            value.write(E::ZERO);
        }
        // SAFETY: every element of the chunk has just been written, and `MaybeUninit` has the
        // layout of what it may hold.
        work(index, unsafe {
            &mut *(std::ptr::from_mut(chunk) as *mut [E])
        });
    });
    // SAFETY: the chunks cover 0..len, and each was written above before `for_each` returned.
    unsafe { values.set_len(len) };
    values
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn every_item_is_worked_on_once() {
        for (items, grain) in [(0, 1), (1, 1), (7, 1), (7, 100), (1000, 3), (4097, 1)] {
            let seen = Mutex::new(vec![0u32; items]);
            parallel(items, grain, |range| {
                let mut seen = seen.lock().unwrap();
                range.for_each(|i| seen[i] += 1);
            });
            assert!(
                seen.into_inner().unwrap().iter().all(|&n| n == 1),
                "{items} items"
            );
        }
    }

    #[test]
    fn nested_calls_run_and_do_not_lock_up() {
        let total = AtomicUsize::new(0);
        parallel(64, 1, |outer| {
            for _ in outer {
                parallel(64, 1, |inner| {
                    total.fetch_add(inner.len(), Ordering::Relaxed);
                });
            }
        });
        assert_eq!(total.into_inner(), 64 * 64);
    }

    #[test]
    fn chunks_and_tuples_cover_their_slices() {
        let (mut a, mut b, mut c) = (vec![0usize; 103], vec![0usize; 11], vec![0usize; 22]);
        let parts = (
            Chunks::new(&mut a, 10),
            Chunks::new(&mut b, 1),
            Chunks::new(&mut c, 2),
        );
        for_each(parts, 1, |index, (a, b, c)| {
            assert_eq!(
                (a.len(), b.len(), c.len()),
                (if index == 10 { 3 } else { 10 }, 1, 2)
            );
            a.iter_mut()
                .chain(b)
                .chain(c)
                .for_each(|value| *value += index + 1);
        });
        assert!(a.iter().enumerate().all(|(i, &value)| value == i / 10 + 1));
        assert!(b.iter().enumerate().all(|(i, &value)| value == i + 1));
        assert!(c.iter().enumerate().all(|(i, &value)| value == i / 2 + 1));
    }

    #[test]
    fn tiles_cover_their_matrix_and_know_where_they_are() {
        for (rows, columns) in [(0, 5), (5, 0), (1, 1), (7, 10), (8, 48), (9, 49)] {
            let mut matrix = vec![0usize; rows * columns];
            for_each(
                Tiles::new(&mut matrix, (rows, columns), (3, 4)),
                1,
                |_, mut tile| {
                    for i in 0..tile.rows {
                        let (row, column) = (tile.row + i, tile.column);
                        let count = tile.columns;
                        for (j, value) in
                            tile.rows_mut::<1>((i, 0), count)[0].iter_mut().enumerate()
                        {
                            *value += row * columns + column + j + 1;
                        }
                    }
                },
            );
            assert!(matrix.iter().enumerate().all(|(i, &value)| value == i + 1));
        }
    }

    #[test]
    fn build_hands_out_zeroed_chunks() {
        let values = build(1001, 10, 1, |index, chunk: &mut [f32]| {
            assert!(chunk.iter().all(|&value| value == 0.0));
            chunk
                .iter_mut()
                .enumerate()
                .for_each(|(i, value)| *value = (index * 10 + i) as f32);
        });
        assert!(
            values
                .iter()
                .enumerate()
                .all(|(i, &value)| value == i as f32)
        );
        assert_eq!(values.len(), 1001);
    }
}
