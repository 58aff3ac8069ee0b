"""The audit log: what happened in a lab, as JSON lines in the file that LABKIT_AUDIT_LOG names."""

from __future__ import annotations

import json
import logging
import stat
import threading
from collections import deque
from pathlib import Path
from typing import Any

import pluggy
import pytest

from labkit.announcer import AUDIT, Announcer, written_to
from labkit.devices.plugins import hook_manager
from labkit.plugin import DeviceEvent, SessionEvent
from labkit_plugins import audit
from tests.toy import GUARD, wait_until

STARTED = SessionEvent(at=0.5, session="3f9a", username="ada", benches=("bench-1", "bench-2"))
ENDED = SessionEvent(at=60.0, session="3f9a", username="ada", benches=("bench-1", "bench-2"), reason="time")
CHANGED = DeviceEvent(
    at=3.0, device="bench-1/console", before="ok", condition="offline", reason="unplugged", blame="device"
)


@pytest.fixture
def manager() -> pluggy.PluginManager:
    made = hook_manager()
    made.register(audit, "audit")
    return made


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_event_is_a_line_with_its_facts(manager: pluggy.PluginManager, tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    announcer = Announcer(lambda: manager, audit_log=str(path))
    for event in (STARTED, CHANGED, ENDED):
        announcer.announce(event)
    announcer.close(GUARD)
    who = {"session": "3f9a", "username": "ada", "benches": ["bench-1", "bench-2"]}
    assert lines(path) == [
        {"event": "session started", "at": "1970-01-01T00:00:00.500+00:00", **who, "reason": ""},
        {
            "event": "device changed", "at": "1970-01-01T00:00:03.000+00:00", "device": "bench-1/console",
            "before": "ok", "condition": "offline", "reason": "unplugged", "blame": "device",
        },
        {"event": "session ended", "at": "1970-01-01T00:01:00.000+00:00", **who, "reason": "time"},
    ]  # fmt: skip
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_file_that_was_moved_away_begins_anew(manager: pluggy.PluginManager, tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    announcer = Announcer(lambda: manager, audit_log=str(path))
    for name in ("old", "older"):
        announcer.announce(STARTED)
        announcer.close(GUARD)
        path.rename(tmp_path / name)
    assert [len(lines(tmp_path / name)) for name in ("old", "older")] == [1, 1]


def test_two_labs_of_one_process_write_each_their_own(manager: pluggy.PluginManager, tmp_path: Path) -> None:
    announcers = [Announcer(lambda: manager, audit_log=str(tmp_path / name)) for name in ("one", "two")]
    for announcer in announcers:
        announcer.announce(STARTED)
    for announcer in announcers:
        announcer.close(GUARD)
    assert [len(lines(tmp_path / name)) for name in ("one", "two")] == [1, 1]


def test_lab_that_ends_takes_no_line_of_another_ones(tmp_path: Path) -> None:
    """One whose file is written ends in the very moment in which another one of the process says something."""
    begun, leave = threading.Event(), threading.Event()

    def write_first() -> None:
        with written_to(str(tmp_path / "first")):
            begun.set()
            leave.wait(GUARD)

    first = threading.Thread(target=write_first)
    first.start()
    assert begun.wait(GUARD)

    class InTheMiddle(logging.Handler):
        """Stands behind the first one's, before the second one's."""

        def emit(self, record: logging.LogRecord) -> None:
            leave.set()
            first.join(GUARD)

    between = InTheMiddle()
    logging.getLogger(AUDIT).addHandler(between)
    with written_to(str(tmp_path / "second")):
        logging.getLogger(AUDIT).info(json.dumps({"said": "by the second"}))
        logging.getLogger(AUDIT).removeHandler(between)
    assert not first.is_alive()
    assert lines(tmp_path / "second") == [{"said": "by the second"}]


def test_file_that_cant_be_written_is_said_once_and_what_is_missing_afterwards(
    manager: pluggy.PluginManager, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "missing" / "audit.jsonl"
    announcer = Announcer(lambda: manager, audit_log=str(path))
    for _ in range(3):
        announcer.announce(STARTED)
    wait_until(lambda: announcer._waiting == deque() and not announcer._calling, "the events to be dealt with")
    path.parent.mkdir()
    announcer.announce(ENDED)
    announcer.close(GUARD)
    first, last = (record.message for record in caplog.records)
    assert first.startswith(f"audit log can't be written path={path} error=No such file or directory: ")
    assert last == f"audit log is written again path={path} lines_missing=3"
    assert all(record.exc_info is None for record in caplog.records)
    assert [line["event"] for line in lines(path)] == ["session ended"]


def test_file_that_cant_be_written_is_said_before_anything_has_happened(
    manager: pluggy.PluginManager, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "missing" / "audit.jsonl"
    announcer = Announcer(lambda: manager, audit_log=str(path))
    announcer.try_file()
    announcer.try_file()
    (record,) = caplog.records
    assert record.message.startswith(f"audit log can't be written path={path} ")


def test_file_that_can_be_written_is_there_from_the_start_and_nothing_is_said(
    manager: pluggy.PluginManager, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for path in ("", str(tmp_path / "audit.jsonl")):
        Announcer(lambda: manager, audit_log=path).try_file()
    assert caplog.records == []
    assert lines(tmp_path / "audit.jsonl") == []


def test_without_a_file_nothing_is_said(manager: pluggy.PluginManager, caplog: pytest.LogCaptureFixture) -> None:
    announcer = Announcer(lambda: manager)
    with caplog.at_level(logging.DEBUG):
        announcer.announce(STARTED)
        announcer.close(GUARD)
    assert caplog.records == []
