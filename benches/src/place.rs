//! Where a workload computes, and what that device could do at best.

use std::time::{Duration, Instant};

use candle_core::{DType, Device, Tensor};
use llm_core::kernels::peak;
use llm_core::model::Decoder;
use llm_core::ops::Ops;
use llm_core::params::{Mode, Parameters};

use crate::Result;

/// How long a device's peak is looked for.
const PEAK_TIME: Duration = Duration::from_millis(300);
/// Rows and columns of the matrices that a GPU's peak is measured with.
const PEAK_SIZE: usize = 8192;
/// Numbers of the copy that a GPU's memory is measured with: 256 MiB in f32, beyond every cache.
const COPIED: usize = 64 << 20;
/// Runs before the clock starts.
const WARM_UP: usize = 3;

/// A device and the number type of weights and activations on it.
#[derive(Clone, Debug)]
pub struct Place {
    /// Where tensors live.
    pub device: Device,
    /// Their number type.
    pub dtype: DType,
}

impl Place {
    /// The CPU, in f32.
    pub fn cpu() -> Self {
        Self {
            device: Device::Cpu,
            dtype: DType::F32,
        }
    }

    /// The device and number type of these names, as `--device` and `--dtype` have them.
    ///
    /// # Errors
    /// An unknown name, or a device that this build or machine does not have.
    pub fn named(device: &str, dtype: &str) -> Result<Self> {
        Ok(Self {
            device: llm_core::device::choose(device)?.device,
            dtype: llm_core::device::dtype(dtype)?,
        })
    }

    /// The operations of the device.
    pub fn ops(&self) -> Ops {
        Ops::for_device(&self.device)
    }

    /// Comes back when everything that was queued on the device is done.
    ///
    /// # Errors
    /// What went wrong on the device.
    pub fn wait(&self) -> Result<()> {
        Ok(self.device.synchronize()?)
    }

    /// The most bytes that tensors of this process have had on a GPU so far; `None` on the CPU and
    /// where the driver does not say.
    pub fn peak_memory(&self) -> Option<u64> {
        llm_core::device::peak_memory(&self.device)
    }

    /// `model`, made on the CPU, with its weights here.
    ///
    /// # Errors
    /// No memory on the device.
    pub fn put(
        &self,
        (model, parameters): (Decoder, Parameters),
        mode: Mode,
    ) -> Result<(Decoder, Parameters)> {
        if self.device.is_cpu() {
            return Ok((model, parameters));
        }
        let (config, tensors) = (model.config().clone(), model.named_tensors()?);
        let moved = Decoder::load(&config, tensors, mode, self.dtype, &self.device)?;
        Ok(moved)
    }

    /// The best of this device: on the CPU fused multiply-adds on registers in f32, on a GPU the
    /// product of two large matrices in the number type.
    ///
    /// # Errors
    /// What the device reports.
    pub fn flops_per_second(&self) -> Result<f64> {
        if self.device.is_cpu() {
            return Ok(peak::flops_per_second(PEAK_TIME));
        }
        let shape = (PEAK_SIZE, PEAK_SIZE);
        let ones = Tensor::ones(shape, self.dtype, &self.device)?;
        let seconds = self.seconds_each(|| {
            ones.matmul(&ones)?;
            Ok(())
        })?;
        Ok(2.0 * (PEAK_SIZE as f64).powi(3) / seconds)
    }

    /// Bytes that a copy within a GPU's memory reads and writes a second; `None` on the CPU.
    ///
    /// # Errors
    /// What the device reports.
    pub fn bytes_per_second(&self) -> Result<Option<f64>> {
        if self.device.is_cpu() {
            return Ok(None);
        }
        let numbers = Tensor::zeros(COPIED, DType::F32, &self.device)?;
        let seconds = self.seconds_each(|| {
            numbers.copy()?;
            Ok(())
        })?;
        Ok(Some((2 * size_of::<f32>() * COPIED) as f64 / seconds))
    }

    /// The mean time of `work` over [`PEAK_TIME`].
    fn seconds_each(&self, work: impl Fn() -> Result<()>) -> Result<f64> {
        for _ in 0..WARM_UP {
            work()?;
        }
        self.wait()?;
        let start = Instant::now();
        let mut runs = 0;
        while start.elapsed() < PEAK_TIME {
            work()?;
            self.wait()?;
            runs += 1;
        }
        Ok(start.elapsed().as_secs_f64() / f64::from(runs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_has_a_peak_and_no_copy_to_measure() {
        let place = Place::named("cpu", "auto").unwrap();
        assert_eq!(place.dtype, DType::F32);
        assert!(place.flops_per_second().unwrap() > 0.0);
        assert_eq!(place.bytes_per_second().unwrap(), None);
        assert!(Place::named("abacus", "f32").is_err());
    }
}
