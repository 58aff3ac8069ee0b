"""What the chaos runs and the soak say of a lab that grows, on made-up figures."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests.chaos.idle import Idle, growth
from tests.chaos.soak import Sample, growths, thirds

IDLE = Idle(
    files={"loop": 40, "web": 20},
    sockets={"loop": 30, "web": 20},
    threads={"loop beat": 2, "loop device:bench-N/": 4, "loop task-N": 6, "web beat": 2, "web ThreadPoolExec": 4},
    lasting=frozenset({"{lab}:session:1"}),
)


def test_a_lab_that_has_what_it_had_does_not_grow() -> None:
    assert growth(IDLE, IDLE) == []
    assert growth(IDLE, dataclasses.replace(IDLE, files={"loop": 30}, sockets={"loop": 50})) == []
    assert growth(IDLE, dataclasses.replace(IDLE, threads={"loop feeds:bench-N/c": 4})) == []


@pytest.mark.parametrize(
    ("text", "more"),
    [
        ("descriptors loop: 60", {"files": {"loop": 60}}),
        ("sockets web: 99", {"sockets": {"web": 99}}),
        ("threads loop task-N: 7", {"threads": {"loop task-N": 7}}),
        ("threads for feeds: 5", {"threads": {"loop feeds:bench-N/c": 5}}),
        ("threads loop on_dispose:N: 1", {"threads": {"loop on_dispose:N": 1}}),
        ("threads web ending:N: 1", {"threads": {"web ending:N": 1}}),
        ("key {lab}:task:2 has no end", {"lasting": frozenset({"{lab}:task:2"})}),
    ],
)
def test_what_there_is_more_of_is_found(text: str, more: dict[str, Any]) -> None:
    assert any(text in found for found in growth(IDLE, dataclasses.replace(IDLE, **more)))


def samples(*values: float, what: str = "memory") -> list[Sample]:
    return [Sample(at=float(at), of="loop", values={what: value}) for at, value in enumerate(values)]


def test_what_is_level_after_its_first_third_does_not_grow() -> None:
    means = thirds(samples(10, 50, 90, 90, 91, 90, 91, 90, 90), 9.0)
    assert means == {("loop", "memory"): [50.0, pytest.approx(90.33, abs=0.01), pytest.approx(90.33, abs=0.01)]}
    assert growths(means) == []


@pytest.mark.parametrize("what", ["memory", "files", "sockets", "threads", "keys"])
def test_what_grows_in_the_last_third_is_found(what: str) -> None:
    steady = [30.0 + 10 * number for number in range(9)]
    assert growths(thirds(samples(*steady, what=what), 9.0)) == [f"{what} of loop grew from 70.0 to 100.0"]
