"""The driver contract: a good driver keeps every rule, and each bad one is caught by the rule that is meant, alone."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.contract.contract import RULES, Outcome
from labkit.plugin import Driver, Twin
from labkit.testing.driver_contract import Result, tried
from tests.contract import bad_drivers, bad_twins
from tests.contract.library_driver import PumpWithLibrary

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


SLOW = {"can-be-declared-without-its-library", "leaves-nothing-behind", "opens-again-and-again"}


def broken_rules(driver: type[Driver[Any]], options: dict[str, Any], meant: str) -> dict[str, str]:
    """The rules that a driver breaks; of those that take long only the one that is meant is tried."""
    return of(tried(driver, options, rules=[rule for rule in RULES if rule.name not in SLOW - {meant}]), Outcome.FAIL)


def of(results: list[Result], outcome: Outcome) -> dict[str, str]:
    return {result.rule.name: result.reason for result in results if result.outcome is outcome}


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
def test_bad_driver_is_caught_by_the_rule_that_is_meant(driver: type[Driver[Any]]) -> None:
    rule, why = BAD[driver]
    broken = broken_rules(driver, {}, rule)
    assert list(broken) == [rule], broken
    assert why in broken[rule]


@pytest.mark.parametrize("twin", BAD_TWINS, ids=lambda twin: twin.__name__)
def test_bad_twin_is_caught_by_the_fault_that_is_meant(twin: type[Twin]) -> None:
    rule, why = BAD_TWINS[twin]
    broken = broken_rules(bad_twins.with_twin(twin), {"simulate": True}, rule)
    assert list(broken) == [rule], broken
    assert why in broken[rule]


def test_thread_that_dies_breaks_the_rule_under_which_it_dies() -> None:
    broken = broken_rules(bad_drivers.PumpWhoseThreadDies, {}, "")
    assert "can-be-made-safe-in-any-state" in broken
    assert "pump-reader of ZeroDivisionError" in broken["can-be-made-safe-in-any-state"]
