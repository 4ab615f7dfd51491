//! Rows of a table by id, and the scatter of their gradients.

use half::bf16;

use super::pool::{Chunks, build, for_each};
use super::rows::grain;
use super::simd::Real;

/// The type that a table's numbers are stored in.
pub(crate) trait Stored<E>: Copy + Sync {
    /// The same number, exactly.
    fn read(self) -> E;
}

impl<E: Real> Stored<E> for E {
    #[inline(always)]
    fn read(self) -> E {
        self
    }
}

impl Stored<f32> for bf16 {
    #[inline(always)]
    fn read(self) -> f32 {
        f32::widen(self)
    }
}

/// Output rows of one task.
const CHUNK_ROWS: usize = 64;

/// `table[ids[n]]` for every `n`; ids are below V.
///
/// # Shapes
/// `table [V, C]`, `ids [N]` → `[N, C]`.
pub(crate) fn gather<E: Real, T: Stored<E>>(table: &[T], c: usize, ids: &[u32]) -> Vec<E> {
    build(
        ids.len() * c,
        CHUNK_ROWS * c,
        grain(CHUNK_ROWS * c),
        |chunk, y: &mut [E]| {
            for (&id, y) in ids[chunk * CHUNK_ROWS..].iter().zip(y.chunks_exact_mut(c)) {
                let row = &table[id as usize * c..][..c];
                y.iter_mut()
                    .zip(row)
                    .for_each(|(y, &value)| *y = value.read());
            }
        },
    )
}

/// The table's gradient: rows of `dy` added up by id, in the order in which they stand.
///
/// # Shapes
/// `dy [N, C]`, `ids [N]` → `[V, C]`.
pub(crate) fn scatter<E: Real>(dy: &[E], c: usize, ids: &[u32], v: usize) -> Vec<E> {
    let mut dtable = vec![E::ZERO; v * c];
    if c == 0 {
        return dtable;
    }
    let mut order: Vec<usize> = (0..ids.len()).collect();
    order.sort_by_key(|&n| ids[n]); // stable: equal ids stay in order
    let below = |id: usize| order.partition_point(|&n| (ids[n] as usize) < id);
    for_each(
        Chunks::new(&mut dtable, CHUNK_ROWS * c),
        1,
        |chunk, rows| {
            let first = chunk * CHUNK_ROWS;
            for &n in &order[below(first)..below(first + CHUNK_ROWS)] {
                let row = &mut rows[(ids[n] as usize - first) * c..][..c];
                row.iter_mut()
                    .zip(&dy[n * c..][..c])
                    .for_each(|(sum, &x)| *sum += x);
            }
        },
    );
    dtable
}
