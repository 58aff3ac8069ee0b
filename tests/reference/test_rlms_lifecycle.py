"""The lifecycle's log, line by line: keys, reasons, sources, and what must never be in it."""

from __future__ import annotations

import json
import logging
import re
from typing import Any

import pytest

from labkit import logout, requires_active, requires_login
from labkit.log_text import hashed
from labkit.store.sessions import EndReason, SessionState
from tests.reference.rlms_lab import MakeLab
from tests.reference.rlms_lab import make_lab as make_lab
from tests.reference.rlms_table import proves
from tests.small_lab import SmallLab
from tests.toy import wait_until

FACTS = {
    "request.username": "ada",
    "request.username.unique": "ada@uni",
    "request.full_name": "Ada Lovelace",
    "request.experiment_id.experiment_name": "uno",
    "request.experiment_id.category_name": "Boards",
}
KEYS = {
    "event", "action", "reason", "session_id_hash", "experiment_name", "category_name", "experiment_id", "status",
    "path", "endpoint", "method", "source", "seconds_since_start", "seconds_since_last_poll", "seconds_past_max_date",
    "configured_timeout_seconds",
}  # fmt: skip


@pytest.fixture
def lab(make: MakeLab) -> SmallLab:
    """A lab in which nothing is ended by itself, with two guarded views and a logout."""
    lab = make(WEBLAB_NO_THREAD=True, WEBLAB_TIMEOUT=30)
    lab.view("/active/<name>", requires_active(lambda name: "in"))
    lab.view("/login", requires_login(lambda: "in"))
    lab.view("/bye", lambda: (logout(), "bye")[1])
    return lab


def later(lab: SmallLab, session: str, seconds: float) -> None:
    """Let the store's time be so much after the start of a session."""
    lab.lab.store.now = lab.read(session).number("start_date") + seconds


def every_kind(lab: SmallLab) -> str:
    """Have one line of each kind written: a rejection, an expiry, a dispose. Returns the session of the first two."""
    lab.lab.store.now = lab.read("nobody").now  # and no later than this do they start, and does the user come in
    session, other = lab.start(server=FACTS), lab.start(server=FACTS)
    student = lab.student(session)
    later(lab, session, 29)
    assert lab.dispose(other)["message"]
    later(lab, session, 31)
    student.get("/active/x")
    lab.status(session)
    assert [line["action"] for line in lab.lifecycle()] == ["disposed", "protected_request_rejected", "expiry_detected"]
    return session


@proves("lines are JSON in the app's log at INFO")
def test_lines_are_json_of_the_apps_logger(lab: SmallLab) -> None:
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    lab.app.logger.addHandler(handler)
    every_kind(lab)
    assert {(record.name, record.levelno) for record in records} == {(lab.app.logger.name, logging.INFO)}
    assert [json.loads(record.getMessage())["event"] for record in records] == ["weblab_session_lifecycle"] * 3


@proves("a line has the keys that are stated and no others")
def test_keys_of_every_line(lab: SmallLab) -> None:
    session = every_kind(lab)
    disposed, rejected, expired = lab.lifecycle()
    for line in (disposed, rejected, expired):
        assert set(line) == KEYS
        assert (line["experiment_name"], line["category_name"], line["experiment_id"]) == (
            "uno",
            "Boards",
            "uno@Boards",
        )
        assert line["configured_timeout_seconds"] == 30
        assert line["session_id_hash"]
    assert rejected["session_id_hash"] == expired["session_id_hash"] == hashed(session)
    assert [(line["path"], line["endpoint"], line["method"]) for line in (disposed, rejected, expired)] == [
        ("/weblab/sessions/<session_id>", "weblab_rlms.dispose", "POST"),
        ("/active/<name>", "/active/<name>", "GET"),
        ("/weblab/sessions/<session_id>/status", "weblab_rlms.status", "GET"),
    ]
    assert (disposed["source"], expired["source"]) == ("dispose_user", "status_time")
    assert expired["seconds_since_start"] == 31
    assert expired["seconds_past_max_date"] == -29
    assert expired["seconds_since_last_poll"] == 31


@proves("a line holds neither id, name nor way back")
def test_nothing_secret_is_in_a_line(lab: SmallLab) -> None:
    session = every_kind(lab)
    text = "\n".join(lab.log)
    assert [word for word in (session, session[:8], "Lovelace", "rlms.invalid") if word in text] == []
    assert re.search(r"\bada\b", text, re.IGNORECASE) is None  # which may be part of a session's hash


@proves("keys without a value are null", "a stranger's rejection says that there was no cookie")
@pytest.mark.parametrize("path", ["/active/x", "/login"])
def test_line_of_a_stranger(lab: SmallLab, path: str) -> None:
    lab.client().get(path)
    (line,) = lab.lifecycle()
    assert set(line) == KEYS
    assert (line["action"], line["reason"]) == ("protected_request_rejected", "anonymous_no_session_cookie")
    known = {"event", "action", "reason", "path", "endpoint", "method", "configured_timeout_seconds"}
    assert {key for key, value in line.items() if value is None} == KEYS - known


@proves("a rejection says that the session was not found")
def test_line_of_a_session_that_is_forgotten(lab: SmallLab) -> None:
    browser = lab.client()
    with browser.session_transaction() as cookie:
        cookie["weblab_session_id"] = "forgotten"
    browser.get("/active/x")
    (line,) = lab.lifecycle()
    assert (line["reason"], line["session_id_hash"]) == ("anonymous_session_not_found", None)


def over(lab: SmallLab, how: str) -> str:
    """A session that ended in one of the ways, without anybody having seen it."""
    session = lab.start(server=FACTS, length=20 if how == "time" else 1000)
    if how in ("time", "silence"):
        later(lab, session, 40)
    elif how == "logout":
        lab.lab.sessions.exit(session)
    else:
        lab.lab.sessions.end(session, EndReason.ADMIN)
    return session


REASONS = {
    "time": "time_limit_reached",
    "silence": "inactivity_timeout",
    "logout": "user_exited",
    "admin": "unknown_expiry",
}


@proves("a rejection says why the session is over")
@pytest.mark.parametrize("how", REASONS)
def test_line_of_a_session_that_is_over(lab: SmallLab, how: str) -> None:
    browser = lab.client()
    session = over(lab, how)
    with browser.session_transaction() as cookie:
        cookie["weblab_session_id"] = session
    assert browser.get("/active/x").status_code == 302
    (line,) = lab.lifecycle()
    assert (line["action"], line["reason"]) == ("protected_request_rejected", REASONS[how])
    assert line["session_id_hash"] == hashed(session)


@proves(
    "the expiry is written once, by the first status, with its reason", "an expiry that nobody can explain is unknown"
)
@pytest.mark.parametrize("how", REASONS)
@pytest.mark.parametrize("many", [False, True])
def test_line_of_the_first_status(lab: SmallLab, how: str, many: bool) -> None:
    session = over(lab, how)
    for _ in range(3):
        if many:
            assert lab.rlms("POST", "status/multiple", {"session_ids": [session] * 2}).get_json()["status"]
        assert lab.status(session) == -1
    (line,) = lab.lifecycle()
    assert (line["action"], line["reason"], line["source"]) == ("expiry_detected", REASONS[how], "status_time")


@proves("logout and guards write no expiry")
def test_others_than_status_write_no_expiry(lab: SmallLab) -> None:
    session = lab.start()
    student = lab.student(session)
    student.get("/bye")
    assert lab.lifecycle() == []
    student.get("/active/x")
    student.get("/login")
    assert {line["action"] for line in lab.lifecycle()} == {"protected_request_rejected"}
    lab.weblab.clean_expired_users()
    assert lab.state(session) is SessionState.EXPIRED
    assert {line["action"] for line in lab.lifecycle()} == {"protected_request_rejected"}


@proves("a dispose of an active session writes one line")
def test_line_of_a_dispose(lab: SmallLab) -> None:
    session = lab.start(server=FACTS)

    def disposed() -> bool:
        answer: dict[str, Any] = lab.dispose(session)
        lab.status(session)
        return bool(answer["message"] == "Deleted")

    wait_until(disposed, "the end")
    (line,) = lab.lifecycle()
    assert (line["action"], line["reason"], line["source"]) == ("disposed", "unknown_expiry", "dispose_user")
