"""How labkit's processes log: one event a line, on stderr. Used by the loop and by web processes of the program."""

from __future__ import annotations

import logging
import sys
import time

import click

from labkit.log_text import plain

PART = "LABKIT_PART"
"""Environment variable of the children of `labkit run`: their name, for the lines that they log."""
QUIET = "LABKIT_QUIET"
"""Environment variable of web workers: log warnings and errors only."""

_COLORS = {logging.WARNING: "yellow", logging.ERROR: "red", logging.CRITICAL: "red"}


class LineFormatter(logging.Formatter):
    """UTC time, level, the part of the lab that says it, and the event; dim or coloured on a terminal.

    Whatever an event carries, only its first line begins at the margin, and nothing of it acts on the terminal.
    """

    def __init__(self, part: str, *, colored: bool):
        super().__init__("%(asctime)s %(levelname)-7s %(message)s", "%Y-%m-%d %H:%M:%SZ")
        self.converter = time.gmtime
        self._part = part
        self._colored = colored

    def format(self, record: logging.LogRecord) -> str:
        line = plain(super().format(record)).replace("\n", "\n    ")
        if self._part:
            line = f"{self._part:<5} {line}"
        if not self._colored:
            return line
        color = _COLORS.get(record.levelno)
        return click.style(line, fg=color) if color else click.style(line, dim=True)


def set_up_logs(part: str = "", *, quiet: bool = False) -> None:
    """Send all logs of this process to stderr, from INFO on; quiet: from WARNING on. part: named in each line."""
    handler = logging.StreamHandler()
    handler.setFormatter(LineFormatter(part, colored=sys.stderr.isatty()))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING if quiet else logging.INFO)
