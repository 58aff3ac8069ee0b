"""`release BENCH`: ends the session that has a bench, and says what happened."""

from __future__ import annotations

import re
import signal

import pytest

from tests.cli.conftest import place as place
from tests.cli.program import BENCH, Place, wait_for
from tests.moments import MOMENT


@pytest.mark.parametrize("name", ["bench-1", "bench-1/console"])
def test_session_is_ended_and_the_bench_can_be_had_again(free_lab: Place, name: str) -> None:
    assert free_lab.labkit("fake", "new").returncode == 0
    done = free_lab.labkit("release", name)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(rf"The session that had bench-1 since {MOMENT} has ended\.\nbench-1 is free\.\n", done.stdout)
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


def test_bench_without_a_loop_is_given_up_at_once_and_freed_by_the_next_loop(place: Place) -> None:
    """The lab serves, and its loop is gone: nobody can make the devices safe now."""
    place.write("devices/bench-1.toml", BENCH)
    with place.running("web", "--port", "0", WEBLAB_TIMEOUT="-1") as web:
        web.says("Serving at ")
        url = web.err.partition("Serving at ")[2].split()[0]
        assert place.labkit("fake", "new", "--url", url).returncode == 1
        assert place.labkit("release", "bench-1").stderr == (
            "Error: No bench is known yet: no loop has run here. Declared: bench-1/console. Start one: labkit loop\n"
        )
        with place.running("loop") as loop:
            loop.says("device changed device=bench-1/console condition=ok")
            assert place.labkit("fake", "new", "--url", url).returncode == 0
            loop.end(signal.SIGTERM)
        released = place.labkit("release", "bench-1")
        assert (released.returncode, released.stdout) == (1, "")
        assert released.stderr == (
            "Error: No loop runs for bench-1: its user is out, but nobody is there to make its devices safe. "
            "The next loop runs on_dispose, makes them safe and frees the bench. Start it: labkit loop\n"
        )
        assert "Should finish: -1\n" in place.labkit("fake", "status", "--url", url).stdout
        with place.running("loop"):
            wait_for(lambda: "free" in place.labkit("release", "bench-1").stdout, "the bench")
