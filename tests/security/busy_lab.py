"""A whole lab on a real port for attacks on it: three benches, two sessions that go on, one that is over.

It has every blueprint that labkit has, and two guarded views of its own. Used by all tests of this folder.
"""

from __future__ import annotations

import base64
import contextlib
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from labkit import requires_active, requires_login
from labkit.cli.home import home_blueprint
from labkit.store.connection import text
from labkit.store.sessions import SessionState
from labkit.web.demo import demo_blueprint
from tests.small_lab import CREDENTIALS, SmallLab
from tests.toy import wait_until
from tests.web.malformed import kept
from tests.web.served import cookie, served


def basic(text: str) -> str:
    """The header that sends a name and a password."""
    return "Basic " + base64.b64encode(text.encode()).decode()


class BusyLab(SmallLab):
    """Sessions: `own` and `other`, with a bench each, and `expired`. `ready` makes those anew that have ended.

    port: where it is served, inside its `with`.
    """

    def __init__(self, folder: Path, url: str, **config: Any):
        unlimited: dict[str, Any] = {f"LABKIT_MOST_{what}": 0 for what in ("REQUESTS", "SOCKETS", "EVENTS")}
        super().__init__(folder, url, devices=["toy"], benches=3, **unlimited, **config)
        (folder / "static").mkdir(exist_ok=True)
        (folder / "static" / "lab.txt").write_text("of the lab itself\n")
        self.app.register_blueprint(demo_blueprint(self.lab, 60.0))
        self.app.register_blueprint(home_blueprint(self.lab))
        self.view("/active", requires_active(lambda: "active"), methods=["GET", "POST"])
        self.view("/login", requires_login(lambda: "login"), methods=["GET", "POST"])
        self.own = self.other = self.expired = ""
        self.port = 0
        self._served = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self.port = self._served.enter_context(served(self.app))
        self.up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._served.close()
        super().__exit__(kind, error, trace)

    def ready(self) -> BusyLab:
        """Have the three sessions, and nobody on the third bench."""
        if not self.expired:
            self.expired = self._start_soon()
            self.end(self.expired)
        for name in ("own", "other"):
            if not getattr(self, name) or self.state(getattr(self, name)) is not SessionState.ACTIVE:
                setattr(self, name, self._start_soon())
        self._only(self.own, self.other)
        return self

    def _start_soon(self) -> str:
        """Start a session; where this process has been kept waiting for so long that its benches count as left alone,
        as soon as it has them again."""
        answer = wait_until(lambda: (given := self.post_start(length=1000)).status_code == 200 and given, "a start")
        return str(answer.get_json()["session_id"])

    def _only(self, *sessions: str) -> None:
        """End every other session, and wait until all is at rest."""
        benches = {bench for session in sessions for bench in self.read(session).fences}
        for session in self._not_over() - set(sessions):
            self.end(session)
        for bench in {"bench-1", "bench-2", "bench-3"} - benches:
            self.wait_free(bench)

    def _not_over(self) -> set[str]:
        """Those that are not expired. One whose bench is free already may still have the last step of its end to come,
        and that would be taken for what the next request has done."""
        return {text(one) for one in self.lab.store.command("ZRANGE", self.lab.store.keys["deadlines"], 0, -1)}

    def end(self, session: str) -> None:
        self.lab.sessions.exit(session)
        self.wait_state(session, SessionState.EXPIRED)

    def bench_of(self, session: str) -> str:
        (bench,) = self.read(session).fences
        return bench

    def cookie(self, session: str) -> str:
        """The cookie of a browser that has come in by the link of a session."""
        return cookie(self.app, {"weblab_session_id": session})

    def snapshot(self) -> dict[str, Any]:
        """All that the store keeps, and what has reached the devices."""
        return {**kept(self), "acts": {name: list(world.acts) for name, world in self.worlds.items()}}


RIGHT = CREDENTIALS["Authorization"]
