//! A borrowed `[B, T, H, D]` tensor with strides: a narrow view of a packed projection is read
//! where it lies.

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

    /// The head `h` of token `t` in batch row `b`.
    ///
    /// # Shapes
    /// `[D]`.
    #[inline(always)]
    pub(crate) fn row(&self, b: usize, t: usize, h: usize) -> &'a [E] {
        let start = b * self.strides[0] + t * self.strides[1] + h * self.strides[2];
        &self.data[start..start + self.size]
    }
}
