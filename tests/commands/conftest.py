"""A lab that runs by `labkit run`, for all tests of a module: two benches, the second one without its hardware."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.program import BENCH, Place, a_place


@pytest.fixture(scope="module")
def lab() -> Iterator[Place]:
    with a_place() as place:
        place.write("devices/bench-1.toml", BENCH)
        place.write("devices/bench-2.toml", '[meter]\ndriver = "serial"\nport = "/dev/nothing-here"\n')
        with place.running("run", "--port", "0", WEBLAB_TIMEOUT="90") as run:  # nobody polls
            run.says("Try it")
            yield place


@pytest.fixture
def free_lab(lab: Place) -> Iterator[Place]:
    """The lab with no session, before and after, and its bench in service."""
    yield lab
    lab.labkit("release", "bench-1")
    lab.labkit("bench", "resume", "bench-1")
    (lab.folder / ".fake_weblab_user_session_id").unlink(missing_ok=True)
