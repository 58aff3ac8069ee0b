"""Devices that go, and a loop that is killed, in the middle of a session of a running lab."""

from __future__ import annotations

import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hardware.hands import (
    PORT,
    FarEnd,
    level,
    plug_all,
    plug_camera,
    plug_serial,
    pull,
    unplug_camera,
    unplug_serial,
    wait_for,
)
from tests.hardware.running_lab import BUTTON, RED, RunningLab

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def board() -> Iterator[FarEnd]:
    """What the lab's console talks to."""
    plug_all()
    with FarEnd() as far_end:
        yield far_end


@pytest.fixture(scope="module")
def lab(board: FarEnd) -> Iterator[RunningLab]:
    for line in (RED, BUTTON):
        pull(line, "down")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = Path(tempfile.mkdtemp(prefix="lab-"))
    lab = RunningLab(folder, port)
    try:
        lab.wait_free()
        yield lab
    finally:
        lab.close()
        print(lab.logs())
        shutil.rmtree(folder)


def test_bytes_levels_edges_and_frames_reach_the_page(lab: RunningLab, board: FarEnd) -> None:
    with lab.session() as student, student.page() as page:
        for device, feed in (("console", "received"), ("leds", "edges"), ("camera", "frames")):
            page.subscribe_to(device, feed)
        assert page.call("console", "write", b"hello board\r")["ok"]
        board.wait_received(b"hello board\r")
        board.send(b"hello page\r\n")
        page.wait_bytes(b"hello page\r\n")
        assert page.call("leds", "write", "red", 1)["result"] == 1
        assert level(RED) == 1
        pull(BUTTON, "up")
        wait_for(lambda: page.of("leds", "edges"), "the edge on the page")
        edge = page.of("leds", "edges")[0]["data"]
        assert (edge["line"], edge["level"]) == ("button", 1)
        wait_for(lambda: len(page.frames) >= 3, "frames on the page")
        assert all(frame["data"].startswith(b"\xff\xd8") for frame in page.frames)
    assert level(RED) == 0
    pull(BUTTON, "down")


def test_scan_knows_what_the_running_lab_has(lab: RunningLab) -> None:
    lab.wait_free()
    answer = lab.labkit("devices", "scan", "--json")
    assert answer["failed"] == []
    declared = {name: one for one in answer["found"] for name in one["declared"]}
    assert {*declared} == {"bench-1/console", "bench-1/leds", "bench-1/camera"}
    assert f"process {lab.loop.pid} (" in declared["bench-1/console"]["trouble"]
    assert f"{RED} (labkit bench-1/leds)" in declared["bench-1/leds"]["facts"]["in use"]
    assert f"process {lab.loop.pid} (" in declared["bench-1/camera"]["facts"]["open in"]


def test_session_goes_on_through_an_unplug_of_the_serial_port(lab: RunningLab, board: FarEnd) -> None:
    with lab.session() as student, student.page() as page:
        page.subscribe_to("console", "received")
        board.send(b"before")
        page.wait_bytes(b"before")

        unplug_serial()
        told = page.wait_told("console", "offline")
        assert "unplugged" in told["reason"] or "is not there" in told["reason"]
        assert student.call("console", "write", b"x")["error"] == "DeviceOfflineError"
        assert page.call("console", "write", b"x")["ok"] is False
        assert student.call("leds", "write", "red", 1) == {"value": 1}  # nobody else notices
        (known,) = [one for one in lab.labkit("devices", "--json") if one["device"] == "console"]
        assert (known["condition"], known["hold"]) == ("offline", "reserved")

        seen = len(page.of("console", "received"))
        plug_serial()
        page.wait_told("console", "ok")
        board.send(b"after")
        page.wait_bytes(b"after")
        assert page.of("console", "received")[seen]["lost"] == -1  # nobody knows what was said meanwhile
        assert student.call("console", "write", b"here again\r") == {"value": len("here again\r")}
        board.wait_received(b"here again\r")
        assert b"x" not in board.received
        assert PORT.exists()


def test_session_goes_on_through_an_unplug_of_the_camera(lab: RunningLab) -> None:
    with lab.session() as student, student.page() as page:
        page.subscribe_to("camera", "frames")
        wait_for(lambda: page.frames, "a frame")

        unplug_camera()
        page.wait_told("camera", "offline")
        assert student.call("camera", "snapshot", 60)["error"] == "DeviceOfflineError"
        assert student.call("leds", "write", "red", 1) == {"value": 1}

        plug_camera()
        page.wait_told("camera", "ok")
        seen = len(page.frames)
        wait_for(lambda: len(page.frames) > seen + 1, "frames again")
        assert page.frames[-1]["captured"] > page.frames[seen - 1]["captured"]
        assert student.call("camera", "snapshot", 60)["value"] > 1000


def test_killed_loop_leaves_nothing_unsafe_once_another_one_is_there(lab: RunningLab, board: FarEnd) -> None:
    """The worst case: what the chip does with a line that nobody has is to switch it on."""
    pull(RED, "up")
    with lab.session() as student:
        assert student.call("leds", "write", "red", 1) == {"value": 1}
        halts = board.received.count(b"halt\r")

        lab.loop.send_signal(signal.SIGKILL)
        lab.loop.wait(60)
        assert level(RED) == 1
        wait_for(lambda: not lab.device("leds").get("host") or lab.device("leds")["condition"] == "offline", "no host")
        assert student.call("leds", "read", "red")["error"] == "DeviceOfflineError"

        lab.start_loop()
        for device in ("leds", "console", "camera"):
            lab.wait_condition(device, "ok")
        assert level(RED) == 0
        assert board.received.count(b"halt\r") > halts
        assert student.call("leds", "all")["value"]["red"] == 0
        assert student.call("leds", "write", "red", 1) == {"value": 1}
        assert level(RED) == 1
    assert level(RED) == 0
    pull(RED, "down")
