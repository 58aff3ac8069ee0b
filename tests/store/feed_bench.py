"""A bench with one device, `bench-1/console`, and sessions on it, in a real store; no host. For tests of feeds."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from types import TracebackType

import pytest

from labkit.store.connection import Store
from labkit.store.feeds import Cursor, FeedBatch, FeedId, FeedStore
from labkit.store.reservations import Claim, Condition, Reservations
from labkit.store.sessions import EndReason, NewSession, Sessions, Started
from labkit.testing.store import StoreServer
from tests.toy import GUARD as GUARD
from tests.toy import wait_until as wait_until

DEVICE = "bench-1/console"
FEED = "received"
OVER = ("ended", "logged out", "over time", "released")


class FeedBench:
    """One bench in a store under a prefix of its own. Use it with `with`."""

    def __init__(self, url: str, *, bench: str = "bench-1", prefix: str = ""):
        self.store = Store(url, prefix or f"test-{secrets.token_hex(4)}")
        self.bench = bench
        self.device = f"{bench}/console"
        self.sessions = Sessions(self.store)
        self.reservations = Reservations(self.store)
        self.feeds = FeedStore(self.store)
        self._process = f"here:1:{bench}"
        self._beat()
        claim = self.reservations.claim_bench(
            bench, self._process, "here", devices=["console"], features=[], info={}, silence=30
        )
        assert isinstance(claim, Claim)
        self.claim_fence = claim.fence
        self.report(0)

    def __enter__(self) -> FeedBench:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.store.close()

    def _beat(self) -> None:
        self.store.run("beat", self._process, "1", "host", 0)

    def report(self, dealt_with: int, condition: Condition = Condition.OK, reason: str = "") -> None:
        """Say as its host what condition the device is in."""
        assert self.reservations.report(self.bench, self.claim_fence, self.device, condition, reason, dealt_with)

    def start(self, *, length: float = 600.0, timeout: float = 0.0, activate: bool = True) -> tuple[str, int]:
        """A session that has the bench. Returns its id and the fence."""
        self._beat()
        session_id = secrets.token_hex(8)
        new = NewSession(
            session_id=session_id, user={}, slot_start=None, slot_length=length, timeout=timeout, start_timeout=60.0,
            bench=self.bench,
        )  # fmt: skip
        started = self.sessions.start(new, "starter")
        assert isinstance(started, Started), started
        if activate:
            assert self.sessions.activate(session_id, "starter") == "active"
        return session_id, started.fence

    def end(self, session_id: str, reason: EndReason = EndReason.DISPOSED) -> None:
        """Begin the ending: the user is out."""
        assert self.sessions.end(session_id, reason)[0] == "begun"

    def finish(self, session_id: str) -> None:
        """Go through the rest of an ending, so that the bench is free again."""
        self._beat()
        record = self.sessions.claim_ending(session_id, self._process, 60.0)
        assert not isinstance(record, str), record
        fence = int(record.fields["fence"])
        self.reservations.release(session_id, "", fence)
        self.report(2**52)
        assert self.sessions.finish(session_id, self._process, fence, 60.0)

    def make_over(self, session_id: str, fence: int, how: str) -> None:
        """Have a session be over, or its bench its own no more, in one of the ways that `OVER` names."""
        if how == "ended":
            self.end(session_id)
        elif how == "logged out":
            self.sessions.exit(session_id)
        elif how == "over time":
            self.store.now = time.time() + 3600
        else:
            self.reservations.release(session_id, "", fence)

    def feed(self, session_id: str) -> FeedId:
        return FeedId(session_id=session_id, device=self.device, feed=FEED)

    def write(self, fence: int, data: bytes | str, end: int, *, epoch: int = 1, first: int = 0) -> str:
        """Write as a host would, `end` being the offset after the data."""
        return self.feeds.write(self.batch(fence, data, end, epoch=epoch, first=first))

    def batch(self, fence: int, data: bytes | str, end: int, *, epoch: int = 1, first: int = 0) -> FeedBatch:
        return FeedBatch(
            device=self.device, feed=FEED, fence=fence, first=first, end=Cursor(epoch=epoch, offset=end), data=data
        )

    def key(self, session_id: str) -> str:
        return self.store.keys.of("feed", f"{session_id}/{self.device}/{FEED}")


@pytest.fixture
def bench(server: StoreServer) -> Iterator[FeedBench]:
    """For the tests of a module that imports it."""
    with FeedBench(server.url) as bench:
        yield bench
