//! One safe function for each kernel: it checks sizes and types, allocates and launches.

use candle_core::backend::BackendStorage;
use candle_core::{CudaStorage, DType, Layout, Result};

use super::launch::{Arg, Dense, Grid, dense, fresh, launch, read};
use crate::kernels::adamw::Step;

/// Threads of a block where every number is computed alone.
const THREADS: u32 = 256;
/// Threads of a block that reads one long row.
const ROW_THREADS: u32 = 512;
/// Threads of a block that reads one row of scores.
const SCORE_THREADS: u32 = 128;
/// Lanes of a warp.
const LANES: u32 = 32;
/// Rows of a block where a warp reads each.
const WARPS: u32 = 8;
/// Warps that share out the keys of one query.
const KEY_WARPS: u32 = 16;
/// The largest head of [`attend`], as in attention.cu.
pub(crate) const LARGEST_HEAD: usize = 256;
/// Rows that one block of [`rms_norm_dw`] sums.
const NORM_CHUNK: usize = 64;
/// Parts that the squares of one gradient are summed in.
pub(crate) const SQUARE_PARTS: usize = 64;

/// `name` with the kernel's number type.
fn typed(name: &str, dtype: DType) -> Result<String> {
    match dtype {
        DType::F32 => Ok(format!("{name}_f32")),
        DType::BF16 => Ok(format!("{name}_bf16")),
        other => candle_core::bail!("{name}: {} is not f32 or bf16", other.as_str()),
    }
}

/// Fails unless all are of the first one's type and have `counts` numbers.
fn check(name: &str, tensors: &[(&Dense, usize)]) -> Result<()> {
    for (tensor, count) in tensors {
        if tensor.dtype() != tensors[0].0.dtype() {
            candle_core::bail!("{name}: number types differ");
        }
        if tensor.count() != *count {
            candle_core::bail!("{name}: {} numbers, expected {count}", tensor.count());
        }
    }
    Ok(())
}

fn small(name: &str, size: usize) -> Result<u32> {
    match u32::try_from(size) {
        Ok(size) => Ok(size),
        Err(_) => candle_core::bail!("{name}: a size of {size} is too large for the GPU"),
    }
}

/// A thread for each of `count`.
fn each(name: &str, count: usize) -> Result<Grid> {
    let blocks = small(name, count.div_ceil(THREADS as usize))?;
    Ok((blocks, (THREADS, 1)))
}

/// The rows of `c` numbers, and a warp for each.
fn warps(name: &str, count: usize, c: usize) -> Result<(u32, Grid)> {
    if c == 0 || !count.is_multiple_of(c) {
        candle_core::bail!("{name}: {count} numbers are not rows of {c}");
    }
    let rows = small(name, count / c)?;
    Ok((rows, (rows.div_ceil(WARPS), (LANES, WARPS))))
}

pub(crate) fn rms_norm(x: &Dense, weight: &Dense, eps: f64) -> Result<CudaStorage> {
    const NAME: &str = "rms_norm";
    let c = weight.count();
    check(NAME, &[(x, x.count()), (weight, c)])?;
    let (rows, grid) = warps(NAME, x.count(), c)?;
    let mut y = fresh(x.device(), x.count(), x.dtype())?;
    let args = vec![
        Arg::Out(&mut y),
        read(x),
        read(weight),
        Arg::U32(rows),
        Arg::U32(small(NAME, c)?),
        Arg::F32(eps as f32),
    ];
    // SAFETY: the arguments of `rms_norm`; x and y have rows · c numbers, the weight c.
    unsafe { launch(x.device(), &typed(NAME, x.dtype())?, args, grid)? };
    Ok(y)
}

pub(crate) fn rms_norm_dx(x: &Dense, weight: &Dense, dy: &Dense, eps: f64) -> Result<CudaStorage> {
    const NAME: &str = "rms_norm_dx";
    let c = weight.count();
    check(NAME, &[(x, x.count()), (weight, c), (dy, x.count())])?;
    let (rows, grid) = warps(NAME, x.count(), c)?;
    let mut dx = fresh(x.device(), x.count(), x.dtype())?;
    let args = vec![
        Arg::Out(&mut dx),
        read(x),
        read(weight),
        read(dy),
        Arg::U32(rows),
        Arg::U32(small(NAME, c)?),
        Arg::F32(eps as f32),
    ];
    // SAFETY: the arguments of `rms_norm_dx`; x, dy and dx have rows · c numbers, the weight c.
    unsafe { launch(x.device(), &typed(NAME, x.dtype())?, args, grid)? };
    Ok(dx)
}

/// The gradient of the weight in parts: f32 rows of `c`, to be added up. Also their number.
pub(crate) fn rms_norm_dw(
    x: &Dense,
    dy: &Dense,
    c: usize,
    eps: f64,
) -> Result<(CudaStorage, usize)> {
    const NAME: &str = "rms_norm_dw";
    check(NAME, &[(x, x.count()), (dy, x.count())])?;
    let (rows, _grid) = warps(NAME, x.count(), c)?;
    let chunk = NORM_CHUNK as u32;
    let blocks = rows.div_ceil(chunk);
    let mut parts = fresh(x.device(), blocks as usize * c, DType::F32)?;
    let args = vec![
        Arg::Out(&mut parts),
        read(x),
        read(dy),
        Arg::U32(rows),
        Arg::U32(small(NAME, c)?),
        Arg::U32(chunk),
        Arg::F32(eps as f32),
    ];
    let grid = (blocks, (THREADS, 1));
    // SAFETY: the arguments of `rms_norm_dw`; x and dy have rows · c numbers, parts blocks · c.
    unsafe { launch(x.device(), &typed(NAME, x.dtype())?, args, grid)? };
    Ok((parts, blocks as usize))
}

/// Where the heads of a rotation stand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    /// Tokens of a text.
    pub(crate) t: usize,
    /// Heads of a token.
    pub(crate) h: usize,
    /// Pairs of a head.
    pub(crate) half: usize,
    /// The position of the first token.
    pub(crate) offset: usize,
    /// Whether it goes back.
    pub(crate) back: bool,
}

/// `table` has a row of D/2 cosines and D/2 sines for each position, in f32.
pub(crate) fn rope(x: &Dense, table: &Dense, turn: &Turn) -> Result<CudaStorage> {
    const NAME: &str = "rope";
    let Turn {
        t,
        h,
        half,
        offset,
        back,
    } = *turn;
    let token = t * h * half * 2;
    if token == 0 || !x.count().is_multiple_of(token) || table.dtype() != DType::F32 {
        candle_core::bail!("{NAME}: {} numbers are not texts of {turn:?}", x.count());
    }
    if table.count() < (offset + t) * half * 2 {
        candle_core::bail!("{NAME}: position {} is past the table", offset + t - 1);
    }
    let pairs = x.count() / 2;
    let mut y = fresh(x.device(), x.count(), x.dtype())?;
    let args = vec![
        Arg::Out(&mut y),
        read(x),
        read(table),
        Arg::U64(pairs as u64),
        Arg::U32(small(NAME, t)?),
        Arg::U32(small(NAME, h)?),
        Arg::U32(small(NAME, half)?),
        Arg::U32(small(NAME, offset)?),
        Arg::F32(if back { -1.0 } else { 1.0 }),
    ];
    // SAFETY: the arguments of `rope`; x and y are whole texts, and the table reaches their end.
    unsafe {
        launch(
            x.device(),
            &typed(NAME, x.dtype())?,
            args,
            each(NAME, pairs)?,
        )?
    };
    Ok(y)
}

pub(crate) fn swiglu(gate: &Dense, up: &Dense) -> Result<CudaStorage> {
    const NAME: &str = "swiglu";
    let count = gate.count();
    check(NAME, &[(gate, count), (up, count)])?;
    let mut y = fresh(gate.device(), count, gate.dtype())?;
    let args = vec![
        Arg::Out(&mut y),
        read(gate),
        read(up),
        Arg::U64(count as u64),
    ];
    // SAFETY: the arguments of `swiglu`; all three have `count` numbers.
    unsafe {
        launch(
            gate.device(),
            &typed(NAME, gate.dtype())?,
            args,
            each(NAME, count)?,
        )?
    };
    Ok(y)
}

/// The gradient of gate, then that of up.
pub(crate) fn swiglu_grad(gate: &Dense, up: &Dense, dy: &Dense) -> Result<CudaStorage> {
    const NAME: &str = "swiglu_grad";
    let count = gate.count();
    check(NAME, &[(gate, count), (up, count), (dy, count)])?;
    let mut both = fresh(gate.device(), 2 * count, gate.dtype())?;
    let args = vec![
        Arg::Out(&mut both),
        read(gate),
        read(up),
        read(dy),
        Arg::U64(count as u64),
    ];
    // SAFETY: the arguments of `swiglu_grad`; three of `count` numbers and one of twice as many.
    unsafe {
        launch(
            gate.device(),
            &typed(NAME, gate.dtype())?,
            args,
            each(NAME, count)?,
        )?
    };
    Ok(both)
}

/// What is dropped: indices whose hash with `seed` is below `p`.
pub(crate) fn dropout(x: &Dense, p: f64, seed: u64) -> Result<CudaStorage> {
    const NAME: &str = "dropout";
    /// Values of the hash that is compared with p.
    const HASHES: f64 = (1u64 << 53) as f64;
    let count = x.count();
    let mut y = fresh(x.device(), count, x.dtype())?;
    let args = vec![
        Arg::Out(&mut y),
        read(x),
        Arg::U64(count as u64),
        Arg::U64(seed),
        Arg::U64((p * HASHES).ceil() as u64),
        Arg::F32((1.0 / (1.0 - p)) as f32),
    ];
    // SAFETY: the arguments of `dropout`; x and y have `count` numbers.
    unsafe {
        launch(
            x.device(),
            &typed(NAME, x.dtype())?,
            args,
            each(NAME, count)?,
        )?
    };
    Ok(y)
}

/// Adds `other` to `run` numbers of `every` of `sum`, from `start` on; the sum lies `within` its
/// storage.
pub(crate) fn add_in_place(
    sum: &mut CudaStorage,
    within: (usize, usize),
    other: &Dense,
    [every, start, run]: [usize; 3],
) -> Result<()> {
    const NAME: &str = "add_in_place";
    let count = other.count();
    let fits = run > 0 && start + run <= every && count.is_multiple_of(run);
    if !fits || count / run * every > within.1 - within.0 || sum.dtype() != other.dtype() {
        candle_core::bail!("{NAME}: {count} numbers do not fit a sum within {within:?}");
    }
    let device = sum.device().clone();
    let args = vec![
        Arg::Out(sum),
        read(other),
        Arg::U64(count as u64),
        Arg::U64(every as u64),
        Arg::U64((within.0 + start) as u64),
        Arg::U64(run as u64),
    ];
    // SAFETY: the arguments of `add_in_place`; the last index is within the sum, as checked above.
    unsafe {
        launch(
            &device,
            &typed(NAME, other.dtype())?,
            args,
            each(NAME, count)?,
        )
    }
}

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
    (q, [_b, t, h, d]): (&Dense, [usize; 4]),
    [(k, at), (v, at_v)]: [(&CudaStorage, &Layout); 2],
    (window, scale): (Option<usize>, f64),
) -> Result<CudaStorage> {
    const NAME: &str = "attend";
    let (_b, s, kv, _d) = at.shape().dims4()?;
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

/// One update of `weights`. `state` holds both moments and, with `master`, the weights in f32.
pub(crate) fn adamw(
    state: &mut CudaStorage,
    weights: &mut CudaStorage,
    gradient: &Dense,
    step: &Step,
    master: bool,
) -> Result<()> {
    let count = gradient.count();
    let name = match (weights.dtype(), gradient.dtype()) {
        (DType::F32, DType::F32) => "adamw_f32_f32",
        (DType::BF16, DType::BF16) => "adamw_bf16_bf16",
        (DType::BF16, DType::F32) => "adamw_bf16_f32",
        (p, g) => candle_core::bail!("adamw: weights in {p:?} and gradients in {g:?}"),
    };
    let t = step.t as f64;
    let args = vec![
        Arg::Out(state),
        Arg::Out(weights),
        read(gradient),
        Arg::U64(count as u64),
        Arg::U32(u32::from(master)),
        Arg::F32((1.0 - step.lr * step.decay) as f32),
        Arg::F32((step.lr / (1.0 - step.beta1.powf(t))) as f32),
        Arg::F32((1.0 / (1.0 - step.beta2.powf(t)).sqrt()) as f32),
        Arg::F32(step.epsilon as f32),
        Arg::F32(step.scale as f32),
        Arg::F32(step.beta1 as f32),
        Arg::F32(step.beta2 as f32),
    ];
    // SAFETY: the arguments of `adamw`; the one caller checks that the weights have as many numbers
    // as the gradient and the state two or three times as many.
    unsafe { launch(gradient.device(), name, args, each("adamw", count)?) }
}

/// Writes `Σ gradient²` in [`SQUARE_PARTS`] parts into `parts`, from the index `first` on.
pub(crate) fn squares(parts: &mut CudaStorage, gradient: &Dense, first: usize) -> Result<()> {
    const NAME: &str = "squares";
    let args = vec![
        Arg::Out(parts),
        read(gradient),
        Arg::U64(gradient.count() as u64),
        Arg::U64(first as u64),
    ];
    let grid = (SQUARE_PARTS as u32, (THREADS, 1));
    // SAFETY: the arguments of `squares`; the one caller has made room for the parts.
    unsafe {
        launch(
            gradient.device(),
            &typed(NAME, gradient.dtype())?,
            args,
            grid,
        )
    }
}

/// A copy of the numbers under `layout`, side by side.
pub(crate) fn copy(storage: &CudaStorage, layout: &Layout) -> Result<CudaStorage> {
    let count = layout.shape().elem_count();
    let mut copy = fresh(storage.device(), count, storage.dtype())?;
    storage.copy_strided_src(&mut copy, 0, layout)?;
    Ok(copy)
}

/// `x Wᵀ` for x of `rows` rows.
pub(crate) fn product(x: &Dense, weight: &Dense, rows: usize) -> Result<CudaStorage> {
    const NAME: &str = "linear";
    if rows == 0 || !x.count().is_multiple_of(rows) || x.dtype() != weight.dtype() {
        candle_core::bail!("{NAME}: {} numbers are not {rows} rows", x.count());
    }
    let inputs = x.count() / rows;
    if inputs == 0 || !weight.count().is_multiple_of(inputs) {
        candle_core::bail!("{NAME}: rows of {inputs} do not fit the weight");
    }
    let outputs = weight.count() / inputs;
    let left = Layout::contiguous_with_offset((rows, inputs), x.start());
    let right = Layout::new((inputs, outputs).into(), vec![1, inputs], weight.start());
    let sizes = (1, rows, outputs, inputs);
    x.storage().matmul(weight.storage(), sizes, &left, &right)
}

/// As [`dense`] for the two sides of an operation.
pub(crate) fn both<'a>(
    a: (&'a CudaStorage, &Layout),
    b: (&'a CudaStorage, &Layout),
) -> Result<(Dense<'a>, Dense<'a>)> {
    Ok((dense(a.0, a.1)?, dense(b.0, b.1)?))
}
