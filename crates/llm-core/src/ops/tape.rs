//! A backward pass of our own over the fused operations.
//!
//! The tensor library's pass makes a tensor of zeros for every argument of every operation and
//! adds the gradient to it: four passes over memory where none is needed. While [`record`] runs,
//! the operations of this module's parent write down what they did, and [`Tape::backward`] walks
//! that list from its end: a first gradient is taken as it is, a later one added in place.
//!
//! The library's graph is built all the same. If anything between the loss and the variables was
//! not recorded (an operation of the library, or one from outside `record`), `backward` is the
//! library's own pass over that graph: slower, and the same gradients.
//!
//! ```
//! use candle_core::{DType, Device, Var};
//! use llm_core::ops::{Ops, record};
//! # fn main() -> llm_core::Result<()> {
//! let w = Var::ones((2, 3), DType::F64, &Device::Cpu)?;
//! let x = Var::ones((1, 3), DType::F64, &Device::Cpu)?;
//! let (loss, tape) = record(|| {
//!     let logits = Ops::Fused.linear(&x, &w, None)?;
//!     Ops::Fused.cross_entropy(&logits, &[1], 1.0)
//! });
//! let gradients = tape.backward(&loss?)?;
//! assert_eq!(gradients.get(&w).unwrap().to_vec2::<f64>()?, [[0.5; 3], [-0.5; 3]]);
//! # Ok(()) }
//! ```

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use candle_core::backprop::GradStore;
use candle_core::{
    CpuStorage, CustomOp1, CustomOp2, CustomOp3, InplaceOp2, Layout, Shape, Tensor, TensorId, Var,
};

use crate::Result;
use crate::kernels::pool::{Chunks, for_each};
use crate::kernels::rows::{add_in_place, grain};
use crate::kernels::simd::Real;

thread_local! {
    /// The tape of the innermost [`record`] of this thread.
    static RECORDING: RefCell<Option<Vec<Node>>> = const { RefCell::new(None) };
}

type Op1 = Arc<Box<dyn CustomOp1 + Send + Sync>>;
type Op2 = Arc<Box<dyn CustomOp2 + Send + Sync>>;
type Op3 = Arc<Box<dyn CustomOp3 + Send + Sync>>;

/// A part of a model that can be run again.
type Segment = Box<dyn Fn(&Tensor) -> Result<Tensor>>;

/// How the gradient of an output becomes those of the arguments.
enum Rule {
    One(Op1, Tensor),
    Two(Op2, [Tensor; 2]),
    Three(Op3, [Tensor; 3]),
    /// Both arguments get the gradient itself.
    Sum([Tensor; 2]),
    /// The gradient times a number.
    Scale(Tensor, f64),
    /// The gradient in the argument's shape.
    Reshape(Tensor),
    /// The gradient in a part of the argument, from an index of an axis on.
    Narrow(Tensor, usize, usize),
    /// What happened between argument and output is run again, see [`super::checkpoint`].
    Again(Tensor, Segment),
}

/// One recorded operation.
struct Node {
    rule: Rule,
    output: Tensor,
}

impl Node {
    fn arguments(&self) -> &[Tensor] {
        match &self.rule {
            Rule::One(_, x)
            | Rule::Scale(x, _)
            | Rule::Reshape(x)
            | Rule::Narrow(x, ..)
            | Rule::Again(x, _) => std::slice::from_ref(x),
            Rule::Two(_, x) | Rule::Sum(x) => x,
            Rule::Three(_, x) => x,
        }
    }

    /// The gradients of the arguments, for the gradient `dy` of the output. Operations of ours
    /// return fresh memory, a sum and a reshape that of `dy`.
    fn gradients(&self, dy: &Tensor) -> candle_core::Result<[Option<Gradient>; 3]> {
        let y = &self.output;
        let own = |x: Option<Tensor>| x.map(Gradient::own);
        Ok(match &self.rule {
            Rule::One(op, x) => [own(op.bwd(x, y, dy)?), None, None],
            Rule::Two(op, [a, b]) => {
                let (da, db) = op.bwd(a, b, y, dy)?;
                [own(da), own(db), None]
            }
            Rule::Three(op, [a, b, c]) => {
                let (da, db, dc) = op.bwd(a, b, c, y, dy)?;
                [own(da), own(db), own(dc)]
            }
            Rule::Sum(_) => [Some(Gradient::borrow(dy)), Some(Gradient::borrow(dy)), None],
            Rule::Reshape(x) => {
                let dx = dy.reshape(x.shape())?;
                [Some(Gradient::borrow(&dx)), None, None]
            }
            Rule::Scale(_, factor) => [Some(Gradient::own((dy * *factor)?)), None, None],
            Rule::Narrow(..) => [Some(Gradient::borrow(dy)), None, None],
            Rule::Again(..) => candle_core::bail!("a segment has more gradients than arguments"),
        })
    }
}

/// A gradient so far.
struct Gradient {
    value: Tensor,
    /// Whether nobody else reads its memory.
    owned: bool,
}

impl Gradient {
    fn own(value: Tensor) -> Self {
        Self { value, owned: true }
    }

    fn borrow(value: &Tensor) -> Self {
        Self {
            value: value.clone(),
            owned: false,
        }
    }

    fn add(self, other: Self) -> candle_core::Result<Self> {
        let (sum, other) = match (self.owned, other.owned) {
            (true, _) => (self.value, other.value),
            (false, true) => (other.value, self.value),
            (false, false) => return Ok(Self::own((self.value + other.value)?)),
        };
        let all = sum.elem_count();
        let whole = AddInPlace {
            every: all,
            start: 0,
            run: all,
        };
        sum.inplace_op2(&other.contiguous()?, &whole)?;
        Ok(Self::own(sum))
    }

    /// Adds this to the part of `sum` that begins at `start` of `axis`; `sum` has the shape of
    /// `whole`, and zeros where nothing was added yet.
    fn add_into(
        self,
        sum: Option<Self>,
        whole: &Tensor,
        axis: usize,
        start: usize,
    ) -> candle_core::Result<Self> {
        let sum = match sum {
            Some(sum) if sum.owned => sum.value,
            Some(sum) => sum.value.copy()?,
            None => whole.zeros_like()?,
        };
        let inner: usize = whole.dims()[axis + 1..].iter().product();
        let part = AddInPlace {
            every: whole.dim(axis)? * inner,
            start: start * inner,
            run: self.value.dim(axis)? * inner,
        };
        sum.inplace_op2(&self.value.contiguous()?, &part)?;
        Ok(Self::own(sum))
    }
}

/// What the fused operations did during a [`record`].
#[derive(Default)]
pub struct Tape {
    nodes: Vec<Node>,
}

impl std::fmt::Debug for Tape {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "Tape of {} operations", self.nodes.len())
    }
}

/// Runs `work` and returns what it returned, with the tape of the fused operations in it.
pub fn record<R>(work: impl FnOnce() -> R) -> (R, Tape) {
    /// Puts the outer recording back, also when `work` panics.
    struct Restore(Option<Vec<Node>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            RECORDING.set(self.0.take());
        }
    }
    let _restore = Restore(RECORDING.replace(Some(Vec::new())));
    let result = work();
    let nodes = RECORDING.take().unwrap_or_default();
    (result, Tape { nodes })
}

impl Tape {
    /// The gradients of `loss` for all variables that it depends on.
    ///
    /// # Shapes
    /// `loss` is any tensor; its elements are summed.
    ///
    /// # Errors
    /// What an operation's backward pass reports.
    pub fn backward(self, loss: &Tensor) -> Result<GradStore> {
        if !self.is_complete(loss) {
            return Ok(loss.backward()?);
        }
        let mut store = GradStore::default();
        let seed = Gradient::own(loss.ones_like()?.contiguous()?);
        for (id, gradient) in self.walk(loss, seed)? {
            store.insert_id(id, gradient.value);
        }
        Ok(store)
    }

    /// The gradients of what `output` depends on, for the gradient `seed` of `output`.
    fn walk(self, output: &Tensor, seed: Gradient) -> Result<HashMap<TensorId, Gradient>> {
        let mut gradients = HashMap::from([(output.id(), seed)]);
        let mut nodes = self.nodes;
        // Popped, so that what a node saved is freed as soon as it has been used.
        while let Some(node) = nodes.pop() {
            let Some(dy) = gradients.remove(&node.output.id()) else {
                continue;
            };
            // Without a history, or the gradients would become a graph of their own.
            let dy = dy.value.detach();
            if let Rule::Again(x, segment) = &node.rule {
                for (id, gradient) in again_gradients(x, segment, &dy)? {
                    add_to(&mut gradients, id, gradient)?;
                }
                continue;
            }
            let found = node.gradients(&dy)?;
            for (argument, gradient) in node.arguments().iter().zip(found) {
                let (true, Some(gradient)) = (argument.track_op(), gradient) else {
                    continue;
                };
                let sum = gradients.remove(&argument.id());
                let sum = match (&node.rule, sum) {
                    (Rule::Narrow(x, axis, start), sum) => {
                        gradient.add_into(sum, x, *axis, *start)?
                    }
                    (_, Some(sum)) => sum.add(gradient)?,
                    (_, None) => gradient,
                };
                gradients.insert(argument.id(), sum);
            }
        }
        Ok(gradients)
    }

    /// Whether every path from `loss` to a variable runs over recorded operations, so that
    /// [`Tape::backward`] is our own pass.
    pub fn is_complete(&self, loss: &Tensor) -> bool {
        let mut open: HashSet<TensorId> = HashSet::from([loss.id()]);
        for node in self.nodes.iter().rev() {
            if open.remove(&node.output.id()) {
                let tracked = node.arguments().iter().filter(|x| x.track_op());
                open.extend(tracked.filter(|x| !x.is_variable()).map(Tensor::id));
            }
        }
        open.is_empty()
    }
}

fn add_to(
    gradients: &mut HashMap<TensorId, Gradient>,
    id: TensorId,
    gradient: Gradient,
) -> candle_core::Result<()> {
    let sum = match gradients.remove(&id) {
        Some(sum) => sum.add(gradient)?,
        None => gradient,
    };
    gradients.insert(id, sum);
    Ok(())
}

/// Runs `segment` again from `x`: the gradients of `x` and of all variables inside, for the
/// gradient `dy` of the output.
fn again_gradients(
    x: &Tensor,
    segment: &Segment,
    dy: &Tensor,
) -> Result<HashMap<TensorId, Gradient>> {
    let input = match x.track_op() {
        true => Var::from_tensor(&x.copy()?.detach())?.as_tensor().clone(),
        false => x.detach(),
    };
    let (output, tape) = record(|| segment(&input));
    let output = output?;
    let mut gradients = match tape.is_complete(&output) {
        true => tape.walk(&output, Gradient::borrow(dy))?,
        false => {
            let store = (&output * dy)?.sum_all()?.backward()?;
            let ids: Vec<TensorId> = store.get_ids().copied().collect();
            let own = |id| Some((id, Gradient::borrow(store.get_id(id)?)));
            ids.into_iter().filter_map(own).collect()
        }
    };
    if let Some(dx) = gradients.remove(&input.id()) {
        gradients.insert(x.id(), dx);
    }
    Ok(gradients)
}

/// Whether a [`record`] of this thread runs.
pub(super) fn is_recording() -> bool {
    RECORDING.with_borrow(Option::is_some)
}

/// Records that `segment` makes `y` of `x`.
pub(super) fn again(x: &Tensor, y: &Tensor, segment: impl Fn(&Tensor) -> Result<Tensor> + 'static) {
    push(y, || Rule::Again(x.clone(), Box::new(segment)));
}

fn push(output: &Tensor, rule: impl FnOnce() -> Rule) {
    if !output.track_op() {
        return;
    }
    RECORDING.with_borrow_mut(|nodes| {
        if let Some(nodes) = nodes {
            let (rule, output) = (rule(), output.clone());
            nodes.push(Node { rule, output });
        }
    });
}

/// Applies and records `op`.
pub(super) fn apply1(
    x: &Tensor,
    op: impl CustomOp1 + Send + Sync + 'static,
) -> candle_core::Result<Tensor> {
    let op: Op1 = Arc::new(Box::new(op));
    let y = x.apply_op1_arc(op.clone())?;
    push(&y, || Rule::One(op, x.clone()));
    Ok(y)
}

/// As [`apply1`] with two arguments.
pub(super) fn apply2(
    a: &Tensor,
    b: &Tensor,
    op: impl CustomOp2 + Send + Sync + 'static,
) -> candle_core::Result<Tensor> {
    let op: Op2 = Arc::new(Box::new(op));
    let y = a.apply_op2_arc(b, op.clone())?;
    push(&y, || Rule::Two(op, [a.clone(), b.clone()]));
    Ok(y)
}

/// As [`apply1`] with three arguments.
pub(super) fn apply3(
    a: &Tensor,
    b: &Tensor,
    c: &Tensor,
    op: impl CustomOp3 + Send + Sync + 'static,
) -> candle_core::Result<Tensor> {
    let op: Op3 = Arc::new(Box::new(op));
    let y = a.apply_op3_arc(b, c, op.clone())?;
    push(&y, || Rule::Three(op, [a.clone(), b.clone(), c.clone()]));
    Ok(y)
}

/// `a + b` of one shape, recorded.
pub(super) fn add(a: &Tensor, b: &Tensor) -> candle_core::Result<Tensor> {
    let y = (a + b)?;
    push(&y, || Rule::Sum([a.clone(), b.clone()]));
    Ok(y)
}

/// `factor · x`, recorded.
pub(super) fn scale(x: &Tensor, factor: f64) -> candle_core::Result<Tensor> {
    let y = (x * factor)?;
    push(&y, || Rule::Scale(x.clone(), factor));
    Ok(y)
}

/// `x` in another shape, recorded.
pub(super) fn reshape(x: &Tensor, shape: impl Into<Shape>) -> candle_core::Result<Tensor> {
    let y = x.reshape(shape.into())?;
    push(&y, || Rule::Reshape(x.clone()));
    Ok(y)
}

/// `len` indices of `axis` from `start` on, recorded.
pub(super) fn narrow(
    x: &Tensor,
    axis: usize,
    start: usize,
    len: usize,
) -> candle_core::Result<Tensor> {
    let y = x.narrow(axis, start, len)?;
    push(&y, || Rule::Narrow(x.clone(), axis, start));
    Ok(y)
}

/// Adds the elements of another tensor to `run` elements of `every`, from `start` on.
struct AddInPlace {
    every: usize,
    start: usize,
    run: usize,
}

impl InplaceOp2 for AddInPlace {
    fn name(&self) -> &'static str {
        "add-in-place"
    }

    fn cpu_fwd(
        &self,
        sum: &mut CpuStorage,
        sum_layout: &Layout,
        other: &CpuStorage,
        other_layout: &Layout,
    ) -> candle_core::Result<()> {
        let (Some((0, _)), Some((start, end))) = (
            sum_layout.contiguous_offsets(),
            other_layout.contiguous_offsets(),
        ) else {
            candle_core::bail!("add-in-place: sum and other must be contiguous");
        };
        match (sum, other) {
            (CpuStorage::F32(sum), CpuStorage::F32(other)) => self.add(sum, &other[start..end]),
            (CpuStorage::F64(sum), CpuStorage::F64(other)) => self.add(sum, &other[start..end]),
            _ => candle_core::bail!("add-in-place: not f32 or f64 on both sides"),
        }
        Ok(())
    }
}

impl AddInPlace {
    fn add<E: Real>(&self, sum: &mut [E], other: &[E]) {
        if self.run == self.every {
            return add_in_place(sum, other);
        }
        let grain = grain(self.run);
        for_each(Chunks::new(sum, self.every), grain, |index, sum| {
            let other = &other[index * self.run..][..self.run];
            add_in_place(&mut sum[self.start..self.start + self.run], other);
        });
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Var};

    use super::*;
    use crate::ops::Ops;

    const CPU: Device = Device::Cpu;

    /// `x W`, its halves exchanged and added, twice over, so that every rule meets a first and a
    /// second gradient; `library` puts an addition of the tensor library in between.
    fn loss(x: &Tensor, w: &Tensor, library: bool) -> Result<Tensor> {
        let ops = Ops::Fused;
        let y = ops.linear(x, w, None)?;
        let (a, b) = (ops.narrow(&y, 1, 0, 2)?, ops.narrow(&y, 1, 2, 2)?);
        let sum = match library {
            true => (&a + &b)?,
            false => ops.add(&a, &b)?,
        };
        let both = ops.add(&ops.reshape(&sum, (4, 1))?, &ops.reshape(&a, (4, 1))?)?;
        let logits = ops.reshape(&ops.add(&both, &ops.scale(&both, 0.5)?)?, (2, 2))?;
        ops.cross_entropy(&ops.add(&logits, &sum)?, &[0, 1], 1.0)
    }

    fn variables() -> (Var, Var) {
        let numbers = |count: usize, shape: (usize, usize)| {
            let values: Vec<f64> = (0..count).map(|i| (i as f64 * 1.7).sin()).collect();
            Var::from_vec(values, shape, &CPU).unwrap()
        };
        (numbers(6, (2, 3)), numbers(12, (4, 3)))
    }

    #[test]
    fn both_passes_agree_and_an_unrecorded_operation_is_noticed() {
        const ROUNDING: f64 = 1e-14;
        for library in [false, true] {
            let (x, w) = variables();
            let (loss, tape) = record(|| loss(&x, &w, library));
            let loss = loss.unwrap();
            assert_eq!(tape.is_complete(&loss), !library);
            let expected = loss.backward().unwrap();
            let found = tape.backward(&loss).unwrap();
            for var in [&x, &w] {
                let error = (found.get(var).unwrap() - expected.get(var).unwrap()).unwrap();
                let error = error.abs().unwrap().max_all().unwrap();
                assert!(error.to_scalar::<f64>().unwrap() <= ROUNDING, "{error}");
            }
        }
    }

    #[test]
    fn recordings_nest_and_end() {
        let (x, w) = variables();
        let ((), outer) = record(|| {
            let (_, inner) = record(|| Ops::Fused.linear(&x, &w, None));
            assert_eq!(inner.nodes.len(), 1);
            Ops::Fused.scale(&x, 2.0).unwrap();
        });
        assert_eq!(outer.nodes.len(), 1);
        Ops::Fused.scale(&x, 2.0).unwrap();
        let constant = Tensor::ones((2, 3), DType::F64, &CPU).unwrap();
        let (_, none) = record(|| Ops::Fused.scale(&constant, 2.0));
        assert!(none.nodes.is_empty(), "a constant has no gradient");
    }
}
