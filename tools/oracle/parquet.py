"""Small Parquet files by pyarrow, for the tests of llm-parquet.

    python tools/oracle/parquet.py

Writes crates/llm-parquet/tests/fixtures: the same seven rows in every compression, without a
dictionary, and in row groups of two; nested types; and bytes that are no text.
"""

import datetime
import json
import pathlib

import pyarrow as pa
import pyarrow.parquet as pq

FOLDER = pathlib.Path(__file__).parents[2] / "crates/llm-parquet/tests/fixtures"

ROWS = [
    {"prompt": f"question {i % 3}", "completion": text, "n": i, "score": i / 4, "good": i % 2 == 0}
    for i, text in enumerate(["plain", "größe", "tab\tand\nline", "", "日本", '"quoted", comma', None])
]


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(ROWS)
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)
    (FOLDER / "rows.jsonl").write_text("".join(lines), encoding="utf-8")
    for compression in ["none", "snappy", "zstd", "gzip", "lz4"]:
        pq.write_table(table, FOLDER / f"{compression}.parquet", compression=compression)
    pq.write_table(table, FOLDER / "plain.parquet", use_dictionary=False, data_page_version="2.0")
    pq.write_table(table, FOLDER / "groups.parquet", row_group_size=2)
    turn = pa.struct([("role", pa.string()), ("content", pa.string())])
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    nested = pa.table(
        {
            "messages": pa.array([turns], pa.list_(turn)),
            "bytes": pa.array([b"text"], pa.binary()),
            "half": pa.array([0.5], pa.float32()),
            "day": pa.array([datetime.date(2024, 2, 29)]),
            "moment": pa.array([datetime.datetime(2024, 2, 29, 12)], pa.timestamp("ms")),
            "tags": pa.array([[("k", 3)]], pa.map_(pa.string(), pa.int32())),
        }
    )
    pq.write_table(nested, FOLDER / "messages.parquet")
    binary = pa.table({"text": pa.array([b"text", b"\xff\xfe"], pa.binary())})
    pq.write_table(binary, FOLDER / "binary.parquet")
    print(f"{len(list(FOLDER.iterdir()))} files in {FOLDER}")


if __name__ == "__main__":
    main()
