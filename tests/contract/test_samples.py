"""Arguments made up from a command's annotations are such as the command takes."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from labkit.contract.samples import long_sample, short_sample
from labkit.plugin import CommandSpec, Driver, DriverOptions, command, commands_of


class Color(Enum):
    RED = "red"


class Sampled(Driver[DriverOptions]):
    """Takes all sorts of things."""

    @command
    def numbers(self, low: Annotated[int, Field(ge=-9, le=-3)], part: Annotated[float, Field(gt=0.5, lt=0.7)]) -> None:
        """Take numbers within limits."""

    @command
    def texts(self, data: bytes, name: Annotated[str, Field(min_length=3)], how: Literal["up", "down"]) -> None:
        """Take texts."""

    @command
    def others(self, color: Color, levels: dict[str, int], on: bool | None, many: list[str]) -> None:
        """Take other things."""

    @command
    def waits(self, seconds: Annotated[float, Field(gt=0, le=10)], timeout: float = 5.0, ms: int = 100) -> None:
        """Take a time."""

    @command
    def defaults(self, count: int = 3) -> None:
        """Take what need not be said."""


SPECS = commands_of(Sampled)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_made_up_arguments_are_taken(spec: CommandSpec) -> None:
    sample = short_sample(spec)
    assert spec.bind([], dict(sample)) == sample


def values(name: str, sample: Any) -> dict[str, Any]:
    return dict(sample(SPECS[name]))


def test_numbers_keep_their_limits() -> None:
    made = values("numbers", short_sample)
    assert -9 <= made["low"] <= -3
    assert 0.5 < made["part"] < 0.7


def test_times_are_short_or_as_long_as_they_may_be() -> None:
    short, long = values("waits", short_sample), values("waits", long_sample)
    assert 0 < short["seconds"] < 0.1
    assert short["timeout"] < 0.1
    assert short["ms"] == 20
    assert long == {"seconds": 10, "timeout": 60.0, "ms": 60_000}


def test_command_without_a_time_has_no_long_arguments() -> None:
    assert long_sample(SPECS["texts"]) is None


def test_defaults_stay() -> None:
    assert values("defaults", short_sample) == {}
