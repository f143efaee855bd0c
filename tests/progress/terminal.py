"""A terminal small enough to read: what stands on the screen after all that was written."""

from __future__ import annotations

import re

CODE = re.compile(r"\x1b\[([?\d;]*)([A-Za-z])")


class Terminal:
    """Understands what Rich sends: line feeds, carriage returns, cursor moves, erasing."""

    def __init__(self, text: str) -> None:
        self.rows: list[list[str]] = [[]]
        self.row = self.column = 0
        self.cursor_shown = True
        at = 0
        while at < len(text):
            code = CODE.match(text, at)
            if code is not None:
                self._control(code[1], code[2])
                at = code.end()
            else:
                self._write(text[at])
                at += 1

    def _control(self, argument: str, kind: str) -> None:
        if kind == "A":
            self.row -= int(argument or 1)
            assert self.row >= 0, "the cursor went above what was written"
        elif kind == "K":
            assert argument == "2"
            self.rows[self.row] = []
        elif kind in "hl":
            assert argument == "?25"
            self.cursor_shown = kind == "h"
        else:
            assert kind == "m", f"not understood: {argument}{kind}"

    def _write(self, char: str) -> None:
        if char == "\n":
            self.row += 1
            if self.row == len(self.rows):
                self.rows.append([])
        elif char == "\r":
            self.column = 0
        else:
            line = self.rows[self.row]
            line.extend(" " * (self.column + 1 - len(line)))
            line[self.column] = char
            self.column += 1

    @property
    def lines(self) -> list[str]:
        """The screen without trailing space."""
        lines = ["".join(row).rstrip() for row in self.rows]
        while lines and not lines[-1]:
            lines.pop()
        return lines
