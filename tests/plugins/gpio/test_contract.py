"""The driver contract, with all its faults, on the twin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from labkit.testing.driver_contract import DriverContract
from labkit_plugins.gpio import Gpio
from tests.plugins.gpio.conftest import LINES

RED = {"line": "red"}


class TestGpio(DriverContract):
    driver = Gpio
    options: ClassVar[Mapping[str, Any]] = {"simulate": True, "lines": LINES, "safe": {"red": 0}}
    calls: ClassVar[Mapping[str, Any]] = {
        "write": {"line": "red", "value": 1},
        "read": RED,
        "toggle": RED,
        "pulse": {"line": "red", "ms": 20},
    }
    long_calls: ClassVar[Mapping[str, Any]] = {"pulse": {"line": "red", "ms": 10_000}}
