"""kill -9 of the loop in the middle of a call: what the caller is told, what is never repeated, what comes back."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.flows.harness import FlowLab
from tests.flows.people import Student, eventually
from tests.frozen import freeze, thaw

NOTED = """
import threading

from labkit.plugin import Driver, DriverOptions, command, hookimpl


class NotedOptions(DriverOptions):
    path: str


class Noted(Driver[NotedOptions]):
    kind = "noted"

    def open(self): self.over = threading.Event()
    def close(self): pass
    def make_safe(self): pass
    def interrupt(self): self.over.set()

    @command(timeout=60.0)
    def hang(self) -> None:
        with open(self.options.path, "a") as file:
            file.write("begun\\n")
        self.over.wait()


@hookimpl
def labkit_drivers(): return [Noted]
"""
"""A driver whose one command notes in a file that it began, and waits to be interrupted."""


def ask_in_background(student: Student, path: str) -> tuple[threading.Thread, list[Any]]:
    """A view that waits for an answer that never comes; its own answer is in the list at the end."""
    answers: list[Any] = []

    def run() -> None:
        started = time.monotonic()
        status, text, _ = student.ask("POST", path, b"")
        answers.extend([status, text, time.monotonic() - started])

    thread = threading.Thread(target=run)
    thread.start()
    return thread, answers


def test_a_killed_loop_loses_the_running_call_and_a_new_one_goes_on_with_the_session(
    make_lab: Callable[..., FlowLab],
) -> None:
    lab = make_lab(settings={"LABKIT_CALL_TIMEOUT": 50})  # so that what fails at once is told from what waits
    (lab.folder / "drivers").mkdir()
    (lab.folder / "drivers" / "noted.py").write_text(NOTED)
    noted = lab.folder / "noted"
    with open(lab.folder / "devices" / "bench-1.toml", "a") as file:
        file.write(f'\n[stuck]\ndriver = "noted"\npath = "{noted}"\n')
    loop = lab.loop()
    lab.web()
    lab.wait_free()
    student = lab.rlms.must_start(length=120).enter()
    assert student.ask("POST", "/write", b"echo-before\r")[0] == 200
    thread, answers = ask_in_background(student, "/hang?seconds=60")
    eventually(noted.exists, what="the call to begin")
    lab.kill(loop)
    killed = time.monotonic()
    thread.join(60)
    assert answers[0] == 500  # the view let the error through
    assert "CallLostError" in lab.logs()
    lost_after = time.monotonic() - killed
    print(f"the running call failed as lost {lost_after:.1f} s after the kill")
    assert lost_after < 30  # of the call's 60; the promise is 5 s, the rest for a busy machine
    began = time.monotonic()
    status, _, _ = student.ask("POST", "/write", b"echo-dead\r")
    assert status == 500
    assert "has no host at the moment" in lab.logs()
    assert time.monotonic() - began < 30
    lab.loop()
    eventually(lambda: student.ask("POST", "/write", b"echo-after\r")[0] == 200, what="the session goes on")
    received = lab.boards[0].wait_received(b"echo-after\r")
    assert received.count(b"echo-before\r") == 1
    assert noted.read_text() == "begun\n"
    assert b"echo-dead" not in received
    safe = received.rindex(b"halt\r")  # the new loop made the board safe before the session went on
    assert received.index(b"echo-before\r") < safe < received.index(b"echo-after\r")
    eventually(lambda: lab.rlms.dispose(student.session_id)["message"] == "Deleted")


def test_a_session_whose_time_ended_with_its_loop_is_finished_by_the_next_loop(
    make_lab: Callable[..., FlowLab],
) -> None:
    lab = make_lab()
    loop = lab.loop()
    lab.web()
    lab.wait_free()
    student = lab.rlms.must_start(length=3)
    lab.kill(loop)
    eventually(lambda: lab.rlms.status(student.session_id) == -1, what="time over")
    lab.loop()
    lab.wait_state(student.session_id, "expired")
    lab.wait_free()
    assert len(lab.acts("on_dispose")) >= 1
    lab.rlms.must_start("next")


def test_a_killed_web_process_with_threads_loses_nothing_but_the_call(make_lab: Callable[..., FlowLab]) -> None:
    lab = make_lab()
    web = lab.threaded_web()
    lab.wait_free()
    student = lab.rlms.must_start(length=120).enter()
    lab.kill(web)
    lab.threaded_web()
    eventually(lambda: student.ask("POST", "/write", b"# again\r")[0] == 200, what="the session goes on")
    assert lab.boards[0].wait_received(b"# again\r").count(b"# again\r") == 1
    eventually(lambda: lab.rlms.dispose(student.session_id)["message"] == "Deleted")
    lab.wait_free()


def test_a_stopped_loop_that_wakes_up_late_lets_nothing_old_through(make_lab: Callable[..., FlowLab]) -> None:
    """SIGSTOP keeps the host's file lock: nobody else opens the tty; after SIGCONT only what is valid then passes."""
    lab = make_lab(settings={"LABKIT_RELEASE_TIMEOUT": 1})
    loop = lab.loop()
    lab.web()
    lab.wait_free()
    student = lab.rlms.must_start("first", length=120, client={"write": "# first\r"}).enter()
    freeze(loop.pid)
    try:
        thread, answers = ask_in_background(student, "/ask?line=late&until=never&timeout=60")
        thread.join(60)
        assert answers[0] == 500
        second_loop = lab.loop()  # can't have the bench, but ends sessions
        eventually(lambda: lab.rlms.dispose(student.session_id)["message"] == "Deleted", 60)
        assert second_loop.poll() is None
        status, answer = lab.rlms.start("second")
        assert status == 503, answer  # its devices' condition keeps everybody out
        assert b"late" not in lab.boards[0].received()
    finally:
        thaw(loop.pid)
    # its one second may be too little to make the board safe for the student; the host tries again then
    eventually(lambda: lab.rlms.start("second", client={"write": "# second\r"})[0] == 200, 60, "the second student")
    received = lab.boards[0].wait_received(b"# second\r")
    assert b"late" not in received
    assert received.rindex(b"halt\r") > received.index(b"# first\r")


def test_a_page_is_told_that_the_host_of_its_device_is_gone_and_that_it_is_back(
    make_lab: Callable[..., FlowLab],
) -> None:
    """Also where no loop is left: the web process that beats sees it."""
    lab = make_lab()
    loop = lab.loop()
    lab.web()
    lab.wait_free()
    student = lab.rlms.must_start("ada", length=120).enter()
    with student.socket() as page:
        page.subscribe("bench-1/console")
        lab.kill(loop)
        eventually(lambda: page.devices, what="the page is told")
        assert page.devices[-1]["device"] == "bench-1/console"
        assert page.devices[-1]["condition"] == "offline"
        lab.loop()
        eventually(lambda: page.devices[-1]["condition"] == "ok", what="the page is told that it is back")
        assert page.write("bench-1/console", b"# back\r")["ok"]


def test_an_ending_that_a_new_loop_finds_waits_until_the_devices_are_open(make_lab: Callable[..., FlowLab]) -> None:
    lab = make_lab()
    loop = lab.loop()
    lab.web()
    lab.wait_free()
    student = lab.rlms.must_start("ada", length=2)
    lab.kill(loop)
    eventually(lambda: lab.rlms.status(student.session_id) == -1, what="time over")
    before = len(lab.boards[0].received())
    lab.loop()
    lab.wait_state(student.session_id, "expired")
    assert lab.acts("on_dispose done")  # its write reached the board
    assert b"halt\r" in lab.boards[0].received()[before:]


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_a_loop_that_is_asked_to_end_leaves_the_board_safe_and_says_good_bye(
    make_lab: Callable[..., FlowLab], signal_number: int
) -> None:
    lab = make_lab()
    loop = lab.loop()
    lab.web()
    lab.wait_free()
    lab.rlms.must_start(client={"write": "led 1 on\r"})
    lab.boards[0].wait_received(b"led 1 on\r")
    before = len(lab.boards[0].received())
    lab.kill(loop, signal_number)
    assert loop.returncode == 0
    assert b"halt\r" in lab.boards[0].received()[before:]
    assert lab.benches()[0].host == ""
