"""The list of rules, and how one is tried. Used by `labkit driver test` and by `labkit.testing.driver_contract`."""

from __future__ import annotations

import contextlib
import inspect
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from labkit.contract import class_rules, command_rules, fault_rules, life_rules
from labkit.contract.hands import NotApplicable, RuleBroken
from labkit.contract.subject import Subject
from labkit.errors import WebLabError

NOT_A_BUG = (WebLabError, OSError, ImportError, ValueError)
"""What a driver raises to say that something is wrong; anything else gets its place in the code shown too."""


class Outcome(StrEnum):
    """What came of a rule."""

    PASS = "pass"
    FAIL = "fail"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True, kw_only=True)
class Result:
    """One rule tried on one driver. reason: how it was broken, or why it could not be tried."""

    rule: Rule
    outcome: Outcome
    reason: str = ""


@dataclass(frozen=True)
class Rule:
    """One rule. `name` is its function's, with hyphens; `says` is what it checks and why."""

    check: Callable[[Subject], None]

    @property
    def name(self) -> str:
        return self.check.__name__.replace("_", "-")

    @property
    def says(self) -> str:
        return " ".join((inspect.getdoc(self.check) or "").split())

    def __str__(self) -> str:
        return self.name

    def result(self, subject: Subject) -> Result:
        """Try the rule. Blocks for seconds; a driver that hangs is left behind, with its thread."""
        dead: list[str] = []
        try:
            with _listening_for_deaths(dead):
                self.check(subject)
            if dead:
                raise RuleBroken(f"A thread died: {'; '.join(dead)}.")
        except NotApplicable as error:
            return Result(rule=self, outcome=Outcome.NOT_APPLICABLE, reason=str(error))
        except RuleBroken as error:
            return Result(rule=self, outcome=Outcome.FAIL, reason=" ".join([str(error), *dead]))
        except Exception as error:
            return Result(rule=self, outcome=Outcome.FAIL, reason=_unexpected(error))
        return Result(rule=self, outcome=Outcome.PASS)


RULES = tuple(
    Rule(check)
    for check in (
        class_rules.follows_the_rules_of_a_driver_class,
        class_rules.says_what_everything_means,
        class_rules.can_be_declared_without_its_library,
        class_rules.checks_what_it_is_given,
        life_rules.opens_again_and_again,
        life_rules.opens_and_closes_twice_without_harm,
        command_rules.answers_what_can_travel,
        life_rules.names_itself_when_it_is_closed,
        life_rules.can_be_made_safe_in_any_state,
        life_rules.is_healthy_when_nothing_is_wrong,
        command_rules.takes_no_notice_of_an_interrupt_when_idle,
        command_rules.ends_a_command_that_is_interrupted,
        command_rules.can_be_released_while_it_is_busy,
        life_rules.gives_what_its_feeds_promise,
        life_rules.is_silent_after_it_is_closed,
        fault_rules.can_be_ended_when_the_device_hangs,
        fault_rules.survives_noise,
        fault_rules.bears_a_slow_device,
        fault_rules.notices_that_it_was_unplugged,
        life_rules.leaves_nothing_behind,
    )
)


def _unexpected(error: Exception) -> str:
    text = f"{type(error).__name__}: {' '.join(str(error).split())}"
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if isinstance(error, NOT_A_BUG) or trace is None:
        return text
    return f"{text} ({trace.tb_frame.f_code.co_filename}, line {trace.tb_lineno})"


@contextlib.contextmanager
def _listening_for_deaths(dead: list[str]) -> Iterator[None]:
    """Note what ends a thread of the driver meanwhile, instead of printing it."""

    def note(death: threading.ExceptHookArgs) -> None:
        name = death.thread.name if death.thread is not None else "?"
        dead.append(f"{name} of {death.exc_type.__name__}: {death.exc_value}")

    before, threading.excepthook = threading.excepthook, note
    try:
        yield
    finally:
        threading.excepthook = before
