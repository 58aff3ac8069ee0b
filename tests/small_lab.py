"""A whole lab in this process: a Flask app in a folder, the real store, toys for devices, threads of its own."""

from __future__ import annotations

import base64
import json
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from labkit import WebLab
from labkit.lab import Lab
from labkit.store.reservations import BenchView
from labkit.store.sessions import SessionRecord, SessionState
from tests.toy import World, wait_until

DRIVERS = """\
from labkit import hookimpl
from tests.toy import Toy

@hookimpl
def labkit_drivers():
    return [Toy]
"""
CREDENTIALS = {"Authorization": "Basic " + base64.b64encode(b"rlms:secret").decode()}

DELETED = {"message": "Deleted", "finished": True, "should_finish": -1}
DELETING = {"message": "Deleting", "finished": False, "ask_again": 2, "should_finish": 2}
"""What a dispose is answered: the session is over, and it is about to be."""


class SmallLab:
    """Use it with `with`; the background threads start with the first request (`up()` makes one).

    devices: their names on each bench; a world for each is in `worlds`. features: of benches that have some.
    config: settings of the app.
    """

    def __init__(
        self,
        folder: Path,
        url: str,
        *,
        devices: Sequence[str] = (),
        benches: int = 1,
        features: Mapping[str, Sequence[str]] | None = None,
        hooks: bool = True,
        **config: Any,
    ):
        self.worlds: dict[str, World] = {}
        self.app = Flask("smalllab", root_path=str(folder), instance_path=str(folder / "instance"))
        self.app.config.update(
            WEBLAB_USERNAME="rlms",
            WEBLAB_PASSWORD="secret",
            SECRET_KEY="for tests only",
            WEBLAB_REDIS_URL=url,
            WEBLAB_REDIS_BASE=f"test-{secrets.token_hex(4)}",
            WEBLAB_TIMEOUT=0,
            TESTING=True,
        )
        self.app.config.update(config)
        self._declare(folder, devices, benches, features or {})
        self.weblab = WebLab(self.app)
        self.log: list[str] = []
        self.app.logger.setLevel(logging.INFO)
        self.app.logger.addHandler(Remembering(self.log))
        if hooks:
            self.weblab.initial_url(lambda: "/lab")

    def _declare(
        self, folder: Path, devices: Sequence[str], benches: int, features: Mapping[str, Sequence[str]]
    ) -> None:
        if not devices:
            return
        for name in ("devices", "drivers"):
            (folder / name).mkdir(exist_ok=True)
        (folder / "drivers" / "toys.py").write_text(DRIVERS)
        for bench in (f"bench-{number}" for number in range(1, benches + 1)):
            tables = [f"[bench]\nfeatures = {json.dumps(list(features[bench]))}\n"] if bench in features else []
            for device in devices:
                world = self.worlds[f"{bench}/{device}"] = World()
                tables.append(f'[{device}]\ndriver = "toy"\nworld = "{world.name}"\n')
            (folder / "devices" / f"{bench}.toml").write_text("\n".join(tables))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for world in self.worlds.values():
            world.let_go()
        self.weblab.close()

    @property
    def lab(self) -> Lab:
        return self.weblab.lab

    @property
    def world(self) -> World:
        """The world of the only device."""
        (world,) = self.worlds.values()
        return world

    def up(self) -> SmallLab:
        """Start the background threads, and wait until all devices are ok and endings are carried out."""
        self.client().get("/weblab/sessions/api")
        if self.lab.settings.autoclean_thread:
            wait_until(lambda: self.lab.processes.with_role("endings"), "the reaper")
        names = {name.partition("/")[0] for name in self.worlds}
        for name in names:
            self.wait_free(name)
        return self

    def benches(self) -> dict[str, BenchView]:
        return {view.name: view for view in self.lab.reservations.benches()}

    def is_free(self, bench: str) -> bool:
        view = self.benches().get(bench)
        return bool(view and view.host and all(d.hold == "none" and d.condition == "ok" for d in view.devices))

    def wait_free(self, bench: str = "bench-1") -> None:
        wait_until(lambda: self.is_free(bench), f"{bench} to be free")

    # -- the RLMS

    def client(self) -> FlaskClient:
        """A browser of its own."""
        return self.app.test_client()

    def rlms(self, method: str, path: str, body: Any = None, *, headers: dict[str, str] | None = None) -> TestResponse:
        data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        return self.app.test_client().open(
            f"/weblab/sessions/{path}", method=method, data=data, headers=CREDENTIALS if headers is None else headers
        )

    def post_start(
        self, *, length: Any = 60, server: dict[str, Any] | None = None, client: Any = None, **body: Any
    ) -> TestResponse:
        facts = {"request.username": "ada", "priority.queue.slot.length": length, **(server or {})}
        facts = {key: value for key, value in facts.items() if value is not ...}
        return self.rlms(
            "POST",
            "",
            {
                "client_initial_data": client or {},
                "server_initial_data": facts,
                "back": "http://rlms.invalid/b",
                **body,
            },
        )

    def start(self, **options: Any) -> str:
        """Start a session; returns its id."""
        answer = self.post_start(**options)
        assert answer.status_code == 200, answer.text
        return str(answer.get_json()["session_id"])

    def status(self, session_id: str) -> float:
        answer = self.rlms("GET", f"{session_id}/status")
        assert answer.status_code == 200
        return float(answer.get_json()["should_finish"])

    def dispose(self, session_id: str) -> dict[str, Any]:
        answer = self.rlms("POST", session_id, {"action": "delete"})
        assert answer.status_code == 200
        return dict(answer.get_json())

    def student(self, session_id: str) -> FlaskClient:
        """A browser that has followed the link."""
        client = self.client()
        assert client.get(f"/callback/{session_id}").status_code == 302
        return client

    # -- what a test looks at

    def read(self, session_id: str) -> SessionRecord:
        return self.lab.sessions.touch(session_id, poll=False)

    def state(self, session_id: str) -> SessionState:
        return self.read(session_id).state

    def wait_state(self, session_id: str, state: SessionState) -> None:
        wait_until(lambda: self.state(session_id) is state, f"session {state}")

    def bring_forward(self, session_id: str, limit: str, seconds: float) -> None:
        """Have a limit of a session (`start_until`, `max_date`) come so much earlier, and be looked at at once."""
        store = self.lab.store
        store.command("HINCRBYFLOAT", store.keys.of("session", session_id), limit, -seconds)
        store.command("ZADD", store.keys["deadlines"], 0, session_id)

    def view(self, rule: str, function: Callable[..., Any], **options: Any) -> None:
        self.app.add_url_rule(rule, rule, function, **options)

    def lifecycle(self) -> list[dict[str, Any]]:
        """The lines of the lifecycle log."""
        return [json.loads(line) for line in self.log if line.startswith('{"event": "weblab_session_lifecycle"')]


class Remembering(logging.Handler):
    """Keeps the messages."""

    def __init__(self, messages: list[str]):
        super().__init__()
        self._messages = messages

    def emit(self, record: logging.LogRecord) -> None:
        self._messages.append(record.getMessage())


MakeLab = Callable[..., SmallLab]
"""What the fixture `make` gives: makes a lab, see SmallLab, that is closed with the test."""
