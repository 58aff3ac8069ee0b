"""At each recorded step of a start and of an ending a process is killed, or stopped until another has taken over.

What must hold: one finish, `on_dispose` at least once, the bench free and safe for the next student, and at the far
end of the tty nothing of the first process after the first byte of the second.
"""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from labkit.sessions import EndStep, StartStep
from tests.flows.harness import FlowLab
from tests.flows.people import Rlms, eventually
from tests.frozen import freeze, thaw

PATIENT = ("--timeout", "300")
"""Of gunicorn, which kills a worker that is stopped for longer."""
HOW = ("killed", "stopped")


def pause(lab: FlowLab, step: str, name: str) -> Path:
    file = lab.folder / f"pause-{step}-{name}"
    file.touch()
    return file


def finishes(lab: FlowLab, session_id: str) -> int:
    """How often the session was finished, from its own events."""
    events = lab.sessions.events(session_id, "0-0", 0.1)
    return sum(fields.get("state") == b"expired" for _, fields in events)


def nothing_of_first_after_second(received: bytes, first: bytes, second: bytes) -> bool:
    assert second in received
    return first not in received[received.index(second) :]


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("step", list(StartStep))
def test_a_start_whose_process_is_lost_is_ended_by_another(
    make_lab: Callable[..., FlowLab], second_port: int, step: str, how: str
) -> None:
    lab = make_lab()
    lab.loop()
    web = lab.web(name="first", more=PATIENT)
    lab.web(port=second_port)
    lab.wait_free()
    paused = pause(lab, step, "first")
    answer: list[object] = []
    starting = threading.Thread(target=lambda: answer.append(try_start(lab.port, {"write": "# first\r"})))
    starting.start()
    eventually(lambda: lab.acts("paused"), what="the pause")
    session_id = lab.store.command("ZRANGE", lab.store.keys["deadlines"], 0, -1)[0].decode()
    worker = lab.acts("paused")[0]["pid"]  # gunicorn's worker, which runs the start
    if how == "killed":
        os.kill(worker, signal.SIGKILL)
        lab.kill(web)
    else:
        freeze(worker)
    lab.wait_state(session_id, "expired")
    lab.wait_free()
    second = Rlms(second_port).must_start("second", client={"write": "# second\r"})
    lab.boards[0].wait_received(b"# second\r")
    if how == "stopped":
        paused.unlink()
        thaw(worker)
    starting.join(60)
    if how == "stopped":
        assert answer[0] != 200  # the student who waited is not let in to somebody else's bench
    assert finishes(lab, session_id) == 1
    assert lab.sessions.touch(session_id, poll=False).reason == "start-failed"
    assert len(lab.acts("on_dispose")) >= 1
    assert lab.sessions.touch(second.session_id, poll=False).state == "active"
    assert nothing_of_first_after_second(lab.boards[0].received(), b"# first", b"# second")
    eventually(lambda: Rlms(second_port).dispose(second.session_id)["message"] == "Deleted")
    lab.wait_free()


def try_start(port: int, client: dict[str, str]) -> int:
    try:
        return Rlms(port).start("first", client=client)[0]
    except OSError:
        return 0


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("step", list(EndStep))
def test_an_ending_whose_process_is_lost_is_finished_by_another(
    make_lab: Callable[..., FlowLab], step: str, how: str
) -> None:
    """The bench is hosted by a process of its own, so that both endings could reach it."""
    lab = make_lab()
    lab.loop(WEBLAB_AUTOCLEAN_THREAD=False, WEBLAB_TASK_THREADS_PROCESS=0)
    lab.web()
    lab.wait_free()
    paused = pause(lab, step, "first")
    first = lab.loop(name="first", LABKIT_DEVICES="none")
    eventually(lambda: lab.process_table.with_role("endings"))
    student = lab.rlms.must_start("ada")
    assert lab.rlms.dispose(student.session_id)["message"] == "Deleting"
    eventually(lambda: lab.acts("paused"), what="the pause")
    first.kill() if how == "killed" else freeze(first.pid)
    second = lab.loop(name="second", LABKIT_DEVICES="none")
    lab.wait_state(student.session_id, "expired")
    assert second.poll() is None
    if how == "stopped":
        paused.unlink()
        thaw(first.pid)
    lab.wait_free()
    following = lab.rlms.must_start("next", client={"write": "# next\r"})
    received = lab.boards[0].wait_received(b"# next\r")
    assert finishes(lab, student.session_id) == 1
    assert len(lab.acts("on_dispose")) >= 1
    names = [name.decode() for name in re.findall(rb"# (first|second|next)", received)]
    assert names == sorted(names, key=["first", "second", "next"].index)
    assert b"halt\r" in received[: received.index(b"# next")]
    assert lab.sessions.touch(following.session_id, poll=False).state == "active"


@pytest.mark.parametrize("how", HOW)
def test_an_ending_that_is_lost_in_the_middle_of_on_dispose_runs_it_again(
    make_lab: Callable[..., FlowLab], how: str
) -> None:
    lab = make_lab()
    lab.loop(WEBLAB_AUTOCLEAN_THREAD=False, WEBLAB_TASK_THREADS_PROCESS=0)
    lab.web()
    lab.wait_free()
    first = lab.loop(name="first", LABKIT_DEVICES="none")
    eventually(lambda: lab.process_table.with_role("endings"))
    student = lab.rlms.must_start("ada", client={"dispose_file": "go on"})
    lab.rlms.dispose(student.session_id)
    lab.boards[0].wait_received(b"# first 4\r")
    first.kill() if how == "killed" else freeze(first.pid)
    second = lab.loop(name="second", LABKIT_DEVICES="none")
    lab.boards[0].wait_received(b"# second 4\r")
    lab.tell("go on")
    if how == "stopped":
        first.send_signal(signal.SIGCONT)  # its on_dispose goes on, and writes its halt under the old fence
    lab.wait_state(student.session_id, "expired")
    lab.wait_free()
    assert second.poll() is None
    assert finishes(lab, student.session_id) == 1
    begun = [act["pid"] for act in lab.acts("on_dispose")]
    assert begun == [first.pid, second.pid]
    received = lab.boards[0].received()
    assert b"# first" not in received[received.index(b"# second") :]
