//! The gradients of several processes in one flat buffer.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use llm_core::params::Parameters;
use llm_core::profile::{Cost, span};
use sha2::{Digest, Sha256};

use super::{DIGEST_BYTES, Processes, Transport};
use crate::Result;

/// Values that are turned into bytes at a time.
const BLOCK: usize = 1 << 14;

impl Processes {
    /// Replaces the gradients of this process by their sums over all, in one message: every tensor
    /// in name order, and behind them which tensors have a gradient at all. A tensor that no process
    /// reached stays without one, so that the optimizer names it; one that only some reached counts
    /// as zero in the others.
    ///
    /// Sums are in f32, in f64 where a parameter is.
    ///
    /// # Errors
    /// What the transport or the tensor library reports.
    pub fn sum_gradients(
        &self,
        parameters: &Parameters,
        gradients: &mut BTreeMap<String, Tensor>,
    ) -> Result<()> {
        let Some(group) = &self.group else {
            return Ok(());
        };
        // Read and written here, and once more on the way.
        let _span = span("all-reduce", || Cost::touch::<f32>(4 * parameters.count()));
        let flat = flatten(parameters, gradients)?;
        let sums = match group.transport.sum_on_device(&flat)? {
            Some(sums) => sums,
            None => sum_on_host(&*group.transport, &flat)?,
        };
        drop(flat);
        *gradients = unflatten(parameters, &sums)?;
        Ok(())
    }
}

/// # Shapes
/// Gradients of any shapes, together n scalars, of P parameters → `[n + P]`.
fn flatten(parameters: &Parameters, gradients: &BTreeMap<String, Tensor>) -> Result<Tensor> {
    let wide = parameters.iter().any(|(_, var)| var.dtype() == DType::F64);
    let dtype = if wide { DType::F64 } else { DType::F32 };
    let mut pieces = Vec::with_capacity(parameters.len() + 1);
    let mut present = Vec::with_capacity(parameters.len());
    for (name, var) in parameters.iter() {
        let gradient = gradients.get(name);
        present.push(if gradient.is_some() { 1.0f64 } else { 0.0 });
        pieces.push(match gradient {
            Some(gradient) => gradient.flatten_all()?.to_dtype(dtype)?,
            None => Tensor::zeros(var.elem_count(), dtype, var.device())?,
        });
    }
    let device = parameters.iter().next().map(|(_, var)| var.device());
    let device = device.unwrap_or(&Device::Cpu);
    let present = Tensor::new(present.as_slice(), &Device::Cpu)?;
    pieces.push(present.to_dtype(dtype)?.to_device(device)?);
    Ok(Tensor::cat(&pieces, 0)?)
}

/// # Shapes
/// `flat [n]` → `[n]`
fn sum_on_host(transport: &dyn Transport, flat: &Tensor) -> Result<Tensor> {
    let (n, device) = (flat.elem_count(), flat.device());
    Ok(match flat.dtype() {
        DType::F64 => {
            let mut values = flat.to_vec1::<f64>()?;
            transport.sum_f64(&mut values)?;
            Tensor::from_vec(values, n, device)?
        }
        _ => {
            let mut values = flat.to_vec1::<f32>()?;
            transport.sum_f32(&mut values)?;
            Tensor::from_vec(values, n, device)?
        }
    })
}

/// # Shapes
/// As [`flatten`], the other way.
fn unflatten(parameters: &Parameters, flat: &Tensor) -> Result<BTreeMap<String, Tensor>> {
    let scalars = parameters.count();
    let present = flat.narrow(0, scalars, parameters.len())?;
    let present = present.to_dtype(DType::F64)?.to_vec1::<f64>()?;
    let mut gradients = BTreeMap::new();
    let mut start = 0;
    for ((name, var), present) in parameters.iter().zip(present) {
        let n = var.elem_count();
        if present != 0.0 {
            let gradient = flat.narrow(0, start, n)?.reshape(var.shape())?;
            gradients.insert(name.to_owned(), gradient);
        }
        start += n;
    }
    Ok(gradients)
}

/// One digest over names and values of all tensors: two processes with the same one hold the same
/// bits.
///
/// # Errors
/// What the tensor library reports.
pub fn digest(parameters: &Parameters) -> Result<[u8; DIGEST_BYTES]> {
    let mut hasher = Sha256::new();
    for (name, var) in parameters.iter() {
        hasher.update((name.len() as u64).to_le_bytes());
        hasher.update(name.as_bytes());
        let values = var.as_tensor().flatten_all()?.to_device(&Device::Cpu)?;
        // 16-bit floats are among the f32.
        match values.dtype() {
            DType::F64 => add(&mut hasher, &values.to_vec1::<f64>()?, f64::to_le_bytes),
            _ => {
                let values = values.to_dtype(DType::F32)?.to_vec1::<f32>()?;
                add(&mut hasher, &values, f32::to_le_bytes);
            }
        }
    }
    Ok(hasher.finalize().into())
}

fn add<T: Copy, const N: usize>(hasher: &mut Sha256, values: &[T], bytes: fn(T) -> [u8; N]) {
    let mut buffer = Vec::with_capacity(BLOCK * N);
    for block in values.chunks(BLOCK) {
        buffer.clear();
        buffer.extend(block.iter().flat_map(|&value| bytes(value)));
        hasher.update(&buffer);
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Var;

    use super::*;

    fn parameters() -> Parameters {
        let mut parameters = Parameters::default();
        for (name, shape) in [("a", &[2, 3][..]), ("b", &[4][..]), ("c", &[1][..])] {
            let var = Var::zeros(shape, DType::F32, &Device::Cpu).unwrap();
            parameters.insert(name, var);
        }
        parameters
    }

    #[test]
    fn what_is_flattened_comes_back_and_what_is_missing_stays_missing() {
        let parameters = parameters();
        let values: Vec<f32> = (0..6).map(|i| i as f32 - 2.5).collect();
        let a = Tensor::from_vec(values.clone(), (2, 3), &Device::Cpu).unwrap();
        let c = Tensor::new(&[7.0f32], &Device::Cpu).unwrap();
        // A transposed gradient is no slice of memory.
        let turned = a.t().unwrap().contiguous().unwrap().t().unwrap();
        let gradients = BTreeMap::from([("a".to_owned(), turned), ("c".to_owned(), c)]);
        let flat = flatten(&parameters, &gradients).unwrap();
        assert_eq!(flat.dims(), [11 + 3]);
        let back = unflatten(&parameters, &flat).unwrap();
        assert_eq!(back.keys().collect::<Vec<_>>(), ["a", "c"]);
        assert_eq!(back["a"].dims(), [2, 3]);
        let flat = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(flat(&back["a"]), values);
        assert_eq!(flat(&back["c"]), [7.0]);
    }

    #[test]
    fn a_digest_sees_every_bit_and_every_name() {
        let parameters = parameters();
        let before = digest(&parameters).unwrap();
        assert_eq!(digest(&parameters).unwrap(), before);
        let b = parameters.get("b").unwrap();
        let negative = Tensor::new(&[0.0f32, 0.0, 0.0, -0.0], &Device::Cpu).unwrap();
        b.set(&negative).unwrap();
        assert_ne!(digest(&parameters).unwrap(), before);
        let mut other = Parameters::default();
        for (name, var) in self::parameters().iter() {
            other.insert(format!("x{name}"), var.clone());
        }
        assert_ne!(digest(&other).unwrap(), before);
    }
}
