"""Writes the fixture of the lesson 00_polars: what pandas makes of the same two tables.

    python tools/oracle/frames.py        # from the repository root

Rows come in the order of the file. pandas leaves rows without a key out of a group-by unless told
`dropna=False`; data frames of Rust keep them, and so does the fixture.
"""

import json
from pathlib import Path

import pandas as pd

HERE = Path("lessons/basics/polars")
prompts = pd.read_csv(HERE / "data/prompts.csv")
sources = pd.read_csv(HERE / "data/sources.csv")


def plain(value):
    """A value as JSON has it: no NaN, no NumPy types."""
    if pd.isna(value):
        return None
    return value.item() if hasattr(value, "item") else value


def rows(frame):
    return [[plain(value) for value in row] for row in frame.itertuples(index=False)]


groups = prompts.groupby("source", sort=False, dropna=False)["score"]
grouped = groups.agg(rows="size", known="count", mean="mean").reset_index()
unique = prompts.drop_duplicates("prompt")
fixture = {
    "columns": list(prompts.columns),
    "rows": rows(prompts),
    "null_count": {name: int(count) for name, count in prompts.isna().sum().items()},
    "mean_score": prompts["score"].mean(),
    "mean_score_with_zeros": prompts["score"].fillna(0).mean(),
    "words": [float(getattr(prompts["words"], name)()) for name in ["min", "mean", "max"]],
    "filter_words_8": prompts[prompts["words"] >= 8]["id"].tolist(),
    "group_mean": rows(grouped),
    "group_mean_of_unique_forum": unique[unique["source"] == "forum"]["score"].mean(),
    "left_join": rows(prompts.merge(sources, on="source", how="left")),
    "inner_join": rows(prompts.merge(sources, on="source", how="inner")),
    "unique_prompts": unique["id"].tolist(),
}
path = HERE / "tests/fixtures/frames.json"
path.write_text(json.dumps(fixture, indent=1, ensure_ascii=False) + "\n")
print(path, path.stat().st_size, "bytes")
