"""`bench`: drain, maintenance, resume, log, each as the real program on a lab that runs."""

from __future__ import annotations

import json
import re
import signal
from datetime import datetime

import pytest

from tests.cli.conftest import place as place
from tests.cli.program import BENCH, Place, wait_for
from tests.moments import MOMENT


def ok(lab: Place) -> bool:
    first = json.loads(lab.labkit("devices", "--json").stdout)[0]
    return (first["condition"], first["hold"], first["service"]) == ("ok", "none", None)


def says(lab: Place, *arguments: str, code: int = 0) -> str:
    done = lab.labkit("bench", *arguments)
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def test_drained_bench_is_refused_to_the_next_and_kept_by_who_has_it(free_lab: Place) -> None:
    assert free_lab.labkit("fake", "new", "--assigned-time", "60").returncode == 0
    said = says(free_lab, "drain", "bench-1", "--reason", "exam on Monday")
    assert re.fullmatch(
        r"No new session gets bench-1\.\n"
        rf"A session has it since {MOMENT}, until {MOMENT} at the latest\. To end it now: labkit release bench-1\n",
        said,
    )
    free_lab.labkit("release", "bench-1")
    assert says(free_lab, "drain", "bench-1", "--reason", "exam on Monday", "--wait") == (
        "bench-1 is drained already.\nbench-1 is free.\n"
    )
    refused = free_lab.labkit("fake", "new")
    assert refused.returncode == 1
    assert re.search(
        r"bench-1 is given to nobody new since [\d:]+ UTC \(exam on Monday\)", refused.stdout + refused.stderr
    )
    table = free_lab.labkit("devices").stdout
    assert re.search(r"bench-1/console +serial +ok +drained", table)
    assert re.search(rf"bench-1 is drained \(exam on Monday\) since {MOMENT}", table)
    assert says(free_lab, "resume", "bench-1") == "bench-1 is in service again.\n"
    assert says(free_lab, "resume", "bench-1") == "bench-1 is in service already.\n"


def test_bench_in_maintenance_is_closed_and_opened_again(free_lab: Place) -> None:
    said = says(free_lab, "maintenance", "bench-1", "new motor", "--wait")
    assert said == (
        "bench-1 is in maintenance; no new session gets it.\n"
        "The devices of bench-1 are safe and closed.\n"
        "When the work is done: labkit bench resume bench-1\n"
    )
    first = json.loads(free_lab.labkit("devices", "--json").stdout)[0]
    assert (first["condition"], first["reason"], first["blame"]) == ("offline", "in maintenance: new motor", "lab")
    assert (first["service"]["state"], first["service"]["reason"]) == ("maintenance", "new motor")
    assert "in service again, as soon as" in says(free_lab, "resume", "bench-1")
    wait_for(lambda: ok(free_lab), "bench-1 to be ok")
    rows = json.loads(says(free_lab, "log", "bench-1", "--json", "-n", "5"))
    assert [(row["device"], row["before"], row["after"], row["reason"]) for row in rows] == [
        ("", "in service", "maintenance", "new motor"),
        ("bench-1/console", "ok", "offline", "in maintenance: new motor"),
        ("", "maintenance", "in service", ""),
        ("bench-1/console", "offline", "offline", "being opened"),
        ("bench-1/console", "offline", "ok", ""),
    ]
    times = [datetime.fromisoformat(row["at"]) for row in rows]
    assert times == sorted(times)


def test_log_is_a_line_for_each_change_newest_last(free_lab: Place) -> None:
    said = says(free_lab, "log", "bench-2")
    lines = said.splitlines()
    assert re.fullmatch(rf"{MOMENT}  bench-2/meter  offline: being opened", lines[0])
    assert re.fullmatch(rf"{MOMENT}  bench-2/meter  offline: Port /dev/nothing-here .* \(to blame: device\)", lines[1])
    assert lines[-1] == "Times are UTC."


def test_unknown_bench_is_refused_with_the_known_ones(free_lab: Place) -> None:
    said = says(free_lab, "drain", "bench-9", code=2)
    assert said == "Error: There is no bench 'bench-9'. Known: bench-1, bench-2.\n"
    assert "Say why" in says(free_lab, "maintenance", "bench-1", " ", code=2)


@pytest.mark.parametrize("arguments", [("drain", "bench-1", "--reason"), ("maintenance", "bench-1")])
def test_reason_that_nobody_would_read_is_refused(free_lab: Place, arguments: tuple[str, ...]) -> None:
    said = says(free_lab, *arguments, "x" * 201, code=2)
    assert said.startswith("Error: The reason has 201 characters, 200 are the most: ")
    assert ok(free_lab)


def test_owners_word_is_taken_while_no_loop_runs_and_followed_by_the_next(place: Place) -> None:
    place.write("devices/bench-1.toml", BENCH)
    assert says(place, "log", "bench-1", code=1).startswith("Error: Nothing runs here. Declared: bench-1/console.")
    said = says(place, "maintenance", "bench-1", "new motor", "--wait")
    assert "No loop answers for bench-1, and the next one will leave it closed. " in said
    assert "look whether its process is gone.\n" in said
    with place.running("loop") as loop:
        loop.says("reason=in maintenance: new motor")
        assert "condition=ok" not in loop.err
        says(place, "resume", "bench-1")
        loop.says("device changed device=bench-1/console condition=ok")
        loop.end(signal.SIGTERM)
