"""Writes the fixture of cleaning: what Python's unicodedata makes of characters and texts under NFKC.

    python tools/oracle/clean.py       # from the repository root

`changed` are the code points that NFKC changes, as [first, last] ranges, and `sha256` is over
"<code point in hex> <its NFKC>\n" for each of them. `texts` are whole texts with marks in other orders,
compositions across characters and Hangul. Blanks, line ends and joiners are left out: for those
cleaning has rules of its own.
"""

import hashlib
import json
import random
import unicodedata
from pathlib import Path

OUT = Path("crates/llm-train/tests/fixtures/clean.json")
LATIN = "aeiouAEIOUcnsyzCNSYZqQ"
MARKS = "\u0300\u0301\u0302\u0303\u0304\u0306\u0307\u0308\u030a\u030c\u0323\u0327\u0328\u0331\u0338"
OTHER = "ﬁﬀﬃ²³½¼№℡™㎏㈱Ａｂ９ｶﾞｷﾟ한\u1112\u1161\u11ab\u0915\u093c\u0958\u0e4d\u0e32אּﻻﷺ①Ⅷ…‼"


def is_taken(text):
    """Whether cleaning has a rule of its own for the text or its composition."""
    return any(c.isspace() or unicodedata.category(c) in ("Cc", "Cf") for c in text)


def nfkc(text):
    return unicodedata.normalize("NFKC", text)


def changed():
    points = [
        point
        for point in range(0x110000)
        if not 0xD800 <= point < 0xE000
        and nfkc(chr(point)) != chr(point)
        and not is_taken(chr(point) + nfkc(chr(point)))
    ]
    ranges = []
    for point in points:
        if ranges and ranges[-1][1] == point - 1:
            ranges[-1][1] = point
        else:
            ranges.append([point, point])
    digest = hashlib.sha256()
    for point in points:
        digest.update(f"{point:x} {nfkc(chr(point))}\n".encode())
    return ranges, len(points), digest.hexdigest()


def texts():
    draw = random.Random(5)
    out = []
    while len(out) < 120:
        text = "".join(
            draw.choice(LATIN) + "".join(draw.choices(MARKS, k=draw.randint(0, 3)))
            if draw.random() < 0.6
            else draw.choice(OTHER)
            for _ in range(draw.randint(1, 8))
        )
        if not is_taken(text + nfkc(text)) and not text[0] in MARKS:
            out.append({"text": text, "nfkc": nfkc(text)})
    return out


ranges, count, digest = changed()
OUT.write_text(
    json.dumps(
        {
            "unicode": unicodedata.unidata_version,
            "changed": ranges,
            "count": count,
            "sha256": digest,
            "texts": texts(),
        },
        ensure_ascii=True,
        separators=(",", ":"),
    ).replace('{"text"', '\n{"text"')
    + "\n"
)
print(f"{OUT}: {count} code points in {len(ranges)} ranges, Unicode {unicodedata.unidata_version}")
