"""The pauses between the lives of a child of `labkit run`. Its real deaths are in test_run.py."""

from __future__ import annotations

import signal

import pytest

from labkit.cli.children import Child, ending_of, labkit_command
from labkit.clock import Clock


class SetClock(Clock):
    def __init__(self) -> None:
        self.time = 0.0

    def boottime(self) -> float:
        return self.time


class PretendedChild(Child):
    """A child whose process ends when the test says so."""

    def __init__(self, clock: SetClock):
        super().__init__("loop", labkit_command("--version"), clock=clock)
        self.starts = 0

    def start(self) -> None:
        super().start()
        self.starts += 1

    def dies(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self.look_after()


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


def test_pauses_double_up_to_ten_seconds(clock: SetClock) -> None:
    child, pauses = PretendedChild(clock), []
    child.start()
    for _ in range(7):
        child.dies()
        pauses.append(child.pause_left)
        clock.time += child.pause_left
        child.look_after()
        assert child.running
    assert pauses == [0.5, 1, 2, 4, 8, 10, 10]
    assert child.starts == 8
    child.kill()


def test_child_is_not_started_before_its_pause_is_over(clock: SetClock) -> None:
    child = PretendedChild(clock)
    child.start()
    child.dies()
    clock.time += 0.4
    child.look_after()
    assert child.starts == 1
    clock.time += 0.2
    child.look_after()
    assert child.starts == 2
    child.kill()


def test_pause_is_short_again_after_a_long_life(clock: SetClock) -> None:
    child = PretendedChild(clock)
    child.start()
    for _ in range(4):
        child.dies()
        clock.time += child.pause_left
        child.look_after()
    clock.time += 31
    child.dies()
    assert child.pause_left == 0.5


def test_child_that_was_ended_is_not_started_again(clock: SetClock) -> None:
    child = PretendedChild(clock)
    child.start()
    child.dies()
    child.end()
    clock.time += 60
    child.look_after()
    assert child.starts == 1


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (0, "ended with status 0"),
        (2, "ended with status 2"),
        (-signal.SIGKILL, "was killed by SIGKILL"),
        (-99, "was killed by signal 99"),
    ],
)
def test_ending_is_said_in_words(status: int, words: str) -> None:
    assert ending_of(status) == words
