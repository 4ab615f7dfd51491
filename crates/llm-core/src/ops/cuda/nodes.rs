//! Operations of the graph from two functions: one on the GPU's storages, one on gradients.

use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor,
};

/// An argument of a forward function.
pub(super) type Given<'a> = (&'a CudaStorage, &'a Layout);

/// What a forward function returns.
pub(super) type Made = Result<(CudaStorage, Shape)>;

/// The gradient of one argument.
pub(super) type Slope = Option<Tensor>;

fn on_the_cpu(name: &str) -> Result<(CpuStorage, Shape)> {
    candle_core::bail!("{name}: this is the CUDA operation; use Ops::Fused on the CPU")
}

/// The backward function of an operation that is itself part of a backward pass.
pub(super) fn final1(_: &Tensor, _: &Tensor) -> Result<Slope> {
    Ok(None)
}

/// As [`final1`] for two arguments.
pub(super) fn final2(_: [&Tensor; 2], _: &Tensor) -> Result<[Slope; 2]> {
    Ok([None, None])
}

/// As [`final1`] for three arguments.
pub(super) fn final3(_: [&Tensor; 3], _: &Tensor) -> Result<[Slope; 3]> {
    Ok([None, None, None])
}

/// An operation of one argument: `backward(x, dy)`.
pub(super) struct Node1<F, B> {
    name: &'static str,
    forward: F,
    backward: B,
}

impl<F, B> Node1<F, B>
where
    F: Fn(Given) -> Made,
    B: Fn(&Tensor, &Tensor) -> Result<Slope>,
{
    pub(super) fn new(name: &'static str, forward: F, backward: B) -> Self {
        Self {
            name,
            forward,
            backward,
        }
    }
}

impl<F, B> CustomOp1 for Node1<F, B>
where
    F: Fn(Given) -> Made,
    B: Fn(&Tensor, &Tensor) -> Result<Slope>,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        on_the_cpu(self.name)
    }

    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Made {
        (self.forward)((x, layout))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Slope> {
        (self.backward)(x, dy)
    }
}

/// An operation of two arguments.
pub(super) struct Node2<F, B> {
    name: &'static str,
    forward: F,
    backward: B,
}

impl<F, B> Node2<F, B>
where
    F: Fn(Given, Given) -> Made,
    B: Fn([&Tensor; 2], &Tensor) -> Result<[Slope; 2]>,
{
    pub(super) fn new(name: &'static str, forward: F, backward: B) -> Self {
        Self {
            name,
            forward,
            backward,
        }
    }
}

impl<F, B> CustomOp2 for Node2<F, B>
where
    F: Fn(Given, Given) -> Made,
    B: Fn([&Tensor; 2], &Tensor) -> Result<[Slope; 2]>,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        on_the_cpu(self.name)
    }

    fn cuda_fwd(&self, a: &CudaStorage, a_at: &Layout, b: &CudaStorage, b_at: &Layout) -> Made {
        (self.forward)((a, a_at), (b, b_at))
    }

    fn bwd(&self, a: &Tensor, b: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<(Slope, Slope)> {
        let [da, db] = (self.backward)([a, b], dy)?;
        Ok((da, db))
    }
}

/// An operation of three arguments.
pub(super) struct Node3<F, B> {
    name: &'static str,
    forward: F,
    backward: B,
}

impl<F, B> Node3<F, B>
where
    F: Fn([Given; 3]) -> Made,
    B: Fn([&Tensor; 3], &Tensor) -> Result<[Slope; 3]>,
{
    pub(super) fn new(name: &'static str, forward: F, backward: B) -> Self {
        Self {
            name,
            forward,
            backward,
        }
    }
}

impl<F, B> CustomOp3 for Node3<F, B>
where
    F: Fn([Given; 3]) -> Made,
    B: Fn([&Tensor; 3], &Tensor) -> Result<[Slope; 3]>,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        on_the_cpu(self.name)
    }

    fn cuda_fwd(
        &self,
        a: &CudaStorage,
        a_at: &Layout,
        b: &CudaStorage,
        b_at: &Layout,
        c: &CudaStorage,
        c_at: &Layout,
    ) -> Made {
        (self.forward)([(a, a_at), (b, b_at), (c, c_at)])
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        c: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Slope, Slope, Slope)> {
        let [da, db, dc] = (self.backward)([a, b, c], dy)?;
        Ok((da, db, dc))
    }
}
