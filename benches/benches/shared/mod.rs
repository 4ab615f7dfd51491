//! A workload under criterion, and one line after it in the units of this project.

use std::io::Write;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion};
use llm_benches::measure::per_second;
use llm_benches::{Size, Times};
use llm_core::kernels::peak;
use llm_show::number::{count, rate};

/// How long the machine's peak is looked for.
const PEAK_TIME: Duration = Duration::from_millis(300);

/// Multiply-adds on registers, measured once a program.
fn peak() -> f64 {
    static PEAK: OnceLock<f64> = OnceLock::new();
    *PEAK.get_or_init(|| peak::flops_per_second(PEAK_TIME))
}

/// A group with so few samples that all benches together take minutes.
pub(crate) fn group<'a>(criterion: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1000));
    group
}

/// Runs `run` and prints its own median as a rate, beside criterion's estimate.
pub(crate) fn function(
    group: &mut BenchmarkGroup<WallTime>,
    name: &str,
    size: Size,
    mut run: impl FnMut(),
) {
    let mut times = Times::default();
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|iterations| {
            let mut sum = Duration::ZERO;
            for _ in 0..iterations {
                let start = Instant::now();
                run();
                let took = start.elapsed();
                times.0.push(took.as_secs_f64() * 1e3);
                sum += took;
            }
            sum
        });
    });
    if !times.0.is_empty() {
        report(name, size, times.median());
    }
}

/// One line; a closed pipe is no reason to stop measuring.
fn report(name: &str, size: Size, ms: f64) {
    let mut line = format!("{name:<24} median {ms:.3} ms");
    if size.tokens > 0 {
        line += &format!(" · {}", rate(per_second(size.tokens, ms)));
    }
    if size.flops > 0 {
        let flops = per_second(size.flops, ms);
        line += &format!(
            " · {:.1} GFLOP/s, {:.0} % of the peak of {}",
            flops / 1e9,
            100.0 * flops / peak(),
            count((peak() / 1e9).round() as u64)
        );
    }
    let _ = writeln!(std::io::stdout(), "{line}\n");
}
