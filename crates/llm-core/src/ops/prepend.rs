//! Learnt vectors before every text of a batch.

use std::marker::PhantomData;

use candle_core::{CpuStorage, CustomOp2, DType, Layout, Shape, Tensor};

use super::slices::{axes, float_type, gradient, output, values, with_values};
use super::{Ops, tape};
use crate::dims::expect_shape;
use crate::kernels::rows::add_in_place;
use crate::kernels::simd::Real;
use crate::profile::{Cost, span};
use crate::{Error, Result};

const NAME: &str = "prepend";

impl Ops {
    /// The rows of `prompt` before those of each text: the input of a model with a soft prompt
    /// (Lester et al. 2021). Its gradient is the sum over the texts.
    ///
    /// # Shapes
    /// `prompt [P, C]`, `x [B, T, C]` → `[B, P + T, C]`.
    ///
    /// # Errors
    /// Another C, or number types that differ.
    pub fn prepend(self, prompt: &Tensor, x: &Tensor) -> Result<Tensor> {
        let [b, _t, c] = axes("text", x, "B, T, C")?;
        let [p, _c] = axes("soft prompt", prompt, "P, C")?;
        expect_shape("soft prompt", prompt, &[p, c])?;
        if self == Self::Composed {
            let prompt = prompt.unsqueeze(0)?.broadcast_as((b, p, c))?;
            return Ok(Tensor::cat(&[&prompt.contiguous()?, x], 1)?);
        }
        match float_type(NAME, &[prompt, x])? {
            DType::F32 => Ok(tape::apply2(prompt, x, Prepend::<f32>(PhantomData))?),
            DType::F64 => Ok(tape::apply2(prompt, x, Prepend::<f64>(PhantomData))?),
            other => Err(Error::input(NAME, format!("is {}", other.as_str()))),
        }
    }
}

struct Prepend<E>(PhantomData<E>);

impl<E: Real> CustomOp2 for Prepend<E> {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        prompt: &CpuStorage,
        prompt_layout: &Layout,
        x: &CpuStorage,
        x_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (b, t, c) = x_layout.shape().dims3()?;
        let (p, _c) = prompt_layout.shape().dims2()?;
        let _span = span(NAME, || Cost::touch::<E>(b * (p + t) * c));
        let (prompt, x) = (
            values::<E>(prompt, prompt_layout)?,
            values::<E>(x, x_layout)?,
        );
        let mut y = Vec::with_capacity(b * (p + t) * c);
        for text in 0..b {
            y.extend_from_slice(&prompt);
            y.extend_from_slice(&x[text * t * c..(text + 1) * t * c]);
        }
        Ok(output(y, &Shape::from((b, p + t, c))))
    }

    fn bwd(
        &self,
        prompt: &Tensor,
        x: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let (b, t, c) = x.dims3()?;
        let (p, _c) = prompt.dims2()?;
        let _span = span("prepend backward", || Cost::touch::<E>(b * (p + t) * c));
        let (d_prompt, dx) = with_values::<E, _, 1>([dy], |[dy]| {
            let mut d_prompt = vec![E::ZERO; p * c];
            let mut dx = Vec::with_capacity(b * t * c);
            for text in 0..b {
                let row = &dy[text * (p + t) * c..(text + 1) * (p + t) * c];
                let (before, after) = row.split_at(p * c);
                add_in_place(&mut d_prompt, before);
                dx.extend_from_slice(after);
            }
            Ok((d_prompt, dx))
        })?;
        Ok((gradient(d_prompt, prompt)?, gradient(dx, x)?))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;
    use crate::ops::record;

    fn numbered(shape: &[usize], salt: f64) -> Var {
        let count: usize = shape.iter().product();
        let values = (0..count).map(|i| (i as f64 * 1.7 + salt).sin());
        let values: Vec<f64> = values.collect();
        Var::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    #[test]
    fn fused_and_composed_have_the_same_bits_and_gradients() {
        let weight = numbered(&[3, 4], 0.3);
        for (trains_x, b) in [(true, 3), (false, 1)] {
            let (prompt, x) = (numbered(&[2, 4], 0.1), numbered(&[b, 5, 4], 0.2));
            let text = match trains_x {
                true => x.as_tensor().clone(),
                false => x.as_detached_tensor(),
            };
            let run = |ops: Ops| {
                let y = ops.prepend(&prompt, &text).unwrap();
                assert_eq!(y.dims(), [b, 7, 4]);
                let logits = ops.linear(&y, &weight, None).unwrap();
                let logits = ops.reshape(&logits, (b * 7, 3)).unwrap();
                let targets: Vec<i64> = (0..b as i64 * 7).map(|t| t % 3).collect();
                (y, ops.cross_entropy(&logits, &targets, 0.2).unwrap())
            };
            let ((y, loss), tape) = record(|| run(Ops::Fused));
            assert!(tape.is_complete(&loss));
            let found = tape.backward(&loss).unwrap();
            let (want_y, want) = run(Ops::Composed);
            let bits = |x: &Tensor| x.flatten_all().unwrap().to_vec1::<f64>().unwrap();
            assert_eq!(bits(&y), bits(&want_y));
            let want = want.backward().unwrap();
            for var in [&prompt, &x, &weight] {
                let (Some(a), Some(b)) = (found.get(var), want.get(var)) else {
                    assert!(!trains_x && found.get(var).is_none() && want.get(var).is_none());
                    continue;
                };
                let gap = (a - b).unwrap().abs().unwrap().max_all().unwrap();
                assert!(gap.to_scalar::<f64>().unwrap() <= 1e-14);
            }
        }
    }

    #[test]
    fn another_width_is_an_error() {
        let (prompt, x) = (numbered(&[2, 5], 0.1), numbered(&[1, 3, 4], 0.2));
        for ops in [Ops::Fused, Ops::Composed] {
            let error = ops.prepend(&prompt, &x).unwrap_err().to_string();
            assert!(error.contains("soft prompt"), "{error}");
        }
    }
}
