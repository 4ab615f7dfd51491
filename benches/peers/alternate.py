"""Two programs on the same work, turn by turn: what the scripts of this folder share.

A round is some runs of the one, then as many of the other; the idle one sleeps. So what else the
machine does, its clock and its temperature hit both alike, and ratios hold where times drift.
"""

import json
import os
import platform
import resource
import statistics
import subprocess
import time

CARGO = ["cargo", "run", "--release", "-q", "-p", "llm-benches", "--bin", "bench_worker", "--"]
SETTLE_SECONDS = 0.2  # threads that wait in a loop for more work fall asleep


class Worker:
    """Our side: a process that takes one job per line (see llm_benches::job)."""

    def __init__(self, path, threads):
        command = [path] if path else CARGO
        self.process = subprocess.Popen(
            [*command, "--threads", str(threads)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()

    def __call__(self, **job):
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("the worker ended; its error is above")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer


def timed(run, warm_up, runs):
    """Milliseconds of each of `runs` calls after `warm_up` calls."""
    times = []
    for index in range(warm_up + runs):
        start = time.perf_counter()
        run()
        if index >= warm_up:
            times.append(1000 * (time.perf_counter() - start))
    return times


def rounds(worker, job, peer, count, runs, warm_up=1):
    """Times of both over `count` rounds of `runs` runs, and the worker's last answer."""
    ours, theirs = [], []
    worker(**job, steps=0)  # builds it, and warms up
    timed(peer, 2, 0)
    for _ in range(count):
        time.sleep(SETTLE_SECONDS)
        answer = worker(**job, steps=runs, warm_up=warm_up)
        ours += answer["ms"]
        time.sleep(SETTLE_SECONDS)
        theirs += timed(peer, warm_up, runs)
    return ours, theirs, answer


def compare(ours, theirs, answer):
    """Minimum and median of both and what they mean, as one flat record."""
    record = {"tokens_per_run": answer["tokens"], "flops": answer["flops"]}
    for name, pick in [("minimum", min), ("median", statistics.median)]:
        record[f"ours_ms_{name}"], record[f"theirs_ms_{name}"] = round(pick(ours), 3), round(pick(theirs), 3)
        record[f"ratio_{name}"] = round(pick(theirs) / pick(ours), 3)
    for who, times in [("ours", ours), ("theirs", theirs)]:
        seconds = statistics.median(times) / 1000
        record[f"{who}_tokens_per_second"] = round(answer["tokens"] / seconds, 1)
        record[f"{who}_gflops"] = round(answer["flops"] / seconds / 1e9, 1)
    record["runs"] = len(ours)
    return record


def machine(threads, **versions):
    """Where and with what this was measured."""
    return {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "threads": threads,
        "system": platform.platform(),
        "python": platform.python_version(),
        "commit": commit(),
        **versions,
    }


def cpu_name():
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def commit():
    run = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return run.stdout.strip() or None


def own_peak_memory():
    """Bytes, the most that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def table(header, rows):
    """Prints aligned columns: the first left, numbers right."""
    cells = [header, *[[f"{c:,.2f}" if isinstance(c, float) else str(c) for c in row] for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    for index, row in enumerate(cells):
        print("  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths))))
        if index == 0:
            print("-" * (sum(widths) + 2 * len(widths) - 2))
    print()


COMPARED = ["ms ours", "ms theirs", "ratio", "median ours", "theirs", "ratio", "GFLOP/s ours", "theirs"]


def compared(record):
    """The cells of a record under COMPARED: minima, then medians."""
    keys = [f"{who}_{pick}" for pick in ("minimum", "median") for who in ("ours_ms", "theirs_ms", "ratio")]
    return [record[key] for key in keys] + [record["ours_gflops"], record["theirs_gflops"]]


def arguments(parser, rounds, runs):
    """The flags of every script."""
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--runs", type=int, default=runs, help="runs of each side in a round")
    parser.add_argument("--worker", metavar="PATH", help="a built bench_worker instead of cargo run")
