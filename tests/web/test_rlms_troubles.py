"""What an RLMS is told while the store is away, or where labkit fails: never that a session is finished."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from labkit.testing.store import StoreServer
from tests.small_lab import DELETED, DELETING, SmallLab
from tests.toy import wait_until


def test_store_that_is_away_is_never_a_finished_session(tmp_path: Path) -> None:
    with StoreServer() as server, SmallLab(tmp_path, server.url) as lab:
        session = lab.up().start()
        server.stop()
        assert lab.status(session) == 2
        assert lab.dispose(session) == DELETING
        start = lab.post_start()
        assert (start.status_code, start.get_json()["error"]) == (503, True)
        many = lab.rlms("POST", "status/multiple", {"session_ids": [session, "nobody"]})
        assert (many.status_code, many.get_json()) == (200, {"status": {session: 2.0, "nobody": 2.0}})
        assert lab.rlms("GET", "test").status_code == 200


def test_fault_that_nobody_foresaw_is_never_a_finished_session(
    lab: SmallLab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("unforeseen")

    session = lab.start()
    with monkeypatch.context() as faulty:
        for name in ("session_status", "end_session"):
            faulty.setattr(f"labkit.web.rlms.{name}", fail)
        assert lab.status(session) == 2
        assert lab.rlms("POST", "status/multiple", {"session_ids": [session]}).get_json() == {"status": {session: 2}}
        assert lab.dispose(session) == DELETING
    assert caplog.text.count("ZeroDivisionError: unforeseen") == 3
    assert session not in caplog.text
    caplog.clear()
    wait_until(lambda: lab.dispose(session) == DELETED, "the end")


def test_store_that_was_never_there_is_no_500(tmp_path: Path) -> None:
    with SmallLab(tmp_path, f"unix://{tmp_path}/nothing") as lab:
        assert lab.rlms("GET", "api", headers={}).status_code == 200
        assert lab.status("x") == 2
        assert lab.dispose("x") == DELETING
        assert lab.post_start().status_code == 503
