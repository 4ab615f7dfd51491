//! A borrowed `[B, T, H, D]` tensor with strides: a narrow view of a packed projection is read
//! where it lies, and its gradient written there.

use std::marker::PhantomData;

use super::pool::Split;

/// Heads of tokens in memory; the elements of one head lie side by side.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heads<'a, E> {
    /// What the strides count in.
    pub(crate) data: &'a [E],
    /// B
    pub(crate) batch: usize,
    /// T, or S for keys
    pub(crate) tokens: usize,
    /// H, or K for keys
    pub(crate) heads: usize,
    /// D
    pub(crate) size: usize,
    /// Elements from one batch row, token and head to the next.
    pub(crate) strides: [usize; 3],
}

impl<'a, E> Heads<'a, E> {
    /// Contiguous `data` of the shape `[batch, tokens, heads, size]`.
    pub(crate) fn contiguous(data: &'a [E], shape: [usize; 4]) -> Self {
        let [batch, tokens, heads, size] = shape;
        let strides = [tokens * heads * size, heads * size, size];
        Self {
            data,
            batch,
            tokens,
            heads,
            size,
            strides,
        }
    }

    /// Tensors that lie side by side in each token of `data`, each with its number of heads.
    ///
    /// # Shapes
    /// `data [B, T, Σ heads · D]` → `[B, T, heads, D]` each; `shape` = `[B, T, D]`.
    pub(crate) fn side_by_side<const N: usize>(
        data: &'a [E],
        shape: [usize; 3],
        heads: [usize; N],
    ) -> [Self; N] {
        let [batch, tokens, size] = shape;
        let width = heads.iter().sum::<usize>() * size;
        let mut first = 0;
        heads.map(|heads| {
            let part = Self {
                data: data.get(first..).unwrap_or_default(),
                batch,
                tokens,
                heads,
                size,
                strides: [tokens * width, width, size],
            };
            first += heads * size;
            part
        })
    }

    /// Everything from the head `h` of token `t` in batch row `b` on; later tokens of the head
    /// are `strides[1]` apart.
    #[inline(always)]
    pub(crate) fn from(&self, b: usize, t: usize, h: usize) -> &'a [E] {
        &self.data[b * self.strides[0] + t * self.strides[1] + h * self.strides[2]..]
    }

    /// The head `h` of token `t` in batch row `b`.
    ///
    /// # Shapes
    /// `[D]`.
    #[inline(always)]
    pub(crate) fn row(&self, b: usize, t: usize, h: usize) -> &'a [E] {
        &self.from(b, t, h)[..self.size]
    }
}

/// A `[B, T, H, D]` tensor to be written in pieces, each the rows of `group` neighbouring heads
/// over a range of tokens. Rows are numbered `t · group + g` within their group of heads.
pub(crate) struct HeadsMut<'a, T> {
    start: *mut T,
    /// `[B, T, H, D]`
    shape: [usize; 4],
    strides: [usize; 3],
    group: usize,
    /// The first row of each piece of a group of heads.
    cuts: Vec<usize>,
    slice: PhantomData<&'a mut [T]>,
}

impl<'a, T> HeadsMut<'a, T> {
    /// Tensors that lie side by side in each token of `data`, as [`Heads::side_by_side`]. A piece
    /// is all tokens of a head.
    ///
    /// # Shapes
    /// `data [B, T, Σ heads · D]` → `[B, T, heads, D]` each; `shape` = `[B, T, D]`.
    pub(crate) fn side_by_side<const N: usize>(
        data: &'a mut [T],
        shape: [usize; 3],
        heads: [usize; N],
    ) -> [Self; N] {
        let [batch, tokens, size] = shape;
        let width = heads.iter().sum::<usize>() * size;
        assert!(
            data.len() == batch * tokens * width,
            "a slice of another size than its tensors"
        );
        let (start, mut first) = (data.as_mut_ptr(), 0);
        heads.map(|heads| {
            // The end of the slice at most, since it has tokens of `width`, or none.
            let offset = first.min(batch * tokens * width);
            first += heads * size;
            Self {
                // SAFETY: `offset` is at most the length of the slice.
                start: unsafe { start.add(offset) },
                shape: [batch, tokens, heads, size],
                strides: [tokens * width, width, size],
                group: 1,
                cuts: vec![0],
                slice: PhantomData,
            }
        })
    }

    /// The same in other pieces: groups of `group` heads, cut before the rows `cuts`, which
    /// ascend from 0.
    pub(crate) fn in_pieces(self, group: usize, cuts: Vec<usize>) -> Self {
        let rows = self.shape[1] * group;
        assert!(
            group > 0 && self.shape[2].is_multiple_of(group),
            "groups that do not divide the heads"
        );
        assert!(
            cuts.first() == Some(&0) && cuts.is_sorted() && cuts.iter().all(|&cut| cut <= rows),
            "cuts that are not rows in order"
        );
        Self {
            group,
            cuts,
            ..self
        }
    }
}

// SAFETY: it is a `&mut [T]` handed out in disjoint parts, so sharing it is sending those parts.
unsafe impl<T: Send> Sync for HeadsMut<'_, T> {}

// SAFETY: two pieces differ in their batch row, their group of heads or their range of rows, of
// tensors that share no memory, within a slice that is borrowed mutably for the life of
// `HeadsMut`; a piece gives out references to its own rows only.
unsafe impl<'a, T: Send> Split for HeadsMut<'a, T> {
    type Piece = RowsMut<'a, T>;

    fn count(&self) -> usize {
        let [batch, _tokens, heads, _size] = self.shape;
        batch * (heads / self.group) * self.cuts.len()
    }

    unsafe fn piece(&self, index: usize) -> RowsMut<'a, T> {
        let [_batch, tokens, heads, size] = self.shape;
        let (groups, cut) = (heads / self.group, index % self.cuts.len());
        let (b, kv) = (
            index / self.cuts.len() / groups,
            index / self.cuts.len() % groups,
        );
        let end = self.cuts.get(cut + 1).copied();
        let rows = end.unwrap_or(tokens * self.group) - self.cuts[cut];
        let offset = match rows {
            0 => 0,
            _ => b * self.strides[0] + kv * self.group * self.strides[2],
        };
        RowsMut {
            // SAFETY: batch row and head exist since index < count, or the offset is 0.
            start: unsafe { self.start.add(offset) },
            first: self.cuts[cut],
            rows,
            size,
            group: self.group,
            strides: [self.strides[1], self.strides[2]],
            slice: PhantomData,
        }
    }
}

/// A piece of [`HeadsMut`].
pub(crate) struct RowsMut<'a, T> {
    start: *mut T,
    first: usize,
    rows: usize,
    size: usize,
    group: usize,
    strides: [usize; 2],
    slice: PhantomData<&'a mut [T]>,
}

impl<T> RowsMut<'_, T> {
    /// The number of rows.
    pub(crate) fn len(&self) -> usize {
        self.rows
    }

    /// D
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Row `index` of the piece.
    ///
    /// # Shapes
    /// `[D]`.
    #[inline(always)]
    pub(crate) fn row_mut(&mut self, index: usize) -> &mut [T] {
        assert!(index < self.rows, "a row outside the piece");
        let row = self.first + index;
        let offset = row / self.group * self.strides[0] + row % self.group * self.strides[1];
        // SAFETY: the row is inside the piece, which this value has for itself.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(offset), self.size) }
    }
}
