//! One safe function for each kernel: it checks sizes and types, allocates and launches. Here those
//! on numbers and short rows; `rows.rs` has losses and attention, `update.rs` the optimizer.

use candle_core::backend::BackendStorage;
use candle_core::{CudaStorage, DType, Layout, Result};

use super::launch::{Arg, Dense, Grid, dense, fresh, launch, read};

/// Threads of a block where every number is computed alone.
pub(super) const THREADS: u32 = 256;
/// Lanes of a warp.
pub(super) const LANES: u32 = 32;
/// Rows of a block where a warp reads each.
const WARPS: u32 = 8;
/// Rows that one block of [`rms_norm_dw`] sums.
const NORM_CHUNK: usize = 64;

/// `name` with the kernel's number type.
pub(super) fn typed(name: &str, dtype: DType) -> Result<String> {
    match dtype {
        DType::F32 => Ok(format!("{name}_f32")),
        DType::BF16 => Ok(format!("{name}_bf16")),
        other => candle_core::bail!("{name}: {} is not f32 or bf16", other.as_str()),
    }
}

/// Fails unless all are of the first one's type and have `counts` numbers.
pub(super) fn check(name: &str, tensors: &[(&Dense, usize)]) -> Result<()> {
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

pub(super) fn small(name: &str, size: usize) -> Result<u32> {
    match u32::try_from(size) {
        Ok(size) => Ok(size),
        Err(_) => candle_core::bail!("{name}: a size of {size} is too large for the GPU"),
    }
}

/// A thread for each of `count`.
pub(super) fn each(name: &str, count: usize) -> Result<Grid> {
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
