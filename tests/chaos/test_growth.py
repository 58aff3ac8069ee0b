"""What the chaos runs and the soak say of a lab that grows, or that nobody has used, on made-up figures."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests.chaos.idle import Idle, growth
from tests.chaos.soak import Sample, Soak, growths, means, report

IDLE = Idle(
    files={"loop": 40, "web": 20},
    sockets={"loop": 30, "web": 20},
    threads={"loop beat": 2, "loop device:bench-N/": 4, "loop task-N": 6, "web beat": 2, "web ThreadPoolExec": 4},
    lasting=frozenset({"{lab}:session:1"}),
    processes={"loop": 2, "web": 2},
)


def test_a_lab_that_has_what_it_had_does_not_grow() -> None:
    assert growth(IDLE, IDLE) == []
    assert growth(IDLE, dataclasses.replace(IDLE, files={"loop": 30}, sockets={"loop": 50})) == []
    assert growth(IDLE, dataclasses.replace(IDLE, threads={"loop feeds:bench-N/c": 4, "web relay": 2})) == []


@pytest.mark.parametrize(
    ("text", "more"),
    [
        ("descriptors loop: 60", {"files": {"loop": 60}}),
        ("sockets web: 99", {"sockets": {"web": 99}}),
        ("threads loop task-N: 7", {"threads": {"loop task-N": 7}}),
        ("threads for feeds: 5", {"threads": {"loop feeds:bench-N/c": 5}}),
        ("threads loop on_dispose:N: 1", {"threads": {"loop on_dispose:N": 1}}),
        ("threads web ending:N: 1", {"threads": {"web ending:N": 1}}),
        ("threads web relay: 3", {"threads": {"web relay": 3}}),
        ("key {lab}:task:2 has no end", {"lasting": frozenset({"{lab}:task:2"})}),
    ],
)
def test_what_there_is_more_of_is_found(text: str, more: dict[str, Any]) -> None:
    assert any(text in found for found in growth(IDLE, dataclasses.replace(IDLE, **more)))


def test_a_soak_has_the_means_of_what_was_seen_in_each_quarter() -> None:
    quarters = [[Sample(at=0.0, of="loop", values={"files": value}) for value in part] for part in ([1, 3], [4], [])]
    assert means(quarters) == {("loop", "files"): [2.0, 4.0, 0.0]}


@pytest.mark.parametrize(
    ("what", "values"),
    [
        ("memory", [70, 75, 75, 75]),  # it was not warm yet
        ("memory", [70, 70, 70, 79]),  # there was one busy moment
        ("memory", [70, 71.4, 72.8, 74.2]),
        ("sockets", [30, 30, 33, 33]),
        ("threads", [30, 31, 30, 31]),
    ],
)
def test_what_is_not_more_at_each_rest_does_not_grow(what: str, values: list[float]) -> None:
    assert growths({("loop", what): values}) == []


@pytest.mark.parametrize(
    ("what", "values"),
    [
        ("memory", [70, 72, 74, 76]),
        ("memory", [70, 70, 70, 90]),
        ("files", [30, 31, 32, 33]),
        ("sockets", [30, 31, 32, 33]),
        ("threads", [30, 31, 32, 33]),
        ("keys", [3, 4, 5, 6]),
        ("keys", [3, 3, 3, 50]),
    ],
)
def test_what_grows_is_found(what: str, values: list[float]) -> None:
    (found,) = growths({("loop", what): values})
    assert found.startswith(f"{what} of loop grew: {values[0]:.1f}, ")


HEALTHY = {"sessions": 248, "frames": 1445, "bytes of feeds": 150_214, "lines": 1772, "tasks": 108}


@pytest.mark.parametrize(
    "counts",
    [
        {},
        {"refused": 40, "sessions": 208},  # the machine was busy
        {"failed: AssertionError in it": 10, "sessions": 238},
    ],
)
def test_a_soak_that_served_nearly_all_is_well(counts: dict[str, int]) -> None:
    assert reported(HEALTHY | counts, came=248) == []


@pytest.mark.parametrize(
    ("says", "counts"),
    [
        ("20 x failed: AssertionError in it", {"failed: AssertionError in it": 20, "sessions": 228}),
        ("too few: 188 of 248 students were served", {"refused": 60, "sessions": 188}),
        ("too few: nobody has had frames", {"frames": 0}),
        ("too few: nobody has had bytes of feeds", {"bytes of feeds": 0}),
        ("too few: nobody has had lines", {"lines": 0}),
        ("too few: nobody has had tasks", {"tasks": 0}),
    ],
)
def test_a_soak_that_served_too_few_or_left_something_out_says_so(says: str, counts: dict[str, int]) -> None:
    assert reported(HEALTHY | counts, came=248) == [says]


def test_a_soak_that_served_nobody_is_wrong_though_nothing_grew() -> None:
    wrong = reported({"refused": 248}, came=248)
    assert "too few: 0 of 248 students were served" in wrong
    assert "too few: 0 of 0 students were served" in reported({}, came=0)


def reported(counts: dict[str, int], came: int) -> list[str]:
    """What is wrong with a soak in which this was counted and nothing grew."""
    soak = Soak(None, 220.0, seed=1)  # type: ignore[arg-type] # the lab is not asked for what was seen of it
    soak.came = came
    soak.tally.counts.update(counts)
    soak.rests = {("loop", "files"): [70.0, 70.0, 70.0, 70.0]}
    return report(soak, 220.0)
