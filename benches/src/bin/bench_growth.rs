//! Measures how a training step grows with the model and the text, and writes the page of the book.
//!
//! ```text
//! cargo run --release -p llm-benches --bin bench_growth -- --threads 2
//! ```

use std::io::Write;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use llm_benches::growth::{LENGTHS, MODELS, Point, page, plot, shape};
use llm_benches::measure::per_second;
use llm_benches::train::TrainStep;
use llm_benches::{Times, Workload};
use llm_core::kernels::{peak, pool};
use llm_core::ops::Ops;

#[global_allocator]
static ALLOCATOR: llm_alloc::MiMalloc = llm_alloc::MiMalloc;

const PEAK_TIME: Duration = Duration::from_millis(500);

/// Measures how a training step grows, and writes `growth.md` and `growth.svg`.
#[derive(Parser)]
struct Args {
    /// Threads to compute with, 1 or more [default: one a core]
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// Where the page and the plot go
    #[arg(long, default_value = "docs/src", value_name = "DIR")]
    out: PathBuf,
    /// Steps with the clock for each shape
    #[arg(long, default_value_t = 5, value_name = "N")]
    steps: usize,
    /// Only models up to so many million parameters
    #[arg(long, default_value_t = 64, value_name = "N")]
    largest: usize,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    llm_alloc::keep_memory();
    let args = Args::parse();
    if let Some(threads) = args.threads {
        pool::set_threads(threads.get())?;
    }
    let peak = peak::flops_per_second(PEAK_TIME);
    let mut points = Vec::new();
    let mut stderr = std::io::stderr();
    for (model, sizes) in MODELS.into_iter().filter(|row| row.0 <= args.largest) {
        for tokens in LENGTHS {
            let mut work = TrainStep::new(&shape(sizes, tokens), Ops::Fused)?;
            let ms = Times::of(&mut work, 1, args.steps)?.median();
            let size = work.size();
            let flops = per_second(size.flops, ms);
            points.push(Point {
                model,
                parameters: size.parameters,
                tokens,
                ms,
                tokens_per_second: per_second(size.tokens, ms),
                gflops: flops / 1e9,
                share: flops / peak,
            });
            writeln!(stderr, "{model} M, T {tokens}: {ms:.1} ms")?;
        }
    }
    let machine = format!(
        "{}, {} threads",
        llm_benches::measure::processor().unwrap_or_else(|| "an unnamed processor".into()),
        pool::threads()
    );
    std::fs::write(args.out.join("growth.svg"), plot(&points))?;
    std::fs::write(
        args.out.join("growth.md"),
        page(&machine, peak / 1e9, &points),
    )?;
    Ok(())
}
