"""The lab that is fuzzed: two benches, a session that goes on and one that is over, and a look at what has changed."""

from __future__ import annotations

import collections
import contextlib
import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from werkzeug.serving import make_server

from labkit.cli.home import home_blueprint
from labkit.store.sessions import SessionState
from labkit.web.demo import demo_blueprint
from tests.toy import GUARD
from tests.web.malformed import BusyLab, kept

STARVED = 2.0
"""Seconds between two looks after which a lab may have taken itself for dead."""
OWN = ("conditions", "bench_log", "sleeping", "events", "running")
"""What a host and a task runner write by themselves, as where they were so late that others took them for dead."""
CALM = 5.0
"""Seconds without a change after which it has done with that."""
UNLIMITED = {f"LABKIT_MOST_{what}": 0 for what in ("REQUESTS", "SOCKETS", "EVENTS")}


class FuzzedLab(BusyLab):
    """Every page that labkit has, no limits of rates (there are tests of those), and a count of what came.

    expired: a session that is over. counts: inputs by kind, and what they were answered with. starved: how often nobody
    could look, because the machine had no time for the lab.
    """

    def __init__(self, folder: Path, url: str):
        super().__init__(folder, url, devices=["toy"], benches=2, WEBLAB_LOG_SESSION_LIFECYCLE=False, **UNLIMITED)
        self.app.register_blueprint(home_blueprint(self.lab))
        self.app.register_blueprint(demo_blueprint(self.lab, 60))
        self.counts: collections.Counter[tuple[str, str]] = collections.Counter()
        self.expired = ""
        self.errors: list[logging.LogRecord] = []
        self._handler = _Errors(self.errors)
        self._before: dict[str, Any] = {}
        self._looked = 0.0
        self.starved = 0

    def ready(self) -> FuzzedLab:
        """Start everything. What is worth an error in labkit's log, or has a traceback, is in `errors` from now on."""
        self.up()
        self.expired = self.start()
        self.dispose(self.expired)
        self.wait_state(self.expired, SessionState.EXPIRED)
        self.live = self.start(length=100_000)
        self._wait_until_only_live_has_one()
        for name in ("labkit", "engineio.server", "socketio.server"):
            logging.getLogger(name).addHandler(self._handler)
        self._before = kept(self)
        self._looked = time.monotonic()
        return self

    def unchanged(self) -> None:
        """Fails where something in the store, or at a device, is not as it was."""
        now = kept(self)
        changed = {name for name in {*now, *self._before} if now.get(name) != self._before.get(name)}
        by_itself = {name for name in changed if name.partition(":")[0] in OWN}
        if changed and (by_itself == changed or time.monotonic() - self._looked > STARVED):
            self.starved += 1  # its own beat may have been late: then the lab itself has done something
            self._before = self._settled()
        else:
            assert not changed, changed
        self._looked = time.monotonic()

    def changed(self, session_id: str) -> None:
        """An input was accepted, and began a session: end it, and take what is there then for what was before."""
        self.dispose(session_id)
        self.wait_state(session_id, SessionState.EXPIRED)
        self._wait_until_only_live_has_one()
        self._before = kept(self)
        self._looked = time.monotonic()

    def _wait_until_only_live_has_one(self) -> None:
        for bench in self.benches():
            if bench not in self.read(self.live).fences:
                self.wait_free(bench)

    def done(self, kind: str, answer: str) -> None:
        """Count one input, and look that nobody has logged an error."""
        self.counts[kind, answer] += 1
        worth = [record.getMessage() for record in self.errors if record.exc_info or record.name.startswith("labkit")]
        assert worth == []

    def _settled(self) -> dict[str, Any]:
        """What is kept when nothing has changed for a few beats."""
        now, since = kept(self), time.monotonic()
        ends = since + 10 * GUARD
        while time.monotonic() - since < CALM:
            assert time.monotonic() < ends, "the lab does not come to rest"
            threading.Event().wait(0.2)
            before, now = now, kept(self)
            since = since if now == before else time.monotonic()
        return now

    @contextlib.contextmanager
    def served(self) -> Iterator[int]:
        """Serve the lab on a port of its own."""
        server = make_server("127.0.0.1", 0, self.app, threaded=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.port
        finally:
            server.shutdown()
            thread.join(GUARD)
            server.server_close()


class _Errors(logging.Handler):
    """Keeps what is an error."""

    def __init__(self, records: list[logging.LogRecord]):
        super().__init__(logging.ERROR)
        self._records = records

    def emit(self, record: logging.LogRecord) -> None:
        self._records.append(record)
