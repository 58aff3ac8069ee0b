"""A folder for a lab, which must be empty of processes and files when the test is over."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.program import BENCH, Place


@pytest.fixture
def place() -> Iterator[Place]:
    """A folder outside of pytest's deep ones, because the path of a socket is short."""
    top = Path(tempfile.mkdtemp(prefix="lk-"))
    (top / "mylab").mkdir()
    (top / "t").mkdir()
    made = Place(top / "mylab", top / "t")
    try:
        yield made
        made.wait_until_nothing_is_left()
    finally:
        made.kill_all()
        shutil.rmtree(top, ignore_errors=True)


@pytest.fixture
def lab(place: Place) -> Place:
    """A lab without an app: one simulated bench."""
    place.write("devices/bench-1.toml", BENCH)
    return place
