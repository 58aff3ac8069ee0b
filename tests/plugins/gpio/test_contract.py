"""The driver contract, with all its faults, on the twin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from labkit.testing.driver_contract import DriverContract, Rule
from labkit_plugins.gpio import Gpio, simulated
from tests.contract.patience import ENDS
from tests.contract.patience import patient_contract as patient_contract
from tests.plugins.gpio.conftest import LINES

RED = {"line": "red"}


@pytest.fixture(autouse=True)
def patient_chip(rule: Rule, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pulse that is interrupted waits for its chip, but less long than the rule waits for the pulse."""
    if rule.name != "can-be-ended-when-the-device-hangs":  # then it waits in vain
        monkeypatch.setattr(simulated, "_LAST_WORD_TIMEOUT", ENDS - 2)


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
