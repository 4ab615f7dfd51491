//! Measures what the lines on stdin ask for, one line of JSON each way; see `llm_benches::job`.
//!
//! ```text
//! echo '{"work": "train", "size": "small", "steps": 10}' |
//!     cargo run --release -q -p llm-benches --bin bench_worker -- --threads 2
//! ```

use std::io::{BufRead, Write};
use std::num::NonZeroUsize;

use clap::Parser;
use llm_benches::job::Desk;

#[global_allocator]
static ALLOCATOR: llm_alloc::MiMalloc = llm_alloc::MiMalloc;

/// Measures what the lines on stdin ask for, one line of JSON each way.
#[derive(Parser)]
struct Args {
    /// Threads to compute with, 1 or more [default: one a core]
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    llm_alloc::keep_memory();
    let args = Args::parse();
    if let Some(threads) = args.threads {
        llm_core::kernels::pool::set_threads(threads.get())?;
    }
    let mut desk = Desk::default();
    let mut stdout = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        if !line.trim().is_empty() {
            writeln!(stdout, "{}", desk.answer(&line))?;
            stdout.flush()?;
        }
    }
    Ok(())
}
