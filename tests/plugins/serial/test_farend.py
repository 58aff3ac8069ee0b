"""The far end of a simulated port: what the next one who opens its path finds, however the moment falls."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from labkit_plugins.serial.farend import FarEnd


@pytest.fixture
def far(tmp_path: Path) -> Iterator[FarEnd]:
    made = FarEnd(tmp_path / "tty")
    made.plug()
    yield made
    made.unplug()


@pytest.fixture
def open_tty(far: FarEnd) -> Iterator[Callable[[], int]]:
    opened: list[int] = []

    def open_it() -> int:
        opened.append(os.open(far.path, os.O_RDWR | os.O_NOCTTY))
        return opened[-1]

    yield open_it
    for fd in opened:
        os.close(fd)


def test_never_opened_is_not_hung_up(far: FarEnd) -> None:
    assert not far.is_hung_up


def test_new_pty_for_the_next_one_after_the_last_has_closed(far: FarEnd, open_tty: Callable[[], int]) -> None:
    os.close(os.open(far.path, os.O_RDWR | os.O_NOCTTY))
    assert far.is_hung_up
    before = os.readlink(far.path)
    far.renew()
    assert os.readlink(far.path) != before
    assert not far.is_hung_up
    os.write(open_tty(), b"hello")
    assert far.read() == b"hello"


def test_who_came_just_before_the_change_keeps_the_old_pty(far: FarEnd, open_tty: Callable[[], int]) -> None:
    os.close(os.open(far.path, os.O_RDWR | os.O_NOCTTY))
    assert far.is_hung_up
    near, before = open_tty(), os.readlink(far.path)
    far.renew()
    assert os.readlink(far.path) == before
    os.write(near, b"hello")
    assert far.read() == b"hello"


def test_file_of_somebody_else_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "tty").write_text("mine")
    with pytest.raises(FileExistsError, match="is not the link of a board"):
        FarEnd(tmp_path / "tty").plug()
    assert (tmp_path / "tty").read_text() == "mine"


def test_unplugged_leaves_nothing(far: FarEnd) -> None:
    far.unplug()
    far.unplug()
    assert not os.path.lexists(far.path)
    assert far.read() is None
    assert not far.is_hung_up
