"""Records a terminal session and draws it as the moving picture of the README.

    AFINA_DATA=... python benchmarks/learn/terminal.py --record    # needs pyte and a POSIX system
    python benchmarks/learn/terminal.py                            # draws the recording again

The session is real: `search_clothes.py` searches with seed 0, then `afina advice` reads it. Of the
search's screens, ten evenly spaced ones are kept in `session.json`. The picture shows each of them
for a second, however long it took. People who ask for less motion see the last screen only.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import sys
import tempfile
from html import escape
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SESSION = HERE / "session.json"
PICTURE = HERE.parents[1] / "docs" / "images" / "terminal.svg"
WIDTH, HEIGHT = 96, 25
KEPT, SECONDS, PAUSE, LAST = 10, 1.0, 2.0, 9.0
"""How many screens of the search are kept, and the seconds for each, for its end and the advice."""

CHARACTER, LINE, MARGIN = 8.0, 18, 14
COLORS = {
    "default": "#d8dbe2", "green": "#8fd18a", "cyan": "#7cc5d9", "magenta": "#d19adf",
    "red": "#e88388", "yellow": "#e3c37a", "brown": "#e3c37a", "blue": "#7aa7e8",
    "white": "#f2f3f7", "black": "#6b7080", "brightblack": "#8b90a0",
}  # fmt: skip
Screen = list[list[list[Any]]]
"""Lines of a screen; each line is runs of [text, colour, bold]."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--record", action="store_true")
    if parser.parse_args().record:
        SESSION.write_text(json.dumps(recorded(), ensure_ascii=False) + "\n", encoding="utf-8")
    session = json.loads(SESSION.read_text(encoding="utf-8"))
    PICTURE.write_text(drawn(session), encoding="utf-8")


# -- recording -----------------------------------------------------------------------------------


def recorded() -> dict[str, list[Screen]]:
    """The screens of the search, its last one at the end, and those of the advice."""
    with tempfile.TemporaryDirectory() as folder:
        search = screens([sys.executable, str(HERE / "search_clothes.py")], folder)
        told = screens([sys.executable, "-m", "afina", "advice", "clothes"], folder)
    busy = search[:-1]
    step = max(1, len(busy) // KEPT)
    return {"search": [*busy[step - 1 :: step][:KEPT], search[-1]], "advice": [told[-1]]}


def screens(command: list[str], folder: str) -> list[Screen]:
    """What a command shows on a terminal, whenever it has rested for a tenth of a second."""
    import fcntl
    import pty
    import struct
    import termios

    import pyte

    screen = pyte.Screen(WIDTH, HEIGHT)
    stream = pyte.ByteStream(screen)
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(folder)
        os.environ.update(TERM="xterm-256color", COLUMNS=str(WIDTH), LINES=str(HEIGHT))
        os.execv(command[0], command)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
    found: list[Screen] = []
    while True:
        ready = select.select([terminal], [], [], 0.1)[0]
        if ready:
            try:
                text = os.read(terminal, 65536)
            except OSError:  # Linux says so at the end
                break
            if not text:
                break
            stream.feed(text)
        elif (now := as_runs(screen)) and now not in found[-1:]:
            found.append(now)
    os.waitpid(child, 0)
    return [*found, as_runs(screen)]


def as_runs(screen: Any) -> Screen:
    """The screen without its empty end."""
    lines: Screen = []
    for row in range(HEIGHT):
        runs: list[list[Any]] = []
        for column in range(WIDTH):
            cell = screen.buffer[row][column]
            style = [cell.fg, bool(cell.bold)]
            if runs and runs[-1][1:] == style:
                runs[-1][0] += cell.data
            else:
                runs.append([cell.data, *style])
        if runs and runs[-1][0].isspace():
            runs.pop()
        lines.append(runs)
    while lines and not lines[-1]:
        lines.pop()
    return lines


# -- drawing -------------------------------------------------------------------------------------


def drawn(session: dict[str, list[Screen]]) -> str:
    """The session as an SVG that moves by style sheets alone."""
    begun, asked = prompt("python search_clothes.py"), prompt("afina advice clothes")
    *busy, ended = session["search"]
    told = session["advice"][0]
    frames = [(SECONDS, [begun]), *((SECONDS, [begun, *screen]) for screen in busy)]
    frames += [(PAUSE, [begun, *ended]), (SECONDS, [begun, *ended, [], asked])]
    frames += [(LAST, [begun, *ended[-2:], [], asked, *told])]
    lines = max(len(screen) for _, screen in frames)
    width, height = round(WIDTH * CHARACTER + 2 * MARGIN), lines * LINE + 2 * MARGIN
    whole = sum(seconds for seconds, _ in frames)
    styles, groups, start = [], [], 0.0
    for number, (seconds, screen) in enumerate(frames):
        shown, hidden = (100 * at / whole for at in (start, start + seconds))
        last = number == len(frames) - 1
        styles.append(
            f"@keyframes f{number}{{0%{{visibility:hidden}}{shown:.2f}%{{visibility:visible}}"
            + ("" if last else f"{hidden:.2f}%{{visibility:hidden}}")
            + "}"
            + f".f{number}{{animation:f{number} {whole:g}s step-end infinite}}"
        )
        body = "\n".join(text_of(line, row) for row, line in enumerate(screen) if line)
        mark = "" if last else ' visibility="hidden"'
        groups.append(f'<g class="f f{number}"{mark}>\n{body}\n</g>')
        start += seconds
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">
<title>A search in a terminal, and what afina advice says about it</title>
<style>
text{{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace}}
text{{white-space:pre}}.b{{font-weight:bold}}
{chr(10).join(styles)}
@media (prefers-reduced-motion:reduce){{.f{{animation:none}}}}
</style>
<rect width="{width}" height="{height}" rx="8" fill="#20232a"/>
{chr(10).join(groups)}
</svg>
"""


def prompt(command: str) -> list[list[Any]]:
    return [["$ ", "green", True], [command, "white", True]]


def text_of(line: list[list[Any]], row: int) -> str:
    """A line; each run has its place and its length, so that any font keeps the columns."""
    y = MARGIN + LINE * row + 13
    parts, column = [], 0
    for text, color, bold in line:
        if not text.isspace():
            fill = COLORS.get(color) or (f"#{color}" if len(color) == 6 else COLORS["default"])
            left = len(text) - len(text.lstrip())
            word = text.strip()
            bolder = ' class="b"' if bold else ""
            parts.append(
                f'<tspan x="{MARGIN + (column + left) * CHARACTER:g}" fill="{fill}"'
                f'{bolder} textLength="{len(word) * CHARACTER:g}" '
                f'lengthAdjust="spacingAndGlyphs">{escape(word)}</tspan>'
            )
        column += len(text)
    return f'<text y="{y}">{"".join(parts)}</text>'


if __name__ == "__main__":
    main()
