"""An outlet of frames with nothing around it: news and time as a test says them, a store that can be held up."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from labkit.clock import Clock
from labkit.errors import StoreUnavailableError
from labkit.loop.frames import FrameOutlet
from labkit.plugin import Frame
from labkit.store.frames import SentFrame
from labkit.store.processes import BeatNews
from tests.store.feed_bench import GUARD
from tests.store.feed_bench import bench as bench

FRAMES = "frames"


def picture(number: int = 1, size: int = 10) -> Frame:
    return Frame(data=bytes([number]) * size, captured=float(number), width=640, height=480)


class Beats:
    """News from a process, as a test says them."""

    def __init__(self) -> None:
        self.listeners: list[Callable[[BeatNews], None]] = []

    def on_news(self, listener: Callable[[BeatNews], None]) -> None:
        self.listeners.append(listener)

    def forget(self, *listeners: object) -> None:
        self.listeners = [listener for listener in self.listeners if listener not in listeners]

    def say(self, watched: str) -> None:
        news = BeatNews(
            now=1, went_back=False, queued_tasks=0, due=(), gone=(), benches={}, holds={}, watched=watched
        )  # fmt: skip
        for listener in self.listeners:
            listener(news)


class Gate:
    """A store's frames that can be held up, or be away; what was asked of it, and how many look."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.away = False
        self.looking = 1
        self.written: list[tuple[str, int, float]] = []
        self.counted = 0

    def write(self, device: str, feed: str, fence: int, frame: SentFrame) -> int | None:
        self.written.append((feed, fence, frame.captured))
        self._pass()
        return self.looking

    def viewers(self, device: str, fence: int, feeds: list[str]) -> list[int]:
        self.counted += 1
        self._pass()
        return [self.looking] * len(feeds)

    def _pass(self) -> None:
        assert self.open.wait(GUARD)
        if self.away:
            raise StoreUnavailableError("away")


class StandingClock(Clock):
    """A clock that a test moves."""

    def __init__(self) -> None:
        self._at = 1000.0

    def boottime(self) -> float:
        return self._at

    def move(self, seconds: float) -> None:
        self._at += seconds


class Bed:
    """An outlet, and what the driver was told. Time stands still."""

    def __init__(self, store: Any, *feeds: str):
        self.beats = Beats()
        self.told: list[tuple[str, bool]] = []
        self.clock = StandingClock()
        self.outlet = FrameOutlet(store, "bench-1/console", feeds or (FRAMES,), self.beats, clock=self.clock)

    def open(self, fence: int = 0) -> FrameOutlet:
        self.outlet.opened(lambda feed, anybody: self.told.append((feed, anybody)))
        self.outlet.fence = fence
        return self.outlet


@pytest.fixture
def beds() -> Iterator[Callable[..., Bed]]:
    made: list[Bed] = []

    def make(store: Any, *feeds: str) -> Bed:
        made.append(Bed(store, *feeds))
        return made[-1]

    yield make
    for bed in made:
        bed.outlet.close(GUARD)
