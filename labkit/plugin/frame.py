"""Frame: one picture that a device gave, with the time at which it was taken. For plugin authors.

A feed of frames is `frames = Feed(Frame)`. It is unlike other feeds: only the newest one counts, nothing is kept, and
who looks late misses what was before. Whether anybody looks at all, the driver hears by `Driver.watched`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One picture. data: JPEG, as the source gave it where it gives JPEG. captured: UTC seconds since 1970.

    Errors: TypeError naming what is no such thing.
    """

    data: bytes = field(repr=False)
    captured: float
    width: int
    height: int

    def __post_init__(self) -> None:
        data, captured, sides = _as_given(self.data, self.captured, (self.width, self.height))
        if not isinstance(data, bytes):
            raise TypeError(f"A frame's data must be bytes, not {type(data).__name__}.")
        if not isinstance(captured, (int, float)) or not math.isfinite(captured):
            raise TypeError(f"A frame's captured must be UTC seconds, not {captured!r}.")
        if not all(isinstance(side, int) and side > 0 for side in sides):
            raise TypeError(f"A frame's width and height must be whole numbers, not {self.width!r} x {self.height!r}.")


def _as_given(*values: Any) -> tuple[Any, ...]:
    """The same values; authors of drivers are not held to the types that are declared."""
    return values
