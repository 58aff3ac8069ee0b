"""The lab that is fuzzed: two benches, a session that goes on and one that is over, and a look at what has changed."""

from __future__ import annotations

import collections
import contextlib
import logging
from pathlib import Path
from typing import Any

from labkit.cli.home import home_blueprint
from labkit.clock import Clock
from labkit.store.connection import text
from labkit.store.sessions import SessionState
from labkit.web.demo import demo_blueprint
from tests.toy import GUARD, wait_until
from tests.web.malformed import LiveLab, kept
from tests.web.served import served

FIVE_HUNDRED, CHANGE = "answers of 500", "changes by a refused one"
OWN = {"conditions", "bench_log", "events", "sleeping"}
"""What a lab writes by itself after it was taken for dead: its host claims its benches anew, its runners have a new
name."""
SETTLED = 10 * GUARD
"""Seconds that it may take for that, on a machine that has no time for it."""
SETTINGS = {
    "LABKIT_MOST_REQUESTS": 0,
    "LABKIT_MOST_SOCKETS": 0,
    "LABKIT_MOST_EVENTS": 0,
    "LABKIT_SAFE_AFTER": 600,  # so a host that is late does nothing by itself, unless it was taken for dead
    "WEBLAB_LOG_SESSION_LIFECYCLE": False,
}


class FuzzedLab(LiveLab):
    """Every page that labkit has, no limits of rates (there are tests of those), and a count of what came.

    expired: a session that is over. counts: inputs by kind, and what they were answered with. wrong: what must not be.
    starved: how often the lab was taken for dead, because the machine had no time for it.
    """

    def __init__(self, folder: Path, url: str):
        super().__init__(folder, url, devices=["toy"], benches=2, **SETTINGS)
        self.app.register_blueprint(home_blueprint(self.lab))
        self.app.register_blueprint(demo_blueprint(self.lab, 60))
        self.counts: collections.Counter[tuple[str, str]] = collections.Counter()
        self.wrong: collections.Counter[str] = collections.Counter()
        self.starved = 0
        self.expired = ""
        self.errors: list[logging.LogRecord] = []
        self._handler = _Errors(self.errors)
        self._clock = Clock()
        self._name = ""
        self._before: dict[str, Any] = {}

    def ready(self) -> FuzzedLab:
        """Start everything. What is worth an error in a log of labkit's or the app's is in `errors` from now on."""
        self.up()
        self.expired = self.start()
        self.dispose(self.expired)
        self.wait_state(self.expired, SessionState.EXPIRED)
        self.live = self.start(length=100_000)
        for name in ("labkit", self.app.name, "engineio.server", "socketio.server"):
            logging.getLogger(name).addHandler(self._handler)
        self._remember()
        return self

    def unchanged(self) -> None:
        """Fails where anything in the store is not as it was.

        A process that could not beat for four seconds is taken for dead, takes a new name, and tells its facts anew.
        So a new name explains a change of those facts, and nothing else does.
        """
        changed = self._changed()
        if not changed:
            return
        self._beat()
        if self.lab.process.id != self._name and {name.partition(":")[0] for name in changed} <= OWN:
            self.starved += 1
            self._remember()
            return
        self.wrong[CHANGE] += 1
        raise AssertionError(f"changed: {', '.join(sorted(changed))}")

    def changed(self, session_id: str) -> None:
        """An input was accepted, and began a session: end it, and take what is there then for what was before."""
        self.dispose(session_id)
        self.wait_state(session_id, SessionState.EXPIRED)
        self._remember()

    def done(self, kind: str, answer: str) -> None:
        """Count one input, and look that nobody has logged an error."""
        self.counts[kind, answer] += 1
        worth = [record.getMessage() for record in self.errors if record.exc_info or record.name.startswith("labkit")]
        assert worth == []

    # -- what is there

    def _now(self) -> dict[str, Any]:
        """What is kept; runners that sleep in any order, for each turns round every ten minutes."""
        return {**kept(self), "sleeping": sorted(self._sleepers())}

    def _changed(self) -> set[str]:
        now = self._now()
        return {name for name in {*now, *self._before} if now.get(name) != self._before.get(name)}

    def _sleepers(self) -> list[str]:
        return [text(one) for one in self.lab.store.command("LRANGE", self.lab.store.keys["sleeping"], 0, -1)]

    def _remember(self) -> None:
        """Take what is there for what was before, when the lab has done all that it does by itself."""
        settled = False
        while not settled:
            self._name = self.lab.process.id
            wait_until(lambda: self._at_rest(self._name), "the lab to come to rest", SETTLED)
            self._before = self._now()
            self._beat()
            settled = self.lab.process.id == self._name and not self._changed()

    def _at_rest(self, name: str) -> bool:
        """Are all benches this process's and well, all but the live session's free, and all its task runners asleep?
        True as well where it has another name by now: it will not come to rest under this one."""
        fences = self.read(self.live).fences
        well = all(
            view.host == name
            and all(one.condition == "ok" and (bench in fences or one.hold == "none") for one in view.devices)
            for bench, view in self.benches().items()
        )
        asleep = [one for one in self._sleepers() if one.endswith(f" {name}")]
        return (well and len(asleep) == self.lab.settings.task_threads) or self.lab.process.id != name

    def _beat(self) -> None:
        """Wait for a beat that is sent after this moment: then the process knows whether it was taken for dead."""
        process, now = self.lab.process, self._clock.boottime()
        process.nudge()
        wait_until(lambda: self._clock.boottime() - process.silent_for >= now, "a beat", SETTLED)

    def served(self) -> contextlib.AbstractContextManager[int]:
        """Serve the lab on a port of its own."""
        return served(self.app)


class _Errors(logging.Handler):
    """Keeps what is an error."""

    def __init__(self, records: list[logging.LogRecord]):
        super().__init__(logging.ERROR)
        self._records = records

    def emit(self, record: logging.LogRecord) -> None:
        self._records.append(record)
