//! Gradients from GPU to GPU.
//!
//! NCCL carries nothing but the gradients. All else (who is there, how many tokens, who failed) goes
//! over another [`Transport`], TCP or MPI, which also tells the others NCCL's unique id when the
//! first gradients come. Each process has one GPU, the one of its number on its machine.
//!
//! For one set of GPUs and one size of message NCCL adds up in one order, so a run repeats on the
//! same machines, and all processes get the same bits; between other sets of GPUs the order differs.
//!
//! It was written after the interfaces of Candle and cudarc on a machine without a GPU, and has not
//! been run yet.

use std::cell::OnceCell;
use std::ffi::c_char;

use candle_core::backend::BackendStorage;
use candle_core::cuda_backend::CudaDType;
use candle_core::cuda_backend::cudarc::driver::{DeviceRepr, ValidAsZeroBits};
use candle_core::cuda_backend::cudarc::nccl::result::NcclError;
use candle_core::cuda_backend::cudarc::nccl::{Comm, Id, NcclType, ReduceOp};
use candle_core::{
    CpuStorage, CudaDevice, CudaStorage, CustomOp1, DType, Device, Layout, Shape, Tensor,
};
use llm_train::processes::Transport;
use llm_train::{Error, Result};

/// Bytes of NCCL's unique id.
const ID_BYTES: usize = 128;

/// A transport whose sums of GPU tensors go over NCCL.
#[derive(Debug)]
pub struct Nccl {
    control: Box<dyn Transport>,
    /// Made when the first GPU tensor comes.
    comm: OnceCell<Comm>,
}

impl Nccl {
    /// NCCL for GPU tensors, `control` for everything else.
    pub fn over(control: Box<dyn Transport>) -> Self {
        let comm = OnceCell::new();
        Self { control, comm }
    }

    /// The communicator. All processes come here for the first time together.
    fn comm(&self, device: &CudaDevice) -> Result<&Comm> {
        if let Some(comm) = self.comm.get() {
            return Ok(comm);
        }
        let stream = device.cuda_stream();
        let bound = stream.context().bind_to_thread();
        bound.map_err(|error| Error::processes(format!("CUDA: {error}")))?;
        let (rank, size) = (self.control.rank(), self.control.size());
        let own = match rank {
            0 => Id::new().map_err(failed("makes no unique id"))?,
            _ => Id::uninit([0; ID_BYTES]),
        };
        let own: Vec<u8> = own
            .internal()
            .iter()
            .flat_map(|byte| byte.to_ne_bytes())
            .collect();
        let mut all = vec![0; ID_BYTES * size];
        self.control.gather(&own, &mut all)?;
        let mut first = [0; ID_BYTES];
        for (to, from) in first.iter_mut().zip(&all) {
            *to = c_char::from_ne_bytes([*from]);
        }
        let comm = Comm::from_rank(stream, rank, size, Id::uninit(first));
        let comm = comm.map_err(failed("does not connect the GPUs"))?;
        Ok(self.comm.get_or_init(|| comm))
    }
}

fn failed(what: &str) -> impl FnOnce(NcclError) -> Error {
    move |error| Error::processes(format!("NCCL {what}: {:?}", error.0))
}

impl Transport for Nccl {
    fn name(&self) -> &'static str {
        match self.control.name() {
            "mpi" => "nccl and mpi",
            _ => "nccl and tcp",
        }
    }

    fn rank(&self) -> usize {
        self.control.rank()
    }

    fn size(&self) -> usize {
        self.control.size()
    }

    fn gather(&self, own: &[u8], all: &mut [u8]) -> Result<()> {
        self.control.gather(own, all)
    }

    fn sum_f32(&self, values: &mut [f32]) -> Result<()> {
        self.control.sum_f32(values)
    }

    fn sum_f64(&self, values: &mut [f64]) -> Result<()> {
        self.control.sum_f64(values)
    }

    fn sum_on_device(&self, flat: &Tensor) -> Result<Option<Tensor>> {
        let Device::Cuda(device) = flat.device() else {
            return self.control.sum_on_device(flat);
        };
        let comm = self.comm(device)?;
        Ok(Some(
            flat.contiguous()?.apply_op1_no_bwd(&AllReduce { comm })?,
        ))
    }

    fn abandon(&self, code: u8, why: &str) {
        self.control.abandon(code, why);
    }
}

/// The sum of a tensor over all processes, enqueued on the stream that computed it.
struct AllReduce<'c> {
    comm: &'c Comm,
}

impl AllReduce<'_> {
    fn sum<T: CudaDType + NcclType + DeviceRepr + ValidAsZeroBits>(
        &self,
        storage: &CudaStorage,
        layout: &Layout,
    ) -> candle_core::Result<CudaStorage> {
        let Some((start, end)) = layout.contiguous_offsets() else {
            candle_core::bail!("all-reduce: the tensor is not contiguous");
        };
        let device = storage.device();
        let sent = storage.as_cuda_slice::<T>()?.slice(start..end);
        let mut sums = device.alloc_zeros::<T>(end - start)?;
        let done = self.comm.all_reduce(&sent, &mut sums, &ReduceOp::Sum);
        if let Err(error) = done {
            candle_core::bail!("all-reduce: NCCL: {:?}", error.0);
        }
        Ok(CudaStorage::wrap_cuda_slice(sums, device.clone()))
    }
}

impl CustomOp1 for AllReduce<'_> {
    fn name(&self) -> &'static str {
        "all-reduce"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        candle_core::bail!("all-reduce: NCCL is for GPUs");
    }

    fn cuda_fwd(
        &self,
        storage: &CudaStorage,
        layout: &Layout,
    ) -> candle_core::Result<(CudaStorage, Shape)> {
        let sums = match storage.dtype() {
            DType::F32 => self.sum::<f32>(storage, layout)?,
            DType::F64 => self.sum::<f64>(storage, layout)?,
            other => candle_core::bail!("all-reduce: {other:?}, expected f32 or f64"),
        };
        Ok((sums, layout.shape().clone()))
    }
}
