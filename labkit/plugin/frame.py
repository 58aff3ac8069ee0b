"""Frame: one picture that a device gave, with the time at which it was taken. For plugin authors.

A feed of frames is `frames = Feed(Frame)`. It is unlike other feeds: only the newest one counts, nothing is kept, and
who looks late misses what was before. Whether anybody looks at all, the driver hears by `Driver.watched`.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One picture. data: JPEG, as the source gave it where it gives JPEG. captured: UTC seconds since 1970."""

    data: bytes = field(repr=False)
    captured: float
    width: int
    height: int
