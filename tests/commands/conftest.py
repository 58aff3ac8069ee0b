"""A lab that runs by `labkit run`, for all tests of a module: two benches, the second one without its hardware."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.program import BENCH, Place


@pytest.fixture(scope="module")
def lab() -> Iterator[Place]:
    top = Path(tempfile.mkdtemp(prefix="lk-"))
    for name in ("mylab", "t"):
        (top / name).mkdir()
    place = Place(top / "mylab", top / "t")
    place.write("devices/bench-1.toml", BENCH)
    place.write("devices/bench-2.toml", '[meter]\ndriver = "serial"\nport = "/dev/nothing-here"\n')
    try:
        with place.running("run", "--port", "0", WEBLAB_TIMEOUT="90") as run:  # nobody polls
            run.says("Try it")
            yield place
        place.wait_until_nothing_is_left()
    finally:
        place.kill_all()
        shutil.rmtree(top, ignore_errors=True)


@pytest.fixture
def free_lab(lab: Place) -> Iterator[Place]:
    """The lab with no session, before and after."""
    yield lab
    lab.labkit("release", "bench-1")
    (lab.folder / ".fake_weblab_user_session_id").unlink(missing_ok=True)
