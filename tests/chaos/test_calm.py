"""The visits after a round of faults: what they let pass, and until when."""

from __future__ import annotations

import time
from typing import Any, cast

import pytest

from tests.chaos import calm
from tests.chaos.chaos_lab import ChaosLab
from tests.chaos.load import Desk, Web
from tests.chaos.record import Asked

STARTED = {"url": "http://127.0.0.1:1/lab/callback/aa", "session_id": "aa"}


class _Desk(Desk):
    """Answers starts as it is told to."""

    def answers(self, *statuses: int) -> None:
        self.left = list(statuses)

    def ask(self, web: Web, what: str, method: str, path: str, body: Any = None, session: str = "") -> Asked:
        status = self.left.pop(0)
        return Asked(
            sent=0.0,
            answered=0.0,
            web=web.name,
            what=what,
            session="",
            status=status,
            body=STARTED if status == 200 else {"error": True, "message": "not yet"},
        )


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> _Desk:
    monkeypatch.setattr(calm, "AGAIN", 0.0)
    return _Desk(lab=cast(ChaosLab, None), webs=[Web(name="web-1", port=1)])


def _came(desk: _Desk, by: float) -> calm._Visitor:
    visitor = calm._Visitor(desk.lab, desk, desk.webs[0], by)
    visitor.come()
    return visitor


def test_start_that_is_told_503_is_asked_for_again_while_all_is_to_come_up(desk: _Desk) -> None:
    desk.answers(503, 503, 200)
    visitor = _came(desk, time.monotonic() + 60)
    assert (visitor.session, visitor.complaint, desk.again) == ("aa", "", 2)


def test_start_that_is_told_503_later_is_a_complaint(desk: _Desk) -> None:
    desk.answers(503, 200)
    visitor = _came(desk, time.monotonic())
    assert "answered with 503" in visitor.complaint
    assert (visitor.session, desk.again) == ("", 0)


def test_start_that_fails_otherwise_is_a_complaint_at_once(desk: _Desk) -> None:
    desk.answers(500, 200)
    assert "answered with 500" in _came(desk, time.monotonic() + 60).complaint
