#!/usr/bin/env python3
"""TensorBoard event files: writes the fixture of our writer's test, and reads a run's files.

    python tools/oracle/tensorboard_events.py                # crates/llm-train/tests/fixtures/tensorboard
    python tools/oracle/tensorboard_events.py --run RUN      # values against metrics.jsonl and system.jsonl

The fixture holds masked CRCs and whole events by the tensorboard package's own classes. `--run` reads
RUN/logs with the package's EventAccumulator and demands that every value is the f32 of the value in
the run's logs, at the same step, none missing; exit code 1 otherwise.
"""

import argparse
import json
import pathlib
import sys

import numpy as np
from tensorboard.backend.event_processing import event_accumulator
from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, tensor_shape_pb2, types_pb2
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

ROOT = pathlib.Path(__file__).resolve().parents[2]
FIXTURE = ROOT / "crates/llm-train/tests/fixtures/tensorboard/events.json"
TIME = 1_705_314_645.25
COLUMNS = {
    "loss": "loss",
    "val": "val",
    "lr": "lr",
    "grad_norm": "grad",
    "epoch": "epoch",
    "tokens_per_second": "tokens_per_second",
}


def scalars(step, values):
    entries = [summary_pb2.Summary.Value(tag=tag, simple_value=value) for tag, value in values]
    return event_pb2.Event(wall_time=TIME, step=step, summary=summary_pb2.Summary(value=entries))


def text(step, tag, content):
    metadata = summary_pb2.SummaryMetadata(
        plugin_data=summary_pb2.SummaryMetadata.PluginData(plugin_name="text"),
        data_class=summary_pb2.DATA_CLASS_TENSOR,
    )
    shape = tensor_shape_pb2.TensorShapeProto(dim=[tensor_shape_pb2.TensorShapeProto.Dim(size=1)])
    tensor = tensor_pb2.TensorProto(
        dtype=types_pb2.DT_STRING, tensor_shape=shape, string_val=[content.encode()]
    )
    value = summary_pb2.Summary.Value(tag=tag, tensor=tensor, metadata=metadata)
    return event_pb2.Event(wall_time=TIME, step=step, summary=summary_pb2.Summary(value=[value]))


def write():
    rng = np.random.default_rng(7)
    inputs = [b"", b"\0", b"123456789", bytes(32), b"\xff" * 32, bytes(range(256)), rng.bytes(1000)]
    rows = [
        (0, [("loss", 2.5)]),
        (1, [("loss", 0.1), ("lr", 3e-4), ("grad_norm", 1e-30)]),
        (300, [("loss", float("inf")), ("epoch", 1.5), ("tokens_per_second", 18240.25)]),
        (2**40, [("x" * 200, -0.0)]),
    ]
    texts = [(0, "config", "    lr: 3e-4\n    name: größe"), (7, "warnings", "x" * 300)]
    fixture = {
        "wall_time": TIME,
        "crcs": [{"bytes": data.hex(), "masked": masked_crc32c(data)} for data in inputs],
        "version": event_pb2.Event(wall_time=TIME, file_version="brain.Event:2").SerializeToString().hex(),
        "scalars": [
            {
                "step": step,
                "values": [[tag, str(value)] for tag, value in values],
                "event": scalars(step, values).SerializeToString().hex(),
            }
            for step, values in rows
        ],
        "texts": [
            {"step": s, "tag": t, "text": c, "event": text(s, t, c).SerializeToString().hex()} for s, t, c in texts
        ],
    }
    FIXTURE.parent.mkdir(parents=True, exist_ok=True)
    FIXTURE.write_text(json.dumps(fixture, indent=1) + "\n", encoding="utf-8")
    print(FIXTURE.relative_to(ROOT))


def read_rows(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def compare(run):
    events = event_accumulator.EventAccumulator(
        str(run / "logs"), size_guidance={event_accumulator.SCALARS: 0, event_accumulator.TENSORS: 0}
    )
    events.Reload()
    logged, compared = read_rows(run / "metrics.jsonl"), 0
    for tag, key in COLUMNS.items():
        want = [(row["step"], float(np.float32(row[key]))) for row in logged if key in row]
        got = [(event.step, event.value) for event in events.Scalars(tag)] if want else []
        if got != want:
            sys.exit(f"{tag}: {len(got)} values, expected {len(want)}; first difference "
                     f"{next(pair for pair in zip(got + [None], want + [None]) if pair[0] != pair[1])}")
        compared += len(want)
    machine = {row["step"]: row for row in read_rows(run / "system.jsonl")}
    for event in events.Scalars("system/memory_mib"):
        want = float(np.float32(machine[event.step]["memory_bytes"] / 2**20))
        if event.value != want:
            sys.exit(f"system/memory_mib at {event.step}: {event.value}, expected {want}")
        compared += 1
    texts = [tag for tag in events.Tags()["tensors"]]
    print(f"{compared} values of {len(logged)} rows equal the run's logs as f32; texts {texts}")


def main():
    parser = argparse.ArgumentParser(description="Event files by the tensorboard package.")
    parser.add_argument("--run", type=pathlib.Path, help="a run's folder to read and compare")
    args = parser.parse_args()
    compare(args.run) if args.run else write()


if __name__ == "__main__":
    main()
