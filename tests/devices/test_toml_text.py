"""Values as TOML has them."""

from __future__ import annotations

import tomllib
from datetime import UTC, date, datetime, time
from typing import Any

import pytest

from labkit.devices.toml_text import as_toml

MOMENT = datetime(2026, 3, 2, 10, 4, 7, tzinfo=UTC)


@pytest.mark.parametrize(
    "value",
    [
        '"\\\n\t\x7f€😀', True, False, 0, -3, 0.5, [], ["a", [1]], {}, {"a b": {"c": 1}, "d": ["e"], "": 1},
        MOMENT, date(2026, 3, 2), time(10, 4, 7),
    ],
)  # fmt: skip
def test_every_value_is_read_back_as_it_was(value: Any) -> None:
    assert tomllib.loads(f"value = {as_toml(value)}") == {"value": value}


@pytest.mark.parametrize("value", [None, b"bytes", {"a": [None]}, object])
def test_what_toml_does_not_have_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="can't be written as TOML"):
        as_toml(value)


def test_what_toml_does_not_have_is_written_as_somebody_says() -> None:
    assert as_toml({"a": [None, 1]}, str) == "{ a = [None, 1] }"
