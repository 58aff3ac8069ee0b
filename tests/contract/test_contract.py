"""The driver contract: a good driver keeps every rule, and each bad one is caught by the rule that is meant, alone."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labkit.contract.contract import RULES, Outcome
from labkit.plugin import Driver, Twin
from labkit.testing.driver_contract import tried
from tests import prepared
from tests.contract import bad_drivers, bad_twins
from tests.contract.library_driver import PumpWithLibrary
from tests.contract.patience import patient_contract as patient_contract
from tests.contract.trial import of
from tests.prepared import Prepared

FAULTS = [
    "can-be-ended-when-the-device-hangs",
    "survives-noise",
    "bears-a-slow-device",
    "notices-that-it-was-unplugged",
]
BAD = {
    bad_drivers.PumpWithoutKind: ("follows-the-rules-of-a-driver-class", "has no kind"),
    bad_drivers.PumpWithoutHelp: ("says-what-everything-means", "command prime (a docstring)"),
    PumpWithLibrary: ("can-be-declared-without-its-library", "imports serial"),
    bad_drivers.PumpThatTakesAnything: ("checks-what-it-is-given", "argument how of prime"),
    bad_drivers.PumpThatWearsOut: ("opens-again-and-again", "of 50 failed: RuntimeError: no more handles"),
    bad_drivers.PumpThatClosesOnce: ("opens-and-closes-twice-without-harm", "ValueError: it is closed"),
    bad_drivers.PumpThatGivesItself: ("answers-what-can-travel", "what prime() returned is of type"),
    bad_drivers.PumpThatWorksClosed: ("names-itself-when-it-is-closed", "stroke() returned as if all were well"),
    bad_drivers.PumpWithoutHandle: ("names-itself-when-it-is-closed", "'NoneType' object has no attribute 'upper'"),
    bad_drivers.PumpThatStaysUnsafe: ("can-be-made-safe-in-any-state", "after prime() could not be confirmed"),
    bad_drivers.PumpThatFeelsIll: ("is-healthy-when-nothing-is-wrong", "pressure is 0"),
    bad_drivers.PumpThatRemembersInterrupts: ("takes-no-notice-of-an-interrupt-when-idle", "stroke() raised"),
    bad_drivers.DeafPump: ("ends-a-command-that-is-interrupted", "still ran 2 s after interrupt()"),
    bad_drivers.PumpThatSticks: ("can-be-released-while-it-is-busy", "the valve is stuck"),
    bad_drivers.PumpThatSaysNonsense: ("gives-what-its-feeds-promise", "feed 'level'"),
    bad_drivers.PumpThatEmitsNonsense: ("gives-what-its-feeds-promise", "prime() raised ValidationError"),
    bad_drivers.PumpThatTalksOn: ("is-silent-after-it-is-closed", "of: level"),
    bad_drivers.PumpThatLeaksFiles: ("leaves-nothing-behind", "descriptors open"),
    bad_drivers.PumpThatLeaksThreads: ("leaves-nothing-behind", "pump-leak"),
}
BAD_TWINS = {
    bad_twins.TwinThatHangs: (FAULTS[0], "still ran 2 s after interrupt()"),
    bad_twins.TwinThatChokes: (FAULTS[1], "AttributeError"),
    bad_twins.TwinWhoseReaderDies: (FAULTS[1], "bell-reader"),
    bad_twins.TwinThatBreaksWhenSlow: (FAULTS[2], "answers are out of step"),
    bad_twins.TwinThatNeverNotices: (FAULTS[3], "neither had link.lost() been called"),
    bad_twins.TwinThatCallsItFaulty: (FAULTS[3], "ring() raised ValueError: no answer"),
}


LONG = (bad_drivers.DeafPump, bad_drivers.PumpThatLeaksThreads, bad_twins.TwinThatNeverNotices)
"""Those that take longest: they begin first."""
AHEAD = 5
"""How many of the next ones are tried meanwhile."""


class Trials:
    """Each bad driver is tried in a process of its own, and some of the next ones meanwhile: trying is waiting."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._drivers = [*BAD, *BAD_TWINS, bad_drivers.PumpWhoseThreadDies]
        self._begun: dict[type[Driver[Any]], Prepared] = {}

    def broken_rules(self, driver: type[Driver[Any]]) -> dict[str, str]:
        """The rules that a driver breaks, with the reasons."""
        at = self._drivers.index(driver)
        for one in (driver, *LONG, *self._drivers[at + 1 : at + 1 + AHEAD]):
            if one not in self._begun:
                self._begun[one] = self._begin(one)
        code = self._begun[driver].wait(110)
        assert code == 0, self._file(driver, "err").read_text()
        return dict(json.loads(self._file(driver, "out").read_text()))

    def _begin(self, driver: type[Driver[Any]]) -> Prepared:
        meant = {**BAD, **BAD_TWINS}.get(driver, ("", ""))[0]
        environment = {**os.environ, "PYTHONPATH": str(prepared.ROOT)}
        with open(self._file(driver, "out"), "wb") as out, open(self._file(driver, "err"), "wb") as err:
            return prepared.start(
                "tests.contract.trial", [driver.__name__, meant], folder=self._folder, environment=environment,
                out=out.fileno(), err=err.fileno(),
            )  # fmt: skip

    def _file(self, driver: type[Driver[Any]], suffix: str) -> Path:
        return self._folder / f"{driver.__name__}.{suffix}"

    def close(self) -> None:
        for process in self._begun.values():
            process.kill()
            process.wait(60)


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trials]:
    with contextlib.closing(Trials(tmp_path_factory.mktemp("trials"))) as trials:
        yield trials


def test_every_rule_says_what_it_checks_and_why() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)
    assert [rule.name for rule in RULES if len(rule.says.split()) < 8] == []


def test_good_driver_keeps_every_rule_that_can_be_tried_on_it() -> None:
    results = tried(bad_drivers.GoodPump, {})
    assert of(results, Outcome.FAIL) == {}
    reasons = of(results, Outcome.NOT_APPLICABLE)
    assert list(reasons) == FAULTS
    assert set(reasons.values()) == {"GoodPump has no faults on demand: it is no labkit.plugin.Twin."}


def test_good_twin_bears_every_fault() -> None:
    results = tried(bad_twins.with_twin(bad_twins.BellTwin), {"simulate": True})
    assert of(results, Outcome.FAIL) == {}
    assert not set(FAULTS) & set(of(results, Outcome.NOT_APPLICABLE))


@pytest.mark.parametrize("driver", BAD, ids=lambda driver: driver.__name__)
def test_bad_driver_is_caught_by_the_rule_that_is_meant(driver: type[Driver[Any]], trials: Trials) -> None:
    rule, why = BAD[driver]
    broken = trials.broken_rules(driver)
    assert list(broken) == [rule], broken
    assert why in broken[rule]


@pytest.mark.parametrize("twin", BAD_TWINS, ids=lambda twin: twin.__name__)
def test_bad_twin_is_caught_by_the_fault_that_is_meant(twin: type[Twin], trials: Trials) -> None:
    rule, why = BAD_TWINS[twin]
    broken = trials.broken_rules(twin)
    assert list(broken) == [rule], broken
    assert why in broken[rule]


def test_thread_that_dies_breaks_the_rule_under_which_it_dies(trials: Trials) -> None:
    broken = trials.broken_rules(bad_drivers.PumpWhoseThreadDies)
    assert "can-be-made-safe-in-any-state" in broken
    assert "pump-reader of ZeroDivisionError" in broken["can-be-made-safe-in-any-state"]
