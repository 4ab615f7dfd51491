"""Writes sizes and sha256 of the data files into the table of data/README.md.

python3 tools/data/hashes.py
"""

import hashlib
import re
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "data"


def main():
    readme = FOLDER / "README.md"
    lines = readme.read_text().splitlines()
    for number, line in enumerate(lines):
        row = re.match(r"\| `([a-z]+/[a-z]+\.(txt|jsonl))` \| ([^|]+) \|", line)
        if row:
            data = (FOLDER / row[1]).read_bytes()
            size = f"{len(data):,} bytes" if row[2] == "txt" else f"{data.count(10):,} rows"
            digest = hashlib.sha256(data).hexdigest()
            lines[number] = f"| `{row[1]}` | {row[3].strip()} | {size} | `{digest}` |"
    readme.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
