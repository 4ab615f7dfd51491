//! One task of a product: a rectangle of the output, on one thread.

use std::mem::MaybeUninit;

use half::bf16;

use super::super::pool::Tile;
use super::super::scratch::Scratch;
use super::super::simd::{Isa, Kernel, MAX_LANES, Real, Simd};
use super::K_BLOCK;
use super::pack::{PanelView, REGISTERS, View, block_rows, pack_row_group};

/// The left-hand side.
#[derive(Clone, Copy)]
pub(super) enum Left<'a, E> {
    /// A matrix; its rows are read in place where they lie side by side, else packed as used.
    View(View<'a, E>),
    /// Row blocks of the whole matrix, and K.
    Packed(&'a [E], usize),
}

/// The right-hand side.
#[derive(Clone, Copy)]
pub(super) enum Source<'a, E> {
    /// A matrix, packed as it is used.
    View(View<'a, E>),
    /// Panels of the whole matrix.
    Panels(PanelView<'a, E>),
    /// A matrix in bf16, widened as it is packed.
    Half(View<'a, bf16>),
    /// Panels in bf16, widened as they are used.
    HalfPanels(PanelView<'a, bf16>),
}

/// Both factors.
#[derive(Clone, Copy)]
pub(super) struct Sides<'a, E> {
    pub(super) a: Left<'a, E>,
    pub(super) b: Source<'a, E>,
}

/// What all tasks of a product share.
pub(super) struct Task<'a, E> {
    pub(super) sides: Sides<'a, E>,
    /// More of K, over which the chains go on.
    pub(super) tail: Option<Sides<'a, E>>,
    pub(super) bias: Option<&'a [E]>,
}

impl<E: Real> Task<'_, E> {
    /// Writes every element of `out`.
    pub(super) fn run(&self, isa: Isa, out: Tile<MaybeUninit<E>>) {
        isa.run(Work { task: self, out });
    }
}

/// A task inside the instruction set.
struct Work<'a, 'o, E> {
    task: &'a Task<'a, E>,
    out: Tile<'o, MaybeUninit<E>>,
}

/// A range of K with what happens at its ends.
#[derive(Clone, Copy)]
struct Span<'a, E> {
    sides: Sides<'a, E>,
    from: usize,
    to: usize,
    /// Whether the output holds sums to go on from.
    resumes: bool,
    /// Whether the bias is added.
    ends: bool,
}

impl<E: Real> Kernel<E> for Work<'_, '_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<E = E>>(mut self, s: S) {
        let tail = self.task.tail;
        self.carry(s, self.task.sides, (false, tail.is_none()));
        if let Some(tail) = tail {
            self.carry(s, tail, (true, true));
        }
    }
}

impl<'a, E: Real> Work<'a, '_, E> {
    /// Carries the chains over all of the K of `sides`; `ends` says whether sums were there before
    /// and whether these are the last.
    #[inline(always)]
    fn carry<S: Simd<E = E>>(&mut self, s: S, sides: Sides<'a, E>, ends: (bool, bool)) {
        let k = match sides.a {
            Left::View(view) => view.columns,
            Left::Packed(_, k) => k,
        };
        let step = k.div_ceil(k.div_ceil(K_BLOCK).max(1)).max(1);
        let mut from = 0;
        loop {
            let to = k.min(from + step);
            let span = Span {
                sides,
                from,
                to,
                resumes: ends.0 || from > 0,
                ends: ends.1 && to == k,
            };
            self.add_span(s, span);
            if to == k {
                return;
            }
            from = to;
        }
    }

    /// Carries the chains of all rows and panels over a range of K.
    #[inline(always)]
    fn add_span<S: Simd<E = E>>(&mut self, s: S, span: Span<E>) {
        let width = REGISTERS * S::LANES;
        let (rows, count) = (self.out.rows, span.to - span.from);
        let packs = matches!(span.sides.a, Left::View(view) if !view.is_row_major());
        let mut a_part = Scratch::new(if packs { rows * count } else { 0 });
        if let (true, Left::View(view)) = (packs, span.sides.a) {
            let (at, size) = ((self.out.row, span.from), (rows, count));
            pack_row_group(view, at, size, &mut a_part, S::TILE_ROWS);
        }
        let on_the_way = !matches!(span.sides.b, Source::Panels(_));
        let mut b_part = Scratch::new(if on_the_way { count * width } else { 0 });
        for column in (0..self.out.columns).step_by(width) {
            let b = match span.sides.b {
                Source::Panels(panels) => panels.part(self.out.column + column, span.from, span.to),
                other => {
                    other.pack(s, (span.from, self.out.column + column), &mut b_part);
                    &b_part[..]
                }
            };
            self.add_panel(s, column, &a_part, b, span);
        }
    }

    /// Carries the chains of one panel of columns, all rows.
    #[inline(always)]
    fn add_panel<S: Simd<E = E>>(
        &mut self,
        s: S,
        column: usize,
        a_part: &[E],
        b: &[E],
        span: Span<E>,
    ) {
        let mut done = 0;
        while done < self.out.rows {
            let block = block_rows(self.out.rows - done, S::TILE_ROWS);
            let at = (done, column);
            match block {
                8 => self.add_rows::<S, 8>(s, at, a_part, b, span),
                4 => self.add_rows::<S, 4>(s, at, a_part, b, span),
                2 => self.add_rows::<S, 2>(s, at, a_part, b, span),
                _ => self.add_rows::<S, 1>(s, at, a_part, b, span),
            }
            done += block;
        }
    }

    /// Carries the chains of `R` rows of one panel, which begin at `at` in the tile.
    #[inline(always)]
    fn add_rows<S: Simd<E = E>, const R: usize>(
        &mut self,
        s: S,
        at: (usize, usize),
        a_part: &[E],
        b: &[E],
        span: Span<E>,
    ) {
        let width = REGISTERS * S::LANES;
        let columns = width.min(self.out.columns - at.1);
        let first = self.out.column + at.1;
        let row = self.out.row + at.0;
        let out = self.out.rows_mut::<R>(at, columns);
        let mut sums = [[s.zero(); REGISTERS]; R];
        if span.resumes {
            for (sums, out) in sums.iter_mut().zip(&out) {
                let out: *const [MaybeUninit<E>] = &**out;
                // SAFETY: an earlier span wrote it. (`assume_init_ref` of slices is younger than
                // the oldest compiler that this builds with.)
                *sums = load_columns(s, unsafe { &*(out as *const [E]) });
            }
        }
        let count = span.to - span.from;
        match span.sides.a {
            Left::View(view) if view.is_row_major() => {
                let mut a: [&[E]; R] = [&[]; R];
                for (r, a) in a.iter_mut().enumerate() {
                    *a = view.row(row + r, span.from, span.to);
                }
                add_unpacked::<S, R>(s, a, b, &mut sums);
            }
            Left::View(_) => {
                let a = &a_part[at.0 * count..(at.0 + R) * count];
                add_packed::<S, R>(s, a, b, &mut sums);
            }
            Left::Packed(all, whole) => {
                let a = &all[row * whole + R * span.from..row * whole + R * span.to];
                add_packed::<S, R>(s, a, b, &mut sums);
            }
        }
        if let (true, Some(bias)) = (span.ends, self.task.bias) {
            let bias = load_columns(s, &bias[first..first + columns]);
            for sums in &mut sums {
                for (sum, &bias) in sums.iter_mut().zip(&bias) {
                    *sum = s.add(*sum, bias);
                }
            }
        }
        for (sums, out) in sums.iter().zip(out) {
            store_columns(s, *sums, out);
        }
    }
}

/// `sums [R, W] += a [K][R] · b [K][W]`, one chain over k for each sum.
#[inline(always)]
pub(super) fn add_packed<S: Simd, const R: usize>(
    s: S,
    a: &[S::E],
    b: &[S::E],
    sums: &mut [[S::V; REGISTERS]; R],
) {
    let width = REGISTERS * S::LANES;
    for (a, b) in a.chunks_exact(R).zip(b.chunks_exact(width)) {
        let b = load_width(s, b);
        for (sums, &a) in sums.iter_mut().zip(a) {
            let a = s.splat(a);
            for (sum, &b) in sums.iter_mut().zip(&b) {
                *sum = s.mul_add(a, b, *sum);
            }
        }
    }
}

/// As [`add_packed`] for `R` rows of K numbers where they lie.
#[inline(always)]
fn add_unpacked<S: Simd, const R: usize>(
    s: S,
    a: [&[S::E]; R],
    b: &[S::E],
    sums: &mut [[S::V; REGISTERS]; R],
) {
    let width = REGISTERS * S::LANES;
    let count = b.len() / width;
    // One length for all lets the compiler drop the bounds checks of the loop. Here and below
    // arrays are filled by loops: their `map` and `from_fn` are not always inlined.
    let mut a = a;
    for a in &mut a {
        *a = &a[..count];
    }
    for (k, b) in b.chunks_exact(width).enumerate().take(count) {
        let b = load_width(s, b);
        for (sums, a) in sums.iter_mut().zip(&a) {
            let a = s.splat(a[k]);
            for (sum, &b) in sums.iter_mut().zip(&b) {
                *sum = s.mul_add(a, b, *sum);
            }
        }
    }
}

#[inline(always)]
pub(super) fn load_width<S: Simd>(s: S, source: &[S::E]) -> [S::V; REGISTERS] {
    [
        s.load(source),
        s.load(&source[S::LANES..]),
        s.load(&source[2 * S::LANES..]),
    ]
}

/// A panel's columns, as many as there are; the rest is zero.
#[inline(always)]
fn load_columns<S: Simd>(s: S, source: &[S::E]) -> [S::V; REGISTERS] {
    if source.len() == REGISTERS * S::LANES {
        return load_width(s, source);
    }
    let mut lanes = [S::E::ZERO; REGISTERS * MAX_LANES];
    lanes[..source.len()].copy_from_slice(source);
    load_width(s, &lanes)
}

#[inline(always)]
fn store_columns<S: Simd>(s: S, sums: [S::V; REGISTERS], out: &mut [MaybeUninit<S::E>]) {
    let mut lanes = [S::E::ZERO; REGISTERS * MAX_LANES];
    if out.len() == REGISTERS * S::LANES {
        // SAFETY: only whole lanes are written to it, so that it stays or becomes initialised.
        let out = unsafe { &mut *(std::ptr::from_mut(out) as *mut [S::E]) };
        for (out, v) in out.chunks_exact_mut(S::LANES).zip(sums) {
            s.store(out, v);
        }
        return;
    }
    for (lanes, v) in lanes.chunks_exact_mut(S::LANES).zip(sums) {
        s.store(lanes, v);
    }
    out.iter_mut().zip(lanes).for_each(|(out, value)| {
        out.write(value);
    });
}
