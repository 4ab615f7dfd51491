//! From a kernel's name and arguments to a launch.

use std::sync::OnceLock;

use candle_core::backend::{BackendDevice, BackendStorage};
use candle_core::cuda_backend::cudarc::driver::{
    CudaSlice, CudaStream, DevicePtr, DevicePtrMut, LaunchConfig, PushKernelArg, SyncOnDrop,
    result, sys,
};
use candle_core::cuda_backend::cudarc::nvrtc::{CompileOptions, compile_ptx_with_opts};
use candle_core::cuda_backend::{CudaStorageSlice, WrapErr};
use candle_core::{CudaDevice, CudaStorage, DType, Layout, Result};

use super::SOURCE;

/// The name under which the device keeps the compiled kernels.
const MODULE: &str = "llm-core";
/// The oldest architecture that CUDA 13 compiles for.
const ARCHITECTURE: &str = "--gpu-architecture=compute_75";

/// Numbers that lie side by side.
pub(crate) struct Dense<'a> {
    held: Held<'a>,
    start: usize,
    count: usize,
}

enum Held<'a> {
    Borrowed(&'a CudaStorage),
    Owned(CudaStorage),
}

impl Dense<'_> {
    pub(crate) fn storage(&self) -> &CudaStorage {
        match &self.held {
            Held::Borrowed(storage) => storage,
            Held::Owned(storage) => storage,
        }
    }

    /// The index of the first number.
    pub(crate) fn start(&self) -> usize {
        self.start
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    pub(crate) fn dtype(&self) -> DType {
        self.storage().dtype()
    }

    pub(crate) fn device(&self) -> &CudaDevice {
        self.storage().device()
    }
}

/// The numbers under `layout`, copied only where they have gaps or another order.
pub(crate) fn dense<'a>(storage: &'a CudaStorage, layout: &Layout) -> Result<Dense<'a>> {
    let count = layout.shape().elem_count();
    if let Some((start, _end)) = layout.contiguous_offsets() {
        let held = Held::Borrowed(storage);
        return Ok(Dense { held, start, count });
    }
    let mut copy = fresh(storage.device(), count, storage.dtype())?;
    storage.copy_strided_src(&mut copy, 0, layout)?;
    Ok(Dense {
        held: Held::Owned(copy),
        start: 0,
        count,
    })
}

/// Memory for `count` numbers, which a kernel fills.
pub(super) fn fresh(device: &CudaDevice, count: usize, dtype: DType) -> Result<CudaStorage> {
    // SAFETY: the functions of this module hand it out only after queueing a kernel or copy that
    // writes all of it, on the stream that later readers are queued on too.
    unsafe { device.alloc_uninit(&count.into(), dtype) }
}

/// What a kernel is given.
pub(super) enum Arg<'a> {
    /// Read from an index on.
    In(&'a CudaStorage, usize),
    Out(&'a mut CudaStorage),
    U32(u32),
    U64(u64),
    F32(f32),
}

/// As [`Arg::In`] from the first number.
pub(super) fn read<'a>(from: &'a Dense) -> Arg<'a> {
    Arg::In(from.storage(), from.start())
}

/// An argument as the launch takes it.
enum Raw {
    U32(u32),
    U64(u64),
    F32(f32),
}

/// Blocks, and threads of each in x and y.
pub(super) type Grid = (u32, (u32, u32));

/// Queues the kernel `name`.
///
/// # Safety
/// `args` are of the number, order and types of the kernel's parameters, and it neither reads nor
/// writes past the memory behind them.
pub(super) unsafe fn launch(
    device: &CudaDevice,
    name: &str,
    args: Vec<Arg>,
    (blocks, (x, y)): Grid,
) -> Result<()> {
    let function = device.get_or_load_custom_func(name, MODULE, program()?)?;
    let stream = device.cuda_stream();
    let mut guards = Vec::with_capacity(args.len());
    let mut raw = Vec::with_capacity(args.len());
    for arg in args {
        raw.push(match arg {
            Arg::U32(value) => Raw::U32(value),
            Arg::U64(value) => Raw::U64(value),
            Arg::F32(value) => Raw::F32(value),
            Arg::In(storage, start) => {
                let (pointer, guard) = read_pointer(storage, start, &stream)?;
                guards.push(guard);
                Raw::U64(pointer)
            }
            Arg::Out(storage) => {
                let (pointer, guard) = write_pointer(storage, &stream)?;
                guards.push(guard);
                Raw::U64(pointer)
            }
        });
    }
    let mut builder = function.builder();
    for value in &raw {
        match value {
            Raw::U32(value) => builder.arg(value),
            Raw::U64(value) => builder.arg(value),
            Raw::F32(value) => builder.arg(value),
        };
    }
    let config = LaunchConfig {
        grid_dim: (blocks, 1, 1),
        block_dim: (x, y, 1),
        shared_mem_bytes: 0,
    };
    // SAFETY: the caller's promise.
    unsafe { builder.launch(config) }.w()?;
    drop(guards);
    Ok(())
}

/// The address of a number, and what has to live until the kernel is queued.
type Pointer<'a> = (sys::CUdeviceptr, SyncOnDrop<'a>);

fn read_pointer<'a>(
    storage: &'a CudaStorage,
    start: usize,
    stream: &'a CudaStream,
) -> Result<Pointer<'a>> {
    fn at<'a, T>(slice: &'a CudaSlice<T>, start: usize, stream: &'a CudaStream) -> Pointer<'a> {
        let (pointer, guard) = slice.device_ptr(stream);
        (pointer + (start * size_of::<T>()) as u64, guard)
    }
    Ok(match &storage.slice {
        CudaStorageSlice::F32(slice) => at(slice, start, stream),
        CudaStorageSlice::BF16(slice) => at(slice, start, stream),
        CudaStorageSlice::I64(slice) => at(slice, start, stream),
        CudaStorageSlice::U32(slice) => at(slice, start, stream),
        _ => candle_core::bail!("a CUDA kernel got {:?}", storage.dtype()),
    })
}

fn write_pointer<'a>(storage: &'a mut CudaStorage, stream: &'a CudaStream) -> Result<Pointer<'a>> {
    Ok(match &mut storage.slice {
        CudaStorageSlice::F32(slice) => slice.device_ptr_mut(stream),
        CudaStorageSlice::BF16(slice) => slice.device_ptr_mut(stream),
        _ => candle_core::bail!("a CUDA kernel got a result that is not f32 or bf16"),
    })
}

/// The kernels as PTX, compiled once.
fn program() -> Result<&'static str> {
    static PROGRAM: OnceLock<std::result::Result<String, String>> = OnceLock::new();
    let compiled = PROGRAM.get_or_init(|| {
        let options = CompileOptions {
            options: vec![ARCHITECTURE.to_owned(), "--std=c++17".to_owned()],
            ..CompileOptions::default()
        };
        let compiled = compile_ptx_with_opts(SOURCE, options);
        let text = compiled.map(|compiled| compiled.to_src());
        text.map_err(|error| format!("NVRTC does not compile the kernels: {error:?}"))
    });
    match compiled {
        Ok(text) => Ok(text),
        Err(error) => Err(candle_core::Error::Msg(error.clone())),
    }
}

/// From now on the driver keeps freed memory of this device for later tensors. By default it goes
/// back to the system whenever the host waits for the GPU, and every step would ask for it again.
///
/// # Errors
/// What the driver reports.
pub fn keep_memory(device: &CudaDevice) -> Result<()> {
    let Some(pool) = pool(device)? else {
        return Ok(());
    };
    let mut threshold = u64::MAX;
    let attribute = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
    // SAFETY: the device's own pool, an attribute that is a 64-bit number, and an address of one.
    unsafe { result::mem_pool::set_attribute(pool, attribute, (&raw mut threshold).cast()).w() }
}

/// The most bytes that tensors on this device have had at once; `None` without a pool.
///
/// # Errors
/// What the driver reports.
pub fn peak_memory(device: &CudaDevice) -> Result<Option<u64>> {
    let Some(pool) = pool(device)? else {
        return Ok(None);
    };
    let mut most = 0u64;
    let attribute = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH;
    // SAFETY: the device's own pool, an attribute that is a 64-bit number, and an address of one.
    unsafe { result::mem_pool::get_attribute(pool, attribute, (&raw mut most).cast()).w()? };
    Ok(Some(most))
}

/// The pool that tensors come from; `None` where the driver has none.
fn pool(device: &CudaDevice) -> Result<Option<sys::CUmemoryPool>> {
    let stream = device.cuda_stream();
    let context = stream.context();
    context.bind_to_thread().w()?;
    if !context.has_async_alloc() {
        return Ok(None);
    }
    // SAFETY: the device of a live context.
    let pool = unsafe { result::device::get_default_mem_pool(context.cu_device()) };
    pool.w().map(Some)
}
