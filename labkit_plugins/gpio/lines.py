"""What the driver needs of the open lines of a chip, whoever gives them: the kernel (`kernel.py`) or a simulated chip.

Levels are as people mean them here: 1 is on, also where a line is `active_low`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from labkit_plugins.interruption import Operation

_TOGETHER_NS = 1_000_000
"""Two clocks are read at one moment where no more lies between."""
_CLOCK_READINGS = 5


@dataclass(frozen=True, kw_only=True)
class Edge:
    """A change of an input. level: what it has become. at: UTC seconds since 1970, by the kernel's own timestamp.

    seqno: counts the changes of this line since it was opened, from 1; where one is missing, too many came at once.
    """

    line: str
    level: int
    at: float
    seqno: int


class Lines(Protocol):
    """The lines of one device, open: one request at the chip. What fails because the chip has gone is an OSError."""

    chip: str
    """The chip as people know it: its label."""
    patience: float | None
    """Seconds after which a sleeping reader looks whether the chip is still there; None where it is told."""

    def fileno(self) -> int:
        """For `poll`: readable where edges wait, hung up where the chip has gone."""

    def edges(self) -> Sequence[Edge]:
        """The edges that wait; called where `poll` says so. Errors: OSError where the chip has gone."""

    def read(self, operation: Operation | None) -> dict[str, int]:
        """The level of every line, outputs as they really are. `operation` ends it, where it blocks."""

    def write(self, levels: Mapping[str, int], operation: Operation | None) -> None:
        """Set outputs, all in one moment where the chip can. `operation` as in `read`."""

    def close(self, levels: Mapping[str, int]) -> None:
        """Set these outputs as far as that is still possible, and give the lines back. Never raises, never blocks."""

    def let_go(self) -> None:
        """In a forked child: close its copies of what is open. The chip hears nothing, the lines stay the parent's."""


def utc_of(monotonic_ns: int) -> float:
    """A moment of CLOCK_MONOTONIC, which the kernel stamps edges with, as UTC seconds since 1970.

    By the offset of now: so a clock that was set in the meantime is right, and every kernel can do it. The two clocks
    are read again where this thread lost its turn between them, which would make the edge seconds early.
    """
    for _ in range(_CLOCK_READINGS):
        before, now, after = time.monotonic_ns(), time.time(), time.monotonic_ns()
        if after - before < _TOGETHER_NS:
            break
    return now - (before - monotonic_ns) / 1e9
