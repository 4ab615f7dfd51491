//! `deeper doctor`: what this binary can run on, and what this machine has for it.

mod libraries;
mod machine;

use anyhow::Result;
use clap::Args;
use llm_core::device;
use llm_core::kernels::pool;
use llm_core::kernels::simd::Isa;
use llm_core::ops::Products;
use llm_show::number::bytes;
use llm_show::{LookArgs, Screen, Table};

use self::libraries::{LIBRARIES, Linker};

/// Say what this binary and this machine can run, and what is missing
///
/// The backends it was built with, processor, threads and memory, and where the dynamic linker finds
/// the libraries of CUDA.
#[derive(Args, Debug)]
#[command(
    after_help = "A binary built with the feature `cuda` does not start where the driver's libcuda is \
missing; one without it says here what would be needed.\n\nExit codes: 0 what this binary needs is \
there · 1 something is missing\n\nExamples:\n  deeper doctor\n  deeper doctor --plain > machine.txt"
)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub look: LookArgs,
}

/// What was found wrong, and what helps.
struct Missing {
    what: String,
    hint: String,
}

/// Prints what there is; 1 where this build needs what is not there.
pub(crate) fn run(args: &DoctorArgs) -> Result<u8> {
    let mut screen = llm_show::stdout_screen(&args.look);
    let mut missing = Vec::new();
    let mut table = Table::new(&["part", "found"]);
    for (part, found) in facts() {
        table.row([part.into(), found.as_str().into()]);
    }
    screen.show(&table);
    screen.line("");
    let linker = Linker::of_this_machine();
    libraries(&mut screen, &linker, &mut missing);
    let wanted = cfg!(feature = "cuda");
    if wanted && let Err(error) = device::choose("cuda") {
        missing.push(Missing {
            what: error.to_string(),
            hint: "`nvidia-smi` says whether the driver sees a GPU".into(),
        });
    }
    metal(&mut missing);
    let verdict = verdict(&mut screen, &missing, wanted);
    screen.finish()?;
    Ok(verdict)
}

/// What needs no library.
fn facts() -> Vec<(&'static str, String)> {
    let mut backends = vec!["cpu"];
    for (name, built) in [
        ("accelerate", cfg!(feature = "accelerate")),
        ("cuda", cfg!(feature = "cuda")),
        ("nccl", cfg!(feature = "nccl")),
        ("metal", cfg!(feature = "metal")),
    ] {
        if built {
            backends.push(name);
        }
    }
    let sets: Vec<&str> = Isa::available().into_iter().map(name_of).collect();
    let half = match Products::rounding_is_fast() {
        true => "bf16 products in hardware",
        false => "bf16 products emulated",
    };
    let mut facts = vec![
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("backends", backends.join(", ")),
        ("system", machine::system()),
        ("processor", machine::processor()),
        ("instructions", format!("{}; {half}", sets.join(", "))),
        ("threads", pool::threads().to_string()),
    ];
    if let Some((free, all)) = machine::memory() {
        let text = format!("{} of {} free", bytes(free), bytes(all));
        facts.push(("memory", text));
    }
    facts.push((
        "GPU driver",
        machine::driver().unwrap_or_else(|| "no NVIDIA driver is loaded".into()),
    ));
    facts
}

/// The set that kernels run on comes first.
fn name_of(isa: Isa) -> &'static str {
    match isa {
        Isa::Avx512 => "AVX-512",
        Isa::Avx2 => "AVX2",
        Isa::Neon => "NEON",
        Isa::Portable => "portable",
    }
}

fn libraries(screen: &mut Screen, linker: &Linker, missing: &mut Vec<Missing>) {
    let mut table = Table::new(&["library of CUDA", "for", "found"]);
    for library in LIBRARIES {
        let found = linker.find(library);
        let path = found.map_or("missing".into(), |path| path.display().to_string());
        if path == "missing" {
            missing.push(Missing {
                what: format!("{} is missing", library.name),
                hint: library.hint.into(),
            });
        }
        table.row([
            library.name.into(),
            library.purpose.into(),
            path.as_str().into(),
        ]);
    }
    screen.show(&table);
    screen.line("");
}

/// A build for Apple's GPUs needs one that answers.
fn metal(missing: &mut Vec<Missing>) {
    if !cfg!(feature = "metal") {
        return;
    }
    if let Err(error) = device::choose("metal") {
        missing.push(Missing {
            what: error.to_string(),
            hint: "Metal needs macOS on a machine with a GPU".into(),
        });
    }
}

/// Says what it means; the exit code.
fn verdict(screen: &mut Screen, missing: &[Missing], wanted: bool) -> u8 {
    let needed = wanted || cfg!(feature = "metal");
    if !needed {
        screen.line("ok: this binary computes on the CPU and needs none of the libraries above");
        match missing.is_empty() {
            true => screen.line("hint: `cargo build --release --features cuda` uses the GPU"),
            false => {
                screen.line("for a GPU, a build with `--features cuda` would still need:");
                hints(screen, missing);
            }
        }
        return 0;
    }
    if missing.is_empty() {
        screen.line("ok: everything that this binary needs is there");
        return 0;
    }
    screen.line("this binary needs what is not there:");
    hints(screen, missing);
    1
}

/// One line for each thing; a hint that several share stands once, after the last of them.
fn hints(screen: &mut Screen, missing: &[Missing]) {
    for (index, one) in missing.iter().enumerate() {
        screen.line(&format!("  {}", one.what));
        let next = missing.get(index + 1);
        if next.is_none_or(|next| next.hint != one.hint) {
            screen.line(&format!("hint: {}", one.hint));
        }
    }
}
