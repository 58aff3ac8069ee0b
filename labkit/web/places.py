"""How many pages may be open in one web process: each takes one of its threads for as long as it is open.

Used by the socket gate, which counts, and by the pages, which say so. Where all places are taken nobody is left waiting
for a thread: a further page is told at once that the lab is full, by threads that are kept free for that.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

RETRY_AFTER = 10
"""Seconds after which somebody who was told that the lab is full may ask again."""
_SPARE = 8
"""One of so many threads is kept for plain pages, the RLMS and refusals; one at least."""


class Places:
    """The places of one process. Any thread may ask. most: as many pages may be open; 0: any number."""

    def __init__(self, most: int):
        self._most = most
        self._taken = 0
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<Places {self._taken} of {self._most or 'any number'}>"

    def fit_into(self, threads: int) -> None:
        """The process serves with so many threads, two at least: have no more places than those leave."""
        fitting = threads - max(1, threads // _SPARE)
        self._most = min(self._most, fitting) if self._most > 0 else fitting

    @property
    def most(self) -> int:
        """How many there are; 0: any number."""
        return self._most

    @property
    def full(self) -> bool:
        return self._most > 0 and self._taken >= self._most

    @contextlib.contextmanager
    def one(self) -> Iterator[bool]:
        """A place for as long as the block lasts. False: there is none."""
        with self._lock:
            found = not self.full
            self._taken += found
        try:
            yield found
        finally:
            with self._lock:
                self._taken -= found
