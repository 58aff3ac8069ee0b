"""A lab's store with a host, a session that has a bench, a device, a task runner: what the measure of growth acts on.

The measure's own process plays web, host and task runner, so that each act is one look at labkit's own code with its
store, and nothing else's. The real processes are in the other measures.
"""

from __future__ import annotations

import secrets
import threading
from typing import Any

from benchmarks.many import OWNER, USER, claim_benches
from benchmarks.stores import BenchStore
from labkit.store.calls import Call, Calls, Reply
from labkit.store.connection import Store
from labkit.store.feeds import Cursor, FeedBatch, FeedStore
from labkit.store.processes import Processes
from labkit.store.reservations import Condition, Reservations
from labkit.store.sessions import EndReason, NewSession, Sessions, Started
from labkit.store.tasks import NewTask, TaskEnd, TaskStatus, TaskStore
from labkit.web.relay import Relay

PREFIX = "bench"
DEVICE = "device-0"
EPOCH = 1_000_000
LONG = 7200.0
PATIENCE = 30.0


class World:
    """One lab's store and what acts on it. benches, devices: how many, and how many on each of them."""

    def __init__(self, here: BenchStore, *, benches: int = 1, devices: int = 1):
        here.client.flushall()
        self.store = Store(here.tcp, PREFIX)
        self.sessions, self.reservations = Sessions(self.store), Reservations(self.store)
        self.calls, self.tasks = Calls(self.store), TaskStore(self.store)
        self.feeds, self.processes = FeedStore(self.store), Processes(self.store)
        self._inbox = self.calls.inbox("bench")
        self._claims: dict[str, int] = {}
        self.beat()
        names = [f"bench-{number}" for number in range(benches)]
        self._claims = claim_benches(self.store, names, devices)
        self.session_id, self.bench, self.fence = self.start("")
        self._last: TaskEnd | None = None
        self._offset = 0

    def beat(self) -> None:
        """The host's beat, with all that it has to say and hear."""
        self.processes.beat(OWNER, first=True, roles="endings host tasks", highest_fence=0, benches=self._claims)

    def start(self, bench: str = "-") -> tuple[str, str, int]:
        """Start a session, by default without a bench. Returns its id, its bench and the fence."""
        session_id = secrets.token_urlsafe(32)
        new = NewSession(
            session_id=session_id, user=USER, slot_start=None, slot_length=LONG, timeout=LONG, start_timeout=120.0,
            bench=bench,
        )  # fmt: skip
        started = self.sessions.start(new, OWNER)
        if not isinstance(started, Started) or self.sessions.activate(session_id, OWNER) != "active":
            raise RuntimeError(f"The session was not started: {started}")
        return session_id, started.bench, started.fence

    def start_and_end(self, bench: str = "-") -> None:
        """A session with a bench from its start to its end; its host says at once that all is safe."""
        session_id, name, _ = self.start(bench)
        self.sessions.end(session_id, EndReason.DISPOSED)
        claimed = self.sessions.claim_ending(session_id, OWNER, 120.0)
        if isinstance(claimed, str):
            raise RuntimeError(f"The ending could not be claimed: {claimed}")
        fence = int(claimed.fields["fence"])
        released = self.reservations.release(session_id, "", fence) or []
        for device in released:
            self.reservations.report(name, self._claims[name], device, Condition.OK, "", fence * 2)
        self.sessions.finish(session_id, OWNER, fence, 3600.0)

    def request(self) -> None:
        """What a protected view asks of the store."""
        self.sessions.touch(self.session_id, poll=True)

    def call(self) -> None:
        """A device call, from its proxy to the host and back."""
        found = Call(device=f"{self.bench}/{DEVICE}", command="read", fence=self.fence, until=LONG)
        submitted = self.calls.submit(found, PATIENCE)
        if isinstance(submitted, list):
            raise RuntimeError(f"The call was refused: {submitted}")
        sent = self._inbox.take({self.bench: self._claims[self.bench]}, PATIENCE)
        if sent is None:
            raise RuntimeError("The call was lost.")
        self.calls.reply(Call.load(sent), Reply(value=1))
        if self.calls.first_reply(submitted) is None:
            raise RuntimeError("The call was not answered.")

    def task(self) -> None:
        """A task that does nothing: submitted, claimed with the end of the one before, read."""
        task_id = secrets.token_urlsafe(16)
        self.submit(task_id)
        claimed = self.tasks.next(OWNER, "runner-1", self._last).claimed
        if claimed is None or claimed.task_id != task_id:
            raise RuntimeError("The task was not claimed.")
        self._last = TaskEnd(task_id=task_id, process=OWNER, status=TaskStatus.DONE, result="1")
        self.tasks.read(task_id)

    def submit(self, task_id: str) -> None:
        new = NewTask(
            task_id=task_id,
            name="nothing",
            session_id=self.session_id,
            arguments="[[], {}]",
            purpose="request",
            fences={},
        )
        self.tasks.submit(new, loser="{}")

    def give(self, data: bytes) -> None:
        """The device gives something."""
        self._offset += len(data)
        batch = FeedBatch(
            device=f"{self.bench}/{DEVICE}", feed="received", fence=self.fence, first=0,
            end=Cursor(epoch=EPOCH, offset=self._offset), data=data,
        )  # fmt: skip
        if self.feeds.write(batch) != "kept":
            raise RuntimeError(f"What the device gave up to byte {self._offset} was not kept.")

    def close(self) -> None:
        self._inbox.close()
        self.store.close()


class Viewers:
    """So many pages that look at the device's feed, as a web process's relay serves them. Each takes what it gets.

    strangers: pages of other sessions in the same web process, which look at their own one.
    """

    def __init__(self, world: World, count: int, *, strangers: int = 0):
        self._world = world
        self._count = count
        self._got = 0
        self._all = threading.Condition()
        self._relay = Relay(world.feeds, world.sessions, self._take, lambda sid: None)
        for number in range(count):
            self._relay.watch(f"page-{number}", world.session_id)
            self._relay.subscribe(f"page-{number}", f"{world.bench}/{DEVICE}", "received", None)
        for number in range(strangers):
            self._relay.watch(f"stranger-{number}", world.start()[0])

    def give_to_all(self) -> None:
        """The device gives a line; wait until every viewer has it."""
        with self._all:
            self._got = 0
        self._world.give(b"0123456789abcdef\n")
        with self._all:
            if not self._all.wait_for(lambda: self._got >= self._count, PATIENCE):
                raise RuntimeError(f"Only {self._got} of {self._count} viewers got the line.")

    def _take(self, sid: str, event: str, data: dict[str, Any]) -> None:
        if event != "feed":
            return
        self._relay.acknowledge(sid, data["device"], data["feed"], Cursor.parse(data["cursor"]))
        with self._all:
            self._got += 1
            self._all.notify()

    def close(self) -> None:
        self._relay.close()
