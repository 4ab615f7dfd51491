"""Writing fixtures: one line of JSON per case, and one safetensors file with the numbers."""

import json
import pathlib

from safetensors.numpy import save_file

ROOT = pathlib.Path(__file__).resolve().parents[2] / "crates/llm-core/tests/fixtures"


def positions(config, count):
    """The rows that a fixture keeps: both ends, the middle, and both sides of each boundary."""
    window = config.get("sliding_window") or 0
    original = (config.get("rope_scaling") or {}).get("original_max_position_embeddings", 0)
    wanted = {0, 1, count // 2, count - 2, count - 1}
    for edge in (window, original):
        if edge:
            wanted |= {edge - 1, edge, edge + 1}
    return sorted(p for p in wanted if 0 <= p < count)


def write(folder, cases, tensors):
    """Writes `cases.jsonl` and `expected.safetensors` under the fixtures' folder."""
    folder = ROOT / folder
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(case, separators=(",", ":")) for case in cases]
    (folder / "cases.jsonl").write_text("\n".join(lines) + "\n")
    save_file(tensors, folder / "expected.safetensors")
    (folder / "expected.safetensors").chmod(0o644)
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{folder}: {len(cases)} cases, {size / 1024:.0f} KiB")
