"""A folder for a lab, which must be empty of processes and files when the test is over."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.program import BENCH, Place, a_place


@pytest.fixture
def place() -> Iterator[Place]:
    with a_place() as made:
        yield made


@pytest.fixture
def lab(place: Place) -> Place:
    """A lab without an app: one simulated bench."""
    place.write("devices/bench-1.toml", BENCH)
    return place
