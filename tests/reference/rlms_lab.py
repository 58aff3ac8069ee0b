"""Labs for the tests of rlms.md: some whose threads run, some in which nothing happens but what the test does."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labkit.testing.store import StoreServer
from tests.small_lab import MakeLab as MakeLab
from tests.small_lab import SmallLab
from tests.toy import wait_until
from tests.web.served import served


@pytest.fixture(name="make")
def make_lab(tmp_path: Path, store_server: StoreServer) -> Iterator[MakeLab]:
    """Makes labs (see SmallLab), each in a folder of its own; they are closed with the test."""
    folders = (tmp_path / f"lab-{number}" for number in itertools.count())
    with contextlib.ExitStack() as made:

        def make(**options: Any) -> SmallLab:
            folder = next(folders)
            folder.mkdir()
            return made.enter_context(SmallLab(folder, store_server.url, **options))

        yield make


@pytest.fixture(name="lab")
def running_lab(make: MakeLab) -> SmallLab:
    """A lab with its task runners and its reaper."""
    lab = make().up()
    wait_until(lambda: lab.lab.processes.with_role("tasks"), "the task runners")
    return lab


@pytest.fixture(name="still")
def still_lab(make: MakeLab) -> SmallLab:
    """A lab without threads: nothing is done but what the test does."""
    return make(WEBLAB_NO_THREAD=True)


@contextlib.contextmanager
def served_at(lab: SmallLab) -> Iterator[str]:
    """Serve a lab; gives its host and port."""
    with served(lab.app) as port:
        yield f"127.0.0.1:{port}"
