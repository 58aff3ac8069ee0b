"""Each answer that docs/reference/openapi.json describes is really given, and is as it says; no other is given.

One walk through small labs: one that goes on, one whose sessions ask too much, one without its store, one with mistakes
of its author. Every answer is looked at, and at the end of the walk every answer that is described has been seen.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import websocket
from flask.testing import FlaskClient
from werkzeug.test import EnvironBuilder, TestResponse

from labkit.cli.home import home_blueprint
from labkit.store.sessions import SessionState
from labkit.testing.store import StoreServer
from labkit.web import rates
from labkit.web.demo import demo_blueprint
from labkit.web.rlms import BODY_BYTES
from tests.small_lab import CREDENTIALS, SmallLab
from tests.toy import GUARD
from tests.web.described import Answers, all_answers, described
from tests.web.malformed import sent
from tests.web.served import served
from tests.web.standing_time import StandingTime
from tests.web.test_socket_gate import OPENING as WEBSOCKET

OPENING = {name: value for name, value in WEBSOCKET.items() if name != "Host"}
UPGRADE = {"Connection": "Upgrade", "Upgrade": "websocket"}
RLMS = ["api", "test", "", "status/multiple", "nobody/status", "nobody"]
OF_BROWSERS = [
    "/callback/SESSION", "/callback/SESSION/poll", "/labkit/", "/labkit/ended", "/labkit/panels/serial.js",
    "/labkit/static/page.js", "/labkit/demo", "/callback/SESSION/logout", "/",
]  # fmt: skip


class Walk:
    """What was asked and seen so far."""

    def __init__(self) -> None:
        self.answers = Answers()

    def ask(self, browser: FlaskClient, verb: str, path: str, **how: Any) -> TestResponse:
        """Ask, and look at the answer."""
        answer = browser.open(path, method=verb.upper(), buffered=True, **how)
        self.answers.fit(answer, verb, path)
        return answer

    def every(self, browser: FlaskClient, session: str, **how: Any) -> None:
        """Ask for everything that a browser may, by each verb."""
        for path in OF_BROWSERS:
            for verb, _ in described(self.answers.route(path)):
                self.ask(browser, verb, path.replace("SESSION", session), **how)

    def rlms(self, lab: SmallLab, verb: str, path: str, **how: Any) -> TestResponse:
        return self.ask(lab.client(), verb, f"/weblab/sessions/{path}", **{"headers": CREDENTIALS, **how})


@pytest.fixture
def walk() -> Walk:
    return Walk()


def test_every_answer_is_as_described_and_each_that_is_described_is_given(
    tmp_path: Path, store_server: StoreServer, walk: Walk
) -> None:
    for number, visit in enumerate((_a_lab, _a_lab_that_is_asked_too_much, _mistakes, _the_socket)):
        folder = tmp_path / str(number)
        folder.mkdir()
        visit(walk, folder, store_server.url)
    (tmp_path / "alone").mkdir()
    _without_the_store(walk, tmp_path / "alone")
    assert walk.answers.seen - all_answers() == set()
    assert all_answers() - walk.answers.seen == set()


def _lab(folder: Path, url: str, **config: Any) -> SmallLab:
    """A lab with one bench, and with each page that labkit has."""
    lab = SmallLab(folder, url, devices=["toy"], **config)
    lab.app.register_blueprint(home_blueprint(lab.lab))
    lab.app.register_blueprint(demo_blueprint(lab.lab, 60))
    return lab


def _a_lab(walk: Walk, folder: Path, url: str) -> None:
    with _lab(folder, url) as lab:
        lab.up()
        _the_rlms(walk, lab)
        session = str(_start(walk, lab).get_json()["session_id"])
        assert _start(walk, lab).status_code == 503
        student = lab.student(session)
        walk.every(lab.client(), "nobody")
        walk.ask(student, "get", f"/callback/{session}")
        walk.ask(student, "head", f"/callback/{session}")
        _pages_of_a_session(walk, lab, student, session)
        _page_of_another_site(walk, student, session)
        walk.every(student, session)  # and logs out
        lab.wait_state(session, SessionState.EXPIRED)
        walk.rlms(lab, "post", session, json={"action": "delete"})
        _files(walk, lab)
        lab.wait_free()
        walk.every(student, session)  # and starts a session of the demo
        assert walk.ask(lab.client(), "post", "/labkit/demo").status_code == 503


def _pages_of_a_session(walk: Walk, lab: SmallLab, student: FlaskClient, session: str) -> None:
    for verb in ("get", "head"):
        assert walk.ask(student, verb, "/labkit/").status_code == 200
        assert walk.ask(student, verb, "/labkit/ended").status_code == 302
        assert walk.ask(student, verb, "/").status_code == 302
        walk.rlms(lab, verb, f"{session}/status")
    walk.ask(student, "post", "/labkit/demo")
    walk.rlms(lab, "post", "status/multiple", json={"session_ids": [session, "nobody"]})
    for name in ("poll", "logout"):
        for path in (f"/callback/{session}/{name}", "/labkit/demo"):
            walk.ask(student, "post", path, data=b" " * (BODY_BYTES + 1))


def _page_of_another_site(walk: Walk, student: FlaskClient, session: str) -> None:
    """What it gets by the student's cookie."""
    for path in (f"/callback/{session}/poll", f"/callback/{session}/logout", "/labkit/demo"):
        for verb in ("get", "post") if path.startswith("/callback/") else ("post",):
            assert walk.ask(student, verb, path, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403


def _start(walk: Walk, lab: SmallLab) -> TestResponse:
    facts = {"request.username": "ada", "priority.queue.slot.length": 60}
    return walk.rlms(lab, "post", "", json={"server_initial_data": facts})


def _the_rlms(walk: Walk, lab: SmallLab) -> None:
    for path in RLMS:
        for verb, _ in described(walk.answers.route(f"/weblab/sessions/{path}")):
            walk.rlms(lab, verb, path)
            walk.rlms(lab, verb, path, headers={})
            walk.rlms(lab, verb, path, headers={**CREDENTIALS, **UPGRADE})
            walk.rlms(lab, verb, path, headers=UPGRADE)
            facts = {"REQUEST_METHOD": verb.upper(), "HTTP_HOST": ".."}
            walk.answers.fit(sent(lab, path, io.BytesIO(b""), **facts), verb, f"/weblab/sessions/{path}")
            if verb == "post":
                walk.rlms(lab, verb, path, data=b"[")
                walk.rlms(lab, verb, path, data=b" " * (BODY_BYTES + 1))


def _files(walk: Walk, lab: SmallLab) -> None:
    for name in ("static/page.js", "panels/serial.js"):
        file = f"/labkit/{name}"
        answer = walk.ask(lab.client(), "get", file)
        for verb in ("get", "head"):
            walk.ask(lab.client(), verb, file, headers={"If-None-Match": answer.headers["ETag"]})
            walk.ask(lab.client(), verb, f"/labkit/{name.partition('/')[0]}/nothing.js")
        assert walk.ask(lab.client(), "get", file, headers={"Range": "bytes=0-9"}).status_code == 206
        assert walk.ask(lab.client(), "get", file, headers={"Range": "bytes=999999-"}).status_code == 416


def _a_lab_that_is_asked_too_much(walk: Walk, folder: Path, url: str) -> None:
    with _lab(folder, url, LABKIT_MOST_REQUESTS=1, WEBLAB_AUTOPOLL=False) as lab, pytest.MonkeyPatch.context() as still:
        still.setattr(rates, "time", StandingTime())
        lab.up()
        session = lab.start()
        student = lab.student(session)
        while walk.ask(student, "get", "/labkit/static/page.js").status_code != 429:
            pass
        for path in OF_BROWSERS:
            for verb, _ in described(walk.answers.route(path)):
                assert walk.ask(student, verb, path.replace("SESSION", session)).status_code == 429


def _mistakes(walk: Walk, folder: Path, url: str) -> None:
    with SmallLab(folder, url, hooks=False) as lab:
        for verb in ("get", "head"):
            assert walk.ask(lab.client(), verb, "/callback/nobody").status_code == 500


def _without_the_store(walk: Walk, folder: Path) -> None:
    with StoreServer() as server, _lab(folder, server.url) as lab:
        lab.up()
        session = lab.start()
        student = lab.student(session)
        server.stop()
        walk.every(student, session)
        for path in RLMS:
            walk.rlms(
                lab, "post" if path in ("", "nobody", "status/multiple") else "get", path, json={"action": "delete"}
            )
        assert _start(walk, lab).status_code == 503


def _the_socket(walk: Walk, folder: Path, url: str) -> None:
    where = "/labkit/socket.io/?EIO=4&transport=websocket"
    with _lab(folder, url, LABKIT_MOST_SOCKETS=1, LABKIT_MOST_PAGES=1) as lab:
        lab.up()
        sockets, stranger = lab.weblab._sockets, lab.client()
        assert sockets is not None

        def ask(path: str, **headers: str) -> int:
            answer = stranger.get(path, headers=headers, buffered=True)
            walk.answers.fit(answer, "get", "/labkit/socket.io/")
            return answer.status_code

        assert ask(where) == 400
        assert ask(where.replace("websocket", "polling")) == 400
        assert ask(where, **OPENING, Origin="https://elsewhere.invalid") == 400
        with sockets.places.one():
            assert ask(where, **OPENING) == 503
        with sockets.visitors.visit(EnvironBuilder().get_environ(), 0):
            assert ask(where, **OPENING) == 429
        walk.answers.seen.add(("get", "/labkit/socket.io/", str(_opened(lab, where))))


def _opened(lab: SmallLab, where: str) -> int:
    """The status of a WebSocket that opens, by a real server."""
    with served(lab.app) as port:
        link = websocket.create_connection(f"ws://127.0.0.1:{port}{where}", timeout=GUARD)
        status = int(link.getstatus() or 0)
        link.shutdown()
        return status
