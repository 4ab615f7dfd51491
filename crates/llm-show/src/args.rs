//! The flags that every program of this project shares, in one order with one wording.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// When to write ANSI colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set or TERM is dumb.
    #[default]
    Auto,
    /// Also into files and pipes.
    Always,
    /// Never.
    Never,
}

/// Where tensors live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum DeviceName {
    /// The first accelerator that answers, else the CPU.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// An NVIDIA GPU.
    Cuda,
    /// An Apple GPU.
    Metal,
}

impl DeviceName {
    /// The name as `llm_core::device::choose` takes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::Metal => "metal",
        }
    }
}

/// The number type of weights and activations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum DTypeName {
    /// f32 unless the program says otherwise.
    #[default]
    Auto,
    /// 64 bits.
    F64,
    /// 32 bits.
    F32,
    /// 16 bits with the range of f32.
    Bf16,
    /// 16 bits with 10 bits of mantissa.
    F16,
}

impl DTypeName {
    /// The name as `llm_core::device::dtype` takes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::F64 => "f64",
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
        }
    }

    /// As [`Self::as_str`], with `auto` meaning `auto` here: for programs that prefer another type.
    pub fn as_str_or(self, auto: &'static str) -> &'static str {
        if self == Self::Auto {
            auto
        } else {
            self.as_str()
        }
    }
}

/// How the output looks; part of [`ToolArgs`] and [`LessonArgs`].
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct LookArgs {
    /// ASCII only: words for symbols, ` .:-=+*#%@` for shades, no colour
    #[arg(long)]
    pub plain: bool,
    /// When to use colour; auto honours NO_COLOR and plain pipes
    #[arg(
        long,
        value_enum,
        default_value_t,
        value_name = "WHEN",
        hide_possible_values = false
    )]
    pub color: ColorChoice,
    /// No progress or notes on stderr; errors and warnings stay
    #[arg(long)]
    pub quiet: bool,
}

/// The flags of every program: flatten them first.
#[derive(Args, Clone, Debug)]
pub struct ToolArgs {
    /// Where to compute
    #[arg(long, value_enum, default_value_t, value_name = "DEVICE")]
    pub device: DeviceName,
    /// Number type of weights and activations
    #[arg(long, value_enum, default_value_t, value_name = "DTYPE")]
    pub dtype: DTypeName,
    /// Threads to compute with, 1 or more [default: one a core]
    #[arg(long, value_name = "N")]
    pub threads: Option<NonZeroUsize>,
    /// One seed, one result
    #[arg(long, default_value_t = DEFAULT_SEED, value_name = "N")]
    pub seed: u64,
    /// Plain text, colour, quiet.
    #[command(flatten)]
    pub look: LookArgs,
}

/// The seed when none is given.
pub const DEFAULT_SEED: u64 = 7;

impl Default for ToolArgs {
    fn default() -> Self {
        Self {
            device: DeviceName::Auto,
            dtype: DTypeName::Auto,
            threads: None,
            seed: DEFAULT_SEED,
            look: LookArgs::default(),
        }
    }
}

/// The flags of every lesson: flatten them first.
#[derive(Args, Clone, Debug, Default)]
pub struct LessonArgs {
    /// The flags of every program.
    #[command(flatten)]
    pub tool: ToolArgs,
    /// Smaller sizes where a full run takes longer than ten seconds
    #[arg(long)]
    pub quick: bool,
    /// List every check as PASS or FAIL; with a value, also check it as your exercise answer
    #[arg(long, value_name = "ANSWER", num_args = 0..=1, default_missing_value = "",
        allow_hyphen_values = false)]
    pub check: Option<String>,
    /// Write the lesson's picture to this file
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}

impl std::ops::Deref for LessonArgs {
    type Target = ToolArgs;

    fn deref(&self) -> &ToolArgs {
        &self.tool
    }
}
