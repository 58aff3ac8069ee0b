"""Plugins hear of a real session's start and end, and of its devices: from a plugin that lies in the lab's folder."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from labkit.loop import supervisor
from labkit.store.sessions import SessionState
from labkit.testing.store import StoreServer
from tests.small_lab import SmallLab
from tests.toy import GUARD, wait_until

WITNESS = """
import dataclasses, json
from pathlib import Path
from labkit.plugin import hookimpl

def write(what, event):
    with open(Path(__file__).parent / "heard", "a") as file:
        file.write(json.dumps([what, dataclasses.asdict(event)]) + "\\n")

@hookimpl
def labkit_session_started(event):
    write("started", event)

@hookimpl
def labkit_session_ended(event):
    write("ended", event)

@hookimpl
def labkit_device_changed(event):
    write("changed", event)
"""


@pytest.fixture
def lab(tmp_path: Path, store_server: StoreServer) -> Iterator[SmallLab]:
    (tmp_path / "drivers").mkdir()
    (tmp_path / "drivers" / "witness.py").write_text(WITNESS)
    with SmallLab(tmp_path, store_server.url, devices=["toy"]) as made:
        yield made


@pytest.fixture
def patient_end(lab: SmallLab, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lab that is closed has as long for it as a busy machine may need, and not its usual two seconds."""
    announcer = lab.lab._announcer
    monkeypatch.setattr(supervisor, "LET_GO", GUARD)
    monkeypatch.setattr(announcer, "close", partial(announcer.close, GUARD))


def heard(folder: Path, what: str) -> list[dict[str, Any]]:
    path = folder / "drivers" / "heard"
    lines = path.read_text().splitlines() if path.exists() else []
    return [event for name, event in map(json.loads, lines) if name == what]


def test_start_and_end_of_a_session_are_heard_with_user_benches_and_reason(lab: SmallLab, tmp_path: Path) -> None:
    lab.up()
    session_id = lab.start()
    wait_until(lambda: heard(tmp_path, "started"), "the start to be heard")
    lab.dispose(session_id)
    wait_until(lambda: heard(tmp_path, "ended"), "the end to be heard")
    (started,), (ended,) = heard(tmp_path, "started"), heard(tmp_path, "ended")
    assert (started["username"], started["benches"], started["reason"]) == ("ada", ["bench-1"], "")
    assert (ended["username"], ended["benches"], ended["reason"]) == ("ada", ["bench-1"], "disposed")
    assert started["session"] == ended["session"]
    assert session_id not in json.dumps([started, ended])
    assert started["at"] <= ended["at"]


def test_start_that_failed_is_heard_as_an_end_only(lab: SmallLab, tmp_path: Path) -> None:
    @lab.weblab.on_start
    def start(client_data: Any, server_data: Any) -> None:
        raise RuntimeError("no")

    lab.up()
    assert lab.post_start().status_code == 503
    wait_until(lambda: heard(tmp_path, "ended"), "the end to be heard")
    assert [event["reason"] for event in heard(tmp_path, "ended")] == ["start-failed"]
    assert heard(tmp_path, "started") == []


def test_device_that_goes_and_comes_back_is_heard(lab: SmallLab, tmp_path: Path) -> None:
    lab.up()
    session_id = lab.start()
    lab.world.offline()
    lab.world.toys[-1].link.lost("it was pulled out")
    wait_until(lambda: [e for e in heard(tmp_path, "changed") if e["condition"] == "offline" and e["reason"]], "gone")
    lab.world.failing.clear()
    wait_until(lambda: heard(tmp_path, "changed")[-1]["condition"] == "ok", "its return")
    changes = [(event["before"], event["condition"]) for event in heard(tmp_path, "changed")]
    assert changes[0] == ("offline", "ok")
    assert ("ok", "offline") in changes
    assert {event["device"] for event in heard(tmp_path, "changed")} == {"bench-1/toy"}
    lab.dispose(session_id)
    lab.wait_state(session_id, SessionState.EXPIRED)


@pytest.mark.usefixtures("patient_end")
def test_what_was_not_told_yet_is_told_before_the_lab_is_closed(lab: SmallLab, tmp_path: Path) -> None:
    lab.up()
    session_id = lab.start()
    lab.dispose(session_id)
    lab.wait_state(session_id, SessionState.EXPIRED)
    lab.weblab.close()
    assert [event["reason"] for event in heard(tmp_path, "ended")] == ["disposed"]


def test_audit_log_that_cant_be_written_is_said_when_the_process_starts_and_stops_nothing(
    tmp_path: Path, store_server: StoreServer, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "missing" / "audit.jsonl"
    with SmallLab(tmp_path, store_server.url, devices=["toy"], LABKIT_AUDIT_LOG=str(path)) as lab:
        lab.up()
    said = [record for record in caplog.records if "audit log can't be written" in record.message]
    assert said[0].threadName == threading.current_thread().name  # who started it; then the thread of events
    assert f"path={path} error=No such file or directory: " in said[0].message
    assert [record.message for record in caplog.records if record.exc_info] == []


def test_audit_log_has_it_all_in_the_file_that_the_setting_names(tmp_path: Path, store_server: StoreServer) -> None:
    path = tmp_path / "audit.jsonl"
    with SmallLab(tmp_path, store_server.url, devices=["toy"], LABKIT_AUDIT_LOG=str(path)) as lab:
        lab.up()
        wait_until(lambda: path.read_text(), "the first line")
        session_id = lab.start()
        lab.dispose(session_id)
        wait_until(lambda: '"session ended"' in path.read_text(), "the last one")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["username"] for line in lines if line["event"].startswith("session")] == ["ada", "ada"]
    assert [line["event"] for line in lines][:2] == ["device changed", "session started"]
