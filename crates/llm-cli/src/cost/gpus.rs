//! What GPUs can do at best, from their makers' data sheets.

/// An accelerator.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gpu {
    /// Its name here.
    pub name: &'static str,
    /// Dense matrix operations a second, in 1e12: the figures with sparsity are twice as high and
    /// no training reaches them.
    pub teraflops: f64,
    /// The type that they are stated for.
    pub dtype: &'static str,
    /// Memory in GB.
    pub memory: u32,
    /// Where the figure stands.
    pub source: &'static str,
}

const fn gpu(
    name: &'static str,
    teraflops: f64,
    dtype: &'static str,
    memory: u32,
    source: &'static str,
) -> Gpu {
    Gpu {
        name,
        teraflops,
        dtype,
        memory,
        source,
    }
}

/// All that `--gpu` knows, by age.
pub(super) const GPUS: [Gpu; 16] = [
    gpu("v100", 125.0, "f16", 32, "NVIDIA V100 data sheet, SXM2"),
    gpu("t4", 65.0, "f16", 16, "NVIDIA T4 data sheet"),
    gpu("a100", 312.0, "bf16", 80, "NVIDIA A100 data sheet"),
    gpu("a100-40gb", 312.0, "bf16", 40, "NVIDIA A100 data sheet"),
    gpu("a10", 125.0, "bf16", 24, "NVIDIA A10 data sheet"),
    gpu("rtx3090", 71.0, "bf16", 24, "NVIDIA GA102 white paper"),
    gpu("l4", 121.0, "bf16", 24, "NVIDIA L4 data sheet, halved"),
    gpu("l40s", 362.0, "bf16", 48, "NVIDIA L40S data sheet"),
    gpu("rtx4090", 165.2, "bf16", 24, "NVIDIA Ada white paper"),
    gpu(
        "h100",
        989.4,
        "bf16",
        80,
        "NVIDIA H100 data sheet, SXM, halved",
    ),
    gpu(
        "h100-pcie",
        756.0,
        "bf16",
        80,
        "NVIDIA H100 data sheet, PCIe, halved",
    ),
    gpu("h200", 989.4, "bf16", 141, "NVIDIA H200 data sheet, halved"),
    gpu("mi300x", 1307.4, "bf16", 192, "AMD MI300X data sheet"),
    gpu(
        "b200",
        2250.0,
        "bf16",
        180,
        "NVIDIA DGX B200 data sheet, halved",
    ),
    gpu(
        "rtx5090",
        209.5,
        "bf16",
        32,
        "NVIDIA RTX Blackwell white paper",
    ),
    gpu("tpu-v4", 275.0, "bf16", 32, "Google Cloud TPU v4 page"),
];

impl Gpu {
    /// Operations a second.
    pub(super) fn peak(&self) -> f64 {
        self.teraflops * 1e12
    }

    /// The GPU called `name`, however it is spelled: `A100`, `h100_pcie`, `RTX 4090`.
    pub(super) fn named(name: &str) -> Option<Self> {
        let bare = |text: &str| -> String {
            text.chars()
                .filter(char::is_ascii_alphanumeric)
                .collect::<String>()
                .to_lowercase()
        };
        GPUS.into_iter()
            .find(|gpu| !name.is_empty() && bare(gpu.name) == bare(name))
    }
}
