"""DriverContract: the driver contract as a pytest class, for the tests of whoever writes a driver.

    class TestFan(DriverContract):
        driver = Fan
        options = {"simulate": True}

has one test for each rule of `labkit.contract`; a rule that can't be tried on this driver is skipped with the reason.
`labkit driver test NAME` tries the same without pytest, and so does `tried(driver, options)` here.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from labkit.contract.contract import RULES, Outcome, Result, Rule
from labkit.contract.subject import Subject
from labkit.devices.plugins import load_file
from labkit.plugin import Driver

__all__ = ["RULES", "DriverContract", "Outcome", "Result", "Rule", "Subject", "load_file", "subject_of", "tried"]


class DriverContract:
    """The contract tried on one driver. A subclass named `Test...` says which, and what else is needed:

    driver: the class that has the kind. options: those of a declaration; with `simulate` its twin is tried.
    calls: arguments to try a command with, by its name, where those made up from its annotations are none that it
    takes. long_calls: arguments with which a command waits, so that interrupting it can be tried.
    not_tried: names of the rules that can't be tried here, where that is known: each must really be so, and no other.
    Without it such rules are skipped.
    perhaps_tried: names of those that can be tried here at some times only, as where a command waits if the machine is
    slow.
    """

    driver: ClassVar[type[Driver[Any]]]
    options: ClassVar[Mapping[str, Any]] = {"simulate": True}
    calls: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    long_calls: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    not_tried: ClassVar[Collection[str] | None] = None
    perhaps_tried: ClassVar[Collection[str]] = ()

    _until_the_end: ClassVar[contextlib.ExitStack]
    _subject: ClassVar[Subject]

    @classmethod
    @contextlib.contextmanager
    def under_test(cls) -> Iterator[Subject]:
        """The driver under test. Override it to bring a far end, or faults of real hardware (`inject` of `Subject`)."""
        with subject_of(cls.driver, cls.options, calls=cls.calls, long_calls=cls.long_calls) as subject:
            yield subject

    @classmethod
    def setup_class(cls) -> None:
        cls._until_the_end = contextlib.ExitStack()
        cls._subject = cls._until_the_end.enter_context(cls.under_test())

    @classmethod
    def teardown_class(cls) -> None:
        cls._until_the_end.close()

    @pytest.mark.parametrize("rule", RULES, ids=str)
    def test_driver(self, rule: Rule) -> None:
        result = rule.result(self._subject)
        if self.not_tried is not None and result.outcome is not Outcome.FAIL:
            known = str(rule) in self.not_tried
            if str(rule) not in self.perhaps_tried:
                assert known == (result.outcome is Outcome.NOT_APPLICABLE), f"{rule}: {result.outcome}. {result.reason}"
        elif result.outcome is Outcome.NOT_APPLICABLE:
            pytest.skip(result.reason)
        if result.outcome is Outcome.FAIL:
            pytest.fail(f"{result.reason}\n\nThe rule: {rule.says}", pytrace=False)


@contextlib.contextmanager
def subject_of(driver: type[Driver[Any]], options: Mapping[str, Any], **more: Any) -> Iterator[Subject]:
    """A driver to try the rules on, with a folder while the block lasts; `more` as of `Subject`.

    Errors: pydantic's ValidationError for wrong options."""
    folder = Path(tempfile.mkdtemp(prefix="lk-"))  # short: the path of a twin's socket is
    try:
        yield Subject(declared=driver, options=driver.Options.model_validate(options), folder=folder, **more)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def tried(
    driver: type[Driver[Any]], options: Mapping[str, Any], *, rules: Iterable[Rule] = RULES, **more: Any
) -> list[Result]:
    """Try rules on a driver, without pytest. Blocks for half a minute or so. Errors: as `subject_of`."""
    with subject_of(driver, options, **more) as subject:
        return [rule.result(subject) for rule in rules]
