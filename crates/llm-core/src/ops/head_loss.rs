//! The loss of a language model's head without the logits of all rows at once.
//!
//! Logits `[N, V]` and their gradient are the largest tensors of a step: at N 2,048 and V 151,936
//! they are 1.2 GB each. Here rows go through head and cross-entropy in groups, and where
//! gradients are wanted each group's backward pass runs at once, so that only the gradients of the
//! hidden states and of the head are kept. The loss is a sum over rows, so its gradient is the
//! sum of the groups' gradients; the backward pass of the node multiplies it by what comes from
//! above.
//!
//! A loss that is another function of the rows ([`super::log_prob_loss`]) goes the same way, with a
//! weight for each row and a value that its caller knows.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Shape, Tensor, Var};

use super::log_prob_loss::LogProbLoss;
use super::{Ops, PackedWeight, cross_entropy, tape};
use crate::{Error, Result};

/// The most logits that exist at once: 32 MiB of f32.
pub(super) const MOST_LOGITS: usize = 8 << 20;

/// How the rows make the loss.
#[derive(Clone, Copy)]
pub(super) enum Rows<'a> {
    /// This times the sum of `−log p`.
    Same(f64),
    /// As a function of all `log p` that was computed before.
    Known(&'a LogProbLoss),
}

/// As [`Ops::linear_cross_entropy`], with at most `most` logits at once.
pub(super) fn head_loss(
    hidden: &Tensor,
    head: &PackedWeight,
    targets: &[i64],
    how: Rows,
    most: usize,
) -> Result<Tensor> {
    let rows = rows_of(hidden, head, targets)?;
    let group = Group {
        head,
        how,
        wanted: [hidden, head.tensor()].map(Tensor::track_op),
    };
    let per_group = rows_per_group(head, most)?;
    // A head that is itself computed from variables keeps the whole path.
    let whole = group.wanted[1] && !head.tensor().is_variable();
    if targets.len() <= per_group || whole {
        return group.loss(&rows, targets, 0);
    }
    let rows_alone = rows.detach();
    let mut sums = Sums::default();
    for (index, targets) in targets.chunks(per_group).enumerate() {
        let first = index * per_group;
        let rows = rows_alone.narrow(0, first, targets.len())?;
        sums.add(&group, &rows, targets, first)?;
    }
    sums.node(&rows, &group)
}

/// `log p(target)` of every row, 0 where it is ignored, with at most `most` logits at once; no part
/// of the graph.
pub(super) fn log_probs(
    hidden: &Tensor,
    head: &PackedWeight,
    targets: &[i64],
    most: usize,
) -> Result<Vec<f64>> {
    let rows = rows_of(&hidden.detach(), head, targets)?;
    let per_group = rows_per_group(head, most)?;
    let mut all = Vec::with_capacity(targets.len());
    for (index, targets) in targets.chunks(per_group).enumerate() {
        let rows = rows.narrow(0, index * per_group, targets.len())?;
        // A recording of its own: a head that trains must not keep these logits alive.
        let (logits, _forgotten) = tape::record(|| Ops::Fused.packed_linear(&rows, head, None));
        let logits = logits?.detach();
        cross_entropy::check_targets(&logits, targets)?;
        all.extend(cross_entropy::log_probs(&logits, targets)?);
    }
    Ok(all)
}

/// The hidden states as rows, one for each target.
///
/// # Shapes
/// `hidden [.., C]`, `head [V, C]` → `[N, C]`.
fn rows_of(hidden: &Tensor, head: &PackedWeight, targets: &[i64]) -> Result<Tensor> {
    let (v, c) = head.tensor().dims2()?;
    let n = hidden.elem_count() / c.max(1);
    if hidden.dims().last() != Some(&c) || targets.len() != n {
        let (dims, targets) = (hidden.dims(), targets.len());
        let problem = format!("hidden states {dims:?} and {targets} targets, head [{v}, {c}]");
        return Err(Error::input("loss", problem));
    }
    Ok(tape::reshape(hidden, (n, c))?)
}

fn rows_per_group(head: &PackedWeight, most: usize) -> Result<usize> {
    Ok((most / head.tensor().dim(0)?.max(1)).max(1))
}

/// What all groups of rows share.
struct Group<'a> {
    head: &'a PackedWeight,
    how: Rows<'a>,
    /// Whether hidden states and head get gradients.
    wanted: [bool; 2],
}

impl Group<'_> {
    /// The loss of the rows from `first` on; with known slopes, that of all rows.
    fn loss(&self, rows: &Tensor, targets: &[i64], first: usize) -> Result<Tensor> {
        let logits = Ops::Fused.packed_linear(rows, self.head, None)?;
        match self.how {
            Rows::Same(scale) => Ops::Fused.cross_entropy(&logits, targets, scale),
            Rows::Known(known) => {
                let weights = known.weights(first, targets.len());
                cross_entropy::weighted(&logits, targets, weights, known.value)
            }
        }
    }
}

/// Loss and gradients of the groups so far.
#[derive(Default)]
struct Sums {
    loss: Option<Tensor>,
    /// `[rows of a group, C]` each
    d_hidden: Vec<Tensor>,
    /// `[V, C]`
    d_head: Option<Tensor>,
}

impl Sums {
    fn add(&mut self, group: &Group, rows: &Tensor, targets: &[i64], first: usize) -> Result<()> {
        let rows = Var::from_tensor(rows)?;
        let (loss, tape) = tape::record(|| match group.wanted {
            [false, _] => group.loss(&rows.as_detached_tensor(), targets, first),
            _ => group.loss(&rows, targets, first),
        });
        let loss = loss?;
        if loss.track_op() {
            let mut gradients = tape.backward(&loss)?;
            self.d_hidden.extend(gradients.remove(&rows));
            let d_head = gradients.remove(group.head.tensor());
            self.d_head = match (self.d_head.take(), d_head) {
                (Some(sum), Some(next)) => Some((sum + next)?),
                (sum, next) => sum.or(next),
            };
        }
        let loss = loss.detach();
        self.loss = Some(match (self.loss.take(), group.how) {
            (Some(sum), Rows::Same(_)) => (sum + loss)?,
            // Each group says the value of all.
            _ => loss,
        });
        Ok(())
    }

    /// The loss as a node over the hidden states and the head.
    fn node(self, rows: &Tensor, group: &Group) -> Result<Tensor> {
        let Some(loss) = self.loss else {
            return Err(Error::input("loss", "no rows"));
        };
        if group.wanted == [false, false] {
            return Ok(loss);
        }
        let d_hidden = match self.d_hidden.as_slice() {
            [] => None,
            parts => Some(Tensor::cat(parts, 0)?),
        };
        let node = Summed {
            loss,
            d_hidden,
            d_head: self.d_head,
        };
        Ok(match group.wanted[1] {
            true => tape::apply2(rows, group.head.tensor(), node)?,
            false => tape::apply1(rows, node)?,
        })
    }
}

/// A loss whose gradients are known.
struct Summed {
    loss: Tensor,
    d_hidden: Option<Tensor>,
    d_head: Option<Tensor>,
}

impl Summed {
    fn value(&self) -> candle_core::Result<(CpuStorage, Shape)> {
        let (storage, _) = self.loss.storage_and_layout();
        match &*storage {
            candle_core::Storage::Cpu(storage) => Ok((storage.clone(), Shape::from(()))),
            _ => candle_core::bail!("head_loss: the loss is not on the CPU"),
        }
    }

    /// A saved gradient times the scalar `dy`, in fresh memory.
    fn times(gradient: Option<&Tensor>, dy: &Tensor) -> candle_core::Result<Option<Tensor>> {
        gradient.map(|g| g.broadcast_mul(dy)).transpose()
    }
}

impl CustomOp1 for Summed {
    fn name(&self) -> &'static str {
        "head-loss"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        self.value()
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, dy: &Tensor) -> candle_core::Result<Option<Tensor>> {
        Self::times(self.d_hidden.as_ref(), dy)
    }
}

impl CustomOp2 for Summed {
    fn name(&self) -> &'static str {
        "head-loss"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        self.value()
    }

    fn bwd(
        &self,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        dy: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        Ok((
            Self::times(self.d_hidden.as_ref(), dy)?,
            Self::times(self.d_head.as_ref(), dy)?,
        ))
    }
}

/// With the usual limit.
pub(super) fn fused(
    hidden: &Tensor,
    head: &PackedWeight,
    targets: &[i64],
    scale: f64,
) -> Result<Tensor> {
    head_loss(hidden, head, targets, Rows::Same(scale), MOST_LOGITS)
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::ops::IGNORE_INDEX;

    const V: usize = 7;
    const C: usize = 5;
    const N: usize = 9;
    /// Sums in another order, in f64.
    const ROUNDING: f64 = 1e-14;

    fn numbers(rows: usize, columns: usize, salt: f64) -> Tensor {
        let values: Vec<f64> = (0..rows * columns)
            .map(|i| (i as f64 * 1.3 + salt).sin())
            .collect();
        Tensor::from_vec(values, (rows, columns), &Device::Cpu).unwrap()
    }

    fn difference(a: &Tensor, b: &Tensor) -> f64 {
        let difference = (a - b).unwrap().abs().unwrap();
        difference
            .flatten_all()
            .unwrap()
            .max(0)
            .unwrap()
            .to_scalar()
            .unwrap()
    }

    #[test]
    fn groups_of_rows_have_the_loss_and_gradients_of_the_whole() {
        let targets = [0, 3, IGNORE_INDEX, 6, 1, 1, 5, IGNORE_INDEX, 2];
        for (trains_hidden, trains_head) in [(true, true), (true, false), (false, true)] {
            let hidden = Var::from_tensor(&numbers(N, C, 0.1)).unwrap();
            let head = Var::from_tensor(&numbers(V, C, 0.7)).unwrap();
            let tensor = |var: &Var, trains| match trains {
                true => var.as_tensor().clone(),
                false => var.as_detached_tensor(),
            };
            let (h, w) = (tensor(&hidden, trains_hidden), tensor(&head, trains_head));
            let weight = PackedWeight::new(w);
            let run = |most| {
                let (loss, tape) = tape::record(|| {
                    let loss = head_loss(&h, &weight, &targets, Rows::Same(0.2), most).unwrap();
                    // Something above the loss: the node must pass it on.
                    Ops::Fused.scale(&loss, 3.0).unwrap()
                });
                assert!(tape.is_complete(&loss));
                let gradients = tape.backward(&loss).unwrap();
                let of = |var: &Var| gradients.get(var).cloned();
                (loss, of(&hidden), of(&head))
            };
            let (loss, d_hidden, d_head) = run(usize::MAX);
            assert_eq!(
                (d_hidden.is_some(), d_head.is_some()),
                (trains_hidden, trains_head)
            );
            for most in [1, V, 2 * V, 4 * V + 1, 9 * V] {
                let found = run(most);
                assert!(difference(&found.0, &loss) <= ROUNDING);
                let pairs = [(&d_hidden, found.1), (&d_head, found.2)];
                for (expected, found) in pairs {
                    if let Some(expected) = expected {
                        assert!(difference(expected, &found.unwrap()) <= ROUNDING);
                    }
                }
            }
        }
    }

    #[test]
    fn without_gradients_only_the_loss_is_computed() {
        let head = PackedWeight::new(numbers(V, C, 0.7));
        let loss = |most| {
            let hidden = numbers(N, C, 0.1).reshape((3, 3, C)).unwrap();
            head_loss(&hidden, &head, &[1; N], Rows::Same(1.0), most).unwrap()
        };
        assert!(!loss(V).track_op());
        assert!(difference(&loss(V), &loss(usize::MAX)) <= ROUNDING * 100.0);
        assert_eq!(loss(V).dtype(), DType::F64);
        let bad =
            head_loss(&numbers(N, C + 1, 0.1), &head, &[1; N], Rows::Same(1.0), V).unwrap_err();
        assert!(bad.to_string().contains("head [7, 5]"), "{bad}");
    }
}
