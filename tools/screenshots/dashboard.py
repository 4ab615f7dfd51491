#!/usr/bin/env python3
"""The dashboard as a picture: runs `deeper train --dashboard` on a terminal of its own and draws it.

    python tools/screenshots/dashboard.py --deeper target/release/deeper --after 20 -- \\
        --config configs/train.yaml

Needs Python 3.9 and pyte (a terminal in memory). Writes docs/src/pictures/dashboard.terminal.svg: what
stands on the screen `--after` seconds after the start. Then it presses q and waits: the run has to save
and to end with 130, with the terminal given back.
"""

import argparse
import fcntl
import os
import pathlib
import pty
import select
import struct
import subprocess
import sys
import termios
import time

import pyte

import terminal

COLUMNS, ROWS = 100, 30
COLOURS = {"black": 30, "red": 31, "green": 32, "brown": 33, "yellow": 33, "blue": 34, "magenta": 35, "cyan": 36}
# The same by number, as pyte has them.
COLOURS |= {"00cdcd": 36, "00ffff": 36, "008080": 36, "cdcd00": 33, "ffff00": 33, "808000": 33}
OTHER_SCREEN, CLEAR = b"\x1b[?1049h", b"\x1b[2J\x1b[H"
PATIENCE = 60  # seconds that a step may take to end after q


def line(cells):
    """A line of the screen as text with the escapes that terminal.py reads."""
    parts = []
    for column in range(COLUMNS):
        cell = cells[column]
        ground = cell.bg if cell.reverse else cell.fg
        codes = [COLOURS[ground]] if ground in COLOURS else []
        parts.append("\x1b[0m" + "".join(f"\x1b[{code}m" for code in codes) + cell.data)
    return "".join(parts).rstrip()


def read(master, stream, seconds):
    """Feeds the screen for so long; whether the program still has the terminal."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if select.select([master], [], [], left)[0]:
            try:
                data = os.read(master, 65536)
            except OSError:
                return False
            if not data:
                return False
            # pyte has one screen: what a terminal does when a program asks for its other one.
            before, mark, data = data.rpartition(OTHER_SCREEN)
            if mark:
                stream.feed(before + CLEAR)
            stream.feed(data)
    return True


def main():
    parser = argparse.ArgumentParser(description="Draws `deeper train --dashboard`.")
    parser.add_argument("--deeper", default="target/release/deeper", help="the program")
    parser.add_argument("--after", type=float, default=20, help="seconds until the picture")
    parser.add_argument("--out", type=pathlib.Path, default=terminal.ROOT / "docs/src/pictures/dashboard.terminal.svg")
    parser.add_argument("--title", help="the command above the picture instead of the real one")
    parser.add_argument("arguments", nargs="+", help="arguments of `deeper train`, after --")
    args = parser.parse_args()
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    before = termios.tcgetattr(slave)
    command = [args.deeper, "train", "--dashboard", "--color", "always", *args.arguments]

    def own():
        """Makes the terminal the one that the program finds its size on."""
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

    run = subprocess.Popen(
        command, stdin=slave, stdout=subprocess.DEVNULL, stderr=slave, start_new_session=True, preexec_fn=own
    )
    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.ByteStream(screen)
    if not read(master, stream, args.after):
        sys.exit("the run has ended before the picture")
    terminal.COLUMNS = COLUMNS
    title = args.title or " ".join(["deeper train --dashboard", *args.arguments])
    output = "\n".join(line(screen.buffer[row]) for row in range(ROWS))
    args.out.write_text(terminal.picture(title, output), encoding="utf-8")
    os.write(master, b"q")
    begun = time.monotonic()
    while run.poll() is None and time.monotonic() - begun < PATIENCE:
        read(master, stream, 0.2)
    read(master, stream, 0.5)
    after = termios.tcgetattr(slave)
    print(f"{args.out}: exit code {run.poll()}, terminal given back: {before == after}")
    print("\n".join(text.rstrip() for text in screen.display if text.strip()))


if __name__ == "__main__":
    main()
