"""Labs for the tests of the reference: one whose threads run, and one in which nothing happens by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from labkit.testing.store import StoreServer
from tests.reference.acting_lab import ActingLab
from tests.toy import wait_until


@pytest.fixture
def make(tmp_path: Path, store_server: StoreServer) -> Iterator[Callable[..., ActingLab]]:
    """Makes a lab (see ActingLab) that is closed with the test."""
    with ExitStack() as made:
        yield lambda **options: made.enter_context(ActingLab(tmp_path, store_server.url, **options))


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
