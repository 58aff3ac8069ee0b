"""The thread that waits for edges: hands them on at once, and says when the chip has gone. Used by the driver."""

from __future__ import annotations

import select
from collections.abc import Callable, Sequence

from labkit_plugins.gpio.lines import Edge, Lines
from labkit_plugins.reading import ReaderThread


class EdgeReader(ReaderThread):
    """Wait for edges until `stop`, or until the chip goes. Who closes the lines calls `stop` first."""

    def __init__(
        self, name: str, lines: Lines, *, heard: Callable[[Sequence[Edge]], None], lost: Callable[[str], None]
    ):
        super().__init__(name, lines.fileno(), serve=self._take, lost=lost, patience=lines.patience)
        self._lines = lines
        self._heard = heard

    def _take(self, events: int) -> str:
        """Take what `poll` found; a reason where there will be no more."""
        if events & select.POLLIN:
            try:
                self._heard(self._lines.edges())
            except OSError as error:
                return error.strerror or str(error)
            return ""
        return "it hung up" if events else ""
