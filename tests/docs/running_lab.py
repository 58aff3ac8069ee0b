"""A lab in a folder, loaded and started as its author would, and used as an RLMS uses it. For the tests of pages."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from labkit import WebLab
from labkit.clock import Deadline
from labkit.context import BoundSession, Purpose, session_bound
from labkit.store.sessions import SessionState

START_SECONDS = 60.0
SILENCE_SECONDS = 90.0
"""Longer than the labs have it: on a busy machine a student of a test may say nothing for a while."""


class RunningLab:
    """The lab of `folder/lab.py`, with its host, task runners and reaper in this process."""

    def __init__(self, folder: Path):
        self.module = load(folder / "lab.py")
        self.weblab: WebLab = self.module.weblab
        self.weblab.timeout = SILENCE_SECONDS
        self.app = self.module.app
        self.app.testing = True
        self._credentials = (self.app.config["WEBLAB_USERNAME"], self.app.config["WEBLAB_PASSWORD"])

    def browser(self) -> FlaskClient:
        client: FlaskClient = self.app.test_client()
        return client

    def rlms(self, method: str, path: str, body: Any = None) -> Any:
        """Ask as the RLMS; returns Flask's answer."""
        url = f"/weblab/sessions/{path}"
        return self.browser().open(url, method=method, json=body, auth=self._credentials)

    def wait_until_ready(self) -> None:
        """Wait until every device is open and safe."""
        assert self.rlms("GET", "test").json == {"valid": True}
        ends, pause = Deadline(START_SECONDS), threading.Event()
        while not (conditions := self.conditions()) or set(conditions.values()) != {"ok"}:
            assert not ends.over, conditions
            pause.wait(0.02)

    def conditions(self) -> dict[str, str]:
        benches = self.weblab.lab.reservations.benches()
        return {device.name: device.condition for bench in benches for device in bench.devices}

    def start(self, *, seconds: float = 600, **client_data: Any) -> tuple[str, FlaskClient]:
        """Start a session for Ada and follow its link. Returns the session's id and her browser."""
        body = {
            "client_initial_data": client_data,
            "server_initial_data": {"request.username": "ada", "priority.queue.slot.length": seconds},
            "back": "http://rlms.example/",
        }
        answer = self.rlms("POST", "", body)
        assert answer.status_code == 200, answer.text
        browser = self.browser()
        assert browser.get(answer.json["url"]).status_code == 302
        return answer.json["session_id"], browser

    def dispose(self, session_id: str) -> None:
        """End the session as the RLMS, and wait until it is done."""
        ends = Deadline(START_SECONDS)
        while not (answer := self.rlms("POST", session_id, {"action": "delete"}).json)["finished"]:
            assert not ends.over, answer
        assert answer["message"] == "Deleted"

    @contextlib.contextmanager
    def session(self, session_id: str) -> Iterator[None]:
        """Be a request of the session, to use `weblab.devices`."""
        record = self.weblab.lab.sessions.touch(session_id, poll=True)
        assert record.state is SessionState.ACTIVE
        bound = BoundSession(session_id=session_id, purpose=Purpose.REQUEST, fences=record.fences)
        with session_bound(bound):
            yield


@contextlib.contextmanager
def running(folder: Path, *, devices: bool = True) -> Iterator[RunningLab]:
    """The lab, ready for its first session; all of it ends with the block. devices: whether it declares any."""
    lab = RunningLab(folder)
    try:
        if devices:
            lab.wait_until_ready()
        yield lab
    finally:
        lab.weblab.close()
        sys.modules.pop(lab.module.__name__)


def json_of(answer: TestResponse) -> dict[str, Any]:
    """The JSON object that was answered."""
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.get_json()
    return body


def load(file: Path) -> ModuleType:
    """Import a file under a name of its own."""
    name = f"{file.stem}_{uuid4().hex[:8]}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
