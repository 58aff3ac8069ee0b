"""Labs for the tests of the reference: one whose threads run, and one in which nothing happens by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from labkit.testing.store import StoreServer
from tests.reference.acting_lab import ActingLab
from tests.toy import wait_until


@pytest.fixture
def make(tmp_path: Path, store_server: StoreServer) -> Iterator[Callable[..., ActingLab]]:
    """Makes a lab (see ActingLab) that is closed with the test."""
    made: list[ActingLab] = []

    def make_lab(**options: Any) -> ActingLab:
        made.append(ActingLab(tmp_path, store_server.url, **options))
        return made[-1]

    yield make_lab
    for lab in made:
        lab.__exit__(None, None, None)


@pytest.fixture
def lab(make: Callable[..., ActingLab]) -> ActingLab:
    """A lab with its task runners and its reaper."""
    lab = make().up()
    wait_until(lambda: lab.lab.processes.with_role("tasks"), "the task runners")
    return lab  # type: ignore[return-value]


@pytest.fixture
def still(make: Callable[..., ActingLab]) -> ActingLab:
    """A lab without threads: nothing is done but what the test does."""
    return make(WEBLAB_NO_THREAD=True)
