//! Token embedding.

use std::marker::PhantomData;

use candle_core::{CpuStorage, CustomOp1, DType, Layout, Shape, Tensor};
use half::bf16;

use super::slices::{axes, float_type, gradient, output, values, with_values};
use super::tape;
use crate::kernels::embedding::{gather, scatter};
use crate::kernels::simd::Real;
use crate::profile::{Cost, span};
use crate::{Error, Result};

const NAME: &str = "embedding";

struct Embedding<E> {
    /// `[B, T]`, each below V
    ids: Vec<u32>,
    b: usize,
    t: usize,
    element: PhantomData<E>,
}

impl<E: Real> CustomOp1 for Embedding<E> {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        table: &CpuStorage,
        layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (_v, c) = layout.shape().dims2()?;
        let _span = span(NAME, || Cost::touch::<E>(2 * c * self.ids.len()));
        let rows: Vec<E> = match table {
            CpuStorage::BF16(_) => {
                let rows: Vec<f32> = gather(&values::<bf16>(table, layout)?, c, &self.ids);
                return Ok(output(rows, &Shape::from((self.b, self.t, c))));
            }
            _ => gather(&values::<E>(table, layout)?, c, &self.ids),
        };
        Ok(output(rows, &Shape::from((self.b, self.t, c))))
    }

    fn bwd(&self, table: &Tensor, _y: &Tensor, dy: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let (v, c) = table.dims2()?;
        let _span = span("embedding backward", || {
            Cost::touch::<E>(v * c + c * self.ids.len())
        });
        let dtable = with_values::<E, _, 1>([dy], |[dy]| Ok(scatter(dy, c, &self.ids, v)))?;
        gradient(dtable, table)
    }
}

pub(super) fn embedding(table: &Tensor, ids: &Tensor) -> Result<Tensor> {
    let [b, t] = axes("token ids", ids, "B, T")?;
    let [v, _c] = axes("embedding table", table, "V, C")?;
    let ids = checked_ids(ids, v)?;
    let widened = table.dtype() == DType::BF16 && !table.track_op() && table.device().is_cpu();
    let dtype = match widened {
        true => DType::F32,
        false => float_type(NAME, &[table])?,
    };
    Ok(match dtype {
        DType::F32 => tape::apply1(
            table,
            Embedding::<f32> {
                ids,
                b,
                t,
                element: PhantomData,
            },
        )?,
        _ => tape::apply1(
            table,
            Embedding::<f64> {
                ids,
                b,
                t,
                element: PhantomData,
            },
        )?,
    })
}

/// The ids in row-major order, each below `v`.
fn checked_ids(ids: &Tensor, v: usize) -> Result<Vec<u32>> {
    if !matches!(ids.dtype(), DType::U32 | DType::I64) {
        let found = ids.dtype().as_str();
        return Err(Error::input(
            "token ids",
            format!("are {found}, expected u32"),
        ));
    }
    // Through i64, so that a negative id is named as it stands.
    let ids = ids.flatten_all()?.to_dtype(DType::I64)?.to_vec1::<i64>()?;
    ids.into_iter()
        .map(|id| match u32::try_from(id) {
            Ok(small) if (small as usize) < v => Ok(small),
            _ => Err(Error::input("token id", format!("{id} is not in 0..{v}"))),
        })
        .collect()
}
