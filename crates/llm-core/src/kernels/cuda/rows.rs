//! Kernels that give a block to a row: losses over the vocabulary, softmax over keys, attention.

use candle_core::backend::{BackendDevice, BackendStorage};
use candle_core::{CudaStorage, DType, Layout, Result};

use super::calls::{LANES, THREADS, check, small, typed};
use super::launch::{Arg, Dense, Grid, fresh, launch, read};

/// Threads of a block that reads one long row.
const ROW_THREADS: u32 = 512;
/// Threads of a block that reads one row of scores.
const SCORE_THREADS: u32 = 128;
/// Warps that share out the keys of one query.
const KEY_WARPS: u32 = 16;
/// The largest head of [`attend`], as in attention.cu.
pub(crate) const LARGEST_HEAD: usize = 256;

/// Fails unless there is a target of i64 for each row of `v` logits; how many there are.
fn loss_rows(name: &str, logits: &Dense, targets: &Dense, v: usize) -> Result<u32> {
    if targets.count() * v != logits.count() || targets.dtype() != DType::I64 {
        candle_core::bail!("{name}: {} targets do not fit the logits", targets.count());
    }
    small(name, targets.count())
}

/// `scale · Σ −log softmax(logits)[target]` in f32. Targets are below `v`; negative ones are ignored.
pub(crate) fn cross_entropy(
    logits: &Dense,
    targets: &Dense,
    v: usize,
    scale: f64,
) -> Result<CudaStorage> {
    const NAME: &str = "cross_entropy";
    let rows = loss_rows(NAME, logits, targets, v)?;
    let device = logits.device();
    let mut losses = fresh(device, rows as usize, DType::F32)?;
    let args = vec![
        Arg::Out(&mut losses),
        read(logits),
        read(targets),
        Arg::U64(v as u64),
    ];
    let grid = (rows, (ROW_THREADS, 1));
    // SAFETY: the arguments of `cross_entropy`; the callers check targets against v.
    unsafe { launch(device, &typed(NAME, logits.dtype())?, args, grid)? };
    let mut sum = fresh(device, 1, DType::F32)?;
    let args = vec![
        Arg::Out(&mut sum),
        Arg::In(&losses, 0),
        Arg::U64(u64::from(rows)),
        Arg::F32(scale as f32),
    ];
    // SAFETY: the arguments of `scaled_sum`; there is a loss for each row.
    unsafe { launch(device, "scaled_sum", args, (1, (ROW_THREADS, 1)))? };
    Ok(sum)
}

/// The gradient of [`cross_entropy`] times the number `upstream`.
pub(crate) fn cross_entropy_grad(
    logits: &Dense,
    targets: &Dense,
    upstream: &Dense,
    (v, scale): (usize, f64),
) -> Result<CudaStorage> {
    const NAME: &str = "cross_entropy_grad";
    let rows = loss_rows(NAME, logits, targets, v)?;
    if upstream.dtype() != DType::F32 || upstream.count() != 1 {
        candle_core::bail!("{NAME}: the gradient of the loss is not one number in f32");
    }
    let mut gradient = fresh(logits.device(), logits.count(), logits.dtype())?;
    let args = vec![
        Arg::Out(&mut gradient),
        read(logits),
        read(targets),
        read(upstream),
        Arg::U64(v as u64),
        Arg::F32(scale as f32),
    ];
    let grid = (rows, (ROW_THREADS, 1));
    // SAFETY: the arguments of `cross_entropy_grad`; sizes as in the forward pass.
    unsafe { launch(logits.device(), &typed(NAME, logits.dtype())?, args, grid)? };
    Ok(gradient)
}

/// The gradient of a table `[v, c]` from `dy` and the ids of its rows, of u32. The kernel leaves ids
/// past the table out.
pub(crate) fn embedding_grad(dy: &Dense, ids: &Dense, [v, c]: [usize; 2]) -> Result<CudaStorage> {
    const NAME: &str = "embedding_grad";
    let tokens = ids.count();
    if ids.dtype() != DType::U32 || tokens * c != dy.count() || c == 0 {
        candle_core::bail!("{NAME}: {tokens} ids do not fit the gradient");
    }
    let chunks = c.div_ceil(THREADS as usize);
    let device = dy.device();
    let mut table = device.zeros_impl(&(v, c).into(), dy.dtype())?;
    let args = vec![
        Arg::Out(&mut table),
        read(dy),
        read(ids),
        Arg::U32(small(NAME, tokens)?),
        Arg::U32(small(NAME, c)?),
        Arg::U32(small(NAME, v)?),
        Arg::U32(small(NAME, chunks)?),
    ];
    let grid = (small(NAME, tokens * chunks)?, (THREADS, 1));
    // SAFETY: the arguments of `embedding_grad`; a row of dy for each id, and ids are checked there.
    unsafe { launch(device, &typed(NAME, dy.dtype())?, args, grid)? };
    Ok(table)
}

/// What rows of scores stand for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scores {
    /// Queries of a text: row r is of query r % t.
    pub(crate) t: usize,
    /// Keys, the scores of a row.
    pub(crate) s: usize,
    /// Keys that a query reads at most.
    pub(crate) window: Option<usize>,
    /// Factor on the scores.
    pub(crate) scale: f64,
}

impl Scores {
    /// Rows of `count` scores, a block for each.
    fn grid(&self, name: &str, count: usize) -> Result<Grid> {
        if self.t == 0 || self.t > self.s || !count.is_multiple_of(self.t * self.s) {
            candle_core::bail!("{name}: {count} scores are not rows of {self:?}");
        }
        Ok((small(name, count / self.s)?, (SCORE_THREADS, 1)))
    }

    /// 0 reads everything.
    fn window(&self) -> u32 {
        let window = self.window.unwrap_or(0);
        u32::try_from(window).unwrap_or(0)
    }
}

pub(crate) fn causal_softmax(scores: &Dense, of: &Scores) -> Result<CudaStorage> {
    const NAME: &str = "causal_softmax";
    let grid = of.grid(NAME, scores.count())?;
    let mut weights = fresh(scores.device(), scores.count(), scores.dtype())?;
    let args = vec![
        Arg::Out(&mut weights),
        read(scores),
        Arg::U32(small(NAME, of.t)?),
        Arg::U32(small(NAME, of.s)?),
        Arg::U32(of.window()),
        Arg::F32(of.scale as f32),
    ];
    // SAFETY: the arguments of `causal_softmax`; a block for each whole row of s.
    unsafe { launch(scores.device(), &typed(NAME, scores.dtype())?, args, grid)? };
    Ok(weights)
}

pub(crate) fn causal_softmax_grad(
    weights: &Dense,
    d_weights: &Dense,
    of: &Scores,
) -> Result<CudaStorage> {
    const NAME: &str = "causal_softmax_grad";
    let count = weights.count();
    check(NAME, &[(weights, count), (d_weights, count)])?;
    let grid = of.grid(NAME, count)?;
    let mut d_scores = fresh(weights.device(), count, weights.dtype())?;
    let args = vec![
        Arg::Out(&mut d_scores),
        read(weights),
        read(d_weights),
        Arg::U32(small(NAME, of.s)?),
        Arg::F32(of.scale as f32),
    ];
    // SAFETY: the arguments of `causal_softmax_grad`; a block for each whole row of s.
    unsafe { launch(weights.device(), &typed(NAME, weights.dtype())?, args, grid)? };
    Ok(d_scores)
}

/// Attention of a few queries `q [B, T, H, D]` over keys and values `[B, S, K, D]` where they lie:
/// both have the layout `at`, D numbers side by side.
pub(crate) fn attend(
    (q, [b, t, h, d]): (&Dense, [usize; 4]),
    [(k, at), (v, at_v)]: [(&CudaStorage, &Layout); 2],
    (window, scale): (Option<usize>, f64),
) -> Result<CudaStorage> {
    const NAME: &str = "attend";
    let (_b, s, kv, _d) = at.shape().dims4()?;
    if at.shape() != at_v.shape() || at.dims() != [b, s, kv, d] || q.count() != b * t * h * d {
        candle_core::bail!(
            "{NAME}: keys {:?} and values do not fit the queries",
            at.dims()
        );
    }
    let &[b_stride, t_stride, h_stride, 1] = at.stride() else {
        candle_core::bail!("{NAME}: the numbers of a key do not lie side by side");
    };
    if at.stride() != at_v.stride() || k.dtype() != q.dtype() || v.dtype() != q.dtype() {
        candle_core::bail!("{NAME}: keys and values differ in layout or number type");
    }
    if d > LARGEST_HEAD || t > s || t == 0 || kv == 0 || !h.is_multiple_of(kv) {
        candle_core::bail!("{NAME}: {t} queries of {h} heads do not fit {s} keys of {kv}");
    }
    let of = Scores {
        t,
        s,
        window,
        scale,
    };
    let mut y = fresh(q.device(), q.count(), q.dtype())?;
    let args = vec![
        Arg::Out(&mut y),
        read(q),
        Arg::In(k, at.start_offset()),
        Arg::In(v, at_v.start_offset()),
        Arg::U64(b_stride as u64),
        Arg::U64(t_stride as u64),
        Arg::U64(h_stride as u64),
        Arg::U32(small(NAME, t)?),
        Arg::U32(small(NAME, s)?),
        Arg::U32(small(NAME, h)?),
        Arg::U32(small(NAME, kv)?),
        Arg::U32(small(NAME, d)?),
        Arg::U32(of.window()),
        Arg::F32(scale as f32),
    ];
    let grid = (small(NAME, q.count() / d)?, (LANES, KEY_WARPS));
    // SAFETY: the arguments of `attend`; indices stay within the layouts, which are within their
    // storages, and a head fits the kernel's arrays.
    unsafe { launch(q.device(), &typed(NAME, q.dtype())?, args, grid)? };
    Ok(y)
}
