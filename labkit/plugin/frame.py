"""Frame: one picture that a device gave, with the time at which it was taken. For plugin authors.

A feed of frames is `frames = Feed(Frame)`. It is unlike other feeds: only the newest one counts, nothing is kept, and
who looks late misses what was before. Whether anybody looks at all, the driver hears by `Driver.watched`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field


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
        if not isinstance(self.data, bytes):
            raise TypeError(f"A frame's data must be bytes, not {type(self.data).__name__}.")
        if not isinstance(self.captured, (int, float)) or not math.isfinite(self.captured):
            raise TypeError(f"A frame's captured must be UTC seconds, not {self.captured!r}.")
        if not all(isinstance(side, int) and side > 0 for side in (self.width, self.height)):
            raise TypeError(f"A frame's width and height must be whole numbers, not {self.width!r} x {self.height!r}.")
