#!/usr/bin/env python3
"""Terminal pictures for the book: runs a lesson with colours and draws its stdout as SVG.

    python3 tools/screenshots/terminal.py 03_attention_math softmax
    python3 tools/screenshots/terminal.py softmax --flags "--temperature 0.1" --name softmax_cold
    python3 tools/screenshots/terminal.py 03_attention_math --lines 1-40

Needs Python 3.9 and nothing else. Writes docs/src/pictures/NAME.terminal.svg. The picture holds
text, not pixels: it can be searched, and it changes in a diff when the lesson does. Blocks and
rules are drawn as shapes, because fonts leave gaps between them.
"""

import argparse
import pathlib
import re
import shlex
import subprocess
import sys
import unicodedata
from xml.sax.saxutils import escape

ROOT = pathlib.Path(__file__).resolve().parents[2]
COLUMNS = 80
CELL, LINE, SIZE = 8.4, 18.0, 14  # pixels: width and height of a cell, font size
PAD, BAR = 16, 34  # around the text, and of the bar above it

GROUND, TEXT, BAR_GROUND, BAR_TEXT = "#1b1f27", "#d8dee6", "#2a303b", "#9aa4b2"
MUTED = "#8b95a3"
COLOURS = {
    30: "#4b5563", 31: "#ff7b72", 32: "#6fcf7f", 33: "#e3b341", 34: "#79b8ff", 35: "#d2a8ff",
    36: "#56d4dd", 37: "#d8dee6", 90: "#8b95a3",
}  # fmt: skip
ESCAPE = re.compile(r"\x1b\[([0-9;]*)m")
PARTIAL = {glyph: (8 - index) / 8 for index, glyph in enumerate("█▉▊▋▌▍▎▏")}
SHADES = {"░": 0.22, "▒": 0.45, "▓": 0.7}
# Which arms a rule has: left, right, up, down.
RULES = {"─": "lr", "│": "ud", "└": "ru", "├": "rud", "┄": "", "┌": "rd", "┐": "ld", "┘": "lu"}


def styled(line):
    """The characters of a line with their styles: (character, colour, bold)."""
    colour, bold, at = TEXT, False, 0
    for match in [*ESCAPE.finditer(line), None]:
        yield from ((c, colour, bold) for c in line[at : match.start() if match else None])
        if match is None:
            return
        at = match.end()
        for code in map(int, (match[1] or "0").split(";")):
            if code == 0:
                colour, bold = TEXT, False
            elif code == 1:
                bold = True
            elif code == 2:
                colour = MUTED
            elif code == 39:
                colour = TEXT
            elif code in COLOURS:
                colour = COLOURS[code]


def shape(glyph, column, top, colour):
    """A block or a rule as SVG, or nothing for a character that the font draws."""
    x, middle = PAD + column * CELL, PAD + column * CELL + CELL / 2
    if glyph in PARTIAL or glyph in SHADES:
        width, opacity = CELL * PARTIAL.get(glyph, 1), SHADES.get(glyph, 1)
        return (
            f'<rect x="{x:.1f}" y="{top + 1:.1f}" width="{width:.2f}" height="{LINE - 2:.1f}" '
            f'fill="{colour}" fill-opacity="{opacity}"/>'
        )
    arms = RULES.get(glyph)
    if not arms:
        return None
    ends = {"l": (x, top + LINE / 2), "r": (x + CELL, top + LINE / 2), "u": (middle, top), "d": (middle, top + LINE)}
    data = "".join(f"M{middle:.1f} {top + LINE / 2:.1f}L{ends[a][0]:.1f} {ends[a][1]:.1f}" for a in arms)
    return f'<path d="{data}" stroke="{colour}" fill="none"/>'


def drawn_line(line, top):
    """One line: shapes, and words of equal style as texts of a fixed place and length."""
    parts, run, start, column = [], [], 0, 0

    def flush():
        while run and run[-1][0] == " ":
            run.pop()
        if run:
            text, (_, colour, bold) = "".join(glyph for glyph, _, _ in run), run[0]
            weight = ' font-weight="bold"' if bold else ""
            parts.append(
                f'<text x="{PAD + start * CELL:.1f}" y="{top + LINE - 5:.1f}" fill="{colour}"{weight} '
                f'textLength="{sum(map(cells, text)) * CELL:.1f}" lengthAdjust="spacingAndGlyphs">'
                f"{escape(text)}</text>"
            )
        run.clear()

    for glyph, colour, bold in styled(line):
        drawn = shape(glyph, column, top, colour)
        # Two spaces part columns, which have to stay in line in any font.
        gap = glyph == " " and (not run or run[-1][0] == " ")
        if drawn or gap or (run and run[0][1:] != (colour, bold)):
            flush()
        if drawn:
            parts.append(drawn)
        elif not gap:
            start = start if run else column
            run.append((glyph, colour, bold))
        column += cells(glyph)
    flush()
    return parts


def cells(glyph):
    """Columns of a character: two for wide ones, none for those that combine."""
    if unicodedata.combining(glyph):
        return 0
    return 2 if unicodedata.east_asian_width(glyph) in "WF" else 1


def picture(command, output):
    """The whole terminal as SVG."""
    lines = output.rstrip("\n").split("\n")
    width, height = 2 * PAD + COLUMNS * CELL, BAR + 2 * PAD + len(lines) * LINE
    body = []
    for index, line in enumerate(lines):
        body += drawn_line(line, BAR + PAD + index * LINE)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
            f'viewBox="0 0 {width:.0f} {height:.0f}" role="img" font-family="Menlo, Consolas, '
            f"'DejaVu Sans Mono', 'Liberation Mono', monospace\" font-size=\"{SIZE}\">",
            f"<title>{escape(command)}</title>",
            f'<rect width="{width:.0f}" height="{height:.0f}" rx="8" fill="{GROUND}"/>',
            f'<path d="M0 {BAR}V8a8 8 0 0 1 8-8H{width - 8:.0f}a8 8 0 0 1 8 8V{BAR}z" fill="{BAR_GROUND}"/>',
            f'<text x="{PAD}" y="22" fill="{BAR_TEXT}">$ {escape(command)}</text>',
            *body,
            "</svg>\n",
        ]
    )


def main():
    parser = argparse.ArgumentParser(description="Draws what lessons print as docs/src/pictures/NAME.terminal.svg.")
    parser.add_argument("lessons", nargs="+", metavar="LESSON", help="a lesson's program, such as softmax")
    parser.add_argument("--flags", default="", help="flags of the lesson, in one string")
    parser.add_argument("--name", help="the picture's name instead of the lesson's")
    parser.add_argument("--lines", metavar="FROM-TO", help="only these lines of the output")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "docs/src/pictures")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for lesson in args.lessons:
        flags = shlex.split(args.flags)
        run = ["cargo", "run", "--quiet", "--bin", lesson, "--", "--color", "always", *flags]
        result = subprocess.run(run, cwd=ROOT, stdout=subprocess.PIPE, encoding="utf-8")
        if result.returncode != 0:
            sys.exit(f"{lesson} ended with {result.returncode}")
        output = result.stdout
        if args.lines:
            first, _, last = args.lines.partition("-")
            output = "\n".join(output.split("\n")[int(first) - 1 : int(last or first)])
        command = f"cargo run --bin {lesson}" + (f" -- {args.flags}" if args.flags else "")
        file = args.out / f"{args.name or lesson}.terminal.svg"
        file.write_text(picture(command, output), encoding="utf-8")
        print(file.relative_to(ROOT) if file.is_relative_to(ROOT) else file)


if __name__ == "__main__":
    main()
