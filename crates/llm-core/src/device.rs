//! Which device and number type to run on, and why.

use std::num::NonZeroUsize;

use candle_core::{DType, Device, DeviceLocation};

use crate::kernels::pool;
use crate::{Error, Result};

/// A device with the reason for the choice, for people to read.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// Where tensors live.
    pub device: Device,
    /// One clause: why this device.
    pub reason: String,
}

/// The device for `name`: `auto`, `cpu`, `cuda` or `metal`.
///
/// `auto` takes CUDA, then Metal, when the program was built with that feature and a device
/// answers; else the CPU.
///
/// # Errors
/// An unknown name, or a device that this build or machine does not have.
pub fn choose(name: &str) -> Result<Chosen> {
    choose_at(name, 0)
}

/// As [`choose`]: the GPU number `index` of the machine, counted from 0, where a GPU is chosen.
/// Processes that train together on one machine take one each.
///
/// # Errors
/// As [`choose`].
pub fn choose_at(name: &str, index: usize) -> Result<Chosen> {
    let cpu = |reason: String| Chosen {
        device: Device::Cpu,
        reason,
    };
    match name {
        "cpu" => Ok(cpu("asked for".into())),
        "cuda" => named("cuda", cfg!(feature = "cuda"), || Device::new_cuda(index)),
        "metal" => named("metal", cfg!(feature = "metal"), || {
            Device::new_metal(index)
        }),
        "auto" => {
            let mut names = ["cuda", "metal"].iter();
            if let Some(found) = names.find_map(|name| choose_at(name, index).ok()) {
                return Ok(Chosen {
                    reason: "first accelerator that answered".into(),
                    ..found
                });
            }
            let built = match (cfg!(feature = "cuda"), cfg!(feature = "metal")) {
                (false, false) => "this build has no GPU backend",
                _ => "no GPU answered",
            };
            Ok(cpu(built.into()))
        }
        other => Err(Error::input(
            "--device",
            format!("`{other}` is not auto, cpu, cuda or metal"),
        )),
    }
}

fn named(
    name: &str,
    built: bool,
    open: impl FnOnce() -> candle_core::Result<Device>,
) -> Result<Chosen> {
    if !built {
        return Err(Error::input(
            "--device",
            format!("{name} is not in this build; build with `--features {name}`"),
        ));
    }
    let device = open().map_err(|e| Error::input("--device", format!("{name}: {e}")))?;
    Ok(Chosen {
        device,
        reason: "asked for".into(),
    })
}

/// The number type for `name`: `f32`, `f64`, `bf16` or `f16`; `auto` is f32.
///
/// # Errors
/// An unknown name.
pub fn dtype(name: &str) -> Result<DType> {
    match name {
        "auto" | "f32" => Ok(DType::F32),
        "f64" => Ok(DType::F64),
        "bf16" => Ok(DType::BF16),
        "f16" => Ok(DType::F16),
        other => Err(Error::input(
            "--dtype",
            format!("`{other}` is not auto, f32, f64, bf16 or f16"),
        )),
    }
}

/// Where a program computes: what `--device`, `--dtype` and `--threads` came to.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Where tensors live.
    pub device: Device,
    /// The number type of weights and activations.
    pub dtype: DType,
    /// Threads of the CPU kernels.
    pub threads: usize,
    /// Why this device.
    reason: String,
}

impl Machine {
    /// Sets the threads, then chooses device and number type. Call it first in `main`.
    ///
    /// # Errors
    /// As [`choose`] and [`dtype`].
    pub fn start(device: &str, dtype: &str, threads: Option<NonZeroUsize>) -> Result<Self> {
        let threads = match threads {
            Some(n) => pool::set_threads(n.get())?,
            None => pool::threads(),
        };
        let Chosen { device, reason } = choose(device)?;
        Ok(Self {
            device,
            dtype: self::dtype(dtype)?,
            threads,
            reason,
        })
    }

    /// Names and values for people to read.
    pub fn describe(&self) -> [(&'static str, String); 3] {
        let place = match self.device.location() {
            DeviceLocation::Cpu => "cpu",
            DeviceLocation::Cuda { .. } => "cuda",
            DeviceLocation::Metal { .. } => "metal",
        };
        [
            ("device", format!("{place} ({})", self.reason)),
            ("dtype", self.dtype.as_str().to_owned()),
            ("threads", self.threads.to_string()),
        ]
    }
}
