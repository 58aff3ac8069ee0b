"""The base of twin programs: requests, packets that are pushed, faults, neighbours, and the end with the parent."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from labkit_plugins.twins.control import Control, ControlError
from tests.toy import GUARD

LAMP = "tests.plugins.twins.lamp"
ROOT = Path(__file__).parents[3]

START = "import sys, subprocess; subprocess.run(sys.argv[1:], check=True); print('ready', flush=True); sys.stdin.read()"
"""A parent: starts a program in the background, and stays until its input ends."""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Start a lamp in the device folder of this name; returns its control channel."""
    running: list[subprocess.Popen[bytes]] = []

    def start_it(name: str, *more: str) -> Path:
        folder = tmp_path / "bench" / name
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", LAMP, "--folder", str(folder), "--parent", str(os.getpid()), *more]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, cwd=ROOT)
        running.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        return folder / "control"

    yield start_it
    for process in running:
        process.terminate()
        process.wait(GUARD)
        assert process.stdout is not None
        process.stdout.close()


def ask(control: Path, request: str) -> dict[str, Any]:
    with Control(control, GUARD) as channel:
        return channel.ask(request)


def wait_until(control: Path, request: str, expected: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Ask again and again until the answer is as expected; each question wakes the program, and nothing else does."""
    until = time.monotonic() + GUARD
    while not expected(answer := ask(control, request)):
        assert time.monotonic() < until, answer
        select.select([], [], [], 0.01)
    return answer


def test_hello_says_who_it_is(start: Callable[..., Path]) -> None:
    hello = ask(start("lamp"), "hello")
    assert (hello["kind"], hello["parent"], hello["faults"]) == ("lamp", os.getpid(), [])


def test_each_answer_has_the_status(start: Callable[..., Path]) -> None:
    control = start("lamp")
    assert ask(control, "light 1").keys() == ask(control, "hello").keys()
    assert ask(control, "hello")["lit"] == 1


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ("dance", "unknown request 'dance'; there are: hello, watch, wire, end, unplug"),
        ("light", "'light': list index out of range"),
        ("light much", "'light much': invalid literal"),
        ("light 'open", "No closing quotation"),
    ],
)
def test_bad_requests_are_refused_and_change_nothing(start: Callable[..., Path], request_: str, error: str) -> None:
    control = start("lamp")
    with pytest.raises(ControlError, match="refused") as refused:
        ask(control, request_)
    assert error in str(refused.value)
    assert ask(control, "hello")["lit"] == 0


def test_who_watches_gets_all_as_it_is_and_then_each_change(start: Callable[..., Path]) -> None:
    control = start("lamp")
    with Control(control, GUARD) as watching:
        watching.ask("watch")
        assert watching.receive() == {"lit": 0}
        ask(control, "light 1")
        assert watching.receive() == {"lit": 1}


def test_who_reads_nothing_is_cut_off_and_stops_nobody(start: Callable[..., Path]) -> None:
    control = start("lamp")
    with Control(control, GUARD) as sleeping, Control(control, GUARD) as awake:
        sleeping.ask("watch")
        awake.ask("flicker 30000")
        assert awake.ask("hello")["watchers"] == 0
        assert sleeping.receive() == {"lit": 0}
        received = 1
        while sleeping.receive() is not None:
            received += 1
        assert received < 30000


def test_faults_add_up_until_all_is_normal(start: Callable[..., Path]) -> None:
    control = start("lamp")
    assert ask(control, "unplug")["faults"] == ["unplug"]
    assert ask(control, "slow")["faults"] == ["slow", "unplug"]
    assert ask(control, "plug")["faults"] == ["slow"]
    assert ask(control, "garbage")["heard"] == ["unplug", "slow", "plug", "garbage"]
    assert ask(control, "normal")["faults"] == []


def test_later_happens_once_and_nothing_wakes_before(start: Callable[..., Path]) -> None:
    control = start("lamp")
    with Control(control, GUARD) as watching:
        watching.ask("watch")
        assert watching.receive() == {"lit": 0}
        watching_turns = ask(control, "light 1 after 0.2")["turns"]
        assert watching.receive() == {"lit": 1}
    assert ask(control, "hello")["turns"] < watching_turns + 10


def test_neighbours_meet_whoever_starts_first(start: Callable[..., Path]) -> None:
    first = start("a b")  # a folder with a space: requests are quoted
    second = start("second")
    for control in (first, second):
        wait_until(control, "hello", lambda answer: answer["met"] == ["lamp"])


def test_neighbour_that_started_again_is_met_again(start: Callable[..., Path]) -> None:
    first, second = start("first"), start("second")
    wait_until(first, "hello", lambda answer: answer["met"] == ["lamp"])
    with Control(second, GUARD) as channel:
        channel.ask("end")
        assert channel.wait_for_end(GUARD)
    wait_until(first, "hello", lambda answer: answer["kept"] == 0)
    second = start("second")
    wait_until(first, "hello", lambda answer: answer["met"] == ["lamp", "lamp"])
    ask(second, "light 1")
    wait_until(first, "hello", lambda answer: answer["told"][-1:] == [1])


def test_neighbour_of_another_kind_is_let_go(start: Callable[..., Path]) -> None:
    first = start("first")
    start("second", "--kind", "heater")
    answer = wait_until(first, "hello", lambda answer: answer["met"] == ["heater"])
    assert answer["kept"] == 0


def test_socket_that_a_dead_program_left_is_no_neighbour(start: Callable[..., Path], tmp_path: Path) -> None:
    dead = start("dead")
    os.kill(ask(dead, "hello")["pid"], 9)
    assert ask(start("alive"), "hello")["met"] == []


def test_program_ends_with_its_parent_and_takes_its_socket_away(tmp_path: Path) -> None:
    folder = tmp_path / "lamp"
    folder.mkdir()
    # The shell is the parent, and becomes the one that waits: the program needs the number of its parent.
    script = f'exec {sys.executable} -c "{START}" {sys.executable} -m {LAMP} --background --folder {folder} --parent $$'
    with subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ready\n"
        program = os.pidfd_open(ask(folder / "control", "hello")["pid"])
        parent.kill()
    assert select.select([program], [], [], GUARD)[0]
    os.close(program)
    assert os.listdir(folder) == []


def test_program_of_another_parent_does_not_start(tmp_path: Path) -> None:
    command = [sys.executable, "-m", LAMP, "--folder", str(tmp_path), "--parent", "1"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, cwd=ROOT)
    assert ended.returncode == 1
    assert "Process 1 is not the parent" in ended.stderr
