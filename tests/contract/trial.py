"""Tries one bad driver, and prints the rules that it breaks, with the reasons. For test_contract.

A program, because trying a driver is waiting more than anything: each in a process of its own, several at once.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from labkit.contract import life_rules
from labkit.contract.contract import RULES, Outcome, Result
from labkit.contract.hands import INTERRUPT_SECONDS
from labkit.contract.subject import Subject
from labkit.plugin import Driver
from tests.contract import bad_drivers, bad_twins, library_driver
from tests.contract.patience import ENDS, be_patient
from tests.toy import GUARD

SLOW = {"can-be-declared-without-its-library", "leaves-nothing-behind", "opens-again-and-again"}
DEAF = {"ends-a-command-that-is-interrupted", "can-be-ended-when-the-device-hangs"}
TALKS_ON = "is-silent-after-it-is-closed"


def broken_rules(name: str, meant: str) -> dict[str, str]:
    """The rules that a driver breaks; of those that take long only the one that is meant is tried."""
    driver, options = _named(name)
    be_patient(setattr, ends=INTERRUPT_SECONDS if meant in DEAF else ENDS)
    if meant == TALKS_ON:
        life_rules._LATE_SECONDS = GUARD  # it does so a moment later, as soon as its thread gets a turn
    with tempfile.TemporaryDirectory(prefix="lk-") as folder:
        subject = Subject(declared=driver, options=driver.Options.model_validate(options), folder=Path(folder))
        return of((rule.result(subject) for rule in RULES if rule.name not in SLOW - {meant}), Outcome.FAIL)


def of(results: Iterable[Result], outcome: Outcome) -> dict[str, str]:
    """The rules with this outcome, and the reasons."""
    return {result.rule.name: result.reason for result in results if result.outcome is outcome}


def _named(name: str) -> tuple[type[Driver[Any]], dict[str, Any]]:
    if hasattr(bad_twins, name):
        return bad_twins.with_twin(getattr(bad_twins, name)), {"simulate": True}
    return getattr(bad_drivers, name, None) or getattr(library_driver, name), {}


if __name__ == "__main__":
    print(json.dumps(broken_rules(sys.argv[1], sys.argv[2])), flush=True)
    os._exit(0)  # a thread of a bad driver may hang for good
