"""A whole session in real processes that log all they can: no secret is in a log, an error, a page or a referrer."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from flask import Flask

from labkit.errors import InvalidConfigError
from labkit.log_text import hashed
from labkit.settings import read_settings
from labkit.web.request_log import keep_ids_out, without_ids
from tests.flows.conftest import make_lab as make_lab
from tests.flows.conftest import second_port as second_port
from tests.flows.harness import FlowLab
from tests.flows.people import Http, Rlms, Student, eventually
from tests.security.busy_lab import basic

PASSWORD = "correct-horse-battery-staple"
KEY = "the-key-that-signs-all-cookies"
APP = "tests.security.loud_app:app"


@pytest.fixture
def lab(make_lab: Callable[..., FlowLab], second_port: int) -> FlowLab:
    """A loop, gunicorn with a log of its requests, and Flask's own server, which has one always."""
    made = make_lab(settings={"WEBLAB_PASSWORD": PASSWORD, "SECRET_KEY": KEY})
    made.loop(app=APP)
    made.web(app=APP, more=["--access-logfile", "-", "--log-level", "debug"])
    made.threaded_web(app=APP, port=second_port, WEBLAB_NO_THREAD=True)
    made.wait_free()
    return made


class Heard:
    """All that the lab has answered to anybody, but for the one answer that has the link."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def ask(self, who: Http, method: str, path: str, body: Any = None) -> int:
        status, content, headers = who.ask(method, path, body)
        self.said.append(f"{content} { ({name: text for name, text in headers.items() if name != 'Set-Cookie'}) }")
        return status


def test_no_secret_is_told_in_a_whole_session(lab: FlowLab, second_port: int) -> None:
    heard = Heard()
    rlms = Rlms(lab.port)
    assert rlms.start()[0] == 401
    heard.said.append(str(rlms.ask("POST", "/weblab/sessions/", {})[1:]))
    rlms.headers = {"Authorization": basic(f"rlms:{PASSWORD}")}
    ids, cookies = [], []
    for port in (lab.port, second_port):
        rlms.port = port
        student = rlms.must_start(length=600.0).enter()
        ids.append(student.session_id)
        cookies.append(said_in(student.cookies["session"]))
        go_through(heard, lab, rlms, student)
        cookies.append(said_in(student.cookies["session"]))
    rlms.port = lab.port
    assert rlms.ask("GET", "/weblab/sessions/api")[2]["Server"] == "gunicorn"  # and no version of it
    lab.store_server.stop()
    for port in (lab.port, second_port):
        rlms.port = student.port = port
        assert rlms.status(student.session_id) > 0
        for path in ("/me", "/labkit/", f"/callback/{student.session_id}", f"/callback/{student.session_id}/poll"):
            heard.ask(student, "GET", path)
    logs = {path.name: path.read_text(errors="replace") for path in lab.folder.glob("*.log") if path.name != "acts.log"}
    logs["answers"] = "\n".join(heard.said)
    logged = "".join(logs.values())
    assert f"GET /callback/{hashed(ids[0])} HTTP" in logged  # the requests are in it
    assert f"Exception on /callback/{hashed(ids[0])} [GET]" in logged
    secrets = [*ids, *map(quote, ids), *cookies, PASSWORD, KEY]
    secrets.append(base64.b64encode(f"rlms:{PASSWORD}".encode()).decode())
    lines = [(name, line) for name, text in logs.items() for line in text.splitlines()]
    assert [(name, line) for name, line in lines if any(secret in line for secret in secrets)] == []


def said_in(cookie: str) -> str:
    """The first part of a signed cookie: who has that can read the session's id."""
    packed = cookie.lstrip(".").partition(".")[0]  # where a dot comes first, it is compressed
    assert len(packed) > 50
    return packed


def go_through(heard: Heard, lab: FlowLab, rlms: Rlms, student: Student) -> None:
    """All that may happen to a session, and much that must not."""
    session = student.session_id
    with student.socket() as page:
        page.subscribe("bench-1/console")
        page.write("bench-1/console", b"led 1 on\r")
        heard.said.append(str(page.ask("call", {"device": "console", "command": "no_such"})))
        heard.said.append(str(page.ask("nothing")))
        eventually(lambda: page.bytes(), what="the board's answer")
        heard.said += map(str, (page.sessions, page.devices))
    link = f"/callback/{session}"
    for path in (
        "/labkit/",
        "/labkit/ended",
        "/me",
        "/ask",
        link,
        f"{link}/poll",
        f"{link}/x",
        f"/labkit/{session}",
        f"/{session}",
    ):
        heard.ask(student, "GET", path)
    heard.ask(student, "PUT", link)
    heard.ask(Http(student.port), "GET", f"{link}/poll")
    assert heard.ask(student, "POST", "/hang") == 500
    lab.tell("broken")
    assert heard.ask(student, "GET", link) == 500
    (lab.folder / "broken").unlink()
    for method, path in (("GET", "/status"), ("GET", "/status/x"), ("PUT", ""), ("POST", "/nothing"), ("POST", "")):
        heard.ask(rlms, method, f"/weblab/sessions/{session}{path}", b"{")
    eve = Rlms(student.port)
    for path in ("", "/status"):
        assert heard.ask(eve, "POST", f"/weblab/sessions/{session}{path}") == 401
    student.ask("POST", f"{link}/logout")
    for path in ("/labkit/", "/labkit/ended", "/me", f"{link}/poll"):
        heard.ask(student, "GET", path)
    eventually(lambda: rlms.dispose(session)["message"] == "Deleted", what="the end")
    lab.wait_free()


# -- the parts of it


def test_id_in_a_path_is_named_by_its_hash_and_nothing_else_is_touched() -> None:
    session = "aB3_-" * 8 + "xyz"
    for text in (
        "/callback/{}",
        "GET /callback/{}/poll HTTP/1.1",
        "x /weblab/sessions/{}?a",
        '"/callback/{}" 200',
        "/{}",
    ):
        assert without_ids(text.format(session)) == text.format(hashed(session))
    for text in ("/callback/short", f"/x/{session}x", f"/x/{session[1:]}", f"{session}", "/labkit/static/page.js"):
        assert without_ids(text) == text


def test_logging_of_the_app_is_left_for_its_author_to_set_up() -> None:
    app = Flask("app_of_somebody")
    keep_ids_out(app)
    assert logging.getLogger("app_of_somebody").handlers == []
    assert logging.getLogger("app_of_somebody").level == logging.NOTSET
    keep_ids_out(app)
    assert len(logging.getLogger("app_of_somebody").filters) == 1


@pytest.mark.parametrize("name", ["WEBLAB_PASSWORD", "WEBLAB_REDIS_URL"])
def test_mistake_in_a_secret_setting_does_not_show_it(name: str) -> None:
    with pytest.raises(InvalidConfigError) as caught:
        read_settings({name: ["redis://:swordfish@host"]})
    assert name in str(caught.value)
    assert "swordfish" not in str(caught.value)


def test_file_of_the_last_fake_session_is_its_owners(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from labkit.commands.fake import SESSION_FILE, keep_session

    monkeypatch.chdir(tmp_path)
    SESSION_FILE.write_text("old")
    SESSION_FILE.chmod(0o644)
    keep_session("new")
    assert (SESSION_FILE.read_text(), SESSION_FILE.stat().st_mode & 0o777) == ("new", 0o600)
