"""`release BENCH`: ends the session that has a bench, and says what happened."""

from __future__ import annotations

import re

import pytest

from tests.cli.program import Place


@pytest.mark.parametrize("name", ["bench-1", "bench-1/console"])
def test_session_is_ended_and_the_bench_can_be_had_again(free_lab: Place, name: str) -> None:
    assert free_lab.labkit("fake", "new").returncode == 0
    done = free_lab.labkit("release", name)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"The session that had bench-1 since [\d:]+ has ended\.\nbench-1 is free\.\n", done.stdout)
    assert free_lab.labkit("fake", "status").stdout.startswith("Expired user")
    assert free_lab.labkit("fake", "new").returncode == 0


def test_bench_that_nobody_has_is_left_alone(free_lab: Place) -> None:
    done = free_lab.labkit("release", "bench-1")
    assert (done.returncode, done.stdout) == (0, "bench-1 is free already; nothing was done.\n")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bench-9", "Error: There is no bench 'bench-9'. Known: bench-1, bench-2.\n"),
        ("bench-1/camera", "Error: There is no device 'bench-1/camera'. Known: bench-1/console.\n"),
    ],
)
def test_unknown_name_is_refused_with_the_known_ones(free_lab: Place, name: str, message: str) -> None:
    done = free_lab.labkit("release", name)
    assert (done.returncode, done.stderr) == (2, message)
